//! PURE · the objects that fence a camp in: names and policy in, objects out. They are written as templates
//! (`templates/guardrails/`), which the platform team may replace; what must not be missing is put in afterwards.

mod gate;
mod mandatory;
mod rights;
mod rules;
mod templates;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

pub use gate::{Gatekeepers, gate};
pub use mandatory::Mandatory;
pub use rights::{HeldRule, Right, missing, right_of_refusal, rule_text, sentence};
pub use rules::{
    Access, Amounts, ContainerLimits, Egress, EgressTo, Grant, Peer, PullSecret, Rules, UNLIMITED,
    over,
};
pub use templates::{Overrides, UnusableOverride};

use super::bundle::{canonical_json, sha256_hex};
use super::policy::Policy;

/// Label on what the service itself put into a camp.
pub const GUARDRAIL_LABEL: &str = "bivouac.dev/guardrail";
/// Annotation of a guardrail: hash of what was asked for, so that a field that is not asked for any more is taken away.
pub const DIGEST_ANNOTATION: &str = "bivouac.dev/guardrail-digest";
/// Annotation of a Secret in a camp: the Secret it is a copy of.
pub const COPY_ANNOTATION: &str = "bivouac.dev/copy-of";
/// Annotation of the namespace with the hosts that its routes may use, comma separated: for `deploy/admission.yaml`.
pub const HOSTS_ANNOTATION: &str = "bivouac.dev/hosts";
/// Annotation of the namespace with the one ingress class that its Ingresses may have: for the same policy.
pub const INGRESS_CLASS_ANNOTATION: &str = "bivouac.dev/ingress-class";
/// Annotation with the one Gateway that routes may name, as `namespace/name`, for the same policy.
pub const GATEWAY_ANNOTATION: &str = "bivouac.dev/gateway";
/// Annotation of the namespace with prefixes of the images that its pods may run, comma separated: for the same policy.
pub const IMAGE_REGISTRIES_ANNOTATION: &str = "bivouac.dev/image-registries";

/// ClusterRole that gives the service its rights inside a camp, bound there by itself.
pub const GUARDIAN: &str = "bivouac-guardian";
/// Service account that applies a bundle, and the binding that gives it its rights.
pub const DEPLOYER: &str = "bivouac-deployer";
/// What names of copies of image pull secrets begin with. No pod of a bundle may read them.
pub const PULL_PREFIX: &str = "bivouac-pull-";

/// Namespaces of ingress controllers, as their charts name them.
pub const INGRESS_NAMESPACES: &[&str] = &[
    "contour",
    "envoy-gateway-system",
    "haproxy-controller",
    "ingress-nginx",
    "istio-ingress",
    "istio-system",
    "kong",
    "kube-system",
    "nginx-gateway",
    "projectcontour",
    "traefik",
];

/// Addresses that are no part of the internet: private, shared and reserved networks (some clouds give them to nodes, pods
/// and Services), metadata services of clouds, multicast.
const PRIVATE_4: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];
/// The same, and what stands for an IPv4 address that a gateway translates to: NAT64, Teredo, 6to4. (The API server takes
/// no mapped addresses here, and none is ever on the wire.)
const PRIVATE_6: [&str; 9] = [
    "::/96",
    "2001::/32",
    "2002::/16",
    "64:ff9b:1::/48",
    "64:ff9b::/96",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];
/// Where clouds answer with credentials. No wider block of `isolation.egress.allow` opens them; one that names them does.
const METADATA: [&str; 7] = [
    "100.100.100.200/32",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "192.0.0.192/32",
    "fd00:c1::a9fe:a9fe/128",
    "fd00:ec2::/32",
    "fd20:ce::254/128",
];

/// The camp that is fenced in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Camp {
    /// Its namespace.
    pub namespace: String,
    /// The labels by which it is known.
    pub labels: BTreeMap<String, String>,
    /// Hosts that its routes may use.
    pub hosts: Vec<String>,
    /// It is of an untrusted pull request.
    pub untrusted: bool,
    /// Who the service itself is: namespace and name of its service account, when it has one. It binds itself to the
    /// role that it works with inside a camp.
    pub service_account: Option<(String, String)>,
    /// Namespaces of ingress controllers.
    pub ingress_namespaces: Vec<String>,
    /// Who answers in front of the camp; `None`: nobody but ingress controllers.
    pub gatekeepers: Option<KeeperPods>,
    /// Everything passes the gate: no ingress controller and no Gateway reaches a pod.
    pub closed: bool,
}

/// Pods that stand in front of camps, as a NetworkPolicy tells them from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeeperPods {
    /// Their namespace.
    pub namespace: String,
    /// Their labels; none: all pods of that namespace.
    pub labels: BTreeMap<String, String>,
}

/// All guardrails of a camp but those with content from elsewhere ([`beside`]), the namespace first. In this order they
/// may be written.
pub fn objects(
    camp: &Camp,
    policy: &Policy,
    overrides: &Overrides,
) -> Result<Vec<Value>, UnusableOverride> {
    let mandatory = Mandatory::of(camp, policy);
    let mut objects = templates::fill(&context(camp, policy), overrides)?;
    // What is missing is missing because somebody took it out.
    let source = &overrides.source;
    let by = |error| UnusableOverride { overrides: source.clone(), ..error };
    mandatory.put_into(&mut objects).map_err(by)?;
    for object in &mut objects {
        mark(camp, object);
    }
    Ok(objects)
}

/// A guardrail that no template makes, with what all have: `bivouac-env`, or a copy of a Secret.
#[must_use]
pub fn beside(camp: &Camp, mut object: Value) -> Value {
    mark(camp, &mut object);
    object
}

/// A copy of `source`, a Secret, under the name `name`.
#[must_use]
pub fn copy_of(camp: &Camp, name: &str, source: &Value) -> Value {
    let from = source.pointer("/metadata/name").cloned().unwrap_or_default();
    let mut copy = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "annotations": {COPY_ANNOTATION: from}},
        "type": source.get("type").and_then(Value::as_str).unwrap_or("Opaque"),
    });
    if let Some(data) = source.get("data").filter(|data| data.is_object()) {
        copy["data"] = data.clone();
    }
    beside(camp, copy)
}

/// Name of the copy of an image pull secret.
#[must_use]
pub fn pull_secret_name(source: &str) -> String {
    let whole = format!("{PULL_PREFIX}{source}");
    if whole.len() <= 253 {
        return whole;
    }
    let hash = sha256_hex(source.as_bytes());
    let cut: String = whole.chars().take(240).collect();
    format!("{}-{}", cut.trim_end_matches(['-', '.']), hash.get(..8).unwrap_or_default())
}

/// Namespace, labels and digest of a guardrail.
fn mark(camp: &Camp, object: &mut Value) {
    let is_namespace = object.get("kind").and_then(Value::as_str) == Some("Namespace");
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let mut labels = camp.labels.clone();
    if !is_namespace {
        labels.insert(GUARDRAIL_LABEL.to_owned(), "true".to_owned());
        metadata.insert("namespace".to_owned(), camp.namespace.as_str().into());
    }
    let all = metadata.entry("labels").or_insert_with(|| json!({}));
    if let Some(all) = all.as_object_mut() {
        all.extend(labels.into_iter().map(|(key, value)| (key, value.into())));
    }
    // Of what a copy of a Secret holds, no hash may be somewhere: it is compared as it is.
    let mut hashed = object.clone();
    if let Some(hashed) =
        hashed.as_object_mut().filter(|hashed| hashed.get("kind") == Some(&"Secret".into()))
    {
        let keys = hashed
            .remove("data")
            .and_then(|data| Some(data.as_object()?.keys().cloned().collect::<Vec<_>>()));
        hashed.insert("keys".into(), keys.unwrap_or_default().into());
    }
    let digest = sha256_hex(canonical_json(&hashed).as_bytes());
    object["metadata"]["annotations"][DIGEST_ANNOTATION] =
        digest.get(..16).unwrap_or_default().into();
}

/// What the templates see.
fn context(camp: &Camp, policy: &Policy) -> Value {
    let Rules { quota, limits, egress, .. } = &policy.guardrails;
    let mut container = json!({"type": "Container"});
    for (key, amounts) in [
        ("default", &limits.default),
        ("defaultRequest", &limits.default_request),
        ("max", &limits.max),
    ] {
        if !amounts.is_empty() {
            container[key] = json!(amounts);
        }
    }
    let limits = if container.as_object().is_some_and(|all| all.len() > 1) {
        vec![container]
    } else {
        Vec::new()
    };
    let internet = if camp.untrusted { egress.internet_for_forks } else { egress.internet };
    let further = egress.allow.iter().filter(|to| to.forks || !camp.untrusted).map(egress_rule);
    let pull_secrets = policy.guardrails.pull_secrets_for(camp.untrusted);
    let mut ingress: Vec<&str> = camp.ingress_namespaces.iter().map(String::as_str).collect();
    if let Some(gateway) = &policy.url.gateway {
        ingress.push(&gateway.namespace);
    }
    if camp.closed {
        ingress.clear();
    }
    ingress.sort_unstable();
    ingress.dedup();
    json!({
        "camp": {
            "namespace": camp.namespace,
            "untrusted": camp.untrusted,
            "podSecurity": policy.isolation.pod_security,
        },
        "service": camp.service_account.as_ref().map(|(namespace, name)| json!({
            "namespace": namespace, "name": name,
        })),
        "deployerRole": policy.isolation.deployer_role,
        "access": policy.guardrails.access.iter().map(|access| json!({
            "name": access_name(access), "group": access.group, "role": access.role,
        })).collect::<Vec<_>>(),
        "pullSecrets": pull_secrets
            .map(|secret| json!({"name": pull_secret_name(&secret.name)}))
            .collect::<Vec<_>>(),
        "quota": quota,
        "limits": limits,
        "ingressNamespaces": ingress,
        "gatekeepers": camp.gatekeepers.as_ref().map(|KeeperPods { namespace, labels }| json!({
            "namespace": namespace, "labels": labels,
        })),
        "internet": internet,
        "private4": PRIVATE_4,
        "private6": PRIVATE_6,
        "egress": further.collect::<Vec<_>>(),
    })
}

/// One binding for each group and role: the role of a binding never changes.
fn access_name(Access { group, role }: &Access) -> String {
    let hash = sha256_hex(format!("{group}\n{role}").as_bytes());
    format!("bivouac-access-{}", hash.get(..8).unwrap_or_default())
}

fn egress_rule(to: &EgressTo) -> Value {
    let peer = match &to.peer {
        Peer::Cidr(cidr) => {
            let mut block = json!({"cidr": cidr});
            let inside = METADATA.iter().filter(|one| is_wider(cidr, one)).collect::<Vec<_>>();
            if !inside.is_empty() {
                block["except"] = json!(inside);
            }
            json!({"ipBlock": block})
        }
        Peer::Namespace(name) => {
            json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}})
        }
    };
    let mut rule = json!({"to": [peer]});
    if !to.ports.is_empty() {
        let ports = to.ports.iter();
        rule["ports"] =
            ports.map(|(port, protocol)| json!({"protocol": protocol, "port": port})).collect();
    }
    rule
}

/// Whether a block holds another one and more.
fn is_wider(block: &str, other: &str) -> bool {
    let read = |text: &str| {
        let (address, length) = text.split_once('/')?;
        let (bits, all) = match address.parse().ok()? {
            IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
            IpAddr::V6(address) => (address.to_bits(), 128),
        };
        Some((bits, all, length.parse::<u32>().ok()?))
    };
    let (Some((base, all, length)), Some((inner, same, longer))) = (read(block), read(other))
    else {
        return false;
    };
    let first = |bits: u128| bits.checked_shr(128_u32.saturating_sub(length)).unwrap_or(0);
    all == same && length < longer && first(base) == first(inner)
}
