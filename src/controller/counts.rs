//! How many camps a Repository has, in its status: counted from the watch each minute, written only when it differs. I/O
//! with home.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::error::chain;
use super::{Context, sweep};

/// A count is at most so old, and written at most so often.
const EACH: Duration = Duration::from_secs(60);

/// Counts until `stop`.
pub(super) async fn run(context: &Context, stop: CancellationToken) {
    loop {
        let pause = context.clock.sleep(context.rng.jitter(EACH, 5));
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
        count(context).await;
    }
}

async fn count(context: &Context) {
    let mut camps: BTreeMap<String, i32> = BTreeMap::new();
    for record in context.all_records().iter().filter(|record| sweep::has_camp(record)) {
        *camps.entry(record.spec.repository.clone()).or_default() += 1;
    }
    for repository in context.all_repositories() {
        let name = repository.metadata.name.as_deref().unwrap_or_default();
        let now = camps.get(name).copied().unwrap_or_default();
        // Before its first sweep a Repository says nothing about itself.
        let shown = repository.status.as_ref().and_then(|status| status.camps);
        if shown.is_none_or(|shown| shown == now) {
            continue;
        }
        let patch = Patch::Merge(json!({ "status": { "camps": now } }));
        let written =
            context.repositories_api().patch_status(name, &PatchParams::default(), &patch).await;
        if let Err(error) = written {
            tracing::debug!(repository.name = name, "camps are not counted: {}", chain(&error));
        }
    }
}
