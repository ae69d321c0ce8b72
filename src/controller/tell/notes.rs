//! What the comment says beside the phase: what people should know, what changed, what failed at the end. No I/O.

use super::page;
use crate::controller::pin;
use crate::controller::record::Record;
use crate::crd::{
    ChangedObjects, ChangesStatus, ContestedEntry, HookEntry, HookMoment, HookPhase, NoteEntry,
};
use crate::domain::comment::{Changes, LogTail, Objects};
use crate::domain::id::Revision;

/// What the running bundle changed, with the page of the commit before it.
pub(super) fn changes(web: &str, changes: &ChangesStatus) -> Option<Changes> {
    let ChangesStatus { since, added, changed, removed } = changes;
    let objects = |objects: &ChangedObjects| Objects {
        named: objects.named.clone(),
        count: usize::try_from(objects.count).unwrap_or_default(),
    };
    Some(Changes {
        since: page(web, Revision::parse(since).ok()?),
        added: objects(added),
        changed: objects(changed),
        removed: objects(removed),
    })
}

/// What people should know: of a camp that is gone, what failed at its end.
pub(super) fn notes(record: &Record) -> Vec<String> {
    let status = &record.status;
    if status.namespace.is_none() {
        return failed_at_the_end(record).map(failed_hook).collect();
    }
    let contested = status.contested.iter().map(fight);
    let all = pin::answer(record).into_iter().chain(status.notes.iter().map(note));
    all.chain(contested).collect()
}

/// Somebody changes again and again what is put back, as one line.
fn fight(entry: &ContestedEntry) -> String {
    let ContestedEntry { kind, name, field, manager, .. } = entry;
    let who = manager.as_deref().unwrap_or("somebody");
    format!(
        "{kind}/{name}: {who} changes {field} each time that it is put back, so it is put back each ten minutes only; \
         stop that, or leave the field out of the commit"
    )
}

/// Hooks that should have run before the camp went.
fn failed_at_the_end(record: &Record) -> impl Iterator<Item = &HookEntry> {
    let hooks = record.status.hooks.iter();
    hooks.filter(|hook| hook.moment == HookMoment::BeforeDelete && hook.state == HookPhase::Failed)
}

fn failed_hook(hook: &HookEntry) -> String {
    let HookEntry { kind, name, message, .. } = hook;
    format!(
        "hook {kind}/{name}, which runs before the end, failed: {message}; the preview ended without it"
    )
}

/// The end of the log of a hook that failed at the end.
pub(super) fn log_of_end(record: &Record) -> Option<LogTail> {
    record.status.namespace.is_none().then_some(())?;
    let failed = failed_at_the_end(record).find(|hook| !hook.log.is_empty())?;
    Some(LogTail {
        of: failed.log_of.clone(),
        lines: failed.log.lines().map(str::to_owned).collect(),
    })
}

/// A note as one line.
fn note(entry: &NoteEntry) -> String {
    let NoteEntry { rule, file, line, message } = entry;
    let place = match (file, line) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        (Some(file), None) => format!("{file}: "),
        _ => String::new(),
    };
    let rule = rule.as_ref().map(|rule| format!(" ({rule})")).unwrap_or_default();
    format!("{place}{message}{rule}")
}
