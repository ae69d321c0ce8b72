//! Unknown fields, duplicate fields, and values that don't decode. In: an object and its schema, or raw JSON; out:
//! problems in the API server's words. No I/O.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Schema;
use super::node::{Additional, Node, Type};
use super::problem::{Class, Problem};

/// Adds a field's name to a path.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Calls `visit` with every key that the schema does not have.
fn walk(schema: &Schema, node: &Node, value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if member.is_null() && node.properties.is_empty() {
                    continue;
                }
                let (child, named) = schema.member(node, key);
                if named || matches!(node.additional, Additional::Schema(_)) {
                    walk(schema, child, member, &join(path, key), found);
                } else if !node.keeps_unknown() && !is_type_meta(node, key) {
                    found.push(join(path, key));
                }
            }
        }
        Value::Array(items) => {
            let child = schema.item(node);
            for (index, item) in items.iter().enumerate() {
                walk(schema, child, item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

fn is_type_meta(node: &Node, key: &str) -> bool {
    node.embedded_resource && matches!(key, "apiVersion" | "kind" | "metadata")
}

pub(super) fn unknown(schema: &Schema, object: &Value) -> Vec<Problem> {
    let mut found = Vec::new();
    walk(schema, schema.root(), object, "", &mut found);
    found
        .into_iter()
        .map(|field| Problem {
            class: Class::UnknownField,
            message: format!("unknown field {field:?}"),
            field,
        })
        .collect()
}

pub(super) fn prune(schema: &Schema, object: &mut Value) {
    prune_node(schema, schema.root(), object);
}

fn prune_node(schema: &Schema, node: &Node, value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, member| {
                let (child, named) = schema.member(node, key);
                if named || matches!(node.additional, Additional::Schema(_)) {
                    prune_node(schema, child, member);
                    true
                } else {
                    node.keeps_unknown() || is_type_meta(node, key)
                }
            });
        }
        Value::Array(items) => {
            let child = schema.item(node);
            for item in items {
                prune_node(schema, child, item);
            }
        }
        _ => {}
    }
}

/// The first value that can't be read into the kind's type, as the API server's decoder words it.
pub(super) fn decode(schema: &Schema, object: &Value) -> Option<Problem> {
    let (go_struct, field, found, wanted) =
        mismatch(schema, schema.root(), object, &short(schema.name()), "")?;
    Some(Problem {
        class: Class::Decode,
        message: format!(
            "json: cannot unmarshal {found} into Go struct field {go_struct}.{field} of type {wanted}"
        ),
        field,
    })
}

fn short(definition: &str) -> String {
    definition.rsplit('.').next().unwrap_or(definition).to_owned()
}

type Mismatch = (String, String, String, String);

fn mismatch(
    schema: &Schema,
    node: &Node,
    value: &Value,
    owner: &str,
    path: &str,
) -> Option<Mismatch> {
    let wrong = |wanted: &str| {
        Some((owner.to_owned(), path.to_owned(), found(value).to_owned(), wanted.to_owned()))
    };
    match (node.ty, value) {
        (_, Value::Null)
        | (Type::Any, _)
        | (Type::String, Value::String(_))
        | (Type::Boolean, Value::Bool(_))
        | (Type::Number, Value::Number(_))
        | (Type::IntOrString, Value::Number(_) | Value::String(_)) => None,
        (Type::Integer, Value::Number(number)) => {
            let narrow = node
                .limits
                .as_ref()
                .is_some_and(|limits| limits.format.as_deref() == Some("int32"));
            let fits =
                number.as_i64().is_some_and(|number| !narrow || i32::try_from(number).is_ok());
            if fits {
                None
            } else {
                let wanted = if narrow { "int32" } else { "int64" };
                Some((
                    owner.to_owned(),
                    path.to_owned(),
                    format!("number {number}"),
                    wanted.to_owned(),
                ))
            }
        }
        (Type::Object, Value::Object(members)) => members.iter().find_map(|(key, member)| {
            let raw = node.properties.get(key);
            let (child, _) = schema.member(node, key);
            let next = raw.and_then(|raw| raw.reference.as_deref()).or(match &node.additional {
                Additional::Schema(inner) => inner.reference.as_deref(),
                _ => None,
            });
            let inner = match next {
                Some(name) if child.ty == Type::Object && member.is_object() => short(name),
                _ => owner.to_owned(),
            };
            mismatch(schema, child, member, &inner, &join(path, key))
        }),
        (Type::Array, Value::Array(items)) => {
            let child = schema.item(node);
            let inner = node.items.as_ref().and_then(|items| items.reference.as_deref());
            let inner = inner.map_or_else(|| owner.to_owned(), short);
            items.iter().find_map(|item| mismatch(schema, child, item, &inner, path))
        }
        (Type::Integer, _) => {
            wrong(match node.limits.as_ref().and_then(|limits| limits.format.as_deref()) {
                Some("int32") => "int32",
                _ => "int64",
            })
        }
        (Type::String, _) => wrong("string"),
        (Type::Boolean, _) => wrong("bool"),
        (Type::Number, _) => wrong("float64"),
        (Type::IntOrString, _) => wrong("intstr.IntOrString"),
        (Type::Array, _) => wrong(&format!("[]{}", go_type(node.items.as_deref()))),
        (Type::Object, _) => match &node.additional {
            Additional::Schema(inner) => wrong(&format!("map[string]{}", go_type(Some(inner)))),
            _ => wrong(&go_struct(schema, node)),
        },
    }
}

fn go_type(node: Option<&Node>) -> String {
    let Some(node) = node else { return "interface {}".to_owned() };
    if let Some(name) = &node.reference {
        return go_name(name);
    }
    match node.ty {
        Type::String => "string".to_owned(),
        Type::Integer => "int32".to_owned(),
        Type::Boolean => "bool".to_owned(),
        Type::Array => format!("[]{}", go_type(node.items.as_deref())),
        _ => "interface {}".to_owned(),
    }
}

fn go_struct(schema: &Schema, node: &Node) -> String {
    let built = schema.built();
    built
        .nodes
        .iter()
        .find(|(_, known)| std::ptr::eq(*known, node))
        .map_or_else(|| "map[string]interface {}".to_owned(), |(name, _)| go_name(name))
}

/// `io.k8s.api.core.v1.PodSpec` is `v1.PodSpec` in Go.
fn go_name(definition: &str) -> String {
    let mut parts = definition.rsplit('.');
    match (parts.next(), parts.next()) {
        (Some(name), Some(package)) => format!("{package}.{name}"),
        _ => definition.to_owned(),
    }
}

fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The fields that stand twice in raw JSON, each as `duplicate field "spec.replicas"`. Text that is not JSON has none.
#[must_use]
pub fn duplicate_fields(json: &[u8]) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(json);
    if (Scan { path: String::new(), found: &mut found }).deserialize(&mut reader).is_err() {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    found
        .into_iter()
        .filter(|field| seen.insert(field.clone()))
        .map(|field| Problem {
            class: Class::UnknownField,
            message: format!("duplicate field {field:?}"),
            field,
        })
        .collect()
}

struct Scan<'f> {
    path: String,
    found: &'f mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Scan<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scan<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("any JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        loop {
            let path = format!("{}[{index}]", self.path);
            if items.next_element_seed(Scan { path, found: self.found })?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = members.next_key::<String>()? {
            let path = join(&self.path, &key);
            if !keys.insert(key) {
                self.found.push(path.clone());
            }
            members.next_value_seed(Scan { path, found: self.found })?;
        }
        Ok(())
    }
}
