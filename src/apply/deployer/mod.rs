//! The only one who may send objects of a bundle: a camp's own service account, impersonated. I/O with the target.

mod reads;
mod scale;
mod send;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use kube::Client;
use kube::api::Api;
use kube::core::DynamicObject;
use serde_json::Value;

use super::discovery::Known;
use super::error::ApplyError;
use super::fields;
use super::memory::{self, Print};
use super::target::{As, Target};
use super::yields::{Yielded, Yields};
use crate::domain::bundle::{Bundle, BundleObject, ObjectIdentity};
use crate::domain::policy::YieldRule;
use crate::domain::power;
use crate::seams::Clock;

/// Pause between two tries in a camp that settles.
const PAUSE: Duration = Duration::from_millis(200);
/// The field that autoscalers take.
const REPLICAS: &str = ".spec.replicas";

/// Acts as `system:serviceaccount:<camp>:bivouac-deployer` in one namespace.
pub struct Deployer {
    target: Target,
    client: Client,
    namespace: String,
    patience: Option<(Clock, DateTime<Utc>)>,
    /// UID of the namespace, when what is sent is remembered.
    camp: Option<String>,
    yields: Mutex<Yields>,
    /// Objects that were deleted to be made anew, and until when they are waited for.
    replacing: Mutex<BTreeMap<ObjectIdentity, Replacing>>,
}

/// An object on its way out, to be made anew.
#[derive(Clone, Debug)]
struct Replacing {
    fields: Vec<String>,
    until: Option<DateTime<Utc>>,
}

/// How one object was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::apply) enum Written {
    /// As asked.
    Plainly,
    /// It was not sent: the run that this one goes on with had sent just the same.
    Unchanged,
    /// Fields that somebody else had taken were taken back.
    Forced {
        /// Who had them; several are separated by commas.
        manager: String,
        /// Which, as managed fields name them.
        fields: Vec<String>,
    },
    /// Fields were left to somebody else, for the first time.
    Yielded {
        /// Who has them; several are separated by commas.
        manager: String,
        /// Which, as managed fields name them.
        fields: Vec<String>,
    },
    /// It could not be changed: it was deleted and made anew.
    Replaced {
        /// Fields that could not be changed, as validation names them.
        fields: Vec<String>,
    },
}

/// What a run may know of others' fields.
#[derive(Clone, Copy, Debug)]
pub struct Sharing<'a> {
    /// Fields that the Repository leaves to others.
    pub rules: &'a [YieldRule],
    /// Fields that earlier runs left to others.
    pub known: &'a [Yielded],
}

impl Deployer {
    /// The deployer of the camp in `namespace`.
    #[must_use]
    pub fn of(target: &Target, namespace: &str) -> Self {
        let client = target.client(&As::Deployer(namespace.to_owned()));
        Self {
            target: target.clone(),
            client,
            namespace: namespace.to_owned(),
            patience: None,
            camp: None,
            yields: Mutex::default(),
            replacing: Mutex::default(),
        }
    }

    /// Until then, refusals of a kind that a fresh camp gives are tried again and not told.
    #[must_use]
    pub fn patient_until(mut self, clock: &Clock, until: DateTime<Utc>) -> Self {
        self.patience = Some((clock.clone(), until));
        self
    }

    /// For one run that applies `bundle` to the camp whose namespace has the UID `camp`. A run that was cut off a moment
    /// ago is gone on with: what it sent is not sent again.
    #[must_use]
    pub fn for_run(
        mut self,
        camp: &str,
        bundle: &Bundle,
        Sharing { rules, known }: Sharing<'_>,
        now: DateTime<Utc>,
    ) -> Self {
        self.target.memory.begin(camp, now);
        self.camp = Some(camp.to_owned());
        self.yields = Mutex::new(Yields::new(rules, known.to_vec(), bundle));
        self
    }

    /// For single objects of `bundle` that are put back: what is left to others stays so.
    #[must_use]
    pub fn for_repair(mut self, bundle: &Bundle, Sharing { rules, known }: Sharing<'_>) -> Self {
        self.yields = Mutex::new(Yields::new(rules, known.to_vec(), bundle));
        self
    }

    /// The object as it is sent: without what is left to others, and with our label.
    pub(in crate::apply) fn as_sent(&self, object: &BundleObject) -> Value {
        self.shared(object, &object.identity()).0
    }

    /// The run has reached its end: the next one sends every object again.
    pub fn end_run(&self) {
        if let Some(camp) = &self.camp {
            self.target.memory.end(camp);
        }
    }

    /// Fields that are left to others from now on, sorted.
    #[must_use]
    pub fn yielded(&self) -> Vec<Yielded> {
        self.yields().all()
    }

    fn yields(&self) -> MutexGuard<'_, Yields> {
        self.yields.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replacing(&self) -> MutexGuard<'_, BTreeMap<ObjectIdentity, Replacing>> {
        self.replacing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a moment; `false` when the time for that is over.
    pub(in crate::apply) async fn waits(&self) -> bool {
        let Some((clock, until)) = &self.patience else { return false };
        let longest = self.replacing().values().filter_map(|one| one.until).max();
        if clock.now() >= longest.unwrap_or(*until).max(*until) {
            return false;
        }
        clock.sleep(PAUSE).await;
        true
    }

    /// Client and namespace, for what is only read.
    pub(in crate::apply) fn reading(&self) -> (Client, &str) {
        (self.client.clone(), &self.namespace)
    }

    /// An API for a kind, in this camp's namespace and nowhere else.
    fn api(&self, known: &Known) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &known.resource)
    }

    /// The object as it is sent: without what is left to others.
    fn shared(&self, object: &BundleObject, identity: &ObjectIdentity) -> (Value, Vec<Yielded>) {
        let yields = self.yields();
        let mut json = object.json.clone();
        // What sleeping has set is nobody else's.
        if yields.is_scaled(identity) && !power::holds(&json, REPLICAS) {
            fields::remove(&mut json, REPLICAS);
        }
        let mut left_out = yields.left_out(identity);
        left_out.retain(|one| !power::holds(&json, &one.field));
        for one in &left_out {
            fields::remove(&mut json, &one.field);
        }
        (self.target.marks().as_sent(&json), left_out)
    }

    fn print(json: &Value) -> Print {
        memory::print(json.to_string().as_bytes())
    }

    fn is_sent(&self, identity: &ObjectIdentity, print: Print) -> bool {
        self.camp.as_ref().is_some_and(|camp| self.target.memory.is_sent(camp, identity, print))
    }

    fn note_sent(&self, identity: &ObjectIdentity, json: &Value) {
        if let Some(camp) = &self.camp {
            self.target.memory.note(camp, identity, Self::print(json));
        }
    }

    fn forget_sent(&self, identity: &ObjectIdentity) {
        if let Some(camp) = &self.camp {
            self.target.memory.forget(camp, identity);
        }
    }

    /// Whether `bundle` passed the dry run already, in this run or the one that it goes on with.
    pub(in crate::apply) fn has_passed(&self, bundle: &Bundle) -> bool {
        self.camp.as_ref().is_some_and(|camp| self.target.memory.has_passed(camp, &bundle.digest))
    }

    /// The bundle passed the dry run.
    pub(in crate::apply) fn note_passed(&self, bundle: &Bundle) {
        if let Some(camp) = &self.camp {
            self.target.memory.note_passed(camp, &bundle.digest);
        }
    }

    /// The kind of an object, or the error that says that the cluster lacks it.
    async fn known(&self, object: &BundleObject) -> Result<Known, ApplyError> {
        let identity = object.identity();
        let kind = identity.kind.clone();
        let api_version = api_version(object);
        let found = self.target.kind(api_version, &kind).await.map_err(|source| {
            ApplyError::Cluster { what: what(object, &identity), source: Box::new(source) }
        })?;
        match found {
            Some(known) if known.namespaced => Ok(known),
            Some(_) => Err(ApplyError::Refused {
                object: identity.to_string(),
                origin: object.origin.to_string(),
                message: format!("{kind} is not a kind that lives in a namespace"),
            }),
            None => Err(ApplyError::KindUnknown {
                object: identity.to_string(),
                origin: object.origin.to_string(),
                api_version: api_version.to_owned(),
                kind,
            }),
        }
    }
}

fn api_version(object: &BundleObject) -> &str {
    object.json.get("apiVersion").and_then(Value::as_str).unwrap_or_default()
}

/// What is being tried, for an error.
fn what(object: &BundleObject, identity: &ObjectIdentity) -> String {
    format!("apply {identity} ({})", object.origin)
}
