//! The status of a Deployment: numbers, and the conditions Available, Progressing and `ReplicaFailure`. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::kit::json;
use super::{Rollout, number, wanted};

/// The whole status, and when it may change by time alone.
pub(super) fn status(rollout: &Rollout<'_>, now: DateTime<Utc>) -> (Value, Option<Duration>) {
    let sum = |key: &str| -> i64 { rollout.sets().map(|s| number(s, key)).sum() };
    let available = sum("availableReplicas");
    let total: i64 = rollout.sets().map(|s| wanted(s)).sum();
    let mut status = json!({ "observedGeneration": json::generation(rollout.deployment) });
    for (key, value) in [
        ("replicas", sum("replicas")),
        ("updatedReplicas", rollout.new.map_or(0, |s| number(s, "replicas"))),
        ("readyReplicas", sum("readyReplicas")),
        ("availableReplicas", available),
        ("unavailableReplicas", (total - available).max(0)),
    ] {
        if value > 0 {
            json::set(&mut status, &[key], value.into());
        }
    }
    if let Some(count) = json::int(rollout.deployment, "/status/collisionCount") {
        json::set(&mut status, &["collisionCount"], count.into());
    }
    let mut conditions = json::list(rollout.deployment, "/status/conditions").to_vec();
    let again = progressing(rollout, &status, &mut conditions, now);
    if available >= rollout.replicas - rollout.unavailable {
        let message = "Deployment has minimum availability.";
        put(&mut conditions, "Available", "True", "MinimumReplicasAvailable", message, now);
    } else {
        let message = "Deployment does not have minimum availability.";
        put(&mut conditions, "Available", "False", "MinimumReplicasUnavailable", message, now);
    }
    let failure = rollout
        .new
        .into_iter()
        .chain(rollout.old.iter().copied())
        .find_map(|s| json::condition(s, "ReplicaFailure"));
    match failure {
        Some(c) => {
            let (reason, message) = (json::text(c, "/reason"), json::text(c, "/message"));
            put(&mut conditions, "ReplicaFailure", json::text(c, "/status"), reason, message, now);
        }
        None => conditions.retain(|c| json::text(c, "/type") != "ReplicaFailure"),
    }
    json::set(&mut status, &["conditions"], conditions.into());
    (status, again)
}

/// Decides on Progressing; answers when the deadline passes.
fn progressing(
    rollout: &Rollout<'_>,
    status: &Value,
    conditions: &mut Vec<Value>,
    now: DateTime<Utc>,
) -> Option<Duration> {
    let deployment = rollout.deployment;
    let deadline = json::int(deployment, "/spec/progressDeadlineSeconds").unwrap_or(600);
    let new = rollout.new?;
    let name = json::name(new);
    let quoted = format!("\"{name}\"");
    let known = conditions.iter().find(|c| json::text(c, "/type") == "Progressing").cloned();
    let Some(known) = known.filter(|c| json::text(c, "/message").contains(&quoted)) else {
        let message = format!("Created new replica set {quoted}");
        touch(conditions, "True", "NewReplicaSetCreated", &message, now);
        return Some(after(deadline));
    };
    let reason = json::text(&known, "/reason");
    let of = |value: &Value, key: &str| json::int(value, &format!("/{key}")).unwrap_or(0);
    let whole = ["replicas", "updatedReplicas", "availableReplicas"]
        .iter()
        .all(|key| of(status, key) == rollout.replicas);
    if whole {
        if reason != "NewReplicaSetAvailable" {
            let message = format!("ReplicaSet {quoted} has successfully progressed.");
            touch(conditions, "True", "NewReplicaSetAvailable", &message, now);
        }
        return None;
    }
    let is_through = reason == "NewReplicaSetAvailable"
        && of(status, "replicas") == of(status, "updatedReplicas");
    if is_through {
        // A finished rollout stays finished, whatever becomes of its pods.
        return None;
    }
    let before = deployment.get("status").cloned().unwrap_or_default();
    let old_pods = |s: &Value| of(s, "replicas") - of(s, "updatedReplicas");
    let more = |key: &str| of(status, key) > of(&before, key);
    if more("updatedReplicas")
        || more("readyReplicas")
        || more("availableReplicas")
        || old_pods(status) < old_pods(&before)
    {
        let message = format!("ReplicaSet {quoted} is progressing.");
        touch(conditions, "True", "ReplicaSetUpdated", &message, now);
        return Some(after(deadline));
    }
    if reason == "ProgressDeadlineExceeded" || json::flag(deployment, "/spec/paused") {
        return None;
    }
    let since = json::time(&known, "/lastUpdateTime").unwrap_or(now);
    let left = since + chrono::Duration::seconds(deadline.clamp(0, 1 << 30)) - now;
    if left <= chrono::Duration::zero() {
        let message = format!("ReplicaSet {quoted} has timed out progressing.");
        touch(conditions, "False", "ProgressDeadlineExceeded", &message, now);
        return None;
    }
    left.to_std().ok()
}

fn after(seconds: i64) -> Duration {
    // Times are told in whole seconds; one more makes sure that the deadline is seen to have passed.
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0).saturating_add(1))
}

/// Sets Progressing and its time.
fn touch(
    conditions: &mut Vec<Value>,
    status: &str,
    reason: &str,
    message: &str,
    now: DateTime<Utc>,
) {
    json::set_condition(conditions, "Progressing", status, reason, message, now);
    if let Some(c) = conditions.iter_mut().find(|c| json::text(c, "/type") == "Progressing") {
        json::set(c, &["lastUpdateTime"], json::stamp(now).into());
    }
}

/// Sets a condition; nothing of it changes while status and reason stay.
fn put(
    conditions: &mut Vec<Value>,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: DateTime<Utc>,
) {
    let known = conditions.iter().find(|c| json::text(c, "/type") == kind);
    let same = known
        .is_some_and(|c| json::text(c, "/status") == status && json::text(c, "/reason") == reason);
    if same {
        return;
    }
    json::set_condition(conditions, kind, status, reason, message, now);
    if let Some(c) = conditions.iter_mut().find(|c| json::text(c, "/type") == kind) {
        json::set(c, &["lastUpdateTime"], json::stamp(now).into());
    }
}
