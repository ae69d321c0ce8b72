//! Changes: (live object, wanted object) → stored object: what may not change is put back, generation, finalizers.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::admission;
use super::super::auth::escalation;
use super::super::state::{Call, State};
use super::super::status::{ApiError, Cause};
use super::super::{convert, crds, engine, names, policy};
use super::create::{has_generation, remove};
use super::{decode, prepare, rules};

impl State {
    /// The object that the path names.
    pub(crate) fn live(&self, call: &Call) -> Result<Arc<Value>, ApiError> {
        self.store
            .get(&call.resource(), call.namespace(), &call.path.name)
            .cloned()
            .ok_or_else(|| ApiError::not_found(&call.resource(), &call.path.name))
    }

    /// PUT. `true` when the object is new.
    pub(crate) fn update(
        &mut self,
        call: &mut Call,
        body: Value,
    ) -> Result<(Arc<Value>, bool), ApiError> {
        let mut object = decode::decode(call, body)?;
        let wanted = call.path.name.clone();
        match object["metadata"]["name"].as_str() {
            None | Some("") => object["metadata"]["name"] = json!(wanted),
            Some(name) if name != wanted => {
                return Err(ApiError::bad_request(format!(
                    "the name of the object ({name}) does not match the name on the URL ({wanted})"
                )));
            }
            Some(_) => {}
        }
        let live = match self.live(call) {
            Ok(live) => live,
            Err(error) => {
                // Leases, events and the like may be created by PUT.
                let by_put = matches!(
                    call.served.kind.plural.as_str(),
                    "leases"
                        | "events"
                        | "endpoints"
                        | "nodes"
                        | "roles"
                        | "clusterroles"
                        | "rolebindings"
                        | "clusterrolebindings"
                        | "limitranges"
                );
                let fresh =
                    object["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty);
                if by_put && fresh && call.path.subresource.is_empty() {
                    return self.admit(call, object, false).map(|object| (object, true));
                }
                return Err(error);
            }
        };
        if call.served.custom.is_some()
            && object["metadata"]["resourceVersion"].as_str().is_none_or(str::is_empty)
        {
            let cause = Cause {
                reason: "FieldValueInvalid".into(),
                field: "metadata.resourceVersion".into(),
                message: "Invalid value: 0: must be specified for an update".into(),
            };
            return Err(call.invalid(&wanted, &[cause]));
        }
        self.change(call, &live, object, false).map(|object| (object, false))
    }

    /// Takes `new` in the place of `live`. `applied`: its managed fields are set already.
    pub(crate) fn change(
        &mut self,
        call: &mut Call,
        live: &Arc<Value>,
        mut new: Value,
        applied: bool,
    ) -> Result<Arc<Value>, ApiError> {
        let resource = call.resource();
        let name = call.path.name.clone();
        // Compared in the version that the request speaks.
        let stored = live;
        let live = &self.present(call, stored);
        let said = |value: &Value, key: &str| {
            value["metadata"][key].as_str().unwrap_or_default().to_owned()
        };
        let version = said(&new, "resourceVersion");
        if !version.is_empty() && version != said(live, "resourceVersion") {
            return Err(ApiError::modified(&resource, &name));
        }
        let uid = said(&new, "uid");
        if !uid.is_empty() && uid != said(live, "uid") {
            return Err(ApiError::conflict(
                &resource,
                &name,
                &format!(
                    "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                    said(live, "uid")
                ),
            ));
        }
        keep_server_fields(call, live, &mut new);
        keep_other_part(call, live, &mut new);
        if !applied {
            let subresource = call.path.subresource.clone();
            new = engine::track(call, Some(live), &new, &subresource);
        }
        prepare::change(self, call, live, &mut new);
        if call.path.subresource.is_empty() {
            admission::mutate_change(self, call, &mut new);
        }
        if has_generation(call) && content(call, &new) != content(call, live) {
            let generation = live["metadata"]["generation"].as_i64().unwrap_or_default();
            new["metadata"]["generation"] = json!(generation + 1);
        }
        self.check_change(call, live, &new)?;
        if same(live, &new) {
            return Ok(Arc::clone(stored));
        }
        if call.dry_run {
            return Ok(Arc::new(new));
        }
        let key = call.key();
        convert::to_storage(&call.served.kind, &mut new);
        if is_done(&resource.resource, &resource.group, &new) {
            let last = self.remove(&resource, &key, call.now);
            return Ok(last.unwrap_or_else(|| Arc::clone(stored)));
        }
        Ok(self.put(&resource, key, new, call.now))
    }

    fn check_change(&mut self, call: &mut Call, live: &Value, new: &Value) -> Result<(), ApiError> {
        let resource = call.resource();
        let name = call.path.name.clone();
        let mut causes = names::metadata(&resource.group, &resource.resource, new);
        causes.extend(decode::value_problems(call, new));
        causes.extend(new_finalizers(live, new));
        if call.path.subresource.is_empty() {
            causes.extend(rules::new_object(&resource, new));
            if call.served.custom.is_none() {
                causes.extend(rules::finalizers(&resource, new));
            }
            causes.extend(rules::changed_object(&resource, live, new));
            if crds::is_definition(&resource) {
                causes.extend(crds::problems(new, Some(live)));
            }
            causes.extend(policy::problems(&resource, new));
        }
        if causes.is_empty() {
            causes.extend(engine::cel(call, new, Some(live)));
        }
        if !causes.is_empty() {
            return Err(call.invalid(&name, &causes));
        }
        escalation::check(&call.rbac, &call.user, &resource, call.namespace(), new, Some(live))?;
        admission::validate(self, call, new, Some(live))
    }
}

/// What the server alone sets stays as it is.
fn keep_server_fields(call: &Call, live: &Value, new: &mut Value) {
    new["metadata"]["name"] = live["metadata"]["name"].clone();
    for key in [
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "generateName",
        "resourceVersion",
        "selfLink",
    ] {
        let kept = live["metadata"].get(key).cloned();
        if let Some(meta) = new["metadata"].as_object_mut() {
            match kept {
                Some(value) => meta.insert(key.to_owned(), value),
                None => meta.remove(key),
            };
        }
    }
    new["apiVersion"] = json!(call.served.kind.api_version());
    new["kind"] = json!(call.served.kind.kind);
}

/// Through `/status` only the status changes, through the main resource everything but it.
fn keep_other_part(call: &Call, live: &Value, new: &mut Value) {
    let kind = &call.served.kind;
    let keep = |new: &mut Value, key: &str| match live.get(key) {
        Some(value) => new[key] = value.clone(),
        None => {
            remove(new, key);
        }
    };
    match call.path.subresource.as_str() {
        "status" => {
            let keys: Vec<String> = live
                .as_object()
                .into_iter()
                .chain(new.as_object())
                .flat_map(|object| object.keys().cloned())
                .filter(|key| {
                    !matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "status")
                })
                .collect();
            for key in keys {
                keep(new, &key);
            }
            let mut meta = live["metadata"].clone();
            // Nodes' and pods' agents note things about them together with the status.
            if kind.group.is_empty() {
                for key in ["labels", "annotations", "finalizers"] {
                    match new["metadata"].get(key) {
                        Some(value) => meta[key] = value.clone(),
                        None => {
                            remove(&mut meta, key);
                        }
                    }
                }
            }
            if let Some(fields) = new["metadata"].get("managedFields") {
                meta["managedFields"] = fields.clone();
            }
            new["metadata"] = meta;
        }
        "" if kind.has("status") => {
            keep(new, "status");
            if kind.group.is_empty() && kind.plural == "namespaces" {
                keep(new, "spec");
            }
        }
        _ => {}
    }
}

/// What counts for the generation.
fn content(call: &Call, object: &Value) -> Value {
    let mut object = object.clone();
    for key in ["metadata", "apiVersion", "kind"] {
        remove(&mut object, key);
    }
    if call.served.kind.has("status") || call.served.custom.is_none() {
        remove(&mut object, "status");
    }
    object
}

/// Equal but for the times of managed fields: then nothing is written.
fn same(live: &Value, new: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut object = object.clone();
        for entry in object["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            remove(entry, "time");
        }
        object
    };
    live == new || timeless(live) == timeless(new)
}

fn new_finalizers(live: &Value, new: &Value) -> Option<Cause> {
    if live["metadata"]["deletionTimestamp"].is_null() {
        return None;
    }
    let of =
        |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let had = of(live);
    let added: Vec<String> =
        of(new).iter().filter(|f| !had.contains(f)).map(Value::to_string).collect();
    (!added.is_empty()).then(|| {
        Cause::forbidden(
            "metadata.finalizers",
            &format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            ),
        )
    })
}

/// Whether an object on its way out has nothing left that holds it.
pub(crate) fn is_done(plural: &str, group: &str, object: &Value) -> bool {
    let empty = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    let meta = &object["metadata"];
    meta["deletionTimestamp"].is_string()
        && empty(&meta["finalizers"])
        && meta["deletionGracePeriodSeconds"].as_i64().unwrap_or_default() == 0
        && (plural != "namespaces" || !group.is_empty() || empty(&object["spec"]["finalizers"]))
}
