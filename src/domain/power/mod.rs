//! PURE · whether a camp sleeps, and what sleeping does to a bundle.
//!
//! A sleeping camp keeps its namespace, its addresses and its data, and runs nothing. Whether it sleeps follows from what
//! somebody asked for and from the Repository's schedule; what that means is a [`transform`] of its bundle.

mod schedule;
mod transform;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

pub use schedule::{InvalidSchedule, Schedule};
pub(crate) use transform::lead_to_gate;
pub use transform::{ASLEEP_ANNOTATION, GATE, holds, least_replicas, transform};

/// What somebody asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// As the rules say.
    #[default]
    Auto,
    /// It does not sleep, up to the next beginning of a time to sleep.
    Awake,
    /// It sleeps until somebody wakes it.
    Asleep,
}

/// How a camp is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Everything of its bundle runs.
    #[default]
    Awake,
    /// Nothing of it does.
    Asleep,
}

/// How long a camp may rest before it sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// So long.
    pub after: Duration,
    /// The last time that somebody did something with it: a visit, a push, a command, a wake.
    pub used_at: DateTime<Utc>,
    /// Requests of any kind count in place of visits.
    pub by_requests: bool,
}

impl Idle {
    /// When it sleeps, if nobody does anything until then.
    #[must_use]
    pub fn ends_at(self) -> DateTime<Utc> {
        let after = TimeDelta::from_std(self.after).unwrap_or(TimeDelta::MAX);
        self.used_at.checked_add_signed(after).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// Everything the rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What somebody asked for …
    pub wish: Wish,
    /// … and since when.
    pub asked_at: DateTime<Utc>,
    /// The camp is being made, or something woke it since somebody asked.
    pub woken: bool,
    /// When the camp was made.
    pub made_at: Option<DateTime<Utc>>,
    /// The last thing that woke it: a push where the Repository says so, a reopening, `up`.
    pub woken_at: Option<DateTime<Utc>>,
    /// When camps sleep by the Repository's rules.
    pub schedule: Option<&'a Schedule>,
    /// After how long a rest it sleeps by them.
    pub idle: Option<Idle>,
    /// Something is being applied to it: it does not rest.
    pub busy: bool,
    /// When it was put to sleep so that others have room.
    pub made_room: Option<DateTime<Utc>>,
    /// A commit has run in this camp: there is something to put to sleep.
    pub has_run: bool,
}

/// What the rules say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How the camp is to be.
    pub state: State,
    /// The wish has lost its object, and is to be set back.
    pub spent: bool,
    /// When the answer may be another.
    pub look_at: Option<DateTime<Utc>>,
    /// Why, as a sentence without a time.
    pub answer: String,
}

/// Decides.
#[must_use]
pub fn decide(situation: &Situation<'_>, now: DateTime<Utc>) -> Verdict {
    let Situation {
        wish,
        asked_at,
        woken,
        made_at,
        woken_at,
        schedule,
        idle,
        busy,
        made_room,
        has_run,
    } = *situation;
    let boundary = schedule.and_then(|schedule| schedule.next_boundary(now));
    let rest_ends = idle.map(Idle::ends_at).filter(|at| *at > now);
    let look_at = boundary.into_iter().chain(rest_ends).min();
    let rested = !busy && idle.is_some_and(|idle| idle.ends_at() <= now);
    let asked = (wish == Wish::Awake).then_some(asked_at);
    let last_wake = made_at.max(woken_at).max(asked);
    let makes_room = made_room.is_some_and(|at| last_wake.is_none_or(|woken| woken <= at));
    let verdict = |state, spent, answer: String| Verdict { state, spent, look_at, answer };
    let spent = match wish {
        Wish::Auto => false,
        // What somebody asked of an earlier camp is nothing to this one.
        Wish::Asleep => woken,
        Wish::Awake => {
            let begun = schedule.and_then(|schedule| schedule.last_begin(now));
            makes_room || rested || begun.is_some_and(|begun| begun > asked_at)
        }
    };
    if !has_run {
        return verdict(State::Awake, spent, "no commit has run here yet".into());
    }
    match wish {
        Wish::Asleep if !spent => {
            return verdict(
                State::Asleep,
                false,
                "somebody put it to sleep, until somebody wakes it".into(),
            );
        }
        _ if makes_room => {
            let answer = "it sleeps so that others have room (limits.whenFull: SleepOldest), until somebody wakes it";
            return verdict(State::Asleep, spent, answer.into());
        }
        Wish::Awake if !spent => {
            let until = match (schedule.is_some(), idle.is_some()) {
                (true, true) => ", until the next time to sleep begins or nobody uses it any more",
                (true, false) => ", until the next time to sleep begins",
                (false, true) => ", until nobody uses it any more (lifetime.sleepAfter)",
                (false, false) => "",
            };
            return verdict(State::Awake, false, format!("somebody keeps it awake{until}"));
        }
        _ => {}
    }
    let by_schedule = by_schedule(schedule, made_at.max(woken_at), now);
    match (by_schedule, idle) {
        ((State::Awake, _), Some(idle)) if rested => {
            let nobody = if idle.by_requests { "sent a request" } else { "visited it" };
            let answer = format!(
                "nobody {nobody}, pushed or gave a command for {} (lifetime.sleepAfter)",
                in_words(idle.after)
            );
            verdict(State::Asleep, spent, answer)
        }
        ((state, answer), _) => verdict(state, spent, answer),
    }
}

/// What the times to sleep say.
fn by_schedule(
    schedule: Option<&Schedule>,
    woken: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> (State, String) {
    let Some(schedule) = schedule else {
        return (State::Awake, "nobody put it to sleep".into());
    };
    match schedule.asleep_since(now) {
        Some((begun, window)) if woken.is_none_or(|woken| woken < begun) => (
            State::Asleep,
            format!("it sleeps by lifetime.schedule: {window}, {}", schedule.time_zone()),
        ),
        Some(_) => {
            (State::Awake, "it was woken since this time to sleep began (lifetime.schedule)".into())
        }
        None => (State::Awake, "it is no time to sleep (lifetime.schedule)".into()),
    }
}

/// `90m`, `12h`, `3d`, as a policy writes it.
fn in_words(span: Duration) -> String {
    match span.as_secs() / 60 {
        minutes if minutes % 1440 == 0 => format!("{}d", minutes / 1440),
        minutes if minutes % 60 == 0 => format!("{}h", minutes / 60),
        minutes => format!("{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-{text}:00Z").parse().expect("a time")
    }

    #[test]
    fn a_wish_holds_until_something_newer_says_otherwise() {
        let nights = Schedule::parse("UTC", &["22:00-06:00".to_owned()]).expect("a schedule");
        let plain = Situation {
            wish: Wish::Auto,
            asked_at: at("02T09:00"),
            woken: false,
            made_at: None,
            woken_at: None,
            schedule: None,
            idle: None,
            busy: false,
            made_room: None,
            has_run: true,
        };
        let scheduled = Situation { schedule: Some(&nights), ..plain };
        let (awake, asleep) = (State::Awake, State::Asleep);
        for (name, situation, now, expected, spent) in [
            ("by nature", plain, "02T23:00", awake, false),
            ("put to sleep", Situation { wish: Wish::Asleep, ..plain }, "02T10:00", asleep, false),
            (
                "woken after it was put to sleep",
                Situation { wish: Wish::Asleep, woken: true, ..plain },
                "02T10:00",
                awake,
                true,
            ),
            (
                "put to sleep before it was made anew",
                Situation { wish: Wish::Asleep, woken: true, has_run: false, ..plain },
                "02T10:00",
                awake,
                true,
            ),
            (
                "there is nothing to put to sleep",
                Situation { wish: Wish::Asleep, has_run: false, ..plain },
                "02T10:00",
                awake,
                false,
            ),
            ("by day", scheduled, "02T21:59", awake, false),
            ("by night", scheduled, "02T22:00", asleep, false),
            ("in the morning", scheduled, "03T06:00", awake, false),
            (
                "a push at night",
                Situation { woken_at: Some(at("02T23:00")), ..scheduled },
                "02T23:30",
                awake,
                false,
            ),
            (
                "the night after it",
                Situation { woken_at: Some(at("02T23:00")), ..scheduled },
                "03T22:30",
                asleep,
                false,
            ),
            (
                "kept awake for a night",
                Situation { wish: Wish::Awake, asked_at: at("02T23:00"), ..scheduled },
                "03T05:00",
                awake,
                false,
            ),
            (
                "and not for the next",
                Situation { wish: Wish::Awake, asked_at: at("02T23:00"), ..scheduled },
                "03T22:00",
                asleep,
                true,
            ),
        ] {
            let verdict = decide(&situation, at(now));
            assert_eq!((verdict.state, verdict.spent), (expected, spent), "{name}: {verdict:?}");
        }
        assert_eq!(decide(&scheduled, at("02T21:59")).look_at, Some(at("02T22:00")));
        assert_eq!(decide(&scheduled, at("02T22:00")).look_at, Some(at("03T06:00")));
    }

    /// At rest since 10:00, with half an hour to rest.
    fn resting() -> Situation<'static> {
        let idle =
            Idle { after: Duration::from_secs(1800), used_at: at("02T10:00"), by_requests: false };
        Situation {
            wish: Wish::Auto,
            asked_at: at("02T09:00"),
            woken: false,
            made_at: Some(at("02T09:00")),
            woken_at: None,
            schedule: None,
            idle: Some(idle),
            busy: false,
            made_room: None,
            has_run: true,
        }
    }

    #[test]
    fn who_rests_long_enough_sleeps_and_who_is_kept_awake_only_until_then() {
        let idle =
            Idle { after: Duration::from_secs(1800), used_at: at("02T10:00"), by_requests: false };
        let (awake, asleep) = (State::Awake, State::Asleep);
        let resting = resting();
        let kept = Situation { wish: Wish::Awake, ..resting };
        let nights = Schedule::parse("UTC", &["22:00-06:00".to_owned()]).expect("a schedule");
        for (name, situation, now, expected, spent) in [
            ("not yet", resting, "02T10:29", awake, false),
            ("now", resting, "02T10:30", asleep, false),
            (
                "while something is applied",
                Situation { busy: true, ..resting },
                "02T12:00",
                awake,
                false,
            ),
            (
                "before anything ran",
                Situation { has_run: false, ..resting },
                "02T12:00",
                awake,
                false,
            ),
            ("kept awake while it is in use", kept, "02T10:29", awake, false),
            ("and no longer", kept, "02T10:30", asleep, true),
            (
                "a visitor at night keeps it awake for as long as it is used",
                Situation {
                    wish: Wish::Awake,
                    asked_at: at("02T23:00"),
                    schedule: Some(&nights),
                    idle: Some(Idle { used_at: at("02T23:00"), ..idle }),
                    ..resting
                },
                "02T23:29",
                awake,
                false,
            ),
            (
                "then it is night again",
                Situation {
                    wish: Wish::Awake,
                    asked_at: at("02T23:00"),
                    schedule: Some(&nights),
                    idle: Some(Idle { used_at: at("02T23:00"), ..idle }),
                    ..resting
                },
                "02T23:30",
                asleep,
                true,
            ),
        ] {
            let verdict = decide(&situation, at(now));
            assert_eq!((verdict.state, verdict.spent), (expected, spent), "{name}: {verdict:?}");
        }
        assert_eq!(decide(&resting, at("02T10:10")).look_at, Some(at("02T10:30")));
        assert_eq!(
            decide(&resting, at("02T10:30")).answer,
            "nobody visited it, pushed or gave a command for 30m (lifetime.sleepAfter)"
        );
    }

    #[test]
    fn who_made_room_sleeps_until_something_wakes_it() {
        let plain = Situation { idle: None, made_room: Some(at("02T10:00")), ..resting() };
        let (awake, asleep) = (State::Awake, State::Asleep);
        let woken = |time: &str| Situation { woken_at: Some(at(time)), ..plain };
        let kept = |time: &str| Situation { wish: Wish::Awake, asked_at: at(time), ..plain };
        for (name, situation, expected, spent) in [
            ("it sleeps", plain, asleep, false),
            ("a push before", woken("02T09:59"), asleep, false),
            ("a push after", woken("02T10:01"), awake, false),
            ("woken before", kept("02T09:59"), asleep, true),
            ("woken after", kept("02T10:01"), awake, false),
        ] {
            let verdict = decide(&situation, at("02T11:00"));
            assert_eq!((verdict.state, verdict.spent), (expected, spent), "{name}: {verdict:?}");
        }
    }
}
