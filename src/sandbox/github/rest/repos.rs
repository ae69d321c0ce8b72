//! The repository itself: branches, references, commits, collaborators, hooks.

use serde_json::{Value, json};

use super::{Routed, number, permission_json};
use crate::sandbox::github::call::{Call, Reply};
use crate::sandbox::github::hooks::Scope;
use crate::sandbox::github::model::{Actor, Repo, Role};
use crate::sandbox::github::ops::changes::{ChangeKind, FileChange, changes_between};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;
use crate::sandbox::github::views::encode;

pub(super) fn route(state: &mut State, call: &Call, repo: u64, rest: &[&str]) -> Routed {
    Some(match (call.method.as_str(), rest) {
        ("GET", []) => state.repo(repo).map(|found| {
            let mut json = state.repo_json(found, call.actor);
            // A repository by itself has more than one in a list.
            json["network_count"] = json["forks_count"].clone();
            json["subscribers_count"] = 0.into();
            Reply::ok(json)
        }),
        ("GET", ["branches"]) => branches(state, call, repo),
        ("GET", ["branches", name @ ..]) if !name.is_empty() => {
            branch(state, repo, &name.join("/"))
        }
        ("GET", ["git", "matching-refs", name @ ..]) => matching(state, repo, &name.join("/")),
        ("GET", ["git", "ref", name @ ..]) if !name.is_empty() => {
            reference(state, repo, &name.join("/"))
        }
        ("GET", ["commits", name @ ..]) if !name.is_empty() => commit(state, repo, &name.join("/")),
        ("GET", ["collaborators", login, "permission"]) => permission(state, call, repo, login),
        ("GET", ["hooks"]) => hooks(state, call, repo),
        ("GET", ["hooks", hook, "deliveries"]) => {
            number(hook).and_then(|hook| deliveries(state, call, repo, hook))
        }
        ("GET", ["hooks", hook, "deliveries", id]) => number(hook)
            .and_then(|hook| Ok((hook, number(id)?)))
            .and_then(|(hook, id)| delivery(state, call, repo, hook, id)),
        ("POST", ["hooks", hook, "deliveries", id, "attempts"]) => number(hook)
            .and_then(|hook| Ok((hook, number(id)?)))
            .and_then(|(hook, id)| attempt(state, call, repo, hook, id)),
        _ => return None,
    })
}

fn branches(state: &State, call: &Call, repo: u64) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    let api = state.repo_api(found);
    let rows = found.git.references("refs/heads/")?;
    let rows = rows.into_iter().map(|(name, sha)| {
        let name = name.trim_start_matches("refs/heads/");
        json!({
            "name": name,
            "commit": { "sha": sha, "url": format!("{api}/commits/{sha}") },
            "protected": false,
        })
    });
    Ok(call.list(&state.api(), rows.collect()))
}

fn branch(state: &State, repo: u64, name: &str) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    let sha = found.git.branch(name).ok_or_else(|| Refusal::new(404, "Branch not found"))?;
    let info = found.git.info(&sha).ok_or_else(Refusal::not_found)?;
    let api = format!("{}/branches/{}", state.repo_api(found), encode(name));
    Ok(Reply::ok(json!({
        "name": name,
        "commit": state.commit_json(found, &info),
        "_links": { "self": api, "html": format!("{}/tree/{}", state.repo_html(found), encode(name)) },
        "protected": false,
        "protection": { "enabled": false },
        "protection_url": format!("{api}/protection"),
    })))
}

fn reference(state: &State, repo: u64, name: &str) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    let full = format!("refs/{name}");
    let sha = found.git.reference(&full).ok_or_else(Refusal::not_found)?;
    Ok(Reply::ok(reference_json(state, found, name, &sha)))
}

/// All references whose names begin so, on one page.
fn matching(state: &State, repo: u64, name: &str) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    let rows = found.git.references("refs/heads/")?.into_iter().filter_map(|(full, sha)| {
        let rest = full.strip_prefix("refs/")?;
        rest.starts_with(name).then(|| reference_json(state, found, rest, &sha))
    });
    Ok(Reply::ok(rows.collect()))
}

fn reference_json(state: &State, found: &Repo, name: &str, sha: &str) -> serde_json::Value {
    let (full, api, repo) = (format!("refs/{name}"), state.repo_api(found), found.id);
    json!({
        "ref": full,
        "node_id": crate::sandbox::github::views::node_id("Ref", repo),
        "url": format!("{api}/git/refs/{}", name.split('/').map(encode).collect::<Vec<_>>().join("/")),
        "object": { "type": "commit", "sha": sha, "url": format!("{api}/git/commits/{sha}") },
    })
}

fn commit(state: &State, repo: u64, name: &str) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    let sha = state.resolve(repo, name)?;
    let info = found.git.info(&sha).ok_or_else(Refusal::not_found)?;
    let parent = info.parents.first().map(String::as_str);
    let changes = changes_between(found, parent, &sha)?;
    let additions: usize = changes.iter().map(|change| change.additions).sum();
    let deletions: usize = changes.iter().map(|change| change.deletions).sum();
    let mut json = state.commit_json(found, &info);
    json["stats"] = json!({
        "total": additions + deletions, "additions": additions, "deletions": deletions,
    });
    json["files"] = changes
        .iter()
        .map(|change| file_json(state, found, &sha, change))
        .collect::<Vec<_>>()
        .into();
    Ok(Reply::ok(json))
}

/// One file of a commit or pull request.
pub(super) fn file_json(state: &State, repo: &Repo, sha: &str, change: &FileChange) -> Value {
    let path: Vec<String> = change.path.split('/').map(encode).collect();
    let path = path.join("/");
    let html = state.repo_html(repo);
    let mut json = json!({
        "sha": change.sha,
        "filename": change.path,
        "status": match change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Modified => "modified",
        },
        "additions": change.additions,
        "deletions": change.deletions,
        "changes": change.additions + change.deletions,
        "blob_url": format!("{html}/blob/{sha}/{path}"),
        "raw_url": format!("{html}/raw/{sha}/{path}"),
        "contents_url": format!("{}/contents/{path}?ref={sha}", state.repo_api(repo)),
    });
    if let Some(patch) = change.patch.as_ref().filter(|patch| !patch.is_empty()) {
        json["patch"] = patch.clone().into();
    }
    json
}

fn permission(state: &State, call: &Call, repo: u64, login: &str) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    let allowed = match call.actor {
        Actor::User(account) => state.role_of(account, found) >= Some(Role::Write),
        Actor::Installation(bearer) => state.reaches(bearer, found),
        Actor::Anonymous => return Err(Refusal::login_needed()),
        Actor::App(_) => false,
    };
    if !allowed {
        return Err(Refusal::forbidden("Must have push access to view collaborator permission."));
    }
    permission_json(state, repo, login).map(Reply::ok)
}

// --- hooks ---

fn need_hook(state: &State, call: &Call, repo: u64, hook: u64) -> Result<(), Refusal> {
    state.need(call.actor, repo, Role::Admin, &["repository_hooks"])?;
    let known = state.hooks.get(&hook).is_some_and(|hook| hook.scope == Scope::Repo(repo));
    if known { Ok(()) } else { Err(Refusal::not_found()) }
}

fn hooks(state: &State, call: &Call, repo: u64) -> Result<Reply, Refusal> {
    state.need(call.actor, repo, Role::Admin, &["repository_hooks"])?;
    let rows = state.hooks.values().filter(|hook| hook.scope == Scope::Repo(repo));
    Ok(call.list(&state.api(), rows.map(|hook| state.hook_json(hook)).collect()))
}

fn deliveries(state: &State, call: &Call, repo: u64, hook: u64) -> Result<Reply, Refusal> {
    need_hook(state, call, repo, hook)?;
    super::apps::log(state, call, hook)
}

fn delivery(state: &State, call: &Call, repo: u64, hook: u64, id: u64) -> Result<Reply, Refusal> {
    need_hook(state, call, repo, hook)?;
    super::apps::one(state, hook, id)
}

fn attempt(
    state: &mut State,
    call: &Call,
    repo: u64,
    hook: u64,
    id: u64,
) -> Result<Reply, Refusal> {
    need_hook(state, call, repo, hook)?;
    super::apps::again(state, hook, id)
}

/// Where an App is installed, for the App itself: it need not be able to read the repository.
pub(super) fn installation(state: &State, app: u64, repo: u64) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    let installed = state
        .installations
        .values()
        .find(|installation| installation.app == app && state.installed(installation.id, found));
    installed.map(|i| Reply::ok(state.installation_json(i))).ok_or_else(Refusal::not_found)
}
