//! PURE · is this object ready, and if not, why? After kstatus' rules: built-in kinds by what their controllers write,
//! custom kinds by `observedGeneration` and the conditions `Reconciling`, `Stalled` and `Ready`.

mod kinds;
mod pods;
mod refusals;
mod troubles;

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::bundle::group_of;
pub use pods::{is_mounted, pod_trouble, restarted_lately};
pub use troubles::{Cause, LogOf, Looked, Trouble, troubles};

/// State of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does what it is for.
    Ready,
    /// It is on its way.
    Progressing(String),
    /// It will not get there by itself.
    Failed(String),
}

/// Whether objects of this kind run something: what a wave has to wait for.
#[must_use]
pub fn has_health(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Pod" | "Job")
}

/// Whether an object of this kind has a state worth reading: what runs something, what others wait for, and every kind
/// that Kubernetes does not bring itself.
#[must_use]
pub fn is_judged(api_version: &str, kind: &str) -> bool {
    is_custom(api_version)
        || has_health(kind)
        || matches!(
            kind,
            "PersistentVolumeClaim" | "Service" | "PodDisruptionBudget" | "HorizontalPodAutoscaler"
        )
}

/// Whether a kind is none of Kubernetes' own.
#[must_use]
pub fn is_custom(api_version: &str) -> bool {
    let group = group_of(api_version);
    // Groups of Kubernetes' own below k8s.io; others there (gateway, snapshot.storage) are brought by somebody else.
    let own = [
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "authorization.k8s.io",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    ];
    group.contains('.') && !own.contains(&group)
}

/// Judges one object as it was read.
#[must_use]
pub fn judge(object: &Value) -> Health {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Health::Progressing("it is being deleted".into());
    }
    let observed = object["status"]["observedGeneration"].as_i64();
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    let always_told = matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        && !is_custom(api_version);
    let observed = if always_told { Some(observed.unwrap_or(0)) } else { observed };
    if observed.is_some_and(|observed| observed < generation) {
        return Health::Progressing("its controller has not looked at it yet".into());
    }
    if is_custom(api_version) { kinds::custom(object) } else { kinds::built_in(object, kind) }
}

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|condition| condition["type"] == name)
}

/// What a condition says, else `otherwise`.
fn said(condition: &Value, otherwise: &str) -> String {
    match (text(condition, "/message"), text(condition, "/reason")) {
        ("", "") => otherwise.to_owned(),
        ("", reason) => reason.to_owned(),
        (message, _) => message.to_owned(),
    }
}
