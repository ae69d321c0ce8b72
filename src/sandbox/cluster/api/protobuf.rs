//! Kubernetes' protobuf bodies → JSON, for the kinds that `kubectl create` and helm send in no other way. Pure, no I/O.
//!
//! Answers are JSON always: clients that send protobuf take both.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::status::ApiError;

/// What stands in a field.
#[derive(Clone, Copy)]
enum Field {
    /// Empty counts as absent, as in all of these (Go encodes them always).
    Text,
    Texts,
    /// 0 counts as absent.
    Number,
    /// A pointer in Go: 0 is a value.
    Optional,
    Flag,
    /// No pointer in Go: false counts as absent.
    Plain,
    IntOrText,
    Message(&'static str),
    Messages(&'static str),
    TextMap,
    BytesMap,
    QuantityMap,
    Time,
    MicroTime,
    RawJson,
}

use Field::{
    BytesMap, Flag, IntOrText, Message, Messages, MicroTime, Number, Optional, Plain, QuantityMap,
    RawJson, Text, TextMap, Texts, Time,
};

type Fields = &'static [(u64, &'static str, Field)];

/// Field numbers as in Kubernetes' public `generated.proto` files.
#[expect(clippy::too_many_lines, reason = "a table")]
fn fields(message: &str) -> Option<Fields> {
    Some(match message {
        "ObjectMeta" => &[
            (1, "name", Text),
            (2, "generateName", Text),
            (3, "namespace", Text),
            (5, "uid", Text),
            (6, "resourceVersion", Text),
            (7, "generation", Number),
            (8, "creationTimestamp", Time),
            (9, "deletionTimestamp", Time),
            (10, "deletionGracePeriodSeconds", Optional),
            (11, "labels", TextMap),
            (12, "annotations", TextMap),
            (13, "ownerReferences", Messages("OwnerReference")),
            (14, "finalizers", Texts),
            (17, "managedFields", Messages("ManagedFieldsEntry")),
        ],
        "OwnerReference" => &[
            (1, "kind", Text),
            (3, "name", Text),
            (4, "uid", Text),
            (5, "apiVersion", Text),
            (6, "controller", Flag),
            (7, "blockOwnerDeletion", Flag),
        ],
        "ManagedFieldsEntry" => &[
            (1, "manager", Text),
            (2, "operation", Text),
            (3, "apiVersion", Text),
            (4, "time", Time),
            (6, "fieldsType", Text),
            (7, "fieldsV1", RawJson),
            (8, "subresource", Text),
        ],
        "Namespace" => &[
            (1, "metadata", Message("ObjectMeta")),
            (2, "spec", Message("NamespaceSpec")),
            (3, "status", Message("NamespaceStatus")),
        ],
        "NamespaceSpec" => &[(1, "finalizers", Texts)],
        "NamespaceStatus" => &[(1, "phase", Text)],
        "Secret" => &[
            (1, "metadata", Message("ObjectMeta")),
            (2, "data", BytesMap),
            (3, "type", Text),
            (4, "stringData", TextMap),
            (5, "immutable", Flag),
        ],
        "ConfigMap" => &[
            (1, "metadata", Message("ObjectMeta")),
            (2, "data", TextMap),
            (3, "binaryData", BytesMap),
            (4, "immutable", Flag),
        ],
        "ServiceAccount" => &[
            (1, "metadata", Message("ObjectMeta")),
            (2, "secrets", Messages("ObjectReference")),
            (3, "imagePullSecrets", Messages("LocalObjectReference")),
            (4, "automountServiceAccountToken", Flag),
        ],
        "LocalObjectReference" => &[(1, "name", Text)],
        "ObjectReference" => &[
            (1, "kind", Text),
            (2, "namespace", Text),
            (3, "name", Text),
            (4, "uid", Text),
            (5, "apiVersion", Text),
            (6, "resourceVersion", Text),
            (7, "fieldPath", Text),
        ],
        "DeleteOptions" => &[
            (1, "gracePeriodSeconds", Optional),
            (2, "preconditions", Message("Preconditions")),
            (3, "orphanDependents", Flag),
            (4, "propagationPolicy", Text),
            (5, "dryRun", Texts),
        ],
        "Preconditions" => &[(1, "uid", Text), (2, "resourceVersion", Text)],
        "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => &[
            (1, "metadata", Message("ObjectMeta")),
            (2, "spec", Message("SubjectAccessReviewSpec")),
        ],
        "SubjectAccessReviewSpec" => &[
            (1, "resourceAttributes", Message("ResourceAttributes")),
            (2, "nonResourceAttributes", Message("NonResourceAttributes")),
            (3, "user", Text),
            (4, "groups", Texts),
            (6, "uid", Text),
        ],
        "ResourceAttributes" => &[
            (1, "namespace", Text),
            (2, "verb", Text),
            (3, "group", Text),
            (4, "version", Text),
            (5, "resource", Text),
            (6, "subresource", Text),
            (7, "name", Text),
        ],
        "NonResourceAttributes" => &[(1, "path", Text), (2, "verb", Text)],
        "SelfSubjectRulesReview" => &[
            (1, "metadata", Message("ObjectMeta")),
            (2, "spec", Message("SelfSubjectRulesReviewSpec")),
        ],
        "SelfSubjectRulesReviewSpec" => &[(1, "namespace", Text)],
        "SelfSubjectReview" => &[(1, "metadata", Message("ObjectMeta"))],
        "TokenReview" => {
            &[(1, "metadata", Message("ObjectMeta")), (2, "spec", Message("TokenReviewSpec"))]
        }
        "TokenReviewSpec" => &[(1, "token", Text), (2, "audiences", Texts)],
        "TokenRequest" => {
            &[(1, "metadata", Message("ObjectMeta")), (2, "spec", Message("TokenRequestSpec"))]
        }
        "TokenRequestSpec" => &[
            (1, "audiences", Texts),
            (3, "boundObjectRef", Message("BoundObjectReference")),
            (4, "expirationSeconds", Optional),
        ],
        "BoundObjectReference" => {
            &[(1, "kind", Text), (2, "apiVersion", Text), (3, "name", Text), (4, "uid", Text)]
        }
        "Role" | "ClusterRole" => {
            &[(1, "metadata", Message("ObjectMeta")), (2, "rules", Messages("PolicyRule"))]
        }
        "PolicyRule" => &[
            (1, "verbs", Texts),
            (2, "apiGroups", Texts),
            (3, "resources", Texts),
            (4, "resourceNames", Texts),
            (5, "nonResourceURLs", Texts),
        ],
        "RoleBinding" | "ClusterRoleBinding" => &[
            (1, "metadata", Message("ObjectMeta")),
            (2, "subjects", Messages("Subject")),
            (3, "roleRef", Message("RoleRef")),
        ],
        "Subject" => {
            &[(1, "kind", Text), (2, "apiGroup", Text), (3, "name", Text), (4, "namespace", Text)]
        }
        "RoleRef" => &[(1, "apiGroup", Text), (2, "kind", Text), (3, "name", Text)],
        "ResourceQuota" => {
            &[(1, "metadata", Message("ObjectMeta")), (2, "spec", Message("ResourceQuotaSpec"))]
        }
        "ResourceQuotaSpec" => &[(1, "hard", QuantityMap), (2, "scopes", Texts)],
        "Event" => &[
            (1, "metadata", Message("ObjectMeta")),
            (2, "involvedObject", Message("ObjectReference")),
            (3, "reason", Text),
            (4, "message", Text),
            (5, "source", Message("EventSource")),
            (6, "firstTimestamp", Time),
            (7, "lastTimestamp", Time),
            (8, "count", Number),
            (9, "type", Text),
            (10, "eventTime", MicroTime),
            (12, "action", Text),
            (13, "related", Message("ObjectReference")),
            (14, "reportingComponent", Text),
            (15, "reportingInstance", Text),
        ],
        "EventSource" => &[(1, "component", Text), (2, "host", Text)],
        _ => return workload_fields(message),
    })
}

/// What `kubectl run`, `create deployment`, `create job` and `create service` send.
fn workload_fields(message: &str) -> Option<Fields> {
    Some(match message {
        "Pod" => &[(1, "metadata", Message("ObjectMeta")), (2, "spec", Message("PodSpec"))],
        "Deployment" => {
            &[(1, "metadata", Message("ObjectMeta")), (2, "spec", Message("DeploymentSpec"))]
        }
        "DeploymentSpec" => &[
            (1, "replicas", Optional),
            (2, "selector", Message("LabelSelector")),
            (3, "template", Message("PodTemplateSpec")),
            (4, "strategy", Message("DeploymentStrategy")),
            (5, "minReadySeconds", Number),
            (6, "revisionHistoryLimit", Optional),
            (7, "paused", Plain),
            (9, "progressDeadlineSeconds", Optional),
        ],
        "DeploymentStrategy" => &[(1, "type", Text)],
        "LabelSelector" => &[(1, "matchLabels", TextMap)],
        "PodTemplateSpec" => {
            &[(1, "metadata", Message("ObjectMeta")), (2, "spec", Message("PodSpec"))]
        }
        "PodSpec" => &[
            (2, "containers", Messages("Container")),
            (3, "restartPolicy", Text),
            (4, "terminationGracePeriodSeconds", Optional),
            (6, "dnsPolicy", Text),
            (7, "nodeSelector", TextMap),
            (8, "serviceAccountName", Text),
            (10, "nodeName", Text),
            (19, "schedulerName", Text),
        ],
        "Container" => &[
            (1, "name", Text),
            (2, "image", Text),
            (3, "command", Texts),
            (4, "args", Texts),
            (5, "workingDir", Text),
            (6, "ports", Messages("ContainerPort")),
            (7, "env", Messages("EnvVar")),
            (8, "resources", Message("ResourceRequirements")),
            (13, "terminationMessagePath", Text),
            (14, "imagePullPolicy", Text),
            (16, "stdin", Plain),
            (17, "stdinOnce", Plain),
            (18, "tty", Plain),
            (20, "terminationMessagePolicy", Text),
        ],
        "ContainerPort" => &[
            (1, "name", Text),
            (2, "hostPort", Number),
            (3, "containerPort", Number),
            (4, "protocol", Text),
        ],
        "EnvVar" => &[(1, "name", Text), (2, "value", Text)],
        "ResourceRequirements" => &[(1, "limits", QuantityMap), (2, "requests", QuantityMap)],
        "Job" => &[(1, "metadata", Message("ObjectMeta")), (2, "spec", Message("JobSpec"))],
        "JobSpec" => &[
            (1, "parallelism", Optional),
            (2, "completions", Optional),
            (3, "activeDeadlineSeconds", Optional),
            (6, "template", Message("PodTemplateSpec")),
            (7, "backoffLimit", Optional),
        ],
        "Service" => &[(1, "metadata", Message("ObjectMeta")), (2, "spec", Message("ServiceSpec"))],
        "ServiceSpec" => &[
            (1, "ports", Messages("ServicePort")),
            (2, "selector", TextMap),
            (3, "clusterIP", Text),
            (4, "type", Text),
            (7, "sessionAffinity", Text),
            (10, "externalName", Text),
        ],
        "ServicePort" => &[
            (1, "name", Text),
            (2, "protocol", Text),
            (3, "port", Number),
            (4, "targetPort", IntOrText),
            (5, "nodePort", Number),
        ],
        _ => return None,
    })
}

const MAGIC: &[u8] = b"k8s\0";

/// Decodes a body that begins with Kubernetes' envelope.
pub(crate) fn decode(body: &[u8]) -> Result<Value, ApiError> {
    let bad = || ApiError::bad_request("the protobuf body cannot be decoded");
    let envelope = body.strip_prefix(MAGIC).ok_or_else(bad)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for part in parts(envelope).ok_or_else(bad)? {
        match (part.number, part.value) {
            (1, Wire::Bytes(meta)) => {
                for part in parts(meta).ok_or_else(bad)? {
                    if let Wire::Bytes(text) = part.value {
                        let text = String::from_utf8_lossy(text).into_owned();
                        match part.number {
                            1 => api_version = text,
                            2 => kind = text,
                            _ => {}
                        }
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    // An Event of the new group has other field numbers.
    if fields(&kind).is_none() || api_version == "events.k8s.io/v1" {
        return Err(ApiError::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the sandbox does not read protobuf of kind {kind} ({api_version}); send application/json, say with `kubectl create -f`"
            ),
        ));
    }
    let mut object = message(&kind, raw, 0).ok_or_else(|| {
        ApiError::bad_request(format!(
            "the protobuf body of kind {kind} has fields that the sandbox does not read; send application/json"
        ))
    })?;
    object.insert("apiVersion".into(), json!(api_version));
    object.insert("kind".into(), json!(kind));
    Ok(Value::Object(object))
}

fn message(name: &str, bytes: &[u8], depth: usize) -> Option<Map<String, Value>> {
    // No message of the table nests deeper; a hostile one must not use up the stack.
    if depth > 8 {
        return None;
    }
    let table = fields(name)?;
    let mut object = Map::new();
    for part in parts(bytes)? {
        let Some((_, key, field)) = table.iter().find(|(number, _, _)| *number == part.number)
        else {
            // A value that would get lost is an error; a zero is only Go's way to say nothing.
            if part.value.is_zero() {
                continue;
            }
            return None;
        };
        let key = (*key).to_owned();
        match (*field, part.value) {
            (Text, Wire::Bytes(text)) if !text.is_empty() => {
                object.insert(key, json!(String::from_utf8_lossy(text)));
            }
            (Texts, Wire::Bytes(text)) => {
                push(&mut object, key, json!(String::from_utf8_lossy(text)));
            }
            (Number, Wire::Varint(value)) if value != 0 => {
                object.insert(key, json!(value.cast_signed()));
            }
            (Optional, Wire::Varint(value)) => {
                object.insert(key, json!(value.cast_signed()));
            }
            (Flag, Wire::Varint(value)) => {
                object.insert(key, json!(value != 0));
            }
            (Plain, Wire::Varint(1..)) => {
                object.insert(key, json!(true));
            }
            (IntOrText, Wire::Bytes(bytes)) => {
                let value = int_or_text(bytes)?;
                if !value.is_null() {
                    object.insert(key, value);
                }
            }
            (Message(inner), Wire::Bytes(bytes)) => {
                let inner = message(inner, bytes, depth + 1)?;
                if !inner.is_empty() {
                    object.insert(key, Value::Object(inner));
                }
            }
            (Messages(inner), Wire::Bytes(bytes)) => {
                push(&mut object, key, Value::Object(message(inner, bytes, depth + 1)?));
            }
            (TextMap | BytesMap | QuantityMap, Wire::Bytes(bytes)) => {
                let (name, value) = entry(*field, bytes)?;
                object.entry(key).or_insert_with(|| json!({}))[name] = value;
            }
            (Time | MicroTime, Wire::Bytes(bytes)) if !bytes.is_empty() => {
                object.insert(key, json!(time(*field, bytes)?));
            }
            (RawJson, Wire::Bytes(bytes)) => {
                for part in parts(bytes)? {
                    if let (1, Wire::Bytes(raw)) = (part.number, part.value) {
                        object.insert(key.clone(), serde_json::from_slice(raw).ok()?);
                    }
                }
            }
            _ => {}
        }
    }
    Some(object)
}

fn push(object: &mut Map<String, Value>, key: String, value: Value) {
    if let Value::Array(list) = object.entry(key).or_insert_with(|| json!([])) {
        list.push(value);
    }
}

fn entry(field: Field, bytes: &[u8]) -> Option<(String, Value)> {
    let (mut key, mut value) = (String::new(), &[][..]);
    for part in parts(bytes)? {
        match (part.number, part.value) {
            (1, Wire::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
            (2, Wire::Bytes(bytes)) => value = bytes,
            _ => {}
        }
    }
    let value = match field {
        BytesMap => json!(STANDARD.encode(value)),
        QuantityMap => {
            let mut text = &[][..];
            for part in parts(value)? {
                if let (1, Wire::Bytes(bytes)) = (part.number, part.value) {
                    text = bytes;
                }
            }
            json!(String::from_utf8_lossy(text))
        }
        _ => json!(String::from_utf8_lossy(value)),
    };
    Some((key, value))
}

/// Null when nothing is said.
fn int_or_text(bytes: &[u8]) -> Option<Value> {
    let mut value = Value::Null;
    for part in parts(bytes)? {
        match (part.number, part.value) {
            (2, Wire::Varint(number)) if number != 0 => value = json!(number.cast_signed()),
            (3, Wire::Bytes(text)) if !text.is_empty() => {
                value = json!(String::from_utf8_lossy(text));
            }
            _ => {}
        }
    }
    Some(value)
}

fn time(field: Field, bytes: &[u8]) -> Option<String> {
    let (mut seconds, mut nanos) = (0, 0);
    for part in parts(bytes)? {
        match (part.number, part.value) {
            (1, Wire::Varint(value)) => seconds = value.cast_signed(),
            (2, Wire::Varint(value)) => nanos = u32::try_from(value).ok()?,
            _ => {}
        }
    }
    let format =
        if matches!(field, MicroTime) { SecondsFormat::Micros } else { SecondsFormat::Secs };
    Some(DateTime::from_timestamp(seconds, nanos)?.to_rfc3339_opts(format, true))
}

enum Wire<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

impl Wire<'_> {
    /// Nothing but zeros and empty messages, however deep.
    fn is_zero(&self) -> bool {
        match self {
            Self::Varint(value) => *value == 0,
            Self::Bytes(bytes) => {
                bytes.is_empty()
                    || bytes[0] != 0
                        && parts(bytes)
                            .is_some_and(|all| all.iter().all(|part| part.value.is_zero()))
            }
        }
    }
}

struct Part<'a> {
    number: u64,
    value: Wire<'a>,
}

fn parts(mut bytes: &[u8]) -> Option<Vec<Part<'_>>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = tag >> 3;
        let fixed = |bytes: &mut &[u8], size: usize| {
            let (_, rest) = bytes.split_at_checked(size)?;
            *bytes = rest;
            Some(())
        };
        match tag & 7 {
            0 => found.push(Part { number, value: Wire::Varint(varint(&mut bytes)?) }),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (data, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                found.push(Part { number, value: Wire::Bytes(data) });
            }
            1 => fixed(&mut bytes, 8)?,
            5 => fixed(&mut bytes, 4)?,
            _ => return None,
        }
    }
    Some(found)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_sends_is_read() {
        // `kubectl create namespace foo`, as kubectl 1.37 sent it.
        let body = b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x1b\n\x13\n\x03foo\x12\0\x1a\0\"\0*\x002\08\0B\0\x12\0\x1a\x02\n\0\x1a\0\"\0";
        assert_eq!(
            decode(body).expect("readable"),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "foo"}})
        );
    }

    #[test]
    fn other_kinds_and_broken_bodies_are_refused() {
        let node = b"k8s\0\n\x0a\n\x02v1\x12\x04Node\x12\0";
        assert_eq!(decode(node).expect_err("no nodes").code, 415);
        for broken in
            [&b"k8s\0\n\xff"[..], b"{}", b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]
        {
            assert_eq!(decode(broken).expect_err("broken").code, 400);
        }
    }
}
