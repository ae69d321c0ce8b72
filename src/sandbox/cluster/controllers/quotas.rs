//! `ResourceQuotas`: what is used, counted from the objects that are there. Pure.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::kit::quantity::Quantity;
use super::kit::resource::{
    CLAIMS, CONFIG_MAPS, CRON_JOBS, DAEMON_SETS, DEPLOYMENTS, INGRESSES, JOBS, PODS, QUOTAS,
    REPLICA_SETS, REPLICATION_CONTROLLERS, SECRETS, SERVICES, STATEFUL_SETS,
};
use super::kit::{Action, Caches, Controller, Key, Resource, json};
use super::{pods, service_accounts};

/// The controller of `ResourceQuotas`.
pub(super) struct Quotas {
    /// At most this long after its creation a quota gets its first status.
    pub(super) lag: Duration,
}

impl Controller for Quotas {
    fn name(&self) -> &'static str {
        "resourcequota-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![
            &QUOTAS,
            &PODS,
            &SERVICES,
            &CONFIG_MAPS,
            &SECRETS,
            &CLAIMS,
            &REPLICATION_CONTROLLERS,
            &DEPLOYMENTS,
            &REPLICA_SETS,
            &STATEFUL_SETS,
            &DAEMON_SETS,
            &JOBS,
            &CRON_JOBS,
            &INGRESSES,
        ]
    }

    fn keys(&self, resource: &Resource, object: &Value, caches: &Caches) -> Vec<Key> {
        if *resource == QUOTAS {
            vec![Key::of(object)]
        } else {
            caches.within(&QUOTAS, json::namespace(object)).map(|quota| Key::of(quota)).collect()
        }
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let Some(quota) = caches.get(&QUOTAS, &key.namespace, &key.name) else {
            return Vec::new();
        };
        let wait = service_accounts::lag_left(quota, self.lag, now);
        if quota.pointer("/status/hard").is_none() && !wait.is_zero() {
            return vec![Action::After(wait)];
        }
        let hard = json::map(quota, "/spec/hard").cloned().unwrap_or_default();
        let chosen: Vec<&Arc<Value>> = caches
            .within(&PODS, &key.namespace)
            .filter(|p| !pods::is_finished(p) && in_scopes(quota, p))
            .collect();
        let mut used = Map::new();
        for name in hard.keys() {
            let amount = self.used(name, &key.namespace, caches, &chosen);
            let text = match amount {
                Some(amount) => amount.to_string(),
                // Of a resource that is not counted here, what admission counted stands.
                None => match quota.pointer("/status/used").and_then(|u| u.get(name)) {
                    Some(Value::String(text)) => text.clone(),
                    _ => "0".to_owned(),
                },
            };
            used.insert(name.clone(), text.into());
        }
        let same = same_amounts(json::map(quota, "/status/used"), &used)
            && json::map(quota, "/status/hard") == Some(&hard);
        if same {
            return Vec::new();
        }
        let status = json!({ "hard": hard, "used": used });
        Action::status(&QUOTAS, quota, status).into_iter().collect()
    }
}

/// Amounts may be written in more than one way: admission's and ours must not take turns.
fn same_amounts(known: Option<&Map<String, Value>>, used: &Map<String, Value>) -> bool {
    known.is_some_and(|known| {
        known.len() == used.len()
            && used.iter().all(|(name, value)| {
                let amounts = known.get(name).and_then(Quantity::parse).zip(Quantity::parse(value));
                amounts.is_some_and(|(a, b)| !a.exceeds(b) && !b.exceeds(a))
            })
    })
}

impl Quotas {
    /// How much of `name` is used; `None` when nothing here counts it.
    fn used(
        &self,
        name: &str,
        namespace: &str,
        caches: &Caches,
        chosen: &[&Arc<Value>],
    ) -> Option<Quantity> {
        let objects = |resource: &Resource| caches.within(resource, namespace).count();
        let services = |kinds: &[&str]| {
            let of_kind = caches
                .within(&SERVICES, namespace)
                .filter(|s| kinds.contains(&json::text(s, "/spec/type")));
            Quantity::count(of_kind.count())
        };
        Some(match name {
            "pods" | "count/pods" => Quantity::count(chosen.len()),
            "services.nodeports" => services(&["NodePort", "LoadBalancer"]),
            "services.loadbalancers" => services(&["LoadBalancer"]),
            "requests.storage" => caches
                .within(&CLAIMS, namespace)
                .filter_map(|c| Quantity::parse(c.pointer("/spec/resources/requests/storage")?))
                .fold(Quantity::default(), Quantity::plus),
            _ => {
                if let Some(limit) = name.strip_prefix("limits.") {
                    return Some(sum(chosen, "limits", limit));
                }
                let request = name.strip_prefix("requests.").unwrap_or(name);
                let is_compute = matches!(request, "cpu" | "memory" | "ephemeral-storage")
                    || (name != request && request.contains('/'));
                if is_compute {
                    return Some(sum(chosen, "requests", request));
                }
                let counted = name.strip_prefix("count/").unwrap_or(name);
                let resource = self.watches().into_iter().find(|r| r.qualified() == counted)?;
                Quantity::count(objects(resource))
            }
        })
    }
}

fn sum(chosen: &[&Arc<Value>], kind: &str, name: &str) -> Quantity {
    chosen.iter().map(|p| of_pod(p, kind, name)).fold(Quantity::default(), Quantity::plus)
}

/// What a pod asks for: all containers together, or the biggest init container when that is more.
pub(crate) fn of_pod(pod: &Value, kind: &str, name: &str) -> Quantity {
    let amounts = |pointer: &str| -> Vec<Quantity> {
        json::list(pod, pointer)
            .iter()
            .filter_map(|c| Quantity::parse(c.get("resources")?.get(kind)?.get(name)?))
            .collect()
    };
    let together =
        amounts("/spec/containers").into_iter().fold(Quantity::default(), Quantity::plus);
    amounts("/spec/initContainers").into_iter().fold(together, Quantity::max)
}

fn in_scopes(quota: &Value, pod: &Value) -> bool {
    let best_effort = ["requests", "limits"].iter().all(|kind| {
        json::list(pod, "/spec/containers")
            .iter()
            .all(|c| json::map(c, &format!("/resources/{kind}")).is_none_or(Map::is_empty))
    });
    let bounded = json::int(pod, "/spec/activeDeadlineSeconds").is_some();
    json::list(quota, "/spec/scopes").iter().all(|scope| match scope.as_str() {
        Some("BestEffort") => best_effort,
        Some("NotBestEffort") => !best_effort,
        Some("Terminating") => bounded,
        Some("NotTerminating") => !bounded,
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, phase: &str) -> Value {
        json!({ "metadata": { "name": name, "namespace": "n", "uid": name }, "status": { "phase": phase },
            "spec": { "containers": [
                { "resources": { "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "cpu": "1" } } },
                { "resources": { "requests": { "cpu": "200m" } } }] } })
    }

    #[test]
    fn used_is_counted_and_then_left_alone() {
        let mut caches = Caches::default();
        for object in [pod("a", "Running"), pod("b", "Pending"), pod("c", "Succeeded")] {
            caches.store_mut(&PODS).put(object);
        }
        caches
            .store_mut(&DEPLOYMENTS)
            .put(json!({ "metadata": { "name": "d", "namespace": "n" } }));
        let quota = json!({ "metadata": { "name": "q", "namespace": "n", "uid": "q" }, "spec": { "hard": {
            "pods": "10", "requests.cpu": "1", "memory": "1Gi", "limits.cpu": "4",
            "count/deployments.apps": "5", "count/things.example.org": "1" } } });
        caches.store_mut(&QUOTAS).put(quota);
        let quotas = Quotas { lag: Duration::ZERO };
        let key = Key::new("n", "q");
        let actions = quotas.reconcile(&key, &caches, DateTime::UNIX_EPOCH);
        let [Action::ReplaceStatus(_, written)] = actions.as_slice() else { panic!("{actions:?}") };
        assert_eq!(
            written["status"]["used"],
            json!({ "pods": "2", "requests.cpu": "600m", "memory": "128Mi", "limits.cpu": "2",
                "count/deployments.apps": "1", "count/things.example.org": "0" })
        );
        let mut again = written.clone();
        // The same amount in other words, as admission may write it.
        again["status"]["used"]["requests.cpu"] = json!("0.6");
        caches.store_mut(&QUOTAS).put(again);
        assert_eq!(quotas.reconcile(&key, &caches, DateTime::UNIX_EPOCH), Vec::new());
    }
}
