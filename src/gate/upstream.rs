//! The way to the Services of camps over sockets: the cluster's names, connections that are kept for a while, no proxy, no
//! redirect. I/O: DNS and TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower::service_fn;

use crate::outward::{Reach, is_allowed};
use crate::seams::{Body, BoxError, Transport};

/// A connection comes about within this time, or it does not.
const CONNECT: Duration = Duration::from_secs(5);
/// Apps close what is idle after a minute or so. Who is first saves the other a request that runs into a closed door.
const IDLE: Duration = Duration::from_secs(20);
/// Idle connections to one Service.
const IDLE_AT_MOST: usize = 8;

/// A transport for addresses of Services.
#[must_use]
pub fn cluster_transport() -> Transport {
    let resolver = service_fn(|name: Name| async move {
        let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
        let allowed: Vec<SocketAddr> =
            found.filter(|one| is_allowed(one.ip(), Reach::Services)).collect();
        if allowed.is_empty() {
            return Err(io::Error::other("the name leads to no address of a Service"));
        }
        Ok(allowed.into_iter())
    });
    let mut connector = HttpConnector::new_with_resolver(resolver);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_AT_MOST)
        .build(connector);
    Transport::new(service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let answer: Response<hyper::body::Incoming> = client.request(request).await?;
            Ok::<_, BoxError>(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
        }
    }))
}
