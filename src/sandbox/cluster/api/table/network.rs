//! Rows of services, endpoints, ingresses and network policies. In: an object and the time; out: cells. No I/O.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::cells::{first, items, labels, or, plain, selector, text};
use super::name_and_age;

fn texts(list: &Value) -> Vec<String> {
    items(list).iter().map(|item| text(item).to_owned()).collect()
}

/// Addresses that a load balancer got.
fn balanced(object: &Value) -> Vec<String> {
    let ingress = items(&object["status"]["loadBalancer"]["ingress"]);
    let address = |item: &Value| or(text(&item["ip"]), text(&item["hostname"])).to_owned();
    ingress.iter().map(address).filter(|address| !address.is_empty()).collect()
}

pub(super) fn service(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let spec = &object["spec"];
    let kind = or(text(&spec["type"]), "ClusterIP");
    let mut external = texts(&spec["externalIPs"]);
    let external = match kind {
        "ExternalName" => or(text(&spec["externalName"]), "<none>").to_owned(),
        "LoadBalancer" => {
            external.splice(0..0, balanced(object));
            or(&external.join(","), "<pending>").to_owned()
        }
        _ => or(&external.join(","), "<none>").to_owned(),
    };
    let ports: Vec<String> = items(&spec["ports"])
        .iter()
        .map(|port| {
            let protocol = or(text(&port["protocol"]), "TCP");
            match port["nodePort"].as_i64() {
                Some(node) if node > 0 => format!("{}:{node}/{protocol}", plain(&port["port"])),
                _ => format!("{}/{protocol}", plain(&port["port"])),
            }
        })
        .collect();
    let ip = or(text(&spec["clusterIPs"][0]), or(text(&spec["clusterIP"]), "<none>"));
    vec![
        name,
        json!(kind),
        json!(ip),
        json!(external),
        json!(or(&ports.join(","), "<none>")),
        age,
        json!(labels(&spec["selector"])),
    ]
}

pub(super) fn endpoints(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let mut all = Vec::new();
    for subset in items(&object["subsets"]) {
        let ports = items(&subset["ports"]);
        for address in items(&subset["addresses"]) {
            let ip = text(&address["ip"]);
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            // An IPv6 address stands in brackets before a port.
            let ip = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
            all.extend(ports.iter().map(|port| format!("{ip}:{}", plain(&port["port"]))));
        }
    }
    vec![name, json!(first(&all, 3, "<none>")), age]
}

pub(super) fn endpoint_slice(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let ports: Vec<String> = items(&object["ports"])
        .iter()
        .map(|port| or(&plain(&port["port"]), "*").to_owned())
        .collect();
    let addresses: Vec<String> = items(&object["endpoints"])
        .iter()
        .flat_map(|endpoint| texts(&endpoint["addresses"]))
        .collect();
    vec![
        name,
        json!(text(&object["addressType"])),
        json!(first(&ports, 3, "<unset>")),
        json!(first(&addresses, 3, "<unset>")),
        age,
    ]
}

pub(super) fn ingress(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let spec = &object["spec"];
    let hosts: Vec<String> = items(&spec["rules"])
        .iter()
        .map(|rule| text(&rule["host"]).to_owned())
        .filter(|host| !host.is_empty())
        .collect();
    let ports = if items(&spec["tls"]).is_empty() { "80" } else { "80, 443" };
    vec![
        name,
        json!(or(text(&spec["ingressClassName"]), "<none>")),
        json!(first(&hosts, 3, "*")),
        json!(balanced(object).join(",")),
        json!(ports),
        age,
    ]
}

pub(super) fn ingress_class(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let spec = &object["spec"];
    let parameters = &spec["parameters"];
    let shown = match (text(&parameters["apiGroup"]), text(&parameters["kind"])) {
        (_, "") => "<none>".to_owned(),
        ("", kind) => format!("{kind}/{}", text(&parameters["name"])),
        (group, kind) => format!("{kind}.{group}/{}", text(&parameters["name"])),
    };
    vec![name, json!(text(&spec["controller"])), json!(shown), age]
}

pub(super) fn network_policy(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    vec![name, json!(selector(&object["spec"]["podSelector"])), age]
}
