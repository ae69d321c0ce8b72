//! I/O · the gate's listener: connections that can become websockets, and their end. After `stop` nothing new begins, and
//! what is under way goes on for a bounded time: a rollout of the service cuts nobody off.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Gate;
use super::headers::Peer;

/// Connections at once.
const MOST: usize = 8192;
/// A request's headers are here within this time. It is also how long an idle connection is kept, and longer than ingress
/// controllers keep theirs.
const HEADERS: Duration = Duration::from_secs(75);
/// After `stop`, new connections are still taken for so long: who leads them here has to hear of the end first.
const LAME: Duration = Duration::from_secs(5);
/// Pause after a connection could not be taken.
const AGAIN: Duration = Duration::from_millis(100);

impl Gate {
    /// Answers on `listener` until `stop`, and until everything that is under way then has ended, for `drain` at most.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken, drain: Duration) {
        let clock = self.0.parts.clock.clone();
        let (room, closing) = (Arc::new(Semaphore::new(MOST)), CancellationToken::new());
        let mut connections = JoinSet::new();
        // However this ends, no websocket outlives it.
        let _cut = self.0.cut.clone().drop_guard();
        let lame = LAME.min(drain / 4);
        let end = async {
            stop.cancelled().await;
            clock.sleep(lame).await;
        };
        let mut end = std::pin::pin!(end);
        loop {
            let accepted = async {
                // Full: whoever comes waits in the line of the system.
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, listener.accept().await)
            };
            tokio::select! {
                biased;
                () = &mut end => break,
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                (permit, accepted) = accepted => match accepted {
                    Ok((stream, peer)) => {
                        let _ = stream.set_nodelay(true);
                        let (gate, closing) = (self.clone(), closing.clone());
                        connections.spawn(async move {
                            gate.connection(stream, Some(peer.ip()), closing).await;
                            drop(permit);
                        });
                    }
                    Err(error) => {
                        tracing::warn!("the gate can't take a connection: {error}");
                        clock.sleep(AGAIN).await;
                    }
                },
            }
        }
        drop(listener);
        closing.cancel();
        self.0.tunnels.close();
        let ended = async {
            while connections.join_next().await.is_some() {}
            self.0.tunnels.wait().await;
        };
        if tokio::time::timeout(drain.saturating_sub(lame), ended).await.is_err() {
            let left = connections.len() + self.0.tunnels.len();
            tracing::info!("the gate ends, and {left} connections with it");
            self.0.cut.cancel();
            connections.abort_all();
        }
    }

    /// One connection, until its end; `closing`: once the request that is under way is answered. Websockets that came of
    /// it live on.
    pub async fn connection<S>(&self, stream: S, peer: Option<IpAddr>, closing: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answer = service_fn(|request: Request<Incoming>| async move {
            let mut request = request.map(Body::new);
            if let Some(address) = peer {
                request.extensions_mut().insert(Peer(address));
            }
            Ok::<_, Infallible>(self.answer(request).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .serve_connection(TokioIo::new(stream), answer)
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!("a connection to the gate ended: {error}");
        }
    }
}
