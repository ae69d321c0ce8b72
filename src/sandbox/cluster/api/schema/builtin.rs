//! Makes Kubernetes' `OpenAPI` definitions of built-in kinds from the types of `k8s-openapi`. In: a type; out: JSON. No I/O.
//!
//! The types carry names, descriptions and required fields. How lists merge comes from `list_types.json`, which a test
//! extracts from the same crate; the few facts that it does not carry stand in the tables below.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use k8s_openapi::schemars::SchemaGenerator;
use k8s_openapi::schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::node::{Node, Type};

/// Adds a type's definitions to a generator and gives the reference to it.
pub(super) type Generate = fn(&mut SchemaGenerator) -> k8s_openapi::schemars::Schema;

/// How one list or map merges, as the crate's `DeepMerge` does it.
#[derive(Debug, Deserialize)]
struct Merge {
    #[serde(rename = "type")]
    ty: String,
    #[serde(default)]
    keys: Vec<String>,
}

/// Objects that are one value with one owner.
const ATOMIC_OBJECTS: &[&str] = &[
    "io.k8s.api.admissionregistration.v1.MatchResources",
    "io.k8s.api.admissionregistration.v1.NamedRuleWithOperations",
    "io.k8s.api.admissionregistration.v1.ParamKind",
    "io.k8s.api.admissionregistration.v1.ParamRef",
    "io.k8s.api.admissionregistration.v1.Variable",
    "io.k8s.api.autoscaling.v1.CrossVersionObjectReference",
    "io.k8s.api.core.v1.ConfigMapKeySelector",
    "io.k8s.api.core.v1.EndpointAddress",
    "io.k8s.api.core.v1.EndpointPort",
    "io.k8s.api.core.v1.FileKeySelector",
    "io.k8s.api.core.v1.LocalObjectReference",
    "io.k8s.api.core.v1.NodeSelector",
    "io.k8s.api.core.v1.NodeSelectorTerm",
    "io.k8s.api.core.v1.ObjectFieldSelector",
    "io.k8s.api.core.v1.ObjectReference",
    "io.k8s.api.core.v1.ResourceFieldSelector",
    "io.k8s.api.core.v1.ScopeSelector",
    "io.k8s.api.core.v1.SecretKeySelector",
    "io.k8s.api.core.v1.SecretReference",
    "io.k8s.api.core.v1.TopologySelectorTerm",
    "io.k8s.api.core.v1.TypedLocalObjectReference",
    "io.k8s.api.discovery.v1.EndpointPort",
    "io.k8s.api.networking.v1.ServiceBackendPort",
    "io.k8s.api.rbac.v1.RoleRef",
    "io.k8s.api.rbac.v1.Subject",
    "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
    "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference",
];

/// Lists whose keys for server-side apply are more than, or not, the key for strategic merge.
const LIST_KEYS: &[(&str, &str, &[&str])] = &[
    ("io.k8s.api.core.v1.Container", "ports", &["containerPort", "protocol"]),
    ("io.k8s.api.core.v1.EphemeralContainer", "ports", &["containerPort", "protocol"]),
    (
        "io.k8s.api.core.v1.PodSpec",
        "topologySpreadConstraints",
        &["topologyKey", "whenUnsatisfiable"],
    ),
    ("io.k8s.api.core.v1.PodVolumeHealth", "healthConditions", &["status", "reason"]),
    ("io.k8s.api.core.v1.ServiceSpec", "ports", &["port", "protocol"]),
    ("io.k8s.api.core.v1.VolumeHealthStatus", "healthConditions", &["status", "reason"]),
];

/// Lists that merge by key in a strategic merge patch, but have one owner in server-side apply.
const ATOMIC_LISTS: &[(&str, &str)] =
    &[("io.k8s.api.batch.v1.JobStatus", "conditions"), ("io.k8s.api.core.v1.PodStatus", "hostIPs")];

/// Lists that merge by key in server-side apply, but are replaced by a strategic merge patch.
const REPLACED_LISTS: &[(&str, &str)] = &[
    (
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec",
        "validationActions",
    ),
    ("io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyStatus", "conditions"),
    ("io.k8s.api.certificates.v1.CertificateSigningRequestStatus", "conditions"),
    ("io.k8s.api.core.v1.ResourceRequirements", "claims"),
    ("io.k8s.api.core.v1.ResourceStatus", "resources"),
    ("io.k8s.api.resource.v1.AllocatedDeviceStatus", "conditions"),
    ("io.k8s.api.resource.v1.ResourceClaimStatus", "devices"),
];

/// Lists that the crate merges by key on its own account.
const NOT_MERGED: &[(&str, &str)] =
    &[("io.k8s.api.apps.v1.StatefulSetSpec", "volumeClaimTemplates")];

/// Fields whose strategic merge drops the keys that the patch does not retain.
const RETAIN_KEYS: &[(&str, &str)] = &[
    ("io.k8s.api.apps.v1.DeploymentSpec", "strategy"),
    ("io.k8s.api.core.v1.PodSpec", "resourceClaims"),
    ("io.k8s.api.core.v1.PodSpec", "volumes"),
    ("io.k8s.api.core.v1.PodStatus", "resourceClaimStatuses"),
];

/// Sets of scalars that a strategic merge patch adds to; other sets it replaces.
const MERGED_SETS: &[(&str, &str)] = &[
    ("io.k8s.api.core.v1.NodeSpec", "podCIDRs"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "finalizers"),
];

/// Defaults that a schema declares: an absent key of a list item is taken for them.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("io.k8s.api.core.v1.ContainerPort", "protocol", "TCP"),
    ("io.k8s.api.core.v1.EndpointPort", "protocol", "TCP"),
    ("io.k8s.api.core.v1.ISCSIVolumeSource", "iscsiInterface", "default"),
    ("io.k8s.api.core.v1.LocalObjectReference", "name", ""),
    ("io.k8s.api.core.v1.RBDVolumeSource", "keyring", "/etc/ceph/keyring"),
    ("io.k8s.api.core.v1.RBDVolumeSource", "pool", "rbd"),
    ("io.k8s.api.core.v1.RBDVolumeSource", "user", "admin"),
    ("io.k8s.api.core.v1.ServicePort", "protocol", "TCP"),
];

/// Types that hold any JSON.
const ANY_JSON: &[&str] = &[
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
];

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

fn list_types() -> &'static BTreeMap<String, BTreeMap<String, Merge>> {
    static TABLE: OnceLock<BTreeMap<String, BTreeMap<String, Merge>>> = OnceLock::new();
    TABLE.get_or_init(|| serde_json::from_str(include_str!("list_types.json")).unwrap_or_default())
}

/// The root's name and all definitions that it needs.
pub(super) fn definitions(generate: Generate) -> (String, Map<String, Value>) {
    let settings = SchemaSettings::openapi3();
    let mut generator = SchemaGenerator::new(settings);
    let root = generate(&mut generator);
    let name = root
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| target.rsplit('/').next())
        .unwrap_or_default()
        .to_owned();
    let mut definitions = generator.take_definitions(false);
    for (name, schema) in &mut definitions {
        amend(name, schema);
    }
    (name, definitions)
}

/// `apiVersion`, `kind` and `metadata` as every object has them.
pub(super) fn type_meta() -> [(String, Value); 3] {
    let text = |description: &str| json!({ "description": description, "type": "string" });
    [
        (
            "apiVersion".to_owned(),
            text(
                "APIVersion defines the versioned schema of this representation of an object. Servers should \
                 convert recognized schemas to the latest internal value, and may reject unrecognized values. More \
                 info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
            ),
        ),
        (
            "kind".to_owned(),
            text(
                "Kind is a string value representing the REST resource this object represents. Servers may infer \
                 this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: \
                 https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
            ),
        ),
        (
            "metadata".to_owned(),
            json!({
                "description": "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
                "allOf": [{ "$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" }],
            }),
        ),
    ]
}

/// `ObjectMeta` and what it needs.
pub(super) fn object_meta_definitions() -> &'static Map<String, Value> {
    static META: OnceLock<Map<String, Value>> = OnceLock::new();
    META.get_or_init(|| definitions(super::kinds::OBJECT_META).1)
}

/// The node of a definition; a few types accept more than their published schema says.
pub(super) fn node(name: &str, schema: &Value) -> Node {
    let mut node = Node::parse(schema);
    if name == QUANTITY {
        node.ty = Type::IntOrString;
    } else if ANY_JSON.contains(&name) {
        node.ty = Type::Any;
        node.preserve_unknown = true;
        node.logic = None;
    }
    node
}

fn listed(table: &[(&str, &str)], definition: &str, field: &str) -> bool {
    table.contains(&(definition, field))
}

/// Brings one generated definition into Kubernetes' form.
fn amend(name: &str, schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if name == QUANTITY {
        object.remove("x-kubernetes-int-or-string");
        object.insert("type".to_owned(), json!("string"));
    } else if name == INT_OR_STRING {
        object.remove("x-kubernetes-int-or-string");
        object.insert("type".to_owned(), json!("string"));
        object.insert("format".to_owned(), json!("int-or-string"));
    }
    if ATOMIC_OBJECTS.contains(&name) {
        object.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    let fields = list_types().get(name);
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        for (field, property) in properties {
            wrap_reference(property);
            let merge = fields.and_then(|fields| fields.get(field));
            if let Some(property) = property.as_object_mut() {
                amend_field(name, field, property, merge);
            }
        }
    }
}

/// A description next to a `$ref` would be ignored by readers of `OpenAPI` 3.0: the reference moves into `allOf`.
fn wrap_reference(property: &mut Value) {
    let Some(object) = property.as_object_mut() else { return };
    if object.len() > 1
        && let Some(target) = object.remove("$ref")
    {
        object.insert("allOf".to_owned(), json!([{ "$ref": target }]));
    }
}

fn amend_field(
    definition: &str,
    field: &str,
    property: &mut Map<String, Value>,
    merge: Option<&Merge>,
) {
    let mut set = |key: &str, value: Value| {
        property.insert(key.to_owned(), value);
    };
    if let Some((.., value)) =
        DEFAULTS.iter().find(|(owner, name, _)| *owner == definition && *name == field)
    {
        set("default", json!(value));
    }
    let mut strategies = Vec::new();
    if let Some(merge) = merge {
        match merge.ty.as_str() {
            "atomic-map" => set("x-kubernetes-map-type", json!("atomic")),
            "set" => {
                set("x-kubernetes-list-type", json!("set"));
                if listed(MERGED_SETS, definition, field) {
                    strategies.push("merge");
                }
            }
            "map" if !listed(NOT_MERGED, definition, field) => {
                let keys = LIST_KEYS
                    .iter()
                    .find(|(owner, name, _)| *owner == definition && *name == field)
                    .map_or_else(|| json!(merge.keys), |(.., keys)| json!(keys));
                if listed(ATOMIC_LISTS, definition, field) {
                    set("x-kubernetes-list-type", json!("atomic"));
                } else {
                    set("x-kubernetes-list-type", json!("map"));
                    set("x-kubernetes-list-map-keys", keys);
                }
                if !listed(REPLACED_LISTS, definition, field)
                    && !definition.starts_with("io.k8s.apiextensions-apiserver")
                    && let Some(key) = merge.keys.first()
                {
                    set("x-kubernetes-patch-merge-key", json!(key));
                    strategies.push("merge");
                }
            }
            _ => set("x-kubernetes-list-type", json!("atomic")),
        }
    }
    if listed(RETAIN_KEYS, definition, field) {
        strategies.push("retainKeys");
    }
    if !strategies.is_empty() {
        set("x-kubernetes-patch-strategy", json!(strategies.join(",")));
    }
}
