//! A Prometheus in a world of its own: it knows what the sandbox's ingress counts, and answers questions about that in the
//! form of its HTTP API; with faults on wish.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response, Uri};
use regex::Regex;
use serde_json::{Value, json};
use tower::service_fn;

use crate::sandbox::cluster::nodes::ingress::Ingress;
use crate::seams::{Body, BoxError, Transport, body};

/// Where it is.
pub(super) const URL: &str = "http://prometheus.monitoring:9090";
/// What it is asked: a metric of its own with the labels that the service's question needs.
pub(super) const QUERY: &str = r#"sum(increase(requests{namespace=~"$namespace"}[$window]))"#;

#[derive(Default)]
struct State {
    /// Status of all answers; 0: they are as they should be.
    fault: u16,
    asked: usize,
}

/// One that counts what passes an ingress. A clone is the same one.
#[derive(Clone)]
pub struct Prometheus {
    ingress: Ingress,
    state: Arc<Mutex<State>>,
}

impl Prometheus {
    pub(super) fn new(ingress: Ingress) -> Self {
        Self { ingress, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All answers have this status from now on; 0: they are as they should be.
    pub fn answer(&self, status: u16) {
        self.lock().fault = status;
    }

    /// How often it was asked so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.lock().asked
    }

    pub(super) fn transport(&self) -> Transport {
        let prometheus = self.clone();
        Transport::new(service_fn(move |request: Request<Body>| {
            let answer = prometheus.take(request.uri());
            async move { answer }
        }))
    }

    fn take(&self, uri: &Uri) -> Result<Response<Body>, BoxError> {
        let mut state = self.lock();
        state.asked += 1;
        if state.fault != 0 {
            return Ok(Response::builder().status(state.fault).body(body("no"))?);
        }
        drop(state);
        let result = self.sum(uri).ok_or("it is no question that is understood here")?;
        let data = json!({"resultType": "vector", "result": result});
        let answer = json!({"status": "success", "data": data});
        Ok(Response::builder().body(body(answer.to_string()))?)
    }

    /// The answer to [`QUERY`]: one sample, or none where nothing was ever counted.
    fn sum(&self, uri: &Uri) -> Option<Vec<Value>> {
        let address = format!("http://x{}", uri.path_and_query()?);
        let address = reqwest::Url::parse(&address).ok()?;
        let (_, query) = address.query_pairs().find(|(name, _)| name == "query")?;
        let form = r#"^sum\(increase\(requests\{namespace=~"([^"]*)"\}\[(\d+)s\]\)\)$"#;
        let parts = Regex::new(form).ok()?.captures(&query)?;
        let namespace = Regex::new(&format!("^(?:{})$", parts.get(1)?.as_str())).ok()?;
        let window = Duration::from_secs(parts.get(2)?.as_str().parse().ok()?);
        let counted = self.ingress.requests(window);
        let of: Vec<usize> = counted
            .into_iter()
            .filter_map(|(name, count)| namespace.is_match(&name).then_some(count))
            .collect();
        let sample = json!({"metric": {}, "value": [0, of.iter().sum::<usize>().to_string()]});
        Some(if of.is_empty() { Vec::new() } else { vec![sample] })
    }
}
