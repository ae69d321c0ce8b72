//! The sandbox's servers and clients, started: sockets on loopback, and the agents of the embedded cluster.

use std::path::PathBuf;

use kube::Client;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Addresses;
use crate::sandbox::cluster::api::{ApiServer, Serving};
use crate::sandbox::cluster::controllers;
use crate::sandbox::cluster::nodes::{self, agents, ingress::Ingress};
use crate::sandbox::github::GitHub;
use crate::seams::{Clock, Rng};

/// Sockets on loopback, bound before anybody is told of them.
pub(super) struct Listeners {
    pub(super) cluster: TcpListener,
    pub(super) github: TcpListener,
    pub(super) ingress: TcpListener,
    pub(super) service: TcpListener,
}

impl Listeners {
    pub(super) async fn bind() -> std::io::Result<Self> {
        let any = async || TcpListener::bind("127.0.0.1:0").await;
        Ok(Self {
            cluster: any().await?,
            github: any().await?,
            ingress: any().await?,
            service: any().await?,
        })
    }

    /// Serves everything but the service itself, whose listener is given back.
    pub(super) fn serve(
        self,
        cluster: &ApiServer,
        github: &GitHub,
        ingress: Option<&Ingress>,
        kubeconfig: PathBuf,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) -> std::io::Result<(Addresses, TcpListener, Serving)> {
        let addresses = Addresses {
            cluster: self.cluster.local_addr()?,
            github: self.github.local_addr()?,
            ingress: self.ingress.local_addr()?,
            service: self.service.local_addr()?,
            kubeconfig,
        };
        let serving = cluster.serve(self.cluster)?;
        let (forge, listener) = (github.clone(), self.github);
        tasks.spawn(async move {
            if let Err(error) = forge.serve(listener).await {
                tracing::error!("the embedded GitHub ended: {error}");
            }
        });
        // Without a door the port is left to somebody else.
        if let Some(door) = ingress.cloned() {
            let (listener, end) = (self.ingress, stop.clone());
            tasks.spawn(async move {
                if let Err(error) = door.serve(listener, end).await {
                    tracing::error!("the embedded ingress ended: {error}");
                }
            });
        }
        Ok((addresses, self.service, serving))
    }
}

/// Controllers, nodes and ingress: clients of the API server like any other.
pub(super) fn start_agents(
    agent: impl Fn(&str) -> Client,
    options: agents::Options,
    ingress: &Ingress,
    (clock, rng): (&Clock, &Rng),
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    if let Some(options) = options.controllers {
        let client = agent("system:kube-controller-manager");
        let (clock, rng, stop) = (clock.clone(), rng.fork(), stop.clone());
        tasks.spawn(controllers::run(client, clock, rng, options, stop));
    }
    let client = agent("system:nodes");
    tasks.spawn(nodes::run(client, clock.clone(), rng.fork(), options.nodes, stop.clone()));
    let (door, client, rng, end) =
        (ingress.clone(), agent("system:ingress"), rng.fork(), stop.clone());
    tasks.spawn(async move { door.follow(client, rng, end).await });
}
