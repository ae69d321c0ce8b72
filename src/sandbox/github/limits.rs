//! PURE · GitHub's primary rate limit: so many requests an hour for each identity.

use std::collections::BTreeMap;

use super::model::{Actor, Bearer, Time};

/// Requests an hour of somebody who is logged in.
const LOGGED_IN: u64 = 5000;
/// Requests an hour of somebody who is not.
const ANONYMOUS: u64 = 60;
const WINDOW_SECONDS: i64 = 3600;

/// Counters of all identities.
#[derive(Debug, Default)]
pub(super) struct Limits {
    counters: BTreeMap<Actor, Counter>,
    /// Replaces both limits.
    pub(super) limit: Option<u64>,
}

/// One identity's hour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counter {
    pub(super) limit: u64,
    pub(super) used: u64,
    pub(super) reset: i64,
}

impl Counter {
    pub(super) fn remaining(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl Limits {
    /// The hour that `actor` is in.
    pub(super) fn current(&mut self, actor: Actor, now: Time) -> &mut Counter {
        // All tokens of an installation have one hour together.
        let actor = match actor {
            Actor::Installation(Bearer { installation, .. }) => {
                Actor::Installation(Bearer { installation, grant: 0 })
            }
            other => other,
        };
        let usual = if actor == Actor::Anonymous { ANONYMOUS } else { LOGGED_IN };
        let limit = self.limit.unwrap_or(usual);
        let now = now.timestamp();
        let fresh = Counter { limit, used: 0, reset: now + WINDOW_SECONDS };
        let counter = self.counters.entry(actor).or_insert(fresh);
        if now >= counter.reset {
            *counter = fresh;
        }
        counter.limit = limit;
        counter
    }
}
