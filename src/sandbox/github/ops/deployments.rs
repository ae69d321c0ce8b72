//! Deployments, their statuses and the environments they name.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::github::model::{Deployment, DeploymentStatus, Environment, Repo};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;
use crate::sandbox::github::views::{node_id, time};

const STATES: &[&str] =
    &["error", "failure", "inactive", "in_progress", "queued", "pending", "success"];

#[derive(Debug, Deserialize)]
pub(in crate::sandbox::github) struct DeploymentInput {
    #[serde(rename = "ref")]
    reference: Option<String>,
    task: Option<String>,
    payload: Option<Value>,
    environment: Option<String>,
    description: Option<String>,
    #[serde(default)]
    transient_environment: bool,
    production_environment: Option<bool>,
    auto_merge: Option<bool>,
    required_contexts: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(in crate::sandbox::github) struct StatusInput {
    state: Option<String>,
    target_url: Option<String>,
    log_url: Option<String>,
    environment_url: Option<String>,
    environment: Option<String>,
    description: Option<String>,
    auto_inactive: Option<bool>,
}

impl State {
    /// The commit that a branch, a full reference or a hash names.
    pub(in crate::sandbox::github) fn resolve(
        &self,
        repo: u64,
        name: &str,
    ) -> Result<String, Refusal> {
        let git = &self.repo(repo)?.git;
        if name.len() == 40 && git.info(name).is_some() {
            return Ok(name.to_owned());
        }
        git.branch(name)
            .or_else(|| git.reference(&format!("refs/{name}")))
            .or_else(|| name.starts_with("refs/").then(|| git.reference(name)).flatten())
            .ok_or_else(|| Refusal::unprocessable(format!("No commit found for SHA: {name}")))
    }

    pub(in crate::sandbox::github) fn create_deployment(
        &mut self,
        repo: u64,
        input: DeploymentInput,
        by: u64,
        app: Option<u64>,
    ) -> Result<u64, Refusal> {
        let reference = input
            .reference
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Refusal::invalid("Deployment", "ref", "missing_field", None))?;
        let sha = self
            .resolve(repo, &reference)
            .map_err(|_| Refusal::unprocessable(format!("No ref found for: {reference}")))?;
        // Unset means: every status of the commit must be green; and a base branch that is ahead is merged first.
        let found = self.repo(repo)?;
        let combined = self.combined_status(found, &sha);
        if input.required_contexts.is_none()
            && combined["total_count"] != 0
            && combined["state"] != "success"
        {
            return Err(Refusal::new(409, "Conflict: Commit status checks failed for this ref."));
        }
        let merge_wanted = input.auto_merge.unwrap_or(true);
        let behind = found.git.branch(&found.default_branch).is_some_and(|tip| {
            found.git.branch(&reference).is_some_and(|head| {
                found.git.merge_base(&tip, &head).as_deref() != Some(tip.as_str())
            })
        });
        if merge_wanted && behind {
            let path = format!("/repos/{}/deployments (auto_merge)", self.full_name(found));
            return Err(Refusal::unsupported("POST", &path));
        }
        let environment = input.environment.unwrap_or_else(|| "production".to_owned());
        let (id, now) = (self.id(), self.now());
        if !self.repo(repo)?.environments.contains_key(&environment) {
            let environment_id = self.id();
            let new = Environment {
                id: environment_id,
                name: environment.clone(),
                created_at: now,
                updated_at: now,
            };
            self.repo_mut(repo)?.environments.insert(environment.clone(), new);
        }
        let deployment = Deployment {
            id,
            sha,
            reference,
            task: input.task.unwrap_or_else(|| "deploy".to_owned()),
            payload: input.payload.unwrap_or_else(|| json!({})),
            original_environment: environment.clone(),
            production: input.production_environment.unwrap_or(environment == "production"),
            environment,
            description: input.description,
            creator: by,
            app,
            transient: input.transient_environment,
            created_at: now,
            updated_at: now,
            statuses: Vec::new(),
        };
        self.repo_mut(repo)?.deployments.insert(id, deployment);
        let found = self.repo(repo)?;
        let json = self.deployment_json(found, self.deployment(repo, id)?);
        self.emit("deployment", repo, by, json!({ "action": "created", "deployment": json }));
        Ok(id)
    }

    pub(in crate::sandbox::github) fn deployment(
        &self,
        repo: u64,
        id: u64,
    ) -> Result<&Deployment, Refusal> {
        self.repo(repo)?.deployments.get(&id).ok_or_else(Refusal::not_found)
    }

    pub(in crate::sandbox::github) fn add_deployment_status(
        &mut self,
        repo: u64,
        id: u64,
        input: StatusInput,
        by: u64,
    ) -> Result<Value, Refusal> {
        let invalid =
            |field, words| Refusal::invalid("DeploymentStatus", field, "custom", Some(words));
        let state = input.state.unwrap_or_default();
        if !STATES.contains(&state.as_str()) {
            return Err(invalid("state", "state is not included in the list"));
        }
        let description = input.description.unwrap_or_default();
        if description.chars().count() > 140 {
            return Err(invalid(
                "description",
                "description is too long (maximum is 140 characters)",
            ));
        }
        let (status_id, now) = (self.id(), self.now());
        let deployment =
            self.repo_mut(repo)?.deployments.get_mut(&id).ok_or_else(Refusal::not_found)?;
        if let Some(environment) = input.environment {
            deployment.environment = environment;
        }
        let status = DeploymentStatus {
            id: status_id,
            state: state.clone(),
            description,
            environment: deployment.environment.clone(),
            environment_url: input.environment_url.unwrap_or_default(),
            log_url: input.log_url.or(input.target_url).unwrap_or_default(),
            creator: by,
            created_at: now,
        };
        deployment.updated_at = now;
        deployment.statuses.push(status.clone());
        let environment = deployment.environment.clone();
        if state == "success" && input.auto_inactive.unwrap_or(true) {
            self.retire_others(repo, id, &environment, by)?;
        }
        let found = self.repo(repo)?;
        let deployment = self.deployment(repo, id)?;
        let json = self.deployment_status_json(found, deployment, &status);
        let payload = json!({
            "action": "created",
            "deployment_status": json,
            "deployment": self.deployment_json(found, deployment),
        });
        self.emit("deployment_status", repo, by, payload);
        Ok(json)
    }

    /// `auto_inactive`: earlier deployments of the environment that are neither transient nor production.
    fn retire_others(
        &mut self,
        repo: u64,
        id: u64,
        environment: &str,
        by: u64,
    ) -> Result<(), Refusal> {
        let now = self.now();
        let others: Vec<u64> = self
            .repo(repo)?
            .deployments
            .range(..id)
            .filter(|(_, other)| other.environment == environment)
            .filter(|(_, other)| !other.transient && !other.production)
            .filter(|(_, other)| other.state() != "inactive")
            .map(|(other, _)| *other)
            .collect();
        for other in others {
            let status_id = self.id();
            if let Some(other) = self.repo_mut(repo)?.deployments.get_mut(&other) {
                let status = DeploymentStatus {
                    id: status_id,
                    state: "inactive".to_owned(),
                    description: String::new(),
                    environment: environment.to_owned(),
                    environment_url: String::new(),
                    log_url: String::new(),
                    creator: by,
                    created_at: now,
                };
                other.statuses.push(status);
                other.updated_at = now;
            }
        }
        Ok(())
    }

    pub(in crate::sandbox::github) fn delete_deployment(
        &mut self,
        repo: u64,
        id: u64,
    ) -> Result<(), Refusal> {
        let deployments = &self.repo(repo)?.deployments;
        let state = self.deployment(repo, id)?.state().to_owned();
        if deployments.len() > 1 && !matches!(state.as_str(), "inactive" | "error" | "failure") {
            let words = "We cannot delete an active deployment unless it is the only deployment in a given environment.";
            return Err(Refusal::unprocessable(words));
        }
        self.repo_mut(repo)?.deployments.remove(&id);
        Ok(())
    }

    pub(in crate::sandbox::github) fn deployment_json(
        &self,
        repo: &Repo,
        deployment: &Deployment,
    ) -> Value {
        let api = format!("{}/deployments/{}", self.repo_api(repo), deployment.id);
        let app = deployment.app.and_then(|id| self.apps.get(&id)).map(|app| self.app_json(app));
        json!({
            "id": deployment.id,
            "node_id": node_id("Deployment", deployment.id),
            "url": api,
            "sha": deployment.sha,
            "ref": deployment.reference,
            "task": deployment.task,
            "payload": deployment.payload,
            "original_environment": deployment.original_environment,
            "environment": deployment.environment,
            "description": deployment.description,
            "creator": self.user_json(deployment.creator),
            "created_at": time(deployment.created_at),
            "updated_at": time(deployment.updated_at),
            "statuses_url": format!("{api}/statuses"),
            "repository_url": self.repo_api(repo),
            "transient_environment": deployment.transient,
            "production_environment": deployment.production,
            "performed_via_github_app": app,
        })
    }

    pub(in crate::sandbox::github) fn deployment_status_json(
        &self,
        repo: &Repo,
        deployment: &Deployment,
        status: &DeploymentStatus,
    ) -> Value {
        let api = format!("{}/deployments/{}", self.repo_api(repo), deployment.id);
        json!({
            "id": status.id,
            "node_id": node_id("DeploymentStatus", status.id),
            "url": format!("{api}/statuses/{}", status.id),
            "state": status.state,
            "creator": self.user_json(status.creator),
            "description": status.description,
            "environment": status.environment,
            "target_url": status.log_url,
            "log_url": status.log_url,
            "environment_url": status.environment_url,
            "created_at": time(status.created_at),
            "updated_at": time(status.created_at),
            "deployment_url": api,
            "repository_url": self.repo_api(repo),
            "performed_via_github_app": null,
        })
    }

    pub(in crate::sandbox::github) fn environment_json(
        &self,
        repo: &Repo,
        environment: &Environment,
    ) -> Value {
        let name = crate::sandbox::github::views::encode(&environment.name);
        json!({
            "id": environment.id,
            "node_id": node_id("Environment", environment.id),
            "name": environment.name,
            "url": format!("{}/environments/{name}", self.repo_api(repo)),
            "html_url": format!("{}/deployments/activity_log?environments_filter={name}", self.repo_html(repo)),
            "created_at": time(environment.created_at),
            "updated_at": time(environment.updated_at),
            "can_admins_bypass": true,
            "protection_rules": [],
            "deployment_branch_policy": null,
        })
    }
}
