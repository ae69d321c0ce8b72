//! Image registries (OCI distribution): is an image there yet, and under which digest? In: an [`ImageRef`]; out: a
//! [`Found`]. I/O: the transport that it is given.
//!
//! Only hosts that the platform team lists are asked: the caller sees to that. Credentials go to their own host, and to
//! token services of the same registrable domain or listed ones; nothing is sent with them after a redirect. Which
//! addresses may be connected to is decided by the transport ([`https_transport`]).

mod challenge;
mod credentials;

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, LOCATION, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyStream;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use self::challenge::Challenge;
pub use self::credentials::{PullCredentials, UnusablePullSecret};
use crate::domain::admit::images::{ImageRef, is_digest};
use crate::outward::{self, OutwardError, Policy, Reach, ThisMachine};
use crate::seams::{Body, BoxError, Transport, Unreached, body};

/// How the service calls itself to registries.
const AGENT: &str = "bivouac-registry";
/// A connection comes about within this time, or it does not.
const CONNECT: Duration = Duration::from_secs(5);
/// The whole of a request, with its answer.
const REQUEST: Duration = Duration::from_secs(10);
/// One image is looked for no longer.
const TOTAL: Duration = Duration::from_secs(20);
/// Bytes of a token service's answer.
const TOKEN_BYTES: usize = 64 << 10;
/// Bytes of a manifest. The specification lets registries refuse bigger ones.
const MANIFEST_BYTES: usize = 4 << 20;
/// Redirects of one question.
const MOST_REDIRECTS: usize = 3;
/// Every form that a manifest has.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// What a registry says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    There {
        /// `sha256:…`.
        digest: String,
    },
    /// It is not there, or may not be read: some registries do not tell the two apart.
    Missing(Missing),
    /// It is never asked for, or will never be answered.
    Refused(String),
    /// The registry can't be asked at this moment.
    Trouble(String),
}

/// Why an image can't be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is none.
    NotFound,
    /// The registry refuses these credentials, or wants some.
    Denied,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not in the registry",
            Self::Denied => {
                "not in the registry, or not to be read with the Repository's pull secrets"
            }
        })
    }
}

/// With what a question is asked.
#[derive(Clone, Copy, Debug)]
pub struct With<'a> {
    /// What pull secrets hold.
    pub credentials: &'a PullCredentials,
    /// Hosts of token services that may get credentials of every registry.
    pub token_hosts: &'a [String],
}

/// The way to registries over sockets: https alone. `private`: they may be at addresses of private networks.
pub fn https_transport(private: bool) -> Result<Transport, OutwardError> {
    outward::transport(Policy {
        reach: if private { Reach::Private } else { Reach::Public },
        this_machine: ThisMachine::Refused,
        instead: None,
        https_only: true,
        keep: true,
        connect: CONNECT,
        total: REQUEST,
    })
}

/// Asks registries.
#[derive(Clone)]
pub struct Registries {
    transport: Transport,
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registries")
    }
}

/// Why there is no answer of use.
enum Failure {
    Refused(String),
    Trouble(String),
    Denied,
}

/// An answer without its body.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
}

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Registries {
    /// Asks over `transport`.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        Self { transport }
    }

    /// Whether `image` is in its registry.
    pub async fn find(&self, image: &ImageRef, with: With<'_>) -> Found {
        match tokio::time::timeout(TOTAL, self.look(image, with)).await {
            Ok(Ok(found)) => found,
            Ok(Err(Failure::Denied)) => Found::Missing(Missing::Denied),
            Ok(Err(Failure::Refused(why))) => Found::Refused(why),
            Ok(Err(Failure::Trouble(why))) => Found::Trouble(why),
            Err(_) => Found::Trouble(format!("{} does not answer in time", image.host())),
        }
    }

    async fn look(&self, image: &ImageRef, with: With<'_>) -> Result<Found, Failure> {
        let first = self.manifest(Method::HEAD, image, None).await?;
        let pass = match first.status {
            StatusCode::UNAUTHORIZED => Some(self.log_in(image, &first.headers, with).await?),
            _ => None,
        };
        let answer = match &pass {
            Some(pass) => self.manifest(Method::HEAD, image, Some(pass)).await?,
            None => first,
        };
        match answer.status.as_u16() {
            200 => {}
            404 => return Ok(Found::Missing(Missing::NotFound)),
            401 | 403 => return Err(Failure::Denied),
            status => return Err(Failure::Trouble(format!("{} answers {status}", image.host()))),
        }
        if is_digest(&image.reference) {
            return Ok(Found::There { digest: image.reference.clone() });
        }
        let said =
            answer.headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
        if let Some(digest) = said.filter(|digest| is_digest(digest)) {
            return Ok(Found::There { digest: digest.to_owned() });
        }
        // The header is not required: the digest is that of the manifest's bytes.
        let answer = self.manifest(Method::GET, image, pass.as_ref()).await?;
        if answer.status != StatusCode::OK {
            return Err(Failure::Trouble(format!(
                "{} answers {}",
                image.host(),
                answer.status.as_u16()
            )));
        }
        let bytes = read(answer.body, MANIFEST_BYTES)
            .await
            .ok_or_else(|| Failure::Trouble(format!("{} sends no whole manifest", image.host())))?;
        Ok(Found::There { digest: format!("sha256:{}", hex::encode(Sha256::digest(&bytes))) })
    }

    /// Asks for a manifest; redirects are followed without credentials.
    async fn manifest(
        &self,
        method: Method,
        image: &ImageRef,
        pass: Option<&SecretString>,
    ) -> Result<Answer, Failure> {
        let host = image.host();
        let mut uri: Uri =
            format!("https://{host}/v2/{}/manifests/{}", image.repository, image.reference)
                .parse()
                .map_err(|_| Failure::Refused(format!("{image} can't be asked for")))?;
        let mut pass = pass;
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.send(method.clone(), &uri, pass, Some(MANIFESTS)).await?;
            if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
            uri = followed(&uri, location)
                .ok_or_else(|| Failure::Refused(format!("{host} leads away from https")))?;
            pass = None;
        }
        Err(Failure::Refused(format!("{host} leads from one redirect to the next")))
    }

    /// What is to be sent after a 401: the credentials themselves, or a token that is asked for with them.
    async fn log_in(
        &self,
        image: &ImageRef,
        headers: &HeaderMap,
        with: With<'_>,
    ) -> Result<SecretString, Failure> {
        let host = image.host();
        let known = with.credentials.of(&image.registry, &image.repository);
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
        let challenge =
            challenges.filter_map(|value| value.to_str().ok()).find_map(Challenge::parse);
        match challenge {
            Some(Challenge::Basic) => known.map(basic).ok_or(Failure::Denied),
            Some(Challenge::Bearer { realm, service }) => {
                let uri: Uri = realm.parse().map_err(|_| {
                    Failure::Refused(format!("{host} names a token service that can't be asked"))
                })?;
                let realm_host =
                    uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
                if uri.scheme_str() != Some("https")
                    || realm_host.is_empty()
                    || realm_host.contains('@')
                {
                    return Err(Failure::Refused(format!(
                        "{host} names a token service that is not asked: it is no https address"
                    )));
                }
                if !may_have_credentials(host, realm_host, with.token_hosts) {
                    return Err(Failure::Refused(format!(
                        "{host} wants its credentials to be sent to {realm_host}, which is another domain: list that \
                         in await.tokenHosts if it is right"
                    )));
                }
                let scope = format!("repository:{}:pull", image.repository);
                let between = if uri.query().is_some() { '&' } else { '?' };
                let query: String = [("service", service.as_deref()), ("scope", Some(&scope))]
                    .into_iter()
                    .filter_map(|(name, value)| Some(format!("{name}={}", encoded(value?))))
                    .collect::<Vec<_>>()
                    .join("&");
                let uri: Uri =
                    format!("{}{between}{query}", realm.trim_end_matches('/')).parse().map_err(
                        |_| Failure::Refused(format!("{realm_host} can't be asked for a token")),
                    )?;
                let pass = known.map(basic);
                let answer = self.send(Method::GET, &uri, pass.as_ref(), None).await?;
                match answer.status.as_u16() {
                    200 => {}
                    401 | 403 => return Err(Failure::Denied),
                    status => {
                        return Err(Failure::Trouble(format!("{realm_host} answers {status}")));
                    }
                }
                let bytes = read(answer.body, TOKEN_BYTES).await;
                let token: Option<Token> =
                    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
                let token = token.map(
                    |Token { token, access_token }| {
                        if token.is_empty() { access_token } else { token }
                    },
                );
                match token.filter(|token| is_token(token)) {
                    Some(token) => Ok(SecretString::from(format!("Bearer {token}"))),
                    None => Err(Failure::Trouble(format!("{realm_host} gives no token"))),
                }
            }
            None => {
                Err(Failure::Refused(format!("{host} asks for a login that is not known here")))
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        uri: &Uri,
        pass: Option<&SecretString>,
        accept: Option<&str>,
    ) -> Result<Answer, Failure> {
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(uri).header(USER_AGENT, AGENT);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(pass) = pass {
            let value = http::HeaderValue::from_str(pass.expose_secret());
            let mut value = value.map_err(|_| Failure::Denied)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request
            .body(body(""))
            .map_err(|_| Failure::Refused(format!("{host} can't be asked")))?;
        let answer =
            call(self.transport.clone(), request).await.map_err(|error| unheard(&host, &error))?;
        let (parts, body) = answer.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// A function of its own, so that the future's type has no lifetime in it.
fn call(
    transport: Transport,
    request: Request<Body>,
) -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
    Box::pin(transport.oneshot(request))
}

fn unheard(host: &str, error: &BoxError) -> Failure {
    match error.downcast_ref::<Unreached>() {
        Some(Unreached::AddressRefused) => Failure::Refused(format!(
            "{host} leads to an address that is never asked: a private one, or one of the machine or its link"
        )),
        Some(other) => Failure::Trouble(format!("{host}: {other}")),
        None => Failure::Trouble(format!("{host} can't be reached")),
    }
}

/// The whole body, when it is not longer than `most`.
async fn read(content: Body, most: usize) -> Option<Vec<u8>> {
    let mut stream = BodyStream::new(content);
    let mut bytes = Vec::new();
    while let Some(frame) = stream.next().await {
        bytes.extend(frame.ok()?.into_data().into_iter().flatten());
        if bytes.len() > most {
            return None;
        }
    }
    Some(bytes)
}

fn basic((user, password): (&str, &SecretString)) -> SecretString {
    let pair = format!("{user}:{}", password.expose_secret());
    SecretString::from(format!("Basic {}", STANDARD.encode(pair)))
}

/// A redirect's target: https, or the same host.
fn followed(from: &Uri, location: Option<&str>) -> Option<Uri> {
    let location = location?;
    let whole = if location.starts_with('/') && !location.starts_with("//") {
        format!("https://{}{location}", from.authority()?)
    } else {
        location.to_owned()
    };
    let uri: Uri = whole.parse().ok()?;
    let fine = uri.scheme_str() == Some("https")
        && uri.authority().is_some_and(|host| !host.as_str().contains('@'));
    fine.then_some(uri)
}

/// Whether a token service may get the credentials of a registry: its own host, its registrable domain, or a listed host.
fn may_have_credentials(registry: &str, realm: &str, listed: &[String]) -> bool {
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

fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

#[cfg(test)]
mod tests;
