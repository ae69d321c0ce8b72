//! PURE · where pods stand, and which rules look at them.

use super::look::{At, Look};
use super::{PodSecurity, Rule};
use super::{annotations, baseline, images, object, placement, references, restricted, storage};

/// The lists of containers of a pod.
pub(super) const CONTAINER_LISTS: [&str; 3] =
    ["containers", "initContainers", "ephemeralContainers"];

const MOUNT: &str = "automountServiceAccountToken";

/// Pointer from the object to what holds `metadata` and `spec` of its pods, by the shape of the kinds that have one,
/// whatever their group or version.
fn template_of(kind: &str) -> Option<&'static str> {
    match kind {
        "Pod" => Some(""),
        "Deployment"
        | "StatefulSet"
        | "DaemonSet"
        | "ReplicaSet"
        | "Job"
        | "ReplicationController" => Some("/spec/template"),
        "CronJob" => Some("/spec/jobTemplate/spec/template"),
        "PodTemplate" => Some("/template"),
        _ => None,
    }
}

pub(super) fn check(look: &mut Look<'_>, root: &At<'_, '_>) {
    if look.is("batch", "CronJob")
        && let Some(job) = look.path(root, "/spec/jobTemplate/metadata")
    {
        object::marks(look, &job);
    }
    if look.identity.kind == "StatefulSet"
        && let Some(spec) = look.map(root, "spec")
    {
        for template in look.maps(&spec, "volumeClaimTemplates") {
            storage::claim_template(look, &template);
        }
    }
    let kind = look.identity.kind.clone();
    let Some(path) = template_of(&kind) else { return };
    let Some(template) = look.path(root, path) else { return };
    if !template.value.is_object() {
        return look.malformed(&template, "a mapping");
    }
    if let Some(metadata) = look.map(&template, "metadata") {
        if !path.is_empty() {
            object::marks(look, &metadata);
        }
        annotations::of_pod(look, &metadata);
    }
    if let Some(spec) = look.map(&template, "spec") {
        pod(look, &spec);
    }
}

/// All rules for the `spec` of a pod.
pub(super) fn pod(look: &mut Look<'_>, spec: &At<'_, '_>) {
    baseline::pod(look, spec);
    identity(look, spec);
    placement::pod(look, spec);
    references::pod(look, spec);
    for volume in look.maps(spec, "volumes") {
        baseline::volume(look, &volume);
        storage::volume(look, &volume);
        references::volume(look, &volume);
        images::volume(look, &volume);
    }
    for list in CONTAINER_LISTS {
        for container in look.maps(spec, list) {
            baseline::container(look, &container);
            references::container(look, &container);
            images::container(look, &container);
        }
    }
    if look.policy.pod_security == PodSecurity::Restricted {
        restricted::pod(look, spec);
    }
}

fn identity(look: &mut Look<'_>, spec: &At<'_, '_>) {
    let mut named: Option<String> = None;
    for key in ["serviceAccountName", "serviceAccount"] {
        let Some(account) = spec.get(key) else { continue };
        // One name under both: said once.
        if named.as_deref().is_some_and(|named| account.text() == Some(named)) {
            continue;
        }
        named = account.text().map(str::to_owned);
        let brought =
            |name: &str| !object::is_reserved(name) && look.brought.accounts.contains(name);
        if !account.text().is_some_and(brought) {
            service_account(look, &account, key);
        } else if spec.get(MOUNT).is_none() {
            // Whatever the account itself says by the time the pod is made.
            let message =
                "a pod that names an account must say automountServiceAccountToken: false";
            let field = spec.pointer_of(MOUNT);
            look.found(Rule::AccountToken, field, message, "write it beside the name");
        }
    }
    if let Some(mount) = spec.get(MOUNT) {
        mounted_token(look, &mount);
    }
}

/// Only the namespace's own account, or one that the bundle brings, which the caller has looked for.
pub(super) fn service_account(look: &mut Look<'_>, account: &At<'_, '_>, key: &str) {
    if !matches!(account.text(), Some("default" | "")) {
        let message = format!("{key} is neither \"default\" nor an account that the bundle brings");
        let hint = "take the field out: pods run as the namespace's default account; or bring a ServiceAccount of \
                    that name";
        look.found(Rule::AccessControl, account.pointer(), message, hint);
    }
}

/// A token is not mounted on request.
pub(super) fn mounted_token(look: &mut Look<'_>, mount: &At<'_, '_>) {
    if super::look::is_set(mount) {
        let message = "automountServiceAccountToken gives the pod an identity in the cluster";
        let hint = "take it out, or say false";
        look.found(Rule::AccountToken, mount.pointer(), message, hint);
    }
}
