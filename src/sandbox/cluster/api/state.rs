//! All that the server knows, behind one lock: objects, kinds, tokens, RBAC as it is in force. No I/O, no waiting.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::seams::Rng;

use super::audit::Audit;
use super::auth::authn::Tokens;
use super::auth::rbac::{GROUP, Snapshot, User};
use super::faults::Lags;
use super::kinds::{Kinds, Served};
use super::path::{Query, ResourcePath};
use super::policy::Policies;
use super::schema::FieldValidation;
use super::status::{ApiError, GroupResource};
use super::store::{Key, Store};

/// The server's memory.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) kinds: Kinds,
    pub(crate) tokens: Tokens,
    pub(crate) audit: Audit,
    /// Admission policies in force.
    pub(crate) policies: Policies,
    pub(crate) rng: Rng,
    /// Changes whenever a kind comes, goes or changes.
    pub(crate) kinds_revision: u64,
    lags: Lags,
    /// RBAC's past and coming states, each with the time from which it is in force.
    rbac: VecDeque<(DateTime<Utc>, Arc<Snapshot>)>,
}

/// One request for a resource, understood.
pub(crate) struct Call {
    pub(crate) user: User,
    pub(crate) served: Served,
    pub(crate) path: ResourcePath,
    pub(crate) query: Query,
    pub(crate) content_type: Option<String>,
    /// Who is named as manager of the fields that the request sets.
    pub(crate) manager: String,
    pub(crate) fields: FieldValidation,
    /// The fields that stand twice in the body, each as a sentence.
    pub(crate) duplicates: Vec<String>,
    pub(crate) dry_run: bool,
    pub(crate) now: DateTime<Utc>,
    pub(crate) rbac: Arc<Snapshot>,
    /// Go out as `Warning` headers.
    pub(crate) warnings: Vec<String>,
}

impl Call {
    pub(crate) fn resource(&self) -> GroupResource {
        self.served.resource()
    }

    /// The namespace of the object; empty for cluster-scoped kinds.
    pub(crate) fn namespace(&self) -> &str {
        if self.served.kind.namespaced { &self.path.namespace } else { "" }
    }

    pub(crate) fn key(&self) -> Key {
        (self.namespace().to_owned(), self.path.name.clone())
    }

    /// The same request once more, for what outlives its answer.
    pub(crate) fn again(&self) -> Self {
        Self {
            user: self.user.clone(),
            served: self.served.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            content_type: self.content_type.clone(),
            manager: self.manager.clone(),
            fields: self.fields,
            duplicates: Vec::new(),
            dry_run: self.dry_run,
            now: self.now,
            rbac: Arc::clone(&self.rbac),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn invalid(&self, name: &str, causes: &[super::status::Cause]) -> ApiError {
        ApiError::invalid(&self.served.kind.group, &self.served.kind.kind, name, causes)
    }
}

impl State {
    pub(crate) fn new(rng: Rng, lags: Lags, history: usize, audit: usize) -> Self {
        Self {
            store: Store::new(history),
            kinds: Kinds::new(),
            tokens: Tokens::default(),
            audit: Audit::new(audit),
            policies: Policies::default(),
            rng,
            kinds_revision: 1,
            lags,
            rbac: VecDeque::new(),
        }
    }

    /// RBAC as it is in force at `now`.
    pub(crate) fn rbac(&mut self, now: DateTime<Utc>) -> Arc<Snapshot> {
        while self.rbac.get(1).is_some_and(|(from, _)| *from <= now) {
            self.rbac.pop_front();
        }
        match self.rbac.front() {
            Some((from, snapshot)) if *from <= now => Arc::clone(snapshot),
            _ => Arc::new(Snapshot::default()),
        }
    }

    /// To be called after each write that was stored.
    fn wrote(&mut self, resource: &GroupResource, now: DateTime<Utc>) {
        if resource.group == GROUP {
            self.refresh_rbac(now, self.lags.authoriser);
        }
    }

    /// Takes up the roles and bindings of now, after a lag of up to `most`.
    pub(crate) fn refresh_rbac(&mut self, now: DateTime<Utc>, most: Duration) {
        let mut from = now;
        if !most.is_zero() {
            let micros = self.rng.below(u64::try_from(most.as_micros()).unwrap_or(u64::MAX));
            from += chrono::Duration::microseconds(i64::try_from(micros).unwrap_or_default());
        }
        // A later change never takes effect before an earlier one: it comes through the same watch.
        if let Some((last, _)) = self.rbac.back() {
            from = from.max(*last);
        }
        self.rbac.push_back((from, Arc::new(Snapshot::of(&self.store))));
    }

    /// Stores an object and lets what depends on it know.
    pub(crate) fn put(
        &mut self,
        resource: &GroupResource,
        key: Key,
        object: Value,
        now: DateTime<Utc>,
    ) -> Arc<Value> {
        let name = key.1.clone();
        let stored = self.store.put(resource, key, object);
        self.policies.update(resource, &name, Some(&stored));
        if super::crds::is_definition(resource) {
            self.register(&stored);
        }
        self.wrote(resource, now);
        stored
    }

    /// Takes an object away and lets what depends on it know.
    pub(crate) fn remove(
        &mut self,
        resource: &GroupResource,
        key: &Key,
        now: DateTime<Utc>,
    ) -> Option<Arc<Value>> {
        let last = self.store.remove(resource, key)?;
        self.policies.update(resource, &key.1, None);
        if super::crds::is_definition(resource) {
            self.kinds.set_custom(&key.1, Vec::new());
            self.kinds_revision += 1;
        } else {
            self.finish_definition(resource, now);
        }
        self.wrote(resource, now);
        Some(last)
    }
}
