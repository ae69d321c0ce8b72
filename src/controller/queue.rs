//! Room for camps: which records have one or wait for one, and who is next. In: what each run found and left; out: an
//! answer for a camp that is to be made, and a wake-up for those that wait when one leaves. No I/O.
//!
//! A run knows its own record better than any watch does, so what it says goes before what the watch shows: two runs at
//! once never take the same room, and a camp that is gone lets the next one in at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use futures::Stream;
use tokio::sync::watch;

use super::reconcile::Served;
use super::record::Record;
use super::{Context, power, retry, usage};
use crate::crd::{Environment, Phase, Power, QueueStatus, Repository, Timestamp, Want, WhenFull};
use crate::domain::queue::{Answer, Bounds, Entry, Limits, Usage, ask, sleepers, turn};

/// What is known of camps and of those that wait.
pub(super) struct Queue {
    known: Mutex<BTreeMap<String, Known>>,
    /// Who was told to make room: once is enough.
    told: Mutex<BTreeSet<String>>,
    changed: watch::Sender<u64>,
}

/// One record, as its last run left it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    uid: String,
    entry: Option<Entry>,
}

impl Default for Queue {
    fn default() -> Self {
        Self { known: Mutex::default(), told: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Queue {
    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something each time that those who wait should ask again.
    pub(super) fn changes(&self) -> impl Stream<Item = ()> + Send + 'static {
        let changed = self.changed.subscribe();
        futures::stream::unfold(changed, |mut changed| async {
            changed.changed().await.ok()?;
            Some(((), changed))
        })
    }
}

/// How the camp of a record is used.
fn usage_of(record: &Environment, now: DateTime<Utc>) -> Usage {
    let asleep = power::is_asleep(record);
    let busy = power::is_busy(record)
        || record.metadata.deletion_timestamp.is_some()
        || record.spec.want == Want::Down
        || record.status.as_ref().is_none_or(|status| {
            status.revision.is_none() || status.phase == Some(Phase::TearingDown)
        });
    // Somebody wakes it.
    if busy || (asleep && record.spec.power == Power::Awake) {
        return Usage::Busy;
    }
    let used_at = usage::used_at(record, true, now);
    match (asleep, record.spec.lifetime.pinned) {
        (true, _) => Usage::Asleep,
        (false, true) => Usage::Pinned(used_at),
        (false, false) => Usage::Quiet(used_at),
    }
}

/// The record as an entry; `None`: it has no camp and waits for none.
fn entry_of(record: &Environment, now: DateTime<Utc>) -> Option<Entry> {
    let status = record.status.as_ref()?;
    let waits_since = match (&status.namespace, &status.queue) {
        (Some(_), _) => None,
        (None, Some(queue)) => Some(queue.since.0),
        (None, None) => return None,
    };
    Some(Entry {
        name: record.metadata.name.clone().unwrap_or_default(),
        repository: record.spec.repository.clone(),
        author: status.head.as_ref().map(|head| head.author.clone()).unwrap_or_default(),
        turn: status.turn,
        waits_since,
        usage: usage_of(record, now),
    })
}

/// What one source knows of the use of a camp, and the other: a visit is no reason for a run, so the watch may know more.
fn newest(known: Usage, seen: Usage) -> Usage {
    match (known, seen) {
        (Usage::Quiet(known), Usage::Quiet(seen)) => Usage::Quiet(known.max(seen)),
        (Usage::Pinned(known), Usage::Pinned(seen) | Usage::Quiet(seen)) => {
            Usage::Pinned(known.max(seen))
        }
        (known, _) => known,
    }
}

/// All records, the watch's and what runs know better.
fn entries(context: &Context, known: &BTreeMap<String, Known>) -> Vec<Entry> {
    let now = context.clock.now();
    let stored = context.all_records();
    let mut all: BTreeMap<String, Entry> = stored
        .iter()
        .filter_map(|record| entry_of(record, now))
        .map(|entry| (entry.name.clone(), entry))
        .collect();
    for (name, Known { entry, .. }) in known {
        match entry {
            Some(entry) => {
                let seen = all.get(name).map_or(entry.usage, |seen| seen.usage);
                let entry = Entry { usage: newest(entry.usage, seen), ..entry.clone() };
                all.insert(name.clone(), entry);
            }
            None => _ = all.remove(name),
        }
    }
    all.into_values().collect()
}

/// What a run found, or left: wakes those that wait when there may be room now, or when the line has moved.
pub(super) fn note(context: &Context, record: &Environment) {
    let name = record.metadata.name.clone().unwrap_or_default();
    let uid = record.metadata.uid.clone().unwrap_or_default();
    let now = Known { uid, entry: entry_of(record, context.clock.now()) };
    let mut known = context.queue.known();
    let before = known.insert(name.clone(), now.clone()).and_then(|before| before.entry);
    let left = match (&before, &now.entry) {
        (Some(_), None) => true,
        (Some(before), Some(now)) => {
            before.waits_since != now.waits_since
                || (before.usage == Usage::Asleep) != (now.usage == Usage::Asleep)
        }
        (None, _) => false,
    };
    if left {
        wake(context, &known);
    }
    ask_for_room(context, &known);
}

/// Those that are to make room look at that at once.
fn ask_for_room(context: &Context, known: &BTreeMap<String, Known>) {
    let limits = all_limits(context);
    if !limits.of.values().any(|bounds| bounds.sleeps) {
        return;
    }
    let chosen = sleepers(&entries(context, known), &limits);
    let mut told = context.queue.told.lock().unwrap_or_else(PoisonError::into_inner);
    let fresh: Vec<&String> = chosen.difference(&told).collect();
    for name in &fresh {
        retry::look_now(context, name);
    }
    if !fresh.is_empty() {
        context.queue.changed.send_modify(|count| *count += 1);
    }
    *told = chosen;
}

/// Whether the camp of a record is to sleep, so that another has room.
pub(super) fn makes_room(context: &Context, record: &Record) -> bool {
    let limits = all_limits(context);
    let sleeps = limits.of.get(&record.stored().spec.repository).is_some_and(|own| own.sleeps);
    if !sleeps || !context.knows_records() {
        return false;
    }
    let known = context.queue.known();
    sleepers(&entries(context, &known), &limits).contains(record.name())
}

/// A record is gone.
pub(super) fn forget(context: &Context, name: &str) {
    let mut known = context.queue.known();
    if known.remove(name).is_some_and(|gone| gone.entry.is_some()) {
        wake(context, &known);
    }
}

/// Those that wait ask again.
fn wake(context: &Context, known: &BTreeMap<String, Known>) {
    let waiting = entries(context, known);
    let waiting: Vec<_> = waiting.into_iter().filter(|entry| entry.waits_since.is_some()).collect();
    if waiting.is_empty() {
        return;
    }
    for entry in &waiting {
        retry::look_now(context, &entry.name);
    }
    context.queue.changed.send_modify(|count| *count += 1);
}

/// Asks for room for a camp that is to be made, and takes it. `None`: nothing bounds it.
pub(super) fn admit(
    context: &Context,
    record: &mut Record,
    served: &Served,
    now: DateTime<Utc>,
) -> Option<Result<String, String>> {
    let limits = limits(context, served, &record.stored().spec.repository);
    let own = limits.of.get(&record.stored().spec.repository).copied().unwrap_or_default();
    if own.environments.is_none() && own.per_author.is_none() && limits.all.is_none() {
        record.status.queue = None;
        record.status.turn = None;
        return None;
    }
    let mut known = context.queue.known();
    let name = record.name().to_owned();
    let mut all = entries(context, &known);
    all.retain(|entry| entry.name != name);
    let repository = record.stored().spec.repository.clone();
    let author = record.status.head.as_ref().map(|head| head.author.clone()).unwrap_or_default();
    let turn = record.status.turn.unwrap_or_else(|| turn(&all, &repository, &author));
    let since = record.status.queue.as_ref().map_or(Timestamp::from(now), |queue| queue.since);
    let waits_since = Some(since.0);
    let usage = Usage::Busy;
    let entry =
        Entry { name: name.clone(), repository, author, turn: Some(turn), waits_since, usage };
    all.push(entry.clone());
    record.status.turn = Some(turn);
    let uid = record.uid().to_owned();
    match ask(&all, &limits, &name) {
        Answer::Go(answer) => {
            record.status.queue = None;
            let entry = Some(Entry { waits_since: None, ..entry });
            known.insert(name, Known { uid, entry });
            Some(Ok(answer))
        }
        Answer::Wait { reason, place } => {
            let place = place.word();
            let reason = match (own.sleeps, sleepers(&all, &limits).is_empty()) {
                (false, _) => reason,
                (true, false) => format!("{reason}, and one that nobody uses goes to sleep"),
                (true, true) => {
                    format!("{reason}, and none of them can be put to sleep now (limits.whenFull)")
                }
            };
            record.status.queue = Some(QueueStatus { since, place: place.to_owned() });
            known.insert(name, Known { uid, entry: Some(entry) });
            ask_for_room(context, &known);
            Some(Err(format!("{reason}; its place in the line: {place}")))
        }
    }
}

/// What bounds camps: of every Repository, since the installation's limit is for all.
fn limits(context: &Context, served: &Served, repository: &str) -> Limits {
    let mut limits = all_limits(context);
    limits.of.insert(repository.to_owned(), bounds_of(&served.repository));
    limits
}

/// The same, as the watch shows them.
fn all_limits(context: &Context) -> Limits {
    let of = context
        .all_repositories()
        .iter()
        .map(|one| (one.metadata.name.clone().unwrap_or_default(), bounds_of(one)))
        .collect();
    Limits { all: context.max_environments, of }
}

fn bounds_of(repository: &Repository) -> Bounds {
    let limits = &repository.spec.limits;
    let count = |value: Option<i32>| value.and_then(|value| usize::try_from(value).ok());
    Bounds {
        environments: count(limits.environments),
        per_author: count(limits.per_author),
        sleeps: limits.when_full == WhenFull::SleepOldest,
    }
}
