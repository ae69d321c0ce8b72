//! A bundle into its camp: wave by wave, objects of a wave side by side, then what left it is pruned, last wave first.
//! Input: bundle, the inventory of before, a fence; output: the inventory of now. I/O with the target as the deployer.

use std::collections::BTreeSet;

use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use serde_json::Value;

use super::deployer::{Deployer, Written};
use super::error::ApplyError;
use crate::domain::bundle::{Bundle, BundleObject, group_of, wave_of};

/// Objects of one wave that are on their way at once: enough to hide latency, too few to trouble an API server that
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

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Everything that is there by our doing now, sorted: the bundle, and what could not be pruned.
    pub inventory: Vec<Entry>,
    /// What was pruned.
    pub pruned: Vec<Entry>,
    /// What could not be, and is tried again.
    pub kept: Vec<Entry>,
    /// Objects of which fields were taken back, with who had which.
    pub forced: Vec<(Entry, String)>,
    /// Objects that could not be changed and were made anew, with the fields.
    pub replaced: Vec<(Entry, String)>,
}

/// Tells a run whether what it was started for is still what is wanted.
pub trait Fence: Sync {
    /// `false` ends the run with [`ApplyError::Superseded`].
    fn holds(&self) -> BoxFuture<'_, bool>;
}

/// The entry of an object.
fn entry(object: &BundleObject) -> Entry {
    let text = |pointer| {
        object.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Entry { api_version: text("/apiVersion"), kind: text("/kind"), name: text("/metadata/name") }
}

/// Applies `bundle` and prunes what of `before` is not in it.
///
/// On an error, what was applied so far is in the cluster and the inventory of before still names what was there; the
/// caller records the union first, so that nothing is ever forgotten.
pub async fn apply_bundle(
    deployer: &Deployer,
    bundle: &Bundle,
    before: &[Entry],
    fence: &dyn Fence,
) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    let mut rest = bundle.objects.as_slice();
    while let Some(first) = rest.first() {
        let (wave, later) =
            rest.split_at(rest.iter().take_while(|object| object.wave == first.wave).count());
        rest = later;
        let sends: Vec<_> = wave.iter().map(|object| send(deployer, object, fence)).collect();
        let mut results = stream::iter(sends).buffered(SIDE_BY_SIDE);
        while let Some(result) = results.next().await {
            match result? {
                (entry, Written::Forced { manager, fields }) => {
                    applied.forced.push((entry, format!("{manager}: {}", fields.join(", "))));
                }
                (entry, Written::Replaced { fields }) => {
                    applied.replaced.push((entry, fields.join(", ")));
                }
                (_, Written::Plainly | Written::Unchanged | Written::Yielded { .. }) => {}
            }
        }
    }
    let wanted: BTreeSet<Entry> = bundle.objects.iter().map(entry).collect();
    for gone in prune_order(before, &wanted) {
        if !fence.holds().await {
            return Err(ApplyError::Superseded);
        }
        if deployer.prune(&gone.api_version, &gone.kind, &gone.name).await? {
            applied.pruned.push(gone);
        } else {
            applied.kept.push(gone);
        }
    }
    let mut inventory = wanted;
    inventory.extend(applied.kept.iter().cloned());
    applied.inventory = inventory.into_iter().collect();
    Ok(applied)
}

/// One object, unless the fence fell meanwhile. Boxed with a named lifetime: the compiler can't prove an async closure
/// over references to be `Send`.
fn send<'a>(
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

/// What of `before` left the bundle, last wave first. Another version of one group and kind is the same object.
fn prune_order(before: &[Entry], wanted: &BTreeSet<Entry>) -> Vec<Entry> {
    let same = |a: &Entry, b: &Entry| {
        group_of(&a.api_version) == group_of(&b.api_version) && a.kind == b.kind && a.name == b.name
    };
    let mut gone: Vec<Entry> =
        before.iter().filter(|old| !wanted.iter().any(|new| same(old, new))).cloned().collect();
    gone.sort_by_key(|entry| {
        (std::cmp::Reverse(wave_of(group_of(&entry.api_version), &entry.kind)), entry.clone())
    });
    gone.dedup();
    gone
}

/// Everything a run may leave behind, for the record that is written before the first object: what was there and what
/// will be.
#[must_use]
pub fn union(before: &[Entry], bundle: &Bundle) -> Vec<Entry> {
    let all: BTreeSet<Entry> =
        before.iter().cloned().chain(bundle.objects.iter().map(entry)).collect();
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(api_version: &str, kind: &str, name: &str) -> Entry {
        Entry { api_version: api_version.into(), kind: kind.into(), name: name.into() }
    }

    #[test]
    fn what_left_the_bundle_goes_last_wave_first_and_a_new_version_is_no_other_object() {
        let before = [
            of("v1", "ConfigMap", "page"),
            of("apps/v1", "Deployment", "web"),
            of("networking.k8s.io/v1beta1", "Ingress", "kept"),
            of("networking.k8s.io/v1", "Ingress", "web"),
        ];
        let wanted = BTreeSet::from([of("networking.k8s.io/v1", "Ingress", "kept")]);
        let gone: Vec<_> =
            prune_order(&before, &wanted).into_iter().map(|entry| entry.kind).collect();
        assert_eq!(gone, ["Ingress", "Deployment", "ConfigMap"]);
    }
}
