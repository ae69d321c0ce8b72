//! I/O · the tokens of one App for one repository: asked for with the App's JWT, kept, and renewed before they end. Many
//! that need a new one at once share one renewal, and its failure.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::grants;
use super::login::AppLogin;
use super::problem::AppProblem;
use crate::domain::id::RepoName;
use crate::forge::api::{Api, AppAnswer};
use crate::forge::call::Call;
use crate::forge::error::{Class, ForgeError, one_line};
use crate::forge::governor::Governor;
use crate::forge::pass::Pass;
use crate::seams::Clock;

/// A token that ends within this time is renewed before it is used. The longest call and its redirects fit.
const MARGIN: chrono::Duration = chrono::Duration::minutes(5);
/// A token that is older was perhaps given before the installation was changed; a younger one was not, for all we know.
const SETTLED: chrono::Duration = chrono::Duration::minutes(5);
/// The name of an App is asked for again after this.
const SLUG: chrono::Duration = chrono::Duration::hours(1);
/// GitHub's tokens live for an hour; an answer that says more is not believed, because clocks differ.
const LONGEST: chrono::Duration = chrono::Duration::hours(1);

/// The tokens of one App for one repository.
pub(in crate::forge) struct Tokens {
    login: AppLogin,
    repository: RepoName,
    /// Numeric id of the repository, once known: survives a rename, which the name does not.
    id: Mutex<Option<u64>>,
    clock: Clock,
    /// Rates of the App itself, which are not those of its installations.
    governor: Arc<Governor>,
    kept: Mutex<Option<Kept>>,
    /// Held by the one who renews; how the last renewal failed, if it did.
    renewal: tokio::sync::Mutex<Option<ForgeError>>,
    /// Renewals that have ended, well or not.
    ended: AtomicU64,
    /// Name of the App, and until when it counts.
    slug: Mutex<Option<(String, DateTime<Utc>)>>,
}

#[derive(Clone)]
struct Kept {
    pass: Pass,
    asked_at: DateTime<Utc>,
    renew_at: DateTime<Utc>,
    ends: DateTime<Utc>,
    permissions: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Installation {
    id: u64,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
    #[serde(default)]
    suspended_at: Option<String>,
    #[serde(default)]
    html_url: String,
}

impl Installation {
    /// Where its settings are, for the end of a sentence.
    fn at(&self) -> String {
        let url = one_line(&self.html_url);
        if url.starts_with("http") { format!(" ({url})") } else { String::new() }
    }
}

#[derive(Deserialize)]
struct Minted {
    token: String,
    expires_at: DateTime<Utc>,
    #[serde(default)]
    permissions: BTreeMap<String, String>,
    #[serde(default)]
    repositories: Vec<Covered>,
}

#[derive(Deserialize)]
struct Covered {
    id: u64,
}

#[derive(Deserialize)]
struct Myself {
    slug: String,
}

impl Tokens {
    /// None is asked for yet.
    pub(in crate::forge) fn new(
        login: AppLogin,
        repository: RepoName,
        clock: Clock,
        governor: Arc<Governor>,
    ) -> Self {
        Self {
            login,
            repository,
            id: Mutex::default(),
            clock,
            governor,
            kept: Mutex::default(),
            renewal: tokio::sync::Mutex::default(),
            ended: AtomicU64::new(0),
            slug: Mutex::default(),
        }
    }

    /// From now on tokens are asked for by this id.
    pub(in crate::forge) fn know(&self, id: u64) {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
    }

    /// A token that is good for some minutes at least.
    pub(in crate::forge) async fn current(&self, api: &Api) -> Result<Pass, ForgeError> {
        match self.fresh(None) {
            Some(kept) => Ok(kept.pass),
            None => self.renewed(api, None).await.map(|kept| kept.pass),
        }
    }

    /// The installation is another one than when the token was asked for: the next call asks for a new one.
    pub(in crate::forge) fn outdated(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_mut() {
            kept.renew_at = self.clock.now();
        }
    }

    /// Another token than `refused`, which the forge has not taken.
    pub(in crate::forge) async fn instead_of(
        &self,
        api: &Api,
        refused: &Pass,
    ) -> Result<Pass, ForgeError> {
        self.renewed(api, Some(refused)).await.map(|kept| kept.pass)
    }

    /// Whether asking for another token gets on, or tells why not: this one was withdrawn or the clocks differ, the
    /// installation was suspended, its permissions or repositories were changed.
    pub(in crate::forge) fn another_may_help(&self, error: &ForgeError, pass: &Pass) -> bool {
        let settled = || {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let same = kept.as_ref().filter(|kept| kept.pass.is(pass));
            same.is_none_or(|kept| kept.asked_at + SETTLED < self.clock.now())
        };
        match error {
            ForgeError::Unauthorized { .. } => true,
            ForgeError::Forbidden { message, .. } if message.contains("suspended") => true,
            ForgeError::Forbidden { message, .. } => {
                message.contains("not accessible by integration") && settled()
            }
            // The repository itself; what is below it may well be missing.
            ForgeError::NotFound { call } => {
                let (owner, name) = (self.repository.owner(), self.repository.name());
                *call == format!("GET /repos/{owner}/{name}") && settled()
            }
            _ => false,
        }
    }

    /// What the present token may do.
    pub(in crate::forge) async fn permissions(
        &self,
        api: &Api,
    ) -> Result<BTreeMap<String, String>, ForgeError> {
        match self.fresh(None) {
            Some(kept) => Ok(kept.permissions),
            None => self.renewed(api, None).await.map(|kept| kept.permissions),
        }
    }

    /// The name by which the App writes is made of this.
    /// Asked once in an hour: an App may be renamed.
    pub(in crate::forge) async fn slug(&self, api: &Api) -> Result<String, ForgeError> {
        let known = self.slug.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((slug, until)) = known
            && self.clock.now() < until
        {
            return Ok(slug);
        }
        match self.ask(api, Call::get("/app")).await? {
            AppAnswer::Fine(reply) => {
                let slug = reply.json::<Myself>()?.slug;
                let known = Some((slug.clone(), self.clock.now() + SLUG));
                *self.slug.lock().unwrap_or_else(PoisonError::into_inner) = known;
                Ok(slug)
            }
            AppAnswer::Refused { message, .. } => Err(self.refused("GET /app", message)),
        }
    }

    /// The error for a token that is refused although it is new.
    pub(in crate::forge) fn token_refused(&self, call: String) -> ForgeError {
        ForgeError::App { call, problem: AppProblem::TokenRefused { app: self.app() } }
    }

    fn app(&self) -> String {
        self.login.id().to_owned()
    }

    fn refused(&self, call: &str, message: String) -> ForgeError {
        problem(call, AppProblem::Refused { app: self.app(), message })
    }

    /// What is kept, when it need not be renewed and is not `refused`.
    fn fresh(&self, refused: Option<&Pass>) -> Option<Kept> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let other = refused.is_none_or(|refused| !kept.pass.is(refused));
        (other && self.clock.now() < kept.renew_at).then_some(kept)
    }

    async fn renewed(&self, api: &Api, refused: Option<&Pass>) -> Result<Kept, ForgeError> {
        let before = self.ended.load(Ordering::Acquire);
        let mut failure = self.renewal.lock().await;
        // Whoever waited here takes what came of it meanwhile, be it an error.
        if let Some(kept) = self.fresh(refused) {
            return Ok(kept);
        }
        let asked_meanwhile = self.ended.load(Ordering::Acquire) != before;
        let outcome = if let Some(error) = failure.as_ref().filter(|_| asked_meanwhile) {
            Err(error.again())
        } else {
            let outcome = self.mint(api).await;
            self.ended.fetch_add(1, Ordering::AcqRel);
            *failure = outcome.as_ref().err().map(ForgeError::again);
            outcome
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(minted) => {
                *kept = Some(minted.clone());
                Ok(minted)
            }
            // A forge that can't give a new one now: the old one is good until it ends.
            Err(error) if matches!(error.class(), Class::Transient { .. }) => {
                let other = kept.as_ref().filter(|k| refused.is_none_or(|r| !k.pass.is(r)));
                let good = other
                    .filter(|kept| self.clock.now() + chrono::Duration::minutes(1) < kept.ends);
                good.cloned().ok_or(error)
            }
            Err(error) => {
                *kept = None;
                Err(error)
            }
        }
    }

    /// Asks for a token.
    async fn mint(&self, api: &Api) -> Result<Kept, ForgeError> {
        let found = self.installation(api).await?;
        let (app, installation, at) = (self.app(), found.id, found.at());
        let path = format!("/app/installations/{installation}/access_tokens");
        let name = format!("POST {path}");
        if found.suspended_at.is_some() {
            return Err(problem(&name, AppProblem::Suspended { app, installation, at }));
        }
        let permissions = match grants::asked(&found.permissions) {
            Ok(permissions) => permissions,
            Err(missing) => {
                let lacks = AppProblem::Permissions { app, installation, missing, at };
                return Err(problem(&name, lacks));
            }
        };
        let id = *self.id.lock().unwrap_or_else(PoisonError::into_inner);
        let body = match id {
            Some(id) => json!({"repository_ids": [id], "permissions": permissions}),
            None => {
                json!({"repositories": [self.repository.name()], "permissions": permissions})
            }
        };
        let call = Call { method: Method::POST, path: &path, body: Some(body), tag: None };
        let asked_at = self.clock.now();
        let reply = match self.ask(api, call).await? {
            AppAnswer::Fine(reply) => reply,
            AppAnswer::Refused { status: 422, .. } => {
                let repository = match id {
                    Some(id) => format!("{} (number {id})", self.repository),
                    None => self.repository.to_string(),
                };
                let not = AppProblem::NotCovered { app, installation, repository, at };
                return Err(problem(&name, not));
            }
            AppAnswer::Refused { status: 403, message } if message.contains("suspended") => {
                return Err(problem(&name, AppProblem::Suspended { app, installation, at }));
            }
            AppAnswer::Refused { status: 404, .. } => return Err(self.not_installed(&name)),
            AppAnswer::Refused { message, .. } => return Err(self.refused(&name, message)),
        };
        let minted: Minted = reply.json()?;
        if let [Covered { id }] = minted.repositories.as_slice() {
            self.know(*id);
        }
        let pass = Pass::new(&SecretString::from(minted.token))
            .ok_or_else(|| reply.unexpected("the token is none that can be sent"))?;
        let ends = minted.expires_at.min(asked_at + LONGEST);
        let renew_at = (ends - MARGIN).max(asked_at + (ends - asked_at) / 2);
        tracing::debug!(app = self.login.id(), installation, repository = %self.repository, %ends, "new token");
        Ok(Kept { pass, asked_at, renew_at, ends, permissions: minted.permissions })
    }

    /// The installation, as it is now: permissions and suspensions change at any time.
    async fn installation(&self, api: &Api) -> Result<Installation, ForgeError> {
        let written = self.login.installation();
        let path = match written {
            Some(id) => format!("/app/installations/{id}"),
            None => format!(
                "/repos/{}/{}/installation",
                self.repository.owner(),
                self.repository.name()
            ),
        };
        let name = format!("GET {path}");
        match self.ask(api, Call::get(&path)).await? {
            AppAnswer::Fine(reply) => reply.json(),
            // So GitHub says that there is no App of that id.
            AppAnswer::Refused { status: 404, message } if message.contains("Integration") => {
                Err(self.refused(&name, message))
            }
            AppAnswer::Refused { status: 404, .. } => Err(match written {
                Some(installation) => {
                    problem(&name, AppProblem::NoInstallation { app: self.app(), installation })
                }
                None => self.not_installed(&name),
            }),
            AppAnswer::Refused { message, .. } => Err(self.refused(&name, message)),
        }
    }

    fn not_installed(&self, call: &str) -> ForgeError {
        let repository = self.repository.to_string();
        problem(call, AppProblem::NotInstalled { app: self.app(), repository })
    }

    /// Sends a call as the App itself.
    async fn ask(&self, api: &Api, call: Call<'_>) -> Result<AppAnswer, ForgeError> {
        let jwt = self.login.jwt(self.clock.now());
        let pass = jwt.as_ref().and_then(Pass::new);
        let pass = pass.ok_or_else(|| self.refused("JWT", "the key can't sign".to_owned()))?;
        api.ask_as_app(call, &pass, &self.governor).await
    }
}

fn problem(call: &str, problem: AppProblem) -> ForgeError {
    ForgeError::App { call: call.to_owned(), problem }
}
