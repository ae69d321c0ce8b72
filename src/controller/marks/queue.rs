//! Which records wait to have something told of them, which are worked on, and what the forge refused. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;

use super::{End, Job};
use crate::forge::Forge;

/// Records of all Repositories that are told of at once. Those of one Repository go one after the other: the forge wants
/// a second between two writes, and comments go first.
const FOR_ALL: usize = 16;
/// Between two jobs of one record. What changes faster is told once.
const GAP: Duration = Duration::from_secs(5);
/// What changes within this time is told once: a camp that comes back is in trouble for a moment.
const SETTLE: Duration = Duration::from_secs(2);
/// Refusals that are remembered.
const REFUSALS: usize = 4096;

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// That there is to be no comment.
    Comment,
    Check,
    Deployment,
}

impl Kind {
    /// Type of the condition that says that it could not be told.
    pub(super) fn condition(self) -> &'static str {
        match self {
            Self::Comment => "Reported",
            Self::Check => "CheckReported",
            Self::Deployment => "DeploymentReported",
        }
    }
}

/// How far a refusal reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Everything of that kind for the Repository.
    Repository,
    /// This text of this record.
    Text(String),
}

/// What the forge will not take, and until when it is not asked again.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) scope: Scope,
    pub(super) until: DateTime<Utc>,
}

#[derive(Default)]
pub(in crate::controller) struct Marks {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// By record.
    waiting: BTreeMap<String, Waiting>,
    /// Repositories of which something is told at this moment.
    working: BTreeSet<String>,
    /// Records of which something was told and not noted yet.
    noting: BTreeSet<String>,
    /// When the last job of a record ended.
    ended: BTreeMap<String, DateTime<Utc>>,
    /// By name (of a Repository, or Repository and record) and kind.
    refused: BTreeMap<(String, Kind), Refusal>,
    arrived: u64,
}

struct Waiting {
    job: Job,
    arrived: u64,
    not_before: Option<DateTime<Utc>>,
}

fn key(job: &Job, scope: &Scope) -> String {
    match scope {
        Scope::Repository => job.repository().to_owned(),
        // No Repository's name has a slash.
        Scope::Text(_) => format!("{}/{}", job.repository(), job.record()),
    }
}

impl Marks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job; one that waits for the same record is dropped for it, and gives it its place.
    pub(super) fn put(&self, job: Job, now: DateTime<Utc>) {
        let mut state = self.state();
        if let Some(waiting) = state.waiting.get_mut(job.record()) {
            waiting.job = job;
        } else {
            state.arrived += 1;
            let arrived = state.arrived;
            // A record that goes may be the last to remember.
            let goes = job.stored.metadata.deletion_timestamp.is_some();
            let not_before = (!goes).then(|| now + SETTLE);
            state.waiting.insert(job.record().to_owned(), Waiting { job, arrived, not_before });
        }
        drop(state);
        self.wake();
    }

    /// Takes a job of which the forge took nothing a moment ago: a record at rest asks for nothing more when that time is
    /// over. One that waits for the same record is dropped for it, and gives it its place.
    pub(super) fn put_later(&self, job: Job, until: DateTime<Utc>) {
        let mut state = self.state();
        if let Some(waiting) = state.waiting.get_mut(job.record()) {
            waiting.job = job;
        } else {
            state.arrived += 1;
            let (arrived, not_before) = (state.arrived, Some(until));
            state.waiting.insert(job.record().to_owned(), Waiting { job, arrived, not_before });
        }
        drop(state);
        self.wake();
    }

    /// Nothing is to be told of a record any more.
    pub(super) fn withdraw(&self, record: &str) {
        self.state().waiting.remove(record);
    }

    /// Lets the others look again: a comment was written, so that one of these may be next.
    pub(in crate::controller) fn wake(&self) {
        self.changed.notify_one();
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The next that may be told, oldest first. `owes` says whether a comment has to go out there before.
    pub(super) fn next(&self, now: DateTime<Utc>, owes: &dyn Fn(&Forge) -> bool) -> Option<Job> {
        let mut state = self.state();
        if state.working.len() >= FOR_ALL {
            return None;
        }
        let may = |waiting: &Waiting| {
            !state.working.contains(waiting.job.repository())
                && !state.noting.contains(waiting.job.record())
                && state.not_before(waiting).is_none_or(|not_before| not_before <= now)
                && !owes(&waiting.job.forge)
        };
        let oldest = state.waiting.values().filter(|waiting| may(waiting));
        let record = oldest.min_by_key(|waiting| waiting.arrived)?.job.record().to_owned();
        let job = state.waiting.remove(&record)?.job;
        state.working.insert(job.repository().to_owned());
        Some(job)
    }

    /// When the next one that waits for its time is due.
    pub(super) fn due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let state = self.state();
        let times = state.waiting.values().filter_map(|waiting| state.not_before(waiting));
        times.filter(|time| *time > now).min()
    }

    /// A job has ended; what came of it is to be noted.
    pub(super) fn ended(&self, job: &Job, end: &End, now: DateTime<Utc>) {
        let mut state = self.state();
        state.working.remove(job.repository());
        state.ended.retain(|_, at| *at + GAP > now);
        state.ended.insert(job.record().to_owned(), now);
        state.noting.insert(job.record().to_owned());
        if let End::Again(until) = end {
            state.arrived += 1;
            let arrived = state.arrived;
            // One that came meanwhile is newer.
            state.waiting.entry(job.record().to_owned()).or_insert_with(|| Waiting {
                job: job.clone(),
                arrived,
                not_before: Some(*until),
            });
        }
    }

    /// The status says it now, or the next look tells it once more.
    pub(super) fn noted(&self, record: &str) {
        self.state().noting.remove(record);
    }

    pub(super) fn refuse(&self, job: &Job, kind: Kind, refusal: Refusal) {
        let mut state = self.state();
        if state.refused.len() >= REFUSALS {
            state.refused.pop_first();
        }
        state.refused.insert((key(job, &refusal.scope), kind), refusal);
    }

    /// Until when the forge is not asked again, which would not take it a moment ago.
    pub(super) fn refused_until(
        &self,
        job: &Job,
        kind: Kind,
        basis: &str,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let state = self.state();
        let text = Scope::Text(basis.to_owned());
        let refusals = [Scope::Repository, text].into_iter().filter_map(|scope| {
            let refusal = state.refused.get(&(key(job, &scope), kind))?;
            (refusal.scope == scope && now < refusal.until).then_some(refusal.until)
        });
        refusals.max()
    }

    /// The credentials are others: what was refused is tried again.
    pub(in crate::controller) fn forgive(&self, repository: &str) {
        let below = format!("{repository}/");
        self.state().refused.retain(|(name, _), _| name != repository && !name.starts_with(&below));
    }
}

impl State {
    fn not_before(&self, waiting: &Waiting) -> Option<DateTime<Utc>> {
        let gap = self.ended.get(waiting.job.record()).map(|at| *at + GAP);
        waiting.not_before.max(gap)
    }
}
