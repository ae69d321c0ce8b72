//! PURE · the verbs, each with what it does and what follows it. Help and documentation are made of this file.

use super::permission::{Level, Rule};

/// What somebody may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Make the preview, or wake it.
    Up,
    /// Take it down.
    Down,
    /// Render and apply again.
    Redeploy,
    /// Let it live longer.
    Extend,
    /// Let it live as long as it may.
    Pin,
    /// No longer so.
    Unpin,
    /// Scale it to zero.
    Sleep,
    /// And back.
    Wake,
    /// Let an untrusted commit run.
    Approve,
    /// Back to a commit that ran before.
    Rollback,
    /// Give parameters values.
    Set,
    /// Take them back.
    Unset,
    /// How it does.
    Status,
    /// The rules that were asked.
    Why,
    /// The end of a log.
    Logs,
    /// What the running commit changed.
    Diff,
    /// What can be asked for.
    Help,
}

impl Verb {
    /// In the order of the help.
    pub const ALL: [Self; 17] = [
        Self::Up,
        Self::Down,
        Self::Redeploy,
        Self::Extend,
        Self::Pin,
        Self::Unpin,
        Self::Sleep,
        Self::Wake,
        Self::Approve,
        Self::Rollback,
        Self::Set,
        Self::Unset,
        Self::Status,
        Self::Why,
        Self::Logs,
        Self::Diff,
        Self::Help,
    ];

    /// As it is typed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Redeploy => "redeploy",
            Self::Extend => "extend",
            Self::Pin => "pin",
            Self::Unpin => "unpin",
            Self::Sleep => "sleep",
            Self::Wake => "wake",
            Self::Approve => "approve",
            Self::Rollback => "rollback",
            Self::Set => "set",
            Self::Unset => "unset",
            Self::Status => "status",
            Self::Why => "why",
            Self::Logs => "logs",
            Self::Diff => "diff",
            Self::Help => "help",
        }
    }

    /// What may follow it.
    #[must_use]
    pub fn usage(self) -> &'static str {
        match self {
            Self::Up => "[name=value …]",
            Self::Redeploy => "[--restart]",
            Self::Extend => "[24h]",
            Self::Approve | Self::Rollback => "[commit]",
            Self::Set => "name=value …",
            Self::Unset => "name …",
            Self::Logs => "[app] [--tail n]",
            Self::Down
            | Self::Pin
            | Self::Unpin
            | Self::Sleep
            | Self::Wake
            | Self::Status
            | Self::Why
            | Self::Diff
            | Self::Help => "",
        }
    }

    /// What it does, as a sentence.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Up => "Make the preview, or wake it; with parameters.",
            Self::Down => "Take the preview down. It stays down until `up`.",
            Self::Redeploy => {
                "Render and apply the same commit again; with `--restart` its pods start anew."
            }
            Self::Extend => "Let the preview live longer, as long as `lifetime.maxTtl` allows.",
            Self::Pin => "Let the preview live as long as `lifetime.maxTtl` allows.",
            Self::Unpin => "The usual lifetime again.",
            Self::Sleep => "Scale the preview to zero.",
            Self::Wake => "Start a sleeping preview.",
            Self::Approve => {
                "Let a commit of a fork or a bot run: this commit only, until the next push."
            }
            Self::Rollback => "Go back to a commit that ran before, until the next push.",
            Self::Set => "Give parameters values.",
            Self::Unset => "Give parameters back their defaults.",
            Self::Status => "Tell how the preview does.",
            Self::Why => "Tell which rules were asked, and what they answered.",
            Self::Logs => "Show the end of the logs.",
            Self::Diff => "Tell what the running commit changed.",
            Self::Help => "Show this.",
        }
    }

    /// It changes nothing: it is answered with words.
    #[must_use]
    pub fn tells(self) -> bool {
        matches!(self, Self::Status | Self::Why | Self::Logs | Self::Diff | Self::Help)
    }

    /// It is carried out although the pull request is closed.
    #[must_use]
    pub fn works_when_closed(self) -> bool {
        matches!(self, Self::Down | Self::Status | Self::Why)
    }

    /// Who may, when the Repository does not say otherwise.
    #[must_use]
    pub fn rule(self) -> Rule {
        match self {
            Self::Up | Self::Rollback | Self::Set | Self::Unset | Self::Logs => {
                Rule::Level(Level::Write)
            }
            Self::Down | Self::Redeploy | Self::Extend | Self::Sleep | Self::Wake => Rule::Author,
            Self::Pin | Self::Unpin | Self::Approve => Rule::Level(Level::Maintain),
            Self::Status | Self::Why | Self::Diff | Self::Help => Rule::Level(Level::Read),
        }
    }

    /// The verb of that name, in whatever case.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name().eq_ignore_ascii_case(name))
    }

    /// The verb that was meant, when it is plain which.
    #[must_use]
    pub fn like(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        // Words that people use elsewhere for the same.
        let other = match name.as_str() {
            "deploy" | "start" | "create" | "run" => Some(Self::Up),
            "destroy" | "delete" | "stop" | "teardown" | "remove" => Some(Self::Down),
            "rebuild" | "retry" | "restart" | "rerun" | "refresh" => Some(Self::Redeploy),
            "allow" | "lgtm" | "ok" => Some(Self::Approve),
            "log" => Some(Self::Logs),
            "revert" => Some(Self::Rollback),
            _ => None,
        };
        let near = Self::ALL.into_iter().map(|verb| (distance(&name, verb.name()), verb));
        let near = near.filter(|(far, verb)| *far <= if verb.name().len() > 4 { 2 } else { 1 });
        other.or_else(|| near.min().map(|(_, verb)| verb))
    }
}

/// How many characters have to be put in, taken out, replaced or swapped with their neighbour. Long words are far away.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(16).collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
