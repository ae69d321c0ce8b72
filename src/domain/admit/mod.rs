//! PURE · stage *admit*: what is awaited and what is known of it → go, wait or give up. No clock: `now` is an argument.

pub mod checks;
pub mod images;

use chrono::{DateTime, Utc};

use super::status::bounded;

/// Things that a sentence names; the rest is counted.
const NAMED: usize = 3;

/// What the platform team says about waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Names of checks that must have passed.
    pub checks: Vec<String>,
    /// What becomes of images.
    pub images: Images,
    /// Hosts of token services that may get a registry's credentials.
    pub token_hosts: Vec<String>,
    /// After so long it is given up.
    pub timeout: std::time::Duration,
}

/// What becomes of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Images {
    /// They are not looked for.
    #[default]
    Never,
    /// Each must be there.
    Required,
    /// Each must be there, and the digest that was found is applied.
    Pin,
}

/// Something that is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// What: `check build`, `image ghcr.io/acme/web:1`.
    pub what: String,
    /// What is known of it.
    pub known: Known,
}

/// What is known of something that is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It is there.
    There,
    /// It is not there yet, as a few words.
    NotYet(String),
    /// It will not come by waiting, as a few words.
    Failed(String),
}

/// Whether a commit may be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Everything is there.
    Go,
    /// Not yet.
    Wait {
        /// What is not there, with what is known of it.
        what: Vec<(String, String)>,
    },
    /// It is not waited for any more.
    GiveUp {
        /// One word for the condition.
        word: &'static str,
        /// Why, as a sentence.
        reason: String,
        /// What is not there, with what is known of it.
        what: Vec<(String, String)>,
    },
}

/// Decides. What failed ends the wait at once; what is late ends it after `rules.timeout`; exactly then is late.
#[must_use]
pub fn admit(
    rules: &Rules,
    awaited: &[Awaited],
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Admission {
    let pair = |one: &Awaited| match &one.known {
        Known::There => None,
        Known::NotYet(state) | Known::Failed(state) => Some((one.what.clone(), state.clone())),
    };
    let what: Vec<(String, String)> = awaited.iter().filter_map(pair).collect();
    let failed: Vec<(String, String)> = awaited
        .iter()
        .filter(|one| matches!(one.known, Known::Failed(_)))
        .filter_map(pair)
        .collect();
    if !failed.is_empty() {
        return Admission::GiveUp { word: "AwaitFailed", reason: list(&failed), what };
    }
    if what.is_empty() {
        return Admission::Go;
    }
    let late = chrono::Duration::from_std(rules.timeout)
        .ok()
        .and_then(|timeout| since.checked_add_signed(timeout))
        .is_some_and(|end| now >= end);
    if late {
        let reason = format!("not there after {}: {}", in_words(rules.timeout), list(&what));
        return Admission::GiveUp { word: "AwaitTimedOut", reason, what };
    }
    Admission::Wait { what }
}

/// The first few with what is known of them, and how many more there are.
#[must_use]
pub fn list(what: &[(String, String)]) -> String {
    let named = what.iter().take(NAMED).map(|(what, state)| format!("{what} ({state})"));
    let text = named.collect::<Vec<_>>().join(", ");
    match what.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// `90m`, `2h`, `1d`, as the policy writes it.
fn in_words(time: std::time::Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds => format!("{}m", seconds / 60),
    }
}

/// Text from outside as a few words: one line, bounded.
pub(super) fn words(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    bounded(line.trim(), 200)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::Duration::minutes(minutes)
    }

    fn rules() -> Rules {
        Rules { timeout: Duration::from_secs(1800), ..Rules::default() }
    }

    fn one(what: &str, known: Known) -> Awaited {
        Awaited { what: what.into(), known }
    }

    #[test]
    fn it_goes_when_everything_is_there_and_waits_for_the_rest() {
        assert_eq!(admit(&rules(), &[], at(0), at(99)), Admission::Go);
        let there = one("check a", Known::There);
        assert_eq!(admit(&rules(), std::slice::from_ref(&there), at(0), at(99)), Admission::Go);
        let late = one("check b", Known::NotYet("not there".into()));
        let what = vec![("check b".to_owned(), "not there".to_owned())];
        let both = [there, late];
        assert_eq!(admit(&rules(), &both, at(0), at(29)), Admission::Wait { what: what.clone() });
        let reason = "not there after 30m: check b (not there)".to_owned();
        let word = "AwaitTimedOut";
        assert_eq!(admit(&rules(), &both, at(0), at(30)), Admission::GiveUp { word, reason, what });
    }

    #[test]
    fn what_failed_ends_the_wait_at_once_and_is_named_alone() {
        let all = [
            one("check a", Known::NotYet("runs".into())),
            one("check b", Known::Failed("failure".into())),
        ];
        let Admission::GiveUp { word, reason, what } = admit(&rules(), &all, at(0), at(0)) else {
            panic!("it goes on");
        };
        assert_eq!((word, reason.as_str(), what.len()), ("AwaitFailed", "check b (failure)", 2));
    }

    #[test]
    fn a_long_list_is_cut() {
        let all: Vec<_> = (0..5).map(|n| (format!("check {n}"), "runs".to_owned())).collect();
        assert_eq!(list(&all), "check 0 (runs), check 1 (runs), check 2 (runs) and 2 more");
    }
}
