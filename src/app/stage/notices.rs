//! The receivers of notices in a world of its own: they take what the service sends, and remember it; with faults on wish.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tower::service_fn;

use crate::seams::{Body, BoxError, Clock, Transport, Unreached, body};

/// One notice that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: DateTime<Utc>,
    /// Where to.
    pub url: String,
    /// Headers, by name.
    pub headers: BTreeMap<String, String>,
    /// The raw body.
    pub body: Bytes,
}

#[derive(Default)]
struct State {
    sent: Vec<Sent>,
    /// Status of the next answers; 0: no connection.
    faults: Vec<u16>,
}

/// All receivers. A clone is the same ones.
#[derive(Clone)]
pub struct Notices {
    clock: Clock,
    state: Arc<Mutex<State>>,
}

impl Notices {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next answers have these statuses; 0 is no connection.
    pub fn answer(&self, statuses: &[u16]) {
        self.lock().faults = statuses.to_vec();
    }

    /// What was sent so far, answered well or not.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.lock().sent.clone()
    }

    pub(super) fn transport(&self) -> Transport {
        let notices = self.clone();
        Transport::new(service_fn(move |request| {
            let notices = notices.clone();
            async move { notices.take(request).await }
        }))
    }

    async fn take(&self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let (parts, content) = request.into_parts();
        let content = content.collect().await?.to_bytes();
        let headers = parts.headers.iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let sent = Sent {
            at: self.clock.now(),
            url: parts.uri.to_string(),
            headers: headers.collect(),
            body: content,
        };
        let status = {
            let mut state = self.lock();
            state.sent.push(sent);
            if state.faults.is_empty() { 200 } else { state.faults.remove(0) }
        };
        if status == 0 {
            return Err(Unreached::NotConnected("connection refused".into()).into());
        }
        Ok(Response::builder().status(status).body(body("ok"))?)
    }
}
