//! PURE · writes the time of a wished restart to the pods of workloads, as `kubectl rollout restart` does.

use serde_json::{Value, json};

use crate::domain::bundle::BundleObject;

/// On the template of each pod; `kubectl rollout restart` writes the same.
const ANNOTATION: &str = "kubectl.kubernetes.io/restartedAt";

/// Another value is another template: the workloads' controllers replace the pods by their own rules. What is not a map
/// where one belongs stays as it is, for the guard or the cluster to refuse.
pub(crate) fn restart(objects: &mut [BundleObject], at: &str) {
    for object in objects {
        let identity = object.identity();
        let restarts = identity.group == "apps"
            && matches!(identity.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet");
        let template = object.json.pointer_mut("/spec/template").filter(|_| restarts);
        let Some(template) = template.and_then(Value::as_object_mut) else { continue };
        let metadata = template.entry("metadata").or_insert_with(|| json!({}));
        let Some(metadata) = metadata.as_object_mut() else { continue };
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        if annotations.is_null() {
            *annotations = json!({});
        }
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(ANNOTATION.to_owned(), at.into());
        }
    }
}
