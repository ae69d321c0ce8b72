//! PURE · when a camp's time is up, and what starts it anew.

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

/// When the time is up: `ttl` after the last renewal, and never later than `max_ttl` after the camp was made.
#[must_use]
pub fn expires_at(
    lifetime: Lifetime,
    renewed_at: DateTime<Utc>,
    camp_since: Option<DateTime<Utc>>,
) -> DateTime<Utc> {
    let after = |from: DateTime<Utc>, span: std::time::Duration| {
        // A policy's spans are at most ten years; the fall-back is never reached by a time of this century.
        Duration::from_std(span)
            .ok()
            .and_then(|span| from.checked_add_signed(span))
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    };
    let by_ttl = after(renewed_at, lifetime.ttl);
    camp_since.map_or(by_ttl, |since| by_ttl.min(after(since, lifetime.max_ttl)))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_longest_life_bounds_every_renewal() {
        let hours = |h: u64| std::time::Duration::from_secs(h * 3600);
        let lifetime = Lifetime { ttl: hours(10), max_ttl: hours(24) };
        let at = |h: i64| DateTime::UNIX_EPOCH + Duration::hours(h);
        assert_eq!(expires_at(lifetime, at(0), None), at(10));
        assert_eq!(expires_at(lifetime, at(5), Some(at(0))), at(15));
        assert_eq!(expires_at(lifetime, at(20), Some(at(0))), at(24));
    }
}
