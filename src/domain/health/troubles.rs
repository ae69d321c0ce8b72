//! PURE · why a camp does not get ready: pods, events and workloads → one line for each cause, however many pods suffer
//! from it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::pods::{PATIENCE, lasts, of_pod, owner, when, workload};
use super::{condition, refusals, text};
use crate::domain::redact::redact;

/// Causes that are told at most.
const MOST: usize = 20;

/// What keeps a pod from getting ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// An image can't be had.
    ImagePull,
    /// A container ends and is started again.
    CrashLoop,
    /// A container that is not started again ended badly.
    Ended,
    /// What a container is made of is not there.
    Configuration,
    /// A volume is not there.
    Volume,
    /// No node has room.
    Unschedulable,
    /// A quota is full.
    Quota,
    /// The API server refuses the pods.
    Refused,
    /// A probe does not succeed.
    Probe,
}

impl Cause {
    /// What to do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::ImagePull => {
                "check the image's name and tag, that the build has pushed it, and that the camp has a pull secret for its registry"
            }
            Self::CrashLoop | Self::Ended => {
                "the end of the log says more; run the image with the same settings"
            }
            Self::Configuration => {
                "see that the Secret, ConfigMap or key that it names is in the bundle, by this name"
            }
            Self::Volume => {
                "see that the volume's claim, Secret or ConfigMap is in the bundle, and that the cluster has its storage class"
            }
            Self::Unschedulable => {
                "ask for less CPU or memory, mend selectors and tolerations, or give the cluster more nodes"
            }
            Self::Quota => "ask for less, or have the platform team raise the quota of the camps",
            Self::Refused => "change what the message names",
            Self::Probe => {
                "see that the program listens on the probe's port and path, and give it enough time to start"
            }
        }
    }
}

/// A log that says more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOf {
    /// Name of the pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// The run before the present one.
    pub previous: bool,
}

/// Why something does not get ready, as far as anybody tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of trouble it is.
    pub cause: Cause,
    /// Kubernetes' word: `ImagePullBackOff`, `CrashLoopBackOff`, …
    pub reason: String,
    /// `Kind/name` of the workload.
    pub object: String,
    /// Name of one of the pods; empty when there is none.
    pub pod: String,
    /// The container, when it is one's.
    pub container: Option<String>,
    /// One sentence, without the object.
    pub message: String,
    /// How many pods suffer from it; 0 when they could not even be made.
    pub pods: usize,
    /// It will not pass by itself, as far as anybody can say.
    pub grave: bool,
    /// Where there is more to read.
    pub log: Option<LogOf>,
}

impl Trouble {
    /// One for each cause, grave ones first, then in the order of their objects.
    #[must_use]
    pub fn distinct(found: Vec<Self>) -> Vec<Self> {
        distinct(found)
    }

    /// The line for people.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { object, message, pods, .. } = self;
        match pods {
            0 | 1 => format!("{object}: {message}"),
            pods => format!("{object}: {message} ({pods} pods)"),
        }
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Looked<'a> {
    /// The objects of the inventory that are not ready, as they were read.
    pub not_ready: &'a [Value],
    /// `Kind/name` of everything in the inventory.
    pub inventory: &'a BTreeSet<String>,
    /// All pods of the camp.
    pub pods: &'a [Value],
    /// Events of the camp.
    pub events: &'a [Value],
    /// The present time.
    pub now: DateTime<Utc>,
}

/// One for each cause, grave ones first, then in the order of their objects.
#[must_use]
pub fn troubles(looked: &Looked<'_>) -> Vec<Trouble> {
    let mut found: Vec<Trouble> = Vec::new();
    for object in looked.not_ready {
        found.extend(unmade(object, looked.events, looked.now));
        found.extend(unbound(object, looked.events, looked.now));
    }
    for pod in looked.pods.iter().filter(|pod| counts(pod, looked)) {
        let uid = text(pod, "/metadata/uid");
        let events: Vec<&Value> = looked
            .events
            .iter()
            .filter(|event| text(event, "/involvedObject/uid") == uid)
            .collect();
        found.extend(of_pod(pod, &events, Some(looked.now)));
    }
    distinct(found)
}

fn distinct(found: Vec<Trouble>) -> Vec<Trouble> {
    let mut all: Vec<Trouble> = Vec::new();
    for mut trouble in found {
        trouble.message = redact(&trouble.message);
        let same = |known: &&mut Trouble| {
            (&known.object, &known.container, &known.reason, &known.message)
                == (&trouble.object, &trouble.container, &trouble.reason, &trouble.message)
        };
        match all.iter_mut().find(same) {
            Some(known) => {
                known.pods += trouble.pods;
                known.grave |= trouble.grave;
                // Of several pods always the same one is shown.
                if trouble.pod < known.pod {
                    known.pod = trouble.pod;
                    known.log = trouble.log.or(known.log.take());
                }
            }
            None => all.push(trouble),
        }
    }
    all.sort_by(|a, b| {
        (!a.grave, a.cause, &a.object, &a.container, &a.message).cmp(&(
            !b.grave,
            b.cause,
            &b.object,
            &b.container,
            &b.message,
        ))
    });
    all.truncate(MOST);
    all
}

/// Whether a pod's trouble is one of this camp's present bundle.
fn counts(pod: &Value, looked: &Looked<'_>) -> bool {
    if !text(pod, "/metadata/deletionTimestamp").is_empty() {
        return false;
    }
    let of = workload(pod);
    let object = |object: &&Value| {
        of == format!("{}/{}", text(object, "/kind"), text(object, "/metadata/name"))
    };
    match looked.not_ready.iter().find(object) {
        // Pods of the revision before are on their way out.
        Some(object) => match (newest_replica_set(object), owner(pod)) {
            (Some(newest), Some(("ReplicaSet", name))) => newest == name,
            _ => true,
        },
        // What is ready has no trouble worth a word, and a Job of a CronJob is nobody's reason to wait.
        None => !looked.inventory.contains(&of) && !of.starts_with("Job/"),
    }
}

/// The ReplicaSet that a Deployment is about, as its condition `Progressing` names it.
fn newest_replica_set(object: &Value) -> Option<&str> {
    if text(object, "/kind") != "Deployment" {
        return None;
    }
    let message = text(condition(object, "Progressing")?, "/message");
    let (_, rest) = message.split_once('"')?;
    rest.split_once('"').map(|(name, _)| name)
}

/// A workload whose pods, or whose ReplicaSet, the API server refuses.
fn unmade(object: &Value, events: &[Value], now: DateTime<Utc>) -> Option<Trouble> {
    let kind = text(object, "/kind");
    if !matches!(kind, "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job") {
        return None;
    }
    let failure = condition(object, "ReplicaFailure").filter(|c| c["status"] == "True");
    let failure = failure.or_else(|| {
        condition(object, "Progressing").filter(|c| c["reason"] == "ReplicaSetCreateError")
    });
    let (message, since) = if let Some(failure) = failure {
        (text(failure, "/message"), text(failure, "/lastTransitionTime"))
    } else {
        let uid = text(object, "/metadata/uid");
        let newest = events
            .iter()
            .filter(|event| {
                text(event, "/involvedObject/uid") == uid
                    && matches!(text(event, "/reason"), "FailedCreate" | "SuccessfulCreate")
            })
            .max_by_key(|event| when(event))?;
        if text(newest, "/reason") != "FailedCreate" {
            return None;
        }
        let first = text(newest, "/firstTimestamp");
        (text(newest, "/message"), if first.is_empty() { when(newest) } else { first })
    };
    let refusal = refusals::read(message);
    Some(Trouble {
        cause: if refusal.quota { Cause::Quota } else { Cause::Refused },
        reason: if refusal.quota { "QuotaExceeded".into() } else { "FailedCreate".into() },
        object: format!("{kind}/{}", text(object, "/metadata/name")),
        pod: String::new(),
        container: None,
        message: refusal.message,
        pods: 0,
        grave: lasts(since, PATIENCE, Some(now)),
        log: None,
    })
}

/// A claim for which no volume is made.
fn unbound(object: &Value, events: &[Value], now: DateTime<Utc>) -> Option<Trouble> {
    if text(object, "/kind") != "PersistentVolumeClaim" {
        return None;
    }
    let uid = text(object, "/metadata/uid");
    let event = events
        .iter()
        .filter(|event| {
            text(event, "/involvedObject/uid") == uid
                && matches!(text(event, "/reason"), "ProvisioningFailed" | "FailedBinding")
        })
        .max_by_key(|event| when(event))?;
    Some(Trouble {
        cause: Cause::Volume,
        reason: text(event, "/reason").to_owned(),
        object: format!("PersistentVolumeClaim/{}", text(object, "/metadata/name")),
        pod: String::new(),
        container: None,
        message: format!("no volume is made for it: {}", text(event, "/message")),
        pods: 0,
        grave: lasts(text(object, "/metadata/creationTimestamp"), PATIENCE, Some(now)),
        log: None,
    })
}
