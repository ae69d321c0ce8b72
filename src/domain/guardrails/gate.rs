//! PURE · the way from a sleeping camp's routes to the gatekeepers: a Service without selector, and the addresses behind
//! it. Routes of the Gateway API lead to the same Service: no route has to leave its own namespace for it.

use std::collections::BTreeSet;
// The type alone: nothing of this opens a socket.
use core::net::IpAddr;

use serde_json::{Value, json};

use crate::domain::power::GATE;

/// Most addresses of one family, as an `EndpointSlice` has them.
const MOST: usize = 100;

/// The pods that answer for sleeping camps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gatekeepers {
    /// Their addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// The port on which they answer.
    pub port: u16,
}

/// The objects, without what every guardrail has.
#[must_use]
pub fn gate(keepers: &Gatekeepers) -> Vec<Value> {
    let target = if keepers.port == 0 { 80 } else { keepers.port };
    let mut objects = vec![json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": GATE},
        "spec": {"ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": target}]},
    })];
    for (family, word) in [("IPv4", "ipv4"), ("IPv6", "ipv6")] {
        let of_family = keepers.addresses.iter().filter(|ip| ip.is_ipv4() == (family == "IPv4"));
        let endpoints: Vec<Value> = of_family
            .take(MOST)
            .map(|ip| json!({"addresses": [ip.to_string()], "conditions": {"ready": true}}))
            .collect();
        if endpoints.is_empty() {
            continue;
        }
        objects.push(json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{GATE}-{word}"),
                "labels": {
                    "kubernetes.io/service-name": GATE,
                    "endpointslice.kubernetes.io/managed-by": "bivouac.dev",
                },
            },
            "addressType": family,
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": target, "protocol": "TCP"}],
        }));
    }
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_has_a_slice_of_its_own_and_nobody_is_no_slice() {
        let of = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|text| text.parse().expect("an address"));
            gate(&Gatekeepers { addresses: addresses.collect(), port: 8081 })
        };
        assert_eq!(of(&[]).len(), 1);
        let all = of(&["10.0.0.9", "10.0.0.10", "fd00::1"]);
        let names: Vec<_> =
            all.iter().map(|object| object["metadata"]["name"].as_str().unwrap_or("")).collect();
        assert_eq!(names, [GATE, "bivouac-gate-ipv4", "bivouac-gate-ipv6"]);
        assert_eq!(all[1]["endpoints"].as_array().map(Vec::len), Some(2));
        assert_eq!(all[1]["ports"][0]["port"], 8081);
        assert_eq!(all[0]["spec"].get("selector"), None);
    }
}
