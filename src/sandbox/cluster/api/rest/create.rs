//! Creates: body → stored object, through admission.

use std::sync::Arc;

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::super::admission;
use super::super::auth::escalation;
use super::super::state::{Call, State};
use super::super::status::ApiError;
use super::super::{convert, crds, engine, names, policy};
use super::{decode, prepare, rules};

/// Where `kubernetes.default.svc` is.
pub(crate) const DEFAULT_SERVICE_ADDRESS: &str = "10.96.0.1";

/// No vowels and nothing that looks like something else, as in Kubernetes.
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// A generated name has this many random characters behind its prefix, which is cut so that 63 are not exceeded.
const SUFFIX_LENGTH: usize = 5;
const PREFIX_LIMIT: usize = 63 - SUFFIX_LENGTH;

impl State {
    /// POST on a collection.
    pub(crate) fn create(&mut self, call: &mut Call, body: Value) -> Result<Arc<Value>, ApiError> {
        let object = decode::decode(call, body)?;
        self.admit(call, object, false)
    }

    /// A decoded object becomes a stored one. `applied`: its managed fields are set already.
    pub(crate) fn admit(
        &mut self,
        call: &mut Call,
        mut object: Value,
        applied: bool,
    ) -> Result<Arc<Value>, ApiError> {
        let resource = call.resource();
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !version.is_empty() && version != "0" {
            // An error without a class of its own, as of a real server.
            let words = "resourceVersion should not be set on objects to be created";
            return Err(ApiError::new(500, "", words));
        }
        self.fresh_metadata(call, &mut object);
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        admission::namespace_accepts(&self.store, &resource, call.namespace(), &name)?;
        if call.served.kind.has("status") && !crds::is_definition(&resource) {
            remove(&mut object, "status");
        }
        if !applied {
            object = engine::track(call, None, &object, "");
        }
        prepare::create(self, call, &mut object);
        admission::mutate(self, call, &mut object)?;
        let mut causes = names::metadata(&resource.group, &resource.resource, &object);
        causes.extend(decode::value_problems(call, &object));
        causes.extend(rules::new_object(&resource, &object));
        if call.served.custom.is_none() {
            causes.extend(rules::finalizers(&resource, &object));
        }
        if crds::is_definition(&resource) {
            causes.extend(crds::problems(&object, None));
        }
        causes.extend(policy::problems(&resource, &object));
        if causes.is_empty() {
            causes.extend(engine::cel(call, &object, None));
        }
        if !causes.is_empty() {
            return Err(call.invalid(&name, &causes));
        }
        escalation::check(&call.rbac, &call.user, &resource, call.namespace(), &object, None)?;
        let key = (call.namespace().to_owned(), name.clone());
        let exists = self.store.get(&resource, &key.0, &key.1).is_some();
        admission::validate(self, call, &object, None)?;
        if exists {
            return Err(ApiError::already_exists(&resource, &name));
        }
        if call.dry_run {
            return Ok(Arc::new(object));
        }
        admission::charge(self, call, &object)?;
        call.path.name = name;
        convert::to_storage(&call.served.kind, &mut object);
        Ok(self.put(&resource, key, object, call.now))
    }

    fn fresh_metadata(&mut self, call: &Call, object: &mut Value) {
        let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
        let named = object["metadata"]["name"].as_str().is_some_and(|name| !name.is_empty());
        if !named && !prefix.is_empty() {
            let name = self.generated_name(call, &prefix);
            object["metadata"]["name"] = json!(name);
        }
        let generation = has_generation(call);
        let uid = self.rng.uuid().to_string();
        if let Some(meta) = object["metadata"].as_object_mut() {
            for key in [
                "resourceVersion",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "selfLink",
                "generation",
            ] {
                meta.remove(key);
            }
            meta.insert("uid".into(), json!(uid));
            meta.insert(
                "creationTimestamp".into(),
                json!(call.now.to_rfc3339_opts(SecondsFormat::Secs, true)),
            );
            if generation {
                meta.insert("generation".into(), json!(1));
            }
            meta.retain(|_, value| !value.is_null());
        }
    }

    fn generated_name(&mut self, call: &Call, prefix: &str) -> String {
        let prefix: String = prefix.chars().take(PREFIX_LIMIT).collect();
        let mut name = String::new();
        // Eight tries as in Kubernetes; a clash after that is an AlreadyExists.
        for _ in 0..8 {
            name = format!("{prefix}{}", self.suffix());
            if self.store.get(&call.resource(), call.namespace(), &name).is_none() {
                break;
            }
        }
        name
    }

    /// Random characters for names.
    pub(crate) fn suffix(&self) -> String {
        (0..SUFFIX_LENGTH)
            .map(|_| {
                let at = self.rng.below(SUFFIX.len() as u64);
                char::from(
                    usize::try_from(at).ok().and_then(|at| SUFFIX.get(at)).copied().unwrap_or(b'x'),
                )
            })
            .collect()
    }
}

/// Whether objects of this kind count their changes in `metadata.generation`.
pub(crate) fn has_generation(call: &Call) -> bool {
    let kind = &call.served.kind;
    call.served.custom.is_some()
        || matches!(
            kind.group.as_str(),
            "apps"
                | "batch"
                | "networking.k8s.io"
                | "policy"
                | "apiextensions.k8s.io"
                | "admissionregistration.k8s.io"
                | "flowcontrol.apiserver.k8s.io"
                | "discovery.k8s.io"
        ) && kind.plural != "controllerrevisions"
        || kind.group.is_empty()
            && matches!(kind.plural.as_str(), "pods" | "replicationcontrollers")
}

/// Takes a member out of an object.
pub(crate) fn remove(object: &mut Value, key: &str) -> Option<Value> {
    object.as_object_mut()?.remove(key)
}
