//! PURE · who may see a preview, as its Repository says it: the part of it that the gate asks.

use super::address::Origin;
use super::word::{self, Begin, Means, Session};
use crate::crd::{Repository, SecretKey};
use crate::gate::site::Site;
use crate::gate::words::Key;

/// A shorter password is guessed, however few tries there are.
pub(super) const LEAST_PASSWORD: usize = 8;
/// A bypass token is not tried slowly, so it must not be guessed at all.
pub(super) const LEAST_BYPASS: usize = 20;
/// Where GitHub's API is when nothing else is said.
const GITHUB: &str = "https://api.github.com";

/// Where people are asked who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignIn<'a> {
    /// REST API of the GitHub, without a slash at its end.
    pub(super) api: &'a str,
    /// The repository's number there: names change hands. `None` while it is not known.
    pub(super) repository: Option<u64>,
    /// Secret of the App.
    pub(super) credentials: &'a str,
}

/// A host, and who may see what is there.
#[derive(Clone, Debug)]
pub(super) struct Rule<'a> {
    /// As it is in the record: never as a browser wrote it.
    pub(super) host: &'a str,
    /// Where a browser reaches it. `None`: over plain http, and not on this machine.
    pub(super) origin: Option<Origin>,
    /// UID of the Repository.
    pub(super) uid: &'a str,
    /// Its name, for our own log.
    pub(super) name: &'a str,
    /// The domain of its previews.
    pub(super) domain: &'a str,
    /// Nobody gets in who has not shown that he may.
    pub(super) protects: bool,
    /// Who can read the repository gets in.
    pub(super) sign_in: Option<SignIn<'a>>,
    /// Who knows it gets in.
    pub(super) password: Option<&'a SecretKey>,
    /// A program that has it gets in.
    pub(super) bypass: Option<&'a SecretKey>,
    /// Search engines are to leave it alone.
    pub(super) noindex: bool,
}

impl<'a> Rule<'a> {
    pub(super) fn of(site: &'a Site) -> Self {
        let Repository { metadata, spec, status } = &*site.repository;
        let url = &spec.url;
        let secure = url.scheme != "http";
        let port = url.port.and_then(|port| u16::try_from(port).ok());
        let forge = status.as_ref().and_then(|status| status.forge.as_ref());
        let github = &spec.forge.github;
        let protect = url.protect.as_ref();
        let sign_in = protect.and_then(|protect| protect.sign_in).map(|_| SignIn {
            api: github.api_url.as_deref().unwrap_or(GITHUB).trim_end_matches('/'),
            repository: forge.and_then(|forge| u64::try_from(forge.repository_id).ok()),
            credentials: &github.credentials.secret_name,
        });
        Self {
            host: &site.host,
            origin: Origin::new(secure, &site.host, port),
            uid: metadata.uid.as_deref().unwrap_or_default(),
            name: metadata.name.as_deref().unwrap_or_default(),
            domain: &url.host,
            protects: protect.is_some(),
            sign_in,
            password: protect.and_then(|protect| protect.password.as_ref()),
            bypass: protect.and_then(|protect| protect.bypass.as_ref()),
            noindex: url.noindex || protect.is_some(),
        }
    }

    /// What a session of somebody who signed in holds: it ends when the Repository serves another repository.
    pub(super) fn print_of_sign_in(&self, key: &Key) -> Option<String> {
        let SignIn { api, repository, credentials: _ } = self.sign_in.as_ref()?;
        Some(word::print_of(key, "repository", format!("{api} {}", (*repository)?).as_bytes()))
    }

    /// Is it about this host, as it is now?
    pub(super) fn is_of(&self, begin: &Begin) -> bool {
        begin.host == self.host && self.is_named(&begin.repository)
    }

    /// Is it about this Repository, as it is now?
    pub(super) fn is_sessions(&self, session: &Session) -> bool {
        self.is_named(&session.repository)
    }

    fn is_named(&self, uid: &str) -> bool {
        !uid.is_empty() && uid == self.uid
    }

    /// The value that stands behind a way in, where it is a Secret's.
    pub(super) fn secret(&self, means: Means) -> Option<(&'a SecretKey, usize)> {
        match means {
            Means::SignIn => None,
            Means::Password => self.password.map(|key| (key, LEAST_PASSWORD)),
            Means::Bypass => self.bypass.map(|key| (key, LEAST_BYPASS)),
        }
    }
}
