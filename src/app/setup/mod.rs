//! GitHub's App manifest flow, from this machine's side: a page on loopback that leads a browser to GitHub, and the
//! address that GitHub leads it back to. In: what App is wanted; out: the App, handed to whoever stores it. I/O: the router
//! is served by the caller; the exchange of the code goes through a transport.
//!
//! Three secrets keep others out. The page is at an address that only the person knows who started this; GitHub gives the
//! state back, so that a code that somebody else sends here is not taken; and the host's name is checked, so that no page
//! elsewhere can make a browser read this one under another name.

mod page;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use http::{StatusCode, header};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use crate::forge::{ApiUrl, MadeApp, WantedApp, app_manifest, convert_app};
use crate::gate::Origin;
use crate::seams::{Rng, Transport};

/// What App is wanted, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The API.
    pub api: ApiUrl,
    /// The pages for people, without a slash at the end.
    pub web: String,
    /// Organisation that is to own it; a person's own when there is none.
    pub organization: Option<String>,
    /// Its name.
    pub name: String,
    /// Where deliveries are sent.
    pub webhook: String,
    /// The gate's own address, where people sign in who want to see a protected preview.
    pub gate: Option<Origin>,
    /// Others may install it, too.
    pub public: bool,
    /// Host and port on loopback by which this is reached.
    pub authority: String,
}

/// Puts an App's secrets away, and says where.
pub type Store = Arc<dyn Fn(MadeApp) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// One setup.
#[derive(Clone)]
pub struct Setup(Arc<Inner>);

struct Inner {
    settings: Settings,
    transport: Transport,
    store: Store,
    /// Last part of the page's address.
    start: String,
    state: String,
    /// A code is taken once at a time; what failed may be tried again.
    turn: tokio::sync::Mutex<()>,
    made: Mutex<Option<MadeApp>>,
    done: watch::Sender<Option<Done>>,
}

/// The end of a setup.
#[derive(Clone, Debug)]
pub struct Done {
    /// Name in addresses.
    pub slug: String,
    /// Number.
    pub id: u64,
    /// Where it is to be installed.
    pub install: String,
    /// Where its secrets are.
    pub stored: String,
}

/// The web address that belongs to an API: of github.com, of a subdomain of ghe.com, or of an Enterprise Server.
#[must_use]
pub fn web_of(api: &ApiUrl) -> String {
    let text = api.as_str().trim_end_matches("/api/v3");
    text.replacen("://api.", "://", 1)
}

impl Setup {
    /// Ready for [`router`](Self::router).
    #[must_use]
    pub fn new(settings: Settings, transport: Transport, store: Store, rng: &Rng) -> Self {
        let secret = || format!("{}{}", rng.uuid().simple(), rng.uuid().simple());
        let (start, state) = (secret(), secret());
        let (turn, made) = (tokio::sync::Mutex::new(()), Mutex::new(None));
        let done = watch::Sender::new(None);
        Self(Arc::new(Inner { settings, transport, store, start, state, turn, made, done }))
    }

    /// What a browser is to open.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}/{}", self.0.settings.authority, self.0.start)
    }

    /// The pages.
    pub fn router(&self) -> Router {
        let authority = self.0.settings.authority.clone();
        Router::new()
            .route("/callback", get(callback))
            .route("/{start}", get(begin))
            .layer(middleware::from_fn_with_state(authority, own_host_only))
            .with_state(self.clone())
    }

    /// Waits until the App is made and its secrets are stored.
    pub async fn done(&self) -> Option<Done> {
        let mut done = self.0.done.subscribe();
        let done = done.wait_for(Option::is_some).await.ok()?;
        done.clone()
    }

    async fn take(&self, code: &str) -> Result<Done, String> {
        let Inner { settings, transport, store, .. } = &*self.0;
        let _turn = self.0.turn.lock().await;
        let known = self.0.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A code is good once: what was made and could not be stored is stored at the next try.
        let made = if let Some(made) = known {
            made
        } else {
            let made = convert_app(transport, &settings.api, code).await;
            let made = made.map_err(|error| error.to_string())?;
            let mut slot = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
            slot.insert(made).clone()
        };
        let before = self.0.done.borrow().clone();
        if let Some(done) = before {
            return Ok(done);
        }
        let stored = store(made.clone()).await?;
        let install = format!("{}/installations/new", made.html_url.trim_end_matches('/'));
        let done = Done { slug: made.slug, id: made.id, install, stored };
        self.0.done.send_replace(Some(done.clone()));
        Ok(done)
    }
}

/// In constant time, also in the length.
fn same(one: &str, other: &str) -> bool {
    Sha256::digest(one.as_bytes()).ct_eq(&Sha256::digest(other.as_bytes())).into()
}

async fn own_host_only(State(authority): State<String>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if host != Some(authority.as_str()) {
        return (StatusCode::MISDIRECTED_REQUEST, "not here\n").into_response();
    }
    next.run(request).await
}

async fn begin(State(setup): State<Setup>, Path(start): Path<String>) -> Response {
    let Inner { settings, state, .. } = &*setup.0;
    if !same(&start, &setup.0.start) {
        return (StatusCode::NOT_FOUND, "nothing is here\n").into_response();
    }
    let action = match &settings.organization {
        Some(name) => format!("{}/organizations/{name}/settings/apps/new", settings.web),
        None => format!("{}/settings/apps/new", settings.web),
    };
    let homepage = settings.webhook.strip_suffix("/webhook").unwrap_or(&settings.webhook);
    let manifest = app_manifest(&WantedApp {
        name: settings.name.clone(),
        homepage: homepage.to_owned(),
        webhook: settings.webhook.clone(),
        redirect: format!("http://{}/callback", settings.authority),
        callback: settings.gate.as_ref().map(Origin::callback),
        public: settings.public,
    });
    page::begin(&format!("{action}?state={state}"), &settings.web, &manifest)
}

#[derive(Deserialize)]
struct Back {
    code: Option<String>,
    state: Option<String>,
}

async fn callback(State(setup): State<Setup>, Query(back): Query<Back>) -> Response {
    let Back { code, state } = back;
    // Before anything is looked at: whoever sends a code of his own would give us his App.
    if !state.is_some_and(|state| same(&state, &setup.0.state)) {
        let words = "This did not begin here: the state is another one. Nothing was done.";
        return page::refused(StatusCode::FORBIDDEN, words, None);
    }
    let Some(code) = code else {
        let words = "GitHub sent no code. Nothing was done.";
        return page::refused(StatusCode::BAD_REQUEST, words, None);
    };
    match setup.take(&code).await {
        Ok(done) => page::done(&done),
        Err(error) => {
            tracing::warn!("the App could not be taken over: {error}");
            let words = "The App could not be taken over. Load this page again to try once more.";
            page::refused(StatusCode::BAD_GATEWAY, words, Some(&error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_belong_to_the_api() {
        for (api, web) in [
            ("https://api.github.com", "https://github.com"),
            ("https://github.example.com/api/v3", "https://github.example.com"),
            ("https://api.acme.ghe.com", "https://acme.ghe.com"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(web_of(&ApiUrl::parse(api, true).unwrap()), web);
        }
    }
}
