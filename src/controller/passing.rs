//! Whether everything that people ask of a camp passes the gate: how its bundle is sent then, which way the gate passes
//! requests on, and whom its pods hear. In: the record and the policy; out: the record. I/O: home, where a camp may not
//! stand for want of a gate.
//!
//! What turns does so in this order, so that no visitor meets a gap: the gate learns its routes, pods hear it beside the
//! ingress controllers, routes are turned, and a moment later pods hear the gate alone; and the other way round.

use std::borrow::Cow;

use chrono::TimeDelta;

use super::Context;
use super::build::{Refusal, finding_entry};
use super::deploy::{POLL, judge, until};
use super::error::ReconcileError;
use super::guardrails;
use super::power::{self, Turn};
use super::reconcile::Served;
use super::record::Record;
use super::retry::Next;
use super::tell::{self, Telling};
use crate::crd::{
    Environment, GateStatus, PathType, Phase, Repository, RepositoryStatus, RouteEntry, WhyLine,
    set_condition,
};
use crate::domain::bundle::Bundle;
use crate::domain::decision::Decision;
use crate::domain::finding::{BuildRule, Finding};
use crate::domain::gate::{self, Route, Routes};
use crate::domain::guardrails::KeeperPods;
use crate::domain::policy::Policy;
use crate::domain::power::{State, transform};
use crate::domain::status::{Judgement, bounded};

/// So long somebody may still come on the way of before: ingress controllers take a while to hear of a changed route.
const MOMENT: TimeDelta = TimeDelta::seconds(30);
/// Reason of a bundle whose routes can't pass the gate.
pub(super) const GATE_REFUSED: &str = "GateRefused";
/// Reason of a camp that may not stand without a gate.
pub(super) const GATE_MISSING: &str = "GateMissing";
/// Condition of a Repository that asks for the gate.
const GATE_READY: &str = "GateReady";
/// Name of the rule in the decision's trace.
const RULE: &str = "gate";
/// Findings of one bundle.
const MISFITS: usize = 20;

/// Whether everything of a camp with this policy passes the gate.
pub(super) fn passes(context: &Context, policy: &Policy) -> bool {
    gate::passes(policy) && context.gate_service.is_some()
}

/// What comes before anything is done about a camp: what its Repository asks of the gate is noted. `Some`: nothing else is
/// done now.
pub(super) async fn first(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
) -> Result<Option<Next>, ReconcileError> {
    note_asked(context, record, &served.policy);
    if lacks_gate(context, &served.policy) {
        return refuse(context, record, served, decision).await.map(Some);
    }
    Ok(is_early(context, record, &served.policy).then(|| Next::requeue(POLL)))
}

/// Whether a camp with this policy may stand in front of nobody: it is to be protected, and nobody does that.
fn lacks_gate(context: &Context, policy: &Policy) -> bool {
    policy.gate.protect && context.gate_service.is_none()
}

/// Whether its pods are to hear the gate alone, in the end.
fn is_asked(context: &Context, policy: &Policy) -> bool {
    passes(context, policy) || policy.gate.protect
}

/// Whether the routes of a record's camp lead to the gate though it is awake.
pub(super) fn is_led(record: &Environment) -> bool {
    record.status.as_ref().and_then(|status| status.gate).is_some_and(|gate| gate.led)
}

/// Whether the gate has to do with a record's camp, or had a moment ago.
pub(super) fn concerns(record: &Environment) -> bool {
    record.status.as_ref().is_some_and(|status| status.gate.is_some())
}

/// Whether no ingress controller reaches the camp's pods.
pub(super) fn is_closed(record: &Record) -> bool {
    record.status.gate.is_some_and(|gate| gate.closed)
}

/// Whether the routes of what runs are to be turned.
pub(super) fn is_turning(context: &Context, record: &Record, policy: &Policy) -> bool {
    let led = record.status.gate.is_some_and(|gate| gate.led);
    led != passes(context, policy)
}

/// Whether the bundle was refused for routes that can't pass the gate.
pub(super) fn is_refused(record: &Record) -> bool {
    record.status.condition("Rendered").is_some_and(|rendered| rendered.reason == GATE_REFUSED)
}

/// Notes that the gate is asked for, or is not any more; and when pods hear it alone.
fn note_asked(context: &Context, record: &mut Record, policy: &Policy) {
    let now = context.clock.now();
    let asked = is_asked(context, policy);
    note_why(context, record, policy);
    // Where nothing runs nobody is on any way.
    let fresh = record.status.revision.is_none();
    let applied = record.status.holds("Applied");
    let Some(gate) = &mut record.status.gate else {
        if asked {
            record.status.gate = Some(GateStatus { led: false, closed: fresh, since: now.into() });
        }
        let then = (asked && !fresh).then_some(now + MOMENT);
        if let Some(then) = then {
            record.look_at(then);
        }
        return;
    };
    let over = gate.since.0 + MOMENT;
    if !asked {
        if gate.closed {
            (gate.closed, gate.since) = (false, now.into());
        }
    } else if !gate.closed {
        if now >= over && ((gate.led && applied) || policy.gate.protect) {
            gate.closed = true;
        } else if now < over {
            record.look_at(over);
        }
    }
}

/// Who reads why a preview is as it is reads this, too.
fn note_why(context: &Context, record: &mut Record, policy: &Policy) {
    let by = gate::asked_by(policy).join(", ");
    if by.is_empty() {
        return;
    }
    let answer = if passes(context, policy) {
        format!("everything passes the gate ({by}), and visits of people give it time")
    } else if lacks_gate(context, policy) {
        format!("it is not opened: {by} asks for the gate, and the service has none")
    } else {
        format!("{by} is not heeded: the service has no gate (--gate-service)")
    };
    record.status.why.push(WhyLine { rule: RULE.to_owned(), answer, decided: false });
}

/// Whether the way to the gate is there: the Service that routes lead to, and its addresses.
pub(super) fn needs_way(context: &Context, record: &Record, policy: &Policy) -> bool {
    let asleep = record.status.power.is_some_and(|power| power.asleep);
    let at_gate = record.status.gate.is_some_and(|gate| {
        is_asked(context, policy)
            || gate.led
            || !record.status.holds("Applied")
            || context.clock.now() < gate.since.0 + MOMENT
    });
    asleep || at_gate
}

/// Who answers in front of a camp.
pub(super) fn keepers(context: &Context, record: &Record, policy: &Policy) -> Option<KeeperPods> {
    let there = context.gate_service.is_some() && needs_way(context, record, policy);
    there
        .then(|| KeeperPods { namespace: context.namespace.clone(), labels: context.gate.labels() })
}

/// Whether it is not known yet who the gatekeepers are: what was written then would be written again in a moment.
fn is_early(context: &Context, record: &Record, policy: &Policy) -> bool {
    context.gate_service.is_some()
        && needs_way(context, record, policy)
        && !context.gate.is_known(context.clock.now())
}

/// The bundle as it is sent to a camp.
pub(super) fn sent(bundle: &Bundle, leads: bool, state: State) -> Cow<'_, Bundle> {
    match gate::lead(bundle, leads) {
        Cow::Borrowed(bundle) => transform(bundle, state),
        Cow::Owned(led) => Cow::Owned(transform(&led, state).into_owned()),
    }
}

/// Before anything is sent: the gate knows the way before anybody is led to it. Who is led there already keeps the ways
/// of what runs until the new ones stand.
pub(super) fn note_begin(
    context: &Context,
    record: &mut Record,
    ways: &Routes,
    (leads, turn): (bool, Turn),
) {
    let led = record.status.gate.is_some_and(|gate| gate.led) || turn == Turn::Asleep;
    if record.status.revision.is_none() || !led {
        note_routes(context, record, ways);
    }
    if let Some(gate) = &mut record.status.gate {
        gate.led = leads;
    }
}

/// Everything was sent: routes lead where they are to lead.
pub(super) fn note_end(context: &Context, record: &mut Record, ways: &Routes, leads: bool) {
    note_routes(context, record, ways);
    let now = context.clock.now();
    if let Some(gate) = record.status.gate.as_mut().filter(|gate| !gate.closed || !leads) {
        gate.since = now.into();
        record.look_at(now + MOMENT);
    }
}

fn note_routes(context: &Context, record: &mut Record, ways: &Routes) {
    record.status.routes.clear();
    if context.gate_service.is_none() {
        return;
    }
    let assigned = &record.status.hosts;
    let ours = ways.routes.iter().filter(|route| assigned.contains(&route.host));
    let entries: Vec<RouteEntry> = ours
        .map(|Route { host, path, exact, service, port }| RouteEntry {
            host: host.clone(),
            path: path.clone(),
            path_type: if *exact { PathType::Exact } else { PathType::Prefix },
            service: service.clone(),
            port: i32::from(*port),
        })
        .collect();
    record.status.routes = entries;
}

/// The gate has nothing to do with the camp any more, and the way there was taken away.
pub(super) fn settle(context: &Context, record: &mut Record, policy: &Policy) {
    let Some(gate) = record.status.gate.filter(|gate| !gate.led && !is_asked(context, policy))
    else {
        return;
    };
    let over = gate.since.0 + MOMENT;
    if context.clock.now() >= over {
        record.status.gate = None;
    } else {
        record.look_at(over);
    }
}

/// What of a bundle can't pass the gate.
pub(super) fn misfits(ways: &Routes) -> Refusal {
    let finding = |why: &String| {
        let message = format!(
            "everything here passes the gate (url.protect, url.noindex or lifetime.sleepAfter), and this can't: {why}"
        );
        finding_entry(&Finding::of(BuildRule::Gate, message))
    };
    let findings = ways.misfits.iter().take(MISFITS).map(finding).collect();
    Refusal { reason: GATE_REFUSED, findings }
}

/// A camp that is to be protected is not opened where nobody protects it; one that stands is closed.
async fn refuse(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
) -> Result<Next, ReconcileError> {
    guardrails::keep(context, record, served, None).await?;
    let why = "url.protect asks for the gate, and the service has none (--gate-service): the preview is not opened to everybody instead";
    record.status.phase = Some(Phase::Failed);
    record.status.reason = Some(bounded(why, 1024));
    judge(context, record, &Judgement::no("Ready", GATE_MISSING, why));
    record.save(context).await?;
    tell::tell(context, record, served, &Telling::of(decision));
    Ok(until(context, record, context.intervals.resync))
}

/// How the camp of a record was applied last, as its bundle is compared with what stands.
pub(super) fn as_applied<'b>(record: &Environment, bundle: &'b Bundle) -> Cow<'b, Bundle> {
    let state = if power::is_asleep(record) { State::Asleep } else { State::Awake };
    sent(bundle, is_led(record), state)
}

/// The condition of a Repository that asks for the gate: whether there is one.
pub(super) fn note_on(context: &Context, repository: &Repository, status: &mut RepositoryStatus) {
    let asked = repository.spec.policy().map(|policy| gate::asked_by(&policy)).unwrap_or_default();
    if asked.is_empty() {
        status.conditions.retain(|condition| condition.r#type != GATE_READY);
        return;
    }
    let asked = asked.join(", ");
    let judgement = match &context.gate_service {
        Some(service) => Judgement::yes(
            GATE_READY,
            "Configured",
            format!("previews are reached through Service {service}, as {asked} asks"),
        ),
        None => Judgement::no(
            GATE_READY,
            GATE_MISSING,
            format!(
                "{asked} asks for the gate, and the service has none (--gate-service): what is to be protected is not \
                 opened, and the rest is not heeded"
            ),
        ),
    };
    let (generation, now) = (repository.metadata.generation, context.clock.now());
    set_condition(&mut status.conditions, &judgement, generation, now);
}
