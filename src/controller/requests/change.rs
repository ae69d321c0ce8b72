//! What a command changes in the record: record, pull request and policy in, the record's new `spec` or a refusal out.
//! PURE.

use chrono::{DateTime, TimeDelta, Utc};

use crate::crd::{
    Approval, Environment, HINT_ANNOTATION, LAST_COMMAND_ANNOTATION, OriginKind, Pin, Power,
    Redeploy, Request, WANT_ANNOTATION, Want,
};
use crate::domain::command::{Command, code};
use crate::domain::policy::{Forks, Policy};
use crate::domain::pull_request::PullRequest;

/// A head that is younger than this, seen from the command, may not be the one that somebody looked at. It is also the
/// most by which two clocks may differ.
const LOOKED_AT: TimeDelta = TimeDelta::seconds(30);
/// What a hint of ours begins with.
const OF_REQUEST: &str = "request-";
/// Parameters of a record.
const MOST_PARAMETERS: usize = 32;

/// What somebody wants who may have it.
pub(super) struct Wish {
    pub(super) command: Command,
    /// As the forge shows it at this moment.
    pub(super) pull: PullRequest,
    /// Whoever asks may approve, too.
    pub(super) may_approve: bool,
}

/// Somebody steers this camp: it does not rest.
pub(super) fn note_command(record: &mut Environment, now: DateTime<Utc>) {
    let at = now.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let annotations = record.metadata.annotations.get_or_insert_default();
    annotations.insert(LAST_COMMAND_ANNOTATION.into(), at);
}

/// Changes the record; gives what was done as a sentence, or why not.
pub(super) fn change(
    record: &mut Environment,
    request: &Request,
    wish: &Wish,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Result<String, String> {
    let Wish { command, pull, may_approve } = wish;
    let of_label = request.spec.from.kind == OriginKind::Label;
    match command {
        Command::Up { parameters } => {
            set(record, parameters.iter().map(|(k, v)| (k.clone(), v.clone())))?;
            want(record, request, Want::Up);
            if record.spec.power == Power::Asleep {
                record.spec.power = Power::Awake;
            }
            let mut message = "the preview is wanted".to_owned();
            if waits_for_approval(record, pull, policy) {
                // A label of somebody who may approve is both.
                let approved = of_label && *may_approve;
                message.push_str("; ");
                message.push_str(&if approved {
                    approve(record, request, pull, policy, None, now).unwrap_or_else(|why| why)
                } else {
                    "its commit waits for approval".into()
                });
            }
            Ok(message)
        }
        Command::Down => {
            if of_label && a_command_stands(record) {
                return Ok(
                    "a later command says what is wanted: the label's going changes nothing".into(),
                );
            }
            want(record, request, Want::Down);
            Ok("the preview is taken down; `up` brings it back".into())
        }
        Command::Redeploy { restart } => {
            stands(record)?;
            let id = request.metadata.name.clone().unwrap_or_default();
            record.spec.redeploy = Some(Redeploy { id, restart: restart.then(|| request.spec.at) });
            Ok("the commit is rendered and applied again".into())
        }
        Command::Extend { by } => extend(record, policy, *by, now),
        Command::Pin => {
            record.spec.lifetime.pinned = true;
            Ok("the preview stays as long as `lifetime.maxTtl` allows".into())
        }
        Command::Unpin => {
            record.spec.lifetime.pinned = false;
            Ok("the preview has its usual lifetime again".into())
        }
        Command::Sleep => {
            stands(record)?;
            record.spec.power = Power::Asleep;
            Ok("the preview goes to sleep; `wake` starts it".into())
        }
        Command::Wake => {
            record.spec.power = Power::Awake;
            Ok("the preview wakes".into())
        }
        Command::Approve { commit } => {
            approve(record, request, pull, policy, commit.as_deref(), now)
        }
        Command::Rollback { commit } => rollback(record, request, pull, commit.as_deref(), now),
        Command::Set { parameters } => {
            set(record, parameters.iter().map(|(k, v)| (k.clone(), v.clone())))?;
            Ok("the parameters are set".into())
        }
        Command::Unset { names } => {
            let before = record.spec.parameters.len();
            record.spec.parameters.retain(|name, _| !names.contains(name));
            if record.spec.parameters.len() == before {
                return Err("none of these parameters was set".into());
            }
            Ok("the parameters have their defaults again".into())
        }
        Command::Status | Command::Why | Command::Logs { .. } | Command::Diff | Command::Help => {
            Ok("told".into())
        }
    }
}

/// Somebody said by a command, and not by a label, what is wanted.
fn a_command_stands(record: &Environment) -> bool {
    let by = record.metadata.annotations.as_ref().and_then(|all| all.get(WANT_ANNOTATION));
    record.spec.want != Want::Auto && by.is_some_and(|by| !by.starts_with("label-"))
}

fn want(record: &mut Environment, request: &Request, want: Want) {
    record.spec.want = want;
    let by = request.metadata.name.clone().unwrap_or_default();
    record.metadata.annotations.get_or_insert_default().insert(WANT_ANNOTATION.into(), by);
}

/// There is a preview that something can be done with.
fn stands(record: &Environment) -> Result<(), String> {
    let there = record.status.as_ref().is_some_and(|status| status.namespace.is_some());
    if there && record.spec.want != Want::Down {
        Ok(())
    } else {
        Err("there is no preview now; `up` makes one".into())
    }
}

fn set(
    record: &mut Environment,
    parameters: impl Iterator<Item = (String, String)>,
) -> Result<(), String> {
    let mut all = record.spec.parameters.clone();
    all.extend(parameters);
    if all.len() > MOST_PARAMETERS {
        return Err(format!("there may be {MOST_PARAMETERS} parameters at most"));
    }
    record.spec.parameters = all;
    Ok(())
}

fn extend(
    record: &mut Environment,
    policy: &Policy,
    by: std::time::Duration,
    now: DateTime<Utc>,
) -> Result<String, String> {
    stands(record)?;
    let status = record.status.clone().unwrap_or_default();
    let end = status.expires_at.map_or(now, |end| end.0.max(now));
    let end = record.spec.lifetime.until.map_or(end, |until| until.0.max(end));
    let span = |span: std::time::Duration| {
        TimeDelta::from_std(span).unwrap_or_else(|_| TimeDelta::days(3660))
    };
    let asked = end + span(by);
    let since = status.camp_since.map_or(now, |since| since.0);
    let last = since + span(policy.lifetime.max_ttl);
    let until = asked.min(last);
    record.spec.lifetime.until = Some(until.into());
    let shown = until.format("%Y-%m-%d %H:%M UTC");
    Ok(if asked > last {
        format!("the preview stays until {shown}, the longest that `lifetime.maxTtl` allows")
    } else {
        format!("the preview stays until {shown}")
    })
}

fn is_untrusted(pull: &PullRequest) -> bool {
    pull.is_from_fork() || pull.author.bot
}

fn is_approved(record: &Environment, pull: &PullRequest) -> bool {
    record.spec.approved.as_ref().is_some_and(|approved| {
        approved.revision == pull.head.revision.as_str()
            && approved.base == pull.base.revision.as_str()
    })
}

fn waits_for_approval(record: &Environment, pull: &PullRequest, policy: &Policy) -> bool {
    policy.forks == Forks::Approve && is_untrusted(pull) && !is_approved(record, pull)
}

/// Approves the head as the forge shows it now, when that is what somebody looked at: named by its hash, or shown by us
/// long enough before.
fn approve(
    record: &mut Environment,
    request: &Request,
    pull: &PullRequest,
    policy: &Policy,
    commit: Option<&str>,
    now: DateTime<Utc>,
) -> Result<String, String> {
    let head = pull.head.revision.as_str();
    let short = pull.head.revision.short();
    if !is_untrusted(pull) {
        return Err("this pull request needs no approval".into());
    }
    match policy.forks {
        Forks::Approve => {}
        Forks::Deny => return Err("commits of forks and bots get no preview here".into()),
        Forks::Allow => return Err("commits of forks and bots need no approval here".into()),
    }
    match commit {
        Some(commit) if head.starts_with(commit) => {}
        Some(commit) => {
            return Err(format!(
                "{} is not the head: that is `{short}` now. Look at it, and approve it by `approve {short}`",
                code(commit)
            ));
        }
        None => {
            let shown = record.status.as_ref().and_then(|status| status.head.as_ref());
            let looked_at = shown.is_some_and(|shown| {
                shown.revision == head
                    && shown.base == pull.base.revision.as_str()
                    && request.spec.at.0 - shown.seen_at.0 >= LOOKED_AT
            });
            if !looked_at {
                return Err(format!(
                    "the head `{short}` is so new that it may not be the one you looked at; approve it by `approve {short}`"
                ));
            }
        }
    }
    record.spec.approved = Some(Approval {
        revision: head.to_owned(),
        base: pull.base.revision.as_str().to_owned(),
        by: request.spec.by.login.clone(),
        at: now.into(),
    });
    // What the record shows may be older than what was approved.
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let hint = format!("{OF_REQUEST}{name}").chars().take(100).collect();
    record.metadata.annotations.get_or_insert_default().insert(HINT_ANNOTATION.into(), hint);
    Ok(format!("commit `{short}` may run, until the next push or another base"))
}

fn rollback(
    record: &mut Environment,
    request: &Request,
    pull: &PullRequest,
    commit: Option<&str>,
    now: DateTime<Utc>,
) -> Result<String, String> {
    stands(record)?;
    let status = record.status.clone().unwrap_or_default();
    let head = pull.head.revision.as_str();
    let target = if let Some(commit) = commit {
        let mut fitting: Vec<&str> = status
            .history
            .iter()
            .map(|entry| entry.revision.as_str())
            .chain([head])
            .filter(|revision| revision.starts_with(commit))
            .collect();
        fitting.sort_unstable();
        fitting.dedup();
        match fitting[..] {
            [one] => one.to_owned(),
            [] => {
                return Err(format!("{} never ran here; {}", code(commit), ran(&status.history)));
            }
            _ => return Err(format!("{} may be several commits: write more of it", code(commit))),
        }
    } else {
        let running = status.revision.as_deref().unwrap_or(head);
        let before = status.history.iter().find(|entry| entry.revision != running);
        before.map(|entry| entry.revision.clone()).ok_or("no other commit ran here before")?
    };
    let short = target.get(..7).unwrap_or_default().to_owned();
    if target == head {
        record.spec.pin = None;
        return Ok(format!("the head `{short}` runs"));
    }
    record.spec.pin = Some(Pin {
        revision: target,
        head: head.to_owned(),
        by: request.spec.by.login.clone(),
        at: now.into(),
    });
    Ok(format!("commit `{short}` runs again, until the next push"))
}

fn ran(history: &[crate::crd::HistoryEntry]) -> String {
    let mut all: Vec<String> = Vec::new();
    for entry in history {
        let short = format!("`{}`", entry.revision.get(..7).unwrap_or_default());
        if !all.contains(&short) {
            all.push(short);
        }
    }
    if all.is_empty() { "nothing ran yet".into() } else { format!("these did: {}", all.join(", ")) }
}
