//! Jobs: pods until enough of them have succeeded, or too many failed. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::kit::resource::{JOBS, PODS};
use super::kit::{Action, Caches, Controller, Event, Key, Resource, json};
use super::{owner_key, pods};

/// The controller of Jobs.
pub(super) struct Jobs;

const INDEX: &str = "batch.kubernetes.io/job-completion-index";

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&JOBS, &PODS]
    }

    fn keys(&self, resource: &Resource, object: &Value, _caches: &Caches) -> Vec<Key> {
        owner_key(&JOBS, resource, object)
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let Some(job) = caches.get(&JOBS, &key.namespace, &key.name) else { return Vec::new() };
        let owned = caches.controlled(&PODS, &key.namespace, json::uid(job));
        reconcile(job, &owned, now)
    }
}

/// How a Job has ended.
struct Ending {
    succeeded: bool,
    reason: &'static str,
    message: String,
}

fn reconcile(job: &Value, owned: &[Arc<Value>], now: DateTime<Utc>) -> Vec<Action> {
    if json::is_true(job, "Complete") || json::is_true(job, "Failed") {
        return after_the_end(job, now);
    }
    if json::is_deleting(job) {
        return Vec::new();
    }
    let phase = |pod: &Arc<Value>, phase: &str| json::text(pod, "/status/phase") == phase;
    let active: Vec<&Arc<Value>> = owned.iter().filter(|p| pods::is_active(p)).collect();
    let done: BTreeSet<&str> = owned
        .iter()
        .filter(|p| phase(p, "Succeeded"))
        .map(|p| json::annotation(p, INDEX).unwrap_or_else(|| json::name(p)))
        .collect();
    let succeeded = i64::try_from(done.len()).unwrap_or(i64::MAX);
    let failed = i64::try_from(owned.iter().filter(|p| phase(p, "Failed")).count()).unwrap_or(0);
    let suspended = json::flag(job, "/spec/suspend");
    let started = match json::time(job, "/status/startTime") {
        Some(time) if !suspended => Some(time),
        _ if suspended => None,
        _ => Some(now),
    };
    let ending = ending(job, &active, succeeded, failed, started, now);
    let mut actions = Vec::new();
    let status = status(job, &active, (succeeded, failed), started, ending.as_ref(), now);
    if ending.is_some() || suspended {
        actions.extend(active.iter().map(|p| Action::delete(&PODS, p)));
    }
    actions.extend(Action::status(&JOBS, job, status));
    if let Some(Ending { succeeded, reason, message }) = ending {
        actions.push(if succeeded {
            Event::normal(job, "Completed", "Job completed".to_owned())
        } else {
            Event::warning(job, reason, message)
        });
        return actions;
    }
    if suspended {
        return actions;
    }
    actions.extend(make(job, &active, &done, succeeded));
    if let Some(limit) = json::int(job, "/spec/activeDeadlineSeconds")
        && let Some(started) = started
        && let Ok(left) = (started + chrono::Duration::seconds(limit) - now).to_std()
    {
        actions.push(Action::After(left));
    }
    actions
}

fn after_the_end(job: &Value, now: DateTime<Utc>) -> Vec<Action> {
    let Some(ttl) = json::int(job, "/spec/ttlSecondsAfterFinished") else { return Vec::new() };
    if json::is_deleting(job) {
        return Vec::new();
    }
    let ended = ["Complete", "Failed"]
        .iter()
        .find_map(|kind| json::time(json::condition(job, kind)?, "/lastTransitionTime"))
        .unwrap_or(now);
    match (ended + chrono::Duration::seconds(ttl) - now).to_std() {
        Ok(left) if !left.is_zero() => vec![Action::After(left)],
        _ => vec![Action::delete(&JOBS, job)],
    }
}

fn ending(
    job: &Value,
    active: &[&Arc<Value>],
    succeeded: i64,
    failed: i64,
    started: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<Ending> {
    let limit = json::int(job, "/spec/backoffLimit").unwrap_or(6);
    let restarts: i64 = active
        .iter()
        .flat_map(|p| json::list(p, "/status/containerStatuses"))
        .map(|c| json::int(c, "/restartCount").unwrap_or(0))
        .sum();
    let enough = match json::int(job, "/spec/completions") {
        Some(completions) => succeeded >= completions,
        // Without a number, one success ends it when all others have ended too.
        None => succeeded > 0 && active.is_empty(),
    };
    if enough {
        let (reason, message) = ("CompletionsReached", "Reached expected number of succeeded pods");
        return Some(Ending { succeeded: true, reason, message: message.to_owned() });
    }
    let deadline = json::int(job, "/spec/activeDeadlineSeconds");
    if let Some((limit, started)) = deadline.zip(started)
        && now >= started + chrono::Duration::seconds(limit)
    {
        let message = "Job was active longer than specified deadline".to_owned();
        return Some(Ending { succeeded: false, reason: "DeadlineExceeded", message });
    }
    if failed > limit || (restarts > 0 && failed + restarts > limit) {
        let message = "Job has reached the specified backoff limit".to_owned();
        return Some(Ending { succeeded: false, reason: "BackoffLimitExceeded", message });
    }
    None
}

fn status(
    job: &Value,
    active: &[&Arc<Value>],
    (succeeded, failed): (i64, i64),
    started: Option<DateTime<Utc>>,
    ending: Option<&Ending>,
    now: DateTime<Utc>,
) -> Value {
    let suspended = json::flag(job, "/spec/suspend");
    let over = ending.is_some() || suspended;
    let ready = active.iter().filter(|p| pods::is_ready(p)).count();
    let mut status = json!({
        "ready": if over { 0 } else { ready },
        "terminating": 0,
        "uncountedTerminatedPods": {},
    });
    let running = if over { 0 } else { i64::try_from(active.len()).unwrap_or(0) };
    for (key, value) in [("active", running), ("succeeded", succeeded), ("failed", failed)] {
        if value > 0 {
            json::set(&mut status, &[key], value.into());
        }
    }
    if let Some(started) = started {
        json::set(&mut status, &["startTime"], json::stamp(started).into());
    }
    let mut conditions = json::list(job, "/status/conditions").to_vec();
    if suspended {
        json::set_condition(
            &mut conditions,
            "Suspended",
            "True",
            "JobSuspended",
            "Job suspended",
            now,
        );
    } else if conditions.iter().any(|c| json::text(c, "/type") == "Suspended") {
        json::set_condition(
            &mut conditions,
            "Suspended",
            "False",
            "JobResumed",
            "Job resumed",
            now,
        );
    }
    if let Some(Ending { succeeded, reason, message }) = ending {
        let (first, last) = if *succeeded {
            ("SuccessCriteriaMet", "Complete")
        } else {
            ("FailureTarget", "Failed")
        };
        json::set_condition(&mut conditions, first, "True", reason, message, now);
        json::set_condition(&mut conditions, last, "True", reason, message, now);
        if *succeeded {
            json::set(&mut status, &["completionTime"], json::stamp(now).into());
        }
    }
    if !conditions.is_empty() {
        json::set(&mut status, &["conditions"], conditions.into());
    }
    status
}

/// The pods that are missing.
fn make(job: &Value, active: &[&Arc<Value>], done: &BTreeSet<&str>, succeeded: i64) -> Vec<Action> {
    let parallelism = json::int(job, "/spec/parallelism").unwrap_or(1);
    let running = i64::try_from(active.len()).unwrap_or(i64::MAX);
    let room = match json::int(job, "/spec/completions") {
        Some(completions) => parallelism.min(completions - succeeded) - running,
        None if succeeded > 0 => 0,
        None => parallelism - running,
    };
    let indexed = json::text(job, "/spec/completionMode") == "Indexed";
    let taken: BTreeSet<&str> = active.iter().filter_map(|p| json::annotation(p, INDEX)).collect();
    let mut free = (0..json::int(job, "/spec/completions").unwrap_or(0))
        .map(|n| n.to_string())
        .filter(|n| !done.contains(n.as_str()) && !taken.contains(n.as_str()));
    let mut actions = Vec::new();
    for _ in 0..room.max(0) {
        let template = job.pointer("/spec/template").cloned().unwrap_or_default();
        let mut pod = pods::from_template(&JOBS, job, &template);
        let mut prefix = format!("{}-", json::name(job));
        for (key, value) in [
            ("batch.kubernetes.io/controller-uid", json::uid(job)),
            ("batch.kubernetes.io/job-name", json::name(job)),
            ("controller-uid", json::uid(job)),
            ("job-name", json::name(job)),
        ] {
            json::set(&mut pod, &["metadata", "labels", key], value.into());
        }
        if indexed {
            let Some(index) = free.next() else { break };
            prefix = format!("{prefix}{index}-");
            json::set(&mut pod, &["metadata", "annotations", INDEX], index.clone().into());
            json::set(&mut pod, &["metadata", "labels", INDEX], index.into());
        }
        json::set(&mut pod, &["metadata", "generateName"], prefix.into());
        actions.push(Action::CreateFor(&JOBS, job.clone(), &PODS, pod));
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(extra: &Value) -> Value {
        let mut spec = json!({ "completions": 1, "parallelism": 1, "backoffLimit": 1,
            "template": { "spec": { "restartPolicy": "Never" } } });
        for (key, value) in extra.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        json!({ "metadata": { "name": "j", "namespace": "n", "uid": "j" }, "spec": spec })
    }

    fn pod(name: &str, phase: &str) -> Arc<Value> {
        Arc::new(json!({ "metadata": { "name": name, "uid": name }, "status": { "phase": phase } }))
    }

    fn made(actions: &[Action]) -> usize {
        actions.iter().filter(|a| matches!(a, Action::CreateFor(..))).count()
    }

    fn condition(actions: &[Action], kind: &str) -> Option<String> {
        actions.iter().find_map(|a| {
            let Action::ReplaceStatus(_, job) = a else { return None };
            json::condition(job, kind).map(|c| json::text(c, "/reason").to_owned())
        })
    }

    #[test]
    fn a_job_runs_its_pod_and_completes() {
        let now = DateTime::UNIX_EPOCH;
        let job = job(&json!({}));
        assert_eq!(made(&reconcile(&job, &[], now)), 1);
        assert_eq!(made(&reconcile(&job, &[pod("a", "Running")], now)), 0);
        let actions = reconcile(&job, &[pod("a", "Succeeded")], now);
        assert_eq!(condition(&actions, "Complete").as_deref(), Some("CompletionsReached"));
        assert_eq!(made(&actions), 0);
    }

    #[test]
    fn failures_are_tried_again_up_to_the_limit() {
        let now = DateTime::UNIX_EPOCH;
        let job = job(&json!({}));
        assert_eq!(made(&reconcile(&job, &[pod("a", "Failed")], now)), 1);
        let actions = reconcile(&job, &[pod("a", "Failed"), pod("b", "Failed")], now);
        assert_eq!(condition(&actions, "Failed").as_deref(), Some("BackoffLimitExceeded"));
        assert_eq!(made(&actions), 0);
    }

    #[test]
    fn a_suspended_job_has_no_pods_and_a_finished_one_goes_after_its_ttl() {
        let now = DateTime::UNIX_EPOCH;
        let suspended = job(&json!({ "suspend": true }));
        let actions = reconcile(&suspended, &[pod("a", "Running")], now);
        assert!(actions.iter().any(|a| matches!(a, Action::Delete(..))));
        assert_eq!(condition(&actions, "Suspended").as_deref(), Some("JobSuspended"));
        let mut finished = job(&json!({ "ttlSecondsAfterFinished": 5 }));
        finished["status"] = json!({ "conditions": [{ "type": "Complete", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z" }] });
        assert!(matches!(reconcile(&finished, &[], now)[..], [Action::After(_)]));
        let later = now + chrono::Duration::seconds(5);
        assert!(matches!(reconcile(&finished, &[], later)[..], [Action::Delete(..)]));
    }

    #[test]
    fn an_indexed_job_makes_each_index_once() {
        let job = job(&json!({ "completions": 3, "parallelism": 3, "completionMode": "Indexed" }));
        let mut one = pod("a", "Running").as_ref().clone();
        json::set(&mut one, &["metadata", "annotations", INDEX], "1".into());
        let actions = reconcile(&job, &[Arc::new(one)], DateTime::UNIX_EPOCH);
        let indexes: Vec<_> = actions
            .iter()
            .filter_map(|a| {
                if let Action::CreateFor(_, _, _, p) = a {
                    json::annotation(p, INDEX)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(indexes, ["0", "2"]);
    }
}
