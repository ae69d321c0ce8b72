//! Logging in at a registry after its 401: the credentials themselves, or a token that a token service gives for them (the
//! Docker registry's token specification, and its OAuth form for identity tokens). I/O: the transport of [`Registries`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, Method, Uri};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::challenge::Challenge;
use super::credentials::Login;
use super::tokens::{Key, Token as Kept};
use super::{AGENT, Ask, Failure, Registries, read};
use crate::domain::admit::images::ImageRef;
use crate::domain::plain::in_query;

/// Bytes of a token service's answer.
const TOKEN_BYTES: usize = 64 << 10;

#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Registries {
    /// What is to be sent after a 401: the credentials themselves, or a token that is asked for with them.
    pub(super) async fn log_in(
        &self,
        image: &ImageRef,
        headers: &HeaderMap,
        login: Option<Login<'_>>,
        token_hosts: &[String],
        key: Key,
    ) -> Result<SecretString, Failure> {
        let host = image.host();
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
        let challenge =
            challenges.filter_map(|value| value.to_str().ok()).find_map(Challenge::parse);
        let (realm, service) = match challenge {
            Some(Challenge::Bearer { realm, service }) => (realm, service),
            Some(Challenge::Basic) => return login.and_then(basic).ok_or(Failure::Denied),
            None => {
                let why = format!("{host} asks for a login that is not known here");
                return Err(Failure::Refused(why));
            }
        };
        let uri: Uri = realm.parse().map_err(|_| {
            Failure::Refused(format!("{host} names a token service that can't be asked"))
        })?;
        let realm_host = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        if uri.scheme_str() != Some("https") || realm_host.is_empty() || realm_host.contains('@') {
            return Err(Failure::Refused(format!(
                "{host} names a token service that is not asked: it is no https address"
            )));
        }
        if !may_have_credentials(host, realm_host, token_hosts) {
            return Err(Failure::Refused(format!(
                "{host} wants its credentials to be sent to {realm_host}, which is another domain: list that in \
                 await.tokenHosts if it is right"
            )));
        }
        let scope = format!("repository:{}:pull", image.repository);
        let asked_at = self.clock.now();
        let asked = [("service", service.as_deref()), ("scope", Some(scope.as_str()))];
        let answer = if let Some(Login::Identity(token)) = login {
            let form = pairs(asked.into_iter().chain([
                ("grant_type", Some("refresh_token")),
                ("client_id", Some(AGENT)),
                ("refresh_token", Some(token.expose_secret())),
            ]));
            let form = SecretString::from(form);
            self.send(Method::POST, &uri, None, Ask::Form(&form)).await?
        } else {
            let between = if uri.query().is_some() { '&' } else { '?' };
            let whole = format!("{}{between}{}", realm.trim_end_matches('/'), pairs(asked));
            let uri: Uri = whole.parse().map_err(|_| {
                Failure::Refused(format!("{realm_host} can't be asked for a token"))
            })?;
            let pass = login.and_then(basic);
            self.send(Method::GET, &uri, pass.as_ref(), Ask::Token).await?
        };
        match answer.status.as_u16() {
            200 => {}
            // A token that was withdrawn is a bad grant (RFC 6749, 5.2).
            400 if matches!(login, Some(Login::Identity(_))) => return Err(Failure::Denied),
            401 | 403 => return Err(Failure::Denied),
            status => {
                return Err(Failure::Trouble(format!("{realm_host} answers {status}")));
            }
        }
        let bytes = read(answer.body, TOKEN_BYTES).await;
        let token: Option<Granted> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Granted { token, access_token, expires_in } =
            token.ok_or_else(|| Failure::Trouble(format!("{realm_host} gives no token")))?;
        let token = if token.is_empty() { access_token } else { token };
        if !is_token(&token) {
            return Err(Failure::Trouble(format!("{realm_host} gives no token")));
        }
        let pass = SecretString::from(format!("Bearer {token}"));
        self.tokens.keep(key, Kept::new(pass.clone(), asked_at, expires_in), asked_at);
        Ok(pass)
    }
}

/// `None`: an identity token is for a token service alone.
fn basic(login: Login<'_>) -> Option<SecretString> {
    let Login::Password(user, password) = login else { return None };
    let pair = format!("{user}:{}", password.expose_secret());
    Some(SecretString::from(format!("Basic {}", STANDARD.encode(pair))))
}

fn pairs<'a>(all: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> String {
    let pairs =
        all.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", in_query(value?))));
    pairs.collect::<Vec<_>>().join("&")
}

/// Whether a token service may get the credentials of a registry: its own host, its registrable domain, or a listed host.
pub(super) fn may_have_credentials(registry: &str, realm: &str, listed: &[String]) -> bool {
    if registry.eq_ignore_ascii_case(realm) {
        return true;
    }
    if listed.iter().any(|host| host.eq_ignore_ascii_case(realm)) {
        return true;
    }
    // Another port is another service: only the usual one is of the domain.
    let domain = |host: &str| {
        let host = host.strip_suffix(":443").unwrap_or(host).to_ascii_lowercase();
        if host.contains(':') || host.parse::<std::net::IpAddr>().is_ok() {
            return None;
        }
        let found = psl::domain(host.as_bytes())?;
        // A suffix that nobody has listed is a guess ("internal", "test"): no two hosts are of one owner by it.
        found.suffix().is_known().then(|| found.as_bytes().to_vec())
    };
    domain(registry).is_some_and(|of_registry| domain(realm) == Some(of_registry))
}

/// RFC 6750: what may stand behind `Bearer`.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 32 << 10
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
}
