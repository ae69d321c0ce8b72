//! I/O · `POST /webhook`: the cap, the headers, the signature, then the payload, then what is written, then the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::sync::watch;

use super::recorder::{RecordError, Recorder};
use super::secrets::{Secrets, Served, named};
use crate::domain::event::{Action, Delivery, Event, EventError, parse};

/// GitHub's cap for a payload.
pub const MOST_BYTES: usize = 25 << 20;
/// GitHub waits 10 s for the answer, so the body has to be here and the records written before.
const TO_READ: Duration = Duration::from_secs(5);
const TO_WRITE: Duration = Duration::from_secs(4);
/// The annotation's value becomes `status.handledHint`, which holds 100 characters. GitHub sends a UUID.
const LONGEST_DELIVERY: usize = 100;

/// What the webhook needs: the present secrets, and where to write.
#[derive(Clone, Debug)]
pub struct Webhook {
    secrets: watch::Receiver<Arc<Secrets>>,
    recorder: Recorder,
}

impl Webhook {
    /// `secrets` is replaced by whoever watches Repositories and their Secrets.
    #[must_use]
    pub fn new(secrets: watch::Receiver<Arc<Secrets>>, recorder: Recorder) -> Self {
        Self { secrets, recorder }
    }
}

/// The route `POST /webhook`.
pub fn router(webhook: Webhook) -> Router {
    Router::new().route("/webhook", post(receive)).with_state(webhook)
}

/// Why a delivery is refused; the text is shown in GitHub's list of deliveries.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the header {0} is missing or not usable")]
    Header(&'static str),
    #[error("the body is bigger than {MOST_BYTES} bytes")]
    TooLarge,
    #[error("the body did not arrive whole within {} s", TO_READ.as_secs())]
    TooSlow,
    #[error("the body could not be read")]
    Truncated,
    #[error("the signature is not that of a configured webhook secret")]
    Unsigned,
    #[error("the repository in the payload is none that this webhook secret may speak for")]
    ForeignRepository,
    #[error(transparent)]
    Payload(#[from] EventError),
    #[error("the delivery could not be recorded; deliver it again")]
    NotWritten(#[source] Option<RecordError>),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Header(_) | Self::Truncated | Self::Payload(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unsigned | Self::ForeignRepository => StatusCode::UNAUTHORIZED,
            Self::NotWritten(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

async fn receive(State(webhook): State<Webhook>, request: Request) -> Response {
    match handle(&webhook, request).await {
        Ok(done) => (StatusCode::ACCEPTED, format!("{done}\n")).into_response(),
        Err(refusal) => {
            match &refusal {
                Refusal::NotWritten(error) => tracing::error!(
                    error = error.as_ref().map(tracing_error),
                    "a delivery could not be recorded"
                ),
                other => tracing::debug!(reason = %other, "refused a delivery"),
            }
            (refusal.status(), format!("{refusal}\n")).into_response()
        }
    }
}

fn tracing_error(error: &RecordError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}

/// The headers that we need, checked.
struct Headers {
    event: String,
    delivery: String,
    signature: String,
}

impl Headers {
    fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let get = |name: &'static str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.filter(|value| !value.is_empty()).map(str::to_owned).ok_or(Refusal::Header(name))
        };
        let delivery = get("x-github-delivery")?;
        let fine = delivery.len() <= LONGEST_DELIVERY
            && delivery.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !fine {
            return Err(Refusal::Header("x-github-delivery"));
        }
        // Unsigned is wrongly signed; it is not a slip of form.
        let signature = get("x-hub-signature-256").map_err(|_| Refusal::Unsigned)?;
        Ok(Self { event: get("x-github-event")?, delivery, signature })
    }
}

async fn handle(webhook: &Webhook, request: Request) -> Result<&'static str, Refusal> {
    let headers = Headers::read(request.headers())?;
    let body = read(request).await?;
    let secrets = Arc::clone(&webhook.secrets.borrow());
    let served = secrets.verify(&headers.signature, &body).ok_or(Refusal::Unsigned)?;
    // Nothing of the body was looked at before this line.
    let Delivery { repository, event } = parse(&headers.event, &body)?;
    drop(body);
    let mine: Vec<&Served> = match &repository {
        Some(repository) => named(served, repository).collect(),
        None => Vec::new(),
    };
    if repository.is_some() && mine.is_empty() {
        return Err(Refusal::ForeignRepository);
    }
    match event {
        Event::Ping => Ok("pong"),
        Event::Ignored { reason } => {
            tracing::debug!(event = headers.event, delivery = headers.delivery, reason, "ignored");
            Ok(reason)
        }
        Event::PullRequest { action, number } => {
            let write = async {
                for served in mine {
                    match action {
                        Action::Closed => {
                            webhook.recorder.hint(&served.resource, number, &headers.delivery).await
                        }
                        _ => {
                            webhook
                                .recorder
                                .record(&served.resource, number, &headers.delivery)
                                .await
                        }
                    }?;
                }
                Ok(())
            };
            match tokio::time::timeout(TO_WRITE, write).await {
                Ok(Ok(())) => Ok("recorded"),
                Ok(Err(error)) => Err(Refusal::NotWritten(Some(error))),
                Err(_) => Err(Refusal::NotWritten(None)),
            }
        }
    }
}

async fn read(request: Request) -> Result<Bytes, Refusal> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|n| n.to_str().ok());
    if announced.and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n > MOST_BYTES) {
        return Err(Refusal::TooLarge);
    }
    let whole = Limited::new(request.into_body(), MOST_BYTES).collect();
    match tokio::time::timeout(TO_READ, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        Ok(Err(_)) => Err(Refusal::Truncated),
        Err(_) => Err(Refusal::TooSlow),
    }
}
