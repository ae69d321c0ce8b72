//! Accounts, tokens, Apps and installations.

use std::collections::{BTreeMap, BTreeSet};

use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::sandbox::github::model::{
    Account, AccountKind, Actor, App, Installation, Repo, Time, Token,
};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;
use crate::sandbox::github::views::{node_id, time};

/// Installation tokens live this long, as GitHub's do.
const TOKEN_LIFE: chrono::Duration = chrono::Duration::hours(1);
/// A JWT may not be valid for longer.
const MOST_JWT_LIFE: i64 = 600;
/// Clocks that are ahead by this many seconds are forgiven.
const CLOCK_DRIFT: i64 = 60;

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
        let account = Account { id, login: login.to_owned(), kind, owners, created_at };
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
        self.tokens.insert(token.clone(), Token { actor, expires_at });
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
        let parse = |pem: &str| {
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?.secret_der().to_vec();
            sign(&key, b"probe").is_some().then_some(key)
        };
        let invalid = || Refusal::invalid("App", "private_key", "invalid", Some("not an RSA key"));
        let private_key = private_key_pem.map(|pem| parse(pem).ok_or_else(invalid)).transpose()?;
        let bot = self.create_account(&format!("{slug}[bot]"), AccountKind::Bot)?;
        let (id, created_at) = (self.id(), self.now());
        let slug = slug.to_owned();
        let app = App { id, slug, owner, bot, private_key, permissions, created_at };
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
        if !self.apps.contains_key(&app) {
            return Err(Refusal::not_found());
        }
        let (id, created_at) = (self.id(), self.now());
        let installation = Installation { id, app, account, repositories, created_at };
        self.installations.insert(id, installation);
        Ok(id)
    }

    /// Repositories that an installation covers.
    pub(in crate::sandbox::github) fn covered(&self, installation: u64) -> Vec<&Repo> {
        self.repos.values().filter(|repo| self.installed(installation, repo)).collect()
    }

    /// Who sent these credentials: a token as it is, or a JWT of an App.
    pub(in crate::sandbox::github) fn identify(&self, credential: &str) -> Result<Actor, Refusal> {
        let now = self.clock.now();
        if let Some(token) = self.tokens.get(credential) {
            let fresh = token.expires_at.is_none_or(|end| now < end);
            return if fresh { Ok(token.actor) } else { Err(Refusal::bad_credentials()) };
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
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let app = issuer
            .and_then(|id| self.apps.get(&id))
            .ok_or_else(|| Refusal::new(401, "'Issuer' claim ('iss') must be an Integer"))?;
        let message = format!("{header}.{claims}");
        let genuine = head["alg"] == "RS256"
            && decode(signature).is_some_and(|given| {
                let key = app.private_key.as_deref();
                key.and_then(|key| sign(key, message.as_bytes()))
                    .is_some_and(|right| right == given)
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

    /// A token for one hour.
    pub(in crate::sandbox::github) fn installation_token(
        &mut self,
        installation: u64,
    ) -> Result<Value, Refusal> {
        let found = self.installations.get(&installation).ok_or_else(Refusal::not_found)?;
        let permissions = self.apps.get(&found.app).map(|app| app.permissions.clone());
        let selection = if found.repositories.is_some() { "selected" } else { "all" };
        let expires_at = self.now() + TOKEN_LIFE;
        let token = self.issue_token(Actor::Installation(installation), Some(expires_at));
        Ok(json!({
            "token": token,
            "expires_at": time(expires_at),
            "permissions": permissions,
            "repository_selection": selection,
        }))
    }

    pub(in crate::sandbox::github) fn app_json(&self, app: &App) -> Value {
        json!({
            "id": app.id,
            "slug": app.slug,
            "client_id": format!("Iv1.{:016x}", app.id),
            "node_id": node_id("Integration", app.id),
            "owner": self.user_json(app.owner),
            "name": app.slug,
            "description": "",
            "external_url": self.url,
            "html_url": format!("{}/apps/{}", self.url, app.slug),
            "created_at": time(app.created_at),
            "updated_at": time(app.created_at),
            "permissions": app.permissions,
            "events": [],
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
            "permissions": app.map(|app| app.permissions.clone()).unwrap_or_default(),
            "events": [],
            "created_at": time(found.created_at),
            "updated_at": time(found.created_at),
            "single_file_name": null,
            "suspended_at": null,
            "suspended_by": null,
        })
    }
}

fn decode(part: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()
}

/// RS256; `None` when the key is not RSA.
pub(in crate::sandbox::github) fn sign(private_key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let key = PrivateKeyDer::try_from(private_key).ok()?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key).ok()?;
    key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?.sign(message).ok()
}
