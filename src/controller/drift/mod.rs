//! Drift: what somebody else changed or deleted in a camp is put back from the stored bundle, beside the runs and without
//! forge, source and renderer. Input: watches of metadata, and the marks in the records; output: checks of records. I/O.
//!
//! What a watch shows is compared with the marks that the records hold. What differs makes a check of that record due; the
//! check takes the record's turn, looks again, and puts back. So what a run or a repair writes itself is no drift: until
//! the check has its turn, the record knows.

mod check;
mod contested;
mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::check::Depth;
pub(super) use self::contested::note_forced;
use self::seen::Seen;
use super::Context;
use super::error::chain;
use super::record::Record;
use crate::apply::{self, Entry, Kind, Place, Shown, Stock, WatchTrouble};
use crate::crd::{Environment, InventoryEntry, Phase, Want};
use crate::domain::contest::{Repairs, next_repair};

/// Checks of different records at once.
const SIDE_BY_SIDE: usize = 8;
/// The kinds in use are looked at again after this time, however quiet it is.
const LOOK: Duration = Duration::from_secs(60);
/// Between two looks at the kinds in use, when something is applied all the time.
const SOON: Duration = Duration::from_millis(250);
/// Between two comparisons of what may not be listed; and before a kind that may not be watched is tried again.
const COMPARE: Duration = Duration::from_secs(600);
/// First pause after a watch broke off; doubled each time.
const FIRST: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(60);
/// Pause before a check that the cluster did not let end is made again.
const AGAIN: Duration = Duration::from_secs(5);
/// What is checked at the end of the runs gets this time.
const DRAIN: Duration = Duration::from_secs(3);

/// What is known of the camps' objects, and which records are to be checked. Losing it costs a list for each kind.
#[derive(Default)]
pub(super) struct Drift {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    seen: BTreeMap<Kind, Seen>,
    /// Kinds that may not be watched, and when that is tried again.
    unwatched: BTreeMap<Kind, DateTime<Utc>>,
    /// Records to be checked: when, and how.
    due: BTreeMap<String, (DateTime<Utc>, Depth)>,
    /// When what may not be listed is compared next, by record.
    compare: BTreeMap<String, DateTime<Utc>>,
    /// Repairs of the last minutes, by record and object.
    repairs: BTreeMap<(String, String), Repairs>,
    /// How often the cluster refused to let an object be put back, by record.
    refusals: BTreeMap<String, u32>,
}

impl Drift {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a check of a record due; the earlier of two, and the deeper.
    fn check_at(&self, record: &str, at: DateTime<Utc>, depth: Depth) {
        let mut state = self.state();
        let due = state.due.entry(record.to_owned()).or_insert((at, depth));
        *due = (due.0.min(at), due.1.max(depth));
        drop(state);
        self.wake.notify_one();
    }

    /// Counts one more refusal. Gives how many there were before.
    fn refused(&self, record: &str) -> u32 {
        let mut state = self.state();
        let count = state.refusals.entry(record.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count - 1
    }

    /// Nothing is refused any more, or somebody else sees to it.
    fn forget_refusals(&self, record: &str) {
        self.state().refusals.remove(record);
    }

    /// The record whose check is due first.
    fn take(&self, now: DateTime<Utc>, busy: &BTreeSet<String>) -> Option<(String, Depth)> {
        let mut state = self.state();
        let ready =
            state.due.iter().filter(|(record, (at, _))| *at <= now && !busy.contains(*record));
        let name = ready.min_by_key(|(record, (at, _))| (*at, (*record).clone()))?.0.clone();
        state.due.remove(&name).map(|(_, depth)| (name, depth))
    }

    /// The time until something is due.
    fn pause(&self, now: DateTime<Utc>, busy: &BTreeSet<String>) -> Duration {
        let state = self.state();
        let free = state.due.iter().filter(|(record, _)| !busy.contains(*record));
        let first = free.map(|(_, (at, _))| *at).min();
        first.map_or(LOOK, |at| (at - now).to_std().unwrap_or_default().min(LOOK))
    }

    /// Objects of a record that are not as they were applied, as far as the watches show.
    fn suspects(
        &self,
        namespace: &str,
        inventory: &[InventoryEntry],
        depth: Depth,
    ) -> Vec<InventoryEntry> {
        let state = self.state();
        let differs = |entry: &&InventoryEntry| {
            let kind = Kind::of(&entry.api_version, &entry.kind);
            match state.seen.get(&kind).filter(|_| !state.unwatched.contains_key(&kind)) {
                Some(seen) => seen.differs(namespace, &entry.name, entry.mark.as_deref()),
                None => {
                    depth == Depth::Compare && entry.mark.is_some() && is_unwatched(&state, &kind)
                }
            }
        };
        inventory.iter().filter(differs).cloned().collect()
    }
}

/// Whether objects of this kind are compared one by one.
fn is_unwatched(state: &State, kind: &Kind) -> bool {
    kind.is_secret() || state.unwatched.contains_key(kind)
}

/// The inventory as it is recorded: with the marks of the last apply, or those that were recorded before.
pub(super) fn marked(
    context: &Context,
    record: &Record,
    inventory: &[Stock],
) -> Vec<InventoryEntry> {
    let namespace = record.status.namespace.as_deref().unwrap_or_default();
    let recorded = |entry: &Entry| {
        let kind = Kind::of(&entry.api_version, &entry.kind);
        let same = |one: &&InventoryEntry| {
            one.name == entry.name && Kind::of(&one.api_version, &one.kind) == kind
        };
        record.status.inventory.iter().find(same).and_then(|one| one.mark.clone())
    };
    let marked = |Stock { entry, wave, keep, left }: &Stock| InventoryEntry {
        api_version: entry.api_version.clone(),
        kind: entry.kind.clone(),
        name: entry.name.clone(),
        mark: context
            .target
            .marks()
            .of(namespace, entry)
            .map(|mark| mark.as_str().to_owned())
            .or_else(|| recorded(entry)),
        wave: *wave,
        keep: *keep,
        left: left.clone(),
    };
    inventory.iter().map(marked).collect()
}

/// Whether the camp of a record is to be as its bundle says: neither being changed nor to go.
fn stands(record: &Environment) -> bool {
    let Some(status) = &record.status else { return false };
    record.metadata.deletion_timestamp.is_none()
        && record.spec.want != Want::Down
        && status.namespace.is_some()
        && status.namespace_uid.is_some()
        && status.holds("Applied")
        && !matches!(
            status.phase,
            None | Some(
                Phase::NoCamp
                    | Phase::WaitingForApproval
                    | Phase::Queued
                    | Phase::TearingDown
                    | Phase::Closed
            )
        )
}

/// Watches and checks until `stop`.
pub(super) async fn run(context: &Context, stop: CancellationToken) {
    let mut watches: FuturesUnordered<BoxFuture<'_, (Kind, CancellationToken)>> =
        FuturesUnordered::new();
    let mut watching: BTreeMap<Kind, CancellationToken> = BTreeMap::new();
    let mut checks: FuturesUnordered<BoxFuture<'_, String>> = FuturesUnordered::new();
    let mut busy = BTreeSet::new();
    let drift = &context.drift;
    let (mut planned, mut news) = (None, true);
    loop {
        if is_due(context, planned, news) {
            // What was applied a moment ago may not be in the store yet: it is looked at once more.
            let again = std::mem::take(&mut news) || !context.knows_records();
            planned = Some((context.clock.now(), again));
            open_watches(context, &stop, &mut watching, &mut watches);
            plan_comparisons(context);
        }
        let now = context.clock.now();
        while checks.len() < SIDE_BY_SIDE
            && let Some((name, depth)) = drift.take(now, &busy)
        {
            busy.insert(name.clone());
            checks.push(Box::pin(async move {
                check::check(context, &name, depth).await;
                name
            }));
        }
        let next = next_plan(context, planned, news);
        let pause =
            if checks.len() < SIDE_BY_SIDE { drift.pause(now, &busy).min(next) } else { next };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(name) = checks.next() => { busy.remove(&name); }
            Some((kind, end)) = watches.next() => {
                // One that was ended, and another that was opened since for the same kind, are two.
                if !end.is_cancelled() {
                    watching.remove(&kind);
                }
            }
            () = drift.wake.notified() => {}
            () = context.target.marks().news(), if !news => news = true,
            () = context.clock.sleep(pause.max(Duration::from_millis(1))) => {}
        }
    }
    let drained = async { while checks.next().await.is_some() {} };
    tokio::select! {
        biased;
        () = drained => {}
        () = context.clock.sleep(DRAIN) => {}
    }
}

/// When the kinds in use were looked at last, and whether that is to be done once more soon.
type Planned = Option<(DateTime<Utc>, bool)>;

/// The time until the kinds in use are looked at again: soon when something was applied, else when something is due.
fn next_plan(context: &Context, planned: Planned, news: bool) -> Duration {
    let Some((last, again)) = planned else { return Duration::ZERO };
    let compare = context.drift.state().compare.values().min().copied();
    let mut next = last + LOOK;
    if let Some(compare) = compare {
        next = next.min(compare);
    }
    if again {
        next = next.min(last + SOON * 4);
    }
    if news {
        next = last;
    }
    // However much is applied, this is not done all the time.
    (next.max(last + SOON) - context.clock.now()).to_std().unwrap_or_default()
}

fn is_due(context: &Context, planned: Planned, news: bool) -> bool {
    next_plan(context, planned, news).is_zero()
}

/// Opens a watch for each kind that came into use, and ends those of kinds that are used no more.
fn open_watches<'a>(
    context: &'a Context,
    stop: &CancellationToken,
    watching: &mut BTreeMap<Kind, CancellationToken>,
    watches: &mut FuturesUnordered<BoxFuture<'a, (Kind, CancellationToken)>>,
) {
    let used = kinds_in_use(context);
    watching.retain(|kind, end| {
        let stays = used.contains_key(kind);
        if !stays {
            end.cancel();
            context.drift.state().seen.remove(kind);
        }
        stays
    });
    for (kind, api_version) in used {
        if watching.contains_key(&kind) || !may_try(context, &kind) {
            continue;
        }
        let end = stop.child_token();
        watching.insert(kind.clone(), end.clone());
        watches.push(Box::pin(follow(context, kind, api_version, end)));
    }
}

/// Kinds of what stands in camps, each with a version that the cluster serves.
fn kinds_in_use(context: &Context) -> BTreeMap<Kind, String> {
    let mut kinds = BTreeMap::new();
    for record in context.all_records() {
        let inventory = record.status.iter().flat_map(|status| &status.inventory);
        for entry in inventory {
            let kind = Kind::of(&entry.api_version, &entry.kind);
            if !kind.is_secret() {
                kinds.entry(kind).or_insert_with(|| entry.api_version.clone());
            }
        }
    }
    kinds
}

/// Whether a kind may be watched, as far as it is known.
fn may_try(context: &Context, kind: &Kind) -> bool {
    let now = context.clock.now();
    context.drift.state().unwatched.get(kind).is_none_or(|again| *again <= now)
}

/// Sees to it that each camp with something that is not watched is compared once in a while, and that nothing is kept of
/// camps that are no more.
fn plan_comparisons(context: &Context) {
    let now = context.clock.now();
    let records = context.all_records();
    let mut state = context.drift.state();
    let state = &mut *state;
    let mut wanted = BTreeSet::new();
    let mut namespaces = BTreeSet::new();
    let mut names = BTreeSet::new();
    for record in &records {
        let name = record.metadata.name.clone().unwrap_or_default();
        let Some(status) = &record.status else { continue };
        namespaces.extend(status.namespace.clone());
        let unwatched = |entry: &InventoryEntry| {
            is_unwatched(state, &Kind::of(&entry.api_version, &entry.kind))
        };
        if stands(record) && status.inventory.iter().any(unwatched) {
            wanted.insert(name.clone());
        }
        // A fight is known from the record alone, say after a restart.
        if let Some(first) = status.contested.iter().map(|one| one.repaired_at.0).min() {
            let at = next_repair(first).max(now + Duration::from_secs(1));
            state.due.entry(name.clone()).or_insert((at, Depth::Seen));
        }
        names.insert(name);
    }
    if !context.knows_records() {
        return;
    }
    state.compare.retain(|name, _| wanted.contains(name));
    state.due.retain(|name, _| names.contains(name));
    state.refusals.retain(|name, _| names.contains(name));
    state.repairs.retain(|(name, _), repairs| {
        repairs.forget(now);
        names.contains(name) && !repairs.is_empty()
    });
    for name in wanted {
        // The first at any time within the interval: after a start, all camps at once would be a storm.
        let spread = context.rng.below(u64::try_from(COMPARE.as_millis()).unwrap_or(u64::MAX));
        let at = state
            .compare
            .entry(name.clone())
            .or_insert_with(|| now + Duration::from_millis(spread));
        if *at <= now {
            *at = now + context.rng.jitter(COMPARE, 20);
            let due = state.due.entry(name).or_insert((now, Depth::Compare));
            *due = (due.0.min(now), Depth::Compare);
        }
    }
    context.target.marks().keep(|namespace| namespaces.contains(namespace));
}

/// Follows one kind until `end`, or until it can't be watched. Gives both.
async fn follow(
    context: &Context,
    kind: Kind,
    api_version: String,
    end: CancellationToken,
) -> (Kind, CancellationToken) {
    let _ = end.run_until_cancelled(watch(context, &kind, &api_version)).await;
    (kind, end)
}

async fn watch(context: &Context, kind: &Kind, api_version: &str) {
    let mut failures = 0_u32;
    let mut opened = None;
    loop {
        let shown = match &mut opened {
            None => match apply::watch_kind(&context.target, api_version, &kind.kind).await {
                Ok(stream) => {
                    opened = Some(stream);
                    continue;
                }
                Err(error) => Some(Err(error)),
            },
            Some(stream) => stream.next().await,
        };
        match shown {
            None => opened = None,
            Some(Ok(shown)) => {
                failures = 0;
                note(context, kind, shown);
            }
            Some(Err(error @ (WatchTrouble::NotAllowed | WatchTrouble::NoSuchKind))) => {
                let again = context.clock.now() + context.rng.jitter(COMPARE, 20);
                let mut state = context.drift.state();
                state.seen.remove(kind);
                if state.unwatched.insert(kind.clone(), again).is_none() {
                    tracing::warn!(
                        object.kind = kind.kind,
                        object.group = kind.group,
                        "drift is noticed within ten minutes only: {error} (ClusterRole bivouac-watcher)"
                    );
                }
                return;
            }
            Some(Err(error)) => {
                failures = failures.saturating_add(1);
                if failures == 3 {
                    tracing::warn!(
                        object.kind = kind.kind,
                        "drift is noticed late: {}",
                        chain(&error)
                    );
                }
                let pause = FIRST.saturating_mul(1 << (failures - 1).min(10)).min(LONGEST);
                context.clock.sleep(context.rng.jitter(pause, 50)).await;
            }
        }
    }
}

/// What the watch showed, compared with what the records know.
fn note(context: &Context, kind: &Kind, shown: Shown) {
    let mut state = context.drift.state();
    if let Shown::Whole = shown {
        state.unwatched.remove(kind);
    }
    let seen = state.seen.entry(kind.clone()).or_default();
    let place = match shown {
        Shown::Begun => {
            seen.begin();
            return;
        }
        Shown::Listed(Place { namespace, name, .. }, mark) => {
            seen.list(namespace, name, mark);
            return;
        }
        Shown::Whole => {
            seen.end();
            drop(state);
            return compare_all(context, kind);
        }
        Shown::Changed(place, mark) => {
            if !seen.put(&place.namespace, &place.name, mark) {
                return;
            }
            place
        }
        Shown::Gone(place) => {
            seen.remove(&place.namespace, &place.name);
            place
        }
    };
    drop(state);
    let Some(record) = owner(context, &place) else { return };
    let inventory = record.status.as_ref().map(|status| status.inventory.as_slice());
    let entry = inventory.unwrap_or_default().iter().find(|entry| {
        entry.name == place.name && Kind::of(&entry.api_version, &entry.kind) == *kind
    });
    if let Some(entry) = entry {
        suspect(context, &record, std::slice::from_ref(entry));
    }
}

/// After a list: whatever changed while nobody looked.
fn compare_all(context: &Context, kind: &Kind) {
    for record in context.all_records() {
        let Some(status) = &record.status else { continue };
        let of_kind = |entry: &&InventoryEntry| Kind::of(&entry.api_version, &entry.kind) == *kind;
        let entries: Vec<InventoryEntry> =
            status.inventory.iter().filter(of_kind).cloned().collect();
        suspect(context, &record, &entries);
    }
}

/// Makes a check due when one of these objects is not as it was applied.
fn suspect(context: &Context, record: &Environment, entries: &[InventoryEntry]) {
    let Some(namespace) = record.status.as_ref().and_then(|status| status.namespace.as_ref())
    else {
        return;
    };
    if stands(record) && !context.drift.suspects(namespace, entries, Depth::Seen).is_empty() {
        let name = record.metadata.name.as_deref().unwrap_or_default();
        context.drift.check_at(name, context.clock.now(), Depth::Seen);
    }
}

/// The record whose camp an object is in. Its label is only a hint.
fn owner(context: &Context, place: &Place) -> Option<Arc<Environment>> {
    let is_there = |record: &Arc<Environment>| {
        let status = record.status.as_ref();
        status.and_then(|status| status.namespace.as_ref()) == Some(&place.namespace)
    };
    context
        .record(&place.environment)
        .filter(is_there)
        .or_else(|| context.all_records().into_iter().find(is_there))
}
