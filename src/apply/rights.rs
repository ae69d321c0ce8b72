//! The self check: may the service do what it is about to do? I/O with the target: one question and one reading, before
//! a camp's first object is made.

use k8s_openapi::api::authorization::v1::{
    ResourceRule, SelfSubjectAccessReview, SelfSubjectRulesReview,
};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

use super::error::{ApplyError, is_not_found, status};
use super::own::KINDS;
use super::prepare::Guardrails;
use super::target::{As, Target};
use crate::domain::guardrails::{DEPLOYER, GUARDIAN, HeldRule, Right, missing, sentence};

const RBAC: &str = "rbac.authorization.k8s.io";
/// ClusterRole of the service in `deploy/rbac.yaml`.
const SERVICE_ROLE: &str = "bivouac";

/// `Err`: one sentence that names what is missing, and the rule that gives it.
pub(super) async fn check(target: &Target, guardrails: &Guardrails) -> Result<(), ApplyError> {
    let namespace = &guardrails.camp.namespace;
    let (held, is_complete) = own_rules(target, namespace).await?;
    let mut absent = missing(&everywhere(&guardrails.objects), &held);
    if !is_complete {
        // Another authoriser than RBAC may say yes: only it knows.
        absent = refused(target, namespace, absent).await?;
    }
    if !absent.is_empty() {
        return Err(ApplyError::MissingRight { sentence: sentence(&absent, SERVICE_ROLE) });
    }
    if !binds_itself(&guardrails.objects) {
        return Ok(());
    }
    let mut held = held;
    held.extend(guardian_rules(target).await?);
    let mut absent = missing(&inside(&guardrails.objects), &held);
    if !is_complete {
        absent = refused(target, namespace, absent).await?;
    }
    if absent.is_empty() {
        return Ok(());
    }
    Err(ApplyError::MissingRight { sentence: sentence(&absent, GUARDIAN) })
}

/// What the service needs before it has bound itself to anything.
fn everywhere(objects: &[Value]) -> Vec<Right> {
    let verbs = |group: &str, resource: &str, verbs: &[&str]| -> Vec<Right> {
        verbs.iter().map(|verb| Right::new(group, resource, verb)).collect()
    };
    let mut needed = verbs("", "namespaces", &["create", "delete", "get", "patch"]);
    needed.extend(verbs(RBAC, "rolebindings", &["create", "get", "patch"]));
    let mut roles: Vec<&str> = objects
        .iter()
        .filter(|object| object.get("kind").and_then(Value::as_str) == Some("RoleBinding"))
        .filter_map(|binding| binding.pointer("/roleRef/name").and_then(Value::as_str))
        .collect();
    roles.sort_unstable();
    roles.dedup();
    needed.extend(roles.iter().map(|role| Right::new(RBAC, "clusterroles", "bind").on(role)));
    if binds_itself(objects) {
        needed.push(Right::new(RBAC, "clusterroles", "get").on(GUARDIAN));
    }
    needed
}

/// What it needs in a camp.
fn inside(objects: &[Value]) -> Vec<Right> {
    let mut needed = vec![Right::new("", "serviceaccounts", "impersonate").on(DEPLOYER)];
    for (api_version, kind, plural) in KINDS {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let verbs: &[&str] =
            if objects.iter().any(|o| o.get("kind").and_then(Value::as_str) == Some(kind)) {
                &["create", "delete", "list", "patch"]
            } else {
                &["list"]
            };
        needed.extend(verbs.iter().map(|verb| Right::new(group, plural, verb)));
    }
    needed
}

fn binds_itself(objects: &[Value]) -> bool {
    objects.iter().any(|object| {
        object.get("kind").and_then(Value::as_str) == Some("RoleBinding")
            && object.pointer("/metadata/name").and_then(Value::as_str) == Some(GUARDIAN)
    })
}

/// The rules that the service has in the namespace that is to be, and whether these are all.
async fn own_rules(target: &Target, namespace: &str) -> Result<(Vec<HeldRule>, bool), ApplyError> {
    let what = "ask what the service may do";
    let api: Api<SelfSubjectRulesReview> = Api::all(target.client(&As::Service));
    let question = serde_json::from_value(json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "metadata": {},
        "spec": {"namespace": namespace},
    }))
    .map_err(|error| ApplyError::own(what, kube::Error::SerdeError(error)))?;
    let answer = api.create(&PostParams::default(), &question).await;
    let status = answer.map_err(|error| ApplyError::own(what, error))?.status.unwrap_or_default();
    let rules = status.resource_rules.into_iter().map(|rule| {
        let ResourceRule { api_groups, resource_names, resources, verbs } = rule;
        HeldRule {
            groups: api_groups.unwrap_or_default(),
            resources: resources.unwrap_or_default(),
            names: resource_names.unwrap_or_default(),
            verbs,
        }
    });
    Ok((rules.collect(), !status.incomplete))
}

/// The rules of the role that the service binds itself to.
async fn guardian_rules(target: &Target) -> Result<Vec<HeldRule>, ApplyError> {
    let api: Api<ClusterRole> = Api::all(target.client(&As::Service));
    let role = api.get(GUARDIAN).await.map_err(|error| {
        if is_not_found(&error) {
            let sentence = format!("there is no ClusterRole {GUARDIAN}: apply deploy/rbac.yaml");
            return ApplyError::MissingRight { sentence };
        }
        ApplyError::own(format!("read ClusterRole {GUARDIAN}"), error)
    })?;
    let rules = role.rules.unwrap_or_default().into_iter().map(|rule| {
        let PolicyRule { api_groups, resource_names, resources, verbs, .. } = rule;
        HeldRule {
            groups: api_groups.unwrap_or_default(),
            resources: resources.unwrap_or_default(),
            names: resource_names.unwrap_or_default(),
            verbs,
        }
    });
    Ok(rules.collect())
}

/// Those of `rights` that the API server itself denies.
async fn refused(
    target: &Target,
    namespace: &str,
    rights: Vec<Right>,
) -> Result<Vec<Right>, ApplyError> {
    let mut denied = Vec::new();
    for right in rights {
        if !may(target, &As::Service, namespace, &right).await? {
            denied.push(right);
        }
    }
    Ok(denied)
}

/// Whether the API server lets `who` do this in the namespace. 403 to the question itself is a no.
pub(super) async fn may(
    target: &Target,
    who: &As,
    namespace: &str,
    right: &Right,
) -> Result<bool, ApplyError> {
    let what = "ask what it may do";
    let Right { group, resource, verb, name } = right;
    let api: Api<SelfSubjectAccessReview> = Api::all(target.client(who));
    let mut attributes =
        json!({"namespace": namespace, "group": group, "resource": resource, "verb": verb});
    if let Some(name) = name {
        attributes["name"] = name.as_str().into();
    }
    let question = serde_json::from_value(json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": attributes},
    }))
    .map_err(|error| ApplyError::own(what, kube::Error::SerdeError(error)))?;
    match api.create(&PostParams::default(), &question).await {
        Ok(answer) => Ok(answer.status.is_some_and(|status| status.allowed)),
        Err(error) if status(&error).is_some_and(|status| status.code == 403) => Ok(false),
        Err(error) => Err(ApplyError::own(what, error)),
    }
}
