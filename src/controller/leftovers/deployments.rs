//! Deployments of this installation that are still active though no record speaks for them. I/O with home and the forges.
//!
//! A deployment counts as ours when the token's own account made it and its task names this installation.

use std::collections::BTreeSet;

use kube::Api;
use kube::api::ListParams;
use serde::Serialize;

use super::comments::forge_of;
use super::{LeftoversError, Orphans, Search};
use crate::controller::error::chain;
use crate::crd::Repository;
use crate::domain::deployment::{State, pull_request};
use crate::domain::status::bounded;
use crate::forge::{DeploymentText, Forge, ForgeError};

/// A deployment that belongs to no Environment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphanDeployment {
    /// Name of the Repository.
    pub repository: String,
    /// Number of the pull request.
    pub pull_request: u64,
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
        format!("{}#{} {}", self.repository, self.pull_request, self.id)
    }
}

pub(super) async fn find(
    search: &Search,
    progress: &(dyn Fn(&str) + Sync),
    orphans: &mut Orphans,
) -> Result<(), LeftoversError> {
    let api: Api<Repository> = Api::namespaced(search.home.clone(), &search.namespace);
    let repositories = api.list(&ListParams::default()).await.map_err(|source| {
        LeftoversError::Home { what: "list the Repositories", source: Box::new(source) }
    })?;
    for repository in repositories.items {
        let name = repository.metadata.name.clone().unwrap_or_default();
        progress(&format!("deployments of Repository {name}"));
        match of_repository(search, &name, &repository).await {
            Ok((found, whole)) => {
                orphans.deployments.extend(found);
                if !whole {
                    let text =
                        format!("Repository {name}: older deployments than the newest 1,000");
                    orphans.not_looked_at.push(text);
                }
            }
            Err(reason) => {
                orphans.not_looked_at.push(format!("deployments of Repository {name}: {reason}"));
            }
        }
    }
    Ok(())
}

async fn of_repository(
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
            pull_request(&search.instance, &deployment.task).map(|number| (deployment, number.0))
        })
        .collect();
    // After the deployments: what was made meanwhile has a record that is seen.
    let records = super::records(search).await.map_err(|error| chain(&error))?;
    let known: BTreeSet<u64> = records
        .iter()
        .filter(|record| {
            record.spec.repository == name
                && record.metadata.namespace.as_deref() == Some(search.namespace.as_str())
        })
        .filter_map(|record| record.spec.source.number())
        .collect();
    let mut orphans = Vec::new();
    for (deployment, number) in ours {
        // Those of a record that is there are the service's to end.
        if known.contains(&number)
            || !forge.deployment_is_active(deployment.id).await.map_err(words)?
        {
            continue;
        }
        orphans.push(OrphanDeployment {
            repository: name.to_owned(),
            pull_request: number,
            id: deployment.id,
            revision: bounded(&deployment.revision, 40),
            reason: "there is no Environment for its pull request".to_owned(),
            forge: forge.clone(),
        });
    }
    orphans.sort_by_key(|orphan| (orphan.pull_request, orphan.id));
    Ok((orphans, whole))
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
