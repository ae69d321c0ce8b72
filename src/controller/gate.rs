//! Where the gatekeepers are: `EndpointSlices` of the Service that a setting names, in our own namespace, into the camps
//! that sleep. I/O with home: one watch, and only where the setting is there.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::watch;

use super::Context;
use super::error::chain;
use super::patience::Patience;
use crate::domain::guardrails::Gatekeepers;

/// The gatekeepers, as the watch last showed them.
pub(super) struct Gate {
    seen: Mutex<Gatekeepers>,
    changed: watch::Sender<u64>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { seen: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Gate {
    fn seen(&self) -> MutexGuard<'_, Gatekeepers> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who they are now.
    pub(super) fn keepers(&self) -> Gatekeepers {
        self.seen().clone()
    }

    /// Something each time that they have changed.
    pub(super) fn changes(&self) -> impl Stream<Item = ()> + Send + 'static {
        let changed = self.changed.subscribe();
        futures::stream::unfold(changed, |mut changed| async {
            changed.changed().await.ok()?;
            Some(((), changed))
        })
    }

    fn show(&self, slices: &BTreeMap<String, EndpointSlice>) {
        let now = keepers(slices.values());
        let mut seen = self.seen();
        if *seen != now {
            *seen = now;
            drop(seen);
            self.changed.send_modify(|count| *count += 1);
        }
    }
}

/// Watches the slices for as long as it is polled; never ends without the setting.
pub(super) async fn watch(context: &Context) {
    let Some(service) = &context.gate_service else { return std::future::pending().await };
    let api: Api<EndpointSlice> = Api::namespaced(context.home.clone(), &context.namespace);
    let config =
        watcher::Config::default().labels(&format!("kubernetes.io/service-name={service}"));
    let stream = watcher(api, config).backoff(Patience::of(context));
    futures::pin_mut!(stream);
    let (mut slices, mut listed) = (BTreeMap::new(), BTreeMap::new());
    let name = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap_or_default();
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Init) => listed = BTreeMap::new(),
            Ok(Event::InitApply(slice)) => _ = listed.insert(name(&slice), slice),
            Ok(Event::InitDone) => slices = std::mem::take(&mut listed),
            Ok(Event::Apply(slice)) => _ = slices.insert(name(&slice), slice),
            Ok(Event::Delete(slice)) => _ = slices.remove(&name(&slice)),
            Err(error) => {
                tracing::warn!("the watch of the gatekeepers failed: {}", chain(&error));
                continue;
            }
        }
        context.gate.show(&slices);
    }
}

/// Addresses of those that are ready, and the port that they have in common.
fn keepers<'a>(slices: impl Iterator<Item = &'a EndpointSlice>) -> Gatekeepers {
    let mut keepers = Gatekeepers::default();
    for slice in slices {
        let ports = slice.ports.iter().flatten();
        let named = |name: &str| {
            let mut ports = ports.clone();
            ports.find(|port| port.name.as_deref() == Some(name))
        };
        let port = named("gate").or_else(|| named("http")).or_else(|| ports.clone().next());
        let Some(port) = port.and_then(|port| u16::try_from(port.port?).ok()) else { continue };
        if keepers.port == 0 {
            keepers.port = port;
        }
        // All pods of one Service have one port, but for the moment of a change.
        if keepers.port != port {
            continue;
        }
        for endpoint in slice.endpoints.iter().flatten() {
            let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
            if ready.unwrap_or(true) {
                keepers.addresses.extend(
                    endpoint.addresses.iter().filter_map(|ip| ip.parse::<std::net::IpAddr>().ok()),
                );
            }
        }
    }
    keepers
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_who_is_ready_is_a_gatekeeper() {
        let slice: EndpointSlice = serde_json::from_value(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "a"},
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                {"addresses": ["not an address"]},
            ],
            "ports": [{"name": "metrics", "port": 9090}, {"name": "http", "port": 8080}],
        }))
        .expect("a slice");
        let keepers = keepers([slice].iter());
        let addresses: Vec<String> = keepers.addresses.iter().map(ToString::to_string).collect();
        assert_eq!((addresses, keepers.port), (vec!["10.0.0.1".to_owned()], 8080));
    }
}
