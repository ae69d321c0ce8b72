//! The way to previews over sockets: own resolution with a check of each address, no proxy, no redirect, no connection
//! that is kept. I/O: DNS and TCP.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::service_fn;

use super::address::{ProbeAddress, is_allowed, is_this_machine};
use super::{CONNECT, TOTAL};
use crate::seams::{Body, BoxError, Transport, Unreached};

/// The way to previews can't be made: the machine has no certificates of public authorities.
#[derive(Debug, thiserror::Error)]
#[error(
    "the client that asks previews can't be made; is there a package of public certificates (ca-certificates)?"
)]
pub struct ProbeTransportError(#[source] pub(super) reqwest::Error);

/// A transport that fails with [`Unreached`] and nothing else. With `fixed`, every host is asked there, under its own name.
pub fn https_transport(fixed: Option<ProbeAddress>) -> Result<Transport, ProbeTransportError> {
    // The first one wins; ring is the one provider of this program, so it does not matter who is first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is_fixed = fixed.is_some();
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // A proxy would resolve names itself, behind our back.
        .no_proxy()
        .dns_resolver(Resolver { fixed })
        .connect_timeout(CONNECT)
        .timeout(TOTAL)
        .pool_max_idle_per_host(0)
        .build()
        .map_err(ProbeTransportError)?;
    Ok(Transport::new(service_fn(move |request: Request<Body>| {
        send(client.clone(), request, is_fixed)
    })))
}

async fn send(
    client: reqwest::Client,
    request: Request<Body>,
    is_fixed: bool,
) -> Result<Response<Body>, BoxError> {
    let (mut parts, _) = request.into_parts();
    let wrong = || Unreached::Broken("the address can't be asked for".into());
    if is_fixed {
        // A port in the address would go before the resolver's; the app is told the one that people use.
        let authority = parts.uri.authority().ok_or_else(wrong)?.clone();
        let host = http::HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?;
        parts.headers.insert(header::HOST, host);
        let scheme = parts.uri.scheme_str().unwrap_or("https");
        let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        parts.uri =
            format!("{scheme}://{}{path}", authority.host()).parse().map_err(|_| wrong())?;
    }
    let request = reqwest::Request::try_from(Request::from_parts(parts, reqwest::Body::default()))
        .map_err(|_| wrong())?;
    // A host that is an address is resolved by nobody, so it is checked here.
    if let (Some(host), false) = (request.url().host_str(), is_fixed) {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.parse::<IpAddr>().is_ok_and(|address| !is_allowed(address)) {
            return Err(Unreached::AddressRefused.into());
        }
    }
    let answer = client.execute(request).await.map_err(|error| classify(&error))?;
    let answer: Response<reqwest::Body> = answer.into();
    Ok(answer
        .map(|content| content.map_err(|error| BoxError::from(classify(&error))).boxed_unsync()))
}

struct Resolver {
    fixed: Option<ProbeAddress>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let fixed = self.fixed.clone();
        Box::pin(async move {
            let found = match fixed {
                Some(ProbeAddress { host, port }) => look_up(&host, port).await?,
                None if is_this_machine(name.as_str()) => vec![
                    SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                    SocketAddr::from((Ipv6Addr::LOCALHOST, 0)),
                ],
                None => {
                    let mut found = look_up(name.as_str(), 0).await?;
                    found.retain(|address| is_allowed(address.ip()));
                    if found.is_empty() {
                        return Err(Unreached::AddressRefused.into());
                    }
                    found
                }
            };
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

pub(super) async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, BoxError> {
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host((host, port)).await.map_err(|_| Unreached::NameNotFound)?.collect();
    if found.is_empty() { Err(Unreached::NameNotFound.into()) } else { Ok(found) }
}

/// What is behind an error of the client, in words that are the same for the same cause.
pub(super) fn classify(error: &reqwest::Error) -> Unreached {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    let mut refused = None;
    while let Some(this) = cause {
        if let Some(known) = known(this) {
            return known;
        }
        if let Some(io) = this.downcast_ref::<io::Error>() {
            refused = refused.or_else(|| connection(io.kind()));
        }
        cause = this.source();
    }
    if error.is_timeout() {
        return Unreached::TimedOut;
    }
    match refused {
        Some(why) => Unreached::NotConnected(why.into()),
        None if error.is_connect() => {
            Unreached::NotConnected("the network does not lead there".into())
        }
        None => Unreached::Broken("it is not HTTP, or it was cut off".into()),
    }
}

/// An error of ours or of TLS, also inside of an `io::Error`, whose `source` skips what it holds.
fn known(error: &(dyn Error + 'static)) -> Option<Unreached> {
    if let Some(known) = error.downcast_ref::<Unreached>() {
        return Some(known.clone());
    }
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(Unreached::Tls(tls_words(tls).into()));
    }
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    known(inner)
}

fn connection(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::ConnectionRefused => Some("connection refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => {
            Some("connection reset")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            Some("the network does not lead there")
        }
        _ => None,
    }
}

/// rustls' own words hold times and names; these don't.
fn tls_words(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "the certificate is expired",
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "the certificate is not valid yet",
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                "the certificate is for another name"
            }
            Bad::UnknownIssuer => "the certificate is from an issuer that is not trusted here",
            Bad::Revoked => "the certificate is revoked",
            _ => "the certificate is not valid",
        },
        rustls::Error::NoCertificatesPresented => "the server shows no certificate",
        rustls::Error::AlertReceived(_) => "the server refuses the handshake",
        rustls::Error::InvalidMessage(_) => "the server does not speak TLS",
        _ => "the handshake fails",
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use http::HeaderMap;
    use tokio::net::TcpListener;
    use tower::ServiceExt as _;

    use super::*;
    use crate::domain::policy::{Tls, Url};
    use crate::domain::reachable::{self, Target};
    use crate::probe::{Prober, USER_AGENT};
    use crate::seams::body;

    fn target(scheme: &str, host: &str, port: u16, path: &str) -> Target {
        let domain = host.split_once('.').expect("a domain").1;
        let url = Url {
            host: domain.into(),
            scheme: scheme.into(),
            port: Some(port),
            ingress_class: None,
            gateway: None,
            tls: Tls::default(),
            probe: true,
        };
        let all = reachable::targets([("web", host, Some(path))], &url);
        all.into_iter().next().expect("it is asked")
    }

    async fn server() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let endless = async || {
            let chunks = futures::stream::repeat(Ok::<_, std::convert::Infallible>(
                bytes::Bytes::from_static(&[b'x'; 1024]),
            ));
            (http::StatusCode::NOT_FOUND, axum::body::Body::from_stream(chunks))
        };
        let who = async |headers: HeaderMap| {
            let agent = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or("");
            let host =
                headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
            let fine = agent == USER_AGENT && host.starts_with("a.preview.localhost");
            if fine { http::StatusCode::OK } else { http::StatusCode::INTERNAL_SERVER_ERROR }
        };
        let router = axum::Router::new()
            .route("/who", get(who))
            .route("/default", get(async || (http::StatusCode::NOT_FOUND, "default backend - 404")))
            .route("/ill", get(async || http::StatusCode::SERVICE_UNAVAILABLE))
            .route("/in", get(async || axum::response::Redirect::temporary("/ill")))
            .route("/round", get(async || axum::response::Redirect::temporary("/round")))
            .route(
                "/away",
                get(async || axum::response::Redirect::temporary("http://169.254.169.254/")),
            )
            .route("/endless", get(endless));
        tokio::spawn(async move { axum::serve(listener, router).await });
        port
    }

    async fn why(prober: &Prober, target: &Target) -> String {
        prober.ask(target).await.map(|silence| silence.why).unwrap_or_default()
    }

    #[tokio::test]
    async fn answers_are_told_apart_over_sockets() {
        let port = server().await;
        let prober = Prober::new(https_transport(None).unwrap());
        for (path, expected) in [
            ("/who", ""),
            (
                "/default",
                "a.preview.localhost answers 404, as an ingress controller does that has no route for it",
            ),
            ("/ill", "a.preview.localhost answers 503 (Service Unavailable)"),
            ("/in", "a.preview.localhost answers 503 (Service Unavailable)"),
            ("/round", "a.preview.localhost leads from one redirect to the next"),
            ("/away", ""),
            ("/endless", ""),
        ] {
            let target = target("http", "a.preview.localhost", port, path);
            assert_eq!(why(&prober, &target).await, expected, "{path}");
        }
        let https = target("https", "a.preview.localhost", port, "/who");
        assert!(
            why(&prober, &https).await.starts_with("TLS to a.preview.localhost fails"),
            "{}",
            why(&prober, &https).await
        );
        let unbound = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let closed = target("http", "a.preview.localhost", unbound, "/");
        assert_eq!(
            why(&prober, &closed).await,
            "there is no connection to a.preview.localhost: connection refused"
        );
    }

    #[tokio::test]
    async fn a_fixed_address_is_asked_under_the_previews_own_name() {
        let port = server().await;
        let fixed = format!("127.0.0.1:{port}").parse().unwrap();
        let prober = Prober::new(https_transport(Some(fixed)).unwrap());
        let elsewhere = target("http", "a.preview.localhost", 8443, "/who");
        assert_eq!(
            why(&prober, &elsewhere).await,
            "",
            "the port of the address goes before the policy's"
        );
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_refused_and_one_that_leads_nowhere_is_told() {
        let transport = https_transport(None).unwrap();
        let ask = async |url: &str| {
            let request = Request::get(url).body(body("")).unwrap();
            let error = transport.clone().oneshot(request).await.map(drop).unwrap_err();
            error.downcast_ref::<Unreached>().cloned()
        };
        assert_eq!(ask("http://169.254.169.254/latest").await, Some(Unreached::AddressRefused));
        assert_eq!(ask("http://[::ffff:127.0.0.1]:1/").await, Some(Unreached::AddressRefused));
        assert_eq!(ask("http://nothing.invalid/").await, Some(Unreached::NameNotFound));
    }

    #[tokio::test]
    async fn what_does_not_answer_is_given_up_after_five_seconds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        let prober = Prober::new(https_transport(None).unwrap());
        let silent = target("http", "a.preview.localhost", port, "/");
        let answer = tokio::time::timeout(TOTAL * 2, why(&prober, &silent)).await;
        assert_eq!(answer.expect("an end"), "a.preview.localhost does not answer in time");
    }
}
