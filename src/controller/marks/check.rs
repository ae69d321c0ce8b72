//! The check of a record's head: what it is to say, and whether that was told. I/O with the forge.

use super::queue::Scope;
use super::standing::{head, row};
use super::{Brought, Job, Told, report_of};
use crate::controller::Context;
use crate::crd::{CheckRecord, Environment};
use crate::domain::check::{
    CheckContent, CheckView, Conclusion, Standing, content, external_id, name,
};
use crate::domain::id::Revision;
use crate::forge::ForgeError;
use crate::report::check::{CheckKind, CheckPlan, RecordedCheck, check_kind, post_check};

/// What buttons ask for becomes Requests.
const BUTTONS: bool = true;

/// Records of the job's Repository whose head is `revision`, with the job's own as it is here.
fn group(
    context: &Context,
    job: &Job,
    own: &Environment,
    gone: bool,
    revision: &Revision,
) -> Vec<Environment> {
    let at = |record: &Environment| head(record).as_ref() == Some(revision);
    let others = context.all_records().into_iter().filter(|record| {
        record.spec.repository == job.repository() && record.metadata.name != own.metadata.name
    });
    let mut all: Vec<Environment> =
        others.filter(|record| at(record)).map(|record| (*record).clone()).collect();
    if !gone && at(own) {
        all.push(own.clone());
    }
    all
}

/// What the check of a commit says.
fn view(
    context: &Context,
    job: &Job,
    own: &Environment,
    gone: bool,
    at: &Revision,
) -> (CheckContent, Vec<Environment>) {
    let records = group(context, job, own, gone, at);
    // Somebody who closes what is not theirs leaves the row of those who go on.
    let (open, closed): (Vec<_>, Vec<_>) =
        records.iter().map(row).partition(|row| row.standing != Standing::Gone);
    let newer = head(own).filter(|head| head != at && !gone);
    let view = CheckView {
        rows: if open.is_empty() && newer.is_none() { closed } else { open },
        superseded_by: newer,
        details: Some(job.page(own)),
        buttons: BUTTONS,
    };
    (content(&view), records)
}

fn recorded(record: &Environment) -> Option<&CheckRecord> {
    report_of(record)?.check.as_ref()
}

/// Something that nobody has to be told who was told nothing before.
fn is_nobodys_business(job: &Job, content: &CheckContent) -> bool {
    // A check run says why there is no preview. A green status says only that there is something green.
    content.is_idle() && (!job.forge.is_app() || content.conclusion != Some(Conclusion::Skipped))
}

/// Names what is to be told; `None` when it is told already.
pub(super) fn due(
    context: &Context,
    job: &Job,
    record: &Environment,
    gone: bool,
) -> Option<String> {
    let recorded = recorded(record);
    if !job.policy.check {
        return recorded.map(|_| "off".to_owned());
    }
    let at = head(record)?;
    let (content, _) = view(context, job, record, gone, &at);
    let basis = basis(&at, &content);
    match recorded {
        Some(known) if known.revision != at.as_str() => Some(basis),
        Some(known) => {
            let same =
                known.hash == content.hash() && known.annotations == content.annotations_hash();
            (!same).then_some(basis)
        }
        None => (!is_nobodys_business(job, &content)).then_some(basis),
    }
}

/// Tells it.
pub(super) async fn bring(
    context: &Context,
    job: &Job,
    record: &Environment,
    gone: bool,
    told: &mut Told,
) -> Result<Brought, ForgeError> {
    let kind = check_kind(&job.forge).await?;
    if kind == CheckKind::None {
        return Ok(Brought::NotWanted(Scope::Repository));
    }
    let recorded = recorded(record);
    if !job.policy.check {
        if let Some(known) = recorded {
            let off =
                content(&CheckView { details: Some(job.page(record)), ..CheckView::default() });
            finish(context, job, known, off, kind).await?;
            note(told, record, None);
        }
        return Ok(Brought::Done);
    }
    let Some(at) = head(record) else { return Ok(Brought::Done) };
    // The check of the head of before, first: two that look alike would be one too many.
    if let Some(before) = recorded.filter(|known| known.revision != at.as_str())
        && let Ok(old) = Revision::parse(&before.revision)
    {
        let (content, others) = view(context, job, record, gone, &old);
        if others.is_empty() {
            finish(context, job, before, content, kind).await?;
        } else {
            let posted = post(context, job, &old, content, Some(before), kind).await?;
            for other in &others {
                // One that is closed has no part in it any more.
                let open = row(other).standing != Standing::Gone;
                note(told, other, open.then(|| record_of(&old, &posted)));
            }
        }
    }
    let (content, all) = view(context, job, record, gone, &at);
    let own = recorded.filter(|known| known.revision == at.as_str());
    let idle_status = kind == CheckKind::Status && content.is_idle();
    if own.is_none() && (idle_status || is_nobodys_business(job, &content)) {
        note(told, record, None);
        let basis = basis(&at, &content);
        return Ok(Brought::NotWanted(Scope::Text(basis)));
    }
    // Progress is left out when the rate is short; what comes of it is not.
    if content.conclusion.is_none() && job.forge.is_short() {
        return Ok(Brought::LeftOut);
    }
    // Another pull request of the same head may have one already.
    let known = own.or_else(|| {
        all.iter().filter_map(self::recorded).find(|known| known.revision == at.as_str())
    });
    let posted = post(context, job, &at, content, known, kind).await?;
    for other in &all {
        note(told, other, Some(record_of(&at, &posted)));
    }
    Ok(Brought::Done)
}

fn basis(at: &Revision, content: &CheckContent) -> String {
    format!("{at} {} {}", content.hash(), content.annotations_hash())
}

fn note(told: &mut Told, record: &Environment, check: Option<CheckRecord>) {
    let name = record.metadata.name.clone().unwrap_or_default();
    let uid = record.metadata.uid.clone().unwrap_or_default();
    told.checks.retain(|(of, whose, _)| (of, whose) != (&name, &uid));
    told.checks.push((name, uid, check));
}

/// The last word on a commit. A status that is concluded is left as it is: a thousand of them is all that a commit may
/// have, and its link is no promise.
async fn finish(
    context: &Context,
    job: &Job,
    known: &CheckRecord,
    content: CheckContent,
    kind: CheckKind,
) -> Result<(), ForgeError> {
    let Ok(at) = Revision::parse(&known.revision) else { return Ok(()) };
    if kind == CheckKind::Status && !known.open {
        return Ok(());
    }
    match post(context, job, &at, content, Some(known), kind).await {
        // Commits of a deleted branch go some time.
        Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. } | ForgeError::Invalid { .. }) => {
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

async fn post(
    context: &Context,
    job: &Job,
    at: &Revision,
    content: CheckContent,
    known: Option<&CheckRecord>,
    kind: CheckKind,
) -> Result<RecordedCheck, ForgeError> {
    let instance = context.instance.name.as_str();
    let plan = CheckPlan {
        revision: at.clone(),
        name: name(instance),
        external_id: external_id(instance, at),
        content,
        recorded: known.map(|known| RecordedCheck {
            id: known.id.and_then(|id| u64::try_from(id).ok()),
            hash: known.hash.clone(),
            annotations: known.annotations.clone(),
            open: known.open,
        }),
    };
    post_check(&job.forge, &plan, kind).await
}

fn record_of(at: &Revision, posted: &RecordedCheck) -> CheckRecord {
    CheckRecord {
        revision: at.as_str().to_owned(),
        id: posted.id.and_then(|id| i64::try_from(id).ok()),
        hash: posted.hash.clone(),
        annotations: posted.annotations.clone(),
        open: posted.open,
    }
}
