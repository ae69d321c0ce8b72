//! What is to be done with which Request: all of them as the watch shows them in, jobs out. PURE.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};
use kube::runtime::watcher::Event;

use crate::crd::{Request, RequestState};

/// A Request is kept for so long after its answer.
const KEPT: Duration = Duration::hours(24);
/// Requests of one Environment.
pub(super) const MOST: usize = 200;

/// What is done with a Request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Carry it out, or refuse it.
    Act,
    /// Tell the forge what came of it.
    Tell {
        /// An answer may have been written already, by a process of before or by a try that seemed to fail.
        begun: bool,
    },
    /// Delete it.
    Forget,
}

/// Something to be done.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) environment: String,
    /// Of the Request.
    pub(super) name: String,
    pub(super) step: Step,
    /// All Requests of the Environment, for a step that compares them.
    pub(super) others: Vec<Request>,
}

impl Job {
    /// Jobs of one lane come one after another.
    fn lane(&self) -> Lane {
        match self.step {
            Step::Act => Lane::Act(self.environment.clone()),
            Step::Tell { .. } => Lane::Tell(self.environment.clone()),
            Step::Forget => Lane::Forget(self.name.clone()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Act(String),
    Tell(String),
    Forget(String),
}

/// All Requests, and what is under way.
#[derive(Default)]
pub(super) struct Board {
    all: BTreeMap<String, Request>,
    listed: BTreeMap<String, Request>,
    complete: bool,
    busy: BTreeSet<Lane>,
    later: BTreeMap<Lane, DateTime<Utc>>,
    /// What this process did with it, as long as the watch does not show it: by name.
    acted: BTreeSet<String>,
    told: BTreeSet<String>,
    forgotten: BTreeSet<String>,
    /// Carried out by this process, and nothing was said of it yet.
    fresh: BTreeSet<String>,
}

fn state(request: &Request) -> RequestState {
    request.status.as_ref().map_or(RequestState::Pending, |status| status.state)
}

fn is_told(request: &Request) -> bool {
    request.status.as_ref().is_some_and(|status| status.told)
}

/// Commands are carried out in the order in which they were given.
fn order(request: &Request) -> (DateTime<Utc>, u64, u64, String) {
    let name = request.metadata.name.clone().unwrap_or_default();
    let id = request.spec.from.id.parse().unwrap_or_default();
    let index = name.rsplit('-').next().and_then(|index| index.parse().ok()).unwrap_or_default();
    (request.spec.at.0, id, index, name)
}

fn answered_at(request: &Request) -> Option<DateTime<Utc>> {
    request.status.as_ref()?.answered_at.map(|at| at.0)
}

impl Board {
    /// What the watch shows.
    pub(super) fn take(&mut self, event: Event<Request>) {
        let name = |request: &Request| request.metadata.name.clone().unwrap_or_default();
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(request) => {
                self.listed.insert(name(&request), request);
            }
            Event::InitDone => {
                self.all = std::mem::take(&mut self.listed);
                self.complete = true;
            }
            Event::Apply(request) => {
                self.all.insert(name(&request), request);
            }
            Event::Delete(request) => {
                self.all.remove(&name(&request));
            }
        }
        let all = &self.all;
        let pending = |name: &String| {
            all.get(name).is_some_and(|request| state(request) == RequestState::Pending)
        };
        let untold = |name: &String| all.get(name).is_some_and(|request| !is_told(request));
        self.acted.retain(pending);
        self.told.retain(untold);
        self.fresh.retain(untold);
        self.forgotten.retain(|name| all.contains_key(name));
    }

    /// What can be begun now. It is under way from here on.
    pub(super) fn ready(&mut self, now: DateTime<Utc>) -> Vec<Job> {
        if !self.complete {
            return Vec::new();
        }
        self.later.retain(|_, until| *until > now);
        let jobs: Vec<Job> = self.wanted(now).into_iter().filter(|job| self.may(job)).collect();
        let mut begun = Vec::new();
        for mut job in jobs {
            if self.busy.insert(job.lane()) {
                if matches!(job.step, Step::Tell { .. }) {
                    let of = |one: &&Request| one.spec.environment == job.environment;
                    job.others = self.all.values().filter(of).cloned().collect();
                }
                begun.push(job);
            }
        }
        begun
    }

    fn may(&self, job: &Job) -> bool {
        let lane = job.lane();
        !self.busy.contains(&lane) && !self.later.contains_key(&lane)
    }

    /// Everything that is to be done, the first of each lane first.
    fn wanted(&self, now: DateTime<Utc>) -> Vec<Job> {
        let mut by_environment: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
        for request in self.all.values() {
            by_environment.entry(&request.spec.environment).or_default().push(request);
        }
        let mut jobs = Vec::new();
        for (environment, mut requests) in by_environment {
            requests.sort_by_key(|request| order(request));
            let job = |request: &Request, step: Step| Job {
                environment: environment.to_owned(),
                name: request.metadata.name.clone().unwrap_or_default(),
                step,
                others: Vec::new(),
            };
            let mut over = requests.len().saturating_sub(MOST);
            let (mut act, mut tell) = (None, None);
            for request in &requests {
                let name = request.metadata.name.as_deref().unwrap_or_default();
                if self.forgotten.contains(name) {
                    continue;
                }
                let open = state(request) == RequestState::Pending;
                if open {
                    if !self.acted.contains(name) && act.is_none() {
                        act = Some(job(request, Step::Act));
                    }
                } else if !is_told(request) {
                    if !self.told.contains(name) && tell.is_none() {
                        let begun = !self.fresh.contains(name);
                        tell = Some(job(request, Step::Tell { begun }));
                    }
                } else if over > 0 || answered_at(request).is_none_or(|at| at + KEPT <= now) {
                    over = over.saturating_sub(1);
                    jobs.push(job(request, Step::Forget));
                }
            }
            // More than anybody means: the youngest that wait are not carried out.
            let waiting: Vec<&&Request> =
                requests.iter().filter(|one| state(one) == RequestState::Pending).collect();
            for request in waiting.iter().skip(MOST) {
                jobs.push(job(request, Step::Forget));
            }
            jobs.extend(act);
            jobs.extend(tell);
        }
        jobs
    }

    /// A job has ended; with a time it is tried again then.
    pub(super) fn ended(&mut self, job: &Job, again: Option<DateTime<Utc>>) {
        let lane = job.lane();
        self.busy.remove(&lane);
        let name = job.name.clone();
        match (again, job.step) {
            (Some(until), step) => {
                if matches!(step, Step::Tell { .. }) {
                    self.fresh.remove(&name);
                }
                self.later.insert(lane, until);
            }
            (None, Step::Act) => {
                self.acted.insert(name.clone());
                self.fresh.insert(name);
            }
            (None, Step::Tell { .. }) => {
                self.told.insert(name);
            }
            (None, Step::Forget) => {
                self.forgotten.insert(name);
            }
        }
    }

    /// When something is due that is not now.
    pub(super) fn due(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let later = self.later.values().copied();
        let told = self.all.values().filter(|request| is_told(request));
        let old = told.filter_map(|request| answered_at(request).map(|at| at + KEPT));
        later.chain(old).filter(|due| *due > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    fn request(id: u64, index: u64, second: i64, status: &serde_json::Value) -> Request {
        serde_json::from_value(json!({
            "apiVersion": "bivouac.dev/v1alpha1",
            "kind": "Request",
            "metadata": {"name": format!("comment-{id}-{index}")},
            "spec": {
                "environment": "shop-pr-1", "verb": "up", "at": at(second),
                "from": {"kind": "comment", "id": id.to_string()}, "by": {"login": "ada", "id": 1},
            },
            "status": status,
        }))
        .expect("a Request")
    }

    fn board(requests: Vec<Request>) -> Board {
        let mut board = Board::default();
        board.take(Event::Init);
        assert_eq!(names(&mut board, 0), Vec::<String>::new(), "a list counts when it is whole");
        for request in requests {
            board.take(Event::InitApply(request));
        }
        board.take(Event::InitDone);
        board
    }

    fn names(board: &mut Board, now: i64) -> Vec<String> {
        let jobs = board.ready(at(now));
        jobs.iter().map(|job| format!("{:?} {}", job.step, job.name)).collect()
    }

    fn first(board: &Board) -> Job {
        board.wanted(at(0)).into_iter().next().expect("a job")
    }

    #[test]
    fn one_at_a_time_in_the_order_in_which_they_were_given() {
        let open = json!(null);
        let mut board = board(vec![
            request(10, 10, 5, &open),
            request(10, 9, 5, &open),
            request(9, 1, 5, &open),
            request(11, 1, 4, &open),
        ]);
        for expected in ["comment-11-1", "comment-9-1", "comment-10-9", "comment-10-10"] {
            let job = first(&board);
            assert_eq!(names(&mut board, 6), [format!("Act {expected}")]);
            assert_eq!(names(&mut board, 6), Vec::<String>::new(), "it is under way");
            board.ended(&job, None);
        }
        assert_eq!(names(&mut board, 7), Vec::<String>::new());
    }

    #[test]
    fn one_that_fails_waits_and_holds_up_those_after_it() {
        let mut board = board(vec![request(1, 1, 1, &json!(null)), request(2, 1, 2, &json!(null))]);
        let job = first(&board);
        assert_eq!(names(&mut board, 3), ["Act comment-1-1"]);
        board.ended(&job, Some(at(10)));
        assert_eq!(names(&mut board, 9), Vec::<String>::new());
        assert_eq!(board.due(at(9)), Some(at(10)));
        assert_eq!(names(&mut board, 10), ["Act comment-1-1"]);
    }

    #[test]
    fn what_was_carried_out_is_told_beside_and_goes_after_a_day() {
        let done = json!({"state": "Done", "answeredAt": at(5)});
        let told = json!({"state": "Done", "answeredAt": at(5), "told": true});
        let mut board = board(vec![
            request(1, 1, 1, &told),
            request(2, 1, 2, &done),
            request(3, 1, 3, &json!(null)),
        ]);
        let day = KEPT.num_seconds();
        assert_eq!(names(&mut board, 6), ["Act comment-3-1", "Tell { begun: true } comment-2-1"]);
        assert_eq!(board.due(at(6)), Some(at(5 + day)));
        assert_eq!(names(&mut board, 5 + day), ["Forget comment-1-1"]);
    }

    #[test]
    fn of_too_many_the_oldest_answered_go_and_the_youngest_that_wait() {
        let told = json!({"state": "Done", "answeredAt": at(5), "told": true});
        let answered = (0..=MOST).map(|n| request(n as u64, 1, 1, &told)).collect();
        assert_eq!(names(&mut board(answered), 6), ["Forget comment-0-1"]);
        let waiting = (0..=MOST).map(|n| request(n as u64, 1, 1, &json!(null))).collect();
        let last = format!("Forget comment-{MOST}-1");
        assert_eq!(names(&mut board(waiting), 6), [last, "Act comment-0-1".into()]);
    }
}
