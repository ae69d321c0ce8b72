//! Who may work now: a bound for runs that talk to clusters, and another, beside it, for what is fetched and rendered.
//! No I/O.
//!
//! A chart may take minutes, and a hostile one takes all the time it is given. A run gives its place among the others
//! back while it renders, and no Repository gets more than half of the places to render: what hangs there delays
//! nobody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Runs that talk to clusters at once: enough to hide latency, and few enough for an API server.
const RUNS: usize = 16;
/// Commits that are fetched and rendered at once.
const RENDERS: usize = 16;
/// The same of one Repository.
const RENDERS_OF_ONE: usize = RENDERS / 2;

/// The places.
pub(super) struct Slots {
    runs: Arc<Semaphore>,
    renders: Arc<Semaphore>,
    by_repository: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// A place; free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot(#[expect(dead_code, reason = "held, never read")] OwnedSemaphorePermit);

/// A place to render.
pub(super) struct RenderSlot {
    _of_repository: Option<Slot>,
    _of_all: Option<Slot>,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            runs: Arc::new(Semaphore::new(RUNS)),
            renders: Arc::new(Semaphore::new(RENDERS)),
            by_repository: Mutex::default(),
        }
    }
}

impl Slots {
    /// Waits for a place among the runs, first come, first served.
    pub(super) async fn run(&self) -> Option<Slot> {
        taken(self.runs.clone()).await
    }

    /// Waits for a place to render: first among the Repository's own.
    pub(super) async fn render(&self, repository: &str) -> RenderSlot {
        let own = {
            let mut all = self.by_repository.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Semaphore::new(RENDERS_OF_ONE));
            all.entry(repository.to_owned()).or_insert_with(fresh).clone()
        };
        let of_repository = taken(own).await;
        RenderSlot { _of_repository: of_repository, _of_all: taken(self.renders.clone()).await }
    }
}

/// `None` for a closed semaphore, and nobody closes these.
async fn taken(semaphore: Arc<Semaphore>) -> Option<Slot> {
    semaphore.acquire_owned().await.ok().map(Slot)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_repository_never_takes_all_places() {
        let slots = Slots::default();
        let mut hang = Vec::new();
        for _ in 0..RENDERS_OF_ONE {
            hang.push(slots.render("hostile").now_or_never().expect("a place"));
        }
        assert!(slots.render("hostile").now_or_never().is_none(), "its places are taken");
        let others: Vec<_> = (0..RENDERS - RENDERS_OF_ONE)
            .map(|n| slots.render(&format!("other-{n}")).now_or_never())
            .collect();
        assert!(others.iter().all(Option::is_some), "the rest is for others");
        assert!(slots.render("late").now_or_never().is_none());
        hang.pop();
        assert!(slots.render("late").now_or_never().is_some(), "a place that was given back");
    }

    #[tokio::test]
    async fn a_place_among_the_runs_is_given_back() {
        let slots = Slots::default();
        let mut all = Vec::new();
        for _ in 0..RUNS {
            all.push(slots.run().now_or_never().expect("a place"));
        }
        assert!(slots.run().now_or_never().is_none());
        drop(all.pop());
        assert!(slots.run().now_or_never().is_some());
    }
}
