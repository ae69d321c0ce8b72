//! I/O · `POST /webhook`: the cap, the headers, the signature, then the payload, then what is written, then the answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_LENGTH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::asked::Asked;
use super::recorder::{RecordError, Recorder};
use super::secrets::{Secrets, Served, installed, named};
use crate::crd::{OF_INSTALLATION, OriginKind};
use crate::domain::command::{self, Given};
use crate::domain::event::{Action, Button, Comment, Delivery, Event, EventError, parse};
use crate::domain::selection;
use crate::seams::Clock;

/// GitHub's cap for a payload.
pub const MOST_BYTES: usize = 25 << 20;
/// GitHub waits 10 s for the answer, so the body has to be here and the records written before.
const TO_READ: Duration = Duration::from_secs(5);
const TO_WRITE: Duration = Duration::from_secs(4);
/// The annotation's value becomes `status.handledHint`, which holds 100 characters. GitHub sends a UUID.
const LONGEST_DELIVERY: usize = 100;

/// Something was written.
const RECORDED: &str = "recorded";
/// To a ping.
const PONG: &str = "pong";

/// Repositories that are hinted at at once.
const SIDE_BY_SIDE: usize = 8;
/// Bytes of bodies that are held at once. Whoever sends them has not shown yet that he may.
const MOST_AT_ONCE: usize = 64 << 20;
/// When somebody who was sent away may come again.
const RETRY_AFTER_SECONDS: &str = "5";

/// What the webhook needs: the present secrets, and where to write.
#[derive(Clone)]
pub struct Webhook {
    secrets: watch::Receiver<Arc<Secrets>>,
    recorder: Recorder,
    ready: Arc<dyn Fn() -> bool + Send + Sync>,
    room: Arc<Semaphore>,
    instance: String,
    now: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secrets, recorder, ready: _, room, instance, now: _ } = self;
        f.debug_struct("Webhook")
            .field("secrets", secrets)
            .field("recorder", recorder)
            .field("room", &room.available_permits())
            .field("instance", instance)
            .finish_non_exhaustive()
    }
}

impl Webhook {
    /// `secrets` is replaced by whoever watches Repositories and their Secrets.
    #[must_use]
    pub fn new(secrets: watch::Receiver<Arc<Secrets>>, recorder: Recorder) -> Self {
        let room = Arc::new(Semaphore::new(MOST_AT_ONCE));
        let (ready, now) = (Arc::new(|| true), Arc::new(|| DateTime::<Utc>::UNIX_EPOCH));
        Self { secrets, recorder, ready, room, instance: String::new(), now }
    }

    /// Takes the buttons of this installation; what they ask for is dated by `clock`.
    #[must_use]
    pub fn with_buttons_of(mut self, instance: &str, clock: Clock) -> Self {
        instance.clone_into(&mut self.instance);
        self.now = Arc::new(move || clock.now());
        self
    }

    /// Until `ready`, not every secret is known: what none of the known ones verifies is no forgery yet.
    #[must_use]
    pub fn ready_when(mut self, ready: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        self.ready = Arc::new(ready);
        self
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
    #[error("too many deliveries are being read; deliver it again")]
    Full,
    #[error("not every webhook secret was read yet; deliver it again")]
    NotReady,
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
    /// Name of the variant, for metrics.
    fn category(&self) -> &'static str {
        match self {
            Self::Header(_) => "Header",
            Self::TooLarge => "TooLarge",
            Self::TooSlow => "TooSlow",
            Self::Truncated => "Truncated",
            Self::Full => "Full",
            Self::NotReady => "NotReady",
            Self::Unsigned => "Unsigned",
            Self::ForeignRepository => "ForeignRepository",
            Self::Payload(_) => "Payload",
            Self::NotWritten(_) => "NotWritten",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Header(_) | Self::Truncated | Self::Payload(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unsigned | Self::ForeignRepository => StatusCode::UNAUTHORIZED,
            Self::Full | Self::NotReady | Self::NotWritten(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What came of a delivery, in a word: an extension of each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(pub &'static str);

async fn receive(State(webhook): State<Webhook>, request: Request) -> Response {
    let handled = handle(&webhook, request).await;
    let outcome = Outcome(match &handled {
        Ok(RECORDED) => "recorded",
        Ok(PONG) => "ping",
        Ok(_) => "ignored",
        Err(refusal) => refusal.category(),
    });
    let mut answer = answer(handled);
    answer.extensions_mut().insert(outcome);
    answer
}

fn answer(handled: Result<&'static str, Refusal>) -> Response {
    match handled {
        Ok(done) => (StatusCode::ACCEPTED, format!("{done}\n")).into_response(),
        Err(refusal) => {
            match &refusal {
                Refusal::NotWritten(error) => tracing::error!(
                    error = error.as_ref().map(tracing_error),
                    "a delivery could not be recorded"
                ),
                other => tracing::debug!(reason = %other, "refused a delivery"),
            }
            let status = refusal.status();
            let mut answer = (status, format!("{refusal}\n")).into_response();
            if status == StatusCode::SERVICE_UNAVAILABLE {
                let seconds = HeaderValue::from_static(RETRY_AFTER_SECONDS);
                answer.headers_mut().insert(RETRY_AFTER, seconds);
            }
            answer
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
    let (body, held) = read(request, &webhook.room).await?;
    let secrets = Arc::clone(&webhook.secrets.borrow());
    let ready = (webhook.ready)();
    if ready {
        secrets.complain_once();
    }
    let served = secrets.verify(&headers.signature, &body);
    let served = served.ok_or(if ready { Refusal::Unsigned } else { Refusal::NotReady })?;
    // Nothing of the body was looked at before this line.
    let Delivery { repository, event } = parse(&headers.event, &body)?;
    drop((body, held));
    let mine: Vec<&Served> = match &repository {
        Some(repository) => named(served, repository).collect(),
        None => Vec::new(),
    };
    if repository.is_some() && mine.is_empty() {
        return Err(Refusal::ForeignRepository);
    }
    match event {
        Event::Ping => Ok(PONG),
        Event::Ignored { reason } => {
            tracing::debug!(event = headers.event, delivery = headers.delivery, reason, "ignored");
            Ok(reason)
        }
        Event::Repository => {
            looked_at(&webhook.recorder, names(mine.into_iter()), headers.delivery).await
        }
        Event::Branch { name, gone } => {
            let (recorder, delivery) = (&webhook.recorder, headers.delivery);
            let listed: Vec<&Served> = mine
                .iter()
                .copied()
                .filter(|served| selection::branch(&served.branches, &name).is_ok())
                .collect();
            let following = names(mine.into_iter().filter(|served| served.follows_base));
            if following.is_empty() && listed.is_empty() {
                return Ok("no preview is of that branch, or of a merge with it");
            }
            let write = async {
                for Served { resource, .. } in listed {
                    recorder.branch(resource, &name, &delivery, !gone).await?;
                }
                Ok(())
            };
            let written = in_time(write).await?;
            if following.is_empty() {
                return Ok(written);
            }
            looked_at(recorder, following, delivery).await
        }
        Event::Checked { revision } => {
            let waiting = names(mine.into_iter().filter(|served| served.awaits_checks));
            if waiting.is_empty() {
                return Ok("no preview waits for checks");
            }
            // A commit's records are the same ones for each Repository.
            in_time(webhook.recorder.checked(&revision, &headers.delivery)).await
        }
        Event::Installation { account, repositories } => {
            let about = names(installed(served, &account, &repositories));
            let hint = format!("{OF_INSTALLATION}{}", headers.delivery);
            looked_at(&webhook.recorder, about, hint).await
        }
        Event::Comment(comment) => in_time(commands(&webhook.recorder, &mine, comment)).await,
        Event::Button(button) => pressed(webhook, &mine, &button, &headers.delivery).await,
        Event::PullRequest { action, number } => {
            let (recorder, delivery) = (&webhook.recorder, &headers.delivery);
            let write = async {
                for Served { resource, .. } in mine {
                    match action {
                        Action::Closed => recorder.hint(resource, number, delivery).await,
                        _ => recorder.record(resource, number, delivery).await,
                    }?;
                }
                Ok(())
            };
            in_time(write).await
        }
    }
}

/// Writes down what a button asks for.
async fn pressed(
    webhook: &Webhook,
    mine: &[&Served],
    button: &Button,
    delivery: &str,
) -> Result<&'static str, Refusal> {
    let Some((verb, number)) = button.of_instance(&webhook.instance) else {
        return Ok("no button of this installation");
    };
    // A delivery has one name: of several Repositories that serve the same, the first.
    let Some(served) = mine.iter().find(|served| served.listens_to(&button.by)) else {
        return Ok("nobody whose buttons count");
    };
    let asked = Asked {
        repository: served.resource.clone(),
        number,
        name: format!("check-{}", delivery.to_ascii_lowercase()),
        given: Given { verb, arguments: Vec::new(), slip: None },
        from: (OriginKind::Check, delivery.to_owned()),
        by: button.by.clone(),
        at: (webhook.now)(),
    };
    in_time(webhook.recorder.command(&asked)).await
}

/// Writes down each command of a comment, in their order.
async fn commands(
    recorder: &Recorder,
    mine: &[&Served],
    comment: Comment,
) -> Result<(), RecordError> {
    if command::is_ours(&comment.text) {
        return Ok(());
    }
    for served in mine.iter().filter(|served| served.listens_to(&comment.by)).take(1) {
        for asked in Asked::of_comment(&served.resource, &served.prefix, &comment) {
            recorder.command(&asked).await?;
        }
    }
    Ok(())
}

fn names<'a>(served: impl Iterator<Item = &'a Served>) -> Vec<String> {
    served.map(|served| served.resource.clone()).collect()
}

/// Has whole repositories looked at; side by side, because an installation may have many.
async fn looked_at(
    recorder: &Recorder,
    repositories: Vec<String>,
    delivery: String,
) -> Result<&'static str, Refusal> {
    let looks = repositories.into_iter().map(|name| {
        let (recorder, delivery) = (recorder.clone(), delivery.clone());
        async move { recorder.look(&name, &delivery).await }
    });
    let looks = futures::stream::iter(looks).buffer_unordered(SIDE_BY_SIDE);
    in_time(looks.try_collect::<()>()).await
}

async fn in_time(
    write: impl Future<Output = Result<(), RecordError>>,
) -> Result<&'static str, Refusal> {
    match tokio::time::timeout(TO_WRITE, write).await {
        Ok(Ok(())) => Ok(RECORDED),
        Ok(Err(error)) => Err(Refusal::NotWritten(Some(error))),
        Err(_) => Err(Refusal::NotWritten(None)),
    }
}

/// The whole body, and the room that it takes.
async fn read(
    request: Request,
    room: &Arc<Semaphore>,
) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), Refusal> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|n| n.to_str().ok());
    if announced.and_then(|n| n.parse::<usize>().ok()).is_some_and(|n| n > MOST_BYTES) {
        return Err(Refusal::TooLarge);
    }
    let mut body = request.into_body();
    let whole = async {
        let (mut whole, mut held): (Vec<u8>, Option<OwnedSemaphorePermit>) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refusal::Truncated)?.into_data() else { continue };
            if whole.len() + data.len() > MOST_BYTES {
                return Err(Refusal::TooLarge);
            }
            // Taken as the bytes come and not as they are announced: an announcement costs nothing.
            let bytes = u32::try_from(data.len()).map_err(|_| Refusal::TooLarge)?;
            let more = Arc::clone(room).try_acquire_many_owned(bytes).map_err(|_| Refusal::Full)?;
            match &mut held {
                Some(held) => held.merge(more),
                None => held = Some(more),
            }
            whole.extend_from_slice(&data);
        }
        Ok((whole, held))
    };
    tokio::time::timeout(TO_READ, whole).await.map_err(|_| Refusal::TooSlow)?
}
