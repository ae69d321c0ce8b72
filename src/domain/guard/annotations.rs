//! PURE · annotations that other tools obey: refused by name on everything, allowed by name on an Ingress.
//!
//! For an Ingress a list of what is allowed stands, because a controller reads hundreds of annotations and each version
//! more of them; many hold configuration, name further hosts, or read Secrets of other namespaces. Elsewhere a list of
//! what is refused stands, because annotations of workloads are everybody's notes.

use super::Rule;
use super::look::{At, Look, short};

/// Copy Secrets or ConfigMaps between namespaces.
const COPYING: [&str; 4] = [
    "cert-manager.io/inject-ca-from",
    "kubed.appscode.com/",
    "reflector.v1.k8s.emberstack.com/",
    "replicator.v1.mittwald.de/",
];

/// Bring a Service out of the cluster.
const EXPOSING: [&str; 9] = [
    "cloud.google.com/",
    "getambassador.io/",
    "kube-vip.io/",
    "metallb.io/",
    "metallb.universe.tf/",
    "multicluster.",
    "networking.gke.io/",
    "service.beta.kubernetes.io/",
    "tailscale.com/",
];

/// Tell a container runtime, a network plug-in or an injector to give a pod more than its fields say.
const RUNTIME: [&str; 12] = [
    "cdi.k8s.io/",
    "inject.istio.io/templates",
    "io.containerd.",
    "io.katacontainers.",
    "io.kubernetes.cri-o.",
    "io.kubernetes.cri.",
    "k8s.v1.cni.cncf.io/",
    "run.oci.",
    "sidecar.istio.io/bootstrapOverride",
    "sidecar.istio.io/proxyImage",
    "sidecar.istio.io/userVolume",
    "v1.multus-cni.io/",
];

/// Give a pod an identity of the cloud.
const IDENTITY: [&str; 3] =
    ["eks.amazonaws.com/role-arn", "iam.amazonaws.com/", "iam.gke.io/gcp-service-account"];

/// Rules for the annotations of any object.
pub(super) fn everywhere(look: &mut Look<'_>, metadata: &At<'_, '_>) {
    let Some(annotations) = look.map(metadata, "annotations") else { return };
    for (key, value) in annotations.members() {
        let starts = |list: &[&str]| list.iter().any(|prefix| key.starts_with(prefix));
        let name = short(key);
        if key.starts_with("external-dns.") {
            let message = format!("annotation {name} asks for a DNS record");
            let hint = "take it out; the preview's hosts already resolve";
            look.found(Rule::HostNotAssigned, value.pointer(), message, hint);
        } else if starts(&COPYING) {
            let message = format!("annotation {name} copies between namespaces");
            look.found(Rule::ForeignNamespace, value.pointer(), message, "take it out");
        } else if starts(&EXPOSING) && look.is("", "Service") {
            let message = format!("annotation {name} brings the Service out of the cluster");
            let hint = "use an Ingress for what people should reach";
            look.found(Rule::ServiceExposure, value.pointer(), message, hint);
        }
    }
}

/// Rules for the annotations of pods.
pub(super) fn of_pod(look: &mut Look<'_>, metadata: &At<'_, '_>) {
    let Some(annotations) = look.map(metadata, "annotations") else { return };
    for (key, value) in annotations.members() {
        let starts = |list: &[&str]| list.iter().any(|prefix| key.starts_with(prefix));
        let name = short(key);
        let text = value.text();
        if key.starts_with("container.apparmor.security.beta.kubernetes.io/") {
            let fine = text.is_some_and(|t| {
                t.is_empty() || t == "runtime/default" || t.starts_with("localhost/")
            });
            if !fine {
                let message = "AppArmor may not be switched off";
                let hint = "take the annotation out";
                look.found(Rule::HostAccess, value.pointer(), message, hint);
            }
        } else if key.contains("seccomp.security.alpha.kubernetes.io/") {
            let fine = text.is_some_and(|t| {
                matches!(t, "runtime/default" | "docker/default") || t.starts_with("localhost/")
            });
            if !fine {
                let message = "seccomp may not be switched off";
                let hint = "take the annotation out";
                look.found(Rule::HostAccess, value.pointer(), message, hint);
            }
        } else if starts(&RUNTIME) {
            let message = format!("annotation {name} gives the pod more than its fields say");
            look.found(Rule::HostAccess, value.pointer(), message, "take it out");
        } else if starts(&IDENTITY) {
            let message = format!("annotation {name} gives the pod an identity");
            let hint = "take it out; pods of a preview run without rights";
            look.found(Rule::AccessControl, value.pointer(), message, hint);
        }
    }
}

/// Annotations of these domains are read by tools that look at them, not by what routes. `kubernetes.io/`,
/// `bivouac.dev/` and `external-dns.` are judged elsewhere.
pub(super) const HARMLESS_DOMAINS: [&str; 10] = [
    "app.kubernetes.io",
    "argocd.argoproj.io",
    "backstage.io",
    "checksum",
    "config.kubernetes.io",
    "helm.sh",
    "kubectl.kubernetes.io",
    "kustomize.toolkit.fluxcd.io",
    "meta.helm.sh",
    "reloader.stakater.com",
];

/// What a value may hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Anything that can't end a directive of nginx's configuration or begin another.
    Tame,
    /// Words, figures and `.,-_/:%`: nothing that means something in any configuration.
    Plain,
}

/// A controller: the domain of its annotations, what its values may hold, names that only tune how a request is passed on.
struct Controller {
    domain: &'static str,
    value: Value,
    names: &'static [&'static str],
}

const CONTROLLERS: [Controller; 7] = [
    Controller {
        domain: "nginx.ingress.kubernetes.io",
        value: Value::Tame,
        names: &[
            "affinity",
            "affinity-mode",
            "allowlist-source-range",
            "app-root",
            "backend-protocol",
            "client-body-buffer-size",
            "cors-allow-credentials",
            "cors-allow-headers",
            "cors-allow-methods",
            "cors-allow-origin",
            "cors-expose-headers",
            "cors-max-age",
            "denylist-source-range",
            "enable-cors",
            "force-ssl-redirect",
            "limit-connections",
            "limit-rpm",
            "limit-rps",
            "preserve-trailing-slash",
            "proxy-body-size",
            "proxy-buffer-size",
            "proxy-buffering",
            "proxy-buffers-number",
            "proxy-connect-timeout",
            "proxy-http-version",
            "proxy-next-upstream",
            "proxy-next-upstream-timeout",
            "proxy-next-upstream-tries",
            "proxy-read-timeout",
            "proxy-request-buffering",
            "proxy-send-timeout",
            "rewrite-target",
            "service-upstream",
            "session-cookie-expires",
            "session-cookie-max-age",
            "session-cookie-name",
            "session-cookie-path",
            "session-cookie-samesite",
            "ssl-redirect",
            "use-regex",
            "websocket-services",
            "whitelist-source-range",
        ],
    },
    Controller {
        domain: "traefik.ingress.kubernetes.io",
        value: Value::Plain,
        names: &[
            "service.passhostheader",
            "service.serversscheme",
            "service.sticky.cookie",
            "service.sticky.cookie.httponly",
            "service.sticky.cookie.name",
            "service.sticky.cookie.samesite",
            "service.sticky.cookie.secure",
        ],
    },
    Controller {
        domain: "haproxy.org",
        value: Value::Plain,
        names: &[
            "check",
            "forwarded-for",
            "load-balance",
            "server-ssl",
            "ssl-redirect",
            "timeout-connect",
            "timeout-server",
            "timeout-tunnel",
        ],
    },
    Controller {
        domain: "haproxy-ingress.github.io",
        value: Value::Plain,
        names: &[
            "balance-algorithm",
            "proxy-body-size",
            "ssl-redirect",
            "timeout-connect",
            "timeout-server",
            "timeout-tunnel",
        ],
    },
    Controller {
        domain: "projectcontour.io",
        value: Value::Plain,
        names: &[
            "num-retries",
            "per-try-timeout",
            "response-timeout",
            "retry-on",
            "websocket-routes",
        ],
    },
    Controller {
        domain: "konghq.com",
        value: Value::Plain,
        names: &[
            "connect-timeout",
            "https-redirect-status-code",
            "preserve-host",
            "protocols",
            "read-timeout",
            "retries",
            "strip-path",
            "write-timeout",
        ],
    },
    Controller {
        domain: "alb.ingress.kubernetes.io",
        value: Value::Plain,
        names: &[
            "backend-protocol",
            "healthcheck-interval-seconds",
            "healthcheck-path",
            "healthcheck-timeout-seconds",
            "success-codes",
            "target-type",
        ],
    },
];

/// For the documentation: each domain with its names.
#[cfg(test)]
pub(super) fn allowed_on_ingress() -> Vec<(&'static str, &'static [&'static str])> {
    CONTROLLERS.iter().map(|controller| (controller.domain, controller.names)).collect()
}

/// Rules for one annotation of an Ingress; `kubernetes.io/ingress.class` is judged by the caller.
pub(super) fn of_ingress(look: &mut Look<'_>, key: &str, value: &At<'_, '_>) {
    let Some((domain, name)) = key.split_once('/') else { return };
    if HARMLESS_DOMAINS.contains(&domain)
        || domain == "bivouac.dev"
        || domain.ends_with(".bivouac.dev")
        || domain.starts_with("external-dns.")
    {
        return;
    }
    let issuer = look.policy.tls_issuer.as_deref();
    if key == ISSUER && issuer.is_some() && value.text() == issuer {
        return;
    }
    let controller = CONTROLLERS.iter().find(|controller| controller.domain == domain);
    let known = controller.filter(|controller| controller.names.contains(&name));
    let message = match known {
        Some(controller) if value.text().is_some_and(|text| controller.value.holds(text)) => return,
        Some(_) => {
            let name = short(key);
            format!("the value of annotation {name} holds characters of the proxy's configuration")
        }
        None => format!("annotation {} is not allowed on an Ingress", short(key)),
    };
    look.found(Rule::HostNotAssigned, value.pointer(), message, "take it out");
}

/// By which cert-manager is asked for a certificate.
pub(super) const ISSUER: &str = "cert-manager.io/cluster-issuer";

impl Value {
    fn holds(self, text: &str) -> bool {
        match self {
            Self::Tame => is_tame(text),
            Self::Plain => {
                text.chars().all(|c| c.is_ascii_alphanumeric() || " .,-_/:%".contains(c))
            }
        }
    }
}

/// No character that ends a directive of nginx's configuration, quotes, or begins a comment.
pub(super) fn is_tame(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() && !"{};\"'#\\`".contains(c))
}
