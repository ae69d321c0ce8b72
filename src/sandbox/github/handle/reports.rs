//! Handle: check runs, commit statuses and deployments, as people see them.

use serde_json::json;

use crate::sandbox::github::{GitHub, Refusal};

/// A check run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckView {
    /// Its id.
    pub id: u64,
    /// Slug of the App that made it.
    pub app: String,
    /// Its name.
    pub name: String,
    /// The commit.
    pub sha: String,
    /// What its maker calls it.
    pub external_id: String,
    /// `queued`, `in_progress`, `completed` …
    pub status: String,
    /// How it ended.
    pub conclusion: Option<String>,
    /// One line.
    pub title: String,
    /// Markdown.
    pub summary: String,
    /// Where "Details" leads.
    pub details_url: Option<String>,
    /// Remarks at files.
    pub annotations: Vec<AnnotationView>,
    /// Identifiers of its buttons.
    pub actions: Vec<String>,
}

/// A remark at a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnotationView {
    /// `path:line`, the first line.
    pub place: String,
    /// `notice`, `warning` or `failure`.
    pub level: String,
    /// Plain text.
    pub title: String,
    /// Plain text.
    pub message: String,
}

/// A commit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusView {
    /// The commit.
    pub sha: String,
    /// Its context.
    pub context: String,
    /// `pending`, `success`, `failure` or `error`.
    pub state: String,
    /// Plain text.
    pub description: String,
    /// Where "Details" leads.
    pub target_url: Option<String>,
}

/// A deployment with what was said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentView {
    /// Its id.
    pub id: u64,
    /// The commit.
    pub sha: String,
    /// What its maker calls it.
    pub task: String,
    /// Name of the environment.
    pub environment: String,
    /// Login of who made it.
    pub creator: String,
    /// The environment is not there for ever.
    pub transient: bool,
    /// It is what customers use.
    pub production: bool,
    /// The states in their order, the newest last.
    pub states: Vec<String>,
    /// Where it is, by the newest status.
    pub environment_url: String,
    /// Where it is told how it went, by the newest status.
    pub log_url: String,
}

/// Check runs, commit statuses and deployments.
impl GitHub {
    /// All check runs of a repository, oldest first.
    pub fn check_runs(&self, repo: &str) -> Result<Vec<CheckView>, Refusal> {
        let state = self.state();
        let found = state.repo(state.named(repo)?)?;
        let runs = found.check_runs.values().map(|run| CheckView {
            id: run.id,
            app: state.apps.get(&run.app).map(|app| app.slug.clone()).unwrap_or_default(),
            name: run.name.clone(),
            sha: run.head_sha.clone(),
            external_id: run.external_id.clone(),
            status: run.status.clone(),
            conclusion: run.conclusion.clone(),
            title: run.title.clone().unwrap_or_default(),
            summary: run.summary.clone().unwrap_or_default(),
            details_url: run.details_url.clone(),
            annotations: run
                .annotations
                .iter()
                .map(|annotation| AnnotationView {
                    place: format!("{}:{}", annotation.path, annotation.start_line),
                    level: annotation.annotation_level.clone(),
                    title: annotation.title.clone().unwrap_or_default(),
                    message: annotation.message.clone(),
                })
                .collect(),
            actions: run.actions.iter().map(|action| action.identifier.clone()).collect(),
        });
        Ok(runs.collect())
    }

    /// What CI does with a check as an App: starts a run, or concludes the newest one of that name at the commit.
    pub fn check(
        &self,
        repo: &str,
        app: u64,
        sha: &str,
        name: &str,
        conclusion: Option<&str>,
    ) -> Result<u64, Refusal> {
        let mut state = self.state();
        let repo = state.named(repo)?;
        let owner = state.repo(repo)?.owner;
        let mut input = json!({ "name": name, "head_sha": sha });
        match conclusion {
            Some(conclusion) => input["conclusion"] = conclusion.into(),
            None => input["status"] = "in_progress".into(),
        }
        let input = serde_json::from_value(input).map_err(Refusal::broken)?;
        let runs = state.repo(repo)?.check_runs.values().rev();
        let open = runs
            .filter(|run| run.app == app && run.head_sha == sha && run.name == name)
            .find(|run| run.status != "completed" && conclusion.is_some())
            .map(|run| run.id);
        match open {
            Some(id) => state.update_check_run(repo, id, input, app, owner).map(|()| id),
            None => state.create_check_run(repo, input, app, owner),
        }
    }

    /// The same as GitHub Actions does it: a job's check run, and the event of the workflow that it is in. The App stands
    /// for Actions.
    pub fn workflow(
        &self,
        repo: &str,
        app: u64,
        sha: &str,
        job: &str,
        conclusion: Option<&str>,
    ) -> Result<u64, Refusal> {
        let run = self.check(repo, app, sha, job, conclusion)?;
        let mut state = self.state();
        let repo = state.named(repo)?;
        let owner = state.repo(repo)?.owner;
        state.workflow_event(repo, run, owner)?;
        Ok(run)
    }

    /// What CI does with a commit status.
    pub fn set_status(
        &self,
        repo: &str,
        sha: &str,
        context: &str,
        status: &str,
        by: &str,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        let (repo, by) = state.named_by(repo, by)?;
        let input = json!({ "state": status, "context": context });
        state.add_status(repo, sha, &input, by).map(drop)
    }

    /// All commit statuses of a repository, oldest first.
    pub fn statuses(&self, repo: &str) -> Result<Vec<StatusView>, Refusal> {
        let state = self.state();
        let found = state.repo(state.named(repo)?)?;
        let statuses = found.statuses.iter().map(|status| StatusView {
            sha: status.sha.clone(),
            context: status.context.clone(),
            state: status.state.clone(),
            description: status.description.clone().unwrap_or_default(),
            target_url: status.target_url.clone(),
        });
        Ok(statuses.collect())
    }

    /// All deployments of a repository, oldest first.
    pub fn deployments(&self, repo: &str) -> Result<Vec<DeploymentView>, Refusal> {
        let state = self.state();
        let found = state.repo(state.named(repo)?)?;
        let deployments = found.deployments.values().map(|deployment| {
            let newest = deployment.statuses.last();
            DeploymentView {
                id: deployment.id,
                sha: deployment.sha.clone(),
                task: deployment.task.clone(),
                environment: deployment.environment.clone(),
                creator: state.login(deployment.creator).to_owned(),
                transient: deployment.transient,
                production: deployment.production,
                states: deployment.statuses.iter().map(|status| status.state.clone()).collect(),
                environment_url: newest.map(|s| s.environment_url.clone()).unwrap_or_default(),
                log_url: newest.map(|s| s.log_url.clone()).unwrap_or_default(),
            }
        });
        Ok(deployments.collect())
    }
}
