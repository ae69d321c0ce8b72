//! Our own resources, written with `resourceVersion`. I/O with home.

use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use kube::api::PostParams;
use kube::runtime::reflector::ObjectRef;

use super::error::ReconcileError;
use super::slots::Slot;
use super::{Context, marks};
use crate::crd::{AWAITS_LABEL, CAMP_FINALIZER, Environment, EnvironmentStatus, Power, Want};

impl Context {
    /// The record of that name, as the watch last showed it: maybe older than what a run wrote.
    pub(super) fn record(&self, name: &str) -> Option<Arc<Environment>> {
        let store = self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        store.get(&ObjectRef::new(name).within(&self.namespace))
    }

    /// All records, as the watch last showed them, by name.
    pub(super) fn all_records(&self) -> Vec<Arc<Environment>> {
        let store = self.records.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all = store.map(|store| store.state()).unwrap_or_default();
        all.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        all
    }

    /// Whether the watch has shown all records: before, one that is not there may be on its way.
    pub(super) fn knows_records(&self) -> bool {
        let store = self.records.lock().unwrap_or_else(PoisonError::into_inner).clone();
        store.is_some_and(|store| {
            store.wait_until_ready().now_or_never().is_some_and(|ready| ready.is_ok())
        })
    }
}

/// One record during a run: as it was last written, and the status as it is to be.
pub(super) struct Record {
    stored: Environment,
    /// What the run knows; written by [`save`](Record::save).
    pub(super) status: EnvironmentStatus,
    /// When something is due that no event tells of.
    wake_at: Option<DateTime<Utc>>,
    /// The run's place among those that work; given back while it renders.
    slot: Option<Slot>,
}

impl Record {
    /// A record as it was read.
    pub(super) fn new(stored: Environment) -> Self {
        let status = stored.status.clone().unwrap_or_default();
        Self { stored, status, wake_at: None, slot: None }
    }

    /// The next run comes then at the latest.
    pub(super) fn look_at(&mut self, at: DateTime<Utc>) {
        self.wake_at = Some(self.wake_at.map_or(at, |known| known.min(at)));
    }

    /// When something is due: what was asked for, or the camp's end.
    pub(super) fn due_at(&self) -> Option<DateTime<Utc>> {
        let end = self.status.expires_at.map(|at| at.0);
        self.wake_at.into_iter().chain(end).min()
    }

    /// Holds a place to work.
    pub(super) fn with_slot(mut self, slot: Option<Slot>) -> Self {
        self.slot = slot;
        self
    }

    /// Waits for a place to work.
    pub(super) async fn take_slot(&mut self, context: &Context) {
        if self.slot.is_none() {
            self.slot = context.slots.run().await;
        }
    }

    /// Gives the place to others for a while.
    pub(super) fn leave_slot(&mut self) {
        self.slot = None;
    }

    /// As it is stored now.
    pub(super) fn stored(&self) -> &Environment {
        &self.stored
    }

    pub(super) fn name(&self) -> &str {
        self.stored.metadata.name.as_deref().unwrap_or_default()
    }

    pub(super) fn uid(&self) -> &str {
        self.stored.metadata.uid.as_deref().unwrap_or_default()
    }

    pub(super) fn generation(&self) -> Option<i64> {
        self.stored.metadata.generation
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.stored.metadata.deletion_timestamp.is_some()
    }

    pub(super) fn has_finalizer(&self) -> bool {
        self.stored
            .metadata
            .finalizers
            .as_ref()
            .is_some_and(|all| all.iter().any(|one| one == CAMP_FINALIZER))
    }

    /// Writes the status, when it differs from what is stored.
    pub(super) async fn save(&mut self, context: &Context) -> Result<(), ReconcileError> {
        self.status.observed_generation = self.generation();
        self.save_as_observed(context).await
    }

    /// The same by somebody who has not looked at what the record asks for.
    pub(super) async fn save_as_observed(
        &mut self,
        context: &Context,
    ) -> Result<(), ReconcileError> {
        self.foresee(context);
        if self.stored.status.as_ref() == Some(&self.status) {
            return Ok(());
        }
        match self.put_status(context).await {
            Err(ReconcileError::Stale) if self.only_notes_changed(context).await? => {
                self.put_status(context).await
            }
            other => other,
        }
    }

    /// What must be written down before the forge is told.
    fn foresee(&mut self, context: &Context) {
        let mut wanted = self.stored.clone();
        wanted.status = Some(std::mem::take(&mut self.status));
        marks::foresee(context, &self.stored, &mut wanted);
        self.status = wanted.status.unwrap_or_default();
    }

    async fn put_status(&mut self, context: &Context) -> Result<(), ReconcileError> {
        let mut wanted = self.stored.clone();
        wanted.status = Some(self.status.clone());
        let stored = context
            .environments()
            .replace_status(self.name(), &PostParams::default(), &wanted)
            .await
            .map_err(|error| ReconcileError::record("write the status of the record", error))?;
        let before = std::mem::replace(&mut self.stored, stored);
        context.events.tell_of_change(context, &before, &self.stored);
        context.notifier.offer(context, &before, &self.stored);
        Ok(())
    }

    /// Whether the record differs from our copy in annotations and labels alone, say by a hint; takes them over then. A
    /// hint is looked at by the next run, and by the fence of this one: it is no reason to lose what was done.
    async fn only_notes_changed(&mut self, context: &Context) -> Result<bool, ReconcileError> {
        let found = context.environments().get_opt(self.name()).await;
        let found = found.map_err(|error| ReconcileError::record("read the record", error))?;
        let Some(found) = found.filter(|found| same_but_notes(&self.stored, found)) else {
            return Ok(false);
        };
        self.stored = found;
        Ok(true)
    }

    /// Puts the finalizer on or takes it off.
    pub(super) async fn set_finalizer(
        &mut self,
        context: &Context,
        on: bool,
    ) -> Result<(), ReconcileError> {
        if self.has_finalizer() == on {
            return Ok(());
        }
        let mut wanted = self.stored.clone();
        let finalizers = wanted.metadata.finalizers.get_or_insert_default();
        finalizers.retain(|one| one != CAMP_FINALIZER);
        if on {
            finalizers.push(CAMP_FINALIZER.to_owned());
        }
        self.replace(context, wanted, "write the finalizer of the record").await
    }

    /// Writes down for which commit's checks it waits, so that an event about the commit finds it.
    pub(super) async fn set_awaits(
        &mut self,
        context: &Context,
        commit: Option<&str>,
    ) -> Result<(), ReconcileError> {
        let labels = self.stored.metadata.labels.as_ref();
        if labels.and_then(|labels| labels.get(AWAITS_LABEL)).map(String::as_str) == commit {
            return Ok(());
        }
        let mut wanted = self.stored.clone();
        let labels = wanted.metadata.labels.get_or_insert_default();
        match commit {
            Some(commit) => labels.insert(AWAITS_LABEL.to_owned(), commit.to_owned()),
            None => labels.remove(AWAITS_LABEL),
        };
        self.replace(context, wanted, "write for what the record waits").await
    }

    /// Sets `want` back to `Auto`: a command that was carried out or has lost its object.
    pub(super) async fn reset_want(&mut self, context: &Context) -> Result<(), ReconcileError> {
        let mut wanted = self.stored.clone();
        wanted.spec.want = Want::Auto;
        self.status.observed_want = Some(Want::Auto);
        self.replace(context, wanted, "set want of the record back").await
    }

    /// Sets `power` back to `Auto`: a wish that has lost its object.
    pub(super) async fn reset_power(&mut self, context: &Context) -> Result<(), ReconcileError> {
        let mut wanted = self.stored.clone();
        wanted.spec.power = Power::Auto;
        self.replace(context, wanted, "set power of the record back").await
    }

    /// Takes the pin out: the head runs again.
    pub(super) async fn clear_pin(&mut self, context: &Context) -> Result<(), ReconcileError> {
        let mut wanted = self.stored.clone();
        wanted.spec.pin = None;
        self.replace(context, wanted, "take the pin out of the record").await
    }

    async fn replace(
        &mut self,
        context: &Context,
        wanted: Environment,
        what: &'static str,
    ) -> Result<(), ReconcileError> {
        let name = self.name().to_owned();
        let answer = context.environments().replace(&name, &PostParams::default(), &wanted).await;
        match answer {
            Ok(stored) => self.stored = stored,
            // The last finalizer of a deleted record takes the record with it.
            Err(kube::Error::Api(status)) if status.code == 404 && self.is_deleted() => {}
            Err(error) => return Err(ReconcileError::record(what, error)),
        }
        Ok(())
    }
}

/// Whether two copies ask for the same and say the same of it. An end that somebody moved is no reason to stop a run; the
/// next one looks at it.
fn same_but_notes(ours: &Environment, theirs: &Environment) -> bool {
    let metadata = |record: &Environment| {
        let metadata = &record.metadata;
        (metadata.uid.clone(), metadata.deletion_timestamp.clone(), metadata.finalizers.clone())
    };
    let mut spec = theirs.spec.clone();
    spec.lifetime = ours.spec.lifetime.clone();
    let same_generation = ours.metadata.generation == theirs.metadata.generation;
    metadata(ours) == metadata(theirs)
        && (same_generation || ours.spec.lifetime != theirs.spec.lifetime)
        && ours.spec == spec
        && ours.status == theirs.status
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn only_notes_may_differ() {
        let record = |change: fn(&mut Value)| -> Environment {
            let mut value = json!({
                "apiVersion": "bivouac.dev/v1alpha1",
                "kind": "Environment",
                "metadata": {"name": "shop-pr-1", "uid": "u", "generation": 3, "resourceVersion": "90"},
                "spec": {"repository": "shop", "source": {"pullRequest": {"number": 1}}},
                "status": {"inputsDigest": "d"},
            });
            change(&mut value);
            serde_json::from_value(value).expect("a record")
        };
        let ours = record(|_| {});
        let noted = record(|value| {
            value["metadata"]["resourceVersion"] = "91".into();
            value["metadata"]["annotations"] = json!({"bivouac.dev/hint": "new"});
        });
        assert!(same_but_notes(&ours, &noted));
        let others: [fn(&mut Value); 5] = [
            |value| value["metadata"]["generation"] = 4.into(),
            |value| value["metadata"]["uid"] = "another".into(),
            |value| value["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into(),
            |value| value["spec"]["want"] = "Down".into(),
            |value| value["status"]["inputsDigest"] = "another".into(),
        ];
        for change in others {
            assert!(!same_but_notes(&ours, &record(change)));
        }
    }
}
