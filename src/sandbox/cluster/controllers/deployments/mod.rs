//! Deployments: one ReplicaSet for each template, scaled so that a rollout keeps its bounds. Pure.

mod rolling;
mod status;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::kit::resource::{DEPLOYMENTS, REPLICA_SETS};
use super::kit::{Action, Caches, Controller, Event, Key, Resource, json};
use super::{adopt, owner_key};

/// The label that tells the pods of one template from those of another.
const HASH_LABEL: &str = "pod-template-hash";
/// The number of a rollout.
const REVISION: &str = "deployment.kubernetes.io/revision";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MAX: &str = "deployment.kubernetes.io/max-replicas";

/// The controller of Deployments.
pub(super) struct Deployments;

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&DEPLOYMENTS, &REPLICA_SETS]
    }

    fn keys(&self, resource: &Resource, object: &Value, _caches: &Caches) -> Vec<Key> {
        owner_key(&DEPLOYMENTS, resource, object)
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let Some(deployment) = caches.get(&DEPLOYMENTS, &key.namespace, &key.name) else {
            return Vec::new();
        };
        let orphans = caches.within(&REPLICA_SETS, &key.namespace);
        let adopted = adopt(&DEPLOYMENTS, deployment, &REPLICA_SETS, orphans);
        if !adopted.is_empty() {
            return adopted;
        }
        let sets = caches.controlled(&REPLICA_SETS, &key.namespace, json::uid(deployment));
        reconcile(deployment, &sets, now)
    }
}

/// A Deployment with its ReplicaSets sorted into the one of its template and the others, oldest first.
struct Rollout<'a> {
    deployment: &'a Value,
    new: Option<&'a Arc<Value>>,
    old: Vec<&'a Arc<Value>>,
    /// Wanted pods.
    replicas: i64,
    /// Pods above that, during a rollout.
    surge: i64,
    /// Pods that may be missing.
    unavailable: i64,
}

impl<'a> Rollout<'a> {
    fn of(deployment: &'a Value, sets: &'a [Arc<Value>]) -> Self {
        let template = deployment.pointer("/spec/template").cloned().unwrap_or_default();
        let name = set_name(deployment, &template);
        let mut new = None;
        let mut old: Vec<&Arc<Value>> = Vec::new();
        for set in sets {
            if new.is_none() && (json::name(set) == name || same_template(set, &template)) {
                new = Some(set);
            } else {
                old.push(set);
            }
        }
        old.sort_by_key(|s| (json::text(s, "/metadata/creationTimestamp"), json::name(s)));
        let replicas = json::int(deployment, "/spec/replicas").unwrap_or(1);
        let (mut surge, mut unavailable) = (0, replicas);
        if json::text(deployment, "/spec/strategy/type") != "Recreate" {
            let bounds = "/spec/strategy/rollingUpdate";
            let of = |key: &str| deployment.pointer(&format!("{bounds}/{key}"));
            surge = json::share(of("maxSurge"), replicas, true, "25%");
            unavailable = json::share(of("maxUnavailable"), replicas, false, "25%");
            if surge == 0 && unavailable == 0 {
                unavailable = 1;
            }
        }
        Self { deployment, new, old, replicas, surge, unavailable: unavailable.min(replicas) }
    }

    fn sets(&self) -> impl Iterator<Item = &'a Arc<Value>> {
        self.old.iter().copied().chain(self.new)
    }

    fn is_recreate(&self) -> bool {
        json::text(self.deployment, "/spec/strategy/type") == "Recreate"
    }
}

/// `spec.replicas` of a set.
fn wanted(set: &Value) -> i64 {
    json::int(set, "/spec/replicas").unwrap_or(1)
}

fn number(set: &Value, key: &str) -> i64 {
    json::int(set, &format!("/status/{key}")).unwrap_or(0)
}

fn same_template(set: &Value, template: &Value) -> bool {
    let mut of_set = set.pointer("/spec/template").cloned().unwrap_or_default();
    json::unset(&mut of_set, &["metadata", "labels", HASH_LABEL]);
    of_set == *template
}

/// Objects are sorted by key, so the same template has the same text.
fn template_hash(deployment: &Value, template: &Value) -> String {
    let collisions = json::int(deployment, "/status/collisionCount").unwrap_or(0);
    json::safe_hash(&format!("{template}{collisions}"))
}

fn set_name(deployment: &Value, template: &Value) -> String {
    format!("{}-{}", json::name(deployment), template_hash(deployment, template))
}

fn revision_of(object: &Value) -> i64 {
    json::annotation(object, REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
}

fn reconcile(deployment: &Value, sets: &[Arc<Value>], now: DateTime<Utc>) -> Vec<Action> {
    let rollout = Rollout::of(deployment, sets);
    let mut actions = Vec::new();
    if !json::is_deleting(deployment) {
        let paused = json::flag(deployment, "/spec/paused");
        match rollout.new {
            None if paused => {}
            None => actions.extend(make_set(&rollout)),
            Some(new) => actions.extend(keep_revision(&rollout, new)),
        }
        if !paused || rollout.old.iter().all(|s| wanted(s) == 0) {
            for (set, replicas) in rolling::scales(&rollout) {
                actions.extend(scale(deployment, set, replicas, &rollout));
            }
        }
        actions.extend(cleanup(&rollout));
    }
    let (status, again) = status::status(&rollout, now);
    actions.extend(Action::status(&DEPLOYMENTS, deployment, status));
    actions.extend(again.map(Action::After));
    actions
}

fn next_revision(rollout: &Rollout<'_>) -> i64 {
    rollout.old.iter().map(|s| revision_of(s)).max().unwrap_or(0) + 1
}

fn make_set(rollout: &Rollout<'_>) -> Vec<Action> {
    if rollout.is_recreate() && rollout.old.iter().any(|s| number(s, "replicas") > 0) {
        return Vec::new();
    }
    let deployment = rollout.deployment;
    let mut template = deployment.pointer("/spec/template").cloned().unwrap_or_default();
    let hash = template_hash(deployment, &template);
    let name = set_name(deployment, &template);
    json::set(&mut template, &["metadata", "labels", HASH_LABEL], hash.clone().into());
    let mut selector = deployment.pointer("/spec/selector").cloned().unwrap_or_default();
    json::set(&mut selector, &["matchLabels", HASH_LABEL], hash.into());
    let replicas = rolling::replicas_of_new(rollout, 0);
    let mut annotations = Map::new();
    for (key, value) in json::map(deployment, "/metadata/annotations").into_iter().flatten() {
        if key != REVISION && key != "kubectl.kubernetes.io/last-applied-configuration" {
            annotations.insert(key.clone(), value.clone());
        }
    }
    let revision = next_revision(rollout);
    for (key, value) in
        [(REVISION, revision), (DESIRED, rollout.replicas), (MAX, rollout.replicas + rollout.surge)]
    {
        annotations.insert(key.to_owned(), value.to_string().into());
    }
    let mut spec = json!({ "replicas": replicas, "selector": selector, "template": template });
    if let Some(seconds) = json::int(deployment, "/spec/minReadySeconds").filter(|s| *s > 0) {
        json::set(&mut spec, &["minReadySeconds"], seconds.into());
    }
    let set = json!({
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": json::namespace(deployment),
            "labels": spec.pointer("/template/metadata/labels"),
            "annotations": annotations,
            "ownerReferences": [DEPLOYMENTS.controller_reference(deployment)],
        },
        "spec": spec,
    });
    let message = format!("Scaled up replica set {name} from 0 to {replicas}");
    let mut actions = vec![Action::CreateFor(&DEPLOYMENTS, deployment.clone(), &REPLICA_SETS, set)];
    if replicas > 0 {
        actions.push(Event::normal(deployment, "ScalingReplicaSet", message));
    }
    actions
}

/// The set of the present template has the highest revision, and the Deployment shows it.
fn keep_revision(rollout: &Rollout<'_>, new: &Value) -> Vec<Action> {
    let mut actions = Vec::new();
    let revision = revision_of(new).max(next_revision(rollout)).to_string();
    let annotate = |annotations: Value| json!({ "metadata": { "annotations": annotations } });
    if json::annotation(new, REVISION) != Some(&revision) {
        let patch = annotate(json!({ (REVISION): revision }));
        actions.push(Action::Patch(&REPLICA_SETS, new.clone(), patch));
    }
    if json::annotation(rollout.deployment, REVISION) != Some(&revision) {
        let patch = annotate(json!({ (REVISION): revision }));
        actions.push(Action::Patch(&DEPLOYMENTS, rollout.deployment.clone(), patch));
    }
    actions
}

fn scale(deployment: &Value, set: &Value, replicas: i64, rollout: &Rollout<'_>) -> Vec<Action> {
    let before = wanted(set);
    let name = json::name(set);
    let direction = if replicas > before { "up" } else { "down" };
    let patch = json!({
        "metadata": { "annotations": {
            (DESIRED): rollout.replicas.to_string(),
            (MAX): (rollout.replicas + rollout.surge).to_string(),
        } },
        "spec": { "replicas": replicas },
    });
    let message = format!("Scaled {direction} replica set {name} from {before} to {replicas}");
    vec![
        Action::Patch(&REPLICA_SETS, set.clone(), patch),
        Event::normal(deployment, "ScalingReplicaSet", message),
    ]
}

/// Deletes the oldest empty sets beyond `revisionHistoryLimit`, once the rollout is through.
fn cleanup(rollout: &Rollout<'_>) -> Vec<Action> {
    let Some(new) = rollout.new else { return Vec::new() };
    if number(new, "availableReplicas") < rollout.replicas {
        return Vec::new();
    }
    let limit = json::int(rollout.deployment, "/spec/revisionHistoryLimit").unwrap_or(10).max(0);
    let mut empty: Vec<_> = rollout
        .old
        .iter()
        .filter(|s| wanted(s) == 0 && number(s, "replicas") == 0 && !json::is_deleting(s))
        .collect();
    empty.sort_by_key(|s| revision_of(s));
    let surplus = empty.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    empty.into_iter().take(surplus).map(|s| Action::delete(&REPLICA_SETS, s)).collect()
}

#[cfg(test)]
mod tests;
