//! The way to receivers of notices over sockets: each address is checked after its name was resolved, no proxy, no redirect,
//! no connection that is kept. I/O: DNS and TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::service_fn;

use super::address::{embedded_v4, is_allowed, is_this_machine};
use super::https::{ProbeTransportError, classify, look_up};
use crate::seams::{Body, BoxError, Transport, Unreached};

/// A connection comes about within this time, or it does not.
const CONNECT: Duration = Duration::from_secs(5);
/// The whole of a request, with its answer.
const TOTAL: Duration = Duration::from_secs(10);

/// A transport that fails with [`Unreached`] and nothing else. Machine, link and metadata are never reached; private
/// networks, and receivers that speak no TLS, only with `private`.
pub fn outward_transport(private: bool) -> Result<Transport, ProbeTransportError> {
    // The first one wins; ring is the one provider of this program, so it does not matter who is first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .https_only(!private)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // A proxy would resolve names itself, behind our back.
        .no_proxy()
        .dns_resolver(Resolver { private })
        .connect_timeout(CONNECT)
        .timeout(TOTAL)
        .pool_max_idle_per_host(0)
        .build()
        .map_err(ProbeTransportError)?;
    Ok(Transport::new(service_fn(move |request: Request<Body>| {
        send(client.clone(), request, private)
    })))
}

async fn send(
    client: reqwest::Client,
    request: Request<Body>,
    private: bool,
) -> Result<Response<Body>, BoxError> {
    let wrong = || Unreached::Broken("the address can't be asked for".into());
    let (parts, content) = request.into_parts();
    let content = content.collect().await?.to_bytes();
    let request =
        reqwest::Request::try_from(Request::from_parts(parts, content)).map_err(|_| wrong())?;
    // A host that is an address is resolved by nobody, so it is checked here.
    if let Some(host) = request.url().host_str() {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok_and(|address| !may(address, private)) {
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
            if is_this_machine(name.as_str()) {
                return Err(Unreached::AddressRefused.into());
            }
            let mut found: Vec<SocketAddr> = look_up(name.as_str(), 0).await?;
            found.retain(|address| may(address.ip(), private));
            if found.is_empty() {
                return Err(Unreached::AddressRefused.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether a receiver may be at `address`.
fn may(address: IpAddr, private: bool) -> bool {
    is_allowed(address) && (private || is_public(address))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    // Shared by providers, benchmarks, protocol assignments, and what is reserved.
    let special = (a == 100 && (64..128).contains(&b))
        || (a == 198 && (18..20).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || a >= 240;
    !(address.is_private() || address.is_documentation() || special)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    // Of all the space only this is the public internet; documentation is a corner of it.
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000 && !(first == 0x2001 && second == 0xdb8)
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;
    use crate::seams::body;

    #[test]
    fn private_networks_are_refused_unless_they_are_wanted_and_the_machine_always() {
        for private in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "fd12::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2001:db8::1",
            "192.0.2.1",
        ] {
            let address = private.parse().expect("an address");
            assert!(!may(address, false) && may(address, true), "{private}");
        }
        for never in
            ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "0.0.0.0", "::ffff:127.0.0.1"]
        {
            let address = never.parse().expect("an address");
            assert!(!may(address, false) && !may(address, true), "{never}");
        }
        for public in ["8.8.8.8", "140.82.112.3", "2606:50c0::1"] {
            assert!(may(public.parse().expect("an address"), false), "{public}");
        }
    }

    #[tokio::test]
    async fn neither_a_name_nor_an_address_of_this_machine_is_reached() {
        for (private, url) in [
            (false, "https://127.0.0.1:1/"),
            (false, "https://10.0.0.1:1/"),
            (false, "https://localhost:1/"),
            (true, "http://a.localhost:1/"),
            (true, "http://[::1]:1/"),
            (true, "http://169.254.169.254/latest"),
        ] {
            let transport = outward_transport(private).expect("a client");
            let request = Request::post(url).body(body("x")).expect("a request");
            let error = transport.oneshot(request).await.map(drop).expect_err(url);
            assert_eq!(error.downcast_ref(), Some(&Unreached::AddressRefused), "{url}");
        }
    }
}
