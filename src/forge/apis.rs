//! All clients of the program, one for each API and login. No I/O by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::api::{Api, Auth};
use super::api_url::ApiUrl;
use super::app::{AppLogin, Login, Tokens};
use super::client::Forge;
use super::error::ForgeError;
use super::governor::Governor;
use super::itself::AppItself;
use super::pass::Pass;
use crate::domain::id::RepoName;
use crate::domain::rate::Budget;
use crate::seams::{Clock, Transport};

/// Clients kept: one for each token, and one for each App and repository. What was rotated leaves one behind.
const MOST_CLIENTS: usize = 1024;

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
        if let (Auth::App(tokens), Some(id)) = (api.auth(), id) {
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
            if let Auth::Token(_) = api.auth() {
                let digits = key.get(..8).unwrap_or_default();
                let name = format!("{} token {digits}", host(url));
                all.insert(name, api.budget());
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
            clients.retain(|_, api| api.is_shared());
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
