//! PURE · who may give which command: what somebody is to the repository and to the pull request in, yes or no out.

use std::collections::BTreeMap;
use std::fmt;

use super::verb::Verb;

/// What somebody may do in the repository, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    None,
    /// Read: on a public repository, everybody.
    Read,
    /// Sort issues and pull requests.
    Triage,
    /// Push.
    Write,
    /// Manage without the dangerous parts.
    Maintain,
    /// Everything.
    Admin,
}

impl Level {
    /// In one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }
}

/// Who may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Everybody with this level or more.
    Level(Level),
    /// The author of the pull request, and everybody who may write.
    Author,
    /// Members of a team of the organisation, and nobody else.
    Team(String),
    /// Nobody.
    Nobody,
}

/// A value that says nothing about who may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write read, triage, author, write, maintain, admin, nobody or team:NAME")]
pub struct InvalidRule;

impl Rule {
    /// As the Repository writes it.
    pub fn parse(text: &str) -> Result<Self, InvalidRule> {
        Ok(match text {
            "read" => Self::Level(Level::Read),
            "triage" => Self::Level(Level::Triage),
            "author" => Self::Author,
            "write" => Self::Level(Level::Write),
            "maintain" => Self::Level(Level::Maintain),
            "admin" => Self::Level(Level::Admin),
            "nobody" => Self::Nobody,
            other => {
                let slug = other.strip_prefix("team:").ok_or(InvalidRule)?;
                let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
                if slug.is_empty() || slug.len() > 100 || !slug.chars().all(fine) {
                    return Err(InvalidRule);
                }
                Self::Team(slug.to_owned())
            }
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(level) => f.write_str(level.name()),
            Self::Author => f.write_str("write, or author of the pull request"),
            Self::Team(team) => write!(f, "member of team {team}"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// Who may give which command in one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    other: BTreeMap<Verb, Rule>,
}

impl Rules {
    /// The defaults, with these in the place of some.
    #[must_use]
    pub fn with(other: BTreeMap<Verb, Rule>) -> Self {
        Self { other }
    }

    /// Who may give this one.
    #[must_use]
    pub fn of(&self, verb: Verb) -> Rule {
        self.other.get(&verb).cloned().unwrap_or_else(|| verb.rule())
    }
}

/// Somebody with an account at the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Login, as it was when the command was given.
    pub login: String,
    /// Numeric id: stays through a rename, and is never given to another.
    pub id: u64,
}

/// What somebody is at the moment of acting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// To the repository.
    pub level: Level,
    /// The author of the pull request.
    pub author: bool,
    /// A member of the team that the rule names; `false` without such a rule.
    pub member: bool,
}

/// Whether `rule` lets somebody act who is that.
#[must_use]
pub fn may(rule: &Rule, standing: Standing) -> bool {
    let Standing { level, author, member } = standing;
    match rule {
        Rule::Level(least) => *least != Level::None && level >= *least,
        // Somebody who can't even read any more is nobody's author.
        Rule::Author => level >= Level::Write || (author && level >= Level::Read),
        Rule::Team(_) => member && level >= Level::Read,
        Rule::Nobody => false,
    }
}
