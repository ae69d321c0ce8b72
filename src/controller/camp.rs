//! Making and ending a camp: names first, then the finalizer, then the namespace; and the way back. I/O with home and
//! target.

use chrono::{DateTime, Utc};

use super::Context;
use super::error::ReconcileError;
use super::observe::camp_of;
use super::record::Record;
use crate::apply::{self, CampState};
use crate::crd::{HookMoment, HookPhase, LastCamp, UrlEntry};
use crate::domain::decision::Camp;
use crate::domain::hosts::{self, Assigned};
use crate::domain::naming;
use crate::domain::policy::Policy;
use crate::domain::render_inputs::RenderInputs;

/// What stands, as the target shows it.
pub(super) async fn observe_camp(
    context: &Context,
    record: &Record,
) -> Result<CampState, ReconcileError> {
    match camp_of(context, record) {
        None => Ok(CampState::Absent),
        Some(camp) => {
            apply::observe_namespace(&context.target, &camp, record.status.namespace_uid.as_deref())
                .await
                .map_err(ReconcileError::Apply)
        }
    }
}

/// The same in the words of the decision. A foreign namespace is nothing of ours: there is nothing to take down.
pub(super) fn in_words(state: &CampState) -> Camp {
    match state {
        CampState::Absent | CampState::Foreign => Camp::Absent,
        CampState::Standing { .. } => Camp::Standing,
        CampState::Ending { .. } => Camp::Ending,
    }
}

/// Writes down finalizer, namespace and hosts before anything is made. Names that stand are kept: a camp whose rules
/// changed while it stood must still be found.
pub(super) async fn assign_names(
    context: &Context,
    record: &mut Record,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Result<(), ReconcileError> {
    record.set_finalizer(context, true).await?;
    if record.status.namespace.is_some() {
        return Ok(());
    }
    let namespace = naming::namespace_name(&context.instance, record.name());
    let first = hosts::first(record.name(), &policy.url);
    record.status.namespace = Some(namespace.as_str().to_owned());
    record.status.incarnation = Some(record.status.incarnation.unwrap_or(0) + 1);
    record.status.camp_since = Some(now.into());
    write_hosts(record, vec![first]);
    record.save(context).await
}

/// Writes down hosts for the apps that the commit exposes, before anything is made of it. What is assigned stays.
pub(super) async fn assign_hosts(
    context: &Context,
    record: &mut Record,
    policy: &Policy,
    exposed: &[&str],
) -> Result<(), ReconcileError> {
    let before = hosts_of(record);
    let after = hosts::assign(record.name(), &policy.url, exposed, &before);
    if after == before {
        return Ok(());
    }
    write_hosts(record, after);
    record.save(context).await
}

/// Puts the recorded hosts into the inputs.
pub(super) fn hosts_into(inputs: &mut RenderInputs, record: &Record) {
    let assigned = hosts_of(record);
    if let Some(own) = assigned.first() {
        own.host.clone_into(&mut inputs.host);
        own.url.clone_into(&mut inputs.url);
    }
    inputs.app_hosts = hosts::by_app(&assigned);
}

/// The lists of hosts and of URLs go side by side.
fn hosts_of(record: &Record) -> Vec<Assigned> {
    let both = record.status.urls.iter().zip(&record.status.hosts);
    both.map(|(UrlEntry { app, url, .. }, host)| Assigned {
        app: app.clone(),
        host: host.clone(),
        url: url.clone(),
    })
    .collect()
}

fn write_hosts(record: &mut Record, assigned: Vec<Assigned>) {
    let status = &mut record.status;
    let before = std::mem::take(&mut status.urls);
    status.hosts.clear();
    for Assigned { app, host, url } in assigned {
        let known = before.iter().find(|known| known.url == url);
        let path = known.and_then(|known| known.path.clone());
        status.urls.push(UrlEntry { app, url, path, reachable: None, why: None });
        status.hosts.push(host);
    }
}

/// Writes down that the namespace of before is gone, before another is made under its name. That one's UID is known only
/// once it is there: a process that ends in between, or a run that fails, would take it for somebody else's.
pub(super) async fn forget_namespace(
    context: &Context,
    record: &mut Record,
) -> Result<(), ReconcileError> {
    if record.status.namespace_uid.take().is_none() {
        return Ok(());
    }
    record.status.camp_ready_at = None;
    record.save(context).await
}

/// Asks for the end of the namespace that stands.
pub(super) async fn take_down(
    context: &Context,
    record: &Record,
    uid: &str,
) -> Result<(), ReconcileError> {
    match camp_of(context, record) {
        None => Ok(()),
        Some(camp) => apply::delete_namespace(&context.target, &camp, uid)
            .await
            .map_err(ReconcileError::Apply),
    }
}

/// The camp is gone: so is everything the record says about it, but its history.
pub(super) fn forget_camp(record: &mut Record, now: DateTime<Utc>) {
    let status = &mut record.status;
    // Names may be given and no namespace made, say when the commit was refused.
    if let (Some(since), true) = (status.camp_since, status.namespace_uid.is_some()) {
        let url = status.urls.first().map(|entry| entry.url.clone());
        status.last_camp = Some(LastCamp { since, until: now.into(), url });
    }
    status.rendered_from.clear();
    status.ttl_seconds = None;
    status.findings.clear();
    status.notes.clear();
    status.trouble.clear();
    status.namespace = None;
    status.namespace_uid = None;
    status.hosts.clear();
    status.urls.clear();
    status.inventory.clear();
    status.yielded.clear();
    status.applying = None;
    // What failed at the end is still worth knowing.
    status
        .hooks
        .retain(|hook| hook.moment == HookMoment::BeforeDelete && hook.state == HookPhase::Failed);
    status.contested.clear();
    status.changes = None;
    status.inputs_digest = None;
    status.revision = None;
    status.short_revision = None;
    status.digest = None;
    status.expires_at = None;
    status.power = None;
    status.routes.clear();
    status.gate = None;
    status.turn = None;
    status.camp_since = None;
    status.camp_ready_at = None;
    status.conditions.retain(|condition| {
        !matches!(
            condition.r#type.as_str(),
            "Rendered" | "Applied" | "Healthy" | "Contested" | "Expiring"
        )
    });
}
