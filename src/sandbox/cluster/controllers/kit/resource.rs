//! Names of API resources and the paths they are served at. Pure.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde_json::Value;

use super::json;

/// One resource of the API, as discovery would describe it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Resource {
    /// API group, empty for the core group.
    pub(crate) group: Cow<'static, str>,
    /// Version, say `v1`.
    pub(crate) version: Cow<'static, str>,
    /// Plural name in paths.
    pub(crate) plural: Cow<'static, str>,
    /// Kind of its objects.
    pub(crate) kind: Cow<'static, str>,
    /// Whether its objects live in namespaces.
    pub(crate) namespaced: bool,
}

const fn built_in(
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    namespaced: bool,
) -> Resource {
    Resource {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed("v1"),
        plural: Cow::Borrowed(plural),
        kind: Cow::Borrowed(kind),
        namespaced,
    }
}

pub(crate) static NAMESPACES: Resource = built_in("", "namespaces", "Namespace", false);
pub(crate) static NODES: Resource = built_in("", "nodes", "Node", false);
pub(crate) static PODS: Resource = built_in("", "pods", "Pod", true);
pub(crate) static SERVICES: Resource = built_in("", "services", "Service", true);
pub(crate) static ENDPOINTS: Resource = built_in("", "endpoints", "Endpoints", true);
pub(crate) static CONFIG_MAPS: Resource = built_in("", "configmaps", "ConfigMap", true);
pub(crate) static SECRETS: Resource = built_in("", "secrets", "Secret", true);
pub(crate) static EVENTS: Resource = built_in("", "events", "Event", true);
pub(crate) static SERVICE_ACCOUNTS: Resource =
    built_in("", "serviceaccounts", "ServiceAccount", true);
pub(crate) static QUOTAS: Resource = built_in("", "resourcequotas", "ResourceQuota", true);
pub(crate) static CLAIMS: Resource =
    built_in("", "persistentvolumeclaims", "PersistentVolumeClaim", true);
pub(crate) static VOLUMES: Resource = built_in("", "persistentvolumes", "PersistentVolume", false);
pub(crate) static REPLICATION_CONTROLLERS: Resource =
    built_in("", "replicationcontrollers", "ReplicationController", true);
pub(crate) static DEPLOYMENTS: Resource = built_in("apps", "deployments", "Deployment", true);
pub(crate) static REPLICA_SETS: Resource = built_in("apps", "replicasets", "ReplicaSet", true);
pub(crate) static STATEFUL_SETS: Resource = built_in("apps", "statefulsets", "StatefulSet", true);
pub(crate) static DAEMON_SETS: Resource = built_in("apps", "daemonsets", "DaemonSet", true);
pub(crate) static REVISIONS: Resource =
    built_in("apps", "controllerrevisions", "ControllerRevision", true);
pub(crate) static JOBS: Resource = built_in("batch", "jobs", "Job", true);
pub(crate) static CRON_JOBS: Resource = built_in("batch", "cronjobs", "CronJob", true);
pub(crate) static SLICES: Resource =
    built_in("discovery.k8s.io", "endpointslices", "EndpointSlice", true);
pub(crate) static INGRESSES: Resource = built_in("networking.k8s.io", "ingresses", "Ingress", true);
pub(crate) static LEASES: Resource = built_in("coordination.k8s.io", "leases", "Lease", true);
pub(crate) static DEFINITIONS: Resource = built_in(
    "apiextensions.k8s.io",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    false,
);

impl Resource {
    /// Group and version as objects carry them.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Plural and group, as messages and quotas name a resource: `deployments.apps`, `pods`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_string()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// The path of all objects (of a namespace, or of all when it is empty), of one object, or of its subresource.
    pub(crate) fn path(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            push_segment(&mut path, namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        for segment in [name, subresource] {
            if !segment.is_empty() {
                path.push('/');
                push_segment(&mut path, segment);
            }
        }
        path
    }

    /// An owner reference to `owner`, which is of this resource and controls what carries it.
    pub(crate) fn controller_reference(&self, owner: &Value) -> Value {
        serde_json::json!({
            "apiVersion": self.api_version(),
            "kind": self.kind,
            "name": json::name(owner),
            "uid": json::uid(owner),
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.qualified())
    }
}

/// Names are path segments; of what a name may hold, only these characters can stand in a URL as they are.
fn push_segment(path: &mut String, segment: &str) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@!$'()*,;=".contains(&byte) {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        assert_eq!(PODS.path("", "", ""), "/api/v1/pods");
        assert_eq!(PODS.path("a", "b", "status"), "/api/v1/namespaces/a/pods/b/status");
        assert_eq!(DEPLOYMENTS.path("a", "", ""), "/apis/apps/v1/namespaces/a/deployments");
        assert_eq!(NODES.path("ignored", "n", ""), "/api/v1/nodes/n");
        assert_eq!(NODES.path("", "a b/ü", ""), "/api/v1/nodes/a%20b%2F%C3%BC");
        assert_eq!(NODES.path("", "system:x", ""), "/api/v1/nodes/system:x");
    }
}
