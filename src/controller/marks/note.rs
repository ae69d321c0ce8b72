//! What was told, into the status of the records. I/O with home.

use std::time::Duration;

use super::queue::Kind;
use super::{Job, Told, report_of};
use crate::controller::Context;
use crate::controller::error::{ReconcileError, chain};
use crate::controller::record::Record;
use crate::controller::tell::note_ready;
use crate::crd::{CommentRecord, Environment, Phase, ReportStatus};
use crate::domain::status::{Judgement, bounded};

/// A status that others write at the same time is written after so many tries, or the same is told once more.
const TRIES: u32 = 5;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_millis(100);
/// For records that are not the job's own.
const SOON: Duration = Duration::from_secs(5);

/// A record that stands elsewhere than before gets another text: a process that ends between its writing and the note of
/// it leaves one that nobody knows. Who notes a text knows it. The same for the first, which is looked for then. `wanted`:
/// whether the Repository wants any.
pub(super) fn foresee_comment(before: &Environment, record: &mut Environment, wanted: bool) {
    let known = |record: &Environment| report_of(record).and_then(|report| report.comment.clone());
    let phase = |record: &Environment| record.status.as_ref().and_then(|status| status.phase);
    if wanted && known(record).is_none() && gets_a_comment(record) {
        let status = record.status.get_or_insert_default();
        status.report.get_or_insert_default().making = true;
    }
    if phase(before) == phase(record) || known(before) != known(record) {
        return;
    }
    let report = record.status.as_mut().and_then(|status| status.report.as_mut());
    if let Some(report) = report {
        report.comment = report.comment.take().map(CommentRecord::of_unknown_text);
    }
}

/// Whether what is stored of a record is worth a first comment.
fn gets_a_comment(record: &Environment) -> bool {
    let Some(status) = &record.status else { return false };
    let silent = status.condition("Ready").is_none_or(|ready| {
        matches!(ready.reason.as_str(), "NotSelected" | "SourceClosed" | "RecordDeleted")
    });
    let shown = status.phase.is_some_and(|phase| phase != Phase::TearingDown);
    record.spec.source.number().is_some() && shown && !silent
}

/// Own record first; the others of the same head as well as it goes.
pub(super) async fn note(context: &Context, job: &Job, told: &Told) {
    let own = (job.record(), job.uid());
    if let Err(error) = tried(context, own, true, told).await {
        let name = job.record();
        tracing::warn!(environment.name = name, "what was told is not noted: {}", chain(&error));
    }
    for (name, uid, _) in &told.checks {
        if (name.as_str(), uid.as_str()) == own {
            continue;
        }
        // One that works for long finds by itself what was told: that costs a request more.
        let noted = tokio::time::timeout(SOON, tried(context, (name, uid), false, told)).await;
        if !matches!(noted, Ok(Ok(()))) {
            tracing::debug!(environment.name = name, "what was told of its head is not noted");
        }
    }
}

async fn tried(
    context: &Context,
    whose: (&str, &str),
    is_own: bool,
    told: &Told,
) -> Result<(), ReconcileError> {
    for _ in 0..TRIES {
        match try_to_note(context, whose, is_own, told).await {
            // Somebody left a hint between our look and our write.
            Err(ReconcileError::Stale) => context.clock.sleep(PAUSE).await,
            other => return other,
        }
    }
    Err(ReconcileError::Stale)
}

async fn try_to_note(
    context: &Context,
    (name, uid): (&str, &str),
    is_own: bool,
    told: &Told,
) -> Result<(), ReconcileError> {
    let _turn = context.teller.turn(name).await;
    let found = context.environments().get_opt(name).await;
    let found = found.map_err(|error| ReconcileError::record("read the record", error))?;
    let Some(stored) = found.filter(|found| found.metadata.uid.as_deref() == Some(uid)) else {
        return Ok(());
    };
    let mut record = Record::new(stored);
    let report = record.status.report.get_or_insert_default();
    for (of, whose, check) in &told.checks {
        if (of.as_str(), whose.as_str()) == (name, uid) {
            report.check.clone_from(check);
        }
    }
    if is_own {
        if let Some(deployment) = &told.deployment {
            report.deployment = Some(deployment.clone());
        }
        if told.no_comment {
            (report.comment, report.making) = (None, false);
        }
    }
    if *report == ReportStatus::default() {
        record.status.report = None;
    }
    for (kind, outcome) in told.outcomes.iter().filter(|_| is_own) {
        note_outcome(context, &mut record, *kind, outcome);
    }
    // What the run observed is the run's to say.
    record.save_as_observed(context).await
}

/// A condition is there only once something stood in the way.
fn note_outcome(context: &Context, record: &mut Record, kind: Kind, outcome: &Result<(), String>) {
    let condition = kind.condition();
    match outcome {
        Ok(()) if record.status.condition(condition).is_none() => {}
        Ok(()) => {
            let words = match kind {
                Kind::Comment => "there is to be no comment",
                Kind::Check => "the check says what is",
                Kind::Deployment => "the deployment says what is",
            };
            note_ready(context, record, Judgement::yes(condition, "Written", words));
        }
        Err(message) => {
            let message = bounded(message, 1024);
            note_ready(context, record, Judgement::no(condition, "ForgeNotTold", message));
        }
    }
}
