//! `DaemonSets`: one pod on each node that fits. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::kit::resource::{DAEMON_SETS, NODES, PODS, REVISIONS};
use super::kit::{Action, Caches, Controller, Key, Resource, json};
use super::{owner_key, pods, revisions};

/// The controller of `DaemonSets`.
pub(super) struct DaemonSets;

impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&DAEMON_SETS, &PODS, &NODES, &REVISIONS]
    }

    fn keys(&self, resource: &Resource, object: &Value, caches: &Caches) -> Vec<Key> {
        if *resource == NODES {
            caches.all(&DAEMON_SETS).map(|set| Key::of(set)).collect()
        } else {
            owner_key(&DAEMON_SETS, resource, object)
        }
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let Some(set) = caches.get(&DAEMON_SETS, &key.namespace, &key.name) else {
            return Vec::new();
        };
        let uid = json::uid(set);
        let owned = caches.controlled(&PODS, &key.namespace, uid);
        let known = caches.controlled(&REVISIONS, &key.namespace, uid);
        let nodes: Vec<&str> =
            caches.all(&NODES).filter(|n| fits(set, n)).map(|n| json::name(n)).collect();
        reconcile(set, &owned, &known, &nodes, now)
    }
}

fn fits(set: &Value, node: &Value) -> bool {
    json::map(set, "/spec/template/spec/nodeSelector")
        .into_iter()
        .flatten()
        .all(|(key, value)| json::label(node, key) == value.as_str())
}

/// The node that a pod is on, or is meant for.
fn node_of(pod: &Value) -> &str {
    let bound = json::text(pod, "/spec/nodeName");
    if !bound.is_empty() {
        return bound;
    }
    json::text(
        pod,
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0",
    )
}

fn reconcile(
    set: &Value,
    owned: &[Arc<Value>],
    known: &[Arc<Value>],
    nodes: &[&str],
    now: DateTime<Utc>,
) -> Vec<Action> {
    let hash = revisions::hash(set);
    let min_ready = json::int(set, "/spec/minReadySeconds").unwrap_or(0);
    let mut by_node: BTreeMap<&str, Vec<&Arc<Value>>> = BTreeMap::new();
    for pod in owned.iter().filter(|p| !pods::is_finished(p)) {
        by_node.entry(node_of(pod)).or_default().push(pod);
    }
    let placed = || nodes.iter().filter_map(|n| by_node.get(n).and_then(|p| p.first()));
    let is_new = |pod: &Value| json::label(pod, revisions::LABEL) == Some(hash.as_str());
    let counts = pods::count(placed().map(AsRef::as_ref), min_ready, now);
    let wanted = i64::try_from(nodes.len()).unwrap_or(0);
    let misplaced = by_node.keys().filter(|n| !nodes.contains(n)).count();
    let mut status = json!({
        "observedGeneration": json::generation(set),
        "currentNumberScheduled": counts.all,
        "desiredNumberScheduled": wanted,
        "numberMisscheduled": misplaced,
        "numberReady": counts.ready,
    });
    for (key, value) in [
        ("numberAvailable", counts.available),
        ("numberUnavailable", wanted - counts.available),
        (
            "updatedNumberScheduled",
            i64::try_from(placed().filter(|p| is_new(p)).count()).unwrap_or(0),
        ),
    ] {
        if value > 0 {
            json::set(&mut status, &[key], value.into());
        }
    }
    let mut actions: Vec<Action> = Action::status(&DAEMON_SETS, set, status).into_iter().collect();
    actions.extend(counts.next.and_then(|w| w.to_std().ok()).map(Action::After));
    if json::is_deleting(set) {
        return actions;
    }
    let in_use = |hash: &str| owned.iter().any(|p| json::label(p, revisions::LABEL) == Some(hash));
    actions.extend(revisions::keep(&DAEMON_SETS, set, known, &in_use));
    for pod in owned.iter().filter(|p| pods::is_finished(p) && !json::is_deleting(p)) {
        actions.push(Action::delete(&PODS, pod));
    }
    for (node, pods) in &by_node {
        let keep = usize::from(nodes.contains(node));
        for pod in pods.iter().skip(keep).filter(|p| !json::is_deleting(p)) {
            actions.push(Action::delete(&PODS, pod));
        }
    }
    for node in nodes.iter().filter(|n| !by_node.contains_key(*n)) {
        actions.push(Action::CreateFor(
            &DAEMON_SETS,
            set.clone(),
            &PODS,
            pod_for(set, node, &hash),
        ));
    }
    if json::text(set, "/spec/updateStrategy/type") != "OnDelete" {
        let limit = set.pointer("/spec/updateStrategy/rollingUpdate/maxUnavailable");
        let mut room = json::share(limit, wanted, true, "1").max(1) - (wanted - counts.available);
        for pod in placed().filter(|p| !is_new(p) && !json::is_deleting(p)) {
            // One that isn't available anyway costs nothing.
            let available = pods::until_available(pod, min_ready, now).is_some_and(|w| w.is_zero());
            if available && room <= 0 {
                continue;
            }
            room -= i64::from(available);
            actions.push(Action::delete(&PODS, pod));
        }
    }
    actions
}

fn pod_for(set: &Value, node: &str, hash: &str) -> Value {
    let template = set.pointer("/spec/template").cloned().unwrap_or_default();
    let mut pod = pods::from_template(&DAEMON_SETS, set, &template);
    json::set(&mut pod, &["metadata", "generateName"], format!("{}-", json::name(set)).into());
    json::set(&mut pod, &["metadata", "labels", revisions::LABEL], hash.into());
    let terms = json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] }]);
    let path = [
        "spec",
        "affinity",
        "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms",
    ];
    json::set(&mut pod, &path, terms);
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_gets_one_pod_and_the_rest_goes() {
        let set = json!({ "metadata": { "name": "d", "namespace": "n", "uid": "s", "generation": 1 },
            "spec": { "template": { "metadata": { "labels": { "a": "b" } }, "spec": {} } } });
        let on = |name: &str, node: &str| {
            let hash = revisions::hash(&set);
            Arc::new(
                json!({ "metadata": { "name": name, "uid": name, "labels": { (revisions::LABEL): hash } },
                "spec": { "nodeName": node } }),
            )
        };
        let owned = [on("a", "one"), on("b", "one"), on("c", "gone")];
        let actions = reconcile(&set, &owned, &[], &["one", "two"], DateTime::UNIX_EPOCH);
        let deleted: Vec<_> = actions
            .iter()
            .filter_map(
                |a| if let Action::Delete(_, p, _) = a { Some(json::name(p)) } else { None },
            )
            .collect();
        assert_eq!(deleted, ["c", "b"]);
        let made: Vec<_> = actions
            .iter()
            .filter_map(
                |a| if let Action::CreateFor(_, _, _, p) = a { Some(node_of(p)) } else { None },
            )
            .collect();
        assert_eq!(made, ["two"]);
        let status = actions.iter().find_map(|a| {
            if let Action::ReplaceStatus(_, s) = a { Some(&s["status"]) } else { None }
        });
        assert_eq!(status.expect("status")["desiredNumberScheduled"], 2);
    }
}
