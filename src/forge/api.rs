//! I/O · one GitHub API with one login: sends a call, keeps to the rates, follows a redirect at the same host, and
//! turns each refusal into a [`ForgeError`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::BodyExt;
use octocrab::{AuthState, Octocrab, OctocrabBuilder};
use secrecy::SecretString;

use super::adapter::{Adapter, BodyTooLarge, MOST_BYTES};
use super::api_url::ApiUrl;
use super::app::{AppLogin, Tokens};
use super::branches::Branch;
use super::call::{Call, Reply};
use super::client::{Comment, Forge, RepositoryInfo};
use super::error::{ForgeError, one_line};
use super::etag::Etags;
use super::governor::Governor;
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
pub(super) enum Auth {
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

impl Api {
    /// Who asks.
    pub(super) fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// What is left to this login.
    pub(super) fn budget(&self) -> Budget {
        self.0.governor.budget()
    }

    /// Whether somebody has a clone.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(super) fn new(
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
