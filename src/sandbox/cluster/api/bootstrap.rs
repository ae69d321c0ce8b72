//! What every cluster has before anybody asks: namespaces, default roles, the `kubernetes` service, priorities.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::auth::defaults::{cluster_role_bindings, cluster_roles};
use super::auth::rbac::GROUP;
use super::rest::DEFAULT_SERVICE_ADDRESS;
use super::state::State;
use super::status::GroupResource;

impl State {
    /// Fills an empty store.
    pub(crate) fn bootstrap(&mut self, now: DateTime<Utc>) {
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
            });
            self.plant("", "namespaces", "", namespace, now);
        }
        for role in cluster_roles() {
            self.plant(GROUP, "clusterroles", "", role, now);
        }
        for binding in cluster_role_bindings() {
            self.plant(GROUP, "clusterrolebindings", "", binding, now);
        }
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "type": "ClusterIP", "clusterIP": DEFAULT_SERVICE_ADDRESS,
                "clusterIPs": [DEFAULT_SERVICE_ADDRESS], "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
                "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
            },
            "status": {"loadBalancer": {}},
        });
        self.plant("", "services", "default", service, now);
        for (name, value) in
            [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)]
        {
            let class = json!({
                "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
                "metadata": {"name": name}, "value": value,
                "preemptionPolicy": "PreemptLowerPriority",
            });
            self.plant("scheduling.k8s.io", "priorityclasses", "", class, now);
        }
        self.refresh_rbac(now, std::time::Duration::ZERO);
    }

    fn plant(
        &mut self,
        group: &str,
        plural: &str,
        namespace: &str,
        mut object: Value,
        now: DateTime<Utc>,
    ) {
        object["metadata"]["uid"] = json!(self.rng.uuid().to_string());
        object["metadata"]["creationTimestamp"] =
            json!(now.to_rfc3339_opts(SecondsFormat::Secs, true));
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.store.put(&GroupResource::new(group, plural), (namespace.to_owned(), name), object);
    }
}
