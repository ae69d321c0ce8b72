//! PURE · rules for pods, wherever a pod can stand.

use serde_json::Value;

use super::{Look, PodSecurity, Rule};
use crate::domain::bundle::BundleObject;

/// Where a pod stands in an object.
pub(super) struct PodPlace {
    /// Pointer to what has the pod's `metadata`.
    pub(super) template: String,
    /// Pointer to the pod's `spec`.
    pub(super) spec: String,
}

/// Capabilities that Pod Security's baseline lets a container add.
const BASELINE_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// All pods of `object`. By the shape of the kinds that have one, whatever their group or version.
pub(super) fn pointers(object: &BundleObject) -> Vec<PodPlace> {
    let template = match object.json.get("kind").and_then(Value::as_str) {
        Some("Pod") => "",
        Some(
            "Deployment"
            | "StatefulSet"
            | "DaemonSet"
            | "ReplicaSet"
            | "Job"
            | "ReplicationController",
        ) => "/spec/template",
        Some("CronJob") => "/spec/jobTemplate/spec/template",
        Some("PodTemplate") => "/template",
        _ => return Vec::new(),
    };
    vec![PodPlace { template: template.into(), spec: format!("{template}/spec") }]
}

pub(super) fn check(look: &mut Look<'_>) {
    for PodPlace { template, spec } in pointers(look.object) {
        host(look, &spec);
        identity(look, &spec);
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            for (container, _) in look.list(&format!("{spec}/{list}")) {
                container_check(look, &container);
            }
        }
        for (pointer, key, value) in look.members(&format!("{template}/metadata/annotations")) {
            if key.starts_with("container.apparmor.security.beta.kubernetes.io/")
                && value.as_str() == Some("unconfined")
            {
                let message = "AppArmor may not be switched off";
                look.found(Rule::HostAccess, &pointer, message, "take the annotation out");
            }
        }
    }
}

/// Anything but `false` counts as set: what a reader makes of `"true"` or `1` is not ours to guess.
fn is_set(look: &Look<'_>, pointer: &str) -> bool {
    look.get(pointer).is_some_and(|value| *value != Value::Bool(false))
}

fn host(look: &mut Look<'_>, spec: &str) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        let pointer = format!("{spec}/{field}");
        if is_set(look, &pointer) {
            let message = format!("{field} shares the node with the container");
            look.found(Rule::HostAccess, &pointer, message, "take the field out");
        }
    }
    for (volume, _) in look.list(&format!("{spec}/volumes")) {
        let pointer = format!("{volume}/hostPath");
        if look.get(&pointer).is_some() {
            let message = "a hostPath volume shows files of the node";
            let hint = "use an emptyDir, a ConfigMap or a PersistentVolumeClaim";
            look.found(Rule::HostAccess, &pointer, message, hint);
        }
    }
    let windows = format!("{spec}/securityContext/windowsOptions/hostProcess");
    if is_set(look, &windows) {
        let message = "hostProcess runs the container on the node itself";
        look.found(Rule::HostAccess, &windows, message, "take the field out");
    }
    let sysctls = format!("{spec}/securityContext/sysctls");
    for (sysctl, _) in look.list(&sysctls) {
        let message = "sysctls change the kernel's settings";
        look.found(Rule::HostAccess, &sysctl, message, "take them out");
    }
    unconfined(look, &format!("{spec}/securityContext"));
}

fn unconfined(look: &mut Look<'_>, context: &str) {
    for profile in ["seccompProfile", "appArmorProfile"] {
        let pointer = format!("{context}/{profile}/type");
        if look.get(&pointer).and_then(Value::as_str) == Some("Unconfined") {
            let message = format!("{profile} may not be Unconfined");
            look.found(Rule::HostAccess, &pointer, message, "use RuntimeDefault");
        }
    }
}

fn identity(look: &mut Look<'_>, spec: &str) {
    for field in ["serviceAccountName", "serviceAccount"] {
        let pointer = format!("{spec}/{field}");
        if look.get(&pointer).is_some_and(|value| !matches!(value.as_str(), Some("default" | ""))) {
            let message = format!("{field} is not \"default\"");
            let hint =
                "take the field out; pods of a preview run as the namespace's default account";
            look.found(Rule::AccessControl, &pointer, message, hint);
        }
    }
    let priority = format!("{spec}/priorityClassName");
    if look.get(&priority).is_some_and(|v| v.as_str().is_none_or(|n| n.starts_with("system-"))) {
        let message = "this priority is for the cluster's own pods";
        look.found(Rule::HostAccess, &priority, message, "take priorityClassName out");
    }
    let node = format!("{spec}/nodeName");
    if look.get(&node).is_some() {
        let message = "nodeName goes around the scheduler";
        look.found(Rule::HostAccess, &node, message, "take the field out");
    }
}

fn container_check(look: &mut Look<'_>, container: &str) {
    let context = format!("{container}/securityContext");
    let privileged = format!("{context}/privileged");
    if is_set(look, &privileged) {
        let message = "a privileged container is root on the node";
        look.found(Rule::HostAccess, &privileged, message, "take the field out");
    }
    let proc_mount = format!("{context}/procMount");
    if look.get(&proc_mount).is_some_and(|value| value.as_str() != Some("Default")) {
        let message = "procMount may only be Default";
        look.found(Rule::HostAccess, &proc_mount, message, "take the field out");
    }
    let windows = format!("{context}/windowsOptions/hostProcess");
    if is_set(look, &windows) {
        let message = "hostProcess runs the container on the node itself";
        look.found(Rule::HostAccess, &windows, message, "take the field out");
    }
    for (pointer, capability) in look.list(&format!("{context}/capabilities/add")) {
        let allowed = match (look.policy.pod_security, capability.as_str()) {
            (PodSecurity::Baseline, Some(name)) => BASELINE_CAPABILITIES.contains(&name),
            (PodSecurity::Restricted, Some(name)) => name == "NET_BIND_SERVICE",
            (_, None) => false,
        };
        if !allowed {
            let message = "this capability may not be added";
            look.found(Rule::HostAccess, &pointer, message, "take it out of capabilities.add");
        }
    }
    unconfined(look, &context);
    for (port, _) in look.list(&format!("{container}/ports")) {
        let pointer = format!("{port}/hostPort");
        if look.get(&pointer).is_some_and(|value| value.as_u64() != Some(0)) {
            let message = "hostPort takes a port of the node";
            look.found(Rule::HostAccess, &pointer, message, "use a Service");
        }
    }
}
