//! The sandbox's nodes: they take pods, say that they run, fail them by rule, and answer HTTP for Ingress hosts from the
//! ConfigMaps that pods mount. No container runs. They reach the API server only through its API.
//!
//! What decides about a pod, beside its delays:
//!
//! * image: a name with `does-not-exist`, or the tag `missing`, can't be pulled;
//! * command: a script whose last statement is `exit N`, `true` or `false` ends so, after its `sleep`s; without a
//!   command, containers of pods that are not restarted always end with 0 and others run for good;
//! * readiness probe: one whose command fails by the same rule never succeeds;
//! * ConfigMaps, Secrets and claims that are mounted or read into the environment have to be there;
//! * annotations of the pod: see [`rules`].

pub mod agents;
pub mod ingress;
mod kubelet;
mod register;
pub mod rules;
mod scheduler;

use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

use super::controllers::kit::{Api, Engine};
use crate::seams::{Clock, Rng};

/// How the nodes behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes there are, at most 16.
    pub count: u16,
    /// From a pod's arrival to the start of its containers.
    pub start: Duration,
    /// From the start of a container to its readiness.
    pub ready: Duration,
    /// From the wish that a pod ends to its end; never longer than its grace period.
    pub stop: Duration,
    /// How long a container runs that ends by itself and doesn't say when.
    pub run: Duration,
    /// How often a node renews its lease. Kubernetes' nodes do so each 10 s; rarer is quieter.
    pub lease: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            count: 2,
            start: Duration::from_millis(200),
            ready: Duration::from_millis(200),
            stop: Duration::from_millis(300),
            run: Duration::from_secs(1),
            lease: Duration::from_secs(300),
        }
    }
}

/// Runs nodes, scheduler and the status side of the ingress until `token` is cancelled.
pub async fn run(
    client: Client,
    clock: Clock,
    rng: Rng,
    options: Options,
    token: CancellationToken,
) {
    let names: Vec<String> = (1..=options.count.min(16)).map(|n| format!("sandbox-{n}")).collect();
    Engine::new(Api::new(client, rng.fork()), clock, rng)
        .with(register::Register { names, lease: options.lease })
        .with(scheduler::Scheduler)
        .with(kubelet::Kubelet::new(options))
        .with(ingress::IngressStatus)
        .run(token)
        .await;
}
