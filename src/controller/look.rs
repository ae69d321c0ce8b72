//! Stage *health* of a camp that was applied, then *status* and *report*. I/O.

use std::time::Duration;

use super::Context;
use super::deploy::{inventory_of, judge, until};
use super::error::ReconcileError;
use super::history;
use super::hooks;
use super::kinds;
use super::reconcile::{Served, growing};
use super::record::Record;
use super::retry::Next;
use super::tell::{self, Telling};
use crate::apply::{self, CampHealth, Deployer};
use crate::crd::{Outcome, Phase};
use crate::domain::decision::Decision;
use crate::domain::status::{Judgement, bounded};

/// Pause between two looks at a camp in trouble: it may mend itself, but not soon.
const SLOW_POLL: Duration = Duration::from_secs(5);
/// A camp that gets ready within this time is told of once, when it is.
pub(super) const QUIET: Duration = Duration::from_secs(5);

/// Stage *health*, then *status* and *report*.
pub(super) async fn look(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
) -> Result<Next, ReconcileError> {
    let Some(namespace) = record.status.namespace.clone() else {
        return Err(ReconcileError::Stale);
    };
    hooks::rearm(record);
    let deployer = Deployer::of(&context.target, &namespace);
    let mut health = apply::observe_health(&deployer, &inventory_of(record))
        .await
        .map_err(ReconcileError::Apply)?;
    kinds::note_gone(context, record).await?;
    if health.is_ready()
        && let Some(of_hooks) = hooks::after_ready(context, record, &deployer).await?
    {
        health = of_hooks;
    }
    let short = record.status.short_revision.clone().unwrap_or_default();
    let was_ready = history::was_ready(record);
    let next = if health.is_ready() {
        history::note_outcome(record, Outcome::Ready, context.clock.now());
        record.status.phase = Some(Phase::Ready);
        record.status.reason = Some(format!("commit {short} runs"));
        judge(
            context,
            record,
            &Judgement::yes("Healthy", "AllReady", "everything that runs is ready"),
        );
        judge(context, record, &Judgement::yes("Ready", "Ready", format!("commit {short} runs")));
        until(context, record, context.intervals.resync)
    } else {
        let why = why_not_ready(&health);
        let degraded = health.failed || health.trouble.is_some() || was_ready;
        let outcome = if degraded { Outcome::Degraded } else { Outcome::Progressing };
        history::note_outcome(record, outcome, context.clock.now());
        record.status.phase = Some(if degraded { Phase::Degraded } else { Phase::Progressing });
        record.status.reason = Some(bounded(&why, 1024));
        let reason = if degraded { "Degraded" } else { "Progressing" };
        judge(context, record, &Judgement::no("Healthy", reason, why.clone()));
        judge(context, record, &Judgement::no("Ready", reason, why));
        if health.missing {
            // Somebody deleted one of the objects: the next run applies the bundle again.
            judge(
                context,
                record,
                &Judgement::unknown("Applied", "ObjectMissing", "an object of the bundle is gone"),
            );
        }
        if degraded { until(context, record, SLOW_POLL) } else { growing(context, record) }
    };
    record.save(context).await?;
    if record.status.phase != Some(Phase::Progressing) || !is_young(context, record) {
        tell::tell(context, record, served, &Telling::of(decision).health(health));
    }
    Ok(next)
}

/// Applied a moment ago. "Is being made" is not said then: the forge wants a second between two writes, and the one that
/// people wait for is the next.
fn is_young(context: &Context, record: &Record) -> bool {
    let applied = record.status.history.first().map(|newest| newest.at.0);
    applied.is_some_and(|at| (context.clock.now() - at).to_std().unwrap_or_default() < QUIET)
}

fn why_not_ready(health: &CampHealth) -> String {
    let objects = health.not_ready.join("; ");
    match &health.trouble {
        // A hook's line says it all.
        Some(trouble) if trouble.message == objects => objects,
        Some(trouble) => format!("{}; {objects}", trouble.message),
        None => objects,
    }
}
