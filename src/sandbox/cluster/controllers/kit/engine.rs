//! The loop that all controllers share: watches fill the caches, changes put keys into the queue, keys are reconciled
//! side by side, answers to writes go into the caches at once. I/O: the API, timers.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan::Effect;
use super::queue::Queue;
use super::store::Put;
use super::{Action, Api, ApiError, Caches, Change, Informer, Key, Resource, Scope};
use crate::seams::{Clock, Rng};

/// Work of a controller that does its own requests; answers when to look again.
pub(crate) type Work =
    Pin<Box<dyn Future<Output = Result<Option<Duration>, ApiError>> + Send + 'static>>;

/// One controller: which objects wake it, and what it wants done.
pub(crate) trait Controller: Send + Sync + 'static {
    /// Name in logs and events.
    fn name(&self) -> &'static str;

    /// Resources that it reads. It starts when all of them are listed.
    fn watches(&self) -> Vec<&'static Resource>;

    /// Which keys may have to do something because `object` is there, different or gone.
    fn keys(&self, resource: &Resource, object: &Value, caches: &Caches) -> Vec<Key>;

    /// What is to be done for `key`. Reads nothing but its arguments.
    fn reconcile(&self, _key: &Key, _caches: &Caches, _now: DateTime<Utc>) -> Vec<Action> {
        Vec::new()
    }

    /// For the rare controller that has to ask the server before it knows: its requests.
    fn work(&self, _key: &Key, _caches: &Caches, _now: DateTime<Utc>, _api: &Api) -> Option<Work> {
        None
    }

    /// Keys that are there from the start, without any object.
    fn first(&self) -> Vec<Key> {
        Vec::new()
    }
}

/// A key of a controller, by its place in the list.
type Item = (usize, Key);

/// Reconciles that may wait for answers at a time.
const CONCURRENT: usize = 16;
/// News that may wait; the informers wait when there is more.
const CHANNEL: usize = 256;

struct State {
    caches: Caches,
    queue: Queue<Item>,
    listed: BTreeSet<Resource>,
}

/// Controllers with their shared watches.
pub(crate) struct Engine {
    api: Api,
    clock: Clock,
    rng: Rng,
    controllers: Vec<Arc<dyn Controller>>,
    wakes: Option<Wakes>,
}

/// Keys that somebody outside wants looked at, with the controller's name.
pub(crate) type Wakes = mpsc::UnboundedReceiver<(&'static str, Key)>;

/// Wakes from outside come in bursts; this much later one look answers them all.
const BURST: Duration = Duration::from_millis(50);

/// What all reconciles of a run share.
struct Run {
    engine: Engine,
    state: Mutex<State>,
}

enum Outcome {
    Done,
    Failed,
}

impl Engine {
    /// An engine without controllers.
    pub(crate) fn new(api: Api, clock: Clock, rng: Rng) -> Self {
        Self { api, clock, rng, controllers: Vec::new(), wakes: None }
    }

    /// Takes wakes from outside.
    pub(crate) fn woken_by(mut self, wakes: Wakes) -> Self {
        self.wakes = Some(wakes);
        self
    }

    /// Adds a controller.
    pub(crate) fn with(mut self, controller: impl Controller) -> Self {
        self.controllers.push(Arc::new(controller));
        self
    }

    /// Runs until `token` is cancelled. Requests that are on their way then are dropped.
    pub(crate) async fn run(mut self, token: CancellationToken) {
        let (sink, mut news) = mpsc::channel(CHANNEL);
        let resources: BTreeSet<&'static Resource> =
            self.controllers.iter().flat_map(|c| c.watches()).collect();
        let mut informers = JoinSet::new();
        for resource in resources {
            let informer = Informer {
                api: self.api.clone(),
                rng: self.rng.fork(),
                resource: resource.clone(),
                scope: Scope::Whole,
                sink: sink.clone(),
            };
            informers.spawn(informer.run());
        }
        drop(sink);

        let mut wakes = self.wakes.take();
        let run = Run::new(self);
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < CONCURRENT
                && let Some(item) = run.next_item()
            {
                running.push(run.reconcile(item));
            }
            let due = if running.len() < CONCURRENT { run.next_due() } else { None };
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                Some((resource, change)) = news.recv() => {
                    run.take(&resource, change);
                    while let Ok((resource, change)) = news.try_recv() {
                        run.take(&resource, change);
                    }
                }
                Some((controller, key)) = wake(&mut wakes) => run.wake_later(controller, &key),
                Some(()) = running.next(), if !running.is_empty() => {}
                () = sleep_until(due), if due.is_some() => {}
            }
        }
    }
}

/// The next wake from outside; never when there is nobody who could send one.
async fn wake(wakes: &mut Option<Wakes>) -> Option<(&'static str, Key)> {
    match wakes {
        Some(receiver) => match receiver.recv().await {
            Some(wake) => Some(wake),
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

impl Run {
    fn new(engine: Engine) -> Self {
        let mut queue = Queue::default();
        let now = Instant::now();
        for (index, controller) in engine.controllers.iter().enumerate() {
            for key in controller.first() {
                queue.add((index, key), now);
            }
        }
        let state = State { caches: Caches::default(), queue, listed: BTreeSet::new() };
        Self { engine, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_run<'a>(&'a self, listed: &'a BTreeSet<Resource>) -> impl Fn(&Item) -> bool + 'a {
        move |(index, _)| {
            self.engine.controllers[*index].watches().iter().all(|r| listed.contains(*r))
        }
    }

    fn next_item(&self) -> Option<Item> {
        let State { queue, listed, .. } = &mut *self.lock();
        queue.pop(Instant::now(), self.may_run(listed))
    }

    fn next_due(&self) -> Option<Instant> {
        let State { queue, listed, .. } = &*self.lock();
        queue.next(self.may_run(listed))
    }

    /// Takes news into the caches and queues what it concerns.
    fn take(&self, resource: &Resource, change: Change) {
        let state = &mut *self.lock();
        match change {
            Change::Listed(objects, version) => {
                let before = state.caches.store_mut(resource).replace(objects, version);
                state.listed.insert(resource.clone());
                for object in &before {
                    self.wake(state, resource, object);
                }
                let all: Vec<_> = state.caches.all(resource).cloned().collect();
                for object in &all {
                    self.wake(state, resource, object);
                }
            }
            Change::Put(object) => self.put(state, resource, &object),
            Change::Gone(object) => {
                let before = state.caches.store_mut(resource).remove(&object);
                self.wake(state, resource, &object);
                if let Some(before) = before {
                    self.wake(state, resource, &before);
                }
            }
        }
    }

    fn put(&self, state: &mut State, resource: &Resource, object: &Value) {
        match state.caches.store_mut(resource).put(object.clone()) {
            Put::Stale => {}
            Put::Taken(before) => {
                self.wake(state, resource, object);
                if let Some(before) = before {
                    self.wake(state, resource, &before);
                }
            }
        }
    }

    fn wake(&self, state: &mut State, resource: &Resource, object: &Value) {
        let now = Instant::now();
        for (index, controller) in self.engine.controllers.iter().enumerate() {
            if controller.watches().contains(&resource) {
                for key in controller.keys(resource, object, &state.caches) {
                    state.queue.add((index, key), now);
                }
            }
        }
    }

    fn wake_later(&self, controller: &str, key: &Key) {
        let index = self.engine.controllers.iter().position(|c| c.name() == controller);
        if let Some(index) = index {
            self.lock().queue.add((index, key.clone()), Instant::now() + BURST);
        }
    }

    async fn reconcile(&self, item: Item) {
        let outcome = self.attempt(&item).await;
        let state = &mut *self.lock();
        match outcome {
            Outcome::Done => state.queue.done(&item),
            Outcome::Failed => {
                let rng = &self.engine.rng;
                state.queue.failed(&item, Instant::now(), |wait| rng.jitter(wait, 25));
            }
        }
    }

    async fn attempt(&self, item: &Item) -> Outcome {
        let (index, key) = item;
        let controller = Arc::clone(&self.engine.controllers[*index]);
        let now = self.engine.clock.now();
        let work = controller.work(key, &self.lock().caches, now, &self.engine.api);
        if let Some(work) = work {
            return match work.await {
                Ok(again) => {
                    if let Some(wait) = again {
                        self.lock().queue.add(item.clone(), Instant::now() + wait);
                    }
                    Outcome::Done
                }
                Err(error) => failure(controller.name(), key, &error),
            };
        }
        let actions = controller.reconcile(key, &self.lock().caches, now);
        for action in actions {
            if let Action::After(wait) = action {
                self.lock().queue.add(item.clone(), Instant::now() + wait);
                continue;
            }
            match action.perform(&self.engine.api, controller.name(), now).await {
                Ok(effect) => self.effect(effect),
                Err(error) => return failure(controller.name(), key, &error),
            }
        }
        Outcome::Done
    }

    fn effect(&self, effect: Effect) {
        let state = &mut *self.lock();
        match effect {
            Effect::Put(resource, object) => self.put(state, resource, &object),
            Effect::Gone(resource, object) => {
                if let Some(before) = state.caches.store_mut(resource).bury(&object) {
                    self.wake(state, resource, &before);
                }
            }
            Effect::None => {}
        }
    }
}

fn failure(controller: &str, key: &Key, error: &ApiError) -> Outcome {
    let (namespace, name) = (&key.namespace, &key.name);
    match error {
        // All goes down with its namespace; nothing is to be made there any more.
        ApiError::Refused { terminating: true, .. } => {
            tracing::debug!(controller, %namespace, %name, "the namespace is being deleted");
            Outcome::Done
        }
        // Somebody else was faster: the watch will show what there is now.
        ApiError::Refused { code: 409, .. } => {
            tracing::debug!(controller, %namespace, %name, %error, "conflict");
            Outcome::Failed
        }
        _ => {
            tracing::warn!(controller, %namespace, %name, %error, "reconcile failed");
            Outcome::Failed
        }
    }
}
