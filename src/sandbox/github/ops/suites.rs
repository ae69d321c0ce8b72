//! Check suites (all runs of one App at a commit) and workflow runs of GitHub Actions, as far as events tell of them.

use serde_json::{Value, json};

use crate::sandbox::github::model::{CheckRun, Repo};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;
use crate::sandbox::github::views::{node_id, time};

/// The worst first: the conclusion of a suite is that of its worst run.
const WORST: [&str; 8] = [
    "action_required",
    "timed_out",
    "cancelled",
    "failure",
    "stale",
    "success",
    "neutral",
    "skipped",
];

fn conclusion<'a>(runs: &[&'a CheckRun]) -> Option<&'a str> {
    let of = |run: &&'a CheckRun| run.conclusion.as_deref();
    let place = |word: &&str| WORST.iter().position(|known| known == word).unwrap_or(0);
    runs.iter().filter_map(of).min_by_key(place)
}

impl State {
    /// `check_suite` `completed`, when the last run of a suite has ended.
    pub(super) fn suite_event(&mut self, repo: u64, suite: u64, by: u64) -> Result<(), Refusal> {
        let found = self.repo(repo)?;
        let runs: Vec<&CheckRun> =
            found.check_runs.values().filter(|run| run.suite == suite).collect();
        let Some(first) = runs.first() else { return Ok(()) };
        if runs.iter().any(|run| run.status != "completed") {
            return Ok(());
        }
        let url = format!("{}/check-suites/{suite}", self.repo_api(found));
        let branch = branch_of(found, &first.head_sha);
        let started = runs.iter().filter_map(|run| run.started_at).min();
        let ended = runs.iter().filter_map(|run| run.completed_at).max();
        let payload = json!({
            "action": "completed",
            "check_suite": {
                "id": suite,
                "node_id": node_id("CheckSuite", suite),
                "head_branch": branch,
                "head_sha": first.head_sha,
                "status": "completed",
                "conclusion": conclusion(&runs),
                "url": url,
                "before": found.git.info(&first.head_sha).and_then(|info| info.parents.first().cloned()),
                "after": first.head_sha,
                "pull_requests": self.pulls_at(found, &first.head_sha),
                "app": self.apps.get(&first.app).map(|app| self.app_json(app)),
                "created_at": started.map(time),
                "updated_at": ended.map(time),
                "latest_check_runs_count": runs.len(),
                "check_runs_url": format!("{url}/check-runs"),
                "head_commit": head_commit(found, &first.head_sha),
            },
        });
        self.emit("check_suite", repo, by, payload);
        Ok(())
    }

    /// `workflow_run` of the suite that a check run is in: `completed` with its conclusion, or that it was requested. A
    /// workflow is known by its file alone.
    pub(in crate::sandbox::github) fn workflow_event(
        &mut self,
        repo: u64,
        run: u64,
        by: u64,
    ) -> Result<(), Refusal> {
        let found = self.repo(repo)?;
        let run = found.check_runs.get(&run).ok_or_else(Refusal::not_found)?;
        let suite = run.suite;
        let runs: Vec<&CheckRun> =
            found.check_runs.values().filter(|run| run.suite == suite).collect();
        let is_over = runs.iter().all(|run| run.status == "completed");
        let (api, html) = (self.repo_api(found), self.repo_html(found));
        let (url, workflow) = (format!("{api}/actions/runs/{suite}"), run.app);
        let path = format!(".github/workflows/{}.yml", run.name);
        let at = run.started_at.map(time);
        let whole = self.repo_json(found, crate::sandbox::github::model::Actor::Anonymous);
        let payload = json!({
            "action": if is_over { "completed" } else { "requested" },
            "workflow": {
                "id": workflow,
                "node_id": node_id("Workflow", workflow),
                "name": run.name,
                "path": path,
                "state": "active",
                "created_at": at,
                "updated_at": at,
                "url": format!("{api}/actions/workflows/{workflow}"),
                "html_url": format!("{html}/blob/{}/{path}", found.default_branch),
                "badge_url": format!("{html}/workflows/{}/badge.svg", run.name),
            },
            "workflow_run": {
                "id": suite,
                "node_id": node_id("WorkflowRun", suite),
                "name": run.name,
                "event": "pull_request",
                "status": if is_over { "completed" } else { "queued" },
                "conclusion": if is_over { conclusion(&runs) } else { None },
                "head_branch": branch_of(found, &run.head_sha),
                "head_sha": run.head_sha,
                "head_commit": head_commit(found, &run.head_sha),
                "head_repository": whole,
                "repository": whole,
                "pull_requests": self.pulls_at(found, &run.head_sha),
                "run_number": 1,
                "run_attempt": 1,
                "run_started_at": at,
                "created_at": at,
                "updated_at": run.completed_at.map(time).or(at),
                "workflow_id": workflow,
                "workflow_url": format!("{api}/actions/workflows/{workflow}"),
                "check_suite_id": suite,
                "check_suite_node_id": node_id("CheckSuite", suite),
                "check_suite_url": format!("{api}/check-suites/{suite}"),
                "url": url,
                "html_url": format!("{html}/actions/runs/{suite}"),
                "jobs_url": format!("{url}/jobs"),
                "logs_url": format!("{url}/logs"),
                "artifacts_url": format!("{url}/artifacts"),
                "cancel_url": format!("{url}/cancel"),
                "rerun_url": format!("{url}/rerun"),
                "previous_attempt_url": null,
            },
        });
        self.emit("workflow_run", repo, by, payload);
        Ok(())
    }
}

/// The branch that a commit is the head of; of several the first by name.
fn branch_of(repo: &Repo, sha: &str) -> Option<String> {
    let pulls = repo.issues.values().filter_map(|issue| issue.pull.as_ref());
    let of_pull = pulls.filter(|pull| pull.head_sha == sha).map(|pull| pull.head_branch.clone());
    let usual = || {
        Some(repo.default_branch.clone())
            .filter(|name| repo.git.branch(name).as_deref() == Some(sha))
    };
    of_pull.min().or_else(usual)
}

/// A commit as events of checks show it.
fn head_commit(repo: &Repo, sha: &str) -> Option<Value> {
    let info = repo.git.info(sha)?;
    let person = json!({ "name": info.author, "email": info.email });
    Some(json!({
        "id": info.sha, "tree_id": info.tree, "message": info.message, "timestamp": time(info.at),
        "author": person, "committer": person,
    }))
}
