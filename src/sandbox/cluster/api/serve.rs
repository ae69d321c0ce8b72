//! The server on a loopback listener: TCP in, the same handler behind it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::seams::BoxError;

use super::{ApiServer, handler};

/// A server that listens. It stops when this is dropped, or at [`stop`](Serving::stop).
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Serving {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and ends open connections.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.abort();
            // Aborted is what it is to be.
            let _ = task.await;
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl ApiServer {
    /// Serves on `listener`. Plain HTTP: it is for loopback alone.
    pub fn serve(&self, listener: TcpListener) -> std::io::Result<Serving> {
        let address = listener.local_addr()?;
        let shared = Arc::clone(&self.shared);
        let router = Router::new().fallback(move |request: Request<axum::body::Body>| {
            let shared = Arc::clone(&shared);
            async move {
                let request = request.map(|body| body.map_err(BoxError::from).boxed_unsync());
                let response = handler::handle(shared, request).await;
                Ok::<Response<axum::body::Body>, Infallible>(response.map(axum::body::Body::new))
            }
        });
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let task = tokio::spawn(async move {
            // The listener of axum goes on after failed accepts; it ends only when it is stopped.
            let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
        });
        Ok(Serving { address, stop, task: Some(task) })
    }
}

/// A kubeconfig in JSON, which is YAML too.
pub(super) fn kubeconfig(address: &str, token: &str) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bivouac-sandbox",
        "clusters": [{"name": "bivouac-sandbox", "cluster": {
            "server": format!("http://{address}/user/{token}"),
        }}],
        "users": [{"name": "bivouac-sandbox", "user": {"token": token}}],
        "contexts": [{"name": "bivouac-sandbox", "context": {
            "cluster": "bivouac-sandbox", "user": "bivouac-sandbox",
        }}],
    });
    format!("{config:#}\n")
}
