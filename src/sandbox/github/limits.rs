//! PURE · GitHub's rate limits: so many requests an hour for each identity, and so many writes of content.

use std::collections::{BTreeMap, VecDeque};

use super::model::{Actor, Bearer, Time};

/// Requests an hour of somebody who is logged in.
const LOGGED_IN: u64 = 5000;
/// Requests an hour of somebody who is not.
const ANONYMOUS: u64 = 60;
const WINDOW_SECONDS: i64 = 3600;
/// Writes of content in a minute and in an hour.
const CONTENT: (usize, usize) = (80, 500);

/// Counters of all identities.
#[derive(Debug, Default)]
pub(super) struct Limits {
    counters: BTreeMap<Actor, Counter>,
    /// Replaces both limits.
    pub(super) limit: Option<u64>,
    writes: BTreeMap<Actor, VecDeque<i64>>,
    /// Replaces the limits of content.
    pub(super) content: Option<(usize, usize)>,
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

/// All tokens of an installation have their limits together.
fn whole(actor: Actor) -> Actor {
    match actor {
        Actor::Installation(Bearer { installation, .. }) => {
            Actor::Installation(Bearer { installation, grant: 0 })
        }
        other => other,
    }
}

impl Limits {
    /// One more write of content; the error says after how many seconds there is room for it.
    pub(super) fn write(&mut self, actor: Actor, now: Time) -> Result<(), i64> {
        let (minute, hour) = self.content.unwrap_or(CONTENT);
        let now = now.timestamp();
        let writes = self.writes.entry(whole(actor)).or_default();
        writes.retain(|at| now - at < WINDOW_SECONDS);
        for (span, most) in [(60, minute), (WINDOW_SECONDS, hour)] {
            let inside = writes.iter().filter(|at| now - **at < span);
            if inside.clone().count() >= most {
                return Err(inside.min().map_or(span, |oldest| oldest + span - now));
            }
        }
        writes.push_back(now);
        Ok(())
    }

    /// The hour that `actor` is in.
    pub(super) fn current(&mut self, actor: Actor, now: Time) -> &mut Counter {
        let actor = whole(actor);
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
