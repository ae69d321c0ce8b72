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
use super::exchange::Exchange;
use super::model::Actor;
use super::refusal::Refusal;
use super::state::State;
use super::trouble::Fault;
use super::{GitHub, RequestRecord, rest, smart_http, web};
use crate::seams::{BoxError, Transport, body};

/// An API request may be this big; GitHub's limit is of this order.
const MOST_BODY: usize = 8 * 1024 * 1024;
/// Requests in the list; a day of a busy demo has a tenth of it.
pub(super) const MOST_REQUESTS: usize = 100_000;

const TOO_MUCH_CONTENT: &str = "You have exceeded a secondary rate limit and have been temporarily blocked from content creation. Please retry your request again later.";

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
        let prefixed = if path == "/api/graphql" {
            Some("/graphql")
        } else {
            path.strip_prefix("/api/v3").filter(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        match prefixed {
            None if web::sign_in::is_mine(&path) => {
                let query = parts.uri.query().unwrap_or_default();
                self.sign_in(&method, &path, query, &parts.headers, &bytes)
            }
            None if method == "POST" && is_page_of_apps(&path) => {
                self.make_app(&path, parts.uri.query().unwrap_or_default(), &bytes)
            }
            None if !rest::ROOTS.contains(&first) && method == "GET" => {
                let state = self.state();
                web::page(&state, &path, parts.uri.query())
            }
            _ => {
                let inside = prefixed.unwrap_or(&path);
                let query = parts.uri.query().unwrap_or_default();
                let fault = self.state().faults.strike(&method, inside);
                let early = fault.as_ref().filter(|fault| !fault.is_after());
                let answer = match early {
                    Some(fault) => self.struck(&method, inside, query, bytes, fault),
                    None => self.api(&method, inside, query, &parts.headers, bytes),
                };
                match fault {
                    Some(fault) => fault.spoil(answer).await,
                    None => answer,
                }
            }
        }
    }

    /// One API request that nothing is done about.
    fn struck(&self, method: &str, path: &str, query: &str, body: Bytes, fault: &Fault) -> Answer {
        let mut state = self.state();
        let status = fault.status().unwrap_or_default();
        state.record(method, &shown(path, query), None, status);
        if state.exchanges.wants() {
            let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
            let answer = Bytes::new();
            let exchange = Exchange { method, path, query, body, status, answer, fault: true };
            state.exchanges.keep(exchange);
        }
        fault.answer(state.now())
    }

    /// One API request, and what is kept of it.
    fn api(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Answer {
        let mut state = self.state();
        let reply = state.answer(method, path, query, headers, body.clone());
        // Those of the REST API, which has a description.
        if path != "/graphql" && state.exchanges.wants() {
            let answer = reply.body.as_ref().map(ToString::to_string).unwrap_or_default().into();
            let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
            let status = reply.status;
            let exchange = Exchange { method, path, query, body, status, answer, fault: false };
            state.exchanges.keep(exchange);
        }
        drop(state);
        finish(reply)
    }
}

/// The App whose tokens of people this is about: here it logs in with its id and secret.
fn client_of_tokens<'a>(method: &str, path: &'a str) -> Option<&'a str> {
    let client = path.strip_prefix("/applications/")?.strip_suffix("/token")?;
    (method == "DELETE" && !client.contains('/')).then_some(client)
}

/// A page on which an App is made from a manifest.
fn is_page_of_apps(path: &str) -> bool {
    let mut parts = path.trim_matches('/').split('/');
    if parts.next() == Some("organizations") {
        return parts.next().is_some() && parts.eq(["settings", "apps", "new"]);
    }
    matches!(path.trim_matches('/'), "settings/apps/new" | "settings/apps")
}

fn shown(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Whether a request makes content that GitHub counts. A token is none.
fn makes_content(method: &str, path: &str) -> bool {
    matches!(method, "POST" | "PATCH" | "PUT" | "DELETE") && !path.starts_with("/app/")
}

impl State {
    /// One API request, from credentials to headers.
    fn answer(
        &mut self,
        method: &str,
        path: &str,
        query_text: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Reply {
        let state = self;
        let shown = shown(path, query_text);
        if let Some(client) = client_of_tokens(method, path) {
            let answered = state.give_back(client, headers, &body);
            let reply = answered.unwrap_or_else(|refusal| Reply::refused(&refusal));
            state.record(method, &shown, None, reply.status);
            return reply;
        }
        let actor = match credentials(headers).map(|token| state.identify(&token)) {
            None => Actor::Anonymous,
            Some(Ok(actor)) => actor,
            Some(Err(refusal)) => {
                state.record(method, &shown, None, refusal.status);
                let now = state.now();
                let counter = *state.limits.current(Actor::Anonymous, now);
                let mut reply = Reply::refused(&refusal);
                reply.headers.extend(limit_headers(counter));
                return reply;
            }
        };
        let now = state.now();
        let limited = path == "/rate_limit";
        let counter = *state.limits.current(actor, now);
        if !limited && counter.remaining() == 0 {
            let refusal = Refusal::forbidden(over_limit(state, actor));
            let mut reply = Reply::refused(&refusal);
            reply.headers.extend(limit_headers(counter));
            let user = state.actor_name(actor);
            state.record(method, &shown, user, refusal.status);
            return reply;
        }
        let call = Call {
            method: method.to_owned(),
            path: path.to_owned(),
            query: call::query(query_text),
            body,
            actor,
            rows: state.faults.rows,
            moving: state.faults.moving,
        };
        let content =
            if makes_content(method, path) { state.limits.write(actor, now) } else { Ok(()) };
        let mut reply = match content {
            Ok(()) if state.is_unborn(&call.segments()) => Reply::refused(&Refusal::not_found()),
            Ok(())
                if credentials(headers).is_some_and(|t| state.is_beyond(&t, &call.segments())) =>
            {
                Reply::refused(&Refusal::not_found())
            }
            Ok(()) => rest::route(state, &call).unwrap_or_else(|refusal| Reply::refused(&refusal)),
            Err(seconds) => {
                let mut reply = Reply::refused(&Refusal::forbidden(TOO_MUCH_CONTENT));
                reply.headers.push(("retry-after", seconds.to_string()));
                reply
            }
        };
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
        reply
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

pub(super) fn finish(reply: Reply) -> Answer {
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
