//! Hooks beside the apply: those that run when everything is ready, and those that run before a camp goes. In: a record
//! and its stored bundle; neither forge nor source is needed. I/O: home, and the target through `apply`.

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::Context;
use super::deploy::judge;
use super::error::{ReconcileError, chain};
use super::record::Record;
use super::stored;
use crate::apply::{self, CampHealth, Deployer, Turn};
use crate::crd::{HookEntry, HookMoment, HookPhase};
use crate::domain::bundle::BundleObject;
use crate::domain::status::{Judgement, bounded};
use crate::domain::waves::{self, HookRecord, HookState, Moment, asked};

/// Behind the name of a run whose hooks of the end run anew.
const AGAIN: &str = "-again";

/// Nothing newer can come in between: each call is short, and the next one looks at the record first.
struct Holds;

impl apply::Fence for Holds {
    fn holds(&self) -> BoxFuture<'_, bool> {
        std::future::ready(true).boxed()
    }
}

/// Runs the hooks `afterReady` of a camp that is ready. `Some`: it is not as well as it looks, or not yet.
pub(super) async fn after_ready(
    context: &Context,
    record: &mut Record,
    deployer: &Deployer,
) -> Result<Option<CampHealth>, ReconcileError> {
    let mut records = records_of(record);
    let is_ours = |hook: &&HookRecord| hook.moment == Moment::AfterReady;
    if records.iter().filter(is_ours).all(HookRecord::is_over) {
        return Ok(failed(&records).map(apply::as_health));
    }
    if let Some(failed) = failed(&records) {
        return Ok(Some(apply::as_health(failed)));
    }
    let Some(bundle) = stored::running(context, record).await? else {
        let why = "the stored bundle is not there; it is made anew";
        judge(context, record, &Judgement::unknown("Applied", "BundleMissing", why));
        let not_ready = vec![why.to_owned()];
        return Ok(Some(CampHealth { not_ready, ..CampHealth::default() }));
    };
    let objects: Vec<&BundleObject> = records
        .iter()
        .filter(is_ours)
        .filter_map(|hook| bundle.objects.iter().find(|object| hook.is_of(object)))
        .collect();
    let clock = &context.clock;
    let turn =
        apply::in_turn(deployer, clock, &objects, Moment::AfterReady, &mut records, &Holds).await;
    let turn = turn.map_err(ReconcileError::Apply)?;
    record.status.hooks = to_status(&records);
    Ok(match turn {
        Turn::Done => None,
        Turn::Running(index) | Turn::Failed(index) => records.get(index).map(apply::as_health),
    })
}

fn failed(records: &[HookRecord]) -> Option<&HookRecord> {
    records.iter().find(|hook| hook.moment == Moment::AfterReady && hook.state == HookState::Failed)
}

/// Runs the hooks `beforeDelete` of a camp that is to go, from its stored bundle. `Some`: what the end still waits for.
///
/// None of them can hold up the end: one that fails is noted, and all together have the longest time that one of them
/// has.
pub(super) async fn before_delete(
    context: &Context,
    record: &mut Record,
) -> Result<Option<String>, ReconcileError> {
    let mut records = records_of(record);
    let waits = |hook: &HookRecord| hook.moment == Moment::BeforeDelete && !hook.is_over();
    let Some(namespace) = record.status.namespace.clone() else { return Ok(None) };
    if !records.iter().any(waits) {
        return Ok(None);
    }
    let now = context.clock.now();
    let Some(bundle) = stored::running(context, record).await? else {
        give_up(record, &mut records, "the stored bundle is not there");
        return Ok(None);
    };
    let objects = waves::plan(&bundle, false).before_delete;
    let deadline = deadline(&objects, &mut records, now);
    let deployer = Deployer::of(&context.target, &namespace);
    let turn = apply::in_turn(
        &deployer,
        &context.clock,
        &objects,
        Moment::BeforeDelete,
        &mut records,
        &Holds,
    );
    let waiting = match turn.await {
        Ok(Turn::Done | Turn::Failed(_)) => None,
        Ok(Turn::Running(index)) => {
            records.get(index).map(|hook| apply::as_health(hook).not_ready.join("; "))
        }
        Err(error) => Some(format!("hook beforeDelete: {}", chain(&error))),
    };
    match waiting {
        Some(why) if now < deadline => {
            record.status.hooks = to_status(&records);
            Ok(Some(bounded(&why, 512)))
        }
        Some(why) => {
            give_up(record, &mut records, &format!("the time is over: {why}"));
            Ok(None)
        }
        None => {
            // Something that a hook needs may have no record: nothing is looked at twice.
            give_up(record, &mut records, "it did not run");
            Ok(None)
        }
    }
}

/// A camp that stands and is wanted: what ran for an end that did not come runs again for the one that does.
pub(super) fn rearm(record: &mut Record) {
    let begun = |hook: &&mut HookEntry| {
        hook.moment == HookMoment::BeforeDelete
            && (hook.state != HookPhase::Pending || hook.since.is_some())
    };
    for hook in record.status.hooks.iter_mut().filter(begun) {
        // Another name than the Job in the camp bears, which is of an end that did not come.
        let run = hook
            .run
            .strip_suffix(AGAIN)
            .map_or_else(|| format!("{}{AGAIN}", hook.run), str::to_owned);
        hook.run = run;
        hook.state = HookPhase::Pending;
        hook.since = None;
        hook.message.clear();
        hook.log.clear();
        hook.log_of.clear();
    }
}

/// When the end goes on, whatever the hooks do. Writes down when the first of them began.
fn deadline(
    objects: &[&BundleObject],
    records: &mut [HookRecord],
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let longest = objects
        .iter()
        .map(|object| asked(&object.json).unwrap_or_default().timeout)
        .max()
        .and_then(|longest| TimeDelta::from_std(longest).ok())
        .unwrap_or_default();
    let mut ours = records.iter_mut().filter(|hook| hook.moment == Moment::BeforeDelete);
    let begun = ours.next().map_or(now, |first| *first.since.get_or_insert(now));
    begun + longest
}

/// What has not ended is a failure, and the end goes on.
fn give_up(record: &mut Record, records: &mut [HookRecord], why: &str) {
    for hook in records.iter_mut().filter(|hook| hook.moment == Moment::BeforeDelete) {
        if !hook.is_over() {
            hook.state = HookState::Failed;
            hook.message = bounded(why, 512);
        }
        if hook.state == HookState::Failed {
            tracing::warn!(
                environment.name = record.name(),
                object.kind = hook.kind,
                object.name = hook.name,
                "a hook beforeDelete failed, and the camp goes on going: {}",
                hook.message
            );
        }
    }
    record.status.hooks = to_status(records);
}

/// The hooks that the record knows.
pub(super) fn records_of(record: &Record) -> Vec<HookRecord> {
    record.status.hooks.iter().cloned().map(HookRecord::from).collect()
}

pub(super) fn to_status(records: &[HookRecord]) -> Vec<HookEntry> {
    records.iter().cloned().map(HookEntry::from).collect()
}

impl From<HookEntry> for HookRecord {
    fn from(entry: HookEntry) -> Self {
        let HookEntry { api_version, kind, name, moment, run, state, since, message, log_of, log } =
            entry;
        Self {
            api_version,
            kind,
            name,
            moment: match moment {
                HookMoment::BeforeApply => Moment::BeforeApply,
                HookMoment::AfterReady => Moment::AfterReady,
                HookMoment::BeforeDelete => Moment::BeforeDelete,
            },
            run,
            state: match state {
                HookPhase::Pending => HookState::Pending,
                HookPhase::Running => HookState::Running,
                HookPhase::Succeeded => HookState::Succeeded,
                HookPhase::Failed => HookState::Failed,
            },
            since: since.map(|since| since.0),
            message,
            log_of,
            log,
        }
    }
}

impl From<HookRecord> for HookEntry {
    fn from(record: HookRecord) -> Self {
        let HookRecord { api_version, kind, name, moment, run, state, since, message, log_of, log } =
            record;
        Self {
            api_version,
            kind,
            name,
            moment: match moment {
                Moment::BeforeApply => HookMoment::BeforeApply,
                Moment::AfterReady => HookMoment::AfterReady,
                Moment::BeforeDelete => HookMoment::BeforeDelete,
            },
            run,
            state: match state {
                HookState::Pending => HookPhase::Pending,
                HookState::Running => HookPhase::Running,
                HookState::Succeeded => HookPhase::Succeeded,
                HookState::Failed => HookPhase::Failed,
            },
            since: since.map(Into::into),
            message,
            log_of,
            log,
        }
    }
}
