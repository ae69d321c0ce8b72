//! The history of a record: what ran when, by whom, with which outcome. No I/O.

use chrono::{DateTime, Utc};

use super::pin::Pinned;
use super::record::Record;
use crate::crd::{Cause, HistoryEntry, Outcome};
use crate::domain::id::Revision;

/// Bundles that the history remembers.
const KEPT: usize = 20;

/// A bundle was applied whole. One that was applied again after a repair is no new entry.
pub(super) fn note_applied(
    record: &mut Record,
    revision: &Revision,
    merge: Option<&Revision>,
    digest: &str,
    pinned: Option<&Pinned>,
    now: DateTime<Utc>,
) {
    let newest = record.status.history.first();
    if newest.is_some_and(|newest| newest.digest == digest && newest.revision == revision.as_str())
    {
        return;
    }
    let ran = record.status.history.iter().any(|entry| entry.revision == revision.as_str());
    let (cause, by) = match pinned {
        Some(pinned) => (Cause::Rollback, Some(pinned.by.clone())),
        None if ran => (Cause::Change, None),
        None => (Cause::Push, responsible(record)),
    };
    let entry = HistoryEntry {
        revision: revision.as_str().to_owned(),
        merge: merge.map(|merge| merge.as_str().to_owned()),
        digest: digest.to_owned(),
        at: now.into(),
        ready_at: None,
        cause,
        by,
        outcome: Outcome::Progressing,
    };
    let history = &mut record.status.history;
    if let Some(before) = history.first_mut()
        && before.outcome == Outcome::Progressing
    {
        before.outcome = Outcome::Superseded;
    }
    history.insert(0, entry);
    history.truncate(KEPT);
}

/// Who let this head run: whoever approved it, else the author of the pull request.
fn responsible(record: &Record) -> Option<String> {
    let head = record.status.head.as_ref()?;
    let approval = record
        .stored()
        .spec
        .approved
        .as_ref()
        .filter(|approval| approval.revision == head.revision && approval.base == head.base);
    Some(approval.map_or_else(|| head.author.clone(), |approval| approval.by.clone()))
}

/// How the running bundle does, for as long as it runs.
pub(super) fn note_outcome(record: &mut Record, outcome: Outcome, now: DateTime<Utc>) {
    let running = record.status.revision.clone();
    let Some(newest) = record.status.history.first_mut() else { return };
    if Some(&newest.revision) != running.as_ref() {
        return;
    }
    if outcome == Outcome::Ready && newest.ready_at.is_none() {
        newest.ready_at = Some(now.into());
    }
    newest.outcome = outcome;
}
