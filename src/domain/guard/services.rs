//! PURE · rules for Services, for addresses written by hand, and for autoscalers.

use super::look::{At, Look, is_empty, short};
use super::{GroupKind, Rule};
use crate::domain::bundle::group_of;

const INGRESS: &str = "use ClusterIP, and an Ingress for what people should reach";

pub(super) fn check(look: &mut Look<'_>, root: &At<'_, '_>) {
    if look.is("", "Service") {
        service(look, root);
    } else if look.is("", "Endpoints") || look.is("discovery.k8s.io", "EndpointSlice") {
        // Said once: BV001 has said it when the list does not hold the kind.
        if !look.is_refused() {
            let message = "addresses behind a Service may not be written by hand";
            let hint = "give the Service a selector, and take this object out";
            look.found(Rule::ManualEndpoints, "/kind".into(), message, hint);
        }
    } else if look.identity.kind == "HorizontalPodAutoscaler" {
        autoscaler(look, root);
    }
}

fn service(look: &mut Look<'_>, root: &At<'_, '_>) {
    let Some(spec) = look.map(root, "spec") else {
        let field = "/spec".to_owned();
        let hint = "give it a spec with a selector";
        look.found(Rule::ManualEndpoints, field, "this Service has no selector", hint);
        return;
    };
    let mut alias = spec.get("externalName").is_some();
    if let Some(kind) = spec.get("type") {
        alias |= kind.text() == Some("ExternalName");
        service_type(look, &kind);
    }
    if let Some(name) = spec.get("externalName") {
        let message = "externalName points outside the preview";
        look.found(Rule::ExternalName, name.pointer(), message, "take it out");
    }
    for key in ["externalIPs", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges"] {
        if let Some(value) = spec.get(key)
            && !is_empty(value.value)
        {
            let message = format!("spec.{key} takes traffic from outside the preview");
            look.found(Rule::ServiceExposure, value.pointer(), message, INGRESS);
        }
    }
    for port in look.maps(&spec, "ports") {
        node_port(look, &port, "nodePort");
    }
    node_port(look, &spec, "healthCheckNodePort");
    cluster_address(look, &spec);
    let selector = look.map(&spec, "selector");
    if !alias && selector.is_none_or(|selector| is_empty(selector.value)) {
        let message = "this Service has no selector";
        let hint = "give it the labels of the pods that it stands for";
        // At the selector when one is written, so that the line is the one to mend.
        look.found(Rule::ManualEndpoints, spec.pointer_of("selector"), message, hint);
    }
}

fn service_type(look: &mut Look<'_>, kind: &At<'_, '_>) {
    match kind.text() {
        Some("ClusterIP" | "") => {}
        Some("ExternalName") => {
            let message = "an ExternalName Service points outside the preview";
            let hint = "use the name itself where it is needed";
            look.found(Rule::ExternalName, kind.pointer(), message, hint);
        }
        Some(name @ ("LoadBalancer" | "NodePort")) => {
            let message = format!("a {name} Service opens a port of the cluster to the outside");
            look.found(Rule::ServiceExposure, kind.pointer(), message, INGRESS);
        }
        _ => {
            let message = "spec.type is none of the allowed ones";
            look.found(Rule::ServiceExposure, kind.pointer(), message, INGRESS);
        }
    }
}

fn node_port(look: &mut Look<'_>, at: &At<'_, '_>, key: &'static str) {
    if let Some(port) = at.get(key)
        && port.value.as_u64() != Some(0)
    {
        let message = format!("{key} opens a port on every node");
        look.found(Rule::ServiceExposure, port.pointer(), message, INGRESS);
    }
}

/// An address is the cluster's to give; one that is chosen may be the one that others were to have.
fn cluster_address(look: &mut Look<'_>, spec: &At<'_, '_>) {
    let fine = |at: &At<'_, '_>| matches!(at.text(), Some("None" | ""));
    let mut chosen = Vec::new();
    chosen.extend(spec.get("clusterIP").filter(|at| !fine(at)).map(|at| at.pointer()));
    let all = look.items(spec, "clusterIPs");
    chosen.extend(all.iter().filter(|at| !fine(at)).map(At::pointer));
    for field in chosen {
        let message = "the address of a Service is given by the cluster";
        let hint = "take it out; clusterIP: None makes a Service without an address";
        look.found(Rule::ClusterGiven, field, message, hint);
    }
}

fn autoscaler(look: &mut Look<'_>, root: &At<'_, '_>) {
    let Some(spec) = look.map(root, "spec") else { return };
    let Some(target) = look.map(&spec, "scaleTargetRef") else { return };
    let kind = look.string(&target, "kind").unwrap_or_default();
    let version = look.string(&target, "apiVersion").unwrap_or_default();
    let allowed = GroupKind::new(group_of(version), kind);
    if !look.policy.allowed_kinds.contains(&allowed) {
        let message = format!("kind {} may not be scaled by a preview", short(kind));
        let hint = "name a Deployment or StatefulSet of the preview, with its apiVersion";
        look.found(Rule::ScaleTarget, target.pointer_of("kind"), message, hint);
    }
}
