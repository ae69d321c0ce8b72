//! Issues as far as pull requests need them: text, comments, reactions, labels.

use serde::Deserialize;
use serde_json::Value;

use super::{Routed, number, pulls};
use crate::sandbox::github::call::{Call, Reply};
use crate::sandbox::github::model::{Actor, Role};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;
use crate::sandbox::github::views::{node_id, time};

pub(super) fn route(state: &mut State, call: &Call, repo: u64, rest: &[&str]) -> Routed {
    Some(match (call.method.as_str(), rest) {
        (_, [_, "comments", id, tail @ ..]) => match number(id) {
            Ok(id) => return comment(state, call, repo, id, tail),
            Err(refusal) => Err(refusal),
        },
        ("GET", [_, "comments"]) => all_comments(state, call, repo),
        (_, [_, n, tail @ ..]) if n.bytes().all(|byte| byte.is_ascii_digit()) => match number(n) {
            Ok(n) => return one(state, call, repo, n, tail),
            Err(refusal) => Err(refusal),
        },
        _ => return None,
    })
}

#[derive(Deserialize)]
struct Body {
    body: Option<String>,
}

impl Body {
    fn text(self) -> Result<String, Refusal> {
        self.body.ok_or_else(|| Refusal::invalid("IssueComment", "body", "missing_field", None))
    }
}

fn one(state: &mut State, call: &Call, repo: u64, n: u64, tail: &[&str]) -> Routed {
    Some(match (call.method.as_str(), tail) {
        ("GET", []) => get(state, repo, n),
        ("PATCH", []) => patch(state, call, repo, n),
        ("GET", ["comments"]) => comments(state, call, repo, n),
        ("POST", ["comments"]) => create(state, call, repo, n),
        ("GET", ["timeline"]) => timeline(state, call, repo, n),
        ("GET", ["labels"]) => labels(state, call, repo, n),
        ("POST", ["labels"]) => label(state, call, repo, n),
        ("DELETE", ["labels", name @ ..]) if !name.is_empty() => {
            unlabel(state, call, repo, n, &name.join("/"))
        }
        _ => return None,
    })
}

fn get(state: &State, repo: u64, n: u64) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    Ok(Reply::ok(state.issue_json(found, state.issue(repo, n)?)))
}

fn patch(state: &mut State, call: &Call, repo: u64, n: u64) -> Result<Reply, Refusal> {
    state.issue(repo, n)?;
    pulls::need_author_or_triage(state, call, repo, n)?;
    let input: Value = call.json()?;
    let by = state.account_of(call.actor)?;
    pulls::change(state, repo, n, &input, by)?;
    get(state, repo, n)
}

fn comments(state: &State, call: &Call, repo: u64, n: u64) -> Result<Reply, Refusal> {
    state.issue(repo, n)?;
    let since = call.time("since")?;
    let found = state.repo(repo)?;
    let rows = found
        .comments
        .values()
        .filter(|comment| comment.issue == n)
        .filter(|comment| since.is_none_or(|since| comment.updated_at >= since));
    let rows = rows.map(|comment| state.comment_json(found, comment)).collect();
    Ok(call.list(&state.api(), rows))
}

/// The comments on all issues and pull requests. GitHub looks at `direction` only when there is a `sort`.
fn all_comments(state: &State, call: &Call, repo: u64) -> Result<Reply, Refusal> {
    let since = call.time("since")?;
    let found = state.repo(repo)?;
    let mut rows: Vec<_> = found
        .comments
        .values()
        .filter(|comment| since.is_none_or(|since| comment.updated_at >= since))
        .collect();
    match call.query("sort") {
        None => {}
        Some("created") => rows.sort_by_key(|comment| (comment.created_at, comment.id)),
        Some("updated") => rows.sort_by_key(|comment| (comment.updated_at, comment.id)),
        Some(_) => return Err(Refusal::invalid("IssueComment", "sort", "invalid", None)),
    }
    if call.query("sort").is_some() && call.query("direction") != Some("asc") {
        rows.reverse();
    }
    let rows = rows.into_iter().map(|comment| state.comment_json(found, comment)).collect();
    Ok(call.list(&state.api(), rows))
}

/// Comments on a pull request accept either permission, on an issue only `issues`.
fn permissions(state: &State, repo: u64, n: u64) -> Result<&'static [&'static str], Refusal> {
    let pull = state.issue(repo, n)?.pull.is_some();
    Ok(if pull { &["pull_requests", "issues"] } else { &["issues"] })
}

fn create(state: &mut State, call: &Call, repo: u64, n: u64) -> Result<Reply, Refusal> {
    state.need(call.actor, repo, Role::Read, permissions(state, repo, n)?)?;
    let text = call.json::<Body>()?.text()?;
    let (by, app) = (state.account_of(call.actor)?, state.app_of(call.actor));
    let id = state.add_comment(repo, n, &text, by, app)?;
    shown(state, repo, id).map(Reply::created)
}

fn shown(state: &State, repo: u64, id: u64) -> Result<Value, Refusal> {
    Ok(state.comment_json(state.repo(repo)?, state.comment(repo, id)?))
}

fn labels(state: &State, call: &Call, repo: u64, n: u64) -> Result<Reply, Refusal> {
    let rows = state.labels_json(state.repo(repo)?, state.issue(repo, n)?);
    Ok(call.list(&state.api(), rows))
}

/// Comments and labels in the order in which they came: what else GitHub has there, nobody does here.
fn timeline(state: &State, call: &Call, repo: u64, n: u64) -> Result<Reply, Refusal> {
    let issue = state.issue(repo, n)?;
    let found = state.repo(repo)?;
    let api = state.repo_api(found);
    let mut rows: Vec<(u64, Value)> = Vec::new();
    for comment in found.comments.values().filter(|comment| comment.issue == n) {
        let mut row = state.comment_json(found, comment);
        row["event"] = "commented".into();
        row["actor"] = row["user"].clone();
        rows.push((comment.id, row));
    }
    for event in &issue.events {
        let app = event.app.and_then(|app| state.apps.get(&app)).map(|app| state.app_json(app));
        let row = serde_json::json!({
            "id": event.id,
            "node_id": node_id("LabeledEvent", event.id),
            "url": format!("{api}/issues/events/{}", event.id),
            "actor": state.user_json(event.by),
            "event": if event.added { "labeled" } else { "unlabeled" },
            "commit_id": null,
            "commit_url": null,
            "created_at": time(event.at),
            "label": {"name": event.label, "color": event.color},
            "performed_via_github_app": app,
        });
        rows.push((event.id, row));
    }
    rows.sort_by_key(|(id, _)| *id);
    Ok(call.list(&state.api(), rows.into_iter().map(|(_, row)| row).collect()))
}

fn label(state: &mut State, call: &Call, repo: u64, n: u64) -> Result<Reply, Refusal> {
    state.need(call.actor, repo, Role::Triage, permissions(state, repo, n)?)?;
    let input: Value = call.json()?;
    let list = if input.is_array() { &input } else { &input["labels"] };
    let names: Option<Vec<&str>> = list.as_array().and_then(|list| {
        list.iter().map(|label| label.as_str().or_else(|| label["name"].as_str())).collect()
    });
    let names = names.ok_or_else(|| Refusal::invalid("Label", "labels", "missing_field", None))?;
    let by = state.account_of(call.actor)?;
    for name in names {
        state.add_label(repo, n, name, by)?;
    }
    labels(state, call, repo, n)
}

fn unlabel(
    state: &mut State,
    call: &Call,
    repo: u64,
    n: u64,
    name: &str,
) -> Result<Reply, Refusal> {
    state.need(call.actor, repo, Role::Triage, permissions(state, repo, n)?)?;
    let by = state.account_of(call.actor)?;
    state.remove_label(repo, n, name, by)?;
    labels(state, call, repo, n)
}

// --- one comment ---

/// Authors may change their own comments, others need write.
fn need_own_or_write(state: &State, call: &Call, repo: u64, id: u64) -> Result<(), Refusal> {
    let comment = state.comment(repo, id)?;
    let own = state.account_of(call.actor).is_ok_and(|account| account == comment.author);
    match call.actor {
        // An App may not touch what others wrote, whatever its permissions.
        Actor::Installation(_) if !own => {
            Err(Refusal::forbidden("Resource not accessible by integration"))
        }
        _ => {
            let role = if own { Role::Read } else { Role::Write };
            state.need(call.actor, repo, role, permissions(state, repo, comment.issue)?)
        }
    }
}

fn comment(state: &mut State, call: &Call, repo: u64, id: u64, tail: &[&str]) -> Routed {
    Some(match (call.method.as_str(), tail) {
        ("GET", []) => shown(state, repo, id).map(Reply::ok),
        // GitHub takes POST where it means PATCH, and octocrab relies on it.
        ("PATCH" | "POST", []) => edit(state, call, repo, id),
        ("DELETE", []) => delete(state, call, repo, id),
        ("GET", ["reactions"]) => state.comment(repo, id).map(|comment| {
            let rows = comment.reactions.values();
            let rows = rows.filter(|r| call.query("content").is_none_or(|c| r.content == c));
            call.list(&state.api(), rows.map(|reaction| state.reaction_json(reaction)).collect())
        }),
        ("POST", ["reactions"]) => react(state, call, repo, id),
        ("DELETE", ["reactions", reaction]) => {
            number(reaction).and_then(|reaction| unreact(state, call, repo, id, reaction))
        }
        _ => return None,
    })
}

fn edit(state: &mut State, call: &Call, repo: u64, id: u64) -> Result<Reply, Refusal> {
    need_own_or_write(state, call, repo, id)?;
    let text = call.json::<Body>()?.text()?;
    let by = state.account_of(call.actor)?;
    state.edit_comment(repo, id, &text, by)?;
    shown(state, repo, id).map(Reply::ok)
}

fn delete(state: &mut State, call: &Call, repo: u64, id: u64) -> Result<Reply, Refusal> {
    need_own_or_write(state, call, repo, id)?;
    let by = state.account_of(call.actor)?;
    state.delete_comment(repo, id, by)?;
    Ok(Reply::empty())
}

fn react(state: &mut State, call: &Call, repo: u64, id: u64) -> Result<Reply, Refusal> {
    let issue = state.comment(repo, id)?.issue;
    state.need(call.actor, repo, Role::Read, permissions(state, repo, issue)?)?;
    let input: Value = call.json()?;
    let by = state.account_of(call.actor)?;
    let content = input["content"].as_str().unwrap_or_default();
    let (reaction, new) = state.react(repo, id, content, by)?;
    Ok(Reply::new(if new { 201 } else { 200 }, state.reaction_json(&reaction)))
}

fn unreact(
    state: &mut State,
    call: &Call,
    repo: u64,
    id: u64,
    reaction: u64,
) -> Result<Reply, Refusal> {
    let by = state.account_of(call.actor)?;
    let comment = state.repo_mut(repo)?.comments.get_mut(&id).ok_or_else(Refusal::not_found)?;
    match comment.reactions.get(&reaction) {
        None => Err(Refusal::not_found()),
        Some(found) if found.user != by => {
            Err(Refusal::forbidden("You may only delete your own reactions."))
        }
        Some(_) => {
            comment.reactions.remove(&reaction);
            Ok(Reply::empty())
        }
    }
}
