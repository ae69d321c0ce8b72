//! How GitHub lets people sign in to an App: the page on which they agree, the code that leads back, its exchange for a
//! token of that person, and the end of such a token. I/O: none.
//!
//! Nobody is logged in here: whoever looks at the page says who he is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::call::{self, Reply};
use super::super::model::{AccountKind, Actor, App, Time, Token};
use super::super::refusal::Refusal;
use super::super::server::Answer;
use super::super::state::State;
use super::super::views::encode;
use super::super::{GitHub, ops::people::client_id};
use super::{escape, html};
use crate::seams::body;

/// A code is good for ten minutes.
const CODE_LIFE: chrono::Duration = chrono::Duration::minutes(10);
/// A token of a person lives for eight hours.
const TOKEN_LIFE: i64 = 8 * 60 * 60;

/// What somebody agreed to.
#[derive(Clone, Debug)]
pub(in crate::sandbox::github) struct Agreed {
    app: u64,
    user: u64,
    redirect: String,
    challenge: Option<String>,
    until: Time,
}

/// The pages and the exchange below `/login/oauth`.
pub(in crate::sandbox::github) fn is_mine(path: &str) -> bool {
    matches!(path, "/login/oauth/authorize" | "/login/oauth/access_token")
}

impl GitHub {
    /// Answers below `/login/oauth`.
    pub(in crate::sandbox::github) fn sign_in(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Answer {
        let text = String::from_utf8_lossy(body);
        let mut state = self.state();
        let answered = match (method, path) {
            ("GET", "/login/oauth/authorize") => state.ask(&call::query(query)),
            ("POST", "/login/oauth/authorize") => state.agree(&call::query(&text)),
            ("POST", "/login/oauth/access_token") => {
                let status = 200;
                state.record(method, path, None, status);
                Ok(exchanged(&state.exchange(&call::query(&text)), headers))
            }
            _ => Err(Refusal::not_found()),
        };
        answered.unwrap_or_else(|refusal| {
            let words = format!("<h1>Not possible</h1><p>{}</p>", escape(&refusal.message));
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
            html(status, "Not possible", &words, false)
        })
    }

    /// Addresses to which people are led back when they have signed in to an App.
    pub fn set_callbacks(&self, app: u64, urls: &[&str]) -> Result<(), Refusal> {
        let mut state = self.state();
        let app = state.apps.get_mut(&app).ok_or_else(Refusal::not_found)?;
        app.callbacks = urls.iter().map(|url| (*url).to_owned()).collect();
        Ok(())
    }

    /// Client id and client secret of an App.
    pub fn client_of(&self, app: u64) -> Result<(String, String), Refusal> {
        let state = self.state();
        let app = state.apps.get(&app).ok_or_else(Refusal::not_found)?;
        Ok((client_id(app.id), client_secret(app)))
    }

    /// How many tokens of people live that signed in to an App.
    #[must_use]
    pub fn visitors_tokens(&self) -> usize {
        self.state().tokens.values().filter(|token| token.via.is_some()).count()
    }
}

impl State {
    fn client(&self, id: &str) -> Option<&App> {
        self.apps.values().find(|app| client_id(app.id) == id)
    }

    /// The page on which somebody agrees.
    fn ask(&self, query: &BTreeMap<String, String>) -> Result<Answer, Refusal> {
        let field = |name: &str| query.get(name).map(String::as_str).unwrap_or_default();
        let app = self.client(field("client_id")).ok_or_else(Refusal::not_found)?;
        allowed(app, field("redirect_uri"))?;
        let mut inputs = String::new();
        for name in
            ["client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method"]
        {
            let value = escape(field(name));
            let _ = write!(inputs, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
        }
        let mut content = format!("<h1>Authorize {}</h1><p>Who are you?</p>", escape(&app.slug));
        for person in self.accounts.values().filter(|account| account.kind == AccountKind::User) {
            let login = escape(&person.login);
            let _ = write!(
                content,
                "<form method=\"post\" action=\"/login/oauth/authorize\">{inputs}\
                 <input type=\"hidden\" name=\"login\" value=\"{login}\">\
                 <p><button type=\"submit\">Authorize as {login}</button></p></form>"
            );
        }
        let mut answer = html(StatusCode::OK, "Authorize", &content, false);
        // Browsers look at where a form's answer leads, too.
        let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";
        let policy = HeaderValue::from_static(policy);
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        Ok(answer)
    }

    fn agree(&mut self, form: &BTreeMap<String, String>) -> Result<Answer, Refusal> {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let app = self.client(field("client_id")).ok_or_else(Refusal::not_found)?;
        allowed(app, field("redirect_uri"))?;
        let challenge = match (field("code_challenge"), field("code_challenge_method")) {
            ("", _) => None,
            (challenge, "S256") => Some(challenge.to_owned()),
            _ => return Err(Refusal::unprocessable("code_challenge_method must be S256")),
        };
        let (app, redirect) = (app.id, field("redirect_uri").to_owned());
        let user = self.need_account(field("login"))?;
        let code = self.rng.uuid().simple().to_string();
        let until = self.now() + CODE_LIFE;
        let separator = if redirect.contains('?') { '&' } else { '?' };
        let location = format!("{redirect}{separator}code={code}&state={}", encode(field("state")));
        self.agreed.insert(code, Agreed { app, user, redirect, challenge, until });
        let mut answer = html(StatusCode::FOUND, "Authorized", "", false);
        let location = HeaderValue::from_str(&location).map_err(Refusal::broken)?;
        answer.headers_mut().insert(header::LOCATION, location);
        Ok(answer)
    }

    /// A token for a code, or GitHub's word for what is wrong; both with 200.
    fn exchange(&mut self, form: &BTreeMap<String, String>) -> Value {
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        let wrong = |error: &str, words: &str| {
            let uri = "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/";
            json!({"error": error, "error_description": words, "error_uri": uri})
        };
        let app = self
            .client(field("client_id"))
            .filter(|app| client_secret(app) == field("client_secret"));
        let Some(app) = app.map(|app| app.id) else {
            let words = "The client_id and/or client_secret passed are incorrect.";
            return wrong("incorrect_client_credentials", words);
        };
        let stale = || wrong("bad_verification_code", "The code passed is incorrect or expired.");
        // Whatever is wrong with the rest, a code is good once.
        let Some(agreed) = self.agreed.remove(field("code")) else { return stale() };
        if agreed.app != app || self.now() >= agreed.until {
            return stale();
        }
        if !field("redirect_uri").is_empty() && field("redirect_uri") != agreed.redirect {
            let words =
                "The redirect_uri MUST match the registered callback URL for this application.";
            return wrong("redirect_uri_mismatch", words);
        }
        let proof = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier").as_bytes()));
        if agreed.challenge.is_some_and(|challenge| challenge != proof) {
            return stale();
        }
        let token = format!("ghu_{}", self.rng.uuid().simple());
        let expires_at = Some(self.now() + chrono::Duration::seconds(TOKEN_LIFE));
        let entry = Token { actor: Actor::User(agreed.user), expires_at, via: Some(app) };
        self.tokens.insert(token.clone(), entry);
        json!({
            "access_token": token, "expires_in": TOKEN_LIFE,
            "refresh_token": format!("ghr_{}", self.rng.uuid().simple()),
            "refresh_token_expires_in": 15_897_600, "scope": "", "token_type": "bearer",
        })
    }

    /// Whether a token of a person who signed in to an App is used beyond what that App and that person both may: a private
    /// repository at which the App is not installed is not there for it.
    pub(in crate::sandbox::github) fn is_beyond(&self, token: &str, segments: &[String]) -> bool {
        let Some(app) = self.tokens.get(token).and_then(|token| token.via) else { return false };
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        let repo = match parts.as_slice() {
            ["repos", owner, name, ..] => self.find_repo(owner, name),
            ["repositories", id, ..] => id.parse().ok(),
            _ => return false,
        };
        let Some(repo) = repo.and_then(|id| self.repos.get(&id)) else { return false };
        let mut installed = self.installations.values().filter(|found| found.app == app);
        repo.private
            && !installed
                .any(|found| found.suspended_at.is_none() && self.installed(found.id, repo))
    }

    /// `DELETE /applications/{client_id}/token`: the App gives a token back, with its own id and secret.
    pub(in crate::sandbox::github) fn give_back(
        &mut self,
        client: &str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Reply, Refusal> {
        let app = self.client(client).ok_or_else(Refusal::not_found)?;
        let login = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let login = login.and_then(|value| value.strip_prefix("Basic "));
        let login = login.and_then(|value| STANDARD.decode(value).ok());
        if login != Some(format!("{client}:{}", client_secret(app)).into_bytes()) {
            return Err(Refusal::bad_credentials());
        }
        let id = app.id;
        let body: Value =
            serde_json::from_slice(body).map_err(|_| Refusal::new(400, "Problems parsing JSON"))?;
        let token = body["access_token"].as_str().unwrap_or_default();
        if self.tokens.get(token).is_none_or(|token| token.via != Some(id)) {
            return Err(Refusal::new(404, "Not Found"));
        }
        self.tokens.remove(token);
        Ok(Reply::empty())
    }
}

fn allowed(app: &App, redirect: &str) -> Result<(), Refusal> {
    if app.callbacks.iter().any(|known| known == redirect) {
        return Ok(());
    }
    Err(Refusal::unprocessable("The redirect_uri is not associated with this application."))
}

/// As JSON when that is asked for, else as a form.
fn exchanged(answer: &Value, headers: &HeaderMap) -> Answer {
    let wants = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let (kind, text) = if wants.is_some_and(|kinds| kinds.contains("json")) {
        ("application/json; charset=utf-8", answer.to_string())
    } else {
        let fields = answer.as_object().into_iter().flatten().map(|(name, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}={}", encode(&value))
        });
        ("application/x-www-form-urlencoded; charset=utf-8", fields.collect::<Vec<_>>().join("&"))
    };
    let mut response = http::Response::new(body(text));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Follows from the App's number, so that making one draws nothing: it is no secret in a sandbox.
pub(in crate::sandbox::github) fn client_secret(app: &App) -> String {
    let digest = Sha256::digest(format!("client secret of {} {}", app.id, app.slug).as_bytes());
    hex::encode(&digest[..20])
}
