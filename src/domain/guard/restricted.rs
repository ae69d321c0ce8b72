//! PURE · what Pod Security's level restricted asks for beyond baseline.
//!
//! The relaxations for pods with `hostUsers: false` are not followed: they depend on a feature gate of the cluster.

use super::Rule;
use super::look::{At, Look, short};
use super::pods::CONTAINER_LISTS;

/// Types of volumes that a pod may have.
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

/// What the pod says for all of its containers.
struct Pod {
    non_root: bool,
    seccomp: bool,
    windows: bool,
}

pub(super) fn pod(look: &mut Look<'_>, spec: &At<'_, '_>) {
    for volume in look.maps(spec, "volumes") {
        for (kind, source) in volume.members() {
            // `hostPath` is refused by the level below.
            let known = VOLUMES.contains(&kind) || matches!(kind, "name" | "hostPath");
            if !known && !source.value.is_null() {
                let message = format!("a volume of type {} is not allowed", short(kind));
                let hint = "use a PersistentVolumeClaim";
                look.found(Rule::NotRestricted, source.pointer(), message, hint);
            }
        }
    }
    let context = look.map(spec, "securityContext");
    let os = spec.get("os");
    let windows = os.and_then(|os| os.get("name").and_then(|name| name.text()));
    let all = Pod {
        non_root: context.is_some_and(|c| is_true(&c, "runAsNonRoot")),
        seccomp: context.is_some_and(|c| has_profile(&c)),
        windows: windows == Some("windows"),
    };
    if let Some(context) = &context {
        not_root(look, context);
    }
    for list in CONTAINER_LISTS {
        for one in look.maps(spec, list) {
            container(look, &one, &all);
        }
    }
}

fn is_true(at: &At<'_, '_>, key: &'static str) -> bool {
    at.get(key).is_some_and(|value| *value.value == true)
}

/// A wrong type is refused by the level below.
fn has_profile(context: &At<'_, '_>) -> bool {
    context.get("seccompProfile").is_some_and(|profile| profile.get("type").is_some())
}

fn not_root(look: &mut Look<'_>, context: &At<'_, '_>) {
    if let Some(user) = context.get("runAsUser")
        && user.value.as_u64().is_none_or(|user| user == 0)
    {
        let message = "runAsUser may not be 0";
        let hint = "use the number of another user";
        look.found(Rule::NotRestricted, user.pointer(), message, hint);
    }
    if let Some(flag) = context.get("runAsNonRoot")
        && *flag.value != true
    {
        let message = "runAsNonRoot must be true";
        let hint = "say true, and use an image that does not need root";
        look.found(Rule::NotRestricted, flag.pointer(), message, hint);
    }
}

fn container(look: &mut Look<'_>, container: &At<'_, '_>, pod: &Pod) {
    let context = look.map(container, "securityContext");
    let mut missing = |key: &str, message: &str, hint: &'static str| {
        let field = container.pointer_of(&format!("securityContext/{key}"));
        look.found(Rule::NotRestricted, field, message, hint);
    };
    if !pod.non_root && context.is_none_or(|c| c.get("runAsNonRoot").is_none()) {
        missing(
            "runAsNonRoot",
            "runAsNonRoot must be true for the pod or the container",
            "say true, and use an image that does not need root",
        );
    }
    if !pod.windows {
        if !context.is_some_and(|c| {
            c.get("allowPrivilegeEscalation").is_some_and(|flag| *flag.value == false)
        }) {
            missing(
                "allowPrivilegeEscalation",
                "allowPrivilegeEscalation must be false",
                "add allowPrivilegeEscalation: false",
            );
        }
        if !context.is_some_and(|c| drops_all(&c)) {
            missing(
                "capabilities/drop",
                "all capabilities must be dropped",
                "add capabilities: {drop: [ALL]}",
            );
        }
        if !pod.seccomp && !context.is_some_and(|c| has_profile(&c)) {
            missing(
                "seccompProfile",
                "a seccomp profile must be set for the pod or the container",
                "add seccompProfile: {type: RuntimeDefault}",
            );
        }
    }
    if let Some(context) = &context {
        not_root(look, context);
    }
}

fn drops_all(context: &At<'_, '_>) -> bool {
    let Some(capabilities) = context.get("capabilities") else { return false };
    let Some(drop) = capabilities.get("drop") else { return false };
    drop.elements().iter().any(|name| name.text() == Some("ALL"))
}
