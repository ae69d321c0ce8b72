//! I/O (HTTP) · the one door: git's protocol, the API with its faults, limits and conditional answers, and the pages.

use std::convert::Infallible;
use std::io;

use axum::Router;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;
use tower::service_fn;

use super::call::{self, Call, Reply};
use super::model::Actor;
use super::refusal::Refusal;
use super::state::State;
use super::{GitHub, RequestRecord, rest, smart_http, web};
use crate::seams::{BoxError, Transport, body};

/// An API request may be this big; GitHub's limit is of this order.
const MOST_BODY: usize = 8 * 1024 * 1024;
/// Requests in the list; a day of a busy demo has a tenth of it.
pub(super) const MOST_REQUESTS: usize = 100_000;

/// What every handler gives back.
pub(super) type Answer = Response<crate::seams::Body>;

impl GitHub {
    /// The sandbox as a client's peer, in process.
    #[must_use]
    pub fn transport(&self) -> Transport {
        let github = self.clone();
        Transport::new(service_fn(move |request: Request<crate::seams::Body>| {
            let github = github.clone();
            async move { Ok::<_, BoxError>(github.answer(request).await) }
        }))
    }

    /// Serves on `listener` until [`GitHub::stop`] is called or the future is dropped.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let github = self.clone();
        let router = Router::new().fallback(move |request: Request<axum::body::Body>| {
            let github = github.clone();
            async move {
                let request = request.map(|inner| inner.map_err(BoxError::from).boxed_unsync());
                Ok::<_, Infallible>(github.answer(request).await.map(axum::body::Body::new))
            }
        });
        let stop = self.0.stop.clone();
        axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
    }

    /// Ends the server and the deliveries.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    async fn answer(&self, request: Request<crate::seams::Body>) -> Answer {
        let (parts, incoming) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let method = parts.method.as_str().to_owned();
        let latency = self.state().faults.latency();
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let git = smart_http::Service::of(&path);
        let most = if git.is_some() { smart_http::MOST_BODY } else { MOST_BODY };
        let Some(bytes) = read(incoming, most).await else {
            return plain(StatusCode::PAYLOAD_TOO_LARGE, "the request is too big or was cut off");
        };
        if let Some(git) = git {
            return self.git(&git, &method, parts.uri.query(), &parts.headers, bytes).await;
        }
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let prefixed =
            path.strip_prefix("/api/v3").filter(|rest| rest.is_empty() || rest.starts_with('/'));
        match prefixed {
            None if !rest::ROOTS.contains(&first) && method == "GET" => {
                let state = self.state();
                web::page(&state, &path, parts.uri.query())
            }
            _ => {
                let inside = prefixed.unwrap_or(&path);
                self.api(&method, inside, parts.uri.query(), &parts.headers, bytes)
            }
        }
    }

    /// One API request, from faults to headers.
    fn api(
        &self,
        method: &str,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Answer {
        let mut state = self.state();
        let query_text = query.unwrap_or_default();
        let shown =
            if query_text.is_empty() { path.to_owned() } else { format!("{path}?{query_text}") };
        if let Some(status) = state.faults.strike(method, path) {
            state.record(method, &shown, None, status);
            return finish(fault(status));
        }
        let actor = match credentials(headers).map(|token| state.identify(&token)) {
            None => Actor::Anonymous,
            Some(Ok(actor)) => actor,
            Some(Err(refusal)) => {
                state.record(method, &shown, None, refusal.status);
                return finish(Reply::refused(&refusal));
            }
        };
        let now = state.now();
        let limited = path == "/rate_limit";
        let counter = *state.limits.current(actor, now);
        if !limited && counter.remaining() == 0 {
            let refusal = Refusal::forbidden(over_limit(&state, actor));
            let mut reply = Reply::refused(&refusal);
            reply.headers.extend(limit_headers(counter));
            let user = state.actor_name(actor);
            state.record(method, &shown, user, refusal.status);
            return finish(reply);
        }
        let call = Call {
            method: method.to_owned(),
            path: path.to_owned(),
            query: call::query(query_text),
            body,
            actor,
        };
        let mut reply =
            rest::route(&mut state, &call).unwrap_or_else(|refusal| Reply::refused(&refusal));
        if method == "GET" && reply.status == 200 {
            conditional(&mut reply, headers);
        }
        let counter = state.limits.current(actor, now);
        // A conditional request that finds nothing new is free.
        if !limited && reply.status != 304 {
            counter.used += 1;
        }
        let counter = *counter;
        reply.headers.extend(limit_headers(counter));
        let user = state.actor_name(actor);
        state.record(method, &shown, user, reply.status);
        finish(reply)
    }
}

impl State {
    /// Notes an answered request; of a very long list the oldest goes.
    pub(super) fn record(&mut self, method: &str, path: &str, user: Option<String>, status: u16) {
        let (method, path) = (method.to_owned(), path.to_owned());
        if self.requests.len() >= MOST_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(RequestRecord { at: self.clock.now(), method, path, user, status });
    }
}

/// A whole body of at most `most` bytes; `None` when it is longer or breaks off.
pub(super) async fn read(mut body: crate::seams::Body, most: usize) -> Option<Bytes> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            if whole.len() + data.len() > most {
                return None;
            }
            whole.extend_from_slice(&data);
        }
    }
    Some(whole.into())
}

/// The token of a request: `Bearer`, `token`, or the password of Basic as git sends it.
pub(super) fn credentials(headers: &HeaderMap) -> Option<String> {
    use base64::Engine as _;
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        let raw = base64::engine::general_purpose::STANDARD.decode(rest.trim()).unwrap_or_default();
        let text = String::from_utf8_lossy(&raw).into_owned();
        let (user, password) = text.split_once(':').unwrap_or(("", &text));
        let token =
            if password.is_empty() || password == "x-oauth-basic" { user } else { password };
        return Some(token.to_owned());
    }
    Some(rest.trim().to_owned())
}

fn over_limit(state: &State, actor: Actor) -> String {
    match actor {
        Actor::User(id) => format!("API rate limit exceeded for user ID {id}."),
        Actor::Installation(bearer) => {
            format!("API rate limit exceeded for installation ID {}.", bearer.installation)
        }
        Actor::Anonymous | Actor::App(_) => {
            let who = state.actor_name(actor).unwrap_or_else(|| "127.0.0.1".to_owned());
            format!(
                "API rate limit exceeded for {who}. (But here's the good news: Authenticated requests get a higher rate limit. Check out the documentation for more details.)"
            )
        }
    }
}

fn limit_headers(counter: super::limits::Counter) -> [(&'static str, String); 5] {
    [
        ("x-ratelimit-limit", counter.limit.to_string()),
        ("x-ratelimit-remaining", counter.remaining().to_string()),
        ("x-ratelimit-used", counter.used.to_string()),
        ("x-ratelimit-reset", counter.reset.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
    ]
}

/// What a forge says when it is struck by `status`.
fn fault(status: u16) -> Reply {
    let words = match status {
        401 => "Bad credentials",
        403 | 429 => {
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        }
        404 => "Not Found",
        409 => "Conflict",
        422 => "Validation Failed",
        500 => "Server Error",
        502 => "Bad Gateway",
        503 => {
            "No server is currently available to service your request. Sorry about that. Please try resubmitting your request and contact us if the problem persists."
        }
        504 => {
            "We couldn't respond to your request in time. Sorry about that. Please try resubmitting your request and contact us if the problem persists."
        }
        _ => "fault injected by the sandbox",
    };
    let mut reply = Reply::refused(&Refusal::new(status, words));
    if matches!(status, 403 | 429) {
        reply.headers.push(("retry-after", "60".to_owned()));
    }
    reply
}

/// Adds the `ETag`, and turns an answer that the client has already into a 304.
fn conditional(reply: &mut Reply, headers: &HeaderMap) {
    let Some(etag) = reply.etag() else { return };
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || bare(tag) == bare(&etag));
    if known {
        reply.status = 304;
        reply.body = None;
    }
    reply.headers.push(("etag", etag));
    reply.headers.push(("cache-control", "private, max-age=60, s-maxage=60".to_owned()));
    reply.headers.push(("vary", "Accept, Authorization".to_owned()));
}

fn finish(reply: Reply) -> Answer {
    let text = reply.body.as_ref().map(ToString::to_string).unwrap_or_default();
    let has_body = reply.body.is_some();
    let mut response = Response::new(body(text));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in reply.headers {
        if let Some(value) = call::header(&value) {
            headers.insert(name, value);
        }
    }
    if has_body {
        let kind = http::HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert("x-github-api-version-selected", http::HeaderValue::from_static("2022-11-28"));
    response
}

/// An answer of plain text.
pub(super) fn plain(status: StatusCode, text: &str) -> Answer {
    let mut response = Response::new(body(text.to_owned()));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
