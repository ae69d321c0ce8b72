//! Stage *health* of a camp that was applied, then *status* and *report*. I/O.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Context;
use super::deploy::{inventory_of, judge, until};
use super::error::ReconcileError;
use super::history;
use super::hooks;
use super::kinds;
use super::reconcile::{SLOWEST, Served, growing};
use super::record::Record;
use super::retry::Next;
use super::tell::{self, Telling};
use super::urls::{self, Silent};
use crate::apply::{self, CampHealth, Deployer};
use crate::crd::{Outcome, Phase, Timestamp, TroubleEntry};
use crate::domain::decision::Decision;
use crate::domain::status::{Judgement, bounded};

/// Pause between two looks at a camp in trouble, at first: it may mend itself, but not soon.
const SLOW_POLL: Duration = Duration::from_secs(5);
/// The longest pause between two looks at a camp in trouble.
const SLOWEST_POLL: Duration = Duration::from_secs(30);
/// A camp that gets ready within this time is told of once, when it is.
pub(super) const QUIET: Duration = Duration::from_secs(5);
/// A camp that got ready this lately is looked at more often: what crashes, mostly crashes at first.
const FRESH: Duration = Duration::from_secs(60);
/// The pause between two looks at a camp that got ready lately.
const FRESH_POLL: Duration = Duration::from_secs(15);
/// An address that does not answer for so long after the camp's objects got ready is trouble.
const SILENT: Duration = Duration::from_secs(60);
/// The shortest pause between two questions to an address that does not answer yet.
const SOON: Duration = Duration::from_millis(250);
/// Causes that the status holds.
const TROUBLES: usize = 20;

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
    let mut health = apply::observe_health(&deployer, &inventory_of(record), context.clock.now())
        .await
        .map_err(ReconcileError::Apply)?;
    let silent = if health.is_ready() {
        urls::ask(context, record, served).await
    } else {
        urls::forget(record);
        Vec::new()
    };
    kinds::note_gone(context, record).await?;
    // The last thing: hooks that try what people will use.
    if health.is_ready()
        && silent.is_empty()
        && let Some(of_hooks) = hooks::after_ready(context, record, &deployer).await?
    {
        health = of_hooks;
    }
    record.status.trouble = troubles_of(&health);
    note_healthy(context, record, &health);
    let short = record.status.short_revision.clone().unwrap_or_default();
    let is_ready = health.is_ready() && silent.is_empty();
    let (was_ready, left) = note_ready_at(context, record, served, is_ready);
    let mut overdue = None;
    let next = if is_ready {
        history::note_outcome(record, Outcome::Ready, context.clock.now());
        record.status.phase = Some(Phase::Ready);
        record.status.reason = Some(format!("commit {short} runs"));
        judge(context, record, &Judgement::yes("Ready", "Ready", format!("commit {short} runs")));
        let fresh = age_of_readiness(context, record) < FRESH;
        until(context, record, if fresh { FRESH_POLL } else { context.intervals.resync })
    } else {
        let late = left.is_zero() && !was_ready;
        overdue = late.then(|| in_words(served.policy.progress_deadline));
        let why = why_not_ready(&health, &silent, overdue.as_deref());
        let mute = !silent.is_empty() && since(context, record, "Healthy") >= SILENT;
        let degraded = health.is_grave() || was_ready || late || mute;
        let outcome = if degraded { Outcome::Degraded } else { Outcome::Progressing };
        history::note_outcome(record, outcome, context.clock.now());
        record.status.phase = Some(if degraded { Phase::Degraded } else { Phase::Progressing });
        record.status.reason = Some(bounded(&why, 1024));
        let reason = match (late, degraded) {
            (true, _) => "ProgressDeadlineExceeded",
            (false, true) => "Degraded",
            (false, false) => "Progressing",
        };
        judge(context, record, &Judgement::no("Ready", reason, why));
        if health.missing {
            // Somebody deleted one of the objects: the next run applies the bundle again.
            judge(
                context,
                record,
                &Judgement::unknown("Applied", "ObjectMissing", "an object of the bundle is gone"),
            );
        }
        let pause = if degraded {
            let since = since(context, record, "Ready");
            until(context, record, (since / 10).clamp(SLOW_POLL, SLOWEST_POLL))
        } else if silent.is_empty() {
            growing(context, record)
        } else {
            // Routes are known a moment after their pods are ready: that is where the wait begins.
            let since = since(context, record, "Healthy");
            until(context, record, (since / 10).clamp(SOON, SLOWEST))
        };
        if was_ready || late {
            pause
        } else {
            at_latest(pause, context.rng.jitter(left + Duration::from_secs(1), 5))
        }
    };
    record.save(context).await?;
    if record.status.phase != Some(Phase::Progressing) || !is_young(context, record) {
        let telling = Telling::of(decision).health(health).silent(silent).overdue(overdue);
        tell::tell(context, record, served, &telling);
    }
    Ok(next)
}

fn at_latest(next: Next, limit: Duration) -> Next {
    match next {
        Next::After(pause) => Next::After(pause.min(limit)),
        Next::OnChange => Next::After(limit),
    }
}

/// Writes down when the running bundle got ready for the first time. Gives whether it had been before, and how much of
/// its progress deadline is left.
fn note_ready_at(
    context: &Context,
    record: &mut Record,
    served: &Served,
    is_ready: bool,
) -> (bool, Duration) {
    let now = context.clock.now();
    let revision = record.status.revision.clone();
    let newest = record
        .status
        .history
        .first_mut()
        .filter(|newest| Some(&newest.revision) == revision.as_ref());
    let Some(newest) = newest else { return (false, served.policy.progress_deadline) };
    let mut since = newest.at.0;
    let mut was_ready = got_ready(&mut newest.ready_at, is_ready, now);
    let in_this_camp = got_ready(&mut record.status.camp_ready_at, is_ready, now);
    // What was made anew, or woke, has to get ready again, though this bundle was before.
    if was_ready && !in_this_camp {
        let applied = record.status.condition("Applied").map(|one| one.last_transition_time.0);
        (since, was_ready) = (applied.map_or(since, |at| at.max(since)), false);
    }
    if let Some(power) = record.status.power.as_mut().filter(|power| power.since.0 >= since) {
        (since, was_ready) = (power.since.0, got_ready(&mut power.ready_at, is_ready, now));
    }
    let age = (now - since).to_std().unwrap_or_default();
    (was_ready, served.policy.progress_deadline.saturating_sub(age))
}

/// Whether it had got ready before; writes down when it does.
fn got_ready(at: &mut Option<Timestamp>, is_ready: bool, now: DateTime<Utc>) -> bool {
    let had = at.is_some();
    if is_ready && !had {
        *at = Some(now.into());
    }
    had
}

fn note_healthy(context: &Context, record: &mut Record, health: &CampHealth) {
    let unread = match health.unread.as_slice() {
        [] => String::new(),
        unread => format!("; the deployer may not read {}", unread.join(", ")),
    };
    let judgement = if health.is_ready() {
        let message = format!("everything that runs is ready{unread}");
        Judgement::yes("Healthy", "AllReady", message)
    } else {
        let reason = if health.is_grave() { "Degraded" } else { "Progressing" };
        let message = format!("{}{unread}", why_not_ready(health, &[], None));
        Judgement::no("Healthy", reason, message)
    };
    judge(context, record, &judgement);
}

/// Applied a moment ago. "Is being made" is not said then: the forge wants a second between two writes, and the one that
/// people wait for is the next.
fn is_young(context: &Context, record: &Record) -> bool {
    let applied = record.status.history.first().map(|newest| newest.at.0);
    let woken = record.status.power.map(|power| power.since.0);
    let applied = applied.max(woken);
    applied.is_some_and(|at| (context.clock.now() - at).to_std().unwrap_or_default() < QUIET)
}

/// How long ago the camp got ready.
fn age_of_readiness(context: &Context, record: &Record) -> Duration {
    let ready_at = record.status.history.first().and_then(|newest| newest.ready_at);
    let again = record.status.power.and_then(|power| power.ready_at);
    let ready_at = ready_at.max(again).max(record.status.camp_ready_at);
    ready_at.map_or(Duration::MAX, |at| (context.clock.now() - at.0).to_std().unwrap_or_default())
}

/// How long a condition has been what it is.
fn since(context: &Context, record: &Record, name: &str) -> Duration {
    let since = record.status.condition(name).map(|condition| condition.last_transition_time.0);
    since.map_or(Duration::ZERO, |at| (context.clock.now() - at).to_std().unwrap_or_default())
}

fn why_not_ready(health: &CampHealth, silent: &[Silent], overdue: Option<&str>) -> String {
    let objects = health.lines().into_iter().map(|(line, _)| line);
    let lines: Vec<String> = objects.chain(silent.iter().map(Silent::line)).collect();
    let lines = lines.join("; ");
    match overdue {
        Some(deadline) => format!("not ready after {deadline}: {lines}"),
        None => lines,
    }
}

fn troubles_of(health: &CampHealth) -> Vec<TroubleEntry> {
    let entry = |trouble: &crate::domain::health::Trouble| TroubleEntry {
        object: bounded(&trouble.object, 320),
        reason: bounded(&trouble.reason, 63),
        message: bounded(&trouble.message, 1024),
        pods: i32::try_from(trouble.pods).unwrap_or(i32::MAX),
    };
    health.troubles.iter().take(TROUBLES).map(entry).collect()
}

/// `90s`, `10m`, `2h`, as the policy writes it.
fn in_words(deadline: Duration) -> String {
    match deadline.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}
