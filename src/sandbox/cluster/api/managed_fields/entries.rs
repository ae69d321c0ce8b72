//! `metadata.managedFields`, read and written. In and out: objects. No I/O.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::super::schema::{Node, Schema, Type};
use super::Write;
use super::set::{Element, Set};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// One entry: what one manager owns.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) manager: String,
    pub(super) operation: Operation,
    pub(super) api_version: String,
    pub(super) subresource: String,
    pub(super) time: Option<DateTime<Utc>>,
    pub(super) set: Set,
}

impl Entry {
    /// What makes two entries the same one; an applier is the same whatever version it applies.
    pub(super) fn key(&self) -> String {
        let version = match self.operation {
            Operation::Apply => "",
            Operation::Update => &self.api_version,
        };
        format!("{}\0{:?}\0{version}\0{}", self.manager, self.operation, self.subresource)
    }

    /// The manager as conflicts name it.
    pub(super) fn printed(&self) -> String {
        let mut out = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            out = format!("{out} with subresource {:?}", self.subresource);
        }
        match self.operation {
            Operation::Apply => out,
            Operation::Update => format!("{out} using {}", self.api_version),
        }
    }

    fn read(entry: &Value) -> Option<Self> {
        let text =
            |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let operation = match entry.get("operation")?.as_str()? {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return None,
        };
        let time = DateTime::parse_from_rfc3339(&text("time")).ok().map(|time| time.to_utc());
        let set = Set::parse(entry.get("fieldsV1").unwrap_or(&Value::Null));
        Some(Self {
            manager: text("manager"),
            operation,
            api_version: text("apiVersion"),
            subresource: text("subresource"),
            time,
            set,
        })
    }

    fn print(&self) -> Value {
        let mut out = Map::new();
        let mut put = |key: &str, value: String| {
            if !value.is_empty() {
                out.insert(key.to_owned(), Value::String(value));
            }
        };
        put("manager", self.manager.clone());
        put("operation", format!("{:?}", self.operation));
        put("apiVersion", self.api_version.clone());
        let time = self.time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true));
        put("time", time.unwrap_or_default());
        put("fieldsType", "FieldsV1".to_owned());
        put("subresource", self.subresource.clone());
        out.insert("fieldsV1".to_owned(), self.set.print());
        Value::Object(out)
    }
}

/// All entries of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(BTreeMap<String, Entry>);

impl Entries {
    pub(super) fn of(object: &Value) -> Self {
        let list = object.pointer("/metadata/managedFields").and_then(Value::as_array);
        Self(
            list.into_iter()
                .flatten()
                .filter_map(Entry::read)
                .map(|entry| (entry.key(), entry))
                .collect(),
        )
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.0.get(key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        self.0.get_mut(key)
    }

    pub(super) fn put(&mut self, entry: Entry) {
        self.0.insert(entry.key(), entry);
    }

    pub(super) fn others(&self, key: &str) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(move |(other, _)| *other != key).map(|(_, entry)| entry)
    }

    /// Changes every set but that of `key`; entries that own nothing any more go.
    pub(super) fn reduce(&mut self, key: &str, change: impl Fn(&Set) -> Set) {
        for (other, entry) in &mut self.0 {
            if other != key {
                entry.set = change(&entry.set);
            }
        }
        self.0.retain(|_, entry| !entry.set.is_empty());
    }

    /// Keeps at most ten updaters: the oldest become one, of all that is long ago.
    pub(super) fn cap(&mut self) {
        const UPDATERS: usize = 10;
        const ANCIENT: &str = "ancient-changes";
        let updaters = |entries: &BTreeMap<String, Entry>| {
            entries.values().filter(|entry| entry.operation == Operation::Update).count()
        };
        while updaters(&self.0) > UPDATERS {
            let oldest = self
                .0
                .iter()
                .filter(|(_, one)| one.operation == Operation::Update && one.manager != ANCIENT)
                .min_by_key(|(key, one)| (one.time, (*key).clone()))
                .map(|(key, _)| key.clone());
            let Some(mut entry) = oldest.and_then(|key| self.0.remove(&key)) else { return };
            ANCIENT.clone_into(&mut entry.manager);
            entry.subresource.clear();
            if let Some(before) = self.0.get(&entry.key()) {
                entry.set = entry.set.union(&before.set);
                entry.time = entry.time.max(before.time);
            }
            self.put(entry);
        }
    }

    pub(super) fn union(&self) -> Set {
        self.0.values().fold(Set::default(), |all, entry| all.union(&entry.set))
    }

    pub(super) fn sets(&self) -> impl Iterator<Item = (&String, &str, &Set)> {
        self.0.iter().map(|(key, entry)| (key, entry.api_version.as_str(), &entry.set))
    }

    /// Writes the list: appliers first, then by time.
    pub(super) fn write_to(&self, object: &mut Value) {
        let mut list: Vec<&Entry> = self.0.values().collect();
        list.sort_by(|left, right| {
            let order = |entry: &&Entry| (entry.operation, entry.time.map(|time| time.timestamp()));
            order(left)
                .cmp(&order(right))
                .then_with(|| left.manager.cmp(&right.manager))
                .then_with(|| left.api_version.cmp(&right.api_version))
                .then_with(|| left.subresource.cmp(&right.subresource))
        });
        let list: Vec<Value> = list.into_iter().map(Entry::print).collect();
        let Some(object) = object.as_object_mut() else { return };
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            if list.is_empty() {
                metadata.remove("managedFields");
            } else {
                metadata.insert("managedFields".to_owned(), Value::Array(list));
            }
        }
    }
}

/// The object without its `managedFields`.
pub(super) fn stripped(object: &Value) -> Value {
    let mut out = object.clone();
    if let Some(metadata) = out.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    out
}

/// Members of `metadata` that nobody owns.
const IDENTITY: [&str; 8] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// What of an applied configuration reaches the object: generated manifests say `creationTimestamp: null` and
/// `status: {}`, and mean nothing by it.
pub(super) fn writable(config: &Value, write: Write<'_>) -> Value {
    let mut out = config.clone();
    let Some(members) = out.as_object_mut() else { return out };
    if write.subresource.is_empty() && write.status_subresource {
        members.remove("status");
    }
    if let Some(metadata) = members.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, value| !(value.is_null() && IDENTITY.contains(&name.as_str())));
    }
    out
}

/// Fields that say which object it is, or that only the server writes: nobody owns them.
pub(super) fn without_identity(mut set: Set) -> Set {
    let field = |name: &str| Element::Field(name.to_owned());
    for name in ["apiVersion", "kind", "metadata"] {
        set.members.remove(&field(name));
    }
    let metadata = field("metadata");
    if let Some(inner) = set.children.get_mut(&metadata) {
        for name in IDENTITY {
            inner.members.remove(&field(name));
        }
        if inner.is_empty() {
            set.children.remove(&metadata);
        }
    }
    set
}

/// Fields that are there in every object of the server's own types, so that no write adds or removes them.
const ALWAYS_THERE: &[&str] = &[
    "involvedObject",
    "jobTemplate",
    "metadata",
    "podSelector",
    "resources",
    "roleRef",
    "scaleTargetRef",
    "source",
    "spec",
    "status",
    "strategy",
    "template",
    "updateStrategy",
];

/// The object with the fields that are always there, as updates are compared.
pub(super) fn padded(schema: &Schema, mut object: Value) -> Value {
    let skeleton = if schema.is_custom() {
        json!({ "metadata": {} })
    } else {
        empty(schema, schema.root(), 4)
    };
    fill(&mut object, &skeleton);
    object
}

fn fill(value: &mut Value, skeleton: &Value) {
    let (Some(members), Some(there)) = (value.as_object_mut(), skeleton.as_object()) else {
        return;
    };
    for (name, below) in there {
        fill(members.entry(name.clone()).or_insert_with(|| json!({})), below);
    }
}

fn empty(schema: &Schema, node: &Node, depth: usize) -> Value {
    let mut out = Map::new();
    for (name, raw) in &node.properties {
        let child = schema.resolve(raw);
        let there =
            ALWAYS_THERE.contains(&name.as_str()) && child.ty == Type::Object && !child.atomic;
        if there && depth > 0 {
            out.insert(name.clone(), empty(schema, child, depth - 1));
        }
    }
    Value::Object(out)
}
