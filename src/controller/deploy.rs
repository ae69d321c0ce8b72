//! Stage *apply* of a camp that is to stand. I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;

use super::Context;
use super::build::{Refusal, Unbuilt, refused};
use super::camp;
use super::drift::{self, marked};
use super::error::{ReconcileError, chain};
use super::fence::Fence;
use super::look::{QUIET, look};
use super::merge::{self, Rendered};
use super::observe::{self, camp_of, number_of};
use super::reconcile::Served;
use super::record::Record;
use super::retry::Next;
use super::stored::stored_or_built;
use super::tell::{self, Telling};
use crate::apply::{self, ApplyError, Deployer, Entry, Guardrails, Prepared};
use crate::crd::{FindingEntry, HistoryEntry, InventoryEntry, Phase, set_condition};
use crate::domain::bundle::Bundle;
use crate::domain::decision::{Action, Decision};
use crate::domain::finding::{BuildRule, Finding};
use crate::domain::guard::GuardPolicy;
use crate::domain::id::Revision;
use crate::domain::naming;
use crate::domain::render_inputs::{self, ClusterFacts, RenderInputs, RenderRules};
use crate::domain::status::{Judgement, bounded};

/// A camp that can't be used after this long is reported as an error and tried again.
const PREPARE: Duration = Duration::from_secs(15);
/// What a camp refuses for so long after its deployer was bound may be on its way.
const SETTLING: TimeDelta = TimeDelta::seconds(10);
/// Pause between two tries to prepare a camp.
const AGAIN: Duration = Duration::from_millis(200);
/// Entries of an inventory, as its schema has it.
const INVENTORY: usize = 1000;
/// Bundles that the history remembers.
const HISTORY: usize = 20;

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
    let merge = match merge::rendered(record, served.policy.at) {
        Rendered::Head => None,
        Rendered::Merge(commit) => Some(commit),
        Rendered::Conflict(why) => return hold(context, record, served, decision, &why).await,
        Rendered::Awaited => return await_merge(context, record, served, decision).await,
    };
    let facts = context.target.facts().await.map_err(ReconcileError::Apply)?;
    let mut inputs = inputs(record, served, merge, &facts)?;
    let same = record.status.inputs_digest.as_ref() == Some(&inputs.inputs_digest());
    if same && record.status.condition("Rendered").is_some_and(|c| c.status == "False") {
        // A commit that can't be rendered stays so; only other inputs help.
        show_refusal(context, record);
        record.save(context).await?;
        tell::tell(context, record, served, &Telling::of(decision));
        return Ok(until(context, record, context.intervals.resync));
    }
    // A camp that somebody deleted is made again from its first object on.
    let stands = decision.action == Action::Keep && record.status.namespace_uid.is_some();
    if same && record.status.holds("Applied") && stands {
        return look(context, record, served, decision).await;
    }
    record.status.phase = Some(Phase::Progressing);
    record.status.reason = Some(format!("commit {} is on its way", inputs.revision.short()));
    judge(
        context,
        record,
        &Judgement::no(
            "Ready",
            "Progressing",
            format!("commit {} is on its way", inputs.revision.short()),
        ),
    );
    let known = inputs.clone();
    let before_build = fence_of(context, record, served, &known);
    let built = stored_or_built(context, served, record, &mut inputs).await;
    // Hosts may have been assigned meanwhile: this is the digest that the next run computes.
    let digest = inputs.inputs_digest();
    let bundle = match built {
        Ok(bundle) => bundle,
        Err(Unbuilt::Refused(refusal)) => {
            return refuse(context, record, served, decision, digest, refusal).await;
        }
        Err(Unbuilt::Failed(error)) => return Err(error),
    };
    if !apply::Fence::holds(&before_build).await {
        return Err(ReconcileError::Apply(ApplyError::Superseded));
    }
    record.status.findings.clear();
    judge(
        context,
        record,
        &Judgement::yes("Rendered", "Rendered", format!("{} objects", bundle.objects.len())),
    );
    judge(
        context,
        record,
        &Judgement::unknown("Applied", "Applying", format!("commit {}", inputs.revision.short())),
    );
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
    record.status.inventory = marked(context, record, &union);
    record.save(context).await?;

    let fence = fence_of(context, record, served, &inputs);
    let Prepared { uid, bound_at } = prepared(context, record, served, &inputs, &fence).await?;
    record.status.namespace_uid = Some(uid);
    // At most from now on: the target's clock may be ahead of ours.
    let now = context.clock.now();
    let settled = bound_at.map_or(now, |at| at + SETTLING).min(now + SETTLING);
    let deployer =
        Deployer::of(&context.target, &inputs.namespace).patient_until(&context.clock, settled);
    let applied = match apply::apply_bundle(&deployer, &bundle, &before, &fence).await {
        Ok(applied) => applied,
        Err(error) => {
            judge(context, record, &Judgement::no("Applied", "ApplyFailed", chain(&error)));
            return Err(ReconcileError::Apply(error));
        }
    };
    note_applied(context, record, &inputs.revision, &bundle, &applied);
    record.save(context).await?;
    look(context, record, served, decision).await
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
    merge: Option<Revision>,
    facts: &ClusterFacts,
) -> Result<RenderInputs, ReconcileError> {
    let status = &record.status;
    let head = status.head.as_ref();
    let revision =
        head.and_then(|head| Revision::parse(&head.revision).ok()).ok_or(ReconcileError::Stale)?;
    let policy = &served.policy;
    // A chart must not make what the guard refuses, only because the cluster would have it.
    let allowed = GuardPolicy::of(policy, "", &[]).allowed_kinds;
    let groups = allowed.into_iter().map(|kind| kind.group).collect();
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
        cluster: facts.of_groups(&groups),
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

/// Guardrails, and the wait until the camp can be used.
async fn prepared(
    context: &Context,
    record: &Record,
    served: &Served,
    inputs: &RenderInputs,
    fence: &Fence<'_>,
) -> Result<Prepared, ReconcileError> {
    let Some(camp) = camp_of(context, record) else { return Err(ReconcileError::Stale) };
    let guardrails = Guardrails {
        camp,
        pod_security: served.policy.isolation.pod_security,
        hosts: record.status.hosts.clone(),
        ingress_class: served.policy.url.ingress_class.clone(),
        gateway: served.policy.url.gateway.clone(),
        image_registries: served.policy.isolation.image_registries.clone(),
        deployer_role: served.policy.isolation.deployer_role.clone(),
        service_account: context.service_account.clone(),
        config: render_inputs::environment_config(inputs),
    };
    let deadline = context.clock.now() + PREPARE;
    loop {
        match apply::prepare(&context.target, &guardrails).await {
            Ok(prepared) => return Ok(prepared),
            Err(ApplyError::NotPrepared { .. }) if context.clock.now() < deadline => {
                if !apply::Fence::holds(fence).await {
                    return Err(ReconcileError::Apply(ApplyError::Superseded));
                }
                context.clock.sleep(AGAIN).await;
            }
            Err(ApplyError::NotPrepared { what }) => {
                return Err(ReconcileError::CampUnusable { what, seconds: PREPARE.as_secs() });
            }
            Err(error) => return Err(ReconcileError::Apply(error)),
        }
    }
}

fn note_applied(
    context: &Context,
    record: &mut Record,
    revision: &Revision,
    bundle: &Bundle,
    applied: &apply::Applied,
) {
    let now = context.clock.now();
    drift::note_forced(context, record, &applied.forced);
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
    let entry = HistoryEntry {
        revision: revision.as_str().to_owned(),
        digest: bundle.digest.clone(),
        at: now.into(),
        ready_at: None,
    };
    if status
        .history
        .first()
        .is_none_or(|newest| newest.digest != entry.digest || newest.revision != entry.revision)
    {
        status.history.insert(0, entry);
        status.history.truncate(HISTORY);
    }
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
        .map(|InventoryEntry { api_version, kind, name, .. }| Entry { api_version, kind, name })
        .collect()
}
