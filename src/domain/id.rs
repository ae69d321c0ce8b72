//! PURE · names that come from outside, checked once and then carried as types.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with a name from outside. The text names the value, shortened, and the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a valid {what}: {rule}")]
pub struct InvalidId {
    /// What it should have been.
    pub what: &'static str,
    /// The first 80 characters of what came.
    pub value: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl InvalidId {
    fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        Self { what, value: value.chars().take(80).collect(), rule }
    }
}

/// A full commit hash: 40 lower-case hex digits. Never a branch name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision(String);

impl Revision {
    /// Checks the form; upper-case digits are lowered.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidId::new("commit hash", text, "40 hex digits"))
        }
    }

    /// All 40 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 7 digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..7]
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Revision {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::parse(&text)
    }
}

impl From<Revision> for String {
    fn from(revision: Revision) -> Self {
        revision.0
    }
}

/// Owner and name of a repository at the forge, lower-cased: GitHub does not tell them apart by case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoName {
    owner: String,
    name: String,
}

impl RepoName {
    /// Checks both parts: letters, digits, `-`, `_`, `.`; at most 39 and 100 characters; not `.` or `..`.
    pub fn parse(owner: &str, name: &str) -> Result<Self, InvalidId> {
        let fine = |part: &str, most: usize| {
            (1..=most).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !matches!(part, "." | "..")
        };
        if !fine(owner, 39) {
            return Err(InvalidId::new(
                "repository owner",
                owner,
                "letters, digits, -, _ and ., at most 39",
            ));
        }
        if !fine(name, 100) {
            return Err(InvalidId::new(
                "repository name",
                name,
                "letters, digits, -, _ and ., at most 100",
            ));
        }
        Ok(Self { owner: owner.to_ascii_lowercase(), name: name.to_ascii_lowercase() })
    }

    /// The owner, lower case.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The name, lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// Number of a pull request in its repository, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PrNumber(pub u64);

impl fmt::Display for PrNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_forty_hex_digits_and_nothing_else() {
        assert_eq!(
            Revision::parse(&"A".repeat(40)).map(|r| r.short().to_owned()),
            Ok("aaaaaaa".into())
        );
        for bad in ["", "main", &"a".repeat(39), &"a".repeat(41), &"g".repeat(40), "HEAD~1"] {
            assert!(Revision::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn repository_names_are_compared_without_case_and_cannot_leave_their_path() {
        assert_eq!(RepoName::parse("Acme", "Shop"), RepoName::parse("acme", "shop"));
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a?b", &"a".repeat(101)] {
            assert!(RepoName::parse("acme", bad).is_err(), "{bad}");
        }
    }
}
