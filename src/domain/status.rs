//! PURE · small rules of a status: conditions change their time only with their status, texts are cut to their bound.

use chrono::{DateTime, SubsecRound as _, Utc};

/// What a condition says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Name of the condition.
    pub name: &'static str,
    /// `Some(true)`, `Some(false)` or unknown.
    pub holds: Option<bool>,
    /// One CamelCase word.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Judgement {
    /// It holds.
    #[must_use]
    pub fn yes(name: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { name, holds: Some(true), reason, message: message.into() }
    }

    /// It does not.
    #[must_use]
    pub fn no(name: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { name, holds: Some(false), reason, message: message.into() }
    }

    /// Nobody knows yet.
    #[must_use]
    pub fn unknown(name: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { name, holds: None, reason, message: message.into() }
    }

    /// `True`, `False` or `Unknown`, as Kubernetes writes it.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self.holds {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// When a condition last changed: `before` while its status is the same, else `now`, in whole seconds.
#[must_use]
pub fn transition_time(
    before: Option<(&str, DateTime<Utc>)>,
    judgement: &Judgement,
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    match before {
        Some((status, since)) if status == judgement.status() => since,
        _ => now.trunc_subsecs(0),
    }
}

/// `text` with at most `most` characters and without control characters; what was cut ends in `…`.
#[must_use]
pub fn bounded(text: &str, most: usize) -> String {
    let clean = || text.chars().map(|c| if super::plain::is_odd(c) { ' ' } else { c });
    if clean().count() <= most {
        return clean().collect();
    }
    clean().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_is_the_same() {
        let then = DateTime::UNIX_EPOCH;
        let now = then + chrono::Duration::milliseconds(5_700);
        let judgement = Judgement::no("Ready", "Waiting", "x");
        assert_eq!(transition_time(Some(("False", then)), &judgement, now), then);
        assert_eq!(
            transition_time(Some(("True", then)), &judgement, now),
            then + chrono::Duration::seconds(5)
        );
        assert_eq!(transition_time(None, &judgement, now), then + chrono::Duration::seconds(5));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(bounded("äöü", 3), "äöü");
        assert_eq!(bounded("äöüß", 3), "äö…");
        assert_eq!(bounded("a\nb\u{7}c", 9), "a b c");
    }
}
