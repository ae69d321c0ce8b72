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

pub use self::protect::{InvalidOrigin, Origin};
pub use self::upstream::cluster_transport;

use self::follow::{Directory, Follower};
use self::pages::{Pages, line};
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
    /// Where people sign in: the gate's own address, at which no preview is. Without it, protected previews are closed.
    pub url: Option<Origin>,
    /// The way to the forges, for people who sign in.
    pub forge: Transport,
    /// Told what came of each request, in a word.
    pub count: Arc<dyn Fn(&'static str) + Send + Sync>,
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
    async fn answer(&self, request: Request) -> Response {
        let (outcome, answer) = self.heard(request).await;
        (self.parts.count)(outcome);
        answer
    }

    /// What came of it, in a word, and the answer.
    async fn heard(&self, mut request: Request) -> (&'static str, Response) {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return ("bad", line(StatusCode::METHOD_NOT_ALLOWED, "not here"));
        }
        let Some(host) = headers::host(request.uri(), request.headers()) else {
            return ("bad", line(StatusCode::BAD_REQUEST, "the request names no host"));
        };
        if let Some(answer) = self.protect.own(&host, &mut request).await {
            return ("own", answer);
        }
        let Some(site) = self.directory.site(&host) else {
            // The same for a host that never was and for one whose camp is gone: nobody learns which there are.
            let complete = *self.follower.is_complete().borrow();
            let answer = if complete {
                line(StatusCode::NOT_FOUND, "not found")
            } else {
                line(StatusCode::SERVICE_UNAVAILABLE, "the gate has not read the records yet")
            };
            return ("unknown", answer);
        };
        let (outcome, mut answer) = match self.protect.admit(&mut request, &site).await {
            Ok(admitted) => self.admitted(&site, &admitted, request).await,
            Err(answer) => ("kept", answer),
        };
        self.protect.leave(&site, &mut answer);
        (outcome, answer)
    }

    /// Somebody who may see the preview asks.
    async fn admitted(
        &self,
        site: &Site,
        by: &Admitted,
        request: Request,
    ) -> (&'static str, Response) {
        let path = request.uri().path();
        if let Some(own) = path.strip_prefix(OWN_PATHS) {
            let answer = match own {
                "wake" => self.wake(site, by, request).await,
                "state" => self.state(site),
                _ => line(StatusCode::NOT_FOUND, "not found"),
            };
            return ("own", answer);
        }
        let asked = Asked::of(&request);
        if matches!(site.camp.state, State::Asleep | State::Turning) {
            return ("waiting", self.waiting(site, &pages::of(&site.camp), &asked));
        }
        let person = !by.program && visitor::opens_page(request.method(), request.headers());
        let silent = match self.pass(site, request).await {
            Ok(answer) => {
                if person {
                    self.visit(&site.camp).await;
                }
                return ("passed", answer);
            }
            Err(silent) => silent,
        };
        match silent {
            Silent::NoRoute if !site.camp.routes.is_empty() => {
                let text = "no route of this preview is for this path";
                ("silent", line(StatusCode::NOT_FOUND, text))
            }
            Silent::Full => {
                let text = "too many requests are under way; try again";
                ("full", line(StatusCode::SERVICE_UNAVAILABLE, text))
            }
            Silent::TimedOut => {
                let text = "the app does not answer in time";
                ("silent", line(StatusCode::GATEWAY_TIMEOUT, text))
            }
            Silent::NoRoute | Silent::Unreached => {
                // The records say that it runs, and it does not answer: the page does not say that it does.
                let said = match site.camp.state {
                    State::Awake => pages::silent(),
                    _ => pages::of(&site.camp),
                };
                ("silent", self.waiting(site, &said, &asked))
            }
        }
    }
}
