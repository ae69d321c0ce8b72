//! I/O (child process) · git's own protocol over HTTP, by `git http-backend`.
//!
//! A push moves references on disk; what moved is then told to pull requests and hooks.

use std::collections::BTreeMap;
use std::process::Stdio;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::GitHub;
use super::git::Git;
use super::model::{Actor, Role};
use super::server::{Answer, credentials, plain};
use crate::seams::body;

/// The biggest push or list of wants.
pub(super) const MOST_BODY: usize = 256 * 1024 * 1024;

/// Settings of every git process here.
const CONFIG: &[(&str, &str)] = &[
    ("uploadpack.allowAnySHA1InWant", "true"),
    ("uploadpack.allowReachableSHA1InWant", "true"),
    ("http.receivepack", "true"),
    // As at GitHub, `refs/pull` is written by the forge alone.
    ("receive.hideRefs", "refs/pull"),
    ("receive.denyDeleteCurrent", "ignore"),
    ("receive.autogc", "false"),
    ("gc.auto", "0"),
    ("safe.directory", "*"),
];

/// What a git client asks for.
#[derive(Debug)]
pub(super) struct Service {
    owner: String,
    name: String,
    /// `/info/refs`, `/git-upload-pack` or `/git-receive-pack`.
    tail: &'static str,
}

impl Service {
    /// The git service that `path` names, if it does.
    pub(super) fn of(path: &str) -> Option<Self> {
        let tail = ["/info/refs", "/git-upload-pack", "/git-receive-pack"]
            .into_iter()
            .find(|tail| path.ends_with(tail))?;
        let place = path.strip_suffix(tail)?.trim_start_matches('/');
        let (owner, name) = place.split_once('/')?;
        let name = name.strip_suffix(".git").unwrap_or(name);
        if name.contains('/') {
            return None;
        }
        Some(Self { owner: owner.to_owned(), name: name.to_owned(), tail })
    }

    fn writes(&self, query: Option<&str>) -> bool {
        self.tail == "/git-receive-pack"
            || query.is_some_and(|query| query.contains("service=git-receive-pack"))
    }
}

impl GitHub {
    /// Answers one request of a git client.
    pub(super) async fn git(
        &self,
        service: &Service,
        method: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        input: Bytes,
    ) -> Answer {
        let path = format!("/{}/{}.git{}", service.owner, service.name, service.tail);
        let (actor, id, git) = match self.admit(service, query, headers, &path, method) {
            Ok(admitted) => admitted,
            Err(answer) => return *answer,
        };
        let before = git.references("refs/heads/").unwrap_or_default();
        let mut command = Command::new("git");
        command.arg("http-backend").env_clear();
        // Only where programs are: git finds its helpers by it.
        if let Some(programs) = std::env::var_os("PATH") {
            command.env("PATH", programs);
        }
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_COUNT", CONFIG.len().to_string())
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_PROJECT_ROOT", git.dir())
            .env("PATH_INFO", service.tail)
            .env("REQUEST_METHOD", method)
            .env("QUERY_STRING", query.unwrap_or_default())
            .env("CONTENT_LENGTH", input.len().to_string())
            .env("REMOTE_USER", self.state().actor_name(actor).unwrap_or_default())
            .env("REMOTE_ADDR", "127.0.0.1");
        for (index, (key, value)) in CONFIG.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        let given = [
            (header::CONTENT_TYPE.as_str(), "CONTENT_TYPE"),
            (header::CONTENT_ENCODING.as_str(), "HTTP_CONTENT_ENCODING"),
            ("git-protocol", "GIT_PROTOCOL"),
        ];
        for (name, variable) in given {
            if let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) {
                command.env(variable, value);
            }
        }
        let output = match run(command, input).await {
            Ok(output) => output,
            Err(error) => {
                self.note(method, &path, actor, 500);
                let words = format!("git http-backend could not be run: {error}");
                return plain(StatusCode::INTERNAL_SERVER_ERROR, &words);
            }
        };
        let answer = cgi(output);
        self.note(method, &path, actor, answer.status().as_u16());
        if service.tail == "/git-receive-pack" {
            self.pushed(id, &git, &before, actor);
        }
        answer
    }

    fn note(&self, method: &str, path: &str, actor: Actor, status: u16) {
        let mut state = self.state();
        let user = state.actor_name(actor);
        state.record(method, path, user, status);
    }

    /// Who may go on, or the answer for who may not.
    fn admit(
        &self,
        service: &Service,
        query: Option<&str>,
        headers: &HeaderMap,
        path: &str,
        method: &str,
    ) -> Result<(Actor, u64, Git), Box<Answer>> {
        let mut state = self.state();
        if let Some(fault) = state.faults.strike("GIT", path) {
            let status = fault.status().unwrap_or(504);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
            return refused(&mut state, method, path, status, "the sandbox fails as told", None);
        }
        let actor = match credentials(headers).map(|token| state.identify(&token)) {
            None => Actor::Anonymous,
            Some(Ok(actor)) => actor,
            Some(Err(_)) => {
                let words = "Invalid username or token.";
                return refused(&mut state, method, path, StatusCode::UNAUTHORIZED, words, None);
            }
        };
        let user = state.actor_name(actor);
        let old = (service.owner.to_ascii_lowercase(), service.name.to_ascii_lowercase());
        let id = state
            .find_repo(&service.owner, &service.name)
            .or_else(|| state.moved.get(&old).copied());
        let found = id.and_then(|id| state.repos.get(&id));
        let Some(repo) = found.filter(|repo| state.may_fetch(actor, repo)) else {
            let (status, words) = if actor == Actor::Anonymous {
                (StatusCode::UNAUTHORIZED, "Authentication required")
            } else {
                (StatusCode::NOT_FOUND, "Repository not found.")
            };
            return refused(&mut state, method, path, status, words, user);
        };
        let (id, git) = (repo.id, repo.git.clone());
        if service.writes(query)
            && let Err(refusal) = state.need(actor, id, Role::Write, &["contents"])
        {
            let (status, words) = if refusal.status == 401 {
                (StatusCode::UNAUTHORIZED, "Authentication required".to_owned())
            } else {
                let name = state.repos.get(&id).map(|repo| state.full_name(repo));
                let words = format!(
                    "Permission to {}.git denied to {}.",
                    name.unwrap_or_default(),
                    user.clone().unwrap_or_default()
                );
                (StatusCode::FORBIDDEN, words)
            };
            return refused(&mut state, method, path, status, &words, user);
        }
        Ok((actor, id, git))
    }

    /// Tells what a push moved.
    fn pushed(&self, id: u64, git: &Git, before: &BTreeMap<String, String>, actor: Actor) {
        let Ok(after) = git.references("refs/heads/") else { return };
        let mut state = self.state();
        let Ok(by) = state.account_of(actor) else { return };
        let names: std::collections::BTreeSet<&String> =
            before.keys().chain(after.keys()).collect();
        for name in names {
            let (old, new) = (before.get(name), after.get(name));
            let branch = name.trim_start_matches("refs/heads/");
            let told = state.moved_branch(
                id,
                branch,
                old.map(String::as_str),
                new.map(String::as_str),
                by,
            );
            if let Err(refusal) = told {
                tracing::warn!(%branch, %refusal, "a pushed branch could not be followed up");
            }
        }
    }
}

fn refused<T>(
    state: &mut super::state::State,
    method: &str,
    path: &str,
    status: StatusCode,
    words: &str,
    user: Option<String>,
) -> Result<T, Box<Answer>> {
    state.record(method, path, user, status.as_u16());
    let mut answer = plain(status, words);
    if status == StatusCode::UNAUTHORIZED {
        let realm = HeaderValue::from_static("Basic realm=\"GitHub\"");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    }
    Err(Box::new(answer))
}

async fn run(mut command: Command, input: Bytes) -> std::io::Result<Vec<u8>> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // git may answer and end before it has read all; that is no failure.
            let _ = stdin.write_all(&input).await;
        }
    };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    Ok(output?.stdout)
}

/// A CGI program's output as an HTTP answer.
fn cgi(output: Vec<u8>) -> Answer {
    let output = Bytes::from(output);
    let end = output.windows(4).position(|part| part == b"\r\n\r\n");
    let Some(end) = end else {
        return plain(StatusCode::INTERNAL_SERVER_ERROR, "git http-backend gave no answer");
    };
    let mut response = Response::new(body(output.slice(end + 4..)));
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            if let Some(code) = code.and_then(|code| StatusCode::from_u16(code).ok()) {
                *response.status_mut() = code;
            }
        } else if let (Ok(name), Ok(value)) =
            (header::HeaderName::try_from(name), HeaderValue::from_str(value))
        {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
