//! I/O · follows the Repositories and their webhook secrets at home, so that every replica can tell a signed delivery
//! from a forged one. It only reads: it writes no status and asks no forge, and it holds of a Secret the one value that
//! it needs.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures::Stream;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;

use super::secrets::{Secrets, Served};
use crate::crd::{At, Repository};
use crate::domain::id::RepoName;
use crate::seams::{Clock, Rng, next_sound};

/// The key of a Secret that holds what deliveries are signed with.
const KEY: &str = "webhookSecret";
/// Secrets that are never credentials: the bundles that were applied, which are big.
const NO_BUNDLES: &str = "!bivouac.dev/bundle";

/// Follows Repositories and Secrets, and tells the webhook of what comes or goes.
pub struct Follower {
    repositories: Api<Repository>,
    secrets: Api<Secret>,
    clock: Clock,
    rng: Rng,
    known: watch::Sender<Arc<Secrets>>,
    complete: watch::Sender<bool>,
}

impl Follower {
    /// For the service's own namespace at home. Nothing is asked before [`run`](Self::run).
    #[must_use]
    pub fn new(home: Client, namespace: &str, clock: Clock, rng: Rng) -> Self {
        Self {
            repositories: Api::namespaced(home.clone(), namespace),
            secrets: Api::namespaced(home, namespace),
            clock,
            rng,
            known: watch::Sender::new(Arc::new(Secrets::default())),
            complete: watch::Sender::new(false),
        }
    }

    /// The present secrets, for the webhook.
    #[must_use]
    pub fn secrets(&self) -> watch::Receiver<Arc<Secrets>> {
        self.known.subscribe()
    }

    /// Whether every Repository and every Secret was seen: before, a signed delivery can't be told from a forged one.
    #[must_use]
    pub fn is_complete(&self) -> watch::Receiver<bool> {
        self.complete.subscribe()
    }

    /// Follows for good.
    pub async fn run(&self) {
        let everything = watcher::Config::default();
        let mut repositories = pin!(watcher(self.repositories.clone(), everything.clone()));
        let mut secrets = pin!(watcher(self.secrets.clone(), everything.labels(NO_BUNDLES)));
        let mut served = Mirror::default();
        let mut signed = Mirror::default();
        let mut told: Option<Vec<(SecretString, Served)>> = None;
        loop {
            let went_on = tokio::select! {
                biased;
                event = self.next(&mut repositories) => served.take(event, Entry::of),
                event = self.next(&mut secrets) => signed.take(event, secret),
            };
            if !went_on || !served.complete || !signed.complete {
                continue;
            }
            let now = pairs(&served.current, &signed.current);
            if told.as_ref().is_none_or(|told| !equal(told, &now)) {
                self.known.send_replace(Arc::new(Secrets::new(now.iter().cloned())));
                told = Some(now);
            }
            self.complete.send_if_modified(|complete| !std::mem::replace(complete, true));
        }
    }

    /// The next event of a watch.
    async fn next<K>(
        &self,
        watch: &mut (impl Stream<Item = Result<Event<K>, watcher::Error>> + Unpin),
    ) -> Event<K> {
        next_sound(watch, (&self.clock, &self.rng), "webhook secrets can't be followed").await
    }
}

/// What is kept of the objects of a kind, by name.
struct Mirror<V> {
    current: BTreeMap<String, V>,
    listed: BTreeMap<String, V>,
    complete: bool,
}

impl<V> Default for Mirror<V> {
    fn default() -> Self {
        Self { current: BTreeMap::new(), listed: BTreeMap::new(), complete: false }
    }
}

impl<V> Mirror<V> {
    /// `true`: what is current may have changed.
    fn take<K: Resource>(&mut self, event: Event<K>, keep: impl Fn(&K) -> Option<V>) -> bool {
        let name = |object: &K| object.meta().name.clone().unwrap_or_default();
        let put = |into: &mut BTreeMap<String, V>, object: &K| match keep(object) {
            Some(kept) => {
                into.insert(name(object), kept);
            }
            None => {
                into.remove(&name(object));
            }
        };
        match event {
            Event::Init => {
                self.listed.clear();
                return false;
            }
            Event::InitApply(object) => {
                put(&mut self.listed, &object);
                return false;
            }
            Event::InitDone => {
                self.current = std::mem::take(&mut self.listed);
                self.complete = true;
            }
            Event::Apply(object) => put(&mut self.current, &object),
            Event::Delete(object) => {
                self.current.remove(&name(&object));
            }
        }
        true
    }
}

/// What counts of a Repository.
struct Entry {
    name: RepoName,
    id: Option<u64>,
    secret: String,
    follows_base: bool,
    awaits_checks: bool,
    branches: Vec<String>,
    prefix: String,
    bots: Vec<String>,
}

impl Entry {
    /// `None`: no delivery is taken for it. One that serves what an older one serves makes no records.
    fn of(repository: &Repository) -> Option<Self> {
        let github = &repository.spec.forge.github;
        let status = repository.status.as_ref();
        let twin = status.is_some_and(|status| {
            status.conditions.iter().any(|c| c.r#type == "Unique" && c.status == "False")
        });
        let id = status.and_then(|status| status.forge.as_ref()).map(|forge| forge.repository_id);
        Some(Self {
            name: RepoName::parse(&github.owner, &github.name).ok().filter(|_| !twin)?,
            id: id.and_then(|id| u64::try_from(id).ok()),
            secret: github.credentials.secret_name.clone(),
            follows_base: repository.spec.source.at == At::Merge,
            awaits_checks: !repository.spec.r#await.checks.is_empty(),
            branches: repository.spec.branches.clone(),
            prefix: repository.spec.commands.prefix.clone(),
            bots: repository.spec.commands.bots.clone(),
        })
    }
}

/// What deliveries are signed with; `None` when a Secret holds nothing of the kind.
fn secret(secret: &Secret) -> Option<SecretString> {
    let bytes = secret.data.as_ref()?.get(KEY)?.0.as_slice();
    // A newline at the end comes from an editor or `echo`.
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']);
    Some(SecretString::from(text))
}

/// Each Repository with its secret; one without has an empty one, which verifies nothing and is complained of.
fn pairs(
    served: &BTreeMap<String, Entry>,
    signed: &BTreeMap<String, SecretString>,
) -> Vec<(SecretString, Served)> {
    served
        .iter()
        .map(|(resource, entry)| {
            let Entry { name, id, secret, follows_base, awaits_checks, branches, prefix, bots } =
                entry;
            let signed = signed.get(secret).cloned().unwrap_or_else(|| SecretString::from(""));
            let served = Served {
                resource: resource.clone(),
                id: *id,
                name: name.clone(),
                follows_base: *follows_base,
                awaits_checks: *awaits_checks,
                branches: branches.clone(),
                prefix: prefix.clone(),
                bots: bots.clone(),
            };
            (signed, served)
        })
        .collect()
}

fn equal(one: &[(SecretString, Served)], two: &[(SecretString, Served)]) -> bool {
    one.len() == two.len()
        && one
            .iter()
            .zip(two)
            .all(|((a, of_a), (b, of_b))| a.expose_secret() == b.expose_secret() && of_a == of_b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn repository(change: impl FnOnce(&mut serde_json::Value)) -> Repository {
        let mut value = json!({
            "apiVersion": "bivouac.dev/v1alpha1",
            "kind": "Repository",
            "metadata": {"name": "shop"},
            "spec": {
                "forge": {"github": {"owner": "acme", "name": "shop", "credentials": {"secretName": "token"}}},
                "url": {"host": "preview.localhost"},
            },
        });
        change(&mut value);
        serde_json::from_value(value).expect("a Repository")
    }

    fn secret_of(name: &str, data: &serde_json::Value) -> Secret {
        let value = json!({"metadata": {"name": name}, "data": data});
        serde_json::from_value(value).expect("a Secret")
    }

    fn told(served: &Mirror<Entry>, signed: &Mirror<SecretString>) -> Vec<(String, Served)> {
        let pairs = pairs(&served.current, &signed.current).into_iter();
        pairs.map(|(secret, served)| (secret.expose_secret().to_owned(), served)).collect()
    }

    #[test]
    fn a_repository_speaks_with_the_secret_that_it_names_as_long_as_both_are_there() {
        let (mut served, mut signed) = (Mirror::default(), Mirror::default());
        // "s3cret\n"
        let right = secret_of("token", &json!({"webhookSecret": "czNjcmV0Cg==", "token": "eA=="}));
        let other = secret_of("other", &json!({"token": "eA=="}));
        assert!(!served.take(Event::InitApply(repository(|_| {})), Entry::of));
        assert_eq!(told(&served, &signed), [], "a list counts when it is whole");
        assert!(served.take(Event::InitDone, Entry::of));
        let shop = |id| Served {
            resource: "shop".into(),
            id,
            name: RepoName::parse("acme", "shop").expect("a name"),
            follows_base: false,
            awaits_checks: false,
            branches: Vec::new(),
            prefix: "/preview".into(),
            bots: Vec::new(),
        };
        assert_eq!(told(&served, &signed), [(String::new(), shop(None))]);
        for found in [right.clone(), other] {
            assert!(signed.take(Event::Apply(found), secret));
        }
        assert_eq!(signed.current.len(), 1, "nothing is kept of a Secret without the key");
        assert_eq!(told(&served, &signed), [("s3cret".into(), shop(None))]);

        let known = repository(|value| {
            value["status"] =
                json!({"conditions": [], "forge": {"repositoryId": 7, "permissions": []}});
        });
        served.take(Event::Apply(known), Entry::of);
        assert_eq!(told(&served, &signed), [("s3cret".into(), shop(Some(7)))]);
        signed.take(Event::Delete(right), secret);
        assert_eq!(told(&served, &signed), [(String::new(), shop(Some(7)))]);
    }

    #[test]
    fn the_younger_of_two_that_serve_the_same_takes_no_deliveries() {
        let mut served = Mirror::default();
        served.take(Event::Apply(repository(|_| {})), Entry::of);
        let twin = repository(|value| {
            value["status"] = json!({"conditions": [{
                "type": "Unique", "status": "False", "reason": "ServedTwice", "message": "",
                "lastTransitionTime": "2026-03-02T09:00:00Z",
            }]});
        });
        served.take(Event::Apply(twin), Entry::of);
        assert_eq!(told(&served, &Mirror::default()), []);
    }
}
