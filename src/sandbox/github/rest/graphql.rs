//! GraphQL, as far as it is the only way: folding a comment up. Errors are a part of an answer 200, as GitHub's are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::sandbox::github::call::{Call, Reply};
use crate::sandbox::github::model::{Actor, Role};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;

const CLASSIFIERS: &[&str] = &["ABUSE", "DUPLICATE", "OFF_TOPIC", "OUTDATED", "RESOLVED", "SPAM"];

pub(super) fn route(state: &mut State, call: &Call) -> Result<Reply, Refusal> {
    if call.actor == Actor::Anonymous {
        return Err(Refusal::new(401, "This endpoint requires you to be authenticated."));
    }
    let input: Value = call.json()?;
    let query = input["query"].as_str().unwrap_or_default();
    if !query.contains("minimizeComment") {
        return Err(Refusal::unsupported(
            "POST",
            "/graphql with another query than minimizeComment",
        ));
    }
    let classifier = CLASSIFIERS.iter().find(|name| query.contains(*name));
    let Some(classifier) = classifier else {
        return Ok(error(
            "INVALID",
            "Argument 'classifier' on InputObject 'MinimizeCommentInput' is required.",
        ));
    };
    let subject = input["variables"]["id"].as_str().unwrap_or_default();
    let found = id(subject).and_then(|id| {
        let mut repos = state.repos.values();
        repos.find(|repo| repo.comments.contains_key(&id)).map(|repo| (repo.id, id))
    });
    let Some((repo, comment)) = found else {
        return Ok(error(
            "NOT_FOUND",
            &format!("Could not resolve to a node with the global id of '{subject}'"),
        ));
    };
    let own = state.account_of(call.actor).ok() == Some(state.comment(repo, comment)?.author);
    let role = if own { Role::Read } else { Role::Write };
    if state.need(call.actor, repo, role, &["pull_requests", "issues"]).is_err() {
        return Ok(error("FORBIDDEN", "Resource not accessible by integration"));
    }
    let found = state.repo_mut(repo)?.comments.get_mut(&comment).ok_or_else(Refusal::not_found)?;
    found.minimized = Some(classifier.to_ascii_lowercase());
    Ok(Reply::ok(json!({
        "data": {"minimizeComment": {"minimizedComment": {"isMinimized": true}}},
    })))
}

fn error(kind: &str, message: &str) -> Reply {
    Reply::ok(json!({
        "data": {"minimizeComment": null},
        "errors": [{"type": kind, "path": ["minimizeComment"], "message": message}],
    }))
}

/// The comment behind GitHub's opaque id.
fn id(node: &str) -> Option<u64> {
    let text = String::from_utf8(STANDARD.decode(node).ok()?).ok()?;
    text.split_once(":IssueComment")?.1.parse().ok()
}
