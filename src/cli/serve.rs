//! `bivouac serve`: the service against a real cluster.

use std::sync::Arc;

use clap::{Args, CommandFactory as _};
use tokio_util::sync::CancellationToken;

use super::Outcome;
use crate::app::{self, Peers};
use crate::config::Raw;
use crate::render::tools::NoTools;
use crate::seams::{Clock, Rng};
use crate::source::{GixFetch, Schemes};

/// Serve pull requests.
///
/// The cluster is the one of KUBECONFIG, or the one this runs in. Apply `deploy/crds.yaml` and `deploy/rbac.yaml` first,
/// then make a Repository for each repository that is to be served.
#[derive(Args, Debug)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Raw,
}

impl Serve {
    pub(super) fn run(self) -> Outcome {
        let Self { settings } = self;
        let settings = settings.settings().unwrap_or_else(|error| {
            super::Cli::command().error(clap::error::ErrorKind::ValueValidation, error).exit()
        });
        super::runtime()?.block_on(async {
            let config = kube::Config::infer().await?;
            let home = kube::Client::try_from(config)?;
            let clock = Clock::system();
            let fetch = GixFetch::new(Schemes { http: settings.allow_http, file: false });
            let peers = Peers {
                target: home.clone(),
                home,
                forge: crate::forge::https_transport(
                    settings.allow_http,
                    app::CONNECT,
                    app::TOTAL,
                )?,
                fetch: Arc::new(fetch),
                tools: Arc::new(NoTools::because("this version renders plain YAML and Handlebars")),
                clock,
                rng: Rng::system(),
            };
            let listener = tokio::net::TcpListener::bind(settings.listen).await?;
            let stop = CancellationToken::new();
            tokio::spawn(stop_on_signal(stop.clone()));
            app::serve(&settings, peers, listener, stop).await?;
            Ok(())
        })
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
