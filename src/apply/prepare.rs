//! Guardrails, and the wait until a fresh camp can be used. Input: what the camp is to have; output: nothing, but no
//! object of a bundle may be sent before it returned. I/O with the target, by the service's own identity.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::FIELD_MANAGER;
use super::camp::{
    CampId, GATEWAY_ANNOTATION, GUARDRAIL_LABEL, HOSTS_ANNOTATION, IMAGE_REGISTRIES_ANNOTATION,
    INGRESS_CLASS_ANNOTATION, labels,
};
use super::error::{ApplyError, is_not_found, status};
use super::target::{As, DEPLOYER, Target};
use crate::domain::policy::Gateway;

/// ClusterRole that gives the service its rights inside a camp, bound there by itself.
const GUARDIAN_ROLE: &str = "bivouac-guardian";

/// What the service puts into a camp.
#[derive(Clone, Debug)]
pub struct Guardrails {
    /// Which camp.
    pub camp: CampId,
    /// Value of the Pod Security label.
    pub pod_security: &'static str,
    /// Hosts that routes may use.
    pub hosts: Vec<String>,
    /// The one ingress class that may be named.
    pub ingress_class: Option<String>,
    /// The only Gateway that routes may name.
    pub gateway: Option<Gateway>,
    /// Prefixes of images that pods may run; empty for any.
    pub image_registries: Vec<String>,
    /// ClusterRole of the deployer.
    pub deployer_role: String,
    /// Who the service itself is: namespace and name of its service account, when it has one. It binds itself to the
    /// role that it works with inside a camp.
    pub service_account: Option<(String, String)>,
    /// The ConfigMap `bivouac-env`, which tells a camp's pods where they are.
    pub config: Value,
}

/// A namespace that a bundle may be sent into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The namespace's UID.
    pub uid: String,
    /// When the deployer was bound, by the target's clock: what the target refuses right after may be on its way.
    pub bound_at: Option<DateTime<Utc>>,
}

/// Makes namespace and guardrails and waits until the deployer may work.
///
/// Everything is repeatable: what is there and equal is written again without effect.
pub async fn prepare(target: &Target, guardrails: &Guardrails) -> Result<Prepared, ApplyError> {
    let camp = &guardrails.camp;
    let uid = ensure_namespace(target, guardrails).await?;
    let mut bound_at = None;
    for object in own_objects(guardrails) {
        let written = apply_own(target, &camp.namespace, &object).await?;
        if written.types.is_some_and(|types| types.kind == "RoleBinding") {
            bound_at = written
                .metadata
                .creation_timestamp
                .and_then(|at| DateTime::from_timestamp(at.0.as_second(), 0));
        }
    }
    is_prepared(target, camp).await?;
    Ok(Prepared { uid, bound_at })
}

/// The namespace, made when it is not there, taken when it is ours, refused when it is somebody else's.
async fn ensure_namespace(target: &Target, guardrails: &Guardrails) -> Result<String, ApplyError> {
    let camp = &guardrails.camp;
    let api: Api<Namespace> = Api::all(target.client(&As::Service));
    let mut wanted = namespace_object(guardrails);
    let what = format!("make namespace {}", camp.namespace);
    let found =
        api.get_opt(&camp.namespace).await.map_err(|error| ApplyError::own(what.clone(), error))?;
    if let Some(found) = &found
        && !camp.owns(found.metadata.labels.as_ref())
    {
        return Err(ApplyError::NamespaceTaken { namespace: camp.namespace.clone() });
    }
    // One that was deleted and made by somebody else since our look is refused by the API server, not adopted.
    if let Some(uid) = found.as_ref().and_then(|found| found.metadata.uid.as_ref()) {
        wanted["metadata"]["uid"] = uid.as_str().into();
    }
    // Made by create and not by apply: were it to appear between our look and our write, somebody else made it.
    let made = if found.is_none() {
        let fresh = serde_json::from_value(wanted)
            .map_err(|error| ApplyError::own(what.clone(), kube::Error::SerdeError(error)))?;
        api.create(
            &PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() },
            &fresh,
        )
        .await
    } else {
        api.patch(
            &camp.namespace,
            &PatchParams::apply(FIELD_MANAGER).force(),
            &Patch::Apply(&wanted),
        )
        .await
    };
    match made {
        Ok(namespace) => Ok(namespace.metadata.uid.unwrap_or_default()),
        Err(error) if status(&error).is_some_and(|status| status.reason == "AlreadyExists") => {
            Err(ApplyError::NotPrepared {
                what: format!("namespace {} appeared meanwhile", camp.namespace),
            })
        }
        Err(error) => Err(ApplyError::own(what, error)),
    }
}

/// What the admission policy allows in this camp. What is not limited has no annotation.
fn annotations(guardrails: &Guardrails) -> BTreeMap<&'static str, String> {
    let mut annotations = BTreeMap::from([(HOSTS_ANNOTATION, guardrails.hosts.join(","))]);
    if let Some(class) = &guardrails.ingress_class {
        annotations.insert(INGRESS_CLASS_ANNOTATION, class.clone());
    }
    if let Some(Gateway { namespace, name, section: _ }) = &guardrails.gateway {
        annotations.insert(GATEWAY_ANNOTATION, format!("{namespace}/{name}"));
    }
    if !guardrails.image_registries.is_empty() {
        annotations.insert(IMAGE_REGISTRIES_ANNOTATION, guardrails.image_registries.join(","));
    }
    annotations
}

/// The namespace itself.
fn namespace_object(guardrails: &Guardrails) -> Value {
    let camp = &guardrails.camp;
    let mut all_labels = labels(camp);
    for mode in ["enforce", "warn"] {
        all_labels.insert(
            format!("pod-security.kubernetes.io/{mode}"),
            guardrails.pod_security.to_owned(),
        );
    }
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": camp.namespace,
            "labels": all_labels,
            "annotations": annotations(guardrails),
        },
    })
}

impl Guardrails {
    /// The objects that [`prepare`] writes, in its order: the namespace first.
    #[must_use]
    pub fn objects(&self) -> Vec<Value> {
        let mut objects = vec![namespace_object(self)];
        objects.extend(own_objects(self));
        objects
    }
}

/// What we put into the namespace, in the order in which it is written.
fn own_objects(guardrails: &Guardrails) -> Vec<Value> {
    let Guardrails { camp, deployer_role, service_account, config, .. } = guardrails;
    let mut own_labels = labels(camp);
    own_labels.insert(GUARDRAIL_LABEL.to_owned(), "true".to_owned());
    let metadata =
        |name: &str| json!({"name": name, "namespace": camp.namespace, "labels": own_labels});
    let binding = |name: &str, role: &str, account: &str, namespace: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata(name),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        })
    };
    let mut objects = Vec::new();
    if let Some((namespace, name)) = service_account {
        objects.push(binding("bivouac-guardian", GUARDIAN_ROLE, name, namespace));
    }
    objects.push(json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(DEPLOYER),
        "automountServiceAccountToken": false,
    }));
    objects.push(binding(DEPLOYER, deployer_role, DEPLOYER, &camp.namespace));
    let mut config = config.clone();
    if let Some(Value::Object(labels)) = config.pointer_mut("/metadata/labels") {
        labels.extend(
            own_labels.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))),
        );
    }
    objects.push(config);
    objects
}

/// Applies one of our own objects. 403 right after the binding that gives the right is the authoriser's cache.
async fn apply_own(
    target: &Target,
    namespace: &str,
    object: &Value,
) -> Result<DynamicObject, ApplyError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind, name) = (text("/apiVersion"), text("/kind"), text("/metadata/name"));
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api: Api<DynamicObject> =
        Api::namespaced_with(target.client(&As::Service), namespace, &resource);
    let write = async || {
        api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object)).await
    };
    let mut written = write().await;
    if let Err(error) = &written
        && is_other_role(error)
    {
        // The role of a binding never changes. For a moment the deployer may do nothing, and nothing is sent then.
        unbind(&api, name, namespace).await?;
        written = write().await;
    }
    match written {
        Ok(written) => Ok(written),
        Err(error) if status(&error).is_some_and(|status| status.code == 403) => {
            Err(ApplyError::NotPrepared {
                what: format!(
                    "{kind} {name} could not be written: {}",
                    status(&error).map_or("", |s| s.message.as_str())
                ),
            })
        }
        Err(error) => Err(ApplyError::own(format!("write {kind} {name} in {namespace}"), error)),
    }
}

/// The binding that stands names another role.
fn is_other_role(error: &kube::Error) -> bool {
    status(error).is_some_and(|status| {
        status.code == 422 && status.message.contains("cannot change roleRef")
    })
}

/// Deletes a binding of ours. One that is gone already is fine.
async fn unbind(api: &Api<DynamicObject>, name: &str, namespace: &str) -> Result<(), ApplyError> {
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => {
            Err(ApplyError::own(format!("delete RoleBinding {name} in {namespace}"), error))
        }
    }
}

/// A fresh namespace is not ready when it exists: the deployer's right comes through a cache, and the service account
/// that pods run as is made by a controller.
async fn is_prepared(target: &Target, camp: &CampId) -> Result<(), ApplyError> {
    let service = target.client(&As::Service);
    let accounts: Api<ServiceAccount> = Api::namespaced(service, &camp.namespace);
    let default = accounts.get_opt("default").await.map_err(|error| match status(&error) {
        Some(refused) if refused.code == 403 => {
            ApplyError::NotPrepared { what: refused.message.clone() }
        }
        _ => ApplyError::own(format!("read service accounts of {}", camp.namespace), error),
    })?;
    if default.is_none() {
        return Err(ApplyError::NotPrepared {
            what: "service account default is not there yet".into(),
        });
    }
    let deployer = target.client(&As::Deployer(camp.namespace.clone()));
    let reviews: Api<SelfSubjectAccessReview> = Api::all(deployer);
    let question = serde_json::from_value(json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "metadata": {},
        "spec": {"resourceAttributes": {"namespace": camp.namespace, "verb": "patch", "resource": "configmaps"}},
    }))
    .map_err(|error| ApplyError::own("ask what the deployer may do", kube::Error::SerdeError(error)))?;
    let allowed = match reviews.create(&PostParams::default(), &question).await {
        Ok(answer) => answer.status.is_some_and(|status| status.allowed),
        Err(error) if status(&error).is_some_and(|status| status.code == 403) => false,
        Err(error) => return Err(ApplyError::own("ask what the deployer may do", error)),
    };
    if allowed {
        Ok(())
    } else {
        Err(ApplyError::NotPrepared { what: "the deployer's rights are not in force yet".into() })
    }
}
