//! One record's objects looked at again and put back, in the record's turn. I/O: home for the record and the stored
//! bundle, the target as the deployer.

use std::time::Duration;

use chrono::TimeDelta;

use super::contested::{self, Held};
use super::{AGAIN, stands};
use crate::apply::{self, ApplyError, Class, Deployer, Entry, Kind, Mark, PutBack, Sharing};
use crate::controller::Context;
use crate::controller::deploy::judge;
use crate::controller::error::{ReconcileError, chain};
use crate::controller::record::Record;
use crate::controller::{dry_run, passing, retry, stored};
use crate::crd::InventoryEntry;
use crate::domain::bundle::{Bundle, BundleObject, group_of};
use crate::domain::status::Judgement;

/// Pause before something is tried again that the cluster refused.
const REFUSED: Duration = Duration::from_secs(60);

/// What was refused so often is left to the record's own run, which says so to people.
const TRIES: u32 = 3;

/// How closely a record is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// What the watches show.
    Seen,
    /// And what can't be watched.
    Compare,
}

/// Checks a record. What can't be put back now is tried again, by this or by the record's own run.
pub(super) async fn check(context: &Context, name: &str, depth: Depth) {
    let _turn = context.teller.turn(name).await;
    let stored = match context.environments().get_opt(name).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(environment.name = name, "drift is not looked at: {}", chain(&error));
            return again(context, name, depth);
        }
    };
    let mut record = Record::new(stored);
    if !stands(record.stored()) {
        return;
    }
    if let Err(error) = checked(context, &mut record, depth).await {
        tracing::warn!(environment.name = name, "drift is not put back: {}", chain(&error));
        if !matches!(error, ReconcileError::Apply(ApplyError::Superseded)) {
            again(context, name, depth);
        }
    }
}

fn again(context: &Context, name: &str, depth: Depth) {
    let pause = context.rng.jitter(AGAIN, 50);
    let pause = TimeDelta::from_std(pause).unwrap_or(TimeDelta::seconds(5));
    context.drift.check_at(name, context.clock.now() + pause, depth);
}

async fn checked(
    context: &Context,
    record: &mut Record,
    depth: Depth,
) -> Result<(), ReconcileError> {
    let namespace = record.status.namespace.clone().unwrap_or_default();
    let suspects = context.drift.suspects(&namespace, &record.status.inventory, depth);
    contested::settle(context, record, &suspects);
    let now = context.clock.now();
    let mut due = Vec::new();
    for entry in suspects {
        match contested::held(record, &entry, now) {
            Held::Until(at) => context.drift.check_at(record.name(), at, depth),
            Held::No => due.push(entry),
        }
    }
    if due.is_empty() {
        return record.save_as_observed(context).await;
    }
    let Some(bundle) = stored::running(context, record).await? else {
        return give_up(context, record, "the stored bundle is gone: it is rendered anew").await;
    };
    let bundle = passing::as_applied(record.stored(), &bundle);
    let known = dry_run::yielded_of(record);
    let repository = context.repository(&record.stored().spec.repository);
    let policy = repository.and_then(|repository| repository.spec.policy().ok());
    let rules = policy.map(|policy| policy.isolation.yields).unwrap_or_default();
    let sharing = Sharing { rules: &rules, known: &known };
    let deployer = Deployer::of(&context.target, &namespace).for_repair(&bundle, sharing);
    let mut repaired = false;
    for entry in due {
        // The camp may be wanted no more, or otherwise, since the check began.
        if !context.record(record.name()).is_none_or(|newest| stands(&newest)) {
            break;
        }
        let Some(object) = find(&bundle, &entry).filter(|object| is_missed(object, &entry)) else {
            continue;
        };
        let mark = entry.mark.as_deref().map(Mark::recorded);
        let put_back =
            apply::put_back(&deployer, &context.target, &namespace, object, mark.as_ref()).await;
        match put_back {
            Ok(PutBack { mark, change }) => {
                note_mark(record, &entry, mark);
                if let Some(change) = change {
                    repaired = true;
                    contested::note_repair(context, record, &entry, &change);
                }
            }
            // The condition `KindsServed` says so, and the object is applied when the kind is back.
            Err(ApplyError::KindUnknown { .. }) => {}
            Err(error)
                if error.class() == Class::Transient || may_pass(context, record, &error) =>
            {
                // What was put back before it must be known.
                record.save_as_observed(context).await?;
                return Err(ReconcileError::Apply(error));
            }
            // Refused, or the whole camp is going: the record's own run finds out, says so and mends it.
            Err(error) => return give_up(context, record, &chain(&error)).await,
        }
    }
    context.drift.forget_refusals(record.name());
    if repaired {
        // How it does now is for the record's own run to see.
        retry::look_now(context, record.name());
    }
    record.save_as_observed(context).await
}

/// Whether a refusal may pass: somebody may have been faster, or a policy is being changed.
fn may_pass(context: &Context, record: &Record, error: &ApplyError) -> bool {
    matches!(error, ApplyError::Refused { .. }) && context.drift.refused(record.name()) < TRIES
}

/// Leaves it to the record's own run, which applies the whole bundle.
async fn give_up(context: &Context, record: &mut Record, why: &str) -> Result<(), ReconcileError> {
    if record.status.condition("Rendered").is_some_and(|rendered| rendered.status == "False") {
        // A later commit is refused, so no run applies what goes on: it stays with this.
        tracing::warn!(environment.name = record.name(), "drift is not put back yet: {why}");
        let pause = context.rng.jitter(REFUSED, 20);
        let pause = TimeDelta::from_std(pause).unwrap_or(TimeDelta::minutes(1));
        context.drift.check_at(record.name(), context.clock.now() + pause, Depth::Seen);
        return record.save_as_observed(context).await;
    }
    context.drift.forget_refusals(record.name());
    judge(context, record, &Judgement::unknown("Applied", "Drifted", why));
    retry::look_now(context, record.name());
    record.save_as_observed(context).await
}

fn note_mark(record: &mut Record, entry: &InventoryEntry, mark: Option<Mark>) {
    let Some(mark) = mark else { return };
    let own = record.status.inventory.iter_mut().find(|one| *one == entry);
    if let Some(own) = own {
        own.mark = Some(mark.as_str().to_owned());
    }
}

/// The object of an entry; none when it left the bundle and could not be pruned yet.
fn find<'a>(bundle: &'a Bundle, entry: &InventoryEntry) -> Option<&'a BundleObject> {
    let kind = Kind::of(&entry.api_version, &entry.kind);
    bundle.objects.iter().find(|object| {
        let identity = object.identity();
        identity.name == entry.name
            && identity.kind == kind.kind
            && identity.group == group_of(&entry.api_version)
    })
}

/// A Job that the cluster takes away some time after its end is not missed: it would run again and again.
fn is_missed(object: &BundleObject, entry: &InventoryEntry) -> bool {
    entry.kind != "Job" || object.json.pointer("/spec/ttlSecondsAfterFinished").is_none()
}

/// For messages.
pub(super) fn named(entry: &InventoryEntry) -> String {
    let InventoryEntry { kind, name, .. } = entry;
    format!("{kind}/{name}")
}

/// The same of what a run took back.
pub(super) fn entry_of(entry: &Entry) -> InventoryEntry {
    InventoryEntry {
        api_version: entry.api_version.clone(),
        kind: entry.kind.clone(),
        name: entry.name.clone(),
        mark: None,
        wave: None,
        keep: false,
        left: None,
    }
}
