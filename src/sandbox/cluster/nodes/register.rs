//! The Node objects, their status and leases. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::controllers::kit::resource::{LEASES, NAMESPACES, NODES};
use super::super::controllers::kit::{Action, Caches, Controller, Key, Resource, json};

/// Keeps the nodes registered.
pub(super) struct Register {
    /// Their names.
    pub(super) names: Vec<String>,
    /// How often a lease is renewed.
    pub(super) lease: Duration,
}

const LEASE_NAMESPACE: &str = "kube-node-lease";

impl Controller for Register {
    fn name(&self) -> &'static str {
        "node-registration"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&NODES, &LEASES, &NAMESPACES]
    }

    fn keys(&self, resource: &Resource, object: &Value, _caches: &Caches) -> Vec<Key> {
        if *resource == NAMESPACES {
            return if json::name(object) == LEASE_NAMESPACE { self.first() } else { Vec::new() };
        }
        let ours = self.names.iter().any(|n| n == json::name(object));
        if ours { vec![Key::new("", json::name(object))] } else { Vec::new() }
    }

    fn first(&self) -> Vec<Key> {
        self.names.iter().map(|name| Key::new("", &**name)).collect()
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let index = self.names.iter().position(|n| *n == key.name).unwrap_or(0);
        let Some(node) = caches.get(&NODES, "", &key.name) else {
            return vec![Action::Create(&NODES, node(&key.name, index))];
        };
        let mut actions: Vec<Action> =
            Action::status(&NODES, node, status(node, index, now)).into_iter().collect();
        if caches.get(&NAMESPACES, "", LEASE_NAMESPACE).is_some() {
            actions.extend(self.keep_lease(node, caches, now));
        }
        actions
    }
}

impl Register {
    fn keep_lease(&self, node: &Value, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let name = json::name(node);
        let renewed = json!(json::micro_stamp(now));
        match caches.get(&LEASES, LEASE_NAMESPACE, name) {
            None => {
                let lease = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {
                        "name": name,
                        "namespace": LEASE_NAMESPACE,
                        "ownerReferences": [{
                            "apiVersion": "v1", "kind": "Node", "name": name, "uid": json::uid(node),
                        }],
                    },
                    "spec": {
                        "holderIdentity": name,
                        "leaseDurationSeconds": self.lease.as_secs().saturating_mul(4),
                        "renewTime": renewed,
                    },
                });
                vec![Action::Create(&LEASES, lease), Action::After(self.lease)]
            }
            Some(lease) => {
                let last = json::time(lease, "/spec/renewTime").unwrap_or(DateTime::UNIX_EPOCH);
                let age = (now - last).to_std().unwrap_or_default();
                if age < self.lease {
                    return vec![Action::After(self.lease.saturating_sub(age))];
                }
                let mut lease = lease.as_ref().clone();
                json::set(&mut lease, &["spec", "renewTime"], renewed);
                vec![Action::Replace(&LEASES, lease), Action::After(self.lease)]
            }
        }
    }
}

fn node(name: &str, index: usize) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/os": "linux",
                "beta.kubernetes.io/arch": "amd64",
            },
        },
        "spec": { "podCIDR": format!("10.244.{}.0/20", index * 16) },
    })
}

/// The node's internal address.
pub(super) fn address(index: usize) -> String {
    format!("192.168.49.{}", index + 2)
}

fn status(node: &Value, index: usize, now: DateTime<Utc>) -> Value {
    let mut conditions = json::list(node, "/status/conditions").to_vec();
    let heartbeat = |c: &Value| json::text(c, "/lastHeartbeatTime").to_owned();
    for (kind, status, reason, message) in [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ] {
        let known = conditions.iter().find(|c| json::text(c, "/type") == kind).map(heartbeat);
        json::set_condition(&mut conditions, kind, status, reason, message, now);
        let beat = known.filter(|b| !b.is_empty()).unwrap_or_else(|| json::stamp(now));
        if let Some(c) = conditions.iter_mut().find(|c| json::text(c, "/type") == kind) {
            json::set(c, &["lastHeartbeatTime"], beat.into());
        }
    }
    let room =
        json!({ "cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "4000" });
    json!({
        "addresses": [
            { "type": "InternalIP", "address": address(index) },
            { "type": "Hostname", "address": json::name(node) },
        ],
        "allocatable": room,
        "capacity": room,
        "conditions": conditions,
        "daemonEndpoints": { "kubeletEndpoint": { "Port": 10250 } },
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "",
            "containerRuntimeVersion": "sandbox://0",
            "kernelVersion": "none",
            "kubeProxyVersion": "",
            "kubeletVersion": "v1.37.0",
            "machineID": json::name(node),
            "operatingSystem": "linux",
            "osImage": "Bivouac sandbox: runs no containers",
            "systemUUID": "",
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_made_told_ready_and_then_left_alone_until_its_lease_is_due() {
        let register =
            Register { names: vec!["sandbox-1".into()], lease: Duration::from_secs(300) };
        let mut caches = Caches::default();
        caches.store_mut(&NAMESPACES).put(json!({ "metadata": { "name": LEASE_NAMESPACE } }));
        let key = register.first().remove(0);
        let mut now = DateTime::UNIX_EPOCH;
        let mut writes = Vec::new();
        for _ in 0..4 {
            let mut count = 0;
            for action in register.reconcile(&key, &caches, now) {
                match action {
                    Action::Create(r, o) | Action::ReplaceStatus(r, o) | Action::Replace(r, o) => {
                        caches.store_mut(r).put(o);
                        count += 1;
                    }
                    Action::After(wait) => assert!(wait <= Duration::from_secs(300)),
                    other => panic!("{other:?}"),
                }
            }
            writes.push(count);
        }
        assert_eq!(writes, [1, 2, 0, 0]);
        assert!(json::is_true(caches.get(&NODES, "", "sandbox-1").expect("made"), "Ready"));
        now += chrono::Duration::seconds(301);
        assert!(matches!(
            register.reconcile(&key, &caches, now)[..],
            [Action::Replace(..), Action::After(_)]
        ));
    }
}
