//! What the target tells about itself: its version and its API groups, for charts that ask. I/O: two reads, kept for an
//! hour.

use std::sync::PoisonError;

use chrono::{DateTime, TimeDelta, Utc};

use super::error::ApplyError;
use super::target::{As, Target};
use crate::domain::render_inputs::ClusterFacts;

/// A cluster gets a new version or a new API about as often as that matters; each makes every bundle be rendered anew.
const KEPT: TimeDelta = TimeDelta::hours(1);

impl Target {
    /// Version and API versions of the cluster.
    pub async fn facts(&self, now: DateTime<Utc>) -> Result<ClusterFacts, ApplyError> {
        let kept = self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((at, facts)) = kept
            && now - at < KEPT
        {
            return Ok(facts);
        }
        let client = self.client(&As::Service);
        let failed = |error| ApplyError::own("read the version of the target cluster", error);
        let version = client.apiserver_version().await.map_err(failed)?;
        let groups = client.list_api_groups().await.map_err(failed)?;
        let mut api_versions: Vec<String> = groups
            .groups
            .into_iter()
            .flat_map(|group| group.versions.into_iter().map(|version| version.group_version))
            .collect();
        api_versions.push("v1".to_owned());
        api_versions.sort();
        api_versions.dedup();
        let facts = ClusterFacts {
            kubernetes_version: format!("{}.{}", digits(&version.major), digits(&version.minor)),
            api_versions,
        };
        *self.facts.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, facts.clone()));
        Ok(facts)
    }
}

/// Some clouds write `28+`.
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
