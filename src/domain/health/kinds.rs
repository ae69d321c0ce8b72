//! PURE · the rule of each kind: an object as it was read → its state. After kstatus.

use serde_json::Value;

use super::pods::pod_trouble;
use super::{Health, condition, list, number, said, text};

/// A kind of Kubernetes' own; every one that is not named here is ready once it was applied.
pub(super) fn built_in(object: &Value, kind: &str) -> Health {
    match kind {
        "Deployment" => deployment(object),
        "StatefulSet" => stateful_set(object),
        "ReplicaSet" => replica_set(object),
        "DaemonSet" => daemon_set(object),
        "Pod" => pod(object),
        "Job" => job(object),
        "PersistentVolumeClaim" => claim(object),
        "Service" => service(object),
        "PodDisruptionBudget" => budget(object),
        "HorizontalPodAutoscaler" => autoscaler(object),
        _ => Health::Ready,
    }
}

/// A kind that somebody else brings.
pub(super) fn custom(object: &Value) -> Health {
    let is = |name: &str, status: &str| condition(object, name).filter(|c| c["status"] == status);
    if let Some(stalled) = is("Stalled", "True") {
        return Health::Failed(said(stalled, "it is stalled"));
    }
    if let Some(reconciling) = is("Reconciling", "True") {
        return Health::Progressing(said(reconciling, "its controller is at work"));
    }
    if let Some(bad) = route_refusal(object) {
        return bad;
    }
    let Some(ready) = condition(object, "Ready") else { return Health::Ready };
    let generation = number(object, "/metadata/generation");
    if ready["observedGeneration"].as_i64().is_some_and(|observed| observed < generation) {
        return Health::Progressing("its controller has not looked at it yet".into());
    }
    if ready["status"] == "True" {
        return Health::Ready;
    }
    let why = said(ready, "it does not say that it is ready");
    Health::Progressing(match text(ready, "/reason") {
        "" => why,
        reason if why == reason => why,
        reason => format!("{why} ({reason})"),
    })
}

/// A route of the Gateway API tells of each Gateway on its own, below `status.parents`.
fn route_refusal(object: &Value) -> Option<Health> {
    list(object, "/status/parents").iter().find_map(|parent| {
        let refused = list(parent, "/conditions").iter().find(|c| {
            c["status"] == "False" && (c["type"] == "Accepted" || c["type"] == "ResolvedRefs")
        })?;
        let gateway = text(parent, "/parentRef/name");
        Some(Health::Failed(format!("Gateway {gateway}: {}", said(refused, "it is not accepted"))))
    })
}

fn deployment(object: &Value) -> Health {
    if let Some(progressing) = condition(object, "Progressing")
        && progressing["reason"] == "ProgressDeadlineExceeded"
    {
        return Health::Failed(said(progressing, "its progress deadline is exceeded"));
    }
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let updated = number(object, "/status/updatedReplicas");
    let all = number(object, "/status/replicas");
    let available = number(object, "/status/availableReplicas");
    if updated < wanted {
        return Health::Progressing(format!("{updated} of {wanted} replicas are of this revision"));
    }
    if all > updated {
        let old = all - updated;
        return Health::Progressing(format!("{old} replicas of an older revision are going away"));
    }
    if available < wanted {
        return Health::Progressing(format!("{available} of {wanted} replicas are available"));
    }
    Health::Ready
}

fn stateful_set(object: &Value) -> Health {
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let ready = number(object, "/status/readyReplicas");
    let all = number(object, "/status/replicas");
    if ready < wanted {
        return Health::Progressing(format!("{ready} of {wanted} replicas are ready"));
    }
    if all > wanted {
        return Health::Progressing(format!("{} replicas too many are going away", all - wanted));
    }
    // Somebody else replaces the pods.
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Health::Ready;
    }
    let partition = number(object, "/spec/updateStrategy/rollingUpdate/partition");
    if partition > 0 {
        let (updated, due) =
            (number(object, "/status/updatedReplicas"), (wanted - partition).max(0));
        if updated < due {
            return Health::Progressing(format!(
                "{updated} of {due} replicas are of this revision"
            ));
        }
        return Health::Ready;
    }
    let (current, update) =
        (object["status"]["currentRevision"].as_str(), object["status"]["updateRevision"].as_str());
    if current != update && wanted > 0 {
        return Health::Progressing("replicas of an older revision are being replaced".into());
    }
    Health::Ready
}

fn replica_set(object: &Value) -> Health {
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let available = number(object, "/status/availableReplicas");
    let ready = number(object, "/status/readyReplicas");
    let all = number(object, "/status/replicas");
    if all > wanted {
        Health::Progressing(format!("{} replicas too many are going away", all - wanted))
    } else if ready.min(available) < wanted {
        Health::Progressing(format!("{} of {wanted} replicas are available", ready.min(available)))
    } else {
        Health::Ready
    }
}

fn daemon_set(object: &Value) -> Health {
    let wanted = number(object, "/status/desiredNumberScheduled");
    let available = number(object, "/status/numberAvailable");
    let updated = match text(object, "/spec/updateStrategy/type") {
        "OnDelete" => wanted,
        _ => number(object, "/status/updatedNumberScheduled"),
    };
    let good = updated.min(available);
    if good < wanted {
        Health::Progressing(format!("{good} of {wanted} pods are available"))
    } else {
        Health::Ready
    }
}

fn job(object: &Value) -> Health {
    let is = |name: &str| condition(object, name).filter(|c| c["status"] == "True");
    if let Some(failed) = is("Failed").or_else(|| is("FailureTarget")) {
        return Health::Failed(said(failed, "it failed"));
    }
    let suspended = object["spec"]["suspend"].as_bool().unwrap_or(false);
    if is("Complete").is_some() || suspended {
        Health::Ready
    } else {
        Health::Progressing("it has not ended yet".into())
    }
}

fn pod(object: &Value) -> Health {
    if let Some(trouble) = pod_trouble(object).filter(|trouble| trouble.grave) {
        return Health::Failed(trouble.message);
    }
    match object["status"]["phase"].as_str() {
        Some("Succeeded") => Health::Ready,
        Some("Failed") => Health::Failed(match text(object, "/status/message") {
            "" => "it failed".into(),
            message => message.to_owned(),
        }),
        Some("Running") if condition(object, "Ready").is_some_and(|c| c["status"] == "True") => {
            Health::Ready
        }
        Some("Running") => Health::Progressing("it runs and is not ready".into()),
        other => Health::Progressing(format!("it is {}", other.unwrap_or("Pending"))),
    }
}

fn claim(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Bound" => Health::Ready,
        "Lost" => Health::Failed("its volume is lost".into()),
        _ => Health::Progressing("it is not bound to a volume".into()),
    }
}

fn service(object: &Value) -> Health {
    let waits = text(object, "/spec/type") == "LoadBalancer"
        && list(object, "/status/loadBalancer/ingress").is_empty();
    if waits {
        Health::Progressing("its load balancer has no address yet".into())
    } else {
        Health::Ready
    }
}

fn budget(object: &Value) -> Health {
    let healthy = number(object, "/status/currentHealthy");
    let wanted = number(object, "/status/desiredHealthy");
    if healthy < wanted {
        Health::Progressing(format!("{healthy} of {wanted} pods are healthy"))
    } else {
        Health::Ready
    }
}

/// Without figures of the pods it scales nothing, which is no reason to call a preview broken; without its target it
/// never will.
fn autoscaler(object: &Value) -> Health {
    match condition(object, "AbleToScale") {
        Some(able) if able["status"] == "False" && able["reason"] == "FailedGetScale" => {
            Health::Failed(said(able, "what it scales is not there"))
        }
        _ => Health::Ready,
    }
}
