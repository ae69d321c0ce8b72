//! The cluster's audit list, or its audit log, in, the times of one camp's stages out. No I/O but the look at the list.
//!
//! A stage is over when the request that ends it was answered. So the times are the API server's, and the measurement
//! costs the service nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use bivouac::sandbox::cluster::api::AuditEvent;
use bivouac::seams::BoxError;
use chrono::{DateTime, Utc};

use crate::serve::service_account;
use crate::world::World;

/// Stages in their order, as they end. The last is seen by a watch.
pub(crate) const STAGES: [&str; 11] = [
    "record made",
    "forge asked, names assigned",
    "commit fetched and rendered",
    "namespace made",
    "guardrails stand",
    "camp can be used, dry run begins",
    "dry run is over",
    "first object applied",
    "last object applied",
    "record says Applied",
    "record says Ready",
];
/// What the figures are about.
pub(crate) const FIRST_OBJECT: &str = STAGES[7];
/// The same.
pub(crate) const LAST_OBJECT: &str = STAGES[8];
/// Seen by a watch.
pub(crate) const READY: &str = STAGES[10];

/// Those of the requests for which `is_one` holds.
fn requests(
    world: &World,
    is_one: impl Fn(&AuditEvent) -> bool,
) -> Result<Vec<AuditEvent>, BoxError> {
    if let Some(elsewhere) = &world.elsewhere {
        let mut events = elsewhere.events()?;
        events.retain(is_one);
        return Ok(events);
    }
    let found = RefCell::new(Vec::new());
    world.stage.cluster.count_requests(|event| {
        let counts = is_one(event);
        if counts {
            found.borrow_mut().push(event.clone());
        }
        counts
    });
    Ok(found.into_inner())
}

/// Requests of the service since then.
pub(crate) fn of_service(world: &World, since: DateTime<Utc>) -> Result<Vec<AuditEvent>, BoxError> {
    let user = service_account();
    requests(world, |event| event.at >= since && event.user == user && event.resource != "leases")
}

/// Something was to be stored.
fn writes(event: &AuditEvent) -> bool {
    event.code < 300 && matches!(event.verb.as_str(), "create" | "patch" | "update")
}

/// An object of the bundle, sent as the deployer.
fn is_of_bundle(event: &AuditEvent, namespace: &str) -> bool {
    event.impersonated.is_some() && event.namespace == namespace && event.verb == "patch"
}

/// When each stage was over, since `began`: the one camp that was made meanwhile.
pub(crate) fn stages(
    events: &[AuditEvent],
    namespace: &str,
    began: DateTime<Utc>,
) -> BTreeMap<&'static str, Duration> {
    let records = |subresource: &'static str| {
        events.iter().filter(move |event| {
            writes(event) && event.resource == "environments" && event.subresource == subresource
        })
    };
    let status = || records("status").map(|event| event.at);
    let made = events
        .iter()
        .find(|e| writes(e) && e.resource == "namespaces" && !e.dry_run)
        .map(|event| event.at);
    let sent = |dry_run: bool| {
        events
            .iter()
            .filter(move |e| is_of_bundle(e, namespace) && e.dry_run == dry_run && e.code < 300)
            .map(|event| event.at)
    };
    let first_sent = sent(true).chain(sent(false)).min();
    let guardrails = events
        .iter()
        .filter(|e| writes(e) && e.impersonated.is_none() && e.namespace == namespace)
        .filter(|e| !e.dry_run && first_sent.is_none_or(|first| e.at <= first))
        .map(|event| event.at)
        .max();
    let last_sent = sent(false).max();
    let times = [
        records("").map(|event| event.at).min(),
        status().min(),
        status().filter(|at| made.is_none_or(|made| *at <= made)).max(),
        made,
        guardrails,
        sent(true).min(),
        sent(true).max(),
        sent(false).min(),
        last_sent,
        status().filter(|at| last_sent.is_some_and(|last| *at >= last)).min(),
    ];
    let since = |at: DateTime<Utc>| (at - began).to_std().unwrap_or_default();
    STAGES.into_iter().zip(times).filter_map(|(name, at)| Some((name, since(at?)))).collect()
}

/// What a camp's namespace shows of its way, when many are made at once: when the first guardrail, the first object of the
/// bundle and the last one stood.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// What waited, was fetched and was rendered before it is over.
    pub(crate) guardrail: DateTime<Utc>,
    /// Guardrails and dry run are over.
    pub(crate) first: DateTime<Utc>,
    /// All is there.
    pub(crate) last: DateTime<Utc>,
}

/// The ways of all camps, by namespace.
pub(crate) fn ways(events: &[AuditEvent]) -> BTreeMap<&str, Way> {
    let mut guardrails = BTreeMap::new();
    let mut ways: BTreeMap<&str, Way> = BTreeMap::new();
    for event in events.iter().filter(|event| writes(event) && !event.dry_run) {
        let (namespace, at) = (event.namespace.as_str(), event.at);
        let guardrail = *guardrails.entry(namespace).or_insert(at);
        if is_of_bundle(event, namespace) {
            let way = ways.entry(namespace).or_insert(Way { guardrail, first: at, last: at });
            (way.first, way.last) = (way.first.min(at), way.last.max(at));
        }
    }
    ways
}

/// From the first to the last answer to a plain client's applies in a namespace.
pub(crate) fn span(world: &World, namespace: &str) -> Result<Duration, BoxError> {
    let applied = requests(world, |event| {
        event.namespace == namespace
            && event.field_manager == crate::baseline::MANAGER
            && writes(event)
    })?;
    let times = || applied.iter().map(|event| event.at);
    let (first, last) = times().min().zip(times().max()).ok_or("nothing was applied")?;
    Ok((last - first).to_std()?)
}

/// How many of the requests were sent, by whom they were sent for and what they were.
pub(crate) fn counts(events: &[AuditEvent]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in events {
        let slash = if event.subresource.is_empty() { "" } else { "/" };
        let dry = if event.dry_run { " (dry run)" } else { "" };
        let who = if event.impersonated.is_some() { "deployer" } else { "service" };
        let resource = if event.resource.is_empty() { &event.uri } else { &event.resource };
        let what = format!("{who}: {} {resource}{slash}{}{dry}", event.verb, event.subresource);
        *counts.entry(what).or_insert(0) += 1;
    }
    counts
}
