//! A camp that is to stand: names, inputs, the bundle, and then [`applying`]. I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use super::admit::{self, Admitted};
use super::applying::{self, Built, note_on_its_way};
use super::branches::{self, Subject};
use super::build::{self, FINDINGS, Refusal, Unbuilt, finding_entry};
use super::error::ReconcileError;
use super::fence::Fence;
use super::look::{QUIET, look};
use super::merge::{self, Rendered};
use super::observe::{self, number_of};
use super::pin::{self, Pinned};
use super::power::{self, Turn};
use super::reconcile::Served;
use super::record::Record;
use super::retry::Next;
use super::stored::stored_or_built;
use super::tell::{self, Telling};
use super::waves::Camp;
use super::{Context, camp, dry_run, guardrails, passing};
use crate::apply::{self, ApplyError, Entry};
use crate::crd::{FindingEntry, InventoryEntry, Phase, set_condition};
use crate::domain::decision::{Action, Decision};
use crate::domain::finding::Finding;
use crate::domain::guard::GuardPolicy;
use crate::domain::id::Revision;
use crate::domain::naming;
use crate::domain::render_inputs::{ClusterFacts, Redeploy, RenderInputs, RenderRules};
use crate::domain::status::{Judgement, bounded};

/// Pause between two looks at a camp that wakes.
pub(super) const POLL: Duration = Duration::from_millis(300);

/// Reason of a bundle that the camp's quota has no room for.
const OVER_QUOTA: &str = "OverQuota";

/// Makes the camp what the head commit says, and looks how it does.
pub(super) async fn bring_up(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
) -> Result<Next, ReconcileError> {
    let now = context.clock.now();
    camp::assign_names(context, record, &served.policy, now).await?;
    observe::note_end(context, record, &served.policy);
    let turn = power::turn(context, record, served, decision, now).await?;
    if let Some(next) = passing::first(context, record, served, decision).await? {
        return Ok(next);
    }
    bring_up_as(context, record, served, decision, turn).await
}

/// The same, once it is known how the camp is and how it is to be.
async fn bring_up_as(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    mut turn: Turn,
) -> Result<Next, ReconcileError> {
    let pinned = pin::held(record);
    // A camp that somebody deleted is made again from its first object on.
    let stands = decision.action == Action::Keep && record.status.namespace_uid.is_some();
    let facts = context.target.facts().await.map_err(ReconcileError::Apply)?;
    // Whatever becomes of the head: what runs leads to the gate, or does not any more.
    if stands
        && passing::is_turning(context, record, &served.policy)
        && !power::is_busy(record.stored())
    {
        let inputs = inputs(record, served, pinned.as_ref(), None, &facts)?;
        let turned =
            power::turn_what_runs(context, record, served, decision, &inputs, turn).await?;
        if let Some(next) = turned {
            return Ok(next);
        }
        turn = turn.as_noted(record);
    }
    let turning = passing::is_turning(context, record, &served.policy);
    let merge = match rendered(record, served, pinned.as_ref()) {
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
    let mut inputs = inputs(record, served, pinned.as_ref(), merge, &facts)?;
    let same = record.status.inputs_digest.as_ref().is_some_and(|known| {
        *known == inputs.inputs_digest() || *known == inputs.digest_with(&facts)
    });
    if same
        && record.status.condition("Rendered").is_some_and(|c| c.status == "False")
        && (!passing::is_refused(record) || passing::passes(context, &served.policy))
        && !fits_now(context, record, served, &mut inputs).await?
    {
        return stay_refused(context, record, served, decision, &inputs, turn).await;
    }
    let held_back = same && admit::holds_back(record, &inputs.inputs_digest());
    let settled = same && !held_back && record.status.holds("Applied") && stands && !turning;
    if settled && matches!(turn, Turn::Asleep | Turn::Awake) {
        guardrails::keep(context, record, served, Some(&inputs)).await?;
        passing::settle(context, record, &served.policy);
        return if turn == Turn::Asleep {
            power::rest(context, record, served, decision).await
        } else {
            look(context, record, served, decision).await
        };
    }
    // What slept wakes as it was before anything new is applied to it: a migration needs its database.
    if turn == Turn::Wakes
        && !same
        && stands
        && power::wake_as_it_was(context, record, served, decision, &inputs).await?
    {
        if record.status.power.is_some_and(|power| power.asleep) {
            return Ok(until(context, record, POLL));
        }
        turn = Turn::Awake;
    }
    // What the cluster refused is asked again, and told only when the answer differs.
    let again = same && !held_back && dry_run::is_refused(record);
    if !again && !held_back && !matches!(turn, Turn::Asleep | Turn::FallsAsleep) {
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
    let went_back = pinned.is_some();
    let bundle = match admit::admit(context, record, served, &digest, bundle, went_back).await? {
        Admitted::Yes(bundle) => bundle,
        Admitted::No(held) => {
            guardrails::keep(context, record, served, None).await?;
            return admit::show(context, record, served, decision, digest, held).await;
        }
    };
    let camp = Camp { stands, same: same && !held_back && !turning };
    let built = Built { inputs, bundle, digest, camp, again, pinned, turn };
    applying::apply(context, record, served, decision, &built).await
}

/// Which commit is rendered: that of the pin, or the head by itself or merged, as the Repository says.
fn rendered(record: &Record, served: &Served, pinned: Option<&Pinned>) -> Rendered {
    match pinned {
        Some(Pinned { merge, .. }) => merge.clone().map_or(Rendered::Head, Rendered::Merge),
        None => merge::rendered(record, branches::at(record, &served.policy)),
    }
}

/// A commit that can't be rendered stays so; only other inputs help.
async fn stay_refused(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    inputs: &RenderInputs,
    turn: Turn,
) -> Result<Next, ReconcileError> {
    guardrails::keep(context, record, served, None).await?;
    let turned = power::turn_what_runs(context, record, served, decision, inputs, turn).await?;
    if let Some(next) = turned {
        return Ok(next);
    }
    show_refusal(context, record);
    record.save(context).await?;
    tell::tell(context, record, served, &Telling::of(decision));
    Ok(until(context, record, context.intervals.resync))
}

/// The fence around what is done for the record as it is stored now.
pub(super) fn fence_of<'a>(
    context: &'a Context,
    record: &Record,
    served: &'a Served,
    inputs: &'a RenderInputs,
) -> Fence<'a> {
    let Served { repository, forge, policy: _ } = served;
    let handled = record.status.handled_hint.as_deref();
    let subject = Subject::of(record.stored());
    Fence::new(context, forge, record.stored(), handled, subject, inputs, repository)
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
        pull_request: number_of(record),
        branch_slug: naming::slug(head.map_or("", |head| &head.branch), naming::LABEL_MAX),
        parameters: record.stored().spec.parameters.clone(),
        rules: RenderRules::of(policy),
        policy: RenderInputs::policy_of(policy),
        cluster: facts.of_kinds(&allowed),
        redeploy: record.stored().spec.redeploy.as_ref().map(|wish| Redeploy {
            id: wish.id.clone(),
            restart: wish.restart.map(|at| at.0.to_rfc3339()),
        }),
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

pub(super) fn over_quota(over: &[Finding]) -> Refusal {
    let findings = over.iter().take(FINDINGS).map(finding_entry).collect();
    Refusal { reason: OVER_QUOTA, findings }
}

/// The commit is refused: nothing of it is written, and what stood before goes on standing.
pub(super) async fn refuse(
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
            passing::GATE_REFUSED => passing::GATE_REFUSED,
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

/// The pause until the next look, cut at what is due before.
pub(super) fn until(context: &Context, record: &Record, pause: Duration) -> Next {
    let left = record
        .due_at()
        .map_or(Duration::MAX, |at| (at - context.clock.now()).to_std().unwrap_or_default());
    Next::requeue(context.rng.jitter(pause, 10).min(left.saturating_add(Duration::from_secs(1))))
}

pub(super) fn judge(context: &Context, record: &mut Record, judgement: &Judgement) {
    let generation = record.generation();
    set_condition(&mut record.status.conditions, judgement, generation, context.clock.now());
}

pub(super) fn inventory_of(record: &Record) -> Vec<Entry> {
    let entries = record.status.inventory.iter().filter(|entry| entry.left.is_none()).cloned();
    entries
        .map(|InventoryEntry { api_version, kind, name, .. }| Entry { api_version, kind, name })
        .collect()
}
