//! ReplicaSets: as many active pods as wanted, and a status that counts them. Pure.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::kit::resource::{PODS, REPLICA_SETS};
use super::kit::{Action, Caches, Controller, Event, Key, Resource, json};
use super::{adopt, owner_key, pods};

/// The controller of ReplicaSets.
pub(super) struct ReplicaSets;

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&REPLICA_SETS, &PODS]
    }

    fn keys(&self, resource: &Resource, object: &Value, _caches: &Caches) -> Vec<Key> {
        owner_key(&REPLICA_SETS, resource, object)
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let Some(set) = caches.get(&REPLICA_SETS, &key.namespace, &key.name) else {
            return Vec::new();
        };
        let adopted = adopt(&REPLICA_SETS, set, &PODS, caches.within(&PODS, &key.namespace));
        if !adopted.is_empty() {
            return adopted;
        }
        let owned = caches.controlled(&PODS, &key.namespace, json::uid(set));
        reconcile(set, owned, now)
    }
}

fn reconcile(set: &Value, mut owned: Vec<Arc<Value>>, now: DateTime<Utc>) -> Vec<Action> {
    owned.retain(|pod| pods::is_active(pod));
    let wanted = json::int(set, "/spec/replicas").unwrap_or(1);
    let active = i64::try_from(owned.len()).unwrap_or(i64::MAX);
    let mut actions = Vec::new();
    let min_ready = json::int(set, "/spec/minReadySeconds").unwrap_or(0);
    let counts = pods::count(owned.iter().map(Arc::as_ref), min_ready, now);
    // The status first: a pod that can't be made must not keep it from being told.
    actions.extend(Action::status(&REPLICA_SETS, set, status(set, &owned, &counts, wanted)));
    if let Some(wait) = counts.next.and_then(|next| next.to_std().ok()) {
        actions.push(Action::After(wait));
    }
    if json::is_deleting(set) {
        return actions;
    }
    if active < wanted {
        let template = set.pointer("/spec/template").cloned().unwrap_or_default();
        let mut pod = pods::from_template(&REPLICA_SETS, set, &template);
        json::set(&mut pod, &["metadata", "generateName"], format!("{}-", json::name(set)).into());
        for _ in active..wanted {
            actions.push(Action::CreateFor(&REPLICA_SETS, set.clone(), &PODS, pod.clone()));
        }
    } else if active > wanted {
        pods::least_missed_first(&mut owned);
        let surplus = usize::try_from(active - wanted).unwrap_or(0);
        for pod in owned.iter().take(surplus) {
            actions.push(Action::delete(&PODS, pod));
            let message = format!("Deleted pod: {}", json::name(pod));
            actions.push(Event::normal(set, "SuccessfulDelete", message));
        }
    }
    actions
}

fn status(set: &Value, active: &[Arc<Value>], counts: &pods::Counts, wanted: i64) -> Value {
    let labels = json::map(set, "/spec/template/metadata/labels");
    let labelled = active
        .iter()
        .filter(|pod| labels.is_none_or(|l| l.is_empty() || json::carries(Some(l), pod)))
        .count();
    let mut status = json!({
        "replicas": counts.all,
        "observedGeneration": json::generation(set),
    });
    for (key, number) in [
        ("fullyLabeledReplicas", i64::try_from(labelled).unwrap_or(0)),
        ("readyReplicas", counts.ready),
        ("availableReplicas", counts.available),
    ] {
        if number > 0 {
            json::set(&mut status, &[key], number.into());
        }
    }
    let mut conditions = json::list(set, "/status/conditions").to_vec();
    if counts.all >= wanted {
        conditions.retain(|c| json::text(c, "/type") != "ReplicaFailure");
    }
    if !conditions.is_empty() {
        json::set(&mut status, &["conditions"], conditions.into());
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(replicas: i64) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": { "name": "web-1", "namespace": "n", "uid": "rs", "generation": 2 },
            "spec": { "replicas": replicas, "template": { "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [] } } },
        })
    }

    fn pod(name: &str, ready: bool) -> Arc<Value> {
        Arc::new(json!({
            "metadata": { "name": name, "namespace": "n", "uid": name, "labels": { "a": "b" },
                "ownerReferences": [{ "uid": "rs", "controller": true }] },
            "spec": { "nodeName": "one" },
            "status": { "phase": "Running", "conditions": [
                { "type": "Ready", "status": if ready { "True" } else { "False" }, "lastTransitionTime": "1970-01-01T00:00:00Z" }] },
        }))
    }

    #[test]
    fn missing_pods_are_made_with_owner_and_labels() {
        let actions = reconcile(&set(2), vec![pod("a", true)], DateTime::UNIX_EPOCH);
        let made: Vec<_> = actions
            .iter()
            .filter_map(|a| if let Action::CreateFor(_, _, _, pod) = a { Some(pod) } else { None })
            .collect();
        assert_eq!(made.len(), 1);
        assert_eq!(made[0]["metadata"]["generateName"], "web-1-");
        assert_eq!(made[0]["metadata"]["ownerReferences"][0]["uid"], "rs");
        assert_eq!(made[0]["metadata"]["labels"]["a"], "b");
    }

    #[test]
    fn the_one_that_is_not_ready_goes_first() {
        let owned = vec![pod("a", true), pod("b", false)];
        let actions = reconcile(&set(1), owned, DateTime::UNIX_EPOCH);
        let gone: Vec<_> = actions
            .iter()
            .filter_map(|a| {
                if let Action::Delete(_, pod, _) = a { Some(json::name(pod)) } else { None }
            })
            .collect();
        assert_eq!(gone, ["b"]);
    }

    #[test]
    fn in_the_steady_state_nothing_is_written() {
        let mut set = set(1);
        let owned = vec![pod("a", true)];
        let first = reconcile(&set, owned.clone(), DateTime::UNIX_EPOCH);
        let [Action::ReplaceStatus(_, written)] = first.as_slice() else { panic!("{first:?}") };
        assert_eq!(
            written["status"],
            json!({ "replicas": 1, "fullyLabeledReplicas": 1, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 2 })
        );
        set["status"] = written["status"].clone();
        assert_eq!(reconcile(&set, owned, DateTime::UNIX_EPOCH), Vec::new());
    }

    #[test]
    fn availability_waits_for_min_ready_seconds() {
        let mut set = set(1);
        set["spec"]["minReadySeconds"] = json!(10);
        let now = DateTime::UNIX_EPOCH + chrono::Duration::seconds(4);
        let actions = reconcile(&set, vec![pod("a", true)], now);
        assert!(actions.contains(&Action::After(std::time::Duration::from_secs(6))), "{actions:?}");
    }
}
