//! Hooks: a Job is made, looked at until it has ended, and its log read when it failed. Nothing waits in here: each call
//! looks once, and what is known is in the records, which the caller keeps. I/O with the target as the deployer.
//!
//! A hook in the camp carries the name of its run. One of another run is deleted and made anew, because the template of a
//! Job can't be changed; so each run has its own, whatever was lost in between.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::bundle::{Fence, send};
use super::deployer::Deployer;
use super::error::{ApplyError, Class};
use super::health::CampHealth;
use crate::domain::bundle::BundleObject;
use crate::domain::health::{Health, judge, pod_trouble};
use crate::domain::status::bounded;
use crate::domain::waves::{Asked, HOOK_RUN, HookRecord, HookState, Moment, asked, is_runner};
use crate::seams::Clock;

/// Lines of a log that are kept for people.
const LOG_LINES: i64 = 40;
/// Characters of it.
const LOG_CHARS: usize = 4000;
/// Characters of a message.
const MESSAGE: usize = 512;
/// What the cluster gives a Job beyond its time, so that we see its log before it is ended.
const GRACE: u64 = 60;

/// How far a list of hooks is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// All have ended well, or were passed over after they failed.
    Done,
    /// This record's hook runs.
    Running(usize),
    /// This record's hook failed, and nothing after it ran.
    Failed(usize),
}

/// Runs hooks one after the other: each call goes as far as it can without waiting.
///
/// `objects` are hooks, which have a record each, and what they need. One that fails ends the list, but for hooks of the
/// camp's end.
pub async fn in_turn(
    deployer: &Deployer,
    clock: &Clock,
    objects: &[&BundleObject],
    moment: Moment,
    records: &mut [HookRecord],
    fence: &dyn Fence,
) -> Result<Turn, ApplyError> {
    // An end that is on its way is not to be held up by what fails before it.
    let go_on = moment == Moment::BeforeDelete;
    let of = |object: &BundleObject, records: &[HookRecord]| {
        records.iter().position(|record| record.moment == moment && record.is_of(object))
    };
    for (place, object) in objects.iter().enumerate() {
        let Some(index) = of(object, records) else {
            // What a hook needs is sent when that hook is next.
            let mut later = objects.iter().skip(place + 1);
            let next = later.find_map(|later| records.get(of(later, records)?));
            if !is_runner(object) && next.is_none_or(|hook| hook.state == HookState::Pending) {
                send(deployer, object, fence).await?;
            }
            continue;
        };
        let Some(record) = records.get_mut(index) else { continue };
        if !record.is_over() {
            advance(deployer, clock, object, record, fence).await?;
        }
        match record.state {
            HookState::Succeeded => {}
            HookState::Failed if go_on => {}
            HookState::Failed => return Ok(Turn::Failed(index)),
            HookState::Pending | HookState::Running => return Ok(Turn::Running(index)),
        }
    }
    Ok(Turn::Done)
}

/// Ends hooks that still run for something that is no longer wanted.
pub async fn stop(
    deployer: &Deployer,
    records: &[HookRecord],
    run: &str,
) -> Result<(), ApplyError> {
    let runs = |record: &&HookRecord| record.run != run && record.state == HookState::Running;
    for HookRecord { api_version, kind, name, .. } in records.iter().filter(runs) {
        deployer.prune(api_version, kind, name).await?;
    }
    Ok(())
}

/// One look at one hook.
pub(super) async fn advance(
    deployer: &Deployer,
    clock: &Clock,
    object: &BundleObject,
    record: &mut HookRecord,
    fence: &dyn Fence,
) -> Result<(), ApplyError> {
    match look(deployer, clock, object, record, fence).await {
        // What the cluster refuses, it refuses to the hook: that is how the hook ends.
        Err(error) if error.class() == Class::UserMustAct => {
            fail(record, &error.to_string());
            Ok(())
        }
        other => other,
    }
}

async fn look(
    deployer: &Deployer,
    clock: &Clock,
    object: &BundleObject,
    record: &mut HookRecord,
    fence: &dyn Fence,
) -> Result<(), ApplyError> {
    let asked = asked(&object.json).unwrap_or_default();
    let HookRecord { api_version, kind, name, .. } = record.clone();
    let run = record.mark();
    let mut live = deployer.read(&api_version, &kind, &name).await?;
    if live.as_ref().is_some_and(|live| !is_of_run(live, &run)) {
        if !fence.holds().await {
            return Err(ApplyError::Superseded);
        }
        deployer.prune(&api_version, &kind, &name).await?;
        live = deployer.read(&api_version, &kind, &name).await?;
    }
    record.state = HookState::Running;
    let now = clock.now();
    let Some(live) = live else {
        record.since.get_or_insert(now);
        if is_late(record, asked.timeout, now) {
            fail(record, &format!("{kind}/{name} did not end within {}", words(asked.timeout)));
            return Ok(());
        }
        send(deployer, &sent(object, &run, &asked), fence).await?;
        return Ok(());
    };
    if is_of_run(&live, &run) {
        record.since = record.since.or_else(|| made_at(&live)).or(Some(now));
        match judge(&live) {
            Health::Ready => {
                record.state = HookState::Succeeded;
                record.message.clear();
                if asked.delete_after.success {
                    deployer.prune(&api_version, &kind, &name).await?;
                }
                return Ok(());
            }
            Health::Failed(why) if kind != "Pod" || live["status"]["phase"] == "Failed" => {
                note_log(deployer, record, &live).await?;
                let code = exit_code(record);
                fail(record, &format!("{kind}/{name} ({}) failed: {why}{code}", object.origin));
                if asked.delete_after.failure {
                    deployer.prune(&api_version, &kind, &name).await?;
                }
                return Ok(());
            }
            Health::Failed(_) | Health::Progressing(_) => {}
        }
    }
    if is_late(record, asked.timeout, now) {
        let pods = note_log(deployer, record, &live).await?;
        let trouble =
            pods.iter().find_map(pod_trouble).map(|trouble| format!(": {}", trouble.message));
        let limit = words(asked.timeout);
        let trouble = trouble.unwrap_or_default();
        fail(
            record,
            &format!("{kind}/{name} ({}) did not end within {limit}{trouble}", object.origin),
        );
        // It must not go on beside what comes next.
        deployer.prune(&api_version, &kind, &name).await?;
    }
    Ok(())
}

fn fail(record: &mut HookRecord, message: &str) {
    record.state = HookState::Failed;
    record.message = bounded(message, MESSAGE);
}

fn is_of_run(live: &Value, run: &str) -> bool {
    live["metadata"]["annotations"][HOOK_RUN] == run
        && live["metadata"]["deletionTimestamp"].is_null()
}

fn made_at(live: &Value) -> Option<DateTime<Utc>> {
    let text = live["metadata"]["creationTimestamp"].as_str()?;
    DateTime::parse_from_rfc3339(text).ok().map(Into::into)
}

fn is_late(record: &HookRecord, timeout: Duration, now: DateTime<Utc>) -> bool {
    let since = record.since.unwrap_or(now);
    (now - since).to_std().unwrap_or_default() >= timeout
}

/// `5m`, `90s`.
fn words(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 60 == 0 => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

/// The hook as it is sent: with the name of its run, its retries, and an end that the cluster sees to when we can't.
fn sent(object: &BundleObject, run: &str, asked: &Asked) -> BundleObject {
    let mut object = object.clone();
    if let Some(metadata) = object.json.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations =
            metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
        annotations[HOOK_RUN] = run.into();
    }
    let is_job = object.json["kind"] == "Job";
    if let Some(spec) =
        object.json.get_mut("spec").and_then(Value::as_object_mut).filter(|_| is_job)
    {
        // Gone before anybody has seen how it ended, it would run again and again.
        spec.remove("ttlSecondsAfterFinished");
        if let Some(retries) = asked.retries {
            spec.insert("backoffLimit".into(), retries.into());
        }
        let latest = asked.timeout.as_secs() + GRACE;
        let own = spec.get("activeDeadlineSeconds").and_then(Value::as_u64);
        let deadline = own.map_or(latest, |own| own.min(latest));
        spec.insert("activeDeadlineSeconds".into(), json!(deadline));
    }
    object
}

/// Puts the end of the log into the record: of the newest pod, and of the container that failed. Gives the pods.
async fn note_log(
    deployer: &Deployer,
    record: &mut HookRecord,
    live: &Value,
) -> Result<Vec<Value>, ApplyError> {
    let mut pods = if record.kind == "Pod" {
        vec![live.clone()]
    } else {
        let is_ours = |pod: &Value| {
            let labels = &pod["metadata"]["labels"];
            ["batch.kubernetes.io/job-name", "job-name"]
                .into_iter()
                .any(|label| labels[label] == record.name.as_str())
        };
        let all = deployer.pods().await?;
        all.into_iter().filter(|pod| is_ours(pod)).collect()
    };
    pods.sort_by_cached_key(|pod| (made_at(pod), pod["metadata"]["name"].to_string()));
    pods.reverse();
    let failed = pods.iter().find_map(|pod| Some((pod, failed_container(pod)?)));
    let chosen = failed.or_else(|| pods.iter().find_map(|pod| Some((pod, first_container(pod)?))));
    if let Some((pod, container)) = chosen {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let text = deployer.log_tail(name, container, LOG_LINES).await;
        record.log = tail(&text);
        record.log_of = bounded(&format!("{name}/{container}"), 400);
        if let Some(code) = exit_of(pod, container) {
            record.message = format!("{code}");
        }
    }
    Ok(pods)
}

/// What [`note_log`] found.
fn exit_code(record: &HookRecord) -> String {
    match record.message.parse::<i64>() {
        Ok(code) => format!(" (exit code {code})"),
        Err(_) => String::new(),
    }
}

fn statuses(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .filter_map(|key| pod["status"][key].as_array())
        .flatten()
}

fn ended(status: &Value) -> Option<i64> {
    ["state", "lastState"]
        .into_iter()
        .find_map(|key| status[key]["terminated"]["exitCode"].as_i64())
}

fn failed_container(pod: &Value) -> Option<&str> {
    statuses(pod).find(|status| ended(status).is_some_and(|code| code != 0))?["name"].as_str()
}

fn first_container(pod: &Value) -> Option<&str> {
    pod.pointer("/spec/containers/0/name")?.as_str()
}

fn exit_of(pod: &Value, container: &str) -> Option<i64> {
    ended(statuses(pod).find(|status| status["name"] == container)?).filter(|code| *code != 0)
}

/// The end of a text, in whole lines, without control characters.
fn tail(text: &str) -> String {
    let mut left = LOG_CHARS;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().rev() {
        let line = bounded(line, 500);
        let length = line.chars().count() + 1;
        if length > left {
            break;
        }
        left -= length;
        lines.push(line);
    }
    lines.reverse();
    lines.join("\n")
}

/// A hook that runs or failed, as the camp's health shows it.
#[must_use]
pub fn as_health(record: &HookRecord) -> CampHealth {
    let HookRecord { kind, name, moment, state, message, log_of, log, .. } = record;
    let moment = moment.word();
    let failed = *state == HookState::Failed;
    let line = if failed {
        format!("hook {moment}: {message}")
    } else {
        format!("hook {moment} {kind}/{name} runs")
    };
    CampHealth {
        not_ready: vec![line],
        failed,
        log_of: log_of.clone(),
        log_tail: log.clone(),
        ..CampHealth::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bundle::{Origin, Wave};

    fn job(spec: &Value) -> BundleObject {
        BundleObject {
            json: json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "migrate"}, "spec": spec}),
            origin: Origin { file: "a.yaml".into(), line: 1 },
            app: "web".into(),
            wave: Wave::BeforeApply,
            positions: crate::domain::positions::Positions::default(),
        }
    }

    #[test]
    fn a_hook_is_sent_with_its_run_its_retries_and_an_end() {
        let asked = Asked { retries: Some(2), ..Asked::default() };
        let spec =
            json!({"ttlSecondsAfterFinished": 1, "backoffLimit": 9, "activeDeadlineSeconds": 30});
        let json = sent(&job(&spec), "run", &asked).json;
        assert_eq!(json["metadata"]["annotations"], json!({(HOOK_RUN): "run"}));
        assert_eq!(json["spec"], json!({"backoffLimit": 2, "activeDeadlineSeconds": 30}));
        let json = sent(&job(&json!({})), "run", &Asked::default()).json;
        assert_eq!(json["spec"], json!({"activeDeadlineSeconds": 360}));
    }

    #[test]
    fn the_log_is_of_the_container_that_failed() {
        let pod = json!({
            "spec": {"containers": [{"name": "main"}]},
            "status": {
                "initContainerStatuses": [{"name": "wait", "state": {"terminated": {"exitCode": 0}}}],
                "containerStatuses": [
                    {"name": "main", "state": {"running": {}}},
                    {"name": "side", "state": {"waiting": {}}, "lastState": {"terminated": {"exitCode": 3}}},
                ],
            },
        });
        assert_eq!(failed_container(&pod), Some("side"));
        assert_eq!(exit_of(&pod, "side"), Some(3));
        assert_eq!(first_container(&pod), Some("main"));
    }

    #[test]
    fn a_long_log_keeps_its_end() {
        let text = (0..2000).map(|n| format!("line {n}\u{7}")).collect::<Vec<_>>().join("\n");
        let kept = tail(&text);
        assert!(kept.chars().count() <= LOG_CHARS);
        assert!(kept.ends_with("line 1999 ") && !kept.contains("line 0 "), "{kept}");
    }
}
