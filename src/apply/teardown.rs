//! Teardown: delete the namespace with its recorded UID, and wait until it is really gone. I/O with the target.

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Preconditions};

use super::camp::CampId;
use super::error::{ApplyError, is_not_found, status};
use super::target::{As, Target};
use crate::domain::stuck::Remains;

/// The finalizer in `spec.finalizers` that every namespace has, and that Kubernetes takes off by itself.
const KUBERNETES: &str = "kubernetes";

/// What stands of a camp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CampState {
    /// No namespace of that name.
    Absent,
    /// It stands and is ours.
    Standing {
        /// UID of the namespace.
        uid: String,
    },
    /// It is ours and going away.
    Ending {
        /// UID of the namespace.
        uid: String,
        /// Since when.
        since: DateTime<Utc>,
        /// What the cluster says of what is left.
        remains: Remains,
    },
    /// It is not ours.
    Foreign,
}

/// Looks at the namespace.
///
/// `recorded`: the UID that the record knows. A namespace of our name and labels with another UID is not the one that
/// was made for it.
pub async fn observe_namespace(
    target: &Target,
    camp: &CampId,
    recorded: Option<&str>,
) -> Result<CampState, ApplyError> {
    let api: Api<Namespace> = Api::all(target.client(&As::Service));
    let found = api
        .get_opt(&camp.namespace)
        .await
        .map_err(|error| ApplyError::own(format!("read namespace {}", camp.namespace), error))?;
    let Some(namespace) = found else { return Ok(CampState::Absent) };
    if !camp.owns(namespace.metadata.labels.as_ref()) {
        return Ok(CampState::Foreign);
    }
    let uid = namespace.metadata.uid.clone().unwrap_or_default();
    if recorded.is_some_and(|recorded| recorded != uid) {
        return Ok(CampState::Foreign);
    }
    Ok(match ending_since(&namespace) {
        None => CampState::Standing { uid },
        Some(since) => CampState::Ending { uid, since, remains: remains_of(&namespace) },
    })
}

/// Since when a namespace is going away.
pub(super) fn ending_since(namespace: &Namespace) -> Option<DateTime<Utc>> {
    let at = namespace.metadata.deletion_timestamp.as_ref()?;
    Some(DateTime::from_timestamp(at.0.as_second(), 0).unwrap_or_default())
}

/// What the cluster says of a namespace that is going away.
pub(super) fn remains_of(namespace: &Namespace) -> Remains {
    let conditions = namespace.status.as_ref().and_then(|status| status.conditions.clone());
    let conditions = conditions
        .unwrap_or_default()
        .into_iter()
        .filter(|condition| condition.status == "True")
        .filter_map(|condition| Some((condition.type_, condition.message?)))
        .collect();
    let of_spec = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone());
    let own = namespace.metadata.finalizers.clone().unwrap_or_default();
    let finalizers = of_spec.unwrap_or_default().into_iter().chain(own);
    Remains { conditions, finalizers: finalizers.filter(|one| one != KUBERNETES).collect() }
}

/// Asks for the end of exactly the namespace with that UID. One that is gone already is fine.
pub async fn delete_namespace(target: &Target, camp: &CampId, uid: &str) -> Result<(), ApplyError> {
    delete_exactly(target, &camp.namespace, uid).await
}

/// The same for any namespace that was found to be of this installation.
pub(super) async fn delete_exactly(
    target: &Target,
    namespace: &str,
    uid: &str,
) -> Result<(), ApplyError> {
    let api: Api<Namespace> = Api::all(target.client(&As::Service));
    let only_this = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(namespace, &only_this).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        // Another UID: ours is gone, and what has its name now is somebody else's.
        Err(error) if status(&error).is_some_and(|status| status.code == 409) => Ok(()),
        Err(error) => Err(ApplyError::own(format!("delete namespace {namespace}"), error)),
    }
}
