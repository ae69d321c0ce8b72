//! The cluster's side: definitions, roles, rights of the service, policies, and whether somebody leads. I/O with home.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::Value;

use super::super::error::chain;
use super::{Checkup, Notes};
use crate::crd::{Environment, Repository};
use crate::domain::guardrails::{Right, rule_text};

/// Rights as they are installed.
const ROLES: &str = include_str!("../../../deploy/rbac.yaml");
/// A Lease that nobody renewed for so long is nobody's.
const DEAD: i64 = 30;

/// Gives the Repositories, as far as they can be read.
pub(super) async fn examine(checkup: &Checkup, mut notes: Notes<'_>) -> Vec<Repository> {
    let repositories = definitions(checkup, &mut notes).await;
    rights(checkup, &mut notes).await;
    roles(checkup, &mut notes).await;
    policies(checkup, &mut notes).await;
    lease(checkup, &mut notes).await;
    repositories
}

async fn definitions(checkup: &Checkup, notes: &mut Notes<'_>) -> Vec<Repository> {
    let environments: Api<Environment> = Api::namespaced(checkup.home.clone(), &checkup.namespace);
    let repositories: Api<Repository> = Api::namespaced(checkup.home.clone(), &checkup.namespace);
    let one = ListParams::default().limit(1);
    let asked = environments.list_metadata(&one).await.map(drop);
    let found = match asked {
        Ok(()) => repositories.list(&ListParams::default()).await,
        Err(error) => Err(error),
    };
    match found {
        Ok(found) if found.items.is_empty() => {
            notes.warn(
                format!("there is no Repository in namespace {}", checkup.namespace),
                "make one for each repository that is to be served: docs/install.md",
            );
            Vec::new()
        }
        Ok(mut found) => {
            notes.fine(format!("{} Repositories are declared", found.items.len()));
            found.items.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
            found.items
        }
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let advice = "kubectl apply --server-side -f deploy/crds.yaml";
            notes.problem("the cluster does not know Repositories and Environments", advice);
            Vec::new()
        }
        Err(error) => {
            let seen = format!("Repositories and Environments can't be read: {}", chain(&error));
            notes.problem(seen, "use an account that may read them");
            Vec::new()
        }
    }
}

/// A right, and whether it is of the service's own namespace.
fn needed() -> Vec<(Right, bool)> {
    let mut rights = Vec::new();
    for document in ROLES.split("\n---\n") {
        let Ok(object) = serde_saphyr::from_str::<Value>(document) else { continue };
        let inside = match (object["kind"].as_str(), object["metadata"]["name"].as_str()) {
            (Some("ClusterRole"), Some("bivouac")) => false,
            (Some("Role"), Some("bivouac")) => true,
            _ => continue,
        };
        for rule in object["rules"].as_array().into_iter().flatten() {
            let texts = |key: &str| -> Vec<&str> {
                rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
            };
            let names = texts("resourceNames");
            for group in texts("apiGroups") {
                for resource in texts("resources") {
                    for verb in texts("verbs") {
                        let right = Right::new(group, resource, verb);
                        if names.is_empty() {
                            rights.push((right, inside));
                        } else {
                            rights
                                .extend(names.iter().map(|name| (right.clone().on(name), inside)));
                        }
                    }
                }
            }
        }
    }
    rights
}

async fn rights(checkup: &Checkup, notes: &mut Notes<'_>) {
    let Checkup { namespace, service_account, .. } = checkup;
    if service_account.is_empty() {
        notes.warn(
            "the service's rights are not looked at",
            "say --service-account NAME when it runs as one",
        );
        return;
    }
    let (mut cluster, mut own) = (Vec::new(), Vec::new());
    let all = needed();
    let count = all.len();
    for (right, inside) in all {
        match may(checkup, &right, inside).await {
            Ok(true) => {}
            Ok(false) if inside => own.push(right),
            Ok(false) => cluster.push(right),
            Err(error) => {
                let seen = format!("the service's rights can't be looked at: {}", chain(&error));
                notes.warn(seen, "use an account that may create subjectaccessreviews");
                return;
            }
        }
    }
    let who = format!("system:serviceaccount:{namespace}:{service_account}");
    for (missing, role) in [(cluster, "ClusterRole bivouac"), (own, "Role bivouac")] {
        if !missing.is_empty() {
            let seen = format!("{who} lacks {} rights", missing.len());
            let rules = rule_text(&missing);
            let advice = format!("kubectl apply -f deploy/rbac.yaml, or add to {role}: {rules}");
            notes.problem(seen, advice);
            return;
        }
    }
    notes.fine(format!("{who} has the {count} rights of deploy/rbac.yaml"));
}

async fn may(checkup: &Checkup, right: &Right, inside: bool) -> Result<bool, kube::Error> {
    let Checkup { namespace, service_account, .. } = checkup;
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource.as_str(), None),
    };
    let groups = [
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ];
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{namespace}:{service_account}")),
            groups: Some(groups.into()),
            resource_attributes: Some(ResourceAttributes {
                group: Some(right.group.clone()),
                resource: Some(resource.to_owned()),
                subresource,
                verb: Some(right.verb.clone()),
                name: right.name.clone(),
                namespace: inside.then(|| namespace.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let api: Api<SubjectAccessReview> = Api::all(checkup.home.clone());
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

async fn roles(checkup: &Checkup, notes: &mut Notes<'_>) {
    let api: Api<ClusterRole> = Api::all(checkup.home.clone());
    for name in ["bivouac-guardian", "bivouac-deployer"] {
        match api.get_metadata_opt(name).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                let seen = format!("there is no ClusterRole {name}: no camp can be made");
                notes.problem(seen, "kubectl apply -f deploy/rbac.yaml");
            }
            Err(error) => {
                let seen = format!("ClusterRole {name} can't be read: {}", chain(&error));
                notes.warn(seen, "use an account that may read it");
            }
        }
    }
}

async fn policies(checkup: &Checkup, notes: &mut Notes<'_>) {
    let api: Api<ValidatingAdmissionPolicy> = Api::all(checkup.home.clone());
    match api.list_metadata(&ListParams::default()).await {
        Ok(found) => {
            let ours = found.items.iter().filter(|policy| {
                policy.metadata.name.as_deref().is_some_and(|name| name.starts_with("bivouac"))
            });
            match ours.count() {
                0 => notes.warn(
                    "the admission policies are not installed: what RBAC can't say, nobody enforces",
                    "kubectl apply -f deploy/admission.yaml (Kubernetes 1.30 or later)",
                ),
                count => notes.fine(format!("{count} admission policies are installed")),
            }
        }
        Err(error) => {
            let seen = format!("the admission policies can't be read: {}", chain(&error));
            notes
                .warn(seen, "Kubernetes 1.30 or later has them; use an account that may read them");
        }
    }
}

async fn lease(checkup: &Checkup, notes: &mut Notes<'_>) {
    let name = format!("bivouac-{}", checkup.instance);
    let api: Api<Lease> = Api::namespaced(checkup.home.clone(), &checkup.namespace);
    let advice = "look at the service's pods and their logs; --instance must be the service's own";
    let spec = match api.get_opt(&name).await {
        Ok(found) => found.and_then(|lease| lease.spec).unwrap_or_default(),
        Err(error) => {
            let seen = format!("the Lease {name} can't be read: {}", chain(&error));
            return notes.warn(seen, "use an account that may read it");
        }
    };
    let age = spec.renew_time.map(|at| checkup.now.timestamp() - at.0.as_second());
    match (spec.holder_identity.filter(|holder| !holder.is_empty()), age) {
        (Some(holder), Some(age)) if age < DEAD => {
            notes
                .fine(format!("{holder} leads: the Lease {name} was renewed {} s ago", age.max(0)));
        }
        (Some(holder), _) => {
            let seen = format!("nobody works: {holder} has not renewed the Lease {name}");
            notes.problem(seen, advice);
        }
        (None, _) => notes.problem(format!("nobody works: nobody holds the Lease {name}"), advice),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rights_are_those_of_the_roles() {
        let all = needed();
        let has = |right: Right, inside| all.contains(&(right, inside));
        assert!(has(Right::new("", "namespaces", "delete"), false));
        let bind = Right::new("rbac.authorization.k8s.io", "clusterroles", "bind");
        assert!(has(bind.on("view"), false));
        assert!(has(Right::new("bivouac.dev", "environments/status", "patch"), true));
        assert!(!all.iter().any(|(right, _)| right.verb == "impersonate"), "of another role");
        assert!(all.len() > 30, "{}", all.len());
    }
}
