//! Tokens of the Repositories, in memory. No I/O: the Repositories' controller fills it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use secrecy::SecretString;

/// What the controller takes from a Repository's Secret.
#[derive(Clone, Debug)]
pub struct Credential {
    /// For the API and for fetching.
    pub token: SecretString,
}

/// All credentials by the name of their Repository. A clone shares the state.
#[derive(Clone, Debug, Default)]
pub struct Credentials(Arc<Mutex<BTreeMap<String, Credential>>>);

impl Credentials {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Credential>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The credential of a Repository, once it was read.
    #[must_use]
    pub fn of(&self, repository: &str) -> Option<Credential> {
        self.all().get(repository).cloned()
    }

    /// Notes or takes away the credential of a Repository.
    pub fn set(&self, repository: &str, credential: Option<Credential>) {
        match credential {
            Some(credential) => self.all().insert(repository.to_owned(), credential),
            None => self.all().remove(repository),
        };
    }
}
