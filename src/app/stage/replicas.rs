//! The replicas of the service in the world: started, killed, stopped, paused; and the address that leads to them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse as _;
use http::Request;
use http_body_util::BodyExt as _;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::service::peers;
use super::{FIRST, LEASE, Notices, Previews, Prometheus, Wires, Wiring};
use crate::app::assemble;
use crate::config::Settings;
use crate::domain::naming::Instance;
use crate::render::tools::Tools;
use crate::sandbox::github::GitHub;
use crate::sandbox::registry::Registry;
use crate::seams::{BoxError, Clock, Rng, Transport};

/// Whom the service talks to in this world.
pub(super) struct Around {
    /// As the service, to the API server.
    pub(super) home: Client,
    pub(super) github: GitHub,
    pub(super) previews: Previews,
    pub(super) notices: Notices,
    pub(super) prometheus: Prometheus,
    pub(super) registry: Registry,
    /// The way to the Services of camps.
    pub(super) services: Transport,
    pub(super) wires: Wires,
}

/// The service as it is installed in this world: all that is needed to start it once more; and what runs of it.
pub(super) struct Replicas {
    settings: Settings,
    wiring: Wiring,
    around: Around,
    clock: Clock,
    rng: Rng,
    tools: Arc<dyn Tools>,
    front: Front,
    gate: Front,
    stop: CancellationToken,
    running: BTreeMap<usize, Replica>,
}

struct Replica {
    task: JoinHandle<()>,
    stop: CancellationToken,
    paused: watch::Sender<bool>,
    router: Router,
    gate: Option<Router>,
    /// Where its gate listens, with sockets.
    listens: Option<SocketAddr>,
    metrics: Router,
}

impl Replicas {
    pub(super) fn new(
        settings: Settings,
        wiring: Wiring,
        around: Around,
        (clock, rng): (Clock, Rng),
        tools: Arc<dyn Tools>,
        (front, gate, stop): (Front, Front, CancellationToken),
    ) -> Self {
        let running = BTreeMap::new();
        Self { settings, wiring, around, clock, rng, tools, front, gate, stop, running }
    }

    pub(super) fn instance(&self) -> &Instance {
        &self.settings.instance
    }

    pub(super) fn lease(&self) -> &str {
        self.settings.lease.as_deref().unwrap_or(LEASE)
    }

    /// What is started from now on has no gate.
    pub(super) fn forget_gate(&mut self) {
        (self.settings.gate_service, self.settings.gate_listen) = (None, None);
    }

    pub(super) fn start(&mut self, number: usize) -> Result<(), BoxError> {
        let mut settings = self.settings.clone();
        settings.replica = format!("replica-{number}");
        if number != FIRST {
            // Each has a disk of its own.
            settings.cache_dir.set_file_name(format!("cache-{number}"));
        }
        std::fs::create_dir_all(&settings.cache_dir)?;
        let Self { around, wiring, clock, rng, tools, .. } = &*self;
        let peers = peers(around, *wiring, clock, rng, tools)?;
        let service = assemble(&settings, peers);
        let (router, metrics) = (service.router(), service.metrics());
        let stop = self.stop.child_token();
        let (paused, seen) = watch::channel(false);
        let end = stop.clone();
        let gate = service.gate().map(|gate| gate.router());
        let listener = match wiring {
            Wiring::InProcess => None,
            Wiring::Sockets => Some(listen()?),
        };
        let listens = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let drain = settings.gate_drain;
        let task = tokio::spawn(async move {
            let passes = async {
                let (Some(listener), Some(gate)) = (listener, service.gate()) else { return };
                gate.serve(listener, end.clone(), drain).await;
            };
            let work = pausable(service.run(end.clone()), seen);
            futures::future::join(work, passes).await;
        });
        self.front.leads_to(number, Some(router.clone()));
        self.gate.leads_to(number, gate.clone());
        let replica = Replica { task, stop, paused, router, gate, listens, metrics };
        self.running.insert(number, replica);
        Ok(())
    }

    pub(super) async fn kill(&mut self, number: usize) {
        self.front.leads_to(number, None);
        self.gate.leads_to(number, None);
        if let Some(Replica { task, .. }) = self.running.remove(&number) {
            task.abort();
            // Cancelled, as asked.
            let _ = task.await;
        }
    }

    pub(super) async fn stop(&mut self, number: usize) {
        self.front.leads_to(number, None);
        self.gate.leads_to(number, None);
        if let Some(Replica { task, stop, .. }) = self.running.remove(&number) {
            stop.cancel();
            // A panic of it has been printed.
            let _ = task.await;
        }
    }

    /// A replica that stands still gets no webhooks: whoever leads them there notices.
    pub(super) fn pause(&self, number: usize, paused: bool) {
        if let Some(replica) = self.running.get(&number) {
            replica.paused.send_replace(paused);
            self.front.leads_to(number, (!paused).then(|| replica.router.clone()));
            self.gate.leads_to(number, replica.gate.clone().filter(|_| !paused));
        }
    }

    pub(super) fn gate_of(&self, number: usize) -> Option<SocketAddr> {
        self.running.get(&number)?.listens
    }

    pub(super) async fn is_ready(&self, number: usize) -> bool {
        let Some(replica) = self.running.get(&number) else { return false };
        let Ok(request) = Request::get("/readyz").body(axum::body::Body::empty()) else {
            return false;
        };
        let answer = replica.router.clone().oneshot(request).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    pub(super) async fn metrics(&self, number: usize) -> Option<String> {
        let page = self.running.get(&number)?.metrics.clone();
        let request = Request::get("/metrics").body(axum::body::Body::empty()).ok()?;
        let answer = page.oneshot(request).await.ok()?;
        let bytes = answer.into_body().collect().await.ok()?.to_bytes();
        String::from_utf8(bytes.to_vec()).ok()
    }

    /// Waits for the end of all, whose stop was asked for; for a bounded time.
    pub(super) async fn end(&mut self) {
        for (_, Replica { task, paused, .. }) in std::mem::take(&mut self.running) {
            paused.send_replace(false);
            let _ = tokio::time::timeout(Duration::from_secs(2), task).await;
        }
    }
}

/// A free port of loopback.
fn listen() -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Runs `work`, but not while it is paused: nothing of it goes on then, whatever it waits for.
async fn pausable(work: impl Future<Output = ()>, mut paused: watch::Receiver<bool>) {
    let mut work = pin!(work);
    loop {
        if *paused.borrow_and_update() {
            if paused.changed().await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            biased;
            changed = paused.changed() => if changed.is_err() {
                work.as_mut().await;
                return;
            },
            () = work.as_mut() => return,
        }
    }
}

/// The address of the service: leads to each replica that runs in turn, and answers 503 when none does.
#[derive(Clone, Default)]
pub(super) struct Front(Arc<Mutex<Ways>>);

#[derive(Default)]
struct Ways {
    open: BTreeMap<usize, Router>,
    last: usize,
}

impl Front {
    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leads_to(&self, number: usize, router: Option<Router>) {
        let open = &mut self.ways().open;
        match router {
            Some(router) => open.insert(number, router),
            None => open.remove(&number),
        };
    }

    fn next(&self) -> Option<Router> {
        let mut ways = self.ways();
        let after = ways.open.range(ways.last + 1..).next();
        let (number, router) = after.or_else(|| ways.open.first_key_value())?;
        let (number, router) = (*number, router.clone());
        ways.last = number;
        Some(router)
    }

    pub(super) fn router(&self) -> Router {
        let front = self.clone();
        Router::new().fallback(async move |request: Request<axum::body::Body>| match front.next() {
            Some(router) => router.oneshot(request).await.unwrap_or_else(|never| match never {}),
            None => http::StatusCode::SERVICE_UNAVAILABLE.into_response(),
        })
    }

    /// The same as a transport.
    pub(super) fn receiver(&self) -> Transport {
        let router = self.router();
        Transport::new(tower::service_fn(move |request: Request<crate::seams::Body>| {
            let router = router.clone();
            async move {
                let answer = router.oneshot(request.map(axum::body::Body::new)).await?;
                Ok::<_, BoxError>(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
            }
        }))
    }
}
