//! Which way requests go from the gate, and what can't pass it.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::bundle::group_of;
use crate::domain::bundle::{Origin, wave_of};
use crate::domain::positions::Positions;
use crate::domain::power::{GATE, State, transform};

fn object(json: Value) -> BundleObject {
    let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
    BundleObject {
        wave: wave_of(group_of(&text("apiVersion")), &text("kind")),
        json,
        origin: Origin { file: "a.yaml".into(), line: 1 },
        app: "web".into(),
        positions: Positions::default(),
    }
}

fn bundle(objects: impl IntoIterator<Item = Value>) -> Bundle {
    Bundle::new(objects.into_iter().map(object).collect(), "i".into())
}

fn service(name: &str, port: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port}]}})
}

fn ingress(annotations: &Value, paths: &[(&str, &str, &str)]) -> Value {
    let paths: Vec<Value> = paths
        .iter()
        .map(|(path, kind, service)| {
            json!({"path": path, "pathType": kind,
                "backend": {"service": {"name": service, "port": {"name": "http"}}}})
        })
        .collect();
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"rules": [{"host": "a.test", "http": {"paths": paths}}]}})
}

fn route(rules: &Value) -> Value {
    json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "web"}, "spec": {"hostnames": ["a.test"], "rules": rules}})
}

fn shown(routes: &Routes) -> Vec<String> {
    let shown = |route: &Route| {
        let Route { host, path, exact, service, port } = route;
        format!("{host}{path}{} {service}:{port}", if *exact { " exactly" } else { "" })
    };
    routes.routes.iter().map(shown).collect()
}

#[test]
fn each_path_leads_to_the_service_that_its_route_names() {
    let both = [service("web", 80), service("api", 8080)];
    let paths = [("/", "Prefix", "web"), ("/api", "Prefix", "api"), ("/health", "Exact", "api")];
    let found = routes(&bundle(both.clone().into_iter().chain([ingress(&json!({}), &paths)])));
    let expected = ["a.test/ web:80", "a.test/api api:8080", "a.test/health exactly api:8080"];
    assert_eq!(shown(&found), expected);
    assert_eq!(found.misfits, [""; 0]);

    let rules = json!([
        {"backendRefs": [{"name": "web", "port": 80}]},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/api"}}],
            "backendRefs": [{"name": "api", "port": 8080}, {"name": "web", "port": 80, "weight": 0}]},
        {"matches": [{"path": {"type": "Exact", "value": "/health"}}],
            "backendRefs": [{"name": "api", "port": 8080}]},
        {"matches": [{"path": {"value": "/old"}}], "filters": [{"type": "RequestRedirect"}]},
    ]);
    let found = routes(&bundle(both.into_iter().chain([route(&rules)])));
    assert_eq!(shown(&found), expected);
    assert_eq!(found.misfits, [""; 0]);
}

#[test]
fn what_the_gate_can_not_tell_apart_is_named_and_one_place_needs_no_telling() {
    let both = [service("web", 80), service("api", 8080)];
    let rewrite = json!({"nginx.ingress.kubernetes.io/rewrite-target": "/$2"});
    let of = |one: Value| routes(&bundle(both.clone().into_iter().chain([one])));
    let one_place = of(ingress(&rewrite, &[("/shop(/|$)(.*)", "ImplementationSpecific", "web")]));
    assert_eq!(shown(&one_place), ["a.test/ web:80"]);
    assert_eq!(one_place.misfits, [""; 0]);

    let pattern = [("/", "Prefix", "web"), ("/api(/|$)(.*)", "ImplementationSpecific", "api")];
    let by_header = json!([
        {"backendRefs": [{"name": "web", "port": 80}]},
        {"matches": [{"headers": [{"name": "x", "value": "y"}]}],
            "backendRefs": [{"name": "api", "port": 8080}]},
    ]);
    let rewriting = json!([
        {"backendRefs": [{"name": "web", "port": 80}]},
        {"matches": [{"path": {"value": "/api"}}], "backendRefs": [{"name": "api", "port": 8080}],
            "filters": [{"type": "URLRewrite", "urlRewrite": {"path": {"replacePrefixMatch": "/"}}}]},
    ]);
    let renaming = json!([{"backendRefs": [{"name": "web", "port": 80}],
        "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "b.test"}}]}]);
    let grpc = json!({"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"});
    let web = [("/", "Prefix", "web")];
    let grpc_route = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GRPCRoute",
        "metadata": {"name": "web"}, "spec": {}});
    for (one, why) in [
        (ingress(&json!({}), &pattern), "is a pattern, and a.test leads to several places"),
        (
            ingress(&rewrite, &[("/", "Prefix", "web"), ("/api", "Prefix", "api")]),
            "rewrite-target changes paths",
        ),
        (route(&by_header), "a.test/ leads to several places"),
        (route(&rewriting), "a filter changes paths"),
        (route(&renaming), "a filter changes the host"),
        (ingress(&grpc, &web), "backend-protocol is \"GRPC\""),
        (grpc_route, "gRPC needs HTTP/2"),
        (ingress(&json!({}), &[("/", "Prefix", "nobody")]), "nobody:http is no Service with pods"),
    ] {
        let found = of(one);
        assert_eq!(found.misfits.len(), 1, "{found:?}");
        assert!(found.misfits[0].contains(why), "{why}: {found:?}");
    }
}

#[test]
fn a_request_goes_to_pods_of_the_camp_and_nowhere_else() {
    for spec in [
        json!({"type": "ExternalName", "externalName": "metadata.internal", "ports": [{"name": "http", "port": 80}]}),
        json!({"selector": {"a": "b"}, "externalName": "db.internal", "ports": [{"name": "http", "port": 80}]}),
        json!({"ports": [{"name": "http", "port": 80}]}),
        json!({"selector": {}, "ports": [{"name": "http", "port": 80}]}),
        json!({"selector": {"a": "b"}, "ports": [{"name": "http", "port": 80, "protocol": "UDP"}]}),
    ] {
        let alias = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec});
        let found = routes(&bundle([alias, ingress(&json!({}), &[("/", "Prefix", "web")])]));
        assert_eq!(found.routes, [], "{found:?}");
        assert_eq!(found.misfits.len(), 1);
    }
    let foreign = json!([{"backendRefs": [{"name": "web", "namespace": "prod", "port": 80}]}]);
    assert_eq!(routes(&bundle([service("web", 80), route(&foreign)])).routes, []);
}

#[test]
fn there_are_no_more_routes_than_a_record_holds() {
    let names: Vec<String> = (0..80).map(|n| format!("/p{n}")).collect();
    let mut paths: Vec<(&str, &str, &str)> =
        names.iter().map(|name| (name.as_str(), "Prefix", "web")).collect();
    paths.push(("/", "Prefix", "api"));
    let all = [service("web", 80), service("api", 80), ingress(&json!({}), &paths)];
    let found = routes(&bundle(all));
    assert_eq!(found.routes.len(), MOST_ROUTES);
    assert!(found.misfits.iter().any(|why| why.contains("81 routes")), "{:?}", found.misfits);
}

fn any_route() -> impl Strategy<Value = Value> {
    let path = prop_oneof![
        Just("/".to_owned()),
        "/[a-c]{1,2}",
        Just("/x(.*)".to_owned()),
        Just(String::new()),
        Just("no".to_owned()),
    ];
    let kind = prop_oneof![Just("Prefix"), Just("Exact"), Just("ImplementationSpecific"), Just("")];
    let name = prop_oneof![Just("web"), Just("api"), Just("nobody"), Just(GATE)];
    let spec = (path, kind, name, any::<bool>(), any::<bool>()).prop_map(
        |(path, kind, name, gateway, odd)| {
            let host = if odd { json!(3) } else { json!("a.test") };
            if gateway {
                json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
                    "metadata": {"name": "r"}, "spec": {"hostnames": [host], "rules": [
                        {"matches": [{"path": {"type": kind, "value": path}}],
                            "backendRefs": [{"name": name, "port": 80}]}]}})
            } else {
                json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
                    "metadata": {"name": "r"}, "spec": {"rules": [{"host": host, "http": {"paths": [
                        {"path": path, "pathType": kind,
                            "backend": {"service": {"name": name, "port": {"number": 80}}}}]}}]}})
            }
        },
    );
    prop_oneof![
        8 => spec,
        1 => Just(json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": []})),
        1 => Just(json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "spec": {"rules": [3]}})),
    ]
}

proptest! {
    #[test]
    fn every_route_is_of_a_service_with_pods_and_every_host_has_a_way_or_a_reason(
        all in proptest::collection::vec(any_route(), 0..8),
    ) {
        let known = [service("web", 80), service("api", 80)];
        let bundle = bundle(known.into_iter().chain(all));
        let Routes { routes: found, misfits } = routes(&bundle);
        for Route { host, path, service, port, .. } in &found {
            prop_assert!(["web", "api"].contains(&service.as_str()) && *port == 80);
            prop_assert!(path.starts_with('/') && host == "a.test");
        }
        let mut keys: Vec<_> = found.iter().map(|one| (&one.host, &one.path, one.exact)).collect();
        keys.dedup();
        prop_assert_eq!(keys.len(), found.len(), "one way for each path");
        let hosts = bundle.objects.iter().any(|object| {
            object.json.to_string().contains("a.test")
        });
        prop_assert!(!hosts || !found.is_empty() || !misfits.is_empty());
        // In the camp that passes everything leads to the gate, once and for all, and nothing else changes.
        let led = lead(&bundle, true).into_owned();
        prop_assert_eq!(lead(&led, true).canonical(), led.canonical());
        prop_assert_eq!(lead(&bundle, false).canonical(), bundle.canonical());
        for (before, after) in bundle.objects.iter().zip(&led.objects) {
            prop_assert_eq!(before.identity(), after.identity());
            if before.identity().kind == "Service" {
                prop_assert_eq!(&before.json, &after.json);
            }
        }
        for route in routes_of(&led) {
            prop_assert_eq!(route, GATE);
        }
        // Asleep its routes lead where they led: nobody falls between the two.
        let asleep = transform(&led, State::Asleep);
        let spec = |bundle: &Bundle| {
            let routes = bundle.objects.iter().filter(|one| one.identity().kind != "Service");
            routes.map(|one| one.json["spec"].clone()).collect::<Vec<_>>()
        };
        prop_assert_eq!(spec(&asleep), spec(&led));
    }
}

/// Names of all backends.
fn routes_of(bundle: &Bundle) -> Vec<String> {
    let mut found = Vec::new();
    for object in &bundle.objects {
        for rule in list(&object.json, "/spec/rules") {
            for path in list(rule, "/http/paths") {
                found.push(text(path, "/backend/service/name").to_owned());
            }
            for backend in list(rule, "/backendRefs") {
                found.push(text(backend, "/name").to_owned());
            }
        }
    }
    found
}
