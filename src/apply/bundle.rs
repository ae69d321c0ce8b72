//! A bundle into its camp: step by step, objects of a step side by side, then what left it is pruned, last wave first.
//! Input: bundle, the inventory of before, a fence; output: the inventory of now, or what it waits for. I/O with the
//! target as the deployer.
//!
//! Nothing waits in here for a wave to get ready or for a hook to end: the run says where it stopped, and a later call
//! goes on there. So no camp that waits keeps another one from its turn.

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use serde_json::Value;

use super::deployer::{Deployer, Written};
use super::error::ApplyError;
use super::health::{CampHealth, observe_health};
use super::hooks::{Turn, in_turn};
use super::prune::{Pruned, prune};
use crate::domain::bundle::{Bundle, BundleObject};
use crate::domain::drift::Change;
use crate::domain::waves::{HookRecord, Moment, Plan, Step, asked, is_hook};
use crate::seams::Clock;

/// Objects of one step that are on their way at once: enough to hide latency, too few to trouble an API server that
/// many camps share.
const SIDE_BY_SIDE: usize = 8;

/// One object that was applied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// `group/version`, or `version` for the core group.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// One object of the inventory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stock {
    /// Which.
    pub entry: Entry,
    /// The wave that it names.
    pub wave: Option<i32>,
    /// It says that it is not to be pruned.
    pub keep: bool,
    /// The first commit that it was not in; `None`: it is in the bundle.
    pub left: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Everything that is there by our doing now, sorted: the bundle, and what was not pruned.
    pub inventory: Vec<Stock>,
    /// What was pruned.
    pub pruned: Vec<Entry>,
    /// What could not be, and is tried again.
    pub kept: Vec<Entry>,
}

/// One call, and where it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Objects of which fields were taken back, with who had which.
    pub forced: Vec<(Entry, Change)>,
    /// Objects that could not be changed and were made anew, with the fields.
    pub replaced: Vec<(Entry, String)>,
    /// Where.
    pub end: End,
}

/// Where a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything was sent, and what left was pruned.
    Applied(Applied),
    /// Something has to get ready before this wave.
    Wave {
        /// Steps that are done.
        steps: usize,
        /// The wave that waits.
        wave: i32,
        /// What it waits for.
        health: CampHealth,
    },
    /// A hook runs or failed.
    Hook {
        /// Steps that are done.
        steps: usize,
        /// Its place in the records.
        record: usize,
    },
}

/// Tells a run whether what it was started for is still what is wanted.
pub trait Fence: Sync {
    /// `false` ends the run with [`ApplyError::Superseded`].
    fn holds(&self) -> BoxFuture<'_, bool>;
}

/// What is to be done.
pub struct Work<'a> {
    /// The objects.
    pub bundle: &'a Bundle,
    /// Their order.
    pub plan: &'a Plan<'a>,
    /// The commit.
    pub revision: &'a str,
    /// Steps that an earlier call has done.
    pub steps: usize,
    /// The inventory of before.
    pub before: &'a [Stock],
}

/// The entry of an object.
pub(super) fn entry(object: &BundleObject) -> Entry {
    let text = |pointer| {
        object.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Entry { api_version: text("/apiVersion"), kind: text("/kind"), name: text("/metadata/name") }
}

fn stock(object: &BundleObject) -> Stock {
    let asked = asked(&object.json).unwrap_or_default();
    Stock { entry: entry(object), wave: asked.wave, keep: asked.keep, left: None }
}

/// Applies a bundle as far as it goes without waiting, and in the end prunes what of before is not in it.
///
/// On an error, what was applied so far is in the cluster and the inventory of before still names what was there; the
/// caller records the union first, so that nothing is ever forgotten.
pub async fn apply_bundle(
    deployer: &Deployer,
    clock: &Clock,
    work: &Work<'_>,
    hooks: &mut [HookRecord],
    fence: &dyn Fence,
) -> Result<Ran, ApplyError> {
    let mut changed = Changed::default();
    for (index, step) in work.plan.steps.iter().enumerate().skip(work.steps) {
        let end = match step {
            Step::Send(objects) => {
                send_all(deployer, objects, fence, &mut changed).await?;
                continue;
            }
            Step::Settle(wave) => {
                let sent = sent_before(work.plan, index);
                let health = observe_health(deployer, &sent, clock.now()).await?;
                if health.is_ready() {
                    continue;
                }
                // Somebody deleted what was sent: from the beginning.
                let steps = if health.missing {
                    // And nothing of it counts as sent.
                    deployer.end_run();
                    0
                } else {
                    index
                };
                End::Wave { steps, wave: *wave, health }
            }
            Step::Hook(object) => {
                match in_turn(deployer, clock, &[*object], Moment::BeforeApply, hooks, fence)
                    .await?
                {
                    Turn::Done => continue,
                    Turn::Running(record) | Turn::Failed(record) => {
                        End::Hook { steps: index, record }
                    }
                }
            }
        };
        return Ok(changed.with(end));
    }
    let wanted: Vec<Stock> =
        work.bundle.objects.iter().filter(|o| !is_held(work.plan, o)).map(stock).collect();
    let Work { bundle, revision, before, .. } = work;
    let Pruned { deleted, refused, stays } =
        prune(deployer, before, bundle, &wanted, revision, fence).await?;
    let kept = refused.iter().map(|stock| stock.entry.clone()).collect();
    let inventory: BTreeSet<Stock> =
        stands(work.plan).into_iter().chain(refused).chain(stays).collect();
    let inventory = inventory.into_iter().collect();
    Ok(changed.with(End::Applied(Applied { inventory, pruned: deleted, kept })))
}

/// What sending did beyond what was asked.
#[derive(Default)]
struct Changed {
    forced: Vec<(Entry, Change)>,
    replaced: Vec<(Entry, String)>,
}

impl Changed {
    fn with(self, end: End) -> Ran {
        Ran { forced: self.forced, replaced: self.replaced, end }
    }
}

/// Held back until the camp goes, and not there before.
fn is_held(plan: &Plan<'_>, object: &BundleObject) -> bool {
    plan.before_delete.contains(&object) && !plan.after_ready.contains(&object)
}

/// What a bundle leaves in the camp: hooks come and go, and have a list of their own.
fn stands(plan: &Plan<'_>) -> Vec<Stock> {
    sent_objects(&plan.steps).map(stock).collect()
}

fn sent_objects<'a>(steps: &'a [Step<'a>]) -> impl Iterator<Item = &'a BundleObject> {
    steps
        .iter()
        .flat_map(|step| match step {
            Step::Send(objects) => objects.as_slice(),
            Step::Settle(_) | Step::Hook(_) => &[],
        })
        .copied()
        .filter(|object| !is_hook(object))
}

fn sent_before(plan: &Plan<'_>, step: usize) -> Vec<Entry> {
    sent_objects(plan.steps.get(..step).unwrap_or_default()).map(entry).collect()
}

async fn send_all(
    deployer: &Deployer,
    objects: &[&BundleObject],
    fence: &dyn Fence,
    changed: &mut Changed,
) -> Result<(), ApplyError> {
    let sends: Vec<_> = objects.iter().map(|object| send(deployer, object, fence)).collect();
    let mut results = stream::iter(sends).buffered(SIDE_BY_SIDE);
    while let Some(result) = results.next().await {
        match result? {
            (entry, Written::Forced { manager, fields }) => {
                changed.forced.push((entry, Change::by(manager, fields)));
            }
            (entry, Written::Replaced { fields }) => {
                changed.replaced.push((entry, fields.join(", ")));
            }
            (_, Written::Plainly | Written::Unchanged | Written::Yielded { .. }) => {}
        }
    }
    Ok(())
}

/// One object, unless the fence fell meanwhile. Boxed with a named lifetime: the compiler can't prove an async closure
/// over references to be `Send`.
pub(super) fn send<'a>(
    deployer: &'a Deployer,
    object: &'a BundleObject,
    fence: &'a dyn Fence,
) -> BoxFuture<'a, Result<(Entry, Written), ApplyError>> {
    Box::pin(async move {
        loop {
            if !fence.holds().await {
                return Err(ApplyError::Superseded);
            }
            match deployer.apply(object).await {
                Ok(written) => return Ok((entry(object), written)),
                Err(ApplyError::Settling { object, origin, message }) => {
                    if !deployer.waits().await {
                        return Err(ApplyError::Refused { object, origin, message });
                    }
                }
                Err(error) => return Err(error),
            }
        }
    })
}

/// Everything a run may leave behind, for the record that is written before the first object: what was there and what
/// will be.
#[must_use]
pub fn union(before: &[Stock], plan: &Plan<'_>) -> Vec<Stock> {
    let new = stands(plan);
    let old = before.iter().filter(|old| !new.iter().any(|new| new.entry == old.entry));
    let all: BTreeSet<Stock> = old.cloned().chain(new.iter().cloned()).collect();
    all.into_iter().collect()
}
