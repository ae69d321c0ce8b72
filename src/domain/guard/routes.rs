//! PURE · rules for what brings traffic in: Ingress and the routes of the Gateway API.

use serde_json::Value;

use super::{Look, Rule, short, text_of};

const HOST_HINT: &str =
    "write {{env.host}} in a *.yaml.hbs file; it is filled with the preview's host";

/// Annotations of ingress-nginx that only tune how a request is passed on. Everything else is refused: among them are
/// ones that hold configuration (snippets), name further hosts, or read Secrets of other namespaces.
const NGINX: [&str; 22] = [
    "affinity",
    "backend-protocol",
    "client-body-buffer-size",
    "cors-allow-credentials",
    "cors-allow-headers",
    "cors-allow-methods",
    "cors-allow-origin",
    "enable-cors",
    "force-ssl-redirect",
    "limit-rps",
    "proxy-body-size",
    "proxy-buffer-size",
    "proxy-buffering",
    "proxy-connect-timeout",
    "proxy-read-timeout",
    "proxy-request-buffering",
    "proxy-send-timeout",
    "rewrite-target",
    "session-cookie-name",
    "ssl-redirect",
    "use-regex",
    "websocket-services",
];

/// Annotations of these domains are read by tools that look at them, not by what routes.
const HARMLESS_DOMAINS: [&str; 5] = [
    "app.kubernetes.io",
    "config.kubernetes.io",
    "helm.sh",
    "kubectl.kubernetes.io",
    "meta.helm.sh",
];

pub(super) fn check(look: &mut Look<'_>) {
    match look.identity.kind.as_str() {
        "Ingress" => ingress(look),
        "HTTPRoute" | "GRPCRoute" | "TLSRoute" => {
            let hosts = look.list("/spec/hostnames");
            if hosts.is_empty() {
                let message = "a route without hostnames takes every host of its gateway";
                look.found(Rule::HostNotAssigned, "/spec", message, HOST_HINT);
            }
            for (pointer, host) in hosts {
                assigned(look, &pointer, Some(host));
            }
        }
        _ => {}
    }
}

fn ingress(look: &mut Look<'_>) {
    // `backend` is the name that extensions/v1beta1 had for it.
    for field in ["/spec/defaultBackend", "/spec/backend"] {
        if look.get(field).is_some() {
            let message = "a default backend takes requests for every host";
            look.found(Rule::HostNotAssigned, field, message, "write a rule with a host");
        }
    }
    for (rule, value) in look.list("/spec/rules") {
        let host = value.get("host").filter(|host| !host.is_null());
        let pointer = if host.is_some() { format!("{rule}/host") } else { rule };
        assigned(look, &pointer, host);
    }
    for (tls, value) in look.list("/spec/tls") {
        let pointer = format!("{tls}/hosts");
        let hosts = look.list(&pointer);
        if hosts.is_empty() && value.is_object() {
            let message = "a tls entry without hosts is used for every host";
            look.found(Rule::HostNotAssigned, &tls, message, HOST_HINT);
        }
        for (pointer, host) in hosts {
            assigned(look, &pointer, Some(host));
        }
    }
    class(look, "/spec/ingressClassName", look.get("/spec/ingressClassName"));
    for (pointer, key, value) in look.members("/metadata/annotations") {
        annotation(look, &pointer, key, value);
    }
}

fn assigned(look: &mut Look<'_>, pointer: &str, host: Option<&Value>) {
    let hosts = &look.policy.assigned_hosts;
    if host.and_then(Value::as_str).is_some_and(|host| hosts.contains(host)) {
        return;
    }
    let own: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let own = own.join(", ");
    let message = match host {
        Some(host) => {
            format!("host {} was not assigned to this preview, which has {own}", text_of(host))
        }
        None => {
            format!("a rule without host takes requests for every host; this preview has {own}")
        }
    };
    look.found(Rule::HostNotAssigned, pointer, message, HOST_HINT);
}

fn class(look: &mut Look<'_>, pointer: &str, class: Option<&Value>) {
    let Some(class) = class else { return };
    let message = match look.policy.ingress_class.clone() {
        Some(wanted) if class.as_str() == Some(&wanted) => return,
        Some(wanted) => format!("ingress class {} is not {wanted:?}", text_of(class)),
        // Any class of the cluster would do, also one that was never meant for the code of a pull request.
        None => format!("ingress class {} may not be chosen here", text_of(class)),
    };
    look.found(Rule::HostNotAssigned, pointer, message, "take the class out");
}

fn annotation(look: &mut Look<'_>, pointer: &str, key: &str, value: &Value) {
    if key == "kubernetes.io/ingress.class" {
        return class(look, pointer, Some(value));
    }
    // What rendering made of the platform team's own words.
    if look.object.is_generated() && key == "cert-manager.io/cluster-issuer" {
        return;
    }
    let Some((domain, name)) = key.split_once('/') else { return };
    // Two are judged by rules of their own.
    if HARMLESS_DOMAINS.contains(&domain)
        || domain == "bivouac.dev"
        || domain.starts_with("external-dns.")
    {
        return;
    }
    let text = value.as_str().unwrap_or_default();
    let tame = text.chars().all(|c| !c.is_control() && !"{};\"'#\\`".contains(c));
    if domain == "nginx.ingress.kubernetes.io" && NGINX.contains(&name) && tame {
        return;
    }
    let message = if domain == "nginx.ingress.kubernetes.io" && NGINX.contains(&name) {
        format!(
            "the value of annotation {} holds characters of the proxy's configuration",
            short(key)
        )
    } else {
        format!("annotation {} is not allowed on an Ingress", short(key))
    };
    look.found(Rule::HostNotAssigned, pointer, message, "take it out");
}
