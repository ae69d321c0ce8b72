//! PURE · all objects rendered for one set of inputs: canonical JSON, one a line, in apply order, and its digest.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::document::Position;
use super::preview_file::PREVIEW_FILE;

/// Everything that is applied for one commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The objects in apply order.
    pub objects: Vec<BundleObject>,
    /// Identifies what went in.
    pub inputs_digest: String,
    /// Identifies what came out: SHA-256 of [`Bundle::canonical`], 64 hex digits.
    pub digest: String,
    /// Fields that a chart drew at random: rendered again they would differ.
    pub random: Vec<RandomField>,
}

/// A field that a chart drew at random (`randAlphaNum`, `genCA`, `now`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RandomField {
    /// The object.
    pub object: ObjectIdentity,
    /// JSON pointer of the field.
    pub pointer: String,
}

/// One object of a bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct BundleObject {
    /// The object as it is sent.
    pub json: Value,
    /// Where it was written.
    pub origin: Origin,
    /// The app of the preview file it belongs to.
    pub app: String,
    /// When it is applied.
    pub wave: Wave,
    /// Place of each field *written in the file*, by JSON pointer; what rendering added is not in here.
    pub positions: BTreeMap<String, Position>,
}

/// File and line of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Path in the repository.
    pub file: String,
    /// Line, from 1. For a template: line of the rendered text.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Objects of one wave may be applied side by side; waves follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wave {
    /// Configuration and storage.
    Config,
    /// Hooks that run before the workloads change, say the migration of a database.
    BeforeApply,
    /// What runs, and the Services before it.
    Workloads,
    /// What brings people to it.
    Routes,
    /// Hooks that run when the rest is there, say a smoke test.
    AfterReady,
}

/// What tells one object from another in a cluster. The API version is not part of it: `apps/v1` and `apps/v1beta1`
/// name the same Deployment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectIdentity {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty when none is written.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for ObjectIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl BundleObject {
    /// Who this is.
    #[must_use]
    pub fn identity(&self) -> ObjectIdentity {
        let text = |pointer| self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        ObjectIdentity {
            group: group_of(text("/apiVersion")).to_owned(),
            kind: text("/kind").to_owned(),
            namespace: text("/metadata/namespace").to_owned(),
            name: text("/metadata/name").to_owned(),
        }
    }

    /// Whether rendering made it, and no file of the repository holds it. Such objects have the preview file as origin,
    /// in which nobody else can write one.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.origin.file == PREVIEW_FILE
    }

    /// File and line of the field at `pointer`, or of the nearest field around it that was written.
    #[must_use]
    pub fn place_of(&self, pointer: &str) -> Origin {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.positions.get(pointer) {
                // The root's place is the origin: a document's first line may be a comment.
                if !pointer.is_empty() {
                    return Origin { file: self.origin.file.clone(), line: position.line };
                }
            }
            match pointer.rfind('/') {
                Some(cut) => pointer = &pointer[..cut],
                None => return self.origin.clone(),
            }
        }
    }
}

impl Bundle {
    /// Puts `objects` into apply order and computes the digest.
    #[must_use]
    pub fn new(mut objects: Vec<BundleObject>, inputs_digest: String) -> Self {
        objects.sort_by(apply_order);
        let mut bundle = Self { objects, inputs_digest, digest: String::new(), random: Vec::new() };
        bundle.digest = sha256_hex(bundle.canonical().as_bytes());
        bundle
    }

    /// One object a line, keys sorted, each line ended by a newline.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        for object in &self.objects {
            text.push_str(&canonical_json(&object.json));
            text.push('\n');
        }
        text
    }
}

fn apply_order(a: &BundleObject, b: &BundleObject) -> Ordering {
    let key = |o: &BundleObject| {
        let identity = o.identity();
        (o.wave, rank(&identity.kind), identity)
    };
    key(a).cmp(&key(b))
}

/// The group in an `apiVersion`; empty for the core group.
#[must_use]
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The wave of an object, by its group and kind.
#[must_use]
pub fn wave_of(group: &str, kind: &str) -> Wave {
    match (group, kind) {
        (
            "",
            "ConfigMap"
            | "Secret"
            | "PersistentVolumeClaim"
            | "ServiceAccount"
            | "Namespace"
            | "ResourceQuota"
            | "LimitRange"
            | "PersistentVolume",
        )
        | ("rbac.authorization.k8s.io" | "apiextensions.k8s.io" | "storage.k8s.io", _)
        | ("networking.k8s.io", "NetworkPolicy") => Wave::Config,
        ("networking.k8s.io" | "gateway.networking.k8s.io" | "extensions", _) => Wave::Routes,
        _ => Wave::Workloads,
    }
}

/// Whether objects of this kind are in no namespace. Of kinds that no Kubernetes brings, only widespread ones are known.
#[must_use]
pub fn is_cluster_scoped(group: &str, kind: &str) -> bool {
    match group {
        "" => matches!(kind, "Namespace" | "Node" | "PersistentVolume" | "ComponentStatus"),
        "rbac.authorization.k8s.io" => matches!(kind, "ClusterRole" | "ClusterRoleBinding"),
        "networking.k8s.io" => matches!(kind, "IngressClass" | "ServiceCIDR" | "IPAddress"),
        "gateway.networking.k8s.io" => kind == "GatewayClass",
        "storage.k8s.io" => kind != "CSIStorageCapacity",
        "cert-manager.io" => kind == "ClusterIssuer",
        "policy" => kind == "PodSecurityPolicy",
        "snapshot.storage.k8s.io" => kind != "VolumeSnapshot",
        "external-secrets.io" => matches!(kind, "ClusterSecretStore" | "ClusterExternalSecret"),
        "resource.k8s.io" => matches!(kind, "DeviceClass" | "ResourceSlice"),
        "certificates.k8s.io" => {
            matches!(kind, "CertificateSigningRequest" | "ClusterTrustBundle")
        }
        "apiextensions.k8s.io"
        | "admissionregistration.k8s.io"
        | "apiregistration.k8s.io"
        | "scheduling.k8s.io"
        | "node.k8s.io"
        | "flowcontrol.apiserver.k8s.io" => true,
        _ => false,
    }
}

/// Order inside a wave: what others refer to comes first.
fn rank(kind: &str) -> u8 {
    match kind {
        "Namespace" => 0,
        "ServiceAccount" => 1,
        "Secret" => 2,
        "ConfigMap" => 3,
        "PersistentVolumeClaim" => 4,
        "Service" => 5,
        "StatefulSet" => 6,
        "Deployment" | "DaemonSet" | "ReplicaSet" => 7,
        "Pod" => 8,
        "Job" | "CronJob" => 9,
        "HorizontalPodAutoscaler" | "PodDisruptionBudget" => 10,
        _ => 11,
    }
}

/// JSON without blanks and with the keys of every object sorted by their bytes.
#[must_use]
pub fn canonical_json(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Array(elements) => {
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_canonical(element, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            // Sorted here and not by the map: a crate far away may turn on serde_json's `preserve_order`.
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            out.push('{');
            for (index, (key, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(member, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// SHA-256 as 64 hex digits.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(api_version: &str, kind: &str, name: &str) -> BundleObject {
        BundleObject {
            json: json!({"kind": kind, "apiVersion": api_version, "metadata": {"name": name}}),
            origin: Origin { file: "a.yaml".into(), line: 1 },
            app: "web".into(),
            wave: wave_of(group_of(api_version), kind),
            positions: BTreeMap::new(),
        }
    }

    #[test]
    fn objects_are_applied_by_wave_whatever_order_they_were_written_in() {
        let written = [
            ("networking.k8s.io/v1", "Ingress", "web"),
            ("apps/v1", "Deployment", "web"),
            ("v1", "Service", "web"),
            ("v1", "ConfigMap", "b"),
            ("v1", "ConfigMap", "a"),
        ];
        let objects: Vec<_> = written.iter().map(|(g, k, n)| object(g, k, n)).collect();
        let mut reversed = objects.clone();
        reversed.reverse();
        let one = Bundle::new(objects, "i".into());
        let names: Vec<_> = one.objects.iter().map(|o| o.identity().to_string()).collect();
        let wanted = ["ConfigMap/a", "ConfigMap/b", "Service/web", "Deployment/web", "Ingress/web"];
        assert_eq!(names, wanted);
        assert_eq!(one.digest, Bundle::new(reversed, "i".into()).digest);
    }

    #[test]
    fn canonical_json_sorts_keys_at_every_depth() {
        let value = json!({"b": [{"d": 1, "c": "ü\n"}], "a": null});
        assert_eq!(canonical_json(&value), r#"{"a":null,"b":[{"c":"ü\n","d":1}]}"#);
    }
}
