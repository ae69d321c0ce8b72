//! PURE · what the gate does for a camp: whether everything passes it, which way each request goes from there, and the
//! bundle whose routes lead to it. A bundle in, routes and what can't pass out.
//!
//! The gate knows a request by its host and its path, and speaks HTTP/1.1 to Services of the bundle. A route that says
//! more than that (a match by header, a path that is rewritten before, gRPC) can't pass it, unless everything of its host
//! goes to one place anyway: then that place is the way, whatever the path.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bundle::{Bundle, BundleObject};
use super::policy::Policy;
use super::power;

/// Routes that a record holds.
pub const MOST_ROUTES: usize = 64;
/// The longest path that a record holds.
const LONGEST_PATH: usize = 512;
/// How a controller talks to the application, and the values by which it does so as the gate does.
const PROTOCOLS: [(&str, &[&str]); 4] = [
    ("nginx.ingress.kubernetes.io/backend-protocol", &["", "HTTP", "AUTO_HTTP"]),
    ("alb.ingress.kubernetes.io/backend-protocol", &["", "HTTP"]),
    ("traefik.ingress.kubernetes.io/service.serversscheme", &["", "HTTP"]),
    ("haproxy.org/server-ssl", &["", "FALSE"]),
];
/// Annotations by which controllers change the path before they pass a request on, and the values by which they don't.
const REWRITES: [(&str, &[&str]); 2] = [
    ("nginx.ingress.kubernetes.io/rewrite-target", &[""]),
    ("konghq.com/strip-path", &["", "false"]),
];

/// What a Repository asks the gate for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Only who may see a preview is let in.
    pub protect: bool,
    /// Search engines are kept away.
    pub noindex: bool,
}

/// Whether everything that people ask of a camp passes the gate, not only while it sleeps.
#[must_use]
pub fn passes(policy: &Policy) -> bool {
    policy.gate.protect || policy.gate.noindex || policy.sleep.asks_for_gate()
}

/// What of the policy asks for the gate, as people find it in the Repository.
#[must_use]
pub fn asked_by(policy: &Policy) -> Vec<&'static str> {
    let all = [
        (policy.gate.protect, "url.protect"),
        (policy.gate.noindex, "url.noindex"),
        (policy.sleep.asks_for_gate(), "lifetime.sleepAfter"),
    ];
    all.into_iter().filter_map(|(asks, name)| asks.then_some(name)).collect()
}

/// One way of a request from the gate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The host.
    pub host: String,
    /// The path, from `/` on.
    pub path: String,
    /// The path has to be the same; else it and what is below it, segment by segment.
    pub exact: bool,
    /// The Service.
    pub service: String,
    /// Its port.
    pub port: u16,
}

/// The ways of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// Sorted by host and path; [`MOST_ROUTES`] at most.
    pub routes: Vec<Route>,
    /// Why something of the bundle can't pass the gate, one phrase each.
    pub misfits: Vec<String>,
}

/// A place that a route leads to.
type Place = (String, u16);

/// What the rules of one host say.
#[derive(Default)]
struct Host {
    /// By path, and whether it has to be the same.
    ways: BTreeMap<(String, bool), BTreeSet<Place>>,
    /// Where what the gate can't tell apart leads to, and who says so.
    opaque: Vec<(String, Place)>,
}

/// The ways of a bundle, as its routes say when they don't lead to the gate.
#[must_use]
pub fn routes(bundle: &Bundle) -> Routes {
    let mut found = Found { services: services(bundle), ..Found::default() };
    for object in &bundle.objects {
        let identity = object.identity();
        match (identity.group.as_str(), identity.kind.as_str()) {
            ("networking.k8s.io" | "extensions", "Ingress") => found.ingress(object),
            ("gateway.networking.k8s.io", "HTTPRoute") => found.http_route(object),
            ("gateway.networking.k8s.io", "GRPCRoute") => {
                found
                    .misfit(format!("{identity}: gRPC needs HTTP/2, and the gate speaks HTTP/1.1"));
            }
            ("gateway.networking.k8s.io", "TLSRoute" | "TCPRoute" | "UDPRoute") => {
                found.misfit(format!("{identity}: the gate passes HTTP only"));
            }
            _ => {}
        }
    }
    found.end()
}

/// A Service of the bundle that leads to pods.
struct Service {
    /// By name; a nameless port has none.
    ports: BTreeMap<String, u16>,
    numbers: BTreeSet<u16>,
}

/// Only what selects pods of the camp is a place to pass a request to: nothing that points elsewhere.
fn services(bundle: &Bundle) -> BTreeMap<String, Service> {
    let mut all = BTreeMap::new();
    for object in &bundle.objects {
        let identity = object.identity();
        let json = &object.json;
        let selects = json.pointer("/spec/selector").and_then(Value::as_object);
        let elsewhere = text(json, "/spec/type") == "ExternalName"
            || json.pointer("/spec/externalName").is_some();
        if (identity.group.as_str(), identity.kind.as_str()) != ("", "Service")
            || elsewhere
            || selects.is_none_or(serde_json::Map::is_empty)
        {
            continue;
        }
        let mut service = Service { ports: BTreeMap::new(), numbers: BTreeSet::new() };
        for port in list(json, "/spec/ports") {
            let tcp = matches!(text(port, "/protocol"), "" | "TCP");
            let number = port.get("port").and_then(Value::as_u64);
            let number = number.and_then(|number| u16::try_from(number).ok());
            if let Some(number) = number.filter(|number| tcp && *number > 0) {
                service.ports.insert(text(port, "/name").to_owned(), number);
                service.numbers.insert(number);
            }
        }
        all.insert(identity.name, service);
    }
    all
}

#[derive(Default)]
struct Found {
    services: BTreeMap<String, Service>,
    hosts: BTreeMap<String, Host>,
    misfits: BTreeSet<String>,
}

impl Found {
    fn misfit(&mut self, why: String) {
        self.misfits.insert(why);
    }

    /// The place that a backend of an Ingress or of a route names.
    fn place(&mut self, by: &str, service: &str, port: &Value) -> Option<Place> {
        let known = self.services.get(service);
        let number = known.and_then(|known| match port {
            Value::String(name) => known
                .ports
                .get(name)
                .copied()
                .or_else(|| name.parse().ok().filter(|number| known.numbers.contains(number))),
            port => {
                let number = u16::try_from(port.as_u64()?).ok()?;
                known.numbers.contains(&number).then_some(number)
            }
        });
        if let Some(number) = number {
            return Some((service.to_owned(), number));
        }
        let what = if known.is_some() { "has no such port" } else { "is no Service with pods" };
        let port = port.as_str().map_or_else(|| port.to_string(), str::to_owned);
        self.misfit(format!("{by}: {service}:{port} {what} of this bundle"));
        None
    }

    fn way(&mut self, host: &str, path: &str, exact: bool, place: Place) {
        let host = self.hosts.entry(host.to_owned()).or_default();
        host.ways.entry((path.to_owned(), exact)).or_default().insert(place);
    }

    fn opaque(&mut self, host: &str, why: String, place: Place) {
        self.hosts.entry(host.to_owned()).or_default().opaque.push((why, place));
    }

    fn ingress(&mut self, object: &BundleObject) {
        let by = object.identity().to_string();
        let json = &object.json;
        let annotations = json.pointer("/metadata/annotations").and_then(Value::as_object);
        let annotation =
            |name: &str| annotations.and_then(|all| all.get(name)).and_then(Value::as_str);
        for (name, fine) in PROTOCOLS {
            let value = annotation(name).unwrap_or_default().to_ascii_uppercase();
            if !fine.contains(&value.as_str()) {
                self.misfit(format!("{by}: {name} is {value:?}, and the gate speaks HTTP to apps"));
            }
        }
        let rewritten = REWRITES.iter().find_map(|(name, fine)| {
            annotation(name).is_some_and(|value| !fine.contains(&value)).then_some(name)
        });
        for rule in list(json, "/spec/rules") {
            let host = text(rule, "/host");
            if host.is_empty() {
                self.misfit(format!("{by}: a rule has no host"));
                continue;
            }
            for path in list(rule, "/http/paths") {
                let (service, port) = backend(path);
                let Some(place) = self.place(&by, service, port) else { continue };
                let written = text(path, "/path");
                let exact = text(path, "/pathType") == "Exact";
                let opaque = match (rewritten, plain(written)) {
                    (Some(name), _) => Some(format!("{by}: {name} changes paths")),
                    (None, None) => Some(format!("{by}: the path {written:?} is a pattern")),
                    (None, Some(_)) => None,
                };
                match (opaque, plain(written)) {
                    (None, Some(plain)) => self.way(host, plain, exact, place),
                    (why, _) => self.opaque(host, why.unwrap_or_default(), place),
                }
            }
        }
        for key in ["/spec/defaultBackend", "/spec/backend"] {
            if json.pointer(key).is_some() {
                self.misfit(format!("{by}: a default backend is for no host"));
            }
        }
    }

    fn http_route(&mut self, object: &BundleObject) {
        let by = object.identity().to_string();
        let json = &object.json;
        let hosts: Vec<&str> =
            list(json, "/spec/hostnames").iter().filter_map(Value::as_str).collect();
        if hosts.is_empty() {
            self.misfit(format!("{by}: it has no host"));
        }
        for rule in list(json, "/spec/rules") {
            let changes = list(rule, "/filters").iter().any(changes_path);
            if list(rule, "/filters").iter().any(changes_host) {
                self.misfit(format!("{by}: a filter changes the host, by which the gate goes"));
            }
            let mut places = BTreeSet::new();
            for backend in list(rule, "/backendRefs") {
                let foreign = backend.get("namespace").is_some()
                    || !matches!(text(backend, "/kind"), "" | "Service");
                let none = backend.get("weight").and_then(Value::as_i64) == Some(0);
                if foreign {
                    self.misfit(format!("{by}: a backend is no Service of this bundle"));
                } else if !none {
                    let port = backend.get("port").unwrap_or(&Value::Null);
                    places.extend(self.place(&by, text(backend, "/name"), port));
                }
                if list(backend, "/filters")
                    .iter()
                    .any(|one| changes_path(one) || changes_host(one))
                {
                    self.misfit(format!("{by}: a backend has a path or a host of its own"));
                }
            }
            let everything = [Value::Null];
            let matches = match list(rule, "/matches") {
                [] => &everything,
                matches => matches,
            };
            for one in matches {
                for place in &places {
                    for host in &hosts {
                        self.http_match(&by, host, one, changes, place.clone());
                    }
                }
            }
        }
    }

    /// One match of a rule of a route.
    fn http_match(&mut self, by: &str, host: &str, one: &Value, changes: bool, place: Place) {
        let written = if one.pointer("/path").is_some() { text(one, "/path/value") } else { "/" };
        let regular = text(one, "/path/type") == "RegularExpression";
        let exact = text(one, "/path/type") == "Exact";
        match plain(written) {
            Some(plain) if !changes && !regular => self.way(host, plain, exact, place),
            _ if changes => self.opaque(host, format!("{by}: a filter changes paths"), place),
            _ => {
                let why = format!("{by}: the path {written:?} is a pattern");
                self.opaque(host, why, place);
            }
        }
    }

    fn end(self) -> Routes {
        let Self { hosts, mut misfits, .. } = self;
        let mut routes = Vec::new();
        for (host, Host { ways, opaque }) in hosts {
            let places: BTreeSet<&Place> =
                ways.values().flatten().chain(opaque.iter().map(|(_, place)| place)).collect();
            // Everything of it goes to one place: the gate need not tell anything apart.
            if let ([(service, port)], false) =
                (places.iter().copied().cloned().collect::<Vec<_>>().as_slice(), opaque.is_empty())
            {
                let (service, port) = (service.clone(), *port);
                routes.push(Route { host, path: "/".into(), exact: false, service, port });
                continue;
            }
            for (why, _) in opaque {
                misfits.insert(format!("{why}, and {host} leads to several places"));
            }
            for ((path, exact), places) in ways {
                if places.len() > 1 {
                    let more = format!("{host}{path} leads to several places");
                    misfits.insert(format!("{more}, and the gate knows host and path alone"));
                }
                if let Some((service, port)) = places.into_iter().next() {
                    routes.push(Route { host: host.clone(), path, exact, service, port });
                }
            }
        }
        if routes.len() > MOST_ROUTES {
            let count = routes.len();
            misfits.insert(format!("there are {count} routes, and the gate has {MOST_ROUTES}"));
            routes.truncate(MOST_ROUTES);
        }
        Routes { routes, misfits: misfits.into_iter().collect() }
    }
}

/// Service and port of a path of an Ingress, in either form.
fn backend(path: &Value) -> (&str, &Value) {
    let null = &Value::Null;
    if let Some(service) = path.pointer("/backend/service") {
        let port = service.pointer("/port/number").or_else(|| service.pointer("/port/name"));
        return (text(service, "/name"), port.unwrap_or(null));
    }
    let port = path.pointer("/backend/servicePort").unwrap_or(null);
    (text(path, "/backend/serviceName"), port)
}

fn changes_path(filter: &Value) -> bool {
    text(filter, "/type") == "URLRewrite" && filter.pointer("/urlRewrite/path").is_some()
}

fn changes_host(filter: &Value) -> bool {
    let sets = |what: &str| {
        let headers = list(filter, what).iter();
        headers.map(|header| text(header, "/name")).any(|name| name.eq_ignore_ascii_case("host"))
    };
    filter.pointer("/urlRewrite/hostname").is_some()
        || sets("/requestHeaderModifier/set")
        || sets("/requestHeaderModifier/add")
}

/// The path, when it is no pattern.
fn plain(path: &str) -> Option<&str> {
    let path = if path.is_empty() { "/" } else { path };
    let fine = path.starts_with('/')
        && path.len() <= LONGEST_PATH
        && path.bytes().all(|b| b.is_ascii_graphic() && !b"()[]{}*^$|\\?#+\"<>`".contains(&b));
    fine.then_some(path)
}

/// The bundle with every route leading to the gate.
#[must_use]
pub fn lead(bundle: &Bundle, passes: bool) -> Cow<'_, Bundle> {
    if !passes {
        return Cow::Borrowed(bundle);
    }
    let objects = bundle.objects.iter().map(|object| {
        let mut object = object.clone();
        power::lead_to_gate(&mut object);
        object
    });
    let mut led = Bundle::new(objects.collect(), bundle.inputs_digest.clone());
    // It is the same that runs: what ran once for it does not run again because routes were turned.
    led.digest.clone_from(&bundle.digest);
    led.random.clone_from(&bundle.random);
    led.delete_data = bundle.delete_data;
    Cow::Owned(led)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests;
