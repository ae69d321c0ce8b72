//! Pull requests.

use serde::Deserialize;
use serde_json::Value;

use super::{Routed, number, repos};
use crate::sandbox::github::call::{Call, Reply};
use crate::sandbox::github::model::{Actor, Role};
use crate::sandbox::github::ops::changes::changes;
use crate::sandbox::github::ops::pulls::{Edit, NewPull};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;

pub(super) fn route(state: &mut State, call: &Call, repo: u64, rest: &[&str]) -> Routed {
    Some(match (call.method.as_str(), rest) {
        ("GET", [_]) => list(state, call, repo),
        ("POST", [_]) => create(state, call, repo),
        ("GET", [_, n]) => number(n).and_then(|n| {
            let (found, issue, pull) = state.pull(repo, n)?;
            Ok(Reply::ok(state.full_pull_json(found, issue, pull)))
        }),
        ("PATCH", [_, n]) => number(n).and_then(|n| patch(state, call, repo, n)),
        ("GET", [_, n, "files"]) => number(n).and_then(|n| files(state, call, repo, n)),
        ("GET", [_, n, "commits"]) => number(n).and_then(|n| commits(state, call, repo, n)),
        ("PUT", [_, n, "merge"]) => number(n).and_then(|n| merge(state, call, repo, n)),
        _ => return None,
    })
}

fn list(state: &State, call: &Call, repo: u64) -> Result<Reply, Refusal> {
    let found = state.repo(repo)?;
    let wanted = call.query("state").unwrap_or("open");
    if !matches!(wanted, "open" | "closed" | "all") {
        return Err(Refusal::invalid("PullRequest", "state", "invalid", None));
    }
    let mut rows: Vec<_> = found
        .issues
        .values()
        .filter(|_| !state.faults.empty_lists)
        .filter_map(|issue| issue.pull.as_ref().map(|pull| (issue, pull)))
        .filter(|(issue, _)| wanted == "all" || issue.open == (wanted == "open"))
        .filter(|(_, pull)| call.query("base").is_none_or(|base| pull.base_branch == base))
        .filter(|(_, pull)| {
            call.query("head").is_none_or(|head| {
                format!("{}:{}", state.login(pull.head_owner), pull.head_branch) == head
            })
        })
        .collect();
    match call.query("sort").unwrap_or("created") {
        "created" => rows.sort_by_key(|(issue, _)| (issue.created_at, issue.number)),
        "updated" => rows.sort_by_key(|(issue, _)| (issue.updated_at, issue.number)),
        other => {
            let path = format!("{}?sort={other}", call.path);
            return Err(Refusal::unsupported(&call.method, &path));
        }
    }
    // By creation the newest come first unless asked otherwise; with `sort` given, GitHub's default is ascending.
    let usual =
        if call.query("sort").is_none_or(|sort| sort == "created") { "desc" } else { "asc" };
    if call.query("direction").unwrap_or(usual) == "desc" {
        rows.reverse();
    }
    let rows = rows.into_iter().map(|(issue, pull)| state.pull_json(found, issue, pull));
    Ok(call.list(&state.api(), rows.collect()))
}

#[derive(Deserialize)]
struct Create {
    title: Option<String>,
    head: Option<String>,
    base: Option<String>,
    body: Option<String>,
    #[serde(default)]
    draft: bool,
}

fn create(state: &mut State, call: &Call, repo: u64) -> Result<Reply, Refusal> {
    state.need(call.actor, repo, Role::Read, &["pull_requests"])?;
    let Create { title, head, base, body, draft } = call.json()?;
    let missing = |field| Refusal::invalid("PullRequest", field, "missing_field", None);
    let new = NewPull {
        title: title.ok_or_else(|| missing("title"))?,
        head: head.ok_or_else(|| missing("head"))?,
        base: base.ok_or_else(|| missing("base"))?,
        body,
        draft,
    };
    let by = state.account_of(call.actor)?;
    let n = state.open_pull(repo, &new, by)?;
    let (found, issue, pull) = state.pull(repo, n)?;
    Ok(Reply::created(state.full_pull_json(found, issue, pull)))
}

/// The author may change their own; others need triage.
pub(super) fn need_author_or_triage(
    state: &State,
    call: &Call,
    repo: u64,
    n: u64,
) -> Result<(), Refusal> {
    let own = matches!(call.actor, Actor::User(id) if state.issue(repo, n)?.author == id);
    let role = if own { Role::Read } else { Role::Triage };
    state.need(call.actor, repo, role, &["pull_requests", "issues"])
}

fn patch(state: &mut State, call: &Call, repo: u64, n: u64) -> Result<Reply, Refusal> {
    state.pull(repo, n)?;
    need_author_or_triage(state, call, repo, n)?;
    let input: Value = call.json()?;
    let by = state.account_of(call.actor)?;
    change(state, repo, n, &input, by)?;
    let (found, issue, pull) = state.pull(repo, n)?;
    Ok(Reply::ok(state.full_pull_json(found, issue, pull)))
}

/// Applies `title`, `body`, `base` and `state` of a PATCH.
pub(super) fn change(
    state: &mut State,
    repo: u64,
    n: u64,
    input: &Value,
    by: u64,
) -> Result<(), Refusal> {
    let text = |field: &str| input[field].as_str().map(str::to_owned);
    let body = input.get("body").map(|body| body.as_str().unwrap_or_default().to_owned());
    state.edit(repo, n, Edit { title: text("title"), body, base: text("base") }, by)?;
    match text("state").as_deref() {
        None => Ok(()),
        Some("open") => state.set_open(repo, n, true, by),
        Some("closed") => state.set_open(repo, n, false, by),
        Some(_) => Err(Refusal::invalid("PullRequest", "state", "invalid", None)),
    }
}

fn files(state: &State, call: &Call, repo: u64, n: u64) -> Result<Reply, Refusal> {
    let (found, _, pull) = state.pull(repo, n)?;
    let files = changes(found, pull)?;
    let rows = files.iter().map(|change| repos::file_json(state, found, &pull.head_sha, change));
    Ok(call.list(&state.api(), rows.collect()))
}

fn commits(state: &State, call: &Call, repo: u64, n: u64) -> Result<Reply, Refusal> {
    let (found, _, pull) = state.pull(repo, n)?;
    let rows = found.git.between(&pull.base_sha, &pull.head_sha, 250);
    let rows = rows.iter().map(|info| state.commit_json(found, info));
    Ok(call.list(&state.api(), rows.collect()))
}

fn merge(state: &mut State, call: &Call, repo: u64, n: u64) -> Result<Reply, Refusal> {
    state.need(call.actor, repo, Role::Write, &["contents"])?;
    let input: Value = call.json()?;
    if let Some(method) = input["merge_method"].as_str().filter(|method| *method != "merge") {
        let path = format!("{} (merge_method {method})", call.path);
        return Err(Refusal::unsupported(&call.method, &path));
    }
    let (_, _, pull) = state.pull(repo, n)?;
    if input["sha"].as_str().is_some_and(|sha| sha != pull.head_sha) {
        let words = "Head branch was modified. Review and try the merge again.";
        return Err(Refusal::new(409, words));
    }
    let by = state.account_of(call.actor)?;
    let sha = state.merge(repo, n, by)?;
    Ok(Reply::ok(serde_json::json!({
        "sha": sha, "merged": true, "message": "Pull Request successfully merged",
    })))
}
