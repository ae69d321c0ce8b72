//! `bivouac serve`: the service against a real cluster.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, CommandFactory as _};
use tokio_util::sync::CancellationToken;

use super::Outcome;
use crate::app::{self, Peers};
use crate::config::{Raw, RawTools, Settings};
use crate::confine::InForce;
use crate::render::confined::ConfinedTools;
use crate::seams::{Clock, Fetch, Rng};
use crate::source::{ConfinedFetch, GixFetch, Schemes};

/// Serve pull requests.
///
/// The cluster is the one of KUBECONFIG, or the one this runs in. Apply `deploy/crds.yaml` and `deploy/rbac.yaml` first,
/// then make a Repository for each repository that is to be served.
#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Raw,
    #[command(flatten)]
    tools: RawTools,
}

impl Serve {
    pub(super) fn run(self) -> Outcome {
        let Self { settings, tools } = self;
        let settings = settings.settings().unwrap_or_else(|error| {
            super::Cli::command().error(clap::error::ErrorKind::ValueValidation, error).exit()
        });
        super::runtime()?.block_on(async {
            let config = kube::Config::infer().await?;
            let home = kube::Client::try_from(config)?;
            let clock = Clock::system();
            let disk = settings.cache_dir.join("render");
            std::fs::create_dir_all(&disk)?;
            let tools = tools.settings(disk);
            let own = tools.own.clone();
            let tools = ConfinedTools::find(tools);
            let fetch = look_around(&settings, &tools, own).await;
            let peers = Peers {
                target: home.clone(),
                home,
                forge: crate::forge::https_transport(
                    settings.allow_http,
                    app::CONNECT,
                    app::TOTAL,
                )?,
                previews: crate::probe::https_transport(settings.probe_address.clone())?,
                notices: crate::controller::notices_transport(settings.notify_private)?,
                prometheus: crate::traffic::prometheus_transport()?,
                registries: crate::registry::https_transport(settings.private_registries)?,
                services: crate::gate::cluster_transport(),
                fetch,
                tools: Arc::new(tools),
                clock,
                rng: Rng::system(),
            };
            let webhooks = tokio::net::TcpListener::bind(settings.listen).await?;
            let metrics = match settings.metrics_listen {
                Some(address) => Some(tokio::net::TcpListener::bind(address).await?),
                None => None,
            };
            let gate = match settings.gate_listen {
                Some(address) => Some(tokio::net::TcpListener::bind(address).await?),
                None => None,
            };
            let listeners = app::Listeners { webhooks, metrics, gate };
            let stop = CancellationToken::new();
            tokio::spawn(stop_on_signal(stop.clone()));
            app::serve(&settings, peers, listeners, stop).await?;
            Ok(())
        })
    }
}

/// Says what can be rendered and how children are confined here, once, and takes the fetch that this allows.
async fn look_around(settings: &Settings, tools: &ConfinedTools, own: PathBuf) -> Arc<dyn Fetch> {
    let in_force = match tools.in_force().await {
        Ok(in_force) => {
            let InForce { landlock, filter, namespace } = in_force;
            tracing::info!(landlock, filter, namespace, "child processes are confined");
            in_force
        }
        Err(error) => {
            tracing::warn!(%error, "child processes can not be confined");
            InForce::default()
        }
    };
    if in_force.network_refused() && !in_force.files_confined() {
        tracing::warn!(
            "this kernel has no Landlock: Helm and Kustomize are kept from the network, not from files that the \
             service may read"
        );
    }
    for found in [tools.check_helm().await, tools.check_kustomize().await] {
        match found {
            Ok(program) => tracing::info!("renders with {program}"),
            Err(reason) => tracing::warn!("can not render everything: {reason}"),
        }
    }
    let schemes = Schemes { http: settings.allow_http, file: false };
    if in_force.files_confined() {
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Arc::new(ConfinedFetch::new(own, schemes, environment))
    } else {
        tracing::warn!("commits are fetched inside of the service: this kernel has no Landlock");
        Arc::new(GixFetch::new(schemes))
    }
}

/// SIGTERM and Ctrl-C ask for the end: no new work begins, what runs is brought to its end.
pub(super) async fn stop_on_signal(stop: CancellationToken) {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    stop.cancel();
}
