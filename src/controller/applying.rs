//! Stage *apply* of a bundle that is built: guardrails, quota, dry run, then wave by wave. I/O.

use chrono::TimeDelta;

use super::build::{Unbuilt, refused};
use super::deploy::{fence_of, judge, over_quota, refuse};
use super::drift::marked;
use super::error::{ReconcileError, chain};
use super::look::look;
use super::pin::Pinned;
use super::power::{self, Turn};
use super::reconcile::Served;
use super::record::Record;
use super::retry::Next;
use super::waves::{self, Apply, Camp, Paused};
use super::{Context, changes, dry_run, guardrails, history, measure, passing, urls};
use crate::apply::{self, ApplyError, Deployer, Sharing};
use crate::crd::Phase;
use crate::domain::bundle::Bundle;
use crate::domain::decision::Decision;
use crate::domain::finding::{BuildRule, Finding};
use crate::domain::gate;
use crate::domain::id::Revision;
use crate::domain::power::State;
use crate::domain::render_inputs::RenderInputs;
use crate::domain::status::Judgement;
use crate::telemetry::metrics::APPLIES;

/// What a camp refuses for so long after its deployer was bound may be on its way.
const SETTLING: TimeDelta = TimeDelta::seconds(10);
/// Entries of an inventory, as its schema has it.
const INVENTORY: usize = 1000;

/// A bundle, and what it was built for.
pub(super) struct Built {
    pub(super) inputs: RenderInputs,
    pub(super) bundle: Bundle,
    /// Of the inputs.
    pub(super) digest: String,
    pub(super) camp: Camp,
    /// The cluster refused it before.
    pub(super) again: bool,
    pub(super) pinned: Option<Pinned>,
    /// Whether the camp sleeps, and whether that changes.
    pub(super) turn: Turn,
}

/// More than an inventory holds, with what is not pruned yet.
fn too_many(before: usize, bundle: &Bundle) -> Unbuilt {
    let message = format!(
        "{before} objects of earlier commits are not pruned yet, and this commit has {}: together more than {INVENTORY}",
        bundle.objects.len()
    );
    refused("TooManyObjects", &Finding::of(BuildRule::RenderLimit, message))
}

/// Makes the camp what the bundle says.
pub(super) async fn apply(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    built: &Built,
) -> Result<Next, ReconcileError> {
    let Built { inputs, bundle, digest, camp, again, pinned, turn } = built;
    record.status.inputs_digest = Some(digest.clone());
    // What is sent; what is recorded is the bundle itself.
    let leads = passing::passes(context, &served.policy);
    let ways = gate::routes(bundle);
    if leads && !ways.misfits.is_empty() {
        let refusal = passing::misfits(&ways);
        return refuse(context, record, served, decision, digest.clone(), refusal).await;
    }
    let sent = passing::sent(bundle, leads, turn.state());
    let mode = turn.mode(context, record, served);
    let mut apply = Apply::of(record, inputs.revision.as_str(), &sent, *camp, mode);
    if apply.union().len() > INVENTORY {
        let Unbuilt::Refused(refusal) = too_many(apply.before(), bundle) else {
            return Err(ReconcileError::Stale);
        };
        return refuse(context, record, served, decision, digest.clone(), refusal).await;
    }
    let before = (record.status.inventory.clone(), record.status.hooks.clone());
    let goes_on = apply.goes_on();
    if !goes_on && !again {
        note_applying(context, record, &inputs.revision, bundle);
        apply.note_begin(context, record);
    }
    // Before anything is sent: a run that is cut off may have put some of it to sleep.
    turn.note_begin(record, context.clock.now());
    if !goes_on {
        passing::note_begin(context, record, &ways, (leads, *turn));
        record.save(context).await?;
    }

    let fence = fence_of(context, record, served, inputs);
    let mut settled = None;
    if goes_on {
        guardrails::keep(context, record, served, Some(inputs)).await?;
    } else {
        let (prepared, ours) =
            guardrails::prepared(context, record, served, inputs, &fence).await?;
        record.status.namespace_uid = Some(prepared.uid.clone());
        let over = guardrails::over_quota(bundle, &prepared.quotas, &ours);
        if !over.is_empty() {
            (record.status.inventory, record.status.hooks) = before;
            let refusal = over_quota(&over);
            return refuse(context, record, served, decision, digest.clone(), refusal).await;
        }
        // At most from now on: the target's clock may be ahead of ours.
        let now = context.clock.now();
        let bound_at = prepared.bound_at;
        settled = Some(bound_at.map_or(now, |at| at + SETTLING).min(now + SETTLING));
    }
    let mut deployer = deployer(context, record, served, &sent);
    if let Some(settled) = settled {
        deployer = deployer.patient_until(&context.clock, settled);
    }
    // A bundle that was applied whole has passed; putting it back needs no second opinion.
    let passed = goes_on || record.status.digest.as_deref() == Some(bundle.digest.as_str());
    if *again || !passed {
        match apply::dry_run(&deployer, &sent, &fence).await {
            Ok(remarks) => dry_run::note(record, &remarks),
            Err(error @ ApplyError::RefusedWhole { .. }) => {
                let (inventory, hooks) = before;
                record.status.hooks = hooks;
                let inventory = &inventory;
                return dry_run::refuse(context, record, served, decision, inventory, &error).await;
            }
            Err(error) => return Err(apply_failed(context, record, error)),
        }
    }
    if *again && !goes_on {
        note_on_its_way(context, record, &inputs.revision);
        note_applying(context, record, &inputs.revision, bundle);
        apply.note_begin(context, record);
        record.save(context).await?;
    }
    if *turn == Turn::Wakes {
        deployer.wake(bundle).await.map_err(|error| apply_failed(context, record, error))?;
    }
    let began = context.clock.now();
    let ran = apply.run(context, record, &deployer, &fence).await;
    measure::took(context, &APPLIES, outcome(&ran), began);
    // Also when the run was cut off: what is left to others stays so.
    record.status.yielded = dry_run::yielded_to_status(deployer.yielded());
    let applied = match ran {
        Ok(Paused::No(applied)) => applied,
        Ok(Paused::Until(wait)) => {
            let short = inputs.revision.short();
            return waves::show(context, record, served, decision, short, wait).await;
        }
        Err(ReconcileError::Apply(error)) => return Err(apply_failed(context, record, error)),
        Err(error) => return Err(error),
    };
    deployer.end_run();
    changes::note(context, record, bundle).await;
    urls::note_routes(record, bundle, &served.policy);
    note_applied(context, record, inputs, bundle, &applied, pinned.as_ref());
    passing::note_end(context, record, &ways, leads);
    if turn.state() == State::Asleep {
        return power::rest(context, record, served, decision).await;
    }
    turn.note_end(record, context.clock.now());
    record.save(context).await?;
    look(context, record, served, decision).await
}

/// What became of an apply, in one word for metrics.
fn outcome(ran: &Result<Paused, ReconcileError>) -> &'static str {
    match ran {
        Ok(Paused::No(_)) => "done",
        Ok(Paused::Until(_)) => "paused",
        Err(_) => "failed",
    }
}

/// The deployer of a prepared camp, for one run with `bundle`.
fn deployer(context: &Context, record: &Record, served: &Served, bundle: &Bundle) -> Deployer {
    let namespace = record.status.namespace.as_deref().unwrap_or_default();
    let known = dry_run::yielded_of(record);
    let sharing = Sharing { rules: &served.policy.isolation.yields, known: &known };
    let uid = record.status.namespace_uid.as_deref().unwrap_or_default();
    Deployer::of(&context.target, namespace).for_run(uid, bundle, sharing, context.clock.now())
}

/// People see that something is being done for the commit.
pub(super) fn note_on_its_way(context: &Context, record: &mut Record, revision: &Revision) {
    let why = format!("commit {} is on its way", revision.short());
    record.status.phase = Some(Phase::Progressing);
    record.status.reason = Some(why.clone());
    judge(context, record, &Judgement::no("Ready", "Progressing", why));
}

/// The commit is rendered, and about to be applied.
fn note_applying(context: &Context, record: &mut Record, revision: &Revision, bundle: &Bundle) {
    record.status.findings.clear();
    let objects = format!("{} objects", bundle.objects.len());
    judge(context, record, &Judgement::yes("Rendered", "Rendered", objects));
    let commit = format!("commit {}", revision.short());
    judge(context, record, &Judgement::unknown("Applied", "Applying", commit));
}

/// Notes an error of the target in the condition, and hands it on.
fn apply_failed(context: &Context, record: &mut Record, error: ApplyError) -> ReconcileError {
    let reason = dry_run::reason_of(&error);
    judge(context, record, &Judgement::no("Applied", reason, chain(&error)));
    ReconcileError::Apply(error)
}

fn note_applied(
    context: &Context,
    record: &mut Record,
    inputs: &RenderInputs,
    bundle: &Bundle,
    applied: &apply::Applied,
    pinned: Option<&Pinned>,
) {
    let revision = &inputs.revision;
    let now = context.clock.now();
    let kept = match applied.kept.as_slice() {
        [] => String::new(),
        kept => format!("; {} objects that left the bundle could not be deleted yet", kept.len()),
    };
    let message = format!("commit {}{kept}", revision.short());
    // What could not be pruned is tried again by the next run.
    let judgement = if applied.kept.is_empty() {
        Judgement::yes("Applied", "Applied", message)
    } else {
        Judgement::no("Applied", "PruneIncomplete", message)
    };
    judge(context, record, &judgement);
    let inventory = marked(context, record, &applied.inventory);
    let status = &mut record.status;
    status.inventory = inventory;
    status.revision = Some(revision.as_str().to_owned());
    status.short_revision = Some(revision.short().to_owned());
    status.digest = Some(bundle.digest.clone());
    history::note_applied(record, revision, inputs.merge.as_ref(), &bundle.digest, pinned, now);
}
