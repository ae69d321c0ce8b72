//! Tokens and webhook secrets of the Repositories, in memory. No I/O: the Repositories' controller fills it.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::sync::watch;

use crate::domain::id::RepoName;

/// What a Repository's Secret holds.
#[derive(Clone, Debug)]
pub struct Credential {
    /// For the API and for fetching.
    pub token: SecretString,
    /// What webhooks are signed with.
    pub webhook_secret: SecretString,
    /// The repository that they are for, as the Repository names it.
    pub name: RepoName,
    /// Its numeric id, once it is known.
    pub id: Option<u64>,
}

/// All credentials by the name of their Repository. A clone shares the state.
#[derive(Clone, Debug)]
pub struct Credentials(Arc<watch::Sender<BTreeMap<String, Credential>>>);

impl Default for Credentials {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(BTreeMap::new())))
    }
}

impl Credentials {
    /// The credential of a Repository, once it was read.
    #[must_use]
    pub fn of(&self, repository: &str) -> Option<Credential> {
        self.0.borrow().get(repository).cloned()
    }

    /// Every Repository with its credential, by name; tells of each change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<BTreeMap<String, Credential>> {
        self.0.subscribe()
    }

    /// Notes or takes away the credential of a Repository.
    pub fn set(&self, repository: &str, credential: Option<Credential>) {
        self.0.send_modify(|all| match credential {
            Some(credential) => {
                all.insert(repository.to_owned(), credential);
            }
            None => {
                all.remove(repository);
            }
        });
    }
}
