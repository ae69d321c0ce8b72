//! The API server of the embedded Kubernetes: HTTP requests in, objects in memory, answers and watches out.
//!
//! It is called in process as a [`Transport`], or over a loopback listener. It keeps everything behind one lock that is
//! never held while something is waited for. Time and randomness come from [`crate::seams`], so the same requests with
//! the same seed give the same answers.
//!
//! Not in this version: validating and mutating admission policies and webhooks are stored and not evaluated; exec,
//! attach, port-forward and proxies answer 501; protobuf is read for the kinds that `kubectl create` and helm send in no
//! other way, and never written.

mod admission;
mod amount;
mod audit;
mod auth;
mod body;
mod bootstrap;
mod convert;
mod crds;
mod discovery;
mod engine;
mod faults;
mod handler;
mod kinds;
mod logs;
mod names;
mod negotiate;
mod path;
mod policy;
mod protobuf;
mod render;
mod resources;
mod rest;
mod roots;
mod serve;
mod state;
mod status;
mod store;
mod watch;

#[cfg(test)]
mod tests;

pub mod cel;
pub mod managed_fields;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod selectors;
pub mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Request, Response};

use crate::seams::{Body, BoxError, Clock, Rng, Transport};

pub use audit::AuditEvent;
pub use faults::{FaultPlan, Lags};
pub use serve::Serving;

use auth::authn::AUTHENTICATED;
use auth::rbac::{MASTERS, User};
use state::State;

/// How a server is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// What goes wrong on purpose.
    pub faults: FaultPlan,
    /// What comes true later.
    pub lags: Lags,
    /// So many writes are remembered for watches and lists of the past; older ones get 410.
    pub history: usize,
    /// So many requests stay in the audit list.
    pub audit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            faults: FaultPlan::default(),
            lags: Lags::default(),
            history: 10_000,
            audit: 100_000,
        }
    }
}

/// What all requests share.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    clock: Clock,
    fault_rng: Rng,
    plan: Mutex<FaultPlan>,
}

impl Shared {
    /// A request that panicked has broken nothing: writes are whole or not there.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plan(&self) -> MutexGuard<'_, FaultPlan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server. A clone is the same server.
#[derive(Clone, Debug)]
pub struct ApiServer {
    shared: Arc<Shared>,
}

impl ApiServer {
    /// A server with what every cluster has from its start.
    #[must_use]
    pub fn new(clock: Clock, rng: &Rng, options: Options) -> Self {
        let mut state = State::new(rng.fork(), options.lags, options.history, options.audit);
        state.bootstrap(clock.now());
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                clock,
                fault_rng: rng.fork(),
                plan: Mutex::new(options.faults),
            }),
        }
    }

    /// The server, to be called in process. Who calls puts a token of [`user_token`](Self::user_token) into
    /// `Authorization`, or is anonymous.
    #[must_use]
    pub fn transport(&self) -> Transport {
        let shared = Arc::clone(&self.shared);
        Transport::new(tower::service_fn(move |request: Request<Body>| {
            let shared = Arc::clone(&shared);
            async move { Ok::<Response<Body>, BoxError>(handler::handle(shared, request).await) }
        }))
    }

    /// A bearer token for a user with these groups; it does not end.
    #[must_use]
    pub fn user_token(&self, name: &str, groups: &[&str]) -> String {
        let mut groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        let user = User { name: name.to_owned(), groups, ..User::default() };
        self.shared.lock().user_token(user, self.shared.clock.now())
    }

    /// A bearer token for somebody who may do everything.
    #[must_use]
    pub fn admin_token(&self) -> String {
        self.user_token("kubernetes-admin", &[MASTERS])
    }

    /// Every request that was answered, oldest first. A watch is in it from its start.
    #[must_use]
    pub fn audit(&self) -> Vec<AuditEvent> {
        self.shared.lock().audit.all()
    }

    /// How many of the requests that were answered are of this kind, without a copy of the list.
    pub fn count_requests(&self, of: impl Fn(&AuditEvent) -> bool) -> usize {
        self.shared.lock().audit.count(of)
    }

    /// Takes another fault plan from now on.
    pub fn set_faults(&self, faults: FaultPlan) {
        *self.shared.plan() = faults;
    }

    /// Forgets the history: watches and continued lists of the past get 410, as after etcd's compaction.
    pub fn compact(&self) {
        self.shared.lock().store.compact();
    }

    /// How many objects there are, by resource (`deployments.apps`) and namespace (empty for cluster-scoped kinds).
    #[must_use]
    pub fn census(&self) -> std::collections::BTreeMap<(String, String), usize> {
        let state = self.shared.lock();
        let mut census = std::collections::BTreeMap::new();
        for (resource, objects) in state.store.resources() {
            for (namespace, _) in objects.keys() {
                *census.entry((resource.to_string(), namespace.clone())).or_insert(0) += 1;
            }
        }
        census
    }

    /// A kubeconfig for a server at `address` (`127.0.0.1:6443`), in which `token` is the user.
    ///
    /// Clients of Go send no token over plain HTTP, so the user stands in the server's path too.
    #[must_use]
    pub fn kubeconfig(&self, address: &str, token: &str) -> String {
        serve::kubeconfig(address, token)
    }
}
