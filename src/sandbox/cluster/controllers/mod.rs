//! The sandbox's controllers: ordinary API clients that bring what is there to what is wanted, as kube-controller-manager
//! does. They reach the API server only through its API; any API server will do.

pub(crate) mod kit;

mod cron;
mod cronjobs;
mod daemonsets;
mod deployments;
pub(crate) mod endpoints;
mod garbage;
mod jobs;
mod namespaces;
pub(crate) mod pods;
pub(crate) mod quotas;
mod replicasets;
mod revisions;
mod service_accounts;
mod statefulsets;
mod volumes;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use kit::{client_over, client_over_with_token};

use crate::seams::{Clock, Rng};
use kit::{Action, Api, Engine, Key, Resource, json};

/// How the controllers behave.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// At most this long after a namespace its ServiceAccount `default` appears. Each namespace has a lag of its own.
    pub service_account_lag: Duration,
    /// At most this long after a quota its first status appears.
    pub quota_lag: Duration,
    /// What `kube-root-ca.crt` holds: the certificate of the API server's authority, PEM.
    pub root_certificate: String,
}

impl Options {
    /// Namespaces get the certificate of the authority that a client trusts, as PEM.
    #[must_use]
    pub fn for_authority(config: &kube::Config) -> Self {
        let mut root_certificate = String::new();
        for certificate in config.root_cert.iter().flatten() {
            let text = STANDARD.encode(certificate);
            root_certificate.push_str("-----BEGIN CERTIFICATE-----\n");
            for line in text.as_bytes().chunks(64) {
                root_certificate.push_str(&String::from_utf8_lossy(line));
                root_certificate.push('\n');
            }
            root_certificate.push_str("-----END CERTIFICATE-----\n");
        }
        Self { root_certificate, ..Self::default() }
    }
}

/// Runs all controllers until `token` is cancelled.
pub async fn run(
    client: Client,
    clock: Clock,
    rng: Rng,
    options: Options,
    token: CancellationToken,
) {
    let api = Api::new(client, rng.fork());
    let (wake, wakes) = mpsc::unbounded_channel();
    let collector = garbage::run(api.clone(), rng.fork(), wake, token.clone());
    let Options { service_account_lag, quota_lag, root_certificate } = options;
    let engine = Engine::new(api, clock, rng)
        .woken_by(wakes)
        .with(namespaces::Namespaces::default())
        .with(service_accounts::ServiceAccounts { lag: service_account_lag })
        .with(service_accounts::RootCertificates { certificate: root_certificate })
        .with(deployments::Deployments)
        .with(replicasets::ReplicaSets)
        .with(statefulsets::StatefulSets)
        .with(daemonsets::DaemonSets)
        .with(jobs::Jobs)
        .with(cronjobs::CronJobs)
        .with(endpoints::EndpointsOf)
        .with(quotas::Quotas { lag: quota_lag })
        .with(volumes::Volumes);
    tokio::join!(engine.run(token), collector);
}

/// Objects that nobody controls and that the selector of `owner` chooses get it as their controller, as after a deletion
/// that orphaned them.
fn adopt<'a>(
    owners: &Resource,
    owner: &Value,
    resource: &'static Resource,
    candidates: impl Iterator<Item = &'a Arc<Value>>,
) -> Vec<Action> {
    if json::is_deleting(owner) {
        return Vec::new();
    }
    let selector = owner.pointer("/spec/selector");
    candidates
        .filter(|object| json::controller(object).is_none() && !json::is_deleting(object))
        .filter(|object| json::selects(selector, json::map(object, "/metadata/labels")))
        .map(|object| {
            let mut references = json::list(object, "/metadata/ownerReferences").to_vec();
            references.push(owners.controller_reference(owner));
            let patch = serde_json::json!({ "metadata": {
                "uid": json::uid(object),
                "resourceVersion": json::text(object, "/metadata/resourceVersion"),
                "ownerReferences": references,
            } });
            Action::Patch(resource, object.as_ref().clone(), patch)
        })
        .collect()
}

/// The key of an object of `primary`, or of the `primary` that controls it.
fn owner_key(primary: &Resource, resource: &Resource, object: &Value) -> Vec<Key> {
    if resource == primary {
        return vec![Key::of(object)];
    }
    json::controller(object)
        .filter(|reference| {
            json::text(reference, "/kind") == primary.kind
                && json::text(reference, "/apiVersion") == primary.api_version()
        })
        .map(|reference| Key::new(json::namespace(object), json::text(reference, "/name")))
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_of_the_kubeconfig_is_what_namespaces_get() {
        let mut config = kube::Config::new("https://127.0.0.1:6443".parse().expect("an address"));
        assert_eq!(Options::for_authority(&config).root_certificate, "");
        config.root_cert = Some(vec![vec![7; 60]]);
        let pem = Options::for_authority(&config).root_certificate;
        let lines: Vec<_> = pem.lines().collect();
        assert_eq!(lines.len(), 4, "{pem}");
        assert_eq!(lines[1].len(), 64);
    }
}
