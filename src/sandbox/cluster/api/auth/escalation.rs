//! (user, role or binding to be written) → may he grant that? Pure, no I/O.

use serde_json::Value;

use super::super::status::{ApiError, Cause, GroupResource};
use super::rbac::{Attributes, GROUP, Rule, Snapshot, User, escalation, not_held};

/// Refuses a role with rights that its writer does not hold, and a binding to a role that he may neither grant nor
/// `bind`.
pub(crate) fn check(
    snapshot: &Snapshot,
    user: &User,
    resource: &GroupResource,
    namespace: &str,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if resource.group != GROUP || user.is_master() {
        return Ok(());
    }
    let name = new["metadata"]["name"].as_str().unwrap_or_default();
    let asked = |verb: &str, resource: &str, name: &str| Attributes {
        verb: verb.into(),
        group: GROUP.into(),
        resource: resource.into(),
        namespace: namespace.into(),
        name: name.into(),
        ..Attributes::default()
    };
    match resource.resource.as_str() {
        "roles" | "clusterroles" => {
            if old.is_some_and(|old| {
                old["rules"] == new["rules"] && old["aggregationRule"] == new["aggregationRule"]
            }) || snapshot.allows(user, &asked("escalate", &resource.resource, name))
            {
                return Ok(());
            }
            let held = snapshot.rules_for(user, namespace);
            let missing = not_held(&held, &Rule::all_of(new));
            if !missing.is_empty() {
                return Err(ApiError::forbidden(resource, name, &escalation(user, &missing)));
            }
            if new["aggregationRule"].is_object() {
                // What an aggregated role will hold is not known now: only who holds everything may make one.
                let everything = ["*".to_owned()].to_vec();
                let all = [
                    Rule {
                        groups: everything.clone(),
                        resources: everything.clone(),
                        verbs: everything.clone(),
                        ..Rule::default()
                    },
                    Rule { urls: everything.clone(), verbs: everything, ..Rule::default() },
                ];
                if !not_held(&held, &all).is_empty() {
                    return Err(ApiError::forbidden(
                        resource,
                        name,
                        "must have cluster-admin privileges to use an aggregationRule",
                    ));
                }
            }
            Ok(())
        }
        "rolebindings" | "clusterrolebindings" => {
            let kind = new["roleRef"]["kind"].as_str().unwrap_or_default();
            let role = new["roleRef"]["name"].as_str().unwrap_or_default();
            if old.is_some_and(|old| {
                old["roleRef"] == new["roleRef"] && old["subjects"] == new["subjects"]
            }) {
                return Ok(());
            }
            let plural = if kind == "ClusterRole" { "clusterroles" } else { "roles" };
            if snapshot.allows(user, &asked("bind", plural, role)) {
                return Ok(());
            }
            let Some(rules) = snapshot.role(kind, namespace, role) else {
                return Err(ApiError::not_found(&GroupResource::new(GROUP, plural), role));
            };
            let missing = not_held(&snapshot.rules_for(user, namespace), rules);
            if missing.is_empty() {
                Ok(())
            } else {
                Err(ApiError::forbidden(resource, name, &escalation(user, &missing)))
            }
        }
        _ => Ok(()),
    }
}

/// A binding's role never changes: delete it and make another.
pub(crate) fn role_ref_kept(new: &Value, old: &Value) -> Option<Cause> {
    (new["roleRef"] != old["roleRef"])
        .then(|| Cause::invalid("roleRef", &new["roleRef"], "cannot change roleRef"))
}
