//! PURE · the page of one pull request.

use std::fmt::Write as _;

use super::{ago, escape, markdown};
use crate::sandbox::github::git::CommitInfo;
use crate::sandbox::github::model::{Comment, Issue, Pull, Repo};
use crate::sandbox::github::ops::changes::{ChangeKind, FileChange, changes};
use crate::sandbox::github::state::State;

/// A longer difference is not shown, only counted.
const MOST_LINES: usize = 300;
/// So many commits are listed, the newest.
const MOST_COMMITS: usize = 50;

/// Title and content; `None` when there is no such number.
pub(super) fn page(state: &State, repo: &Repo, number: u64) -> Option<(String, String)> {
    let issue = repo.issues.get(&number)?;
    let name = escape(&state.full_name(repo));
    let (class, word) = badge(issue);
    let mut text = format!(
        "<p class=\"path\"><a href=\"/{name}\">{name}</a></p>\
         <h1>{} <span class=\"number\">#{number}</span></h1>\
         <p class=\"lead\"><span class=\"badge big {class}\">{word}</span> ",
        escape(&issue.title)
    );
    let author = escape(state.login(issue.author));
    match &issue.pull {
        Some(pull) => lead(state, repo, issue, pull, &mut text),
        None => {
            let _ = write!(text, "<b>{author}</b> opened this issue");
        }
    }
    let _ = write!(text, "</p>{}", labels(issue));
    text.push_str("<div class=\"columns\"><div class=\"talk\">");
    let body = issue.body.as_deref().unwrap_or_default();
    bubble(state, 0, issue.author, issue.created_at, "opened this", body, &[], &mut text);
    timeline(state, repo, issue, &mut text);
    closing(state, issue, &mut text);
    text.push_str("</div>");
    if let Some(pull) = &issue.pull {
        text.push_str("<aside>");
        checks(repo, pull, &mut text);
        deployments(repo, pull, &mut text);
        text.push_str("</aside>");
    }
    text.push_str("</div>");
    if let Some(pull) = &issue.pull {
        files(&changes(repo, pull).unwrap_or_default(), &mut text);
    }
    Some((format!("{} · #{number} · {}", issue.title, state.full_name(repo)), text))
}

/// Class and word of the state.
pub(super) fn badge(issue: &Issue) -> (&'static str, &'static str) {
    let merged = issue.pull.as_ref().is_some_and(|pull| pull.merged.is_some());
    let draft = issue.pull.as_ref().is_some_and(|pull| pull.draft);
    match (issue.open, merged, draft) {
        (_, true, _) => ("merged", "Merged"),
        (false, ..) => ("closed", "Closed"),
        (true, _, true) => ("draft", "Draft"),
        (true, ..) => ("open", "Open"),
    }
}

/// Labels as pills.
pub(super) fn labels(issue: &Issue) -> String {
    issue.labels.iter().fold(String::new(), |mut text, label| {
        let _ = write!(text, " <span class=\"label\">{}</span>", escape(label));
        text
    })
}

fn lead(state: &State, repo: &Repo, issue: &Issue, pull: &Pull, text: &mut String) {
    let count = repo.git.between(&pull.base_sha, &pull.head_sha, 250).len();
    let plural = if count == 1 { "" } else { "s" };
    let (who, verb) = match &pull.merged {
        Some(merged) => (merged.by, "merged"),
        None => (issue.author, "wants to merge"),
    };
    let head = if pull.head_repo == Some(repo.id) {
        pull.head_branch.clone()
    } else {
        format!("{}:{}", state.login(pull.head_owner), pull.head_branch)
    };
    let gone = if pull.head_repo.is_none() { " (repository deleted)" } else { "" };
    let _ = write!(
        text,
        "<b>{}</b> {verb} {count} commit{plural} into <code>{}</code> from <code>{}</code>{gone} at <code title=\"{sha}\">{}</code>",
        escape(state.login(who)),
        escape(&pull.base_branch),
        escape(&head),
        escape(pull.head_sha.get(..7).unwrap_or_default()),
        sha = escape(&pull.head_sha),
    );
}

#[expect(clippy::too_many_arguments, reason = "one call for each kind of text, all of them shown")]
fn bubble(
    state: &State,
    id: u64,
    author: u64,
    at: crate::sandbox::github::model::Time,
    verb: &str,
    body: &str,
    reactions: &[String],
    text: &mut String,
) {
    let login = state.login(author);
    let bot = state
        .accounts
        .get(&author)
        .is_some_and(|account| account.kind == crate::sandbox::github::model::AccountKind::Bot);
    let letter: String = login.chars().take(1).collect();
    let pill = if bot { " <span class=\"pill\">bot</span>" } else { "" };
    let html = markdown::render(body);
    let html = if html.trim().is_empty() {
        "<p class=\"quiet\">No description provided.</p>".to_owned()
    } else {
        html
    };
    let _ = write!(
        text,
        "<article id=\"issuecomment-{id}\"><span class=\"face\">{}</span><div class=\"bubble\"><header><b>{}</b>{pill} {} {}</header>\
         <div class=\"markdown\">{html}</div>",
        escape(&letter.to_uppercase()),
        escape(login),
        escape(verb),
        ago(state.now(), at),
    );
    if !reactions.is_empty() {
        text.push_str("<footer>");
        for reaction in reactions {
            let _ = write!(text, "<span class=\"pill\">{}</span> ", escape(reaction));
        }
        text.push_str("</footer>");
    }
    text.push_str("</div></article>");
}

fn reactions(comment: &Comment) -> Vec<String> {
    let signs = [
        ("+1", "👍"),
        ("-1", "👎"),
        ("laugh", "😄"),
        ("hooray", "🎉"),
        ("confused", "😕"),
        ("heart", "❤️"),
        ("rocket", "🚀"),
        ("eyes", "👀"),
    ];
    signs
        .iter()
        .map(|(name, sign)| {
            (sign, comment.reactions.values().filter(|r| r.content == *name).count())
        })
        .filter(|(_, count)| *count > 0)
        .map(|(sign, count)| format!("{sign} {count}"))
        .collect()
}

/// Commits and comments, in the order of their times.
fn timeline(state: &State, repo: &Repo, issue: &Issue, text: &mut String) {
    let mut rows = Vec::new();
    if let Some(pull) = &issue.pull {
        for info in repo.git.between(&pull.base_sha, &pull.head_sha, MOST_COMMITS) {
            let mut row = String::new();
            commit(state, &info, &mut row);
            rows.push((info.at, row));
        }
    }
    for comment in repo.comments.values().filter(|comment| comment.issue == issue.number) {
        let edited = if comment.updated_at > comment.created_at {
            format!("commented · edited {}", ago(state.now(), comment.updated_at))
        } else {
            "commented".to_owned()
        };
        let (mut row, at) = (String::new(), comment.created_at);
        let reactions = reactions(comment);
        bubble(state, comment.id, comment.author, at, &edited, &comment.body, &reactions, &mut row);
        rows.push((at, row));
    }
    rows.sort_by_key(|(at, _)| *at);
    text.extend(rows.into_iter().map(|(_, row)| row));
}

fn commit(state: &State, info: &CommitInfo, text: &mut String) {
    let title = info.message.lines().next().unwrap_or_default();
    let _ = write!(
        text,
        "<p class=\"commit\"><span>{}</span> <small>{}, {}</small> <code>{}</code></p>",
        escape(title),
        escape(&info.author),
        ago(state.now(), info.at),
        escape(info.sha.get(..7).unwrap_or_default()),
    );
}

fn closing(state: &State, issue: &Issue, text: &mut String) {
    let (Some(at), Some(by)) = (issue.closed_at, issue.closed_by) else { return };
    let (class, word) = badge(issue);
    let _ = write!(
        text,
        "<p class=\"event\"><span class=\"badge {class}\">{word}</span> <b>{}</b> {}</p>",
        escape(state.login(by)),
        ago(state.now(), at),
    );
}

fn checks(repo: &Repo, pull: &Pull, text: &mut String) {
    let runs = repo.check_runs.values().filter(|run| run.head_sha == pull.head_sha);
    let runs = runs.map(|run| {
        let state = run.conclusion.as_deref().unwrap_or(&run.status);
        (state, run.name.as_str(), run.title.as_deref(), run.details_url.as_deref())
    });
    let mut latest = std::collections::BTreeMap::new();
    for status in repo.statuses.iter().filter(|status| status.sha == pull.head_sha) {
        latest.insert(&status.context, status);
    }
    let statuses = latest.values().map(|status| {
        let (words, url) = (status.description.as_deref(), status.target_url.as_deref());
        (status.state.as_str(), status.context.as_str(), words, url)
    });
    let rows: Vec<_> = runs.chain(statuses).collect();
    text.push_str("<section><h3>Checks</h3>");
    if rows.is_empty() {
        text.push_str("<p class=\"quiet\">None at this commit.</p>");
    }
    for (state, name, words, url) in rows {
        let class = match state {
            "success" => "good",
            "failure" | "error" | "timed_out" | "cancelled" | "action_required" => "bad",
            "neutral" | "skipped" | "stale" => "idle",
            _ => "busy",
        };
        let _ = write!(
            text,
            "<p class=\"check\"><span class=\"dot {class}\" title=\"{}\"></span><b>{}</b> {}{}</p>",
            escape(state),
            escape(name),
            escape(words.unwrap_or(state)),
            link(url, "Details"),
        );
    }
    text.push_str("</section>");
}

fn deployments(repo: &Repo, pull: &Pull, text: &mut String) {
    text.push_str("<section><h3>Deployments</h3>");
    let mut any = false;
    let shown = repo.deployments.values().rev().filter(|d| d.sha == pull.head_sha);
    for deployment in shown {
        any = true;
        let state = deployment.state();
        let class = match state {
            "success" => "good",
            "failure" | "error" => "bad",
            "inactive" => "idle",
            _ => "busy",
        };
        let url = deployment.statuses.last().map(|status| status.environment_url.as_str());
        let url = url.filter(|_| state != "inactive");
        let word = if state == "inactive" && deployment.transient { "destroyed" } else { state };
        let _ = write!(
            text,
            "<p class=\"check\"><span class=\"dot {class}\"></span><b>{}</b> {}{}</p>",
            escape(&deployment.environment),
            escape(word),
            link(url, "View deployment"),
        );
    }
    if !any {
        text.push_str("<p class=\"quiet\">None at this commit.</p>");
    }
    text.push_str("</section>");
}

/// A link to an address of a client, when it is one that a browser opens as a page.
fn link(url: Option<&str>, words: &str) -> String {
    match url {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => format!(
            " <a class=\"more\" rel=\"noopener noreferrer nofollow\" href=\"{}\">{words}</a>",
            escape(url)
        ),
        _ => String::new(),
    }
}

fn files(changes: &[FileChange], text: &mut String) {
    let plural = if changes.len() == 1 { "" } else { "s" };
    let (added, removed) = (
        changes.iter().map(|change| change.additions).sum::<usize>(),
        changes.iter().map(|change| change.deletions).sum::<usize>(),
    );
    let _ = write!(
        text,
        "<section class=\"files\"><h2>{} file{plural} changed <span class=\"plus\">+{added}</span> <span class=\"minus\">−{removed}</span></h2>",
        changes.len()
    );
    for change in changes {
        let word = match change.kind {
            ChangeKind::Added => "added",
            ChangeKind::Removed => "removed",
            ChangeKind::Modified => "",
        };
        let _ = write!(
            text,
            "<details open><summary><code>{}</code> <small>{word}</small> <span class=\"plus\">+{}</span> <span class=\"minus\">−{}</span></summary>",
            escape(&change.path),
            change.additions,
            change.deletions
        );
        match &change.patch {
            None => text.push_str("<p class=\"quiet\">Binary file.</p>"),
            Some(patch) if patch.lines().count() > MOST_LINES => {
                text.push_str("<p class=\"quiet\">Large differences are not shown.</p>");
            }
            Some(patch) => {
                text.push_str("<pre class=\"diff\">");
                for line in patch.lines() {
                    let class = match line.as_bytes().first() {
                        Some(b'+') => "add",
                        Some(b'-') => "del",
                        Some(b'@') => "hunk",
                        _ => "ctx",
                    };
                    let _ = write!(text, "<span class=\"{class}\">{}</span>", escape(line));
                }
                text.push_str("</pre>");
            }
        }
        text.push_str("</details>");
    }
    text.push_str("</section>");
}
