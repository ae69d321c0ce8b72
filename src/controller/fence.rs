//! The fence: what a running apply was started for. When it differs, the run ends. Asked before each object, so it reads
//! the watches' stores and no API server. I/O: the forge, once for each hint that comes meanwhile.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use tokio::sync::Mutex;

use super::Context;
use super::branches::Subject;
use crate::apply;
use crate::crd::{Approval, Environment, Pin, Redeploy, Repository, Want};
use crate::domain::pull_request::State;
use crate::domain::render_inputs::RenderInputs;
use crate::forge::Forge;

/// What must stay the same while objects are written.
pub(super) struct Fence<'a> {
    context: &'a Context,
    forge: &'a Forge,
    name: String,
    subject: Subject,
    repository: String,
    started: Started,
    inputs: &'a RenderInputs,
    /// Hints, and generations of the Repository, that are known to change nothing.
    harmless: Mutex<Harmless>,
}

/// The record as it was when the run began, or as the run itself wrote it last.
#[derive(Clone, Debug)]
struct Started {
    uid: Option<String>,
    generation: i64,
    version: Option<String>,
    want: Want,
    approved: Option<Approval>,
    pin: Option<Pin>,
    redeploy: Option<Redeploy>,
    parameters: BTreeMap<String, String>,
    head: Option<String>,
    inputs_digest: Option<String>,
}

#[derive(Debug, Default)]
struct Harmless {
    hints: BTreeSet<Option<String>>,
    policies: BTreeSet<Option<i64>>,
}

/// What the store says about a run.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    Falls,
    /// Somebody left this hint.
    Ask(Option<String>),
}

impl<'a> Fence<'a> {
    /// `record` is the copy that the run wrote last: what the store shows of before is no news. `handled` is the hint
    /// that the run has looked at.
    pub(super) fn new(
        context: &'a Context,
        forge: &'a Forge,
        record: &Environment,
        handled: Option<&str>,
        subject: Subject,
        inputs: &'a RenderInputs,
        repository: &Repository,
    ) -> Self {
        Self {
            context,
            forge,
            name: record.metadata.name.clone().unwrap_or_default(),
            subject,
            repository: record.spec.repository.clone(),
            started: Started::of(record),
            inputs,
            harmless: Mutex::new(Harmless {
                hints: BTreeSet::from([None, handled.map(str::to_owned)]),
                policies: BTreeSet::from([repository.metadata.generation]),
            }),
        }
    }

    async fn still_holds(&self) -> bool {
        if !self.context.knows_records() {
            return true;
        }
        let found = self.context.record(&self.name);
        let hint = match self.started.judge(found.as_deref()) {
            Verdict::Falls => return false,
            Verdict::Holds => None,
            Verdict::Ask(hint) => Some(hint),
        };
        let mut harmless = self.harmless.lock().await;
        if !self.policy_holds(&mut harmless) {
            return false;
        }
        let Some(hint) = hint.filter(|hint| !harmless.hints.contains(hint)) else { return true };
        let head = match &self.subject {
            Subject::PullRequest(number) => self
                .forge
                .pull_request(*number)
                .await
                .map(|pull| (pull.state == State::Open).then_some(pull.head.revision)),
            Subject::Branch(name) => self.forge.branch(name).await,
        };
        match head {
            Ok(Some(head)) if Some(head.as_str()) == self.started.head.as_deref() => {
                harmless.hints.insert(hint);
                true
            }
            Ok(_) => false,
            // What the forge does not tell proves nothing; the next object asks again.
            Err(_) => true,
        }
    }

    /// Whether the Repository's rules still give the same inputs.
    fn policy_holds(&self, harmless: &mut Harmless) -> bool {
        let Some(repository) = self.context.repository(&self.repository) else { return true };
        let generation = repository.metadata.generation;
        if harmless.policies.contains(&generation) {
            return true;
        }
        // Rules that can't be read are told of by the next run; they are no reason to stop in the middle.
        let same = repository
            .spec
            .policy()
            .is_ok_and(|policy| RenderInputs::policy_of(&policy) == self.inputs.policy);
        if same {
            harmless.policies.insert(generation);
        }
        same
    }
}

impl apply::Fence for Fence<'_> {
    fn holds(&self) -> BoxFuture<'_, bool> {
        Box::pin(self.still_holds())
    }
}

impl Started {
    fn of(record: &Environment) -> Self {
        let status = record.status.as_ref();
        Self {
            uid: record.metadata.uid.clone(),
            generation: record.metadata.generation.unwrap_or_default(),
            version: record.metadata.resource_version.clone(),
            want: record.spec.want,
            approved: record.spec.approved.clone(),
            pin: record.spec.pin.clone(),
            redeploy: record.spec.redeploy.clone(),
            parameters: record.spec.parameters.clone(),
            head: status.and_then(|s| s.head.as_ref()).map(|head| head.revision.clone()),
            inputs_digest: status.and_then(|status| status.inputs_digest.clone()),
        }
    }

    /// A store may be older than what the run itself wrote: what it shows of then ends nothing.
    fn judge(&self, now: Option<&Environment>) -> Verdict {
        // The run was started by this store, so the record was in it: now it is gone.
        let Some(now) = now else { return Verdict::Falls };
        if now.metadata.uid != self.uid || now.metadata.deletion_timestamp.is_some() {
            return Verdict::Falls;
        }
        // Generations are counted: a smaller one is of before.
        let newer_spec = now.metadata.generation.unwrap_or_default() > self.generation;
        let spec = &now.spec;
        let asked = (spec.want, &spec.approved, &spec.pin, &spec.redeploy, &spec.parameters);
        let before = (self.want, &self.approved, &self.pin, &self.redeploy, &self.parameters);
        if newer_spec && asked != before {
            return Verdict::Falls;
        }
        match order(now.metadata.resource_version.as_deref(), self.version.as_deref()) {
            Some(Ordering::Less) => return Verdict::Holds,
            // Another writer of the status: a leader after us.
            Some(Ordering::Greater) => {
                let status = now.status.as_ref();
                let head = status.and_then(|s| s.head.as_ref()).map(|head| &head.revision);
                let digest = status.and_then(|status| status.inputs_digest.as_ref());
                if head != self.head.as_ref() || digest != self.inputs_digest.as_ref() {
                    return Verdict::Falls;
                }
            }
            Some(Ordering::Equal) | None => {}
        }
        Verdict::Ask(hint(now))
    }
}

/// Which of two resource versions is the newer. They are decimal numbers that grow; of what is none, nothing is known.
fn order(a: Option<&str>, b: Option<&str>) -> Option<Ordering> {
    let number = |text: Option<&str>| text?.parse::<u128>().ok();
    Some(number(a)?.cmp(&number(b)?))
}

fn hint(record: &Environment) -> Option<String> {
    record.metadata.annotations.as_ref()?.get(crate::crd::HINT_ANNOTATION).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn record(change: impl FnOnce(&mut Value)) -> Environment {
        let mut value = json!({
            "apiVersion": "bivouac.dev/v1alpha1",
            "kind": "Environment",
            "metadata": {
                "name": "shop-pr-1", "uid": "u", "generation": 3, "resourceVersion": "90",
                "annotations": {"bivouac.dev/hint": "first"},
            },
            "spec": {"repository": "shop", "source": {"pullRequest": {"number": 1}}, "want": "Auto"},
            "status": {"inputsDigest": "d"},
        });
        change(&mut value);
        serde_json::from_value(value).expect("a record")
    }

    fn set(pointer: &'static str, to: Value) -> impl FnOnce(&mut Value) {
        move |value| {
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
            value.pointer_mut(parent).expect("a parent")[key] = to;
        }
    }

    fn judged(change: impl FnOnce(&mut Value)) -> Verdict {
        Started::of(&record(|_| {})).judge(Some(&record(change)))
    }

    #[test]
    fn a_store_that_is_older_than_our_own_write_ends_nothing() {
        assert_eq!(judged(|_| {}), Verdict::Ask(Some("first".into())));
        let older = |value: &mut Value| {
            value["metadata"]["resourceVersion"] = "9".into();
            value["metadata"]["generation"] = 2.into();
            value["metadata"]["annotations"]["bivouac.dev/hint"] = "zeroth".into();
            value["spec"]["want"] = "Down".into();
            value["status"]["inputsDigest"] = "of before".into();
        };
        assert_eq!(judged(older), Verdict::Holds);
    }

    #[test]
    fn a_wish_a_deletion_and_another_writer_end_the_run_and_a_hint_asks_the_forge() {
        let newer = |value: &mut Value| value["metadata"]["resourceVersion"] = "100".into();
        let wish = |value: &mut Value| {
            newer(value);
            value["metadata"]["generation"] = 4.into();
            value["spec"]["want"] = "Down".into();
        };
        assert_eq!(judged(wish), Verdict::Falls);
        assert_eq!(
            judged(set("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"))),
            Verdict::Falls
        );
        assert_eq!(judged(set("/metadata/uid", json!("another"))), Verdict::Falls);
        assert_eq!(Started::of(&record(|_| {})).judge(None), Verdict::Falls);
        let rewritten = |value: &mut Value| {
            newer(value);
            value["status"]["inputsDigest"] = "another".into();
        };
        assert_eq!(judged(rewritten), Verdict::Falls);
        let hinted = |value: &mut Value| {
            newer(value);
            value["metadata"]["annotations"]["bivouac.dev/hint"] = "second".into();
        };
        assert_eq!(judged(hinted), Verdict::Ask(Some("second".into())));
        // A generation that changes nothing a run depends on.
        let extended = |value: &mut Value| {
            newer(value);
            value["metadata"]["generation"] = 4.into();
        };
        assert_eq!(judged(extended), Verdict::Ask(Some("first".into())));
    }

    #[test]
    fn versions_are_numbers_and_not_texts() {
        assert_eq!(order(Some("9"), Some("10")), Some(Ordering::Less));
        assert_eq!(order(Some("x"), Some("10")), None);
        assert_eq!(order(None, Some("10")), None);
    }
}
