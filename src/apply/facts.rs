//! What the target tells about itself: its version and the kinds that it serves, for charts that ask and for definitions
//! that a commit brings. I/O: three reads, kept until they are read again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use kube::core::discovery::v2::APIGroupDiscovery;
use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::error::ApplyError;
use super::target::{As, Target};
use crate::domain::render_inputs::ClusterFacts;

/// What was read last.
#[derive(Default)]
pub(super) struct Facts {
    known: Mutex<Option<ClusterFacts>>,
    /// Many camps that begin at once read once.
    reading: AsyncMutex<()>,
    missed: Notify,
}

impl Target {
    /// Version and API versions of the cluster: as they were read last, or read now when they never were.
    pub async fn facts(&self) -> Result<ClusterFacts, ApplyError> {
        if let Some(known) = self.known_facts() {
            return Ok(known);
        }
        let _alone = self.facts.reading.lock().await;
        match self.known_facts() {
            Some(known) => Ok(known),
            None => self.read_facts().await,
        }
    }

    /// Reads them again.
    pub async fn refresh_facts(&self) -> Result<(), ApplyError> {
        let _alone = self.facts.reading.lock().await;
        self.read_facts().await.map(drop)
    }

    /// Waits until somebody asked for a kind that the cluster does not have.
    pub async fn missed_a_kind(&self) {
        self.facts.missed.notified().await;
    }

    pub(super) fn note_missed_kind(&self) {
        self.facts.missed.notify_one();
    }

    fn known_facts(&self) -> Option<ClusterFacts> {
        self.facts.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read_facts(&self) -> Result<ClusterFacts, ApplyError> {
        let client = self.client(&As::Service);
        let failed = |error| ApplyError::own("read the version of the target cluster", error);
        let version = client.apiserver_version().await.map_err(failed)?;
        let groups = client.list_api_groups_aggregated().await.map_err(failed)?;
        let core = client.list_core_api_versions_aggregated().await.map_err(failed)?;
        let served: BTreeSet<String> =
            groups.items.iter().chain(&core.items).flat_map(of_group).collect();
        let facts = ClusterFacts {
            kubernetes_version: format!("{}.{}", digits(&version.major), digits(&version.minor)),
            api_versions: served.into_iter().collect(),
        };
        *self.facts.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(facts.clone());
        Ok(facts)
    }
}

/// `group/version` of each version, and `group/version/Kind` of each kind; those of the core group without a group.
fn of_group(group: &APIGroupDiscovery) -> Vec<String> {
    let name = group.metadata.as_ref().and_then(|metadata| metadata.name.as_deref());
    let mut served = Vec::new();
    for version in &group.versions {
        let Some(number) = version.version.as_deref() else { continue };
        let version_of = match name.unwrap_or_default() {
            "" => number.to_owned(),
            name => format!("{name}/{number}"),
        };
        let kinds = version.resources.iter().filter_map(|resource| resource.response_kind.as_ref());
        for kind in kinds.filter_map(|kind| kind.kind.as_deref()) {
            served.push(format!("{version_of}/{kind}"));
        }
        served.push(version_of);
    }
    served
}

/// Some clouds write `28+`. Without the patch version: it changes often and says nothing about what there is.
fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 { "0" } else { &text[..end] }
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn a_version_is_its_digits() {
        assert_eq!([digits("28+"), digits("35"), digits(""), digits("v1")], ["28", "35", "0", "0"]);
    }
}
