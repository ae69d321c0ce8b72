//! PURE · the JSON Schema of the preview file, made of the table of its keys.

use serde_json::{Map, Value, json};

use super::keys::{self, Field, Shape};

/// JSON Schema (draft 2020-12) of the preview file, for editors.
///
/// It knows every key and type that the parser knows; what only the parser can tell (that names differ, that a default
/// is in its enum, that paths stay in the repository) it leaves to the parser.
#[must_use]
pub fn json_schema() -> Value {
    let mut schema = object(keys::FILE);
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("$id".into(), "https://bivouac.dev/preview-file.schema.json".into());
    schema.insert("title".into(), "Preview file of Bivouac (.bivouac.yaml)".into());
    Value::Object(schema)
}

fn object(fields: &[Field]) -> Map<String, Value> {
    let mut properties = Map::new();
    for Field { name, required: _, shape, says } in fields {
        let mut schema = of(shape);
        if let Value::Object(members) = &mut schema {
            members.insert("description".into(), (*says).into());
        }
        properties.insert((*name).to_owned(), schema);
    }
    let required: Vec<&str> =
        fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), Value::Object(properties));
    schema.insert("additionalProperties".into(), false.into());
    if !required.is_empty() {
        schema.insert("required".into(), json!(required));
    }
    schema
}

fn of(shape: &Shape) -> Value {
    match shape {
        Shape::Text { most, pattern } => {
            let mut schema = json!({"type": "string", "minLength": 1, "maxLength": most});
            if !pattern.is_empty() {
                schema["pattern"] = (*pattern).into();
            }
            schema
        }
        Shape::Word(words) => json!({"type": "string", "enum": words}),
        Shape::Scalar => json!({"type": ["string", "number", "boolean", "null"]}),
        Shape::Value => json!({"type": ["string", "number", "boolean"]}),
        Shape::Port => json!({"anyOf": [
            {"type": "integer", "minimum": 1, "maximum": 65535},
            {"type": "string", "pattern": "^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "minLength": 1, "maxLength": 15},
        ]}),
        Shape::Count(most) => json!({"type": "integer", "minimum": 0, "maximum": most}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::List { of: element, least, most } => json!({
            "type": "array", "items": of(element), "minItems": least, "maxItems": most,
        }),
        Shape::Object(fields) => Value::Object(object(fields)),
        Shape::Map { of: value, most, names } => {
            let mut schema = json!({
                "type": "object", "additionalProperties": of(value), "maxProperties": most,
            });
            if !names.is_empty() {
                schema["propertyNames"] = json!({"pattern": names});
            }
            schema
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PreviewFile;
    use super::*;
    use crate::domain::document::{Key, Node, NodeValue, Position};

    fn node(value: &Value) -> Node {
        let value = match value {
            Value::Array(elements) => NodeValue::Sequence(elements.iter().map(node).collect()),
            Value::Object(members) => NodeValue::Mapping(
                members
                    .iter()
                    .map(|(name, value)| {
                        (Key { name: name.clone(), position: Position::default() }, node(value))
                    })
                    .collect(),
            ),
            scalar => NodeValue::Scalar(scalar.clone()),
        };
        Node { value, position: Position::default() }
    }

    fn is_type(name: &str, value: &Value) -> bool {
        match name {
            "string" => value.is_string(),
            "number" => value.is_number(),
            "integer" => value.is_i64() || value.is_u64(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => unreachable!("the schema has a type {other:?} that this test does not know"),
        }
    }

    /// As much of JSON Schema as ours uses, without patterns.
    fn allows(schema: &Value, value: &Value) -> bool {
        if schema == &json!(false) {
            return false;
        }
        if let Some(choices) = schema["anyOf"].as_array() {
            return choices.iter().any(|choice| allows(choice, value));
        }
        let typed = match &schema["type"] {
            Value::String(name) => is_type(name, value),
            Value::Array(names) => names.iter().any(|n| is_type(n.as_str().expect("text"), value)),
            _ => true,
        };
        let count = |key: &str| schema[key].as_u64().and_then(|n| usize::try_from(n).ok());
        let within = |len: usize, least: &str, most: &str| {
            count(least).is_none_or(|n| len >= n) && count(most).is_none_or(|n| len <= n)
        };
        typed
            && schema["enum"].as_array().is_none_or(|all| all.contains(value))
            && match value {
                Value::String(text) => within(text.chars().count(), "minLength", "maxLength"),
                Value::Number(n) => {
                    let n = n.as_f64().unwrap_or_default();
                    schema["minimum"].as_f64().is_none_or(|least| n >= least)
                        && schema["maximum"].as_f64().is_none_or(|most| n <= most)
                }
                Value::Array(all) => {
                    within(all.len(), "minItems", "maxItems")
                        && all.iter().all(|one| allows(&schema["items"], one))
                }
                Value::Object(members) => {
                    let required = schema["required"].as_array();
                    within(members.len(), "minProperties", "maxProperties")
                        && required
                            .into_iter()
                            .flatten()
                            .all(|key| members.contains_key(key.as_str().unwrap_or_default()))
                        && members.iter().all(|(key, one)| {
                            let own = &schema["properties"][key];
                            allows(
                                if own.is_null() { &schema["additionalProperties"] } else { own },
                                one,
                            )
                        })
                }
                _ => true,
            }
    }

    fn full() -> Value {
        json!({
            "apps": [{
                "name": "web", "path": "chart", "values": ["a.yaml"], "set": {"image.tag": "x"},
                "images": {"ghcr.io/acme/web": "{{commit.sha}}"},
                "expose": {"service": "web", "port": 80, "path": "/x", "headers": {"X-A": "b"}},
            }],
            "parameters": {"seed": {"type": "string", "enum": ["a"], "default": "a", "description": "x"}},
            "lifetime": {"ttl": "24h"},
            "hooks": {
                "beforeApply": [{"job": "migrate", "app": "web", "timeout": "5m", "retries": 1}],
                "afterReady": [{"job": "smoke", "app": "web", "timeout": "5m", "retries": 1}],
                "beforeDelete": [{"job": "dump", "app": "web", "timeout": "5m", "retries": 1}],
            },
            "deleteData": true,
        })
    }

    /// Pointers to every value of `value`.
    fn pointers(value: &Value, here: &str, found: &mut Vec<String>) {
        let below: Vec<(String, &Value)> = match value {
            Value::Object(members) => members
                .iter()
                .map(|(name, one)| (name.replace('~', "~0").replace('/', "~1"), one))
                .collect(),
            Value::Array(all) => all.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
            _ => Vec::new(),
        };
        found.push(here.to_owned());
        for (name, one) in below {
            pointers(one, &format!("{here}/{name}"), found);
        }
    }

    /// A file with every key there is, changed at every place to a value of every type, and each key taken out:
    /// parser and schema say the same of all of them.
    #[test]
    fn parser_and_schema_agree_about_every_key_and_type() {
        let schema = json_schema();
        let parser = |file: &Value| PreviewFile::from_document(&node(file)).map(drop);
        assert_eq!(parser(&full()), Ok(()));
        assert!(allows(&schema, &full()));
        let mut places = Vec::new();
        pointers(&full(), "", &mut places);
        let others = [
            json!(null),
            json!(true),
            json!(7),
            json!(1.5),
            json!(""),
            json!("x"),
            json!([]),
            json!({}),
            json!(["x"]),
            json!({"x": "y"}),
            json!({"x": []}),
            json!(70_000),
        ];
        // What only the parser knows: an enum and a default must fit the type, a hook's app must be there, and patterns.
        let rules = [
            "/parameters/seed/type",
            "/parameters/seed/enum",
            "/parameters/seed/default",
            "/lifetime/ttl",
            "/apps/0/expose/path",
            "/apps/0/name",
            "/hooks/beforeApply/0/timeout",
            "/hooks/afterReady/0/timeout",
            "/hooks/beforeDelete/0/timeout",
            "/hooks/beforeApply/0/app",
            "/hooks/afterReady/0/app",
            "/hooks/beforeDelete/0/app",
        ];
        let mut compared = 0;
        for place in &places {
            for other in &others {
                let mut file = full();
                *file.pointer_mut(place).expect("a place of the file") = other.clone();
                let (ours, theirs) = (parser(&file), allows(&schema, &file));
                if rules.iter().any(|rule| place.starts_with(rule)) {
                    assert!(ours.is_err() || theirs, "{place} {other}: the schema is too strict");
                    continue;
                }
                assert_eq!(ours.is_ok(), theirs, "{place} {other}: {ours:?}");
                compared += 1;
            }
            if let Some((parent, name)) = place.rsplit_once('/') {
                let mut file = full();
                let name = name.replace("~1", "/").replace("~0", "~");
                if let Some(Value::Object(members)) = file.pointer_mut(parent) {
                    members.remove(&name);
                    assert_eq!(parser(&file).is_ok(), allows(&schema, &file), "without {place}");
                    let Some(Value::Object(members)) = file.pointer_mut(parent) else { continue };
                    members.insert("zzz-unknown".into(), json!(7));
                    assert_eq!(parser(&file).is_ok(), allows(&schema, &file), "more at {parent}");
                }
            }
        }
        assert!(compared > 150, "{compared}");
    }

    #[test]
    fn every_key_of_the_tables_is_in_the_file_that_the_comparison_walks() {
        fn walk(fields: &[Field], value: &Value, at: &str) {
            for field in fields {
                let one = &value[field.name];
                assert!(!one.is_null(), "{at}.{} is not compared", field.name);
                match &field.shape {
                    Shape::Object(below) => walk(below, one, field.name),
                    Shape::List { of: Shape::Object(below), .. } => {
                        walk(below, &one[0], field.name);
                    }
                    Shape::Map { of: Shape::Object(below), .. } => {
                        let first = one.as_object().and_then(|all| all.values().next());
                        walk(below, first.expect("an entry"), field.name);
                    }
                    _ => {}
                }
            }
        }
        walk(keys::FILE, &full(), "");
    }
}
