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
mod driver;
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
mod traffic;
pub mod uninstall;
mod urls;
mod usage;
mod waves;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

pub use credentials::{Credential, Credentials};
pub use error::ReconcileError;
pub use notify::notices_transport;

use self::driver::Driver;
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
use crate::traffic::Figures;

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
    /// Asks the ingress controllers' figures; `None`: there are none.
    pub figures: Option<Figures>,
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
const AT_ONCE: usize = 16;

/// Runs both controllers until `stop`; then no new run begins, those under way end, and what they have to tell is told.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let (facts_stop, drift_stop, counts_stop) = (stop.clone(), stop.clone(), stop.clone());
    let (healer_stop, requests_stop) = (stop.clone(), stop.clone());
    let repositories = Driver::new(&context, context.repositories_api(), AT_ONCE)
        .all_on(rotation::changes(context.clone()));
    if let Ok(mut slot) = context.repositories.lock() {
        *slot = Some(repositories.store());
    }
    let repositories = repositories.run(&context, stop.clone(), |repository| {
        repository::reconcile(repository, context.clone())
    });

    let environments = Driver::new(&context, context.environments(), usize::MAX);
    let records = environments.store();
    if let Ok(mut slot) = context.records.lock() {
        *slot = Some(records.clone());
    }
    measure::watch(&context, records.clone());
    let environments = environments
        .all_on(context.grants.changes())
        .all_on(context.gate.changes())
        .all_on(context.queue.changes())
        .all_on(kinds::appearances(context.clone()))
        .some_on(records_of_changed(&context, records));
    let environments = environments
        .run(&context, stop.clone(), |record| reconcile::reconcile(record, context.clone()));

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

/// A changed policy concerns every record of its Repository.
fn records_of_changed(
    context: &Context,
    records: Store<Environment>,
) -> impl Stream<Item = Result<Vec<String>, watcher::Error>> + Send + 'static {
    let repositories = watcher::watcher(context.repositories_api(), watcher::Config::default());
    let changed = repositories.backoff(Patience::of(context)).touched_objects();
    changed.map(move |changed| {
        let repository = changed?.metadata.name.unwrap_or_default();
        let all = records.state();
        let concerned = all.iter().filter(|record| record.spec.repository == repository);
        let mut names: Vec<String> =
            concerned.filter_map(|record| record.metadata.name.clone()).collect();
        names.sort();
        Ok(names)
    })
}
