//! The service's way to the previews in a world of its own: the sandbox's door, called in process, with faults on wish. It
//! remembers what was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use http::{Request, Response, header};
use tower::{ServiceExt as _, service_fn};

use crate::seams::{Body, BoxError, Clock, Transport, Unreached, body};

/// What becomes of a request to one host.
#[derive(Clone, Debug)]
pub enum PreviewFault {
    /// There is no answer.
    Unreached(Unreached),
    /// Somebody on the way answers with this status and text.
    Answer(u16, String),
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When.
    pub at: DateTime<Utc>,
    /// The address.
    pub url: String,
    /// `User-Agent`.
    pub agent: String,
}

#[derive(Default)]
struct State {
    faults: BTreeMap<String, (PreviewFault, u32)>,
    asked: Vec<Asked>,
}

/// The way. A clone is the same way.
#[derive(Clone)]
pub struct Previews {
    door: Transport,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Previews {
    pub(super) fn new(door: Transport, clock: Clock) -> Self {
        Self { door, clock, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next `times` requests to `host` end so.
    pub fn fail(&self, host: &str, fault: PreviewFault, times: u32) {
        self.lock().faults.insert(host.to_owned(), (fault, times));
    }

    /// Nothing fails any more.
    pub fn fail_no_more(&self) {
        self.lock().faults.clear();
    }

    /// What the service asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    pub(super) fn transport(&self) -> Transport {
        let previews = self.clone();
        Transport::new(service_fn(move |request| {
            let previews = previews.clone();
            async move { previews.send(request).await }
        }))
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        match self.note(&request) {
            Some(PreviewFault::Unreached(why)) => Err(why.into()),
            Some(PreviewFault::Answer(status, text)) => {
                Ok(Response::builder().status(status).body(body(text))?)
            }
            None => {
                let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
                request.headers_mut().insert(header::HOST, host.parse()?);
                through(self.door.clone(), request).await
            }
        }
    }

    fn note(&self, request: &Request<Body>) -> Option<PreviewFault> {
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let asked = Asked {
            at: self.clock.now(),
            url: request.uri().to_string(),
            agent: agent.unwrap_or_default().to_owned(),
        };
        let state = &mut *self.lock();
        state.asked.push(asked);
        let (fault, left) = state.faults.get_mut(request.uri().host().unwrap_or_default())?;
        *left = left.checked_sub(1)?;
        Some(fault.clone())
    }
}

fn through(
    door: Transport,
    request: Request<Body>,
) -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
    Box::pin(door.oneshot(request))
}
