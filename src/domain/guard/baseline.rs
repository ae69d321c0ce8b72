//! PURE · the controls of Pod Security's level baseline, one by one, plus what else reaches the node.

use serde_json::Value;

use super::look::{At, Look, is_empty, is_set, short};
use super::{PodSecurity, Rule};

/// Capabilities that a container may add at level baseline.
const CAPABILITIES: [&str; 13] = [
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

/// Settings of the kernel that have a namespace of their own.
const SAFE_SYSCTLS: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

const SELINUX_TYPES: [&str; 5] =
    ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

const OUT: &str = "take the field out";

/// Host namespaces, the pod's security context, and its place.
pub(super) fn pod(look: &mut Look<'_>, spec: &At<'_, '_>) {
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if let Some(flag) = spec.get(key) {
            host_flag(look, &flag, key);
        }
    }
    if let Some(context) = look.map(spec, "securityContext") {
        security_context(look, &context);
    }
}

/// One of the flags that share something of the node.
pub(super) fn host_flag(look: &mut Look<'_>, flag: &At<'_, '_>, key: &str) {
    if is_set(flag) {
        let message = format!("{key} shares the node with the container");
        look.found(Rule::HostAccess, flag.pointer(), message, OUT);
    }
}

/// Both that of a pod and that of a container: no field means something else in the other.
pub(super) fn security_context(look: &mut Look<'_>, context: &At<'_, '_>) {
    if let Some(privileged) = context.get("privileged")
        && is_set(&privileged)
    {
        let message = "a privileged container is root on the node";
        look.found(Rule::HostAccess, privileged.pointer(), message, OUT);
    }
    if let Some(mount) = context.get("procMount")
        && mount.text() != Some("Default")
    {
        let message = "procMount may only be Default";
        look.found(Rule::HostAccess, mount.pointer(), message, OUT);
    }
    if let Some(windows) = look.map(context, "windowsOptions")
        && let Some(process) = windows.get("hostProcess")
        && is_set(&process)
    {
        let message = "hostProcess runs the container on the node itself";
        look.found(Rule::HostAccess, process.pointer(), message, OUT);
    }
    profiles(look, context);
    selinux(look, context);
    for sysctl in look.maps(context, "sysctls") {
        let name = sysctl.get("name").and_then(|name| name.text());
        if !name.is_some_and(|name| SAFE_SYSCTLS.contains(&name)) {
            let message = "sysctls change the kernel's settings";
            look.found(Rule::HostAccess, sysctl.pointer(), message, "take them out");
        }
    }
    if let Some(capabilities) = look.map(context, "capabilities") {
        for capability in look.items(&capabilities, "add") {
            let name = capability.text();
            let allowed = name.is_some_and(|name| match look.policy.pod_security {
                PodSecurity::Baseline => CAPABILITIES.contains(&name),
                PodSecurity::Restricted => name == "NET_BIND_SERVICE",
            });
            if !allowed {
                let message = "this capability may not be added";
                let hint = "take it out of capabilities.add";
                look.found(Rule::HostAccess, capability.pointer(), message, hint);
            }
        }
    }
}

fn profiles(look: &mut Look<'_>, context: &At<'_, '_>) {
    for key in ["seccompProfile", "appArmorProfile"] {
        if let Some(profile) = look.map(context, key)
            && let Some(kind) = profile.get("type")
            && !matches!(kind.text(), Some("RuntimeDefault" | "Localhost"))
        {
            let message = match kind.text() {
                Some("Unconfined") => format!("{key} may not be Unconfined"),
                _ => format!("{key} is of no allowed type"),
            };
            look.found(Rule::HostAccess, kind.pointer(), message, "use RuntimeDefault");
        }
    }
}

fn selinux(look: &mut Look<'_>, context: &At<'_, '_>) {
    let Some(options) = look.map(context, "seLinuxOptions") else { return };
    if let Some(kind) = options.get("type")
        && !kind.text().is_some_and(|kind| SELINUX_TYPES.contains(&kind))
    {
        let message = "this SELinux type is not one of a container";
        look.found(Rule::HostAccess, kind.pointer(), message, OUT);
    }
    for key in ["user", "role"] {
        if let Some(value) = options.get(key)
            && value.text() != Some("")
        {
            let message = format!("the SELinux {key} of a container is not to be chosen");
            look.found(Rule::HostAccess, value.pointer(), message, OUT);
        }
    }
}

/// One container of any list.
pub(super) fn container(look: &mut Look<'_>, container: &At<'_, '_>) {
    if let Some(context) = look.map(container, "securityContext") {
        security_context(look, &context);
    }
    for port in look.maps(container, "ports") {
        if let Some(port) = port.get("hostPort") {
            host_port(look, &port);
        }
    }
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = look.map(container, key) {
            handler(look, &probe);
        }
    }
    if let Some(lifecycle) = look.map(container, "lifecycle") {
        for key in ["postStart", "preStop"] {
            if let Some(hook) = look.map(&lifecycle, key) {
                handler(look, &hook);
            }
        }
    }
}

pub(super) fn host_port(look: &mut Look<'_>, port: &At<'_, '_>) {
    if port.value.as_u64() != Some(0) {
        let message = "hostPort takes a port of the node";
        look.found(Rule::HostAccess, port.pointer(), message, "use a Service");
    }
}

/// The kubelet asks from the node: a foreign host would be asked with the node's network.
fn handler(look: &mut Look<'_>, handler: &At<'_, '_>) {
    for key in ["httpGet", "tcpSocket"] {
        if let Some(action) = look.map(handler, key)
            && let Some(host) = action.get("host")
            && host.text() != Some("")
        {
            let message = "the node itself would connect to this host";
            let hint = "take host out; a probe goes to the pod";
            look.found(Rule::HostAccess, host.pointer(), message, hint);
        }
    }
}

/// A volume of a pod.
pub(super) fn volume(look: &mut Look<'_>, volume: &At<'_, '_>) {
    if let Some(path) = volume.get("hostPath") {
        host_path(look, &path);
    }
    if let Some(projected) = look.map(volume, "projected") {
        for source in look.maps(&projected, "sources") {
            for key in ["serviceAccountToken", "podCertificate"] {
                if let Some(token) = source.get(key) {
                    let message =
                        format!("{} gives the pod an identity in the cluster", short(key));
                    let hint = "take it out; pods of a preview run without rights";
                    look.found(Rule::AccountToken, token.pointer(), message, hint);
                }
            }
        }
    }
}

pub(super) fn host_path(look: &mut Look<'_>, path: &At<'_, '_>) {
    // In kinds of operators a setting of this name may be an empty text.
    if path.text() == Some("") || (path.value.is_array() && is_empty(path.value)) {
        return;
    }
    if *path.value == Value::Bool(false) {
        return;
    }
    let message = "a hostPath volume shows files of the node";
    let hint = "use an emptyDir, a ConfigMap or a PersistentVolumeClaim";
    look.found(Rule::HostAccess, path.pointer(), message, hint);
}
