//! Fills in defaults: those that schemas declare, and those that the API server's code sets on built-in kinds. In: an
//! object and its schema; out: the object, changed in place. No I/O.

use serde_json::{Map, Value, json};

use super::Schema;
use super::node::{Additional, Node};

pub(super) fn default(schema: &Schema, object: &mut Value) {
    if schema.is_custom() {
        fill(schema, schema.root(), object);
    } else {
        builtin(schema.name(), object);
    }
}

fn fill(schema: &Schema, node: &Node, value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, raw) in &node.properties {
                let child = schema.resolve(raw);
                let Some(default) = raw.default.as_ref().or(child.default.as_ref()) else {
                    continue;
                };
                match members.get(name) {
                    None => {
                        members.insert(name.clone(), default.clone());
                    }
                    // A null is replaced where null is not allowed.
                    Some(Value::Null) if !child.nullable => {
                        members.insert(name.clone(), default.clone());
                    }
                    Some(_) => {}
                }
            }
            for (key, member) in members.iter_mut() {
                if let Some(raw) = node.properties.get(key) {
                    fill(schema, schema.resolve(raw), member);
                } else if let Additional::Schema(raw) = &node.additional {
                    fill(schema, schema.resolve(raw), member);
                }
            }
        }
        Value::Array(items) => {
            let child = schema.item(node);
            for item in items {
                fill(schema, child, item);
            }
        }
        _ => {}
    }
}

type Object = Map<String, Value>;

/// Sets `key` when it is absent or null.
fn set(object: &mut Object, key: &str, value: Value) {
    if object.get(key).is_none_or(Value::is_null) {
        object.insert(key.to_owned(), value);
    }
}

fn child<'o>(object: &'o mut Object, key: &str) -> Option<&'o mut Object> {
    object.get_mut(key)?.as_object_mut()
}

fn made<'o>(object: &'o mut Object, key: &str) -> Option<&'o mut Object> {
    set(object, key, json!({}));
    child(object, key)
}

fn each(object: &mut Object, key: &str, mut change: impl FnMut(&mut Object)) {
    for item in object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(item) = item.as_object_mut() {
            change(item);
        }
    }
}

fn match_resources(resources: &mut Object) {
    set(resources, "matchPolicy", json!("Equivalent"));
    set(resources, "namespaceSelector", json!({}));
    set(resources, "objectSelector", json!({}));
    for key in ["resourceRules", "excludeResourceRules"] {
        each(resources, key, |rule| set(rule, "scope", json!("*")));
    }
}

#[expect(clippy::too_many_lines, reason = "one arm a kind")]
fn builtin(name: &str, object: &mut Value) {
    let Some(object) = object.as_object_mut() else { return };
    match name.strip_prefix("io.k8s.api.").unwrap_or_default() {
        "core.v1.Pod" => {
            if let Some(spec) = child(object, "spec") {
                pod(spec);
                set(spec, "enableServiceLinks", json!(true));
            }
        }
        "core.v1.Namespace" => {
            if let Some(status) = made(object, "status") {
                set(status, "phase", json!("Active"));
            }
            if let Some(spec) = made(object, "spec") {
                set(spec, "finalizers", json!(["kubernetes"]));
            }
            let name = object.get("metadata").and_then(|meta| meta.get("name")).cloned();
            if let (Some(name), Some(metadata)) = (name, child(object, "metadata"))
                && let Some(labels) = made(metadata, "labels")
            {
                labels.insert("kubernetes.io/metadata.name".to_owned(), name);
            }
        }
        "core.v1.Secret" => set(object, "type", json!("Opaque")),
        "core.v1.Service" => {
            if let Some(spec) = child(object, "spec") {
                service(spec);
            }
        }
        "core.v1.PersistentVolumeClaim" => {
            if let Some(spec) = child(object, "spec") {
                set(spec, "volumeMode", json!("Filesystem"));
                // The feature `CrossNamespaceVolumeDataSource` is off by default, and its field dropped.
                if let Some(source) = child(spec, "dataSourceRef") {
                    source.remove("namespace");
                }
            }
            if let Some(status) = made(object, "status") {
                set(status, "phase", json!("Pending"));
            }
        }
        "core.v1.LimitRange" => limit_range(object),
        "autoscaling.v1.HorizontalPodAutoscaler" | "autoscaling.v2.HorizontalPodAutoscaler" => {
            if let Some(spec) = child(object, "spec") {
                set(spec, "minReplicas", json!(1));
            }
        }
        "admissionregistration.v1.ValidatingAdmissionPolicy" => {
            let Some(spec) = child(object, "spec") else { return };
            set(spec, "failurePolicy", json!("Fail"));
            if let Some(resources) = child(spec, "matchConstraints") {
                match_resources(resources);
            }
        }
        "admissionregistration.v1.ValidatingAdmissionPolicyBinding" => {
            if let Some(resources) =
                child(object, "spec").and_then(|spec| child(spec, "matchResources"))
            {
                match_resources(resources);
            }
        }
        "apps.v1.Deployment" => {
            let Some(spec) = child(object, "spec") else { return };
            set(spec, "replicas", json!(1));
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "progressDeadlineSeconds", json!(600));
            if let Some(strategy) = made(spec, "strategy") {
                set(strategy, "type", json!("RollingUpdate"));
                if strategy.get("type") == Some(&json!("RollingUpdate"))
                    && let Some(rolling) = made(strategy, "rollingUpdate")
                {
                    set(rolling, "maxSurge", json!("25%"));
                    set(rolling, "maxUnavailable", json!("25%"));
                }
            }
            template(spec);
        }
        "apps.v1.ReplicaSet" => {
            let Some(spec) = child(object, "spec") else { return };
            set(spec, "replicas", json!(1));
            template(spec);
        }
        "apps.v1.StatefulSet" => {
            let Some(spec) = child(object, "spec") else { return };
            set(spec, "replicas", json!(1));
            set(spec, "revisionHistoryLimit", json!(10));
            set(spec, "podManagementPolicy", json!("OrderedReady"));
            if let Some(strategy) = made(spec, "updateStrategy") {
                set(strategy, "type", json!("RollingUpdate"));
                if strategy.get("type") == Some(&json!("RollingUpdate"))
                    && let Some(rolling) = made(strategy, "rollingUpdate")
                {
                    set(rolling, "partition", json!(0));
                }
            }
            set(
                spec,
                "persistentVolumeClaimRetentionPolicy",
                json!({ "whenDeleted": "Retain", "whenScaled": "Retain" }),
            );
            template(spec);
        }
        "apps.v1.DaemonSet" => {
            let Some(spec) = child(object, "spec") else { return };
            set(spec, "revisionHistoryLimit", json!(10));
            if let Some(strategy) = made(spec, "updateStrategy") {
                set(strategy, "type", json!("RollingUpdate"));
                if strategy.get("type") == Some(&json!("RollingUpdate"))
                    && let Some(rolling) = made(strategy, "rollingUpdate")
                {
                    set(rolling, "maxSurge", json!(0));
                    set(rolling, "maxUnavailable", json!(1));
                }
            }
            template(spec);
        }
        "batch.v1.Job" => {
            if let Some(spec) = child(object, "spec") {
                job(spec);
            }
        }
        "batch.v1.CronJob" => {
            let Some(spec) = child(object, "spec") else { return };
            set(spec, "concurrencyPolicy", json!("Allow"));
            set(spec, "suspend", json!(false));
            set(spec, "successfulJobsHistoryLimit", json!(3));
            set(spec, "failedJobsHistoryLimit", json!(1));
            if let Some(spec) = child(spec, "jobTemplate").and_then(|job| child(job, "spec")) {
                template(spec);
            }
        }
        "networking.v1.NetworkPolicy" => {
            let Some(spec) = child(object, "spec") else { return };
            let egress =
                spec.get("egress").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
            let types = if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            set(spec, "policyTypes", types);
            for key in ["ingress", "egress"] {
                each(spec, key, |rule| {
                    each(rule, "ports", |port| set(port, "protocol", json!("TCP")));
                });
            }
        }
        "rbac.v1.RoleBinding" | "rbac.v1.ClusterRoleBinding" => {
            each(object, "subjects", |subject| {
                let group = match subject.get("kind").and_then(Value::as_str) {
                    Some("User" | "Group") => "rbac.authorization.k8s.io",
                    _ => return,
                };
                set(subject, "apiGroup", json!(group));
            });
            if let Some(role) = child(object, "roleRef") {
                set(role, "apiGroup", json!("rbac.authorization.k8s.io"));
            }
        }
        _ => {}
    }
}

fn limit_range(object: &mut Object) {
    let Some(spec) = child(object, "spec") else { return };
    each(spec, "limits", |limit| {
        if limit.get("type") != Some(&json!("Container")) {
            return;
        }
        for (from, to) in
            [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")]
        {
            let source = limit.get(from).and_then(Value::as_object).cloned().unwrap_or_default();
            if source.is_empty() {
                continue;
            }
            if let Some(target) = made(limit, to) {
                for (resource, quantity) in source {
                    set(target, &resource, quantity);
                }
            }
        }
    });
}

fn service(spec: &mut Object) {
    set(spec, "sessionAffinity", json!("None"));
    set(spec, "type", json!("ClusterIP"));
    let ty = spec.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if ty != "ExternalName" {
        set(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if matches!(ty.as_str(), "NodePort" | "LoadBalancer") {
        set(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if ty == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    each(spec, "ports", |port| {
        set(port, "protocol", json!("TCP"));
        let number = port.get("port").cloned().unwrap_or(json!(0));
        set(port, "targetPort", number);
    });
}

fn job(spec: &mut Object) {
    set(spec, "completionMode", json!("NonIndexed"));
    set(spec, "suspend", json!(false));
    set(spec, "backoffLimit", json!(6));
    set(spec, "manualSelector", json!(false));
    set(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        set(spec, "completions", json!(1));
    }
    set(spec, "parallelism", json!(1));
    template(spec);
}

fn template(spec: &mut Object) {
    if let Some(spec) = child(spec, "template").and_then(|template| child(template, "spec")) {
        pod(spec);
    }
}

fn pod(spec: &mut Object) {
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", json!("default-scheduler"));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set(spec, "serviceAccount", account);
    } else if let Some(account) = spec.get("serviceAccount").cloned() {
        set(spec, "serviceAccountName", account);
    }
    for key in ["initContainers", "containers", "ephemeralContainers"] {
        each(spec, key, container);
    }
    each(spec, "volumes", |volume| {
        for (source, field) in [
            ("configMap", "defaultMode"),
            ("secret", "defaultMode"),
            ("projected", "defaultMode"),
            ("downwardAPI", "defaultMode"),
        ] {
            if let Some(source) = child(volume, source) {
                set(source, field, json!(420));
            }
        }
        if let Some(host) = child(volume, "hostPath") {
            set(host, "type", json!(""));
        }
    });
}

fn container(container: &mut Object) {
    let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
    let name = image.rsplit('/').next().unwrap_or_default();
    let latest = !image.contains('@') && (!name.contains(':') || name.ends_with(":latest"));
    set(container, "imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" }));
    set(container, "resources", json!({}));
    set(container, "terminationMessagePath", json!("/dev/termination-log"));
    set(container, "terminationMessagePolicy", json!("File"));
    each(container, "ports", |port| set(port, "protocol", json!("TCP")));
    each(container, "env", |variable| {
        if let Some(field) = child(variable, "valueFrom").and_then(|from| child(from, "fieldRef")) {
            set(field, "apiVersion", json!("v1"));
        }
    });
    // A limit stands for the request that is not given.
    if let Some(resources) = child(container, "resources") {
        let limits =
            resources.get("limits").and_then(Value::as_object).cloned().unwrap_or_default();
        if !limits.is_empty()
            && let Some(requests) = made(resources, "requests")
        {
            for (resource, quantity) in limits {
                set(requests, &resource, quantity);
            }
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = child(container, probe) else { continue };
        set(probe, "timeoutSeconds", json!(1));
        set(probe, "periodSeconds", json!(10));
        set(probe, "successThreshold", json!(1));
        set(probe, "failureThreshold", json!(3));
        if let Some(get) = child(probe, "httpGet") {
            set(get, "path", json!("/"));
            set(get, "scheme", json!("HTTP"));
        }
    }
}
