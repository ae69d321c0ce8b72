//! Deployments of this installation that are still active though no record speaks for them. I/O with home and the forges.
//!
//! A deployment counts as ours when the token's own account made it and its task names this installation.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Search;
use super::comments::forge_of;
use crate::controller::error::chain;
use crate::crd::{Environment, Repository};
use crate::domain::deployment::{State, Subject, subject};
use crate::domain::id::PrNumber;
use crate::domain::status::bounded;
use crate::forge::{DeploymentText, Forge, ForgeError};

/// Deployments of a Repository that are looked at, the newest.
pub(super) const MOST: &str = "1,000";

/// A deployment that belongs to no Environment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphanDeployment {
    /// Name of the Repository.
    pub repository: String,
    /// Number of the pull request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<u64>,
    /// Name of the Environment, when it is of a branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Its id.
    pub id: u64,
    /// Its commit.
    pub revision: String,
    /// Why it belongs to none.
    pub reason: String,
    #[serde(skip)]
    forge: Forge,
}

impl OrphanDeployment {
    /// How it is called for people.
    #[must_use]
    pub fn name(&self) -> String {
        match (self.pull_request, &self.environment) {
            (Some(number), _) => format!("{}#{number} {}", self.repository, self.id),
            (None, Some(name)) => format!("{} {name} {}", self.repository, self.id),
            (None, None) => format!("{} {}", self.repository, self.id),
        }
    }
}

pub(super) async fn of_repository(
    search: &Search,
    name: &str,
    repository: &Repository,
) -> Result<(Vec<OrphanDeployment>, bool), String> {
    let forge = forge_of(search, repository).await?;
    let words = |error| chain(&error);
    let me = forge.viewer().await.map_err(words)?.id;
    let environment = &repository.spec.report.environment;
    let (found, whole) = forge.deployments_to(environment).await.map_err(words)?;
    let ours: Vec<_> = found
        .into_iter()
        .filter(|deployment| deployment.creator == Some(me))
        .filter_map(|deployment| {
            subject(&search.instance, &deployment.task).map(|subject| (deployment, subject))
        })
        .collect();
    // After the deployments: what was made meanwhile has a record that is seen.
    let records = super::records(search).await.map_err(|error| chain(&error))?;
    let known: BTreeSet<Subject> =
        super::of_repository(search, name, &records).filter_map(subject_of).collect();
    let mut orphans = Vec::new();
    for (deployment, subject) in ours {
        // Those of a record that is there are the service's to end.
        if known.contains(&subject)
            || !forge.deployment_is_active(deployment.id).await.map_err(words)?
        {
            continue;
        }
        let (pull_request, environment, what) = match subject {
            Subject::PullRequest(number) => (Some(number.0), None, "its pull request"),
            Subject::Environment(name) => (None, Some(name), "its branch"),
        };
        orphans.push(OrphanDeployment {
            repository: name.to_owned(),
            pull_request,
            environment,
            id: deployment.id,
            revision: bounded(&deployment.revision, 40),
            reason: format!("there is no Environment for {what}"),
            forge: forge.clone(),
        });
    }
    orphans.sort_by_key(|orphan: &OrphanDeployment| {
        (orphan.pull_request.is_none(), orphan.pull_request, orphan.environment.clone(), orphan.id)
    });
    Ok((orphans, whole))
}

/// What the deployments of a record are of.
fn subject_of(record: &Environment) -> Option<Subject> {
    match record.spec.source.number() {
        Some(number) => Some(Subject::PullRequest(PrNumber(number))),
        None => record.metadata.name.clone().map(Subject::Environment),
    }
}

/// Makes them inactive: the forge shows them as destroyed, and keeps them in its history.
pub(super) async fn remove(found: &[OrphanDeployment]) -> Vec<(String, String)> {
    let text = DeploymentText { state: State::Inactive, url: None, log_url: None };
    let mut failed = Vec::new();
    for orphan in found {
        match orphan.forge.set_deployment_status(orphan.id, &text).await {
            Ok(()) | Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) => {}
            Err(error) => failed.push((orphan.name(), chain(&error))),
        }
    }
    failed
}
