//! I/O · one GitHub API with one login: sends a call, keeps to the rates, follows a redirect at the same host, and
//! turns each refusal into a [`ForgeError`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, ETAG, IF_NONE_MATCH, LINK, LOCATION, RETRY_AFTER};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::BodyExt;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::adapter::{Adapter, BodyTooLarge, MOST_BYTES};
use super::app::{AppLogin, Login, Tokens};
use super::branches::Branch;
use super::client::{Comment, Forge, RepositoryInfo};
use super::error::{ForgeError, one_line};
use super::etag::Etags;
use super::governor::Governor;
use super::itself::AppItself;
use super::pass::Pass;
use super::wire::ErrorBody;
use crate::domain::admit::checks::Seen;
use crate::domain::id::{RepoName, Revision};
use crate::domain::pull_request::{Author, PullRequest};
use crate::domain::rate::{self, Budget, May, WriteKind};
use crate::seams::{BoxError, Clock, Transport};

/// A call ends within this time, whatever the transport does. GitHub itself gives up after 10 s.
const CALL: Duration = Duration::from_secs(30);
/// A renamed repository is one redirect, a renamed owner another.
const MOST_REDIRECTS: usize = 3;
/// Clients kept: one for each token, and one for each App and repository. What was rotated leaves one behind.
const MOST_CLIENTS: usize = 1024;

/// Address of a GitHub API: `https://api.github.com`, or `https://HOST/api/v3` of a GitHub Enterprise Server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiUrl(String);

/// Why an address is not taken as that of an API.
#[derive(Debug, thiserror::Error)]
#[error("{url:?} can't be the address of a GitHub API: {rule}")]
pub struct InvalidApiUrl {
    url: String,
    rule: &'static str,
}

impl ApiUrl {
    /// Checks the form. `http://` only with `allow_http`.
    pub fn parse(text: &str, allow_http: bool) -> Result<Self, InvalidApiUrl> {
        let wrong = |rule| InvalidApiUrl { url: one_line(text), rule };
        let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| wrong("it is no URL"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if allow_http => {}
            Some("http") => return Err(wrong("http is not allowed by the service's settings")),
            _ => return Err(wrong("it must begin with https://")),
        }
        match uri.authority() {
            Some(host) if !host.host().is_empty() && !host.as_str().contains('@') => {}
            _ => return Err(wrong("it needs a host, without user or password")),
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(wrong("it may not have a query or a fragment"));
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// As text, without a slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn home(&self) -> Option<(Scheme, Authority)> {
        let uri: Uri = self.0.parse().ok()?;
        Some((uri.scheme()?.clone(), uri.authority()?.clone()))
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All clients of the program: one for each API and token, so that rates and tags are kept per token. An App has one for
/// each repository, because its tokens are; those of one installation share their rate.
#[derive(Clone)]
pub struct Apis(Arc<ApisInner>);

struct ApisInner {
    transport: Transport,
    clock: Clock,
    clients: Mutex<BTreeMap<(ApiUrl, String), Api>>,
    /// Shared rates of Apps: of each by itself, and of each at an account.
    governors: Mutex<BTreeMap<(ApiUrl, String), Arc<Governor>>>,
}

impl Apis {
    /// Every client made here speaks through `transport`.
    #[must_use]
    pub fn new(transport: Transport, clock: Clock) -> Self {
        let (clients, governors) = (Mutex::default(), Mutex::default());
        Self(Arc::new(ApisInner { transport, clock, clients, governors }))
    }

    /// The client of `token` at `url`, made when it is new. Needs a tokio runtime around it.
    pub fn api(&self, url: &ApiUrl, token: &SecretString) -> Result<Api, ForgeError> {
        let digest = hex::encode(Sha256::digest(token.expose_secret().as_bytes()));
        self.client(url, digest, || {
            let pass = Pass::new(token)
                .ok_or_else(|| ForgeError::Unauthorized { call: format!("client of {url}") })?;
            Ok((Auth::Token(pass), Arc::new(Governor::new(self.0.clock.clone()))))
        })
    }

    /// One repository for a login. `id` is its number, when that is known: an App's tokens are then asked for by it, so
    /// that they never reach another repository that got the name.
    pub fn forge(
        &self,
        url: &ApiUrl,
        login: &Login,
        repository: RepoName,
        id: Option<u64>,
    ) -> Result<Forge, ForgeError> {
        let app = match login {
            Login::Token(token) => return Ok(self.api(url, token)?.forge(repository)),
            Login::App(app) => app,
        };
        let key = format!("{} {repository}", app.fingerprint());
        let api = self.client(url, key, || {
            // An App is installed once at an account: this is the rate of that installation.
            let rate = self.governor(url, format!("{} {}", app.id(), repository.owner()));
            let own_rate = self.governor(url, app.id().to_owned());
            let clock = self.0.clock.clone();
            let tokens = Tokens::new(app.clone(), repository.clone(), clock, own_rate);
            Ok((Auth::App(Box::new(tokens)), rate))
        })?;
        if let (Auth::App(tokens), Some(id)) = (&api.0.auth, id) {
            tokens.know(id);
        }
        Ok(api.forge(repository))
    }

    /// An App by itself.
    pub fn app_itself(&self, url: &ApiUrl, login: &AppLogin) -> Result<AppItself, ForgeError> {
        let key = format!("itself {}", login.fingerprint());
        let api = self.client(url, key, || {
            let rate = self.governor(url, login.id().to_owned());
            Ok((Auth::Itself(login.clone(), self.0.clock.clone()), rate))
        })?;
        Ok(AppItself::new(api, login.id().to_owned()))
    }

    /// What is left to each login, by the name that metrics have for it: `HOST app ID`, `HOST app ID at ACCOUNT`, or
    /// `HOST token DIGITS`, which are the beginning of the token's hash.
    #[must_use]
    pub fn budgets(&self) -> BTreeMap<String, Budget> {
        let host = |url: &ApiUrl| {
            url.home().map_or_else(String::new, |(_, authority)| authority.host().to_owned())
        };
        let mut all = BTreeMap::new();
        let governors = self.0.governors.lock().unwrap_or_else(PoisonError::into_inner);
        for ((url, whose), governor) in governors.iter() {
            let name = match whose.split_once(' ') {
                Some((app, account)) => format!("{} app {app} at {account}", host(url)),
                None => format!("{} app {whose}", host(url)),
            };
            all.insert(name, governor.budget());
        }
        drop(governors);
        let clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        for ((url, key), api) in clients.iter() {
            if let Auth::Token(_) = api.0.auth {
                let digits = key.get(..8).unwrap_or_default();
                let name = format!("{} token {digits}", host(url));
                all.insert(name, api.0.governor.budget());
            }
        }
        all
    }

    fn governor(&self, url: &ApiUrl, whose: String) -> Arc<Governor> {
        let mut governors = self.0.governors.lock().unwrap_or_else(PoisonError::into_inner);
        if governors.len() >= MOST_CLIENTS {
            governors.retain(|_, governor| Arc::strong_count(governor) > 1);
        }
        let new = || Arc::new(Governor::new(self.0.clock.clone()));
        Arc::clone(governors.entry((url.clone(), whose)).or_insert_with(new))
    }

    fn client(
        &self,
        url: &ApiUrl,
        key: String,
        auth: impl FnOnce() -> Result<(Auth, Arc<Governor>), ForgeError>,
    ) -> Result<Api, ForgeError> {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (url.clone(), key);
        if let Some(api) = clients.get(&key) {
            return Ok(api.clone());
        }
        if clients.len() >= MOST_CLIENTS {
            clients.retain(|_, api| Arc::strong_count(&api.0) > 1);
        }
        let (auth, governor) = auth()?;
        let api = Api::new(self.0.transport.clone(), url, auth, governor)?;
        clients.insert(key, api.clone());
        Ok(api)
    }
}

impl fmt::Debug for Apis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Apis")
    }
}

/// One GitHub API with one login. A clone is the same one.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    octocrab: Octocrab,
    url: ApiUrl,
    home: (Scheme, Authority),
    auth: Auth,
    governor: Arc<Governor>,
    pub(super) pulls: Etags<Vec<PullRequest>>,
    links: Etags<Option<String>>,
    pub(super) pull: Etags<PullRequest>,
    comments: Etags<Vec<Comment>>,
    tips: Etags<Revision>,
    seen: Etags<Vec<Seen>>,
    branches: Etags<Vec<Branch>>,
    pub(super) repository: Etags<RepositoryInfo>,
    pub(super) viewer: tokio::sync::OnceCell<Author>,
}

/// Who asks.
enum Auth {
    Token(Pass),
    App(Box<Tokens>),
    /// An App with its JWT, for what is about itself.
    Itself(AppLogin, Clock),
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Api").field(&self.0.url).finish()
    }
}

/// One call: method, path below the API's address (or a whole address from a `Link` header), body.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Option<serde_json::Value>,
    pub(super) tag: Option<String>,
}

impl<'a> Call<'a> {
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, tag: None }
    }

    /// Method and path, for messages.
    fn name(&self) -> String {
        format!("{} {}", self.method, one_line(self.path))
    }
}

/// An answer that is no refusal: 2xx, or 304 when a tag was sent.
pub(super) struct Reply {
    pub(super) call: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) bytes: Bytes,
}

impl Reply {
    /// The body, read as `T`.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, ForgeError> {
        // Serde's message may quote values; where it is says enough.
        serde_json::from_slice(&self.bytes).map_err(|error| {
            let place = format!("line {} column {}", error.line(), error.column());
            self.unexpected(&format!("the body can't be read at {place} ({:?})", error.classify()))
        })
    }

    pub(super) fn unexpected(&self, reason: &str) -> ForgeError {
        ForgeError::Unexpected { call: self.call.clone(), reason: one_line(reason) }
    }

    pub(super) fn tag(&self) -> Option<String> {
        self.headers.get(ETAG)?.to_str().ok().map(str::to_owned)
    }

    /// Address of the next page.
    pub(super) fn next(&self) -> Option<String> {
        self.headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|all| {
            all.split(',').find_map(|link| {
                let (address, parameters) = link.split_once(';')?;
                let next =
                    parameters.split(';').any(|p| matches!(p.trim(), "rel=\"next\"" | "rel=next"));
                let address = address.trim().strip_prefix('<')?.strip_suffix('>')?;
                next.then(|| address.to_owned())
            })
        })
    }
}

impl Api {
    fn new(
        transport: Transport,
        url: &ApiUrl,
        auth: Auth,
        governor: Arc<Governor>,
    ) -> Result<Self, ForgeError> {
        let home = url.home().ok_or_else(|| ForgeError::Invalid {
            call: format!("client of {url}"),
            message: "the address has no host".to_owned(),
        })?;
        let Ok(octocrab) = OctocrabBuilder::new_empty()
            .with_service(Adapter::new(transport, home.clone()))
            .with_auth(AuthState::None)
            .build();
        Ok(Self(Arc::new(Inner {
            octocrab,
            url: url.clone(),
            home,
            auth,
            governor,
            pulls: Etags::default(),
            links: Etags::default(),
            pull: Etags::default(),
            comments: Etags::default(),
            tips: Etags::default(),
            seen: Etags::default(),
            branches: Etags::default(),
            repository: Etags::default(),
            viewer: tokio::sync::OnceCell::new(),
        })))
    }

    /// This API's view of one repository.
    #[must_use]
    pub fn forge(&self, repository: RepoName) -> Forge {
        Forge::new(self.clone(), repository)
    }

    pub(super) fn outdated(&self) {
        if let Auth::App(tokens) = &self.0.auth {
            tokens.outdated();
        }
    }

    pub(super) fn may(&self, kind: WriteKind) -> May {
        rate::may(kind, &self.0.governor.budget())
    }

    pub(super) fn shares_rate_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.governor, &other.0.governor)
    }

    /// The API's address.
    #[must_use]
    pub fn url(&self) -> &ApiUrl {
        &self.0.url
    }

    pub(super) fn pulls(&self) -> &Etags<Vec<PullRequest>> {
        &self.0.pulls
    }

    pub(super) fn links(&self) -> &Etags<Option<String>> {
        &self.0.links
    }

    pub(super) fn pull(&self) -> &Etags<PullRequest> {
        &self.0.pull
    }

    pub(super) fn comments(&self) -> &Etags<Vec<Comment>> {
        &self.0.comments
    }

    /// Address of the GraphQL API that belongs to this one.
    pub(super) fn graphql(&self) -> String {
        let url = self.0.url.as_str();
        // A GitHub Enterprise Server has `/api/v3` and `/api/graphql`.
        format!("{}/graphql", url.strip_suffix("/v3").unwrap_or(url))
    }

    pub(super) fn tips(&self) -> &Etags<Revision> {
        &self.0.tips
    }

    pub(super) fn branches(&self) -> &Etags<Vec<Branch>> {
        &self.0.branches
    }

    pub(super) fn seen(&self) -> &Etags<Vec<Seen>> {
        &self.0.seen
    }

    pub(super) fn repository(&self) -> &Etags<RepositoryInfo> {
        &self.0.repository
    }

    pub(super) fn viewer_cell(&self) -> &tokio::sync::OnceCell<Author> {
        &self.0.viewer
    }

    /// Sends `call`. Writes of content wait for their turn.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Reply, ForgeError> {
        self.send_in_turn(call, false).await
    }

    /// Sends a write that does not wait for the second between two writes. It counts like any other.
    pub(super) async fn send_promptly(&self, call: Call<'_>) -> Result<Reply, ForgeError> {
        self.send_in_turn(call, true).await
    }

    async fn send_in_turn(&self, call: Call<'_>, prompt: bool) -> Result<Reply, ForgeError> {
        let name = call.name();
        let limited = |until| ForgeError::RateLimited { call: name.clone(), until };
        let _turn = if call.method == Method::GET {
            None
        } else if prompt {
            self.0.governor.prompt_turn().map_err(limited)?;
            None
        } else {
            Some(self.0.governor.write_turn().await.map_err(limited)?)
        };
        let pass = self.pass().await?;
        let outcome = self.carry(&call, &name, &pass).await;
        let (Err(error), Auth::App(tokens)) = (&outcome, &self.0.auth) else { return outcome };
        if !tokens.another_may_help(error, &pass) {
            return outcome;
        }
        // Nothing was done, so it may be sent once more.
        let pass = tokens.instead_of(self, &pass).await?;
        self.carry(&call, &name, &pass).await.map_err(|error| match error {
            ForgeError::Unauthorized { call } => tokens.token_refused(call),
            other => other,
        })
    }

    async fn pass(&self) -> Result<Pass, ForgeError> {
        match &self.0.auth {
            Auth::Token(pass) => Ok(pass.clone()),
            // Boxed: asking for one sends a call, too.
            Auth::App(tokens) => Box::pin(tokens.current(self)).await,
            Auth::Itself(app, clock) => {
                let jwt = app.jwt(clock.now());
                let pass = jwt.as_ref().and_then(Pass::new);
                pass.ok_or_else(|| ForgeError::Unauthorized {
                    call: format!("JWT for {}", self.0.url),
                })
            }
        }
    }

    pub(super) async fn fetch_token(&self) -> Result<SecretString, ForgeError> {
        Ok(self.pass().await?.token())
    }

    pub(super) async fn fetch_token_instead_of(
        &self,
        refused: &SecretString,
    ) -> Result<Option<SecretString>, ForgeError> {
        match (&self.0.auth, Pass::new(refused)) {
            (Auth::App(tokens), Some(refused)) => {
                tokens.instead_of(self, &refused).await.map(|pass| Some(pass.token()))
            }
            _ => Ok(None),
        }
    }

    pub(super) fn is_app(&self) -> bool {
        matches!(self.0.auth, Auth::App(_))
    }

    pub(super) async fn app_slug(&self) -> Result<Option<String>, ForgeError> {
        match &self.0.auth {
            Auth::Token(_) | Auth::Itself(..) => Ok(None),
            Auth::App(tokens) => tokens.slug(self).await.map(Some),
        }
    }

    pub(super) async fn app_permissions(
        &self,
    ) -> Result<Option<BTreeMap<String, String>>, ForgeError> {
        match &self.0.auth {
            Auth::Token(_) | Auth::Itself(..) => Ok(None),
            Auth::App(tokens) => tokens.permissions(self).await.map(Some),
        }
    }

    /// Sends a call as an App itself. It has a rate of its own, and what is refused is for the App to explain.
    pub(super) async fn ask_as_app(
        &self,
        call: Call<'_>,
        jwt: &Pass,
        governor: &Governor,
    ) -> Result<AppAnswer, ForgeError> {
        let name = call.name();
        let (status, headers, bytes) = self.exchange(&call, &name, jwt, governor).await?;
        let refused = matches!(status.as_u16(), 401 | 403 | 404 | 422);
        let message = if refused { ErrorBody::text(&bytes) } else { String::new() };
        if refused && governor.observe(status, &headers, &message).is_none() {
            return Ok(AppAnswer::Refused { status: status.as_u16(), message });
        }
        judge(governor, name, status, headers, bytes).map(AppAnswer::Fine)
    }

    /// One call with one pass, judged.
    async fn carry(&self, call: &Call<'_>, name: &str, pass: &Pass) -> Result<Reply, ForgeError> {
        let governor = &self.0.governor;
        let (status, headers, bytes) = self.exchange(call, name, pass, governor).await?;
        judge(governor, name.to_owned(), status, headers, bytes)
    }

    /// One call with one pass, redirects followed.
    async fn exchange(
        &self,
        call: &Call<'_>,
        name: &str,
        pass: &Pass,
        governor: &Governor,
    ) -> Result<(StatusCode, HeaderMap, Bytes), ForgeError> {
        let mut target = self.target(call.path, name)?;
        for _ in 0..=MOST_REDIRECTS {
            let limited = |until| ForgeError::RateLimited { call: name.to_owned(), until };
            governor.admit().map_err(limited)?;
            governor.pace(if call.method == Method::GET { 1 } else { 5 }).await.map_err(limited)?;
            let (status, headers, bytes) =
                tokio::time::timeout(CALL, self.once(call, &target, pass))
                    .await
                    .map_err(|_| ForgeError::Unavailable {
                        call: name.to_owned(),
                        reason: format!("no answer within {} s", CALL.as_secs()),
                        source: None,
                    })?
                    .map_err(|error| failed(name, error))?;
            if let Some(location) = redirect(&call.method, status, &headers) {
                target = self.target(&location, name)?;
                continue;
            }
            return Ok((status, headers, bytes));
        }
        Err(ForgeError::Unexpected {
            call: name.to_owned(),
            reason: "too many redirects".to_owned(),
        })
    }

    async fn once(
        &self,
        call: &Call<'_>,
        target: &Uri,
        pass: &Pass,
    ) -> Result<(StatusCode, HeaderMap, Bytes), octocrab::Error> {
        let mut request = http::Request::builder().method(call.method.clone()).uri(target.clone());
        request = request.header(AUTHORIZATION, pass.header());
        if let Some(tag) = &call.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let request = self.0.octocrab.build_request(request, call.body.as_ref())?;
        let (parts, body) = self.0.octocrab.execute(request).await?.into_parts();
        Ok((parts.status, parts.headers, body.collect().await?.to_bytes()))
    }

    /// An address below the API's own; whole ones must be at the same scheme, host and port.
    fn target(&self, path: &str, name: &str) -> Result<Uri, ForgeError> {
        let unexpected = |reason: &str| ForgeError::Unexpected {
            call: name.to_owned(),
            reason: reason.to_owned(),
        };
        let whole =
            if path.starts_with('/') { format!("{}{path}", self.0.url) } else { path.to_owned() };
        let uri: Uri =
            whole.parse().map_err(|_| unexpected("it leads to an address that is none"))?;
        if uri.scheme() == Some(&self.0.home.0) && uri.authority() == Some(&self.0.home.1) {
            Ok(uri)
        } else {
            Err(unexpected("it leads to another host; not followed"))
        }
    }
}

/// What an App got for a call as itself.
pub(super) enum AppAnswer {
    Fine(Reply),
    /// 401, 403, 404 or 422, in the forge's words.
    Refused {
        status: u16,
        message: String,
    },
}

fn judge(
    governor: &Governor,
    call: String,
    status: StatusCode,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Reply, ForgeError> {
    let failed = !status.is_success() && status != StatusCode::NOT_MODIFIED;
    let message = if failed { ErrorBody::text(&bytes) } else { String::new() };
    if let Some(until) = governor.observe(status, &headers, &message) {
        return Err(ForgeError::RateLimited { call, until });
    }
    if !failed {
        return Ok(Reply { call, status, headers, bytes });
    }
    Err(match status.as_u16() {
        400 | 409 | 422 => ForgeError::Invalid { call, message },
        401 => ForgeError::Unauthorized { call },
        403 => ForgeError::Forbidden { call, message },
        404 => ForgeError::NotFound { call },
        status @ (410 | 451) => ForgeError::Gone { call, status },
        413 => ForgeError::TooLarge { call, limit: "the forge's own".to_owned() },
        status @ (408 | 500..=599) => {
            let wait = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(one_line);
            let wait = wait.map_or_else(String::new, |s| format!(", it asks to wait {s}"));
            let reason = format!("HTTP {status}{wait}");
            ForgeError::Unavailable { call, reason, source: None }
        }
        status => ForgeError::Unexpected { call, reason: format!("HTTP {status}: {message}") },
    })
}

/// Where to go on. GitHub answers 301 to reads and 307 or 308 to writes; a write after any other is not repeated.
fn redirect(method: &Method, status: StatusCode, headers: &HeaderMap) -> Option<String> {
    let follow = match status.as_u16() {
        301 | 302 => method == Method::GET,
        307 | 308 => true,
        _ => false,
    };
    let location = headers.get(LOCATION).filter(|_| follow)?;
    location.to_str().ok().map(str::to_owned)
}

/// octocrab's error as ours: the cause is kept, its backtrace and its copy of the address are not.
fn failed(call: &str, error: octocrab::Error) -> ForgeError {
    let call = call.to_owned();
    match error {
        octocrab::Error::Service { source, .. } if source.is::<BodyTooLarge>() => {
            ForgeError::TooLarge { call, limit: format!("{MOST_BYTES} bytes") }
        }
        octocrab::Error::Service { source, .. } => ForgeError::Unavailable {
            call,
            reason: "the connection failed".to_owned(),
            source: Some(source),
        },
        other => ForgeError::Unavailable {
            call,
            reason: "the request could not be sent".to_owned(),
            source: Some(BoxError::from(one_line(&other.to_string()))),
        },
    }
}
