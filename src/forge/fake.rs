//! A GitHub of a few routes for unit tests: state, not expectations. A route it does not have answers 599 with its name.
#[cfg(test)]
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body as AxumBody;
use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

use super::{ApiUrl, Apis, Forge};
use crate::domain::id::RepoName;
use crate::seams::{Body, BoxError, Clock, Transport};

/// The token's own account.
pub(crate) const ME: u64 = 501;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) pulls: Vec<Value>,
    /// (id, author, body), all on pull request 7.
    pub(crate) comments: Vec<(u64, u64, String)>,
    pub(crate) next_comment: u64,
    /// Appended once, before the answer to the next creation: somebody was faster.
    pub(crate) racing: Option<(u64, u64, String)>,
    /// `METHOD path?query` of each request, with `304` behind when it cost nothing.
    pub(crate) log: Vec<String>,
    /// Authorization and user agent of the last request.
    pub(crate) last_headers: (String, String),
    /// Answered instead, in turn.
    pub(crate) instead: VecDeque<Response>,
    pub(crate) most_per_page: usize,
}

#[derive(Clone)]
pub(crate) struct Fake(Arc<Mutex<State>>);

impl Fake {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            most_per_page: 100,
            next_comment: 1000,
            ..State::default()
        })))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn answer_instead(&self, status: u16, headers: &[(&str, &str)], body: &str) {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        self.state().instead.push_back(response.body(AxumBody::from(body.to_owned())).unwrap());
    }

    /// What was asked since the last time.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    pub(crate) fn transport(&self) -> Transport {
        let router = Router::new().fallback(handle).with_state(self.clone());
        Transport::new(tower::service_fn(move |request: http::Request<Body>| {
            let mut router = router.clone();
            async move {
                let router: &mut Router = ServiceExt::<http::Request<AxumBody>>::ready(&mut router)
                    .await
                    .map_err(BoxError::from)?;
                let response =
                    router.call(request.map(AxumBody::new)).await.map_err(BoxError::from)?;
                Ok::<_, BoxError>(response.map(|body| {
                    use http_body_util::BodyExt as _;
                    body.map_err(BoxError::from).boxed_unsync()
                }))
            }
        }))
    }

    /// A client of it, at an address with a path prefix.
    pub(crate) fn forge(&self) -> Forge {
        let clock = Clock::simulated(chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        let apis = Apis::new(self.transport(), clock);
        let url = ApiUrl::parse("https://ghe.test/api/v3/", false).unwrap();
        apis.api(&url, &"s3cret\n".into()).unwrap().forge(RepoName::parse("Acme", "Shop").unwrap())
    }
}

pub(crate) fn pull(number: u64) -> Value {
    json!({
        "number": number, "state": "open", "draft": false, "merged_at": null,
        "labels": [{"name": "b"}, {"name": "a"}],
        "user": {"login": "mona", "id": 3, "type": "User"},
        "head": {"sha": "a".repeat(40), "ref": "feature/x", "repo": {"id": 42}},
        "base": {"sha": "b".repeat(40), "ref": "main",
                 "repo": {"id": 42, "name": "shop", "owner": {"login": "acme"}}},
        "html_url": format!("https://ghe.test/acme/shop/pull/{number}"),
    })
}

fn comment((id, author, body): &(u64, u64, String)) -> Value {
    json!({
        "id": id, "body": body, "user": {"login": "x", "id": author, "type": "User"},
        "html_url": format!("https://ghe.test/acme/shop/pull/7#issuecomment-{id}"),
        "issue_url": "https://ghe.test/api/v3/repos/acme/shop/issues/7",
    })
}

fn repository() -> Value {
    json!({
        "id": 42, "name": "Shop", "owner": {"login": "Acme"}, "private": true,
        "permissions": {"admin": false, "push": true, "pull": true},
        "html_url": "https://ghe.test/Acme/Shop", "clone_url": "https://ghe.test/Acme/Shop.git",
    })
}

fn reply(status: u16, body: &Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body.clone())).into_response()
}

async fn handle(Extract(fake): Extract<Fake>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let sent: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let whole = parts.uri.path_and_query().unwrap().as_str();
    let mut state = fake.state();
    state.log.push(format!("{} {}", parts.method, whole.trim_start_matches("/api/v3")));
    let header = |name: &str| {
        parts.headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    state.last_headers = (header("authorization"), header("user-agent"));
    if let Some(response) = state.instead.pop_front() {
        return response;
    }
    let Some(path) = parts.uri.path().strip_prefix("/api/v3") else {
        return reply(599, &json!({"message": "the prefix is missing"}));
    };
    let path: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (parts.method.as_str(), path.as_slice()) {
        ("GET", ["user"]) => reply(200, &json!({"login": "bivouac-bot", "id": ME, "type": "User"})),
        ("GET", ["repos", "acme", "shop"] | ["repositories", "42"]) => reply(200, &repository()),
        ("GET", ["repos", "acme", "old"]) => Response::builder()
            .status(301)
            .header("location", "https://ghe.test/api/v3/repositories/42")
            .body(AxumBody::empty())
            .unwrap(),
        ("GET", ["repos", "acme", "evil"]) => Response::builder()
            .status(301)
            .header("location", "https://evil.test/api/v3/repositories/42")
            .body(AxumBody::empty())
            .unwrap(),
        ("GET", ["repos", "acme", "shop", "collaborators", _, "permission"]) => reply(
            200,
            &json!({"permission": "write", "role_name": "admin",
                    "user": {"permissions": {"admin": false, "maintain": true, "push": true, "pull": true}}}),
        ),
        ("GET", ["repos", "acme", "shop", "pulls", number]) => {
            let found = state
                .pulls
                .iter()
                .find(|p| p["number"] == json!(number.parse::<u64>().unwrap()))
                .cloned();
            match found {
                Some(pull) => page(&mut state, &parts.headers, whole, &[pull], Shape::One),
                None => reply(404, &json!({"message": "Not Found"})),
            }
        }
        ("GET", ["repos", "acme", "shop", "pulls"]) => {
            let pulls = state.pulls.clone();
            page(&mut state, &parts.headers, whole, &pulls, Shape::List)
        }
        ("GET", ["repos", "acme", "shop", "issues", "7", "comments"]) => {
            let comments: Vec<Value> = state.comments.iter().map(comment).collect();
            page(&mut state, &parts.headers, whole, &comments, Shape::List)
        }
        ("POST", ["repos", "acme", "shop", "issues", "7", "comments"]) => {
            if let Some(faster) = state.racing.take() {
                state.comments.push(faster);
            }
            state.next_comment += 1;
            let made = (state.next_comment, ME, sent["body"].as_str().unwrap().to_owned());
            state.comments.push(made.clone());
            reply(201, &comment(&made))
        }
        (method, ["repos", "acme", "shop", "issues", "comments", id]) => {
            let Some(at) = state.comments.iter().position(|c| c.0.to_string() == *id) else {
                return reply(404, &json!({"message": "Not Found"}));
            };
            match method {
                "DELETE" => {
                    state.comments.remove(at);
                    StatusCode::NO_CONTENT.into_response()
                }
                "PATCH" => {
                    sent["body"].as_str().unwrap().clone_into(&mut state.comments[at].2);
                    reply(200, &comment(&state.comments[at]))
                }
                _ => reply(200, &comment(&state.comments[at])),
            }
        }
        (method, path) => reply(599, &json!({"message": format!("no route {method} {path:?}")})),
    }
}

#[derive(Clone, Copy)]
enum Shape {
    One,
    List,
}

fn page(
    state: &mut State,
    headers: &http::HeaderMap,
    whole: &str,
    all: &[Value],
    shape: Shape,
) -> Response {
    let number: usize = whole.split("&page=").nth(1).map_or(1, |n| n.parse().unwrap());
    let most = state.most_per_page;
    let shown: Vec<Value> = all.iter().skip((number - 1) * most).take(most).cloned().collect();
    let body = match shape {
        Shape::One => all[0].clone(),
        Shape::List => Value::Array(shown),
    };
    let more = all.len() > number * most;
    let tag = {
        use sha2::Digest as _;
        format!("W/\"{}\"", hex::encode(sha2::Sha256::digest(format!("{body}{more}"))))
    };
    if headers.get("if-none-match").is_some_and(|sent| sent.to_str().unwrap() == tag) {
        state.log.last_mut().unwrap().push_str(" 304");
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let mut response = reply(200, &body);
    response.headers_mut().insert("etag", tag.parse().unwrap());
    if more {
        let first = whole.split("&page=").next().unwrap();
        let link = format!(
            "<https://ghe.test{first}&page={}>; rel=\"next\", <https://ghe.test/x>; rel=\"last\"",
            number + 1
        );
        response.headers_mut().insert("link", link.parse().unwrap());
    }
    response
}
