//! PURE · rules for every object: its kind, its names, its namespace, its marks.

use super::annotations;
use super::look::{At, Look, is_empty, short, text_of};
use super::{GroupKind, Rule};

/// Groups whose kinds give rights or identities.
const RIGHTS: [&str; 4] = [
    "authentication.k8s.io",
    "authorization.k8s.io",
    "certificates.k8s.io",
    "rbac.authorization.k8s.io",
];

/// Kinds that have no namespace, by group: Kubernetes' own and those of operators that are met often.
const CLUSTER_SCOPED: [(&str, &str); 51] = [
    ("", "ComponentStatus"),
    ("", "Namespace"),
    ("", "Node"),
    ("", "PersistentVolume"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
    ("argoproj.io", "ClusterAnalysisTemplate"),
    ("argoproj.io", "ClusterWorkflowTemplate"),
    ("cert-manager.io", "ClusterIssuer"),
    ("cilium.io", "CiliumClusterwideNetworkPolicy"),
    ("crd.antrea.io", "ClusterNetworkPolicy"),
    ("crd.projectcalico.org", "GlobalNetworkPolicy"),
    ("external-secrets.io", "ClusterExternalSecret"),
    ("external-secrets.io", "ClusterSecretStore"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("internal.apiserver.k8s.io", "StorageVersion"),
    ("keda.sh", "ClusterTriggerAuthentication"),
    ("kyverno.io", "ClusterCleanupPolicy"),
    ("kyverno.io", "ClusterPolicy"),
    ("networking.k8s.io", "IPAddress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "ServiceCIDR"),
    ("networking.k8s.aws", "ClusterNetworkPolicy"),
    ("node.k8s.io", "RuntimeClass"),
    ("policy", "PodSecurityPolicy"),
    ("policy.networking.k8s.io", "AdminNetworkPolicy"),
    ("policy.networking.k8s.io", "BaselineAdminNetworkPolicy"),
    ("policy.networking.k8s.io", "ClusterNetworkPolicy"),
    ("projectcalico.org", "GlobalNetworkPolicy"),
    ("resource.k8s.io", "DeviceClass"),
    ("resource.k8s.io", "DeviceTaintRule"),
    ("resource.k8s.io", "ResourceSlice"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("security.openshift.io", "SecurityContextConstraints"),
    ("snapshot.storage.k8s.io", "VolumeSnapshotClass"),
    ("snapshot.storage.k8s.io", "VolumeSnapshotContent"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
    ("storagemigration.k8s.io", "StorageVersionMigration"),
    ("traefik.io", "ServersTransportTCPGlobal"),
];

/// What fences a camp in. Policies add up: one more could open what ours keeps shut. So do network plug-ins' own kinds, and
/// those that give a pod another network.
const GUARDRAILS: [(&str, &str); 16] = [
    ("", "LimitRange"),
    ("", "ResourceQuota"),
    ("cilium.io", "CiliumEnvoyConfig"),
    ("cilium.io", "CiliumLocalRedirectPolicy"),
    ("cilium.io", "CiliumNetworkPolicy"),
    ("crd.antrea.io", "NetworkPolicy"),
    ("crd.projectcalico.org", "NetworkPolicy"),
    ("extensions", "NetworkPolicy"),
    ("k8s.cni.cncf.io", "NetworkAttachmentDefinition"),
    ("k8s.ovn.org", "EgressFirewall"),
    ("k8s.ovn.org", "EgressQoS"),
    ("k8s.ovn.org", "UserDefinedNetwork"),
    ("networking.gke.io", "FQDNNetworkPolicy"),
    ("networking.k8s.aws", "ApplicationNetworkPolicy"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("projectcalico.org", "NetworkPolicy"),
];

const NAMESPACE: &str = "leave the namespace out: objects go to the namespace of the preview";

pub(super) fn check(look: &mut Look<'_>, root: &At<'_, '_>) {
    kind(look);
    if let Some(metadata) = look.map(root, "metadata") {
        namespace(look, &metadata);
        name(look, &metadata);
        marks(look, &metadata);
        cluster_given(look, &metadata);
        annotations::everywhere(look, &metadata);
    }
}

fn kind(look: &mut Look<'_>) {
    let (group, kind) = (look.identity.group.clone(), look.identity.kind.clone());
    let of = if group.is_empty() { "the core group".to_owned() } else { short(&group) };
    let is = |list: &[(&str, &str)]| list.contains(&(group.as_str(), kind.as_str()));
    let name = short(&kind);
    let field = "/kind".to_owned();
    if RIGHTS.contains(&group.as_str()) {
        let message = format!("{name} gives rights, which a preview may not");
        // Charts bring rights by default, and have a value against it.
        let hint = "take the object out (many charts have a value rbac.create: false); pods of a preview run \
                    without rights in the cluster";
        look.found(Rule::AccessControl, field, message, hint);
    } else if is(&CLUSTER_SCOPED) {
        let message =
            format!("kind {name} of {of} is cluster-scoped: it belongs to the whole cluster");
        let hint = "take the object out, or ask the platform team to add the kind to \
                    isolation.clusterScoped.ignore when the cluster has it already";
        look.found(Rule::KindNotAllowed, field, message, hint);
    } else if is(&GUARDRAILS) {
        let message = format!("kind {name} of {of} is a guardrail, which the service itself sets");
        let hint = "take the object out; the platform team decides about it in the Repository";
        look.found(Rule::KindNotAllowed, field, message, hint);
    } else if !look.policy.allowed_kinds.contains(&GroupKind::new(&group, &kind)) {
        let message = format!("kind {name} of {of} is not on the list of allowed kinds");
        // Charts bring accounts by default, and have a value against it.
        let hint = if group.is_empty() && kind == "ServiceAccount" {
            "take the object out (a chart's value serviceAccount.create: false), or ask the platform team \
             to add the kind to isolation.allowedKinds"
        } else {
            "take the object out of the preview, or ask the platform team to add the kind to \
             isolation.allowedKinds"
        };
        look.found(Rule::KindNotAllowed, field, message, hint);
    }
}

fn namespace(look: &mut Look<'_>, metadata: &At<'_, '_>) {
    if let Some(namespace) = metadata.get("namespace")
        && namespace.text() != Some(&look.policy.namespace)
    {
        let message = format!("namespace {} is not this preview's", text_of(namespace.value));
        look.found(Rule::ForeignNamespace, namespace.pointer(), message, NAMESPACE);
    }
}

/// `key` of `at` may only name the camp's own namespace.
pub(super) fn own_namespace(look: &mut Look<'_>, at: &At<'_, '_>, key: &'static str) {
    if let Some(namespace) = at.get(key)
        && namespace.text() != Some(&look.policy.namespace)
    {
        foreign(look, &namespace);
    }
}

/// Says that `at` names a namespace that is not the camp's.
pub(super) fn foreign(look: &mut Look<'_>, at: &At<'_, '_>) {
    let message = format!("this refers to namespace {}, not this preview's", text_of(at.value));
    look.found(Rule::ForeignNamespace, at.pointer(), message, NAMESPACE);
}

fn name(look: &mut Look<'_>, metadata: &At<'_, '_>) {
    if let Some(prefix) = metadata.get("generateName") {
        let message = "generateName gives the object a new name each time";
        look.found(Rule::GeneratedName, prefix.pointer(), message, "write metadata.name");
    }
    let Some(name) = look.string(metadata, "name") else { return };
    let is_secret = look.identity.group.is_empty() && look.identity.kind == "Secret";
    if is_secret && look.policy.granted_secrets.contains(name) {
        let message =
            format!("Secret {} is put into the preview by the platform team", short(name));
        let field = metadata.pointer_of("name");
        look.found(
            Rule::GuardrailName,
            field,
            message,
            "take the object out, or choose another name",
        );
    }
    if is_reserved(name) || name == "kube-root-ca.crt" {
        let message = format!("the name {} is reserved", short(name));
        let field = metadata.pointer_of("name");
        look.found(Rule::GuardrailName, field, message, "choose another name");
    }
}

/// Names that the service keeps for itself.
pub(super) fn is_reserved(name: &str) -> bool {
    name == "bivouac" || name.starts_with("bivouac-")
}

/// What nobody but the service or a controller may write, in the metadata of an object or of a template.
pub(super) fn marks(look: &mut Look<'_>, metadata: &At<'_, '_>) {
    for key in ["labels", "annotations"] {
        let Some(map) = look.map(metadata, key) else { continue };
        for (key, value) in map.members() {
            let domain = key.split('/').next().unwrap_or(key);
            let ours = domain == "bivouac.dev" || domain.ends_with(".bivouac.dev");
            let asks = key_is_asking(key) && value.pointer().starts_with("/metadata/annotations/");
            if ours && !asks && !is_from_rendering(look, &value, key) {
                let message = format!("{} is a mark of the service itself", short(key));
                look.found(Rule::GuardrailName, value.pointer(), message, "take it out");
            }
        }
    }
    for (key, what) in [
        ("finalizers", "finalizers could keep the preview from being taken down"),
        ("ownerReferences", "owner references are set by controllers only"),
    ] {
        if let Some(list) = metadata.get(key)
            && !is_empty(list.value)
        {
            look.found(Rule::GuardrailName, list.pointer(), what, "take them out");
        }
    }
}

/// Annotations that are there for people to write, on an object itself.
fn key_is_asking(key: &str) -> bool {
    crate::domain::waves::ASKING.contains(&key) || key == "bivouac.dev/replace"
}

/// What rendering put in has no place in a file.
fn is_from_rendering(look: &Look<'_>, at: &At<'_, '_>, key: &str) -> bool {
    let pointer = at.pointer();
    pointer.starts_with("/metadata/labels/")
        && matches!(key, "bivouac.dev/environment" | "bivouac.dev/app")
        && !look.object.positions.contains_key(&pointer)
}

fn cluster_given(look: &mut Look<'_>, metadata: &At<'_, '_>) {
    const HINT: &str = "take it out; kubectl get -o yaml prints more than belongs in a file";
    for key in ["resourceVersion", "uid", "selfLink", "managedFields", "deletionTimestamp"] {
        if let Some(value) = metadata.get(key)
            && !is_empty(value.value)
            && value.text() != Some("")
        {
            let message = format!("metadata.{key} is given by the cluster");
            look.found(Rule::ClusterGiven, value.pointer(), message, HINT);
        }
    }
    if let Some(annotations) = metadata.get("annotations")
        && let Some(copy) = annotations.get("kubectl.kubernetes.io/last-applied-configuration")
    {
        let message = "last-applied-configuration repeats the whole object";
        look.found(Rule::ClusterGiven, copy.pointer(), message, HINT);
    }
}
