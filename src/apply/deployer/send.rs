//! One object into the camp: tried, applied, its fields shared with others, made anew where that is allowed. I/O with the
//! target.

use kube::api::{DeleteParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::{DynamicObject, Status};
use serde_json::Value;

use super::{Deployer, Known, Replacing, Written, api_version, what};
use crate::apply::FIELD_MANAGER;
use crate::apply::error::{ApplyError, is_not_found, is_settling, is_terminating, status};
use crate::apply::yields::{Conflict, Yielded, conflicts};
use crate::apply::{fields, replace};
use crate::domain::bundle::{BundleObject, ObjectIdentity};
use crate::domain::power;
use chrono::TimeDelta;

/// Tries of one object: each answers a refusal that says what to do otherwise.
const TRIES: usize = 6;
/// An object that was deleted to be made anew is waited for this long.
const GONE_WITHIN: TimeDelta = TimeDelta::seconds(30);

/// One try to write an object.
struct Attempt {
    json: Value,
    force: bool,
    /// Fields that earlier runs left to others.
    left_out: Vec<Yielded>,
    taken: Vec<Conflict>,
    yielded: Vec<Conflict>,
    asked_again: bool,
}

impl Deployer {
    /// What the API server would say to one object, though nothing is written. `None`: the object is what it took last.
    pub(in crate::apply) async fn try_out(
        &self,
        object: &BundleObject,
    ) -> Result<Option<Result<(), kube::Error>>, ApplyError> {
        let identity = object.identity();
        let (json, _) = self.shared(object, &identity);
        let known = self.known(object).await?;
        if let Some(camp) = &self.camp
            && self.target.memory.was_taken(camp, &identity, Self::print(&json))
        {
            return Ok(None);
        }
        let send = async |known: &Known| {
            let parameters = PatchParams::apply(FIELD_MANAGER).force().dry_run();
            let patch = Patch::Apply(&json);
            self.api(known).patch(&identity.name, &parameters, &patch).await.map(drop)
        };
        match send(&known).await {
            // The kind may have gone since it was asked for.
            Err(error) if is_not_found(&error) => {
                self.target.forget_kind(api_version(object), &identity.kind);
                let known = self.known(object).await?;
                Ok(Some(send(&known).await))
            }
            answer => Ok(Some(answer)),
        }
    }

    /// Applies one object of a bundle. Fields of others are left to them where the rules say so, and taken back
    /// elsewhere. `Settling`: it is on its way, ask [`waits`](Self::waits) and try again.
    pub(in crate::apply) async fn apply(
        &self,
        object: &BundleObject,
    ) -> Result<Written, ApplyError> {
        let identity = object.identity();
        let (json, left_out) = self.shared(object, &identity);
        if self.is_sent(&identity, Self::print(&json)) {
            return Ok(Written::Unchanged);
        }
        let mut known = self.known(object).await?;
        let mut attempt = Attempt {
            json,
            force: false,
            left_out,
            taken: Vec::new(),
            yielded: Vec::new(),
            asked_again: false,
        };
        let mut last = None;
        for _ in 0..TRIES {
            let error = match self.send(&known, &identity, &attempt).await {
                Ok(stored) if Self::is_another(&attempt, &stored) => {
                    self.yields().forget(&identity);
                    let (json, left_out) = self.shared(object, &identity);
                    (attempt.json, attempt.left_out) = (json, left_out);
                    continue;
                }
                Ok(stored) => {
                    self.target.marks().note(&self.namespace, &stored);
                    return Ok(self.written(&identity, attempt, &stored));
                }
                Err(error) => error,
            };
            match status(&error) {
                Some(refusal) if refusal.code == 409 => {
                    // Without causes somebody was only faster: the same again.
                    self.share(&identity, &mut attempt, conflicts(refusal));
                }
                Some(refusal) if refusal.code == 404 && !attempt.asked_again => {
                    attempt.asked_again = true;
                    self.target.forget_kind(api_version(object), &identity.kind);
                    known = self.known(object).await?;
                }
                Some(refusal) => match replace::fixed_fields(refusal) {
                    Some(fixed) => {
                        self.make_way(object, &identity, &known, fixed, refusal).await?;
                    }
                    None => return Err(self.error_of(object, &identity, error)),
                },
                None => return Err(self.error_of(object, &identity, error)),
            }
            last = Some(error);
        }
        Err(match last {
            Some(error) => {
                ApplyError::Cluster { what: what(object, &identity), source: Box::new(error) }
            }
            None => ApplyError::Superseded,
        })
    }

    async fn send(
        &self,
        known: &Known,
        identity: &ObjectIdentity,
        attempt: &Attempt,
    ) -> kube::Result<DynamicObject> {
        let mut parameters = PatchParams::apply(FIELD_MANAGER);
        if attempt.force {
            parameters = parameters.force();
        }
        self.api(known).patch(&identity.name, &parameters, &Patch::Apply(&attempt.json)).await
    }

    /// Whether the object is another one than that whose fields were left to somebody.
    fn is_another(attempt: &Attempt, stored: &DynamicObject) -> bool {
        let uid = stored.metadata.uid.as_deref().unwrap_or_default();
        attempt.yielded.is_empty() && attempt.left_out.iter().any(|one| one.uid != uid)
    }

    /// Leaves fields out that may stay with others; the rest is taken back by the next try.
    fn share(&self, identity: &ObjectIdentity, attempt: &mut Attempt, found: Vec<Conflict>) {
        let yields = self.yields();
        for conflict in found {
            let leave = !power::holds(&attempt.json, &conflict.field)
                && yields.allows(identity, &conflict)
                && yields.has_room()
                && fields::remove(&mut attempt.json, &conflict.field);
            if leave {
                attempt.yielded.push(conflict);
            } else {
                attempt.force = true;
                attempt.taken.push(conflict);
            }
        }
    }

    /// Notes what was written, and says how.
    fn written(
        &self,
        identity: &ObjectIdentity,
        attempt: Attempt,
        stored: &DynamicObject,
    ) -> Written {
        let Attempt { json, mut taken, yielded, .. } = attempt;
        let uid = stored.metadata.uid.as_deref().unwrap_or_default();
        {
            let mut yields = self.yields();
            for conflict in &yielded {
                yields.note(identity, uid, conflict);
            }
        }
        self.note_sent(identity, &json);
        taken.sort();
        taken.dedup();
        if let Some(Replacing { fields, .. }) = self.replacing().remove(identity) {
            return Written::Replaced { fields };
        }
        match (taken.as_slice(), yielded.as_slice()) {
            ([], []) => Written::Plainly,
            ([], yielded) => {
                Written::Yielded { manager: managers(yielded), fields: paths(yielded) }
            }
            (taken, _) => Written::Forced { manager: managers(taken), fields: paths(taken) },
        }
    }

    /// An object that can't be changed: deleted, where that is allowed, so that the next try makes it anew.
    async fn make_way(
        &self,
        object: &BundleObject,
        identity: &ObjectIdentity,
        known: &Known,
        fixed: Vec<String>,
        refusal: &Status,
    ) -> Result<(), ApplyError> {
        let (named, origin) = (identity.to_string(), object.origin.to_string());
        if !replace::may_be_replaced(object) {
            let fields = if fixed.is_empty() { "a field".to_owned() } else { fixed.join(", ") };
            let out = replace::way_out(&identity.kind);
            return Err(ApplyError::Refused {
                object: named,
                origin,
                message: format!("{fields} can't be changed once it is set; {out}"),
            });
        }
        let failed = |source| ApplyError::Cluster {
            what: format!("delete {identity}, to make it anew"),
            source: Box::new(source),
        };
        // Secrets can't be read by the deployer: they are deleted by their name.
        let secret = identity.group.is_empty() && identity.kind == "Secret";
        let begun = self.replacing().contains_key(identity);
        let mut precondition = None;
        let mut held_by = String::new();
        let mut going = begun && secret;
        if !secret {
            let live = match self.api(known).get_opt(&identity.name).await {
                Ok(live) => live,
                Err(error) => return Err(self.error_of(object, identity, error)),
            };
            let Some(live) = live else { return Ok(()) };
            going = live.metadata.deletion_timestamp.is_some();
            held_by = live.metadata.finalizers.unwrap_or_default().join(", ");
            precondition = live.metadata.uid;
        }
        if !begun {
            let until = self.patience.as_ref().map(|(clock, _)| clock.now() + GONE_WITHIN);
            let replacing = Replacing { fields: fixed, until };
            self.replacing().insert(identity.clone(), replacing);
        }
        if going {
            let held_by = if held_by.is_empty() {
                String::new()
            } else {
                format!("; it is held by {held_by}")
            };
            return Err(ApplyError::Settling {
                object: named,
                origin,
                message: format!(
                    "it is being deleted, to be made anew, and is not gone yet{held_by} ({})",
                    refusal.reason
                ),
            });
        }
        self.forget_sent(identity);
        let parameters = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: precondition
                .map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.api(known).delete(&identity.name, &parameters).await {
            Ok(_) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) if status(&error).is_some_and(|refusal| refusal.code == 409) => Ok(()),
            Err(error) if status(&error).is_some() => Err(self.error_of(object, identity, error)),
            Err(error) => Err(failed(error)),
        }
    }

    /// What a refusal means for the run.
    pub(in crate::apply) fn error_of(
        &self,
        object: &BundleObject,
        identity: &ObjectIdentity,
        error: kube::Error,
    ) -> ApplyError {
        let (named, origin) = (identity.to_string(), object.origin.to_string());
        match status(&error) {
            Some(s) if is_terminating(s) => ApplyError::NotPrepared {
                what: format!("namespace {} is going away", self.namespace),
            },
            Some(s) if is_settling(s) => {
                ApplyError::Settling { object: named, origin, message: s.message.clone() }
            }
            Some(s) if matches!(s.code, 400 | 403 | 405 | 413 | 415 | 422) => {
                ApplyError::Refused { object: named, origin, message: s.message.clone() }
            }
            _ => ApplyError::Cluster { what: what(object, identity), source: Box::new(error) },
        }
    }
}

fn managers(conflicts: &[Conflict]) -> String {
    let mut names: Vec<&str> = conflicts.iter().map(|one| one.manager.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

fn paths(conflicts: &[Conflict]) -> Vec<String> {
    conflicts.iter().map(|one| one.field.clone()).collect()
}
