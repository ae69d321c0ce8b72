//! The REST API's routes. What is not here is answered 501 with its name.

pub(super) mod apps;
mod checks;
mod deployments;
mod graphql;
mod issues;
mod pulls;
mod repos;

use serde_json::json;

use super::call::{Call, Reply};
use super::model::Actor;
use super::refusal::Refusal;
use super::state::State;
use super::views::permissions;

/// First parts of paths that are the API's when no prefix says so.
pub(super) const ROOTS: &[&str] = &[
    "repos",
    "repositories",
    "user",
    "users",
    "rate_limit",
    "meta",
    "app",
    "app-manifests",
    "applications",
    "installation",
    "orgs",
    "graphql",
    "zen",
];

/// Answers one API request.
pub(super) fn route(state: &mut State, call: &Call) -> Result<Reply, Refusal> {
    let segments = call.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let unsupported = || Refusal::unsupported(&call.method, &call.path);
    match (call.method.as_str(), parts.as_slice()) {
        (_, ["app" | "installation", ..]) => {
            apps::route(state, call, &parts).unwrap_or_else(|| Err(unsupported()))
        }
        ("POST", ["app-manifests", code, "conversions"]) => state.convert_manifest(code),
        ("GET", ["user"]) => match call.actor {
            Actor::User(id) => {
                let account = state.accounts.get(&id).ok_or_else(Refusal::not_found)?;
                Ok(Reply::ok(state.profile_json(account)))
            }
            Actor::Anonymous => Err(Refusal::login_needed()),
            Actor::Installation(_) | Actor::App(_) => {
                Err(Refusal::forbidden("Resource not accessible by integration"))
            }
        },
        ("GET", ["users", login]) => {
            let account = state.account(login).ok_or_else(Refusal::not_found)?;
            Ok(Reply::ok(state.profile_json(account)))
        }
        ("GET", ["rate_limit"]) => {
            let now = state.now();
            let counter = *state.limits.current(call.actor, now);
            let core = json!({
                "limit": counter.limit, "used": counter.used,
                "remaining": counter.remaining(), "reset": counter.reset,
            });
            Ok(Reply::ok(json!({
                "resources": { "core": core, "search": core, "graphql": core },
                "rate": core,
            })))
        }
        ("GET", ["meta"]) => Ok(Reply::ok(json!({
            "verifiable_password_authentication": false,
            "installed_version": "3.19.0",
            "hooks": ["127.0.0.1/32", "::1/128"],
            "web": ["127.0.0.1/32"], "api": ["127.0.0.1/32"], "git": ["127.0.0.1/32"],
        }))),
        ("POST", ["graphql"]) => graphql::route(state, call),
        ("GET", ["orgs", org, "teams", team, "memberships", login]) => {
            membership(state, call, (org, team, login))
        }
        ("GET", ["zen"]) => Ok(Reply::ok("Keep it logically awesome.".into())),
        (_, ["repositories", id, rest @ ..]) => {
            let id: u64 = id.parse().map_err(|_| Refusal::not_found())?;
            if let (Actor::App(app), ["installation"]) = (call.actor, rest) {
                return repos::installation(state, app, id);
            }
            let repo = state.repo(id)?;
            if !state.can_read(call.actor, repo) {
                return Err(Refusal::not_found());
            }
            app_may_read(state, call, id, rest)?;
            inside(state, call, id, rest).unwrap_or_else(|| Err(unsupported()))
        }
        (_, ["repos", owner, name, rest @ ..]) => {
            let found = state.find_repo(owner, name);
            let Some(id) = found else { return Err(moved(state, call, owner, name, rest)) };
            if let (Actor::App(app), ["installation"]) = (call.actor, rest) {
                return repos::installation(state, app, id);
            }
            if rest == ["installation"] {
                return Err(Refusal::new(401, "A JSON web token could not be decoded"));
            }
            if !state.can_read(call.actor, state.repo(id)?) {
                return Err(Refusal::not_found());
            }
            app_may_read(state, call, id, rest)?;
            inside(state, call, id, rest).unwrap_or_else(|| Err(unsupported()))
        }
        _ => Err(unsupported()),
    }
}

/// 404, or where a renamed repository is now.
fn moved(state: &State, call: &Call, owner: &str, name: &str, rest: &[&str]) -> Refusal {
    let old = (owner.to_ascii_lowercase(), name.to_ascii_lowercase());
    let repo = state.moved.get(&old).and_then(|id| state.repos.get(id));
    let sees = |repo: &&super::model::Repo| match call.actor {
        // Where it is installed it may ask for its installation, which is all that it gets.
        Actor::App(app) => {
            let mut installations = state.installations.values();
            installations.any(|found| found.app == app && state.installed(found.id, repo))
        }
        actor => state.can_read(actor, repo),
    };
    let Some(repo) = repo.filter(sees) else {
        return Refusal::not_found();
    };
    let rest =
        rest.iter().fold(String::new(), |path, part| path + "/" + &super::views::encode(part));
    let query: Vec<String> = call
        .query
        .iter()
        .map(|(name, value)| {
            format!("{}={}", super::views::encode(name), super::views::encode(value))
        })
        .collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let location = format!("{}/repositories/{}{rest}{query}", state.api(), repo.id);
    let (status, words) =
        if call.method == "GET" { (301, "Moved Permanently") } else { (307, "Temporary Redirect") };
    Refusal { location: Some(location), ..Refusal::new(status, words) }
}

/// Refuses an installation token that lacks the permission to read a part of a private repository.
fn app_may_read(state: &State, call: &Call, repo: u64, rest: &[&str]) -> Result<(), Refusal> {
    let Actor::Installation(bearer) = call.actor else { return Ok(()) };
    if call.method != "GET" || !state.repo(repo)?.private {
        return Ok(());
    }
    let either: &[&str] = match rest {
        ["pulls", ..] => &["pull_requests"],
        ["issues", ..] => &["issues", "pull_requests"],
        ["check-runs", ..] | ["commits", _, "check-runs"] => &["checks"],
        ["statuses", ..] | ["commits", _, "status" | "statuses"] => &["statuses"],
        ["deployments", ..] => &["deployments"],
        ["branches" | "git" | "commits", ..] => &["contents"],
        _ => return Ok(()),
    };
    if either.iter().any(|name| state.app_may(bearer, name, "read")) {
        Ok(())
    } else {
        Err(Refusal::forbidden("Resource not accessible by integration"))
    }
}

/// `None`: no such route.
type Routed = Option<Result<Reply, Refusal>>;

/// Routes inside one repository, which the actor may read.
fn inside(state: &mut State, call: &Call, repo: u64, rest: &[&str]) -> Routed {
    match rest.first().copied() {
        Some("pulls") => pulls::route(state, call, repo, rest),
        Some("issues") => issues::route(state, call, repo, rest),
        Some("check-runs" | "statuses") => checks::route(state, call, repo, rest),
        Some("commits") if matches!(rest, [_, _, "check-runs" | "status" | "statuses"]) => {
            checks::route(state, call, repo, rest)
        }
        Some("deployments" | "environments") => deployments::route(state, call, repo, rest),
        _ => repos::route(state, call, repo, rest),
    }
}

/// Whether somebody is in a team. Members of the organisation may ask, and Apps with `members: read`.
fn membership(
    state: &State,
    call: &Call,
    (org, team, login): (&str, &str, &str),
) -> Result<Reply, Refusal> {
    let found = state.account(org).ok_or_else(Refusal::not_found)?;
    match call.actor {
        Actor::Anonymous => return Err(Refusal::login_needed()),
        Actor::User(id) => {
            let inside = found.owners.contains(&id)
                || found.teams.values().any(|members| members.contains(&id));
            if !inside {
                return Err(Refusal::not_found());
            }
        }
        Actor::Installation(bearer) => {
            if !state.app_may(bearer, "members", "read") {
                return Err(Refusal::forbidden("Resource not accessible by integration"));
            }
        }
        Actor::App(_) => return Err(Refusal::not_found()),
    }
    let members = found.teams.get(team).ok_or_else(Refusal::not_found)?;
    let member = state.need_account(login)?;
    if !members.contains(&member) {
        return Err(Refusal::not_found());
    }
    Ok(Reply::ok(json!({
        "url": format!("{}/organizations/{}/team/1/memberships/{login}", state.api(), found.id),
        "role": "member",
        "state": "active",
    })))
}

/// A number out of a path.
fn number(text: &str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::not_found())
}

/// The JSON of what one account may do in a repository.
fn permission_json(state: &State, repo: u64, login: &str) -> Result<serde_json::Value, Refusal> {
    let account = state.need_account(login)?;
    let role = state.role_of(account, state.repo(repo)?);
    let mut user = state.user_json(account);
    user["permissions"] = permissions(role);
    user["role_name"] = role.map_or("none", super::model::Role::name).into();
    Ok(json!({
        "permission": role.map_or("none", super::model::Role::legacy),
        "role_name": role.map_or("none", super::model::Role::name),
        "user": user,
    }))
}
