//! Teardown: delete the namespace with its recorded UID, and wait until it is really gone. I/O with the target.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Preconditions};

use super::camp::CampId;
use super::error::{ApplyError, is_not_found, status};
use super::target::{As, Target};

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
        /// What blocks it, in the API server's words; empty when nothing does.
        blocked_by: Vec<String>,
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
    if namespace.metadata.deletion_timestamp.is_none() {
        return Ok(CampState::Standing { uid });
    }
    let conditions = namespace.status.and_then(|status| status.conditions).unwrap_or_default();
    let blocked_by = conditions
        .into_iter()
        .filter(|condition| condition.status == "True")
        .filter_map(|condition| condition.message)
        .collect();
    Ok(CampState::Ending { uid, blocked_by })
}

/// Asks for the end of exactly the namespace with that UID. One that is gone already is fine.
pub async fn delete_namespace(target: &Target, camp: &CampId, uid: &str) -> Result<(), ApplyError> {
    let api: Api<Namespace> = Api::all(target.client(&As::Service));
    let only_this = DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&camp.namespace, &only_this).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        // Another UID: ours is gone, and what has its name now is somebody else's.
        Err(error) if status(&error).is_some_and(|status| status.code == 409) => Ok(()),
        Err(error) => Err(ApplyError::own(format!("delete namespace {}", camp.namespace), error)),
    }
}
