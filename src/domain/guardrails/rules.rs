//! PURE · what a Repository says about the guardrails of its camps, in its valid form, with the defaults.

use std::collections::BTreeMap;

/// Amounts by the name of a resource, as a `ResourceQuota` or a `LimitRange` has them.
pub type Amounts = BTreeMap<String, String>;

/// What a Repository says about the guardrails of its camps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `hard` of the `ResourceQuota`, defaults included.
    pub quota: Amounts,
    /// What containers get and may have.
    pub limits: ContainerLimits,
    /// Where pods may connect to.
    pub egress: Egress,
    /// Secrets by which images are pulled.
    pub pull_secrets: Vec<PullSecret>,
    /// Teams that may look into a camp, or more.
    pub access: Vec<Access>,
    /// Secrets that are put into a camp.
    pub secrets: Vec<Grant>,
}

/// The `LimitRange` for containers, defaults included. An empty map asks nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerLimits {
    /// Limits of a container that names none.
    pub default: Amounts,
    /// Requests of a container that names none.
    pub default_request: Amounts,
    /// The most that a container may name.
    pub max: Amounts,
}

/// Where pods may connect to, beside DNS and their own camp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// The internet, from camps of trusted pull requests.
    pub internet: bool,
    /// The internet, from camps of untrusted ones.
    pub internet_for_forks: bool,
    /// What else.
    pub allow: Vec<EgressTo>,
}

/// One more place that pods may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressTo {
    /// Who.
    pub peer: Peer,
    /// Ports with their protocols; empty for all.
    pub ports: Vec<(u16, &'static str)>,
    /// From camps of untrusted pull requests too.
    pub forks: bool,
}

/// The other side of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Addresses.
    Cidr(String),
    /// All pods of a namespace.
    Namespace(String),
}

/// A Secret of the service's own namespace by which a camp's images are pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullSecret {
    /// Its name.
    pub name: String,
    /// For camps of untrusted pull requests too.
    pub forks: bool,
}

/// Rights of a group of people in each camp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The group, as the cluster's authentication calls it.
    pub group: String,
    /// A ClusterRole.
    pub role: String,
}

/// A Secret that is put into each camp, and so given to the code of that pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its name in the camp.
    pub name: String,
    /// The Secret in the service's own namespace.
    pub from: String,
    /// Into camps of untrusted pull requests too.
    pub forks: bool,
}

/// What counts when the Repository says nothing: room for an application with a database and some workers.
const QUOTA: [(&str, &str); 9] = [
    ("limits.memory", "16Gi"),
    ("persistentvolumeclaims", "10"),
    ("pods", "50"),
    ("requests.cpu", "4"),
    ("requests.memory", "8Gi"),
    ("requests.storage", "20Gi"),
    ("services", "50"),
    ("services.loadbalancers", "0"),
    ("services.nodeports", "0"),
];

/// What stays 0 whatever anybody says: both lead around the Ingress.
pub(super) const NEVER: [&str; 2] = ["services.loadbalancers", "services.nodeports"];

/// Stands for "not limited" in place of an amount.
pub const UNLIMITED: &str = "unlimited";

fn amounts(list: &[(&str, &str)]) -> Amounts {
    list.iter().map(|(name, amount)| ((*name).to_owned(), (*amount).to_owned())).collect()
}

/// `said` over `defaults`, resource by resource; what is said to be unlimited is left out.
#[must_use]
pub fn over(defaults: &Amounts, said: &Amounts) -> Amounts {
    let mut all = defaults.clone();
    all.extend(said.clone());
    all.retain(|_, amount| amount != UNLIMITED);
    all
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            quota: amounts(&QUOTA),
            limits: ContainerLimits::default(),
            egress: Egress::default(),
            pull_secrets: Vec::new(),
            access: Vec::new(),
            secrets: Vec::new(),
        }
    }
}

impl Default for ContainerLimits {
    /// No limit of cpu: it makes programs slow where nobody else wants the processor.
    fn default() -> Self {
        Self {
            default: amounts(&[("memory", "1Gi")]),
            default_request: amounts(&[("cpu", "50m"), ("memory", "128Mi")]),
            max: Amounts::new(),
        }
    }
}

impl Default for Egress {
    fn default() -> Self {
        Self { internet: true, internet_for_forks: false, allow: Vec::new() }
    }
}

impl Rules {
    /// The secrets by which images are pulled, in a camp of this kind of pull request.
    pub fn pull_secrets_for(&self, untrusted: bool) -> impl Iterator<Item = &PullSecret> {
        self.pull_secrets.iter().filter(move |secret| secret.forks || !untrusted)
    }

    /// The secrets that are granted to this kind of pull request.
    pub fn grants_for(&self, untrusted: bool) -> impl Iterator<Item = &Grant> {
        self.secrets.iter().filter(move |grant| grant.forks || !untrusted)
    }

    /// Names of all Secrets of the service's own namespace that are copied from.
    #[must_use]
    pub fn sources(&self) -> Vec<&str> {
        let pulled = self.pull_secrets.iter().map(|secret| secret.name.as_str());
        pulled.chain(self.secrets.iter().map(|grant| grant.from.as_str())).collect()
    }
}
