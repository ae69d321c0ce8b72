//! Access, rules, self and token reviews: (review object, RBAC) → the same object with its status. Pure, no I/O.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::status::{ApiError, Cause};
use super::super::store::Store;
use super::authn::{Tokens, user_info};
use super::rbac::{Attributes, Rule, Snapshot, User};

/// Group and resource of every review that is answered.
pub(crate) const REVIEWS: [(&str, &str, &str, bool); 6] = [
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", false),
    ("authentication.k8s.io", "tokenreviews", "TokenReview", false),
    ("authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview", true),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", false),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview", false),
    ("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", false),
];

/// Whether the resource is a review: it is answered, not stored.
pub(crate) fn is_review(group: &str, resource: &str) -> bool {
    REVIEWS.iter().any(|(g, r, _, _)| *g == group && *r == resource)
}

/// What a review is answered from.
pub(crate) struct Facts<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) tokens: &'a Tokens,
    pub(crate) store: &'a Store,
    pub(crate) now: DateTime<Utc>,
}

/// Fills in the status of `review`, asked for by `user`.
pub(crate) fn answer(
    facts: &Facts<'_>,
    user: &User,
    resource: &str,
    namespace: &str,
    mut review: Value,
) -> Result<Value, ApiError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !review["metadata"].is_object() {
        review["metadata"] = json!({});
    }
    review["metadata"]["creationTimestamp"] = Value::Null;
    match resource {
        "selfsubjectreviews" => review["status"] = json!({"userInfo": user_info(user)}),
        "tokenreviews" => {
            let token = text(&review["spec"]["token"]);
            review["status"] = match facts.tokens.find(&token, facts.store, facts.now) {
                Some(token) => json!({
                    "authenticated": true, "user": user_info(&token.user), "audiences": token.audiences,
                }),
                None => json!({"user": {}, "error": "invalid bearer token"}),
            };
        }
        "selfsubjectrulesreviews" => {
            let namespace = text(&review["spec"]["namespace"]);
            if namespace.is_empty() {
                return Err(ApiError::bad_request("no namespace on request"));
            }
            review["status"] = rules_status(&facts.snapshot.rules_for(user, &namespace));
        }
        _ => {
            let asked = attributes(&review["spec"]);
            let Some(asked) = asked else {
                let cause = Cause::invalid(
                    "spec.resourceAttributes",
                    &Value::Null,
                    "exactly one of nonResourceAttributes or resourceAttributes must be specified",
                );
                return Err(ApiError::invalid(
                    "authorization.k8s.io",
                    &text(&review["kind"]),
                    "",
                    &[cause],
                ));
            };
            if resource == "localsubjectaccessreviews" && asked.namespace != namespace {
                return Err(ApiError::bad_request(format!(
                    "namespace on subject access review does not match the namespace on the request: {} vs {namespace}",
                    asked.namespace
                )));
            }
            let allowed = if resource == "selfsubjectaccessreviews" {
                facts.snapshot.allows(user, &asked)
            } else {
                facts.snapshot.allows(&subject(&review["spec"]), &asked)
            };
            review["status"] = json!({"allowed": allowed});
        }
    }
    Ok(review)
}

fn subject(spec: &Value) -> User {
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        groups: spec["groups"]
            .as_array()
            .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
        ..User::default()
    }
}

fn attributes(spec: &Value) -> Option<Attributes> {
    let of = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    match (resource.is_object(), path.is_object()) {
        (true, false) => Some(Attributes {
            verb: of(resource, "verb"),
            group: of(resource, "group"),
            resource: of(resource, "resource"),
            subresource: of(resource, "subresource"),
            namespace: of(resource, "namespace"),
            name: of(resource, "name"),
            path: None,
        }),
        (false, true) => Some(Attributes {
            verb: of(path, "verb"),
            path: Some(of(path, "path")),
            ..Attributes::default()
        }),
        _ => None,
    }
}

fn rules_status(rules: &[Rule]) -> Value {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in rules {
        if rule.urls.is_empty() {
            let mut out = json!({
                "verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources,
            });
            if !rule.names.is_empty() {
                out["resourceNames"] = json!(rule.names);
            }
            resources.push(out);
        } else {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
        }
    }
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}
