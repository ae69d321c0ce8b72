//! What a Repository says about the guardrails of its camps: schema types, and their valid form. No I/O.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::convert::InvalidPolicy;
use super::repository::RepositorySpec;
use crate::domain::dns::is_dns_subdomain;
use crate::domain::guardrails::{self, Amounts, Rules, UNLIMITED, over};
use crate::domain::quota::Amount;

/// Amounts by the name of a resource; `unlimited` takes a default away.
pub type Quantities = BTreeMap<String, String>;

/// Requests and limits of containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerLimits {
    /// Limits of a container that names none. Default: `{memory: 1Gi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20), extend("additionalProperties" = {"type": "string", "maxLength": 32}))]
    pub default: Quantities,
    /// Requests of a container that names none. Default: `{cpu: 50m, memory: 128Mi}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20), extend("additionalProperties" = {"type": "string", "maxLength": 32}))]
    pub default_request: Quantities,
    /// The most that a container may have as its limit. Default: nothing is asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 20), extend("additionalProperties" = {"type": "string", "maxLength": 32}))]
    pub max: Quantities,
}

/// Where the pods of a camp may connect to, beside DNS and their own camp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Egress {
    /// Whether they reach the internet; addresses of private networks and of metadata services are no part of it.
    /// Default: true.
    #[serde(default = "super::entries::yes")]
    pub internet: bool,
    /// The same for camps of untrusted pull requests (forks and bots). Default: false.
    #[serde(default)]
    pub internet_for_forks: bool,
    /// What they reach beside that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub allow: Vec<EgressTo>,
}

impl Default for Egress {
    fn default() -> Self {
        Self { internet: true, internet_for_forks: false, allow: Vec::new() }
    }
}

/// One place that pods may connect to: `cidr` or `namespace`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EgressTo {
    /// Addresses, as `10.20.0.0/16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub cidr: Option<String>,
    /// A namespace: all its pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Ports; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub ports: Vec<Port>,
    /// From camps of untrusted pull requests too. Default: false.
    #[serde(default)]
    pub forks: bool,
}

/// A port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Its number.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// `TCP` or `UDP`. Default: `TCP`.
    #[serde(default)]
    pub protocol: Protocol,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Protocol {
    /// TCP.
    #[default]
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
}

/// A Secret of the service's namespace by which images are pulled; pods of a bundle can't read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullSecret {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// For camps of untrusted pull requests too: their code then runs whatever image it opens. Default: false.
    #[serde(default)]
    pub forks: bool,
}

/// Rights of a group of people in each camp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// The group, as the cluster's authentication calls it; none of the system's.
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
    /// A ClusterRole, bound in the camp's namespace. The service needs the verb `bind` on it.
    #[schemars(length(min = 1, max = 253))]
    pub role: String,
}

/// A Secret that is put into each camp: it is given to the code of that pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Its name in the camp.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The Secret in this namespace that is copied.
    #[schemars(length(min = 1, max = 253))]
    pub from_secret: String,
    /// Into camps of untrusted pull requests (forks and bots) too. Default: false.
    #[serde(default)]
    pub forks: bool,
}

impl RepositorySpec {
    /// What it says about guardrails, with the defaults.
    pub(super) fn guardrails(&self) -> Result<Rules, InvalidPolicy> {
        let isolation = &self.isolation;
        let defaults = Rules::default();
        let limits = &isolation.limit_range;
        let amounts = |field, defaults: &Amounts, said: &Quantities| {
            for (name, amount) in said {
                let valid = amount == UNLIMITED
                    || Amount::parse(amount).is_some_and(|amount| !amount.is_negative());
                if !valid {
                    let rule = "write an amount as 500m, 2Gi or 10, or unlimited";
                    return Err(wrong(field, &format!("{name}: {amount}"), rule));
                }
            }
            Ok(over(defaults, said))
        };
        for never in ["services.loadbalancers", "services.nodeports"] {
            if let Some(amount) = isolation.quota.get(never).filter(|amount| *amount != "0") {
                let rule = "a camp has none: they lead around its Ingress";
                return Err(wrong("isolation.quota", &format!("{never}: {amount}"), rule));
            }
        }
        Ok(Rules {
            quota: amounts("isolation.quota", &defaults.quota, &isolation.quota)?,
            limits: guardrails::ContainerLimits {
                default: amounts(
                    "isolation.limitRange.default",
                    &defaults.limits.default,
                    &limits.default,
                )?,
                default_request: amounts(
                    "isolation.limitRange.defaultRequest",
                    &defaults.limits.default_request,
                    &limits.default_request,
                )?,
                max: amounts("isolation.limitRange.max", &defaults.limits.max, &limits.max)?,
            },
            egress: egress(&isolation.egress)?,
            pull_secrets: isolation
                .image_pull_secrets
                .iter()
                .map(|secret| {
                    let PullSecret { name, forks } = secret;
                    own_secret(self, "isolation.imagePullSecrets", name)?;
                    Ok(guardrails::PullSecret { name: name.clone(), forks: *forks })
                })
                .collect::<Result<_, _>>()?,
            access: isolation.access.iter().map(access).collect::<Result<_, _>>()?,
            secrets: self.secrets.iter().map(|one| grant(self, one)).collect::<Result<_, _>>()?,
        })
    }
}

fn wrong(field: &'static str, value: &str, rule: &'static str) -> InvalidPolicy {
    InvalidPolicy { field, value: value.to_owned(), rule }
}

fn egress(said: &Egress) -> Result<guardrails::Egress, InvalidPolicy> {
    const FIELD: &str = "isolation.egress.allow";
    let allow = said.allow.iter().map(|EgressTo { cidr, namespace, ports, forks }| {
        let peer = match (cidr, namespace) {
            (Some(cidr), None) if is_cidr(cidr) => guardrails::Peer::Cidr(cidr.clone()),
            (Some(cidr), None) => {
                return Err(wrong(FIELD, cidr, "write addresses as 10.20.0.0/16 or fd00:1::/64"));
            }
            (None, Some(namespace)) => guardrails::Peer::Namespace(namespace.clone()),
            _ => return Err(wrong(FIELD, "an entry", "name either a cidr or a namespace")),
        };
        let ports = ports.iter().map(|Port { port, protocol }| {
            let protocol = match protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
            };
            let number = u16::try_from(*port).ok().filter(|port| *port > 0);
            let rule = "write a number from 1 to 65535";
            Ok((number.ok_or_else(|| wrong(FIELD, &port.to_string(), rule))?, protocol))
        });
        Ok(guardrails::EgressTo { peer, ports: ports.collect::<Result<_, _>>()?, forks: *forks })
    });
    Ok(guardrails::Egress {
        internet: said.internet,
        internet_for_forks: said.internet_for_forks,
        allow: allow.collect::<Result<_, _>>()?,
    })
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.bytes().all(|b| b.is_ascii_digit()) && length.parse::<u8>().is_ok_and(|n| n <= most)
}

fn access(Access { group, role }: &Access) -> Result<guardrails::Access, InvalidPolicy> {
    const FIELD: &str = "isolation.access";
    if group.starts_with("system:") {
        return Err(wrong(FIELD, group, "name a group of people, none of the system's"));
    }
    if role == "cluster-admin" || role == guardrails::GUARDIAN {
        return Err(wrong(FIELD, role, "name a role for people, say view"));
    }
    Ok(guardrails::Access { group: group.clone(), role: role.clone() })
}

/// A Secret that may be copied: not the one by which the forge is reached.
fn own_secret(spec: &RepositorySpec, field: &'static str, name: &str) -> Result<(), InvalidPolicy> {
    if name == spec.forge.github.credentials.secret_name {
        let rule = "this is the Secret with the credentials of the forge: no camp may have it";
        return Err(wrong(field, name, rule));
    }
    if !is_dns_subdomain(name) {
        return Err(wrong(field, name, "write the name of a Secret"));
    }
    Ok(())
}

fn grant(spec: &RepositorySpec, grant: &Grant) -> Result<guardrails::Grant, InvalidPolicy> {
    const FIELD: &str = "secrets";
    let Grant { name, from_secret, forks } = grant;
    own_secret(spec, FIELD, from_secret)?;
    if !is_dns_subdomain(name) {
        return Err(wrong(FIELD, name, "write the name of a Secret"));
    }
    if name == "bivouac" || name.starts_with("bivouac-") {
        return Err(wrong(FIELD, name, "names that begin with bivouac are kept for the service"));
    }
    if spec.secrets.iter().filter(|other| other.name == *name).count() > 1 {
        return Err(wrong(FIELD, name, "the name is given twice"));
    }
    Ok(guardrails::Grant { name: name.clone(), from: from_secret.clone(), forks: *forks })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(isolation: &Value, secrets: &Value) -> Result<Rules, String> {
        let spec: RepositorySpec = serde_json::from_value(json!({
            "forge": {"github": {"owner": "acme", "name": "shop", "credentials": {"secretName": "forge"}}},
            "url": {"host": "x.test"}, "isolation": isolation, "secrets": secrets,
        }))
        .expect("it fits");
        spec.policy().map(|policy| policy.guardrails).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_said_goes_over_the_defaults() {
        let none = json!([]);
        assert_eq!(rules(&json!({}), &none), Ok(Rules::default()));
        let said = json!({
            "quota": {"pods": "9", "requests.cpu": "unlimited"},
            "limitRange": {"default": {"memory": "2Gi", "cpu": "1"}},
            "egress": {"internet": false, "allow": [{"cidr": "10.0.0.0/8", "ports": [{"port": 5432}]}]},
        });
        let rules =
            rules(&said, &json!([{"name": "db", "fromSecret": "preview-db"}])).expect("valid");
        assert_eq!(rules.quota["pods"], "9");
        assert!(!rules.quota.contains_key("requests.cpu"));
        assert_eq!(rules.quota["services.nodeports"], "0");
        assert_eq!(rules.limits.default["memory"], "2Gi");
        assert_eq!(rules.limits.default_request["cpu"], "50m");
        assert!(!rules.egress.internet);
        assert_eq!(rules.egress.allow[0].ports, [(5432, "TCP")]);
        assert!(!rules.secrets[0].forks);
    }

    #[test]
    fn what_has_no_meaning_or_would_open_a_camp_is_refused() {
        let none = json!([]);
        for (isolation, secrets, word) in [
            (json!({"quota": {"pods": "many"}}), &none, "pods: many"),
            (json!({"quota": {"pods": "-1"}}), &none, "pods: -1"),
            (json!({"quota": {"services.nodeports": "1"}}), &none, "a camp has none"),
            (json!({"quota": {"services.loadbalancers": "unlimited"}}), &none, "a camp has none"),
            (json!({"egress": {"allow": [{"cidr": "10.0.0.0"}]}}), &none, "10.20.0.0/16"),
            (json!({"egress": {"allow": [{}]}}), &none, "either a cidr or a namespace"),
            (json!({"access": [{"group": "system:masters", "role": "view"}]}), &none, "of people"),
            (json!({"access": [{"group": "a", "role": "cluster-admin"}]}), &none, "for people"),
            (json!({"imagePullSecrets": [{"name": "forge"}]}), &none, "credentials of the forge"),
            (json!({}), &json!([{"name": "a", "fromSecret": "forge"}]), "credentials of the forge"),
            (json!({}), &json!([{"name": "bivouac-a", "fromSecret": "b"}]), "kept for the service"),
            (
                json!({}),
                &json!([{"name": "a", "fromSecret": "b"}, {"name": "a", "fromSecret": "c"}]),
                "twice",
            ),
        ] {
            let error = rules(&isolation, secrets).expect_err(word);
            assert!(error.contains(word), "{error}");
        }
    }
}
