//! PURE · bundle and policy → what is refused, with rule, place and what to do.
//!
//! The guard comes first, to explain. RBAC and Pod Security of the target stop most of it again for whoever gets around
//! it. What is stopped *only* here, as long as no admission policy is shipped, is listed in `docs/guard.md`, which is
//! generated from the table of rules ([`RULES`]) and from their tests.
//!
//! One file a subject. Each value is read once by readers that know its type (`look::Look`): what is neither absent
//! nor of the known-good form is refused. The work is linear in the size of the bundle.

mod accounts;
mod annotations;
mod baseline;
mod gateway;
pub(in crate::domain) mod images;
mod ingress;
mod look;
mod object;
mod placement;
mod pods;
mod references;
mod restricted;
mod rule;
mod secrets;
mod services;
mod storage;
mod unknown;

use std::collections::{BTreeMap, BTreeSet};

use look::{At, Brought, Findings, Look};
pub use rule::{Behind, RULES, Rule, RuleInfo};

use super::bundle::{Bundle, ObjectIdentity, Origin};
use super::policy::{Gateway, Policy, Tls};

/// What a camp may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardPolicy {
    /// The camp's namespace.
    pub namespace: String,
    /// Kinds that may be applied; [`default_allowed_kinds`] unless the Repository says otherwise.
    pub allowed_kinds: BTreeSet<GroupKind>,
    /// Hosts that were assigned to the camp.
    pub assigned_hosts: BTreeSet<String>,
    /// The only ingress class that may be named; `None` allows none.
    pub ingress_class: Option<String>,
    /// The Pod Security level that the namespace enforces.
    pub pod_security: PodSecurity,
    /// Registries that images may come from, as prefixes (`ghcr.io/acme/`); empty allows any.
    pub image_registries: Vec<String>,
    /// The only gateway that routes may attach to; `None` allows none.
    pub gateway: Option<Gateway>,
    /// The issuer that makes a certificate for each host, when the Repository has one.
    pub tls_issuer: Option<String>,
    /// Names of Secrets that the Repository puts into the camp.
    pub granted_secrets: BTreeSet<String>,
}

impl GuardPolicy {
    /// Built-in kinds, level baseline, and nothing beyond these names.
    #[must_use]
    pub fn new(namespace: &str, hosts: &[String]) -> Self {
        Self {
            namespace: namespace.to_owned(),
            allowed_kinds: default_allowed_kinds(),
            assigned_hosts: hosts.iter().cloned().collect(),
            ingress_class: None,
            pod_security: PodSecurity::Baseline,
            image_registries: Vec::new(),
            gateway: None,
            tls_issuer: None,
            granted_secrets: BTreeSet::new(),
        }
    }

    /// What the Repository allows a camp with these names.
    #[must_use]
    pub fn of(policy: &Policy, namespace: &str, hosts: &[String]) -> Self {
        let isolation = &policy.isolation;
        let mut of = Self::new(namespace, hosts);
        if !isolation.allowed_kinds.is_empty() {
            of.allowed_kinds =
                isolation.allowed_kinds.iter().map(|name| GroupKind::parse(name)).collect();
        }
        of.ingress_class.clone_from(&policy.url.ingress_class);
        of.image_registries.clone_from(&isolation.image_registries);
        of.gateway.clone_from(&policy.url.gateway);
        if of.gateway.is_some() {
            // What `expose` makes.
            of.allowed_kinds.insert(GroupKind::new("gateway.networking.k8s.io", "HTTPRoute"));
        }
        if let Tls::PerHost { cluster_issuer } = &policy.url.tls {
            of.tls_issuer = Some(cluster_issuer.clone());
        }
        let granted = policy.guardrails.secrets.iter().map(|grant| grant.name.clone());
        of.granted_secrets = granted.collect();
        if isolation.pod_security == "restricted" {
            of.pod_security = PodSecurity::Restricted;
        }
        of
    }
}

/// Levels of Pod Security that a camp may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodSecurity {
    /// Nothing of the node.
    Baseline,
    /// Also no root.
    Restricted,
}

/// A kind without its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKind {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl GroupKind {
    /// From its two parts.
    #[must_use]
    pub fn new(group: &str, kind: &str) -> Self {
        Self { group: group.into(), kind: kind.into() }
    }

    /// From `Deployment.apps`, or `ConfigMap` for the core group.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        let (kind, group) = name.split_once('.').unwrap_or((name, ""));
        Self::new(group, kind)
    }
}

/// Kinds that harm nobody inside one namespace.
#[must_use]
pub fn default_allowed_kinds() -> BTreeSet<GroupKind> {
    [
        ("", "ConfigMap"),
        ("", "PersistentVolumeClaim"),
        ("", "Pod"),
        ("", "Secret"),
        ("", "Service"),
        ("", "ServiceAccount"),
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("batch", "CronJob"),
        ("batch", "Job"),
        ("gateway.networking.k8s.io", "GRPCRoute"),
        ("gateway.networking.k8s.io", "HTTPRoute"),
        ("networking.k8s.io", "Ingress"),
        ("policy", "PodDisruptionBudget"),
    ]
    .into_iter()
    .map(|(group, kind)| GroupKind::new(group, kind))
    .collect()
}

/// What a finding means for the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing of the bundle is applied.
    Refused,
    /// It is applied, and people are told.
    Warning,
}

/// One thing the guard found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// File and line of the field, or of the nearest field around it that was written.
    pub origin: Origin,
    /// The object.
    pub object: ObjectIdentity,
    /// JSON pointer of the field.
    pub field: String,
    /// What is wrong. Holds no value but names of kinds, hosts, namespaces and images.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl Finding {
    /// Whether the bundle may not be applied because of this.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.rule.severity() == Severity::Refused
    }

    /// One line for people: rule, place, object, message, hint.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { rule, origin, object, field: _, message, hint } = self;
        let (id, name) = (rule.id(), rule.name());
        format!("{id} {name} {origin} {object}: {message}; {hint}")
    }
}

/// Everything in `bundle` that `policy` does not allow or that people should know, in the order of the objects, up to
/// 2,000 refusals and 2,000 warnings. It may be applied when none is a refusal ([`Finding::is_refusal`]).
#[must_use]
pub fn guard(bundle: &Bundle, policy: &GuardPolicy) -> Vec<Finding> {
    let brought = brought(bundle);
    let mut findings = Findings::default();
    for object in &bundle.objects {
        let root = At::root(&object.json);
        let mut look = Look::new(object, object.identity(), policy, &brought, &mut findings);
        object::check(&mut look, &root);
        accounts::check(&mut look, &root);
        secrets::check(&mut look, &root);
        services::check(&mut look, &root);
        storage::claim_object(&mut look, &root);
        pods::check(&mut look, &root);
        ingress::check(&mut look, &root);
        gateway::check(&mut look, &root);
        unknown::check(&mut look, &root);
    }
    findings.list
}

fn brought(bundle: &Bundle) -> Brought {
    let mut random: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for field in &bundle.random {
        random.entry(field.object.clone()).or_default().insert(field.pointer.clone());
    }
    let (mut secrets, mut accounts) = (BTreeSet::new(), BTreeSet::new());
    for object in &bundle.objects {
        let identity = object.identity();
        match (identity.group.as_str(), identity.kind.as_str()) {
            ("", "Secret") => secrets.insert(identity.name),
            ("", "ServiceAccount") => accounts.insert(identity.name),
            _ => continue,
        };
    }
    Brought { secrets, accounts, random }
}

#[cfg(test)]
mod tests;
