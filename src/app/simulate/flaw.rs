//! Planted bugs: each makes the service break one promise, by what it sends or believes to have been told. They show that
//! the run's judge finds what it looks for. I/O only with the peer that they stand in front of.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::app::stage::{Wire, Wires};
use crate::seams::{Body, BoxError, Transport, body};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Comments that are there are not found again.
    CommentsUnseen,
    /// A changed comment is not sent.
    CommentKept,
    /// A deployment is never set to inactive.
    DeploymentKept,
    /// No namespace is deleted.
    NamespaceKept,
    /// Every second record is not made.
    RecordNotMade,
    /// A fork is taken for the repository itself.
    ForkTrusted,
    /// What the forge said first of a pull request is believed for ever.
    HeadRemembered,
    /// Comments of others are taken for its own.
    OthersTaken,
    /// What is asked is asked many times.
    AskedAgain,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::CommentsUnseen,
        Self::CommentKept,
        Self::DeploymentKept,
        Self::NamespaceKept,
        Self::RecordNotMade,
        Self::ForkTrusted,
        Self::HeadRemembered,
        Self::OthersTaken,
        Self::AskedAgain,
    ];

    /// What stands between the service and its peers.
    pub(super) fn wires(self) -> Wires {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let wire: Wire = Arc::new(move |inner: Transport| {
            let seen = Arc::clone(&seen);
            Transport::new(tower::service_fn(move |request: Request<Body>| {
                pass(self, inner.clone(), request, Arc::clone(&seen))
            }))
        });
        match self {
            Self::NamespaceKept | Self::RecordNotMade => Wires { cluster: Some(wire), forge: None },
            _ => Wires { cluster: None, forge: Some(wire) },
        }
    }
}

/// Answers of before, by path.
type Seen = Arc<Mutex<BTreeMap<String, Bytes>>>;

async fn pass(
    flaw: Flaw,
    inner: Transport,
    request: Request<Body>,
    seen: Seen,
) -> Result<Response<Body>, BoxError> {
    let (mut parts, content) = request.into_parts();
    // A watch has no content, and its answer does not end.
    let content = content.collect().await?.to_bytes();
    let path = parts.uri.path().to_owned();
    match flaw {
        Flaw::CommentsUnseen if parts.method == Method::GET && path.contains("/comments/") => {
            parts.uri = Uri::try_from(format!("{}0", parts.uri))?;
        }
        Flaw::CommentsUnseen if parts.method == Method::GET && path.ends_with("/comments") => {
            let answer = send(&inner, parts, content).await?;
            return changed(answer, |found| *found = Value::Array(Vec::new())).await;
        }
        Flaw::CommentKept if parts.method == Method::PATCH && path.contains("/comments/") => {
            parts.method = Method::GET;
            return send(&inner, parts, Bytes::new()).await;
        }
        Flaw::DeploymentKept if parts.method == Method::POST && path.ends_with("/statuses") => {
            let mut status: Value = serde_json::from_slice(&content)?;
            if status["state"] == "inactive" {
                status["state"] = "success".into();
            }
            return send(&inner, parts, serde_json::to_vec(&status)?.into()).await;
        }
        Flaw::NamespaceKept
            if parts.method == Method::DELETE && path.starts_with("/api/v1/namespaces/") =>
        {
            parts.method = Method::GET;
            return send(&inner, parts, Bytes::new()).await;
        }
        Flaw::RecordNotMade if parts.method == Method::POST && path.ends_with("/environments") => {
            let record: Value = serde_json::from_slice(&content)?;
            let number = &record["spec"]["source"]["pullRequest"]["number"];
            if number.as_u64().is_some_and(|number| number % 2 == 1) {
                parts.uri = Uri::try_from(format!("{}?dryRun=All", parts.uri.path()))?;
            }
        }
        Flaw::ForkTrusted if is_pull_request(&parts) => {
            let answer = send(&inner, parts, content).await?;
            return changed(answer, |pull| pull["head"]["repo"] = pull["base"]["repo"].clone())
                .await;
        }
        Flaw::HeadRemembered if is_pull_request(&parts) => {
            let answer = send(&inner, parts, content).await?;
            return remembered(answer, &path, &seen).await;
        }
        Flaw::OthersTaken if parts.method == Method::GET && path.contains("/comments") => {
            let answer = send(&inner, parts, content).await?;
            return changed(answer, |found| {
                for comment in found.as_array_mut().into_iter().flatten() {
                    comment["user"]["id"] = seen_id(&seen).into();
                }
            })
            .await;
        }
        Flaw::AskedAgain if parts.method == Method::GET => {
            for _ in 0..50 {
                send(&inner, parts.clone(), content.clone()).await?;
            }
        }
        Flaw::OthersTaken if path.ends_with("/user") => {
            let answer = send(&inner, parts, content).await?;
            let (parts, content) = whole(answer).await?;
            lock(&seen).insert("/user".into(), content.clone());
            return Ok(Response::from_parts(parts, body(content)));
        }
        _ => {}
    }
    send(&inner, parts, content).await
}

fn send(
    inner: &Transport,
    parts: http::request::Parts,
    content: Bytes,
) -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
    inner.clone().oneshot(Request::from_parts(parts, body(content))).boxed()
}

fn is_pull_request(parts: &http::request::Parts) -> bool {
    let mut segments = parts.uri.path().rsplit('/');
    let number = segments.next().is_some_and(|last| last.parse::<u64>().is_ok());
    parts.method == Method::GET && number && segments.next() == Some("pulls")
}

fn seen_id(seen: &Seen) -> u64 {
    let user = lock(seen).get("/user").cloned().unwrap_or_default();
    let user: Value = serde_json::from_slice(&user).unwrap_or_default();
    user["id"].as_u64().unwrap_or_default()
}

fn lock(seen: &Seen) -> std::sync::MutexGuard<'_, BTreeMap<String, Bytes>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn whole(answer: Response<Body>) -> Result<(http::response::Parts, Bytes), BoxError> {
    let (parts, content) = answer.into_parts();
    Ok((parts, content.collect().await?.to_bytes()))
}

/// A good answer, changed.
async fn changed(
    answer: Response<Body>,
    change: impl FnOnce(&mut Value),
) -> Result<Response<Body>, BoxError> {
    let (mut parts, mut content) = whole(answer).await?;
    if parts.status.is_success()
        && let Ok(mut value) = serde_json::from_slice::<Value>(&content)
    {
        change(&mut value);
        content = serde_json::to_vec(&value)?.into();
        parts.headers.remove(http::header::CONTENT_LENGTH);
    }
    Ok(Response::from_parts(parts, body(content)))
}

/// The first good answer to `path`, for ever.
async fn remembered(
    answer: Response<Body>,
    path: &str,
    seen: &Seen,
) -> Result<Response<Body>, BoxError> {
    let (mut parts, content) = whole(answer).await?;
    if !parts.status.is_success() {
        return Ok(Response::from_parts(parts, body(content)));
    }
    parts.headers.remove(http::header::CONTENT_LENGTH);
    let first = lock(seen).entry(path.to_owned()).or_insert(content).clone();
    Ok(Response::from_parts(parts, body(first)))
}
