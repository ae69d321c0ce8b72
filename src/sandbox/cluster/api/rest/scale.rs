//! `/scale`: (workload) ↔ `Scale`.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::body::{self, PatchKind};
use super::super::engine;
use super::super::policy::{self, Review};
use super::super::state::{Call, State};
use super::super::status::{ApiError, Cause};

/// Where replicas and selector are; of custom kinds as their definition says.
struct Paths {
    spec: Vec<String>,
    status: Vec<String>,
    selector: Option<Vec<String>>,
}

fn split(path: &str) -> Vec<String> {
    path.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn paths(call: &Call) -> Paths {
    let scale = call.served.custom.as_ref().map(|c| &c.version["subresources"]["scale"]);
    let of = |key: &str| scale.and_then(|scale| scale[key].as_str());
    Paths {
        spec: split(of("specReplicasPath").unwrap_or("spec.replicas")),
        status: split(of("statusReplicasPath").unwrap_or("status.replicas")),
        selector: of("labelSelectorPath").map(split),
    }
}

fn at<'v>(object: &'v Value, path: &[String]) -> &'v Value {
    path.iter().fold(object, |value, part| &value[part])
}

fn shown(call: &Call, object: &Value) -> Value {
    let paths = paths(call);
    let meta = &object["metadata"];
    let selector = match &paths.selector {
        Some(path) => at(object, path).as_str().unwrap_or_default().to_owned(),
        None => selector_text(&object["spec"]["selector"]),
    };
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"], "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": {"replicas": at(object, &paths.spec).as_i64().unwrap_or_default()},
        "status": {"replicas": at(object, &paths.status).as_i64().unwrap_or_default()},
    });
    if scale["spec"]["replicas"] == 0 {
        // The type leaves a zero out.
        scale["spec"] = json!({});
    }
    if !selector.is_empty() {
        scale["status"]["selector"] = json!(selector);
    }
    scale
}

fn selector_text(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().or_else(|| selector.as_object());
    let parts: Vec<String> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| value.as_str().map(|value| format!("{key}={value}")))
        .collect();
    parts.join(",")
}

impl State {
    /// GET of `/scale`.
    pub(crate) fn scale(&self, call: &Call) -> Result<Value, ApiError> {
        Ok(shown(call, &*self.live(call)?))
    }

    /// PUT or PATCH of `/scale`.
    pub(crate) fn set_scale(
        &mut self,
        call: &mut Call,
        bytes: &[u8],
        patch: bool,
    ) -> Result<Value, ApiError> {
        let live = self.live(call)?;
        let before = shown(call, &live);
        let after = if patch {
            let kind = match body::patch_kind(call.content_type.as_deref())? {
                PatchKind::Apply => {
                    return Err(ApiError::not_implemented("server-side apply of scale"));
                }
                // A Scale has neither lists nor merge keys: the strategic patch is the plain one.
                PatchKind::Strategic => PatchKind::Merge,
                other => other,
            };
            engine::patch(call, kind, &before, &body::json(bytes)?)?
        } else {
            body::object(call.content_type.as_deref(), bytes)?
        };
        let Some(replicas) = after["spec"]["replicas"]
            .as_i64()
            .or_else(|| after["spec"]["replicas"].is_null().then_some(0))
        else {
            return Err(ApiError::bad_request(
                "Scale in version \"v1\" cannot be handled as a Scale: spec.replicas is not a number",
            ));
        };
        if replicas < 0 {
            let cause = Cause::invalid(
                "spec.replicas",
                &json!(replicas),
                "must be greater than or equal to 0",
            );
            return Err(ApiError::invalid("autoscaling", "Scale", &call.path.name, &[cause]));
        }
        let mut object = self.present(call, &live);
        if let Some(version) = after["metadata"]["resourceVersion"].as_str() {
            object["metadata"]["resourceVersion"] = json!(version);
        }
        let pointer = format!("/{}", paths(call).spec.join("/"));
        let (parent, last) = pointer.rsplit_once('/').unwrap_or(("", "replicas"));
        match object.pointer_mut(parent).and_then(Value::as_object_mut) {
            Some(parent) => parent.insert(last.to_owned(), json!(replicas)),
            None => {
                return Err(ApiError::internal(&format!(
                    "the spec replicas path {pointer:?} does not lead to a field of an object"
                )));
            }
        };
        let name = call.path.name.clone();
        let asked = Review::update(&name, &before, &after).of_body(["autoscaling", "v1", "Scale"]);
        let warnings = policy::review(self, call, &asked)?;
        call.warnings.extend(warnings);
        let stored: Arc<Value> = self.change(call, &live, object, false)?;
        Ok(shown(call, &stored))
    }
}
