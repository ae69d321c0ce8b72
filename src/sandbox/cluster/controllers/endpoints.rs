//! Services with a selector get Endpoints and `EndpointSlices` of their pods. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::kit::resource::{ENDPOINTS, PODS, SERVICES, SLICES};
use super::kit::{Action, Caches, Controller, Key, Resource, json};
use super::pods;

/// The controller of Endpoints and `EndpointSlices`.
pub(super) struct EndpointsOf;

/// The label with the name of a slice's Service.
pub(crate) const SERVICE_LABEL: &str = "kubernetes.io/service-name";
const SLICE_MANAGER: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpoints.kubernetes.io/managed-by";

impl Controller for EndpointsOf {
    fn name(&self) -> &'static str {
        "endpoint-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&SERVICES, &PODS, &ENDPOINTS, &SLICES]
    }

    fn keys(&self, resource: &Resource, object: &Value, caches: &Caches) -> Vec<Key> {
        let namespace = json::namespace(object);
        if *resource == PODS {
            return caches
                .within(&SERVICES, namespace)
                .filter(|s| json::carries(json::map(s, "/spec/selector"), object))
                .map(|s| Key::of(s))
                .collect();
        }
        if *resource == SLICES {
            let service = json::label(object, SERVICE_LABEL);
            return service.map(|name| Key::new(namespace, name)).into_iter().collect();
        }
        vec![Key::of(object)]
    }

    fn reconcile(&self, key: &Key, caches: &Caches, _now: DateTime<Utc>) -> Vec<Action> {
        let endpoints = caches.get(&ENDPOINTS, &key.namespace, &key.name);
        let slices: Vec<&Arc<Value>> = caches
            .within(&SLICES, &key.namespace)
            .filter(|s| json::label(s, SERVICE_LABEL) == Some(&key.name))
            .filter(|s| json::label(s, SLICE_MANAGER) == Some("endpointslice-controller.k8s.io"))
            .collect();
        let service =
            caches.get(&SERVICES, &key.namespace, &key.name).filter(|s| !json::is_deleting(s));
        let Some(service) = service else {
            // Slices have an owner; Endpoints, being older, have none.
            return endpoints
                .filter(|e| json::label(e, MANAGER).is_some())
                .map(|e| Action::delete(&ENDPOINTS, e))
                .into_iter()
                .collect();
        };
        let selector = json::map(service, "/spec/selector");
        if selector.is_none_or(Map::is_empty) || json::text(service, "/spec/type") == "ExternalName"
        {
            return Vec::new();
        }
        let chosen: Vec<&Arc<Value>> = caches
            .within(&PODS, &key.namespace)
            .filter(|p| json::carries(selector, p))
            .filter(|p| !pods::is_finished(p) && !json::text(p, "/status/podIP").is_empty())
            .collect();
        let groups = by_ports(service, &chosen);
        let mut actions = keep_endpoints(service, endpoints.map(Arc::as_ref), &groups);
        actions.extend(keep_slices(service, &slices, &groups));
        actions
    }
}

/// Pods with the same port numbers, by the ports' JSON text: named target ports may differ from pod to pod.
type Groups<'a> = BTreeMap<String, (Vec<Value>, Vec<&'a Value>)>;

fn by_ports<'a>(service: &Value, chosen: &[&'a Arc<Value>]) -> Groups<'a> {
    let mut groups = Groups::new();
    for pod in chosen {
        let ports: Vec<Value> = json::list(service, "/spec/ports")
            .iter()
            .filter_map(|port| {
                let number = target_port(port, pod)?;
                let protocol = match json::text(port, "/protocol") {
                    "" => "TCP",
                    protocol => protocol,
                };
                let mut resolved =
                    json!({ "name": json::text(port, "/name"), "port": number, "protocol": protocol });
                if let Some(application) = port.get("appProtocol") {
                    json::set(&mut resolved, &["appProtocol"], application.clone());
                }
                Some(resolved)
            })
            .collect();
        let group = groups.entry(Value::from(ports.clone()).to_string());
        group.or_insert_with(|| (ports, Vec::new())).1.push(pod);
    }
    groups
}

/// The number of the container port that a service port leads to.
pub(crate) fn target_port(port: &Value, pod: &Value) -> Option<i64> {
    match port.get("targetPort") {
        Some(Value::String(name)) => {
            if let Ok(number) = name.parse() {
                return Some(number);
            }
            json::list(pod, "/spec/containers")
                .iter()
                .flat_map(|c| json::list(c, "/ports"))
                .find(|p| json::text(p, "/name") == name)
                .and_then(|p| json::int(p, "/containerPort"))
        }
        Some(Value::Number(number)) if number.as_i64() != Some(0) => number.as_i64(),
        _ => json::int(port, "/port"),
    }
}

fn is_serving(service: &Value, pod: &Value) -> bool {
    json::flag(service, "/spec/publishNotReadyAddresses")
        || (pods::is_ready(pod) && !json::is_deleting(pod))
}

fn target(pod: &Value) -> Value {
    json!({
        "kind": "Pod",
        "namespace": json::namespace(pod),
        "name": json::name(pod),
        "uid": json::uid(pod),
    })
}

fn keep_endpoints(service: &Value, known: Option<&Value>, groups: &Groups<'_>) -> Vec<Action> {
    let mut subsets = Vec::new();
    for (ports, members) in groups.values() {
        let (ready, not_ready): (Vec<&Value>, Vec<&Value>) = members
            .iter()
            .copied()
            .filter(|p| !json::is_deleting(p) || is_serving(service, p))
            .partition(|p| is_serving(service, p));
        let mut subset = json!({});
        for (key, members) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
            let addresses: Vec<Value> = members
                .iter()
                .map(|p| {
                    json!({
                        "ip": json::text(p, "/status/podIP"),
                        "nodeName": json::text(p, "/spec/nodeName"),
                        "targetRef": target(p),
                    })
                })
                .collect();
            if !addresses.is_empty() {
                json::set(&mut subset, &[key], addresses.into());
            }
        }
        if subset.as_object().is_some_and(Map::is_empty) {
            continue;
        }
        let ports: Vec<Value> = ports
            .iter()
            .map(|port| {
                let mut port = port.clone();
                if json::text(&port, "/name").is_empty() {
                    json::unset(&mut port, &["name"]);
                }
                port
            })
            .collect();
        if !ports.is_empty() {
            json::set(&mut subset, &["ports"], ports.into());
        }
        subsets.push(subset);
    }
    let Some(known) = known else {
        let mut labels = service.pointer("/metadata/labels").cloned().unwrap_or_else(|| json!({}));
        json::set(&mut labels, &[MANAGER], "endpoint-controller".into());
        let mut endpoints = json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": json::name(service),
                "namespace": json::namespace(service),
                "labels": labels,
            },
        });
        if !subsets.is_empty() {
            json::set(&mut endpoints, &["subsets"], subsets.into());
        }
        return vec![Action::Create(&ENDPOINTS, endpoints)];
    };
    if json::list(known, "/subsets") == subsets.as_slice() || json::is_deleting(known) {
        return Vec::new();
    }
    let mut endpoints = known.clone();
    if subsets.is_empty() {
        json::unset(&mut endpoints, &["subsets"]);
    } else {
        json::set(&mut endpoints, &["subsets"], subsets.into());
    }
    vec![Action::Replace(&ENDPOINTS, endpoints)]
}

fn keep_slices(service: &Value, known: &[&Arc<Value>], groups: &Groups<'_>) -> Vec<Action> {
    let mut wanted: Vec<(Vec<Value>, Vec<Value>)> = groups
        .values()
        .map(|(ports, members)| {
            (ports.clone(), members.iter().map(|p| endpoint(service, p)).collect())
        })
        .collect();
    if wanted.is_empty() {
        // A Service without pods has one empty slice.
        wanted.push((Vec::new(), Vec::new()));
    }
    let mut actions = Vec::new();
    let names: Vec<String> = (0..wanted.len()).map(|index| slice_name(service, index)).collect();
    for (name, (ports, endpoints)) in names.iter().zip(wanted) {
        match known.iter().find(|s| json::name(s) == name) {
            Some(slice) => {
                let same = json::list(slice, "/ports") == ports.as_slice()
                    && json::list(slice, "/endpoints") == endpoints.as_slice();
                if !same && !json::is_deleting(slice) {
                    let mut slice = slice.as_ref().clone();
                    json::set(&mut slice, &["ports"], ports.into());
                    json::set(&mut slice, &["endpoints"], endpoints.into());
                    actions.push(Action::Replace(&SLICES, slice));
                }
            }
            None => actions.push(Action::Create(
                &SLICES,
                json!({
                    "apiVersion": "discovery.k8s.io/v1",
                    "kind": "EndpointSlice",
                    "metadata": {
                        "name": name,
                        "namespace": json::namespace(service),
                        "labels": {
                            (SERVICE_LABEL): json::name(service),
                            (SLICE_MANAGER): "endpointslice-controller.k8s.io",
                        },
                        "ownerReferences": [SERVICES.controller_reference(service)],
                    },
                    "addressType": "IPv4",
                    "ports": ports,
                    "endpoints": endpoints,
                }),
            )),
        }
    }
    for slice in known.iter().filter(|s| !names.iter().any(|n| n == json::name(s))) {
        if !json::is_deleting(slice) {
            actions.push(Action::delete(&SLICES, slice));
        }
    }
    actions
}

fn slice_name(service: &Value, index: usize) -> String {
    let suffix = json::safe_hash(&format!("{}/{index}", json::uid(service)));
    // At most 253 for the whole name; a Service's is at most 63.
    format!("{}-{}", json::name(service), &suffix[..5])
}

fn endpoint(service: &Value, pod: &Value) -> Value {
    let terminating = json::is_deleting(pod);
    let mut endpoint = json!({
        "addresses": [json::text(pod, "/status/podIP")],
        "conditions": {
            "ready": is_serving(service, pod),
            "serving": pods::is_ready(pod),
            "terminating": terminating,
        },
        "nodeName": json::text(pod, "/spec/nodeName"),
        "targetRef": target(pod),
    });
    let hostname = json::text(pod, "/spec/hostname");
    if !hostname.is_empty() && json::text(pod, "/spec/subdomain") == json::name(service) {
        json::set(&mut endpoint, &["hostname"], hostname.into());
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Value {
        json!({ "metadata": { "name": "web", "namespace": "n", "uid": "s" },
            "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80, "targetPort": "http" }] } })
    }

    fn pod(name: &str, ready: &str) -> Value {
        json!({ "metadata": { "name": name, "namespace": "n", "uid": name, "labels": { "app": "web" } },
            "spec": { "nodeName": "one", "containers": [{ "name": "c", "ports": [{ "name": "http", "containerPort": 8080 }] }] },
            "status": { "phase": "Running", "podIP": "10.1.1.1", "conditions": [{ "type": "Ready", "status": ready }] } })
    }

    fn play(caches: &mut Caches) -> usize {
        let actions = EndpointsOf.reconcile(&Key::new("n", "web"), caches, DateTime::UNIX_EPOCH);
        let count = actions.len();
        for action in actions {
            match action {
                Action::Create(resource, object) | Action::Replace(resource, object) => {
                    caches.store_mut(resource).put(object);
                }
                Action::Delete(resource, object, _) => {
                    caches.store_mut(resource).remove(&object);
                }
                other => panic!("{other:?}"),
            }
        }
        count
    }

    #[test]
    fn ready_pods_are_addresses_others_are_not() {
        let mut caches = Caches::default();
        caches.store_mut(&SERVICES).put(service());
        caches.store_mut(&PODS).put(pod("a", "True"));
        caches.store_mut(&PODS).put(pod("b", "False"));
        assert_eq!(play(&mut caches), 2);
        let endpoints = caches.get(&ENDPOINTS, "n", "web").expect("made");
        let subset = &endpoints["subsets"][0];
        assert_eq!(subset["addresses"][0]["targetRef"]["name"], "a");
        assert_eq!(subset["notReadyAddresses"][0]["targetRef"]["name"], "b");
        assert_eq!(subset["ports"], json!([{ "port": 8080, "protocol": "TCP" }]));
        let slice = caches.all(&SLICES).next().expect("made");
        assert_eq!(slice["endpoints"][0]["conditions"]["ready"], true);
        assert_eq!(slice["endpoints"][1]["conditions"]["ready"], false);
        assert_eq!(play(&mut caches), 0, "steady");
        caches.store_mut(&PODS).put(pod("b", "True"));
        assert_eq!(play(&mut caches), 2);
    }

    #[test]
    fn a_service_without_pods_has_one_empty_slice_and_no_service_no_endpoints() {
        let mut caches = Caches::default();
        caches.store_mut(&SERVICES).put(service());
        assert_eq!(play(&mut caches), 2);
        assert_eq!(play(&mut caches), 0);
        caches.store_mut(&SERVICES).remove(&service());
        assert_eq!(play(&mut caches), 1);
        assert!(caches.get(&ENDPOINTS, "n", "web").is_none());
    }

    #[test]
    fn pods_of_different_ports_are_in_slices_of_their_own() {
        let mut caches = Caches::default();
        caches.store_mut(&SERVICES).put(service());
        caches.store_mut(&PODS).put(pod("a", "True"));
        let mut other = pod("b", "True");
        other["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(9090);
        caches.store_mut(&PODS).put(other);
        play(&mut caches);
        assert_eq!(caches.all(&SLICES).count(), 2);
    }
}
