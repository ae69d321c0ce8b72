//! The `/openapi/v3` document of one group and version. In: kinds; out: JSON. No I/O.

use serde_json::{Map, Value, json};

use super::Kind;

/// The `OpenAPI` v3 document of `kinds`, which share one group and version. It has what clients look for: the schemas with
/// `x-kubernetes-group-version-kind`, and a path for each kind whose operations name the query parameters.
#[must_use]
pub fn openapi_document<'k>(kinds: impl IntoIterator<Item = &'k Kind>) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for kind in kinds {
        let gvk = json!({ "group": kind.group, "version": kind.version, "kind": kind.kind });
        for (name, schema) in kind.schema.definitions() {
            schemas.entry(name.clone()).or_insert_with(|| schema.clone());
        }
        if let Some(root) = schemas.get_mut(kind.schema.name()).and_then(Value::as_object_mut) {
            root.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk]));
        }
        let prefix = if kind.group.is_empty() { "/api" } else { "/apis" };
        let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{prefix}/{}{scope}/{}", kind.api_version(), kind.plural);
        let reference = json!({ "$ref": format!("#/components/schemas/{}", kind.schema.name()) });
        let operation = |action: &str, parameters: &[&str]| {
            let parameters: Vec<Value> = parameters
                .iter()
                .map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string", "uniqueItems": true } }))
                .collect();
            json!({
                "operationId": format!("{action}{}{}", kind.version, kind.kind),
                "parameters": parameters,
                "responses": { "200": { "description": "OK", "content": { "application/json": { "schema": reference } } } },
                "x-kubernetes-action": action,
                "x-kubernetes-group-version-kind": gvk,
            })
        };
        let write = ["dryRun", "fieldManager", "fieldValidation"];
        paths.insert(
            collection.clone(),
            json!({ "get": operation("list", &[]), "post": operation("post", &write) }),
        );
        paths.insert(
            format!("{collection}/{{name}}"),
            json!({
                "get": operation("get", &[]),
                "put": operation("put", &write),
                "patch": operation("patch", &["dryRun", "fieldManager", "fieldValidation", "force"]),
                "delete": operation("delete", &["dryRun"]),
            }),
        );
    }
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "unversioned" },
        "paths": paths,
        "components": { "schemas": schemas },
    })
}
