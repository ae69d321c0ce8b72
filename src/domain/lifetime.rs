//! PURE · when a camp's time is up, when people are warned of it, and what starts it anew.

use chrono::{DateTime, Duration, Utc};

use super::decision::Want;
use super::policy::Lifetime;
use super::pull_request::State;

/// What renews a lifetime is a change between two of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Head commit.
    pub revision: String,
    /// Open or closed.
    pub state: State,
    /// What somebody asked for.
    pub want: Want,
}

/// Why the lifetime starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Seen for the first time.
    First,
    /// Another head commit.
    Push,
    /// Open again.
    Reopened,
    /// `want` became `Up`.
    Up,
}

/// What between `before` and `now` starts the lifetime anew; nothing else does, above all not a sweep.
#[must_use]
pub fn renewal(before: Option<&Seen>, now: &Seen) -> Option<Renewal> {
    let Some(before) = before else { return Some(Renewal::First) };
    if before.revision != now.revision {
        Some(Renewal::Push)
    } else if before.state == State::Closed && now.state == State::Open {
        Some(Renewal::Reopened)
    } else if before.want != Want::Up && now.want == Want::Up {
        Some(Renewal::Up)
    } else {
        None
    }
}

/// What somebody asked for about a camp's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// It stands at least until then.
    pub until: Option<DateTime<Utc>>,
    /// No end but the longest life's.
    pub pinned: bool,
}

/// When a camp's time is up, and which rule says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// When.
    pub at: DateTime<Utc>,
    /// By which rule.
    pub by: By,
}

/// The rule that gives a camp its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `ttl` after the last renewal.
    Ttl,
    /// `ttl` after the last renewal or visit.
    Visits,
    /// Somebody extended it.
    Wish,
    /// Somebody pinned it: only its longest life ends it.
    Pin,
    /// Its longest life, which nothing extends.
    MaxTtl,
}

impl By {
    /// As a sentence for the decision's trace. It holds no time: that stands beside it, and changes with each renewal.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Ttl => "its time is not up",
            Self::Visits => "its time is not up: it counts from the last push, command or visit",
            Self::Wish => "its time is not up: somebody extended it",
            Self::Pin => "its time is not up: somebody pinned it, and only lifetime.maxTtl ends it",
            Self::MaxTtl => {
                "its time is not up: lifetime.maxTtl bounds it, and nothing extends that"
            }
        }
    }

    /// Whether a push or a wish gives it more time.
    #[must_use]
    pub fn is_renewable(self) -> bool {
        matches!(self, Self::Ttl | Self::Visits | Self::Wish)
    }
}

/// When the time is up: `ttl` after the last renewal, or later when somebody wished so, and never later than `max_ttl`
/// after the camp was made.
#[must_use]
pub fn end(
    lifetime: Lifetime,
    wish: Wish,
    renewed_at: DateTime<Utc>,
    camp_since: Option<DateTime<Utc>>,
) -> End {
    let by_ttl = after(renewed_at, lifetime.ttl);
    let asked = match wish.until {
        Some(until) if until > by_ttl => End { at: until, by: By::Wish },
        _ => End { at: by_ttl, by: By::Ttl },
    };
    let Some(longest) = camp_since.map(|since| after(since, lifetime.max_ttl)) else {
        return asked;
    };
    if wish.pinned {
        End { at: longest, by: By::Pin }
    } else if asked.at >= longest {
        End { at: longest, by: By::MaxTtl }
    } else {
        asked
    }
}

/// Steps in which visits count, so that a preview in use is told of once an hour and not with each visit.
const LONGEST_STEP: std::time::Duration = std::time::Duration::from_secs(3600);

/// From when a lifetime counts where visits count: from the last one, rounded up to a tenth of `ttl`, or to an hour where
/// that is less.
#[must_use]
pub fn visited(
    renewed_at: DateTime<Utc>,
    visit: Option<DateTime<Utc>>,
    ttl: std::time::Duration,
) -> DateTime<Utc> {
    let Some(visit) = visit.filter(|visit| *visit > renewed_at) else { return renewed_at };
    let step = (ttl / 10).min(LONGEST_STEP).as_secs().max(1);
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    let seconds = (visit - renewed_at).num_milliseconds().saturating_add(999) / 1000;
    let steps = seconds.saturating_add(step - 1) / step;
    let rounded = Duration::try_seconds(steps.saturating_mul(step));
    rounded.and_then(|span| renewed_at.checked_add_signed(span)).unwrap_or(visit)
}

/// When people are warned of the end: `warnBefore` before it, but never in the first half of a life.
#[must_use]
pub fn warn_at(lifetime: Lifetime, end: End) -> DateTime<Utc> {
    let span = lifetime.warn_before.min(lifetime.ttl / 2).min(lifetime.max_ttl / 2);
    Duration::from_std(span).ok().and_then(|span| end.at.checked_sub_signed(span)).unwrap_or(end.at)
}

fn after(from: DateTime<Utc>, span: std::time::Duration) -> DateTime<Utc> {
    // A policy's spans are at most ten years; the fall-back is never reached by a time of this century.
    Duration::from_std(span)
        .ok()
        .and_then(|span| from.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(revision: &str, state: State, want: Want) -> Seen {
        Seen { revision: revision.into(), state, want }
    }

    #[test]
    fn only_a_push_a_reopening_or_up_renews() {
        use State::{Closed, Open};
        let before = seen("a", Open, Want::Auto);
        assert_eq!(renewal(None, &before), Some(Renewal::First));
        for (before, now, expected) in [
            (seen("a", Open, Want::Auto), seen("a", Open, Want::Auto), None),
            (seen("a", Open, Want::Auto), seen("b", Open, Want::Auto), Some(Renewal::Push)),
            (seen("a", Closed, Want::Auto), seen("a", Open, Want::Auto), Some(Renewal::Reopened)),
            (seen("a", Open, Want::Auto), seen("a", Closed, Want::Auto), None),
            (seen("a", Open, Want::Auto), seen("a", Open, Want::Up), Some(Renewal::Up)),
            (seen("a", Open, Want::Up), seen("a", Open, Want::Up), None),
            (seen("a", Open, Want::Down), seen("a", Open, Want::Auto), None),
        ] {
            assert_eq!(renewal(Some(&before), &now), expected, "{before:?} {now:?}");
        }
    }

    fn hours(h: u64) -> std::time::Duration {
        std::time::Duration::from_secs(h * 3600)
    }

    fn at(h: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::hours(h)
    }

    fn lifetime() -> Lifetime {
        Lifetime { ttl: hours(10), max_ttl: hours(24), warn_before: hours(2) }
    }

    #[test]
    fn the_longest_life_bounds_every_renewal_and_every_wish() {
        let until = |h| Wish { until: Some(at(h)), pinned: false };
        let pinned = Wish { until: None, pinned: true };
        for (wish, renewed, since, expected) in [
            (Wish::default(), 0, None, End { at: at(10), by: By::Ttl }),
            (Wish::default(), 5, Some(0), End { at: at(15), by: By::Ttl }),
            (Wish::default(), 20, Some(0), End { at: at(24), by: By::MaxTtl }),
            (until(5), 0, Some(0), End { at: at(10), by: By::Ttl }),
            (until(15), 0, Some(0), End { at: at(15), by: By::Wish }),
            (until(99), 0, Some(0), End { at: at(24), by: By::MaxTtl }),
            (pinned, 0, Some(0), End { at: at(24), by: By::Pin }),
        ] {
            assert_eq!(end(lifetime(), wish, at(renewed), since.map(at)), expected, "{wish:?}");
        }
    }

    #[test]
    fn people_are_warned_before_the_end_and_never_from_the_beginning_on() {
        let warned = |lifetime| warn_at(lifetime, End { at: at(10), by: By::Ttl });
        assert_eq!(warned(lifetime()), at(8));
        assert_eq!(warned(Lifetime { warn_before: hours(100), ..lifetime() }), at(5));
    }

    #[test]
    fn visits_count_in_steps_and_none_is_lost() {
        let minutes = |m: i64| DateTime::UNIX_EPOCH + Duration::minutes(m);
        for (visit, ttl, expected) in [
            (None, 10, 0),
            (Some(-5), 10, 0),
            (Some(0), 10, 0),
            (Some(1), 10, 60),
            (Some(60), 10, 60),
            (Some(61), 10, 120),
            (Some(61), 100, 120),
            (Some(13), 1, 18),
        ] {
            let counts = visited(at(0), visit.map(minutes), hours(ttl));
            assert_eq!(counts, minutes(expected), "{visit:?} of {ttl}h");
        }
    }

    proptest! {
        #[test]
        fn a_visit_gives_its_time_and_a_tenth_at_most(visit in 0_i64..10_000_000, minutes in 1_u64..100_000) {
            let ttl = std::time::Duration::from_secs(minutes * 60);
            let visit = DateTime::UNIX_EPOCH + Duration::seconds(visit);
            let counts = visited(at(0), Some(visit), ttl);
            let more = (counts - visit).to_std().expect("never less");
            prop_assert!(more <= (ttl / 10).max(std::time::Duration::from_secs(1)) && more <= LONGEST_STEP);
        }

        #[test]
        fn no_wish_goes_beyond_the_longest_life_and_none_shortens(
            until in proptest::option::of(0_i64..200), pinned: bool, renewed in 0_i64..24,
        ) {
            let wish = Wish { until: until.map(at), pinned };
            let asked = end(lifetime(), wish, at(renewed), Some(at(0))).at;
            let plain = end(lifetime(), Wish::default(), at(renewed), Some(at(0))).at;
            prop_assert!(asked >= plain && asked <= at(24));
        }
    }
}
