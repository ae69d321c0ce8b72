//! I/O · who may see a preview. In: a request to a known host; out: the same request without what is only the gate's, or the
//! answer in its place.
//!
//! A browser is led from the preview to the gate's own host, where it signs in at GitHub or writes a password, and back with
//! a word that is good for a minute, for that preview and that browser. Nothing is typed at a preview's host: the code of a
//! pull request runs there, and could read it. Each step is signed and none is remembered, so that any replica can do the
//! next one.

mod address;
mod cookie;
mod door;
mod oauth;
mod page;
mod preview;
mod rule;
mod secrets;
#[cfg(test)]
mod tests;
mod tries;
mod word;

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use secrecy::ExposeSecret as _;

pub use self::address::{InvalidOrigin, Origin};
use self::preview::Head;
use self::rule::Rule;
use self::secrets::{Lack, Reader, Secrets};
use self::tries::Tries;
use self::word::Means;
use super::Parts;
use super::follow::Directory;
use super::site::Site;
use super::words::Key;
use crate::seams::{Clock, Rng, Transport};

/// Header by which a program shows its token.
const BYPASS: &str = "x-bivouac-bypass";

/// Somebody may see the preview.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Admitted {
    /// Who it is, where somebody is signed in.
    pub(super) visitor: Option<String>,
    /// It is a program that has the bypass token, and nobody's visit.
    pub(super) program: bool,
}

type Sites = Arc<dyn Fn(&str) -> Option<Site> + Send + Sync>;
type Keys = Arc<dyn Fn() -> Option<Key> + Send + Sync>;

/// The protection of previews.
pub(super) struct Protect {
    /// The gate's own host, where people sign in.
    gate: Option<Origin>,
    sites: Sites,
    keys: Keys,
    secrets: Secrets,
    forge: Transport,
    clock: Clock,
    rng: Rng,
    tries: Tries,
}

/// Why nobody can be let in. It is said in a sentence, with 503: what is wrong is the platform team's, and never opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    NoKey,
    NoGate,
    GateWithin,
    PlainHttp,
    Secret(Lack),
    NotKnownYet,
}

impl Trouble {
    fn words(self) -> &'static str {
        match self {
            Self::NoKey => {
                "This preview is protected, and the gate has no key yet. Try again in a minute."
            }
            Self::NoGate => {
                "This preview is protected, and the gate has no address of its own at which people could sign in. The \
                 platform team sets it (--gate-url)."
            }
            Self::GateWithin => {
                "This preview is protected, and the gate's own address is within the domain of previews, where it would \
                 not be safe to sign in. The platform team has to move it (--gate-url)."
            }
            Self::PlainHttp => {
                "This preview is protected, and its address is plain http, over which nobody can be let in safely. The \
                 platform team sets url.scheme of the Repository to https."
            }
            Self::Secret(Lack::Missing) => {
                "This preview is protected, and the Secret by which people would be let in is missing. The platform team \
                 has to make it."
            }
            Self::Secret(Lack::TooShort) => {
                "This preview is protected, and the password or token for it is too short to keep anybody out. The \
                 platform team has to write a longer one."
            }
            Self::Secret(Lack::Unread) => {
                "This preview is protected, and who may see it can't be found out right now. Try again in a minute."
            }
            Self::NotKnownYet => {
                "This preview is protected, and its repository was not reached at GitHub yet. Try again in a minute."
            }
        }
    }

    fn answer(self, rule: &Rule<'_>) -> Response {
        tracing::warn!(repository = rule.name, host = rule.host, "nobody is let in: {self:?}");
        let mut answer = page::refused(StatusCode::SERVICE_UNAVAILABLE, self.words(), None);
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        answer
    }
}

impl Protect {
    /// For the gate that these parts make up; the directory has the key that words are signed with.
    pub(super) fn new(parts: &Parts, directory: &Directory) -> Self {
        let (of_sites, of_keys) = (directory.clone(), directory.clone());
        let read = secrets::of_cluster(parts.home.clone(), &parts.namespace);
        Self::with(
            parts.url.clone(),
            (Arc::new(move |host| of_sites.site(host)), Arc::new(move || of_keys.key())),
            read,
            parts.forge.clone(),
            (parts.clock.clone(), parts.rng.fork()),
        )
    }

    fn with(
        gate: Option<Origin>,
        (sites, keys): (Sites, Keys),
        read: Reader,
        forge: Transport,
        (clock, rng): (Clock, Rng),
    ) -> Self {
        let secrets = Secrets::new(read, clock.clone());
        Self { gate, sites, keys, secrets, forge, clock, rng, tries: Tries::default() }
    }

    /// The answer on the gate's own host (sign-in); `None`: `host` is not that.
    pub(super) async fn own(&self, host: &str, request: &mut Request) -> Option<Response> {
        let gate = self.gate.as_ref().filter(|gate| gate.host() == host)?;
        Some(self.door(gate, request).await)
    }

    /// Asked for each request to a known host, before anything else is done about it: also for those below `/.bivouac/`.
    pub(super) async fn admit(
        &self,
        request: &mut Request,
        site: &Site,
    ) -> Result<Admitted, Response> {
        let rule = Rule::of(site);
        let admitted = if rule.protects {
            let head =
                Head { method: request.method(), uri: request.uri(), headers: request.headers() };
            self.look(&head, &rule).await?
        } else {
            Admitted::default()
        };
        let headers = request.headers_mut();
        cookie::leave_out_of_request(headers);
        headers.remove(BYPASS);
        Ok(admitted)
    }

    /// Each answer of a known host goes through here, whoever made it: the app behind it, the waiting page, or
    /// [`admit`](Self::admit).
    #[expect(clippy::unused_self, reason = "called beside `admit`, of which it is the way back")]
    pub(super) fn leave(&self, site: &Site, answer: &mut Response) {
        let rule = Rule::of(site);
        let own = answer.extensions().get::<page::Own>().is_some();
        let headers = answer.headers_mut();
        if !own {
            cookie::leave_out_of_answer(headers);
        }
        if rule.noindex {
            headers.insert("x-robots-tag", HeaderValue::from_static("noindex, nofollow"));
        }
        if rule.protects {
            // Whatever stands in between must not give to others what one was let in to see.
            headers.append(header::VARY, HeaderValue::from_static("Cookie"));
        }
    }

    fn key(&self) -> Result<Key, Trouble> {
        (self.keys)().ok_or(Trouble::NoKey)
    }

    /// What stands now for a way in; what a session holds must be the same. `None`: there is no such way (any more).
    async fn print(
        &self,
        key: &Key,
        rule: &Rule<'_>,
        by: Means,
    ) -> Result<Option<String>, Trouble> {
        if by == Means::SignIn {
            return Ok(rule.print_of_sign_in(key));
        }
        let Some((wanted, least)) = rule.secret(by) else { return Ok(None) };
        let value = self.secrets.value(wanted, least).await.map_err(Trouble::Secret)?;
        let what = if by == Means::Password { "password" } else { "bypass" };
        Ok(Some(word::print_of(key, what, value.expose_secret())))
    }

    /// Is `sent` the secret behind this way in?
    async fn is_secret(&self, rule: &Rule<'_>, by: Means, sent: &[u8]) -> Result<bool, Trouble> {
        let Some((wanted, least)) = rule.secret(by) else { return Ok(false) };
        let value = self.secrets.value(wanted, least).await.map_err(Trouble::Secret)?;
        Ok(word::same(value.expose_secret(), sent))
    }

    /// Something that nobody guesses.
    fn nonce(&self) -> String {
        format!("{}{}", self.rng.uuid().simple(), self.rng.uuid().simple())
    }
}

/// The nonce that a cookie holds already, so that two pages of one browser may sign in side by side.
fn nonce_of(values: &[String]) -> Option<String> {
    let fits = |value: &&String| value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit());
    values.iter().find(fits).cloned()
}

/// Does a browser come with a cookie of which `mark` is?
fn is_marked(values: &[String], mark: &str) -> bool {
    values.iter().any(|nonce| word::same(word::mark_of(nonce).as_bytes(), mark.as_bytes()))
}

/// One header as text.
fn word_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Did a page of this very host send it? Browsers say so in one header or the other, and no page can write them.
fn is_from_itself(headers: &HeaderMap, origin: &Origin) -> bool {
    match (word_of(headers, "sec-fetch-site"), word_of(headers, "origin")) {
        (Some(site), _) => site == "same-origin",
        (None, sent) => sent == Some(origin.to_string().as_str()),
    }
}
