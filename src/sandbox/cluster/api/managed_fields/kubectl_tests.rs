//! What kubectl and the manifests that it generates ask of server-side apply.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a json! literal reads best where it is handed over"
)]

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::{ApplyError, ApplyRequest, Write, apply, update};
use crate::sandbox::cluster::api::schema::{Catalogue, Schema};

fn deployment(spec: Value) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": spec })
}

fn schema() -> std::sync::Arc<Schema> {
    std::sync::Arc::clone(&Catalogue::builtin().find("apps", "v1", "deployments").unwrap().schema)
}

fn write<'a>(manager: &'a str, schema: &'a Schema) -> Write<'a> {
    let now: DateTime<Utc> = DateTime::UNIX_EPOCH + Duration::days(1);
    Write { manager, subresource: "", status_subresource: true, schema, now }
}

fn applied(live: &Value, config: &Value, write: Write<'_>) -> Result<Value, ApplyError> {
    apply(ApplyRequest { live: Some(live), config, force: false, write })
}

/// An object that kubectl applied on the client's side.
fn client_side(schema: &Schema) -> Value {
    let mut object = deployment(json!({ "replicas": 1, "paused": true }));
    let text = object.to_string();
    object["metadata"]["annotations"] =
        json!({ "kubectl.kubernetes.io/last-applied-configuration": text });
    update(None, &object, write("kubectl-client-side-apply", schema))
}

#[test]
fn kubectl_takes_over_what_it_applied_on_the_clients_side() {
    let schema = schema();
    let live = client_side(&schema);
    let config = deployment(json!({ "replicas": 2 }));
    let new = applied(&live, &config, write("kubectl", &schema)).unwrap();
    assert_eq!(new["spec"], json!({ "replicas": 2, "paused": true }));
    // Another manager has no claim to it.
    let error = applied(&live, &config, write("other", &schema)).unwrap_err().to_string();
    assert_eq!(
        error,
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas"
    );
}

#[test]
fn kubectl_does_not_take_over_what_changed_since() {
    let schema = schema();
    let live = client_side(&schema);
    let mut scaled = live.clone();
    scaled["spec"]["replicas"] = json!(5);
    let live = update(Some(&live), &scaled, write("hpa", &schema));
    let config = deployment(json!({ "replicas": 2, "paused": false }));
    let error = applied(&live, &config, write("kubectl", &schema)).unwrap_err().to_string();
    assert_eq!(
        error,
        "Apply failed with 1 conflict: conflict with \"hpa\" using apps/v1: .spec.replicas"
    );
}

#[test]
fn generated_manifests_say_nothing_by_null_timestamps_and_empty_status() {
    let schema = schema();
    let mut config = deployment(json!({ "replicas": 1 }));
    config["metadata"]["creationTimestamp"] = Value::Null;
    config["status"] = json!({});
    let mut live = apply(ApplyRequest {
        live: None,
        config: &config,
        force: false,
        write: write("a", &schema),
    })
    .unwrap();
    live["metadata"]["creationTimestamp"] = json!("2027-01-15T08:00:00Z");
    live["status"] = json!({ "replicas": 1 });
    let later = Write { now: DateTime::UNIX_EPOCH + Duration::days(2), ..write("a", &schema) };
    assert_eq!(applied(&live, &config, later).unwrap(), live);
}

#[test]
fn a_null_does_not_take_others_items() {
    let schema = schema();
    let mut config = deployment(json!({ "replicas": 1 }));
    config["metadata"]["labels"] = json!({ "x": "1" });
    let live = update(None, &config, write("u", &schema));
    config["metadata"]["labels"] = Value::Null;
    let new = applied(&live, &config, write("b", &schema)).unwrap();
    assert_eq!(new["metadata"]["labels"], json!({ "x": "1" }));
}
