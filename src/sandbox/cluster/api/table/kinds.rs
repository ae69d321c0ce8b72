//! Which columns a built-in kind has, and what fills them. In: group and plural; out: columns and a printer. No I/O.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{cluster, network, pods, workloads};

/// Name, type, priority.
pub(super) type Column = (&'static str, &'static str, i64);
/// Makes the cells of an object.
pub(super) type Printer = fn(&Value, DateTime<Utc>) -> Vec<Value>;

const NAME: Column = ("Name", "string", 0);
const AGE: Column = ("Age", "string", 0);
const CONTAINERS: Column = ("Containers", "string", 1);
const IMAGES: Column = ("Images", "string", 1);
const SELECTOR: Column = ("Selector", "string", 1);
const CREATED: &[Column] = &[NAME, text("Created At")];

const fn text(name: &'static str) -> Column {
    (name, "string", 0)
}

const fn number(name: &'static str) -> Column {
    (name, "integer", 0)
}

const fn wide(name: &'static str) -> Column {
    (name, "string", 1)
}

/// The columns of a kind. Kinds that have none of their own show when they were created.
pub(super) fn printer(group: &str, plural: &str) -> (&'static [Column], Printer) {
    let found = match group {
        "" => core(plural),
        "apps" | "batch" | "autoscaling" | "policy" => workload(plural),
        "networking.k8s.io" | "discovery.k8s.io" => networking(plural),
        _ => other(group, plural),
    };
    found.unwrap_or((CREATED, cluster::created))
}

fn core(plural: &str) -> Option<(&'static [Column], Printer)> {
    Some(match plural {
        "pods" => (
            const {
                &[
                    NAME,
                    text("Ready"),
                    text("Status"),
                    text("Restarts"),
                    AGE,
                    wide("IP"),
                    wide("Node"),
                    wide("Nominated Node"),
                    wide("Readiness Gates"),
                ]
            },
            pods::cells,
        ),
        "replicationcontrollers" => (REPLICAS, workloads::replica_set),
        "podtemplates" => (
            const { &[NAME, text("Containers"), text("Images"), text("Pod Labels"), AGE] },
            cluster::pod_template,
        ),
        "services" => (
            const {
                &[
                    NAME,
                    text("Type"),
                    text("Cluster-IP"),
                    text("External-IP"),
                    text("Port(s)"),
                    AGE,
                    SELECTOR,
                ]
            },
            network::service,
        ),
        "endpoints" => (const { &[NAME, text("Endpoints"), AGE] }, network::endpoints),
        "namespaces" => (const { &[NAME, text("Status"), AGE] }, cluster::namespace),
        "nodes" => (
            const {
                &[
                    NAME,
                    text("Status"),
                    text("Roles"),
                    AGE,
                    text("Version"),
                    wide("Internal-IP"),
                    wide("External-IP"),
                    wide("OS-Image"),
                    wide("Kernel-Version"),
                    wide("Container-Runtime"),
                ]
            },
            cluster::node,
        ),
        "events" => (EVENT, cluster::event),
        "secrets" => (const { &[NAME, text("Type"), number("Data"), AGE] }, cluster::secret),
        "configmaps" => (const { &[NAME, number("Data"), AGE] }, cluster::config_map),
        "serviceaccounts" => (const { &[NAME, number("Secrets"), AGE] }, cluster::service_account),
        "persistentvolumeclaims" => (
            const {
                &[
                    NAME,
                    text("Status"),
                    text("Volume"),
                    text("Capacity"),
                    text("Access Modes"),
                    text("StorageClass"),
                    text("VolumeAttributesClass"),
                    AGE,
                    wide("VolumeMode"),
                ]
            },
            cluster::claim,
        ),
        "persistentvolumes" => (
            const {
                &[
                    NAME,
                    text("Capacity"),
                    text("Access Modes"),
                    text("Reclaim Policy"),
                    text("Status"),
                    text("Claim"),
                    text("StorageClass"),
                    text("VolumeAttributesClass"),
                    text("Reason"),
                    AGE,
                    wide("VolumeMode"),
                ]
            },
            cluster::volume,
        ),
        "resourcequotas" => {
            (const { &[NAME, text("Request"), text("Limit"), AGE] }, cluster::quota)
        }
        _ => return None,
    })
}

const REPLICAS: &[Column] = &[
    NAME,
    number("Desired"),
    number("Current"),
    number("Ready"),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const EVENT: &[Column] = &[
    text("Last Seen"),
    text("Type"),
    text("Reason"),
    text("Object"),
    wide("Subobject"),
    wide("Source"),
    text("Message"),
    wide("First Seen"),
    ("Count", "integer", 1),
    wide("Name"),
];

#[expect(clippy::too_many_lines, reason = "one table, a kind after the other")]
fn workload(plural: &str) -> Option<(&'static [Column], Printer)> {
    Some(match plural {
        "deployments" => (
            const {
                &[
                    NAME,
                    text("Ready"),
                    number("Up-to-date"),
                    number("Available"),
                    AGE,
                    CONTAINERS,
                    IMAGES,
                    SELECTOR,
                ]
            },
            workloads::deployment,
        ),
        "replicasets" => (REPLICAS, workloads::replica_set),
        "statefulsets" => {
            (const { &[NAME, text("Ready"), AGE, CONTAINERS, IMAGES] }, workloads::stateful_set)
        }
        "daemonsets" => (
            const {
                &[
                    NAME,
                    number("Desired"),
                    number("Current"),
                    number("Ready"),
                    number("Up-to-date"),
                    number("Available"),
                    text("Node Selector"),
                    AGE,
                    CONTAINERS,
                    IMAGES,
                    SELECTOR,
                ]
            },
            workloads::daemon_set,
        ),
        "controllerrevisions" => {
            (const { &[NAME, text("Controller"), number("Revision"), AGE] }, cluster::revision)
        }
        "jobs" => (
            const {
                &[
                    NAME,
                    text("Status"),
                    text("Completions"),
                    text("Duration"),
                    AGE,
                    CONTAINERS,
                    IMAGES,
                    SELECTOR,
                ]
            },
            workloads::job,
        ),
        "cronjobs" => (
            const {
                &[
                    NAME,
                    text("Schedule"),
                    text("Timezone"),
                    ("Suspend", "boolean", 0),
                    number("Active"),
                    text("Last Schedule"),
                    AGE,
                    CONTAINERS,
                    IMAGES,
                    SELECTOR,
                ]
            },
            workloads::cron_job,
        ),
        "horizontalpodautoscalers" => (
            const {
                &[
                    NAME,
                    text("Reference"),
                    text("Targets"),
                    text("MinPods"),
                    number("MaxPods"),
                    number("Replicas"),
                    AGE,
                ]
            },
            workloads::autoscaler,
        ),
        "poddisruptionbudgets" => (
            const {
                &[
                    NAME,
                    text("Min Available"),
                    text("Max Unavailable"),
                    number("Allowed Disruptions"),
                    AGE,
                ]
            },
            workloads::budget,
        ),
        _ => return None,
    })
}

fn networking(plural: &str) -> Option<(&'static [Column], Printer)> {
    Some(match plural {
        "endpointslices" => (
            const { &[NAME, text("AddressType"), text("Ports"), text("Endpoints"), AGE] },
            network::endpoint_slice,
        ),
        "ingresses" => (
            const { &[NAME, text("Class"), text("Hosts"), text("Address"), text("Ports"), AGE] },
            network::ingress,
        ),
        "ingressclasses" => {
            (const { &[NAME, text("Controller"), text("Parameters"), AGE] }, network::ingress_class)
        }
        "networkpolicies" => {
            (const { &[NAME, text("Pod-Selector"), AGE] }, network::network_policy)
        }
        _ => return None,
    })
}

fn other(group: &str, plural: &str) -> Option<(&'static [Column], Printer)> {
    Some(match (group, plural) {
        ("events.k8s.io", "events") => (EVENT, cluster::event),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => (
            const { &[NAME, text("Role"), AGE, wide("Users"), wide("Groups"), wide("ServiceAccounts")] },
            cluster::binding,
        ),
        ("storage.k8s.io", "storageclasses") => (
            const {
                &[
                    NAME,
                    text("Provisioner"),
                    text("ReclaimPolicy"),
                    text("VolumeBindingMode"),
                    ("AllowVolumeExpansion", "boolean", 0),
                    AGE,
                ]
            },
            cluster::storage_class,
        ),
        ("storage.k8s.io", "csidrivers") => (
            const {
                &[
                    NAME,
                    ("AttachRequired", "boolean", 0),
                    ("PodInfoOnMount", "boolean", 0),
                    text("StorageCapacity"),
                    text("Modes"),
                    AGE,
                ]
            },
            cluster::csi_driver,
        ),
        ("coordination.k8s.io", "leases") => {
            (const { &[NAME, text("Holder"), AGE] }, cluster::lease)
        }
        ("scheduling.k8s.io", "priorityclasses") => (
            const {
                &[
                    NAME,
                    number("Value"),
                    ("Global-Default", "boolean", 0),
                    AGE,
                    text("PreemptionPolicy"),
                ]
            },
            cluster::priority_class,
        ),
        (
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations" | "mutatingwebhookconfigurations",
        ) => (const { &[NAME, number("Webhooks"), AGE] }, cluster::webhooks),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies") => {
            (const { &[NAME, number("Validations"), text("ParamKind"), AGE] }, cluster::policy)
        }
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings") => {
            (const { &[NAME, text("PolicyName"), text("ParamRef"), AGE] }, cluster::policy_binding)
        }
        ("node.k8s.io", "runtimeclasses") => {
            (const { &[NAME, text("Handler"), AGE] }, cluster::runtime_class)
        }
        ("apiregistration.k8s.io", "apiservices") => {
            (const { &[NAME, text("Service"), text("Available"), AGE] }, cluster::api_service)
        }
        ("certificates.k8s.io", "certificatesigningrequests") => (
            const {
                &[
                    NAME,
                    AGE,
                    text("SignerName"),
                    text("Requestor"),
                    text("RequestedDuration"),
                    text("Condition"),
                ]
            },
            cluster::signing_request,
        ),
        _ => return None,
    })
}
