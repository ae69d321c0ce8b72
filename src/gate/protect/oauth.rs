//! I/O · the few calls of a sign-in by GitHub. In: the code that a browser brought; out: who it is, and whether he can read
//! the repository, asked with a token of his own that is given back at once. Nothing of what GitHub answers is believed
//! further than that.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::address::Origin;
use crate::domain::plain::in_query;
use crate::seams::{Transport, ask, body};

/// A repository's answer is some kilobytes.
const MOST_BYTES: usize = 256 * 1024;
/// GitHub answers within this time, or it does not.
const CALL: Duration = Duration::from_secs(10);
/// Codes of GitHub have 20 characters.
const LONGEST_CODE: usize = 200;
/// A login has 39 at most, that of an Enterprise with its suffix more.
const LONGEST_LOGIN: usize = 100;

/// The App as which people are asked.
#[derive(Debug)]
pub(super) struct App {
    /// Its client id.
    pub(super) id: String,
    /// Its client secret.
    pub(super) secret: SecretString,
}

/// What GitHub says about the person.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// He can read the repository.
    Reads(String),
    /// He can't, or it is not there any more: servers do not tell the two apart.
    MayNot(String),
}

/// Why nothing is known. Display is for our log; the page says a fixed sentence.
#[derive(Debug, thiserror::Error)]
pub(super) enum SignInError {
    /// The code was used before, is too old, or belongs to something else.
    #[error("GitHub does not take the code ({0})")]
    Code(String),
    /// Client id or client secret are wrong, or the address of the gate is not one of the App's callback addresses.
    #[error("GitHub does not take what the App is set up with ({0})")]
    SetUp(String),
    /// No answer, or none that can be used.
    #[error("failed to ask GitHub: {0}")]
    Unreached(String),
}

/// Where a browser is sent to.
pub(super) fn authorize(
    api: &str,
    client: &str,
    gate: &Origin,
    state: &str,
    verifier: &str,
) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    format!(
        "{}/login/oauth/authorize?client_id={}&redirect_uri={}&state={}&code_challenge={challenge}\
         &code_challenge_method=S256&allow_signup=false",
        web_of(api),
        in_query(client),
        in_query(&gate.callback()),
        in_query(state),
    )
}

/// The web address that belongs to an API: of github.com, of a subdomain of ghe.com, or of an Enterprise Server.
pub(super) fn web_of(api: &str) -> String {
    let text = api.trim_end_matches('/').trim_end_matches("/api/v3");
    text.replacen("://api.", "://", 1)
}

#[derive(Deserialize)]
struct Exchanged {
    access_token: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

#[derive(Deserialize)]
struct Found {
    id: u64,
    #[serde(default)]
    permissions: Permissions,
}

#[derive(Default, Deserialize)]
struct Permissions {
    #[serde(default)]
    pull: bool,
}

/// One sign-in, after the browser came back.
pub(super) struct Asking<'a> {
    pub(super) transport: &'a Transport,
    /// REST API of the GitHub.
    pub(super) api: &'a str,
    pub(super) app: &'a App,
    pub(super) gate: &'a Origin,
}

impl Asking<'_> {
    /// Who brought `code`, and whether he can read `repository`.
    pub(super) async fn judge(
        &self,
        code: &str,
        verifier: &str,
        repository: u64,
    ) -> Result<Judged, SignInError> {
        let token = self.exchange(code, verifier).await?;
        let judged = self.look(&token, repository).await;
        // Whatever came of it: nothing of it is kept, here or there.
        self.give_back(&token).await;
        judged
    }

    async fn exchange(&self, code: &str, verifier: &str) -> Result<SecretString, SignInError> {
        if code.is_empty()
            || code.len() > LONGEST_CODE
            || !code.bytes().all(|b| b.is_ascii_graphic())
        {
            return Err(SignInError::Code("it is none that GitHub gives".into()));
        }
        let form = format!(
            "client_id={}&client_secret={}&code={}&redirect_uri={}&code_verifier={}",
            in_query(&self.app.id),
            in_query(self.app.secret.expose_secret()),
            in_query(code),
            in_query(&self.gate.callback()),
            in_query(verifier),
        );
        let request =
            Request::post(format!("{}/login/oauth/access_token", web_of(self.api.trim())))
                .header(header::ACCEPT, "application/json")
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(header::USER_AGENT, "bivouac");
        let (status, bytes) = self.send(request, form).await?;
        if status != StatusCode::OK {
            let reason = format!("HTTP {} for the code", status.as_u16());
            return Err(match status {
                StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED => SignInError::SetUp(reason),
                _ => SignInError::Unreached(reason),
            });
        }
        let Exchanged { access_token, error } = serde_json::from_slice(&bytes)
            .map_err(|_| SignInError::Unreached("its answer to the code can't be read".into()))?;
        match (error.as_deref(), access_token.filter(|token| is_token(token))) {
            (None, Some(token)) => Ok(token.into()),
            (Some("bad_verification_code"), _) => {
                Err(SignInError::Code("it was used before, or is older than ten minutes".into()))
            }
            (Some("incorrect_client_credentials"), _) => {
                Err(SignInError::SetUp("clientId or clientSecret is wrong".into()))
            }
            (Some("redirect_uri_mismatch"), _) => {
                let words =
                    format!("{} is not one of its callback addresses", self.gate.callback());
                Err(SignInError::SetUp(words))
            }
            (Some(other), _) => {
                let word: String = other
                    .chars()
                    .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
                    .take(60)
                    .collect();
                Err(SignInError::Code(word))
            }
            (None, None) => Err(SignInError::Unreached("there is no token in its answer".into())),
        }
    }

    async fn look(&self, token: &SecretString, repository: u64) -> Result<Judged, SignInError> {
        let (status, bytes) = self.get("/user", token).await?;
        let user: Option<User> = serde_json::from_slice(&bytes).ok();
        let login = user.map(|user| user.login).filter(|login| is_login(login));
        let (StatusCode::OK, Some(login)) = (status, login) else {
            return Err(SignInError::Unreached(format!("HTTP {} for /user", status.as_u16())));
        };
        let (status, bytes) = self.get(&format!("/repositories/{repository}"), token).await?;
        match status {
            StatusCode::OK => {
                let found: Found = serde_json::from_slice(&bytes)
                    .map_err(|_| SignInError::Unreached("the repository can't be read".into()))?;
                let reads = found.id == repository && found.permissions.pull;
                Ok(if reads { Judged::Reads(login) } else { Judged::MayNot(login) })
            }
            // Not found, not allowed (single sign-on too), or blocked by law.
            StatusCode::NOT_FOUND
            | StatusCode::FORBIDDEN
            | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => Ok(Judged::MayNot(login)),
            other => {
                let reason = format!("HTTP {} for the repository", other.as_u16());
                Err(SignInError::Unreached(reason))
            }
        }
    }

    /// Makes the token worth nothing. When that fails it ends by itself.
    async fn give_back(&self, token: &SecretString) {
        let App { id, secret } = self.app;
        let login = STANDARD.encode(format!("{id}:{}", secret.expose_secret()));
        let request = Request::delete(format!("{}/applications/{}/token", self.api, in_query(id)))
            .header(header::AUTHORIZATION, format!("Basic {login}"))
            .header(header::CONTENT_TYPE, "application/json");
        let told = json!({"access_token": token.expose_secret()}).to_string();
        match self.send(api(request), told).await {
            Ok((StatusCode::NO_CONTENT, _)) => {}
            Ok((status, _)) => {
                tracing::warn!(status = status.as_u16(), "a visitor's token was not taken back");
            }
            Err(error) => tracing::warn!("a visitor's token was not taken back: {error}"),
        }
    }

    async fn get(
        &self,
        path: &str,
        token: &SecretString,
    ) -> Result<(StatusCode, Bytes), SignInError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(format!("{}{path}", self.api))
            .header(header::AUTHORIZATION, format!("Bearer {}", token.expose_secret()));
        self.send(api(request), String::new()).await
    }

    async fn send(
        &self,
        request: http::request::Builder,
        content: String,
    ) -> Result<(StatusCode, Bytes), SignInError> {
        let unreached = |reason: &str| SignInError::Unreached(reason.to_owned());
        let request = request.body(body(content)).map_err(|_| unreached("its address is none"))?;
        tokio::time::timeout(CALL, ask(self.transport, request, MOST_BYTES))
            .await
            .map_err(|_| unreached("no answer in time"))?
            .map_err(|_| unreached("the connection failed"))
    }
}

fn api(request: http::request::Builder) -> http::request::Builder {
    request
        .header(header::ACCEPT, "application/vnd.github+json")
        .header(header::USER_AGENT, "bivouac")
        .header("x-github-api-version", "2022-11-28")
}

fn is_token(text: &str) -> bool {
    (1..=1000).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_login(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_[]".contains(&byte);
    (1..=LONGEST_LOGIN).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_sent_to_the_github_that_belongs_to_the_api() {
        for (api, web) in [
            ("https://api.github.com", "https://github.com"),
            ("https://api.github.com/", "https://github.com"),
            ("https://github.example.com/api/v3", "https://github.example.com"),
            ("https://api.acme.ghe.com", "https://acme.ghe.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(web_of(api), web);
        }
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let gate = Origin::parse("https://gate.example.com").unwrap();
        assert_eq!(
            authorize("https://api.github.com", "Iv1.a b&", &gate, "x.y", verifier),
            "https://github.com/login/oauth/authorize?client_id=Iv1.a%20b%26\
             &redirect_uri=https%3A%2F%2Fgate.example.com%2F.bivouac%2Fcallback&state=x.y\
             &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&allow_signup=false"
        );
    }

    #[test]
    fn logins_and_tokens_are_plain() {
        assert!(is_login("octo-cat_acme") && is_login("renovate[bot]"));
        for bad in ["", "a b", "a\nb", "<b>", "é", &"x".repeat(101)] {
            assert!(!is_login(bad), "{bad}");
        }
        assert!(is_token("ghu_x") && !is_token("") && !is_token("a\r\nb"));
    }
}
