//! PURE · verb and words → a [`Command`] that can be carried out, or a sentence that says what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::verb::Verb;
use crate::domain::policy::parse_duration;

/// Lines of a log when nobody says how many.
pub const LOG_LINES: u32 = 40;
/// Lines of a log at most.
pub const MOST_LOG_LINES: u32 = 200;
/// What `extend` adds when nobody says.
const A_DAY: Duration = Duration::from_secs(24 * 3600);
/// A record's parameters.
const MOST_PARAMETERS: usize = 32;

/// What is to be done, with everything that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Make or wake.
    Up {
        /// Parameters to be set with it.
        parameters: BTreeMap<String, String>,
    },
    /// Take down.
    Down,
    /// Render and apply again.
    Redeploy {
        /// Start the pods anew.
        restart: bool,
    },
    /// Longer.
    Extend {
        /// So much.
        by: Duration,
    },
    /// As long as it may.
    Pin,
    /// No longer so.
    Unpin,
    /// Scale to zero.
    Sleep,
    /// And back.
    Wake,
    /// Let it run.
    Approve {
        /// The beginning of the commit that was looked at.
        commit: Option<String>,
    },
    /// Go back.
    Rollback {
        /// The beginning of the commit.
        commit: Option<String>,
    },
    /// Set parameters.
    Set {
        /// Names and values.
        parameters: BTreeMap<String, String>,
    },
    /// Take them back.
    Unset {
        /// Their names.
        names: BTreeSet<String>,
    },
    /// How it does.
    Status,
    /// Which rules.
    Why,
    /// Its log.
    Logs {
        /// Of one app.
        app: Option<String>,
        /// So many lines.
        tail: u32,
    },
    /// What changed.
    Diff,
    /// What there is.
    Help,
}

impl Command {
    /// Its verb.
    #[must_use]
    pub fn verb(&self) -> Verb {
        match self {
            Self::Up { .. } => Verb::Up,
            Self::Down => Verb::Down,
            Self::Redeploy { .. } => Verb::Redeploy,
            Self::Extend { .. } => Verb::Extend,
            Self::Pin => Verb::Pin,
            Self::Unpin => Verb::Unpin,
            Self::Sleep => Verb::Sleep,
            Self::Wake => Verb::Wake,
            Self::Approve { .. } => Verb::Approve,
            Self::Rollback { .. } => Verb::Rollback,
            Self::Set { .. } => Verb::Set,
            Self::Unset { .. } => Verb::Unset,
            Self::Status => Verb::Status,
            Self::Why => Verb::Why,
            Self::Logs { .. } => Verb::Logs,
            Self::Diff => Verb::Diff,
            Self::Help => Verb::Help,
        }
    }
}

/// Reads verb and words. The error is a sentence for people, with their words quoted as code.
pub fn parse(verb: &str, words: &[String]) -> Result<Command, String> {
    let Some(known) = Verb::of(verb) else {
        let verb = super::code(&cut(verb));
        return Err(match Verb::like(&verb.trim_matches('`').to_ascii_lowercase()) {
            Some(like) => format!("there is no command {verb}; did you mean `{}`?", like.name()),
            None => format!("there is no command {verb}; `help` lists what there is"),
        });
    };
    let command = match known {
        Verb::Up => Command::Up { parameters: parameters(words)? },
        Verb::Set if words.is_empty() => return Err("write `set name=value`".into()),
        Verb::Set => Command::Set { parameters: parameters(words)? },
        Verb::Unset => Command::Unset { names: names(words)? },
        Verb::Redeploy => match words {
            [] => Command::Redeploy { restart: false },
            [flag] if flag == "--restart" => Command::Redeploy { restart: true },
            _ => return Err("`redeploy` takes `--restart` or nothing".into()),
        },
        Verb::Extend => match words {
            [] => Command::Extend { by: A_DAY },
            [time] => Command::Extend { by: time_of(time)? },
            _ => return Err("`extend` takes one time, as `24h`".into()),
        },
        Verb::Approve => Command::Approve { commit: commit(words, 7)? },
        Verb::Rollback => Command::Rollback { commit: commit(words, 4)? },
        Verb::Logs => logs(words)?,
        Verb::Down
        | Verb::Pin
        | Verb::Unpin
        | Verb::Sleep
        | Verb::Wake
        | Verb::Status
        | Verb::Why
        | Verb::Diff => {
            if !words.is_empty() {
                return Err(format!("`{}` takes nothing after it", known.name()));
            }
            match known {
                Verb::Down => Command::Down,
                Verb::Pin => Command::Pin,
                Verb::Unpin => Command::Unpin,
                Verb::Sleep => Command::Sleep,
                Verb::Wake => Command::Wake,
                Verb::Status => Command::Status,
                Verb::Why => Command::Why,
                _ => Command::Diff,
            }
        }
        // `help logs` is help.
        Verb::Help => Command::Help,
    };
    Ok(command)
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=63).contains(&name.len()) && name.chars().all(fine)
}

fn parameters(words: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            return Err(format!("{} is no `name=value`", super::code(&cut(word))));
        };
        if !is_name(name) {
            return Err(format!("{} is no name of a parameter", super::code(&cut(name))));
        }
        if value.chars().any(char::is_control) {
            return Err(format!(
                "the value of {} has characters that nobody sees",
                super::code(name)
            ));
        }
        if all.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("{} is there twice", super::code(name)));
        }
    }
    if all.len() > MOST_PARAMETERS {
        return Err(format!("there may be {MOST_PARAMETERS} parameters at most"));
    }
    Ok(all)
}

fn names(words: &[String]) -> Result<BTreeSet<String>, String> {
    if words.is_empty() {
        return Err("write `unset name`".into());
    }
    match words.iter().find(|word| !is_name(word)) {
        Some(word) => Err(format!("{} is no name of a parameter", super::code(&cut(word)))),
        None => Ok(words.iter().cloned().collect()),
    }
}

fn time_of(word: &str) -> Result<Duration, String> {
    let time = parse_duration(&word.to_ascii_lowercase());
    time.ok_or_else(|| {
        format!("{} is no time: write a number with `m`, `h` or `d`", super::code(&cut(word)))
    })
}

fn commit(words: &[String], least: usize) -> Result<Option<String>, String> {
    let [word] = words else {
        return if words.is_empty() { Ok(None) } else { Err("write one commit".into()) };
    };
    let fine = (least..=40).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_hexdigit());
    if fine {
        Ok(Some(word.to_ascii_lowercase()))
    } else {
        Err(format!(
            "{} is no commit: write {least} to 40 of its hex digits",
            super::code(&cut(word))
        ))
    }
}

fn logs(words: &[String]) -> Result<Command, String> {
    let (mut app, mut tail) = (None, LOG_LINES);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let number = match word.as_str() {
            "--tail" | "-n" => words.next().map(String::as_str),
            other => other.strip_prefix("--tail="),
        };
        let flag = word.starts_with('-');
        match (flag, number) {
            (true, Some(number)) => {
                let number =
                    number.parse::<u32>().ok().filter(|n| (1..=MOST_LOG_LINES).contains(n));
                tail = number
                    .ok_or_else(|| format!("`--tail` takes a number from 1 to {MOST_LOG_LINES}"))?;
            }
            (false, _) if app.is_none() && is_name(word) => app = Some(word.clone()),
            _ => return Err("write `logs`, `logs app` or `logs app --tail 100`".into()),
        }
    }
    Ok(Command::Logs { app, tail })
}
