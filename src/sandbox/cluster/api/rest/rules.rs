//! What built-in kinds demand beyond their schema: selectors that match, fields that never change. Pure, no I/O.

use serde_json::{Value, json};

use super::super::auth::escalation::role_ref_kept;
use super::super::auth::rbac;
use super::super::status::{Cause, GroupResource};

/// What is wrong with an object as such.
pub(crate) fn new_object(resource: &GroupResource, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets") => {
            selector_matches(object, &mut causes);
            if object["spec"]["replicas"].as_i64().is_some_and(|n| n < 0) {
                causes.push(Cause::invalid(
                    "spec.replicas",
                    &object["spec"]["replicas"],
                    "must be greater than or equal to 0",
                ));
            }
            containers(&object["spec"]["template"]["spec"], "spec.template.spec", &mut causes);
        }
        ("batch", "jobs") => {
            containers(&object["spec"]["template"]["spec"], "spec.template.spec", &mut causes);
            restart_policy(&object["spec"]["template"]["spec"], "spec.template.spec", &mut causes);
        }
        ("batch", "cronjobs") => {
            let field = "spec.jobTemplate.spec.template.spec";
            let spec = &object["spec"]["jobTemplate"]["spec"]["template"]["spec"];
            containers(spec, field, &mut causes);
            restart_policy(spec, field, &mut causes);
        }
        ("", "pods") => containers(&object["spec"], "spec", &mut causes),
        ("", "services") => {
            let spec = &object["spec"];
            let portless = spec["type"] == "ExternalName" || spec["clusterIP"] == "None";
            let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
            if ports.is_empty() && !portless {
                causes.push(Cause::required("spec.ports", ""));
            }
            for (index, port) in ports.iter().enumerate() {
                if port["port"].as_i64().is_none_or(|port| !(1..=65_535).contains(&port)) {
                    causes.push(Cause::invalid(
                        &format!("spec.ports[{index}].port"),
                        &port["port"],
                        "must be between 1 and 65535, inclusive",
                    ));
                }
                if ports.len() > 1 && port["name"].as_str().is_none_or(str::is_empty) {
                    causes.push(Cause::required(&format!("spec.ports[{index}].name"), ""));
                }
            }
        }
        _ => {}
    }
    causes
}

/// Finalizers of built-in kinds have a domain, or are one of the server's own.
pub(crate) fn finalizers(resource: &GroupResource, object: &Value) -> Vec<Cause> {
    // Definitions and API services come from servers of their own, which are less strict.
    if matches!(resource.group.as_str(), "apiextensions.k8s.io" | "apiregistration.k8s.io") {
        return Vec::new();
    }
    let known = ["kubernetes", "orphan", "foregroundDeletion"];
    object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .filter(|(_, name)| {
            name.as_str().is_some_and(|name| !name.contains('/') && !known.contains(&name))
        })
        .map(|(index, name)| {
            Cause::invalid(
                &format!("metadata.finalizers[{index}]"),
                name,
                "name is neither a standard finalizer name nor is it fully qualified",
            )
        })
        .collect()
}

fn selector_matches(object: &Value, causes: &mut Vec<Cause>) {
    let labels = &object["spec"]["template"]["metadata"]["labels"];
    let wanted = object["spec"]["selector"]["matchLabels"].as_object();
    if wanted.is_none_or(serde_json::Map::is_empty)
        && object["spec"]["selector"]["matchExpressions"].as_array().is_none_or(Vec::is_empty)
    {
        if object["spec"]["selector"].is_object() {
            causes.push(Cause::invalid(
                "spec.selector",
                &json!({}),
                "empty selector is invalid for deployment",
            ));
        }
        return;
    }
    if wanted.is_some_and(|wanted| wanted.iter().any(|(key, value)| labels[key] != *value)) {
        causes.push(Cause::invalid(
            "spec.template.metadata.labels",
            labels,
            "`selector` does not match template `labels`",
        ));
    }
}

fn restart_policy(spec: &Value, field: &str, causes: &mut Vec<Cause>) {
    if !matches!(spec["restartPolicy"].as_str(), Some("OnFailure" | "Never")) {
        let value = spec["restartPolicy"].as_str().unwrap_or("Always");
        causes.push(Cause::not_supported(
            &format!("{field}.restartPolicy"),
            &json!(value),
            &["OnFailure", "Never"],
        ));
    }
}

/// What a security context demands of the pod around it.
fn contexts(spec: &Value, field: &str, causes: &mut Vec<Cause>) {
    let list = spec["containers"].as_array().map_or(&[][..], Vec::as_slice);
    for (index, container) in list.iter().enumerate() {
        let proc_mount = &container["securityContext"]["procMount"];
        if proc_mount == "Unmasked" && spec["hostUsers"] != false {
            let at = format!("{field}.containers[{index}].securityContext.procMount");
            causes.push(Cause::invalid(
                &at,
                proc_mount,
                "`hostUsers` must be false to use `Unmasked`",
            ));
        }
    }
    let of = |holder: &Value| holder["securityContext"]["windowsOptions"]["hostProcess"] == true;
    if (of(spec) || list.iter().any(of)) && spec["hostNetwork"] != true {
        causes.push(Cause::invalid(
            &format!("{field}.hostNetwork"),
            &json!(false),
            "hostNetwork must be true if pod contains any hostProcess containers",
        ));
    }
}

fn containers(spec: &Value, field: &str, causes: &mut Vec<Cause>) {
    contexts(spec, field, causes);
    let list = spec["containers"].as_array().map_or(&[][..], Vec::as_slice);
    if list.is_empty() {
        causes.push(Cause::required(&format!("{field}.containers"), ""));
    }
    let volumes: Vec<&Value> =
        spec["volumes"].as_array().into_iter().flatten().map(|volume| &volume["name"]).collect();
    let mut seen: Vec<&Value> = Vec::new();
    for (index, container) in list.iter().enumerate() {
        let at = format!("{field}.containers[{index}]");
        if container["image"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(&format!("{at}.image"), ""));
        }
        if seen.contains(&&container["name"]) {
            causes.push(Cause {
                reason: "FieldValueDuplicate".into(),
                field: format!("{at}.name"),
                message: format!("Duplicate value: {}", container["name"]),
            });
        }
        seen.push(&container["name"]);
        for (mount_index, mount) in
            container["volumeMounts"].as_array().into_iter().flatten().enumerate()
        {
            if !volumes.contains(&&mount["name"]) {
                causes.push(Cause {
                    reason: "FieldValueNotFound".into(),
                    field: format!("{at}.volumeMounts[{mount_index}].name"),
                    message: format!("Not found: {}", mount["name"]),
                });
            }
        }
    }
}

/// What may not change in a change from `old` to `new`.
#[expect(clippy::too_many_lines, reason = "one arm for each kind")]
pub(crate) fn changed_object(resource: &GroupResource, old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut fixed = |field: &str, new: &Value, old: &Value| {
        if new != old {
            causes.push(Cause::invalid(field, new, "field is immutable"));
        }
    };
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("apps", "deployments" | "replicasets" | "daemonsets") => {
            fixed("spec.selector", &new["spec"]["selector"], &old["spec"]["selector"]);
        }
        ("apps", "statefulsets") => {
            let rest = |object: &Value| {
                let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
                for key in [
                    "replicas",
                    "ordinals",
                    "template",
                    "updateStrategy",
                    "revisionHistoryLimit",
                    "persistentVolumeClaimRetentionPolicy",
                    "minReadySeconds",
                ] {
                    spec.remove(key);
                }
                spec
            };
            if rest(old) != rest(new) {
                causes.push(Cause::forbidden("spec", "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"));
            }
        }
        ("batch", "jobs") => {
            if new["spec"]["suspend"] != true {
                fixed("spec.template", &new["spec"]["template"], &old["spec"]["template"]);
            }
            fixed("spec.selector", &new["spec"]["selector"], &old["spec"]["selector"]);
            fixed(
                "spec.completionMode",
                &new["spec"]["completionMode"],
                &old["spec"]["completionMode"],
            );
            // An indexed Job may be made larger or smaller together with its parallelism.
            let elastic = new["spec"]["completionMode"] == "Indexed"
                && new["spec"]["completions"] == new["spec"]["parallelism"];
            if !elastic {
                fixed("spec.completions", &new["spec"]["completions"], &old["spec"]["completions"]);
            }
        }
        ("", "services")
            if old["spec"]["type"] != "ExternalName"
                && new["spec"]["type"] != "ExternalName"
                && new["spec"]["clusterIP"] != old["spec"]["clusterIP"] =>
        {
            causes.push(Cause::invalid(
                "spec.clusterIPs[0]",
                &new["spec"]["clusterIPs"],
                "may not change once set",
            ));
        }
        ("", "configmaps" | "secrets") => {
            for key in ["data", "binaryData"] {
                if old["immutable"] == true && new[key] != old[key] {
                    causes
                        .push(Cause::forbidden(key, "field is immutable when `immutable` is set"));
                }
            }
            if old["immutable"] == true && new["immutable"] != true {
                causes.push(Cause::forbidden(
                    "immutable",
                    "field is immutable when `immutable` is set",
                ));
            }
            if resource.resource == "secrets" && new["type"] != old["type"] {
                causes.push(Cause::invalid("type", &new["type"], "field is immutable"));
            }
        }
        ("", "pods") => {
            // Images, deadlines and tolerations may change; the node is set once.
            let rest = |object: &Value| {
                let mut spec = object["spec"].clone();
                if let Some(spec) = spec.as_object_mut() {
                    for key in
                        ["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations"]
                    {
                        spec.remove(key);
                    }
                    if old["spec"]["nodeName"].is_null() {
                        spec.remove("nodeName");
                    }
                }
                for key in ["containers", "initContainers"] {
                    for container in spec[key].as_array_mut().into_iter().flatten() {
                        if let Some(container) = container.as_object_mut() {
                            container.remove("image");
                        }
                    }
                }
                spec
            };
            if rest(old) != rest(new) {
                causes.push(Cause::forbidden("spec", "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"));
            }
        }
        ("", "persistentvolumeclaims") => {
            let rest = |object: &Value| {
                let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
                for key in ["resources", "volumeName", "volumeAttributesClassName"] {
                    spec.remove(key);
                }
                spec
            };
            if rest(old) != rest(new) {
                causes.push(Cause::forbidden("spec", "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"));
            }
        }
        (rbac::GROUP, "rolebindings" | "clusterrolebindings") => {
            causes.extend(role_ref_kept(new, old));
        }
        _ => {}
    }
    causes
}
