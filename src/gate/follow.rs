//! I/O · follows the Environments and Repositories at home, and the key that words are signed with. All that it holds
//! stands there: a replica that starts knows as much as one that has run for a week.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use futures::Stream;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use tokio::sync::watch;

use super::site::{Camp, Site};
use super::words::Key;
use crate::crd::{Environment, Repository};
use crate::seams::{Clock, Rng, next_sound};

/// The key of the Secret that holds what words are signed with.
const KEY: &str = "key";

/// What the records say, for whoever answers a request.
#[derive(Clone, Default)]
pub(super) struct Directory(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    camps: BTreeMap<String, Arc<Camp>>,
    repositories: BTreeMap<String, Arc<Repository>>,
    hosts: BTreeMap<String, String>,
    key: Option<Key>,
}

impl Directory {
    /// What `host` leads to; `None`: nothing that is known.
    pub(super) fn site(&self, host: &str) -> Option<Site> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let camp = known.camps.get(known.hosts.get(host)?)?;
        let repository = known.repositories.get(&camp.repository)?;
        let (camp, repository) = (Arc::clone(camp), Arc::clone(repository));
        Some(Site { host: host.to_owned(), camp, repository })
    }

    /// What words are signed with; `None`: the leader has not made it yet, or it is no key.
    pub(super) fn key(&self) -> Option<Key> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).key.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Known {
    /// Of two camps that name one host, the first by name has it: a name is given once, by the controller.
    fn index(&mut self) {
        self.hosts.clear();
        for (name, camp) in &self.camps {
            for host in &camp.hosts {
                self.hosts.entry(host.to_ascii_lowercase()).or_insert_with(|| name.clone());
            }
        }
    }

    /// Requests that are under way keep their room.
    fn put(&mut self, name: String, camp: Option<Camp>) {
        let Some(mut camp) = camp else {
            self.camps.remove(&name);
            return;
        };
        if let Some(known) = self.camps.get(&name) {
            camp.room = Arc::clone(&known.room);
        }
        self.camps.insert(name, Arc::new(camp));
    }
}

/// Follows what is at home.
pub(super) struct Follower {
    environments: Api<Environment>,
    repositories: Api<Repository>,
    secrets: Api<Secret>,
    secret: String,
    clock: Clock,
    rng: Rng,
    directory: Directory,
    complete: watch::Sender<bool>,
}

impl Follower {
    pub(super) fn new(
        home: Client,
        namespace: &str,
        secret: String,
        clock: Clock,
        rng: Rng,
    ) -> Self {
        Self {
            environments: Api::namespaced(home.clone(), namespace),
            repositories: Api::namespaced(home.clone(), namespace),
            secrets: Api::namespaced(home, namespace),
            secret,
            clock,
            rng,
            directory: Directory::default(),
            complete: watch::Sender::new(false),
        }
    }

    pub(super) fn directory(&self) -> Directory {
        self.directory.clone()
    }

    /// Whether every record was seen: before, a host that is not known may be one that is.
    pub(super) fn is_complete(&self) -> watch::Receiver<bool> {
        self.complete.subscribe()
    }

    /// Follows for good.
    pub(super) async fn run(&self) {
        let everything = watcher::Config::default();
        let one = everything.clone().fields(&format!("metadata.name={}", self.secret));
        let mut environments = pin!(watcher(self.environments.clone(), everything.clone()));
        let mut repositories = pin!(watcher(self.repositories.clone(), everything));
        let mut secrets = pin!(watcher(self.secrets.clone(), one));
        let (mut camps, mut served) = (Listed::default(), Listed::default());
        let mut keys: Listed<Option<Key>> = Listed::default();
        loop {
            tokio::select! {
                biased;
                event = self.next(&mut environments) => {
                    let change = camps.take(event, Camp::of);
                    self.directory.change(|known| {
                        match change {
                            Change::None => return,
                            Change::All(all) => {
                                known.camps.retain(|name, _| all.contains_key(name));
                                for (name, camp) in all {
                                    known.put(name, camp);
                                }
                            }
                            Change::One(name, camp) => known.put(name, camp.flatten()),
                        }
                        known.index();
                    });
                }
                event = self.next(&mut repositories) => {
                    let change = served.take(event, |one: &Repository| Arc::new(one.clone()));
                    self.directory.change(|known| match change {
                        Change::None => {}
                        Change::All(all) => known.repositories = all,
                        Change::One(name, Some(one)) => _ = known.repositories.insert(name, one),
                        Change::One(name, None) => _ = known.repositories.remove(&name),
                    });
                }
                event = self.next(&mut secrets) => {
                    let change = keys.take(event, key);
                    self.directory.change(|known| match change {
                        Change::None => {}
                        Change::All(all) => known.key = all.into_values().next().flatten(),
                        Change::One(_, found) => known.key = found.flatten(),
                    });
                }
            }
            if camps.complete && served.complete && keys.complete {
                self.complete.send_if_modified(|complete| !std::mem::replace(complete, true));
            }
        }
    }

    /// The next event of a watch.
    async fn next<K>(
        &self,
        watch: &mut (impl Stream<Item = Result<Event<K>, watcher::Error>> + Unpin),
    ) -> Event<K> {
        next_sound(watch, (&self.clock, &self.rng), "the gate can't follow the records").await
    }
}

fn key(secret: &Secret) -> Option<Key> {
    let found = secret.data.as_ref().and_then(|data| Key::new(&data.get(KEY)?.0));
    if found.is_none() {
        tracing::error!(
            "the Secret of the gate has no `{KEY}` of 32 bytes: nobody can be let in or wake anything until it is \
             deleted and made anew"
        );
    }
    found
}

/// A list that comes piece by piece counts once it is whole.
struct Listed<V> {
    listed: BTreeMap<String, V>,
    complete: bool,
}

impl<V> Default for Listed<V> {
    fn default() -> Self {
        Self { listed: BTreeMap::new(), complete: false }
    }
}

enum Change<V> {
    None,
    All(BTreeMap<String, V>),
    /// `None`: it is gone.
    One(String, Option<V>),
}

impl<V> Listed<V> {
    fn take<K: Resource>(&mut self, event: Event<K>, keep: impl Fn(&K) -> V) -> Change<V> {
        let name = |object: &K| object.meta().name.clone().unwrap_or_default();
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(object) => _ = self.listed.insert(name(&object), keep(&object)),
            Event::InitDone => {
                self.complete = true;
                return Change::All(std::mem::take(&mut self.listed));
            }
            Event::Apply(object) => return Change::One(name(&object), Some(keep(&object))),
            Event::Delete(object) => return Change::One(name(&object), None),
        }
        Change::None
    }
}
