//! Starts and ends everything that acts in the sandbox's cluster: controllers, nodes and the ingress. I/O: theirs.

use std::time::Duration;

use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::controllers;
use super::ingress::Ingress;
use crate::seams::{Clock, Rng};

/// How the agents behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of the controllers; `None` beside a controller manager, with which they would fight over the same objects.
    pub controllers: Option<controllers::Options>,
    /// Of the nodes.
    pub nodes: super::Options,
}

impl Default for Options {
    fn default() -> Self {
        let controllers = Some(controllers::Options::default());
        Self { controllers, nodes: super::Options::default() }
    }
}

impl Options {
    /// Nodes only, as a controller manager expects them: one that has not renewed its lease for 40 s is taken for dead.
    #[must_use]
    pub fn beside_a_controller_manager() -> Self {
        let nodes = super::Options { lease: Duration::from_secs(10), ..super::Options::default() };
        Self { controllers: None, nodes }
    }
}

/// The agents, running. They end when this is dropped.
pub struct Agents {
    token: CancellationToken,
    tasks: JoinSet<()>,
    ingress: Ingress,
}

/// Starts controllers (where they are wanted), nodes and ingress, each a task of the present runtime, all as `client`.
#[must_use]
pub fn start(client: Client, clock: Clock, rng: &Rng, options: Options) -> Agents {
    let token = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let Options { controllers: of_controllers, nodes: of_nodes } = options;
    if let Some(options) = of_controllers {
        let (client, clock) = (client.clone(), clock.clone());
        tasks.spawn(controllers::run(client, clock, rng.fork(), options, token.clone()));
    }
    tasks.spawn(super::run(client.clone(), clock, rng.fork(), of_nodes, token.clone()));
    let ingress = Ingress::new();
    let (door, rng, ends) = (ingress.clone(), rng.fork(), token.clone());
    tasks.spawn(async move { door.follow(client, rng, ends).await });
    Agents { token, tasks, ingress }
}

impl Agents {
    /// The door for Ingress hosts.
    #[must_use]
    pub fn ingress(&self) -> Ingress {
        self.ingress.clone()
    }

    /// Ends all of them and waits for that.
    pub async fn stop(mut self) {
        self.token.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests;
