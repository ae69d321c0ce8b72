//! `CronJobs`: a Job at each time of the schedule, with the concurrency policy and a bounded history. Pure.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::cron::Schedule;
use super::kit::resource::{CRON_JOBS, JOBS};
use super::kit::{Action, Caches, Controller, Event, Key, Resource, json};
use super::owner_key;

/// The controller of `CronJobs`.
pub(super) struct CronJobs;

impl Controller for CronJobs {
    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&CRON_JOBS, &JOBS]
    }

    fn keys(&self, resource: &Resource, object: &Value, _caches: &Caches) -> Vec<Key> {
        owner_key(&CRON_JOBS, resource, object)
    }

    fn reconcile(&self, key: &Key, caches: &Caches, now: DateTime<Utc>) -> Vec<Action> {
        let Some(cron) = caches.get(&CRON_JOBS, &key.namespace, &key.name) else {
            return Vec::new();
        };
        if json::is_deleting(cron) {
            return Vec::new();
        }
        let jobs = caches.controlled(&JOBS, &key.namespace, json::uid(cron));
        reconcile(cron, &jobs, now)
    }
}

fn is_over(job: &Value) -> bool {
    json::is_true(job, "Complete") || json::is_true(job, "Failed")
}

fn reconcile(cron: &Value, jobs: &[Arc<Value>], now: DateTime<Utc>) -> Vec<Action> {
    let mut actions = history(cron, jobs);
    let running: Vec<&Arc<Value>> = jobs.iter().filter(|j| !is_over(j)).collect();
    let mut status = json!({});
    for key in ["lastScheduleTime", "lastSuccessfulTime"] {
        if let Some(time) = cron.pointer(&format!("/status/{key}")) {
            json::set(&mut status, &[key], time.clone());
        }
    }
    if !running.is_empty() {
        let active: Vec<Value> = running.iter().map(|j| reference(j)).collect();
        json::set(&mut status, &["active"], active.into());
    }
    let success = jobs.iter().filter_map(|j| j.pointer("/status/completionTime")?.as_str()).max();
    if let Some(success) = success
        && success > json::text(&status, "/lastSuccessfulTime")
    {
        json::set(&mut status, &["lastSuccessfulTime"], success.into());
    }
    if json::flag(cron, "/spec/suspend") {
        actions.extend(Action::status(&CRON_JOBS, cron, status));
        return actions;
    }
    let Some(schedule) = Schedule::parse(json::text(cron, "/spec/schedule")) else {
        let message = format!("unparseable schedule: {}", json::text(cron, "/spec/schedule"));
        actions.push(Event::warning(cron, "UnparseableSchedule", message));
        return actions;
    };
    let since = json::time(cron, "/status/lastScheduleTime")
        .or_else(|| json::time(cron, "/metadata/creationTimestamp"))
        .unwrap_or(now);
    if let Some(due) = last_due(&schedule, since, now) {
        let policy = json::text(cron, "/spec/concurrencyPolicy");
        let late = json::int(cron, "/spec/startingDeadlineSeconds")
            .is_some_and(|s| now > due + chrono::Duration::seconds(s));
        let blocked = policy == "Forbid" && !running.is_empty();
        let name = format!("{}-{}", json::name(cron), due.timestamp() / 60);
        if !late && !blocked && !jobs.iter().any(|j| json::name(j) == name) {
            if policy == "Replace" {
                actions.extend(running.iter().map(|j| Action::delete(&JOBS, j)));
            }
            actions.push(Action::CreateFor(&CRON_JOBS, cron.clone(), &JOBS, job(cron, &name, due)));
            let message = format!("Created job {name}");
            actions.push(Event::normal(cron, "SuccessfulCreate", message));
        }
        if !blocked {
            json::set(&mut status, &["lastScheduleTime"], json::stamp(due).into());
        }
    }
    actions.extend(Action::status(&CRON_JOBS, cron, status));
    if let Some(next) = schedule.next(now)
        && let Ok(wait) = (next - now).to_std()
    {
        actions.push(Action::After(wait));
    }
    actions
}

/// The last time of the schedule that has passed since; a long pause is not caught up with one by one.
fn last_due(
    schedule: &Schedule,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let mut due = schedule.next(since).filter(|t| *t <= now)?;
    for _ in 0..1000 {
        match schedule.next(due) {
            Some(next) if next <= now => due = next,
            _ => return Some(due),
        }
    }
    // More than a thousand were missed: begin again from the last minute or so.
    schedule.next(now - chrono::Duration::minutes(1)).filter(|t| *t <= now)
}

fn job(cron: &Value, name: &str, due: DateTime<Utc>) -> Value {
    let template = cron.pointer("/spec/jobTemplate").cloned().unwrap_or_default();
    let mut metadata = json!({
        "name": name,
        "namespace": json::namespace(cron),
        "ownerReferences": [CRON_JOBS.controller_reference(cron)],
        "annotations": template.pointer("/metadata/annotations").cloned().unwrap_or_else(|| json!({})),
    });
    let time = json::stamp(due);
    json::set(
        &mut metadata,
        &["annotations", "batch.kubernetes.io/cronjob-scheduled-timestamp"],
        time.into(),
    );
    if let Some(labels) = template.pointer("/metadata/labels") {
        json::set(&mut metadata, &["labels"], labels.clone());
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": template.get("spec"),
    })
}

fn reference(job: &Value) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": json::namespace(job),
        "name": json::name(job),
        "uid": json::uid(job),
    })
}

/// Deletes finished Jobs beyond the history's limits, oldest first.
fn history(cron: &Value, jobs: &[Arc<Value>]) -> Vec<Action> {
    let mut actions = Vec::new();
    for (kind, limit, default) in [
        ("Complete", "/spec/successfulJobsHistoryLimit", 3),
        ("Failed", "/spec/failedJobsHistoryLimit", 1),
    ] {
        let limit = json::int(cron, limit).unwrap_or(default).max(0);
        let mut over: Vec<&Arc<Value>> =
            jobs.iter().filter(|j| json::is_true(j, kind) && !json::is_deleting(j)).collect();
        over.sort_by_key(|j| (json::text(j, "/status/startTime"), json::name(j)));
        let surplus = over.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        actions.extend(over.into_iter().take(surplus).map(|j| Action::delete(&JOBS, j)));
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(extra: &Value) -> Value {
        let mut spec =
            json!({ "schedule": "*/5 * * * *", "jobTemplate": { "spec": { "template": {} } } });
        for (key, value) in extra.as_object().expect("an object") {
            spec[key] = value.clone();
        }
        json!({ "metadata": { "name": "c", "namespace": "n", "uid": "c", "creationTimestamp": "1970-01-01T00:00:00Z" }, "spec": spec })
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::Duration::minutes(minutes)
    }

    fn made(actions: &[Action]) -> Vec<&str> {
        actions
            .iter()
            .filter_map(|a| {
                if let Action::CreateFor(_, _, _, j) = a { Some(json::name(j)) } else { None }
            })
            .collect()
    }

    #[test]
    fn a_job_is_made_when_it_is_due_and_not_before() {
        let actions = reconcile(&cron(&json!({})), &[], at(3));
        assert!(made(&actions).is_empty());
        assert!(actions.contains(&Action::After(std::time::Duration::from_secs(120))));
        assert_eq!(made(&reconcile(&cron(&json!({})), &[], at(11))), ["c-10"]);
    }

    #[test]
    fn suspend_and_forbid_hold_it_back() {
        assert!(made(&reconcile(&cron(&json!({ "suspend": true })), &[], at(11))).is_empty());
        let running = Arc::new(json!({ "metadata": { "name": "c-5", "uid": "j" } }));
        let forbid = cron(&json!({ "concurrencyPolicy": "Forbid" }));
        assert!(made(&reconcile(&forbid, std::slice::from_ref(&running), at(11))).is_empty());
        let replace = cron(&json!({ "concurrencyPolicy": "Replace" }));
        let actions = reconcile(&replace, &[running], at(11));
        assert_eq!(made(&actions), ["c-10"]);
        assert!(actions.iter().any(|a| matches!(a, Action::Delete(..))));
    }
}
