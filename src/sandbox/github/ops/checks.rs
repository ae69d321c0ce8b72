//! Check runs (written by Apps only) and commit statuses.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sandbox::github::model::{CheckAction, CheckAnnotation, CheckRun, Repo, Status, Time};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;
use crate::sandbox::github::views::{node_id, time};

const STATUSES: &[&str] =
    &["queued", "in_progress", "completed", "waiting", "requested", "pending"];
const CONCLUSIONS: &[&str] = &[
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "success",
    "skipped",
    "stale",
    "timed_out",
];
/// Annotations that one request may bring.
const ANNOTATIONS: usize = 50;
/// Statuses of one context that a commit may have.
const STATUSES_OF_ONE: usize = 1000;
/// Longest summary and text of a check run, in bytes.
const LONGEST: usize = 65_535;

/// What a client sends to create or change a check run.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::sandbox::github) struct CheckInput {
    name: Option<String>,
    head_sha: Option<String>,
    details_url: Option<String>,
    external_id: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    started_at: Option<Time>,
    completed_at: Option<Time>,
    output: Option<CheckOutput>,
    actions: Option<Vec<CheckAction>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CheckOutput {
    title: Option<String>,
    summary: Option<String>,
    text: Option<String>,
    annotations: Vec<CheckAnnotation>,
}

fn invalid(field: &str, words: &str) -> Refusal {
    Refusal::invalid("CheckRun", field, "custom", Some(words))
}

impl CheckInput {
    fn check(&self) -> Result<(), Refusal> {
        let known = |value: &Option<String>, list: &[&str]| {
            value.as_deref().is_none_or(|value| list.contains(&value))
        };
        if !known(&self.status, STATUSES) {
            return Err(invalid("status", "is not included in the list"));
        }
        if !known(&self.conclusion, CONCLUSIONS) {
            return Err(invalid("conclusion", "is not included in the list"));
        }
        if self.status.as_deref() == Some("completed") && self.conclusion.is_none() {
            return Err(Refusal::invalid("CheckRun", "conclusion", "missing_field", None));
        }
        if let Some(actions) = &self.actions {
            if actions.len() > 3 {
                return Err(invalid("actions", "no more than 3 actions are allowed"));
            }
            for CheckAction { label, description, identifier } in actions {
                let long = |text: &str, most| text.is_empty() || text.chars().count() > most;
                if long(label, 20) || long(description, 40) || long(identifier, 20) {
                    return Err(invalid("actions", "label, description or identifier is too long"));
                }
            }
        }
        if let Some(output) = &self.output {
            if output.title.is_none() || output.summary.is_none() {
                return Err(invalid("output", "title and summary weren't supplied"));
            }
            let long = |text: &Option<String>| text.as_ref().is_some_and(|t| t.len() > LONGEST);
            if long(&output.summary) || long(&output.text) {
                return Err(invalid("summary", "is too long (maximum is 65535 characters)"));
            }
            let count = output.annotations.len();
            if count > ANNOTATIONS {
                return Err(Refusal::unprocessable(format!(
                    "Invalid request.\n\nNo more than {ANNOTATIONS} items are allowed; {count} were supplied."
                )));
            }
            for annotation in &output.annotations {
                annotation.check()?;
            }
        }
        Ok(())
    }

    fn put_into(self, run: &mut CheckRun, now: Time) {
        let Self {
            name,
            head_sha: _,
            details_url,
            external_id,
            status,
            conclusion,
            started_at,
            completed_at,
            output,
            actions,
        } = self;
        if let Some(name) = name {
            run.name = name;
        }
        if let Some(external_id) = external_id {
            run.external_id = external_id;
        }
        if let Some(status) = status {
            run.status = status;
        }
        if let Some(actions) = actions {
            run.actions = actions;
        }
        if let Some(CheckOutput { title, summary, text, annotations }) = output {
            (run.title, run.summary) = (title, summary);
            run.annotations.extend(annotations);
            run.text = text.or(run.text.take());
        }
        run.details_url = details_url.or(run.details_url.take());
        run.started_at = started_at.or(run.started_at);
        if conclusion.is_some() {
            "completed".clone_into(&mut run.status);
            run.conclusion = conclusion;
        } else if run.status != "completed" {
            run.conclusion = None;
        }
        run.completed_at = match run.status.as_str() {
            "completed" => completed_at.or(run.completed_at).or(Some(now)),
            _ => None,
        };
    }
}

impl CheckAnnotation {
    fn check(&self) -> Result<(), Refusal> {
        let wrong =
            |field, words| Refusal::invalid("CheckAnnotation", field, "custom", Some(words));
        if !matches!(self.annotation_level.as_str(), "notice" | "warning" | "failure") {
            return Err(wrong("annotation_level", "is not included in the list"));
        }
        if self.path.is_empty() {
            return Err(Refusal::invalid("CheckAnnotation", "path", "missing_field", None));
        }
        if self.message.is_empty() || self.message.len() > 65_536 {
            return Err(wrong("message", "is empty or longer than 64 KB"));
        }
        if self.title.as_ref().is_some_and(|title| title.chars().count() > 255) {
            return Err(wrong("title", "is too long (maximum is 255 characters)"));
        }
        if self.start_line == 0 || self.end_line < self.start_line {
            return Err(wrong("end_line", "must not be before start_line"));
        }
        let columns = self.start_column.is_some() || self.end_column.is_some();
        if columns && self.start_line != self.end_line {
            return Err(wrong("start_column", "is for annotations of one line"));
        }
        Ok(())
    }
}

impl State {
    /// The annotations of a run, as they are listed.
    pub(in crate::sandbox::github) fn annotations_json(
        &self,
        repo: &Repo,
        run: &CheckRun,
    ) -> Vec<Value> {
        let blob = |path: &str| format!("{}/blob/{}/{path}", self.repo_html(repo), run.head_sha);
        let rows = run.annotations.iter().map(|annotation| {
            let mut row = serde_json::to_value(annotation).unwrap_or_default();
            row["blob_href"] = blob(&annotation.path).into();
            row
        });
        rows.collect()
    }

    pub(in crate::sandbox::github) fn create_check_run(
        &mut self,
        repo: u64,
        input: CheckInput,
        app: u64,
        by: u64,
    ) -> Result<u64, Refusal> {
        let missing = |field| Refusal::invalid("CheckRun", field, "missing_field", None);
        let name = input.name.clone().filter(|n| !n.is_empty()).ok_or_else(|| missing("name"))?;
        let head_sha = input.head_sha.clone().ok_or_else(|| missing("head_sha"))?;
        input.check()?;
        if self.repo(repo)?.git.info(&head_sha).is_none() {
            return Err(Refusal::unprocessable(format!("No commit found for SHA: {head_sha}")));
        }
        let suite = self
            .repo(repo)?
            .check_runs
            .values()
            .find(|run| run.app == app && run.head_sha == head_sha)
            .map(|run| run.suite);
        let suite = match suite {
            Some(suite) => suite,
            None => self.id(),
        };
        let (id, now) = (self.id(), self.now());
        let mut run = CheckRun {
            id,
            suite,
            app,
            name,
            head_sha,
            external_id: String::new(),
            details_url: None,
            status: "queued".to_owned(),
            conclusion: None,
            started_at: Some(now),
            completed_at: None,
            title: None,
            summary: None,
            text: None,
            actions: Vec::new(),
            annotations: Vec::new(),
        };
        input.put_into(&mut run, now);
        let completed = run.status == "completed";
        self.repo_mut(repo)?.check_runs.insert(id, run);
        self.check_event(repo, id, "created", by, None)?;
        if completed {
            self.suite_event(repo, suite, by)?;
        }
        Ok(id)
    }

    pub(in crate::sandbox::github) fn update_check_run(
        &mut self,
        repo: u64,
        id: u64,
        input: CheckInput,
        app: u64,
        by: u64,
    ) -> Result<(), Refusal> {
        input.check()?;
        let now = self.now();
        let found = self.repo_mut(repo)?.check_runs.get_mut(&id).ok_or_else(Refusal::not_found)?;
        if found.app != app {
            return Err(Refusal::forbidden(
                "Invalid app_id - check run can only be modified by the GitHub App that created it.",
            ));
        }
        let was_open = found.status != "completed";
        input.put_into(found, now);
        let suite = found.suite;
        if was_open && found.status == "completed" {
            self.check_event(repo, id, "completed", by, None)?;
            self.suite_event(repo, suite, by)?;
        }
        Ok(())
    }

    /// `check_run` to everybody; a person's press of a button tells which one.
    pub(in crate::sandbox::github) fn check_event(
        &mut self,
        repo: u64,
        id: u64,
        action: &str,
        by: u64,
        pressed: Option<&str>,
    ) -> Result<(), Refusal> {
        let found = self.repo(repo)?;
        let run = found.check_runs.get(&id).ok_or_else(Refusal::not_found)?;
        let mut payload = json!({ "action": action, "check_run": self.check_json(found, run) });
        if let Some(identifier) = pressed {
            if !run.actions.iter().any(|action| action.identifier == identifier) {
                return Err(Refusal::not_found());
            }
            payload["requested_action"] = json!({ "identifier": identifier });
        }
        self.emit("check_run", repo, by, payload);
        Ok(())
    }

    pub(in crate::sandbox::github) fn check_json(&self, repo: &Repo, run: &CheckRun) -> Value {
        let api = format!("{}/check-runs/{}", self.repo_api(repo), run.id);
        let html = format!("{}/runs/{}", self.repo_html(repo), run.id);
        json!({
            "id": run.id,
            "node_id": node_id("CheckRun", run.id),
            "name": run.name,
            "head_sha": run.head_sha,
            "external_id": run.external_id,
            "url": api,
            "html_url": html,
            "details_url": run.details_url.as_ref().unwrap_or(&html),
            "status": run.status,
            "conclusion": run.conclusion,
            "started_at": run.started_at.map(time),
            "completed_at": run.completed_at.map(time),
            "output": {
                "title": run.title, "summary": run.summary, "text": run.text,
                "annotations_count": run.annotations.len(), "annotations_url": format!("{api}/annotations"),
            },
            "check_suite": { "id": run.suite, "head_sha": run.head_sha },
            "app": self.apps.get(&run.app).map(|app| self.app_json(app)),
            "pull_requests": self.pulls_at(repo, &run.head_sha),
        })
    }

    /// Pull requests whose head the commit is, as checks name them. As GitHub: only those whose head is in the repository
    /// itself.
    pub(super) fn pulls_at(&self, repo: &Repo, sha: &str) -> Vec<Value> {
        repo.issues
            .values()
            .filter(|issue| issue.open)
            .filter_map(|issue| issue.pull.as_ref().map(|pull| (issue, pull)))
            .filter(|(_, pull)| pull.head_sha == sha && pull.head_repo == Some(repo.id))
            .map(|(issue, pull)| {
                let short = json!({
                    "id": repo.id, "url": self.repo_api(repo), "name": repo.name,
                });
                json!({
                    "id": pull.id, "number": issue.number,
                    "url": format!("{}/pulls/{}", self.repo_api(repo), issue.number),
                    "head": { "ref": pull.head_branch, "sha": pull.head_sha, "repo": short },
                    "base": { "ref": pull.base_branch, "sha": pull.base_sha, "repo": short },
                })
            })
            .collect()
    }

    pub(in crate::sandbox::github) fn add_status(
        &mut self,
        repo: u64,
        sha: &str,
        input: &Value,
        by: u64,
    ) -> Result<Value, Refusal> {
        let state = input["state"].as_str().unwrap_or_default();
        if !matches!(state, "error" | "failure" | "pending" | "success") {
            let words = Some("state is not included in the list");
            return Err(Refusal::invalid("Status", "state", "custom", words));
        }
        if self.repo(repo)?.git.info(sha).is_none() {
            return Err(Refusal::unprocessable(format!("No commit found for SHA: {sha}")));
        }
        let text = |field: &str| input[field].as_str().map(str::to_owned);
        if text("description").is_some_and(|text| text.chars().count() > 140) {
            let words = Some("description is too long (maximum is 140 characters)");
            return Err(Refusal::invalid("Status", "description", "custom", words));
        }
        let context = text("context").unwrap_or_else(|| "default".to_owned());
        let statuses = &self.repo(repo)?.statuses;
        let same = statuses.iter().filter(|other| other.sha == sha && other.context == context);
        if same.count() >= STATUSES_OF_ONE {
            let words = "This SHA and context has reached the maximum number of statuses.";
            return Err(Refusal::invalid("Status", "base", "custom", Some(words)));
        }
        let status = Status {
            id: self.id(),
            sha: sha.to_owned(),
            state: state.to_owned(),
            context,
            description: text("description"),
            target_url: text("target_url"),
            creator: by,
            created_at: self.now(),
        };
        let found = self.repo(repo)?;
        let json = self.status_json(found, &status);
        let name = self.full_name(found);
        let mut payload = json.clone();
        payload["sha"] = sha.into();
        payload["name"] = name.into();
        payload["branches"] = json!([]);
        self.repo_mut(repo)?.statuses.push(status);
        self.emit("status", repo, by, payload);
        Ok(json)
    }

    pub(in crate::sandbox::github) fn status_json(&self, repo: &Repo, status: &Status) -> Value {
        json!({
            "id": status.id,
            "node_id": node_id("StatusContext", status.id),
            "url": format!("{}/statuses/{}", self.repo_api(repo), status.sha),
            "avatar_url": format!("{}/avatars/u/{}", self.url, status.creator),
            "state": status.state,
            "context": status.context,
            "description": status.description,
            "target_url": status.target_url,
            "creator": self.user_json(status.creator),
            "created_at": time(status.created_at),
            "updated_at": time(status.created_at),
        })
    }

    /// Newest status of each context at a commit, and all of them as one.
    pub(in crate::sandbox::github) fn combined_status(&self, repo: &Repo, sha: &str) -> Value {
        let mut latest: std::collections::BTreeMap<&str, &Status> =
            std::collections::BTreeMap::new();
        for status in repo.statuses.iter().filter(|status| status.sha == sha) {
            latest.insert(&status.context, status);
        }
        let any = |state: &str| latest.values().any(|status| status.state == state);
        let state = if any("failure") || any("error") {
            "failure"
        } else if latest.is_empty() || any("pending") {
            "pending"
        } else {
            "success"
        };
        let api = self.repo_api(repo);
        json!({
            "state": state,
            "sha": sha,
            "total_count": latest.len(),
            "statuses": latest.values().map(|s| self.status_json(repo, s)).collect::<Vec<_>>(),
            "repository": self.repo_json(repo, crate::sandbox::github::model::Actor::Anonymous),
            "commit_url": format!("{api}/commits/{sha}"),
            "url": format!("{api}/commits/{sha}/status"),
        })
    }
}
