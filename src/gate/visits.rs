//! I/O · visits of people, noted at the record: at most every five minutes for each camp, over all replicas.
//!
//! A visit is a page that a person's browser opens (see [`visitor`](super::visitor)) and that somebody with the right to see
//! it gets, or a wake by script or button. Requests of programs, for files and from scripts, and what goes through a
//! websocket are none: a tab that was forgotten keeps nothing awake.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::Inner;
use super::site::Camp;
use crate::crd::{Environment, LAST_VISIT_ANNOTATION};

/// Between two notes of one camp.
const EVERY: TimeDelta = TimeDelta::minutes(5);

/// What this replica has written, or tried to, and may not have seen at the record yet.
#[derive(Default)]
pub(super) struct Written(Mutex<BTreeMap<String, DateTime<Utc>>>);

impl Written {
    /// `true`: it is time, and the caller writes.
    fn take(&self, camp: &Camp, now: DateTime<Utc>) -> bool {
        let fresh = |at: DateTime<Utc>| now - at < EVERY;
        if camp.last_visit.is_some_and(fresh) {
            return false;
        }
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|_, at| fresh(*at));
        if written.contains_key(&camp.uid) {
            return false;
        }
        written.insert(camp.uid.clone(), now);
        true
    }

    fn forget(&self, camp: &Camp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&camp.uid);
    }
}

impl Inner {
    /// Notes that a person looked at it, when that was not noted lately.
    pub(super) async fn visit(&self, camp: &Camp) {
        let now = self.parts.clock.now();
        if !self.written.take(camp, now) {
            return;
        }
        let api: Api<Environment> = Api::namespaced(self.parts.home.clone(), &self.parts.namespace);
        // Of two replicas that have seen the same record, one writes.
        let patch = json!({"metadata": {
            "uid": camp.uid,
            "resourceVersion": camp.version,
            "annotations": {LAST_VISIT_ANNOTATION: now.to_rfc3339_opts(SecondsFormat::Secs, true)},
        }});
        let patch = Patch::Merge(patch);
        match api.patch_metadata(&camp.environment, &PatchParams::default(), &patch).await {
            Ok(_) => {}
            // Somebody else wrote at the same moment, maybe this very thing. The next visit sees what stands there.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                self.written.forget(camp);
            }
            Err(error) => {
                tracing::warn!(camp = camp.environment, "a visit can't be noted: {error}");
                self.written.forget(camp);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::site::tests::camp;

    #[test]
    fn a_visit_is_noted_once_in_five_minutes() {
        let (written, start) = (Written::default(), DateTime::<Utc>::UNIX_EPOCH);
        let at = |minutes| start + TimeDelta::minutes(minutes);
        let mut one = camp(&[]);
        assert!(written.take(&one, at(0)));
        assert!(!written.take(&one, at(4)), "it may not have been seen yet");
        assert!(written.take(&one, at(5)));
        one.last_visit = Some(at(9));
        assert!(!written.take(&one, at(12)), "another replica has noted one");
        assert!(written.take(&one, at(14)));
        written.forget(&one);
        assert!(written.take(&one, at(15)), "what could not be written is tried again");
    }
}
