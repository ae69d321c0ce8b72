//! The embedded GitHub: repositories, pull requests, comments, checks, deployments and webhooks, as state that
//! anybody may change through the REST API, through git or through the [`GitHub`] handle.
//!
//! It answers over sockets ([`GitHub::serve`]) and in process ([`GitHub::transport`]) alike. In process it needs no
//! thread, no child process and no socket; only git's own protocol over HTTP runs `git http-backend`.
//! Ids are counted, times come from a [`Clock`] and delivery ids from an [`Rng`], so the same seed gives the same run.

mod call;
mod diff;
mod faults;
mod fetch;
mod git;
mod handle;
mod hooks;
mod limits;
mod model;
mod ops;
mod refusal;
mod rest;
mod server;
mod smart_http;
mod state;
mod views;
mod web;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_sockets;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::faults::DeliveryFaults;
pub use self::handle::{
    AnnotationView, Census, CheckView, CommentView, Content, DeliveryView, DeploymentView,
    HookConfig, PullView, StatusView,
};
pub use self::hooks::Outcome;
pub use self::model::Role;
pub use self::ops::pulls::NewPull;
pub use self::refusal::Refusal;
use self::state::State;
use crate::seams::{Clock, Rng};

/// A GitHub of one's own. Clones are handles to the same one; when the last is dropped its deliveries end.
#[derive(Clone)]
pub struct GitHub(Arc<Inner>);

struct Inner {
    state: Arc<Mutex<State>>,
    stop: CancellationToken,
    _ends_with_the_last_handle: DropGuard,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// One request that the sandbox answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// When.
    pub at: DateTime<Utc>,
    /// `GET`, `POST` …; `FETCH` for a fetch in process.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Login or App; `None` for somebody unknown.
    pub user: Option<String>,
    /// Status of the answer.
    pub status: u16,
}

impl GitHub {
    /// An empty GitHub whose git repositories lie in `root` and whose links begin with `url`
    /// (as `http://127.0.0.1:3000`).
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, url: &str, clock: Clock, rng: Rng) -> Self {
        let url = url.trim_end_matches('/').to_owned();
        let stop = CancellationToken::new();
        Self(Arc::new(Inner {
            state: Arc::new(Mutex::new(State::new(root.into(), url, clock, rng))),
            _ends_with_the_last_handle: stop.clone().drop_guard(),
            stop,
        }))
    }

    /// Where it is, without a slash at its end. The API is at `/api/v3` below it.
    #[must_use]
    pub fn url(&self) -> String {
        self.state().url.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while holding the lock leaves at worst half an operation; tests want to see the rest.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
