//! PURE · whether a camp sleeps, and what sleeping does to a bundle.
//!
//! A sleeping camp keeps its namespace, its addresses and its data, and runs nothing. Whether it sleeps follows from what
//! somebody asked for and from the Repository's schedule; what that means is a [`transform`] of its bundle.

mod schedule;
mod transform;

use chrono::{DateTime, Utc};

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
    let Situation { wish, asked_at, woken, made_at, woken_at, schedule, has_run } = *situation;
    let look_at = schedule.and_then(|schedule| schedule.next_boundary(now));
    let verdict = |state, spent, answer: String| Verdict { state, spent, look_at, answer };
    let spent = match wish {
        Wish::Auto => false,
        // What somebody asked of an earlier camp is nothing to this one.
        Wish::Asleep => woken,
        Wish::Awake => schedule
            .and_then(|schedule| schedule.last_begin(now))
            .is_some_and(|begun| begun > asked_at),
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
        Wish::Awake if !spent => {
            let until =
                if schedule.is_some() { ", until the next time to sleep begins" } else { "" };
            return verdict(State::Awake, false, format!("somebody keeps it awake{until}"));
        }
        _ => {}
    }
    let Some(schedule) = schedule else {
        return verdict(State::Awake, spent, "nobody put it to sleep".into());
    };
    match schedule.asleep_since(now) {
        Some((begun, window)) if made_at.max(woken_at).is_none_or(|woken| woken < begun) => {
            verdict(
                State::Asleep,
                spent,
                format!("it sleeps by lifetime.schedule: {window}, {}", schedule.time_zone()),
            )
        }
        Some(_) => verdict(
            State::Awake,
            spent,
            "it was woken since this time to sleep began (lifetime.schedule)".into(),
        ),
        None => verdict(State::Awake, spent, "it is no time to sleep (lifetime.schedule)".into()),
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
}
