//! What every controller of pods asks of a pod, and how a pod is made from a template. Pure.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::kit::{Resource, json};

/// Neither finished nor being deleted: it counts as a replica.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !json::is_deleting(pod)
}

/// Succeeded or Failed.
pub(crate) fn is_finished(pod: &Value) -> bool {
    matches!(json::text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Its condition Ready is true.
pub(crate) fn is_ready(pod: &Value) -> bool {
    json::is_true(pod, "Ready")
}

/// How long until it counts as available: `Some(zero)` when it does, `None` when it isn't ready.
pub(crate) fn until_available(
    pod: &Value,
    min_ready_seconds: i64,
    now: DateTime<Utc>,
) -> Option<Duration> {
    if !is_ready(pod) {
        return None;
    }
    let since = json::condition(pod, "Ready").and_then(|c| json::time(c, "/lastTransitionTime"));
    let at = since.unwrap_or(now) + Duration::seconds(min_ready_seconds.clamp(0, 1 << 30));
    Some((at - now).max(Duration::zero()))
}

/// Numbers of a set of pods, and when the next of them becomes available.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Pods.
    pub(crate) all: i64,
    /// Ready ones.
    pub(crate) ready: i64,
    /// Ready for long enough.
    pub(crate) available: i64,
    /// The time until one more is available.
    pub(crate) next: Option<Duration>,
}

/// Counts pods.
pub(crate) fn count<'a>(
    pods: impl IntoIterator<Item = &'a Value>,
    min_ready_seconds: i64,
    now: DateTime<Utc>,
) -> Counts {
    let mut counts = Counts::default();
    for pod in pods {
        counts.all += 1;
        let Some(wait) = until_available(pod, min_ready_seconds, now) else { continue };
        counts.ready += 1;
        if wait.is_zero() {
            counts.available += 1;
        } else {
            counts.next = Some(counts.next.map_or(wait, |next| next.min(wait)));
        }
    }
    counts
}

/// A pod from `spec.template` of `owner`. The caller names it.
pub(crate) fn from_template(owners: &Resource, owner: &Value, template: &Value) -> Value {
    let mut metadata = json!({
        "namespace": json::namespace(owner),
        "ownerReferences": [owners.controller_reference(owner)],
    });
    for key in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template.pointer(&format!("/metadata/{key}")) {
            json::set(&mut metadata, &[key], value.clone());
        }
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": template.get("spec").cloned().unwrap_or_default(),
    })
}

/// Orders pods so that those that are missed least come first: not scheduled, not running, not ready, young.
pub(crate) fn least_missed_first(pods: &mut [std::sync::Arc<Value>]) {
    pods.sort_by_key(|pod| {
        (
            !json::text(pod, "/spec/nodeName").is_empty(),
            json::text(pod, "/status/phase") == "Running",
            is_ready(pod),
            std::cmp::Reverse(json::text(pod, "/metadata/creationTimestamp").to_owned()),
            json::name(pod).to_owned(),
        )
    });
}
