//! PURE · where a pod runs, beside whom, and how long it may take to end.

use super::look::{At, Look, is_empty, short};
use super::{Rule, object};

/// A camp that is taken down waits this long for a pod at most.
const MOST_GRACE_SECONDS: u64 = 600;

/// What any cluster has, so that asking for it excludes nothing that would work.
const COMMON_LABELS: [&str; 4] =
    ["kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch", "beta.kubernetes.io/os"];

/// Taints that come and go on any node.
const PASSING_TAINTS: [&str; 2] =
    ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) fn pod(look: &mut Look<'_>, spec: &At<'_, '_>) {
    if let Some(node) = spec.get("nodeName")
        && node.text() != Some("")
    {
        let message = "nodeName goes around the scheduler";
        look.found(Rule::HostAccess, node.pointer(), message, "take the field out");
    }
    if let Some(scheduler) = spec.get("schedulerName")
        && !matches!(scheduler.text(), Some("default-scheduler" | ""))
    {
        let message = "this scheduler is not the cluster's own";
        look.found(Rule::NodeBypass, scheduler.pointer(), message, "take schedulerName out");
    }
    priority(look, spec);
    if let Some(runtime) = spec.get("runtimeClassName")
        && runtime.text() != Some("")
    {
        let message = "runtimeClassName asks for another container runtime";
        look.found(Rule::NodeChoice, runtime.pointer(), message, "take it out");
    }
    if let Some(selector) = look.map(spec, "nodeSelector") {
        for (label, value) in selector.members() {
            node_label(look, label, value.pointer());
        }
    }
    for toleration in look.maps(spec, "tolerations") {
        tolerated(look, &toleration);
    }
    affinity(look, spec);
    if let Some(seconds) = spec.get("terminationGracePeriodSeconds")
        && seconds.value.as_u64().is_none_or(|seconds| seconds > MOST_GRACE_SECONDS)
    {
        let message = format!("terminationGracePeriodSeconds may be {MOST_GRACE_SECONDS} at most");
        let hint = "use a shorter time";
        look.found(Rule::SlowTeardown, seconds.pointer(), message, hint);
    }
}

fn priority(look: &mut Look<'_>, spec: &At<'_, '_>) {
    let Some(priority) = spec.get("priorityClassName") else { return };
    let field = priority.pointer();
    match priority.text() {
        Some("") => {}
        Some(name) if !name.starts_with("system-") => {
            let message = "pods of a higher priority push others from their nodes";
            look.found(Rule::NodeChoice, field, message, "take priorityClassName out");
        }
        _ => {
            let message = "this priority is for the cluster's own pods";
            look.found(Rule::HostAccess, field, message, "take priorityClassName out");
        }
    }
}

fn node_label(look: &mut Look<'_>, label: &str, field: String) {
    if names_a_node(label) {
        let message = format!("label {} picks a node by its name or role", short(label));
        look.found(Rule::NodeBypass, field, message, "take it out; the scheduler finds a node");
    } else if !COMMON_LABELS.contains(&label) {
        let message = format!("label {} of nodes may be missing where previews run", short(label));
        look.found(Rule::NodeChoice, field, message, "take it out of the preview");
    }
}

fn names_a_node(label: &str) -> bool {
    label == "kubernetes.io/hostname"
        || label == "kubernetes.io/role"
        || label.starts_with("node-role.kubernetes.io/")
}

fn tolerated(look: &mut Look<'_>, toleration: &At<'_, '_>) {
    match look.string(toleration, "key") {
        None | Some("") => {
            let message = "a toleration without key gets the pod onto every node";
            let hint = "name the key of a taint, or take it out";
            look.found(Rule::NodeBypass, toleration.pointer(), message, hint);
        }
        Some(key) if key.starts_with("node-role.kubernetes.io/") => {
            let message = format!("tolerating {} gets the pod onto the control plane", short(key));
            let hint = "take it out; the scheduler finds a node";
            look.found(Rule::NodeBypass, toleration.pointer_of("key"), message, hint);
        }
        Some(key) if PASSING_TAINTS.contains(&key) => {}
        Some(key) => {
            let message = format!("taint {} may keep nodes for something else", short(key));
            let hint = "take it out of the preview";
            look.found(Rule::NodeChoice, toleration.pointer_of("key"), message, hint);
        }
    }
}

fn affinity(look: &mut Look<'_>, spec: &At<'_, '_>) {
    let Some(affinity) = look.map(spec, "affinity") else { return };
    if let Some(node) = look.map(&affinity, "nodeAffinity") {
        if let Some(required) = look.map(&node, "requiredDuringSchedulingIgnoredDuringExecution") {
            for term in look.maps(&required, "nodeSelectorTerms") {
                node_term(look, &term, true);
            }
        }
        for preferred in look.maps(&node, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = look.map(&preferred, "preference") {
                node_term(look, &term, false);
            }
        }
    }
    for key in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = look.map(&affinity, key) else { continue };
        for term in look.maps(&pods, "requiredDuringSchedulingIgnoredDuringExecution") {
            pod_term(look, &term);
        }
        for preferred in look.maps(&pods, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = look.map(&preferred, "podAffinityTerm") {
                pod_term(look, &term);
            }
        }
    }
}

fn node_term(look: &mut Look<'_>, term: &At<'_, '_>, required: bool) {
    for field in look.maps(term, "matchFields") {
        let message = "matchFields picks a node by its name";
        look.found(Rule::NodeBypass, field.pointer(), message, "take it out");
    }
    for expression in look.maps(term, "matchExpressions") {
        let Some(label) = look.string(&expression, "key") else { continue };
        // Keeping away from nodes harms nobody.
        let away = matches!(
            expression.get("operator").and_then(|operator| operator.text()),
            Some("NotIn" | "DoesNotExist")
        );
        if !away && (required || names_a_node(label)) {
            node_label(look, label, expression.pointer_of("key"));
        }
    }
}

/// A pod that may not stand beside pods of others keeps those away as well.
fn pod_term(look: &mut Look<'_>, term: &At<'_, '_>) {
    if let Some(selector) = term.get("namespaceSelector") {
        object::foreign(look, &selector);
    }
    for namespace in look.items(term, "namespaces") {
        if namespace.text() != Some(&look.policy.namespace) && !is_empty(namespace.value) {
            object::foreign(look, &namespace);
        }
    }
}
