//! What the server itself sets on objects of built-in kinds, beyond static defaults: phases, addresses, hashes of data.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::crds;
use super::super::state::{Call, State};
use super::super::status::GroupResource;
use super::create::remove;

/// Service addresses are given from `10.96.0.0/16`, upwards from here; the first few are the cluster's own.
const FIRST_ADDRESS: u32 = 0x0A60_0010;
const ADDRESSES: u32 = 0xFF00;
const FIRST_NODE_PORT: u32 = 30_000;
const NODE_PORTS: u32 = 2_768;

fn unset(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

fn set(object: &mut Value, key: &str, value: Value) {
    if unset(&object[key]) {
        object[key] = value;
    }
}

/// Completes a new object.
pub(crate) fn create(state: &State, call: &Call, object: &mut Value) {
    let resource = call.resource();
    if crds::is_definition(&resource) {
        remove(object, "status");
        crds::prepare(object, call.now);
        crds::hold(object);
        return;
    }
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "namespaces") => {
            object["spec"]["finalizers"] = json!(["kubernetes"]);
            object["status"] = json!({"phase": "Active"});
            name_label(object);
        }
        ("", "pods") => {
            object["status"] = json!({"phase": "Pending", "qosClass": qos(object)});
            image_policies(&mut object["spec"]);
        }
        ("", "secrets") => secret(object),
        ("", "services") => service(state, object),
        ("", "persistentvolumeclaims") => {
            object["status"] = json!({"phase": "Pending"});
            set(&mut object["spec"], "volumeMode", json!("Filesystem"));
        }
        ("", "persistentvolumes") => object["status"] = json!({"phase": "Pending"}),
        ("batch", "jobs") => job(object),
        ("networking.k8s.io", "ingresses") => object["status"] = json!({"loadBalancer": {}}),
        _ => {}
    }
    templates(&resource, object);
}

/// Completes a changed object.
pub(crate) fn change(state: &State, call: &Call, live: &Value, new: &mut Value) {
    let resource = call.resource();
    if crds::is_definition(&resource) {
        if call.path.subresource.is_empty() {
            new["status"] = live["status"].clone();
            crds::prepare(new, call.now);
        }
        return;
    }
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("", "namespaces") => name_label(new),
        ("", "secrets") => secret(new),
        ("", "services") => {
            for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                let kept = live["spec"][key].clone();
                if unset(&new["spec"][key]) && !kept.is_null() {
                    new["spec"][key] = kept;
                }
            }
            service(state, new);
        }
        ("batch", "jobs") => {
            for key in ["selector", "manualSelector"] {
                if unset(&new["spec"][key]) && !live["spec"][key].is_null() {
                    new["spec"][key] = live["spec"][key].clone();
                }
            }
            if live["spec"]["template"]["metadata"]["labels"].is_object()
                && unset(&new["spec"]["template"]["metadata"]["labels"])
            {
                new["spec"]["template"]["metadata"]["labels"] =
                    live["spec"]["template"]["metadata"]["labels"].clone();
            }
        }
        _ => {}
    }
    templates(&resource, new);
}

fn name_label(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    namespace["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
}

fn secret(secret: &mut Value) {
    set(secret, "type", json!("Opaque"));
    if let Some(Value::Object(plain)) = remove(secret, "stringData") {
        for (key, value) in plain {
            let text = value.as_str().unwrap_or_default();
            secret["data"][key] = json!(STANDARD.encode(text));
        }
    }
}

fn service(state: &State, service: &mut Value) {
    let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP").to_owned();
    let spec = &mut service["spec"];
    set(spec, "type", json!("ClusterIP"));
    set(spec, "sessionAffinity", json!("None"));
    if kind == "ExternalName" {
        remove(spec, "clusterIP");
        remove(spec, "clusterIPs");
    } else {
        if unset(&spec["clusterIP"]) {
            spec["clusterIP"] = json!(free_address(state));
        }
        let address = spec["clusterIP"].clone();
        set(spec, "clusterIPs", json!([address]));
        set(spec, "ipFamilies", json!(["IPv4"]));
        set(spec, "ipFamilyPolicy", json!("SingleStack"));
        set(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    let exposed = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    if exposed {
        set(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
    let mut taken = node_ports(state);
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        set(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        set(port, "targetPort", number);
        if exposed && port["nodePort"].as_u64().unwrap_or_default() == 0 {
            let free = (FIRST_NODE_PORT..FIRST_NODE_PORT + NODE_PORTS)
                .find(|port| !taken.contains(&u64::from(*port)));
            port["nodePort"] = json!(free);
            taken.extend(free.map(u64::from));
        }
    }
    if service["status"].is_null() {
        service["status"] = json!({"loadBalancer": {}});
    }
}

fn services() -> GroupResource {
    GroupResource::new("", "services")
}

fn free_address(state: &State) -> String {
    let taken: Vec<String> = state
        .store
        .list(&services(), None)
        .filter_map(|(_, service)| service["spec"]["clusterIP"].as_str().map(str::to_owned))
        .collect();
    (0..ADDRESSES)
        .map(|offset| std::net::Ipv4Addr::from(FIRST_ADDRESS + offset).to_string())
        .find(|address| !taken.contains(address))
        .unwrap_or_default()
}

fn node_ports(state: &State) -> Vec<u64> {
    state
        .store
        .list(&services(), None)
        .flat_map(|(_, service)| service["spec"]["ports"].as_array().cloned().unwrap_or_default())
        .filter_map(|port| port["nodePort"].as_u64())
        .collect()
}

fn job(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let (uid, name) = (job["metadata"]["uid"].clone(), job["metadata"]["name"].clone());
    let labels = &mut job["spec"]["template"]["metadata"]["labels"];
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("job-name", &name),
    ] {
        labels[key] = value.clone();
    }
    job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
}

/// Pull policies of the pods that a workload makes.
fn templates(resource: &GroupResource, object: &mut Value) {
    match (resource.group.as_str(), resource.resource.as_str()) {
        ("apps", "deployments" | "replicasets" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => {
            image_policies(&mut object["spec"]["template"]["spec"]);
        }
        ("batch", "cronjobs") => {
            image_policies(&mut object["spec"]["jobTemplate"]["spec"]["template"]["spec"]);
        }
        _ => {}
    }
}

fn image_policies(spec: &mut Value) {
    for key in ["containers", "initContainers"] {
        if !spec[key].is_array() {
            continue;
        }
        for container in spec[key].as_array_mut().into_iter().flatten() {
            let image = container["image"].as_str().unwrap_or_default();
            let tag = image.rsplit('/').next().unwrap_or_default().split_once(':');
            let latest = !image.contains('@') && tag.is_none_or(|(_, tag)| tag == "latest");
            set(
                container,
                "imagePullPolicy",
                json!(if latest { "Always" } else { "IfNotPresent" }),
            );
        }
    }
}

fn qos(pod: &Value) -> &'static str {
    let containers: Vec<&Value> = ["containers", "initContainers"]
        .iter()
        .flat_map(|key| pod["spec"][*key].as_array().into_iter().flatten())
        .collect();
    let of =
        |container: &Value, what: &str, which: &str| container["resources"][what][which].clone();
    let guaranteed = containers.iter().all(|c| {
        ["cpu", "memory"].iter().all(|which| {
            let limit = of(c, "limits", which);
            let request = of(c, "requests", which);
            !limit.is_null() && (request.is_null() || request == limit)
        })
    });
    let any = containers.iter().any(|c| {
        ["requests", "limits"]
            .iter()
            .any(|what| ["cpu", "memory"].iter().any(|which| !of(c, what, which).is_null()))
    });
    match (guaranteed, any) {
        (true, true) => "Guaranteed",
        (false, true) => "Burstable",
        _ => "BestEffort",
    }
}
