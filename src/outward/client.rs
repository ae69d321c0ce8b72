//! The client behind a [`Policy`]: own resolution with a check of each address, hosts that are addresses checked before
//! anything is sent. I/O: DNS and TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::service_fn;

use super::address::{is_allowed, is_this_machine};
use super::classify::classify;
use super::{OutwardError, Policy, ThisMachine};
use crate::seams::{Body, BoxError, Transport, Unreached};

/// A transport that fails with [`Unreached`] and nothing else, but for a request's own body that fails.
pub fn transport(policy: Policy) -> Result<Transport, OutwardError> {
    // The first one wins; ring is the one provider of this program, so it does not matter who is first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let policy = Arc::new(policy);
    let mut client = reqwest::Client::builder()
        .https_only(policy.https_only)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // A proxy would resolve names itself, behind our back.
        .no_proxy()
        .dns_resolver(Resolver(policy.clone()))
        .connect_timeout(policy.connect)
        .timeout(policy.total);
    if !policy.keep {
        client = client.pool_max_idle_per_host(0);
    }
    let client = client.build().map_err(OutwardError)?;
    Ok(Transport::new(service_fn(move |request: Request<Body>| {
        send(client.clone(), request, policy.clone())
    })))
}

async fn send(
    client: reqwest::Client,
    request: Request<Body>,
    policy: Arc<Policy>,
) -> Result<Response<Body>, BoxError> {
    let wrong = || Unreached::Broken("the address can't be asked for".into());
    let (mut parts, content) = request.into_parts();
    if policy.instead.is_some() {
        // A port in the address would go before the resolver's; the app is told the one that people use.
        let authority = parts.uri.authority().ok_or_else(wrong)?.clone();
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?;
        parts.headers.insert(header::HOST, host);
        let scheme = parts.uri.scheme_str().unwrap_or("https");
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        parts.uri =
            format!("{scheme}://{}{path}", authority.host()).parse().map_err(|_| wrong())?;
    }
    let content = content.collect().await?.to_bytes();
    let request =
        reqwest::Request::try_from(Request::from_parts(parts, content)).map_err(|_| wrong())?;
    // A host that is an address is resolved by nobody, so it is checked here.
    if let (Some(host), None) = (request.url().host_str(), &policy.instead) {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok_and(|address| !is_allowed(address, policy.reach)) {
            return Err(Unreached::AddressRefused.into());
        }
    }
    let answer = client.execute(request).await.map_err(|error| classify(&error))?;
    let answer: Response<reqwest::Body> = answer.into();
    Ok(answer
        .map(|content| content.map_err(|error| BoxError::from(classify(&error))).boxed_unsync()))
}

struct Resolver(Arc<Policy>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0.clone();
        Box::pin(async move {
            let addresses: Addrs = Box::new(addresses(name.as_str(), &policy).await?.into_iter());
            Ok(addresses)
        })
    }
}

async fn addresses(name: &str, policy: &Policy) -> Result<Vec<SocketAddr>, Unreached> {
    if let Some((host, port)) = &policy.instead {
        return look_up(host, *port).await;
    }
    if is_this_machine(name) {
        return match policy.this_machine {
            ThisMachine::Refused => Err(Unreached::AddressRefused),
            ThisMachine::Asked => Ok(vec![
                SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
            ]),
        };
    }
    let mut found = look_up(name, 0).await?;
    found.retain(|address| is_allowed(address.ip(), policy.reach));
    if found.is_empty() { Err(Unreached::AddressRefused) } else { Ok(found) }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Unreached> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found.map_err(|_| Unreached::NameNotFound)?.collect();
    if found.is_empty() { Err(Unreached::NameNotFound) } else { Ok(found) }
}
