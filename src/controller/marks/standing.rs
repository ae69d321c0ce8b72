//! Where a record stands, as a row of a check and as a deployment. From what is stored alone. No I/O.

use crate::crd::{
    AdmissionState, Environment, EnvironmentStatus, FindingEntry, NoteEntry, Phase, SourcePhase,
};
use crate::domain::check::{self, Level, Remark, Row};
use crate::domain::comment::AppUrl;
use crate::domain::deployment;
use crate::domain::id::{PrNumber, Revision};

/// The row of a record in the check of its head.
pub(super) fn row(record: &Environment) -> Row {
    let status = record.status.clone().unwrap_or_default();
    let standing = standing(record, &status);
    let reason = match standing {
        check::Standing::Pinned => Some(format!(
            "commit {} runs in its place",
            status.short_revision.as_deref().unwrap_or("of before")
        )),
        _ => status.reason.clone(),
    };
    // What was found belongs to the commit that was rendered last.
    let remarks = match standing {
        check::Standing::Refused | check::Standing::Ready | check::Standing::Degraded => {
            status.findings.iter().map(finding).chain(status.notes.iter().map(note)).collect()
        }
        _ => Vec::new(),
    };
    Row {
        number: number(record),
        branch: record.spec.source.branch_name().map(str::to_owned),
        standing,
        reason,
        apps: apps(&status),
        expires_at: status.expires_at.map(|at| at.0),
        remarks,
    }
}

pub(super) fn number(record: &Environment) -> PrNumber {
    PrNumber(record.spec.source.number().unwrap_or_default())
}

/// The head commit of a record.
pub(super) fn head(record: &Environment) -> Option<Revision> {
    let head = record.status.as_ref()?.head.as_ref()?;
    Revision::parse(&head.revision).ok()
}

/// An address is one once its namespace is there.
fn apps(status: &EnvironmentStatus) -> Vec<AppUrl> {
    let urls = status.urls.iter().filter(|_| status.namespace_uid.is_some());
    urls.map(|entry| AppUrl { app: entry.app.clone(), url: entry.url.clone() }).collect()
}

fn is_closed(status: &EnvironmentStatus) -> bool {
    status.head.as_ref().is_some_and(|head| head.state == SourcePhase::Closed)
}

/// The head is what runs, or a pin says what does.
fn runs(record: &Environment, status: &EnvironmentStatus) -> Option<bool> {
    let head = status.head.as_ref()?;
    if status.revision.as_deref() == Some(&head.revision) {
        return Some(true);
    }
    let pinned = record.spec.pin.as_ref().is_some_and(|pin| {
        pin.head == head.revision && status.revision.as_deref() == Some(&pin.revision)
    });
    pinned.then_some(false)
}

/// The head waits for checks or images.
fn is_held_back(status: &EnvironmentStatus) -> bool {
    let admission = status.admission.as_ref();
    admission.is_some_and(|admission| admission.state == AdmissionState::Waiting)
        && status.condition("Ready").is_some_and(|ready| ready.reason == "Awaiting")
}

fn standing(record: &Environment, status: &EnvironmentStatus) -> check::Standing {
    use check::Standing;
    if record.metadata.deletion_timestamp.is_some() {
        return Standing::Gone;
    }
    match status.phase {
        Some(Phase::Progressing) if is_held_back(status) => Standing::Awaiting,
        None | Some(Phase::Progressing) => Standing::Working,
        Some(Phase::Ready) => match runs(record, status) {
            Some(true) => Standing::Ready,
            Some(false) => Standing::Pinned,
            None => Standing::Working,
        },
        Some(Phase::Degraded) => match runs(record, status) {
            Some(_) => Standing::Degraded,
            None => Standing::Working,
        },
        Some(Phase::Asleep) => match runs(record, status) {
            Some(false) => Standing::Pinned,
            _ => Standing::Asleep,
        },
        Some(Phase::Queued) => Standing::Queued,
        Some(Phase::Refused) => Standing::Refused,
        Some(Phase::Failed) => Standing::Failed,
        Some(Phase::WaitingForApproval) => Standing::AwaitingApproval,
        Some(Phase::Closed) => Standing::Gone,
        Some(Phase::TearingDown) if is_closed(status) => Standing::Gone,
        Some(Phase::TearingDown) => match status.expired_at {
            Some(_) => Standing::Down,
            None if record.spec.want == crate::crd::Want::Down => Standing::Down,
            None => Standing::Working,
        },
        Some(Phase::NoCamp) => {
            let why = status.condition("Ready").map_or("", |ready| ready.reason.as_str());
            match why {
                "NotSelected" | "UntrustedDenied" => Standing::NoPreview,
                "RecordDeleted" | "SourceClosed" => Standing::Gone,
                "Conflict" => Standing::Refused,
                _ => Standing::Down,
            }
        }
    }
}

/// The same for its deployment.
pub(super) fn deployed(record: &Environment) -> deployment::Standing {
    use deployment::Standing;
    let Some(status) = &record.status else { return Standing::None };
    if record.metadata.deletion_timestamp.is_some() || is_closed(status) {
        return Standing::None;
    }
    let running = status.revision.as_deref().and_then(|text| Revision::parse(text).ok());
    let of = |standing: fn(Revision) -> Standing, revision: Option<Revision>| {
        revision.filter(|_| status.namespace_uid.is_some()).map_or(Standing::None, standing)
    };
    match status.phase {
        // What sleeps has run, and its address leads to the way to wake it.
        Some(Phase::Ready | Phase::Asleep) => of(Standing::Ready, running),
        Some(Phase::Degraded) => of(Standing::Degraded, running),
        Some(Phase::Progressing) => of(Standing::Working, head(record)),
        // The commit of before goes on, when there is one.
        Some(Phase::Refused | Phase::Failed) => of(Standing::Failed, head(record)),
        None
        | Some(
            Phase::NoCamp
            | Phase::WaitingForApproval
            | Phase::Queued
            | Phase::TearingDown
            | Phase::Closed,
        ) => Standing::None,
    }
}

/// The address that the deployment leads to.
pub(super) fn url(record: &Environment) -> Option<String> {
    apps(record.status.as_ref()?).into_iter().next().map(|app| app.url)
}

fn line(line: Option<i32>) -> Option<u32> {
    line.and_then(|line| u32::try_from(line).ok())
}

fn finding(entry: &FindingEntry) -> Remark {
    Remark {
        level: Level::Failure,
        rule: Some(entry.rule.clone()),
        file: entry.file.clone(),
        line: line(entry.line),
        message: entry.message.clone(),
        hint: entry.hint.clone(),
    }
}

fn note(entry: &NoteEntry) -> Remark {
    Remark {
        level: Level::Notice,
        rule: entry.rule.clone(),
        file: entry.file.clone(),
        line: line(entry.line),
        message: entry.message.clone(),
        hint: None,
    }
}
