//! Reads a camp's objects, events and logs as the camp's deployer, and nothing of another namespace. I/O with the target.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, ListParams, LogParams};
use serde_json::Value;

use crate::apply::bundle::Entry;
use crate::apply::deployer::Deployer;
use crate::apply::error::{ApplyError, status};
use crate::domain::health::{LogOf, is_custom};

/// Events that are looked at.
const EVENTS: u32 = 500;
/// Lines of a log that are kept for people.
const LOG_LINES: i64 = 40;
/// Bytes of a log that are asked for.
const LOG_BYTES: i64 = 32 << 10;

/// One object, as far as it could be read.
pub(super) enum Read {
    /// As it is.
    There(Value),
    /// It is not there.
    Missing,
    /// The deployer may not read such objects.
    Denied,
    /// The cluster has no such kind any more.
    Unserved,
}

pub(super) async fn object(deployer: &Deployer, entry: &Entry) -> Result<Read, ApplyError> {
    let Entry { api_version, kind, name, .. } = entry;
    match deployer.read(api_version, kind, name).await {
        Ok(Some(object)) => Ok(Read::There(object)),
        // What became of its objects is not known then; the condition `KindsServed` says so.
        Ok(None) if !deployer.has_kind(api_version, kind).await => Ok(Read::Unserved),
        Ok(None) => Ok(Read::Missing),
        // Roles of a platform team often let a custom kind be applied and not read.
        Err(ApplyError::Cluster { source, .. })
            if is_custom(api_version) && status(&source).is_some_and(|s| s.code == 403) =>
        {
            Ok(Read::Denied)
        }
        Err(error) => Err(error),
    }
}

/// Events of the camp; none when they can't be had: they explain, they decide nothing.
pub(super) async fn events(deployer: &Deployer) -> Vec<Value> {
    let (client, namespace) = deployer.reading();
    let api: Api<Event> = Api::namespaced(client, namespace);
    let found = api.list(&ListParams::default().limit(EVENTS)).await;
    let items = found.map(|found| found.items).unwrap_or_default();
    items.into_iter().filter_map(|event| serde_json::to_value(event).ok()).collect()
}

/// The end of a log; empty when there is none to be had.
pub(super) async fn log(deployer: &Deployer, of: &LogOf) -> String {
    if of.previous {
        let (client, namespace) = deployer.reading();
        let api: Api<Pod> = Api::namespaced(client, namespace);
        let tail = LogParams {
            container: Some(of.container.clone()),
            tail_lines: Some(LOG_LINES),
            limit_bytes: Some(LOG_BYTES),
            previous: true,
            ..LogParams::default()
        };
        if let Ok(text) = api.logs(&of.pod, &tail).await {
            return text;
        }
    }
    // A node keeps the run before for a while only.
    deployer.log_tail(&of.pod, &of.container, LOG_LINES).await
}
