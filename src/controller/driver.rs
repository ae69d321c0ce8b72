//! The scheduler of the runs: what watches show and what runs ask for → one run at a time for each object, in the order of
//! time and name. I/O: the watch.
//!
//! kube's own `Controller` begins what is due in one instant in the order of its hash maps, which is another one each time;
//! with this one the same happenings give the same runs in the same order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::stream::{BoxStream, FuturesUnordered, SelectAll};
use futures::{FutureExt as _, Stream, StreamExt as _};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, reflector::Lookup};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Context;
use super::error;
use super::patience::Patience;
use super::retry::Next;

/// What asks for runs.
enum Trigger {
    /// Of these, by name.
    Of(Vec<String>),
    /// Of all that there are.
    All,
    /// Nothing, but a watch failed. It is tried again by itself.
    Failed(watcher::Error),
}

/// Objects of one kind, what asks for runs over them, and how many go at once.
pub(super) struct Driver<K: Resource<DynamicType = ()> + Clone + 'static> {
    store: Store<K>,
    triggers: SelectAll<BoxStream<'static, Trigger>>,
    most: usize,
}

impl<K> Driver<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Each object of `api` that is new or changed asks for a run. `most` at once.
    pub(super) fn new(context: &Context, api: Api<K>, most: usize) -> Self {
        let (store, writer) = reflector::store();
        let shown = watcher(api, watcher::Config::default())
            .backoff(Patience::of(context))
            .reflect(writer)
            .scan(Vec::new(), |listed, event| std::future::ready(Some(wanted(listed, event))))
            .filter_map(std::future::ready);
        let mut triggers = SelectAll::new();
        triggers.push(shown.boxed());
        Self { store, triggers, most }
    }

    /// The objects as the watch shows them.
    pub(super) fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Every item asks for a run of every object.
    pub(super) fn all_on(mut self, changes: impl Stream<Item = ()> + Send + 'static) -> Self {
        self.triggers.push(changes.map(|()| Trigger::All).boxed());
        self
    }

    /// Every item asks for runs of these objects.
    pub(super) fn some_on(
        mut self,
        changes: impl Stream<Item = Result<Vec<String>, watcher::Error>> + Send + 'static,
    ) -> Self {
        let changes = changes.map(|names| match names {
            Ok(names) => Trigger::Of(names),
            Err(error) => Trigger::Failed(error),
        });
        self.triggers.push(changes.boxed());
        self
    }

    /// Runs until `stop`; then no new run begins, and those under way end.
    pub(super) async fn run<R, F>(mut self, context: &Context, stop: CancellationToken, run: R)
    where
        R: Fn(Arc<K>) -> F,
        F: Future<Output = Next>,
    {
        let namespace = context.namespace.clone();
        let store = self.store();
        let reference = |name: &str| ObjectRef::<K>::new(name).within(&namespace);
        let mut plan = Plan::new(self.most);
        let mut runs = FuturesUnordered::new();
        let (mut listed, mut stopped) = (false, false);
        loop {
            while listed
                && !stopped
                && let Some(name) = plan.begin(Instant::now())
            {
                // One that is gone has nothing to run for.
                let Some(object) = store.get(&reference(&name)) else {
                    plan.ended(&name);
                    continue;
                };
                let span = tracing::info_span!("reconciling object", object.name = name);
                runs.push(run(object).map(move |next| (name, next)).instrument(span));
            }
            if stopped && runs.is_empty() {
                return;
            }
            let due = plan.due().filter(|_| listed && !stopped);
            let timer = async {
                match due {
                    Some(due) => context.clock.sleep(due - Instant::now()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopped => stopped = true,
                Some((name, next)) = runs.next(), if !runs.is_empty() => {
                    plan.ended(&name);
                    if let Next::After(pause) = next {
                        let now = Instant::now();
                        plan.want(name, now.checked_add(pause).unwrap_or(now));
                    }
                }
                Some(trigger) = self.triggers.next(), if !stopped => {
                    let names = match trigger {
                        Trigger::Of(names) => names,
                        Trigger::All => names_of(&store),
                        Trigger::Failed(error) => {
                            tracing::warn!("the watch failed: {}", error::chain(&error));
                            continue;
                        }
                    };
                    let now = Instant::now();
                    for name in names {
                        plan.want(name, now);
                    }
                }
                Ok(()) = store.wait_until_ready(), if !listed => listed = true,
                () = timer => {}
            }
        }
    }
}

/// What an event asks for. Those of a list are in the store once it is whole.
fn wanted<K>(listed: &mut Vec<String>, event: watcher::Result<Event<K>>) -> Option<Trigger>
where
    K: Resource<DynamicType = ()>,
{
    let name = |object: &K| object.meta().name.clone();
    match event {
        Ok(Event::Apply(object)) => Some(Trigger::Of(name(&object).into_iter().collect())),
        Ok(Event::Delete(_)) => None,
        Ok(Event::Init) => {
            listed.clear();
            None
        }
        Ok(Event::InitApply(object)) => {
            listed.extend(name(&object));
            None
        }
        Ok(Event::InitDone) => {
            listed.sort();
            Some(Trigger::Of(std::mem::take(listed)))
        }
        Err(error) => Some(Trigger::Failed(error)),
    }
}

/// All names in a store, in order.
fn names_of<K>(store: &Store<K>) -> Vec<String>
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    let all = store.state();
    let mut names: Vec<String> =
        all.iter().filter_map(|object| object.name().map(std::borrow::Cow::into_owned)).collect();
    names.sort();
    names
}

/// Which run is due when, and which are under way.
struct Plan {
    due: BTreeMap<String, Instant>,
    order: BTreeSet<(Instant, String)>,
    running: BTreeSet<String>,
    most: usize,
}

impl Plan {
    fn new(most: usize) -> Self {
        Self { due: BTreeMap::new(), order: BTreeSet::new(), running: BTreeSet::new(), most }
    }

    /// Asks for a run at this time; an earlier one counts for both.
    fn want(&mut self, name: String, at: Instant) {
        if let Some(known) = self.due.get_mut(&name) {
            if *known <= at {
                return;
            }
            self.order.remove(&(*known, name.clone()));
            *known = at;
        } else {
            self.due.insert(name.clone(), at);
        }
        self.order.insert((at, name));
    }

    /// The next that may run now; it runs from now on.
    fn begin(&mut self, now: Instant) -> Option<String> {
        if self.running.len() >= self.most {
            return None;
        }
        let mut due = self.order.iter().take_while(|(at, _)| *at <= now);
        let found = due.find(|(_, name)| !self.running.contains(name))?.clone();
        self.order.remove(&found);
        let (_, name) = found;
        self.due.remove(&name);
        self.running.insert(name.clone());
        Some(name)
    }

    fn ended(&mut self, name: &str) {
        self.running.remove(name);
    }

    /// When the next may begin, if no run ends before.
    fn due(&self) -> Option<Instant> {
        if self.running.len() >= self.most {
            return None;
        }
        let mut waiting = self.order.iter().filter(|(_, name)| !self.running.contains(name));
        waiting.next().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn runs_begin_in_the_order_of_time_and_name_and_one_at_a_time_for_each() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut plan = Plan::new(2);
        for name in ["c", "a", "b"] {
            plan.want(name.into(), now);
        }
        plan.want("late".into(), later);
        assert_eq!(plan.begin(now).as_deref(), Some("a"));
        assert_eq!(plan.begin(now).as_deref(), Some("b"));
        assert_eq!(plan.begin(now), None, "two go at once");
        assert_eq!(plan.due(), None, "the end of one is waited for");
        // Asked for while it runs: it runs once more.
        plan.want("a".into(), now);
        plan.want("a".into(), later);
        plan.ended("b");
        assert_eq!(plan.begin(now).as_deref(), Some("c"));
        plan.ended("c");
        assert_eq!(plan.begin(now), None, "it still runs");
        assert_eq!(plan.due(), Some(later));
        plan.ended("a");
        assert_eq!(plan.begin(now).as_deref(), Some("a"));
        plan.ended("a");
        assert_eq!(plan.begin(now), None);
        assert_eq!(plan.begin(later).as_deref(), Some("late"));
        assert_eq!(plan.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_time_counts() {
        let now = Instant::now();
        let (soon, late) = (now + Duration::from_secs(1), now + Duration::from_secs(9));
        let mut plan = Plan::new(1);
        plan.want("a".into(), late);
        plan.want("a".into(), soon);
        plan.want("a".into(), late);
        assert_eq!(plan.due(), Some(soon));
        assert_eq!(plan.begin(now), None);
        assert_eq!(plan.begin(soon).as_deref(), Some("a"));
        plan.ended("a");
        assert_eq!(plan.begin(late), None);
    }
}
