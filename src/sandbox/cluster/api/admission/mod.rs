//! What stands between a valid request and the store: namespace lifecycle, service accounts, limit ranges, Pod Security,
//! admission policies, quota. Admission webhooks are stored but not called.

mod limits;
mod pods;
mod profiles;
mod quota;
mod security;

use serde_json::{Value, json};

use super::policy::{self, Review};
use super::state::{Call, State};
use super::status::{ApiError, GroupResource};
use super::store::Store;

pub(super) fn is_pod(call: &Call) -> bool {
    call.served.kind.group.is_empty() && call.served.kind.plural == "pods"
}

/// A new object needs a namespace that is there and stays.
pub(crate) fn namespace_accepts(
    store: &Store,
    resource: &GroupResource,
    namespace: &str,
    name: &str,
) -> Result<(), ApiError> {
    if namespace.is_empty() {
        return Ok(());
    }
    let namespaces = GroupResource::new("", "namespaces");
    let Some(found) = store.get(&namespaces, "", namespace) else {
        return Err(ApiError::not_found(&namespaces, namespace));
    };
    if found["metadata"]["deletionTimestamp"].is_null() {
        return Ok(());
    }
    let mut error = ApiError::forbidden(
        resource,
        name,
        &format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        ),
    );
    error.details.insert(
        "causes".into(),
        json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        }]),
    );
    Err(error)
}

/// Completes a new object.
pub(crate) fn mutate(state: &State, call: &Call, object: &mut Value) -> Result<(), ApiError> {
    if is_pod(call) {
        pods::service_account(state, call, object)?;
        pods::tolerations(object);
        limits::defaults(state, call, object);
    }
    Ok(())
}

/// Completes a changed object.
pub(crate) fn mutate_change(_state: &State, call: &Call, object: &mut Value) {
    if is_pod(call) {
        pods::tolerations(object);
    }
}

/// Refuses what may not be stored.
pub(crate) fn validate(
    state: &State,
    call: &mut Call,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if call.path.subresource.is_empty() {
        security::check(state, call, object, old)?;
        if old.is_none() && is_pod(call) {
            limits::check(state, call, object)?;
        }
    }
    let name = call.path.name.clone();
    // A change through `/scale` was judged as the Scale that it is.
    if call.path.subresource != "scale" {
        let asked = match old {
            None => Review::create(object),
            Some(old) => Review::update(&name, old, object),
        };
        let warnings = policy::review(state, call, &asked)?;
        call.warnings.extend(warnings);
    }
    if old.is_none() {
        quota::check(state, call, object)?;
    }
    Ok(())
}

/// Notes in the quotas' status what a stored object takes, so that the next request sees it at once.
pub(crate) fn charge(state: &mut State, call: &Call, object: &Value) -> Result<(), ApiError> {
    quota::charge(state, call, object)
}
