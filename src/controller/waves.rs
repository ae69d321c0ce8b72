//! An apply that may take several runs: where it goes on, and what is shown while it waits for a wave or for a hook. In: a
//! record and a bundle; out: the record, and when to look again. I/O: the target through `apply`, home.
//!
//! A run never waits in its place. It writes down how many steps are done (`status.applying`), ends, and the next one
//! goes on there: what was sent is not sent again, and the camp is not prepared again. A bundle without waves and hooks of
//! its own has no step to wait for, and is applied in one run as ever.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Context;
use super::deploy::{judge, until};
use super::drift::{self, marked};
use super::error::ReconcileError;
use super::fence::Fence;
use super::hooks;
use super::look::QUIET;
use super::reconcile::Served;
use super::record::Record;
use super::retry::Next;
use super::tell::{self, Telling};
use crate::apply::{self, Applied, CampHealth, Deployer, End, Entry, Stock};
use crate::crd::{ApplyingStatus, InventoryEntry, Phase};
use crate::domain::bundle::Bundle;
use crate::domain::decision::Decision;
use crate::domain::status::{Judgement, bounded};
use crate::domain::waves::{self, HookRecord, HookState, Moment, Plan};

/// Shortest pause between two looks at what an apply waits for.
const SOONEST: Duration = Duration::from_millis(300);
/// Longest one.
const LATEST: Duration = Duration::from_secs(5);

/// One apply of one bundle.
pub(super) struct Apply<'a> {
    bundle: &'a Bundle,
    revision: &'a str,
    run: String,
    /// Nothing was applied in this camp before.
    first: bool,
    plan: Plan<'a>,
    /// Steps that earlier runs have done; `None`: this is the first run.
    done: Option<usize>,
    before: Vec<Stock>,
    hooks: Vec<HookRecord>,
    /// Hooks as they were before.
    known: Vec<HookRecord>,
    mode: Mode,
    /// No hook has its turn.
    keeps_hooks: bool,
}

/// What an apply is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// The camp is to be what the bundle says.
    #[default]
    Plain,
    /// It is to sleep: routes first, nothing is waited for, and no hook runs.
    Sleep,
    /// It is to wake: routes last, when everything behind them is ready.
    Wake {
        /// It has taken so long that people should see what there is.
        late: bool,
    },
}

/// What the record knows of the camp.
#[derive(Clone, Copy, Debug)]
pub(super) struct Camp {
    /// It is the one that the record knows, and not one that is to be made.
    pub(super) stands: bool,
    /// It is being made of the same inputs as by the run before.
    pub(super) same: bool,
}

impl<'a> Apply<'a> {
    /// What is to be done, and what of it was done.
    pub(super) fn of(
        record: &Record,
        revision: &'a str,
        bundle: &'a Bundle,
        camp: Camp,
        mode: Mode,
    ) -> Self {
        let Camp { stands, same } = camp;
        let run = waves::run_id(revision, &bundle.digest);
        let status = &record.status;
        let waiting = status.applying.as_ref();
        let waiting = waiting.filter(|applying| stands && same && applying.run == run);
        let first = match waiting {
            Some(applying) => applying.first,
            None => !stands || status.revision.is_none(),
        };
        let known = if stands { hooks::records_of(record) } else { Vec::new() };
        let mut plan = waves::plan(bundle, first);
        // Hooks of what ran before have run; those of another bundle have their turn when it wakes.
        let had_turn = |hook: &HookRecord| hook.run == run && hook.moment != Moment::BeforeDelete;
        let again = known.iter().any(had_turn);
        let keeps_hooks = match mode {
            Mode::Plain => false,
            Mode::Sleep => {
                plan.fall_asleep();
                true
            }
            Mode::Wake { late } => {
                plan.wake(again, late);
                again
            }
        };
        let mut before = stock_of(record);
        if mode == Mode::Sleep {
            let (done, hooks) = (None, known.clone());
            return Self {
                bundle,
                revision,
                run,
                first,
                plan,
                done,
                before,
                hooks,
                known,
                mode,
                keeps_hooks,
            };
        }
        // A hook that is none any more is pruned like everything that left.
        let is_here = |hook: &&HookRecord| {
            hook.moment != Moment::BeforeDelete && hook.state != HookState::Pending
        };
        for HookRecord { api_version, kind, name, .. } in known.iter().filter(is_here) {
            let (api_version, kind, name) = (api_version.clone(), kind.clone(), name.clone());
            let entry = Entry { api_version, kind, name };
            if !before.iter().any(|stock| stock.entry == entry) {
                before.push(Stock { entry, wave: None, keep: false, left: None });
            }
        }
        let done = waiting.map(|applying| usize::try_from(applying.steps).unwrap_or_default());
        let hooks =
            if keeps_hooks { known.clone() } else { waves::records(&plan, &run, &known, false) };
        Self { bundle, revision, run, first, plan, done, before, hooks, known, mode, keeps_hooks }
    }

    /// Whether an earlier run has begun it, in a camp that is prepared.
    pub(super) fn goes_on(&self) -> bool {
        self.done.is_some()
    }

    /// Objects of earlier commits that are not pruned yet.
    pub(super) fn before(&self) -> usize {
        self.before.len()
    }

    /// Everything that may be in the camp from now on.
    pub(super) fn union(&self) -> Vec<Stock> {
        apply::union(&self.before, &self.plan)
    }

    /// Writes down, before anything is sent, what may be there afterwards.
    pub(super) fn note_begin(&self, context: &Context, record: &mut Record) {
        record.status.inventory = marked(context, record, &self.union());
        record.status.hooks = hooks::to_status(&self.hooks);
        record.status.applying = None;
    }

    /// Applies as far as it goes without waiting. `None`: something is waited for, or a hook failed.
    pub(super) async fn run(
        &mut self,
        context: &Context,
        record: &mut Record,
        deployer: &Deployer,
        fence: &Fence<'_>,
    ) -> Result<Paused, ReconcileError> {
        if self.done.is_none() {
            let stopped = apply::stop(deployer, &self.known, &self.run).await;
            stopped.map_err(ReconcileError::Apply)?;
        }
        let work = apply::Work {
            bundle: self.bundle,
            plan: &self.plan,
            revision: self.revision,
            steps: self.done.unwrap_or_default(),
            before: &self.before,
        };
        let ran =
            apply::apply_bundle(deployer, &context.clock, &work, &mut self.hooks, fence).await;
        let ran = match ran {
            Ok(ran) => ran,
            Err(error) => {
                // From the beginning then: what the camp lacks may have to be prepared.
                record.status.applying = None;
                return Err(ReconcileError::Apply(error));
            }
        };
        // An autoscaler that gives its replicas up to sleep has not changed anything that was ours.
        if self.mode != Mode::Sleep {
            drift::note_forced(context, record, &ran.forced);
        }
        for (entry, fields) in &ran.replaced {
            tracing::info!(
                environment.name = record.name(),
                object.kind = entry.kind,
                object.name = entry.name,
                "made anew, since it can't be changed: {fields}"
            );
        }
        let (steps, wait) = match ran.end {
            End::Applied(applied) => {
                if !self.keeps_hooks {
                    self.hooks = waves::records(&self.plan, &self.run, &self.hooks, true);
                }
                record.status.hooks = hooks::to_status(&self.hooks);
                record.status.applying = None;
                return Ok(Paused::No(applied));
            }
            End::Wave { steps, wave, health } => {
                let what = health.not_ready.join("; ");
                let why = if wave == waves::AWAKE {
                    format!("it wakes: {what}")
                } else {
                    format!("wave {wave} waits: {what}")
                };
                let degraded = health.is_grave();
                (steps, Wait { why, degraded, failed: false, health })
            }
            End::Hook { steps, record } => {
                let hook = self.hooks.get(record).ok_or(ReconcileError::Stale)?;
                let health = apply::as_health(hook);
                let failed = hook.state == HookState::Failed;
                let why = health.not_ready.join("; ");
                (steps, Wait { why, degraded: failed, failed, health })
            }
        };
        record.status.hooks = hooks::to_status(&self.hooks);
        let steps = i32::try_from(steps).unwrap_or(i32::MAX);
        let before = record.status.applying.take();
        let same = before.filter(|old| old.run == self.run && old.steps == steps);
        let since = same.map_or(context.clock.now().into(), |old| old.since);
        let (run, first) = (self.run.clone(), self.first);
        record.status.applying = Some(ApplyingStatus { run, steps, first, since });
        Ok(Paused::Until(wait))
    }
}

/// Whether an apply is at its end.
pub(super) enum Paused {
    /// It is.
    No(Applied),
    /// Not yet, or never.
    Until(Wait),
}

/// What an apply waits for.
pub(super) struct Wait {
    why: String,
    degraded: bool,
    /// A hook failed: only another commit or other values help.
    failed: bool,
    health: CampHealth,
}

/// Shows what an apply waits for.
pub(super) async fn show(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    short: &str,
    wait: Wait,
) -> Result<Next, ReconcileError> {
    let Wait { why, degraded, failed, health } = wait;
    let goes_on = record.status.short_revision.as_ref().filter(|_| failed);
    let goes_on = goes_on.map(|running| format!("; commit {running} goes on")).unwrap_or_default();
    let text = format!("commit {short}: {why}{goes_on}");
    let (phase, reason) = match (failed, degraded) {
        (true, _) => (Phase::Failed, "HookFailed"),
        (false, true) => (Phase::Degraded, "Degraded"),
        (false, false) => (Phase::Progressing, "Progressing"),
    };
    record.status.phase = Some(phase);
    record.status.reason = Some(bounded(&text, 1024));
    let applied = if failed {
        Judgement::no("Applied", "HookFailed", text.clone())
    } else {
        Judgement::unknown("Applied", "Applying", text.clone())
    };
    judge(context, record, &applied);
    judge(context, record, &Judgement::no("Ready", reason, text));
    record.save(context).await?;
    let since = record.status.applying.as_ref().map_or(context.clock.now(), |one| one.since.0);
    let age = (context.clock.now() - since).to_std().unwrap_or_default();
    if degraded || age >= QUIET {
        tell::tell(context, record, served, &Telling::of(decision).health(health));
    }
    if failed {
        return Ok(until(context, record, context.intervals.resync));
    }
    Ok(until(context, record, pause(context, since)))
}

/// The pause grows with the time that something takes.
pub(super) fn pause(context: &Context, since: DateTime<Utc>) -> Duration {
    let age = (context.clock.now() - since).to_std().unwrap_or_default();
    (age / 10).clamp(SOONEST, LATEST)
}

/// The recorded inventory, with what left and stays.
fn stock_of(record: &Record) -> Vec<Stock> {
    let entries = record.status.inventory.iter().cloned();
    entries
        .map(|InventoryEntry { api_version, kind, name, wave, keep, left, mark: _ }| Stock {
            entry: Entry { api_version, kind, name },
            wave,
            keep,
            left,
        })
        .collect()
}
