//! The answers to questions, from the record; logs from the camp, and what changed from the stored bundles. Text from
//! outside stays in code. I/O with home and the target, reading only.

use std::fmt::Write as _;

use crate::apply::{self, Deployer};
use crate::controller::error::ReconcileError;
use crate::controller::reconcile::Served;
use crate::controller::record::Record;
use crate::controller::{Context, stored};
use crate::crd::{ChangedObjects, EnvironmentStatus, Request};
use crate::domain::bundle_diff::BundleDiff;
use crate::domain::command::{Command, code, fenced, help, parse, prose};

/// Characters of all logs together.
const MOST: usize = 40_000;

/// What somebody asked for.
pub(super) async fn told(
    context: &Context,
    request: &Request,
    record: &Record,
    served: &Served,
) -> Result<String, ReconcileError> {
    let spec = &request.spec;
    let commands = &served.repository.spec.commands;
    let rules = served.repository.spec.commands().map_err(ReconcileError::Policy)?;
    match parse(&spec.verb, &spec.arguments) {
        Ok(Command::Status) => Ok(status(&record.status)),
        Ok(Command::Why) => Ok(why(&record.status)),
        Ok(Command::Logs { app, tail }) => logs(context, record, app.as_deref(), tail).await,
        Ok(Command::Diff) => diff(context, record).await,
        _ => Ok(help(&commands.prefix, &rules)),
    }
}

fn status(status: &EnvironmentStatus) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        // It does not fail on a string.
        let _ = writeln!(text, "* {name}: {value}");
    };
    let phase =
        status.phase.map_or_else(|| "not looked at yet".into(), |phase| format!("{phase:?}"));
    row("State", phase);
    if let Some(reason) = &status.reason {
        row("Reason", prose(reason));
    }
    if let Some(revision) = &status.short_revision {
        row("Commit", code(revision));
    }
    if let Some(head) =
        status.head.as_ref().filter(|head| Some(&head.revision) != status.revision.as_ref())
    {
        row("Head", code(head.revision.get(..7).unwrap_or_default()));
    }
    for url in status.urls.iter().filter(|_| status.namespace_uid.is_some()) {
        row(&format!("Address of {}", code(&url.app)), url.url.clone());
    }
    if let Some(end) = status.expires_at {
        row("Ends", end.0.format("%Y-%m-%d %H:%M UTC").to_string());
    }
    for trouble in &status.trouble {
        row("Trouble", code(&format!("{}: {}", trouble.object, trouble.message)));
    }
    text
}

fn why(status: &EnvironmentStatus) -> String {
    if status.why.is_empty() {
        return "No rule was asked yet.".into();
    }
    let lines: Vec<String> = status
        .why
        .iter()
        .map(|why| {
            let decided = if why.decided { "  <- decided" } else { "" };
            format!("{}: {}{decided}", why.rule, why.answer)
        })
        .collect();
    fenced(&lines.join("\n"), MOST)
}

async fn logs(
    context: &Context,
    record: &Record,
    app: Option<&str>,
    tail: u32,
) -> Result<String, ReconcileError> {
    let namespace = record.status.namespace.as_deref();
    let Some(namespace) = namespace.filter(|_| record.status.namespace_uid.is_some()) else {
        return Ok("There is no preview now, and so no log.".into());
    };
    let deployer = Deployer::of(&context.target, namespace);
    let (logs, left) = apply::logs(&deployer, app, tail).await.map_err(ReconcileError::Apply)?;
    if logs.is_empty() {
        return Ok(app.map_or_else(
            || "No pod runs.".into(),
            |app| format!("No pod of {} runs.", code(app)),
        ));
    }
    let each = MOST / logs.len();
    let mut text = String::new();
    for log in &logs {
        let body = if log.text.trim().is_empty() { "(nothing)" } else { &log.text };
        let _ = writeln!(text, "{}\n\n{}\n", code(&log.of), fenced(body, each));
    }
    if left > 0 {
        let _ = writeln!(text, "{left} more containers are not shown; name an app.");
    }
    Ok(text)
}

async fn diff(context: &Context, record: &Record) -> Result<String, ReconcileError> {
    let status = &record.status;
    let Some(running) = stored::running(context, record).await? else {
        return Ok("Nothing runs yet.".into());
    };
    let now = status.history.first().map(|entry| entry.digest.as_str());
    let before = status.history.iter().find(|entry| Some(entry.digest.as_str()) != now);
    let Some(before) = before else {
        return Ok("This is the first commit that runs here.".into());
    };
    let short = |revision: &str| code(revision.get(..7).unwrap_or_default());
    let heading = format!(
        "From {} to {}:",
        short(&before.revision),
        short(status.revision.as_deref().unwrap_or_default())
    );
    if let Some(old) = stored::of_digest(context, record, &before.digest).await? {
        let text = BundleDiff::between(&old, &running).text(false);
        let text = if text.trim().is_empty() { "nothing".into() } else { text };
        return Ok(format!("{heading}\n\n{}", fenced(&text, MOST)));
    }
    let Some(changes) = &status.changes else {
        return Ok(format!("{heading} not known any more."));
    };
    let mut lines = Vec::new();
    for (sign, ChangedObjects { count, named }) in
        [("+", &changes.added), ("~", &changes.changed), ("-", &changes.removed)]
    {
        lines.extend(named.iter().map(|name| format!("{sign} {name}")));
        let left = usize::try_from(*count).unwrap_or_default().saturating_sub(named.len());
        if left > 0 {
            lines.push(format!("{sign} {left} more"));
        }
    }
    Ok(format!("{heading}\n\n{}", fenced(&lines.join("\n"), MOST)))
}
