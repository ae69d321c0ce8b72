//! From host and path to a ready pod: Ingress rules, Service, ports. Pure over the caches.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use super::super::super::controllers::endpoints::target_port;
use super::super::super::controllers::kit::resource::{INGRESSES, PODS, SERVICES, SLICES};
use super::super::super::controllers::kit::{Caches, json};
use super::super::super::controllers::pods;

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Target {
    /// To a port of a pod.
    Pod { pod: Arc<Value>, port: i64 },
    /// To one of these addresses: the Service has no selector.
    Addresses(Vec<SocketAddr>),
}

/// Why a request goes nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Nowhere {
    /// No rule is for that host.
    NoHost,
    /// Rules are for that host, but none for that path.
    NoPath,
    /// The way is there and broken; this is where.
    Broken(String),
}

/// Finds the pod for a request.
pub(super) fn route(caches: &Caches, host: &str, path: &str) -> Result<Target, Nowhere> {
    let (ingress, backend) = choose(caches, host, path)?;
    let namespace = json::namespace(&ingress);
    let name = json::text(&backend, "/service/name");
    if name.is_empty() {
        let ingress = json::name(&ingress);
        return Err(Nowhere::Broken(format!(
            "the backend of Ingress {namespace}/{ingress} is no Service"
        )));
    }
    let wanted = backend.pointer("/service/port").unwrap_or(&Value::Null);
    behind(caches, namespace, name, wanted)
}

/// The namespace whose Ingress takes a request.
pub(super) fn namespace(caches: &Caches, host: &str, path: &str) -> Option<String> {
    choose(caches, host, path).ok().map(|(ingress, _)| json::namespace(&ingress).to_owned())
}

/// Finds who is behind a port of a Service: `wanted` has its number or its name.
pub(super) fn behind(
    caches: &Caches,
    namespace: &str,
    name: &str,
    wanted: &Value,
) -> Result<Target, Nowhere> {
    let of = format!("{namespace}/{name}");
    let Some(service) = caches.get(&SERVICES, namespace, name) else {
        return Err(Nowhere::Broken(format!("there is no Service {of}")));
    };
    let port = json::list(service, "/spec/ports").iter().find(|port| {
        match (json::int(wanted, "/number"), json::text(wanted, "/name")) {
            (Some(number), _) => json::int(port, "/port") == Some(number),
            (None, "") => false,
            (None, name) => json::text(port, "/name") == name,
        }
    });
    let Some(port) = port else {
        let shown = json::int(wanted, "/number")
            .map_or_else(|| json::text(wanted, "/name").to_owned(), |n| n.to_string());
        return Err(Nowhere::Broken(format!("Service {of} has no port {shown}")));
    };
    let selector = json::map(service, "/spec/selector");
    if selector.is_none_or(serde_json::Map::is_empty) {
        let found = addresses(caches, namespace, name, json::text(port, "/name"));
        return if found.is_empty() {
            let why = format!("Service {of} has no selector, and no EndpointSlice has an address");
            Err(Nowhere::Broken(why))
        } else {
            Ok(Target::Addresses(found))
        };
    }
    let chosen: Vec<&Arc<Value>> =
        caches.within(&PODS, namespace).filter(|p| json::carries(selector, p)).collect();
    let ready = chosen
        .iter()
        .filter(|p| pods::is_ready(p) && pods::is_active(p))
        .find_map(|p| Some(((*p).clone(), target_port(port, p)?)));
    match ready {
        Some((pod, port)) => Ok(Target::Pod { pod, port }),
        None if chosen.is_empty() => Err(Nowhere::Broken(format!(
            "no ready pod behind Service {of}: its selector chooses no pod"
        ))),
        None => Err(Nowhere::Broken(format!(
            "no ready pod behind Service {of}: {}",
            chosen.iter().map(|p| state(p)).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// Addresses that are ready behind a Service without selector, for its port of that name.
fn addresses(caches: &Caches, namespace: &str, service: &str, port: &str) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for slice in caches.within(&SLICES, namespace) {
        let labels = slice.pointer("/metadata/labels");
        let of = labels.and_then(|labels| labels.get("kubernetes.io/service-name"));
        if of.and_then(Value::as_str) != Some(service) {
            continue;
        }
        let ports = json::list(slice, "/ports").iter();
        let port =
            ports.filter(|p| json::text(p, "/name") == port).find_map(|p| json::int(p, "/port"));
        let Some(port) = port.and_then(|port| u16::try_from(port).ok()) else { continue };
        for endpoint in json::list(slice, "/endpoints") {
            if endpoint.pointer("/conditions/ready") == Some(&Value::Bool(false)) {
                continue;
            }
            let addresses = json::list(endpoint, "/addresses").iter();
            let addresses = addresses.filter_map(|one| one.as_str()?.parse::<IpAddr>().ok());
            found.extend(addresses.map(|address| SocketAddr::new(address, port)));
        }
    }
    found
}

/// A pod that is not ready, in a few words.
fn state(pod: &Value) -> String {
    let reason = json::list(pod, "/status/containerStatuses")
        .iter()
        .chain(json::list(pod, "/status/initContainerStatuses"))
        .map(|s| json::text(s, "/state/waiting/reason"))
        .find(|r| !r.is_empty())
        .unwrap_or_else(|| match json::text(pod, "/status/phase") {
            "" => "Pending",
            phase => phase,
        });
    let reason = if json::is_deleting(pod) { "Terminating" } else { reason };
    format!("{} is {reason}", json::name(pod))
}

/// How well a rule fits; the greatest is taken. Exact hosts before wildcards before all hosts, then exact paths, then
/// long ones.
type Fit = (u8, bool, usize);

fn choose(caches: &Caches, host: &str, path: &str) -> Result<(Arc<Value>, Value), Nowhere> {
    let mut best: Option<(Fit, Arc<Value>, Value)> = None;
    let mut host_known = false;
    let mut ingresses: Vec<&Arc<Value>> = caches.all(&INGRESSES).collect();
    // Of two that claim the same, the older has it.
    ingresses.sort_by_key(|i| json::text(i, "/metadata/creationTimestamp"));
    for ingress in ingresses.into_iter().filter(|i| !json::is_deleting(i)) {
        for rule in json::list(ingress, "/spec/rules") {
            let Some(host_fit) = host_fit(json::text(rule, "/host"), host) else { continue };
            host_known = true;
            for entry in json::list(rule, "/http/paths") {
                let Some((exact, length)) = path_fit(entry, path) else { continue };
                let fit = (host_fit, exact, length);
                if best.as_ref().is_none_or(|(known, ..)| fit > *known) {
                    let backend = entry.get("backend").cloned().unwrap_or_default();
                    best = Some((fit, Arc::clone(ingress), backend));
                }
            }
        }
        if let Some(backend) = ingress.pointer("/spec/defaultBackend") {
            // Of the hosts that this Ingress names, and when it names none of all.
            let rules = json::list(ingress, "/spec/rules");
            let fit = rules.iter().filter_map(|r| host_fit(json::text(r, "/host"), host)).max();
            let fit = if rules.is_empty() { Some(0) } else { fit };
            if let Some(host_fit) = fit {
                host_known = true;
                let fit = (host_fit, false, 0);
                if best.as_ref().is_none_or(|(known, ..)| fit > *known) {
                    best = Some((fit, Arc::clone(ingress), backend.clone()));
                }
            }
        }
    }
    match best {
        Some((_, ingress, backend)) => Ok((ingress, backend)),
        None if host_known => Err(Nowhere::NoPath),
        None => Err(Nowhere::NoHost),
    }
}

fn host_fit(rule: &str, host: &str) -> Option<u8> {
    if rule.is_empty() {
        return Some(0);
    }
    if rule.eq_ignore_ascii_case(host) {
        return Some(2);
    }
    let (_, domain) = host.split_once('.')?;
    rule.strip_prefix("*.").filter(|d| d.eq_ignore_ascii_case(domain)).map(|_| 1)
}

fn path_fit(entry: &Value, path: &str) -> Option<(bool, usize)> {
    let wanted = match json::text(entry, "/path") {
        "" => "/",
        wanted => wanted,
    };
    if json::text(entry, "/pathType") == "Exact" {
        return (wanted == path).then_some((true, wanted.len()));
    }
    let prefix = wanted.trim_end_matches('/');
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some((false, wanted.len()))
}
