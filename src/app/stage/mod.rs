//! A whole world on this machine: embedded Kubernetes, embedded GitHub, and the service between them. The demo plays on
//! it over sockets, tests and simulation in process.

mod elsewhere;
mod install;
mod kubernetes;
mod listeners;
mod notices;
mod previews;
mod prometheus;
mod replicas;
mod service;
mod wires;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{Request, header};
use http_body_util::BodyExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, ListParams};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub use self::install::Tokens;
use self::install::{Accounts, declare, declare_gate};
use self::kubernetes::Kubernetes;
use self::listeners::{Listeners, start_agents};
pub use self::notices::{Notices, Sent};
pub use self::previews::{Asked, PreviewFault, Previews};
pub use self::prometheus::Prometheus;
use self::replicas::{Around, Front, Replicas};
use self::service::{kubeconfig, no_tools, settings};
pub use self::wires::{Wire, Wires, Wiring};
use crate::crd::{Environment, Repository};
use crate::domain::naming;
use crate::render::tools::Tools;
use crate::sandbox::cluster::api::{ApiServer, Serving};
use crate::sandbox::cluster::nodes::ingress::Ingress;
use crate::sandbox::github::{GitHub, HookConfig};
use crate::sandbox::registry::Registry;
use crate::seams::{BoxError, Clock, Rng, Transport, body};

/// Namespace of the service's own resources.
pub const NAMESPACE: &str = "bivouac-system";
/// The repository that is served.
pub const REPOSITORY: &str = "acme/campfire";
/// Who maintains it.
pub const MAINTAINER: &str = "ada";
/// Who contributes from a fork.
pub const STRANGER: &str = "sam";
/// The service's account at the forge.
pub const BOT: &str = "bivouac-bot";
/// Name of the Repository resource.
pub const NAME: &str = "campfire";
/// The wildcard domain of the previews. Browsers resolve it to this machine by themselves (RFC 6761).
pub const DOMAIN: &str = "preview.localhost";

/// The replica of the service that the world begins with.
pub const FIRST: usize = 0;
/// The Lease by which the replicas elect a leader.
pub const LEASE: &str = "bivouac-demo";

/// The Service whose pods are the gatekeepers.
pub const GATE: &str = "bivouac-gate";
/// The gate's own address, where people sign in.
pub const SIGN_IN: &str = "http://gate.localhost";
/// Where the gatekeepers are, as the cluster has it: nothing of this machine has that address.
const GATEKEEPER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 255, 0, 1)), 8081);

/// What the webhook is subscribed to.
const EVENTS: [&str; 7] =
    ["check_run", "delete", "issue_comment", "pull_request", "push", "repository", "status"];

/// The files of the repository that is served.
pub const FILES: &[(&str, &str)] = &[
    (".bivouac.yaml", include_str!("../../../templates/demo/.bivouac.yaml")),
    ("README.md", include_str!("../../../templates/demo/README.md")),
    ("deploy/preview/README.md", include_str!("../../../templates/demo/deploy/preview/README.md")),
    (
        "deploy/preview/page.yaml.hbs",
        include_str!("../../../templates/demo/deploy/preview/page.yaml.hbs"),
    ),
    (
        "deploy/preview/web.yaml.hbs",
        include_str!("../../../templates/demo/deploy/preview/web.yaml.hbs"),
    ),
];

fn hook_url(addresses: Option<&Addresses>) -> String {
    match addresses {
        None => "http://bivouac.test/webhook".to_owned(),
        Some(addresses) => format!("http://{}/webhook", addresses.service),
    }
}

/// What runs in the world beside API server and GitHub.
#[derive(Clone, Default)]
struct Parts<'a> {
    service: bool,
    agents: bool,
    /// A kubeconfig of the API server to use instead of the embedded one.
    elsewhere: Option<&'a Path>,
    wires: Wires,
}

/// The world.
pub struct Stage {
    /// The embedded Kubernetes; nothing is in it when the world stands on an API server elsewhere.
    pub cluster: ApiServer,
    /// The embedded GitHub.
    pub github: GitHub,
    /// The cluster's administrator.
    pub admin: Client,
    /// Where things are, with sockets.
    pub addresses: Option<Addresses>,
    /// Time.
    pub clock: Clock,
    /// Tokens at the forge.
    pub tokens: Tokens,
    /// What webhooks are signed with.
    pub webhook_secret: String,
    /// Id of the webhook at the forge.
    pub hook: u64,
    /// The webhook's receiver, to be called in process.
    pub receiver: Transport,
    /// The service's way to the previews, in process.
    pub previews: Previews,
    /// Receivers of notices, in process.
    pub notices: Notices,
    /// What knows the ingress's figures.
    pub prometheus: Prometheus,
    /// Image registries; there is none until somebody names one.
    pub registry: Registry,
    door: Transport,
    ingress: Ingress,
    gate: Transport,
    replicas: Replicas,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    _serving: Option<Serving>,
}

/// Addresses on loopback.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The API server.
    pub cluster: SocketAddr,
    /// GitHub: pages, API and git.
    pub github: SocketAddr,
    /// The previews.
    pub ingress: SocketAddr,
    /// The service.
    pub service: SocketAddr,
    /// A kubeconfig of the administrator.
    pub kubeconfig: PathBuf,
}

impl Stage {
    /// The world without the service: whoever wants it starts it beside. Its webhook goes to a free port of loopback.
    pub async fn without_service(folder: &Path, clock: Clock, rng: Rng) -> Result<Self, BoxError> {
        let parts = Parts { agents: true, ..Parts::default() };
        Self::raise(folder, Wiring::Sockets, clock, rng, no_tools(), parts).await
    }

    /// The same without controllers, nodes and ingress too: a bare API server. Its previews are expected at a free port
    /// of loopback.
    pub async fn without_agents(folder: &Path, clock: Clock, rng: Rng) -> Result<Self, BoxError> {
        let parts = Parts::default();
        Self::raise(folder, Wiring::Sockets, clock, rng, no_tools(), parts).await
    }

    /// The world without the service on the API server of a kubeconfig, as its administrator: a real one, to spare. What
    /// worlds of before left there is removed first.
    pub async fn without_service_elsewhere(
        folder: &Path,
        kubeconfig: &Path,
        clock: Clock,
        rng: Rng,
    ) -> Result<Self, BoxError> {
        let parts = Parts { agents: true, elsewhere: Some(kubeconfig), ..Parts::default() };
        Self::raise(folder, Wiring::Sockets, clock, rng, no_tools(), parts).await
    }

    /// Builds the world below `folder` and waits until the service has looked at its Repository.
    pub async fn build(
        folder: &Path,
        wiring: Wiring,
        clock: Clock,
        rng: Rng,
    ) -> Result<Self, BoxError> {
        Self::build_with_tools(folder, wiring, clock, rng, no_tools()).await
    }

    /// The same, with something that renders charts and overlays.
    pub async fn build_with_tools(
        folder: &Path,
        wiring: Wiring,
        clock: Clock,
        rng: Rng,
        tools: Arc<dyn Tools>,
    ) -> Result<Self, BoxError> {
        let parts = Parts { service: true, agents: true, ..Parts::default() };
        let stage = Self::raise(folder, wiring, clock, rng, tools, parts).await?;
        stage.until("the Repository is served", async || stage.is_served().await).await?;
        Ok(stage)
    }

    /// The world in process, with something between the service and its peers.
    pub async fn build_wired(
        folder: &Path,
        clock: Clock,
        rng: Rng,
        wires: Wires,
    ) -> Result<Self, BoxError> {
        let parts = Parts { service: true, agents: true, elsewhere: None, wires };
        let stage = Self::raise(folder, Wiring::InProcess, clock, rng, no_tools(), parts).await?;
        stage.until("the Repository is served", async || stage.is_served().await).await?;
        Ok(stage)
    }

    /// The same on the API server of a kubeconfig, as its administrator: a real one, to spare. What worlds of before left
    /// there is removed first. GitHub, nodes and the service are in process; controllers are the cluster's own where it
    /// has some.
    pub async fn build_elsewhere(
        folder: &Path,
        kubeconfig: &Path,
        tools: Arc<dyn Tools>,
    ) -> Result<Self, BoxError> {
        let parts =
            Parts { service: true, agents: true, elsewhere: Some(kubeconfig), ..Parts::default() };
        let (clock, rng) = (Clock::system(), Rng::system());
        let stage = Self::raise(folder, Wiring::InProcess, clock, rng, tools, parts).await?;
        stage.until("the Repository is served", async || stage.is_served().await).await?;
        Ok(stage)
    }

    async fn raise(
        folder: &Path,
        wiring: Wiring,
        clock: Clock,
        rng: Rng,
        tools: Arc<dyn Tools>,
        parts: Parts<'_>,
    ) -> Result<Self, BoxError> {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let listeners = match wiring {
            Wiring::InProcess => None,
            Wiring::Sockets => Some(Listeners::bind().await?),
        };
        let kubernetes = Kubernetes::new(parts.elsewhere, &clock, &rng).await?;
        let (cluster, ingress) = (kubernetes.embedded.clone(), Ingress::new());
        if parts.agents {
            let options = kubernetes.agents(&rng).await?;
            let agent = |name: &str| kubernetes.agent(name);
            start_agents(agent, options, &ingress, (&clock, &rng), &stop, &mut tasks);
        }
        let door = ingress.transport();

        let github_url = github_url(listeners.as_ref())?;
        let github = GitHub::new(folder.join("github"), &github_url, clock.clone(), rng.fork());
        let accounts = Accounts::populate(&github, &rng)?;

        let (addresses, service_listener, serving) = match listeners {
            None => (None, None, None),
            Some(listeners) => {
                let address = listeners.cluster.local_addr()?;
                let kubeconfig = kubeconfig(folder, &cluster, address, parts.elsewhere)?;
                let door = parts.agents.then_some(&ingress);
                let (addresses, listener, serving) =
                    listeners.serve(&cluster, &github, door, kubeconfig, &stop, &mut tasks)?;
                (Some(addresses), Some(listener), Some(serving))
            }
        };

        let admin = kubernetes.admin();
        kubernetes.install().await?;
        let port = addresses.as_ref().map(|addresses| addresses.ingress.port());
        declare(&admin, &github_url, &accounts, port).await?;

        let settings = settings(folder, addresses.as_ref())?;
        let (front, gate, previews) =
            (Front::default(), Front::default(), Previews::new(door.clone(), clock.clone()));
        let (notices, prometheus) = (Notices::new(clock.clone()), Prometheus::new(ingress.clone()));
        let registry = Registry::new(clock.clone(), crate::seams::Rng::seeded(7));
        let home = kubernetes.service(&parts.wires).await?;
        let mut replicas = Replicas::new(
            settings,
            wiring,
            Around {
                home,
                github: github.clone(),
                previews: previews.clone(),
                notices: notices.clone(),
                prometheus: prometheus.clone(),
                registry: registry.clone(),
                services: ingress.services(),
                wires: parts.wires.clone(),
            },
            (clock.clone(), rng.clone()),
            tools,
            (front.clone(), gate.clone(), stop.clone()),
        );
        if parts.service {
            declare_gate(&admin).await?;
            ingress.leads_to(GATEKEEPER, gate.receiver());
        }
        let receiver = front.receiver();
        let hook = github.add_hook(
            REPOSITORY,
            HookConfig {
                url: hook_url(addresses.as_ref()),
                transport: (wiring == Wiring::InProcess).then(|| receiver.clone()),
                secret: accounts.webhook_secret.clone(),
                events: EVENTS.map(String::from).into(),
            },
        )?;
        if let Some(listener) = service_listener.filter(|_| parts.service) {
            tasks.spawn(serve(listener, front.router(), stop.clone()));
        }
        if parts.service {
            replicas.start(FIRST)?;
        }
        let Accounts { tokens, webhook_secret } = accounts;
        Ok(Self {
            cluster,
            github,
            admin,
            addresses,
            clock,
            tokens,
            webhook_secret,
            hook,
            receiver,
            previews,
            notices,
            prometheus,
            registry,
            door,
            ingress,
            gate: gate.receiver(),
            replicas,
            stop,
            tasks,
            _serving: serving,
        })
    }

    /// Drops the service where it stands, as `kill -9` does: nothing is finished, nothing is said. Webhooks are answered
    /// 503 meanwhile.
    pub async fn kill_service(&mut self) {
        self.kill_replica(FIRST).await;
    }

    /// Starts the service anew, with an empty memory.
    pub fn start_service(&mut self) -> Result<(), BoxError> {
        self.start_replica(FIRST)
    }

    /// Replicas that are started from now on have no gate: nobody names its Service to them.
    pub fn forget_gate(&mut self) {
        self.replicas.forget_gate();
    }

    /// Starts a replica of the service; [`FIRST`] is the one that the world begins with. Webhooks go to each in turn.
    pub fn start_replica(&mut self, replica: usize) -> Result<(), BoxError> {
        self.replicas.start(replica)
    }

    /// Drops a replica where it stands, as `kill -9` does.
    pub async fn kill_replica(&mut self, replica: usize) {
        self.replicas.kill(replica).await;
    }

    /// Asks a replica to end, as SIGTERM does, and waits until it has.
    pub async fn stop_replica(&mut self, replica: usize) {
        self.replicas.stop(replica).await;
    }

    /// Lets a replica stand still, as SIGSTOP or a hanging machine does, or go on.
    pub fn pause_replica(&self, replica: usize, paused: bool) {
        self.replicas.pause(replica, paused);
    }

    /// A replica's metrics, as Prometheus reads them.
    pub async fn metrics_of(&self, replica: usize) -> Option<String> {
        self.replicas.metrics(replica).await
    }

    /// Whether a replica says that it can take webhooks.
    pub async fn replica_is_ready(&self, replica: usize) -> bool {
        self.replicas.is_ready(replica).await
    }

    /// The replica that holds the Lease, as the Lease says.
    pub async fn leader(&self) -> Option<usize> {
        let api: Api<Lease> = Api::namespaced(self.admin.clone(), NAMESPACE);
        let lease = api.get_opt(self.replicas.lease()).await.ok().flatten()?;
        let holder = lease.spec?.holder_identity?;
        let (replica, _) = holder.strip_prefix("replica-")?.split_once('_')?;
        replica.parse().ok()
    }

    /// The name that the namespace of a pull request's camp has.
    #[must_use]
    pub fn namespace_of(&self, number: u64) -> String {
        naming::namespace_name(self.replicas.instance(), &format!("{NAME}-pr-{number}")).to_string()
    }

    /// Ends every task of the world.
    pub async fn end(mut self) {
        self.stop.cancel();
        self.replicas.end().await;
        self.github.stop();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        // A connection that somebody holds open (a browser, `kubectl --watch`) is no reason to stay.
        let _ = tokio::time::timeout(Duration::from_secs(2), ended).await;
        self.tasks.abort_all();
    }

    /// Waits until `condition` gives something; 30 seconds at most.
    pub async fn until<T>(
        &self,
        what: &str,
        condition: impl AsyncFn() -> Option<T>,
    ) -> Result<T, BoxError> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(found) = condition().await {
                return Ok(found);
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(format!("waited 30 s in vain until {what}").into());
            }
            self.clock.sleep(Duration::from_millis(25)).await;
        }
    }

    async fn is_served(&self) -> Option<()> {
        let repository =
            Api::<Repository>::namespaced(self.admin.clone(), NAMESPACE).get(NAME).await.ok()?;
        let conditions = repository.status?.conditions;
        conditions.iter().any(|c| c.r#type == "Accessible" && c.status == "True").then_some(())
    }

    /// A connection to the ingress, for one who speaks HTTP over it: in process, whatever the wiring.
    #[must_use]
    pub fn connect(&self) -> tokio::io::DuplexStream {
        self.ingress.connect()
    }

    /// Sends a request to the ingress, in process. The host is that of its `Host` header.
    pub async fn send(
        &self,
        request: Request<crate::seams::Body>,
    ) -> Result<http::Response<crate::seams::Body>, BoxError> {
        self.door.clone().oneshot(request).await
    }

    /// Sends a request to the gate itself, in process, as an ingress controller does.
    pub async fn send_to_gate(
        &self,
        request: Request<crate::seams::Body>,
    ) -> Result<http::Response<crate::seams::Body>, BoxError> {
        self.gate.clone().oneshot(request).await
    }

    /// Where the gate of a replica listens, with sockets.
    #[must_use]
    pub fn gate_of(&self, replica: usize) -> Option<SocketAddr> {
        self.replicas.gate_of(replica)
    }

    /// The record of a pull request.
    pub async fn environment(&self, number: u64) -> Option<Environment> {
        let api: Api<Environment> = Api::namespaced(self.admin.clone(), NAMESPACE);
        api.get_opt(&format!("{NAME}-pr-{number}")).await.ok().flatten()
    }

    /// All records.
    #[must_use]
    pub fn environments(&self) -> Api<Environment> {
        Api::namespaced(self.admin.clone(), NAMESPACE)
    }

    /// Names of all namespaces that camps are in.
    pub async fn camps(&self) -> Result<Vec<String>, BoxError> {
        let api: Api<Namespace> = Api::all(self.admin.clone());
        let found = api.list(&ListParams::default().labels("bivouac.dev/environment")).await?;
        Ok(found.items.into_iter().filter_map(|namespace| namespace.metadata.name).collect())
    }

    /// Asks for the page at `url` as a browser would: over a socket where there is one. Gives status and text.
    pub async fn browse(&self, url: &str) -> Result<(u16, String), BoxError> {
        let uri: http::Uri = url.parse()?;
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        if let Some(addresses) = &self.addresses {
            // `*.localhost` does not resolve through every resolver; a browser does it by itself.
            let client = reqwest::Client::builder()
                .resolve(uri.host().unwrap_or_default(), addresses.ingress)
                .timeout(Duration::from_secs(10))
                .build()?;
            let answer = client.get(url).send().await?;
            return Ok((answer.status().as_u16(), answer.text().await?));
        }
        let request = Request::get(uri.path()).header(header::HOST, host).body(body(""))?;
        let answer = self.door.clone().oneshot(request).await?;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// The service's address, until `stop`.
async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!("the webhook server ended: {error}");
    }
}

fn github_url(listeners: Option<&Listeners>) -> std::io::Result<String> {
    Ok(match listeners {
        None => "http://github.test".to_owned(),
        Some(listeners) => format!("http://{}", listeners.github.local_addr()?),
    })
}
