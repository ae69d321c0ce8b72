//! Handle: accounts, tokens, Apps.

use crate::sandbox::github::model::{AccountKind, Actor};
use crate::sandbox::github::{GitHub, Refusal};

/// Accounts, tokens, Apps.
impl GitHub {
    /// Creates a person.
    pub fn create_user(&self, login: &str) -> Result<u64, Refusal> {
        self.state().create_account(login, AccountKind::User)
    }

    /// Creates a machine account (`type: Bot`).
    pub fn create_bot(&self, login: &str) -> Result<u64, Refusal> {
        self.state().create_account(login, AccountKind::Bot)
    }

    /// Creates an organisation that `owner` owns.
    pub fn create_org(&self, login: &str, owner: &str) -> Result<u64, Refusal> {
        let mut state = self.state();
        let owner = state.need_account(owner)?;
        let id = state.create_account(login, AccountKind::Organization)?;
        if let Some(account) = state.accounts.get_mut(&id) {
            account.owners.insert(owner);
        }
        Ok(id)
    }

    /// A token with all rights of `login`.
    pub fn token_for(&self, login: &str) -> Result<String, Refusal> {
        let mut state = self.state();
        let account = state.need_account(login)?;
        Ok(state.issue_token(Actor::User(account), None))
    }

    /// Makes a token of whatever kind invalid.
    pub fn revoke_token(&self, token: &str) {
        self.state().tokens.remove(token);
    }

    /// Registers an App with permissions (`("checks", "write")` …); gives its id. With an RSA key (PEM) it can log
    /// in as itself by a JWT.
    pub fn register_app(
        &self,
        slug: &str,
        owner: &str,
        private_key_pem: Option<&str>,
        permissions: &[(&str, &str)],
    ) -> Result<u64, Refusal> {
        let permissions = permissions.iter();
        let permissions = permissions.map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        self.state().register_app(slug, owner, private_key_pem, permissions)
    }

    /// Installs an App at an account, for all of its repositories or for some; gives the installation's id.
    pub fn install_app(
        &self,
        app: u64,
        account: &str,
        repositories: Option<&[&str]>,
    ) -> Result<u64, Refusal> {
        let mut state = self.state();
        let some = repositories
            .map(|names| names.iter().map(|name| state.named(name)).collect::<Result<_, _>>())
            .transpose()?;
        state.install(app, account, some)
    }

    /// A token of an installation that never ends, for a demo that has only one.
    pub fn lasting_installation_token(&self, installation: u64) -> Result<String, Refusal> {
        let mut state = self.state();
        if !state.installations.contains_key(&installation) {
            return Err(Refusal::not_found());
        }
        Ok(state.issue_token(Actor::Installation(installation), None))
    }

    /// A token of an installation, valid for one hour, as the App itself would get it.
    pub fn installation_token(&self, installation: u64) -> Result<String, Refusal> {
        let token = self.state().installation_token(installation)?;
        Ok(token["token"].as_str().unwrap_or_default().to_owned())
    }
}
