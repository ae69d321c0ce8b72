//! When a run that ended with an error is repeated. No I/O.

use std::sync::PoisonError;
use std::time::Duration;

use super::Context;
use super::error::{Class, ReconcileError};
use crate::forge::{self, ForgeError};
use chrono::{DateTime, Utc};

/// First pause after a transient error; doubled each time.
const FIRST: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(300);
/// Jitter makes no pause longer than by this.
const SPREAD: Duration = Duration::from_secs(60);
/// Pause while something is on its way.
const SOON: Duration = Duration::from_millis(300);

/// When a record is looked at again though nothing happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// After this time.
    After(Duration),
    /// Not before something changes.
    OnChange,
}

impl Next {
    pub(super) fn requeue(after: Duration) -> Self {
        Self::After(after)
    }

    pub(super) fn await_change() -> Self {
        Self::OnChange
    }
}

/// What a run was made for, and when the next one is due. Every write of a status wakes its own controller again; while
/// nothing else changed, that is no reason to run: pauses would be no pauses.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    seen: String,
    due: Option<DateTime<Utc>>,
}

/// The time left until a run for `seen` is due; `None`: run now.
pub(super) fn too_early(context: &Context, key: &str, seen: &str) -> Option<Next> {
    let gates = context.gates.lock().unwrap_or_else(PoisonError::into_inner);
    let gate = gates.get(key).filter(|gate| gate.seen == seen)?;
    match gate.due {
        None => Some(Next::OnChange),
        Some(due) => {
            let left = (due - context.clock.now()).to_std().ok().filter(|left| !left.is_zero())?;
            Some(Next::After(left))
        }
    }
}

/// Notes for what a run was made and when the next one is due.
pub(super) fn passed(context: &Context, key: &str, seen: String, next: Next) {
    let due = match next {
        Next::OnChange => None,
        Next::After(pause) => Some(
            chrono::Duration::from_std(pause)
                .map_or(DateTime::<Utc>::MAX_UTC, |pause| context.clock.now() + pause),
        ),
    };
    context
        .gates
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(key.to_owned(), Gate { seen, due });
}

/// Lets the next run of a record come at once, when something wakes it.
pub(super) fn look_now(context: &Context, key: &str) {
    context.gates.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
}

/// Forgets a record that is gone.
pub(super) fn forget(context: &Context, key: &str) {
    context.gates.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    succeeded(context, key);
}

/// What to do about `error` of the object `key`.
pub(super) fn after(context: &Context, key: &str, error: &ReconcileError) -> Next {
    let mut attempts = context.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    let pause = match error.class() {
        Class::Waiting => SOON,
        Class::UserMustAct => context.intervals.resync,
        Class::Transient => {
            let count = attempts.entry(key.to_owned()).or_insert(0);
            *count = count.saturating_add(1);
            let backoff = FIRST.saturating_mul(1 << (*count - 1).min(16)).min(LONGEST);
            match error {
                ReconcileError::Forge(ForgeError::RateLimited { until, .. }) => {
                    (*until - context.clock.now()).to_std().unwrap_or(FIRST).max(FIRST)
                }
                ReconcileError::Forge(error) => match error.class() {
                    forge::Class::Transient { not_before: Some(until) } => {
                        (until - context.clock.now()).to_std().unwrap_or(FIRST).max(backoff)
                    }
                    _ => backoff,
                },
                _ => backoff,
            }
        }
    };
    // An hour that the forge asked for is not made an hour and twelve minutes.
    Next::requeue(context.rng.jitter(pause, 20).min(pause + SPREAD))
}

/// How many runs of `key` ended with a transient error since the last that reached its goal.
pub(super) fn failures(context: &Context, key: &str) -> u32 {
    let attempts = context.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    attempts.get(key).copied().unwrap_or_default()
}

/// Forgets the errors of `key`: a run reached its goal.
pub(super) fn succeeded(context: &Context, key: &str) {
    context.attempts.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
}
