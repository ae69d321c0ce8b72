//! PURE · one YAML document → the Kubernetes objects it holds, completed with the labels of a camp.

use serde_json::{Map, Value};

use super::{Place, RenderError};
use crate::domain::bundle::{BundleObject, Origin, group_of, wave_of};
use crate::domain::dns::{is_dns_label, is_dns_subdomain};
use crate::domain::document::{Node, NodeValue, Position};
use crate::domain::render_inputs::RenderInputs;

/// Kinds whose names end up in a label, a host name or a DNS record.
const SHORT_NAMES: [&str; 9] = [
    "Service",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "Pod",
    "Job",
    "CronJob",
    "Namespace",
];

/// The objects of a document, each with the JSON pointer at which it stands there.
///
/// Lists within lists make no sense; one level is what `kubectl get -o yaml` writes, and lists of one kind
/// (`ConfigMapList`) are written by some charts.
pub(super) fn objects(
    mut document: Node,
    file: &str,
    app: &str,
    inputs: &RenderInputs,
) -> Result<Vec<(String, BundleObject)>, RenderError> {
    let kind = document.get("kind").and_then(Node::text).unwrap_or_default();
    let is_plain = kind == "List" && document.get("apiVersion").and_then(Node::text) == Some("v1");
    let has_items = document.get("items").and_then(Node::elements).is_some();
    let named = document.get("metadata").is_some_and(|metadata| metadata.get("name").is_some());
    let is_typed = kind.len() > 4 && kind.ends_with("List") && has_items && !named;
    if !is_plain && !is_typed {
        return Ok(vec![(String::new(), object(document, file, app, inputs)?)]);
    }
    let position = document.position;
    let items = take(&mut document, "items")
        .ok_or_else(|| wrong(file, position, "a List must have \"items\", a list of objects"))?;
    let numbered = items.into_iter().enumerate();
    numbered
        .map(|(index, item)| Ok((format!("/items/{index}"), object(item, file, app, inputs)?)))
        .collect()
}

/// The elements of the list below `key`, if there is one.
fn take(node: &mut Node, key: &str) -> Option<Vec<Node>> {
    let NodeValue::Mapping(members) = &mut node.value else { return None };
    let (_, list) = members.iter_mut().find(|(found, _)| found.name == key)?;
    match &mut list.value {
        NodeValue::Sequence(elements) => Some(std::mem::take(elements)),
        _ => None,
    }
}

fn wrong(file: &str, position: Position, message: impl Into<String>) -> RenderError {
    RenderError::Manifest { place: Place::at(file, position), message: message.into() }
}

fn object(
    document: Node,
    file: &str,
    app: &str,
    inputs: &RenderInputs,
) -> Result<BundleObject, RenderError> {
    let node = &document;
    if node.members().is_none() {
        let found = node.type_name();
        let message = format!("this is no Kubernetes object but {found}; expected a mapping");
        return Err(wrong(file, node.position, message));
    }
    let api_version = text(node, "apiVersion", "apiVersion", file)?;
    let kind = text(node, "kind", "kind", file)?;
    for (key, value, sign) in [("kind", kind, ""), ("apiVersion", api_version, "./-")] {
        let plain = |c: char| c.is_ascii_alphanumeric() || sign.contains(c);
        if value.len() > 253 || !value.chars().all(plain) {
            let at = node.get(key).map_or(node.position, |n| n.position);
            let message = format!("{key} holds characters that no {key} of Kubernetes has");
            return Err(wrong(file, at, message));
        }
    }
    let Some(metadata) = node.get("metadata") else {
        let message = "this is no Kubernetes object: metadata is missing";
        return Err(wrong(file, node.position, message));
    };
    if metadata.members().is_none() {
        let message = format!("metadata must be a mapping, not {}", metadata.type_name());
        return Err(wrong(file, metadata.position, message));
    }
    if metadata.get("generateName").is_some() && metadata.get("name").is_none() {
        let message = "metadata.generateName is not allowed: the same commit must give the same \
                       names; write metadata.name";
        return Err(wrong(file, metadata.position, message));
    }
    let name = text(metadata, "name", "metadata.name", file)?;
    let name_at = metadata.get("name").map_or(metadata.position, |n| n.position);
    check_name(api_version, kind, name).map_err(|message| wrong(file, name_at, message))?;
    if let Some(namespace) = metadata.get("namespace")
        && namespace.text().is_none()
        && !namespace.is_null()
    {
        let message = format!("metadata.namespace must be a string, not {}", namespace.type_name());
        return Err(wrong(file, namespace.position, message));
    }
    for field in ["labels", "annotations"] {
        string_map(metadata, field, file)?;
    }
    let wave = wave_of(group_of(api_version), kind);
    let origin = Origin { file: file.to_owned(), line: node.position.line };
    let (mut json, positions) = document.into_parts();
    label(&mut json, app, inputs);
    Ok(BundleObject { json, origin, app: app.to_owned(), wave, positions })
}

/// Puts in the labels that every object of a camp carries. A namespace that is written and empty is none.
pub(super) fn label(json: &mut Value, app: &str, inputs: &RenderInputs) {
    let Some(Value::Object(metadata)) = json.get_mut("metadata") else { return };
    if metadata.get("namespace").is_some_and(|one| one.is_null() || one == "") {
        metadata.remove("namespace");
    }
    let labels = metadata.entry("labels").or_insert(Value::Null);
    if labels.is_null() {
        *labels = Value::Object(Map::new());
    }
    if let Value::Object(labels) = labels {
        labels.insert("app.kubernetes.io/managed-by".into(), "bivouac".into());
        labels.insert("bivouac.dev/environment".into(), inputs.environment.as_str().into());
        labels.insert("bivouac.dev/app".into(), app.into());
    }
}

fn text<'a>(node: &'a Node, key: &str, path: &str, file: &str) -> Result<&'a str, RenderError> {
    match node.get(key) {
        None => {
            let message = format!("this is no Kubernetes object: {path} is missing");
            Err(wrong(file, node.position, message))
        }
        Some(value) => match value.text() {
            Some("") => Err(wrong(file, value.position, format!("{path} is empty"))),
            Some(text) => Ok(text),
            None => {
                let hint = if value.is_null() { "" } else { "; put it in quotes" };
                let found = value.type_name();
                let message = format!("{path} must be a string, not {found}{hint}");
                Err(wrong(file, value.position, message))
            }
        },
    }
}

fn string_map(metadata: &Node, field: &str, file: &str) -> Result<(), RenderError> {
    let Some(node) = metadata.get(field).filter(|node| !node.is_null()) else { return Ok(()) };
    let Some(members) = node.members() else {
        let message = format!("metadata.{field} must be a mapping, not {}", node.type_name());
        return Err(wrong(file, node.position, message));
    };
    for (key, value) in members {
        if value.text().is_none() {
            let found = value.type_name();
            let key: String = key.name.chars().take(100).collect();
            let message = format!(
                "metadata.{field}[{key:?}] must be a string, not {found}; put it in quotes"
            );
            return Err(wrong(file, value.position, message));
        }
    }
    Ok(())
}

fn check_name(api_version: &str, kind: &str, name: &str) -> Result<(), String> {
    // Names of RBAC objects may hold colons; the guard refuses these kinds with a better reason.
    if group_of(api_version) == "rbac.authorization.k8s.io" {
        let plain = |c: char| c.is_ascii_alphanumeric() || ":._-".contains(c);
        if name.len() <= 253 && name.chars().all(plain) {
            return Ok(());
        }
        return Err("metadata.name is no name for an object of RBAC".into());
    }
    let most = if SHORT_NAMES.contains(&kind) { 63 } else { 253 };
    if name.len() > most {
        let length = name.len();
        return Err(format!(
            "metadata.name has {length} characters; a {kind} may have at most {most}"
        ));
    }
    let fine = if kind == "Service" { is_dns_label(name, 63) } else { is_dns_subdomain(name) };
    if fine {
        return Ok(());
    }
    Err(format!(
        "metadata.name {name:?} is no name for a {kind}: lower-case letters, digits and -, beginning and ending with a \
         letter or digit"
    ))
}
