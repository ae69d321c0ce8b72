//! Who the gatekeepers are: the Service that a setting names, in our own namespace, and its `EndpointSlices`. Camps that
//! sleep, or whose traffic passes the gate, lead there and let in those pods. I/O with home: two watches, and only where
//! the setting is there.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{Stream, StreamExt as _};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::watch;

use super::Context;
use super::error::chain;
use super::patience::Patience;
use crate::domain::guardrails::Gatekeepers;

/// What the name of the Secret with the gate's key begins with; the installation's name follows.
const KEY_PREFIX: &str = "bivouac-gate-";
/// The key of that Secret.
const KEY: &str = "key";
/// Bytes of its value.
const KEY_LENGTH: usize = 32;
/// First pause after the Secret could not be looked for.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(300);
/// Who can't be asked for so long is taken for nobody.
const PATIENCE: TimeDelta = TimeDelta::seconds(30);

/// The gatekeepers, as the watches last showed them.
pub(super) struct Gate {
    seen: Mutex<Seen>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Seen {
    /// Known once the watch has shown all of it.
    keepers: Option<Gatekeepers>,
    /// Labels of their pods; known once the Service was looked for.
    labels: Option<BTreeMap<String, String>>,
    /// When it was first asked for.
    asked: Option<DateTime<Utc>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { seen: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Gate {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who they are now.
    pub(super) fn keepers(&self) -> Gatekeepers {
        self.seen().keepers.clone().unwrap_or_default()
    }

    /// Labels by which their pods are told from others; none where that is not known.
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        self.seen().labels.clone().unwrap_or_default()
    }

    /// Whether that is known, or has been asked for long enough.
    pub(super) fn is_known(&self, now: DateTime<Utc>) -> bool {
        let mut seen = self.seen();
        let asked = *seen.asked.get_or_insert(now);
        (seen.keepers.is_some() && seen.labels.is_some()) || now >= asked + PATIENCE
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
        if seen.keepers.as_ref() != Some(&now) {
            seen.keepers = Some(now);
            drop(seen);
            self.changed.send_modify(|count| *count += 1);
        }
    }

    fn show_labels(&self, service: Option<&Service>) {
        let selector = service.and_then(|service| service.spec.as_ref()?.selector.clone());
        let now = selector.unwrap_or_default();
        let mut seen = self.seen();
        if seen.labels.as_ref() != Some(&now) {
            seen.labels = Some(now);
            drop(seen);
            self.changed.send_modify(|count| *count += 1);
        }
    }
}

/// Watches them for as long as it is polled; never ends without the setting.
pub(super) async fn watch(context: &Context) {
    let Some(service) = &context.gate_service else { return std::future::pending().await };
    futures::future::join(watch_slices(context, service), watch_service(context, service)).await;
}

async fn watch_service(context: &Context, service: &str) {
    let api: Api<Service> = Api::namespaced(context.home.clone(), &context.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={service}"));
    let stream = watcher(api, config).backoff(Patience::of(context));
    futures::pin_mut!(stream);
    let mut listed = None;
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Init) => listed = None,
            Ok(Event::InitApply(service)) => listed = Some(service),
            Ok(Event::InitDone) => context.gate.show_labels(listed.take().as_ref()),
            Ok(Event::Apply(service)) => context.gate.show_labels(Some(&service)),
            Ok(Event::Delete(_)) => context.gate.show_labels(None),
            Err(error) => {
                tracing::warn!("the watch of the gate's Service failed: {}", chain(&error));
            }
        }
    }
}

async fn watch_slices(context: &Context, service: &str) {
    let api: Api<EndpointSlice> = Api::namespaced(context.home.clone(), &context.namespace);
    let config =
        watcher::Config::default().labels(&format!("kubernetes.io/service-name={service}"));
    let stream = watcher(api, config).backoff(Patience::of(context));
    futures::pin_mut!(stream);
    let (mut slices, mut listed) = (BTreeMap::new(), BTreeMap::new());
    let name = |slice: &EndpointSlice| slice.metadata.name.clone().unwrap_or_default();
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Init) => {
                listed = BTreeMap::new();
                continue;
            }
            Ok(Event::InitApply(slice)) => {
                listed.insert(name(&slice), slice);
                continue;
            }
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

/// Makes the Secret with the key by which gatekeepers sign what browsers bring back, where there is none; and looks for it
/// once in a while. What is there is never changed.
pub(super) async fn keep_key(context: &Context) {
    if context.gate_service.is_none() {
        return std::future::pending().await;
    }
    let api: Api<Secret> = Api::namespaced(context.home.clone(), &context.namespace);
    let name = format!("{KEY_PREFIX}{}", context.instance.name.as_str());
    let mut pause = AGAIN;
    loop {
        match make_key(context, &api, &name).await {
            Ok(()) => pause = LOOK,
            Err(error) => {
                tracing::warn!("the gate's key can't be kept: {}", chain(&error));
                pause = (pause * 2).clamp(AGAIN, LOOK);
            }
        }
        context.clock.sleep(context.rng.jitter(pause, 20)).await;
    }
}

async fn make_key(context: &Context, api: &Api<Secret>, name: &str) -> Result<(), kube::Error> {
    if api.get_opt(name).await?.is_some() {
        return Ok(());
    }
    let key: Vec<u8> = (0..KEY_LENGTH / 8).flat_map(|_| context.rng.u64().to_be_bytes()).collect();
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        type_: Some("Opaque".to_owned()),
        data: Some(BTreeMap::from([(KEY.to_owned(), ByteString(key))])),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(_) => {
            tracing::info!("the Secret {name} was made, with a new key of the gate");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error),
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
