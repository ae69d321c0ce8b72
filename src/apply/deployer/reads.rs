//! What is there in the camp, and what goes out of it. I/O with the target.

use kube::api::{Api, DeleteParams};
use serde_json::Value;

use super::Deployer;
use crate::apply::error::{ApplyError, is_not_found, status};

impl Deployer {
    /// Deletes what left the bundle. `false`: it could not be deleted and must stay in the inventory.
    pub(in crate::apply) async fn prune(
        &self,
        api_version: &str,
        kind: &str,
        name: &str,
    ) -> Result<bool, ApplyError> {
        let what = format!("delete {kind} {name}");
        let wrap = |source| ApplyError::Cluster { what: what.clone(), source: Box::new(source) };
        // A kind that the cluster no longer has mostly took its objects with it. They may also be there behind an API
        // service that does not answer: only who can be asked can say.
        let Some(known) = self.target.kind(api_version, kind).await.map_err(wrap)? else {
            return Ok(false);
        };
        match self.api(&known).delete(name, &DeleteParams::background()).await {
            Ok(_) => Ok(true),
            Err(error) if is_not_found(&error) => Ok(true),
            Err(error)
                if status(&error).is_some_and(|s| matches!(s.code, 403 | 405 | 409 | 422)) =>
            {
                Ok(false)
            }
            Err(error) => Err(wrap(error)),
        }
    }

    /// Whether the cluster has a kind; so it is taken to be when the cluster does not say.
    pub(in crate::apply) async fn has_kind(&self, api_version: &str, kind: &str) -> bool {
        self.target.kind(api_version, kind).await.map_or(true, |known| known.is_some())
    }

    /// Reads one object; `None` when it is not there.
    pub(in crate::apply) async fn read(
        &self,
        api_version: &str,
        kind: &str,
        name: &str,
    ) -> Result<Option<Value>, ApplyError> {
        let what = format!("read {kind} {name}");
        let wrap = |source| ApplyError::Cluster { what: what.clone(), source: Box::new(source) };
        let Some(known) = self.target.kind(api_version, kind).await.map_err(wrap)? else {
            return Ok(None);
        };
        let found = match self.api(&known).get_opt(name).await {
            Ok(found) => found,
            // The kind went since it was asked for.
            Err(error) if is_not_found(&error) => {
                self.target.forget_kind(api_version, kind);
                None
            }
            Err(error) => return Err(wrap(error)),
        };
        found
            .map(|object| {
                serde_json::to_value(object).map_err(|error| wrap(kube::Error::SerdeError(error)))
            })
            .transpose()
    }

    /// All pods of the camp.
    pub(in crate::apply) async fn pods(&self) -> Result<Vec<Value>, ApplyError> {
        let api: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let found = api.list(&kube::api::ListParams::default()).await.map_err(|source| {
            ApplyError::Cluster {
                what: format!("list pods of {}", self.namespace),
                source: Box::new(source),
            }
        })?;
        Ok(found.items.into_iter().filter_map(|pod| serde_json::to_value(pod).ok()).collect())
    }

    /// The last lines of a container's log; empty when there is none to be had.
    pub(in crate::apply) async fn log_tail(
        &self,
        pod: &str,
        container: &str,
        lines: i64,
    ) -> String {
        let api: Api<k8s_openapi::api::core::v1::Pod> =
            Api::namespaced(self.client.clone(), &self.namespace);
        let tail = kube::api::LogParams {
            container: Some(container.to_owned()),
            tail_lines: Some(lines),
            ..Default::default()
        };
        api.logs(pod, &tail).await.unwrap_or_default()
    }
}
