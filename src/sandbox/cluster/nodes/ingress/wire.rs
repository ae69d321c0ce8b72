//! Connections in process that are connections: what goes through them is HTTP/1.1 in bytes, so that both ends do what they
//! do over a socket, upgrades too. I/O: pipes of this process.

use std::convert::Infallible;

use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::DuplexStream;

use super::routes::{self, Target};
use super::{Asked, Ingress, decoded, echo, from_pod, plain, resources};
use crate::seams::{Body, BoxError, Transport, Unreached};

/// Bytes that are on their way at once, in each direction.
const BUFFER: usize = 64 << 10;

impl Ingress {
    /// A connection to the door.
    #[must_use]
    pub fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(BUFFER);
        let ingress = self.clone();
        let serve = async move {
            let answer = service_fn(|request: Request<Incoming>| async {
                let request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
                Ok::<_, Infallible>(ingress.answer(request).await)
            });
            let server = hyper::server::conn::http1::Builder::new();
            // Whoever has the other end sees that it is cut off.
            let _ = server.serve_connection(TokioIo::new(far), answer).with_upgrades().await;
        };
        tokio::spawn(serve);
        near
    }

    /// The way from a pod to Services, by their names in the cluster: `http://SERVICE.NAMESPACE.svc:PORT`. Who is behind
    /// a Service answers as its pod; with nobody there, there is no connection.
    #[must_use]
    pub fn services(&self) -> Transport {
        let ingress = self.clone();
        Transport::new(tower::service_fn(move |request: Request<Body>| {
            let ingress = ingress.clone();
            async move { ingress.to_service(request).await }
        }))
    }

    async fn to_service(&self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let uri = request.uri().clone();
        let Service { namespace, name, port } = Service::of(&uri).ok_or(Unreached::NameNotFound)?;
        self.behind(&namespace, &name, port)?;
        let (near, far) = tokio::io::duplex(BUFFER);
        let ingress = self.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request: Request<Incoming>| {
                let answer = ingress.as_pod((&namespace, &name, port), request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            // Whoever has the other end sees that it is cut off.
            let _ = server.serve_connection(TokioIo::new(far), answer).with_upgrades().await;
        });
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
        tokio::spawn(connection.with_upgrades());
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        *request.uri_mut() = path.parse()?;
        let answer = sender.send_request(request).await?;
        Ok(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
    }

    fn behind(&self, namespace: &str, name: &str, port: u16) -> Result<Target, Unreached> {
        let state = &*self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !resources().iter().all(|r| state.listed.contains(*r)) {
            return Err(Unreached::NotConnected("the cluster was not read yet".into()));
        }
        let port = json!({"number": port});
        routes::behind(&state.caches, namespace, name, &port)
            .map_err(|why| Unreached::NotConnected(format!("{why:?}")))
    }

    fn as_pod(
        &self,
        (namespace, name, port): (&str, &str, u16),
        request: Request<Incoming>,
    ) -> Response<Body> {
        let Ok(Target::Pod { pod, port }) = self.behind(namespace, name, port) else {
            return plain(http::StatusCode::BAD_GATEWAY, "the pod is gone");
        };
        if echo::is_asked(request.method(), request.headers()) {
            return echo::answer(request);
        }
        let Some(path) = decoded(request.uri().path()) else {
            return plain(http::StatusCode::BAD_REQUEST, "the path is not a clean UTF-8 path");
        };
        let asked = Asked { method: request.method(), uri: request.uri(), path: &path };
        let state = &*self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        from_pod(&state.caches, &pod, port, &asked)
    }
}

/// A Service by its name in the cluster.
struct Service {
    namespace: String,
    name: String,
    port: u16,
}

impl Service {
    fn of(uri: &Uri) -> Option<Self> {
        let mut parts = uri.host()?.split('.');
        let (name, namespace, svc) = (parts.next()?, parts.next()?, parts.next()?);
        (svc == "svc").then(|| Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            port: uri.port_u16().unwrap_or(80),
        })
    }
}
