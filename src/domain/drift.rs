//! PURE · who changed what: `fieldsV1` of `managedFields` as paths, and the fields that one list lost against another.

use std::collections::BTreeSet;

use serde_json::Value;

/// Paths that are kept of one object: a person reads them.
pub const MOST_FIELDS: usize = 8;
/// Nesting of a `fieldsV1`; an API server gives no deeper one.
const DEEPEST: usize = 64;

/// One writer of an object, as its `managedFields` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// Name of the field manager.
    pub manager: String,
    /// When, in seconds since 1970.
    pub at: i64,
    /// What it owns.
    pub fields: BTreeSet<String>,
}

/// What happened to an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// It was not there any more.
    pub gone: bool,
    /// Who changed it, when that is known. Text of somebody else.
    pub manager: Option<String>,
    /// Which fields, sorted; the first [`MOST_FIELDS`].
    pub fields: Vec<String>,
}

impl Change {
    /// Fields that somebody had taken, as a conflict names both.
    #[must_use]
    pub fn by(manager: String, mut fields: Vec<String>) -> Self {
        fields.sort();
        fields.dedup();
        fields.truncate(MOST_FIELDS);
        Self { gone: false, manager: Some(manager), fields }
    }
}

/// The fields in a `fieldsV1`, as `.spec.template.spec.containers[name="web"].image`.
#[must_use]
pub fn paths(fields: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(fields, &mut String::new(), 0, &mut found);
    found
}

fn collect(fields: &Value, path: &mut String, depth: usize, found: &mut BTreeSet<String>) {
    let members = fields.as_object().filter(|members| !members.is_empty());
    let Some(members) = members.filter(|_| depth < DEEPEST) else {
        if !path.is_empty() {
            found.insert(path.clone());
        }
        return;
    };
    for (key, below) in members {
        if key == "." {
            // The thing itself: what is in it says more, when there is something.
            if members.len() == 1 && !path.is_empty() {
                found.insert(path.clone());
            }
            continue;
        }
        let length = path.len();
        path.push_str(&step(key));
        collect(below, path, depth + 1, found);
        path.truncate(length);
    }
}

/// One step of a path: `f:name`, `k:{"name":"web"}`, `v:"x"`, `i:3`.
fn step(key: &str) -> String {
    let (kind, rest) = key.split_once(':').unwrap_or(("f", key));
    match kind {
        "k" => match serde_json::from_str::<Value>(rest) {
            Ok(Value::Object(members)) => {
                let members: Vec<String> =
                    members.iter().map(|(name, value)| format!("{name}={value}")).collect();
                format!("[{}]", members.join(","))
            }
            _ => format!("[{rest}]"),
        },
        "v" => format!("[={rest}]"),
        "i" => format!("[{rest}]"),
        _ => format!(".{rest}"),
    }
}

impl Change {
    /// What was lost between `before`, as it was found, and `after`, as we own it now that it is put back; and who of the
    /// others had it.
    #[must_use]
    pub fn between(before: &BTreeSet<String>, after: &BTreeSet<String>, others: &[Writer]) -> Self {
        let lost: Vec<&String> = after.difference(before).collect();
        let newest = |owners: &mut dyn Iterator<Item = &Writer>| {
            owners.max_by_key(|writer| (writer.at, writer.manager.clone())).cloned()
        };
        let had = |writer: &&Writer| lost.iter().any(|path| owns(writer, path));
        // Who removed a field owns nothing of it: the last who wrote is the likeliest.
        let by = newest(&mut others.iter().filter(had)).or_else(|| newest(&mut others.iter()));
        Self {
            gone: false,
            manager: by.map(|writer| writer.manager),
            fields: lost.into_iter().take(MOST_FIELDS).cloned().collect(),
        }
    }

    /// In words: `"kubectl-edit" changed .data.page`.
    #[must_use]
    pub fn words(&self) -> String {
        let who = match &self.manager {
            Some(manager) => format!("{manager:?}"),
            None => "somebody".to_owned(),
        };
        if self.gone {
            return "it was deleted".to_owned();
        }
        match self.fields.as_slice() {
            [] => format!("{who} changed it"),
            fields => format!("{who} changed {}", fields.join(", ")),
        }
    }

    /// The fields by which a fight over this object is known: the object itself when it was deleted.
    #[must_use]
    pub fn contested(&self) -> Vec<String> {
        if self.gone || self.fields.is_empty() {
            return vec![WHOLE.to_owned()];
        }
        self.fields.clone()
    }
}

/// In place of a field: the object itself.
pub const WHOLE: &str = "(the object)";

/// Whether this writer has the field, or something in or around it: a list that is one for us may be many for another.
fn owns(writer: &Writer, path: &str) -> bool {
    writer
        .fields
        .iter()
        .any(|own| own == path || starts_below(own, path) || starts_below(path, own))
}

fn starts_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:template": {"f:spec": {"f:containers": {
                    "k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:name": {}},
                }}},
                "f:finalizers": {"v:\"x\"": {}},
                "f:empty": {".": {}},
            },
        })
    }

    #[test]
    fn fields_are_named_as_the_api_server_names_them() {
        let found: Vec<String> = paths(&fields()).into_iter().collect();
        let wanted = [
            ".metadata.labels.app",
            ".spec.empty",
            ".spec.finalizers[=\"x\"]",
            ".spec.replicas",
            ".spec.template.spec.containers[name=\"web\"].image",
            ".spec.template.spec.containers[name=\"web\"].name",
        ];
        assert_eq!(found, wanted);
        assert!(paths(&json!({})).is_empty() && paths(&json!(7)).is_empty());
    }

    #[test]
    fn who_has_the_lost_field_is_the_one_and_else_the_last_who_wrote() {
        let after = paths(&fields());
        let mut before = after.clone();
        before.remove(".spec.replicas");
        let writer = |manager: &str, at: i64, fields: &[&str]| Writer {
            manager: manager.into(),
            at,
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        };
        let others = [
            writer("scaler", 5, &[".spec.replicas"]),
            writer("kube-controller-manager", 9, &[".status"]),
        ];
        let change = Change::between(&before, &after, &others);
        assert_eq!(change.words(), "\"scaler\" changed .spec.replicas");
        let change = Change::between(&before, &after, &others[1..]);
        assert_eq!(change.manager.as_deref(), Some("kube-controller-manager"));
        assert_eq!(
            Change::between(&before, &after, &[]).words(),
            "somebody changed .spec.replicas"
        );
        assert_eq!(Change { gone: true, ..Change::default() }.contested(), [WHOLE]);
    }

    #[test]
    fn a_manager_s_name_is_hostile_text_and_stays_in_its_quotes() {
        let change = Change {
            gone: false,
            manager: Some("x\"\n@everybody".into()),
            fields: vec![".data.a".into()],
        };
        assert_eq!(change.words(), "\"x\\\"\\n@everybody\" changed .data.a");
    }
}
