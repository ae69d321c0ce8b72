//! Image registries (OCI distribution): is an image there yet, and under which digest? In: an [`ImageRef`]; out: a
//! [`Found`]. I/O: the transport that it is given.
//!
//! Only hosts that the platform team lists are asked: the caller sees to that. Credentials go to their own host, and to
//! token services of the same registrable domain or listed ones; nothing is sent with them after a redirect. Which
//! addresses may be connected to is decided by the transport ([`https_transport`]).

mod challenge;
mod credentials;
mod login;
mod tokens;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyStream;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

pub use self::credentials::{PullCredentials, UnusablePullSecret};
use self::tokens::{Key, Tokens};
use crate::domain::admit::images::{ImageRef, is_digest};
use crate::outward::{self, OutwardError, Policy, Reach, ThisMachine};
use crate::seams::{Body, BoxError, Clock, Transport, Unreached, body};

/// How the service calls itself to registries.
const AGENT: &str = "bivouac-registry";
/// A connection comes about within this time, or it does not.
const CONNECT: Duration = Duration::from_secs(5);
/// The whole of a request, with its answer.
const REQUEST: Duration = Duration::from_secs(10);
/// One image is looked for no longer.
const TOTAL: Duration = Duration::from_secs(20);
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
    clock: Clock,
    tokens: Arc<Tokens>,
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

/// What a request is for.
#[derive(Clone, Copy)]
enum Ask<'a> {
    Manifest,
    Token,
    /// A token, by a form.
    Form(&'a SecretString),
}

impl Registries {
    /// Asks over `transport`; `clock` says when a token of a token service has ended.
    #[must_use]
    pub fn new(transport: Transport, clock: Clock) -> Self {
        Self { transport, clock, tokens: Arc::default() }
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
        let login = with.credentials.of(&image.registry, &image.repository);
        let key = Key::of(image.host(), &image.repository, login);
        let kept = self.tokens.get(&key, self.clock.now());
        let mut first = self.manifest(Method::HEAD, image, kept.as_ref()).await?;
        let mut pass = kept;
        // A token that counts no longer is forgotten; what it is to be replaced by, the registry says to who has none.
        if pass.is_some() && matches!(first.status.as_u16(), 401 | 403) {
            self.tokens.forget(&key);
            pass = None;
            first = self.manifest(Method::HEAD, image, None).await?;
        }
        let answer = if first.status == StatusCode::UNAUTHORIZED {
            pass = Some(self.log_in(image, &first.headers, login, with.token_hosts, key).await?);
            self.manifest(Method::HEAD, image, pass.as_ref()).await?
        } else {
            first
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
            let answer = self.send(method.clone(), &uri, pass, Ask::Manifest).await?;
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

    async fn send(
        &self,
        method: Method,
        uri: &Uri,
        pass: Option<&SecretString>,
        ask: Ask<'_>,
    ) -> Result<Answer, Failure> {
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(uri).header(USER_AGENT, AGENT);
        let content = match ask {
            Ask::Manifest => {
                request = request.header(ACCEPT, MANIFESTS);
                String::new()
            }
            Ask::Token => String::new(),
            Ask::Form(form) => {
                request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
                form.expose_secret().to_owned()
            }
        };
        if let Some(pass) = pass {
            let value = http::HeaderValue::from_str(pass.expose_secret());
            let mut value = value.map_err(|_| Failure::Denied)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request
            .body(body(content))
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

#[cfg(test)]
mod tests;
