//! One list and then a watch that goes on for good: cut watches are taken up where they ended, 410 lists again, errors
//! wait. Events go into a channel in the order of the server's. I/O: HTTP to the API server, timers.

use std::time::Duration;

use futures::StreamExt;
use http::Request;
use kube::core::WatchEvent;
use serde_json::Value;
use tokio::sync::mpsc;

use super::store::version;
use super::{Api, ApiError, Resource, json};
use crate::seams::Rng;

/// How much of each object is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Whole objects.
    Whole,
    /// Metadata only.
    Metadata,
}

/// News of one resource.
#[derive(Debug)]
pub(crate) enum Change {
    /// All there is, as of a resource version. Comes first, and again after a gap.
    Listed(Vec<Value>, u64),
    /// An object is there, or is different.
    Put(Value),
    /// An object is gone; this was its last state.
    Gone(Value),
}

/// Follows one resource in all namespaces.
pub(crate) struct Informer {
    /// Client.
    pub(crate) api: Api,
    /// Jitter of waits.
    pub(crate) rng: Rng,
    /// What is followed.
    pub(crate) resource: Resource,
    /// How much of it.
    pub(crate) scope: Scope,
    /// Where the news goes.
    pub(crate) sink: mpsc::Sender<(Resource, Change)>,
}

/// The server ends a watch after this time (with jitter); a new one goes on from there without a list.
const WATCH_SECONDS: u64 = 1800;
/// A watch that is silent for this much longer than asked for is dead, whatever the connection says.
const OVERDUE: Duration = Duration::from_secs(60);
/// A resource that the server does not have is asked for again after this time.
const ABSENT: Duration = Duration::from_secs(300);
/// Objects of one page of a list.
const PAGE: u64 = 500;

/// Why a watch ended.
enum End {
    /// It was cut, or its time was up.
    Cut,
    /// The server no longer has the history since our version.
    Gone,
    /// An error; wait before the next try.
    Failed,
    /// Nobody listens any more.
    Closed,
}

impl Informer {
    /// Runs until the receiving end of the channel is dropped.
    pub(crate) async fn run(self) {
        let mut failures = 0_u32;
        loop {
            let (listed, list_version) = match self.list().await {
                Ok(whole) => whole,
                Err(error) if error.code() == 404 => {
                    // Nothing there is a true answer: what waits for this resource may go on.
                    if self.send(Change::Listed(Vec::new(), 0)).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(self.rng.jitter(ABSENT, 20)).await;
                    continue;
                }
                Err(error) => {
                    tracing::debug!(resource = %self.resource, %error, "list failed");
                    if self.sink.is_closed() {
                        return;
                    }
                    self.wait(&mut failures).await;
                    continue;
                }
            };
            failures = 0;
            let number = list_version.parse().unwrap_or(0);
            if self.send(Change::Listed(listed, number)).await.is_err() {
                return;
            }
            let mut since = list_version;
            loop {
                match self.watch(&mut since, &mut failures).await {
                    End::Cut => self.pause().await,
                    End::Failed => self.wait(&mut failures).await,
                    End::Gone => break,
                    End::Closed => return,
                }
            }
        }
    }

    async fn send(&self, change: Change) -> Result<(), ()> {
        self.sink.send((self.resource.clone(), change)).await.map_err(|_| ())
    }

    /// A watch that the server ends at once must not become a loop without a pause.
    async fn pause(&self) {
        tokio::time::sleep(self.rng.jitter(Duration::from_millis(20), 100)).await;
    }

    async fn wait(&self, failures: &mut u32) {
        *failures = failures.saturating_add(1);
        let millis = 100_u64.saturating_mul(1 << (*failures - 1).min(10)).min(30_000);
        tokio::time::sleep(self.rng.jitter(Duration::from_millis(millis), 50)).await;
    }

    fn request(&self, query: &str, watch: bool) -> Result<Request<Vec<u8>>, ApiError> {
        let accept = match (self.scope, watch) {
            (Scope::Whole, _) => "application/json",
            (Scope::Metadata, true) => {
                "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
            }
            (Scope::Metadata, false) => {
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
            }
        };
        let uri = format!("{}?{query}", self.resource.path("", "", ""));
        Request::get(uri).header("accept", accept).body(Vec::new()).map_err(ApiError::Request)
    }

    async fn list(&self) -> Result<(Vec<Value>, String), ApiError> {
        let mut objects = Vec::new();
        let mut query = format!("limit={PAGE}");
        loop {
            let request = self.request(&query, false)?;
            let mut page: Value = self.api.client().request(request).await?;
            if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
                objects.extend(items);
            }
            let next = json::text(&page, "/metadata/continue");
            if next.is_empty() {
                for object in &mut objects {
                    self.complete(object);
                }
                return Ok((objects, json::text(&page, "/metadata/resourceVersion").to_owned()));
            }
            let token: String = form_encoded(next);
            query = format!("limit={PAGE}&continue={token}");
        }
    }

    /// Items of a list carry neither kind nor version.
    fn complete(&self, object: &mut Value) {
        if self.scope == Scope::Whole && json::text(object, "/kind").is_empty() {
            json::set(object, &["apiVersion"], self.resource.api_version().into());
            json::set(object, &["kind"], self.resource.kind.as_ref().into());
        }
    }

    async fn watch(&self, since: &mut String, failures: &mut u32) -> End {
        let seconds = self.rng.jitter(Duration::from_secs(WATCH_SECONDS), 50).as_secs();
        let query = format!(
            "watch=true&allowWatchBookmarks=true&resourceVersion={since}&timeoutSeconds={seconds}"
        );
        let Ok(request) = self.request(&query, true) else { return End::Failed };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds) + OVERDUE;
        let opened = tokio::select! {
            biased;
            () = self.sink.closed() => return End::Closed,
            opened = self.api.client().request_events::<Value>(request) => opened,
        };
        let events = match opened.map_err(ApiError::from) {
            Ok(events) => events,
            Err(error) if matches!(error.code(), 404 | 410) => return End::Gone,
            Err(error) => {
                tracing::debug!(resource = %self.resource, %error, "watch failed");
                return End::Failed;
            }
        };
        let mut events = std::pin::pin!(events);
        loop {
            let event = tokio::select! {
                biased;
                () = self.sink.closed() => return End::Closed,
                event = events.next() => event.transpose(),
                () = tokio::time::sleep_until(deadline) => return End::Cut,
            };
            let change = match event {
                Ok(Some(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                    Change::Put(object)
                }
                Ok(Some(WatchEvent::Deleted(object))) => Change::Gone(object),
                Ok(Some(WatchEvent::Bookmark(bookmark))) => {
                    *since = bookmark.metadata.resource_version;
                    continue;
                }
                Ok(Some(WatchEvent::Error(status))) if status.code == 410 => return End::Gone,
                Ok(Some(WatchEvent::Error(_))) | Err(_) => return End::Failed,
                Ok(None) => return End::Cut,
            };
            *failures = 0;
            let (Change::Put(object) | Change::Gone(object)) = &change else { continue };
            if version(object) > 0 {
                json::text(object, "/metadata/resourceVersion").clone_into(since);
            }
            if self.send(change).await.is_err() {
                return End::Closed;
            }
        }
    }
}

/// A continue token is base64 or JSON; it stands in a query.
fn form_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
