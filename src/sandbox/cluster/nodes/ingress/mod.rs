//! The door for Ingress hosts: an HTTP request's host and path lead to an Ingress, a Service, a ready pod, and the file
//! that the pod mounts from a ConfigMap. It reads from watches, never by a request of its own. I/O: the API server's
//! watches; a listener, when it is given one.

mod content;
mod routes;
mod status;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, SERVER};
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::controllers::kit::resource::{CONFIG_MAPS, INGRESSES, PODS, SERVICES};
use super::super::controllers::kit::{Api, Caches, Change, Informer, Resource, Scope, json};
use crate::seams::{Body, BoxError, Rng, Transport, body};
use content::Found;
use routes::Nowhere;
pub(super) use status::IngressStatus;

/// What the door reads.
fn resources() -> [&'static Resource; 4] {
    [&INGRESSES, &SERVICES, &PODS, &CONFIG_MAPS]
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

    /// The door as a service that is called in process.
    #[must_use]
    pub fn transport(&self) -> Transport {
        let ingress = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let ingress = ingress.clone();
            async move {
                let (parts, _) = request.into_parts();
                Ok::<_, BoxError>(ingress.answer(&parts.method, &parts.uri, &parts.headers))
            }
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
                let (parts, _) = request.into_parts();
                let answer = ingress.answer(&parts.method, &parts.uri, &parts.headers);
                Ok::<_, Infallible>(answer.map(axum::body::Body::new))
            }
        });
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { token.cancelled().await })
            .await
    }

    fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut answer = plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "the sandbox's pods answer GET and HEAD only",
            );
            answer.headers_mut().insert(ALLOW, http::HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let host = host_of(uri, headers);
        let path = decoded(uri.path());
        let state = &*self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = if resources().iter().all(|r| state.listed.contains(*r)) {
            match path {
                Some(path) => respond(&state.caches, &host, uri, &path),
                None => plain(StatusCode::BAD_REQUEST, "the path is not a clean UTF-8 path"),
            }
        } else {
            plain(StatusCode::SERVICE_UNAVAILABLE, "the ingress has not read the cluster yet")
        };
        if *method == Method::HEAD {
            *answer.body_mut() = body("");
        }
        answer
    }
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

fn respond(caches: &Caches, host: &str, uri: &Uri, path: &str) -> Response<Body> {
    let target = match routes::route(caches, host, path) {
        Ok(target) => target,
        Err(Nowhere::NoHost) => {
            return default_backend(&format!("no Ingress for host {host}"));
        }
        Err(Nowhere::NoPath) => {
            let why = format!("no Ingress rule of host {host} is for path {path}");
            return default_backend(&why);
        }
        Err(Nowhere::Broken(why)) => return plain(StatusCode::SERVICE_UNAVAILABLE, &why),
    };
    let pod = json::name(&target.pod);
    match content::find(caches, &target.pod, target.port, path) {
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
            &format!("pod {pod} is ready; it mounts no ConfigMap at {root}, so there is no page"),
        ),
        Found::Nothing(file) => {
            plain(StatusCode::NOT_FOUND, &format!("pod {pod} has no file {file}"))
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
