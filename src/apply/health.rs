//! How the camp does: reads what runs something, and the pods when something is not ready. I/O with the target, as the
//! deployer.

use super::bundle::Entry;
use super::deployer::Deployer;
use super::error::ApplyError;
use crate::domain::health::{Health, Trouble, has_health, judge, pod_trouble};

/// Lines of a log that are kept for people.
const LOG_LINES: i64 = 40;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampHealth {
    /// One line for each object that is not ready, in the order of the inventory.
    pub not_ready: Vec<String>,
    /// One of them will not get there by itself.
    pub failed: bool,
    /// One of them is not there at all.
    pub missing: bool,
    /// The first pod in trouble.
    pub trouble: Option<Trouble>,
    /// The end of its log, when it has one.
    pub log_tail: String,
}

impl CampHealth {
    /// Everything is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.not_ready.is_empty()
    }
}

/// Reads every object of the inventory that has a health.
pub async fn observe_health(
    deployer: &Deployer,
    inventory: &[Entry],
) -> Result<CampHealth, ApplyError> {
    let mut health = CampHealth::default();
    for entry in inventory.iter().filter(|entry| has_health(&entry.kind)) {
        let Entry { api_version, kind, name } = entry;
        let found = deployer.read(api_version, kind, name).await?;
        health.missing |= found.is_none();
        let judged =
            found.as_ref().map_or_else(|| Health::Progressing("it is not there".into()), judge);
        match judged {
            Health::Ready => {}
            Health::Progressing(why) => health.not_ready.push(format!("{kind}/{name}: {why}")),
            Health::Failed(why) => {
                health.not_ready.push(format!("{kind}/{name}: {why}"));
                health.failed = true;
            }
        }
    }
    if !health.is_ready() {
        let pods = deployer.pods().await?;
        health.trouble = pods.iter().find_map(pod_trouble);
        if let Some(Trouble { pod, container: Some(container), has_log: true, .. }) =
            &health.trouble
        {
            health.log_tail = deployer.log_tail(pod, container, LOG_LINES).await;
        }
    }
    Ok(health)
}
