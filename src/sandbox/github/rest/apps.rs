//! What an App does about itself: who it is, where it is installed, tokens, its hook's deliveries.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Routed, number};
use crate::sandbox::github::call::{Call, Reply};
use crate::sandbox::github::hooks::{Hook, Outcome, Scope};
use crate::sandbox::github::model::Actor;
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;

pub(super) fn route(state: &mut State, call: &Call, parts: &[&str]) -> Routed {
    if let ("GET", ["installation", "repositories"]) = (call.method.as_str(), parts) {
        return Some(repositories(state, call));
    }
    let Actor::App(app) = call.actor else {
        return Some(Err(Refusal::new(401, "A JSON web token could not be decoded")));
    };
    let hook = state.hooks.values().find(|hook| hook.scope == Scope::App(app)).map(|hook| hook.id);
    let hook = || hook.ok_or_else(Refusal::not_found);
    Some(match (call.method.as_str(), parts) {
        ("GET", ["app"]) => {
            let app = state.apps.get(&app).ok_or_else(Refusal::not_found);
            app.map(|app| Reply::ok(state.app_json(app)))
        }
        ("GET", ["app", "installations"]) => {
            let rows = state.installations.values().filter(|found| found.app == app);
            let rows = rows.map(|found| state.installation_json(found)).collect();
            Ok(call.list(&state.api(), rows))
        }
        ("GET", ["app", "installations", id]) => own(state, app, id)
            .map(|id| Reply::ok(state.installation_json(&state.installations[&id]))),
        ("POST", ["app", "installations", id, "access_tokens"]) => {
            own(state, app, id).and_then(|id| mint(state, call, id)).map(Reply::created)
        }
        ("GET", ["app", "hook", "config"]) => {
            hook().map(|hook| Reply::ok(config(&state.hooks[&hook])))
        }
        ("GET", ["app", "hook", "deliveries"]) => hook().and_then(|hook| log(state, call, hook)),
        ("GET", ["app", "hook", "deliveries", id]) => {
            number(id).and_then(|id| one(state, hook()?, id))
        }
        ("POST", ["app", "hook", "deliveries", id, "attempts"]) => {
            number(id).and_then(|id| again(state, hook()?, id))
        }
        _ => return None,
    })
}

/// What a token is asked for; without it, it is for all.
#[derive(Deserialize)]
struct Asked {
    repositories: Option<Vec<String>>,
    repository_ids: Option<Vec<u64>>,
    permissions: Option<BTreeMap<String, String>>,
}

fn mint(state: &mut State, call: &Call, installation: u64) -> Result<Value, Refusal> {
    let asked: Asked = call.json()?;
    let owner = state.installations.get(&installation).map_or(0, |found| found.account);
    let named = |name: &String| {
        let mut repos = state.repos.values();
        repos.find(|repo| repo.owner == owner && repo.name.eq_ignore_ascii_case(name)).map(|r| r.id)
    };
    let ids = match (asked.repositories, asked.repository_ids) {
        (None, None) => None,
        (Some(names), None) => {
            Some(names.iter().map(named).collect::<Option<_>>().ok_or_else(unreachable)?)
        }
        (None, Some(ids)) => Some(ids.into_iter().collect()),
        (Some(_), Some(_)) => {
            let words = "Only one of repositories and repository_ids may be given.";
            return Err(Refusal::unprocessable(words));
        }
    };
    state.installation_token(installation, ids, asked.permissions)
}

/// GitHub's words for a repository that an installation does not cover, or that is not there.
pub(in crate::sandbox::github) fn unreachable() -> Refusal {
    Refusal::unprocessable(
        "There is at least one repository that does not exist or is not accessible to the parent installation.",
    )
}

fn own(state: &State, app: u64, id: &str) -> Result<u64, Refusal> {
    let id = number(id)?;
    let found = state.installations.get(&id).filter(|found| found.app == app);
    found.map(|found| found.id).ok_or_else(Refusal::not_found)
}

fn repositories(state: &State, call: &Call) -> Result<Reply, Refusal> {
    let Actor::Installation(bearer) = call.actor else {
        let words = "You must authenticate with an installation access token in order to list repositories for an installation.";
        return Err(Refusal::forbidden(words));
    };
    let rows = state.covered(bearer).into_iter().map(|repo| state.repo_json(repo, call.actor));
    Ok(call.counted(&state.api(), "repositories", rows.collect()))
}

/// Where a hook leads; its secret is never shown.
fn config(hook: &Hook) -> Value {
    let mut config = json!({ "content_type": "json", "insecure_ssl": "0", "url": hook.url });
    if !hook.secret.is_empty() {
        config["secret"] = "********".into();
    }
    config
}

/// A page of the log of a hook, newest first, by cursor: the page begins below that number.
pub(super) fn log(state: &State, call: &Call, hook: u64) -> Result<Reply, Refusal> {
    let wanted = |outcome: &Outcome| {
        let (code, _) = outcome.words();
        match call.query("status") {
            None => Ok(true),
            Some("success") => Ok((200..300).contains(&code)),
            Some("failure") => Ok(!(200..300).contains(&code)),
            Some(_) => Err(Refusal::invalid("Request", "status", "invalid", None)),
        }
    };
    let below = match call.query("cursor") {
        None => u64::MAX,
        Some(text) => {
            let words = || Refusal::invalid("Request", "cursor", "invalid", None);
            text.strip_prefix("v1_").and_then(|text| text.parse().ok()).ok_or_else(words)?
        }
    };
    let mut rows = Vec::new();
    for delivery in state.deliveries.range(..below).rev().map(|(_, delivery)| delivery) {
        // What is still on its way, or was lost before it was sent, is in no log.
        let shown = delivery.hook == hook
            && !matches!(delivery.outcome, Outcome::Queued | Outcome::Lost)
            && state.is_kept(delivery);
        if shown && wanted(&delivery.outcome)? {
            rows.push((delivery.id, state.delivery_json(delivery, false)));
        }
    }
    let more = rows.len();
    let (_, per_page) = call.page();
    rows.truncate(per_page);
    let last = rows.last().filter(|_| more > per_page).map(|(id, _)| *id);
    let mut reply = Reply::ok(rows.into_iter().map(|(_, row)| row).collect());
    if let Some(last) = last {
        let link = call.address_with(&state.api(), "cursor", &format!("v1_{last}"));
        reply.headers.push(("link", format!("<{link}>; rel=\"next\"")));
    }
    Ok(reply)
}

/// One delivery, whole.
pub(super) fn one(state: &State, hook: u64, id: u64) -> Result<Reply, Refusal> {
    let found = state.deliveries.get(&id).filter(|delivery| delivery.hook == hook);
    let found = found.filter(|delivery| state.is_kept(delivery));
    found.map(|found| Reply::ok(state.delivery_json(found, true))).ok_or_else(Refusal::not_found)
}

/// Sends a delivery once more.
pub(super) fn again(state: &mut State, hook: u64, id: u64) -> Result<Reply, Refusal> {
    one(state, hook, id)?;
    state.redeliver(id)?;
    Ok(Reply::new(202, json!({})))
}
