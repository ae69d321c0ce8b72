//! Handle: accounts, tokens, Apps.

use crate::sandbox::github::model::{AccountKind, Actor};
use crate::sandbox::github::ops::people::public_key;
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

    /// Puts people into a team of an organisation, which is made when it is new. `slug` is its name in addresses.
    pub fn add_to_team(&self, org: &str, slug: &str, logins: &[&str]) -> Result<(), Refusal> {
        let mut state = self.state();
        let org = state.need_account(org)?;
        for login in logins {
            let member = state.need_account(login)?;
            let account = state.accounts.get_mut(&org).ok_or_else(Refusal::not_found)?;
            account.teams.entry(slug.to_owned()).or_default().insert(member);
        }
        Ok(())
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

    /// Gives an App one more key (PEM, with its private half); those it has stay until they are taken away.
    pub fn add_app_key(&self, app: u64, private_key_pem: &str) -> Result<(), Refusal> {
        let key = public_key(private_key_pem)?;
        let mut state = self.state();
        state.apps.get_mut(&app).ok_or_else(Refusal::not_found)?.public_keys.push(key);
        Ok(())
    }

    /// Takes a key away from an App: what it signs counts no longer.
    pub fn delete_app_key(&self, app: u64, private_key_pem: &str) -> Result<(), Refusal> {
        let key = public_key(private_key_pem)?;
        let mut state = self.state();
        let keys = &mut state.apps.get_mut(&app).ok_or_else(Refusal::not_found)?.public_keys;
        keys.retain(|known| *known != key);
        Ok(())
    }

    /// Takes an App away from an account; its tokens end.
    pub fn uninstall_app(&self, installation: u64) -> Result<(), Refusal> {
        let mut state = self.state();
        let found = state.installations.remove(&installation).ok_or_else(Refusal::not_found)?;
        state.tell_of_installation("deleted", &found);
        Ok(())
    }

    /// Makes all tokens of an installation invalid, as GitHub does with one that was found in public; gives how many.
    #[must_use]
    pub fn revoke_tokens_of(&self, installation: u64) -> usize {
        let tokens = &mut self.state().tokens;
        let before = tokens.len();
        tokens.retain(|_, token| {
            !matches!(token.actor, Actor::Installation(bearer) if bearer.installation == installation)
        });
        before - tokens.len()
    }

    /// Suspends an installation, or lets it go on.
    pub fn suspend_app(&self, installation: u64, suspended: bool) -> Result<(), Refusal> {
        let mut state = self.state();
        let now = state.now();
        let found = state.installations.get_mut(&installation).ok_or_else(Refusal::not_found)?;
        found.suspended_at = suspended.then_some(now);
        let found = found.clone();
        state.tell_of_installation(if suspended { "suspend" } else { "unsuspend" }, &found);
        Ok(())
    }

    /// What the owner of the account lets an installation do from now on.
    pub fn accept_permissions(
        &self,
        installation: u64,
        permissions: &[(&str, &str)],
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        let found = state.installations.get_mut(&installation).ok_or_else(Refusal::not_found)?;
        let permissions = permissions.iter();
        found.permissions = permissions.map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let found = found.clone();
        state.tell_of_installation("new_permissions_accepted", &found);
        Ok(())
    }

    /// Chooses the repositories of an installation anew.
    pub fn choose_repositories(
        &self,
        installation: u64,
        repositories: Option<&[&str]>,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        let some = repositories
            .map(|names| names.iter().map(|name| state.named(name)).collect::<Result<_, _>>())
            .transpose()?;
        let found = state.installations.get(&installation).ok_or_else(Refusal::not_found)?;
        let before = state.repositories_of(found);
        let found = state.installations.get_mut(&installation).ok_or_else(Refusal::not_found)?;
        found.repositories = some;
        let found = found.clone();
        let after = state.repositories_of(&found);
        let selection = if found.repositories.is_some() { "selected" } else { "all" };
        for (action, list, rows) in [
            ("added", "repositories_added", &after - &before),
            ("removed", "repositories_removed", &before - &after),
        ] {
            if rows.is_empty() {
                continue;
            }
            let mut payload = serde_json::json!({
                "action": action, "repository_selection": selection, "requester": null,
                "repositories_added": [], "repositories_removed": [],
            });
            payload[list] = state.named_json(&rows);
            state.emit_installation("installation_repositories", &found, payload);
        }
        Ok(())
    }

    /// A token of an installation that never ends, for a demo that has only one.
    pub fn lasting_installation_token(&self, installation: u64) -> Result<String, Refusal> {
        let mut state = self.state();
        let found = state.installations.get(&installation).ok_or_else(Refusal::not_found)?;
        let permissions = found.permissions.clone();
        let actor = state.bearer(installation, None, permissions);
        Ok(state.issue_token(actor, None))
    }

    /// A token of an installation, valid for one hour, as the App itself would get it.
    pub fn installation_token(&self, installation: u64) -> Result<String, Refusal> {
        let token = self.state().installation_token(installation, None, None)?;
        Ok(token["token"].as_str().unwrap_or_default().to_owned())
    }
}
