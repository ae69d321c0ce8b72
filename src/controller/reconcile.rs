//! One record through all stages: observe ▶ decide ▶ source ▶ render ▶ guard ▶ apply ▶ health ▶ status ▶ report.
//! No logic of its own beyond the order.

use std::sync::Arc;
use std::time::Duration;

use super::error::{ReconcileError, chain};
use super::record::Record;
use super::retry::Next;
use super::tell::Telling;
use super::{
    Context, camp, deploy, dry_run, ending, hooks, measure, merge, observe, passing, pin, power,
    queue, requests, retry, stored, tell,
};
use crate::apply::CampState;
use crate::crd::{Environment, Phase, Repository};
use crate::domain::decision::{Absence, Action, Decision, decide};
use crate::domain::policy::Policy;
use crate::domain::status::{Judgement, bounded};
use crate::forge::Forge;

/// Pause between two looks at something that is on its way.
const POLL: Duration = Duration::from_millis(300);

/// Pause between two looks at a hook that runs before a camp goes.
const HOOK_POLL: Duration = Duration::from_secs(1);

/// A transient error is told after this many runs that it ended before: most are over by then.
const TOLD_AFTER: u32 = 2;

/// The longest pause between two looks at something that is on its way.
pub(super) const SLOWEST: Duration = Duration::from_secs(15);

/// What belongs to a record and is not in it.
pub(super) struct Served {
    pub(super) repository: Arc<Repository>,
    pub(super) policy: Policy,
    pub(super) forge: Forge,
}

/// One run.
pub(super) async fn reconcile(seen: Arc<Environment>, context: Arc<Context>) -> Next {
    let name = seen.metadata.name.clone().unwrap_or_default();
    let made_for = concerns(&context, &seen);
    if let Some(next) = retry::too_early(&context, &name, &made_for) {
        return next;
    }
    let _turn = context.teller.turn(&name).await;
    let slot = context.slots.run().await;
    // The watch's copy may be older than our own last write.
    let stored = match context.environments().get_opt(&name).await {
        Ok(found) => found,
        Err(error) => {
            let error = ReconcileError::record("read the record", error);
            tracing::warn!(environment.name = name, "no run: {}", chain(&error));
            return retry::after(&context, &name, &error);
        }
    };
    let Some(stored) = stored else {
        retry::forget(&context, &name);
        queue::forget(&context, &name);
        context.teller.forget(&name);
        context.kept.forget(&name);
        return Next::await_change();
    };
    let made_for = concerns(&context, &stored);
    queue::note(&context, &stored);
    let mut record = Record::new(stored).with_slot(slot);
    let began = context.clock.now();
    // Boxed: those that wait for a place are many, and small.
    let result = Box::pin(stages(&context, &mut record)).await;
    measure::run(&context, "environment", began, result.as_ref().err());
    queue::note(&context, record.stored());
    if let Err(error) = &result {
        note_error(&context, &mut record, error).await;
        report_error(&context, &record, error);
    } else {
        retry::succeeded(&context, &name);
    }
    let next = match &result {
        Ok(next) => *next,
        Err(error) => retry::after(&context, &name, error),
    };
    retry::passed(&context, &name, made_for, next);
    next
}

/// Everything outside of the status that a run depends on. What differs from the last run's is a reason to run.
fn concerns(context: &Context, record: &Environment) -> String {
    let metadata = &record.metadata;
    let hint = metadata.annotations.as_ref().and_then(|all| all.get(crate::crd::HINT_ANNOTATION));
    let repository = context.repository(&record.spec.repository);
    let policy = repository.as_ref().map(|repository| {
        let forge = repository
            .status
            .as_ref()
            .and_then(|status| status.forge.as_ref())
            .map(|forge| (forge.repository_id, forge.name.clone()));
        (repository.metadata.uid.clone(), repository.metadata.generation, forge)
    });
    let known = context.credentials.of(&record.spec.repository).is_some();
    let secret = context.rotations.version(&record.spec.repository);
    let granted = repository.as_ref().map(|repository| {
        let spec = &repository.spec;
        let granted = spec.secrets.iter().map(|grant| grant.from_secret.as_str());
        let pulled = spec.isolation.image_pull_secrets.iter().map(|pull| pull.name.as_str());
        context.grants.versions(&granted.chain(pulled).collect::<Vec<_>>())
    });
    let kinds = dry_run::waits_for_kind(record).then(|| context.target.kinds_appeared());
    let at_gate = power::is_asleep(record) || passing::concerns(record);
    let gate = at_gate.then(|| (context.gate.keepers(), context.gate.labels()));
    format!(
        "{:?} {:?} {:?} {hint:?} {policy:?} {known} {secret:?} {granted:?} {kinds:?} {gate:?}",
        metadata.uid, metadata.generation, metadata.deletion_timestamp
    )
}

async fn stages(context: &Context, record: &mut Record) -> Result<Next, ReconcileError> {
    let now = context.clock.now();
    let served = match served(context, record) {
        Ok(served) => served,
        // A record that is to go needs the target only.
        Err(_) if observe::must_end(record, now) => return end_alone(context, record).await,
        Err(error) => return Err(error),
    };
    // Somebody may have given the camp more time since the last run; then it is not past it, whatever the forge says.
    if record.status.camp_since.is_some() {
        record.status.expires_at = observe::end_of(record, &served.policy).map(|end| end.at.into());
    }
    let labels = requests::labels_of(record);
    match observe::observe_source(record, &served, now).await {
        Ok(()) => {}
        // What the forge does not tell is no reason to keep what somebody deleted, or what is past its time.
        Err(_) if observe::must_end(record, now) => return end_alone(context, record).await,
        Err(error) => return Err(error),
    }
    observe::note_observed(context, record, None);
    requests::heed_labels(context, record, &served, &labels).await?;
    pin::clear_spent(context, record).await?;
    let Some(mut situation) = observe::situation(record, &served.policy, now) else {
        return Ok(Next::requeue(POLL));
    };
    let state = camp::observe_camp(context, record).await?;
    let mut decision = decide(&situation, camp::in_words(&state), now);
    if decision.action == Action::Raise && record.status.namespace.is_none() {
        if !context.knows_records() {
            return Ok(Next::requeue(POLL));
        }
        situation.room = queue::admit(context, record, &served, now);
        decision = decide(&situation, camp::in_words(&state), now);
    } else {
        record.status.queue = None;
        if record.status.namespace.is_none() {
            record.status.turn = None;
        }
    }
    record.status.why = decision.why.iter().map(Into::into).collect();
    record.status.expires_at = decision.wake_at.map(Into::into);
    if observe::want_is_spent(record, &situation) {
        record.reset_want(context).await?;
    }
    match decision.action {
        Action::Raise if served.repository.metadata.deletion_timestamp.is_some() => {
            let repository = record.stored().spec.repository.clone();
            Err(ReconcileError::NoRepository { repository })
        }
        // Somebody else's namespace is in the way of a new camp, never of an end.
        Action::Raise | Action::Keep if state == CampState::Foreign => {
            let namespace = record.status.namespace.clone().unwrap_or_default();
            Err(ReconcileError::Apply(crate::apply::ApplyError::NamespaceTaken { namespace }))
        }
        Action::Raise | Action::Keep => {
            if state == CampState::Absent {
                camp::forget_namespace(context, record).await?;
            }
            let next = deploy::bring_up(context, record, &served, &decision).await?;
            Ok(merge::sooner(context, record, next))
        }
        Action::TakeDown | Action::AwaitEnd => {
            end(context, record, &served, &decision, &state).await
        }
        Action::Rest => rest(context, record, &served, &decision).await,
    }
}

/// The camp is going or is to go.
async fn end(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
    state: &CampState,
) -> Result<Next, ReconcileError> {
    let mut hook = None;
    if let (Action::TakeDown, CampState::Standing { uid }) = (decision.action, state) {
        hook = hooks::before_delete(context, record).await?;
        if hook.is_none() {
            camp::take_down(context, record, uid).await?;
        }
    }
    record.status.phase = Some(Phase::TearingDown);
    let blocked = hook.clone().or_else(|| ending::held_up(context, state));
    let why = match decision.absence {
        Some(_) => decision.reason(),
        None => "the namespace of before is going away; the camp is made anew after it",
    };
    let reason =
        blocked.as_ref().map_or_else(|| why.to_owned(), |blocked| format!("{why}; {blocked}"));
    record.status.reason = Some(bounded(&reason, 1024));
    tell::note_ready(context, record, Judgement::no("Ready", "TearingDown", why));
    record.save(context).await?;
    // Beside the teardown, never before it. "Nothing is left" is said by the run that finds nothing left.
    if blocked.is_some()
        || !matches!(decision.absence, Some(Absence::Expired | Absence::WantedDown))
    {
        tell::tell(context, record, served, &Telling::of(decision).blocked(blocked));
    }
    Ok(if hook.is_some() { Next::requeue(HOOK_POLL) } else { growing(context, record) })
}

/// The pause grows with the time that something takes: most camps end within seconds, and one that is stuck for a day
/// must not cost a look each moment.
pub(super) fn growing(context: &Context, record: &Record) -> Next {
    let since = record
        .status
        .condition("Ready")
        .map_or(context.clock.now(), |ready| ready.last_transition_time.0);
    let age = (context.clock.now() - since).to_std().unwrap_or_default();
    Next::requeue(context.rng.jitter((age / 10).clamp(POLL, SLOWEST), 10))
}

/// There is no camp and there is to be none.
async fn rest(
    context: &Context,
    record: &mut Record,
    served: &Served,
    decision: &Decision,
) -> Result<Next, ReconcileError> {
    let mut left = None;
    if record.status.namespace.is_some() {
        left = ending::census(context, record).await?;
        stored::clear(context, record).await?;
        camp::forget_camp(record, context.clock.now());
    }
    let absence = decision.absence.unwrap_or(Absence::NotSelected);
    record.status.phase = Some(match absence {
        Absence::SourceClosed => Phase::Closed,
        Absence::WaitingForApproval => Phase::WaitingForApproval,
        Absence::Queued => Phase::Queued,
        _ => Phase::NoCamp,
    });
    let reason = left.map_or_else(
        || decision.reason().to_owned(),
        |left| format!("{}; {left}", decision.reason()),
    );
    record.status.reason = Some(bounded(&reason, 1024));
    tell::note_ready(
        context,
        record,
        Judgement::no("Ready", tell::word(absence), decision.reason()),
    );
    record.save(context).await?;
    record.set_finalizer(context, false).await?;
    tell::tell(context, record, served, &Telling::of(decision));
    if record.is_deleted() {
        return Ok(Next::await_change());
    }
    if absence == Absence::SourceClosed
        && let Some(closed_at) = record.status.closed_at
    {
        let age = (context.clock.now() - closed_at.0).to_std().unwrap_or_default();
        let Some(left) =
            context.intervals.keep_closed.checked_sub(age).filter(|left| !left.is_zero())
        else {
            return forget_record(context, record).await;
        };
        return Ok(Next::requeue(context.rng.jitter(left, 5)));
    }
    if absence == Absence::Queued {
        return Ok(Next::requeue(context.rng.jitter(context.intervals.resync, 10)));
    }
    Ok(Next::await_change())
}

/// A closed source without a camp, long enough ago.
async fn forget_record(context: &Context, record: &Record) -> Result<Next, ReconcileError> {
    let exactly_this = kube::api::DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: record.stored().metadata.uid.clone(),
            resource_version: record.stored().metadata.resource_version.clone(),
        }),
        ..Default::default()
    };
    match context.environments().delete(record.name(), &exactly_this).await {
        Ok(_) => Ok(Next::await_change()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Next::await_change()),
        Err(error) => Err(ReconcileError::record("delete the record", error)),
    }
}

/// A camp that must end while its Repository or the forge can't be asked: only the target counts.
async fn end_alone(context: &Context, record: &mut Record) -> Result<Next, ReconcileError> {
    let state = camp::observe_camp(context, record).await?;
    let mut hook = None;
    if let CampState::Standing { uid } = &state {
        hook = hooks::before_delete(context, record).await?;
        if hook.is_none() {
            camp::take_down(context, record, uid).await?;
        }
    }
    let why = "its end has come, and the forge can't be asked";
    if matches!(state, CampState::Standing { .. } | CampState::Ending { .. }) {
        record.status.phase = Some(Phase::TearingDown);
        let blocked = ending::held_up(context, &state);
        let reason = blocked.map_or_else(|| why.to_owned(), |blocked| format!("{why}; {blocked}"));
        record.status.reason = Some(bounded(&reason, 1024));
        tell::note_ready(context, record, Judgement::no("Ready", "TearingDown", why));
        record.save(context).await?;
        return Ok(if hook.is_some() {
            Next::requeue(HOOK_POLL)
        } else {
            growing(context, record)
        });
    }
    let now = context.clock.now();
    // It may have been on its way out for another reason, which the next look at the source finds again, or not.
    let time_is_up = record.status.expires_at.is_some_and(|end| now >= end.0);
    let mut left = None;
    if record.status.namespace.is_some() {
        left = ending::census(context, record).await?;
        stored::clear(context, record).await?;
    }
    camp::forget_camp(record, now);
    record.status.phase = Some(Phase::NoCamp);
    let reason = left.map_or_else(|| why.to_owned(), |left| format!("{why}; {left}"));
    record.status.reason = Some(bounded(&reason, 1024));
    if time_is_up && record.status.expired_at.is_none() {
        record.status.expired_at = Some(now.into());
    }
    tell::note_ready(context, record, Judgement::no("Ready", "NoCamp", why));
    record.save(context).await?;
    record.set_finalizer(context, false).await?;
    // The forge is asked again, and told then.
    Ok(if record.is_deleted() {
        Next::await_change()
    } else {
        Next::requeue(context.intervals.resync)
    })
}

/// Repository, policy and forge of a record.
pub(super) fn served(context: &Context, record: &Record) -> Result<Served, ReconcileError> {
    let name = &record.stored().spec.repository;
    let repository = match context.repository(name) {
        Some(repository) => repository,
        None if context.knows_repositories() => {
            return Err(ReconcileError::NoRepository { repository: name.clone() });
        }
        None => return Err(ReconcileError::NoCredentials { repository: name.clone() }),
    };
    let policy = repository.spec.policy().map_err(ReconcileError::Policy)?;
    let forge = context.forge_of(name, &repository)?;
    Ok(Served { repository, policy, forge })
}

/// What went wrong, into the status: shown to people, without random parts.
async fn note_error(context: &Context, record: &mut Record, error: &ReconcileError) {
    if matches!(error, ReconcileError::Stale) {
        return;
    }
    let text = chain(error);
    tracing::warn!(
        environment.name = record.name(),
        error.category = error.category(),
        error.incident = tell::incident(record, error),
        "run ended: {text}"
    );
    if tell::note_failure(context, record, error, &text)
        && let Err(unwritten) = record.save(context).await
    {
        tracing::warn!(
            environment.name = record.name(),
            "status not written: {}",
            chain(&unwritten)
        );
    }
}

/// The same into the comment, when people have to act or when it did not pass by itself.
fn report_error(context: &Context, record: &Record, error: &ReconcileError) {
    let lasts = retry::failures(context, record.name()) >= TOLD_AFTER;
    let Some(failure) = tell::failure_of(record, error, lasts) else { return };
    let Ok(served) = served(context, record) else { return };
    tell::tell_failure(context, record, &served, failure);
}
