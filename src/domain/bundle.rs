//! PURE · all objects rendered for one set of inputs: canonical JSON, one a line, in apply order, and its digest.

use std::fmt::{self, Write as _};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::positions::Positions;
use super::preview_file::PREVIEW_FILE;
use super::waves::{Moment, number_of};

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
    /// Whether claims of storage that left the commit are deleted at once, with what is in them.
    pub delete_data: bool,
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
    pub positions: Positions,
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

/// What an object is to a camp: its place in the order of an apply, as far as its kind and a hook's moment say it.
/// Waves that somebody wrote down go before this; see [`crate::domain::waves`].
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
    /// Hooks that run before the camp is taken down. They are held back until then.
    BeforeDelete,
}

impl From<Moment> for Wave {
    fn from(moment: Moment) -> Self {
        match moment {
            Moment::BeforeApply => Self::BeforeApply,
            Moment::AfterReady => Self::AfterReady,
            Moment::BeforeDelete => Self::BeforeDelete,
        }
    }
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

/// An [`ObjectIdentity`] that is only looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Names<'o> {
    pub(crate) group: &'o str,
    pub(crate) kind: &'o str,
    pub(crate) namespace: &'o str,
    pub(crate) name: &'o str,
}

impl BundleObject {
    /// Who this is.
    #[must_use]
    pub fn identity(&self) -> ObjectIdentity {
        let Names { group, kind, namespace, name } = self.names();
        ObjectIdentity {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The same without a copy, for what is asked of every object.
    pub(crate) fn names(&self) -> Names<'_> {
        fn text<'v>(value: Option<&'v Value>, key: &str) -> &'v str {
            value.and_then(|value| value.get(key)?.as_str()).unwrap_or_default()
        }
        let metadata = self.json.get("metadata");
        Names {
            group: group_of(text(Some(&self.json), "apiVersion")),
            kind: text(Some(&self.json), "kind"),
            namespace: text(metadata, "namespace"),
            name: text(metadata, "name"),
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
    pub fn new(objects: Vec<BundleObject>, inputs_digest: String) -> Self {
        Self::measured(objects, inputs_digest).0
    }

    /// The same, with the bytes of [`Bundle::canonical`].
    pub(crate) fn measured(objects: Vec<BundleObject>, inputs_digest: String) -> (Self, usize) {
        let objects = in_apply_order(objects);
        let mut hash = Sha256::new();
        let mut bytes = 0;
        let mut line = String::new();
        for object in &objects {
            line.clear();
            write_canonical(&object.json, &mut line);
            line.push('\n');
            bytes += line.len();
            hash.update(line.as_bytes());
        }
        let digest = hex::encode(hash.finalize());
        (Self { objects, inputs_digest, digest, random: Vec::new(), delete_data: false }, bytes)
    }

    /// One object a line, keys sorted, each line ended by a newline.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = String::new();
        for object in &self.objects {
            write_canonical(&object.json, &mut text);
            text.push('\n');
        }
        text
    }
}

/// Configuration, hooks before, everything else by its wave, hooks after, hooks of the end; in each by number, by kind and
/// by name. What is the same in all of it stays as it was.
fn in_apply_order(objects: Vec<BundleObject>) -> Vec<BundleObject> {
    let mut keys: Vec<_> = objects
        .iter()
        .enumerate()
        .map(|(index, object)| {
            let number = number_of(object);
            let part = match object.wave {
                Wave::Config if number.is_none() => 0_u8,
                Wave::BeforeApply => 1,
                Wave::Config | Wave::Workloads | Wave::Routes => 2,
                Wave::AfterReady => 3,
                Wave::BeforeDelete => 4,
            };
            let names = object.names();
            (part, number.unwrap_or(0), object.wave, rank(names.kind), names, index)
        })
        .collect();
    keys.sort_unstable();
    let order: Vec<usize> = keys.into_iter().map(|(.., index)| index).collect();
    let mut objects: Vec<Option<BundleObject>> = objects.into_iter().map(Some).collect();
    order.into_iter().filter_map(|index| objects.get_mut(index)?.take()).collect()
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

/// The order in which Helm installs kinds (`InstallOrder`), which Argo CD took over: what others refer to comes first.
const INSTALL_ORDER: [&str; 38] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

/// Place of a kind in an apply; kinds that Helm does not know come last.
#[must_use]
pub fn rank(kind: &str) -> u8 {
    let place = INSTALL_ORDER.iter().position(|known| *known == kind);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
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
            let write = |members: &mut dyn Iterator<Item = (&String, &Value)>, out: &mut String| {
                out.push('{');
                for (index, (key, member)) in members.enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(key, out);
                    out.push(':');
                    write_canonical(member, out);
                }
                out.push('}');
            };
            // A crate far away may turn on serde_json's `preserve_order`.
            if members.keys().is_sorted() {
                write(&mut members.iter(), out);
            } else {
                let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
                sorted.sort_unstable_by_key(|(key, _)| *key);
                write(&mut sorted.into_iter(), out);
            }
        }
        Value::String(text) => write_text(text, out),
        Value::Null => out.push_str("null"),
        Value::Bool(is) => out.push_str(if *is { "true" } else { "false" }),
        // Writing into a `String` can't fail.
        Value::Number(number) => _ = write!(out, "{number}"),
    }
}

/// `text` in quotes, as `serde_json` writes it.
fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut start = 0;
    for (index, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        // All of these are characters of one byte.
        out.push_str(text.get(start..index).unwrap_or_default());
        start = index + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            other => _ = write!(out, "\\u{other:04x}"),
        }
    }
    out.push_str(text.get(start..).unwrap_or_default());
    out.push('"');
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
            positions: Positions::default(),
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
    fn kinds_follow_one_another_as_helm_installs_them() {
        let written = [
            ("example.com/v1", "Widget"),
            ("batch/v1", "CronJob"),
            ("batch/v1", "Job"),
            ("apps/v1", "StatefulSet"),
            ("autoscaling/v2", "HorizontalPodAutoscaler"),
            ("apps/v1", "Deployment"),
            ("apps/v1", "ReplicaSet"),
            ("v1", "Pod"),
            ("apps/v1", "DaemonSet"),
            ("v1", "Service"),
            ("policy/v1", "PodDisruptionBudget"),
        ];
        let objects = written.iter().map(|(group, kind)| object(group, kind, "x")).collect();
        let sorted = Bundle::new(objects, "i".into()).objects;
        let kinds: Vec<_> = sorted.iter().map(|one| one.identity().kind).collect();
        let wanted: Vec<_> = written.iter().rev().map(|(_, kind)| (*kind).to_owned()).collect();
        assert_eq!(kinds, wanted);
        let config = ["PersistentVolumeClaim", "ConfigMap", "Secret", "ServiceAccount"];
        let objects = config.iter().map(|kind| object("v1", kind, "x")).collect();
        let sorted = Bundle::new(objects, "i".into()).objects;
        let kinds: Vec<_> = sorted.iter().map(|one| one.identity().kind).collect();
        assert_eq!(kinds, ["ServiceAccount", "Secret", "ConfigMap", "PersistentVolumeClaim"]);
    }

    #[test]
    fn a_wave_that_is_written_down_goes_before_the_kind() {
        let at = |kind: &str, name: &str, wave: &str| {
            let mut object = object("apps/v1", kind, name);
            object.json["metadata"]["annotations"] = json!({"bivouac.dev/wave": wave});
            object
        };
        let objects = vec![
            at("Deployment", "last", "7"),
            object("networking.k8s.io/v1", "Ingress", "web"),
            at("Deployment", "first", "-7"),
            object("v1", "ConfigMap", "config"),
        ];
        let sorted = Bundle::new(objects, "i".into()).objects;
        let names: Vec<_> = sorted.iter().map(|one| one.identity().name).collect();
        assert_eq!(names, ["config", "first", "web", "last"]);
    }

    #[test]
    fn canonical_json_sorts_keys_at_every_depth() {
        let value = json!({"b": [{"d": 1, "c": "ü\n"}], "a": null});
        assert_eq!(canonical_json(&value), r#"{"a":null,"b":[{"c":"ü\n","d":1}]}"#);
    }

    #[test]
    fn text_is_written_as_json_has_it() {
        let every: String = (0..0x300).filter_map(char::from_u32).collect();
        for text in ["", "plain", "\"", "a\\b", "\u{1f600}\u{7f}\u{1}", every.as_str()] {
            assert_eq!(canonical_json(&json!(text)), json!(text).to_string(), "{text:?}");
            assert_eq!(canonical_json(&json!({text: 1.5})), json!({text: 1.5}).to_string());
        }
        for number in [json!(0), json!(-1), json!(u64::MAX), json!(1e300), json!(0.1)] {
            assert_eq!(canonical_json(&number), number.to_string());
        }
    }

    #[test]
    fn the_digest_is_that_of_the_canonical_text() {
        let objects = vec![object("v1", "Secret", "b"), object("v1", "ConfigMap", "a")];
        let (bundle, bytes) = Bundle::measured(objects, "i".into());
        assert_eq!(bundle.digest, sha256_hex(bundle.canonical().as_bytes()));
        assert_eq!(bytes, bundle.canonical().len());
    }
}
