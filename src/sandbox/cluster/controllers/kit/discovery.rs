//! Which resources the server has: aggregated discovery, or the older one where a server lacks that. I/O: HTTP to the
//! API server.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::{Api, ApiError, Resource, json};

/// A resource with what can be done with it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The resource, in the group's preferred version.
    pub(crate) resource: Resource,
    /// Verbs.
    pub(crate) verbs: BTreeSet<String>,
}

impl Found {
    /// Whether all of `verbs` can be done.
    pub(crate) fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.contains(*verb))
    }
}

const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// All resources, each in the first version that its group lists it in; sorted. Subresources are left out.
pub(crate) async fn discover(api: &Api) -> Result<Vec<Found>, ApiError> {
    let mut found = Vec::new();
    for root in ["/api", "/apis"] {
        let answer = api.get_as(root, AGGREGATED).await?;
        if json::text(&answer, "/kind") == "APIGroupDiscoveryList" {
            for group in json::list(&answer, "/items") {
                aggregated(group, &mut found);
            }
        } else if root == "/api" {
            let list = api.get_path("/api/v1").await?;
            plain("", "v1", &list, &mut found);
        } else {
            for group in json::list(&answer, "/groups") {
                let name = json::text(group, "/name");
                for version in preferred_first(group) {
                    let list = api.get_path(&format!("/apis/{name}/{version}")).await?;
                    plain(name, version, &list, &mut found);
                }
            }
        }
    }
    found.sort_by(|a, b| a.resource.cmp(&b.resource));
    Ok(found)
}

fn preferred_first(group: &Value) -> Vec<&str> {
    let preferred = json::text(group, "/preferredVersion/version");
    let others = json::list(group, "/versions").iter().map(|v| json::text(v, "/version"));
    std::iter::once(preferred)
        .chain(others.filter(|v| *v != preferred))
        .filter(|v| !v.is_empty())
        .collect()
}

fn add(found: &mut Vec<Found>, resource: Resource, verbs: &[Value]) {
    let known = found
        .iter()
        .any(|f| f.resource.group == resource.group && f.resource.plural == resource.plural);
    if !known && !resource.plural.is_empty() {
        let verbs = verbs.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        found.push(Found { resource, verbs });
    }
}

fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

fn aggregated(group: &Value, found: &mut Vec<Found>) {
    for version in json::list(group, "/versions") {
        for entry in json::list(version, "/resources") {
            let resource = Resource {
                group: owned(json::name(group)),
                version: owned(json::text(version, "/version")),
                plural: owned(json::text(entry, "/resource")),
                kind: owned(json::text(entry, "/responseKind/kind")),
                namespaced: json::text(entry, "/scope") == "Namespaced",
            };
            add(found, resource, json::list(entry, "/verbs"));
        }
    }
}

fn plain(group: &str, version: &str, list: &Value, found: &mut Vec<Found>) {
    for entry in json::list(list, "/resources") {
        let plural = json::text(entry, "/name");
        if plural.contains('/') {
            continue;
        }
        let resource = Resource {
            group: owned(group),
            version: owned(version),
            plural: owned(plural),
            kind: owned(json::text(entry, "/kind")),
            namespaced: json::flag(entry, "/namespaced"),
        };
        add(found, resource, json::list(entry, "/verbs"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_resource_of_two_versions_is_found_once_in_the_preferred_one() {
        let group = json!({ "metadata": { "name": "autoscaling" }, "versions": [
            { "version": "v2", "resources": [{ "resource": "hpas", "responseKind": { "kind": "HPA" }, "scope": "Namespaced", "verbs": ["list"] }] },
            { "version": "v1", "resources": [{ "resource": "hpas", "responseKind": { "kind": "HPA" }, "scope": "Namespaced", "verbs": ["list"] }] },
        ] });
        let mut found = Vec::new();
        aggregated(&group, &mut found);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].resource.version, "v2");
        assert!(found[0].can(&["list"]) && !found[0].can(&["list", "delete"]));
    }

    #[test]
    fn the_older_form_leaves_subresources_out() {
        let list = json!({ "resources": [
            { "name": "pods", "kind": "Pod", "namespaced": true, "verbs": ["get"] },
            { "name": "pods/status", "kind": "Pod", "namespaced": true, "verbs": ["get"] },
        ] });
        let mut found = Vec::new();
        plain("", "v1", &list, &mut found);
        assert_eq!(found.len(), 1);
    }
}
