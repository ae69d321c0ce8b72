//! I/O · deployments of one repository and their statuses.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::call::Call;
use super::client::{Forge, PER_PAGE, path_part};
use super::error::ForgeError;
use crate::domain::deployment::State;
use crate::domain::id::Revision;

/// 1,000 deployments of one pull request, or of one environment: nobody reads more, and neither do we.
const MOST_PAGES: usize = 10;

/// A deployment at the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Numeric id; a higher one is newer.
    pub id: u64,
    /// The commit.
    pub revision: String,
    /// What its maker calls it.
    pub task: String,
    /// Numeric id of the account that made it.
    pub creator: Option<u64>,
}

/// What is said of a deployment with a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentText<'a> {
    /// Where it stands.
    pub state: State,
    /// Where it is.
    pub url: Option<&'a str>,
    /// Where it is told how it went.
    pub log_url: Option<&'a str>,
}

#[derive(Deserialize)]
struct Wire {
    id: u64,
    sha: String,
    #[serde(default)]
    task: String,
    #[serde(default)]
    creator: Option<Creator>,
}

#[derive(Deserialize)]
struct Creator {
    id: u64,
}

#[derive(Deserialize)]
struct WireStatus {
    state: String,
}

impl From<Wire> for Deployment {
    fn from(wire: Wire) -> Self {
        Self {
            id: wire.id,
            revision: wire.sha,
            task: wire.task,
            creator: wire.creator.map(|creator| creator.id),
        }
    }
}

impl Forge {
    /// Deployments with that task, newest first, down to the one with the id `down_to`, which is not given.
    pub async fn deployments_of_task(
        &self,
        task: &str,
        down_to: u64,
    ) -> Result<Vec<Deployment>, ForgeError> {
        self.deployments(&format!("task={}", path_part(task)), down_to).await.map(|(all, _)| all)
    }

    /// Deployments to that environment, newest first. `false`: there are more than anybody reads, and the oldest are
    /// missing.
    pub async fn deployments_to(
        &self,
        environment: &str,
    ) -> Result<(Vec<Deployment>, bool), ForgeError> {
        self.deployments(&format!("environment={}", path_part(environment)), 0).await
    }

    async fn deployments(
        &self,
        query: &str,
        down_to: u64,
    ) -> Result<(Vec<Deployment>, bool), ForgeError> {
        let mut path = self.path(&format!("/deployments?{query}&per_page={PER_PAGE}"));
        let mut all: Vec<Deployment> = Vec::new();
        let mut whole = false;
        for _ in 0..MOST_PAGES {
            let reply = self.api.send(Call::get(&path)).await?;
            let page: Vec<Wire> = reply.json()?;
            let reached = page.iter().any(|found| found.id <= down_to);
            all.extend(page.into_iter().map(Deployment::from));
            let Some(next) = reply.next().filter(|_| !reached) else {
                whole = true;
                break;
            };
            path = next;
        }
        all.retain(|found| found.id > down_to);
        all.sort_by_key(|found| std::cmp::Reverse(found.id));
        all.dedup_by_key(|found| found.id);
        Ok((all, whole))
    }

    /// Whether a deployment's newest status says something else than that it is gone.
    pub async fn deployment_is_active(&self, id: u64) -> Result<bool, ForgeError> {
        let path = self.path(&format!("/deployments/{id}/statuses?per_page=1"));
        let statuses: Vec<WireStatus> = self.api.send(Call::get(&path)).await?.json()?;
        Ok(statuses.first().is_none_or(|newest| newest.state != State::Inactive.name()))
    }

    /// Makes a deployment of exactly this commit, which the forge neither merges first nor holds back for checks.
    pub async fn create_deployment(
        &self,
        revision: &Revision,
        task: &str,
        environment: &str,
    ) -> Result<Deployment, ForgeError> {
        let body = json!({
            "ref": revision.as_str(),
            "task": task,
            "environment": environment,
            "description": "Preview of a pull request",
            "transient_environment": true,
            "production_environment": false,
            "auto_merge": false,
            "required_contexts": [],
        });
        let reply = self.write(Method::POST, &self.path("/deployments"), Some(body)).await?;
        Ok(reply.json::<Wire>()?.into())
    }

    /// Says where a deployment stands.
    pub async fn set_deployment_status(
        &self,
        id: u64,
        text: &DeploymentText<'_>,
    ) -> Result<(), ForgeError> {
        let mut body = json!({
            "state": text.state.name(),
            "description": text.state.description(),
            // It would pass over transient ones anyway, and must not touch those of others.
            "auto_inactive": false,
        });
        if let Some(url) = text.url {
            body["environment_url"] = url.into();
        }
        if let Some(url) = text.log_url {
            body["log_url"] = url.into();
        }
        let path = self.path(&format!("/deployments/{id}/statuses"));
        self.write(Method::POST, &path, Some(body)).await.map(|_| ())
    }
}
