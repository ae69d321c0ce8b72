//! From a [`Transport`] to a `kube::Client`: maps bodies and adds who is asking. No I/O of its own.

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Uri};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use secrecy::{ExposeSecret, SecretString};
use tower::{ServiceBuilder, ServiceExt};

use crate::seams::Transport;

/// A client that sends its requests through `transport`, as nobody in particular.
///
/// Must be called inside a tokio runtime: the client keeps a task there.
#[must_use]
pub fn client_over(transport: Transport) -> Client {
    build(transport, None)
}

/// A client that sends its requests through `transport` with a bearer token.
///
/// A token that can't stand in a header is left out, and the server says 401.
#[must_use]
pub fn client_over_with_token(transport: Transport, token: &SecretString) -> Client {
    let mut header = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok();
    if let Some(header) = &mut header {
        header.set_sensitive(true);
    }
    build(transport, header)
}

fn build(transport: Transport, authorization: Option<HeaderValue>) -> Client {
    let service = ServiceBuilder::new()
        .map_request(move |request: Request<Body>| {
            let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
            if let Some(value) = &authorization {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
            }
            complete(request.uri_mut());
            request
        })
        .service(transport);
    Client::new(service.boxed_clone(), "default")
}

/// A transport may be a router, which doesn't care, or a socket, which wants scheme and host.
fn complete(uri: &mut Uri) {
    if uri.authority().is_none() {
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        if let Ok(whole) = Uri::try_from(format!("http://kubernetes.default.svc{path}")) {
            *uri = whole;
        }
    }
}
