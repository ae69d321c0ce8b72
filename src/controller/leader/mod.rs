//! Who works: one replica, by a Lease. This file knows whether we are it; no I/O.
//!
//! The rules, with `D` = [`DURATION`]:
//!
//! * Who leads writes the Lease each five seconds. It counts as leader for [`HOLD`] after it *sent* the last write that
//!   was taken, on its own clocks, and stops writing anything when that time is over, whatever it can or can't reach.
//! * Who does not lead takes over when it has seen the Lease unchanged for `D` on its own clock, from the moment at which
//!   it saw it: always later than the leader sent it. The time stamps in the Lease are for people; nobody compares them.
//! * `D − HOLD` is what a request of the old leader may be on its way.
//! * Every write of the Lease carries the `resourceVersion` that was read, so that of two who take over one does.

mod election;
mod guard;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

pub use election::Election;
pub use guard::{NotLeading, guarded_client, guarded_transport};

use crate::seams::Clock;

/// A Lease that was not renewed for this long is anybody's.
pub const DURATION: Duration = Duration::from_secs(10);
/// The leader trusts a renewal for this long.
pub const HOLD: Duration = Duration::from_millis(8_500);

/// Whether this replica leads now. Cheap to ask; a clone shares the state.
#[derive(Clone)]
pub struct Leadership(Arc<Inner>);

struct Inner {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// There is no election: this is the only replica.
    Always,
    Follows,
    /// The last renewal that was taken was sent then.
    Leads(Moment),
}

/// A moment on both clocks: the monotonic one stands still while a machine sleeps, and the wall's can be set back.
#[derive(Clone, Copy, Debug)]
struct Moment {
    monotonic: Instant,
    wall: DateTime<Utc>,
}

impl Moment {
    fn now(clock: &Clock) -> Self {
        Self { monotonic: Instant::now(), wall: clock.now() }
    }

    /// The longer of both: a leader that is unsure does not lead.
    fn age(&self, clock: &Clock) -> Duration {
        let wall = (clock.now() - self.wall).to_std().unwrap_or_default();
        self.monotonic.elapsed().max(wall)
    }
}

impl Leadership {
    /// Of a replica that has to be elected first.
    #[must_use]
    pub fn elected(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, state: Mutex::new(State::Follows) }))
    }

    /// Of the only replica: it always leads.
    #[must_use]
    pub fn always(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, state: Mutex::new(State::Always) }))
    }

    /// Whether this replica may write to forge and target now.
    #[must_use]
    pub fn holds(&self) -> bool {
        match *self.state() {
            State::Always => true,
            State::Follows => false,
            State::Leads(since) => since.age(&self.0.clock) < HOLD,
        }
    }

    fn extend(&self, sent: Moment) {
        *self.state() = State::Leads(sent);
    }

    fn end(&self) {
        *self.state() = State::Follows;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Leadership").field(&*self.state()).finish()
    }
}

#[cfg(test)]
mod tests;
