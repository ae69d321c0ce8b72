//! PURE · two bundles → what was added, removed or changed, field by field; and that as text and as JSON. Values of
//! Secrets are never shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::bundle::{Bundle, BundleObject, ObjectIdentity, Origin, canonical_json};
use super::document::pointer_token;

/// Longest value that is shown in text, in characters.
const SHOWN: usize = 160;

/// What differs between two bundles, each list in apply order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BundleDiff {
    /// Only in the new one.
    pub added: Vec<Entry>,
    /// Only in the old one.
    pub removed: Vec<Entry>,
    /// In both, and not the same.
    pub changed: Vec<Changed>,
    /// How many are the same in both.
    pub unchanged: usize,
}

/// An object and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The object.
    pub object: ObjectIdentity,
    /// File and line.
    pub origin: Origin,
}

/// An object that is not the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The object, with its place in the new bundle.
    pub entry: Entry,
    /// Its fields that differ, in the order of their pointers.
    pub fields: Vec<FieldChange>,
}

/// A field that is not the same.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// JSON pointer in the new object; of a field that is gone, in the old one.
    pub pointer: String,
    /// What it was.
    pub old: Side,
    /// What it is.
    pub new: Side,
}

/// One side of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Side {
    /// There is no such field.
    Absent,
    /// There is one, and its value is secret.
    Hidden,
    /// Its value.
    Value(Value),
}

impl BundleDiff {
    /// What turns `old` into `new`.
    #[must_use]
    pub fn between(old: &Bundle, new: &Bundle) -> Self {
        let known: BTreeMap<ObjectIdentity, &BundleObject> =
            old.objects.iter().map(|object| (object.identity(), object)).collect();
        let kept: BTreeMap<ObjectIdentity, &BundleObject> =
            new.objects.iter().map(|object| (object.identity(), object)).collect();
        let mut diff = Self::default();
        for object in &new.objects {
            let entry = entry(object);
            let Some(before) = known.get(&entry.object) else {
                diff.added.push(entry);
                continue;
            };
            let secret = entry.object.group.is_empty() && entry.object.kind == "Secret";
            let mut walk = Walk { secret, fields: Vec::new() };
            walk.values("", "", Some(&before.json), Some(&object.json));
            if walk.fields.is_empty() {
                diff.unchanged += 1;
            } else {
                diff.changed.push(Changed { entry, fields: walk.fields });
            }
        }
        diff.removed = old
            .objects
            .iter()
            .map(entry)
            .filter(|entry| !kept.contains_key(&entry.object))
            .collect();
        diff
    }

    /// Whether both are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }

    /// For people: `+` for what came, `-` for what went, `~` for what changed. `colours`: with terminal escapes.
    #[must_use]
    pub fn text(&self, colours: bool) -> String {
        let paint = |code: &str, text: &str| {
            if colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
        };
        let mut out = String::new();
        let line = |Entry { object, origin }: &Entry| format!("{object}  ({origin})");
        for entry in &self.removed {
            let _ = writeln!(out, "{}", paint("31", &format!("- {}", line(entry))));
        }
        for entry in &self.added {
            let _ = writeln!(out, "{}", paint("32", &format!("+ {}", line(entry))));
        }
        for Changed { entry, fields } in &self.changed {
            let _ = writeln!(out, "{}", paint("33", &format!("~ {}", line(entry))));
            for FieldChange { pointer, old, new } in fields {
                let pointer = plain(pointer);
                let change = match (shown(old), shown(new)) {
                    (Some(old), Some(new)) => {
                        format!("{} → {}", paint("31", &old), paint("32", &new))
                    }
                    (Some(old), None) => paint("31", &format!("- {old}")),
                    (None, Some(new)) => paint("32", &format!("+ {new}")),
                    (None, None) => "the elements have another order".to_owned(),
                };
                let _ = writeln!(out, "    {pointer}: {change}");
            }
        }
        let Self { added, removed, changed, unchanged } = self;
        let (added, removed, changed) = (added.len(), removed.len(), changed.len());
        let _ = writeln!(
            out,
            "{added} added, {changed} changed, {removed} removed, {unchanged} unchanged"
        );
        out
    }

    /// For programs; the shape is described in `docs/cli.md`.
    #[must_use]
    pub fn json(&self) -> Value {
        let entry = |Entry { object, origin }: &Entry| {
            json!({
                "group": object.group,
                "kind": object.kind,
                "namespace": object.namespace,
                "name": object.name,
                "file": origin.file,
                "line": origin.line,
            })
        };
        let side = |side: &Side| match side {
            Side::Absent => Value::Null,
            Side::Hidden => json!({"hidden": true}),
            Side::Value(value) => json!({"value": value}),
        };
        let changed = |Changed { entry: at, fields }: &Changed| {
            let mut object = entry(at);
            let fields: Vec<Value> = fields
                .iter()
                .map(|field| {
                    json!({"pointer": field.pointer, "old": side(&field.old), "new": side(&field.new)})
                })
                .collect();
            if let Value::Object(members) = &mut object {
                members.insert("fields".into(), fields.into());
            }
            object
        };
        json!({
            "version": 1,
            "added": self.added.iter().map(entry).collect::<Vec<_>>(),
            "removed": self.removed.iter().map(entry).collect::<Vec<_>>(),
            "changed": self.changed.iter().map(changed).collect::<Vec<_>>(),
            "unchanged": self.unchanged,
        })
    }
}

fn entry(object: &BundleObject) -> Entry {
    Entry { object: object.identity(), origin: object.origin.clone() }
}

/// A value for people: JSON on one line, cut when it is long. `None` when there is none.
fn shown(side: &Side) -> Option<String> {
    match side {
        Side::Absent => None,
        Side::Hidden => Some("(hidden)".into()),
        Side::Value(value) => {
            let text = canonical_json(value);
            let length = text.chars().count();
            if length <= SHOWN {
                return Some(plain(&text));
            }
            let begin: String = text.chars().take(SHOWN).collect();
            Some(format!("{}… ({length} characters)", plain(&begin)))
        }
    }
}

/// JSON writes DEL and the controls above it as they are, and a terminal obeys them.
fn plain(text: &str) -> String {
    super::plain::plain(text)
}

/// A walk through both sides of one object.
struct Walk {
    secret: bool,
    fields: Vec<FieldChange>,
}

impl Walk {
    /// `at` is the pointer in the new object, `was` in the old one: they differ below a list whose elements moved.
    fn values(&mut self, at: &str, was: &str, old: Option<&Value>, new: Option<&Value>) {
        if old == new {
            return;
        }
        let masked = self.secret
            && ["/data", "/stringData"].iter().any(|map| {
                at.strip_prefix(map).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
        // A map of a Secret that came or went whole is told key by key: the names are no secret.
        let empty = Value::Object(serde_json::Map::new());
        let (old, new) = match (old, new) {
            (None, Some(Value::Object(_))) if masked => (Some(&empty), new),
            (Some(Value::Object(_)), None) if masked => (old, Some(&empty)),
            both => both,
        };
        match (old, new) {
            (Some(Value::Object(before)), Some(Value::Object(after))) => {
                let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
                keys.sort();
                keys.dedup();
                for key in keys {
                    let token = pointer_token(key);
                    let (at, was) = (format!("{at}/{token}"), format!("{was}/{token}"));
                    self.values(&at, &was, before.get(key), after.get(key));
                }
            }
            (Some(Value::Array(before)), Some(Value::Array(after))) => {
                self.lists(at, was, before, after);
            }
            (old, new) => {
                let side = |value: Option<&Value>| match value {
                    None => Side::Absent,
                    Some(_) if masked => Side::Hidden,
                    Some(value) => Side::Value(value.clone()),
                };
                let pointer = if new.is_some() { at } else { was };
                let pointer = pointer.to_owned();
                self.fields.push(FieldChange { pointer, old: side(old), new: side(new) });
            }
        }
    }

    /// Containers, ports and variables are known by their names; other elements by their place.
    fn lists(&mut self, at: &str, was: &str, before: &[Value], after: &[Value]) {
        let (Some(old_names), Some(new_names)) = (names(before), names(after)) else {
            for index in 0..before.len().max(after.len()) {
                let (at, was) = (format!("{at}/{index}"), format!("{was}/{index}"));
                self.values(&at, &was, before.get(index), after.get(index));
            }
            return;
        };
        for (name, index) in &old_names {
            if !new_names.contains_key(name) {
                let was = format!("{was}/{index}");
                self.values(&was, &was, before.get(*index), None);
            }
        }
        for (index, value) in after.iter().enumerate() {
            let at = format!("{at}/{index}");
            let found = name_of(value).and_then(|name| old_names.get(name));
            match found {
                Some(old) => {
                    self.values(&at, &format!("{was}/{old}"), before.get(*old), Some(value));
                }
                None => self.values(&at, &at, None, Some(value)),
            }
        }
        let kept = |all: &[Value], other: &BTreeMap<&str, usize>| -> Vec<String> {
            all.iter()
                .filter_map(name_of)
                .filter(|n| other.contains_key(n))
                .map(str::to_owned)
                .collect()
        };
        if kept(before, &new_names) != kept(after, &old_names) {
            self.fields.push(FieldChange {
                pointer: at.to_owned(),
                old: Side::Absent,
                new: Side::Absent,
            });
        }
    }
}

fn name_of(value: &Value) -> Option<&str> {
    value.get("name").and_then(Value::as_str)
}

/// Where each name stands, when every element is a mapping with a `name` and no name comes twice.
fn names(elements: &[Value]) -> Option<BTreeMap<&str, usize>> {
    let mut found = BTreeMap::new();
    for (index, element) in elements.iter().enumerate() {
        if found.insert(name_of(element)?, index).is_some() {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bundle::{Wave, group_of, wave_of};
    use crate::domain::positions::Positions;

    fn bundle(objects: &[Value]) -> Bundle {
        let object = |json: &Value| BundleObject {
            json: json.clone(),
            origin: Origin { file: "a.yaml".into(), line: 3 },
            app: "web".into(),
            wave: json["kind"].as_str().map_or(Wave::Config, |kind| wave_of(group_of("v1"), kind)),
            positions: Positions::default(),
        };
        Bundle::new(objects.iter().map(object).collect(), String::new())
    }

    fn map(name: &str, data: &Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
    }

    #[test]
    fn what_came_went_and_changed_is_told_once() {
        let old = bundle(&[
            map("a", &json!({"x": "1", "y": "2"})),
            map("b", &json!({})),
            map("s", &json!({})),
        ]);
        let new = bundle(&[
            map("a", &json!({"x": "3", "z/~": "4"})),
            map("c", &json!({})),
            map("s", &json!({})),
        ]);
        let diff = BundleDiff::between(&old, &new);
        let wanted = "- ConfigMap/b  (a.yaml:3)\n\
                      + ConfigMap/c  (a.yaml:3)\n\
                      ~ ConfigMap/a  (a.yaml:3)\n    /data/x: \"1\" → \"3\"\n    /data/y: - \"2\"\n    /data/z~1~0: + \"4\"\n\
                      1 added, 1 changed, 1 removed, 1 unchanged\n";
        assert_eq!(diff.text(false), wanted);
        assert!(diff.text(true).contains("\x1b[32m\"3\"\x1b[0m"));
        assert!(BundleDiff::between(&new, &new).is_empty());
        assert_eq!(diff.json()["changed"][0]["fields"][1]["new"], Value::Null);
        assert_eq!(diff.json()["changed"][0]["fields"][0]["new"], json!({"value": "3"}));
    }

    #[test]
    fn values_of_secrets_are_never_shown() {
        let secret = |rest: Value| {
            let mut object =
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
            for (key, value) in rest.as_object().cloned().unwrap_or_default() {
                object[key] = value;
            }
            bundle(&[object])
        };
        let old = secret(json!({"data": {"a": "aHVudGVyMg=="}, "stringData": {"b": "hunter2"}}));
        let new =
            secret(json!({"data": {"a": "aHVudGVyMw==", "c": ["hunter5"]}, "type": "Opaque"}));
        for (one, two) in [(&old, &new), (&new, &old)] {
            let diff = BundleDiff::between(one, two);
            let text = format!("{}{}", diff.text(false), diff.json());
            assert!(!text.contains("hunter") && !text.contains("aHVu"), "{text}");
            assert!(text.contains("/data/a: (hidden) → (hidden)"), "{text}");
            assert!(text.contains("/stringData/b") && text.contains("\"Opaque\""), "{text}");
        }
    }

    #[test]
    fn named_elements_are_compared_by_name_and_others_by_place() {
        let pod = |containers: Value, args: Value| {
            bundle(&[json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
                            "spec": {"containers": containers, "args": args}})])
        };
        let old = pod(json!([{"name": "a", "image": "1"}, {"name": "b"}]), json!(["x", "y"]));
        let new =
            pod(json!([{"name": "n"}, {"name": "b"}, {"name": "a", "image": "2"}]), json!(["x"]));
        let text = BundleDiff::between(&old, &new).text(false);
        let wanted = "~ Pod/p  (a.yaml:3)\n    /spec/args/1: - \"y\"\n    /spec/containers/0: + {\"name\":\"n\"}\n    \
                      /spec/containers/2/image: \"1\" → \"2\"\n    /spec/containers: the elements have another order\n\
                      0 added, 1 changed, 0 removed, 0 unchanged\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_long_value_is_cut_and_a_terminal_is_not_told_what_to_do() {
        let old = bundle(&[map("a", &json!({"x": "1"}))]);
        let new = bundle(&[map("a", &json!({"x": format!("\u{9b}{}", "ö".repeat(500))}))]);
        let text = BundleDiff::between(&old, &new).text(false);
        assert!(text.contains("… (503 characters)") && !text.contains('\u{9b}'), "{text}");
    }
}
