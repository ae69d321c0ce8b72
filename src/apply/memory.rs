//! What was sent to which camp, so that a run that was cut off goes on where it was, and what passed the dry run once is
//! not tried again. Forgetting costs requests, never truth. No I/O.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use crate::domain::bundle::ObjectIdentity;

/// Camps that are remembered; the one that was idle for longest goes first.
const CAMPS: usize = 2_000;
/// A run that was cut off this long ago is not gone on with: everything is sent again.
const RESUMED: TimeDelta = TimeDelta::minutes(15);

/// 128 bits of a SHA-256: enough to tell objects apart that one author wrote.
pub(super) type Print = [u8; 16];

/// The print of what is sent.
pub(super) fn print(bytes: &[u8]) -> Print {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    let mut print = [0; 16];
    print.copy_from_slice(&digest[..16]);
    print
}

/// All that is remembered.
#[derive(Default)]
pub(super) struct Memory(Mutex<BTreeMap<String, Camp>>);

#[derive(Default)]
struct Camp {
    used: DateTime<Utc>,
    /// When the run began that is not over.
    began: Option<DateTime<Utc>>,
    sent: BTreeMap<ObjectIdentity, Sent>,
    /// Digest of the bundle that passed the dry run last.
    passed: Option<String>,
}

struct Sent {
    print: Print,
    /// By the run that is not over.
    in_this_run: bool,
}

impl Memory {
    fn camps(&self) -> MutexGuard<'_, BTreeMap<String, Camp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run begins in the camp with this UID: it goes on with one that was cut off a moment ago, or is a new one.
    pub(super) fn begin(&self, camp: &str, now: DateTime<Utc>) {
        let mut camps = self.camps();
        if !camps.contains_key(camp) && camps.len() >= CAMPS {
            let idle = camps.iter().min_by_key(|(uid, camp)| (camp.used, (*uid).clone()));
            if let Some(idle) = idle.map(|(uid, _)| uid.clone()) {
                camps.remove(&idle);
            }
        }
        let camp = camps.entry(camp.to_owned()).or_default();
        camp.used = now;
        if camp.began.is_none_or(|began| now - began > RESUMED) {
            camp.began = Some(now);
            for sent in camp.sent.values_mut() {
                sent.in_this_run = false;
            }
        }
    }

    /// The run reached its end: the next one sends everything.
    pub(super) fn end(&self, camp: &str) {
        if let Some(camp) = self.camps().get_mut(camp) {
            camp.began = None;
        }
    }

    /// Whether just this was sent by the run that is not over.
    pub(super) fn is_sent(&self, camp: &str, identity: &ObjectIdentity, print: Print) -> bool {
        let camps = self.camps();
        let Some(camp) = camps.get(camp).filter(|camp| camp.began.is_some()) else { return false };
        camp.sent.get(identity).is_some_and(|sent| sent.in_this_run && sent.print == print)
    }

    /// Whether just this was what the API server took last, by whatever run.
    pub(super) fn was_taken(&self, camp: &str, identity: &ObjectIdentity, print: Print) -> bool {
        let camps = self.camps();
        camps
            .get(camp)
            .and_then(|camp| camp.sent.get(identity))
            .is_some_and(|sent| sent.print == print)
    }

    /// The API server took this.
    pub(super) fn note(&self, camp: &str, identity: &ObjectIdentity, print: Print) {
        if let Some(camp) = self.camps().get_mut(camp) {
            camp.sent.insert(identity.clone(), Sent { print, in_this_run: true });
        }
    }

    /// The object was deleted, or is to be sent again whatever was sent before.
    pub(super) fn forget(&self, camp: &str, identity: &ObjectIdentity) {
        if let Some(camp) = self.camps().get_mut(camp) {
            camp.sent.remove(identity);
        }
    }

    /// The bundle passed the dry run.
    pub(super) fn note_passed(&self, camp: &str, digest: &str) {
        if let Some(camp) = self.camps().get_mut(camp) {
            camp.passed = Some(digest.to_owned());
        }
    }

    /// Whether it did, in the run that is not over.
    pub(super) fn has_passed(&self, camp: &str, digest: &str) -> bool {
        let camps = self.camps();
        camps
            .get(camp)
            .is_some_and(|camp| camp.began.is_some() && camp.passed.as_deref() == Some(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str) -> ObjectIdentity {
        ObjectIdentity {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: "camp".into(),
            name: name.into(),
        }
    }

    #[test]
    fn a_run_that_was_cut_off_goes_on_and_one_that_ended_does_not() {
        let memory = Memory::default();
        let (one, mut now) = (identity("a"), DateTime::<Utc>::UNIX_EPOCH);
        memory.begin("u", now);
        memory.note("u", &one, print(b"x"));
        now += TimeDelta::minutes(5);
        memory.begin("u", now);
        assert!(memory.is_sent("u", &one, print(b"x")));
        assert!(!memory.is_sent("u", &one, print(b"y")));
        assert!(!memory.is_sent("another", &one, print(b"x")));
        memory.end("u");
        assert!(!memory.is_sent("u", &one, print(b"x")));
        memory.begin("u", now);
        assert!(!memory.is_sent("u", &one, print(b"x")), "a new run sends everything");
        assert!(memory.was_taken("u", &one, print(b"x")));
        memory.note("u", &one, print(b"x"));
        memory.begin("u", now + RESUMED + TimeDelta::seconds(1));
        assert!(!memory.is_sent("u", &one, print(b"x")), "too long ago");
        memory.forget("u", &one);
        assert!(!memory.was_taken("u", &one, print(b"x")));
    }

    #[test]
    fn the_camp_that_was_idle_for_longest_is_forgotten_first() {
        let memory = Memory::default();
        let start = DateTime::<Utc>::UNIX_EPOCH;
        for (n, at) in (0..=CAMPS).zip(0i64..) {
            memory.begin(&n.to_string(), start + TimeDelta::seconds(at));
            memory.note(&n.to_string(), &identity("a"), print(b"x"));
        }
        assert_eq!(memory.camps().len(), CAMPS);
        assert!(!memory.was_taken("0", &identity("a"), print(b"x")));
        assert!(memory.was_taken("1", &identity("a"), print(b"x")));
    }
}
