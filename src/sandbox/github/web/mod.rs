//! PURE · pages for people: the list of repositories and one pull request, escaped, without scripts and without
//! anything from elsewhere.

mod apps;
mod markdown;
mod pull;
pub(in crate::sandbox::github) mod sign_in;

use http::{HeaderValue, Response, StatusCode, header};

use super::call::decode;
use super::model::Time;
use super::server::Answer;
use super::state::State;
use crate::seams::body;

const STYLE: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/templates/web/sandbox/style.css"));

/// Nothing may be loaded but the style that is in the page; forms go nowhere else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Seconds after which a page loads itself again.
const REFRESH: u32 = 3;

/// Answers a GET of a page. The sandbox shows all repositories to everybody who can reach it.
pub(super) fn page(state: &State, path: &str, query: Option<&str>) -> Answer {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let still = query.is_some_and(|query| query.split('&').any(|pair| pair == "refresh=0"));
    let found = match parts.as_slice() {
        [] => Some(("Sandbox".to_owned(), index(state, None))),
        [owner, name] => state
            .find_repo(owner, name)
            .and_then(|id| state.repos.get(&id))
            .map(|repo| (state.full_name(repo), index(state, Some(repo.id)))),
        [owner, name, "pull" | "issues", number] => state
            .find_repo(owner, name)
            .and_then(|id| state.repos.get(&id))
            .and_then(|repo| number.parse().ok().and_then(|n| pull::page(state, repo, n))),
        _ => None,
    };
    if let Some((title, content)) = found {
        return html(StatusCode::OK, &title, &content, !still);
    }
    let words = format!("<h1>Not found</h1><p>{} is not here.</p>", escape(path));
    html(StatusCode::NOT_FOUND, "Not found", &words, false)
}

fn html(status: StatusCode, title: &str, content: &str, refresh: bool) -> Answer {
    let refresh = if refresh {
        format!("<meta http-equiv=\"refresh\" content=\"{REFRESH}\">")
    } else {
        String::new()
    };
    let text = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">{refresh}\
         <title>{}</title><style>{STYLE}</style></head><body>\
         <header class=\"top\"><a href=\"/\" class=\"mark\">Sandbox forge</a>\
         <span class=\"note\">state for demos and tests, not GitHub</span></header>\
         <main>{content}</main></body></html>",
        escape(title)
    );
    let mut response = Response::new(body(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Repositories with their pull requests; one of them or all.
fn index(state: &State, only: Option<u64>) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    if only.is_none() {
        text.push_str("<h1>Repositories</h1>");
        if state.repos.is_empty() {
            text.push_str("<p class=\"quiet\">None yet.</p>");
        }
    }
    for repo in state.repos.values().filter(|repo| only.is_none_or(|id| id == repo.id)) {
        let name = escape(&state.full_name(repo));
        let kind = if repo.private { "Private" } else { "Public" };
        let fork = if repo.fork_of.is_some() { " fork" } else { "" };
        let _ = write!(
            text,
            "<section class=\"repo\"><h2><a href=\"/{name}\">{name}</a> <span class=\"pill\">{kind}{fork}</span></h2><ul class=\"pulls\">"
        );
        let mut any = false;
        for issue in repo.issues.values().rev() {
            any = true;
            let (class, word) = pull::badge(issue);
            let page = if issue.pull.is_some() { "pull" } else { "issues" };
            let labels = pull::labels(issue);
            let _ = write!(
                text,
                "<li><span class=\"badge {class}\">{word}</span> <a href=\"/{name}/{page}/{n}\">{title}</a>{labels}\
                 <small>#{n} opened {ago} by {author}</small></li>",
                n = issue.number,
                title = escape(&issue.title),
                ago = ago(state.now(), issue.created_at),
                author = escape(state.login(issue.author)),
            );
        }
        if !any {
            text.push_str("<li class=\"quiet\">No pull requests.</li>");
        }
        text.push_str("</ul></section>");
    }
    text
}

/// Text that may stand in an element or in a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Marks that turn the reading direction could make a branch look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// How long ago, for people.
fn ago(now: Time, then: Time) -> String {
    let seconds = (now - then).num_seconds().max(0);
    let say = |n: i64, unit: &str| format!("{n} {unit}{} ago", if n == 1 { "" } else { "s" });
    match seconds {
        0..10 => "just now".to_owned(),
        10..60 => say(seconds, "second"),
        60..3600 => say(seconds / 60, "minute"),
        3600..86_400 => say(seconds / 3600, "hour"),
        _ => say(seconds / 86_400, "day"),
    }
}
