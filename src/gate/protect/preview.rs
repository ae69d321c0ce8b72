//! I/O (Secrets) · protection on a preview's host: is somebody let in already, does he come back from signing in, has a
//! program a token? Else he is shown the way.

use axum::response::Response;
use chrono::TimeDelta;
use http::{HeaderMap, Method, StatusCode, Uri};

use super::address::{self, Origin, field, path_back};
use super::cookie::Cookie;
use super::rule::Rule;
use super::word::{self, Begin, HandOver, LetIn, Means, Session};
use super::{
    Admitted, BYPASS, Protect, Trouble, is_from_itself, is_marked, nonce_of, page, word_of,
};
use crate::domain::plain::in_query;
use crate::gate::words::Key;

/// So long somebody is let in: a working day, after which he shows again that he may.
const SESSION: TimeDelta = TimeDelta::hours(8);
/// So long a person may take to sign in.
pub(super) const BEGIN: TimeDelta = TimeDelta::minutes(30);
/// The field of a query by which a program shows its token.
const BYPASS_FIELD: &str = "bivouac-bypass";
/// Where a preview sends people to sign in.
const SIGN_IN: &str = "/.bivouac/sign-in";

/// A request without its body, which can't be shared while somebody waits.
pub(super) struct Head<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
}

/// A preview that can let people in: all that must be set up is.
struct Ready<'a> {
    rule: &'a Rule<'a>,
    origin: &'a Origin,
    key: Key,
}

impl Protect {
    /// Who asks, when he may; else the answer to him.
    pub(super) async fn look(
        &self,
        request: &Head<'_>,
        rule: &Rule<'_>,
    ) -> Result<Admitted, Response> {
        let found = match self.ready(rule) {
            Ok(ready) => self.judge(request, &ready).await,
            Err(trouble) => Err(trouble),
        };
        // Crawlers ask for this before anything else, and it tells nothing.
        let robots = request.uri.path() == "/robots.txt" && request.method == Method::GET;
        match found {
            Ok(Ok(admitted)) => Ok(admitted),
            Ok(Err(_)) | Err(_) if robots => {
                Err(page::text(StatusCode::OK, "User-agent: *\nDisallow: /"))
            }
            Ok(Err(answer)) => Err(answer),
            Err(trouble) => Err(trouble.answer(rule)),
        }
    }

    fn ready<'a>(&self, rule: &'a Rule<'a>) -> Result<Ready<'a>, Trouble> {
        let key = self.key()?;
        let origin = rule.origin.as_ref().ok_or(Trouble::PlainHttp)?;
        Ok(Ready { rule, origin, key })
    }

    async fn judge(
        &self,
        request: &Head<'_>,
        ready: &Ready<'_>,
    ) -> Result<Result<Admitted, Response>, Trouble> {
        let Head { method, uri, headers } = *request;
        let query = uri.query().unwrap_or_default();
        match (uri.path(), method == Method::GET) {
            (SIGN_IN, true) => return self.begin(ready, headers, query).await.map(Err),
            ("/.bivouac/enter", true) => return self.enter(ready, headers, query).map(Err),
            ("/.bivouac/sign-out", get) => return Ok(Err(sign_out(ready, request, get))),
            _ => {}
        }
        if let Some(token) = headers.get(BYPASS).filter(|_| ready.rule.bypass.is_some()) {
            let right = self.is_secret(ready.rule, Means::Bypass, token.as_bytes()).await?;
            return Ok(if right { Ok(program()) } else { Err(wrong_token()) });
        }
        if let Some(token) = field(query, BYPASS_FIELD).filter(|_| ready.rule.bypass.is_some()) {
            return self.enter_with(ready, uri.path(), query, &token).await.map(Err);
        }
        if let Some(let_in) = self.session(ready, headers).await? {
            let LetIn { by, visitor, print: _ } = let_in;
            return Ok(Ok(Admitted { visitor, program: by == Means::Bypass }));
        }
        if !wants_a_page(request) {
            let words = "sign in first: open this address in a browser";
            return Ok(Err(page::text(StatusCode::UNAUTHORIZED, words)));
        }
        // What would fail after a click is said before it.
        self.gate_for(ready.rule)?;
        self.ways(ready.rule).await?;
        let to = uri.path_and_query().map_or("/", |path| path_back(path.as_str()));
        Ok(Err(page::closed(&format!("{SIGN_IN}?to={}", in_query(to)))))
    }

    /// What the cookie says, as long as what was shown then still counts.
    async fn session(
        &self,
        ready: &Ready<'_>,
        headers: &HeaderMap,
    ) -> Result<Option<LetIn>, Trouble> {
        let Ready { rule, origin, key } = ready;
        for value in Cookie::Session.values(headers, origin.secure()) {
            let now = self.clock.now();
            let said: Option<Session> = word::hear(key, word::SESSION, rule.host, now, &value);
            let Some(session) = said.filter(|session| rule.is_sessions(session)) else { continue };
            let print = self.print(key, rule, session.let_in.by).await?;
            if print
                .is_some_and(|print| word::same(print.as_bytes(), session.let_in.print.as_bytes()))
            {
                return Ok(Some(session.let_in));
            }
        }
        Ok(None)
    }

    /// Leads to the gate's host, with a cookie by which this browser is known when it comes back.
    async fn begin(
        &self,
        ready: &Ready<'_>,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Response, Trouble> {
        let Ready { rule, origin, key } = ready;
        let gate = self.gate_for(rule)?;
        self.ways(rule).await?;
        let known = nonce_of(&Cookie::Begin.values(headers, origin.secure()));
        let nonce = known.unwrap_or_else(|| self.nonce());
        let begin = Begin {
            host: rule.host.to_owned(),
            repository: rule.uid.to_owned(),
            path: path_back(&field(query, "to").unwrap_or_default()).to_owned(),
            mark: word::mark_of(&nonce),
        };
        let span = (self.clock.now(), BEGIN);
        let word = word::say(key, word::BEGIN, gate.host(), span, &begin).ok_or(Trouble::NoKey)?;
        let to = format!("{gate}{SIGN_IN}?with={}", in_query(&word));
        Ok(page::lead(&to, [Cookie::Begin.set(&nonce, BEGIN, origin.secure())]))
    }

    /// Back from the gate's host. The cookie that this browser was given goes with it, so that the word is good once.
    fn enter(
        &self,
        ready: &Ready<'_>,
        headers: &HeaderMap,
        query: &str,
    ) -> Result<Response, Trouble> {
        let Ready { rule, origin, key } = ready;
        let word = field(query, "word").unwrap_or_default();
        let said: Option<HandOver> =
            word::hear(key, word::HAND_OVER, rule.host, self.clock.now(), &word);
        let marks = Cookie::Begin.values(headers, origin.secure());
        let said =
            said.filter(|said| rule.is_of(&said.begin) && is_marked(&marks, &said.begin.mark));
        let Some(HandOver { begin, let_in }) = said else {
            let words = "This address is good once, for a minute, and in the browser in which it was asked for.";
            return Ok(page::refused(StatusCode::BAD_REQUEST, words, Some(SIGN_IN)));
        };
        let forget = Cookie::Begin.clear(origin.secure());
        Ok(page::lead(path_back(&begin.path), [self.cookie(ready, let_in)?, forget]))
    }

    /// A program's browser: the token becomes a cookie and leaves the address.
    async fn enter_with(
        &self,
        ready: &Ready<'_>,
        path: &str,
        query: &str,
        token: &str,
    ) -> Result<Response, Trouble> {
        if !self.is_secret(ready.rule, Means::Bypass, token.as_bytes()).await? {
            return Ok(wrong_token());
        }
        let print = self.print(&ready.key, ready.rule, Means::Bypass).await?.unwrap_or_default();
        let let_in = LetIn { by: Means::Bypass, visitor: None, print };
        let to = address::without_field(path, query, BYPASS_FIELD);
        Ok(page::lead(path_back(&to), [self.cookie(ready, let_in)?]))
    }

    fn cookie(
        &self,
        ready: &Ready<'_>,
        let_in: LetIn,
    ) -> Result<Option<http::HeaderValue>, Trouble> {
        let Ready { rule, origin, key } = ready;
        let session = Session { repository: rule.uid.to_owned(), let_in };
        let span = (self.clock.now(), SESSION);
        let word =
            word::say(key, word::SESSION, rule.host, span, &session).ok_or(Trouble::NoKey)?;
        Ok(Cookie::Session.set(&word, SESSION, origin.secure()))
    }
}

fn program() -> Admitted {
    Admitted { visitor: None, program: true }
}

fn wrong_token() -> Response {
    page::text(StatusCode::UNAUTHORIZED, "this is not the bypass token of this preview")
}

/// A person's browser that opens a page, and nothing that a page loads.
fn wants_a_page(request: &Head<'_>) -> bool {
    let headers = request.headers;
    let reads = matches!(*request.method, Method::GET | Method::HEAD);
    reads
        && word_of(headers, "sec-fetch-mode").map_or_else(
            || word_of(headers, "accept").is_some_and(|kinds| kinds.contains("text/html")),
            |mode| mode == "navigate",
        )
}

fn sign_out(ready: &Ready<'_>, request: &Head<'_>, get: bool) -> Response {
    let origin = ready.origin;
    match *request.method {
        _ if get => page::sign_out(),
        Method::POST if is_from_itself(request.headers, origin) => {
            page::lead("/", [Cookie::Session.clear(origin.secure())])
        }
        _ => page::text(StatusCode::FORBIDDEN, "this is not for other pages to ask"),
    }
}
