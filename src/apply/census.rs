//! Census: which namespaces of the target carry the labels of this installation, whoever knows of them. I/O with the
//! target; reads, and deletes exactly what it found when asked to.

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};

use super::camp::{CampId, ENVIRONMENT_LABEL, ENVIRONMENT_UID_LABEL, INSTANCE_LABEL};
use super::error::ApplyError;
use super::target::{As, Target};
use super::teardown::{delete_exactly, ending_since, remains_of};
use crate::domain::stuck::Remains;

/// Namespaces that are asked for at once.
const PAGE: u32 = 500;

/// A namespace with the labels of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundCamp {
    /// Its name.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// Name of the Environment that it says it is of.
    pub environment: String,
    /// UID of that Environment.
    pub environment_uid: String,
    /// Since when it is going away.
    pub ending_since: Option<DateTime<Utc>>,
    /// What the cluster says of what is left, when it is going away.
    pub remains: Remains,
}

/// All namespaces that carry the label of an installation, by name.
pub async fn camps_of(target: &Target, instance: &str) -> Result<Vec<FoundCamp>, ApplyError> {
    list(target, &format!("{INSTANCE_LABEL}={instance}")).await
}

/// Namespaces that carry the labels of one camp. Once that is gone, each of them is a copy: somebody restored it, say.
pub async fn copies_of(target: &Target, camp: &CampId) -> Result<Vec<FoundCamp>, ApplyError> {
    let CampId { instance, environment: _, environment_uid, namespace: _ } = camp;
    let selector = format!("{INSTANCE_LABEL}={instance},{ENVIRONMENT_UID_LABEL}={environment_uid}");
    list(target, &selector).await
}

/// The namespace of that name, when it is still the one that was found.
pub async fn look_again(
    target: &Target,
    found: &FoundCamp,
) -> Result<Option<FoundCamp>, ApplyError> {
    let api: Api<Namespace> = Api::all(target.client(&As::Service));
    let now = api
        .get_opt(&found.namespace)
        .await
        .map_err(|error| ApplyError::own(format!("read namespace {}", found.namespace), error))?;
    Ok(now.map(read).filter(|now| now.uid == found.uid))
}

/// Asks for the end of exactly the namespace that was found.
pub async fn remove(target: &Target, found: &FoundCamp) -> Result<(), ApplyError> {
    delete_exactly(target, &found.namespace, &found.uid).await
}

async fn list(target: &Target, selector: &str) -> Result<Vec<FoundCamp>, ApplyError> {
    let api: Api<Namespace> = Api::all(target.client(&As::Service));
    let mut page = ListParams::default().labels(selector).limit(PAGE);
    let mut all = Vec::new();
    loop {
        let found = api
            .list(&page)
            .await
            .map_err(|error| ApplyError::own("list the namespaces of this installation", error))?;
        all.extend(found.items.into_iter().map(read));
        match found.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => break,
        }
    }
    all.sort_by(|a, b| a.namespace.cmp(&b.namespace));
    Ok(all)
}

fn read(namespace: Namespace) -> FoundCamp {
    let label = |key: &str| {
        let labels = namespace.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(key)).cloned().unwrap_or_default()
    };
    FoundCamp {
        environment: label(ENVIRONMENT_LABEL),
        environment_uid: label(ENVIRONMENT_UID_LABEL),
        ending_since: ending_since(&namespace),
        remains: remains_of(&namespace),
        uid: namespace.metadata.uid.unwrap_or_default(),
        namespace: namespace.metadata.name.unwrap_or_default(),
    }
}
