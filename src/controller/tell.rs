//! Stage *report*: what the record says, as the text of the one comment on the pull request. No I/O: `teller` writes it,
//! beside the runs, and notes in the condition `Reported` what came of it.

mod notes;

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::error::{Class, ReconcileError};
use super::observe::{self, number_of};
use super::reconcile::Served;
use super::record::Record;
use super::teller::Job;
use super::urls::Silent;
use super::{Context, marks, merge, pin};
use crate::apply::CampHealth;
use crate::crd::{AdmissionState, FindingEntry, Phase, set_condition};
use crate::domain::comment::{
    AppUrl, CommentText, CommentView, Commit, Ending, Finding, LogTail, Phase as Shown, Problem,
    RenderedFrom,
};
use crate::domain::decision::{Absence, Decision};
use crate::domain::id::Revision;
use crate::domain::pull_request::State;
use crate::domain::rate::WriteKind;
use crate::domain::status::{Judgement, bounded};
use crate::source::SourceError;

/// What the record's status does not say and the comment shows.
pub(super) struct Telling {
    absence: Option<Absence>,
    blocked: Option<String>,
    health: Option<CampHealth>,
    silent: Vec<Silent>,
    overdue: Option<String>,
    failure: Option<Failure>,
}

/// An error of a run, as people are told of it.
pub(super) struct Failure {
    reason: String,
    /// Id of what only the log may say.
    incident: Option<String>,
}

impl Telling {
    pub(super) fn of(decision: &Decision) -> Self {
        Self {
            absence: decision.absence,
            blocked: None,
            health: None,
            silent: Vec::new(),
            overdue: None,
            failure: None,
        }
    }

    /// What holds up the end of a camp.
    pub(super) fn blocked(mut self, by: Option<String>) -> Self {
        self.blocked = by;
        self
    }

    pub(super) fn health(mut self, health: CampHealth) -> Self {
        self.health = Some(health);
        self
    }

    /// URLs that don't answer.
    pub(super) fn silent(mut self, silent: Vec<Silent>) -> Self {
        self.silent = silent;
        self
    }

    /// The progress deadline that passed.
    pub(super) fn overdue(mut self, deadline: Option<String>) -> Self {
        self.overdue = deadline;
        self
    }

    /// What does not run, one each.
    fn problems(&self) -> Vec<Problem> {
        let of_objects = self
            .health
            .iter()
            .flat_map(CampHealth::lines)
            .map(|(text, hint)| Problem { text, hint: hint.map(str::to_owned) });
        let of_urls = self
            .silent
            .iter()
            .map(|silent| Problem { text: silent.line(), hint: Some(silent.hint().to_owned()) });
        of_objects.chain(of_urls).collect()
    }
}

/// One CamelCase word for why there is no camp.
pub(super) fn word(absence: Absence) -> &'static str {
    match absence {
        Absence::RecordDeleted => "RecordDeleted",
        Absence::SourceClosed => "SourceClosed",
        Absence::WantedDown => "WantedDown",
        Absence::Expired => "Expired",
        Absence::UntrustedDenied => "UntrustedDenied",
        Absence::WaitingForApproval => "WaitingForApproval",
        Absence::NotSelected => "NotSelected",
        Absence::Conflict => "Conflict",
        Absence::Queued => "Queued",
    }
}

/// The condition `Ready`.
#[expect(clippy::needless_pass_by_value, reason = "a judgement is written once and then done with")]
pub(super) fn note_ready(context: &Context, record: &mut Record, judgement: Judgement) {
    let generation = record.generation();
    set_condition(&mut record.status.conditions, &judgement, generation, context.clock.now());
}

/// An error of the run, in the status. `false`: nothing worth writing.
pub(super) fn note_failure(
    context: &Context,
    record: &mut Record,
    error: &ReconcileError,
    text: &str,
) -> bool {
    match error.class() {
        Class::Waiting => false,
        // The camp that stands is none the worse for a forge or an API server that can't be asked for a moment.
        Class::Transient | Class::UserMustAct
            if matches!(
                error,
                ReconcileError::Forge(_)
                    | ReconcileError::Record { .. }
                    | ReconcileError::AnotherRepository { .. }
                    | ReconcileError::NoRepository { .. }
            ) && record.status.phase.is_some_and(|phase| phase != Phase::Failed) =>
        {
            observe::note_observed(context, record, Some(text));
            true
        }
        Class::Transient | Class::UserMustAct => {
            if record.status.phase.is_none() || error.class() == Class::UserMustAct {
                record.status.phase = Some(Phase::Failed);
            }
            record.status.reason = Some(bounded(text, 1024));
            note_ready(context, record, Judgement::no("Ready", error.category(), text));
            true
        }
    }
}

/// What people are told of an error; `None` when it concerns nobody (yet), or can't be told.
pub(super) fn failure_of(record: &Record, error: &ReconcileError, lasts: bool) -> Option<Failure> {
    let plain = |reason: String| Some(Failure { reason, incident: None });
    if error.class() != Class::UserMustAct && !lasts {
        return None;
    }
    match error {
        ReconcileError::Apply(refusal) if error.class() == Class::UserMustAct => {
            plain(refusal.to_string())
        }
        // What stands below a failed fetch is of the network and nobody else's business.
        ReconcileError::Source(SourceError::Fetch(cause)) => plain(format!("{error}: {cause}")),
        ReconcileError::CampUnusable { .. } | ReconcileError::Grant { .. } => {
            plain(error.to_string())
        }
        ReconcileError::Guardrails(cause) => plain(cause.to_string()),
        ReconcileError::Source(_) | ReconcileError::Apply(_) => Some(Failure {
            reason: "something failed inside of the service; it is tried again by itself".into(),
            incident: Some(incident(record, error)),
        }),
        _ => None,
    }
}

/// Derived from what failed and where, so that it stays the same at each new try.
pub(super) fn incident(record: &Record, error: &ReconcileError) -> String {
    let digest = crate::domain::bundle::sha256_hex(
        format!("{}\n{}", error.category(), record.uid()).as_bytes(),
    );
    digest.get(..8).unwrap_or_default().to_owned()
}

/// Makes the comment say what went wrong.
pub(super) fn tell_failure(context: &Context, record: &Record, served: &Served, failure: Failure) {
    let telling = Telling {
        absence: None,
        blocked: None,
        health: None,
        silent: Vec::new(),
        overdue: None,
        failure: Some(failure),
    };
    tell(context, record, served, &telling);
}

/// Makes the comment say what the record says, soon and beside the run.
pub(super) fn tell(context: &Context, record: &Record, served: &Served, telling: &Telling) {
    marks::offer(context, record, served);
    // A branch has nothing that a comment could be on: its check and its deployment say all.
    let pull_request = number_of(record);
    let Some(pull_request) = pull_request.filter(|_| served.repository.spec.report.comment) else {
        context.teller.withdraw(record.name());
        return;
    };
    let report = record.status.report.as_ref();
    let recorded = report.and_then(|report| report.comment.clone());
    // A pull request that never had a camp nor a comment is left in peace: nobody asked for one.
    let first = context.teller.told(record.uid(), recorded.as_ref()).is_none()
        && matches!(
            telling.absence,
            Some(Absence::SourceClosed | Absence::NotSelected | Absence::RecordDeleted)
        );
    if first && !report.is_some_and(|report| report.making) {
        context.teller.withdraw(record.name());
        return;
    }
    let about = record.status.head.as_ref();
    let job = Job {
        record: record.name().to_owned(),
        uid: record.uid().to_owned(),
        forge: served.forge.clone(),
        kind: kind_of(&shown(record, telling, false)),
        pull_request,
        about: about.map(|head| (head.revision.clone(), State::from(head.state))),
        recorded,
        text: text_of(context, record, served, telling, true),
        basis: text_of(context, record, served, telling, false).hash().to_owned(),
        makes: !first,
    };
    context.teller.offer(job, context.clock.now());
}

fn text_of(
    context: &Context,
    record: &Record,
    served: &Served,
    telling: &Telling,
    with_log: bool,
) -> CommentText {
    let status = &record.status;
    let pinned = pin::held(record);
    let head = match &pinned {
        Some(pinned) => Some(pinned.revision.clone()),
        None => status.head.as_ref().and_then(|head| Revision::parse(&head.revision).ok()),
    };
    let web = context.clone_url(&served.repository);
    let web = web.trim_end_matches(".git");
    let view = CommentView {
        instance: context.instance.name.as_str().to_owned(),
        namespace: context.namespace.clone(),
        environment: record.name().to_owned(),
        prefix: served.repository.spec.commands.prefix.clone(),
        revision: head.map(|revision| page(web, revision)),
        merged_with: status
            .head
            .as_ref()
            .and_then(|head| head.merged_with.as_deref())
            .and_then(|base| Revision::parse(base).ok())
            .map(|base| page(web, base)),
        phase: shown(record, telling, with_log),
        // An address is one once its namespace is there.
        apps: status
            .urls
            .iter()
            .filter(|_| status.namespace_uid.is_some())
            .map(|entry| AppUrl { app: entry.app.clone(), url: entry.url.clone() })
            .collect(),
        expires_at: status.expires_at.map(|at| at.0),
        ending: ending(record),
        took: took(record),
        rendered_from: status
            .rendered_from
            .iter()
            .map(|from| RenderedFrom { path: from.path.clone(), guessed: from.guessed })
            .collect(),
        changes: status.changes.as_ref().and_then(|changes| notes::changes(web, changes)),
        notes: notes::notes(record),
        log_of_end: notes::log_of_end(record).filter(|_| with_log),
        why: status.why.iter().map(|why| format!("{}: {}", why.rule, why.answer)).collect(),
    };
    crate::domain::comment::render(&view)
}

/// A commit with its page at the forge.
fn page(web: &str, revision: Revision) -> Commit {
    Commit { url: format!("{web}/commit/{revision}"), revision }
}

/// What people are warned of, while the camp's end is near.
fn ending(record: &Record) -> Option<Ending> {
    let condition = record.status.condition(observe::EXPIRING)?;
    let renewable = condition.reason != observe::LONGEST_LIFE_ENDS;
    Some(Ending { at: record.status.expires_at?.0, renewable })
}

fn shown(record: &Record, telling: &Telling, with_log: bool) -> Shown {
    let status = &record.status;
    if let Some(Failure { reason, incident }) = &telling.failure {
        let (reason, incident) = (reason.clone(), incident.clone());
        return Shown::Failed { reason, hint: None, log: None, incident };
    }
    let reason = status.reason.clone().unwrap_or_default();
    if status.phase == Some(Phase::TearingDown)
        && (telling.absence == Some(Absence::SourceClosed) || telling.blocked.is_some())
    {
        return Shown::Closing { blocked_by: telling.blocked.clone() };
    }
    match telling.absence {
        Some(Absence::SourceClosed) => return closed(record),
        Some(Absence::WantedDown) => return Shown::Down,
        Some(Absence::Expired) => {
            let at = status.expired_at.map_or(DateTime::<Utc>::UNIX_EPOCH, |at| at.0);
            return Shown::Expired { at };
        }
        Some(Absence::UntrustedDenied) => return Shown::Forbidden { reason },
        Some(Absence::NotSelected | Absence::RecordDeleted) => {
            return Shown::NotEligible { reason };
        }
        Some(Absence::WaitingForApproval) => {
            return match status.head.as_ref().and_then(|head| Revision::parse(&head.base).ok()) {
                Some(base) => Shown::AwaitingApproval { reason, base },
                None => Shown::NotEligible { reason },
            };
        }
        Some(Absence::Conflict) => return Shown::Conflict { reason, running: None },
        Some(Absence::Queued) => return Shown::Queued { reason },
        None => {}
    }
    if let Some(reason) =
        status.head.as_ref().and_then(merge::conflict).filter(|_| pin::held(record).is_none())
    {
        let running = status.revision.as_deref().and_then(|running| Revision::parse(running).ok());
        return Shown::Conflict { reason, running };
    }
    let log = || {
        let health =
            telling.health.as_ref().filter(|health| with_log && !health.log_tail.is_empty())?;
        Some(LogTail {
            of: health.log_of.clone(),
            lines: health.log_tail.lines().map(str::to_owned).collect(),
        })
    };
    match status.phase {
        Some(Phase::Ready) => Shown::Ready,
        Some(Phase::Asleep) => Shown::Asleep { reason },
        Some(Phase::Degraded) => {
            let mut problems = telling.problems();
            if problems.is_empty() {
                problems.push(Problem { text: reason, hint: None });
            }
            Shown::Degraded { overdue: telling.overdue.clone(), problems, log: log() }
        }
        Some(Phase::Refused) => {
            Shown::Refused { findings: status.findings.iter().map(finding).collect() }
        }
        Some(Phase::Failed) => Shown::Failed { reason, hint: None, log: log(), incident: None },
        _ if is_held_back(record) => Shown::Working { stage: reason },
        _ if merge::is_awaited(record) => {
            Shown::Working { stage: "merged with the base branch by the forge, for a try".into() }
        }
        _ if status.power.is_some_and(|power| power.asleep) => {
            Shown::Working { stage: "woken".into() }
        }
        _ => Shown::Working { stage: "rendered and applied".into() },
    }
}

/// The commit waits for checks or images, and the reason says for which.
fn is_held_back(record: &Record) -> bool {
    let admission = record.status.admission.as_ref();
    admission.is_some_and(|admission| admission.state == AdmissionState::Waiting)
        && record.status.condition("Ready").is_some_and(|ready| ready.reason == "Awaiting")
}

/// What of it somebody waits for.
fn kind_of(shown: &Shown) -> WriteKind {
    match shown {
        Shown::Working { .. } | Shown::Asleep { .. } | Shown::Closing { blocked_by: None } => {
            WriteKind::Progress
        }
        Shown::Ready => WriteKind::Url,
        Shown::Queued { .. } => WriteKind::QueueMove,
        Shown::Degraded { .. }
        | Shown::Failed { .. }
        | Shown::Conflict { .. }
        | Shown::Closing { .. } => WriteKind::Failure,
        Shown::Refused { .. }
        | Shown::Forbidden { .. }
        | Shown::NotEligible { .. }
        | Shown::AwaitingApproval { .. } => WriteKind::Refusal,
        Shown::Closed { .. } | Shown::Down | Shown::Expired { .. } => WriteKind::Closing,
    }
}

fn closed(record: &Record) -> Shown {
    let status = &record.status;
    let last = status.last_camp.as_ref();
    let revisions: std::collections::BTreeSet<&str> =
        status.history.iter().map(|entry| entry.revision.as_str()).collect();
    Shown::Closed {
        lived: last.and_then(|camp| (camp.until.0 - camp.since.0).to_std().ok()),
        revisions: u32::try_from(revisions.len()).unwrap_or(u32::MAX),
        last_url: last.and_then(|camp| camp.url.clone()),
    }
}

fn finding(entry: &FindingEntry) -> Finding {
    Finding {
        rule: entry.rule.clone(),
        file: entry.file.clone(),
        line: entry.line.and_then(|line| u32::try_from(line).ok()),
        message: entry.message.clone(),
        hint: entry.hint.clone(),
    }
}

/// From the commit being seen to ready for the first time, in whole seconds; for the running head only. Other rules or
/// another base may have it rendered again, which is not what people waited for.
fn took(record: &Record) -> Option<Duration> {
    let status = &record.status;
    let head =
        status.head.as_ref().filter(|head| status.revision.as_deref() == Some(&head.revision))?;
    let of_head = status.history.iter().filter(|entry| entry.revision == head.revision);
    let ready_at = of_head.filter_map(|entry| entry.ready_at).map(|at| at.0).min()?;
    (ready_at - head.seen_at.0).to_std().ok()
}
