//! The only one who may send objects of a bundle: a camp's own service account, impersonated. I/O with the target.

use std::time::Duration;

use chrono::{DateTime, Utc};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::Value;

use super::FIELD_MANAGER;
use super::error::{ApplyError, is_not_found, is_settling, is_terminating, status};
use super::target::{As, Known, Target};
use crate::domain::bundle::BundleObject;
use crate::seams::Clock;

/// Pause between two tries in a camp that settles.
const PAUSE: Duration = Duration::from_millis(200);

/// Acts as `system:serviceaccount:<camp>:bivouac-deployer` in one namespace.
pub struct Deployer {
    target: Target,
    client: Client,
    namespace: String,
    patience: Option<(Clock, DateTime<Utc>)>,
}

/// How one object was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// As asked.
    Plainly,
    /// Fields that somebody else had taken were taken back.
    Forced {
        /// The API server's words: who had them, and which.
        conflict: String,
    },
}

impl Deployer {
    /// The deployer of the camp in `namespace`.
    #[must_use]
    pub fn of(target: &Target, namespace: &str) -> Self {
        let client = target.client(&As::Deployer(namespace.to_owned()));
        Self { target: target.clone(), client, namespace: namespace.to_owned(), patience: None }
    }

    /// Until then, refusals of a kind that a fresh camp gives are tried again and not told.
    #[must_use]
    pub fn patient_until(mut self, clock: &Clock, until: DateTime<Utc>) -> Self {
        self.patience = Some((clock.clone(), until));
        self
    }

    /// Waits a moment; `false` when the time for that is over.
    pub(super) async fn waits(&self) -> bool {
        match &self.patience {
            Some((clock, until)) if clock.now() < *until => {
                clock.sleep(PAUSE).await;
                true
            }
            _ => false,
        }
    }

    /// An API for a kind, in this camp's namespace and nowhere else.
    fn api(&self, known: &Known) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &known.resource)
    }

    /// Applies one object of a bundle: without force first, and with it where somebody else took one of our fields.
    pub(super) async fn apply(&self, object: &BundleObject) -> Result<Written, ApplyError> {
        let identity = object.identity();
        let api_version = object.json.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let what = format!("apply {identity} ({})", object.origin);
        let known = self.known(object, api_version, &identity.kind, &what).await?;
        let api = self.api(&known);
        let sent = self.target.marks().as_sent(&object.json);
        let send = async |parameters: PatchParams| {
            api.patch(&identity.name, &parameters, &Patch::Apply(&sent)).await
        };
        let first = send(PatchParams::apply(FIELD_MANAGER)).await;
        let (outcome, written) = match first {
            Err(error) if status(&error).is_some_and(|s| s.code == 409) => {
                let conflict = status(&error).map(|s| s.message.clone()).unwrap_or_default();
                (
                    send(PatchParams::apply(FIELD_MANAGER).force()).await,
                    Written::Forced { conflict },
                )
            }
            other => (other, Written::Plainly),
        };
        let error = match outcome {
            Ok(stored) => {
                self.target.marks().note(&self.namespace, &stored);
                return Ok(written);
            }
            Err(error) => error,
        };
        Err(match status(&error) {
            Some(s) if is_terminating(s) => ApplyError::NotPrepared {
                what: format!("namespace {} is going away", self.namespace),
            },
            Some(s) if is_settling(s) => ApplyError::Settling {
                object: identity.to_string(),
                origin: object.origin.to_string(),
                message: s.message.clone(),
            },
            Some(s) if matches!(s.code, 400 | 403 | 404 | 405 | 409 | 413 | 415 | 422) => {
                if s.code == 404 {
                    self.target.forget_kinds();
                }
                ApplyError::Refused {
                    object: identity.to_string(),
                    origin: object.origin.to_string(),
                    message: s.message.clone(),
                }
            }
            _ => ApplyError::Cluster { what, source: Box::new(error) },
        })
    }

    /// The kind of an object, or the error that says that the cluster lacks it.
    async fn known(
        &self,
        object: &BundleObject,
        api_version: &str,
        kind: &str,
        what: &str,
    ) -> Result<Known, ApplyError> {
        let found = self.target.kind(api_version, kind).await.map_err(|source| {
            ApplyError::Cluster { what: what.to_owned(), source: Box::new(source) }
        })?;
        match found {
            Some(known) if known.namespaced => Ok(known),
            Some(_) => Err(ApplyError::Refused {
                object: object.identity().to_string(),
                origin: object.origin.to_string(),
                message: format!("{kind} is not a kind that lives in a namespace"),
            }),
            None => Err(ApplyError::KindUnknown {
                object: object.identity().to_string(),
                origin: object.origin.to_string(),
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
            }),
        }
    }

    /// Deletes what left the bundle. `false`: it could not be deleted and must stay in the inventory.
    pub(super) async fn prune(
        &self,
        api_version: &str,
        kind: &str,
        name: &str,
    ) -> Result<bool, ApplyError> {
        let what = format!("delete {kind} {name}");
        let wrap = |source| ApplyError::Cluster { what: what.clone(), source: Box::new(source) };
        // A kind that the cluster no longer has took its objects with it, or will.
        let Some(known) = self.target.kind(api_version, kind).await.map_err(wrap)? else {
            return Ok(true);
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

    /// Reads one object; `None` when it is not there.
    pub(super) async fn read(
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
        let found = self.api(&known).get_opt(name).await.map_err(wrap)?;
        found
            .map(|object| {
                serde_json::to_value(object).map_err(|error| wrap(kube::Error::SerdeError(error)))
            })
            .transpose()
    }

    /// All pods of the camp.
    pub(super) async fn pods(&self) -> Result<Vec<Value>, ApplyError> {
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
    pub(super) async fn log_tail(&self, pod: &str, container: &str, lines: i64) -> String {
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
