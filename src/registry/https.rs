//! The way to registries over sockets: own resolution with a check of each address, no proxy, no redirect, https alone.
//! I/O: DNS and TCP.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::service_fn;

use super::address::is_allowed;
use crate::seams::{Body, BoxError, Transport, Unreached};

/// A connection comes about within this time, or it does not.
const CONNECT: Duration = Duration::from_secs(5);
/// The whole of a request, with its answer.
const TOTAL: Duration = Duration::from_secs(10);

/// The way to registries can't be made: the machine has no certificates of public authorities.
#[derive(Debug, thiserror::Error)]
#[error(
    "the client that asks registries can't be made; is there a package of public certificates (ca-certificates)?"
)]
pub struct RegistryTransportError(#[source] reqwest::Error);

/// A transport that fails with [`Unreached`] and nothing else. `private`: registries may be at addresses of private
/// networks.
pub fn https_transport(private: bool) -> Result<Transport, RegistryTransportError> {
    // The first one wins; ring is the one provider of this program, so it does not matter who is first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // A proxy would resolve names itself, behind our back.
        .no_proxy()
        .dns_resolver(Resolver { private })
        .connect_timeout(CONNECT)
        .timeout(TOTAL)
        .build()
        .map_err(RegistryTransportError)?;
    Ok(Transport::new(service_fn(move |request: Request<Body>| {
        send(client.clone(), request, private)
    })))
}

async fn send(
    client: reqwest::Client,
    request: Request<Body>,
    private: bool,
) -> Result<Response<Body>, BoxError> {
    let (parts, _) = request.into_parts();
    let request = reqwest::Request::try_from(Request::from_parts(parts, reqwest::Body::default()))
        .map_err(|_| Unreached::Broken("the address can't be asked for".into()))?;
    // A host that is an address is resolved by nobody, so it is checked here.
    if let Some(host) = request.url().host_str() {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok_and(|address| !is_allowed(address, private)) {
            return Err(Unreached::AddressRefused.into());
        }
    }
    let answer = client.execute(request).await.map_err(|error| classify(&error))?;
    let answer: Response<reqwest::Body> = answer.into();
    Ok(answer
        .map(|content| content.map_err(|error| BoxError::from(classify(&error))).boxed_unsync()))
}

struct Resolver {
    private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let mut found: Vec<SocketAddr> = found.map_err(|_| Unreached::NameNotFound)?.collect();
            if found.is_empty() {
                return Err(Unreached::NameNotFound.into());
            }
            found.retain(|address| is_allowed(address.ip(), private));
            if found.is_empty() {
                return Err(Unreached::AddressRefused.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// What is behind an error of the client, in words that are the same for the same cause.
fn classify(error: &reqwest::Error) -> Unreached {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(this) = cause {
        if let Some(known) = known(this) {
            return known;
        }
        cause = this.source();
    }
    if error.is_timeout() {
        Unreached::TimedOut
    } else if error.is_connect() {
        Unreached::NotConnected("the network does not lead there, or nobody listens".into())
    } else {
        Unreached::Broken("it is not HTTP, or it was cut off".into())
    }
}

/// An error of ours or of TLS, also inside of an `io::Error`, whose `source` skips what it holds.
fn known(error: &(dyn Error + 'static)) -> Option<Unreached> {
    if let Some(known) = error.downcast_ref::<Unreached>() {
        return Some(known.clone());
    }
    if error.is::<rustls::Error>() {
        return Some(Unreached::Tls("the handshake fails".into()));
    }
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    known(inner)
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;
    use crate::seams::body;

    #[tokio::test]
    async fn the_machine_its_link_and_private_networks_are_refused_before_anything_is_sent() {
        let ask = async |transport: &Transport, url: &str| {
            let request = Request::get(url).body(body("")).expect("a request");
            let error = transport.clone().oneshot(request).await.map(drop).expect_err("refused");
            error.downcast_ref::<Unreached>().cloned()
        };
        let (public, private) =
            (https_transport(false).expect("a client"), https_transport(true).expect("a client"));
        for url in [
            "https://127.0.0.1:1/v2/",
            "https://localhost:1/v2/",
            "https://[::ffff:169.254.169.254]/",
            "https://169.254.169.254/latest",
        ] {
            assert_eq!(ask(&public, url).await, Some(Unreached::AddressRefused), "{url}");
            assert_eq!(ask(&private, url).await, Some(Unreached::AddressRefused), "{url}");
        }
        assert_eq!(ask(&public, "https://10.1.2.3/v2/").await, Some(Unreached::AddressRefused));
        assert_eq!(ask(&public, "https://nothing.invalid/").await, Some(Unreached::NameNotFound));
        let plain = ask(&public, "http://8.8.8.8/").await;
        assert!(matches!(plain, Some(Unreached::Broken(_))), "{plain:?}");
    }
}
