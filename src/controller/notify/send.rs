//! One notice to one receiver: the Secret is read, the body made and signed, and sent, again when it may help. I/O with home
//! and the receiver. No address is ever in an error: whoever knows it may write there.

use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response, StatusCode, Uri, header};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use tower::ServiceExt as _;

use super::{Context, Job};
use crate::controller::error::chain;
use crate::crd::NotifyKind;
use crate::domain::notice::signature;
use crate::outward::{self, OutwardError, Policy, Reach, ThisMachine};
use crate::seams::{Body, BoxError, Transport, Unreached, body};

/// Pauses between tries.
const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(30)];
/// A connection comes about within this time, or it does not.
const CONNECT: Duration = Duration::from_secs(5);
/// A receiver answers within this time, or it does not.
const ANSWER: Duration = Duration::from_secs(10);
/// The key of a Secret that holds what is signed with.
const SIGNING: &str = "signingSecret";

/// The way to receivers of notices over sockets. Private networks, and receivers that speak no TLS, only with `private`.
pub fn notices_transport(private: bool) -> Result<Transport, OutwardError> {
    outward::transport(Policy {
        reach: if private { Reach::Private } else { Reach::Public },
        this_machine: ThisMachine::Refused,
        instead: None,
        https_only: !private,
        keep: false,
        connect: CONNECT,
        total: ANSWER,
    })
}

/// Why nobody was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoticeError {
    #[error("there is no such Secret in the service's namespace")]
    NoSecret,
    #[error("the Secret has no value for the key {0}")]
    NoValue(String),
    #[error("the Secret can't be read: {0}")]
    Home(String),
    #[error("the value of the key {0} is no https:// address without user and password")]
    NoAddress(String),
    #[error("the receiver answers {0}")]
    Refused(u16),
    #[error("the receiver answers {0}, also after a while")]
    Ill(u16),
    #[error("the receiver is not reached: {0}")]
    Unreached(String),
}

impl NoticeError {
    /// For metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Ill(_) | Self::Unreached(_) | Self::Home(_) => "failed",
            Self::NoSecret | Self::NoValue(_) | Self::NoAddress(_) | Self::Refused(_) => "refused",
        }
    }

    /// Another try may do better.
    fn may_pass(&self) -> bool {
        self.outcome() == "failed"
    }
}

/// Sends it, three times at most.
pub(super) async fn send(context: &Context, job: &Job) -> Result<(), NoticeError> {
    let id = context.rng.uuid().to_string();
    let mut pauses = PAUSES.into_iter();
    loop {
        let error = match Box::pin(once(context, job, &id)).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match pauses.next().filter(|_| error.may_pass()) {
            Some(pause) => context.clock.sleep(context.rng.jitter(pause, 20)).await,
            None => return Err(error),
        }
    }
}

async fn once(context: &Context, job: &Job, id: &str) -> Result<(), NoticeError> {
    let from = &job.to.url_from;
    let api: Api<Secret> = Api::namespaced(context.home.clone(), &context.namespace);
    let secret = api.get_opt(&from.secret_name).await;
    let secret = secret.map_err(|error| NoticeError::Home(chain(&error)))?;
    let secret = secret.ok_or(NoticeError::NoSecret)?;
    let value = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|value| &value.0);
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim);
        text.filter(|text| !text.is_empty()).ok_or_else(|| NoticeError::NoValue(key.to_owned()))
    };
    let no_address = || NoticeError::NoAddress(from.key.clone());
    let address: Uri = value(&from.key)?.parse().map_err(|_| no_address())?;
    let safe = match address.scheme_str() {
        Some("https") => true,
        Some("http") => context.notify_private,
        _ => false,
    };
    let plain = address.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if !safe || !plain {
        return Err(no_address());
    }
    let mut request = Request::post(address)
        .header(header::USER_AGENT, "bivouac")
        .header(header::CONTENT_TYPE, "application/json");
    let content = match job.to.kind {
        NotifyKind::Slack => job.notice.slack(),
        NotifyKind::Teams => job.notice.teams(),
        NotifyKind::Webhook => {
            let content = job.notice.json();
            let signed = signature(value(SIGNING)?.as_bytes(), content.as_bytes());
            let signed = signed.ok_or_else(|| NoticeError::NoValue(SIGNING.into()))?;
            request = request
                .header("x-bivouac-event", job.notice.moment.word())
                .header("x-bivouac-delivery", id)
                .header("x-bivouac-signature-256", signed);
            content
        }
    };
    let request = request.body(body(content)).map_err(|_| no_address())?;
    // Boxed by itself, so that the future's type has no lifetime in it.
    let sent: BoxFuture<'static, Result<Response<Body>, BoxError>> =
        Box::pin(context.notices.clone().oneshot(request));
    let status = match tokio::time::timeout(ANSWER, sent).await {
        Ok(Ok(answer)) => answer.status(),
        Ok(Err(error)) => return Err(NoticeError::Unreached(words(&error))),
        Err(_) => return Err(NoticeError::Unreached("no answer in time".into())),
    };
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err(NoticeError::Ill(status.as_u16()))
        }
        status if status.is_server_error() => Err(NoticeError::Ill(status.as_u16())),
        status => Err(NoticeError::Refused(status.as_u16())),
    }
}

/// Nothing of an error's own text, which may hold the address, but for those that never do.
fn words(error: &BoxError) -> String {
    match error.downcast_ref::<Unreached>() {
        Some(known) => known.to_string(),
        None => "the connection failed".into(),
    }
}
