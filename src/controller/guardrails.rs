//! Stage *prepare*: what a camp is fenced in with, put up before the bundle and put back before everything else. I/O.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::error::ReconcileError;
use super::observe::{camp_of, is_untrusted};
use super::reconcile::Served;
use super::record::Record;
use super::{Context, grants, passing};
use crate::apply::{self, ApplyError, Guardrails, Preparation, Prepared, labels};
use crate::domain::bundle::{Bundle, canonical_json, sha256_hex};
use crate::domain::finding::Finding;
use crate::domain::guardrails::{Camp, beside, gate, objects};
use crate::domain::quota::{self, Quota};
use crate::domain::render_inputs::{self, RenderInputs};

/// A camp that can't be used after this long is reported as an error and tried again.
const PREPARE: Duration = Duration::from_secs(15);
/// Pause before a camp is tried to prepare once more. A quota is counted and a right in force within some ten
/// milliseconds mostly.
const AGAIN: Duration = Duration::from_millis(20);
/// The pause doubles with each try, up to this.
const AGAIN_AT_MOST: Duration = Duration::from_millis(320);
/// A camp on its way is looked at all the time; its guardrails not more often than this.
const AT_MOST: TimeDelta = TimeDelta::seconds(10);

/// When the guardrails of each camp were last found as they should be, and which those were.
#[derive(Default)]
pub(super) struct Kept(Mutex<BTreeMap<String, (String, DateTime<Utc>)>>);

impl Kept {
    fn is_fresh(&self, name: &str, digest: &str, now: DateTime<Utc>) -> bool {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(name).is_some_and(|(known, at)| known == digest && now - *at < AT_MOST)
    }

    fn note(&self, name: &str, digest: String, now: DateTime<Utc>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(name.to_owned(), (digest, now));
    }

    /// A record is gone.
    pub(super) fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// All guardrails of the camp; those that follow the bundle only where one is at hand.
async fn wanted(
    context: &Context,
    record: &Record,
    served: &Served,
    inputs: Option<&RenderInputs>,
) -> Result<Guardrails, ReconcileError> {
    let Some(id) = camp_of(context, record) else { return Err(ReconcileError::Stale) };
    let camp = Camp {
        namespace: id.namespace.clone(),
        labels: labels(&id),
        hosts: record.status.hosts.clone(),
        untrusted: is_untrusted(record, &served.policy),
        service_account: context.service_account.clone(),
        ingress_namespaces: context.ingress_namespaces.clone(),
        gatekeepers: passing::keepers(context, record, &served.policy),
        closed: passing::is_closed(record),
    };
    let overrides = grants::overrides(context).await?;
    let mut all = objects(&camp, &served.policy, &overrides).map_err(ReconcileError::Guardrails)?;
    if let Some(inputs) = inputs {
        all.push(beside(&camp, render_inputs::environment_config(inputs)));
    }
    all.extend(grants::copies(context, served, &camp).await?);
    if passing::needs_way(context, record, &served.policy) {
        let way = gate(&context.gate.keepers());
        all.extend(way.into_iter().map(|object| beside(&camp, object)));
    }
    let gate = record.status.power.is_some() || record.status.gate.is_some();
    Ok(Guardrails { camp: id, objects: all, gate })
}

/// Puts back what somebody changed in a camp that stands, or what the Repository says differently now. Writes nothing
/// when nothing differs.
pub(super) async fn keep(
    context: &Context,
    record: &Record,
    served: &Served,
    inputs: Option<&RenderInputs>,
) -> Result<(), ReconcileError> {
    if record.status.namespace_uid.is_none() {
        return Ok(());
    }
    let guardrails = wanted(context, record, served, inputs).await?;
    let digest = digest_of(&guardrails);
    let now = context.clock.now();
    if context.kept.is_fresh(record.name(), &digest, now) {
        return Ok(());
    }
    let mut preparation = Preparation::new(&context.target, &guardrails);
    let (deadline, mut pause) = (now + PREPARE, AGAIN);
    loop {
        match preparation.keep().await {
            Ok(put_back) => {
                tell(record, &put_back);
                context.kept.note(record.name(), digest, now);
                return Ok(());
            }
            Err(error) => wait(context, error, deadline, &mut pause).await?,
        }
    }
}

/// Guardrails, and the wait until the camp can be used. Gives our own objects too, which count in quotas.
pub(super) async fn prepared(
    context: &Context,
    record: &Record,
    served: &Served,
    inputs: &RenderInputs,
    fence: &dyn apply::Fence,
) -> Result<(Prepared, Vec<Value>), ReconcileError> {
    let guardrails = wanted(context, record, served, Some(inputs)).await?;
    let mut preparation = Preparation::new(&context.target, &guardrails);
    let (deadline, mut pause) = (context.clock.now() + PREPARE, AGAIN);
    loop {
        match preparation.prepare().await {
            Ok(prepared) => {
                tell(record, &prepared.put_back);
                let digest = digest_of(&guardrails);
                context.kept.note(record.name(), digest, context.clock.now());
                return Ok((prepared, guardrails.objects));
            }
            Err(error) => {
                if matches!(error, ApplyError::NotPrepared { .. }) && !fence.holds().await {
                    return Err(ReconcileError::Apply(ApplyError::Superseded));
                }
                wait(context, error, deadline, &mut pause).await?;
            }
        }
    }
}

/// A moment when something is on its way, or the end.
async fn wait(
    context: &Context,
    error: ApplyError,
    deadline: DateTime<Utc>,
    pause: &mut Duration,
) -> Result<(), ReconcileError> {
    match error {
        ApplyError::NotPrepared { .. } if context.clock.now() < deadline => {
            context.clock.sleep(*pause).await;
            *pause = (*pause * 2).min(AGAIN_AT_MOST);
            Ok(())
        }
        ApplyError::NotPrepared { what } => {
            Err(ReconcileError::CampUnusable { what, seconds: PREPARE.as_secs() })
        }
        error => Err(ReconcileError::Apply(error)),
    }
}

/// What of the camp's quotas the bundle exceeds.
pub(super) fn over_quota(bundle: &Bundle, quotas: &[Quota], ours: &[Value]) -> Vec<Finding> {
    quota::fits(bundle, quotas, ours).err().unwrap_or_default()
}

/// Whether the bundle fits into the camp that stands, with the quota that the Repository gives it now.
pub(super) async fn fits(
    context: &Context,
    record: &Record,
    served: &Served,
    inputs: &RenderInputs,
    bundle: &Bundle,
) -> Result<bool, ReconcileError> {
    keep(context, record, served, None).await?;
    let ours = wanted(context, record, served, Some(inputs)).await?;
    let namespace = &ours.camp.namespace;
    let quotas = match apply::quotas(&context.target, namespace).await {
        Ok(quotas) => quotas,
        // Not counted yet, or going away: the next look sees it.
        Err(ApplyError::NotPrepared { .. }) => return Ok(false),
        Err(error) => return Err(ReconcileError::Apply(error)),
    };
    Ok(over_quota(bundle, &quotas, &ours.objects).is_empty())
}

fn digest_of(guardrails: &Guardrails) -> String {
    let all = Value::Array(guardrails.objects.clone());
    sha256_hex(canonical_json(&all).as_bytes())
}

fn tell(record: &Record, put_back: &[String]) {
    if !put_back.is_empty() {
        tracing::info!(
            environment.name = record.name(),
            "guardrails were put back: {}",
            put_back.join(", ")
        );
    }
}
