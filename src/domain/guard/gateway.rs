//! PURE · rules for the Gateway API: routes, and gateways where a Repository allows them.

use super::ingress::{assigned, certificate, hostless, is_service};
use super::look::{At, Look, is_empty, short, text_of};
use super::{Rule, object};

const GROUP: &str = "gateway.networking.k8s.io";

/// Filters that change a request or its answer and send it nowhere else.
const FILTERS: [&str; 4] =
    ["RequestHeaderModifier", "RequestRedirect", "ResponseHeaderModifier", "URLRewrite"];

const ROUTE_HINT: &str = "leave routes to expose in the preview file, or name the assigned gateway";

pub(super) fn check(look: &mut Look<'_>, root: &At<'_, '_>) {
    let kind = look.identity.kind.clone();
    match kind.as_str() {
        "HTTPRoute" | "GRPCRoute" | "TLSRoute" => {
            let spec = look.map(root, "spec");
            let hosts = spec.as_ref().map(|spec| look.items(spec, "hostnames")).unwrap_or_default();
            let written = spec.as_ref().and_then(|spec| spec.get("hostnames").map(|h| h.value));
            if written.is_none_or(is_empty) {
                let message = "a route without hostnames takes every host of its gateway";
                hostless(look, "/spec".into(), message);
            }
            for host in &hosts {
                assigned(look, host);
            }
            if let Some(spec) = &spec {
                route(look, spec);
            }
        }
        "TCPRoute" | "UDPRoute" if look.identity.group == GROUP => {
            let message = format!("a {kind} takes a whole listener: it knows no hosts");
            hostless(look, "/kind".into(), &message);
            if let Some(spec) = look.map(root, "spec") {
                route(look, &spec);
            }
        }
        "Gateway" | "ListenerSet" | "XListenerSet" if look.identity.group.contains("gateway.") => {
            if let Some(spec) = look.map(root, "spec") {
                gateway(look, &spec);
            }
        }
        _ => {}
    }
}

fn route(look: &mut Look<'_>, spec: &At<'_, '_>) {
    for parent in look.maps(spec, "parentRefs") {
        parent_of(look, &parent);
    }
    if let Some(default) = spec.get("useDefaultGateways") {
        let message = "useDefaultGateways attaches the route to gateways that it does not name";
        look.found(Rule::RouteTarget, default.pointer(), message, ROUTE_HINT);
    }
    for rule in look.maps(spec, "rules") {
        for filter in look.maps(&rule, "filters") {
            filter_of(look, &filter);
        }
        for backend in look.maps(&rule, "backendRefs") {
            object::own_namespace(look, &backend, "namespace");
            if !is_service(backend.value) {
                let message = "a backend may only be a Service";
                let hint = "name a Service of the preview";
                look.found(Rule::RouteTarget, backend.pointer(), message, hint);
            }
            for filter in look.maps(&backend, "filters") {
                filter_of(look, &filter);
            }
        }
    }
}

fn parent_of(look: &mut Look<'_>, parent: &At<'_, '_>) {
    let field = |key: &'static str| parent.get(key).map(|value| value.value);
    let is = |key: &'static str, wanted: &str, default: Option<&str>| {
        field(key).map_or(default == Some(wanted), |value| value.as_str() == Some(wanted))
    };
    let camp = look.policy.namespace.clone();
    let assigned = look.policy.gateway.clone();
    let fine = assigned.as_ref().is_some_and(|gateway| {
        is("group", GROUP, Some(GROUP))
            && is("kind", "Gateway", Some("Gateway"))
            && is("namespace", &gateway.namespace, Some(&camp))
            && is("name", &gateway.name, None)
            && gateway.section.as_ref().is_none_or(|section| is("sectionName", section, None))
    });
    if fine {
        return;
    }
    let name = field("name").map_or_else(|| "without name".into(), text_of);
    let message = match assigned {
        None => format!("gateway {name} may not be chosen here: the Repository names none"),
        Some(gateway) => {
            let section = gateway.section.map(|s| format!(", section {s}")).unwrap_or_default();
            format!(
                "gateway {name} is not the assigned one, {}/{}{section}",
                gateway.namespace, gateway.name
            )
        }
    };
    look.found(Rule::RouteTarget, parent.pointer(), message, ROUTE_HINT);
}

fn filter_of(look: &mut Look<'_>, filter: &At<'_, '_>) {
    let kind = filter.get("type").and_then(|kind| kind.text()).unwrap_or_default();
    // The type alone is not believed: what stands beside it counts too.
    let extra = filter.members().into_iter().find(|(key, value)| {
        let own = kind.chars().next().is_some_and(|first| {
            key.len() == kind.len()
                && key.starts_with(first.to_ascii_lowercase())
                && key.get(1..) == kind.get(1..)
        });
        let known = *key == "type" || own || (kind == "URLRewrite" && *key == "urlRewrite");
        !known && !value.value.is_null()
    });
    if FILTERS.contains(&kind) && extra.is_none() {
        return;
    }
    let name = match extra {
        Some((key, _)) if FILTERS.contains(&kind) => short(key),
        _ => short(kind),
    };
    let message = format!("filter {name:?} may send requests somewhere else");
    look.found(Rule::RouteTarget, filter.pointer(), message, "take the filter out");
}

fn gateway(look: &mut Look<'_>, spec: &At<'_, '_>) {
    if let Some(parent) = look.map(spec, "parentRef") {
        parent_of(look, &parent);
    }
    if let Some(addresses) = spec.get("addresses")
        && !is_empty(addresses.value)
    {
        let message = "addresses takes traffic from outside the preview";
        let hint = "use the assigned gateway";
        look.found(Rule::ServiceExposure, addresses.pointer(), message, hint);
    }
    for listener in look.maps(spec, "listeners") {
        if let Some(host) = listener.get("hostname") {
            assigned(look, &host);
        } else {
            let message = "a listener without hostname takes requests for every host";
            hostless(look, listener.pointer(), message);
        }
        if let Some(tls) = look.map(&listener, "tls") {
            for reference in look.maps(&tls, "certificateRefs") {
                object::own_namespace(look, &reference, "namespace");
                if let Some(name) = look.string(&reference, "name") {
                    certificate(look, &reference, "name", name, false);
                }
            }
        }
        if let Some(routes) = look.map(&listener, "allowedRoutes")
            && let Some(namespaces) = look.map(&routes, "namespaces")
            && let Some(from) = namespaces.get("from")
            && from.text() != Some("Same")
        {
            object::foreign(look, &from);
        }
    }
}
