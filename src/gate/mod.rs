//! I/O · the gate: answers for the hosts of camps whose routes lead to it. A sleeping camp gets a page that wakes it when a
//! person's browser asks; a request to one that is awake is passed on to it.
//!
//! It holds nothing that does not stand at home: which host is whose and where it leads is in the Environments, a wake is
//! a Request, and what a browser is to be believed is signed.

mod follow;
mod headers;
mod pages;
mod pass;
mod protect;
mod server;
mod site;
mod upstream;
mod visitor;
mod visits;
mod wake;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::{Method, StatusCode};
use kube::Client;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::upstream::cluster_transport;

use self::follow::{Directory, Follower};
use self::pages::{Pages, Said, line};
use self::pass::Silent;
use self::protect::{Admitted, Protect};
use self::site::{Site, State};
use self::visits::Written;
use self::wake::Asked;
use crate::seams::{Clock, Rng, Transport};

/// Below this path of each host the gate answers itself.
const OWN_PATHS: &str = "/.bivouac/";
/// Requests that are passed on at once, of all camps.
const AT_ONCE: usize = 2000;

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
    pages: Pages,
    written: Written,
    room: Arc<Semaphore>,
    tunnels: TaskTracker,
    cut: CancellationToken,
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
        Self(Arc::new(Inner {
            parts,
            follower,
            directory,
            protect,
            pages: Pages::new(),
            written: Written::default(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            tunnels: TaskTracker::new(),
            cut: CancellationToken::new(),
        }))
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
    pub async fn answer(&self, request: Request) -> Response {
        self.0.answer(request).await
    }
}

impl Inner {
    async fn answer(&self, mut request: Request) -> Response {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return line(StatusCode::METHOD_NOT_ALLOWED, "not here");
        }
        let Some(host) = headers::host(request.uri(), request.headers()) else {
            return line(StatusCode::BAD_REQUEST, "the request names no host");
        };
        if let Some(answer) = self.protect.own(&host, &mut request).await {
            return answer;
        }
        let Some(site) = self.directory.site(&host) else {
            // The same for a host that never was and for one whose camp is gone: nobody learns which there are.
            let complete = *self.follower.is_complete().borrow();
            return if complete {
                line(StatusCode::NOT_FOUND, "not found")
            } else {
                line(StatusCode::SERVICE_UNAVAILABLE, "the gate has not read the records yet")
            };
        };
        let mut answer = match self.protect.admit(&mut request, &site).await {
            Ok(admitted) => self.admitted(&site, &admitted, request).await,
            Err(answer) => answer,
        };
        self.protect.leave(&site, &mut answer);
        answer
    }

    /// Somebody who may see the preview asks.
    async fn admitted(&self, site: &Site, by: &Admitted, request: Request) -> Response {
        let path = request.uri().path();
        if let Some(own) = path.strip_prefix(OWN_PATHS) {
            return match own {
                "wake" => self.wake(site, by, request).await,
                "state" => self.state(site),
                _ => line(StatusCode::NOT_FOUND, "not found"),
            };
        }
        let asked = Asked::of(&request);
        if matches!(site.camp.state, State::Asleep | State::Turning) {
            return self.waiting(site, &pages::of(&site.camp), &asked);
        }
        let person = visitor::opens_page(request.method(), request.headers());
        match self.pass(site, request).await {
            Ok(answer) => {
                if person {
                    self.visit(&site.camp).await;
                }
                answer
            }
            Err(Silent::NoRoute) if !site.camp.routes.is_empty() => {
                line(StatusCode::NOT_FOUND, "no route of this preview is for this path")
            }
            Err(Silent::Full) => {
                line(StatusCode::SERVICE_UNAVAILABLE, "too many requests are under way; try again")
            }
            Err(Silent::TimedOut) => {
                line(StatusCode::GATEWAY_TIMEOUT, "the app does not answer in time")
            }
            Err(Silent::NoRoute | Silent::Unreached) => {
                let said = pages::of(&site.camp);
                // The records say that it runs, and it does not answer: the page does not say that it does.
                let heading = "This preview does not answer";
                let text =
                    format!("{heading}: its app takes no connection. This page tries it again.");
                let said = match site.camp.state {
                    State::Awake => Said { state: "silent", heading, text, seconds: 5 },
                    _ => said,
                };
                self.waiting(site, &said, &asked)
            }
        }
    }
}
