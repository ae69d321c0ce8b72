//! Asks a preview's address whether its app answers: one GET, bounded in time and bytes. In: a
//! [`Target`]; out: what was heard. I/O: the transport that it is given.
//!
//! It asks what the domain names and nothing else: whether a host may be asked is decided there, whether an address may
//! be is decided by the transport ([`https_transport`]).

mod address;
mod https;

use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, Request, Response, header};
use http_body_util::BodyStream;
use tower::ServiceExt as _;

pub use address::{InvalidProbeAddress, ProbeAddress};
pub use https::https_transport;

use crate::domain::reachable::{self, Heard, Silence, Target, Verdict};
use crate::seams::{Body, BoxError, Transport, Unreached, body};

/// How the probe calls itself, so that logs and figures of an app can leave it out.
pub const USER_AGENT: &str = "bivouac-probe";
/// A connection comes about within this time, or it does not.
const CONNECT: Duration = Duration::from_secs(3);
/// The whole of a request, with its answer.
const TOTAL: Duration = Duration::from_secs(5);
/// Bytes of an answer's body that are looked at.
const BODY: usize = 8 << 10;

/// Asks previews.
#[derive(Clone)]
pub struct Prober {
    transport: Transport,
}

impl Prober {
    /// Asks over `transport`.
    #[must_use]
    pub fn new(transport: Transport) -> Self {
        Self { transport }
    }

    /// Why `target` does not answer; `None` when it does. Redirects are followed within its own host only.
    pub async fn ask(&self, target: &Target) -> Option<Silence> {
        let mut path = target.path.clone();
        for _ in 0..=reachable::MAX_REDIRECTS {
            let heard = self.hear(target, &path).await;
            match reachable::judge(target, &heard) {
                Verdict::Answers => return None,
                Verdict::Silent(silence) => return Some(silence),
                Verdict::Follow(next) => path = next,
            }
        }
        Some(reachable::circle(target))
    }

    async fn hear(&self, target: &Target, path: &str) -> Heard {
        let request = Request::get(format!("{}{path}", target.origin))
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .body(body(""));
        let Ok(request) = request else {
            return Heard::Broken("the address can't be asked for".into());
        };
        let told = async {
            let answer = send(self.transport.clone(), request).await?;
            Ok::<_, BoxError>(read(answer).await)
        };
        match tokio::time::timeout(TOTAL, told).await {
            Ok(Ok(heard)) => heard,
            Ok(Err(error)) => unheard(error.as_ref()),
            Err(_) => Heard::TimedOut,
        }
    }
}

/// A function of its own, so that the future's type has no lifetime in it.
fn send(
    transport: Transport,
    request: Request<Body>,
) -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
    Box::pin(transport.oneshot(request))
}

async fn read(answer: Response<Body>) -> Heard {
    let (parts, content) = answer.into_parts();
    let status = parts.status.as_u16();
    let body = if status == 404 { beginning(content).await } else { String::new() };
    Heard::Answer {
        status,
        server: word(&parts.headers, &header::SERVER).unwrap_or_default(),
        location: word(&parts.headers, &header::LOCATION),
        from_upstream: parts.headers.contains_key("x-envoy-upstream-service-time"),
        body,
    }
}

fn word(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The first bytes of a body; what comes after them is not waited for.
async fn beginning(content: Body) -> String {
    let mut stream = BodyStream::new(content);
    let mut bytes = Vec::new();
    while bytes.len() < BODY {
        match stream.next().await {
            Some(Ok(frame)) => bytes.extend(frame.into_data().into_iter().flatten()),
            Some(Err(_)) | None => break,
        }
    }
    bytes.truncate(BODY);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn unheard(error: &(dyn std::error::Error + 'static)) -> Heard {
    match error.downcast_ref::<Unreached>() {
        Some(Unreached::NameNotFound) => Heard::NameNotFound,
        Some(Unreached::AddressRefused) => Heard::AddressRefused,
        Some(Unreached::NotConnected(why)) => Heard::NotConnected(why.clone()),
        Some(Unreached::Tls(why)) => Heard::Tls(why.clone()),
        Some(Unreached::TimedOut) => Heard::TimedOut,
        Some(Unreached::Broken(why)) => Heard::Broken(why.clone()),
        None => Heard::Broken("the request failed".into()),
    }
}
