//! Stage *observe*: the source from the forge and the namespace from the target, into the status. I/O.

use chrono::{DateTime, Utc};

use super::branches::{self, Subject};
use super::error::ReconcileError;
use super::reconcile::Served;
use super::record::Record;
use super::{Context, merge, passing, pin, usage};
use crate::crd::{HeadStatus, PathsStatus, Phase, SourcePhase, Timestamp, Want, set_condition};
use crate::domain::bundle::sha256_hex;
use crate::domain::decision::{Situation, SourceKind};
use crate::domain::id::PrNumber;
use crate::domain::lifetime::{self, By, End, Renewal, Seen};
use crate::domain::policy::{At, Forks, Policy};
use crate::domain::pull_request::{PullRequest, State};
use crate::domain::selection::{self, is_trusted_bot, select, touches};
use crate::domain::status::{Judgement, bounded};
use crate::forge::ForgeError;

/// The condition of a camp whose end is near; it is there for as long as that is so.
pub(super) const EXPIRING: &str = "Expiring";
/// Its reason, when a push or a wish gives more time.
const ENDS_SOON: &str = "EndsSoon";
/// Its reason, when nothing does.
pub(super) const LONGEST_LIFE_ENDS: &str = "LongestLifeEnds";

/// A pull request that is not found may be on its way so many seconds after its record was made.
const YOUNG: i64 = 60;

/// Number of the pull request of a record; `None` for a branch's.
pub(super) fn number_of(record: &Record) -> Option<PrNumber> {
    record.stored().spec.source.number().map(PrNumber)
}

/// Reads the source when a hint came or nothing is known of it, and notes what changed.
///
/// 401, 403, 404, 410 and 451 are errors here and never an end of the camp: they prove nothing about the source.
pub(super) async fn observe_source(
    record: &mut Record,
    served: &Served,
    now: DateTime<Utc>,
) -> Result<(), ReconcileError> {
    let Served { repository, forge, policy } = served;
    // Without the id of the repository that is served, nobody can tell it from another of its name.
    let known = repository.status.as_ref().and_then(|status| status.forge.as_ref());
    let Some(expected) = known.map(|forge| forge.repository_id) else {
        return Err(ReconcileError::NoCredentials {
            repository: record.stored().spec.repository.clone(),
        });
    };
    // Noted before the forge is read: a hint that comes while we read is not lost.
    let hint = record.stored().open_hint().map(str::to_owned);
    let before = seen(record);
    let at = branches::at(record, policy);
    let is_due = hint.is_some() || record.status.head.is_none() || merge::is_due(record, at, now);
    if let (true, Subject::Branch(name)) = (is_due, Subject::of(record.stored())) {
        let tip = branches::tip(forge, expected, &name).await?;
        branches::note_head(record, &name, tip.as_ref(), now);
        record.status.source = Some(bounded(&format!("{}@{name}", forge.name()), 160));
    } else if let (true, Some(number)) = (is_due, number_of(record)) {
        let pull_request = forge.pull_request(number).await;
        let pull_request = pull_request.map_err(|error| not_there_yet(record, error, now))?;
        let found = pull_request.base.repository_id;
        if u64::try_from(expected).ok() != Some(found) {
            return Err(ReconcileError::AnotherRepository {
                name: forge.name().to_string(),
                expected,
                found,
            });
        }
        note_head(record, &pull_request, at, now);
        record.status.source =
            Some(format!("{}#{}", pull_request.base.repository, pull_request.number));
    }
    if at == At::Head {
        merge::clear(record);
    }
    if let Some(hint) = hint {
        record.status.handled_hint = Some(hint);
    }
    record.status.observed_want = Some(record.stored().spec.want);
    if let Some(after) = seen(record)
        && let Some(renewal) = lifetime::renewal(before.as_ref(), &after)
    {
        record.status.renewed_at = Some(now.into());
        record.status.expired_at = None;
        let wish = record.stored().spec.power;
        if (renewal != Renewal::Push || policy.sleep.wake_on_push)
            && let Some(power) = &mut record.status.power
        {
            power.woken_at = Some(now.into());
            // A wish that is as new as this is not yet known.
            power.woken = power.asked == wish;
        }
    }
    // The last thing: what is noted is noted though this can't be asked.
    observe_paths(record, served).await
}

/// Asks which files the pull request changes, once for each pair of commits, where the Repository chooses by that. Nothing
/// is asked about commits of somebody who needs a yes first.
async fn observe_paths(record: &mut Record, served: &Served) -> Result<(), ReconcileError> {
    let rules = &served.policy.select;
    let Some(number) = number_of(record) else { return Ok(()) };
    let waits = is_untrusted(record, &served.policy)
        && served.policy.forks != Forks::Allow
        && !is_approved(record);
    let Some(head) = record.status.head.as_mut() else { return Ok(()) };
    if rules.paths.is_empty() || waits || head.state == SourcePhase::Closed {
        head.paths = None;
        return Ok(());
    }
    let of = sha256_hex(format!("{} {} {:?}", head.revision, head.base, rules.paths).as_bytes());
    if head.paths.as_ref().is_some_and(|known| known.of == of) {
        return Ok(());
    }
    let paths = served.forge.changed_paths(number).await.map_err(ReconcileError::Forge)?;
    // So many files touch everything.
    let touched = paths.is_none_or(|paths| touches(rules, &paths));
    head.paths = Some(PathsStatus { of, touched });
    Ok(())
}

/// Whether somebody approved exactly this head and base.
fn is_approved(record: &Record) -> bool {
    let head = record.status.head.as_ref();
    record.stored().spec.approved.as_ref().zip(head).is_some_and(|(approval, head)| {
        approval.revision == head.revision && approval.base == head.base
    })
}

/// A webhook may be faster than the replica of the forge that answers: what was just opened is soon asked for again.
fn not_there_yet(record: &Record, error: ForgeError, now: DateTime<Utc>) -> ReconcileError {
    let made = record.stored().metadata.creation_timestamp.as_ref();
    let young = made.is_some_and(|made| now.timestamp() < made.0.as_second() + YOUNG);
    ReconcileError::Forge(match error {
        ForgeError::NotFound { call } if young && record.status.head.is_none() => {
            let reason = "it is not there yet".to_owned();
            ForgeError::Unavailable { call, reason, source: None }
        }
        other => other,
    })
}

fn seen(record: &Record) -> Option<Seen> {
    let head = record.status.head.as_ref()?;
    let want = record.status.observed_want.unwrap_or_default();
    Some(Seen { revision: head.revision.clone(), state: head.state.into(), want: want.into() })
}

fn note_head(record: &mut Record, pull_request: &PullRequest, at: At, now: DateTime<Utc>) {
    let revision = pull_request.head.revision.as_str();
    let seen_at = match &record.status.head {
        Some(head) if head.revision == revision => head.seen_at,
        _ => Timestamp::from(now),
    };
    let state = SourcePhase::from(pull_request.state);
    record.status.closed_at = match state {
        SourcePhase::Open => None,
        SourcePhase::Closed => record.status.closed_at.or(Some(now.into())),
    };
    let before = record.status.head.take();
    let mut head = HeadStatus {
        revision: revision.to_owned(),
        base: pull_request.base.revision.as_str().to_owned(),
        merge: None,
        merged_with: None,
        merge_awaited: None,
        merge_asked: None,
        conflict: false,
        state,
        draft: pull_request.draft,
        merged: pull_request.merged,
        labels: pull_request.labels.iter().take(100).map(|label| bounded(label, 100)).collect(),
        branch: bounded(&pull_request.head.branch, 255),
        base_branch: bounded(&pull_request.base.branch, 255),
        author: bounded(&pull_request.author.login, 100),
        bot: pull_request.author.bot,
        fork: pull_request.is_from_fork(),
        paths: before.as_ref().and_then(|before| before.paths.clone()),
        seen_at,
    };
    if at == At::Merge && pull_request.state == State::Open {
        merge::note(&mut head, before.as_ref(), &pull_request.merge, now);
    }
    record.status.head = Some(head);
}

/// Everything the decision looks at.
pub(super) fn situation(
    record: &mut Record,
    policy: &Policy,
    now: DateTime<Utc>,
) -> Option<Situation> {
    let head = record.status.head.clone()?;
    let end = end_of(record, policy);
    let expires_at = end.map(|end| end.at);
    if let Some(end) = expires_at
        && now >= end
        && record.status.expired_at.is_none()
        // What was renewed after the end of its longest life goes, and may come again.
        && record.status.renewed_at.is_none_or(|renewed| renewed.0 < end)
    {
        record.status.expired_at = Some(now.into());
    }
    let untrusted = if head.fork {
        Some("its head is in another repository".to_owned())
    } else if is_untrusted_bot(policy, &head) {
        Some(format!("its author {} is a bot that select.bots does not name", head.author))
    } else {
        None
    };
    let approved = is_approved(record);
    let subject = selection::Subject {
        head_branch: &head.branch,
        base_branch: &head.base_branch,
        labels: &head.labels,
        draft: head.draft,
        author: &head.author,
        touches: head.paths.as_ref().map(|paths| paths.touched),
    };
    let branch = branches::branch_of(record);
    Some(Situation {
        record_deleted: record.is_deleted(),
        source: head.state.into(),
        kind: if branch.is_some() { SourceKind::Branch } else { SourceKind::PullRequest },
        want: record.stored().spec.want.into(),
        expires_at,
        ends_by: end.map_or(By::Ttl, |end| end.by),
        expired: record.status.expired_at.is_some(),
        untrusted,
        approved,
        forks: policy.forks,
        selected: match branch {
            Some(name) => selection::branch(&policy.branches, name),
            None => select(&policy.select, &subject),
        },
        conflict: merge::conflict(&head).filter(|_| pin::held(record).is_none()),
        pin: pin::answer(record),
        // Asked when everything else says yes.
        room: None,
    })
}

/// A bot that the Repository does not name.
fn is_untrusted_bot(policy: &Policy, head: &HeadStatus) -> bool {
    head.bot && !is_trusted_bot(&policy.select, &head.author)
}

/// Whether nobody of the repository, and nobody whom the Repository names, has to have written it.
pub(super) fn is_untrusted(record: &Record, policy: &Policy) -> bool {
    let head = record.status.head.as_ref();
    head.is_none_or(|head| head.fork || is_untrusted_bot(policy, head))
}

/// When the camp that stands has its end; `None` while none does: time runs for camps, not for pull requests.
pub(super) fn end_of(record: &Record, policy: &Policy) -> Option<End> {
    // A branch's camp goes with its branch.
    if branches::branch_of(record).is_some() {
        return None;
    }
    let since = record.status.camp_since?.0;
    let renewed = record.status.renewed_at.map_or(since, |at| at.0.max(since));
    let mut spans = policy.lifetime;
    if let Some(ttl) = record.status.ttl_seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
        spans.ttl = spans.ttl.min(std::time::Duration::from_secs(ttl));
    }
    // Only where everything passes the gate is a visit known to be a person's.
    let counts_visits = passing::is_led(record.stored());
    let visit = usage::last_visit(record.stored()).filter(|_| counts_visits);
    let renewed = lifetime::visited(renewed, visit, spans.ttl);
    let end = lifetime::end(spans, (&record.stored().spec.lifetime).into(), renewed, Some(since));
    Some(match end.by {
        By::Ttl if counts_visits => End { by: By::Visits, ..end },
        _ => end,
    })
}

/// Writes down when the camp that stands has its end, and whether that is near.
pub(super) fn note_end(context: &Context, record: &mut Record, policy: &Policy) {
    let Some(end) = end_of(record, policy) else {
        record.status.expires_at = None;
        return;
    };
    record.status.expires_at = Some(end.at.into());
    let mut spans = policy.lifetime;
    if let Some(ttl) = record.status.ttl_seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
        spans.ttl = spans.ttl.min(std::time::Duration::from_secs(ttl));
    }
    let warn_at = lifetime::warn_at(spans, end);
    if context.clock.now() < warn_at {
        record.look_at(warn_at);
        record.status.conditions.retain(|condition| condition.r#type != EXPIRING);
        return;
    }
    let reason = if end.by.is_renewable() { ENDS_SOON } else { LONGEST_LIFE_ENDS };
    let at = Timestamp::from(end.at).0.format("%Y-%m-%d %H:%M UTC");
    let judgement = Judgement::yes(EXPIRING, reason, format!("its time is up on {at}"));
    let generation = record.generation();
    set_condition(&mut record.status.conditions, &judgement, generation, context.clock.now());
}

/// What is known without asking anybody: the record is to go, nobody wants the camp, or its time is up.
pub(super) fn must_end(record: &Record, now: DateTime<Utc>) -> bool {
    let status = &record.status;
    let past = status.expires_at.is_some_and(|end| now >= end.0);
    let unwanted = record.stored().spec.want == Want::Down && status.namespace.is_some();
    let going = status.phase == Some(Phase::TearingDown) && status.namespace.is_some();
    record.is_deleted() || past || unwanted || going
}

/// The condition `Observed`, which is there from the first time that the source could not be read.
pub(super) fn note_observed(context: &Context, record: &mut Record, error: Option<&str>) {
    let judgement = match error {
        Some(text) => Judgement::no("Observed", "CanNotBeRead", text),
        None if record.status.condition("Observed").is_some() => {
            Judgement::yes("Observed", "Read", "the source can be read")
        }
        None => return,
    };
    let generation = record.generation();
    set_condition(&mut record.status.conditions, &judgement, generation, context.clock.now());
}

/// `want` has lost its object: the source is closed, or its time was up while `Up` stood there.
pub(super) fn want_is_spent(record: &Record, situation: &Situation) -> bool {
    let want = record.stored().spec.want;
    let closed = record.status.head.as_ref().is_some_and(|head| head.state == SourcePhase::Closed);
    want != Want::Auto
        && !record.is_deleted()
        && (closed || (want == Want::Up && situation.expired))
}

/// The camp's identity, when one is recorded.
pub(super) fn camp_of(context: &Context, record: &Record) -> Option<crate::apply::CampId> {
    Some(crate::apply::CampId {
        instance: context.instance.name.as_str().to_owned(),
        environment: record.name().to_owned(),
        environment_uid: record.uid().to_owned(),
        namespace: record.status.namespace.clone()?,
    })
}
