//! Tokens of token services, kept till they end: by registry, repository and the login that they were given for, so that
//! nobody reads by what another Repository's secret opens. Bounded. No I/O.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use super::credentials::Login;

/// Tokens that are kept.
pub(super) const MOST: usize = 500;
/// What a token is good for when nobody says it (the specification's default), in seconds.
const UNSAID: u64 = 60;
/// No token is kept longer, whatever its service says, in seconds.
const LONGEST: u64 = 3600;
/// It is not used in the last seconds of its life; of a short one not in its second half.
const MARGIN: i64 = 10;

/// What a token is for. Holds no secret, only its digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(host: &str, repository: &str, login: Option<Login<'_>>) -> Self {
        let (kind, user, secret) = match login {
            None => ("none", "", ""),
            Some(Login::Password(user, password)) => ("password", user, password.expose_secret()),
            Some(Login::Identity(token)) => ("identity", "", token.expose_secret()),
        };
        let mut hash = Sha256::new();
        for part in [host, repository, kind, user, secret] {
            // The length keeps ("ab", "c") and ("a", "bc") apart.
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// A token as it is sent, and its end.
#[derive(Clone)]
pub(super) struct Token {
    pass: SecretString,
    ends: DateTime<Utc>,
}

impl Token {
    pub(super) fn new(
        pass: SecretString,
        asked_at: DateTime<Utc>,
        expires_in: Option<u64>,
    ) -> Self {
        let seconds = expires_in.unwrap_or(UNSAID).min(LONGEST);
        let seconds = i64::try_from(seconds).unwrap_or_default();
        let ends = asked_at + TimeDelta::seconds(seconds - MARGIN.min(seconds / 2));
        Self { pass, ends }
    }
}

/// All that are kept.
#[derive(Default)]
pub(super) struct Tokens(Mutex<BTreeMap<Key, Token>>);

impl Tokens {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Token>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &Key, now: DateTime<Utc>) -> Option<SecretString> {
        let kept = self.lock();
        kept.get(key).filter(|token| now < token.ends).map(|token| token.pass.clone())
    }

    pub(super) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    pub(super) fn keep(&self, key: Key, token: Token, now: DateTime<Utc>) {
        if token.ends <= now {
            return;
        }
        let mut kept = self.lock();
        kept.retain(|_, token| now < token.ends);
        if kept.len() >= MOST
            && let Some(first) =
                kept.iter().min_by_key(|(_, token)| token.ends).map(|(key, _)| key.clone())
        {
            kept.remove(&first);
        }
        kept.insert(key, token);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }
}
