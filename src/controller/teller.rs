//! The one who talks to the forge: takes texts from the runs and writes them beside, so that a slow forge holds up no
//! run. The newest text of a record wins; one write at a time for each; what came of it goes into the status. I/O with
//! the forge, and with home for the status.
//!
//! Nothing in here has to outlive the process: after a restart each run finds by the recorded hash what is not told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::error::{ReconcileError, chain};
use super::record::Record;
use super::tell::note_ready;
use crate::crd::{CommentRecord, ReportStatus};
use crate::domain::comment::CommentText;
use crate::domain::id::PrNumber;
use crate::domain::pull_request::State as Source;
use crate::domain::rate::{May, WriteKind};
use crate::domain::status::{Judgement, bounded};
use crate::forge::{Class as ForgeClass, Forge};
use crate::report::comment::{CommentPlan, Recorded, ReportError, correct, post};

/// The forge refuses, and will go on: no right, no such pull request.
const NOT_TOLD: &str = "ForgeNotTold";
/// It may work the next time.
const OWED: &str = "WillTryAgain";
/// Pause before a text is offered again that the forge could not take.
const AGAIN: Duration = Duration::from_secs(30);
/// The same for one that it will not take: somebody has to give a right first.
const NOT_SOON: Duration = Duration::from_secs(900);
/// A forge that has not answered after this long will be asked again later.
const LONGEST: Duration = Duration::from_secs(30);
/// Writes for one token or installation that are on their way. The forge wants a second between two of them anyway; and
/// one whose forge makes it wait takes no place from the others.
const FOR_ONE: usize = 4;
/// Writes for all Repositories.
const FOR_ALL: usize = 32;
/// Between two texts of one record, at least.
const SPACE: chrono::Duration = chrono::Duration::seconds(5);
/// What is not told this long after the end of the runs is told by the next process. Longer than [`SPACE`].
const DRAIN: Duration = Duration::from_secs(8);
/// A status that others write at the same time is written after so many tries, or by the next telling.
const TRIES: u32 = 5;
/// Pause between two of them.
const PAUSE: Duration = Duration::from_millis(100);

/// A text for one pull request, and what it is about.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Name of the record.
    pub(super) record: String,
    /// Its UID.
    pub(super) uid: String,
    pub(super) forge: Forge,
    /// Whether it is left out when the forge's rate is short.
    pub(super) kind: WriteKind,
    pub(super) pull_request: PrNumber,
    /// Head and state of the pull request that the text speaks of.
    pub(super) about: Option<(String, Source)>,
    /// What the record says was told last.
    pub(super) recorded: Option<CommentRecord>,
    pub(super) text: CommentText,
    /// Hash of the same text without logs.
    pub(super) basis: String,
    /// Whether a comment is made where none is; else only one that an ended process left is put right.
    pub(super) makes: bool,
}

/// Texts that wait, and what became of the last ones.
#[derive(Default)]
pub(super) struct Teller {
    state: std::sync::Mutex<State>,
    changed: Notify,
    turns: std::sync::Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
struct State {
    waiting: BTreeMap<String, Waiting>,
    /// What is on its way, by record: its forge and basis.
    writing: BTreeMap<String, (Forge, String)>,
    /// Before then no other text of that record is written.
    spaced: BTreeMap<String, DateTime<Utc>>,
    /// What was written and may not be in the status yet, by record, with its UID.
    told: BTreeMap<String, (String, CommentRecord)>,
    /// UIDs of records of which the last write did not end well: what the forge shows is not known.
    doubted: BTreeSet<String>,
    /// What the forge will not take, and until when it is not offered again.
    refused: BTreeMap<String, (String, DateTime<Utc>)>,
    arrived: u64,
}

struct Waiting {
    job: Job,
    arrived: u64,
    not_before: Option<DateTime<Utc>>,
}

impl State {
    /// When a text that waits may be written; `None` is at once.
    fn ripe(&self, waiting: &Waiting) -> Option<DateTime<Utc>> {
        waiting.not_before.max(self.spaced.get(&waiting.job.record).copied())
    }
}

/// What came of a write.
enum Outcome {
    Written(CommentRecord),
    /// There is no comment, and none is to be made.
    NoneThere,
    /// Somebody pushed: the next run tells about the newer head.
    Outdated,
    /// The rate is short, and this is not worth what is left of it.
    LeftOut,
    Failed {
        reason: &'static str,
        message: String,
        until: DateTime<Utc>,
    },
}

impl Teller {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told last of a record: as it says itself, or newer.
    pub(super) fn told(
        &self,
        uid: &str,
        recorded: Option<&CommentRecord>,
    ) -> Option<CommentRecord> {
        let state = self.state();
        let newer = state.told.values().find(|(of, _)| of == uid).map(|(_, comment)| comment);
        let told =
            newer.into_iter().chain(recorded).max_by_key(|comment| comment.sequence).cloned();
        // It is still the one to write into; whether it says this has to be seen.
        told.map(
            |comment| {
                if state.doubted.contains(uid) { comment.of_unknown_text() } else { comment }
            },
        )
    }

    /// Takes a text; one that waits for the same record is dropped for it. What is told already, is on its way, or was
    /// refused a moment ago is not offered again.
    pub(super) fn offer(&self, job: Job, now: DateTime<Utc>) {
        let told = self.told(&job.uid, job.recorded.as_ref());
        let mut state = self.state();
        let standing = match state.writing.get(&job.record) {
            Some((_, basis)) => Some(basis.clone()),
            None => told.map(|comment| comment.basis),
        };
        if standing.as_ref() == Some(&job.basis) {
            // What waits is older than what is wanted now.
            state.waiting.remove(&job.record);
            return;
        }
        if state
            .refused
            .get(&job.record)
            .is_some_and(|(basis, until)| *basis == job.basis && now < *until)
        {
            // The refused text itself waits for its time.
            if state.waiting.get(&job.record).is_some_and(|next| next.job.basis != job.basis) {
                state.waiting.remove(&job.record);
            }
            return;
        }
        state.arrived += 1;
        let arrived = state.arrived;
        if let Some(waiting) = state.waiting.get_mut(&job.record) {
            if waiting.job.basis != job.basis {
                waiting.not_before = None;
            }
            // It keeps its place: a record that changes all the time must be told of, too.
            waiting.job = job;
        } else {
            let record = job.record.clone();
            state.waiting.insert(record, Waiting { job, arrived, not_before: None });
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Nothing is to be said of a record any more: what waits is dropped.
    pub(super) fn withdraw(&self, record: &str) {
        self.state().waiting.remove(record);
    }

    /// The next that may be written, oldest first.
    fn next(&self, now: DateTime<Utc>) -> Option<Job> {
        let mut state = self.state();
        if state.writing.len() >= FOR_ALL {
            return None;
        }
        let may = |waiting: &Waiting| {
            let Job { record, forge, .. } = &waiting.job;
            let others = state.writing.values().filter(|(other, _)| other.shares_rate_with(forge));
            !state.writing.contains_key(record)
                && others.count() < FOR_ONE
                && state.ripe(waiting).is_none_or(|ripe| ripe <= now)
        };
        let oldest = state.waiting.values().filter(|waiting| may(waiting));
        let record = oldest.min_by_key(|waiting| waiting.arrived)?.job.record.clone();
        let job = state.waiting.remove(&record)?.job;
        state.writing.insert(record, (job.forge.clone(), job.basis.clone()));
        Some(job)
    }

    /// When the next one that waits for its time is due. What is due already waits for the end of a write.
    fn due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let state = self.state();
        let times = state.waiting.values().filter_map(|waiting| state.ripe(waiting));
        times.filter(|time| *time > now).min()
    }

    /// A write has ended. Another for the same record may begin.
    fn ended(&self, job: &Job, outcome: &Outcome, now: DateTime<Utc>) {
        let mut state = self.state();
        state.writing.remove(&job.record);
        state.spaced.retain(|_, ripe| *ripe > now);
        // One that failed may have been written all the same.
        if matches!(outcome, Outcome::Written(_) | Outcome::Failed { .. }) {
            state.spaced.insert(job.record.clone(), now + SPACE);
        }
        match outcome {
            Outcome::Written(comment) => {
                state.refused.remove(&job.record);
                state.doubted.remove(&job.uid);
                state.told.insert(job.record.clone(), (job.uid.clone(), comment.clone()));
            }
            Outcome::NoneThere => {
                state.doubted.remove(&job.uid);
            }
            Outcome::Outdated | Outcome::LeftOut => {}
            Outcome::Failed { reason, until, .. } => {
                state.doubted.insert(job.uid.clone());
                if *reason == NOT_TOLD {
                    state.refused.insert(job.record.clone(), (job.basis.clone(), *until));
                }
                state.arrived += 1;
                let arrived = state.arrived;
                // A newer text that came meanwhile is offered at once.
                state.waiting.entry(job.record.clone()).or_insert_with(|| Waiting {
                    job: job.clone(),
                    arrived,
                    not_before: Some(*until),
                });
            }
        }
    }

    /// The forge has a later text of the record than the record knows: its notes were lost, or it was put back. Who still
    /// leads after the pause goes on from there; who does not may not write.
    fn is_behind(&self, job: &Job, theirs: u64) {
        let known = self.told(&job.uid, job.recorded.as_ref()).unwrap_or_default();
        let sequence = i64::try_from(theirs).unwrap_or(i64::MAX).max(known.sequence);
        let theirs = CommentRecord { sequence, ..known }.of_unknown_text();
        self.state().told.insert(job.record.clone(), (job.uid.clone(), theirs));
    }

    /// The status says it now.
    fn noted(&self, record: &str, comment: &CommentRecord) {
        let mut state = self.state();
        if state.told.get(record).is_some_and(|(_, told)| told == comment) {
            state.told.remove(record);
        }
    }

    /// Forgets a record that is gone; what waits to be told of it is told.
    pub(super) fn forget(&self, record: &str) {
        let mut state = self.state();
        state.refused.remove(record);
        if !state.waiting.contains_key(record) && !state.writing.contains_key(record) {
            state.told.remove(record);
        }
        drop(state);
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).remove(record);
    }

    /// Whether a comment waits, or is on its way, for which the same rate is needed: it goes before everything else.
    pub(super) fn owes(&self, forge: &Forge) -> bool {
        let state = self.state();
        // One that the forge did not take a moment ago holds up nothing.
        let mut waiting = state.waiting.values().filter(|waiting| waiting.not_before.is_none());
        waiting.any(|waiting| waiting.job.forge.shares_rate_with(forge))
            || state.writing.values().any(|(of, _)| of.shares_rate_with(forge))
    }

    /// Waits for one's turn at a record: a run and the note of what was told never write its status side by side.
    pub(super) async fn turn(&self, record: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.entry(record.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }
}

/// Tells until `quiet`; then what waits is told, for a bounded time.
pub(super) async fn run(context: &Context, quiet: CancellationToken) {
    let mut writes: FuturesUnordered<BoxFuture<'_, (Job, Outcome)>> = FuturesUnordered::new();
    let mut notes: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    let mut end: Option<DateTime<Utc>> = None;
    loop {
        let now = context.clock.now();
        while let Some(job) = context.teller.next(now) {
            writes.push(Box::pin(async move {
                let outcome = write(context, &job).await;
                (job, outcome)
            }));
        }
        let due = match (context.teller.due(now), end) {
            (due, None) => due,
            // What waits for a moment only is waited for.
            (Some(due), Some(end)) if due <= end => Some(due),
            (_, Some(_)) if writes.is_empty() && notes.is_empty() => return,
            (_, Some(end)) => Some(end),
        };
        let pause = due.map(|due| (due - now).to_std().unwrap_or_default());
        let timer = async {
            match pause {
                Some(pause) => context.clock.sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = quiet.cancelled(), if end.is_none() => {
                end = Some(now + DRAIN);
            }
            Some((job, outcome)) = writes.next(), if !writes.is_empty() => {
                context.teller.ended(&job, &outcome, context.clock.now());
                context.marks.wake();
                notes.push(Box::pin(note(context, job, outcome)));
            }
            Some(()) = notes.next(), if !notes.is_empty() => {}
            () = context.teller.changed.notified() => {}
            () = timer => {
                if end.is_some_and(|end| end <= context.clock.now()) {
                    return;
                }
            }
        }
    }
}

/// One write, in bounded time.
async fn write(context: &Context, job: &Job) -> Outcome {
    let failed = |reason, message, pause: Duration| Outcome::Failed {
        reason,
        message,
        until: context.clock.now() + pause,
    };
    match job.forge.may(job.kind) {
        May::Now => {}
        May::LeaveOut => return Outcome::LeftOut,
        May::After(wait) => {
            let message = "the forge's rate limit is reached".to_owned();
            return failed(OWED, message, wait);
        }
    }
    match tokio::time::timeout(LONGEST, posted(context, job)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) if error.ends_the_telling() => failed(NOT_TOLD, chain(&error), NOT_SOON),
        Ok(Err(error)) => {
            if let ReportError::Superseded { theirs, .. } = error {
                context.teller.is_behind(job, theirs);
            }
            match error.class() {
                ForgeClass::Transient { not_before: Some(until) } => {
                    Outcome::Failed { reason: OWED, message: chain(&error), until }
                }
                _ => failed(OWED, chain(&error), AGAIN),
            }
        }
        Err(_) => failed(OWED, "the forge did not answer in time".into(), AGAIN),
    }
}

/// Writes, unless what it is about is no longer the head.
async fn posted(context: &Context, job: &Job) -> Result<Outcome, ReportError> {
    let pr = job.pull_request;
    let fresh =
        job.forge.pull_request(pr).await.map_err(|source| ReportError::Forge { pr, source })?;
    let same = job.about.as_ref().is_some_and(|(revision, state)| {
        revision == fresh.head.revision.as_str() && *state == fresh.state
    });
    if !same {
        return Ok(Outcome::Outdated);
    }
    let recorded = context.teller.told(&job.uid, job.recorded.as_ref()).map(|comment| Recorded {
        id: u64::try_from(comment.id).unwrap_or_default(),
        url: comment.url.clone(),
        hash: comment.hash.clone(),
        sequence: u64::try_from(comment.sequence).unwrap_or_default(),
    });
    let plan = CommentPlan {
        pr,
        instance: context.instance.name.as_str().to_owned(),
        record: job.uid.clone(),
        recorded,
        text: job.text.clone(),
    };
    let posted = if job.makes {
        Some(post(&job.forge, &plan).await?)
    } else {
        correct(&job.forge, &plan).await?
    };
    let Some(Recorded { id, url, hash, sequence }) = posted.map(|posted| posted.recorded) else {
        return Ok(Outcome::NoneThere);
    };
    Ok(Outcome::Written(CommentRecord {
        id: i64::try_from(id).unwrap_or_default(),
        url: bounded(&url, 300),
        hash,
        basis: job.basis.clone(),
        sequence: i64::try_from(sequence).unwrap_or_default(),
    }))
}

/// What came of it, into the status.
async fn note(context: &Context, job: Job, outcome: Outcome) {
    if matches!(outcome, Outcome::Outdated | Outcome::LeftOut) {
        return;
    }
    for _ in 0..TRIES {
        match try_to_note(context, &job, &outcome).await {
            Ok(()) => return,
            // Somebody left a hint between our look and our write.
            Err(ReconcileError::Stale) => context.clock.sleep(PAUSE).await,
            Err(error) => {
                tracing::warn!(
                    environment.name = job.record,
                    "what was told could not be noted: {}",
                    chain(&error)
                );
                return;
            }
        }
    }
    tracing::warn!(environment.name = job.record, "what was told could not be noted: others write");
}

async fn try_to_note(
    context: &Context,
    job: &Job,
    outcome: &Outcome,
) -> Result<(), ReconcileError> {
    let _turn = context.teller.turn(&job.record).await;
    let found = context.environments().get_opt(&job.record).await;
    let found = found.map_err(|error| ReconcileError::record("read the record", error))?;
    let Some(stored) = found.filter(|found| found.metadata.uid.as_ref() == Some(&job.uid)) else {
        if matches!(outcome, Outcome::Failed { reason: NOT_TOLD, .. }) {
            // Nobody is left to be told that it could not be told.
            context.teller.withdraw(&job.record);
        }
        context.teller.forget(&job.record);
        context.teller.state().doubted.remove(&job.uid);
        return Ok(());
    };
    let mut record = Record::new(stored);
    match outcome {
        Outcome::Written(comment) => {
            let report = record.status.report.get_or_insert_default();
            (report.comment, report.making) = (Some(comment.clone()), false);
            let told = Judgement::yes("Reported", "Written", "the comment says what is");
            note_ready(context, &mut record, told);
        }
        Outcome::NoneThere => {
            record.status.report.get_or_insert_default().making = false;
            if record.status.report == Some(ReportStatus::default()) {
                record.status.report = None;
            }
        }
        Outcome::Outdated | Outcome::LeftOut => {}
        Outcome::Failed { reason, message, .. } => {
            note_ready(context, &mut record, Judgement::no("Reported", reason, message.clone()));
        }
    }
    // What the run observed is the run's to say.
    record.save_as_observed(context).await?;
    if let Outcome::Written(comment) = outcome {
        context.teller.noted(&job.record, comment);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::comment::{CommentView, Phase, render};
    use crate::forge::fake::Fake;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    fn job(record: &str, forge: &Forge, text: &str) -> Job {
        let view = CommentView {
            instance: "demo".into(),
            namespace: "bivouac-system".into(),
            environment: record.into(),
            prefix: "/preview".into(),
            revision: None,
            merged_with: None,
            phase: Phase::NotEligible { reason: text.into() },
            apps: Vec::new(),
            expires_at: None,
            ending: None,
            took: None,
            rendered_from: Vec::new(),
            changes: None,
            notes: Vec::new(),
            log_of_end: None,
            why: Vec::new(),
        };
        let text = render(&view);
        Job {
            record: record.into(),
            uid: format!("uid of {record}"),
            forge: forge.clone(),
            kind: WriteKind::Url,
            pull_request: PrNumber(7),
            about: None,
            recorded: None,
            basis: text.hash().to_owned(),
            text,
            makes: true,
        }
    }

    fn written(job: &Job, sequence: i64) -> Outcome {
        Outcome::Written(CommentRecord {
            id: 1,
            basis: job.basis.clone(),
            sequence,
            ..CommentRecord::default()
        })
    }

    fn failed(reason: &'static str, until: i64) -> Outcome {
        Outcome::Failed { reason, message: "no".into(), until: at(until) }
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_text_wins_and_one_record_has_one_write_at_a_time() {
        let (teller, forge) = (Teller::default(), Fake::new().forge());
        let [first, second, third] = ["1", "2", "3"].map(|text| job("pr-1", &forge, text));
        teller.offer(first.clone(), at(0));
        teller.offer(second.clone(), at(0));
        assert_eq!(teller.next(at(0)).expect("a text").basis, second.basis);
        teller.offer(third.clone(), at(1));
        assert!(teller.next(at(1)).is_none(), "one is on its way");
        // Back to what is on its way: what waited is not wanted any more.
        teller.offer(second.clone(), at(1));
        teller.ended(&second, &written(&second, 1), at(1));
        assert!(teller.next(at(2)).is_none());
        // The record that a run has read may be older than what was told.
        teller.offer(second.clone(), at(2));
        assert!(teller.next(at(2)).is_none(), "it is told");
        assert_eq!(teller.told(&second.uid, None).map(|told| told.sequence), Some(1));
        teller.offer(third.clone(), at(3));
        assert!(teller.next(at(3)).is_none(), "the last one was written two seconds ago");
        assert_eq!(teller.due(at(3)), Some(at(6)));
        teller.offer(first.clone(), at(5));
        assert!(teller.next(at(5)).is_none());
        assert_eq!(teller.next(at(6)).expect("a text").basis, first.basis);
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_that_was_not_taken_is_offered_again_later_and_another_at_once() {
        let (teller, forge) = (Teller::default(), Fake::new().forge());
        let (old, new) = (job("pr-1", &forge, "old"), job("pr-1", &forge, "new"));
        teller.offer(old.clone(), at(0));
        teller.ended(&teller.next(at(0)).expect("a text"), &failed(OWED, 30), at(0));
        assert_eq!(teller.due(at(0)), Some(at(30)));
        assert_eq!(teller.due(at(30)), None);
        teller.offer(old.clone(), at(10));
        assert!(teller.next(at(29)).is_none());
        assert_eq!(teller.next(at(30)).expect("a text").basis, old.basis);
        teller.ended(&old, &failed(OWED, 60), at(30));
        teller.offer(new.clone(), at(31));
        assert!(teller.next(at(34)).is_none(), "what failed may have been written");
        assert_eq!(teller.next(at(35)).expect("a text").basis, new.basis);
        // One that will not be taken is left alone, until its time.
        teller.ended(&new, &failed(NOT_TOLD, 900), at(35));
        teller.offer(new.clone(), at(899));
        assert!(teller.next(at(899)).is_none());
        assert_eq!(teller.due(at(899)), Some(at(900)), "it is tried again though nobody offers it");
        assert_eq!(teller.next(at(900)).expect("a text").basis, new.basis);
    }

    #[tokio::test(start_paused = true)]
    async fn one_installation_can_not_take_all_places() {
        let teller = Teller::default();
        let (slow, fast) = (Fake::new().forge(), Fake::new().forge());
        let another =
            slow.named(crate::domain::id::RepoName::parse("acme", "till").expect("a name"));
        for number in 0..10 {
            let forge = if number % 2 == 0 { &slow } else { &another };
            teller.offer(job(&format!("pr-{number}"), forge, "text"), at(0));
        }
        teller.offer(job("other", &fast, "text"), at(0));
        let taken: Vec<_> =
            std::iter::from_fn(|| teller.next(at(0))).map(|job| job.record).collect();
        assert_eq!(taken, ["pr-0", "pr-1", "pr-2", "pr-3", "other"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_left_out_is_not_queued_and_may_be_offered_again() {
        let (teller, forge) = (Teller::default(), Fake::new().forge());
        let text = job("pr-1", &forge, "text");
        teller.offer(text.clone(), at(0));
        teller.ended(&teller.next(at(0)).expect("a text"), &Outcome::LeftOut, at(0));
        assert!(teller.next(at(60)).is_none());
        teller.offer(text.clone(), at(60));
        assert_eq!(teller.next(at(60)).expect("a text").basis, text.basis);
    }
}
