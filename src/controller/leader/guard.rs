//! The last door before forge and clusters: what is no reading goes out only while this replica leads. I/O: passes on.

use futures::{FutureExt as _, future};
use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use tower::ServiceExt as _;

use super::Leadership;
use crate::seams::{self, BoxError, Transport};

/// Why a write was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this replica does not lead now: nothing is written by it")]
pub struct NotLeading;

/// `GET` and `HEAD` change nothing; all else may.
fn may_pass(method: &Method, leadership: &Leadership) -> Result<(), BoxError> {
    if matches!(*method, Method::GET | Method::HEAD) || leadership.holds() {
        Ok(())
    } else {
        Err(NotLeading.into())
    }
}

/// The same client, for which each write asks `leadership` at the moment at which it would be sent.
#[must_use]
pub fn guarded_client(client: Client, leadership: &Leadership) -> Client {
    let namespace = client.default_namespace().to_owned();
    let leadership = leadership.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, passes) = (client.clone(), may_pass(request.method(), &leadership));
        async move {
            passes?;
            client.send(request).await.map_err(BoxError::from)
        }
    });
    Client::new(service, namespace)
}

/// The same transport, for which each write asks `leadership` at the moment at which it would be sent.
#[must_use]
pub fn guarded_transport(transport: Transport, leadership: &Leadership) -> Transport {
    let leadership = leadership.clone();
    Transport::new(tower::service_fn(move |request: Request<seams::Body>| {
        match may_pass(request.method(), &leadership) {
            Ok(()) => transport.clone().oneshot(request).left_future(),
            Err(refused) => future::ready(Err(refused)).right_future(),
        }
    }))
}
