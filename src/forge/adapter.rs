//! I/O · the service octocrab speaks through: our headers on the way out, the token to its own host only, a capped body on the way in.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use octocrab::OctoBody;
use tower::{Service, ServiceExt};

use crate::seams::{Body, BoxError, Transport, body};

/// A page of 100 comments of full length, four bytes a character, fits.
pub(super) const MOST_BYTES: usize = 32 << 20;

/// The answer is bigger than [`MOST_BYTES`].
#[derive(Debug, thiserror::Error)]
#[error("the answer is bigger than {MOST_BYTES} bytes")]
pub(super) struct BodyTooLarge;

/// One peer.
#[derive(Clone)]
pub(super) struct Adapter {
    transport: Transport,
    /// The token goes to no other scheme, host or port than this.
    home: (Scheme, Authority),
}

impl Adapter {
    pub(super) fn new(transport: Transport, home: (Scheme, Authority)) -> Self {
        Self { transport, home }
    }
}

impl Service<Request<OctoBody>> for Adapter {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // `call` waits for a clone of the transport to be ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<OctoBody>) -> Self::Future {
        let transport = self.transport.clone();
        let (mut parts, content) = request.into_parts();
        let headers = &mut parts.headers;
        headers.insert(USER_AGENT, HeaderValue::from_static("bivouac"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert("x-github-api-version", HeaderValue::from_static("2022-11-28"));
        if parts.uri.scheme() != Some(&self.home.0) || parts.uri.authority() != Some(&self.home.1) {
            headers.remove(AUTHORIZATION);
        }
        Box::pin(async move {
            let content = content.collect().await?.to_bytes();
            let response = sent(transport, Request::from_parts(parts, body(content))).await?;
            let (parts, content) = response.into_parts();
            Ok(Response::from_parts(parts, Full::new(capped(content).await?)))
        })
    }
}

// Boxed futures with named types: inside one async block the compiler loses that `BoxError` is 'static.
fn sent(
    transport: Transport,
    request: Request<Body>,
) -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
    Box::pin(transport.oneshot(request))
}

fn capped(content: Body) -> BoxFuture<'static, Result<Bytes, BoxError>> {
    Box::pin(Limited::new(content, MOST_BYTES).collect().map(|collected| {
        collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
            if error.is::<LengthLimitError>() { BodyTooLarge.into() } else { error }
        })
    }))
}
