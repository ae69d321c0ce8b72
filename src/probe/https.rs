//! The way to previews over sockets. I/O: DNS and TCP, through `outward`.

use super::address::ProbeAddress;
use super::{CONNECT, TOTAL};
use crate::outward::{self, OutwardError, Policy, Reach, ThisMachine};
use crate::seams::Transport;

/// A transport that fails with [`crate::seams::Unreached`]. With `fixed`, every host is asked there, under its own name.
///
/// The wildcard name is the platform team's and may be private, so private networks are fine. Below `.localhost` previews
/// are on this machine: somebody tries the service.
pub fn https_transport(fixed: Option<ProbeAddress>) -> Result<Transport, OutwardError> {
    outward::transport(Policy {
        reach: Reach::Private,
        this_machine: ThisMachine::Asked,
        instead: fixed.map(|ProbeAddress { host, port }| (host, port)),
        https_only: false,
        keep: false,
        connect: CONNECT,
        total: TOTAL,
    })
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use http::{HeaderMap, Request, header};
    use tokio::net::TcpListener;
    use tower::ServiceExt as _;

    use super::*;
    use crate::domain::policy::{Tls, Url};
    use crate::domain::reachable::{self, Target};
    use crate::probe::{Prober, USER_AGENT};
    use crate::seams::{Unreached, body};

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
