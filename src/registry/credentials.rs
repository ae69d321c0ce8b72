//! What image pull secrets hold (`kubernetes.io/dockerconfigjson`): names and passwords by host and path. No I/O.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;

/// What is known of logins, by the place that they are for: `ghcr.io`, `registry.example.com:5000/acme`.
#[derive(Clone, Default)]
pub struct PullCredentials(BTreeMap<String, Known>);

/// What is known of a place.
#[derive(Clone)]
enum Known {
    Password(String, SecretString),
    Identity(SecretString),
}

/// A login for one repository.
#[derive(Clone, Copy)]
pub(super) enum Login<'a> {
    /// Name and password.
    Password(&'a str, &'a SecretString),
    /// What a token service gives tokens for, and nobody else takes (`identitytoken`).
    Identity(&'a SecretString),
}

impl fmt::Debug for PullCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A pull secret can't be read. No value of it is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it holds no .dockerconfigjson that can be read")]
pub struct UnusablePullSecret;

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<String>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    identitytoken: Option<String>,
}

impl PullCredentials {
    /// Takes the logins of one secret; what an earlier one said of a place stays.
    pub fn add(&mut self, json: &[u8]) -> Result<(), UnusablePullSecret> {
        // As a map: a struct of serde would be read from an array too.
        let mut config: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(json).map_err(|_| UnusablePullSecret)?;
        let auths = config.remove("auths").unwrap_or_else(|| serde_json::json!({}));
        let auths: BTreeMap<String, Entry> =
            serde_json::from_value(auths).map_err(|_| UnusablePullSecret)?;
        for (place, entry) in auths {
            if let Some(known) = known(entry) {
                self.0.entry(place_of(&place)).or_insert(known);
            }
        }
        Ok(())
    }

    /// The login for a repository: of the longest place that it is at or below.
    pub(super) fn of(&self, registry: &str, repository: &str) -> Option<Login<'_>> {
        let whole = format!("{registry}/{repository}");
        let covers =
            |place: &str| whole.strip_prefix(place).is_some_and(|rest| rest.starts_with('/'));
        let best =
            self.0.iter().filter(|(place, _)| covers(place)).max_by_key(|(place, _)| place.len());
        best.map(|(_, known)| match known {
            Known::Password(user, password) => Login::Password(user, password),
            Known::Identity(token) => Login::Identity(token),
        })
    }
}

fn known(entry: Entry) -> Option<Known> {
    let Entry { auth, username, password, identitytoken } = entry;
    // Beside it stands a name without a password.
    if let Some(token) = identitytoken.filter(|token| !token.is_empty()) {
        return Some(Known::Identity(SecretString::from(token)));
    }
    if let (Some(user), Some(password)) = (username, password)
        && !user.is_empty()
    {
        return Some(Known::Password(user, SecretString::from(password)));
    }
    let bytes = STANDARD.decode(auth?.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    (!user.is_empty()).then(|| Known::Password(user.to_owned(), SecretString::from(password)))
}

/// As `docker login` writes it: with or without scheme, with or without the API's version at its end.
fn place_of(text: &str) -> String {
    let bare = text.trim().trim_start_matches("https://").trim_start_matches("http://");
    let bare = bare.trim_end_matches('/');
    let bare = bare.strip_suffix("/v1").or_else(|| bare.strip_suffix("/v2")).unwrap_or(bare);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let host = host.to_ascii_lowercase();
    let host = match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    };
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_login_is_for_its_host_and_path_and_no_other() {
        let mut known = PullCredentials::default();
        let auth = STANDARD.encode("mia:pass:word");
        let nobody = STANDARD.encode("00000000-0000-0000-0000-000000000000:");
        let config = json!({"auths": {
            "https://index.docker.io/v1/": {"auth": auth},
            "ghcr.io": {"username": "bot", "password": "t0ken", "auth": "not base64"},
            "ghcr.io/acme/secret": {"username": "other", "password": "x"},
            "broken.test": {"auth": "!!"},
            "empty.test": {},
            "acr.test": {"auth": nobody, "identitytoken": "refresh-me"},
            "plain.test": {"username": "bot", "password": "x", "identitytoken": ""},
        }});
        known.add(config.to_string().as_bytes()).expect("a config");
        known
            .add(br#"{"auths": {"ghcr.io": {"username": "late", "password": "y"}}}"#)
            .expect("a config");
        let of = |registry: &str, repository: &str| {
            known.of(registry, repository).map(|login| match login {
                Login::Password(user, pass) => format!("{user} {}", pass.expose_secret()),
                Login::Identity(token) => format!("identity {}", token.expose_secret()),
            })
        };
        assert_eq!(of("acr.test", "acme/web").as_deref(), Some("identity refresh-me"));
        assert_eq!(of("plain.test", "acme/web").as_deref(), Some("bot x"));
        assert_eq!(of("docker.io", "acme/web").as_deref(), Some("mia pass:word"));
        assert_eq!(of("ghcr.io", "acme/web").as_deref(), Some("bot t0ken"));
        assert_eq!(of("ghcr.io", "acme/secret/a").as_deref(), Some("other x"));
        assert_eq!(of("ghcr.io", "acme/secrets").as_deref(), Some("bot t0ken"));
        for (registry, repository) in [
            ("ghcr.io.evil.test", "a"),
            ("ghcr.io:5000", "a"),
            ("broken.test", "a"),
            ("empty.test", "a"),
        ] {
            assert_eq!(of(registry, repository), None, "{registry}");
        }
        assert!(!format!("{known:?}").contains("t0ken"));
        assert!(!format!("{known:?}").contains("refresh-me"));
        for bad in [&b"no json"[..], b"[]", b"{\"auths\": 7}"] {
            assert_eq!(known.add(bad), Err(UnusablePullSecret));
        }
    }
}
