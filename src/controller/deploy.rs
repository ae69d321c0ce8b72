//! Stage *apply* of a camp that is to stand. I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;

use super::build::{self, FINDINGS, Refusal, Unbuilt, finding_entry, refused};
use super::error::{ReconcileError, chain};
use super::fence::Fence;
use super::history;
use super::look::{QUIET, look};
use super::merge::{self, Rendered};
use super::observe::{self, number_of};
use super::pin::{self, Pinned};
use super::reconcile::Served;
use super::record::Record;
use super::retry::Next;
use super::stored::stored_or_built;
use super::tell::{self, Telling};
use super::{Context, camp, dry_run, guardrails};
use crate::apply::{self, ApplyError, Deployer, Entry, Prepared, Sharing};
use crate::crd::{FindingEntry, InventoryEntry, Phase, set_condition};
use crate::domain::bundle::Bundle;
use crate::domain::decision::{Action, Decision};
use crate::domain::finding::{BuildRule, Finding};
use crate::domain::guard::GuardPolicy;
use crate::domain::id::Revision;
use crate::domain::naming;
use crate::domain::render_inputs::{ClusterFacts, RenderInputs, RenderRules};
use crate::domain::status::{Judgement, bounded};

/// Reason of a bundle that the camp's quota has no room for.
const OVER_QUOTA: &str = "OverQuota";
/// What a camp refuses for so long after its deployer was bound may be on its way.
const SETTLING: TimeDelta = TimeDelta::seconds(10);
/// Entries of an inventory, as its schema has it.
const INVENTORY: usize = 1000;

/// Makes the camp what the head commit says, and looks how it does.
pub(super) async fn bring_up(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
) -> Result<Next, ReconcileError> {
    let now = context.clock.now();
    camp::assign_names(context, record, &served.policy, now).await?;
    record.status.expires_at = observe::end_of(record, &served.policy).map(Into::into);
    let pinned = pin::held(record);
    let rendered = match &pinned {
        Some(Pinned { merge, .. }) => merge.clone().map_or(Rendered::Head, Rendered::Merge),
        None => merge::rendered(record, served.policy.at),
    };
    let merge = match rendered {
        Rendered::Head => None,
        Rendered::Merge(commit) => Some(commit),
        Rendered::Conflict(why) => {
            guardrails::keep(context, record, served, None).await?;
            return hold(context, record, served, decision, &why).await;
        }
        Rendered::Awaited => {
            guardrails::keep(context, record, served, None).await?;
            return await_merge(context, record, served, decision).await;
        }
    };
    let facts = context.target.facts().await.map_err(ReconcileError::Apply)?;
    let mut inputs = inputs(record, served, pinned.as_ref(), merge, &facts)?;
    let same = record.status.inputs_digest.as_ref().is_some_and(|known| {
        *known == inputs.inputs_digest() || *known == inputs.digest_with(&facts)
    });
    if same
        && record.status.condition("Rendered").is_some_and(|c| c.status == "False")
        && !fits_now(context, record, served, &mut inputs).await?
    {
        guardrails::keep(context, record, served, None).await?;
        // A commit that can't be rendered stays so; only other inputs help.
        show_refusal(context, record);
        record.save(context).await?;
        tell::tell(context, record, served, &Telling::of(decision));
        return Ok(until(context, record, context.intervals.resync));
    }
    // A camp that somebody deleted is made again from its first object on.
    let stands = decision.action == Action::Keep && record.status.namespace_uid.is_some();
    if same && record.status.holds("Applied") && stands {
        guardrails::keep(context, record, served, Some(&inputs)).await?;
        return look(context, record, served, decision).await;
    }
    // What the cluster refused is asked again, and told only when the answer differs.
    let again = same && dry_run::is_refused(record);
    if !again {
        note_on_its_way(context, record, &inputs.revision);
    }
    let known = inputs.clone();
    let before_build = fence_of(context, record, served, &known);
    let back_to = pinned.as_ref().map(|pinned| pinned.digest.as_str());
    let built = stored_or_built(context, served, record, &mut inputs, back_to, &before_build).await;
    // Hosts may have been assigned meanwhile: this is the digest that the next run computes.
    let digest = inputs.inputs_digest();
    let bundle = match built {
        Ok(bundle) => bundle,
        Err(Unbuilt::Refused(refusal)) => {
            // What the cluster lacks may come: then it is tried again.
            let lacks = refusal.reason == build::LACKS;
            let digest = if lacks { inputs.digest_with(&facts) } else { digest };
            return refuse(context, record, served, decision, digest, refusal).await;
        }
        Err(Unbuilt::Failed(error)) => return Err(error),
    };
    if !apply::Fence::holds(&before_build).await {
        return Err(ReconcileError::Apply(ApplyError::Superseded));
    }
    record.status.inputs_digest = Some(digest.clone());
    let before = inventory_of(record);
    let union = apply::union(&before, &bundle);
    if union.len() > INVENTORY {
        let message = format!(
            "{} objects of earlier commits are not pruned yet, and this commit has {}: together more than {INVENTORY}",
            before.len(),
            bundle.objects.len()
        );
        let finding = Finding::of(BuildRule::RenderLimit, message);
        let Unbuilt::Refused(refusal) = refused("TooManyObjects", &finding) else {
            return Err(ReconcileError::Stale);
        };
        return refuse(context, record, served, decision, digest, refusal).await;
    }
    if !again {
        note_applying(context, record, &inputs.revision, &bundle);
        record.status.inventory = to_status(&union);
    }
    record.save(context).await?;

    let fence = fence_of(context, record, served, &inputs);
    let (prepared, ours) = guardrails::prepared(context, record, served, &inputs, &fence).await?;
    record.status.namespace_uid = Some(prepared.uid.clone());
    let over = guardrails::over_quota(&bundle, &prepared.quotas, &ours);
    if !over.is_empty() {
        record.status.inventory = to_status(&before);
        return refuse(context, record, served, decision, digest, over_quota(&over)).await;
    }
    let deployer = deployer(context, record, served, &bundle, prepared);
    // A bundle that was applied whole has passed; putting it back needs no second opinion.
    if again || record.status.digest.as_deref() != Some(bundle.digest.as_str()) {
        match apply::dry_run(&deployer, &bundle, &fence).await {
            Ok(remarks) => dry_run::note(record, &remarks),
            Err(error @ ApplyError::RefusedWhole { .. }) => {
                let before = to_status(&before);
                return dry_run::refuse(context, record, served, decision, &before, &error).await;
            }
            Err(error) => return Err(apply_failed(context, record, error)),
        }
    }
    if again {
        note_on_its_way(context, record, &inputs.revision);
        note_applying(context, record, &inputs.revision, &bundle);
        record.status.inventory = to_status(&union);
        record.save(context).await?;
    }
    let applied = apply::apply_bundle(&deployer, &bundle, &before, &fence).await;
    // Also when the run was cut off: what is left to others stays so.
    record.status.yielded = dry_run::yielded_to_status(deployer.yielded());
    let applied = applied.map_err(|error| apply_failed(context, record, error))?;
    deployer.end_run();
    note_applied(context, record, &inputs, &bundle, &applied, pinned.as_ref());
    record.save(context).await?;
    look(context, record, served, decision).await
}

/// The deployer of a prepared camp, for one run with `bundle`.
fn deployer(
    context: &Context,
    record: &Record,
    served: &Served,
    bundle: &Bundle,
    Prepared { uid, bound_at, .. }: Prepared,
) -> Deployer {
    // At most from now on: the target's clock may be ahead of ours.
    let now = context.clock.now();
    let settled = bound_at.map_or(now, |at| at + SETTLING).min(now + SETTLING);
    let namespace = record.status.namespace.as_deref().unwrap_or_default();
    let known = dry_run::yielded_of(record);
    let sharing = Sharing { rules: &served.policy.isolation.yields, known: &known };
    Deployer::of(&context.target, namespace)
        .patient_until(&context.clock, settled)
        .for_run(&uid, bundle, sharing, now)
}

/// People see that something is being done for the commit.
fn note_on_its_way(context: &Context, record: &mut Record, revision: &Revision) {
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

/// The fence around what is done for the record as it is stored now.
fn fence_of<'a>(
    context: &'a Context,
    record: &Record,
    served: &'a Served,
    inputs: &'a RenderInputs,
) -> Fence<'a> {
    let Served { repository, forge, policy: _ } = served;
    let handled = record.status.handled_hint.as_deref();
    Fence::new(context, forge, record.stored(), handled, number_of(record), inputs, repository)
}

/// All inputs of the bundle, from the recorded names and the policy.
fn inputs(
    record: &Record,
    served: &Served,
    pinned: Option<&Pinned>,
    merge: Option<Revision>,
    facts: &ClusterFacts,
) -> Result<RenderInputs, ReconcileError> {
    let status = &record.status;
    let head = status.head.as_ref();
    let revision = match pinned {
        Some(pinned) => pinned.revision.clone(),
        None => head
            .and_then(|head| Revision::parse(&head.revision).ok())
            .ok_or(ReconcileError::Stale)?,
    };
    let policy = &served.policy;
    // A chart must not make what the guard refuses, only because the cluster would have it.
    let allowed = GuardPolicy::of(policy, "", &[]).allowed_kinds;
    let mut inputs = RenderInputs {
        revision,
        merge,
        repository: served.forge.name().clone(),
        environment: record.name().to_owned(),
        namespace: status.namespace.clone().unwrap_or_default(),
        host: String::new(),
        url: String::new(),
        app_hosts: BTreeMap::new(),
        pull_request: Some(number_of(record)),
        branch_slug: naming::slug(head.map_or("", |head| &head.branch), naming::LABEL_MAX),
        parameters: record.stored().spec.parameters.clone(),
        rules: RenderRules::of(policy),
        policy: RenderInputs::policy_of(policy),
        cluster: facts.of_kinds(&allowed),
    };
    camp::hosts_into(&mut inputs, record);
    Ok(inputs)
}

/// Head and base contradict each other: there is nothing new to render, and what stands goes on.
async fn hold(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    why: &str,
) -> Result<Next, ReconcileError> {
    let goes_on = record.status.short_revision.as_ref();
    let goes_on = goes_on.map(|short| format!("; commit {short} goes on")).unwrap_or_default();
    record.status.findings.clear();
    // What comes after it is looked at anew, whatever was rendered before.
    record.status.inputs_digest = None;
    record.status.phase = Some(Phase::Refused);
    record.status.reason = Some(bounded(&format!("{why}{goes_on}"), 1024));
    judge(context, record, &Judgement::no("Rendered", "Conflict", why));
    judge(context, record, &Judgement::no("Ready", "Conflict", why));
    record.save(context).await?;
    tell::tell(context, record, served, &Telling::of(decision));
    Ok(until(context, record, context.intervals.resync))
}

/// The forge has not said yet whether head and base can be merged.
async fn await_merge(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
) -> Result<Next, ReconcileError> {
    let why = "waits for the forge to try the merge with the base branch";
    record.status.phase = Some(Phase::Progressing);
    record.status.reason = Some(why.into());
    judge(context, record, &Judgement::no("Ready", "Progressing", why));
    record.save(context).await?;
    if merge::awaited_for(record, context.clock.now()) >= QUIET {
        tell::tell(context, record, served, &Telling::of(decision));
    }
    Ok(until(context, record, context.intervals.resync))
}

/// Whether a bundle that was too large for the camp's quota fits by now: somebody may have raised it. Only then is
/// anything else done about it.
async fn fits_now(
    context: &Context,
    record: &mut Record,
    served: &Served,
    inputs: &mut RenderInputs,
) -> Result<bool, ReconcileError> {
    let over = record.status.condition("Rendered").is_some_and(|c| c.reason == OVER_QUOTA);
    if !over || record.status.namespace_uid.is_none() {
        return Ok(false);
    }
    let known = inputs.clone();
    let fence = fence_of(context, record, served, &known);
    let Ok(bundle) = stored_or_built(context, served, record, inputs, None, &fence).await else {
        return Ok(false);
    };
    guardrails::fits(context, record, served, inputs, &bundle).await
}

fn over_quota(over: &[Finding]) -> Refusal {
    let findings = over.iter().take(FINDINGS).map(finding_entry).collect();
    Refusal { reason: OVER_QUOTA, findings }
}

/// The commit is refused: nothing of it is written, and what stood before goes on standing.
async fn refuse(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    digest: String,
    refusal: Refusal,
) -> Result<Next, ReconcileError> {
    let Refusal { reason, findings } = refusal;
    record.status.findings = findings;
    record.status.inputs_digest = Some(digest);
    let all = refusal_lines(record);
    judge(context, record, &Judgement::no("Rendered", reason, all.join("; ")));
    show_refusal(context, record);
    record.save(context).await?;
    tell::tell(context, record, served, &Telling::of(decision));
    Ok(until(context, record, context.intervals.resync))
}

/// Phase, reason and `Ready` of a refused commit, from its findings: an error in between may have put others there.
fn show_refusal(context: &Context, record: &mut Record) {
    let first = refusal_lines(record).into_iter().next().unwrap_or_default();
    let reason = record.status.condition("Rendered").map_or("Refused", |rendered| {
        match rendered.reason.as_str() {
            "SourceRefused" => "SourceRefused",
            "RenderFailed" => "RenderFailed",
            "GuardRefused" => "GuardRefused",
            build::LACKS => build::LACKS,
            OVER_QUOTA => OVER_QUOTA,
            _ => "Refused",
        }
    });
    record.status.phase = Some(Phase::Refused);
    record.status.reason = Some(bounded(&first, 1024));
    judge(context, record, &Judgement::no("Ready", reason, first));
}

/// One line for each finding.
fn refusal_lines(record: &Record) -> Vec<String> {
    let line = |finding: &FindingEntry| match (&finding.file, finding.line) {
        (Some(file), Some(line)) => {
            format!("{file}:{line}: {} ({})", finding.message, finding.rule)
        }
        (Some(file), None) => format!("{file}: {} ({})", finding.message, finding.rule),
        _ => format!("{} ({})", finding.message, finding.rule),
    };
    record.status.findings.iter().map(line).collect()
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
    for (entry, conflict) in &applied.forced {
        tracing::info!(
            environment.name = record.name(),
            object.kind = entry.kind,
            object.name = entry.name,
            "fields were taken back: {conflict}"
        );
    }
    for (entry, fields) in &applied.replaced {
        tracing::info!(
            environment.name = record.name(),
            object.kind = entry.kind,
            object.name = entry.name,
            "made anew, since it can't be changed: {fields}"
        );
    }
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
    let status = &mut record.status;
    status.inventory = to_status(&applied.inventory);
    status.revision = Some(revision.as_str().to_owned());
    status.short_revision = Some(revision.short().to_owned());
    status.digest = Some(bundle.digest.clone());
    history::note_applied(record, revision, inputs.merge.as_ref(), &bundle.digest, pinned, now);
}

/// The pause until the next look, cut at the camp's end.
pub(super) fn until(context: &Context, record: &Record, pause: Duration) -> Next {
    let left = record
        .status
        .expires_at
        .map_or(Duration::MAX, |at| (at.0 - context.clock.now()).to_std().unwrap_or_default());
    Next::requeue(context.rng.jitter(pause, 10).min(left.saturating_add(Duration::from_secs(1))))
}

pub(super) fn judge(context: &Context, record: &mut Record, judgement: &Judgement) {
    let generation = record.generation();
    set_condition(&mut record.status.conditions, judgement, generation, context.clock.now());
}

pub(super) fn inventory_of(record: &Record) -> Vec<Entry> {
    let entries = record.status.inventory.iter().cloned();
    entries
        .map(|InventoryEntry { api_version, kind, name }| Entry { api_version, kind, name })
        .collect()
}

fn to_status(inventory: &[Entry]) -> Vec<InventoryEntry> {
    let entries = inventory.iter().cloned();
    entries
        .map(|Entry { api_version, kind, name }| InventoryEntry { api_version, kind, name })
        .collect()
}
