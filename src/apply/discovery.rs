//! Which kinds the target has: asked once for each, and again when one was missed or may be gone. I/O with the target, as
//! the service.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use kube::Error;
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{self, Scope};
use tokio::sync::Notify;

use super::bundle::Entry;
use super::error::ApplyError;
use super::target::{As, Target};
use crate::domain::bundle::group_of;
use crate::seams::Clock;

/// Between two looks for kinds that somebody misses. With the run that follows, a new kind works within 5 s.
const LOOK: Duration = Duration::from_secs(3);
/// Looks for a kind that nobody asks for any more: 15 minutes.
const LOOKS: u16 = 300;
/// Kinds that are looked for at once.
const MOST: usize = 100;
/// A kind that somebody else defined is taken for there this long without asking.
const FRESH: TimeDelta = TimeDelta::seconds(60);

/// Groups that an API server brings itself: they do not go away while it runs.
const BUILT_IN: [&str; 18] = [
    "",
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "extensions",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
];

/// A kind that can be a key of an ordered map: group, version, kind.
type Key = (String, String, String);

/// What discovery said about a kind.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) resource: ApiResource,
    pub(super) namespaced: bool,
}

/// What is known of kinds.
#[derive(Default)]
pub(super) struct Kinds {
    known: Mutex<BTreeMap<Key, Known>>,
    /// Kinds that somebody asked for in vain, with the looks since.
    missed: Mutex<BTreeMap<Key, u16>>,
    /// When a kind that is no API server's own was last asked for.
    asked: Mutex<BTreeMap<Key, DateTime<Utc>>>,
    appeared: AtomicU64,
    missing: Notify,
}

impl Kinds {
    fn known(&self) -> MutexGuard<'_, BTreeMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn missed(&self) -> MutexGuard<'_, BTreeMap<Key, u16>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, BTreeMap<Key, DateTime<Utc>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(api_version: &str, kind: &str) -> Key {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    (group.to_owned(), version.to_owned(), kind.to_owned())
}

impl Target {
    /// What the cluster knows of a kind; asked once, and again when it was not there.
    pub(super) async fn kind(&self, api_version: &str, kind: &str) -> Result<Option<Known>, Error> {
        let key = key(api_version, kind);
        if let Some(known) = self.kinds.known().get(&key) {
            return Ok(Some(known.clone()));
        }
        let found = self.ask_for(&key).await?;
        if found.is_none() {
            let mut missed = self.kinds.missed();
            if missed.len() < MOST || missed.contains_key(&key) {
                missed.insert(key, 0);
            }
            drop(missed);
            self.kinds.missing.notify_one();
            self.note_missed_kind();
        }
        Ok(found)
    }

    /// Asks the cluster, and remembers what is there.
    async fn ask_for(&self, key: &Key) -> Result<Option<Known>, Error> {
        let (group, version, kind) = key;
        let wanted = GroupVersionKind::gvk(group, version, kind);
        let known = match discovery::pinned_kind(&self.client(&As::Service), &wanted).await {
            Ok((resource, capabilities)) => {
                Known { resource, namespaced: capabilities.scope == Scope::Namespaced }
            }
            Err(Error::Discovery(_)) => return Ok(None),
            Err(Error::Api(status)) if status.code == 404 => return Ok(None),
            Err(error) => return Err(error),
        };
        self.kinds.known().insert(key.clone(), known.clone());
        Ok(Some(known))
    }

    /// Forgets one kind: it answered as if it were gone.
    pub(super) fn forget_kind(&self, api_version: &str, kind: &str) {
        self.kinds.known().remove(&key(api_version, kind));
    }

    /// Forgets what discovery said: a kind that went away or changed its scope is asked for anew.
    pub fn forget_kinds(&self) {
        self.kinds.known().clear();
    }

    /// Counts how often a kind appeared that somebody had missed.
    #[must_use]
    pub fn kinds_appeared(&self) -> u64 {
        self.kinds.appeared.load(Ordering::Relaxed)
    }

    /// Looks for the kinds that were missed, until one of them is there. While none is missed, nothing is asked.
    pub async fn a_missed_kind_appears(&self, clock: &Clock) {
        loop {
            let missed: Vec<Key> = self.kinds.missed().keys().cloned().collect();
            if missed.is_empty() {
                self.kinds.missing.notified().await;
                continue;
            }
            clock.sleep(LOOK).await;
            let mut any = false;
            for key in missed {
                // What can't be asked for now is asked for at the next look.
                let found = self.ask_for(&key).await.is_ok_and(|found| found.is_some());
                let mut missed = self.kinds.missed();
                let looks = missed.get(&key).copied().unwrap_or_default().saturating_add(1);
                if found || looks > LOOKS {
                    missed.remove(&key);
                } else {
                    missed.insert(key, looks);
                }
                any |= found;
            }
            if any {
                self.kinds.appeared.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// The kinds of `inventory` that the cluster has no more, as `Kind in group/version`, sorted. Kinds that an API
    /// server brings itself are not asked for, others once a minute at most, whoever asks.
    pub async fn kinds_gone(
        &self,
        inventory: &[Entry],
        now: DateTime<Utc>,
    ) -> Result<Vec<String>, ApplyError> {
        let foreign: BTreeSet<(&str, &str)> = inventory
            .iter()
            .filter(|entry| !BUILT_IN.contains(&group_of(&entry.api_version)))
            .map(|entry| (entry.api_version.as_str(), entry.kind.as_str()))
            .collect();
        let mut gone = Vec::new();
        for (api_version, kind) in foreign {
            let key = key(api_version, kind);
            let fresh = self.kinds.asked().get(&key).is_some_and(|asked| now - *asked < FRESH);
            if !fresh {
                self.forget_kind(api_version, kind);
            }
            let what = format!("ask for the kind {kind} in {api_version}");
            let found = self
                .kind(api_version, kind)
                .await
                .map_err(|source| ApplyError::Cluster { what, source: Box::new(source) })?;
            match found {
                Some(_) if fresh => {}
                Some(_) => {
                    let mut asked = self.kinds.asked();
                    asked.retain(|_, at| now - *at < FRESH);
                    asked.insert(key, now);
                }
                None => {
                    self.kinds.asked().remove(&key);
                    gone.push(format!("{kind} in {api_version}"));
                }
            }
        }
        Ok(gone)
    }
}
