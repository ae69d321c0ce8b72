//! Check runs and commit statuses.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Routed, number};
use crate::sandbox::github::call::{Call, Reply};
use crate::sandbox::github::model::{CheckRun, Role};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;

pub(super) fn route(state: &mut State, call: &Call, repo: u64, rest: &[&str]) -> Routed {
    Some(match (call.method.as_str(), rest) {
        ("POST", ["check-runs"]) => create(state, call, repo),
        ("GET", ["check-runs", id]) => {
            number(id).and_then(|id| shown(state, repo, id)).map(Reply::ok)
        }
        ("GET", ["check-runs", id, "annotations"]) => number(id).and_then(|id| {
            let found = state.repo(repo)?;
            let run = found.check_runs.get(&id).ok_or_else(Refusal::not_found)?;
            Ok(call.list(&state.api(), state.annotations_json(found, run)))
        }),
        ("PATCH", ["check-runs", id]) => number(id).and_then(|id| update(state, call, repo, id)),
        ("GET", ["commits", name, "check-runs"]) => list(state, call, repo, name),
        ("GET", ["commits", name, "status"]) => state
            .resolve(repo, name)
            .and_then(|sha| Ok(Reply::ok(state.combined_status(state.repo(repo)?, &sha)))),
        ("GET", ["commits", name, "statuses"]) => statuses(state, call, repo, name),
        ("POST", ["statuses", sha]) => status(state, call, repo, sha),
        _ => return None,
    })
}

/// Only Apps write check runs.
fn need_app(state: &State, call: &Call, repo: u64) -> Result<(u64, u64), Refusal> {
    let app = state
        .app_of(call.actor)
        .ok_or_else(|| Refusal::forbidden("You must authenticate via a GitHub App."))?;
    state.need(call.actor, repo, Role::Write, &["checks"])?;
    Ok((app, state.account_of(call.actor)?))
}

fn shown(state: &State, repo: u64, id: u64) -> Result<Value, Refusal> {
    let found = state.repo(repo)?;
    let run = found.check_runs.get(&id).ok_or_else(Refusal::not_found)?;
    Ok(state.check_json(found, run))
}

fn create(state: &mut State, call: &Call, repo: u64) -> Result<Reply, Refusal> {
    let (app, by) = need_app(state, call, repo)?;
    let id = state.create_check_run(repo, call.json()?, app, by)?;
    shown(state, repo, id).map(Reply::created)
}

fn update(state: &mut State, call: &Call, repo: u64, id: u64) -> Result<Reply, Refusal> {
    let (app, by) = need_app(state, call, repo)?;
    state.update_check_run(repo, id, call.json()?, app, by)?;
    shown(state, repo, id).map(Reply::ok)
}

fn list(state: &State, call: &Call, repo: u64, name: &str) -> Result<Reply, Refusal> {
    let sha = state.resolve(repo, name)?;
    let found = state.repo(repo)?;
    let fits = |run: &&CheckRun| {
        run.head_sha == sha
            && call.query("check_name").is_none_or(|name| run.name == name)
            && call.query("status").is_none_or(|status| run.status == status)
            && call.query("app_id").is_none_or(|app| app == run.app.to_string())
    };
    let mut rows: Vec<&CheckRun> = found.check_runs.values().filter(fits).collect();
    if call.query("filter") != Some("all") {
        let latest: BTreeMap<(u64, &str), &CheckRun> =
            rows.iter().map(|run| ((run.app, run.name.as_str()), *run)).collect();
        rows.retain(|run| latest[&(run.app, run.name.as_str())].id == run.id);
    }
    rows.reverse();
    let rows = rows.into_iter().map(|run| state.check_json(found, run)).collect();
    Ok(call.counted(&state.api(), "check_runs", rows))
}

fn status(state: &mut State, call: &Call, repo: u64, sha: &str) -> Result<Reply, Refusal> {
    state.need(call.actor, repo, Role::Write, &["statuses"])?;
    let input: Value = call.json()?;
    let by = state.account_of(call.actor)?;
    state.add_status(repo, sha, &input, by).map(Reply::created)
}

fn statuses(state: &State, call: &Call, repo: u64, name: &str) -> Result<Reply, Refusal> {
    let sha = state.resolve(repo, name)?;
    let found = state.repo(repo)?;
    let rows = found.statuses.iter().rev().filter(|status| status.sha == sha);
    Ok(call.list(&state.api(), rows.map(|status| state.status_json(found, status)).collect()))
}
