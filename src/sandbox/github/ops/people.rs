//! Accounts, tokens, Apps and installations.

use std::collections::{BTreeMap, BTreeSet};

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{SignatureAlgorithm, SignatureScheme};
use serde_json::{Value, json};

use crate::sandbox::github::hooks::Scope;
use crate::sandbox::github::model::{
    Account, AccountKind, Actor, App, Bearer, Grant, Installation, Repo, Time, Token,
};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::rest::apps::unreachable;
use crate::sandbox::github::state::State;
use crate::sandbox::github::views::{node_id, time};

/// Installation tokens live this long, as GitHub's do.
const TOKEN_LIFE: chrono::Duration = chrono::Duration::hours(1);
/// A JWT may not be valid for longer.
const MOST_JWT_LIFE: i64 = 600;
/// Clocks that are ahead by this many seconds are forgiven.
const CLOCK_DRIFT: i64 = 60;
/// What GitHub says to an App whose installation is suspended.
const SUSPENDED: &str = "This installation has been suspended";

impl State {
    pub(in crate::sandbox::github) fn create_account(
        &mut self,
        login: &str,
        kind: AccountKind,
    ) -> Result<u64, Refusal> {
        let fine = (1..=39).contains(&login.trim_end_matches("[bot]").len())
            && login
                .trim_end_matches("[bot]")
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !fine {
            return Err(Refusal::invalid("User", "login", "invalid", None));
        }
        if self.account(login).is_some() {
            return Err(Refusal::invalid("User", "login", "already_exists", None));
        }
        let (id, created_at) = (self.id(), self.now());
        let owners = BTreeSet::new();
        let (login, teams) = (login.to_owned(), BTreeMap::new());
        let account = Account { id, login, kind, owners, teams, created_at };
        self.accounts.insert(id, account);
        Ok(id)
    }

    /// The account, or 404.
    pub(in crate::sandbox::github) fn need_account(&self, login: &str) -> Result<u64, Refusal> {
        self.account(login).map(|account| account.id).ok_or_else(Refusal::not_found)
    }

    /// A new token for `actor`.
    pub(in crate::sandbox::github) fn issue_token(
        &mut self,
        actor: Actor,
        expires_at: Option<Time>,
    ) -> String {
        let kind = if matches!(actor, Actor::Installation(_)) { "ghs" } else { "ghp" };
        let token = format!("{kind}_{}", self.rng.uuid().simple());
        self.tokens.insert(token.clone(), Token { actor, expires_at, via: None });
        token
    }

    pub(in crate::sandbox::github) fn register_app(
        &mut self,
        slug: &str,
        owner: &str,
        private_key_pem: Option<&str>,
        permissions: BTreeMap<String, String>,
    ) -> Result<u64, Refusal> {
        let owner = self.need_account(owner)?;
        let public_keys = private_key_pem.map(public_key).transpose()?.into_iter().collect();
        let bot = self.create_account(&format!("{slug}[bot]"), AccountKind::Bot)?;
        let (id, created_at) = (self.id(), self.now());
        let slug = slug.to_owned();
        let callbacks = Vec::new();
        let app = App { id, slug, owner, bot, public_keys, permissions, callbacks, created_at };
        self.apps.insert(id, app);
        Ok(id)
    }

    pub(in crate::sandbox::github) fn install(
        &mut self,
        app: u64,
        account: &str,
        repositories: Option<BTreeSet<u64>>,
    ) -> Result<u64, Refusal> {
        let account = self.need_account(account)?;
        let found = self.apps.get(&app).ok_or_else(Refusal::not_found)?;
        let permissions = found.permissions.clone();
        if self.installations.values().any(|found| found.app == app && found.account == account) {
            return Err(Refusal::invalid("Installation", "account", "already_exists", None));
        }
        let (id, created_at) = (self.id(), self.now());
        let installation = Installation {
            id,
            app,
            account,
            repositories,
            permissions,
            suspended_at: None,
            created_at,
        };
        self.installations.insert(id, installation.clone());
        self.tell_of_installation("created", &installation);
        Ok(id)
    }

    /// Tells the App what happened to its installation.
    pub(in crate::sandbox::github) fn tell_of_installation(
        &mut self,
        action: &str,
        found: &Installation,
    ) {
        let repositories = self.named_json(&self.repositories_of(found));
        let payload = json!({ "action": action, "repositories": repositories });
        self.emit_installation("installation", found, payload);
    }

    /// Repositories that an installation token reaches.
    pub(in crate::sandbox::github) fn covered(&self, bearer: Bearer) -> Vec<&Repo> {
        self.repos.values().filter(|repo| self.reaches(bearer, repo)).collect()
    }

    /// Who sent these credentials: a token as it is, or a JWT of an App.
    pub(in crate::sandbox::github) fn identify(&self, credential: &str) -> Result<Actor, Refusal> {
        let now = self.clock.now();
        if let Some(token) = self.tokens.get(credential) {
            let fresh = token.expires_at.is_none_or(|end| now < end);
            if !fresh {
                return Err(Refusal::bad_credentials());
            }
            if let Actor::Installation(Bearer { installation, .. }) = token.actor {
                // With the installation its tokens end.
                let found = self.installations.get(&installation);
                let found = found.ok_or_else(Refusal::bad_credentials)?;
                if found.suspended_at.is_some() {
                    return Err(Refusal::forbidden(SUSPENDED));
                }
            }
            return Ok(token.actor);
        }
        let mut parts = credential.split('.');
        if let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            return self.identify_app(header, claims, signature, now);
        }
        Err(Refusal::bad_credentials())
    }

    fn identify_app(
        &self,
        header: &str,
        claims: &str,
        signature: &str,
        now: Time,
    ) -> Result<Actor, Refusal> {
        let undecodable = || Refusal::new(401, "A JSON web token could not be decoded");
        let parsed: Value = decode(claims)
            .and_then(|raw| serde_json::from_slice(&raw).ok())
            .ok_or_else(undecodable)?;
        let head: Value = decode(header)
            .and_then(|raw| serde_json::from_slice(&raw).ok())
            .ok_or_else(undecodable)?;
        let issuer = match &parsed["iss"] {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            _ => return Err(Refusal::new(401, "'Issuer' claim ('iss') must be an Integer")),
        };
        let mut apps = self.apps.values();
        let app = apps
            .find(|app| app.id.to_string() == issuer || client_id(app.id) == issuer)
            .ok_or_else(|| Refusal::new(404, "Integration not found"))?;
        let message = format!("{header}.{claims}");
        let genuine = head["alg"] == "RS256"
            && decode(signature).is_some_and(|given| {
                app.public_keys.iter().any(|key| verifies(key, message.as_bytes(), &given))
            });
        if !genuine {
            return Err(undecodable());
        }
        let now = now.timestamp();
        let times = (parsed["iat"].as_i64(), parsed["exp"].as_i64());
        let (Some(begins), Some(ends)) = times else { return Err(undecodable()) };
        if begins > now + CLOCK_DRIFT {
            let words = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
            return Err(Refusal::new(401, words));
        }
        if ends <= now {
            let words = "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires";
            return Err(Refusal::new(401, words));
        }
        if ends > now + MOST_JWT_LIFE + CLOCK_DRIFT {
            return Err(Refusal::new(
                401,
                "'Expiration time' claim ('exp') is too far in the future",
            ));
        }
        Ok(Actor::App(app.id))
    }

    /// A token for one hour: for these repositories (else all that are covered), with these permissions (else all that the
    /// installation has).
    pub(in crate::sandbox::github) fn installation_token(
        &mut self,
        installation: u64,
        repositories: Option<BTreeSet<u64>>,
        permissions: Option<BTreeMap<String, String>>,
    ) -> Result<Value, Refusal> {
        let found = self.installations.get(&installation).ok_or_else(Refusal::not_found)?;
        if found.suspended_at.is_some() {
            return Err(Refusal::forbidden(SUSPENDED));
        }
        let covered =
            |id: &u64| self.repos.get(id).is_some_and(|repo| self.installed(installation, repo));
        if repositories.iter().any(|some| some.is_empty() || !some.iter().all(covered)) {
            return Err(unreachable());
        }
        let has = |(name, level): (&String, &String)| {
            found.permissions.get(name).is_some_and(|has| has == level || has == "write")
        };
        if !permissions.iter().flatten().all(has) {
            let words = "The permissions requested are not granted to this installation.";
            return Err(Refusal::unprocessable(words));
        }
        let selected = found.repositories.is_some() || repositories.is_some();
        let permissions = permissions.unwrap_or_else(|| found.permissions.clone());
        let expires_at = self.now() + TOKEN_LIFE;
        let mut answer = json!({
            "expires_at": time(expires_at),
            "permissions": permissions,
            "repository_selection": if selected { "selected" } else { "all" },
        });
        let scoped = repositories.is_some();
        let actor = self.bearer(installation, repositories, permissions);
        if scoped && let Actor::Installation(bearer) = actor {
            let rows = self.covered(bearer).into_iter().map(|repo| self.repo_json(repo, actor));
            answer["repositories"] = rows.collect::<Vec<_>>().into();
        }
        answer["token"] = self.issue_token(actor, Some(expires_at)).into();
        Ok(answer)
    }

    /// Notes what a token is given.
    pub(in crate::sandbox::github) fn bearer(
        &mut self,
        installation: u64,
        repositories: Option<BTreeSet<u64>>,
        permissions: BTreeMap<String, String>,
    ) -> Actor {
        let grant = self.id();
        self.grants.insert(grant, Grant { repositories, permissions });
        Actor::Installation(Bearer { installation, grant })
    }

    pub(in crate::sandbox::github) fn app_json(&self, app: &App) -> Value {
        let hook = self.hooks.values().find(|hook| hook.scope == Scope::App(app.id));
        let events = hook.map(|hook| hook.events.clone()).unwrap_or_default();
        json!({
            "id": app.id,
            "slug": app.slug,
            "client_id": client_id(app.id),
            "node_id": node_id("Integration", app.id),
            "owner": self.user_json(app.owner),
            "name": app.slug,
            "description": "",
            "external_url": self.url,
            "html_url": format!("{}/apps/{}", self.url, app.slug),
            "created_at": time(app.created_at),
            "updated_at": time(app.created_at),
            "permissions": app.permissions,
            "events": events,
            "installations_count": self.installations.values().filter(|i| i.app == app.id).count(),
        })
    }

    pub(in crate::sandbox::github) fn installation_json(&self, found: &Installation) -> Value {
        let api = format!("{}/app/installations/{}", self.api(), found.id);
        let app = self.apps.get(&found.app);
        json!({
            "id": found.id,
            "account": self.user_json(found.account),
            "repository_selection": if found.repositories.is_some() { "selected" } else { "all" },
            "access_tokens_url": format!("{api}/access_tokens"),
            "repositories_url": format!("{}/installation/repositories", self.api()),
            "html_url": format!("{}/settings/installations/{}", self.url, found.id),
            "app_id": found.app,
            "app_slug": app.map(|app| app.slug.clone()),
            "target_id": found.account,
            "target_type": self.accounts.get(&found.account).map(|a| a.kind.name()),
            "permissions": found.permissions,
            "events": [],
            "created_at": time(found.created_at),
            "updated_at": time(found.created_at),
            "single_file_name": null,
            "suspended_at": found.suspended_at.map(time),
            "suspended_by": null,
        })
    }
}

fn decode(part: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()
}

pub(in crate::sandbox::github) fn client_id(app: u64) -> String {
    format!("Iv1.{app:016x}")
}

/// The public half of a private RSA key (PEM), in the form of PKCS#1.
pub(in crate::sandbox::github) fn public_key(private_key_pem: &str) -> Result<Vec<u8>, Refusal> {
    let invalid = || Refusal::invalid("App", "private_key", "invalid", Some("not an RSA key"));
    let key = PrivateKeyDer::from_pem_slice(private_key_pem.as_bytes()).map_err(|_| invalid())?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| invalid())?;
    let info = key.public_key().filter(|_| key.algorithm() == SignatureAlgorithm::RSA);
    let info = info.ok_or_else(invalid)?;
    let (fields, _) = content(info.as_ref()).ok_or_else(invalid)?;
    let (_algorithm, rest) = content(fields).ok_or_else(invalid)?;
    let (bits, _) = content(rest).ok_or_else(invalid)?;
    // The first byte of a bit string counts the unused bits of its last one.
    bits.get(1..).map(<[u8]>::to_vec).ok_or_else(invalid)
}

/// The content of the first value of some DER, and what follows it.
fn content(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = der.get(1..)?.split_first()?;
    let (length, rest) = match usize::from(length) {
        short @ 0..=127 => (short, rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(long - 128)?;
            let length = bytes.iter().try_fold(0_usize, |all, byte| {
                all.checked_mul(256).map(|all| all + usize::from(*byte))
            })?;
            (length, rest)
        }
    };
    rest.split_at_checked(length)
}

/// RS256, with the public key.
fn verifies(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let known = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let mut schemes = known.mapping.iter();
    let rs256 = schemes.find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256);
    rs256.is_some_and(|(_, algorithms)| {
        algorithms.iter().any(|one| one.verify_signature(public_key, message, signature).is_ok())
    })
}
