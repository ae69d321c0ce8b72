//! JSON ↔ CEL. In: a JSON value and its schema, or a CEL value; out: the other. No I/O.

use std::collections::HashMap;
use std::sync::Arc;

use cel::Value as Cel;
use cel::objects::{Key, Map, OptionalValue};
use serde_json::{Map as Object, Value, json};

/// Words that CEL keeps for itself: properties with such names are written `__name__`.
const RESERVED: [&str; 18] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
];

/// The name of a property in CEL.
pub(super) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}

/// The value of JSON without a schema.
pub(super) fn plain(value: &Value) -> Cel {
    typed(&Value::Null, value, false)
}

/// A JSON value as its schema types it. `root`: an object of its own, with metadata.
pub(super) fn typed(schema: &Value, value: &Value, root: bool) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(_), _) if schema["type"] == "number" => {
                Cel::Float(number.as_f64().unwrap_or_default())
            }
            (Some(int), _) => Cel::Int(int),
            (None, Some(uint)) => Cel::UInt(uint),
            (None, None) => Cel::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => string(schema, text),
        Value::Array(items) => {
            let items = items.iter().map(|item| typed(&schema["items"], item, false));
            Cel::List(Arc::new(items.collect()))
        }
        Value::Object(map) => {
            let map = object(schema, map, root || schema["x-kubernetes-embedded-resource"] == true);
            Cel::Map(Map { map: Arc::new(map) })
        }
    }
}

fn string(schema: &Value, text: &str) -> Cel {
    let parsed = match schema["format"].as_str() {
        Some("date-time") => chrono::DateTime::parse_from_rfc3339(text).ok().map(Cel::Timestamp),
        Some("duration") => super::expression::constant(&format!("duration({})", json!(text))).ok(),
        Some("byte") => {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok();
            bytes.map(|bytes| Cel::Bytes(Arc::new(bytes)))
        }
        _ => None,
    };
    parsed.unwrap_or_else(|| Cel::String(Arc::new(text.to_owned())))
}

fn object(schema: &Value, map: &Object<String, Value>, root: bool) -> HashMap<Key, Cel> {
    let mut members = HashMap::new();
    for (name, value) in map {
        if root && name == "metadata" {
            // Rules see nothing else of an object's metadata.
            let mut meta = HashMap::new();
            for name in ["name", "generateName"] {
                if let Some(value) = value.get(name) {
                    meta.insert(Key::from(name), plain(value));
                }
            }
            members.insert(Key::from("metadata"), Cel::Map(Map { map: Arc::new(meta) }));
            continue;
        }
        let property = &schema["properties"][name];
        // Keys of maps are data: only the names that a schema gives are escaped.
        let (key, schema) = if property.is_null() {
            (name.clone(), &schema["additionalProperties"])
        } else {
            (escape(name), property)
        };
        members.insert(Key::from(key), typed(schema, value, false));
    }
    members
}

/// An optional, as `oldSelf` is when a rule asks for it.
pub(super) fn optional(value: Option<Cel>) -> Cel {
    Cel::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

/// The JSON of a CEL value.
pub(super) fn to_json(value: &Cel) -> Result<Value, String> {
    Ok(match value {
        Cel::Null => Value::Null,
        Cel::Bool(flag) => json!(flag),
        Cel::Int(int) => json!(int),
        Cel::UInt(uint) => json!(uint),
        Cel::Float(float) => json!(float),
        Cel::String(text) => json!(text.as_str()),
        Cel::Timestamp(time) => json!(time.to_rfc3339()),
        Cel::Duration(duration) => {
            let nanos = duration.subsec_nanos().unsigned_abs();
            let fraction = if nanos == 0 { String::new() } else { format!(".{nanos:09}") };
            json!(format!("{}{fraction}s", duration.num_seconds()))
        }
        Cel::Bytes(bytes) => {
            use base64::Engine as _;
            json!(base64::engine::general_purpose::STANDARD.encode(bytes.as_slice()))
        }
        Cel::List(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Cel::Map(map) => {
            let members = map.map.iter().map(|(key, value)| Ok((key.to_string(), to_json(value)?)));
            Value::Object(members.collect::<Result<_, String>>()?)
        }
        other => match <&OptionalValue>::try_from(other).ok().map(OptionalValue::value) {
            Some(Some(value)) => to_json(value)?,
            Some(None) => Value::Null,
            None => return Err(format!("a value of type {} has no JSON", other.type_of())),
        },
    })
}
