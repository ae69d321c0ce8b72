//! StatefulSets: pods with numbers and claims of their own, made in order and renewed from the last. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::kit::resource::{CLAIMS, PODS, REVISIONS, STATEFUL_SETS};
use super::kit::{Action, Caches, Controller, Event, Key, Resource, json};
use super::{owner_key, pods, revisions};

/// The controller of StatefulSets.
pub(super) struct StatefulSets;

impl Controller for StatefulSets {
    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&STATEFUL_SETS, &PODS, &CLAIMS, &REVISIONS]
    }

    fn keys(&self, resource: &Resource, object: &Value, _caches: &Caches) -> Vec<Key> {
        if *resource == CLAIMS { Vec::new() } else { owner_key(&STATEFUL_SETS, resource, object) }
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let Some(set) = caches.get(&STATEFUL_SETS, &key.namespace, &key.name) else {
            return Vec::new();
        };
        let uid = json::uid(set);
        let owned = caches.controlled(&PODS, &key.namespace, uid);
        let known = caches.controlled(&REVISIONS, &key.namespace, uid);
        let claim_is_there = |name: &str| caches.get(&CLAIMS, &key.namespace, name).is_some();
        reconcile(set, &owned, &known, &claim_is_there, now)
    }
}

/// The number at the end of a pod's name.
fn ordinal(set: &Value, pod: &Value) -> Option<i64> {
    json::name(pod).strip_prefix(json::name(set))?.strip_prefix('-')?.parse().ok()
}

fn reconcile(
    set: &Value,
    owned: &[Arc<Value>],
    known: &[Arc<Value>],
    claim_is_there: &dyn Fn(&str) -> bool,
    now: DateTime<Utc>,
) -> Vec<Action> {
    let start = json::int(set, "/spec/ordinals/start").unwrap_or(0);
    let replicas = json::int(set, "/spec/replicas").unwrap_or(1);
    let hash = revisions::hash(set);
    let min_ready = json::int(set, "/spec/minReadySeconds").unwrap_or(0);
    let by_ordinal: BTreeMap<i64, &Arc<Value>> =
        owned.iter().filter_map(|p| Some((ordinal(set, p)?, p))).collect();
    let mut actions = Vec::new();
    let counts = pods::count(owned.iter().map(Arc::as_ref), min_ready, now);
    actions.extend(Action::status(
        &STATEFUL_SETS,
        set,
        status(set, owned, &counts, &hash, replicas),
    ));
    actions.extend(counts.next.and_then(|w| w.to_std().ok()).map(Action::After));
    if json::is_deleting(set) {
        return actions;
    }
    let in_use = |hash: &str| owned.iter().any(|p| json::label(p, revisions::LABEL) == Some(hash));
    actions.extend(revisions::keep(&STATEFUL_SETS, set, known, &in_use));
    let in_order = json::text(set, "/spec/podManagementPolicy") != "Parallel";
    let settled =
        |pod: &Value| pods::until_available(pod, min_ready, now).is_some_and(|w| w.is_zero());

    for number in start..start + replicas {
        match by_ordinal.get(&number) {
            None => {
                actions.extend(make(set, number, start, &hash, claim_is_there));
                if in_order {
                    return actions;
                }
            }
            Some(pod) if pods::is_finished(pod) && !json::is_deleting(pod) => {
                actions.push(Action::delete(&PODS, pod));
                if in_order {
                    return actions;
                }
            }
            // An old pod that never gets ready must not keep its own renewal from coming.
            Some(pod) if in_order && (json::is_deleting(pod) || !settled(pod)) => {
                let outdated = json::label(pod, revisions::LABEL) != Some(hash.as_str());
                if json::is_deleting(pod) || !outdated {
                    return actions;
                }
            }
            Some(_) => {}
        }
    }
    let surplus = by_ordinal.iter().rev().filter(|(n, _)| **n < start || **n >= start + replicas);
    let mut scaling_down = false;
    for (_, pod) in surplus {
        scaling_down = true;
        if !json::is_deleting(pod) {
            actions.push(Action::delete(&PODS, pod));
            let message = format!("delete Pod {} in StatefulSet successful", json::name(pod));
            actions.push(Event::normal(set, "SuccessfulDelete", message));
        }
        if in_order {
            return actions;
        }
    }
    if scaling_down || json::text(set, "/spec/updateStrategy/type") == "OnDelete" {
        return actions;
    }
    let partition = json::int(set, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or(0);
    for (number, pod) in by_ordinal.iter().rev() {
        if *number < partition {
            break;
        }
        if json::label(pod, revisions::LABEL) != Some(hash.as_str()) {
            if !json::is_deleting(pod) {
                actions.push(Action::delete(&PODS, pod));
            }
            return actions;
        }
        if !settled(pod) || json::is_deleting(pod) {
            return actions;
        }
    }
    actions
}

fn make(
    set: &Value,
    number: i64,
    start: i64,
    hash: &str,
    claim_is_there: &dyn Fn(&str) -> bool,
) -> Vec<Action> {
    let name = format!("{}-{number}", json::name(set));
    let template = set.pointer("/spec/template").cloned().unwrap_or_default();
    let mut pod = pods::from_template(&STATEFUL_SETS, set, &template);
    json::set(&mut pod, &["metadata", "name"], name.clone().into());
    for (key, value) in [
        (revisions::LABEL, hash.to_owned()),
        ("statefulset.kubernetes.io/pod-name", name.clone()),
        ("apps.kubernetes.io/pod-index", (number - start).to_string()),
    ] {
        json::set(&mut pod, &["metadata", "labels", key], value.into());
    }
    json::set(&mut pod, &["spec", "hostname"], name.clone().into());
    let service = json::text(set, "/spec/serviceName");
    if !service.is_empty() {
        json::set(&mut pod, &["spec", "subdomain"], service.into());
    }
    let mut actions = Vec::new();
    let mut volumes: Vec<Value> = json::list(&pod, "/spec/volumes").to_vec();
    for claim in json::list(set, "/spec/volumeClaimTemplates") {
        let volume = json::name(claim);
        let claim_name = format!("{volume}-{name}");
        volumes.retain(|v| json::text(v, "/name") != volume);
        volumes
            .push(json!({ "name": volume, "persistentVolumeClaim": { "claimName": claim_name } }));
        if !claim_is_there(&claim_name) {
            actions.push(Action::CreateFor(
                &STATEFUL_SETS,
                set.clone(),
                &CLAIMS,
                claim_from(set, claim, &claim_name),
            ));
        }
    }
    if !volumes.is_empty() {
        json::set(&mut pod, &["spec", "volumes"], volumes.into());
    }
    actions.push(Action::CreateFor(&STATEFUL_SETS, set.clone(), &PODS, pod));
    let message = format!("create Pod {name} in StatefulSet {} successful", json::name(set));
    actions.push(Event::normal(set, "SuccessfulCreate", message));
    actions
}

fn claim_from(set: &Value, template: &Value, name: &str) -> Value {
    let mut labels = template.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({}));
    for (key, value) in json::map(set, "/spec/selector/matchLabels").into_iter().flatten() {
        json::set(&mut labels, &[key], value.clone());
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": name, "namespace": json::namespace(set), "labels": labels },
        "spec": template.get("spec"),
    })
}

fn status(
    set: &Value,
    owned: &[Arc<Value>],
    counts: &pods::Counts,
    hash: &str,
    replicas: i64,
) -> Value {
    let update = revisions::name(set);
    let of = |hash: &str| {
        let all = owned.iter().filter(|p| json::label(p, revisions::LABEL) == Some(hash)).count();
        i64::try_from(all).unwrap_or(0)
    };
    let updated = of(hash);
    let before = json::text(set, "/status/currentRevision");
    let through = before.is_empty() || (updated == counts.all && counts.ready >= replicas);
    let current = if through { update.as_str() } else { before };
    let current_hash = current.rsplit_once('-').map_or("", |(_, hash)| hash);
    let mut status = json!({
        "observedGeneration": json::generation(set),
        "replicas": counts.all,
        "availableReplicas": counts.available,
        "currentRevision": current,
        "updateRevision": update,
        "collisionCount": 0,
    });
    for (key, value) in [
        ("readyReplicas", counts.ready),
        ("updatedReplicas", updated),
        ("currentReplicas", of(current_hash)),
    ] {
        if value > 0 {
            json::set(&mut status, &[key], value.into());
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet",
            "metadata": { "name": "db", "namespace": "n", "uid": "s", "generation": 1 },
            "spec": { "replicas": 2, "serviceName": "db", "selector": { "matchLabels": { "a": "b" } },
                "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "one" }] } },
                "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } }] },
        })
    }

    #[derive(Default)]
    struct World {
        pods: Vec<Arc<Value>>,
        revisions: Vec<Arc<Value>>,
        claims: Vec<String>,
        deleted: Vec<String>,
    }

    impl World {
        /// One round; new pods come up not ready, and get ready when `ready`.
        fn step(&mut self, set: &mut Value) -> usize {
            let claims = self.claims.clone();
            let there = |name: &str| claims.iter().any(|c| c == name);
            let actions =
                reconcile(&set.clone(), &self.pods, &self.revisions, &there, DateTime::UNIX_EPOCH);
            let mut writes = 0;
            for action in actions {
                match action {
                    Action::CreateFor(_, _, resource, object) if *resource == PODS => {
                        self.pods.push(Arc::new(object));
                    }
                    Action::CreateFor(_, _, _, object) => {
                        self.claims.push(json::name(&object).to_owned());
                    }
                    Action::Create(_, object) => self.revisions.push(Arc::new(object)),
                    Action::ReplaceStatus(_, object) => *set = object,
                    Action::Delete(_, object, _) => {
                        self.deleted.push(json::name(&object).to_owned());
                        self.pods.retain(|p| json::name(p) != json::name(&object));
                    }
                    Action::Tell(_) => continue,
                    other => panic!("{other:?}"),
                }
                writes += 1;
            }
            writes
        }

        fn settle(&mut self, set: &mut Value) {
            for _ in 0..50 {
                let writes = self.step(set);
                let mut moved = false;
                for pod in &mut self.pods {
                    if !pods::is_ready(pod) {
                        moved = true;
                        Arc::make_mut(pod)["status"] = json!({ "phase": "Running", "conditions": [
                            { "type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z" }] });
                    }
                }
                if writes == 0 && !moved {
                    return;
                }
            }
            panic!("never settles");
        }

        fn names(&self) -> Vec<&str> {
            let mut names: Vec<_> = self.pods.iter().map(|p| json::name(p)).collect();
            names.sort_unstable();
            names
        }
    }

    #[test]
    fn pods_come_in_order_with_claims_and_go_from_the_last() {
        let (mut world, mut set) = (World::default(), set());
        world.step(&mut set);
        assert_eq!(world.names(), ["db-0"], "the second waits for the first");
        world.settle(&mut set);
        assert_eq!(world.names(), ["db-0", "db-1"]);
        assert_eq!(world.claims, ["data-db-0", "data-db-1"]);
        assert_eq!(set["status"]["readyReplicas"], 2);
        assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"]);
        set["spec"]["replicas"] = json!(1);
        world.settle(&mut set);
        assert_eq!(world.names(), ["db-0"]);
    }

    #[test]
    fn a_new_template_renews_the_last_pod_first() {
        let (mut world, mut set) = (World::default(), set());
        world.settle(&mut set);
        set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("two");
        world.settle(&mut set);
        assert_eq!(world.deleted, ["db-1", "db-0"]);
        assert!(world.pods.iter().all(|p| json::text(p, "/spec/containers/0/image") == "two"));
        assert_eq!(set["status"]["currentRevision"], set["status"]["updateRevision"]);
        assert_eq!(world.revisions.len(), 2);
    }
}
