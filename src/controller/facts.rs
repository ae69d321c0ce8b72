//! Keeps what is known of the target cluster fresh, beside the runs: its version and what it serves. I/O: three
//! reads of the target each time.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Context;
use super::error::chain;

/// A cluster gets a new version or a new API rarely.
const FRESH: Duration = Duration::from_secs(600);
/// Between two reads, however many kinds are missed: a bundle that names a wrong one is tried again and again.
const AT_LEAST: Duration = Duration::from_secs(30);

/// Reads until `stop`. A run that comes before the first read waits for it; none waits for a later one.
pub(super) async fn run(context: &Context, stop: CancellationToken) {
    let _ = stop.run_until_cancelled(keep_fresh(context)).await;
}

async fn keep_fresh(context: &Context) {
    loop {
        let mut pause = FRESH;
        if let Err(error) = context.target.refresh_facts().await {
            tracing::warn!("the target cluster was not asked for its version: {}", chain(&error));
            pause = AT_LEAST;
        }
        tokio::select! {
            biased;
            () = context.clock.sleep(pause) => {}
            () = context.target.missed_a_kind() => context.clock.sleep(AT_LEAST).await,
        }
    }
}
