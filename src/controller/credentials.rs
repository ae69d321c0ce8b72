//! How the service logs in for each Repository: read out of a Secret, and kept in memory. No I/O: the Repositories'
//! controller fills it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use secrecy::SecretString;

use crate::forge::{AppLogin, Login};

/// Keys of a Secret: of a token, …
const TOKEN: &str = "token";
/// … of an App …
const APP_ID: &str = "appId";
const PRIVATE_KEY: &str = "privateKey";
const INSTALLATION: &str = "installationId";
/// … and of the webhook.
const WEBHOOK_SECRET: &str = "webhookSecret";

/// What the controller takes from a Repository's Secret.
#[derive(Clone, Debug)]
pub struct Credential {
    /// For the API and for fetching.
    pub login: Login,
}

/// Why a Secret can't be used. No value of it is quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    /// For the condition.
    pub(super) reason: &'static str,
    /// What is wrong, and what to write.
    pub(super) message: String,
}

impl Credential {
    /// Reads the Secret of that name.
    pub(super) fn of(name: &str, secret: &Secret) -> Result<Self, Unusable> {
        let login = login_of(name, secret)?;
        // What deliveries are signed with is the webhook's; here it is only missed.
        match value(secret, WEBHOOK_SECRET) {
            Some(_) => Ok(Self { login }),
            None => Err(incomplete(name, WEBHOOK_SECRET)),
        }
    }
}

/// A token, or an App.
pub(super) fn login_of(name: &str, secret: &Secret) -> Result<Login, Unusable> {
    match (value(secret, TOKEN), value(secret, APP_ID), value(secret, PRIVATE_KEY)) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => Err(Unusable {
            reason: "SecretAmbiguous",
            message: format!(
                "Secret {name} holds both {TOKEN} and values of a GitHub App ({APP_ID}, {PRIVATE_KEY}): take one of them out"
            ),
        }),
        (Some(token), None, None) => Ok(Login::Token(SecretString::from(token))),
        (None, None, None) => Err(Unusable {
            reason: "SecretIncomplete",
            message: format!(
                "Secret {name} has no value for the key {TOKEN}, nor for {APP_ID} and {PRIVATE_KEY} of a GitHub App"
            ),
        }),
        (None, None, Some(_)) => Err(incomplete(name, APP_ID)),
        (None, Some(_), None) => Err(incomplete(name, PRIVATE_KEY)),
        (None, Some(id), Some(key)) => {
            AppLogin::parse(id, &SecretString::from(key), value(secret, INSTALLATION))
                .map(Login::App)
                .map_err(|error| Unusable {
                    reason: "SecretInvalid",
                    message: format!("Secret {name}: {error}"),
                })
        }
    }
}

/// The text of a key. A newline at the end comes from an editor or `echo`; no token has one.
fn value<'a>(secret: &'a Secret, key: &str) -> Option<&'a str> {
    let bytes = secret.data.as_ref()?.get(key)?.0.as_slice();
    let text = std::str::from_utf8(bytes).ok()?.trim_end_matches(['\r', '\n']);
    (!text.is_empty()).then_some(text)
}

fn incomplete(name: &str, key: &str) -> Unusable {
    let message = format!("Secret {name} has no value for the key {key}");
    Unusable { reason: "SecretIncomplete", message }
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

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    const KEY: &str = include_str!("../sandbox/github/testdata/app.pem");

    fn secret(pairs: &[(&str, &str)]) -> Secret {
        let data = pairs.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())));
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    fn read(pairs: &[(&str, &str)]) -> Result<String, (&'static str, String)> {
        Credential::of("shop", &secret(pairs))
            .map(|credential| format!("{credential:?}"))
            .map_err(|unusable| (unusable.reason, unusable.message))
    }

    #[test]
    fn a_secret_holds_a_token_or_an_app_and_says_what_it_lacks() {
        let hook = ("webhookSecret", "s3cret");
        let app = [("appId", "12"), ("privateKey", KEY), hook];
        assert_eq!(read(&[("token", "ghp_x\n"), hook]).unwrap(), "Credential { login: Token }");
        let shown = read(&app).unwrap();
        assert!(shown.contains("id: \"12\", installation: None"), "{shown}");
        let shown = read(&[app[0], app[1], hook, ("installationId", "34\n")]).unwrap();
        assert!(shown.contains("installation: Some(34)"), "{shown}");
        let no_value =
            |key| ("SecretIncomplete", format!("Secret shop has no value for the key {key}"));
        for (pairs, expected) in [
            (vec![("token", "x")], no_value("webhookSecret")),
            (vec![app[0], app[1]], no_value("webhookSecret")),
            (vec![app[0], hook], no_value("privateKey")),
            (vec![app[1], hook], no_value("appId")),
            (
                vec![hook, ("token", "\n")],
                no_value("token, nor for appId and privateKey of a GitHub App"),
            ),
            (
                vec![("token", "x"), app[0], hook],
                (
                    "SecretAmbiguous",
                    "Secret shop holds both token and values of a GitHub App (appId, privateKey): take one of them out"
                        .into(),
                ),
            ),
        ] {
            assert_eq!(read(&pairs).unwrap_err(), expected);
        }
        let (reason, message) = read(&[app[0], ("privateKey", "hunter2"), hook]).unwrap_err();
        assert_eq!(reason, "SecretInvalid");
        assert!(message.starts_with("Secret shop: privateKey can't be read: it is no PEM text"));
        assert!(!message.contains("hunter2"), "{message}");
    }
}
