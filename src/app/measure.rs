//! What the service's edges come to, as metrics: answers of the webhook, requests to forges, budgets, the Lease; and the
//! page on which they are shown.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use futures::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use tower::{ServiceExt as _, service_fn};

use crate::controller::leader::Leadership;
use crate::forge::Apis;
use crate::seams::{Body, BoxError, Clock, Transport};
use crate::telemetry::metrics::{
    BUILD, FORGE_BLOCKED, FORGE_LEFT, FORGE_LIMIT, FORGE_REQUESTS, FORGE_WRITES, GATE, LEADER,
    Metrics, Reading, WEBHOOK_TIME, WEBHOOKS,
};
use crate::webhook::Outcome;

/// What Prometheus asks for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`.
pub(super) fn page(metrics: Metrics) -> Router {
    let show = async |State(metrics): State<Metrics>| {
        ([(CONTENT_TYPE, OPEN_METRICS)], metrics.text()).into_response()
    };
    Router::new().route("/metrics", get(show)).with_state(metrics)
}

/// Gauges that every replica has.
pub(super) fn look_at(metrics: &Metrics, leadership: &Leadership, forges: &Apis) {
    let (leadership, forges) = (leadership.clone(), forges.clone());
    metrics.look("process", move || {
        let leads = if leadership.holds() { 1.0 } else { 0.0 };
        let mut readings = vec![
            Reading::new(&BUILD, &[env!("CARGO_PKG_VERSION")], 1.0),
            Reading::new(&LEADER, &[], leads),
        ];
        for (login, budget) in forges.budgets() {
            let login = login.as_str();
            if let Some(points) = budget.points {
                readings.push(Reading::new(&FORGE_LEFT, &[login], number(points.left)));
                readings.push(Reading::new(&FORGE_LIMIT, &[login], number(points.limit)));
            }
            let blocked = budget.blocked_for.as_secs_f64();
            readings.push(Reading::new(&FORGE_BLOCKED, &[login], blocked));
            for (window, of) in [("minute", budget.minute), ("hour", budget.hour)] {
                let left = of.most.saturating_sub(of.used);
                let left = number(u64::try_from(left).unwrap_or(u64::MAX));
                readings.push(Reading::new(&FORGE_WRITES, &[login, window], left));
            }
        }
        readings
    });
}

#[expect(clippy::cast_precision_loss, reason = "rates are small numbers; metrics are floats")]
fn number(number: u64) -> f64 {
    number as f64
}

/// Counts the answers of the webhook, and how long they take.
pub(super) fn webhook(router: Router, metrics: Metrics, clock: Clock) -> Router {
    let count = async |State((metrics, clock)): State<(Metrics, Clock)>,
                       request: Request,
                       next: Next|
           -> Response {
        let began = clock.now();
        let answer = next.run(request).await;
        if let Some(Outcome(outcome)) = answer.extensions().get() {
            metrics.count(&WEBHOOKS, &[outcome]);
            let time = (clock.now() - began).to_std().unwrap_or_default();
            metrics.took(&WEBHOOK_TIME, &[], time);
        }
        answer
    };
    router.layer(middleware::from_fn_with_state((metrics, clock), count))
}

/// Counts what came of requests at the gate.
pub(super) fn gate(metrics: Metrics) -> Arc<dyn Fn(&'static str) + Send + Sync> {
    Arc::new(move |outcome| metrics.count(&GATE, &[outcome]))
}

/// Counts what forges are asked, and what they answer.
pub(super) fn forge(transport: Transport, metrics: Metrics) -> Transport {
    Transport::new(service_fn(move |request: http::Request<Body>| {
        send(transport.clone(), metrics.clone(), request)
    }))
}

type Answered = BoxFuture<'static, Result<http::Response<Body>, BoxError>>;

fn send(transport: Transport, metrics: Metrics, request: http::Request<Body>) -> Answered {
    let method = request.method().clone();
    // Boxed by itself, so that the future's type has no lifetime in it.
    let answer: Answered = Box::pin(transport.oneshot(request));
    Box::pin(async move {
        let answer = answer.await;
        let class = answer.as_ref().map_or("none", |answer| class(answer.status()));
        metrics.count(&FORGE_REQUESTS, &[verb(&method), class]);
        answer
    })
}

/// Not the request's own text: only what we send.
fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        304 => "304",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}
