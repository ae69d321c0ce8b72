//! Stage *dry run*: what the API server says to a bundle before anything of it is written, as findings of the record. In:
//! what `apply` found; out: the record's status and comment. I/O with home.

use super::Context;
use super::build::finding_entry;
use super::deploy::{judge, until};
use super::error::ReconcileError;
use super::reconcile::Served;
use super::record::Record;
use super::retry::Next;
use super::tell::{self, Telling};
use crate::apply::{ApplyError, Remark, Yielded};
use crate::crd::{Environment, FindingEntry, InventoryEntry, NoteEntry, Phase, YieldedField};
use crate::domain::decision::Decision;
use crate::domain::status::{Judgement, bounded};

/// Findings and notes that are kept.
const KEPT: usize = 20;
/// The condition that says so.
const CONDITION: &str = "Applied";
/// Its reason, when the cluster refuses the bundle.
const REFUSED: &str = "ClusterRefused";
/// Its reason, when the cluster lacks a kind of it.
const LACKS_KIND: &str = "KindUnknown";
/// The beginning of the ids of findings and notes of this stage.
const RULES: &str = "BA";

/// Whether the cluster refused what the record stands for: what it says now is said again only when it differs.
pub(super) fn is_refused(record: &Record) -> bool {
    record.status.condition(CONDITION).is_some_and(|applied| {
        applied.status == "False" && matches!(applied.reason.as_str(), REFUSED | LACKS_KIND)
    })
}

/// Whether the record waits for a kind to appear in the cluster.
pub(super) fn waits_for_kind(record: &Environment) -> bool {
    record
        .status
        .as_ref()
        .and_then(|status| status.condition(CONDITION))
        .is_some_and(|applied| applied.status == "False" && applied.reason == LACKS_KIND)
}

/// What the condition `Applied` says of an error.
pub(super) fn reason_of(error: &ApplyError) -> &'static str {
    match error {
        ApplyError::KindUnknown { .. } | ApplyError::RefusedWhole { lacks_kinds: true, .. } => {
            LACKS_KIND
        }
        ApplyError::RefusedWhole { .. } => REFUSED,
        _ => "ApplyFailed",
    }
}

/// The cluster refuses the bundle: nothing of it was written, and what stood before goes on standing. It is asked again
/// later: rights and policies are changed without a push.
pub(super) async fn refuse(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    before: &[InventoryEntry],
    error: &ApplyError,
) -> Result<Next, ReconcileError> {
    let ApplyError::RefusedWhole { findings, .. } = error else {
        return Err(ReconcileError::Stale);
    };
    record.status.inventory = before.to_vec();
    let found: Vec<FindingEntry> = findings.iter().map(finding_entry).collect();
    if !is_said(&record.status.findings, &found) {
        record.status.findings = found.into_iter().take(KEPT).collect();
    }
    let all: Vec<String> = record.status.findings.iter().map(line).collect();
    let first = all.first().cloned().unwrap_or_default();
    judge(context, record, &Judgement::no(CONDITION, reason_of(error), all.join("; ")));
    judge(context, record, &Judgement::no("Ready", reason_of(error), first.clone()));
    record.status.phase = Some(Phase::Refused);
    record.status.reason = Some(bounded(&first, 1024));
    record.save(context).await?;
    tell::tell(context, record, served, &Telling::of(decision));
    Ok(until(context, record, context.intervals.resync))
}

/// Puts what the dry run remarked beside the notes of the rendering, in place of what an earlier one did.
pub(super) fn note(record: &mut Record, remarks: &[Remark]) {
    let notes = &mut record.status.notes;
    notes.retain(|note| note.rule.as_ref().is_none_or(|rule| !rule.starts_with(RULES)));
    notes.extend(remarks.iter().map(|Remark { origin, message }| NoteEntry {
        rule: Some("BA100 not-tried".to_owned()),
        file: Some(bounded(&origin.file, 512)),
        line: i32::try_from(origin.line).ok(),
        message: bounded(message, 512),
    }));
    notes.truncate(KEPT);
}

/// What is left to others, as the status has it.
pub(super) fn yielded_to_status(yielded: Vec<Yielded>) -> Vec<YieldedField> {
    let fields = yielded.into_iter();
    fields
        .map(|Yielded { group, kind, name, uid, field, manager }| YieldedField {
            group,
            kind,
            name,
            uid,
            field,
            manager,
        })
        .collect()
}

/// What the status says is left to others.
pub(super) fn yielded_of(record: &Record) -> Vec<Yielded> {
    let fields = record.status.yielded.iter().cloned();
    fields
        .map(|YieldedField { group, kind, name, uid, field, manager }| Yielded {
            group,
            kind,
            name,
            uid,
            field,
            manager,
        })
        .collect()
}

/// Whether `told` is what was found, but for lines: a bundle that was stored knows the lines of its objects only, and
/// what was told of the one that was rendered knows better.
fn is_said(told: &[FindingEntry], found: &[FindingEntry]) -> bool {
    let same = |a: &FindingEntry, b: &FindingEntry| {
        a.rule == b.rule && a.file == b.file && a.message == b.message && a.hint == b.hint
    };
    told.len() == found.len().min(KEPT)
        && told.iter().all(|one| found.iter().any(|other| same(one, other)))
}

fn line(finding: &FindingEntry) -> String {
    let FindingEntry { rule, file, line, message, hint: _ } = finding;
    match (file, line) {
        (Some(file), Some(line)) => format!("{file}:{line}: {message} ({rule})"),
        (Some(file), None) => format!("{file}: {message} ({rule})"),
        _ => format!("{message} ({rule})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_with_its_line_is_not_told_again_without() {
        let finding = |line: i32, message: &str| FindingEntry {
            rule: "BA001 cluster-schema".into(),
            file: Some("a.yaml".into()),
            line: Some(line),
            message: message.into(),
            hint: None,
        };
        let told = [finding(7, "one"), finding(9, "two")];
        assert!(is_said(&told, &[finding(1, "two"), finding(1, "one")]));
        assert!(!is_said(&told, &[finding(1, "one")]));
        assert!(!is_said(&told, &[finding(1, "one"), finding(1, "three")]));
        assert!(!is_said(&[], &[finding(1, "one")]));
    }
}
