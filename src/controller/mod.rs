//! The driver: watches the records, brings each through the stages, and writes down what came of it.
//!
//! It alone writes `status`, always with `resourceVersion`, so that a stale copy of it gets 409 and not its way.

mod admit;
mod applying;
mod branches;
mod build;
mod camp;
mod changes;
pub mod checkup;
mod counts;
mod credentials;
mod deploy;
mod drift;
mod dry_run;
mod ending;
mod error;
mod events;
mod facts;
mod fence;
mod fetching;
mod gate;
mod grants;
mod guardrails;
mod halt;
mod healer;
mod history;
mod hooks;
mod kinds;
pub mod leader;
pub mod leftovers;
mod look;
mod marks;
mod measure;
mod merge;
mod notify;
mod observe;
mod passing;
mod patience;
mod pin;
mod power;
mod queue;
mod reconcile;
mod record;
mod repository;
mod requests;
mod retry;
mod rotation;
mod sign_in;
mod slots;
mod stored;
mod sweep;
mod tell;
mod teller;
pub mod uninstall;
mod urls;
mod usage;
mod waves;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{self, watcher};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

pub use credentials::{Credential, Credentials};
pub use error::ReconcileError;
pub use notify::notices_transport;

use self::patience::Patience;
use crate::apply::Target;
use crate::crd::{Environment, Repository};
use crate::domain::naming::Instance;
use crate::forge::Apis;
use crate::probe::Prober;
use crate::registry::Registries;
use crate::render::tools::Tools;
use crate::seams::{Clock, Fetch, Rng, Transport};
use crate::source::SourceCache;
use crate::telemetry::metrics::Metrics;

/// How often things happen by themselves. Each gets jitter.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// Open pull requests of a repository are compared with the records.
    pub sweep: Duration,
    /// An App's log is searched for deliveries that failed.
    pub deliveries: Duration,
    /// A standing camp is looked at again.
    pub resync: Duration,
    /// A record of a closed source is kept for this long after its camp is gone.
    pub keep_closed: Duration,
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            sweep: Duration::from_secs(300),
            deliveries: Duration::from_secs(600),
            resync: Duration::from_secs(300),
            keep_closed: Duration::from_secs(24 * 3600),
        }
    }
}

/// What the stages work with: peers, seams and settings. A clone works with the same.
#[derive(Clone)]
pub struct Parts {
    /// Time.
    pub clock: Clock,
    /// Randomness for jitter.
    pub rng: Rng,
    /// The cluster of our own resources.
    pub home: Client,
    /// The namespace of our own resources.
    pub namespace: String,
    /// The cluster of the camps.
    pub target: Target,
    /// Names and labels of this installation.
    pub instance: Instance,
    /// Namespace and name of the service's own service account, when it runs as one.
    pub service_account: Option<(String, String)>,
    /// ConfigMap in that namespace with templates of guardrails, which stand in the place of ours.
    pub guardrails: String,
    /// Namespaces of ingress controllers, from which camps are reached.
    pub ingress_namespaces: Vec<String>,
    /// Service in our own namespace whose pods answer for camps that sleep.
    pub gate_service: Option<String>,
    /// Host of the gate's own address, where people sign in.
    pub gate_host: Option<String>,
    /// Most camps at a time, of all Repositories.
    pub max_environments: Option<usize>,
    /// Tokens and Apps of the Repositories.
    pub credentials: Credentials,
    /// Clients of the forges.
    pub forges: Apis,
    /// Plain `http://` to a forge is allowed: for a sandbox on loopback.
    pub allow_http: bool,
    /// Brings commits.
    pub fetch: Arc<dyn Fetch>,
    /// Renders charts and overlays.
    pub tools: Arc<dyn Tools>,
    /// Bare repositories of what was fetched.
    pub cache: Arc<SourceCache>,
    /// Asks the camps' URLs.
    pub prober: Prober,
    /// The way to chats and webhooks.
    pub notices: Transport,
    /// They may be in private networks, and speak plain http.
    pub notify_private: bool,
    /// Asks image registries.
    pub registries: Registries,
    /// How often things happen by themselves.
    pub intervals: Intervals,
    /// What is counted.
    pub metrics: Metrics,
}

/// [`Parts`], and what the controller remembers of its own work; losing that costs time, never truth.
pub struct Context {
    parts: Parts,
    attempts: Mutex<BTreeMap<String, u32>>,
    promises: Mutex<BTreeMap<String, retry::Next>>,
    gates: Mutex<BTreeMap<String, retry::Gate>>,
    teller: teller::Teller,
    marks: marks::Marks,
    drift: drift::Drift,
    events: events::Events,
    notifier: notify::Notifier,
    rotations: rotation::Rotations,
    slots: slots::Slots,
    gate: gate::Gate,
    grants: grants::Grants,
    kept: guardrails::Kept,
    queue: queue::Queue,
    repositories: Mutex<Option<Store<Repository>>>,
    records: Mutex<Option<Store<Environment>>>,
}

impl Deref for Context {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Context {
    /// With nothing remembered yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            attempts: Mutex::default(),
            promises: Mutex::default(),
            gates: Mutex::default(),
            teller: teller::Teller::default(),
            marks: marks::Marks::default(),
            drift: drift::Drift::default(),
            events: events::Events::default(),
            notifier: notify::Notifier::default(),
            rotations: rotation::Rotations::default(),
            slots: slots::Slots::default(),
            gate: gate::Gate::default(),
            grants: grants::Grants::default(),
            kept: guardrails::Kept::default(),
            queue: queue::Queue::default(),
            repositories: Mutex::default(),
            records: Mutex::default(),
        }
    }

    fn environments(&self) -> Api<Environment> {
        Api::namespaced(self.home.clone(), &self.namespace)
    }

    fn repositories_api(&self) -> Api<Repository> {
        Api::namespaced(self.home.clone(), &self.namespace)
    }
}

/// Repositories that are worked on at once. Records are bounded by [`slots`]: a run may leave its place.
const SIDE_BY_SIDE: u16 = 16;

/// Runs both controllers until `stop`; then no new run begins, those under way end, and what they have to tell is told.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let (facts_stop, drift_stop, counts_stop) = (stop.clone(), stop.clone(), stop.clone());
    let (healer_stop, requests_stop) = (stop.clone(), stop.clone());
    let repositories = Controller::new(context.repositories_api(), watcher::Config::default())
        .with_config(Config::default().concurrency(SIDE_BY_SIDE));
    let repository_store = repositories.store();
    if let Ok(mut slot) = context.repositories.lock() {
        *slot = Some(repository_store);
    }
    let repositories = repositories
        .trigger_backoff(Patience::of(&context))
        .reconcile_all_on(rotation::changes(context.clone()))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(repository::reconcile, repository::on_error, context.clone())
        .for_each(tell_of_trouble);

    let environments = Controller::new(context.environments(), watcher::Config::default());
    let records = environments.store();
    if let Ok(mut slot) = context.records.lock() {
        *slot = Some(records.clone());
    }
    measure::watch(&context, records.clone());
    let environments = environments
        .trigger_backoff(Patience::of(&context))
        .reconcile_all_on(context.grants.changes())
        .reconcile_all_on(context.gate.changes())
        .reconcile_all_on(context.queue.changes())
        // A changed policy concerns every record of its Repository.
        .watches(
            context.repositories_api(),
            watcher::Config::default(),
            move |repository: Repository| {
                let name = repository.metadata.name.unwrap_or_default();
                let mut concerned: Vec<_> = records
                    .state()
                    .iter()
                    .filter(|record| record.spec.repository == name)
                    .map(|record| ObjectRef::from_obj(record.as_ref()))
                    .collect();
                concerned.sort_by(|a, b| a.name.cmp(&b.name));
                concerned
            },
        )
        .reconcile_all_on(kinds::appearances(context.clone()))
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(reconcile::reconcile, reconcile::on_error, context.clone())
        .for_each(tell_of_trouble);

    let beside = async {
        let overrides = stop.run_until_cancelled(grants::watch_overrides(&context));
        let counted = counts::run(&context, counts_stop);
        let gate = stop.run_until_cancelled(futures::future::join(
            gate::watch(&context),
            gate::keep_key(&context),
        ));
        let healed = Box::pin(healer::run(&context, healer_stop));
        let facts = facts::run(&context, facts_stop);
        Box::pin(futures::future::join5(facts, overrides, counted, gate, healed)).await;
    };
    let drift = Box::pin(drift::run(&context, drift_stop));
    let quiet = CancellationToken::new();
    let runs = async {
        let asked = requests::run(&context, requests_stop);
        let beside = Box::pin(futures::future::join(beside, asked));
        Box::pin(futures::future::join4(repositories, environments, beside, drift)).await;
        quiet.cancel();
    };
    let told = teller::run(&context, quiet.clone());
    let marked = marks::run(&context, quiet.clone());
    let said = events::run(&context, quiet.clone());
    let noticed = Box::pin(notify::run(&context, quiet.clone()));
    Box::pin(futures::future::join5(runs, told, marked, said, noticed)).await;
    measure::end(&context);
}

/// A watch that fails is tried again by itself; somebody must be able to see that it does.
async fn tell_of_trouble<T>(result: Result<T, RuntimeError>) {
    match result {
        // The run has logged it, with the name of what it was about.
        Ok(_)
        | Err(
            runtime::controller::Error::ReconcilerFailed(..)
            | runtime::controller::Error::ObjectNotFound(_),
        ) => {}
        Err(error) => tracing::warn!("the watch failed: {}", error::chain(&error)),
    }
}

type RuntimeError = runtime::controller::Error<ReconcileError, watcher::Error>;
