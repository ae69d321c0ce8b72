//! Definitions of custom resources: checked, accepted and served at once; with a definition its objects go.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::cel::Rules;
use super::kinds::versions_of;
use super::state::State;
use super::status::{Cause, GroupResource};

const GROUP: &str = "apiextensions.k8s.io";
const PLURAL: &str = "customresourcedefinitions";
/// Holds a definition until its objects are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Whether these objects are definitions.
pub(crate) fn is_definition(resource: &GroupResource) -> bool {
    resource.group == GROUP && resource.resource == PLURAL
}

/// Fills in what the server sets on a new or changed definition: names, conditions, stored versions.
pub(crate) fn prepare(definition: &mut Value, now: DateTime<Utc>) {
    let now = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    let names = &mut definition["spec"]["names"];
    let kind = names["kind"].as_str().unwrap_or_default().to_owned();
    if names["singular"].as_str().is_none_or(str::is_empty) {
        names["singular"] = json!(kind.to_lowercase());
    }
    if names["listKind"].as_str().is_none_or(str::is_empty) {
        names["listKind"] = json!(format!("{kind}List"));
    }
    let names = names.clone();
    if definition["spec"]["conversion"].is_null() {
        definition["spec"]["conversion"] = json!({"strategy": "None"});
    }
    if let Some(versions) = definition["spec"]["versions"].as_array_mut() {
        // The default is what `kubectl get` shows: an age.
        for version in versions.iter_mut().filter(|v| v["additionalPrinterColumns"] == json!([])) {
            if let Some(version) = version.as_object_mut() {
                version.remove("additionalPrinterColumns");
            }
        }
    }
    let storage: Vec<Value> = definition["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect();
    let mut stored = definition["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    stored.extend(storage.into_iter().filter(|v| !stored.contains(v)).collect::<Vec<_>>());
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "lastTransitionTime": now,
            "reason": reason, "message": message,
        })
    };
    let mut conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
    for (kind, reason, message) in [
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ] {
        if !conditions.iter().any(|c| c["type"] == kind) {
            conditions.push(condition(kind, reason, message));
        }
    }
    if definition["metadata"]["deletionTimestamp"].is_string()
        && !conditions.iter().any(|c| c["type"] == "Terminating")
    {
        conditions.push(condition(
            "Terminating",
            "InstanceDeletionInProgress",
            "CustomResource deletion is in progress",
        ));
    }
    definition["status"] =
        json!({"conditions": conditions, "acceptedNames": names, "storedVersions": stored});
}

/// Puts the clean-up finalizer on a definition that is not on its way out.
pub(crate) fn hold(definition: &mut Value) {
    let finalizers = &mut definition["metadata"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(list) if list.iter().any(|f| f == CLEANUP) => {}
        Some(list) => list.push(json!(CLEANUP)),
        None => *finalizers = json!([CLEANUP]),
    }
}

/// What is wrong with a definition beyond its schema.
pub(crate) fn problems(definition: &Value, old: Option<&Value>) -> Vec<Cause> {
    let spec = &definition["spec"];
    let (group, plural) = (
        spec["group"].as_str().unwrap_or_default(),
        spec["names"]["plural"].as_str().unwrap_or_default(),
    );
    let mut causes = Vec::new();
    if definition["metadata"]["name"] != json!(format!("{plural}.{group}")) {
        causes.push(Cause::invalid(
            "metadata.name",
            &definition["metadata"]["name"],
            "must be spec.names.plural+\".\"+spec.group",
        ));
    }
    let versions = spec["versions"].as_array().map_or(&[][..], Vec::as_slice);
    if versions.iter().filter(|version| version["storage"] == true).count() != 1 {
        causes.push(Cause::invalid(
            "spec.versions",
            &json!(versions.iter().map(|v| v["name"].clone()).collect::<Vec<_>>()),
            "must have exactly one version marked as storage version",
        ));
    }
    for (index, version) in versions.iter().enumerate() {
        if !version["schema"]["openAPIV3Schema"].is_object() {
            causes.push(Cause::required(
                &format!("spec.versions[{index}].schema.openAPIV3Schema"),
                "schemas are required",
            ));
        }
        let broken = Rules::compile(&version["schema"]["openAPIV3Schema"]).broken();
        causes.extend(broken.into_iter().map(|text| Cause {
            reason: "FieldValueInvalid".into(),
            field: format!("spec.versions[{index}].schema.openAPIV3Schema"),
            message: format!("Invalid value: {text}"),
        }));
    }
    if let Some(old) = old {
        for (field, new, old) in [
            ("spec.group", &spec["group"], &old["spec"]["group"]),
            ("spec.scope", &spec["scope"], &old["spec"]["scope"]),
            ("spec.names.plural", &spec["names"]["plural"], &old["spec"]["names"]["plural"]),
            ("spec.names.kind", &spec["names"]["kind"], &old["spec"]["names"]["kind"]),
        ] {
            if new != old {
                causes.push(Cause::invalid(field, new, "field is immutable"));
            }
        }
    }
    causes
}

impl State {
    /// Serves what the definition says.
    pub(crate) fn register(&mut self, definition: &Value) {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        self.kinds.set_custom(name, versions_of(definition));
        self.kinds_revision += 1;
    }

    /// Deletes the objects of a definition that is to go, and the definition when none is left.
    pub(crate) fn clean_up(&mut self, definition: &Value, now: DateTime<Utc>) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let resource = GroupResource {
            group: text(&definition["spec"]["group"]),
            resource: text(&definition["spec"]["names"]["plural"]),
        };
        let keys: Vec<_> = self.store.list(&resource, None).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let Some(object) = self.store.get(&resource, &key.0, &key.1) else { continue };
            let held = object["metadata"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
            if !held {
                self.remove(&resource, &key, now);
            } else if object["metadata"]["deletionTimestamp"].is_null() {
                let mut object = Value::clone(object);
                object["metadata"]["deletionTimestamp"] =
                    json!(now.to_rfc3339_opts(SecondsFormat::Secs, true));
                object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
                self.put(&resource, key, object, now);
            }
        }
        self.finish_definition(&resource, now);
    }

    /// When the last object of a definition on its way out is gone, so is its finalizer.
    pub(crate) fn finish_definition(&mut self, resource: &GroupResource, now: DateTime<Utc>) {
        let definitions = GroupResource::new(GROUP, PLURAL);
        let name = resource.to_string();
        let Some(definition) = self.store.get(&definitions, "", &name) else { return };
        if definition["metadata"]["deletionTimestamp"].is_null()
            || self.store.list(resource, None).next().is_some()
        {
            return;
        }
        let mut definition = Value::clone(definition);
        let mut left = 0;
        if let Some(list) = definition["metadata"]["finalizers"].as_array_mut() {
            list.retain(|finalizer| finalizer != CLEANUP);
            left = list.len();
        }
        let key = (String::new(), name);
        if left == 0 {
            self.remove(&definitions, &key, now);
        } else {
            self.put(&definitions, key, definition, now);
        }
    }
}
