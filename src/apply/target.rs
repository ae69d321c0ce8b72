//! The cluster that holds camps: one client stack, used as the service itself or as a camp's deployer. I/O: none of its
//! own, it hands out clients.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderName, HeaderValue, Request};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{self, Scope};
use kube::{Client, Error};
use tower::ServiceExt as _;

use super::drift::Marks;
use super::facts::Facts;
use crate::seams::Transport;

/// Name of the service account that applies a bundle, one in each camp.
pub(super) const DEPLOYER: &str = "bivouac-deployer";

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
    kinds: Arc<Mutex<BTreeMap<KindKey, Known>>>,
    pub(super) facts: Arc<Facts>,
    marks: Arc<Marks>,
}

/// A kind that can be a key of an ordered map.
type KindKey = (String, String, String);

/// What discovery said about a kind.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) resource: ApiResource,
    pub(super) namespaced: bool,
}

impl Target {
    /// The cluster behind `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, kinds: Arc::default(), facts: Arc::default(), marks: Arc::default() }
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

    /// What the cluster knows of a kind; asked once, and again after [`forget_kinds`](Self::forget_kinds).
    pub(super) async fn kind(&self, api_version: &str, kind: &str) -> Result<Option<Known>, Error> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let key = (group.to_owned(), version.to_owned(), kind.to_owned());
        if let Some(known) = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Some(known.clone()));
        }
        let wanted = GroupVersionKind::gvk(group, version, kind);
        let known = match discovery::pinned_kind(&self.client, &wanted).await {
            Ok((resource, capabilities)) => {
                Known { resource, namespaced: capabilities.scope == Scope::Namespaced }
            }
            Err(Error::Discovery(_)) => {
                self.note_missed_kind();
                return Ok(None);
            }
            Err(Error::Api(status)) if status.code == 404 => {
                self.note_missed_kind();
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(key, known.clone());
        Ok(Some(known))
    }

    /// Forgets what discovery said: a kind that went away or changed its scope is asked for anew.
    pub fn forget_kinds(&self) {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).clear();
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
