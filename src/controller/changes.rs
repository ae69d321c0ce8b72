//! What an apply changed in a camp, into the status: the stored bundle that ran before, beside the one that runs now. I/O
//! with home.

use super::error::chain;
use super::record::Record;
use super::{Context, stored};
use crate::crd::{ChangedObjects, ChangesStatus};
use crate::domain::bundle::Bundle;
use crate::domain::bundle_diff::BundleDiff;
use crate::domain::changes::{Changes, Named};
use crate::domain::status::bounded;

/// Notes what `bundle` changed. To be called when it is applied and before the status says so. The same bundle again
/// changes nothing, and what it changed the first time stays said.
pub(super) async fn note(context: &Context, record: &mut Record, bundle: &Bundle) {
    let Some(since) = record.status.revision.clone() else {
        record.status.changes = None;
        return;
    };
    if record.status.digest.as_deref() == Some(bundle.digest.as_str()) {
        return;
    }
    record.status.changes = match stored::running(context, record).await {
        Ok(before) => before.map(|before| changes(since, &BundleDiff::between(&before, bundle))),
        // What changed is good to know, and no reason to fail.
        Err(error) => {
            tracing::debug!(
                environment.name = record.name(),
                "nobody is told what changed: {}",
                chain(&error)
            );
            None
        }
    };
}

fn changes(since: String, diff: &BundleDiff) -> ChangesStatus {
    let Changes { added, changed, removed } = Changes::of(diff);
    let objects = |Named { named, count }: Named| ChangedObjects {
        count: i32::try_from(count).unwrap_or(i32::MAX),
        named: named.iter().map(|name| bounded(name, 320)).collect(),
    };
    ChangesStatus {
        since,
        added: objects(added),
        changed: objects(changed),
        removed: objects(removed),
    }
}
