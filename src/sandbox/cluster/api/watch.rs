//! Watches: (store, resource version, selectors) → a stream of events, in the form that the client asked for.
//!
//! Each watch reads the store's history from its own place, so a slow reader holds nobody up; when the history has gone
//! past it, it gets 410 and must list again.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::seams::{Body, BoxError};

use super::negotiate::Form;
use super::rest::Selectors;
use super::state::Call;
use super::status::ApiError;
use super::store::{Change, Compacted};
use super::{Shared, render};

/// A real server sends bookmarks about once a minute.
const BOOKMARKS: Duration = Duration::from_secs(60);
/// Watches without `timeoutSeconds` end after half an hour to an hour on a real server.
const LONGEST: Duration = Duration::from_secs(1800);

/// What one watch needs.
pub(crate) struct Watch {
    pub(crate) shared: Arc<Shared>,
    pub(crate) call: Call,
    pub(crate) selectors: Selectors,
    pub(crate) form: Form,
    pub(crate) bookmarks: bool,
    /// What came before this has been seen.
    pub(crate) seen: u64,
    /// Sent first, as ADDED.
    pub(crate) initial: Vec<Arc<Value>>,
    /// A bookmark tells the end of `initial`.
    pub(crate) marks_end: bool,
    pub(crate) timeout: Option<Duration>,
    /// A fault: the connection breaks without a word.
    pub(crate) cut: Option<Duration>,
}

struct Running {
    watch: Watch,
    ready: VecDeque<Bytes>,
    news: Arc<Notify>,
    end: Instant,
    cut: Option<Instant>,
    next_bookmark: Instant,
    header_sent: bool,
    over: bool,
}

/// The body of the answer. It ends with the time-out, or with the server.
pub(crate) fn body(mut watch: Watch) -> Body {
    let now = Instant::now();
    let news = watch.shared.lock().store.subscribe();
    let initial = std::mem::take(&mut watch.initial);
    let mut running = Running {
        ready: VecDeque::new(),
        news,
        end: now + watch.timeout.unwrap_or(LONGEST),
        cut: watch.cut.map(|after| now + after),
        next_bookmark: now + BOOKMARKS,
        header_sent: false,
        over: false,
        watch,
    };
    for object in &initial {
        running.event("ADDED", object);
    }
    if running.watch.marks_end {
        running.bookmark(true);
    }
    let frames = stream::unfold(running, |mut running| async move {
        let item = running.next().await?;
        Some((item.map(Frame::data), running))
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

impl Running {
    async fn next(&mut self) -> Option<Result<Bytes, BoxError>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            if self.over {
                return None;
            }
            // Enabled before the look, so that a write between look and wait is not lost.
            let news = Arc::clone(&self.news);
            let mut changed = pin!(news.notified());
            changed.as_mut().enable();
            self.collect();
            if !self.ready.is_empty() || self.over {
                continue;
            }
            let mut wake = self.end;
            if let Some(cut) = self.cut {
                wake = wake.min(cut);
            }
            if self.watch.bookmarks {
                wake = wake.min(self.next_bookmark);
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = tokio::time::sleep_until(wake) => {
                    let now = Instant::now();
                    if self.cut.is_some_and(|cut| now >= cut) {
                        self.over = true;
                        return Some(Err("the connection was cut by the fault plan".into()));
                    }
                    if now >= self.end {
                        self.over = true;
                        if self.watch.bookmarks {
                            self.bookmark(false);
                        }
                    } else if self.watch.bookmarks && now >= self.next_bookmark {
                        self.next_bookmark = now + BOOKMARKS;
                        self.bookmark(false);
                    }
                }
            }
        }
    }

    /// Takes what has happened since the last time.
    fn collect(&mut self) {
        let resource = self.watch.call.resource();
        let changes: Result<(Vec<Change>, u64), Compacted> = {
            let state = self.watch.shared.lock();
            let all = state.store.since(&resource, self.watch.seen).map(|c| c.cloned().collect());
            all.map(|all| (all, state.store.revision()))
        };
        match changes {
            Ok((changes, revision)) => {
                self.watch.seen = self.watch.seen.max(revision);
                for change in changes {
                    self.change(&change);
                }
            }
            Err(Compacted { oldest }) => {
                let error = ApiError::expired(format!(
                    "too old resource version: {} ({oldest})",
                    self.watch.seen
                ));
                self.line(&json!({"type": "ERROR", "object": error.to_value()}));
                self.over = true;
            }
        }
    }

    /// An object that comes into or leaves the selection counts as new or deleted.
    fn change(&mut self, change: &Change) {
        let namespace = self.watch.call.namespace();
        if !namespace.is_empty() && namespace != change.key.0 {
            return;
        }
        let selectors = &self.watch.selectors;
        let was = change.before.as_ref().is_some_and(|before| selectors.matches(before));
        let is = !change.deleted && selectors.matches(&change.object);
        let kind = match (was, is) {
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
            (false, false) => return,
        };
        let object = match (&change.before, kind, change.deleted) {
            // What left the selection is shown as it was when it was last in it.
            (Some(before), "DELETED", false) => {
                let mut last = Value::clone(before);
                last["metadata"]["resourceVersion"] = json!(change.revision.to_string());
                Arc::new(last)
            }
            _ => Arc::clone(&change.object),
        };
        self.event(kind, &object);
    }

    fn event(&mut self, kind: &str, object: &Value) {
        let watch = &self.watch;
        let shown =
            render::event(&watch.shared, &watch.call, watch.form, object, !self.header_sent);
        self.header_sent = true;
        self.line(&json!({"type": kind, "object": shown}));
    }

    fn bookmark(&mut self, end_of_initial: bool) {
        let kind = &self.watch.call.served.kind;
        let mut meta =
            json!({"resourceVersion": self.watch.seen.to_string(), "creationTimestamp": null});
        if end_of_initial {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.watch.form {
            Form::Table => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": self.watch.seen.to_string()},
                "columnDefinitions": [],
                "rows": [{"cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
                }}],
            }),
            Form::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
            }),
            Form::Object | Form::Discovery => {
                json!({"kind": kind.kind, "apiVersion": kind.api_version(), "metadata": meta})
            }
        };
        self.line(&json!({"type": "BOOKMARK", "object": object}));
    }

    fn line(&mut self, event: &Value) {
        let mut line = event.to_string();
        line.push('\n');
        self.ready.push_back(line.into());
    }
}
