//! Whether a camp sleeps: what the rules say, what is noted of it, and what is shown of one that does. In: the record and
//! the policy; out: how its bundle is applied. I/O: home, and the target through [`applying`].

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Context;
use super::applying::{self, Built};
use super::deploy::{judge, until};
use super::error::ReconcileError;
use super::reconcile::Served;
use super::record::Record;
use super::retry::Next;
use super::tell::{self, Telling};
use super::waves::{Camp, Mode};
use super::{passing, queue, stored, traffic, urls, usage};
use crate::crd::Phase;
use crate::crd::{Environment, HookMoment, Power, PowerStatus, Timestamp, WhyLine};
use crate::domain::decision::{Action, Decision};
use crate::domain::id::Revision;
use crate::domain::power::{Idle, Situation, State, Verdict, decide};
use crate::domain::render_inputs::RenderInputs;
use crate::domain::status::{Judgement, bounded};

/// Pause between two looks at a camp that wakes.
const WAKING: Duration = Duration::from_millis(300);
/// Until it is asked again whether a camp is used, after the answer that it is.
const ASKED_AGAIN: TimeDelta = TimeDelta::minutes(10);
/// Name of the rule in the decision's trace.
const RULE: &str = "power";

/// How a camp is, and how it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Awake, as it should be.
    Awake,
    /// Asleep, as it should be.
    Asleep,
    /// It is to go to sleep.
    FallsAsleep,
    /// It is to wake.
    Wakes,
}

impl Turn {
    /// How it is to be.
    pub(super) fn state(self) -> State {
        match self {
            Self::Awake | Self::Wakes => State::Awake,
            Self::Asleep | Self::FallsAsleep => State::Asleep,
        }
    }

    /// The same, once it was applied or not.
    pub(super) fn as_noted(self, record: &Record) -> Self {
        match (self, record.status.power.is_some_and(|power| power.asleep)) {
            (Self::Wakes, false) => Self::Awake,
            (Self::FallsAsleep, true) => Self::Asleep,
            _ => self,
        }
    }

    /// How its bundle is applied.
    pub(super) fn mode(self, context: &Context, record: &Record, served: &Served) -> Mode {
        match self {
            Self::Awake => Mode::Plain,
            Self::Asleep | Self::FallsAsleep => Mode::Sleep,
            Self::Wakes => {
                let since = record.status.applying.as_ref().map(|applying| applying.since.0);
                let waits = since.map(|since| context.clock.now() - since);
                let waits = waits.and_then(|waits| waits.to_std().ok()).unwrap_or_default();
                Mode::Wake { late: waits >= served.policy.progress_deadline }
            }
        }
    }

    /// Some of the camp may sleep from now on.
    pub(super) fn note_begin(self, record: &mut Record, now: DateTime<Utc>) {
        if self == Self::FallsAsleep {
            note(record, true, now);
        }
    }

    /// Everything of the camp is awake.
    pub(super) fn note_end(self, record: &mut Record, now: DateTime<Utc>) {
        if self == Self::Wakes {
            note(record, false, now);
        }
    }
}

fn note(record: &mut Record, asleep: bool, now: DateTime<Utc>) {
    if let Some(power) = record.status.power.as_mut().filter(|power| power.asleep != asleep) {
        power.asleep = asleep;
        power.since = now.into();
        power.ready_at = None;
    }
}

/// Whether the camp of a record sleeps, or some of it.
pub(super) fn is_asleep(record: &Environment) -> bool {
    record.status.as_ref().and_then(|status| status.power).is_some_and(|power| power.asleep)
}

/// Whether something is being applied to the camp of a record, or gets ready.
pub(super) fn is_busy(record: &Environment) -> bool {
    record.status.as_ref().is_some_and(|status| {
        status.applying.is_some()
            || (!is_asleep(record) && status.phase == Some(Phase::Progressing))
    })
}

/// Asks the rules, notes their answer in the trace, and takes back a wish that has lost its object.
pub(super) async fn turn(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    now: DateTime<Utc>,
) -> Result<Turn, ReconcileError> {
    let rules = &served.policy.sleep;
    let wish = record.stored().spec.power;
    let before = record.status.power;
    let makes_room = queue::makes_room(context, record);
    // What passes the gate is seen; what does not is not, but for requests that somebody else counts.
    let measured =
        rules.after.filter(|_| rules.by_ingress || passing::passes(context, &served.policy));
    let rules_of_sleep = rules.schedule.is_some() || measured.is_some();
    if before.is_none() && wish == Power::Auto && !rules_of_sleep && !makes_room {
        return Ok(Turn::Awake);
    }
    let used_at = usage::used_at(record.stored(), rules.wake_on_push, now);
    let idle = measured.map(|after| Idle { after, used_at, by_requests: rules.by_ingress });
    let now = Timestamp::from(now);
    let mut power = before.unwrap_or(PowerStatus {
        asleep: false,
        since: now,
        ready_at: None,
        asked: wish,
        asked_at: now,
        made_room: None,
        woken: false,
        woken_at: None,
    });
    if power.asked != wish {
        (power.asked, power.asked_at, power.woken) = (wish, now, false);
    }
    if makes_room && !power.asleep {
        power.made_room = Some(now);
    }
    let status = &record.status;
    let pushed = status.head.as_ref().map(|head| head.seen_at.0).filter(|_| rules.wake_on_push);
    let situation = Situation {
        wish: wish.into(),
        asked_at: power.asked_at.0,
        // What somebody asked of an earlier camp is nothing to this one.
        woken: power.woken || decision.action == Action::Raise,
        made_at: status.camp_since.map(|since| since.0),
        woken_at: power.woken_at.map(|woken| woken.0).into_iter().chain(pushed).max(),
        schedule: rules.schedule.as_ref(),
        idle,
        busy: is_busy(record.stored()),
        made_room: power.made_room.map(|at| at.0),
        has_run: status.revision.is_some() && status.namespace_uid.is_some(),
    };
    let mut verdict = decide(&situation, now.0);
    // Asked when everything else says that it may sleep, and for that reason alone.
    let unless_used = Situation { idle: None, ..situation };
    if rules.by_ingress
        && let Some(after) = measured
        && (verdict.state, power.asleep) == (State::Asleep, false)
        && decide(&unless_used, now.0).state == State::Awake
        && let Some(answer) = traffic::keeps_awake(context, record, after).await
    {
        verdict = Verdict { answer, ..decide(&unless_used, now.0) };
        record.look_at(now.0 + ASKED_AGAIN);
    }
    if verdict.spent {
        record.reset_power(context).await?;
        (power.asked, power.asked_at, power.woken) = (Power::Auto, now, false);
    }
    if verdict.state == State::Awake {
        power.made_room = None;
    }
    record.status.power = Some(power);
    if let Some(at) = verdict.look_at {
        record.look_at(at);
    }
    record.status.why.push(WhyLine {
        rule: RULE.to_owned(),
        answer: bounded(&verdict.answer, 512),
        decided: false,
    });
    Ok(match (power.asleep, verdict.state) {
        (false, State::Awake) => Turn::Awake,
        (false, State::Asleep) => Turn::FallsAsleep,
        (true, State::Awake) => Turn::Wakes,
        (true, State::Asleep) => Turn::Asleep,
    })
}

/// A camp that sleeps: nobody asks how it does.
pub(super) async fn rest(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
) -> Result<Next, ReconcileError> {
    let why = record.status.why.iter().rev().find(|line| line.rule == RULE);
    let why = why.map_or_else(|| "it sleeps".to_owned(), |line| line.answer.clone());
    urls::forget(record);
    record.status.trouble.clear();
    record.status.phase = Some(Phase::Asleep);
    record.status.reason = Some(bounded(&why, 1024));
    judge(context, record, &Judgement::unknown("Healthy", "Asleep", "nothing of it runs"));
    judge(context, record, &Judgement::no("Ready", "Asleep", why));
    record.save(context).await?;
    tell::tell(context, record, served, &Telling::of(decision));
    Ok(until(context, record, context.intervals.resync))
}

/// Wakes what ran before, when it has hooks: a migration of the new commit does not run without its database. `false`:
/// there is no need to.
pub(super) async fn wake_as_it_was(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    inputs: &RenderInputs,
) -> Result<bool, ReconcileError> {
    let has_hooks = record.status.hooks.iter().any(|hook| hook.moment == HookMoment::BeforeApply);
    let digest = record.status.inputs_digest.clone().filter(|_| has_hooks);
    let Some(digest) = digest else { return Ok(false) };
    apply_what_runs(context, record, served, decision, inputs, Turn::Wakes, digest).await
}

/// Puts what runs to sleep, or wakes it, while nothing of the head can be applied. What is said of the head stays said.
/// `Some`: it is not done yet.
pub(super) async fn turn_what_runs(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    inputs: &RenderInputs,
    turn: Turn,
) -> Result<Option<Next>, ReconcileError> {
    let turns = matches!(turn, Turn::FallsAsleep | Turn::Wakes)
        || (passing::is_turning(context, record, &served.policy) && !passing::is_refused(record));
    if !turns || record.status.namespace_uid.is_none() {
        return Ok(None);
    }
    let status = &record.status;
    let kept = (status.findings.clone(), status.notes.clone(), status.inputs_digest.clone());
    let rendered = status.condition("Rendered").cloned();
    // Another digest meanwhile: a run that is cut off in between looks at the head anew.
    let digest = String::new();
    if !apply_what_runs(context, record, served, decision, inputs, turn, digest).await? {
        return Ok(None);
    }
    let status = &mut record.status;
    (status.findings, status.notes, status.inputs_digest) = kept;
    if let Some(rendered) = rendered {
        let found = status.conditions.iter_mut().find(|one| one.r#type == rendered.r#type);
        if let Some(condition) = found {
            *condition = rendered;
        }
    }
    let done = status.power.is_none_or(|power| power.asleep == (turn.state() == State::Asleep))
        && status.applying.is_none();
    if done {
        return Ok(None);
    }
    record.save(context).await?;
    Ok(Some(Next::requeue(WAKING)))
}

/// Applies the bundle that runs, for a camp that is to sleep or to wake. `false`: there is none.
async fn apply_what_runs(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    inputs: &RenderInputs,
    turn: Turn,
    digest: String,
) -> Result<bool, ReconcileError> {
    let revision = record.status.revision.as_deref().and_then(|text| Revision::parse(text).ok());
    let Some(revision) = revision else { return Ok(false) };
    let Some(bundle) = stored::running(context, record).await? else { return Ok(false) };
    let built = Built {
        inputs: RenderInputs { revision, ..inputs.clone() },
        bundle,
        digest,
        camp: Camp { stands: true, same: !passing::is_turning(context, record, &served.policy) },
        again: false,
        pinned: None,
        turn,
    };
    Box::pin(applying::apply(context, record, served, decision, &built)).await?;
    Ok(true)
}
