//! PURE · objects that can't be changed as the bundle wants: may they be deleted and made anew, and if not, what is said.
//! In: an object of a bundle and the API server's refusal; out: a decision, and words.

use kube::core::Status;
use serde_json::Value;

use crate::domain::bundle::BundleObject;

/// Allows an object to be deleted and made anew when it can't be changed.
pub const REPLACE_ANNOTATION: &str = "bivouac.dev/replace";
/// Argo CD's way to say the same.
const ARGO_OPTIONS: &str = "argocd.argoproj.io/sync-options";

/// How the API server says that a field can't be changed, for the kinds that it knows itself.
const FIXED: [&str; 7] = [
    "field is immutable",
    "is immutable",
    "may not change once set",
    "updates to statefulset spec for fields other than",
    "spec is immutable after creation",
    "pod updates may not change fields other than",
    "cannot change roleRef",
];

/// The fields that can't be changed, when that is all that is wrong.
pub(super) fn fixed_fields(status: &Status) -> Option<Vec<String>> {
    if status.code != 422 {
        return None;
    }
    let causes = status.details.as_ref().map(|details| details.causes.as_slice());
    let causes = causes.unwrap_or_default();
    if causes.is_empty() {
        return is_fixed(&status.message).then(Vec::new);
    }
    if !causes.iter().all(|cause| is_fixed(&cause.message)) {
        return None;
    }
    let mut fields: Vec<String> = causes.iter().map(|cause| cause.field.clone()).collect();
    fields.sort();
    fields.dedup();
    Some(fields)
}

/// Whether the API server's words are about a field that can't be changed.
pub(super) fn is_fixed(message: &str) -> bool {
    FIXED.iter().any(|words| message.contains(words))
}

/// Whether the object may be deleted and made anew: Jobs, and what says so itself.
pub(super) fn may_be_replaced(object: &BundleObject) -> bool {
    let identity = object.identity();
    if identity.group == "batch" && identity.kind == "Job" {
        return true;
    }
    let annotation = |name: &str| {
        let annotations = object.json.get("metadata")?.get("annotations")?;
        annotations.get(name).and_then(Value::as_str)
    };
    annotation(REPLACE_ANNOTATION) == Some("true")
        || annotation(ARGO_OPTIONS)
            .is_some_and(|options| options.split(',').any(|one| one.trim() == "Replace=true"))
}

/// What to do about an object that can't be changed.
pub(super) fn way_out(kind: &str) -> &'static str {
    match kind {
        "PersistentVolumeClaim" => {
            "give it another name, or annotate it with `bivouac.dev/replace: \"true\"`: it is then deleted with all that it holds, as soon as no pod uses it, and made anew"
        }
        "StatefulSet" | "Deployment" | "DaemonSet" | "ReplicaSet" | "Pod" => {
            "give it another name, or annotate it with `bivouac.dev/replace: \"true\"`: it is then deleted with its pods and made anew"
        }
        _ => {
            "give it another name, or annotate it with `bivouac.dev/replace: \"true\"`: it is then deleted and made anew"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bundle::{Origin, Wave};
    use serde_json::json;

    fn object(kind: &str, annotations: &Value) -> BundleObject {
        let group = if kind == "Job" { "batch/v1" } else { "apps/v1" };
        BundleObject {
            json: json!({
                "apiVersion": group, "kind": kind,
                "metadata": {"name": "x", "annotations": annotations},
            }),
            origin: Origin { file: "a.yaml".into(), line: 1 },
            app: "web".into(),
            wave: Wave::Workloads,
            positions: crate::domain::positions::Positions::default(),
        }
    }

    #[test]
    fn only_jobs_and_what_says_so_may_be_made_anew() {
        assert!(may_be_replaced(&object("Job", &json!({}))));
        assert!(may_be_replaced(&object("Deployment", &json!({REPLACE_ANNOTATION: "true"}))));
        let options = json!({ARGO_OPTIONS: "Prune=false, Replace=true"});
        assert!(may_be_replaced(&object("Deployment", &options)));
        for not in [
            json!({}),
            json!({REPLACE_ANNOTATION: "false"}),
            json!({REPLACE_ANNOTATION: true}),
            json!({ARGO_OPTIONS: "Replace=truely"}),
            json!(null),
        ] {
            assert!(!may_be_replaced(&object("Deployment", &not)), "{not}");
        }
    }

    #[test]
    fn an_object_with_another_mistake_beside_is_not_made_anew() {
        let said = |causes: &[&str]| {
            let causes: Vec<Value> =
                causes.iter().map(|text| json!({"field": "spec.a", "message": text})).collect();
            let status: Status =
                serde_json::from_value(json!({"code": 422, "details": {"causes": causes}}))
                    .expect("a status");
            fixed_fields(&status)
        };
        let fixed = "Invalid value: {}: field is immutable";
        assert_eq!(said(&[fixed, fixed]), Some(vec!["spec.a".to_owned()]));
        assert_eq!(said(&[fixed, "Required value"]), None);
        assert_eq!(said(&[]), None);
        let plain = Status { code: 422, message: fixed.into(), ..Status::default() };
        assert_eq!(fixed_fields(&plain), Some(Vec::new()));
    }
}
