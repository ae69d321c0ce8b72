//! PURE · YAML in and out for the programs beside rendering: read by the rules of manifests, written so that it is
//! read back as what it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::Value;

use super::yaml::{self, YamlLimits, emit};
use super::{Place, RenderError};
use crate::domain::document::Node;
use crate::domain::plain::is_odd;

/// What the top of a Kubernetes object begins with; other keys follow in the order of their bytes.
const FIRST: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// All documents of a file called `name`.
pub fn read(bytes: &[u8], name: &str, max_bytes: usize) -> Result<Vec<Node>, RenderError> {
    yaml::documents(bytes, &YamlLimits::of_file(max_bytes)).map_err(|problem| RenderError::Yaml {
        place: Place::at(name, problem.position),
        message: problem.message,
    })
}

/// One object as a YAML document without `---`, ended by a newline. The same value always gives the same text.
///
/// What was written is read back by the rules of manifests; were it not the same, the plainer writer of templates is taken.
#[must_use]
pub fn write(object: &Value) -> String {
    if let Ok(text) = serde_saphyr::to_string(&Sorted { value: object, top: true }) {
        let text = if text.ends_with('\n') { text } else { format!("{text}\n") };
        let limits = YamlLimits { values: usize::MAX, ..YamlLimits::of_file(text.len()) };
        let back = yaml::documents(text.as_bytes(), &limits);
        if let Ok([document]) = back.as_deref()
            && document.to_json() == *object
        {
            return text;
        }
    }
    format!("{}\n", emit::to_yaml(object))
}

/// An object, and what it came from.
#[derive(Clone, Debug)]
pub struct Sourced<'a> {
    /// File and line, or who made it.
    pub source: String,
    /// The object.
    pub json: &'a Value,
}

/// Objects that are printed together, in this order.
#[derive(Clone, Debug)]
pub struct List<'a> {
    /// The objects.
    pub objects: Vec<Sourced<'a>>,
}

impl List<'_> {
    /// One YAML document an object, each with its source in a comment.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut text = String::new();
        for Sourced { source, json } in &self.objects {
            // A name with a line break would end the comment.
            let source: String = source.chars().filter(|c| !is_odd(*c)).collect();
            let _ = write!(text, "---\n# Source: {source}\n{}", write(json));
        }
        text
    }

    /// A `v1` `List` with all of them, keys sorted.
    #[must_use]
    pub fn json(&self) -> String {
        let items: Vec<Sorted<'_>> =
            self.objects.iter().map(|object| Sorted { value: object.json, top: false }).collect();
        let list = JsonList { api_version: "v1", kind: "List", items };
        serde_json::to_string_pretty(&list).map(|text| format!("{text}\n")).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct JsonList<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    items: Vec<Sorted<'a>>,
}

/// A value whose keys are written in a fixed order, whatever order the map has.
struct Sorted<'a> {
    value: &'a Value,
    top: bool,
}

impl Serialize for Sorted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let below = |value| Sorted { value, top: false };
        match self.value {
            Value::Array(elements) => serializer.collect_seq(elements.iter().map(below)),
            Value::Object(members) => {
                let mut rest: BTreeMap<&str, &Value> =
                    members.iter().map(|(key, value)| (key.as_str(), value)).collect();
                let mut map = serializer.serialize_map(Some(members.len()))?;
                if self.top {
                    for key in FIRST {
                        if let Some(value) = rest.remove(key) {
                            map.serialize_entry(key, &below(value))?;
                        }
                    }
                }
                for (key, value) in rest {
                    map.serialize_entry(key, &below(value))?;
                }
                map.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_begins_with_what_it_is() {
        let object = json!({
            "spec": {"b": 1, "a": ["x", {"n": null}]}, "kind": "X", "metadata": {"name": "web"}, "apiVersion": "v1",
            "data": {"yes": "yes", "n": "0755", "f": "1e3", "t": "2001-01-01", "m": "a\nb\n", "e": "", "s": " x "},
        });
        let text = write(&object);
        assert!(text.starts_with("apiVersion: v1\nkind: X\nmetadata:\n  name: web\n"), "{text}");
        let back = read(text.as_bytes(), "x", 1 << 20).expect("it is YAML");
        assert_eq!(back.len(), 1);
        assert_eq!(back[0].to_json(), object);
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            ".*",
            "[ \\n\\t:#-]{0,6}",
            "(yes|no|on|off|null|~|0x1f|0o7|1_000|1:30|---|\\.\\.\\.|\\.inf|=|<<|!x|&a|\\*a|%|@|`)[ \\n]{0,2}",
            "[0-9]{1,3}[e.:_-][0-9]{1,3}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(text.clone(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_as_it_was(inner in value()) {
            // A NUL or DEL can't stand in a manifest, which is where values come from.
            let object = json!({"apiVersion": "v1", "inner": inner});
            let text = write(&object);
            let back = read(text.as_bytes(), "x", 1 << 20).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
            prop_assert_eq!(back.len(), 1);
            prop_assert_eq!(back[0].to_json(), object, "{}", text);
        }
    }
}
