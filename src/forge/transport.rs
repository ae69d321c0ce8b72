//! I/O · the transport with sockets: TLS by rustls, time limits, no redirect followed (the client follows those that
//! stay at the same host, so that the token never leaves it).

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use tower::service_fn;

use crate::seams::{Body, BoxError, Transport};

/// Why the transport could not be made.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up the HTTPS client")]
pub struct TransportError(#[source] reqwest::Error);

/// A transport that opens sockets to whatever host a request names.
///
/// `allow_http` lets it speak without TLS too, for a GitHub on the same machine. `connect` limits the time until a
/// connection stands, `total` the time until the answer's body has been read.
pub fn https_transport(
    allow_http: bool,
    connect: Duration,
    total: Duration,
) -> Result<Transport, TransportError> {
    // The first one wins; ring is the one provider of this program, so it does not matter who is first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .https_only(!allow_http)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(connect)
        .timeout(total)
        .pool_idle_timeout(Duration::from_secs(60))
        .build()
        .map_err(TransportError)?;
    Ok(Transport::new(service_fn(move |request: Request<Body>| send(client.clone(), request))))
}

async fn send(client: reqwest::Client, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    let (parts, content) = request.into_parts();
    // What we send is small: a comment at most.
    let content = content.collect().await?.to_bytes();
    let request = reqwest::Request::try_from(Request::from_parts(parts, content))?;
    // An error would name the address; that is in our own error already, as path.
    let response = client.execute(request).await.map_err(reqwest::Error::without_url)?;
    let response: Response<reqwest::Body> = response.into();
    Ok(response
        .map(|content| content.map_err(|error| BoxError::from(error.without_url())).boxed_unsync()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seams::body;
    use http::StatusCode;
    use tower::ServiceExt;

    /// A server on loopback: `/slow` never answers, `/away` redirects, all else tells what it was sent.
    async fn server() -> String {
        use axum::routing::{any, get};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new()
            .route("/slow", get(async || futures::future::pending::<&str>().await))
            .route("/away", get(async || axum::response::Redirect::temporary("/echo")))
            .fallback(any(async |request: axum::extract::Request| {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                format!("{} {} {}", parts.method, parts.uri, String::from_utf8_lossy(&body))
            }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    async fn ask(
        transport: &Transport,
        url: String,
        content: &str,
    ) -> Result<(StatusCode, String), BoxError> {
        let request = Request::post(url).body(body(content.to_owned())).unwrap();
        let (parts, body) = transport.clone().oneshot(request).await?.into_parts();
        let bytes = body.collect().await?.to_bytes();
        Ok((parts.status, String::from_utf8(bytes.to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn it_speaks_http_only_when_allowed_follows_nothing_and_gives_up_in_time() {
        let home = server().await;
        let second = Duration::from_secs(1);
        let open = https_transport(true, second, Duration::from_millis(300)).unwrap();
        let echoed = ask(&open, format!("{home}/x?y=1"), "hello").await.unwrap();
        assert_eq!(echoed, (StatusCode::OK, "POST /x?y=1 hello".to_owned()));

        let get = |path: &str| Request::get(format!("{home}{path}")).body(body("")).unwrap();
        let away = open.clone().oneshot(get("/away")).await.unwrap();
        assert_eq!(away.status(), StatusCode::TEMPORARY_REDIRECT);
        assert!(open.clone().oneshot(get("/slow")).await.is_err());

        let closed = https_transport(false, second, second).unwrap();
        assert!(ask(&closed, format!("{home}/x"), "hello").await.is_err());
    }
}
