//! Workloads that woke and whose replicas somebody else has: an autoscaler rests while there are none, so they get the
//! least number once, and are left to it from then on. I/O with the target.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{Deployer, REPLICAS, what};
use crate::apply::error::{ApplyError, is_not_found};
use crate::domain::bundle::{Bundle, BundleObject};
use crate::domain::power::least_replicas;

/// Field manager of that number. Not ours: what we stop to send, the API server sets back to 1.
const WAKER: &str = "bivouac-wake";

impl Deployer {
    /// Gives every workload of `bundle` that sleeps, and whose replicas are left to somebody, its least number of them.
    /// One that does not sleep is not touched, so it may be called again.
    pub async fn wake(&self, bundle: &Bundle) -> Result<(), ApplyError> {
        for object in &bundle.objects {
            if self.is_left_to_others(object) {
                self.wake_one(object, least_replicas(bundle, object)).await?;
            }
        }
        Ok(())
    }

    fn is_left_to_others(&self, object: &BundleObject) -> bool {
        let identity = object.identity();
        let yields = self.yields();
        let by_rule = yields.left_out(&identity).iter().any(|one| one.field == REPLICAS);
        by_rule || yields.is_scaled(&identity)
    }

    async fn wake_one(&self, object: &BundleObject, replicas: i64) -> Result<(), ApplyError> {
        let identity = object.identity();
        let text = |key: &str| object.json.get(key).and_then(Value::as_str).unwrap_or_default();
        let live = self.read(text("apiVersion"), &identity.kind, &identity.name).await?;
        let asleep = live.as_ref().and_then(|live| live.pointer("/spec/replicas"));
        if asleep.and_then(Value::as_i64) != Some(0) {
            return Ok(());
        }
        let known = self.known(object).await?;
        let patch = json!({
            "apiVersion": text("apiVersion"),
            "kind": identity.kind,
            "metadata": {"name": identity.name},
            "spec": {"replicas": replicas},
        });
        let parameters = PatchParams::apply(WAKER).force();
        match self.api(&known).patch(&identity.name, &parameters, &Patch::Apply(&patch)).await {
            Ok(_) => Ok(()),
            // Somebody deleted it a moment ago: the apply makes it.
            Err(error) if is_not_found(&error) => Ok(()),
            Err(source) => {
                Err(ApplyError::Cluster { what: what(object, &identity), source: Box::new(source) })
            }
        }
    }
}
