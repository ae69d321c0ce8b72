//! Drift: somebody else changed what we applied. Known by a mark of our entry in `managedFields`, so that of the objects
//! themselves nothing has to be read or kept. No I/O here; [`watch_kind`] watches, [`put_back`] reads and writes.

mod put_back;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::{DynamicObject, ObjectMeta};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub use put_back::{Difference, PutBack, compare, put_back};
pub use watch::{Place, Shown, WatchTrouble, watch_kind};

use super::FIELD_MANAGER;
use super::bundle::Entry;
use super::camp::INSTANCE_LABEL;
use crate::domain::bundle::{canonical_json, group_of, sha256_hex};

/// Digits of a mark.
const MARK: usize = 16;

/// What the API server says that we own of an object, and since when, as 16 hex digits. It changes when somebody takes,
/// changes or removes a field of ours; it stays whatever others do to fields of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark(String);

impl Mark {
    /// Of an object's metadata; `None` when nothing of it is ours.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let entry = own_entry(metadata)?;
        let fields = entry.fields_v1.as_ref().map_or(&Value::Null, |fields| &fields.0);
        let time = entry.time.as_ref().map(|time| time.0.to_string());
        let text = canonical_json(&json!([fields, time, entry.api_version]));
        let mut digits = sha256_hex(text.as_bytes());
        digits.truncate(MARK);
        Some(Self(digits))
    }

    /// One that was written down.
    #[must_use]
    pub fn recorded(digits: &str) -> Self {
        Self(digits.to_owned())
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Our entry: what our last apply left.
fn own_entry(metadata: &ObjectMeta) -> Option<&ManagedFieldsEntry> {
    metadata.managed_fields.iter().flatten().find(|entry| {
        entry.manager.as_deref() == Some(FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    })
}

/// A kind, whatever its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl Kind {
    /// The kind of an entry.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Self {
        Self { group: group_of(api_version).to_owned(), kind: kind.to_owned() }
    }

    /// Whether reading it would be reading passwords: these are never listed and never read, whatever the rights.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.group.is_empty() && self.kind == "Secret"
    }
}

/// Marks by camp, and there by kind and name.
type Noted = BTreeMap<String, BTreeMap<(Kind, String), Mark>>;

/// Marks of what was applied by this process, by camp; and the label that what is applied carries.
#[derive(Debug, Default)]
pub struct Marks {
    instance: Option<String>,
    noted: Mutex<Noted>,
    news: Notify,
}

impl Marks {
    /// What is applied gets the label of this installation, so that one watch shows all of its camps.
    pub(super) fn of_instance(instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), ..Self::default() }
    }

    /// Name of this installation.
    pub(super) fn instance(&self) -> Option<&str> {
        self.instance.as_deref()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object of a bundle as it is sent.
    pub(super) fn as_sent(&self, object: &Value) -> Value {
        let mut object = object.clone();
        if let Some(instance) = &self.instance
            && let Some(Value::Object(metadata)) = object.get_mut("metadata")
            && let Value::Object(labels) = metadata.entry("labels").or_insert_with(|| json!({}))
        {
            labels.insert(INSTANCE_LABEL.to_owned(), instance.as_str().into());
        }
        object
    }

    /// An object of the camp in `namespace` was applied, and is stored like this.
    pub(super) fn note(&self, namespace: &str, stored: &DynamicObject) {
        let (Some(types), Some(name)) = (&stored.types, &stored.metadata.name) else { return };
        let Some(mark) = Mark::of(&stored.metadata) else { return };
        let key = (Kind::of(&types.api_version, &types.kind), name.clone());
        self.noted().entry(namespace.to_owned()).or_default().insert(key, mark);
        self.news.notify_one();
    }

    /// The mark of an object since our last apply of it, when this process did it.
    #[must_use]
    pub fn of(&self, namespace: &str, entry: &Entry) -> Option<Mark> {
        let key = (Kind::of(&entry.api_version, &entry.kind), entry.name.clone());
        self.noted().get(namespace)?.get(&key).cloned()
    }

    /// Forgets camps that are no more.
    pub fn keep(&self, stands: impl Fn(&str) -> bool) {
        self.noted().retain(|namespace, _| stands(namespace));
    }

    /// Returns when something was applied since the last time.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(entries: &Value) -> ObjectMeta {
        serde_json::from_value(json!({"name": "page", "managedFields": entries})).expect("metadata")
    }

    fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
        json!({
            "manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
            "time": "2026-03-02T09:00:00Z", "fieldsV1": fields,
        })
    }

    #[test]
    fn a_mark_changes_with_what_is_ours_and_not_with_what_others_own() {
        let ours = entry("bivouac", "Apply", &json!({"f:data": {"f:page": {}}}));
        let mark = Mark::of(&metadata(&json!([ours]))).expect("a mark");
        assert_eq!(mark.as_str().len(), MARK);
        let other = entry("kubectl-edit", "Update", &json!({"f:data": {"f:more": {}}}));
        assert_eq!(Mark::of(&metadata(&json!([other, ours]))), Some(mark.clone()));
        let less = entry("bivouac", "Apply", &json!({"f:data": {}}));
        assert_ne!(Mark::of(&metadata(&json!([less]))), Some(mark.clone()));
        let mut later = ours.clone();
        later["time"] = "2026-03-02T09:00:01Z".into();
        assert_ne!(Mark::of(&metadata(&json!([later]))), Some(mark));
        assert_eq!(Mark::of(&metadata(&json!([other]))), None);
        let update = entry("bivouac", "Update", &json!({"f:data": {"f:page": {}}}));
        assert_eq!(Mark::of(&metadata(&json!([update]))), None);
    }

    #[test]
    fn what_is_sent_carries_the_installation_and_the_bundle_does_not() {
        let object = json!({"metadata": {"name": "page", "labels": {"app": "web"}}});
        let sent = Marks::of_instance("main").as_sent(&object);
        assert_eq!(
            sent["metadata"]["labels"],
            json!({"app": "web", "bivouac.dev/instance": "main"})
        );
        assert_eq!(Marks::default().as_sent(&object), object);
    }
}
