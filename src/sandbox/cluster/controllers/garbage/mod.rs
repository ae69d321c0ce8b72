//! The garbage collector: objects whose owners are gone go too; deletions in the foreground wait for dependents, orphaning
//! ones release them. It follows the metadata of everything that discovery finds. I/O: the API server, timers.

mod graph;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::kit::resource::DEFINITIONS;
use super::kit::{
    Api, ApiError, Change, Deletion, Informer, Key, Queue, Resource, Scope, discover, json,
};
use super::namespaces;
use crate::seams::Rng;
use graph::{FOREGROUND, Graph, Node, ORPHAN, Owner, Verdict};

/// What the server can do changes with custom resource definitions, which are followed; this is for the rest.
const REDISCOVER: Duration = Duration::from_secs(600);
/// After a definition changes, its resource is served in a moment.
const SETTLE: Duration = Duration::from_millis(100);
/// Objects that are worked on at a time.
const CONCURRENT: usize = 16;
const CHANNEL: usize = 256;

/// Where the namespace controller hears that something of a namespace is gone.
pub(super) type Wake = mpsc::UnboundedSender<(&'static str, Key)>;

struct State {
    graph: Graph,
    queue: Queue<String>,
    /// Resources that are not listed yet: before all are, an owner that isn't in the graph says little.
    unlisted: BTreeSet<Resource>,
}

struct Collector {
    api: Api,
    rng: Rng,
    wake: Wake,
    state: Mutex<State>,
}

/// Runs until `token` is cancelled.
pub(super) async fn run(api: Api, rng: Rng, wake: Wake, token: CancellationToken) {
    let (sink, mut news) = mpsc::channel(CHANNEL);
    let state =
        State { graph: Graph::default(), queue: Queue::default(), unlisted: BTreeSet::new() };
    let collector = Collector { api, rng, wake, state: Mutex::new(state) };
    let mut informers = JoinSet::new();
    let mut followed: BTreeMap<Resource, AbortHandle> = BTreeMap::new();
    let mut rediscover = Instant::now();
    let mut failures = 0_u32;
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < CONCURRENT
            && let Some(uid) = collector.next()
        {
            running.push(collector.process(uid));
        }
        let due = if running.len() < CONCURRENT { collector.due() } else { None };
        let wakeup = due.map_or(rediscover, |due| due.min(rediscover));
        tokio::select! {
            biased;
            () = token.cancelled() => return,
            Some((resource, change)) = news.recv() => {
                // What was on its way when its informer was ended is of no use.
                if followed.contains_key(&resource) {
                    if resource == DEFINITIONS {
                        rediscover = rediscover.min(Instant::now() + SETTLE);
                    }
                    collector.take(&resource, change);
                }
            }
            Some(()) = running.next(), if !running.is_empty() => {}
            () = tokio::time::sleep_until(wakeup) => {
                if Instant::now() < rediscover {
                    continue;
                }
                match discover(&collector.api).await {
                    Ok(found) => {
                        let wanted: BTreeSet<Resource> = found
                            .into_iter()
                            .filter(|f| f.can(&["list", "watch", "delete"]))
                            .map(|f| f.resource)
                            .filter(|r| r.plural != "events")
                            .collect();
                        collector.follow(&wanted, &mut followed, &mut informers, &sink);
                        failures = 0;
                        rediscover = Instant::now() + collector.rng.jitter(REDISCOVER, 10);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "discovery failed");
                        failures = failures.saturating_add(1);
                        let wait = Duration::from_millis(100 << failures.min(8));
                        rediscover = Instant::now() + collector.rng.jitter(wait, 50);
                    }
                }
            }
        }
    }
}

impl Collector {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<String> {
        let state = &mut *self.lock();
        if !state.unlisted.is_empty() {
            return None;
        }
        state.queue.pop(Instant::now(), |_| true)
    }

    fn due(&self) -> Option<Instant> {
        let state = &*self.lock();
        if state.unlisted.is_empty() { state.queue.next(|_| true) } else { None }
    }

    /// Starts and ends informers so that exactly `wanted` is followed.
    fn follow(
        &self,
        wanted: &BTreeSet<Resource>,
        followed: &mut BTreeMap<Resource, AbortHandle>,
        informers: &mut JoinSet<()>,
        sink: &mpsc::Sender<(Resource, Change)>,
    ) {
        let state = &mut *self.lock();
        let gone: Vec<Resource> =
            followed.keys().filter(|r| !wanted.contains(*r)).cloned().collect();
        for resource in gone {
            if let Some(handle) = followed.remove(&resource) {
                handle.abort();
            }
            state.unlisted.remove(&resource);
            for uid in state.graph.of(&resource) {
                self.gone(state, &uid);
            }
        }
        for resource in wanted {
            if followed.contains_key(resource) {
                continue;
            }
            let informer = Informer {
                api: self.api.clone(),
                rng: self.rng.fork(),
                resource: resource.clone(),
                scope: Scope::Metadata,
                sink: sink.clone(),
            };
            state.unlisted.insert(resource.clone());
            followed.insert(resource.clone(), informers.spawn(informer.run()));
        }
    }

    fn take(&self, resource: &Resource, change: Change) {
        let state = &mut *self.lock();
        match change {
            Change::Listed(objects, _) => {
                state.unlisted.remove(resource);
                let there: BTreeSet<String> =
                    objects.iter().map(|o| json::uid(o).to_owned()).collect();
                for uid in state.graph.of(resource) {
                    if !there.contains(&uid) {
                        self.gone(state, &uid);
                    }
                }
                for object in objects {
                    Self::put(state, resource, object);
                }
            }
            Change::Put(object) => Self::put(state, resource, object),
            Change::Gone(object) => self.gone(state, json::uid(&object)),
        }
    }

    fn put(state: &mut State, resource: &Resource, object: Value) {
        let wake = state.graph.put(resource, object);
        enqueue(state, wake);
    }

    fn gone(&self, state: &mut State, uid: &str) {
        if let Some(node) = state.graph.get(uid)
            && !node.key.namespace.is_empty()
        {
            // The receiver is gone only when all ends.
            let _ = self.wake.send((namespaces::NAME, Key::new("", &*node.key.namespace)));
        }
        let wake = state.graph.remove(uid);
        enqueue(state, wake);
    }

    async fn process(&self, uid: String) {
        let outcome = self.attempt(&uid).await;
        let state = &mut *self.lock();
        match outcome {
            Ok(()) => state.queue.done(&uid),
            Err(error) if error.code() == 404 => state.queue.done(&uid),
            Err(error) => {
                tracing::debug!(%error, %uid, "collection failed");
                state.queue.failed(&uid, Instant::now(), |wait| self.rng.jitter(wait, 25));
            }
        }
    }

    async fn attempt(&self, uid: &str) -> Result<(), ApiError> {
        let Some(node) = self.lock().graph.get(uid).cloned() else { return Ok(()) };
        if node.leaves_dependents() {
            return self.orphan(uid, &node).await;
        }
        if node.waits_for_dependents() {
            return self.finish_foreground(uid, &node).await;
        }
        if node.is_deleting() || node.owners().is_empty() {
            return Ok(());
        }
        let mut owners = Vec::new();
        for reference in node.owners() {
            let known = self.lock().graph.owner(reference, &node);
            let state = match known {
                Owner::Unknown => self.ask(reference, &node).await?,
                known => known,
            };
            owners.push(state);
        }
        let has_dependents = !self.lock().graph.dependents(uid).is_empty();
        match graph::verdict(&node, &owners, has_dependents) {
            Verdict::Keep => Ok(()),
            Verdict::Release(uids) => self.release(&node, &uids).await,
            Verdict::Delete(propagation) => {
                let deletion = Deletion {
                    uid: uid.to_owned(),
                    version: json::text(&node.object, "/metadata/resourceVersion").to_owned(),
                    grace: None,
                    propagation,
                };
                let Node { resource, key, .. } = &node;
                self.api.delete(resource, &key.namespace, &key.name, &deletion).await.map(|_| ())
            }
        }
    }

    /// Asks the server for an owner that the graph doesn't have.
    async fn ask(&self, reference: &Value, dependent: &Node) -> Result<Owner, ApiError> {
        let (api_version, kind) =
            (json::text(reference, "/apiVersion"), json::text(reference, "/kind"));
        let found = discover(&self.api).await?;
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let resource =
            found.iter().map(|f| &f.resource).find(|r| r.group == group && r.kind == kind);
        let Some(resource) = resource else {
            // Nobody can say whether such an owner is there.
            return Ok(Owner::Unknown);
        };
        let namespace = if resource.namespaced { dependent.key.namespace.as_str() } else { "" };
        if resource.namespaced && namespace.is_empty() {
            // A cluster-scoped object can't have an owner in a namespace; Kubernetes leaves it alone.
            return Ok(Owner::Unknown);
        }
        let owner = self.api.get(resource, namespace, json::text(reference, "/name")).await?;
        Ok(match owner {
            Some(owner) if json::uid(&owner) == json::text(reference, "/uid") => {
                graph::state(&owner, reference)
            }
            _ => Owner::Absent,
        })
    }

    /// Takes owner references away.
    async fn release(&self, node: &Node, owners: &BTreeSet<String>) -> Result<(), ApiError> {
        match node.owners_without(owners) {
            Some(kept) => self.patch(node, "ownerReferences", kept.into()).await,
            None => Ok(()),
        }
    }

    async fn patch(&self, node: &Node, field: &str, value: Value) -> Result<(), ApiError> {
        let patch = json!({ "metadata": {
            "uid": json::uid(&node.object),
            "resourceVersion": json::text(&node.object, "/metadata/resourceVersion"),
            (field): value,
        } });
        let Node { resource, key, .. } = node;
        self.api.merge_patch(resource, &key.namespace, &key.name, "", &patch).await.map(|_| ())
    }

    async fn drop_finalizer(&self, node: &Node, finalizer: &str) -> Result<(), ApiError> {
        let kept: Vec<Value> = json::list(&node.object, "/metadata/finalizers")
            .iter()
            .filter(|f| f.as_str() != Some(finalizer))
            .cloned()
            .collect();
        self.patch(node, "finalizers", kept.into()).await
    }

    /// Releases all dependents, then lets go.
    async fn orphan(&self, uid: &str, node: &Node) -> Result<(), ApiError> {
        let owner = BTreeSet::from([uid.to_owned()]);
        let dependents = self.lock().graph.dependents(uid);
        for dependent in dependents {
            let dependent = self.lock().graph.get(&dependent).cloned();
            if let Some(dependent) = dependent {
                match self.release(&dependent, &owner).await {
                    Err(error) if error.code() != 404 => return Err(error),
                    _ => {}
                }
            }
        }
        self.drop_finalizer(node, ORPHAN).await
    }

    /// Lets go when no dependent blocks any more; until then, sees to it that they go.
    async fn finish_foreground(&self, uid: &str, node: &Node) -> Result<(), ApiError> {
        let blocked = {
            let state = &mut *self.lock();
            let dependents = state.graph.dependents(uid);
            let blocks = |dependent: &String| {
                state.graph.get(dependent).is_some_and(|d| {
                    d.owners().iter().any(|o| {
                        json::text(o, "/uid") == uid && json::flag(o, "/blockOwnerDeletion")
                    })
                })
            };
            let blocked = dependents.iter().any(blocks);
            let idle = dependents
                .into_iter()
                .filter(|d| state.graph.get(d).is_some_and(|d| !d.is_deleting()))
                .collect();
            if blocked {
                enqueue(state, idle);
            }
            blocked
        };
        if blocked { Ok(()) } else { self.drop_finalizer(node, FOREGROUND).await }
    }
}

fn enqueue(state: &mut State, uids: BTreeSet<String>) {
    let now = Instant::now();
    for uid in uids {
        state.queue.add(uid, now);
    }
}
