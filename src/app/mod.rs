//! The composition root: builds what `serve` runs, starts and ends every task.

mod measure;
pub mod setup;
pub mod simulate;
pub mod stage;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use futures::future::BoxFuture;
use http::StatusCode;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::apply::Target;
use crate::config::Settings;
use crate::controller::leader::{Election, Leadership, guarded_client, guarded_transport};
use crate::controller::{self, Context, Credentials, Intervals, Parts};
use crate::crd::{Environment, Repository, Request};
use crate::forge::Apis;
use crate::gate::{self, Gate};
use crate::probe::Prober;
use crate::registry::Registries;
use crate::render::tools::Tools;
use crate::seams::{Clock, Fetch, Rng, Transport};
use crate::source::SourceCache;
use crate::telemetry::metrics::Metrics;
use crate::traffic::Figures;
use crate::webhook::{self, Follower, Recorder, Webhook};

/// A connection to a forge comes about within this time, or it does not.
pub const CONNECT: Duration = Duration::from_secs(10);
/// A request to a forge is answered within this time.
pub const TOTAL: Duration = Duration::from_secs(30);
/// Most bytes of fetched commits of one repository on disk; a cache that grows bigger is thrown away whole.
const CACHE_BYTES: u64 = 1 << 30;

/// Everybody the service talks to, and the seams.
pub struct Peers {
    /// The cluster of our own resources.
    pub home: Client,
    /// The cluster of the camps.
    pub target: Client,
    /// The forges.
    pub forge: Transport,
    /// The previews: fails with [`Unreached`](crate::seams::Unreached).
    pub previews: Transport,
    /// Receivers of notices: fails with [`Unreached`](crate::seams::Unreached).
    pub notices: Transport,
    /// What has the ingress controllers' figures.
    pub prometheus: Transport,
    /// Image registries: fails with [`Unreached`](crate::seams::Unreached).
    pub registries: Transport,
    /// The Services of camps, for the gate: addresses are `http://SERVICE.NAMESPACE.svc:PORT`.
    pub services: Transport,
    /// Brings commits.
    pub fetch: Arc<dyn Fetch>,
    /// Renders charts and overlays.
    pub tools: Arc<dyn Tools>,
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub rng: Rng,
}

/// Why the service did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The cluster does not know our resources.
    #[error("the cluster does not serve {name}: apply deploy/crds.yaml first")]
    NotInstalled {
        /// Name of the definition.
        name: String,
    },
    /// The cluster can't be asked.
    #[error("the cluster of KUBECONFIG can't be asked")]
    Cluster(#[source] Box<kube::Error>),
    /// The folder for commits can't be used.
    #[error("the cache folder {path} can't be used")]
    Cache {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server for webhooks ended.
    #[error("the server for webhooks ended")]
    Server(#[source] std::io::Error),
}

/// The service, put together and not yet running.
pub struct Service {
    parts: Parts,
    election: Option<Election>,
    follower: Follower,
    gate: Option<Gate>,
    router: Router,
    metrics: Metrics,
}

/// Puts the service together. Nothing runs yet, nothing is asked.
#[must_use]
pub fn assemble(settings: &Settings, peers: Peers) -> Service {
    let Peers {
        home,
        target,
        forge,
        previews,
        notices,
        prometheus,
        registries,
        services,
        fetch,
        tools,
        clock,
        rng,
    } = peers;
    let namespace = settings.instance.own_namespace.clone();
    let (election, leadership) = match &settings.lease {
        None => (None, Leadership::always(clock.clone())),
        Some(lease) => {
            let leadership = Leadership::elected(clock.clone());
            let (home, clock, rng) = (home.clone(), clock.clone(), rng.fork());
            let held = leadership.clone();
            let replica = &settings.replica;
            let election = Election::new(home, &namespace, lease, replica, clock, rng, held);
            (Some(election), leadership)
        }
    };
    let follower = Follower::new(home.clone(), &namespace, clock.clone(), rng.fork());
    // Every replica writes down what it is told; all else is the leader's.
    let recorder = Recorder::new(home.clone(), &namespace);
    let metrics = Metrics::default();
    let forges = measure::forge(forge, metrics.clone());
    // Every replica has one: whether it leads makes no difference to a visitor.
    let gate = settings.gate_listen.map(|_| {
        Gate::new(gate::Parts {
            home: home.clone(),
            namespace: namespace.clone(),
            instance: settings.instance.name.as_str().to_owned(),
            upstream: services,
            url: settings.gate_url.clone(),
            forge: forges.clone(),
            count: measure::gate(metrics.clone()),
            clock: clock.clone(),
            rng: rng.fork(),
        })
    });
    let forges = Apis::new(guarded_transport(forges, &leadership), clock.clone());
    measure::look_at(&metrics, &leadership, &forges);
    let intervals = Intervals { sweep: settings.sweep_interval, ..Intervals::default() };
    let parts = Parts {
        forges,
        clock: clock.clone(),
        rng,
        home: guarded_client(home, &leadership),
        namespace,
        target: Target::new(guarded_client(target, &leadership))
            .of_instance(settings.instance.name.as_str()),
        instance: settings.instance.clone(),
        service_account: settings.service_account.clone(),
        guardrails: settings.guardrails.clone(),
        ingress_namespaces: settings.ingress_namespaces.clone(),
        gate_service: settings.gate_service.clone(),
        gate_host: settings.gate_url.as_ref().map(|gate| gate.host().to_owned()),
        max_environments: settings.max_environments,
        credentials: Credentials::default(),
        allow_http: settings.allow_http,
        fetch,
        tools,
        cache: Arc::new(SourceCache::new(settings.cache_dir.clone(), CACHE_BYTES)),
        prober: Prober::new(previews),
        figures: settings
            .figures
            .as_ref()
            .map(|figures| Figures::new(prometheus, &figures.url, &figures.query)),
        notices: guarded_transport(notices, &leadership),
        notify_private: settings.notify_private,
        registries: Registries::new(registries, clock.clone()),
        intervals,
        metrics: metrics.clone(),
    };
    let complete = follower.is_complete();
    let webhook = Webhook::new(follower.secrets(), recorder)
        .ready_when(move || *complete.borrow())
        .with_buttons_of(settings.instance.name.as_str(), parts.clock.clone());
    let router = Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .with_state(Seen {
            webhooks: follower.is_complete(),
            gate: gate.as_ref().map(Gate::is_complete),
        })
        .merge(measure::webhook(webhook::router(webhook), metrics.clone(), clock));
    Service { parts, election, follower, gate, router, metrics }
}

impl Service {
    /// The webhook's router, to be called in process.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The gate, when this replica has one.
    #[must_use]
    pub fn gate(&self) -> Option<Gate> {
        self.gate.clone()
    }

    /// `GET /metrics`, for a listener of its own.
    pub fn metrics(&self) -> Router {
        measure::page(self.metrics.clone())
    }

    /// Until `stop`: the controllers, whenever this replica leads; and the webhook is told of each secret that comes or
    /// goes, whoever leads.
    pub async fn run(&self, stop: CancellationToken) {
        // What a leader remembers of its work may be wrong once another has worked.
        let work = |asked| -> BoxFuture<'_, ()> {
            let parts = Parts { credentials: Credentials::default(), ..self.parts.clone() };
            Box::pin(controller::run(Arc::new(Context::new(parts)), asked))
        };
        let lead = Box::pin(async {
            match &self.election {
                Some(election) => election.run(&stop, work).await,
                None => work(stop.clone()).await,
            }
        });
        let follow = Box::pin(self.follower.run());
        let gate = Box::pin(async {
            match &self.gate {
                Some(gate) => gate.run().await,
                None => std::future::pending().await,
            }
        });
        tokio::select! {
            biased;
            () = lead => {}
            () = follow => {}
            () = gate => {}
        }
    }
}

/// What a replica has to have seen of home.
#[derive(Clone)]
struct Seen {
    webhooks: watch::Receiver<bool>,
    gate: Option<watch::Receiver<bool>>,
}

/// Ready once every Repository and its Secret was seen: before, a signed delivery could not be told from a forged one. The
/// gate has to have seen every Environment. Whether this replica leads makes no difference.
async fn readyz(State(seen): State<Seen>) -> (StatusCode, &'static str) {
    if !*seen.webhooks.borrow() {
        (StatusCode::SERVICE_UNAVAILABLE, "not every Repository and its Secret was read yet")
    } else if seen.gate.is_some_and(|gate| !*gate.borrow()) {
        (StatusCode::SERVICE_UNAVAILABLE, "not every Environment was read yet")
    } else {
        (StatusCode::OK, "ok")
    }
}

/// Where the service is reached.
pub struct Listeners {
    /// For webhooks, `/healthz` and `/readyz`.
    pub webhooks: TcpListener,
    /// For `/metrics`.
    pub metrics: Option<TcpListener>,
    /// For the hosts of previews.
    pub gate: Option<TcpListener>,
}

/// Runs the service until `stop`; then no webhook is taken and no run begins, and those under way end. What goes through the
/// gate goes on for a while.
pub async fn serve(
    settings: &Settings,
    peers: Peers,
    Listeners { webhooks, metrics, gate }: Listeners,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    std::fs::create_dir_all(&settings.cache_dir).map_err(|source| ServeError::Cache {
        path: settings.cache_dir.display().to_string(),
        source,
    })?;
    installed(&peers.home, &settings.instance.own_namespace).await?;
    let service = assemble(settings, peers);
    let server = axum::serve(webhooks, service.router())
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let shown = async {
        let Some(listener) = metrics else { return };
        let server = axum::serve(listener, service.metrics())
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        // Without figures the service still does its work.
        if let Err(error) = server.await {
            tracing::error!("the server for metrics ended: {error}");
        }
    };
    let passed = async {
        let (Some(listener), Some(way)) = (gate, service.gate()) else { return };
        way.serve(listener, stop.clone(), settings.gate_drain).await;
    };
    let (served, (), (), ()) = futures::future::join4(
        async {
            let served = server.await;
            // Without webhooks the service is deaf; it must not look alive.
            stop.cancel();
            served
        },
        service.run(stop.clone()),
        shown,
        passed,
    )
    .await;
    served.map_err(ServeError::Server)
}

/// Our definitions must be there before anything is watched.
async fn installed(home: &Client, namespace: &str) -> Result<(), ServeError> {
    let one = ListParams::default().limit(1);
    let environments: Api<Environment> = Api::namespaced(home.clone(), namespace);
    let repositories: Api<Repository> = Api::namespaced(home.clone(), namespace);
    let requests: Api<Request> = Api::namespaced(home.clone(), namespace);
    for (name, answer) in [
        ("environments.bivouac.dev", environments.list_metadata(&one).await.map(drop)),
        ("repositories.bivouac.dev", repositories.list_metadata(&one).await.map(drop)),
        ("requests.bivouac.dev", requests.list_metadata(&one).await.map(drop)),
    ] {
        match answer {
            Ok(()) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {
                return Err(ServeError::NotInstalled { name: name.into() });
            }
            Err(error) => return Err(ServeError::Cluster(Box::new(error))),
        }
    }
    Ok(())
}
