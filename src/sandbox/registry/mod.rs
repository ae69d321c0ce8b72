//! An embedded image registry: as many hosts as a test names, called in process ([`Transport`]). It answers as the OCI
//! distribution specification says: 401 with a challenge, tokens of a token service, manifests by tag and by digest.
//! It holds no blobs. What is not supported is answered 501 with its name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tower::service_fn;

use crate::seams::{Body, BoxError, Clock, Rng, Transport, Unreached, body};

/// Form of the manifests.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// A token is good for so long.
const TOKEN_SECONDS: i64 = 300;

/// How a host lets people in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody may read.
    Open,
    /// Name and password with each request.
    Basic,
    /// A token of a token service; without name and password it gives one that opens nothing private.
    Bearer {
        /// Address of the token service.
        realm: String,
    },
}

/// What becomes of a request to one host.
#[derive(Clone, Debug)]
pub enum RegistryFault {
    /// There is no answer.
    Unreached(Unreached),
    /// It answers with this status.
    Status(u16),
    /// It leads to another address.
    Redirect(String),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryRequest {
    /// When.
    pub at: DateTime<Utc>,
    /// `GET`, `HEAD`.
    pub method: String,
    /// The whole address.
    pub url: String,
    /// `Authorization`, as it was sent.
    pub authorization: Option<String>,
    /// What was answered; 0 when nothing was.
    pub status: u16,
}

struct Host {
    access: Access,
    /// Name and password of who may read all of it.
    login: Option<(String, String)>,
    /// What a token service takes for name and password (OAuth's `refresh_token`).
    identity: Option<String>,
    /// Manifests say their digest in a header.
    says_digest: bool,
    /// By repository and reference (tag or digest).
    manifests: BTreeMap<(String, String), String>,
}

#[derive(Default)]
struct State {
    hosts: BTreeMap<String, Host>,
    /// Scope, end, and whether it was given to somebody who logged in.
    tokens: BTreeMap<String, (String, DateTime<Utc>, bool)>,
    faults: BTreeMap<String, (RegistryFault, u32)>,
    requests: Vec<RegistryRequest>,
}

/// All registries of a world. A clone is the same.
#[derive(Clone)]
pub struct Registry {
    clock: Clock,
    rng: Rng,
    state: Arc<Mutex<State>>,
}

impl Registry {
    /// Without any host.
    #[must_use]
    pub fn new(clock: Clock, rng: Rng) -> Self {
        Self { clock, rng, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a host, or changes how it lets people in. `login`: name and password of who may read.
    pub fn host(&self, name: &str, access: Access, login: Option<(&str, &str)>) {
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let state = &mut *self.lock();
        let manifests = state.hosts.remove(name).map(|host| host.manifests).unwrap_or_default();
        let host = Host { access, login, identity: None, says_digest: true, manifests };
        state.hosts.insert(name.to_owned(), host);
    }

    /// The token service of the host gives tokens for this identity token.
    pub fn set_identity(&self, host: &str, token: &str) {
        if let Some(host) = self.lock().hosts.get_mut(host) {
            host.identity = Some(token.to_owned());
        }
    }

    /// Ends every token that was given.
    pub fn withdraw_tokens(&self) {
        self.lock().tokens.clear();
    }

    /// The host does not say digests in a header any more.
    pub fn hide_digests(&self, host: &str) {
        if let Some(host) = self.lock().hosts.get_mut(host) {
            host.says_digest = false;
        }
    }

    /// Pushes an image whose manifest holds `text`; gives its digest.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn push(&self, host: &str, repository: &str, tag: &str, text: &str) -> String {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "annotations": {"text": text},
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2}, "layers": [],
        })
        .to_string();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(manifest.as_bytes())));
        if let Some(host) = self.lock().hosts.get_mut(host) {
            for reference in [tag, &digest] {
                let key = (repository.to_owned(), reference.to_owned());
                host.manifests.insert(key, manifest.clone());
            }
        }
        digest
    }

    /// The next `times` requests to `host` end so.
    pub fn fail(&self, host: &str, fault: RegistryFault, times: u32) {
        self.lock().faults.insert(host.to_owned(), (fault, times));
    }

    /// What was asked so far.
    #[must_use]
    pub fn requests(&self) -> Vec<RegistryRequest> {
        self.lock().requests.clone()
    }

    /// The way to all hosts, in process.
    #[must_use]
    pub fn transport(&self) -> Transport {
        let registry = self.clone();
        Transport::new(service_fn(move |request: Request<Body>| {
            let registry = registry.clone();
            async move {
                let (parts, content) = request.into_parts();
                let form = content.collect().await?.to_bytes();
                let form = String::from_utf8_lossy(&form).into_owned();
                registry.answer(&Request::from_parts(parts, form))
            }
        }))
    }

    fn answer(&self, request: &Request<String>) -> Result<Response<Body>, BoxError> {
        let now = self.clock.now();
        let state = &mut *self.lock();
        let answer = state.answer(request, now, &self.rng);
        let authorization = request.headers().get(header::AUTHORIZATION);
        state.requests.push(RegistryRequest {
            at: now,
            method: request.method().to_string(),
            url: request.uri().to_string(),
            authorization: authorization.and_then(|value| value.to_str().ok()).map(str::to_owned),
            status: answer.as_ref().map_or(0, |answer| answer.status().as_u16()),
        });
        answer
    }
}

/// An error in the specification's form.
fn error(status: u16, code: &str) -> Result<Response<Body>, BoxError> {
    let text =
        json!({"errors": [{"code": code, "message": code.to_lowercase().replace('_', " ")}]});
    let answer =
        Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    Ok(answer.body(body(text.to_string()))?)
}

impl State {
    fn answer(
        &mut self,
        request: &Request<String>,
        now: DateTime<Utc>,
        rng: &Rng,
    ) -> Result<Response<Body>, BoxError> {
        let name = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        if let Some((fault, left)) = self.faults.get_mut(&name)
            && *left > 0
        {
            *left -= 1;
            return match fault.clone() {
                RegistryFault::Unreached(why) => Err(why.into()),
                RegistryFault::Status(status) => error(status, "UNKNOWN"),
                RegistryFault::Redirect(to) => {
                    let answer = Response::builder().status(307).header(header::LOCATION, to);
                    Ok(answer.body(body(""))?)
                }
            };
        }
        let path = request.uri().path().to_owned();
        if path == "/token" {
            return self.token(request, &name, now, rng);
        }
        let Some(host) = self.hosts.get(&name) else { return Err(Unreached::NameNotFound.into()) };
        let rest = path.strip_prefix("/v2/").and_then(|rest| rest.rsplit_once("/manifests/"));
        let Some((repository, reference)) = rest else {
            return error(501, &format!("{} {path}", request.method()));
        };
        let scope = format!("repository:{repository}:pull");
        if !self.may_read(host, request, &scope, now) {
            let challenge = match &host.access {
                Access::Bearer { realm } => {
                    format!("Bearer realm=\"{realm}\",service=\"{name}\",scope=\"{scope}\"")
                }
                _ => format!("Basic realm=\"{name}\""),
            };
            let mut answer = error(401, "UNAUTHORIZED")?;
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.parse()?);
            return Ok(answer);
        }
        let key = (repository.to_owned(), reference.to_owned());
        let Some(manifest) = host.manifests.get(&key) else {
            return error(404, "MANIFEST_UNKNOWN");
        };
        let mut answer = Response::builder()
            .header(header::CONTENT_TYPE, MANIFEST)
            .header(header::CONTENT_LENGTH, manifest.len());
        if host.says_digest {
            let digest = hex::encode(Sha256::digest(manifest.as_bytes()));
            answer = answer.header("docker-content-digest", format!("sha256:{digest}"));
        }
        let content = if request.method() == http::Method::HEAD { "" } else { manifest.as_str() };
        Ok(answer.body(body(content.to_owned()))?)
    }

    fn may_read(
        &self,
        host: &Host,
        request: &Request<String>,
        scope: &str,
        now: DateTime<Utc>,
    ) -> bool {
        let sent = request.headers().get(header::AUTHORIZATION);
        let sent = sent.and_then(|value| value.to_str().ok()).unwrap_or_default();
        match host.access {
            Access::Open => true,
            Access::Basic => host.login.as_ref().is_some_and(|login| sent == basic(login)),
            Access::Bearer { .. } => {
                let token = sent.strip_prefix("Bearer ").and_then(|token| self.tokens.get(token));
                token.is_some_and(|(of, end, known)| {
                    of == scope && now < *end && (*known || host.login.is_none())
                })
            }
        }
    }

    /// The token service of every host whose realm is at this address.
    fn token(
        &mut self,
        request: &Request<String>,
        name: &str,
        now: DateTime<Utc>,
        rng: &Rng,
    ) -> Result<Response<Body>, BoxError> {
        let by_form = request.method() == http::Method::POST;
        let query =
            if by_form { request.body() } else { request.uri().query().unwrap_or_default() };
        let of = |wanted: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == wanted).map(|(_, value)| decoded(value))
        };
        let Some((service, scope)) = of("service").zip(of("scope")) else {
            return error(400, "UNSUPPORTED");
        };
        let own = format!("https://{name}/token");
        let host = self
            .hosts
            .get(&service)
            .filter(|host| matches!(&host.access, Access::Bearer { realm } if *realm == own));
        let Some(host) = host else { return error(400, "UNSUPPORTED") };
        let sent = request.headers().get(header::AUTHORIZATION);
        let sent = sent.and_then(|value| value.to_str().ok());
        let refresh = of("refresh_token").filter(|_| by_form);
        let grant = of("grant_type").filter(|_| by_form);
        let known = match (sent, &host.login) {
            _ if by_form => {
                if grant.as_deref() != Some("refresh_token") || of("client_id").is_none() {
                    return error(400, "UNSUPPORTED");
                }
                if refresh.is_none() || refresh != host.identity {
                    let text = json!({"error": "invalid_grant"}).to_string();
                    return Ok(Response::builder().status(400).body(body(text))?);
                }
                true
            }
            (None, _) => false,
            (Some(sent), Some(login)) if sent == basic(login) => true,
            _ => return error(401, "UNAUTHORIZED"),
        };
        let token = rng.uuid().simple().to_string();
        let end = now + chrono::Duration::seconds(TOKEN_SECONDS);
        self.tokens.insert(token.clone(), (scope, end, known));
        let mut text = json!({"access_token": token, "expires_in": TOKEN_SECONDS});
        // The OAuth form has one name for it alone.
        if !by_form {
            text["token"] = token.into();
        }
        Ok(Response::builder().body(body(text.to_string()))?)
    }
}

fn basic((user, password): &(String, String)) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Percent-encoding undone.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let (b'%', Some(value)) = (byte, hex) {
            out.push(value);
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
