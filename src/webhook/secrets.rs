//! PURE · which secret signed a delivery, and for which repositories that secret may speak.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::domain::event::RepositoryRef;
use crate::domain::id::RepoName;
use crate::domain::pull_request::Author;

/// A Repository whose credentials hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// Name of the resource.
    pub resource: String,
    /// Numeric id at the forge, once it is known.
    pub id: Option<u64>,
    /// Owner and name; they count while the id is not known.
    pub name: RepoName,
    /// Its previews are of test merges: a commit on a base branch changes them.
    pub follows_base: bool,
    /// Its previews wait for checks of their commits.
    pub awaits_checks: bool,
    /// Patterns for branches that have an environment each.
    pub branches: Vec<String>,
    /// What a command begins with.
    pub prefix: String,
    /// Bots whose comments count.
    pub bots: Vec<String>,
}

impl Served {
    /// Whether somebody may give commands at all: people, and the bots that are listed.
    pub(super) fn listens_to(&self, by: &Author) -> bool {
        !by.bot || self.bots.iter().any(|bot| bot.eq_ignore_ascii_case(&by.login))
    }
}

impl Served {
    /// Is this the repository that a payload names? A known id decides alone: names change hands.
    fn is(&self, named: &RepositoryRef) -> bool {
        self.id.map_or(self.name == named.name, |id| id == named.id)
    }
}

/// A snapshot of all webhook secrets.
#[derive(Default)]
pub struct Secrets {
    candidates: Vec<(SecretString, Vec<Served>)>,
    /// Repositories whose secret is empty: an error of configuration, never "no check".
    without: Vec<String>,
    told: AtomicBool,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let served: Vec<_> = self.candidates.iter().map(|(_, served)| served).collect();
        f.debug_struct("Secrets")
            .field("served", &served)
            .field("without", &self.without)
            .finish_non_exhaustive()
    }
}

impl Secrets {
    /// Puts Repositories with the same secret together; those with an empty one are left out.
    #[must_use]
    pub fn new(pairs: impl IntoIterator<Item = (SecretString, Served)>) -> Self {
        let mut by_secret: BTreeMap<String, Vec<Served>> = BTreeMap::new();
        let mut without = Vec::new();
        for (secret, served) in pairs {
            if secret.expose_secret().trim().is_empty() {
                without.push(served.resource);
            } else {
                by_secret.entry(secret.expose_secret().to_owned()).or_default().push(served);
            }
        }
        let candidates = by_secret
            .into_iter()
            .map(|(secret, mut served)| {
                served.sort();
                (SecretString::from(secret), served)
            })
            .collect();
        Self { candidates, without, told: AtomicBool::new(false) }
    }

    /// The Repositories that the signer may speak for. `None` when no secret verifies `header` over the raw `body`.
    pub(super) fn verify(&self, header: &str, body: &[u8]) -> Option<&[Served]> {
        let sent = parse(header);
        let mut found = None;
        // Each is tried, also after one fits: the time says nothing of which.
        for (secret, served) in &self.candidates {
            if bool::from(verifies(secret, sent.as_ref(), body)) {
                found = Some(served.as_slice());
            }
        }
        found
    }

    /// Says what is wrong with the configuration, once.
    pub(super) fn complain_once(&self) {
        let fine = self.without.is_empty() && !self.candidates.is_empty();
        if fine || self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.candidates.is_empty() {
            tracing::error!("no webhook secret is configured: every delivery is answered 401");
        }
        for repository in &self.without {
            tracing::error!(
                repository,
                "the webhook secret is missing or empty: deliveries for it are answered 401"
            );
        }
    }
}

/// Those of `served` that the payload names.
pub(super) fn named<'a>(
    served: &'a [Served],
    repository: &'a RepositoryRef,
) -> impl Iterator<Item = &'a Served> {
    served.iter().filter(|served| served.is(repository))
}

/// Those of `served` that an event of an installation is about: those that it names, else all of the account.
pub(super) fn installed<'a>(
    served: &'a [Served],
    account: &'a str,
    repositories: &'a [RepositoryRef],
) -> impl Iterator<Item = &'a Served> {
    let by_id: BTreeMap<u64, &RepositoryRef> =
        repositories.iter().map(|named| (named.id, named)).collect();
    let by_name: BTreeMap<&RepoName, &RepositoryRef> =
        repositories.iter().map(|named| (&named.name, named)).collect();
    served.iter().filter(move |served| {
        if repositories.is_empty() {
            return served.name.owner().eq_ignore_ascii_case(account);
        }
        served.id.map_or_else(|| by_name.contains_key(&served.name), |id| by_id.contains_key(&id))
    })
}

/// The 32 bytes of `sha256=<64 hex>`.
fn parse(header: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(header.strip_prefix("sha256=")?, &mut bytes).ok()?;
    Some(bytes)
}

fn verifies(secret: &SecretString, sent: Option<&[u8; 32]>, body: &[u8]) -> Choice {
    let (Some(sent), Ok(mut mac)) =
        (sent, Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()))
    else {
        return Choice::from(0);
    };
    mac.update(body);
    mac.finalize().into_bytes().as_slice().ct_eq(sent.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(resource: &str, id: Option<u64>) -> Served {
        let name = RepoName::parse("acme", resource).unwrap();
        Served {
            resource: resource.into(),
            id,
            name,
            follows_base: false,
            awaits_checks: false,
            branches: Vec::new(),
            prefix: "/preview".into(),
            bots: Vec::new(),
        }
    }

    #[test]
    fn githubs_published_vector_verifies_and_nothing_near_it_does() {
        let secrets =
            Secrets::new([("It's a Secret to Everybody".into(), served("shop", Some(1)))]);
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert_eq!(secrets.verify(good, b"Hello, World!").unwrap(), [served("shop", Some(1))]);
        assert!(secrets.verify(good, b"Hello, World").is_none());
        for bad in [
            &good[7..],
            &good[..70],
            "",
            "sha256=",
            "sha1=757107ea0eb2509fc211221cce984b8a37570b6d",
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e18",
        ] {
            assert!(secrets.verify(bad, b"Hello, World!").is_none(), "{bad}");
        }
    }

    #[test]
    fn an_empty_secret_verifies_nothing() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
        mac.update(b"x");
        let header = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        for secrets in [
            Secrets::default(),
            Secrets::new([("".into(), served("a", None)), (" \n".into(), served("b", None))]),
        ] {
            assert!(secrets.verify(&header, b"x").is_none());
            secrets.complain_once();
            assert!(secrets.told.load(Ordering::Relaxed));
        }
    }

    #[test]
    fn a_secret_that_two_share_speaks_for_both_and_is_not_shown() {
        let secrets = Secrets::new([
            ("s3cret".into(), served("b", None)),
            ("other".into(), served("c", None)),
            ("s3cret".into(), served("a", None)),
        ]);
        assert_eq!(secrets.candidates.len(), 2);
        assert!(!format!("{secrets:?}").contains("s3cret"));
        let mut mac = Hmac::<Sha256>::new_from_slice(b"s3cret").unwrap();
        mac.update(b"x");
        let header = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(secrets.verify(&header, b"x").unwrap(), [served("a", None), served("b", None)]);
    }

    #[test]
    fn a_known_id_decides_and_else_the_name() {
        let named = |id, name| RepositoryRef { id, name: RepoName::parse("acme", name).unwrap() };
        assert!(served("shop", Some(7)).is(&named(7, "renamed")));
        assert!(!served("shop", Some(7)).is(&named(8, "shop")));
        assert!(served("shop", None).is(&named(8, "shop")));
        assert!(!served("shop", None).is(&named(8, "other")));
    }
}
