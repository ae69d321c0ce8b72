//! Two who fight over a field: noticed, written into the status, said in Events, and slowed down. In: repairs; out:
//! `status.contested`, the condition `Contested`, Events. No I/O: the caller saves.

use chrono::{DateTime, Utc};

use super::check::{Depth, entry_of, named};
use crate::apply::Entry;
use crate::controller::Context;
use crate::controller::deploy::judge;
use crate::controller::events::{Told, Weight};
use crate::controller::record::Record;
use crate::controller::retry;
use crate::crd::{ContestedEntry, InventoryEntry};
use crate::domain::contest::next_repair;
use crate::domain::drift::Change;
use crate::domain::status::{Judgement, bounded};

/// Name of the condition.
const CONTESTED: &str = "Contested";
/// Entries of `status.contested`, as its schema has it.
const MOST: usize = 20;

/// Whether an object waits with its repair.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// It is contested, and was put back a moment ago.
    Until(DateTime<Utc>),
    /// It does not.
    No,
}

fn is_of(one: &ContestedEntry, entry: &InventoryEntry) -> bool {
    one.kind == entry.kind && one.name == entry.name
}

/// Whether the repair of `entry` has to wait.
pub(super) fn held(record: &Record, entry: &InventoryEntry, now: DateTime<Utc>) -> Held {
    let contested = record.status.contested.iter().filter(|one| is_of(one, entry));
    let next = contested.map(|one| next_repair(one.repaired_at.0)).max();
    next.filter(|next| now < *next).map_or(Held::No, Held::Until)
}

/// What nobody changed for ten minutes after its last repair is contested no more.
pub(super) fn settle(context: &Context, record: &mut Record, suspects: &[InventoryEntry]) {
    let now = context.clock.now();
    if record.status.contested.is_empty() {
        return;
    }
    let goes_on = |one: &ContestedEntry| {
        now < next_repair(one.repaired_at.0) || suspects.iter().any(|entry| is_of(one, entry))
    };
    let before = record.status.contested.len();
    record.status.contested.retain(goes_on);
    if record.status.contested.len() < before {
        // The comment names those that are.
        retry::look_now(context, record.name());
    }
    let next = record.status.contested.iter().map(|one| next_repair(one.repaired_at.0)).min();
    if let Some(next) = next.filter(|next| *next > now) {
        context.drift.check_at(record.name(), next, Depth::Seen);
    }
    show(context, record);
}

/// Fields that a run of its own took back while it applied the bundle.
pub(in crate::controller) fn note_forced(
    context: &Context,
    record: &mut Record,
    forced: &[(Entry, Change)],
) {
    for (entry, change) in forced {
        note_repair(context, record, &entry_of(entry), change);
    }
}

/// Something was put back: says so, and notices when it is a fight.
pub(super) fn note_repair(
    context: &Context,
    record: &mut Record,
    entry: &InventoryEntry,
    change: &Change,
) {
    let object = named(entry);
    let words = format!("{object}: {}; put back", change.words());
    tracing::info!(environment.name = record.name(), "{words}");
    context.events.tell(
        context,
        record.stored(),
        Told::of("DriftRepaired", Weight::Normal, "PutBack", words),
    );
    let now = context.clock.now();
    let fields = change.contested();
    let fights = {
        let mut state = context.drift.state();
        let key = (record.name().to_owned(), object.clone());
        state.repairs.entry(key).or_default().note(&fields, now)
    };
    for one in record.status.contested.iter_mut().filter(|one| is_of(one, entry)) {
        one.repaired_at = now.into();
    }
    for field in fights {
        let field = bounded(&field, 512);
        let known =
            record.status.contested.iter().any(|one| is_of(one, entry) && one.field == field);
        if known || record.status.contested.len() >= MOST {
            continue;
        }
        let manager = change.manager.as_deref().map(|manager| bounded(manager, 128));
        let who = manager
            .as_ref()
            .map_or_else(|| "somebody".to_owned(), |manager| format!("{manager:?}"));
        context.events.tell(
            context,
            record.stored(),
            Told::of(
                CONTESTED,
                Weight::Warning,
                "SlowDown",
                format!(
                    "{object}: {who} changes {field} each time that it is put back; it is put back each ten minutes now"
                ),
            ),
        );
        record.status.contested.push(ContestedEntry {
            kind: entry.kind.clone(),
            name: entry.name.clone(),
            field,
            manager,
            since: now.into(),
            repaired_at: now.into(),
        });
    }
    if record.status.contested.iter().any(|one| is_of(one, entry)) {
        context.drift.check_at(record.name(), next_repair(now), Depth::Seen);
    }
    show(context, record);
}

/// The condition, from the list. A camp that nobody ever fought over has none.
fn show(context: &Context, record: &mut Record) {
    let contested = &record.status.contested;
    let judgement = if contested.is_empty() {
        if record.status.condition(CONTESTED).is_none() {
            return;
        }
        Judgement::no(CONTESTED, "Settled", "nobody changes what is put back")
    } else {
        let one = |one: &ContestedEntry| format!("{}/{} {}", one.kind, one.name, one.field);
        let all: Vec<String> = contested.iter().map(one).collect();
        let message = format!("put back each ten minutes only: {}", all.join(", "));
        Judgement::yes(CONTESTED, "PutBackAgainAndAgain", message)
    };
    judge(context, record, &judgement);
}
