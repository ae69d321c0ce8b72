//! Pods without a node get one: of those that fit, the one with the fewest pods. Pure.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::controllers::kit::quantity::Quantity;
use super::super::controllers::kit::resource::{CLAIMS, NODES, PODS};
use super::super::controllers::kit::{Action, Caches, Controller, Event, Key, Resource, json};
use super::super::controllers::{pods, quotas};

/// The scheduler.
pub(super) struct Scheduler;

impl Controller for Scheduler {
    fn name(&self) -> &'static str {
        "default-scheduler"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&PODS, &NODES, &CLAIMS]
    }

    fn keys(&self, resource: &Resource, object: &Value, caches: &Caches) -> Vec<Key> {
        let waits = |pod: &Value| json::text(pod, "/spec/nodeName").is_empty();
        if *resource == PODS {
            let gone = caches.get(&PODS, json::namespace(object), json::name(object)).is_none();
            if waits(object) {
                return vec![Key::of(object)];
            }
            // Room was made.
            if !gone && !pods::is_finished(object) {
                return Vec::new();
            }
            return caches
                .all(&PODS)
                .filter(|p| json::condition(p, "PodScheduled").is_some() && waits(p))
                .map(|p| Key::of(p))
                .collect();
        }
        let within =
            |p: &&Arc<Value>| *resource == NODES || json::namespace(p) == json::namespace(object);
        caches.all(&PODS).filter(|p| waits(p)).filter(within).map(|p| Key::of(p)).collect()
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let Some(pod) = caches.get(&PODS, &key.namespace, &key.name) else { return Vec::new() };
        let scheduler = json::text(pod, "/spec/schedulerName");
        let ours = scheduler.is_empty() || scheduler == "default-scheduler";
        if !json::text(pod, "/spec/nodeName").is_empty()
            || json::is_deleting(pod)
            || !json::list(pod, "/spec/schedulingGates").is_empty()
            || !ours
        {
            return Vec::new();
        }
        match place(pod, caches) {
            Ok(node) => {
                let message =
                    format!("Successfully assigned {}/{} to {node}", key.namespace, key.name);
                vec![
                    Action::Bind(pod.as_ref().clone(), node),
                    Event::normal(pod, "Scheduled", message),
                ]
            }
            Err(message) => refuse(pod, &message, now),
        }
    }
}

fn refuse(pod: &Value, message: &str, now: DateTime<Utc>) -> Vec<Action> {
    let mut status = pod.get("status").cloned().unwrap_or_else(|| json!({}));
    let mut conditions = json::list(pod, "/status/conditions").to_vec();
    json::set_condition(&mut conditions, "PodScheduled", "False", "Unschedulable", message, now);
    json::set(&mut status, &["conditions"], conditions.into());
    json::set(&mut status, &["phase"], "Pending".into());
    match Action::status(&PODS, pod, status) {
        Some(write) => {
            vec![write, Event::warning(pod, "FailedScheduling", message.to_owned())]
        }
        None => Vec::new(),
    }
}

/// The node for a pod, or why there is none.
fn place(pod: &Value, caches: &Caches) -> Result<String, String> {
    let namespace = json::namespace(pod);
    for volume in json::list(pod, "/spec/volumes") {
        let claim = json::text(volume, "/persistentVolumeClaim/claimName");
        if claim.is_empty() {
            continue;
        }
        match caches.get(&CLAIMS, namespace, claim) {
            None => return Err(format!("persistentvolumeclaim \"{claim}\" not found")),
            Some(found) if json::text(found, "/status/phase") != "Bound" => {
                return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
            }
            Some(_) => {}
        }
    }
    let nodes: Vec<&Arc<Value>> = caches.all(&NODES).collect();
    let mut reasons: std::collections::BTreeMap<&'static str, usize> =
        std::collections::BTreeMap::new();
    let mut best: Option<(usize, &str)> = None;
    for node in &nodes {
        let there: Vec<&Arc<Value>> = caches
            .all(&PODS)
            .filter(|p| {
                json::text(p, "/spec/nodeName") == json::name(node) && !pods::is_finished(p)
            })
            .collect();
        match misfit(pod, node, &there) {
            Some(reason) => *reasons.entry(reason).or_insert(0) += 1,
            None if best.is_none_or(|(least, _)| there.len() < least) => {
                best = Some((there.len(), json::name(node)));
            }
            None => {}
        }
    }
    best.map(|(_, name)| name.to_owned()).ok_or_else(|| {
        let parts: Vec<String> = reasons.iter().map(|(why, n)| format!("{n} {why}")).collect();
        if parts.is_empty() {
            "no nodes available to schedule pods".to_owned()
        } else {
            format!("0/{} nodes are available: {}.", nodes.len(), parts.join(", "))
        }
    })
}

/// Why a pod can't be on a node, in the scheduler's words.
fn misfit(pod: &Value, node: &Value, there: &[&Arc<Value>]) -> Option<&'static str> {
    if json::flag(node, "/spec/unschedulable") {
        return Some("node(s) were unschedulable");
    }
    if !json::is_true(node, "Ready") {
        return Some("node(s) had untolerated taint {node.kubernetes.io/not-ready: }");
    }
    let selected = json::map(pod, "/spec/nodeSelector")
        .into_iter()
        .flatten()
        .all(|(key, value)| json::label(node, key) == value.as_str());
    if !selected || !affinity_holds(pod, node) {
        return Some("node(s) didn't match Pod's node affinity/selector");
    }
    for (name, reason) in [("cpu", "Insufficient cpu"), ("memory", "Insufficient memory")] {
        let wanted = there
            .iter()
            .map(|p| quotas::of_pod(p, "requests", name))
            .fold(quotas::of_pod(pod, "requests", name), Quantity::plus);
        let room = node.pointer(&format!("/status/allocatable/{name}")).and_then(Quantity::parse);
        if room.is_some_and(|room| wanted.exceeds(room)) {
            return Some(reason);
        }
    }
    None
}

fn affinity_holds(pod: &Value, node: &Value) -> bool {
    let terms = json::list(
        pod,
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms",
    );
    let by_label = |key: &str| json::label(node, key);
    let by_field = |key: &str| (key == "metadata.name").then(|| json::name(node));
    terms.is_empty()
        || terms.iter().any(|term| {
            let labels = json::list(term, "/matchExpressions");
            let fields = json::list(term, "/matchFields");
            labels.iter().all(|e| json::expression_holds(e, &by_label))
                && fields.iter().all(|e| json::expression_holds(e, &by_field))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(pods: Vec<Value>) -> Caches {
        let mut caches = Caches::default();
        for name in ["one", "two"] {
            caches.store_mut(&NODES).put(json!({ "metadata": { "name": name, "labels": { "host": name } },
                "status": { "allocatable": { "cpu": "2", "memory": "1Gi" }, "conditions": [{ "type": "Ready", "status": "True" }] } }));
        }
        for pod in pods {
            caches.store_mut(&PODS).put(pod);
        }
        caches
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a json! literal reads best where it is handed over"
    )]
    fn pod(name: &str, spec: Value) -> Value {
        json!({ "metadata": { "name": name, "namespace": "n", "uid": name }, "spec": spec })
    }

    fn placed(spec: Value) -> Result<String, String> {
        let there = pod("there", json!({ "nodeName": "one", "containers": [] }));
        place(&pod("new", spec), &world(vec![there]))
    }

    #[test]
    fn the_emptier_node_that_fits_is_taken() {
        assert_eq!(placed(json!({})).as_deref(), Ok("two"));
        assert_eq!(placed(json!({ "nodeSelector": { "host": "one" } })).as_deref(), Ok("one"));
        let affinity = json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["one"] }] }] } } } });
        assert_eq!(placed(affinity).as_deref(), Ok("one"));
    }

    #[test]
    fn a_pod_that_fits_nowhere_says_why() {
        let big = json!({ "containers": [{ "resources": { "requests": { "cpu": "100" } } }] });
        assert_eq!(placed(big), Err("0/2 nodes are available: 2 Insufficient cpu.".to_owned()));
        let claim = json!({ "volumes": [{ "persistentVolumeClaim": { "claimName": "c" } }] });
        assert_eq!(placed(claim), Err("persistentvolumeclaim \"c\" not found".to_owned()));
        let caches = world(vec![pod("p", json!({ "nodeSelector": { "host": "moon" } }))]);
        let actions = Scheduler.reconcile(&Key::new("n", "p"), &caches, DateTime::UNIX_EPOCH);
        let [Action::ReplaceStatus(_, written), Action::Tell(event)] = actions.as_slice() else {
            panic!("{actions:?}")
        };
        assert_eq!(
            json::condition(written, "PodScheduled").expect("set")["reason"],
            "Unschedulable"
        );
        assert!(event.message.contains("node affinity/selector"), "{}", event.message);
    }
}
