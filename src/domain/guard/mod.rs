//! PURE · bundle and policy → what is refused, with rule, place and what to do.
//!
//! The guard comes first, to explain. RBAC and Pod Security of the target stop most of it again for whoever gets around
//! it. What is stopped *only* here, as long as no admission policy is shipped, is listed in `docs/guard.md`.

mod pods;
mod routes;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::bundle::{Bundle, BundleObject, ObjectIdentity, Origin};
use super::document::pointer_token;
use super::policy::Policy;

/// What a camp may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardPolicy {
    /// The camp's namespace.
    pub namespace: String,
    /// Kinds that may be applied; [`default_allowed_kinds`] unless the Repository says otherwise.
    pub allowed_kinds: BTreeSet<GroupKind>,
    /// Hosts that were assigned to the camp.
    pub assigned_hosts: BTreeSet<String>,
    /// The only ingress class that may be named; `None` allows any.
    pub ingress_class: Option<String>,
    /// The Pod Security level that the namespace enforces.
    pub pod_security: PodSecurity,
    /// Registries that images may come from, as prefixes (`ghcr.io/acme/`); empty allows any.
    pub image_registries: Vec<String>,
}

impl GuardPolicy {
    /// What the Repository allows a camp with these names.
    #[must_use]
    pub fn of(policy: &Policy, namespace: &str, hosts: &[String]) -> Self {
        let isolation = &policy.isolation;
        let listed = |name: &String| {
            let (kind, group) = name.split_once('.').unwrap_or((name, ""));
            GroupKind::new(group, kind)
        };
        let mut allowed_kinds = if isolation.allowed_kinds.is_empty() {
            default_allowed_kinds()
        } else {
            isolation.allowed_kinds.iter().map(listed).collect()
        };
        if policy.url.gateway.is_some() {
            // What `expose` makes.
            allowed_kinds.insert(GroupKind::new("gateway.networking.k8s.io", "HTTPRoute"));
        }
        Self {
            namespace: namespace.to_owned(),
            allowed_kinds,
            assigned_hosts: hosts.iter().cloned().collect(),
            ingress_class: policy.url.ingress_class.clone(),
            pod_security: if isolation.pod_security == "restricted" {
                PodSecurity::Restricted
            } else {
                PodSecurity::Baseline
            },
            image_registries: isolation.image_registries.clone(),
        }
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
        ("apps", "DaemonSet"),
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("batch", "CronJob"),
        ("batch", "Job"),
        ("networking.k8s.io", "Ingress"),
        ("policy", "PodDisruptionBudget"),
    ]
    .into_iter()
    .map(|(group, kind)| GroupKind::new(group, kind))
    .collect()
}

/// The rules. Ids never change their meaning and are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// BV001: a kind that is not on the list.
    KindNotAllowed,
    /// BV002: something outside the camp's namespace.
    ForeignNamespace,
    /// BV003: a host that was not assigned, or a way around hosts.
    HostNotAssigned,
    /// BV004: a container that reaches the node.
    HostAccess,
    /// BV005: a Service that opens a port to the outside.
    ServiceExposure,
    /// BV006: a Service that is an alias for another name.
    ExternalName,
    /// BV007: a name, label or mark that belongs to the service.
    GuardrailName,
    /// BV008: rights and identities.
    AccessControl,
}

impl Rule {
    /// `BV001` …
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::KindNotAllowed => "BV001",
            Self::ForeignNamespace => "BV002",
            Self::HostNotAssigned => "BV003",
            Self::HostAccess => "BV004",
            Self::ServiceExposure => "BV005",
            Self::ExternalName => "BV006",
            Self::GuardrailName => "BV007",
            Self::AccessControl => "BV008",
        }
    }

    /// A name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::KindNotAllowed => "kind-not-allowed",
            Self::ForeignNamespace => "foreign-namespace",
            Self::HostNotAssigned => "host-not-assigned",
            Self::HostAccess => "host-access",
            Self::ServiceExposure => "service-exposure",
            Self::ExternalName => "external-name",
            Self::GuardrailName => "guardrail-name",
            Self::AccessControl => "access-control",
        }
    }

    /// How bad it is. Every rule of this version refuses.
    #[must_use]
    pub fn severity(self) -> Severity {
        Severity::Refused
    }
}

/// What a finding means for the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// What is wrong. Holds no value but names of kinds, hosts and namespaces.
    pub message: String,
    /// What to do.
    pub hint: &'static str,
}

impl Finding {
    /// One line for people: rule, place, object, message, hint.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { rule, origin, object, field: _, message, hint } = self;
        let (id, name) = (rule.id(), rule.name());
        format!("{id} {name} {origin} {object}: {message}; {hint}")
    }
}

/// Everything in `bundle` that `policy` does not allow, in the order of the objects. Empty: it may be applied.
#[must_use]
pub fn guard(bundle: &Bundle, policy: &GuardPolicy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for object in &bundle.objects {
        let mut look =
            Look { object, identity: object.identity(), policy, findings: &mut findings };
        look.kind();
        look.namespace();
        look.reserved();
        look.service();
        pods::check(&mut look);
        routes::check(&mut look);
    }
    findings
}

const INGRESS: &str = "use ClusterIP, and an Ingress for what people should reach";

/// One object under inspection.
struct Look<'a> {
    object: &'a BundleObject,
    identity: ObjectIdentity,
    policy: &'a GuardPolicy,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Look<'a> {
    fn found(&mut self, rule: Rule, field: &str, message: impl Into<String>, hint: &'static str) {
        self.findings.push(Finding {
            rule,
            origin: self.object.place_of(field),
            object: self.identity.clone(),
            field: field.to_owned(),
            message: message.into(),
            hint,
        });
    }

    fn get(&self, pointer: &str) -> Option<&'a Value> {
        self.object.json.pointer(pointer).filter(|value| !value.is_null())
    }

    /// The elements of a list with their pointers; anything else has none.
    fn list(&self, pointer: &str) -> Vec<(String, &'a Value)> {
        let elements = self.get(pointer).and_then(Value::as_array);
        let elements = elements.into_iter().flatten().enumerate();
        elements.map(|(index, value)| (format!("{pointer}/{index}"), value)).collect()
    }

    /// The members of a mapping with their pointers.
    fn members(&self, pointer: &str) -> Vec<(String, &'a str, &'a Value)> {
        let members: BTreeMap<_, _> =
            self.get(pointer).and_then(Value::as_object).into_iter().flatten().collect();
        members
            .into_iter()
            .map(|(name, value)| {
                (format!("{pointer}/{}", pointer_token(name)), name.as_str(), value)
            })
            .collect()
    }

    fn is(&self, group: &str, kind: &str) -> bool {
        self.identity.group == group && self.identity.kind == kind
    }

    fn kind(&mut self) {
        let ObjectIdentity { group, kind, .. } = &self.identity;
        let rights = group == "rbac.authorization.k8s.io"
            || matches!(
                group.as_str(),
                "authentication.k8s.io" | "authorization.k8s.io" | "certificates.k8s.io"
            )
            || (group.is_empty() && kind == "ServiceAccount");
        if rights {
            let message = format!("{} gives rights, which a preview may not", short(kind));
            let hint = "take the object out; pods of a preview run without rights in the cluster";
            self.found(Rule::AccessControl, "/kind", message, hint);
        } else if !self.policy.allowed_kinds.contains(&GroupKind::new(group, kind)) {
            let group = if group.is_empty() { "the core group" } else { group.as_str() };
            let message = format!(
                "kind {} of {} is not on the list of allowed kinds",
                short(kind),
                short(group)
            );
            let hint = "take the object out of the preview, or ask the platform team to add the kind to \
                        isolation.allowedKinds";
            self.found(Rule::KindNotAllowed, "/kind", message, hint);
        }
        if self.is("", "Secret")
            && self.get("/type").and_then(Value::as_str)
                == Some("kubernetes.io/service-account-token")
        {
            let message = "this Secret asks for the token of a service account";
            self.found(Rule::AccessControl, "/type", message, "use a Secret of type Opaque");
        }
    }

    fn namespace(&mut self) {
        const HINT: &str = "leave the namespace out: objects go to the namespace of the preview";
        if let Some(namespace) = self.get("/metadata/namespace")
            && namespace.as_str() != Some(&self.policy.namespace)
        {
            let message = format!("namespace {} is not this preview's", text_of(namespace));
            self.found(Rule::ForeignNamespace, "/metadata/namespace", message, HINT);
        }
        let mut references = vec!["/spec/dataSourceRef/namespace".to_owned()];
        for (pointer, _) in self.list("/spec/volumeClaimTemplates") {
            references.push(format!("{pointer}/metadata/namespace"));
            references.push(format!("{pointer}/spec/dataSourceRef/namespace"));
        }
        for (rule, _) in self.list("/spec/rules") {
            for (backend, _) in self.list(&format!("{rule}/backendRefs")) {
                references.push(format!("{backend}/namespace"));
            }
        }
        for pointer in references {
            if let Some(namespace) = self.get(&pointer)
                && namespace.as_str() != Some(&self.policy.namespace)
            {
                let message =
                    format!("this refers to namespace {}, not this preview's", text_of(namespace));
                self.found(Rule::ForeignNamespace, &pointer, message, HINT);
            }
        }
    }

    fn reserved(&mut self) {
        let name = self.identity.name.clone();
        if name == "bivouac" || name.starts_with("bivouac-") || name == "kube-root-ca.crt" {
            let message = format!("the name {} is reserved", short(&name));
            self.found(Rule::GuardrailName, "/metadata/name", message, "choose another name");
        }
        let mut maps = vec!["/metadata/labels".to_owned(), "/metadata/annotations".to_owned()];
        for pod in pods::pointers(self.object) {
            maps.push(format!("{}/metadata/labels", pod.template));
            maps.push(format!("{}/metadata/annotations", pod.template));
        }
        maps.sort();
        maps.dedup();
        for map in maps {
            for (pointer, key, _) in self.members(&map) {
                let domain = key.split('/').next().unwrap_or(key);
                let ours = domain == "bivouac.dev" || domain.ends_with(".bivouac.dev");
                // What rendering put in has no place in a file.
                let added = map == "/metadata/labels"
                    && matches!(key, "bivouac.dev/environment" | "bivouac.dev/app")
                    && !self.object.positions.contains_key(&pointer);
                if ours && !added {
                    let message = format!("{} is a mark of the service itself", short(key));
                    self.found(Rule::GuardrailName, &pointer, message, "take it out");
                }
            }
        }
        for (field, what) in [
            ("/metadata/finalizers", "finalizers could keep the preview from being taken down"),
            ("/metadata/ownerReferences", "owner references are set by controllers only"),
        ] {
            let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
            if self.get(field).is_some_and(|value| !empty(value)) {
                self.found(Rule::GuardrailName, field, what, "take them out");
            }
        }
    }

    fn service(&mut self) {
        for (pointer, key, _) in self.members("/metadata/annotations") {
            if key.starts_with("external-dns.") {
                let message = format!("annotation {} asks for a DNS record", short(key));
                let hint = "take it out; the preview's hosts already resolve";
                self.found(Rule::HostNotAssigned, &pointer, message, hint);
            }
        }
        if !self.is("", "Service") {
            return;
        }
        match self.get("/spec/type").map(|value| value.as_str()) {
            None | Some(Some("ClusterIP")) => {}
            Some(Some("ExternalName")) => {
                let message = "an ExternalName Service points outside the preview";
                self.found(
                    Rule::ExternalName,
                    "/spec/type",
                    message,
                    "use the name itself where it is needed",
                );
            }
            Some(Some(kind @ ("LoadBalancer" | "NodePort"))) => {
                let message =
                    format!("a {kind} Service opens a port of the cluster to the outside");
                self.found(Rule::ServiceExposure, "/spec/type", message, INGRESS);
            }
            Some(_) => {
                let message = "spec.type is none of the allowed ones";
                self.found(Rule::ServiceExposure, "/spec/type", message, INGRESS);
            }
        }
        if self.get("/spec/externalName").is_some() {
            let message = "externalName points outside the preview";
            self.found(Rule::ExternalName, "/spec/externalName", message, "take it out");
        }
        for field in ["externalIPs", "loadBalancerIP", "loadBalancerClass"] {
            let pointer = format!("/spec/{field}");
            let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
            if self.get(&pointer).is_some_and(|value| !empty(value)) {
                let message = format!("spec.{field} takes traffic from outside the preview");
                self.found(Rule::ServiceExposure, &pointer, message, INGRESS);
            }
        }
        for (port, _) in self.list("/spec/ports") {
            let pointer = format!("{port}/nodePort");
            if self.get(&pointer).is_some_and(|value| value.as_u64() != Some(0)) {
                let message = "nodePort opens a port on every node";
                self.found(Rule::ServiceExposure, &pointer, message, INGRESS);
            }
        }
    }
}

/// The first characters of a name from outside.
fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// A name for a message; anything that is no text is only called that.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| "that is no text".into(), |text| format!("{:?}", short(text)))
}

#[cfg(test)]
mod tests;
