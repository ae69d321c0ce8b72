//! PURE · rules for Ingresses: hosts, paths, class, certificates, annotations.

use serde_json::Value;

use super::annotations::{self, ISSUER};
use super::look::{At, Look, is_empty, short, text_of};
use super::{Rule, object};

const HOST_HINT: &str =
    "write {{env.host}} in a *.yaml.hbs file; it is filled with the preview's host";

pub(super) fn check(look: &mut Look<'_>, root: &At<'_, '_>) {
    // Whatever its group: `extensions` had the kind first.
    if look.identity.kind != "Ingress" {
        return;
    }
    let mut issued = false;
    if let Some(metadata) = look.map(root, "metadata")
        && let Some(annotations) = look.map(&metadata, "annotations")
    {
        let issuer = look.policy.tls_issuer.as_deref();
        issued =
            issuer.is_some() && annotations.get(ISSUER).and_then(|value| value.text()) == issuer;
        for (key, value) in annotations.members() {
            if key == "kubernetes.io/ingress.class" {
                class(look, &value);
            } else {
                annotations::of_ingress(look, key, &value);
            }
        }
    }
    let Some(spec) = look.map(root, "spec") else { return };
    // `backend` is the name that extensions/v1beta1 had for it.
    for key in ["defaultBackend", "backend"] {
        if let Some(backend) = spec.get(key) {
            let message = "a default backend takes requests for every host";
            let hint = "write a rule with a host";
            look.found(Rule::HostNotAssigned, backend.pointer(), message, hint);
        }
    }
    if let Some(name) = spec.get("ingressClassName") {
        class(look, &name);
    }
    for rule in look.maps(&spec, "rules") {
        host_of(look, &rule);
        if let Some(http) = look.map(&rule, "http") {
            for path in look.maps(&http, "paths") {
                path_of(look, &path);
            }
        }
    }
    for tls in look.maps(&spec, "tls") {
        let hosts = look.items(&tls, "hosts");
        if tls.get("hosts").is_none_or(|hosts| is_empty(hosts.value)) {
            let message = "a tls entry without hosts is used for every host";
            look.found(Rule::HostNotAssigned, tls.pointer(), message, HOST_HINT);
        }
        for host in &hosts {
            assigned(look, host);
        }
        if let Some(name) = look.string(&tls, "secretName") {
            certificate(look, &tls, "secretName", name, issued);
        }
    }
}

fn host_of(look: &mut Look<'_>, rule: &At<'_, '_>) {
    if let Some(host) = rule.get("host") {
        return assigned(look, &host);
    }
    let own = own_hosts(look);
    let message =
        format!("a rule without host takes requests for every host; this preview has {own}");
    look.found(Rule::HostNotAssigned, rule.pointer(), message, HOST_HINT);
}

fn path_of(look: &mut Look<'_>, path: &At<'_, '_>) {
    if let Some(text) = look.string(path, "path")
        && (!annotations::is_tame(text) || text.chars().any(char::is_whitespace))
    {
        let message = "this path holds characters of the proxy's configuration";
        let hint = "use a plain path";
        look.found(Rule::HostNotAssigned, path.pointer_of("path"), message, hint);
    }
    if let Some(backend) = look.map(path, "backend")
        && let Some(resource) = backend.get("resource")
        && !is_empty(resource.value)
    {
        let message = "a backend may only be a Service";
        look.found(Rule::RouteTarget, resource.pointer(), message, "name a Service of the preview");
    }
}

fn own_hosts(look: &Look<'_>) -> String {
    let hosts: Vec<&str> = look.policy.assigned_hosts.iter().map(String::as_str).collect();
    if hosts.is_empty() { "none".into() } else { hosts.join(", ") }
}

/// `host` must be one of the camp's own.
pub(super) fn assigned(look: &mut Look<'_>, host: &At<'_, '_>) {
    if host.text().is_some_and(|host| look.policy.assigned_hosts.contains(host)) {
        return;
    }
    let (host_name, own) = (text_of(host.value), own_hosts(look));
    let message = format!("host {host_name} was not assigned to this preview, which has {own}");
    look.found(Rule::HostNotAssigned, host.pointer(), message, HOST_HINT);
}

/// Says that `at` takes requests for hosts that it does not name.
pub(super) fn hostless(look: &mut Look<'_>, field: String, message: &str) {
    look.found(Rule::HostNotAssigned, field, message, HOST_HINT);
}

fn class(look: &mut Look<'_>, class: &At<'_, '_>) {
    let named = text_of(class.value);
    let message = match look.policy.ingress_class.clone() {
        Some(wanted) if class.value.as_str() == Some(&wanted) => return,
        Some(wanted) => format!("ingress class {named} is not {wanted:?}"),
        // Any class of the cluster would do, also one that was never meant for the code of a pull request.
        None => format!("ingress class {named} may not be chosen here"),
    };
    look.found(Rule::HostNotAssigned, class.pointer(), message, "take the class out");
}

/// A Secret with a certificate: of the bundle, or to be made by the issuer of the Repository.
pub(super) fn certificate(
    look: &mut Look<'_>,
    at: &At<'_, '_>,
    key: &'static str,
    name: &str,
    issued: bool,
) {
    let brought = look.brought.secrets.contains(name);
    if name.is_empty() || brought || (issued && !object::is_reserved(name)) {
        return;
    }
    let message = format!("Secret {:?} is not in the bundle", short(name));
    let hint = "take the name of the Secret out, or bring the Secret: without it the controller serves \
                its own certificate";
    look.found(Rule::TlsSecret, at.pointer_of(key), message, hint);
}

/// Whether `value` names a kind of the core group called `kind`; absent fields have the defaults of a reference to a
/// Service.
pub(super) fn is_service(value: &Value) -> bool {
    let field = |key: &str| value.get(key).filter(|value| !value.is_null());
    field("group").is_none_or(|group| group.as_str() == Some(""))
        && field("kind").is_none_or(|kind| kind.as_str() == Some("Service"))
}
