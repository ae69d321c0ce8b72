//! Which requests a policy or a binding is for: rules, exclusions, selectors. Pure, no I/O.

use std::sync::Arc;

use serde_json::Value;

use super::super::convert;
use super::super::engine::selects;
use super::super::schema::Kind;
use super::super::state::{Call, State};
use super::super::status::GroupResource;
use super::request::{Operation, Review};

/// The resource by which a rule matched: the request's own, or another version of it.
#[derive(Clone, Debug)]
pub(super) struct Matched {
    /// `None`: the request's own.
    other: Option<Arc<Kind>>,
}

impl Matched {
    pub(super) fn kind<'k>(&'k self, call: &'k Call) -> &'k Kind {
        self.other.as_deref().unwrap_or(&call.served.kind)
    }

    /// An object of the request in the version that the policy asked for.
    pub(super) fn present(&self, call: &Call, object: &Value) -> Value {
        match &self.other {
            None => object.clone(),
            // Bodies of subresources have a kind of their own.
            Some(_) if object["kind"] != call.served.kind.kind.as_str() => object.clone(),
            Some(kind) => {
                let mut stored = object.clone();
                convert::to_storage(&call.served.kind, &mut stored);
                convert::from_storage(kind, &stored)
            }
        }
    }
}

/// Whether `constraints` (`MatchResources`) are for this request.
pub(super) fn matches(
    state: &State,
    call: &Call,
    review: &Review,
    constraints: &Value,
) -> Option<Matched> {
    if !in_namespace(state, call, review, &constraints["namespaceSelector"])
        || !has_labels(review, &constraints["objectSelector"])
    {
        return None;
    }
    let equivalent = constraints["matchPolicy"] != "Exact";
    if by_rules(state, call, review, &constraints["excludeResourceRules"], equivalent).is_some() {
        return None;
    }
    if constraints["resourceRules"].as_array().is_none_or(Vec::is_empty) {
        return Some(Matched { other: None });
    }
    by_rules(state, call, review, &constraints["resourceRules"], equivalent)
}

fn says_nothing(selector: &Value) -> bool {
    let empty_map = |value: &Value| value.as_object().is_none_or(serde_json::Map::is_empty);
    let empty_list = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
    empty_map(&selector["matchLabels"]) && empty_list(&selector["matchExpressions"])
}

fn is_namespace(call: &Call) -> bool {
    call.served.kind.group.is_empty() && call.served.kind.plural == "namespaces"
}

/// Namespaces are judged by their own labels; other objects without namespace are always in.
fn in_namespace(state: &State, call: &Call, review: &Review, selector: &Value) -> bool {
    if says_nothing(selector) {
        return true;
    }
    let name = match (is_namespace(call), review.object) {
        (true, Some(object)) if review.subresource(call).is_empty() => {
            return selects(selector, object);
        }
        (true, _) => review.name,
        (false, _) => call.namespace(),
    };
    if name.is_empty() {
        return true;
    }
    let namespaces = GroupResource::new("", "namespaces");
    state.store.get(&namespaces, "", name).is_some_and(|found| selects(selector, found))
}

/// The new object or the old one has the labels.
fn has_labels(review: &Review, selector: &Value) -> bool {
    says_nothing(selector)
        || [review.object, review.old].into_iter().flatten().any(|object| selects(selector, object))
}

fn by_rules(
    state: &State,
    call: &Call,
    review: &Review,
    rules: &Value,
    equivalent: bool,
) -> Option<Matched> {
    let rules = rules.as_array()?;
    let hit = |kind: &Kind| rules.iter().any(|rule| is_hit(call, review, rule, kind));
    if hit(&call.served.kind) {
        return Some(Matched { other: None });
    }
    if !equivalent {
        return None;
    }
    let resource = call.resource();
    state
        .kinds
        .all()
        .filter(|served| served.resource() == resource)
        .map(|served| &served.kind)
        .find(|kind| kind.api_version() != call.served.kind.api_version() && hit(kind))
        .map(|kind| Matched { other: Some(Arc::clone(kind)) })
}

fn is_hit(call: &Call, review: &Review, rule: &Value, kind: &Kind) -> bool {
    let lists = |key: &str, wanted: &str| {
        rule[key]
            .as_array()
            .into_iter()
            .flatten()
            .any(|item| item == "*" || item.as_str() == Some(wanted))
    };
    let scope = match rule["scope"].as_str() {
        Some("Namespaced") => kind.namespaced,
        Some("Cluster") => !kind.namespaced,
        _ => true,
    };
    let names = rule["resourceNames"].as_array().map_or(&[][..], Vec::as_slice);
    scope
        && lists("apiGroups", &kind.group)
        && lists("apiVersions", &kind.version)
        && lists("operations", review.operation.word())
        && rule["resources"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|pattern| is_resource(pattern, &kind.plural, review.subresource(call)))
        && (names.is_empty() || names.iter().any(|name| name.as_str() == Some(review.name)))
}

/// `pods`, `pods/log`, `*`, `*/*`, `pods/*`, `*/scale`. A plain `*` is no subresource.
fn is_resource(pattern: &str, resource: &str, subresource: &str) -> bool {
    let (wanted, wanted_sub) = pattern.split_once('/').unwrap_or((pattern, ""));
    (wanted == "*" || wanted == resource) && (wanted_sub == "*" || wanted_sub == subresource)
}

impl Operation {
    /// As rules write it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_resource;

    #[test]
    fn patterns_of_resources() {
        for (pattern, resource, subresource, hit) in [
            ("pods", "pods", "", true),
            ("pods", "pods", "status", false),
            ("*", "pods", "", true),
            ("*", "pods", "log", false),
            ("*/*", "pods", "", true),
            ("*/*", "pods", "log", true),
            ("pods/*", "pods", "", true),
            ("pods/*", "pods", "exec", true),
            ("pods/*", "services", "", false),
            ("*/scale", "deployments", "scale", true),
            ("*/scale", "deployments", "", false),
        ] {
            assert_eq!(
                is_resource(pattern, resource, subresource),
                hit,
                "{pattern} {resource}/{subresource}"
            );
        }
    }
}
