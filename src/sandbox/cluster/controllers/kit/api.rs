//! The few requests that agents make, over JSON values. I/O: HTTP to the API server through a `kube::Client`.

use std::time::Duration;

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use super::resource::Resource;
use crate::seams::Rng;

/// How often a request is tried that may be repeated: 1.5 s at most between the first and the last.
const TRIES: usize = 6;

/// Why a request did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The server answered, and said no.
    #[error("the API server answered {code} {reason}: {message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// `reason` of the Status.
        reason: String,
        /// For people.
        message: String,
        /// Whether a cause says that the namespace is being taken down.
        terminating: bool,
    },
    /// No answer, or none that can be read.
    #[error("failed to get an answer of the API server")]
    Unreachable(#[source] kube::Error),
    /// The request could not be built.
    #[error("failed to build a request")]
    Request(#[source] http::Error),
}

impl ApiError {
    /// The HTTP status that the server answered, or 0.
    pub(crate) fn code(&self) -> u16 {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Unreachable(_) | Self::Request(_) => 0,
        }
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused {
                code: status.code,
                reason: status.reason,
                message: status.message,
                terminating: status
                    .details
                    .iter()
                    .flat_map(|d| &d.causes)
                    .any(|c| c.reason == "NamespaceTerminating"),
            },
            other => Self::Unreachable(other),
        }
    }
}

/// How an object is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deletion {
    /// Only this object, not another that took its name.
    pub(crate) uid: String,
    /// Only in this state, when not empty.
    pub(crate) version: String,
    /// `gracePeriodSeconds`, when not the object's own.
    pub(crate) grace: Option<i64>,
    /// `propagationPolicy`; `Background` when empty.
    pub(crate) propagation: &'static str,
}

/// A client over JSON values.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    rng: Rng,
}

impl Api {
    /// Requests go through `client`; `rng` spreads the waits between tries.
    pub(crate) fn new(client: Client, rng: Rng) -> Self {
        Self { client, rng }
    }

    /// The client below, for watches.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// One request with a body; the answer as JSON.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let mut builder =
            Request::builder().method(method).uri(path).header("accept", "application/json");
        if body.is_some() {
            builder = builder.header("content-type", content_type);
        }
        let bytes = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
        let request = builder.body(bytes).map_err(ApiError::Request)?;
        Ok(self.client.request::<Value>(request).await?)
    }

    /// GET of a path; tried again a few times when the server is busy or broken.
    pub(crate) async fn get_path(&self, path: &str) -> Result<Value, ApiError> {
        self.get_as(path, "application/json").await
    }

    /// The same, with an `Accept` header.
    pub(super) async fn get_as(&self, path: &str, accept: &str) -> Result<Value, ApiError> {
        self.again_and_again(|| async move {
            let request = Request::get(path)
                .header("accept", accept)
                .body(Vec::new())
                .map_err(ApiError::Request)?;
            Ok(self.client.request::<Value>(request).await?)
        })
        .await
    }

    /// Tries a request that may be sent twice without harm until it gets through, a few times. Work that needs many
    /// answers in a row would otherwise never be done on a server that fails now and then.
    pub(crate) async fn again_and_again<F>(
        &self,
        request: impl Fn() -> F,
    ) -> Result<Value, ApiError>
    where
        F: Future<Output = Result<Value, ApiError>>,
    {
        let mut wait = Duration::from_millis(50);
        for _ in 1..TRIES {
            match request().await {
                Err(error) if matches!(error.code(), 0 | 429 | 500..) => {
                    tokio::time::sleep(self.rng.jitter(wait, 50)).await;
                    wait *= 2;
                }
                settled => return settled,
            }
        }
        request().await
    }

    /// One object, or `None` when it is not there.
    pub(crate) async fn get(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, ApiError> {
        match self.get_path(&resource.path(namespace, name, "")).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.code() == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes an object in the namespace that it names.
    pub(crate) async fn create(
        &self,
        resource: &Resource,
        object: &Value,
    ) -> Result<Value, ApiError> {
        let path = resource.path(super::json::namespace(object), "", "");
        self.send(Method::POST, &path, JSON, Some(object)).await
    }

    /// Replaces an object, or its subresource when that is not empty.
    pub(crate) async fn replace(
        &self,
        resource: &Resource,
        object: &Value,
        subresource: &str,
    ) -> Result<Value, ApiError> {
        let (namespace, name) = (super::json::namespace(object), super::json::name(object));
        let path = resource.path(namespace, name, subresource);
        self.send(Method::PUT, &path, JSON, Some(object)).await
    }

    /// Sends a JSON merge patch.
    pub(crate) async fn merge_patch(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: &Value,
    ) -> Result<Value, ApiError> {
        let target = resource.path(namespace, name, subresource);
        self.send(Method::PATCH, &target, "application/merge-patch+json", Some(patch)).await
    }

    /// Deletes one object.
    pub(crate) async fn delete(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
        deletion: &Deletion,
    ) -> Result<Value, ApiError> {
        let policy =
            if deletion.propagation.is_empty() { "Background" } else { deletion.propagation };
        let mut options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": policy,
        });
        if !deletion.uid.is_empty() {
            super::json::set(&mut options, &["preconditions", "uid"], json!(deletion.uid));
        }
        if !deletion.version.is_empty() {
            let path = ["preconditions", "resourceVersion"];
            super::json::set(&mut options, &path, json!(deletion.version));
        }
        if let Some(grace) = deletion.grace {
            super::json::set(&mut options, &["gracePeriodSeconds"], json!(grace));
        }
        let path = resource.path(namespace, name, "");
        self.send(Method::DELETE, &path, JSON, Some(&options)).await
    }
}

/// Content type of whole objects.
pub(super) const JSON: &str = "application/json";
