//! How the camp does: reads what has a state, the pods, and events and a log when something is not ready. I/O with the
//! target, as the deployer.

mod read;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures::future::{self, BoxFuture};
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;

use self::read::Read;
use super::bundle::Entry;
use super::deployer::Deployer;
use super::error::ApplyError;
use crate::domain::health::{
    Health, Looked, Trouble, is_judged, is_mounted, judge, restarted_lately, troubles,
};
use crate::domain::redact::redact;

/// Objects that are read side by side.
const AT_ONCE: usize = 8;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CampHealth {
    /// One line for each object that is not ready, in the order of the inventory: `Kind/name: why`.
    pub not_ready: Vec<String>,
    /// One of them will not get there by itself.
    pub failed: bool,
    /// One of them is not there at all.
    pub missing: bool,
    /// Why, as far as pods and events tell; one for each cause, the gravest first.
    pub troubles: Vec<Trouble>,
    /// Pod and container of the log that says more.
    pub log_of: String,
    /// Its end, without what looks like a secret; empty when there is none.
    pub log_tail: String,
    /// `Kind/name` of what the deployer may not read. Nothing is known of it, and nothing is held up by it.
    pub unread: Vec<String>,
}

impl CampHealth {
    /// Everything is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.not_ready.is_empty()
    }

    /// Something will not get ready by itself, as far as anybody can say.
    #[must_use]
    pub fn is_grave(&self) -> bool {
        self.failed || self.troubles.iter().any(|trouble| trouble.grave)
    }

    /// What people are told of, one line each: the causes, then what is not ready for no known cause.
    #[must_use]
    pub fn lines(&self) -> Vec<(String, Option<&'static str>)> {
        let causes = self.troubles.iter().map(|one| (one.line(), Some(one.cause.hint())));
        let unexplained = self.not_ready.iter().filter(|line| {
            let object = line.split(": ").next().unwrap_or(line);
            !self.troubles.iter().any(|trouble| trouble.object == object)
        });
        causes.chain(unexplained.map(|line| (line.clone(), None))).collect()
    }

    fn note(&mut self, of: &str, health: Health) {
        let (why, failed) = match health {
            Health::Ready => return,
            Health::Progressing(why) => (why, false),
            Health::Failed(why) => (why, true),
        };
        self.not_ready.push(format!("{of}: {}", redact(&why)));
        self.failed |= failed;
    }
}

/// Reads every object of the inventory that has a state, and looks for what is behind one that is not ready.
pub async fn observe_health(
    deployer: &Deployer,
    inventory: &[Entry],
    now: DateTime<Utc>,
) -> Result<CampHealth, ApplyError> {
    let mut reads: Vec<BoxFuture<'_, Result<(String, Read), ApplyError>>> = Vec::new();
    for entry in inventory {
        if is_judged(&entry.api_version, &entry.kind) {
            let of = format!("{}/{}", entry.kind, entry.name);
            reads.push(Box::pin(async move { Ok((of, read::object(deployer, entry).await?)) }));
        }
    }
    let reads = futures::stream::iter(reads).buffered(AT_ONCE).try_collect::<Vec<_>>();
    let (reads, pods) = future::try_join(reads, deployer.pods()).await?;

    let mut health = CampHealth::default();
    let mut not_ready: Vec<Value> = Vec::new();
    for (of, read) in reads {
        match read {
            Read::Denied => health.unread.push(of),
            Read::Unserved => {}
            Read::Missing => {
                health.missing = true;
                health.note(&of, Health::Progressing("it is not there".into()));
            }
            Read::There(object) => {
                let judged = judge(&object);
                if judged != Health::Ready && !is_wanted_by_nobody(&object, &pods) {
                    health.note(&of, judged);
                    not_ready.push(object);
                }
            }
        }
    }
    if health.is_ready() {
        // A program that crashes after a second is ready for that second.
        let lately: Vec<Trouble> =
            pods.iter().filter_map(|pod| restarted_lately(pod, now)).collect();
        for trouble in Trouble::distinct(lately) {
            let object = &trouble.object;
            health.not_ready.push(format!("{object}: it was restarted a moment ago"));
            health.troubles.push(trouble);
        }
    } else {
        let inventory: BTreeSet<String> =
            inventory.iter().map(|entry| format!("{}/{}", entry.kind, entry.name)).collect();
        let events = read::events(deployer).await;
        health.troubles = troubles(&Looked {
            not_ready: &not_ready,
            inventory: &inventory,
            pods: &pods,
            events: &events,
            now,
        });
    }
    if let Some(of) = health.troubles.iter().find_map(|trouble| trouble.log.clone()) {
        health.log_tail = redact(&read::log(deployer, &of).await);
        health.log_of = format!("{}/{}", of.pod, of.container);
    }
    Ok(health)
}

/// A claim that no pod mounts may wait for its first consumer for ever, and nobody misses it.
fn is_wanted_by_nobody(object: &Value, pods: &[Value]) -> bool {
    let claim = object["metadata"]["name"].as_str().unwrap_or_default();
    object["kind"] == "PersistentVolumeClaim"
        && object["status"]["phase"] != "Lost"
        && !pods.iter().any(|pod| is_mounted(pod, claim))
}
