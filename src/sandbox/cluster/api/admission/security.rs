//! Pod Security: (pod, level of its namespace) → what violates it, in the real words. The checks of `baseline` and the
//! main ones of `restricted`.

use serde_json::Value;

use super::super::state::{Call, State};
use super::super::status::{ApiError, GroupResource};
use super::profiles;

const LABEL: &str = "pod-security.kubernetes.io/";

/// One rule: what is violated, and how.
pub(super) struct Violation {
    pub(super) reason: &'static str,
    pub(super) detail: String,
}

/// Refuses pods by the namespace's `enforce` level, warns by its `warn` level (also of workloads' templates).
pub(super) fn check(
    state: &State,
    call: &mut Call,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let kind = &call.served.kind;
    let (template, pod) = match (kind.group.as_str(), kind.plural.as_str()) {
        ("", "pods") => (object, true),
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => (&object["spec"]["template"], false),
        ("batch", "cronjobs") => (&object["spec"]["jobTemplate"]["spec"]["template"], false),
        _ => return Ok(()),
    };
    let (meta, spec) = (&template["metadata"], &template["spec"]);
    if old.is_some_and(|old| old["spec"] == object["spec"]) {
        return Ok(());
    }
    let namespaces = GroupResource::new("", "namespaces");
    let Some(namespace) = state.store.get(&namespaces, "", call.namespace()) else { return Ok(()) };
    let level = |mode: &str| {
        let of = |key: &str| namespace["metadata"]["labels"][key].as_str().map(str::to_owned);
        let level = of(&format!("{LABEL}{mode}"))?;
        let version = of(&format!("{LABEL}{mode}-version")).unwrap_or_else(|| "latest".into());
        Some((level, version))
    };
    let enforced = level("enforce");
    if let (Some((level, version)), true) = (&enforced, pod) {
        let found = violations(level, meta, spec);
        if !found.is_empty() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            return Err(ApiError::forbidden(
                &call.resource(),
                name,
                &format!("violates PodSecurity \"{level}:{version}\": {}", text(&found)),
            ));
        }
    }
    if let Some((level, version)) = level("warn") {
        let found = violations(&level, meta, spec);
        if !found.is_empty() {
            let warning =
                format!("would violate PodSecurity \"{level}:{version}\": {}", text(&found));
            call.warnings.push(warning);
        }
    }
    Ok(())
}

fn text(found: &[Violation]) -> String {
    let all: Vec<String> = found.iter().map(|v| format!("{} ({})", v.reason, v.detail)).collect();
    all.join(", ")
}

pub(super) fn containers(spec: &Value) -> Vec<&Value> {
    ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .flat_map(|key| spec[*key].as_array().into_iter().flatten())
        .collect()
}

pub(super) fn names(list: &[&Value]) -> String {
    let quoted: Vec<String> = list
        .iter()
        .filter_map(|container| container["name"].as_str())
        .map(|name| format!("{name:?}"))
        .collect();
    let word = if quoted.len() == 1 { "container" } else { "containers" };
    format!("{word} {}", quoted.join(", "))
}

fn violations(level: &str, meta: &Value, spec: &Value) -> Vec<Violation> {
    let mut found = Vec::new();
    match level {
        "baseline" => {
            baseline(spec, &mut found);
            profiles::confinement(meta, spec, &mut found);
            profiles::seccomp(spec, &mut found);
        }
        "restricted" => {
            baseline(spec, &mut found);
            profiles::confinement(meta, spec, &mut found);
            restricted(spec, &mut found);
        }
        _ => {}
    }
    found
}

/// What container runtimes give anyway; `NET_RAW` is not among what may be added.
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
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

fn baseline(spec: &Value, found: &mut Vec<Violation>) {
    let all = containers(spec);
    let host: Vec<&str> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|key| spec[*key] == true)
        .collect();
    if !host.is_empty() {
        let detail: Vec<String> = host.iter().map(|key| format!("{key}=true")).collect();
        found.push(Violation { reason: "host namespaces", detail: detail.join(", ") });
    }
    let privileged: Vec<&Value> =
        all.iter().copied().filter(|c| c["securityContext"]["privileged"] == true).collect();
    if !privileged.is_empty() {
        let detail = format!("{} must not set securityContext.privileged=true", names(&privileged));
        found.push(Violation { reason: "privileged", detail });
    }
    let mut added = Vec::new();
    let adding: Vec<&Value> = all
        .iter()
        .copied()
        .filter(|c| {
            let bad: Vec<String> = c["securityContext"]["capabilities"]["add"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .filter(|cap| !BASELINE_CAPABILITIES.contains(cap))
                .map(|cap| format!("{cap:?}"))
                .collect();
            added.extend(bad.clone());
            !bad.is_empty()
        })
        .collect();
    if !adding.is_empty() {
        added.sort();
        added.dedup();
        let detail = format!(
            "{} must not include {} in securityContext.capabilities.add",
            names(&adding),
            added.join(", ")
        );
        found.push(Violation { reason: "non-default capabilities", detail });
    }
    let paths: Vec<String> = spec["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|volume| volume["hostPath"].is_object())
        .filter_map(|volume| volume["name"].as_str())
        .map(|name| format!("{name:?}"))
        .collect();
    if !paths.is_empty() {
        let word = if paths.len() == 1 { "volume" } else { "volumes" };
        found.push(Violation {
            reason: "hostPath volumes",
            detail: format!("{word} {}", paths.join(", ")),
        });
    }
    let mut ports = Vec::new();
    let with_ports: Vec<&Value> = all
        .iter()
        .copied()
        .filter(|c| {
            let of: Vec<String> = c["ports"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|port| port["hostPort"].as_i64().filter(|port| *port != 0))
                .map(|port| port.to_string())
                .collect();
            ports.extend(of.clone());
            !of.is_empty()
        })
        .collect();
    if !with_ports.is_empty() {
        let word = if ports.len() == 1 { "hostPort" } else { "hostPorts" };
        let verb = if with_ports.len() == 1 { "uses" } else { "use" };
        let detail = format!("{} {verb} {word} {}", names(&with_ports), ports.join(", "));
        found.push(Violation { reason: "hostPort", detail });
    }
}

fn restricted(spec: &Value, found: &mut Vec<Violation>) {
    let all = containers(spec);
    let bad: Vec<&Value> = all
        .iter()
        .copied()
        .filter(|c| c["securityContext"]["allowPrivilegeEscalation"] != false)
        .collect();
    if !bad.is_empty() {
        let detail =
            format!("{} must set securityContext.allowPrivilegeEscalation=false", names(&bad));
        found.push(Violation { reason: "allowPrivilegeEscalation != false", detail });
    }
    let undropped: Vec<&Value> = all
        .iter()
        .copied()
        .filter(|c| {
            let drop = c["securityContext"]["capabilities"]["drop"].as_array();
            !drop.is_some_and(|drop| drop.iter().any(|cap| cap == "ALL"))
        })
        .collect();
    if !undropped.is_empty() {
        let detail =
            format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", names(&undropped));
        found.push(Violation { reason: "unrestricted capabilities", detail });
    }
    let volumes: Vec<String> = spec["volumes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|volume| {
            let mut sources = volume
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, _)| k.as_str())
                .filter(|k| *k != "name");
            sources.any(|source| !VOLUMES.contains(&source))
        })
        .filter_map(|volume| volume["name"].as_str())
        .map(|name| format!("{name:?}"))
        .collect();
    if !volumes.is_empty() {
        let word = if volumes.len() == 1 { "volume" } else { "volumes" };
        let verb = if volumes.len() == 1 { "uses" } else { "use" };
        let detail = format!("{word} {} {verb} restricted volume types", volumes.join(", "));
        found.push(Violation { reason: "restricted volume types", detail });
    }
    let pod = &spec["securityContext"];
    let root: Vec<&Value> = all
        .iter()
        .copied()
        .filter(|c| {
            let own = &c["securityContext"]["runAsNonRoot"];
            if own.is_null() { pod["runAsNonRoot"] != true } else { *own != true }
        })
        .collect();
    if !root.is_empty() {
        let who = if pod["runAsNonRoot"] == true {
            names(&root)
        } else {
            format!("pod or {}", names(&root))
        };
        let detail = format!("{who} must set securityContext.runAsNonRoot=true");
        found.push(Violation { reason: "runAsNonRoot != true", detail });
    }
    let zero: Vec<&Value> =
        all.iter().copied().filter(|c| c["securityContext"]["runAsUser"] == 0).collect();
    if pod["runAsUser"] == 0 {
        found.push(Violation {
            reason: "runAsUser=0",
            detail: "pod must not set runAsUser=0".into(),
        });
    } else if !zero.is_empty() {
        let detail = format!("{} must not set runAsUser=0", names(&zero));
        found.push(Violation { reason: "runAsUser=0", detail });
    }
    let fine =
        |profile: &Value| matches!(profile["type"].as_str(), Some("RuntimeDefault" | "Localhost"));
    let open: Vec<&Value> = all
        .iter()
        .copied()
        .filter(|c| {
            let own = &c["securityContext"]["seccompProfile"];
            if own.is_null() { !fine(&pod["seccompProfile"]) } else { !fine(own) }
        })
        .collect();
    if !open.is_empty() {
        let who = if fine(&pod["seccompProfile"]) {
            names(&open)
        } else {
            format!("pod or {}", names(&open))
        };
        let detail = format!(
            "{who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""
        );
        found.push(Violation { reason: "seccompProfile", detail });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_pod_violates_restricted_in_the_real_words() {
        let pod = json!({"containers": [{"name": "c", "image": "nginx"}]});
        assert_eq!(text(&violations("baseline", &Value::Null, &pod)), "");
        assert_eq!(
            text(&violations("restricted", &Value::Null, &pod)),
            "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        );
        let good = json!({
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
        });
        assert_eq!(text(&violations("restricted", &Value::Null, &good)), "");
    }

    #[test]
    fn what_reaches_the_host_violates_baseline() {
        let pod = json!({
            "hostNetwork": true,
            "volumes": [{"name": "v", "hostPath": {"path": "/"}}],
            "containers": [{"name": "c", "securityContext": {"privileged": true, "capabilities": {"add": ["SYS_ADMIN"]}}}],
        });
        assert_eq!(
            text(&violations("baseline", &Value::Null, &pod)),
            "host namespaces (hostNetwork=true), privileged (container \"c\" must not set securityContext.privileged=true), non-default capabilities (container \"c\" must not include \"SYS_ADMIN\" in securityContext.capabilities.add), hostPath volumes (volume \"v\")"
        );
    }
}
