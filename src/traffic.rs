//! I/O · whether a camp got requests lately, by the figures of the ingress controllers: a question to the HTTP API of a
//! Prometheus. In: a namespace and a span of time; out: yes, no, or why nobody knows.
//!
//! Address and query are settings of the service, and the namespace is one that it made: nothing in here comes from outside.
//! Figures that are not there are no proof that nobody came.

use std::time::Duration;

use http::{Request, StatusCode, header};
use serde::Deserialize;

use crate::domain::plain::in_query;
use crate::outward::{self, OutwardError, Policy, Reach, ThisMachine};
use crate::seams::{Transport, ask, body};

/// Requests to the camp in `$namespace` within `$window`, as ingress-nginx counts them. Whoever scrapes it may have put the
/// camp's namespace into `exported_namespace`, since `namespace` is that of the ingress controller.
pub const NGINX: &str = concat!(
    r#"sum(increase(nginx_ingress_controller_requests{exported_namespace=~"$namespace"}[$window]) "#,
    r#"or increase(nginx_ingress_controller_requests{namespace=~"$namespace"}[$window]))"#
);
/// In place of a namespace: all of them.
const ANY: &str = ".+";
/// An answer to one question has some hundred bytes.
const MOST_BYTES: usize = 64 << 10;
/// A connection comes about within this time, or it does not.
const CONNECT: Duration = Duration::from_secs(3);
/// Prometheus answers within this time, or it does not.
const ANSWER: Duration = Duration::from_secs(5);

/// The way to a Prometheus over sockets: wherever the service's own settings lead.
pub fn prometheus_transport() -> Result<Transport, OutwardError> {
    outward::transport(Policy {
        reach: Reach::Services,
        this_machine: ThisMachine::Asked,
        instead: None,
        https_only: false,
        keep: true,
        connect: CONNECT,
        total: ANSWER,
    })
}

/// What the figures say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// There were requests.
    Some,
    /// There was none.
    None,
    /// Nobody knows, for this reason.
    Unknown(String),
}

/// Asks the figures.
#[derive(Clone)]
pub struct Figures {
    transport: Transport,
    url: String,
    query: String,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Sample>),
    Scalar((f64, String)),
}

#[derive(Deserialize)]
struct Sample {
    value: (f64, String),
}

impl Figures {
    /// Asks at `url`, without a slash at its end, by `query`, which has `$namespace`, in a regular
    /// expression, and `$window`.
    #[must_use]
    pub fn new(transport: Transport, url: &str, query: &str) -> Self {
        Self { transport, url: url.to_owned(), query: query.to_owned() }
    }

    /// Whether the camp in `namespace` got requests in the last `window`.
    pub async fn of(&self, namespace: &str, window: Duration) -> Traffic {
        match self.sum(namespace, window).await {
            Err(reason) => Traffic::Unknown(reason),
            Ok(Some(requests)) if requests > 0.0 => Traffic::Some,
            Ok(Some(_)) => Traffic::None,
            // A counter begins with the first request. One that is missing says something where others are there.
            Ok(None) => match self.sum(ANY, window).await {
                Err(reason) => Traffic::Unknown(reason),
                Ok(Some(_)) => Traffic::None,
                Ok(None) => Traffic::Unknown("it has no such figures of any camp".to_owned()),
            },
        }
    }

    /// The sum of what the query gives; `None`: nothing.
    async fn sum(&self, namespace: &str, window: Duration) -> Result<Option<f64>, String> {
        let window = format!("{}s", window.as_secs().max(1));
        let query = self.query.replace("$namespace", namespace).replace("$window", &window);
        let request = Request::get(format!("{}/api/v1/query?query={}", self.url, in_query(&query)))
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "bivouac")
            .body(body(""))
            .map_err(|_| "its address is none".to_owned())?;
        let answer = tokio::time::timeout(ANSWER, ask(&self.transport, request, MOST_BYTES)).await;
        let (status, bytes) = answer
            .map_err(|_| "it does not answer in time".to_owned())?
            .map_err(|_| "it is not reached".to_owned())?;
        if status != StatusCode::OK {
            return Err(format!("it answers HTTP {}", status.as_u16()));
        }
        let Answer { data } = serde_json::from_slice(&bytes)
            .map_err(|_| "its answer is none of Prometheus to such a query".to_owned())?;
        let values: Vec<String> = match data {
            Data::Vector(samples) => samples.into_iter().map(|sample| sample.value.1).collect(),
            Data::Scalar((_, value)) => vec![value],
        };
        let numbers: Option<Vec<f64>> = values.iter().map(|value| value.parse().ok()).collect();
        let numbers = numbers.filter(|all| all.iter().all(|number| number.is_finite()));
        let numbers =
            numbers.ok_or_else(|| "its answer holds something else than numbers".to_owned())?;
        Ok((!numbers.is_empty()).then(|| numbers.iter().sum()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::Response;
    use serde_json::{Value, json};
    use tower::service_fn;

    use super::*;
    use crate::seams::BoxError;

    const WINDOW: Duration = Duration::from_secs(1800);

    /// One that gives these answers in turn, and remembers what it was asked.
    fn prometheus(answers: &[(u16, Value)]) -> (Figures, Arc<Mutex<Vec<String>>>) {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (left, seen) = (Arc::new(Mutex::new(answers.to_vec())), asked.clone());
        let transport = Transport::new(service_fn(move |request: Request<crate::seams::Body>| {
            seen.lock().expect("a list").push(request.uri().to_string());
            let (status, text) = left.lock().expect("answers").remove(0);
            async move {
                let answer = Response::builder().status(status).body(body(text.to_string()));
                Ok::<_, BoxError>(answer.expect("an answer"))
            }
        }));
        (Figures::new(transport, "http://prometheus:9090", "r{n=~\"$namespace\"}[$window]"), asked)
    }

    fn vector(values: &[&str]) -> (u16, Value) {
        let samples: Vec<Value> =
            values.iter().map(|value| json!({"metric": {}, "value": [1.5, value]})).collect();
        (200, json!({"status": "success", "data": {"resultType": "vector", "result": samples}}))
    }

    #[tokio::test]
    async fn a_sum_above_nothing_is_traffic_and_the_question_names_camp_and_span() {
        let (figures, asked) = prometheus(&[vector(&["0", "0.4"])]);
        assert_eq!(figures.of("camp-a", WINDOW).await, Traffic::Some);
        let expected =
            "http://prometheus:9090/api/v1/query?query=r%7Bn%3D~%22camp-a%22%7D%5B1800s%5D";
        assert_eq!(*asked.lock().expect("a list"), [expected]);
        let scalar = json!({"data": {"resultType": "scalar", "result": [1.5, "3"]}});
        let (figures, _) = prometheus(&[(200, scalar)]);
        assert_eq!(figures.of("camp-a", WINDOW).await, Traffic::Some);
    }

    #[tokio::test]
    async fn a_camp_without_figures_is_idle_only_where_others_have_some() {
        let (figures, _) = prometheus(&[vector(&["0"])]);
        assert_eq!(figures.of("camp-a", WINDOW).await, Traffic::None);
        let (figures, asked) = prometheus(&[vector(&[]), vector(&["7"])]);
        assert_eq!(figures.of("camp-a", WINDOW).await, Traffic::None);
        assert!(asked.lock().expect("a list")[1].contains("%22.%2B%22"), "all camps");
        let (figures, _) = prometheus(&[vector(&[]), vector(&[])]);
        assert!(matches!(figures.of("camp-a", WINDOW).await, Traffic::Unknown(_)));
    }

    #[tokio::test]
    async fn what_is_no_answer_is_no_knowledge() {
        let matrix = json!({"data": {"resultType": "matrix", "result": []}});
        for (status, answer) in [
            (200, json!("x")),
            (200, matrix),
            (200, json!({})),
            vector(&["NaN"]),
            vector(&["+Inf"]),
            vector(&["many"]),
            (400, json!({"status": "error"})),
            (503, json!(null)),
        ] {
            let (figures, _) = prometheus(&[(status, answer.clone())]);
            let said = figures.of("camp-a", WINDOW).await;
            assert!(matches!(said, Traffic::Unknown(_)), "{answer} gives {said:?}");
        }
    }

    #[test]
    fn the_query_of_ingress_nginx_names_both() {
        assert_eq!(NGINX.matches("$namespace").count(), 2);
        assert_eq!(NGINX.matches("$window").count(), 2);
    }
}
