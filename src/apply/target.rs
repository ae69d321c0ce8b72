//! The cluster that holds camps: one client stack, used as the service itself or as a camp's deployer. I/O: none of its
//! own, it hands out clients.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::{Client, Error};
use tower::ServiceExt as _;

use super::discovery::Kinds;
use super::drift::Marks;
use super::facts::Facts;
use super::memory::Memory;
use crate::domain::guardrails::DEPLOYER;
use crate::seams::Transport;

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum As {
    /// The service itself: namespaces, guardrails, teardown.
    Service,
    /// The deployer of the camp in this namespace: everything that came out of a repository.
    Deployer(String),
}

/// The target cluster. Nothing here can reach the cluster of our own resources.
#[derive(Clone)]
pub struct Target {
    client: Client,
    pub(super) kinds: Arc<Kinds>,
    pub(super) memory: Arc<Memory>,
    pub(super) facts: Arc<Facts>,
    marks: Arc<Marks>,
}

impl Target {
    /// The cluster behind `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            kinds: Arc::default(),
            memory: Arc::default(),
            facts: Arc::default(),
            marks: Arc::default(),
        }
    }

    /// The same, with the name of this installation: what a deployer applies is labelled with it.
    #[must_use]
    pub fn of_instance(mut self, instance: &str) -> Self {
        self.marks = Arc::new(Marks::of_instance(instance));
        self
    }

    /// Name of this installation.
    pub(super) fn instance(&self) -> Option<&str> {
        self.marks.instance()
    }

    /// Marks of what was applied.
    #[must_use]
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// A client that acts as `who`. The same connections, one header more.
    #[must_use]
    pub fn client(&self, who: &As) -> Client {
        let namespace = match who {
            As::Service => return self.client.clone(),
            As::Deployer(namespace) => namespace,
        };
        let user = format!("system:serviceaccount:{namespace}:{DEPLOYER}");
        let client = self.client.clone();
        let service = tower::service_fn(move |mut request: Request<Body>| {
            let client = client.clone();
            // A recorded namespace is a DNS label, so the value is always a header's; were it not, the request must
            // not go out as the service itself.
            let header = HeaderValue::from_str(&user);
            async move {
                request.headers_mut().insert(
                    HeaderName::from_static("impersonate-user"),
                    header.map_err(http::Error::from).map_err(Error::HttpError)?,
                );
                client.send(request).await
            }
        });
        Client::new(service, namespace.clone())
    }
}

/// A Kubernetes client over a transport.
#[must_use]
pub fn client_over(transport: Transport, default_namespace: &str) -> Client {
    let service = transport.map_request(|request: Request<Body>| {
        request.map(|body| body.map_err(Into::into).boxed_unsync())
    });
    Client::new(service, default_namespace)
}
