//! I/O · a request to a camp that is awake, and the app's answer: streamed both ways, websockets by upgrade. In: a request
//! whose host and path are known; out: the answer, or why there is none.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures::StreamExt as _;
use http::{StatusCode, Uri, Version};
use http_body_util::BodyExt as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::Inner;
use super::headers::{self, Peer};
use super::pages::MARK;
use super::site::{Route, Site};
use crate::seams;

/// An app begins to answer within this time, or it does not. Browsers and ingress controllers wait less.
const TO_ANSWER: Duration = Duration::from_secs(300);
/// A websocket through which nothing came for so long is given up.
const IDLE: Duration = Duration::from_secs(3600);
/// Bytes of a websocket that are on their way at once, in each direction.
const BUFFER: usize = 16 << 10;

/// Why the app did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silent {
    /// No route of the camp is for this path.
    NoRoute,
    /// Too many requests are under way.
    Full,
    /// There is no connection, or it was cut off.
    Unreached,
    /// It took too long.
    TimedOut,
}

/// Room that a request takes, until its answer was read whole.
struct Room {
    _of_camp: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Inner {
    /// Passes the request on.
    pub(super) async fn pass(&self, site: &Site, mut request: Request) -> Result<Response, Silent> {
        let camp = &site.camp;
        let route = camp.route(&site.host, request.uri().path()).ok_or(Silent::NoRoute)?;
        let room = self.room(site)?;
        let websocket = headers::wants_websocket(request.method(), request.headers());
        let client = websocket.then(|| hyper::upgrade::on(&mut request));
        let peer = request.extensions().get::<Peer>().copied();
        let (parts, body) = request.into_parts();
        let mut onward = http::Request::new(body.map_err(Into::into).boxed_unsync());
        *onward.method_mut() = parts.method;
        *onward.uri_mut() = address(route, &camp.namespace, &parts.uri).ok_or(Silent::NoRoute)?;
        *onward.version_mut() = Version::HTTP_11;
        *onward.headers_mut() = parts.headers;
        let scheme = site.repository.spec.url.scheme.as_str();
        headers::end_hop(onward.headers_mut());
        headers::forward(onward.headers_mut(), peer, scheme);
        if websocket {
            headers::change_to_websocket(onward.headers_mut());
        }
        let answer = seams::send(self.parts.upstream.clone(), onward);
        let answer = match tokio::time::timeout(TO_ANSWER, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::debug!(camp = camp.environment, "an app did not answer: {error}");
                return Err(Silent::Unreached);
            }
            Err(_) => return Err(Silent::TimedOut),
        };
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = headers::is_websocket(answer.headers());
            let client = client.filter(|_| upgraded).ok_or(Silent::Unreached)?;
            return Ok(self.tunnel(client, answer, room));
        }
        let (mut parts, body) = answer.into_parts();
        parts.version = Version::HTTP_11;
        headers::end_hop(&mut parts.headers);
        parts.headers.remove(MARK);
        // The room is free again with the last byte, or when the visitor goes away.
        let held = body.map_frame(move |frame| {
            let _ = &room;
            frame
        });
        Ok(Response::from_parts(parts, Body::new(held)))
    }

    fn room(&self, site: &Site) -> Result<Room, Silent> {
        let take = |from: &Arc<tokio::sync::Semaphore>| {
            Arc::clone(from).try_acquire_owned().map_err(|_| Silent::Full)
        };
        Ok(Room { _of_camp: take(&site.camp.room)?, _of_all: take(&self.room)? })
    }

    /// Joins both ends once both have changed to a websocket.
    fn tunnel(
        &self,
        client: OnUpgrade,
        mut answer: http::Response<seams::Body>,
        room: Room,
    ) -> Response {
        let app = hyper::upgrade::on(&mut answer);
        let cut = self.cut.clone();
        self.tunnels.spawn(async move {
            let joined = async {
                let (client, app) = futures::future::try_join(client, app).await?;
                join(client, app).await;
                Ok::<_, hyper::Error>(())
            };
            tokio::select! {
                biased;
                () = cut.cancelled() => {}
                joined = joined => if let Err(error) = joined {
                    tracing::debug!("a websocket did not come about: {error}");
                },
            }
            drop(room);
        });
        let (mut parts, _) = answer.into_parts();
        headers::end_hop(&mut parts.headers);
        headers::change_to_websocket(&mut parts.headers);
        Response::from_parts(parts, Body::empty())
    }
}

/// The Service in the camp's own namespace, with the path as it was asked for. Every part of the name is a DNS label.
fn address(route: &Route, namespace: &str, asked: &Uri) -> Option<Uri> {
    let path = asked.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    format!("http://{}.{namespace}.svc:{}{path}", route.service, route.port).parse().ok()
}

/// Bytes both ways, until one end is closed or neither has said anything for long.
async fn join(client: Upgraded, app: Upgraded) {
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_app, to_app) = tokio::io::split(TokioIo::new(app));
    let (heard, mut hears) = watch::channel(());
    let both =
        futures::future::join(pump(from_client, to_app, &heard), pump(from_app, to_client, &heard));
    let idle = async {
        while tokio::time::timeout(IDLE, hears.changed()).await.is_ok_and(|more| more.is_ok()) {}
    };
    tokio::select! {
        biased;
        ((), ()) = both => {}
        () = idle => {}
    }
}

async fn pump(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    heard: &watch::Sender<()>,
) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count) = from.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            break;
        }
        heard.send_replace(());
    }
    // The other end learns that nothing more comes.
    let _ = to.shutdown().await;
}

/// The first bytes of a body that has to be short; `None`: it is longer, or was cut off.
pub(super) async fn short_body(body: Body, most: usize) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.ok()?;
        if whole.len() + piece.len() > most {
            return None;
        }
        whole.extend_from_slice(&piece);
    }
    Some(whole)
}
