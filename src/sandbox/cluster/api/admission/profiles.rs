//! Pod Security's baseline checks of what confines a container: profiles of seccomp, `AppArmor` and `SELinux`, the view of
//! `/proc`, kernel settings, Windows' host processes. Pure, no I/O.

use std::collections::BTreeSet;

use serde_json::Value;

use super::security::{Violation, containers, names};

/// Kernel settings that stay within a pod.
const SYSCTLS: [&str; 12] = [
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
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Who sets something in a security context that `bad` objects to: `pod`, `container "c"`, or both.
fn setters(spec: &Value, bad: impl Fn(&Value) -> bool) -> Option<String> {
    let mut who = Vec::new();
    if bad(&spec["securityContext"]) {
        who.push("pod".to_owned());
    }
    let all: Vec<&Value> =
        containers(spec).into_iter().filter(|c| bad(&c["securityContext"])).collect();
    if !all.is_empty() {
        who.push(names(&all));
    }
    (!who.is_empty()).then(|| who.join(" and "))
}

/// The values that the contexts give at `pointer`, those that `fine` accepts left out, quoted.
fn values(spec: &Value, pointer: &str, fine: impl Fn(&str) -> bool) -> String {
    let contexts = std::iter::once(&spec["securityContext"])
        .chain(containers(spec).into_iter().map(|container| &container["securityContext"]));
    let bad: BTreeSet<String> = contexts
        .filter_map(|context| context.pointer(pointer)?.as_str())
        .filter(|value| !fine(value))
        .map(|value| format!("{value:?}"))
        .collect();
    bad.into_iter().collect::<Vec<_>>().join(", ")
}

fn profile(spec: &Value, pointer: &str) -> Option<(String, String)> {
    let fine = |value: &str| matches!(value, "RuntimeDefault" | "Localhost");
    let who = setters(spec, |context| {
        context.pointer(pointer).and_then(Value::as_str).is_some_and(|value| !fine(value))
    })?;
    Some((who, values(spec, pointer, fine)))
}

/// What the seccomp profile violates. The stricter level has a check of its own instead.
pub(super) fn seccomp(spec: &Value, found: &mut Vec<Violation>) {
    if let Some((who, values)) = profile(spec, "/seccompProfile/type") {
        let detail = format!("{who} must not set securityContext.seccompProfile.type to {values}");
        found.push(Violation { reason: "seccompProfile", detail });
    }
}

/// What violates the rest of these checks.
pub(super) fn confinement(meta: &Value, spec: &Value, found: &mut Vec<Violation>) {
    app_armor(meta, spec, found);
    if let Some(who) = setters(spec, |context| !selinux(context).is_empty()) {
        let contexts = std::iter::once(&spec["securityContext"])
            .chain(containers(spec).into_iter().map(|container| &container["securityContext"]));
        let bad: BTreeSet<String> = contexts.flat_map(selinux).collect();
        let bad: Vec<String> = bad.into_iter().rev().collect();
        let detail =
            format!("{who} set forbidden securityContext.seLinuxOptions: {}", bad.join("; "));
        found.push(Violation { reason: "seLinuxOptions", detail });
    }
    // In a user namespace of its own a pod may see more.
    let masked = |context: &Value| {
        context["procMount"].as_str().is_some_and(|mount| mount != "Default")
            && spec["hostUsers"] != false
    };
    if let Some(who) = setters(spec, masked) {
        let values = values(spec, "/procMount", |mount| mount == "Default");
        let detail = format!("{who} must not set securityContext.procMount to {values}");
        found.push(Violation { reason: "procMount", detail });
    }
    let sysctls: Vec<&str> = spec["securityContext"]["sysctls"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|sysctl| sysctl["name"].as_str())
        .filter(|name| !SYSCTLS.contains(name))
        .collect();
    if !sysctls.is_empty() {
        found.push(Violation { reason: "forbidden sysctls", detail: sysctls.join(", ") });
    }
    if let Some(who) = setters(spec, |context| context["windowsOptions"]["hostProcess"] == true) {
        let detail = format!("{who} must not set securityContext.windowsOptions.hostProcess=true");
        found.push(Violation { reason: "hostProcess", detail });
    }
}

fn app_armor(meta: &Value, spec: &Value, found: &mut Vec<Violation>) {
    let noted: Vec<String> = meta["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .filter(|(key, value)| {
            let fine = matches!(*value, "" | "runtime/default") || value.starts_with("localhost/");
            key.starts_with(APPARMOR) && !fine
        })
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    if !noted.is_empty() {
        let reason = if noted.len() == 1 {
            "forbidden AppArmor profile"
        } else {
            "forbidden AppArmor profiles"
        };
        found.push(Violation { reason, detail: noted.join(", ") });
    }
    if let Some((who, values)) = profile(spec, "/appArmorProfile/type") {
        let detail = format!("{who} must not set AppArmor profile type to {values}");
        found.push(Violation { reason: "forbidden AppArmor profile", detail });
    }
}

/// What is wrong with the options of a context.
fn selinux(context: &Value) -> Vec<String> {
    let options = &context["seLinuxOptions"];
    let text = |key: &str| options[key].as_str().unwrap_or_default();
    let mut bad = Vec::new();
    if !SELINUX_TYPES.contains(&text("type")) {
        bad.push(format!("type {:?}", text("type")));
    }
    for (key, words) in [("user", "user may not be set"), ("role", "role may not be set")] {
        if !text(key).is_empty() {
            bad.push(words.to_owned());
        }
    }
    bad
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_weakens_the_confinement_is_named_in_the_real_words() {
        let container =
            |context: Value| json!({"containers": [{"name": "c", "securityContext": context}]});
        let plain = Value::Null;
        for (meta, spec, words) in [
            (
                &plain,
                container(json!({"seccompProfile": {"type": "Unconfined"}})),
                "seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
            ),
            (
                &plain,
                json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
                "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
            ),
            (&plain, container(json!({"seccompProfile": {"type": "RuntimeDefault"}})), ""),
            (
                &plain,
                container(json!({"appArmorProfile": {"type": "Unconfined"}})),
                "forbidden AppArmor profile (container \"c\" must not set AppArmor profile type to \"Unconfined\")",
            ),
            (
                &json!({"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}),
                json!({}),
                "forbidden AppArmor profile (container.apparmor.security.beta.kubernetes.io/c=\"unconfined\")",
            ),
            (
                &json!({"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "runtime/default"}}),
                json!({}),
                "",
            ),
            (
                &plain,
                container(json!({"seLinuxOptions": {"type": "spc_t", "user": "u"}})),
                "seLinuxOptions (container \"c\" set forbidden securityContext.seLinuxOptions: user may not be set; type \"spc_t\")",
            ),
            (&plain, container(json!({"seLinuxOptions": {"type": "container_t"}})), ""),
            (
                &plain,
                container(json!({"procMount": "Unmasked"})),
                "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")",
            ),
            (
                &plain,
                json!({"hostUsers": false, "containers": [{"name": "c", "securityContext": {"procMount": "Unmasked"}}]}),
                "",
            ),
            (
                &plain,
                json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_syncookies"}]}}),
                "forbidden sysctls (kernel.msgmax)",
            ),
            (
                &plain,
                json!({"securityContext": {"windowsOptions": {"hostProcess": true}}}),
                "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
            ),
        ] {
            let mut found = Vec::new();
            confinement(meta, &spec, &mut found);
            seccomp(&spec, &mut found);
            let all: Vec<String> =
                found.iter().map(|v| format!("{} ({})", v.reason, v.detail)).collect();
            assert_eq!(all.join(", "), words, "{spec}");
        }
    }
}
