//! PURE · what a guardrail must have whatever a template says: it is put over what the template made, and refused where
//! that is not possible.

use serde_json::{Map, Value, json};

use super::rules::NEVER;
use super::templates::UnusableOverride;
use super::{
    Camp, DEPLOYER, GATEWAY_ANNOTATION, GUARDIAN, HOSTS_ANNOTATION, IMAGE_REGISTRIES_ANNOTATION,
    INGRESS_CLASS_ANNOTATION,
};
use crate::domain::policy::{Gateway, Policy};

const OWN_ANNOTATIONS: [&str; 4] =
    [HOSTS_ANNOTATION, INGRESS_CLASS_ANNOTATION, GATEWAY_ANNOTATION, IMAGE_REGISTRIES_ANNOTATION];

/// What must be there.
#[derive(Clone, Debug, PartialEq)]
pub struct Mandatory {
    namespace: String,
    /// Kind, name, template, and the fields that are put over it.
    parts: Vec<(&'static str, String, &'static str, Value)>,
}

impl Mandatory {
    /// For this camp.
    #[must_use]
    pub fn of(camp: &Camp, policy: &Policy) -> Self {
        const RBAC: &str = "rbac.authorization.k8s.io";
        let binding = |role: &str, account: &str, namespace: &str| {
            json!({
                "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
            })
        };
        let mut parts = vec![(
            "Namespace",
            camp.namespace.clone(),
            "namespace.yaml.hbs",
            json!({"metadata": {
                "labels": {
                    "pod-security.kubernetes.io/enforce": policy.isolation.pod_security,
                    "pod-security.kubernetes.io/warn": policy.isolation.pod_security,
                },
                "annotations": annotations(camp, policy),
            }}),
        )];
        if let Some((namespace, name)) = &camp.service_account {
            let part = binding(GUARDIAN, name, namespace);
            parts.push(("RoleBinding", GUARDIAN.into(), "role-bindings.yaml.hbs", part));
        }
        let part = binding(&policy.isolation.deployer_role, DEPLOYER, &camp.namespace);
        parts.push(("RoleBinding", DEPLOYER.into(), "role-bindings.yaml.hbs", part));
        for account in ["default", DEPLOYER] {
            let part = json!({"automountServiceAccountToken": false});
            parts.push(("ServiceAccount", account.into(), "service-accounts.yaml.hbs", part));
        }
        let hard: Map<_, _> = NEVER.iter().map(|name| ((*name).to_owned(), "0".into())).collect();
        parts.push((
            "ResourceQuota",
            "bivouac-quota".into(),
            "resource-quota.yaml.hbs",
            json!({"spec": {"hard": hard}}),
        ));
        parts.push((
            "NetworkPolicy",
            "bivouac-network".into(),
            "network-policy.yaml.hbs",
            json!({"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}),
        ));
        Self { namespace: camp.namespace.clone(), parts }
    }

    /// Puts it into `objects`, or says what is missing there.
    pub(super) fn put_into(&self, objects: &mut [Value]) -> Result<(), UnusableOverride> {
        for (kind, name, template, part) in &self.parts {
            let refuse = |why: String| UnusableOverride {
                overrides: "the guardrails".into(),
                template: (*template).to_owned(),
                why,
            };
            let found: Vec<_> =
                objects.iter().enumerate().filter(|(_, o)| is(o, kind, name)).collect();
            let at = match found.as_slice() {
                [(at, _)] => *at,
                [] => {
                    return Err(refuse(format!("{kind} {name} is missing, which every camp has")));
                }
                _ => return Err(refuse(format!("{kind} {name} is there twice"))),
            };
            let Some(object) = objects.get_mut(at) else { continue };
            if *kind == "ResourceQuota"
                && ["scopes", "scopeSelector"].iter().any(|key| !object["spec"][key].is_null())
            {
                let why = format!("{kind} {name} has scopes, and would count no Service");
                return Err(refuse(why));
            }
            if *kind == "Namespace" {
                let annotations = object.pointer_mut("/metadata/annotations");
                if let Some(all) = annotations.and_then(Value::as_object_mut) {
                    all.retain(|key, _| !OWN_ANNOTATIONS.contains(&key.as_str()));
                }
            }
            put_over(object, part);
        }
        for object in objects.iter() {
            let refuse = |why: &str| UnusableOverride {
                overrides: "the guardrails".into(),
                template: "a template".into(),
                why: why.to_owned(),
            };
            let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            let known = |kind| self.parts.iter().any(|(k, n, _, _)| *k == kind && n == name);
            match object.get("kind").and_then(Value::as_str) {
                Some("Namespace") if name != self.namespace => {
                    return Err(refuse("it names another namespace than the camp's"));
                }
                Some("RoleBinding") if !known("RoleBinding") && !is_of_people(object) => {
                    return Err(refuse(
                        "a further RoleBinding may name only groups of people, and a ClusterRole",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is(object: &Value, kind: &str, name: &str) -> bool {
    object.get("kind").and_then(Value::as_str) == Some(kind)
        && object.pointer("/metadata/name").and_then(Value::as_str) == Some(name)
}

/// As `deploy/admission.yaml` has it.
fn is_of_people(binding: &Value) -> bool {
    let subjects = binding.get("subjects").and_then(Value::as_array);
    let role = binding.pointer("/roleRef/kind").and_then(Value::as_str);
    role == Some("ClusterRole")
        && subjects.is_some_and(|subjects| {
            subjects.iter().all(|subject| {
                let name = subject.get("name").and_then(Value::as_str).unwrap_or_default();
                subject.get("kind").and_then(Value::as_str) == Some("Group")
                    && !name.starts_with("system:")
            })
        })
}

/// Maps are merged where both have one, everything else is replaced. An empty map asks for an empty map: the selector
/// of all pods.
fn put_over(object: &mut Value, part: &Value) {
    match (object, part) {
        (Value::Object(object), Value::Object(part)) if !part.is_empty() => {
            for (key, part) in part {
                put_over(object.entry(key).or_insert(Value::Null), part);
            }
        }
        (object, part) => *object = part.clone(),
    }
}

/// What the admission policy allows in this camp. What is not limited has no annotation.
fn annotations(camp: &Camp, policy: &Policy) -> Map<String, Value> {
    let mut annotations = Map::new();
    annotations.insert(HOSTS_ANNOTATION.into(), camp.hosts.join(",").into());
    if let Some(class) = &policy.url.ingress_class {
        annotations.insert(INGRESS_CLASS_ANNOTATION.into(), class.as_str().into());
    }
    if let Some(Gateway { namespace, name, section: _ }) = &policy.url.gateway {
        annotations.insert(GATEWAY_ANNOTATION.into(), format!("{namespace}/{name}").into());
    }
    let registries = &policy.isolation.image_registries;
    if !registries.is_empty() {
        annotations.insert(IMAGE_REGISTRIES_ANNOTATION.into(), registries.join(",").into());
    }
    annotations
}
