//! Kubernetes Events on Environments and Repositories, for `kubectl describe`. In: what happened; out: Events in home. I/O
//! with home, beside the runs: a run never waits for one, and losing one is harmless.
//!
//! The same thing said again within some minutes counts one Event up instead of making another. Each object has a bucket
//! of tokens, so that nothing that goes on and on can fill the store.

mod change;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::error::chain;
use crate::crd::{Environment, Repository};
use crate::domain::bundle::sha256_hex;
use crate::domain::status::bounded;

/// Who says it.
const CONTROLLER: &str = "bivouac.dev/controller";
/// Characters of a note, as its schema has it.
const NOTE: usize = 1000;
/// Events that wait to be written; the oldest is lost then.
const WAITING: usize = 500;
/// The same thing within this time is one Event with a count.
const SERIES: TimeDelta = TimeDelta::minutes(6);
/// A count is written this often at most.
const COUNTED: TimeDelta = TimeDelta::seconds(10);
/// Events of one object that may come at once …
const BURST: f64 = 20.0;
/// … and one more after each of these.
const REFILL_SECONDS: f64 = 30.0;
/// Series and buckets that are remembered.
const REMEMBERED: usize = 4000;
/// What is not written this long after the end of the runs is lost.
const DRAIN: Duration = Duration::from_secs(2);

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    Normal,
    Warning,
}

/// What is to be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// One CamelCase word: what happened.
    pub(super) reason: &'static str,
    pub(super) weight: Weight,
    /// One CamelCase word: what was done.
    pub(super) action: &'static str,
    /// For people.
    pub(super) note: String,
}

impl Told {
    pub(super) fn of(
        reason: &'static str,
        weight: Weight,
        action: &'static str,
        note: impl AsRef<str>,
    ) -> Self {
        Self { reason, weight, action, note: bounded(note.as_ref(), NOTE) }
    }
}

/// Events that wait, and what was said lately.
#[derive(Default)]
pub(super) struct Events {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    series: BTreeMap<Key, Series>,
    buckets: BTreeMap<String, (f64, DateTime<Utc>)>,
}

struct Waiting {
    about: ObjectReference,
    told: Told,
    at: DateTime<Utc>,
}

/// UID of the object, reason, note.
type Key = (String, &'static str, String);

struct Series {
    name: String,
    count: i32,
    last: DateTime<Utc>,
    written: DateTime<Utc>,
}

/// What is to be sent.
#[derive(Debug, PartialEq)]
enum Write {
    Make(String, Value),
    Count(String, Value),
}

impl Events {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says something about an Environment, soon.
    pub(super) fn tell(&self, context: &Context, about: &Environment, told: Told) {
        self.put(about.object_ref(&()), told, context.clock.now());
    }

    /// Says what changed between two states of a record.
    pub(super) fn tell_of_change(
        &self,
        context: &Context,
        before: &Environment,
        after: &Environment,
    ) {
        for told in change::of_environment(before, after) {
            self.tell(context, after, told);
        }
    }

    /// The same of a Repository.
    pub(super) fn tell_of_repository(
        &self,
        context: &Context,
        repository: &Repository,
        after: &crate::crd::RepositoryStatus,
    ) {
        let before = repository.status.as_ref();
        for told in change::of_repository(before, after) {
            self.put(repository.object_ref(&()), told, context.clock.now());
        }
    }

    /// Says something about a Repository, soon.
    pub(super) fn tell_at_repository(&self, context: &Context, about: &Repository, told: Told) {
        self.put(about.object_ref(&()), told, context.clock.now());
    }

    fn put(&self, mut about: ObjectReference, told: Told, at: DateTime<Utc>) {
        about.resource_version = None;
        let mut state = self.state();
        if state.waiting.len() >= WAITING {
            state.waiting.pop_front();
        }
        state.waiting.push_back(Waiting { about, told, at });
        drop(state);
        self.news.notify_one();
    }

    /// The next thing to be sent.
    fn next(&self) -> Option<Write> {
        let mut state = self.state();
        while let Some(waiting) = state.waiting.pop_front() {
            if let Some(write) = state.plan(waiting) {
                return Some(write);
            }
        }
        None
    }
}

impl State {
    fn plan(&mut self, waiting: Waiting) -> Option<Write> {
        let Waiting { about, told, at } = waiting;
        let Told { reason, weight, action, note } = told;
        let uid = about.uid.clone().unwrap_or_default();
        self.forget(at);
        let key = (uid.clone(), reason, note.clone());
        if let Some(series) = self.series.get_mut(&key).filter(|series| at - series.last < SERIES) {
            series.count = series.count.saturating_add(1);
            series.last = at;
            if at - series.written < COUNTED {
                return None;
            }
            let (name, count) = (series.name.clone(), series.count);
            if !self.may(&uid, at) {
                return None;
            }
            if let Some(series) = self.series.get_mut(&key) {
                series.written = at;
            }
            let patch = json!({"series": {"count": count, "lastObservedTime": micro(at)}});
            return Some(Write::Count(name, patch));
        }
        if !self.may(&uid, at) {
            return None;
        }
        let identity = format!("{uid}/{reason}/{note}/{}", at.timestamp_micros());
        let digits = sha256_hex(identity.as_bytes());
        let stem = bounded(about.name.as_deref().unwrap_or_default(), 200);
        let name = format!("{stem}.{}", digits.get(..16).unwrap_or_default());
        self.series.insert(key, Series { name: name.clone(), count: 1, last: at, written: at });
        let event = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": about.namespace},
            "eventTime": micro(at),
            "reportingController": CONTROLLER,
            "reportingInstance": CONTROLLER,
            "type": match weight { Weight::Normal => "Normal", Weight::Warning => "Warning" },
            "reason": reason,
            "action": action,
            "regarding": about,
            "note": note,
        });
        Some(Write::Make(name, event))
    }

    /// Takes a token of the object's bucket.
    fn may(&mut self, uid: &str, now: DateTime<Utc>) -> bool {
        let (tokens, since) = self.buckets.get(uid).copied().unwrap_or((BURST, now));
        let passed = (now - since).as_seconds_f64().max(0.0);
        let tokens = (tokens + passed / REFILL_SECONDS).min(BURST);
        let may = tokens >= 1.0;
        self.buckets.insert(uid.to_owned(), (if may { tokens - 1.0 } else { tokens }, now));
        may
    }

    /// Forgets what is over: series that nobody continued, buckets that are full again.
    fn forget(&mut self, now: DateTime<Utc>) {
        if self.series.len() + self.buckets.len() < REMEMBERED / 8 {
            return;
        }
        self.series.retain(|_, series| now - series.last < SERIES);
        let full = TimeDelta::seconds(600);
        self.buckets.retain(|_, (_, since)| now - *since < full);
        while self.series.len() > REMEMBERED {
            self.series.pop_first();
        }
        while self.buckets.len() > REMEMBERED {
            self.buckets.pop_first();
        }
    }
}

fn micro(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Writes until `quiet`; then what waits is written, for a short time.
pub(super) async fn run(context: &Context, quiet: CancellationToken) {
    loop {
        while let Some(write) = context.events.next() {
            let sent = send(context, write);
            if quiet.is_cancelled() {
                tokio::select! {
                    biased;
                    () = sent => {}
                    () = context.clock.sleep(DRAIN) => return,
                }
            } else {
                sent.await;
            }
        }
        tokio::select! {
            biased;
            () = context.events.news.notified() => {}
            () = quiet.cancelled() => return,
        }
    }
}

async fn send(context: &Context, write: Write) {
    let api: Api<Event> = Api::namespaced(context.home.clone(), &context.namespace);
    let sent = match write {
        Write::Make(_, event) => match serde_json::from_value(event) {
            Ok(event) => api.create(&PostParams::default(), &event).await.map(drop),
            Err(error) => Err(kube::Error::SerdeError(error)),
        },
        Write::Count(name, patch) => {
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
        }
    };
    match sent {
        Ok(()) => {}
        // Said already, or its Event is too old to be there.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
        Err(error) => tracing::debug!("an Event is lost: {}", chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(uid: &str) -> ObjectReference {
        ObjectReference {
            name: Some("shop-pr-1".into()),
            namespace: Some("home".into()),
            uid: Some(uid.into()),
            ..ObjectReference::default()
        }
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn tell(events: &Events, uid: &str, note: &str, seconds: i64) -> Option<Write> {
        let told = Told::of("DriftRepaired", Weight::Normal, "PutBack", note);
        events.put(about(uid), told, at(seconds));
        events.next()
    }

    #[test]
    fn the_same_thing_said_again_counts_and_is_written_now_and_then() {
        let events = Events::default();
        let Some(Write::Make(name, event)) = tell(&events, "u", "a", 0) else { panic!("made") };
        assert_eq!(event["regarding"]["name"], "shop-pr-1");
        assert_eq!(event["eventTime"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(tell(&events, "u", "a", 3), None);
        let Some(Write::Count(counted, patch)) = tell(&events, "u", "a", 12) else {
            panic!("counted")
        };
        assert_eq!((counted, &patch["series"]["count"]), (name, &json!(3)));
        assert!(matches!(tell(&events, "u", "b", 13), Some(Write::Make(..))), "another note");
        assert!(matches!(tell(&events, "v", "a", 13), Some(Write::Make(..))), "another object");
        assert!(matches!(tell(&events, "u", "a", 1000), Some(Write::Make(..))), "long after");
    }

    #[test]
    fn what_goes_on_and_on_does_not_fill_the_store() {
        let events = Events::default();
        let made = (0..3600).filter(|n| tell(&events, "u", &format!("note {n}"), *n).is_some());
        let made = made.count();
        assert!((20..=141).contains(&made), "{made} in an hour");
        assert!(tell(&events, "v", "another object", 3600).is_some());
        let mut state = events.state();
        state.forget(at(100_000));
        assert!(state.series.len() < REMEMBERED && state.buckets.len() < REMEMBERED);
    }

    #[test]
    fn a_burst_that_nobody_can_write_loses_the_oldest() {
        let events = Events::default();
        for n in 0..2 * WAITING {
            events.put(about(&n.to_string()), Told::of("R", Weight::Normal, "A", "n"), at(0));
        }
        let mut left = 0;
        while events.next().is_some() {
            left += 1;
        }
        assert_eq!(left, WAITING);
    }
}
