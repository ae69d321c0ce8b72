//! (kinds) → the documents by which clients learn what is served: aggregated and per group. Pure, no I/O.

use serde_json::{Value, json};

use super::auth::reviews::is_review;
use super::kinds::{Kinds, Served};

/// The version that the sandbox says it is.
pub(crate) const MINOR: u32 = 37;

/// The content type of an aggregated document.
pub(crate) const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/version`.
pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": MINOR.to_string(), "gitVersion": format!("v1.{MINOR}.0+bivouac"),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "", "compiler": "rustc", "platform": "linux/amd64",
        "emulationMajor": "1", "emulationMinor": MINOR.to_string(),
        "minCompatibilityMajor": "1", "minCompatibilityMinor": (MINOR - 1).to_string(),
    })
}

fn verbs(served: &Served) -> &'static [&'static str] {
    let kind = &served.kind;
    if is_review(&kind.group, &kind.plural) || kind.plural == "bindings" {
        &["create"]
    } else {
        &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    }
}

/// Verbs and the kind of body of a subresource.
fn subresource(served: &Served, name: &str) -> (&'static [&'static str], [String; 3]) {
    let own = || {
        let kind = &served.kind;
        [kind.group.clone(), kind.version.clone(), kind.kind.clone()]
    };
    let other = |gvk: [&str; 3]| gvk.map(str::to_owned);
    match name {
        "scale" => (&["get", "patch", "update"], other(["autoscaling", "v1", "Scale"])),
        "eviction" => (&["create"], other(["policy", "v1", "Eviction"])),
        "token" => (&["create"], other(["authentication.k8s.io", "v1", "TokenRequest"])),
        "binding" => (&["create"], other(["", "v1", "Binding"])),
        "log" => (&["get"], own()),
        "finalize" => (&["update"], own()),
        "attach" | "exec" | "portforward" | "proxy" => (&["create", "get"], own()),
        _ => (&["get", "patch", "update"], own()),
    }
}

fn gvk([group, version, kind]: &[String; 3]) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

/// `/api` (`core`) or `/apis` with everything in it.
pub(crate) fn aggregated(kinds: &Kinds, core: bool) -> Value {
    let groups: Vec<Value> = kinds
        .groups()
        .into_iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .into_iter()
                .map(|version| {
                    let resources: Vec<Value> = kinds.of(group, version).map(row).collect();
                    json!({"version": version, "freshness": "Current", "resources": resources})
                })
                .collect();
            json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {}, "items": groups,
    })
}

fn row(served: &Served) -> Value {
    let kind = &served.kind;
    let mut row = json!({
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": verbs(served),
    });
    if !kind.short_names.is_empty() {
        row["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        row["categories"] = json!(kind.categories);
    }
    if !kind.subresources.is_empty() {
        let subresources: Vec<Value> = kind
            .subresources
            .iter()
            .map(|name| {
                let (verbs, body) = subresource(served, name);
                json!({"subresource": name, "responseKind": gvk(&body), "verbs": verbs})
            })
            .collect();
        row["subresources"] = Value::Array(subresources);
    }
    row
}

/// `/api` for clients that do not know the aggregated form.
pub(crate) fn core_versions(host: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}],
    })
}

fn group_value(group: &str, versions: &[&str]) -> Value {
    let list: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "preferredVersion": list[0], "versions": list})
}

/// `/apis` for clients that do not know the aggregated form.
pub(crate) fn group_list(kinds: &Kinds) -> Value {
    let groups: Vec<Value> = kinds
        .groups()
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_value(group, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub(crate) fn group(kinds: &Kinds, name: &str) -> Option<Value> {
    let groups = kinds.groups();
    let (group, versions) = groups.iter().find(|(group, _)| !group.is_empty() && *group == name)?;
    let mut value = group_value(group, versions);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Some(value)
}

/// `/api/v1` or `/apis/GROUP/VERSION`.
pub(crate) fn resource_list(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for served in kinds.of(group, version) {
        let kind = &served.kind;
        let mut row = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": verbs(served),
        });
        if !kind.short_names.is_empty() {
            row["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            row["categories"] = json!(kind.categories);
        }
        resources.push(row);
        for name in &kind.subresources {
            let (verbs, [body_group, body_version, body_kind]) = subresource(served, name);
            let mut row = json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "",
                "namespaced": kind.namespaced, "kind": body_kind, "verbs": verbs,
            });
            if body_group != kind.group || body_version != kind.version {
                row["group"] = json!(body_group);
                row["version"] = json!(body_version);
            }
            resources.push(row);
        }
    }
    if resources.is_empty() {
        return None;
    }
    let group_version =
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
        "resources": resources,
    }))
}
