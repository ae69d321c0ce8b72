//! Deployments and environments.

use super::{Routed, number};
use crate::sandbox::github::call::{Call, Reply};
use crate::sandbox::github::model::Role;
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;

pub(super) fn route(state: &mut State, call: &Call, repo: u64, rest: &[&str]) -> Routed {
    Some(match (call.method.as_str(), rest) {
        ("GET", ["deployments"]) => list(state, call, repo),
        ("POST", ["deployments"]) => create(state, call, repo),
        ("GET", ["deployments", id]) => number(id).and_then(|id| {
            let found = state.repo(repo)?;
            Ok(Reply::ok(state.deployment_json(found, state.deployment(repo, id)?)))
        }),
        ("DELETE", ["deployments", id]) => number(id).and_then(|id| {
            state.need(call.actor, repo, Role::Write, &["deployments"])?;
            state.delete_deployment(repo, id)?;
            Ok(Reply::empty())
        }),
        ("GET", ["deployments", id, "statuses"]) => {
            number(id).and_then(|id| statuses(state, call, repo, id))
        }
        ("POST", ["deployments", id, "statuses"]) => number(id).and_then(|id| {
            state.need(call.actor, repo, Role::Write, &["deployments"])?;
            let by = state.account_of(call.actor)?;
            state.add_deployment_status(repo, id, call.json()?, by).map(Reply::created)
        }),
        ("GET", ["environments"]) => state.repo(repo).map(|found| {
            let rows = found.environments.values();
            let rows = rows.map(|environment| state.environment_json(found, environment)).collect();
            call.counted(&state.api(), "environments", rows)
        }),
        ("GET", ["environments", name]) => state.repo(repo).and_then(|found| {
            let environment = found.environments.get(*name).ok_or_else(Refusal::not_found)?;
            Ok(Reply::ok(state.environment_json(found, environment)))
        }),
        _ => return None,
    })
}

fn list(state: &State, call: &Call, repo: u64) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    let fits = |name: &str, value: &str| {
        call.query(name).is_none_or(|wanted| wanted == value || wanted == "none")
    };
    let rows = found.deployments.values().rev().filter(|deployment| {
        fits("sha", &deployment.sha)
            && fits("ref", &deployment.reference)
            && fits("task", &deployment.task)
            && fits("environment", &deployment.environment)
    });
    let rows = rows.map(|deployment| state.deployment_json(found, deployment)).collect();
    Ok(call.list(&state.api(), rows))
}

fn create(state: &mut State, call: &Call, repo: u64) -> Result<Reply, Refusal> {
    state.need(call.actor, repo, Role::Write, &["deployments"])?;
    let (by, app) = (state.account_of(call.actor)?, state.app_of(call.actor));
    let id = state.create_deployment(repo, call.json()?, by, app)?;
    let found = state.repo(repo)?;
    Ok(Reply::created(state.deployment_json(found, state.deployment(repo, id)?)))
}

fn statuses(state: &State, call: &Call, repo: u64, id: u64) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    let deployment = state.deployment(repo, id)?;
    let rows = deployment.statuses.iter().rev();
    let rows = rows.map(|status| state.deployment_status_json(found, deployment, status)).collect();
    Ok(call.list(&state.api(), rows))
}
