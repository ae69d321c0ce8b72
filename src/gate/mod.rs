//! I/O · the gate: answers for the hosts of camps whose routes lead to it. A sleeping camp gets a page that wakes it when a
//! person's browser asks; a request to one that is awake is passed on to it.
//!
//! It holds nothing that does not stand at home: which host is whose and where it leads is in the Environments, a wake is
//! a Request, and what a browser is to be believed is signed.

mod follow;
mod protect;
mod site;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use kube::Client;
use tokio::sync::watch;

use self::follow::{Directory, Follower};
use self::protect::{Admitted, Protect};
pub use self::protect::{InvalidOrigin, Origin};
use crate::seams::{Clock, Rng, Transport};

/// What a gate is made of.
#[derive(Clone)]
pub struct Parts {
    /// The cluster of our own resources.
    pub home: Client,
    /// Namespace of those.
    pub namespace: String,
    /// Name of this installation.
    pub instance: String,
    /// The way to the Services of camps: addresses are `http://SERVICE.NAMESPACE.svc:PORT`.
    pub upstream: Transport,
    /// Where people sign in: the gate's own address, at which no preview is. Without it, protected previews are closed.
    pub url: Option<Origin>,
    /// The way to the forges, for people who sign in.
    pub forge: Transport,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
}

/// The gate. A clone is the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    parts: Parts,
    follower: Follower,
    directory: Directory,
    protect: Protect,
}

impl Gate {
    /// Nothing is asked before [`run`](Self::run).
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let secret = format!("bivouac-gate-{}", parts.instance);
        let (clock, rng) = (parts.clock.clone(), parts.rng.fork());
        let follower = Follower::new(parts.home.clone(), &parts.namespace, secret, clock, rng);
        let directory = follower.directory();
        let protect = Protect::new(&parts, &directory);
        Self(Arc::new(Inner { parts, follower, directory, protect }))
    }

    /// Whether every record was seen.
    #[must_use]
    pub fn is_complete(&self) -> watch::Receiver<bool> {
        self.0.follower.is_complete()
    }

    /// Follows the records for good.
    pub async fn run(&self) {
        self.0.follower.run().await;
    }

    /// The gate as a router, for whatever host.
    pub fn router(&self) -> Router {
        let gate = self.clone();
        Router::new().fallback(async move |request: Request| gate.answer(request).await)
    }

    /// Answers a request.
    pub async fn answer(&self, mut request: Request) -> Response {
        let host = String::new();
        if let Some(answer) = self.0.protect.own(&host, &mut request).await {
            return answer;
        }
        let Some(site) = self.0.directory.site(&host) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let mut answer = match self.0.protect.admit(&mut request, &site).await {
            Ok(Admitted { visitor: _, program: _ }) => {
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
            Err(answer) => answer,
        };
        self.0.protect.leave(&site, &mut answer);
        answer
    }
}
