//! The door for Ingress hosts: an HTTP request's host and path lead to an Ingress, a Service, a ready pod, and the file
//! that the pod mounts from a ConfigMap. A websocket to a pod says back what it hears. A Service without selector leads to
//! the addresses of its `EndpointSlices`, where somebody of this process may answer. It reads from watches, never by a
//! request of its own. I/O: the API server's watches; a listener, when it is given one.

mod content;
mod echo;
mod routes;
mod status;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, SERVER};
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use kube::Client;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::controllers::kit::resource::{CONFIG_MAPS, INGRESSES, PODS, SERVICES, SLICES};
use super::super::controllers::kit::{Api, Caches, Change, Informer, Resource, Scope, json};
use crate::seams::{Body, BoxError, Rng, Transport, body, send};
use content::Found;
use routes::{Nowhere, Target};
pub(super) use status::IngressStatus;

/// Requests that are remembered.
const COUNTED: usize = 10_000;

/// What the door reads.
fn resources() -> [&'static Resource; 5] {
    [&INGRESSES, &SERVICES, &SLICES, &PODS, &CONFIG_MAPS]
}

#[derive(Default)]
struct State {
    caches: Caches,
    listed: BTreeSet<Resource>,
}

/// The door. A clone is the same door.
#[derive(Clone, Default)]
pub struct Ingress {
    state: Arc<Mutex<State>>,
    neighbours: Arc<Mutex<BTreeMap<SocketAddr, Transport>>>,
    counted: Arc<Mutex<VecDeque<(Instant, String)>>>,
}

/// What comes of a request, before anybody outside of the sandbox is asked.
enum Way {
    /// The answer.
    Here(Response<Body>),
    /// A pod has changed to a websocket.
    Echo,
    /// One of these addresses is to answer.
    There(Vec<SocketAddr>),
}

impl Ingress {
    /// A door that knows nothing yet; [`follow`](Self::follow) tells it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows the cluster until `token` is cancelled.
    pub async fn follow(&self, client: Client, rng: Rng, token: CancellationToken) {
        let (sink, mut news) = mpsc::channel(256);
        let mut informers = JoinSet::new();
        for resource in resources() {
            let informer = Informer {
                api: Api::new(client.clone(), rng.fork()),
                rng: rng.fork(),
                resource: resource.clone(),
                scope: Scope::Whole,
                sink: sink.clone(),
            };
            informers.spawn(informer.run());
        }
        drop(sink);
        loop {
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                Some((resource, change)) = news.recv() => self.take(&resource, change),
            }
        }
    }

    fn take(&self, resource: &Resource, change: Change) {
        let state = &mut *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let store = state.caches.store_mut(resource);
        match change {
            Change::Listed(objects, version) => {
                store.replace(objects, version);
                state.listed.insert(resource.clone());
            }
            Change::Put(object) => {
                store.put(object);
            }
            Change::Gone(object) => {
                store.remove(&object);
            }
        }
    }

    /// Whoever has this address in the cluster's network answers so.
    pub fn leads_to(&self, address: SocketAddr, neighbour: Transport) {
        self.neighbours.lock().unwrap_or_else(PoisonError::into_inner).insert(address, neighbour);
    }

    /// How many requests the Ingresses of each namespace took in the last `window`, as ingress controllers count them:
    /// everybody's, and nothing of what is long ago.
    #[must_use]
    pub fn requests(&self, window: Duration) -> BTreeMap<String, usize> {
        let mut of = BTreeMap::new();
        for (at, namespace) in self.counted.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let count: &mut usize = of.entry(namespace.clone()).or_default();
            *count += usize::from(at.elapsed() <= window);
        }
        of
    }

    fn count(&self, namespace: String) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= COUNTED {
            counted.pop_front();
        }
        counted.push_back((Instant::now(), namespace));
    }

    /// The door as a service that is called in process.
    #[must_use]
    pub fn transport(&self) -> Transport {
        let ingress = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let ingress = ingress.clone();
            async move { Ok::<_, BoxError>(ingress.answer(request).await) }
        });
        Transport::new(service)
    }

    /// Answers on `listener` until `token` is cancelled.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        token: CancellationToken,
    ) -> std::io::Result<()> {
        let ingress = self.clone();
        let router = axum::Router::new().fallback(move |request: axum::extract::Request| {
            let ingress = ingress.clone();
            async move {
                let request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
                let answer = ingress.answer(request).await;
                Ok::<_, Infallible>(answer.map(axum::body::Body::new))
            }
        });
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { token.cancelled().await })
            .await
    }

    async fn answer(&self, request: http::Request<Body>) -> Response<Body> {
        match self.way(&request) {
            Way::Here(answer) => answer,
            Way::Echo => echo::answer(request),
            Way::There(addresses) => self.pass(&addresses, request).await,
        }
    }

    fn way(&self, request: &http::Request<Body>) -> Way {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let host = host_of(uri, headers);
        let Some(path) = decoded(uri.path()) else {
            return Way::Here(plain(StatusCode::BAD_REQUEST, "the path is not a clean UTF-8 path"));
        };
        let state = &*self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !resources().iter().all(|r| state.listed.contains(*r)) {
            let text = "the ingress has not read the cluster yet";
            return Way::Here(plain(StatusCode::SERVICE_UNAVAILABLE, text));
        }
        if let Some(namespace) = routes::namespace(&state.caches, &host, &path) {
            self.count(namespace);
        }
        match routes::route(&state.caches, &host, &path) {
            Ok(Target::Addresses(addresses)) => Way::There(addresses),
            Ok(Target::Pod { .. }) if echo::is_asked(method, headers) => Way::Echo,
            found => {
                let asked = Asked { method, uri, path: &path };
                Way::Here(respond(&state.caches, &host, &asked, found))
            }
        }
    }

    /// Passes a request on, as an ingress controller does: whoever comes next learns who asked whom over what.
    async fn pass(
        &self,
        addresses: &[SocketAddr],
        mut request: http::Request<Body>,
    ) -> Response<Body> {
        let neighbour = {
            let known = self.neighbours.lock().unwrap_or_else(PoisonError::into_inner);
            addresses.iter().find_map(|address| known.get(address).cloned())
        };
        let Some(neighbour) = neighbour else {
            let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let text = format!("nobody answers at {}", all.join(", "));
            return plain(StatusCode::SERVICE_UNAVAILABLE, &text);
        };
        let host = request.headers().get(HOST).cloned();
        let headers = request.headers_mut();
        headers.insert("x-forwarded-for", http::HeaderValue::from_static("127.0.0.1"));
        headers.insert("x-forwarded-proto", http::HeaderValue::from_static("http"));
        if let Some(host) = host {
            headers.insert("x-forwarded-host", host);
        }
        match send(neighbour, request).await {
            Ok(answer) => answer,
            Err(error) => plain(StatusCode::BAD_GATEWAY, &error.to_string()),
        }
    }
}

struct Asked<'a> {
    method: &'a Method,
    uri: &'a Uri,
    /// Decoded.
    path: &'a str,
}

/// The host that was asked for: without port, in lower case.
fn host_of(uri: &Uri, headers: &HeaderMap) -> String {
    let header = headers.get(HOST).and_then(|h| h.to_str().ok());
    let host = header.or_else(|| uri.authority().map(http::uri::Authority::as_str)).unwrap_or("");
    let host = host.rsplit('@').next().unwrap_or(host);
    let bare = match host.rsplit_once(':') {
        // `[::1]` has colons of its own.
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    bare.trim_end_matches('.').to_ascii_lowercase()
}

/// The path without percent escapes; `None` when that is no path inside a root.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            let hex = std::str::from_utf8(&hex).ok()?;
            bytes.push(u8::from_str_radix(hex, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let path = String::from_utf8(bytes).ok()?;
    let clean = path.starts_with('/') && !path.split('/').any(|part| part == "..");
    (clean && !path.contains(char::is_control)).then_some(path)
}

fn respond(
    caches: &Caches,
    host: &str,
    asked: &Asked<'_>,
    found: Result<Target, Nowhere>,
) -> Response<Body> {
    let mut answer = match found {
        Ok(Target::Pod { pod, port }) => from_pod(caches, &pod, port, asked),
        Ok(Target::Addresses(_)) => plain(StatusCode::BAD_GATEWAY, "nobody is asked"),
        Err(Nowhere::NoHost) => default_backend(&format!("no Ingress for host {host}")),
        Err(Nowhere::NoPath) => {
            default_backend(&format!("no Ingress rule of host {host} is for path {}", asked.path))
        }
        Err(Nowhere::Broken(why)) => plain(StatusCode::SERVICE_UNAVAILABLE, &why),
    };
    if *asked.method == Method::HEAD {
        *answer.body_mut() = body("");
    }
    answer
}

/// What a pod answers.
fn from_pod(caches: &Caches, pod: &Value, port: i64, asked: &Asked<'_>) -> Response<Body> {
    let Asked { method, uri, path } = *asked;
    if !matches!(*method, Method::GET | Method::HEAD) {
        let text = "the sandbox's pods answer GET and HEAD only";
        let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, text);
        answer.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    let name = json::name(pod);
    match content::find(caches, pod, port, path) {
        Found::File(name, bytes) => reply(StatusCode::OK, content::content_type(&name), bytes),
        Found::Directory => {
            let mut answer = plain(StatusCode::MOVED_PERMANENTLY, "it is a directory");
            if let Ok(location) = format!("{}/", uri.path()).parse() {
                answer.headers_mut().insert(LOCATION, location);
            }
            answer
        }
        Found::Bare(root) => plain(
            StatusCode::OK,
            &format!("pod {name} is ready; it mounts no ConfigMap at {root}, so there is no page"),
        ),
        Found::Nothing(file) => {
            plain(StatusCode::NOT_FOUND, &format!("pod {name} has no file {file}"))
        }
    }
}

/// Begins as ingress-nginx' default backend does; after that it says why.
fn default_backend(why: &str) -> Response<Body> {
    let text = format!("default backend - 404\n\n{why}\n");
    reply(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", text.into_bytes())
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let text =
        format!("{} {}\n\n{text}\n", status.as_str(), status.canonical_reason().unwrap_or(""));
    reply(status, "text/plain; charset=utf-8", text.into_bytes())
}

fn reply(status: StatusCode, content_type: &'static str, bytes: Vec<u8>) -> Response<Body> {
    let length = bytes.len();
    let mut answer = Response::new(body(bytes));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(SERVER, http::HeaderValue::from_static("bivouac-sandbox"));
    answer
}

#[cfg(test)]
mod tests;
