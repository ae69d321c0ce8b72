//! PURE · rules for kinds that are not Kubernetes' own, where a Repository allows them: what their controllers make
//! can't be known, so pods are looked for wherever containers stand, and dangerous fields wherever they stand.

use serde_json::Value;

use super::look::{At, Look, is_empty, short};
use super::{
    GroupKind, Rule, annotations, baseline, images, ingress, object, placement, pods, references,
    storage,
};

/// Groups whose kinds are all known here.
const KNOWN: [&str; 9] = [
    "",
    "apps",
    "autoscaling",
    "batch",
    "discovery.k8s.io",
    "extensions",
    "gateway.networking.k8s.io",
    "networking.k8s.io",
    "policy",
];

/// Groups of kinds that route requests by hosts.
const ROUTERS: [&str; 9] = [
    "apisix.apache.org",
    "configuration.konghq.com",
    "getambassador.io",
    "k8s.nginx.org",
    "networking.istio.io",
    "projectcontour.io",
    "route.openshift.io",
    "traefik.containo.us",
    "traefik.io",
];

/// Deeper than what the API server reads in any practice, shallower than any stack.
const MAX_DEPTH: usize = 100;

pub(super) fn check(look: &mut Look<'_>, root: &At<'_, '_>) {
    // Of what is refused as a whole nothing more needs to be said.
    let kind = GroupKind::new(&look.identity.group, &look.identity.kind);
    if KNOWN.contains(&kind.group.as_str()) || !look.policy.allowed_kinds.contains(&kind) {
        return;
    }
    let router = ROUTERS.contains(&look.identity.group.as_str());
    for (key, value) in root.members() {
        // Status is nobody's wish; names and marks have rules of their own.
        if !matches!(key, "apiVersion" | "kind" | "metadata" | "status") {
            member(look, root, key, &value);
            walk(look, &value, router, 1);
        }
    }
    if router {
        routed(look, root);
    }
}

/// Each value below `at` once.
fn walk(look: &mut Look<'_>, at: &At<'_, '_>, router: bool, depth: usize) {
    if depth > MAX_DEPTH {
        return look.malformed(at, "nested less deep");
    }
    for element in at.elements() {
        walk(look, &element, router, depth + 1);
    }
    if pods::CONTAINER_LISTS.iter().any(|key| at.value.get(*key).is_some_and(holds_images)) {
        pods::pod(look, at);
    }
    for (key, value) in at.members() {
        member(look, at, key, &value);
        if router {
            host(look, at, key, &value);
        }
        walk(look, &value, router, depth + 1);
    }
}

/// A list of containers: at least one names an image.
fn holds_images(list: &Value) -> bool {
    list.as_array().is_some_and(|all| {
        all.iter().any(|one| one.get("image").is_some_and(|image| !image.is_null()))
    })
}

/// What a member means by its name alone. Nothing here depends on where it stands.
fn member(look: &mut Look<'_>, parent: &At<'_, '_>, key: &str, value: &At<'_, '_>) {
    if value.value.is_null() {
        return;
    }
    if key.contains("ecret") {
        references::named_secret(look, value);
    }
    match key {
        "hostNetwork" | "hostPID" | "hostIPC" => baseline::host_flag(look, value, key),
        // Members of a security context, also where one is not called so.
        "privileged" | "procMount" | "windowsOptions" | "capabilities" | "seLinuxOptions"
        | "appArmorProfile" | "seccompProfile" | "sysctls" => {
            if value.value.is_object() || matches!(key, "privileged" | "procMount" | "sysctls") {
                baseline::security_context(look, parent);
            } else if !is_empty(value.value) && key != "capabilities" {
                look.malformed(value, "a mapping");
            }
        }
        "hostPath" => baseline::host_path(look, value),
        "hostPort" => baseline::host_port(look, value),
        "serviceAccountName" | "serviceAccount" => pods::service_account(look, value, key),
        "automountServiceAccountToken" => pods::mounted_token(look, value),
        "serviceAccountToken" | "podCertificate" => {
            let message = format!("{key} gives the pod an identity in the cluster");
            let hint = "take it out; pods of a preview run without rights";
            look.found(Rule::AccountToken, value.pointer(), message, hint);
        }
        "image" if !value.value.is_object() => images::check(look, value),
        "namespace" if value.text() != Some(&look.policy.namespace) => object::foreign(look, value),
        "namespaceSelector" => object::foreign(look, value),
        "nodeName" | "nodeSelector" | "tolerations" | "schedulerName" => {
            placement::pod(look, parent);
        }
        "nfs" | "iscsi" | "cephfs" | "rbd" | "flexVolume" | "glusterfs"
            if value.value.is_object() =>
        {
            storage::volume(look, parent);
        }
        "volumeName" if parent.value.get("accessModes").is_some() => {
            let message = "volumeName binds a volume that was made beforehand";
            let hint = "ask for storage by a storage class alone";
            look.found(Rule::ForeignStorage, value.pointer(), message, hint);
        }
        "type" | "serviceType" if matches!(value.text(), Some("LoadBalancer" | "NodePort")) => {
            let kind = value.text().unwrap_or_default();
            let message = format!("a {kind} Service opens a port of the cluster to the outside");
            let hint = "use ClusterIP, and an Ingress for what people should reach";
            look.found(Rule::ServiceExposure, value.pointer(), message, hint);
        }
        "metadata" | "podMetadata" if value.value.is_object() => {
            object::marks(look, value);
            annotations::of_pod(look, value);
        }
        _ => {}
    }
}

/// In a kind that routes, what is called a host is one.
fn host(look: &mut Look<'_>, parent: &At<'_, '_>, key: &str, value: &At<'_, '_>) {
    match key {
        // A destination is a Service, which may be named without a dot.
        "host" | "hostname" | "fqdn" | "domain"
            if value
                .text()
                .is_some_and(|host| host.contains(['.', '*']) && !is_own_service(look, host)) =>
        {
            ingress::assigned(look, value);
        }
        "hosts" | "hostnames" | "domains" => {
            if !value.value.is_array() && !value.value.is_object() {
                ingress::assigned(look, value);
            }
            // Mappings are walked into: their member `host` is the one to look at.
            for host in value.elements().iter().filter(|host| !host.value.is_object()) {
                ingress::assigned(look, host);
            }
        }
        "gateways" => {
            for gateway in value.elements() {
                let name = gateway.text().unwrap_or_default();
                let message = format!("gateway {:?} may not be chosen here", short(name));
                let hint = "leave routes to expose in the preview file";
                look.found(Rule::RouteTarget, gateway.pointer(), message, hint);
            }
        }
        // Traefik writes hosts into an expression.
        "match" if parent.value.get("services").is_some() => {
            let text = value.text().unwrap_or_default();
            let own = look.policy.assigned_hosts.iter().any(|host| {
                let host = format!("Host(`{host}`)");
                text == host || text.strip_prefix(&host).is_some_and(is_narrower)
            });
            if !own {
                let message = "this match is not of the form Host(`the preview's host`) && …";
                ingress::hostless(look, value.pointer(), message);
            }
        }
        _ => {}
    }
}

/// The full name of a Service of the camp.
fn is_own_service(look: &Look<'_>, host: &str) -> bool {
    let Some((_, rest)) = host.split_once('.') else { return false };
    let rest = rest.strip_suffix(".svc.cluster.local").or_else(|| rest.strip_suffix(".svc"));
    rest == Some(look.policy.namespace.as_str())
}

/// What follows the host of an expression may only ask for more.
fn is_narrower(rest: &str) -> bool {
    rest.trim_start().starts_with("&&") && !rest.contains("||") && !rest.contains("Host")
}

/// Kinds that route must name hosts at the place where their controller looks.
fn routed(look: &mut Look<'_>, root: &At<'_, '_>) {
    let place = match look.identity.kind.as_str() {
        "VirtualService" => "/spec/hosts",
        "HTTPProxy" => "/spec/virtualhost/fqdn",
        "Route" | "VirtualServer" => "/spec/host",
        "IngressRoute" => "/spec/routes",
        // The others route by what is no host, or reach beyond one route.
        _ => {
            let message = format!("kind {} is not bound to a host", short(&look.identity.kind));
            return ingress::hostless(look, "/kind".into(), &message);
        }
    };
    match look.path(root, place) {
        // A name without a dot is a Service elsewhere, and a host here.
        Some(host) if host.value.is_string() => ingress::assigned(look, &host),
        Some(hosts) if hosts.value.is_array() && !is_empty(hosts.value) => {}
        _ => {
            let message = "a route without host takes requests for every host";
            ingress::hostless(look, place.into(), message);
        }
    }
}
