//! PURE · why one pod does not get ready, from its status and the events about it. Words are made so that they stay the
//! same while nothing changes: no names of pods, no addresses, no counts of restarts, no times.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::troubles::{Cause, LogOf, Trouble};
use super::{condition, list, number, text};

/// What may pass by itself is grave only when it lasted for so long.
pub(super) const PATIENCE: TimeDelta = TimeDelta::seconds(15);
/// A pod that runs and is not ready is on its way for so long: programs need their time to start.
const STARTING: TimeDelta = TimeDelta::seconds(60);
/// A container that was restarted is trusted again when it ran for so long.
const STEADY: TimeDelta = TimeDelta::seconds(30);
/// Reasons that Kubernetes gives while all is well.
const ON_ITS_WAY: &[&str] = &["", "ContainerCreating", "PodInitializing", "Completed"];
/// Reasons for an image that can't be had.
const IMAGE: &[&str] = &[
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// The first trouble of a pod, as far as its own status tells; `None` while it is on its way or well.
#[must_use]
pub fn pod_trouble(pod: &Value) -> Option<Trouble> {
    of_pod(pod, &[], None)
}

/// What one pod suffers from; `now` is `None` when nobody asks how long it does.
pub(super) fn of_pod(
    pod: &Value,
    events: &[&Value],
    now: Option<DateTime<Utc>>,
) -> Option<Trouble> {
    let statuses = || {
        list(pod, "/status/initContainerStatuses")
            .iter()
            .chain(list(pod, "/status/containerStatuses"))
    };
    let found = statuses()
        .find_map(|status| container(pod, status, events, now))
        .or_else(|| unscheduled(pod, now))
        .or_else(|| unmounted(pod, events, now))
        .or_else(|| statuses().find_map(|status| unready(pod, status, events, now)))?;
    let Found { cause, reason, container, message, grave, log } = found;
    let name = text(pod, "/metadata/name");
    let log = log.zip(container.as_deref()).map(|(previous, container)| LogOf {
        pod: name.to_owned(),
        container: container.to_owned(),
        previous,
    });
    Some(Trouble {
        cause,
        reason,
        object: workload(pod),
        pod: name.to_owned(),
        container,
        message: of_no_pod(pod, &message),
        pods: 1,
        grave,
        log,
    })
}

struct Found {
    cause: Cause,
    reason: String,
    container: Option<String>,
    message: String,
    grave: bool,
    /// There is a log, and whether it is the one of the run before.
    log: Option<bool>,
}

fn container(
    pod: &Value,
    status: &Value,
    events: &[&Value],
    now: Option<DateTime<Utc>>,
) -> Option<Found> {
    let name = text(status, "/name");
    let reason = text(status, "/state/waiting/reason");
    let found = |cause, reason: &str, message, grave, log| {
        let container = Some(name.to_owned());
        Some(Found { cause, reason: reason.to_owned(), container, message, grave, log })
    };
    if IMAGE.contains(&reason) {
        let image = text(status, "/image");
        let said = text(status, "/state/waiting/message");
        let detail = pull_failure(said).or_else(|| {
            let told = newest(events, pod, name, &["Failed"], "Failed to pull image")?;
            pull_failure(text(told, "/message"))
        });
        let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        // A kubelet goes to and fro between the two.
        let reason = if reason == "ErrImagePull" { "ImagePullBackOff" } else { reason };
        let message = format!("container {name} can't pull image {image} ({reason}){detail}");
        return found(Cause::ImagePull, reason, message, true, None);
    }
    if let Some(crash) = crash(pod, status, events, now) {
        return Some(crash);
    }
    if !ON_ITS_WAY.contains(&reason) {
        let detail = text(status, "/state/waiting/message");
        let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
        let message = format!("container {name} can't be started ({reason}){detail}");
        let grave = lasts(text(pod, "/status/startTime"), PATIENCE, now);
        return found(Cause::Configuration, reason, message, grave, None);
    }
    None
}

/// A container that ends and is started again; or that ended badly and is not.
fn crash(
    pod: &Value,
    status: &Value,
    events: &[&Value],
    now: Option<DateTime<Utc>>,
) -> Option<Found> {
    let name = text(status, "/name");
    let restarts = number(status, "/restartCount");
    let backs_off = text(status, "/state/waiting/reason") == "CrashLoopBackOff";
    let ended = status.pointer("/state/terminated");
    let before = status.pointer("/lastState/terminated").filter(|before| before.is_object());
    let runs = status.pointer("/state/running").is_some();
    // Without a probe it is ready between two crashes.
    let lately = now.is_some() && !lasts(text(status, "/state/running/startedAt"), STEADY, now);
    let unproven = lately || status["ready"] != true;
    let code = |end: &Value| end["exitCode"].as_i64().unwrap_or(0);
    let (end, is_loop) = match (ended, before) {
        _ if backs_off => (before, true),
        (Some(end), _) if restarts > 0 && !is_well(pod, end) => (Some(end), true),
        (Some(end), _) if code(end) != 0 && text(pod, "/spec/restartPolicy") == "Never" => {
            (Some(end), false)
        }
        (None, Some(end)) if runs && restarts > 1 && unproven => (Some(end), true),
        _ => return None,
    };
    let how =
        end.map_or_else(|| "it does not tell how".to_owned(), |end| how_it_ended(pod, name, end));
    let killed = newest(events, pod, name, &["Unhealthy"], "Liveness probe failed")
        .map(|event| text(event, "/message"))
        .and_then(|message| message.split_once(':'))
        .map(|(_, said)| format!("; it is stopped for its liveness probe: {}", said.trim()))
        .unwrap_or_default();
    let (reason, message, grave) = if is_loop {
        let message = format!("container {name} ends again and again: {how}{killed}");
        ("CrashLoopBackOff", message, backs_off || restarts > 1)
    } else {
        ("Error", format!("container {name} failed: {how}"), false)
    };
    // The log of a run that is over: the one before when another one has begun.
    let previous = ended.is_none() && before.is_some();
    Some(Found {
        cause: if is_loop { Cause::CrashLoop } else { Cause::Ended },
        reason: reason.to_owned(),
        container: Some(name.to_owned()),
        message,
        grave,
        log: Some(previous),
    })
}

/// An end that is as it should be: of a container that is not started again after it.
fn is_well(pod: &Value, end: &Value) -> bool {
    end["exitCode"] == 0 && text(pod, "/spec/restartPolicy") == "OnFailure"
}

fn how_it_ended(pod: &Value, container: &str, end: &Value) -> String {
    let code = number(end, "/exitCode");
    let reason = text(end, "/reason");
    let said = match text(end, "/message").trim() {
        "" => String::new(),
        said => format!("; it said: {said}"),
    };
    if reason == "OOMKilled" {
        let limit = list(pod, "/spec/containers")
            .iter()
            .chain(list(pod, "/spec/initContainers"))
            .find(|spec| text(spec, "/name") == container)
            .map(|spec| text(spec, "/resources/limits/memory"))
            .filter(|limit| !limit.is_empty());
        let limit = limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
        return format!(
            "it needs more memory than its limit{limit} (OOMKilled, exit code {code}){said}"
        );
    }
    if matches!(reason, "" | "Error" | "Completed") {
        format!("exit code {code}{said}")
    } else {
        format!("{reason}, exit code {code}{said}")
    }
}

/// What the pull of an image failed with; a kubelet wraps it while it backs off.
fn pull_failure(message: &str) -> Option<&str> {
    let rest = match message.split_once(": ErrImagePull: ") {
        Some((_, rest)) => rest,
        None if message.starts_with("Back-off pulling image") => return None,
        None => message,
    };
    let rest = match rest.strip_prefix("Failed to pull image ") {
        Some(rest) => rest.split_once("\": ").map_or(rest, |(_, rest)| rest),
        None => rest,
    };
    let rest = rest.strip_prefix("rpc error: ").unwrap_or(rest).trim();
    (!rest.is_empty()).then_some(rest)
}

fn unscheduled(pod: &Value, now: Option<DateTime<Utc>>) -> Option<Found> {
    let refused = condition(pod, "PodScheduled")
        .filter(|c| c["status"] == "False" && c["reason"] == "Unschedulable")?;
    // What evicting others would bring is for who runs the cluster.
    let said = text(refused, "/message");
    let said = said.split(" preemption: ").next().unwrap_or(said).trim();
    Some(Found {
        cause: Cause::Unschedulable,
        reason: "Unschedulable".into(),
        container: None,
        message: format!("it fits on no node: {said}"),
        grave: lasts(text(refused, "/lastTransitionTime"), PATIENCE, now),
        log: None,
    })
}

/// A pod whose containers can't be made because something they need from the node is not there.
fn unmounted(pod: &Value, events: &[&Value], now: Option<DateTime<Utc>>) -> Option<Found> {
    if text(pod, "/status/phase") != "Pending" {
        return None;
    }
    let reasons = ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"];
    let event = newest(events, pod, "", &reasons, "")?;
    let reason = text(event, "/reason");
    let what = if reason == "FailedCreatePodSandBox" { "its network" } else { "a volume" };
    Some(Found {
        cause: Cause::Volume,
        reason: reason.to_owned(),
        container: None,
        message: format!("it waits for {what}: {}", text(event, "/message")),
        grave: lasts(text(pod, "/status/startTime"), PATIENCE, now),
        log: None,
    })
}

/// A container that runs and is not ready.
fn unready(
    pod: &Value,
    status: &Value,
    events: &[&Value],
    now: Option<DateTime<Utc>>,
) -> Option<Found> {
    let started = text(status, "/state/running/startedAt");
    if started.is_empty() || status["ready"] == true {
        return None;
    }
    let name = text(status, "/name");
    let told = ["Readiness probe", "Startup probe"].into_iter().find_map(|probe| {
        let event = newest(events, pod, name, &["Unhealthy"], probe)?;
        Some((probe.to_ascii_lowercase(), text(event, "/message")))
    });
    let grave = lasts(started, STARTING, now);
    let message = match told {
        Some((probe, said)) => {
            let said = said.split_once(':').map_or(said, |(_, said)| said).trim();
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            format!("container {name} does not pass its {probe}{said}")
        }
        // Nobody complains: it is only slow, as far as anybody knows.
        None if now.is_some() && grave => format!("container {name} runs and is not ready"),
        None => return None,
    };
    Some(Found {
        cause: Cause::Probe,
        reason: "Unhealthy".into(),
        container: Some(name.to_owned()),
        message,
        grave,
        log: grave.then_some(false),
    })
}

/// A container that was restarted so lately that nobody knows whether it will run: a program that crashes after a second
/// is ready for that second when it has no probe.
#[must_use]
pub fn restarted_lately(pod: &Value, now: DateTime<Utc>) -> Option<Trouble> {
    let status = list(pod, "/status/containerStatuses").iter().find(|status| {
        number(status, "/restartCount") > 0
            && status.pointer("/lastState/terminated").is_some_and(Value::is_object)
            && !lasts(text(status, "/state/running/startedAt"), STEADY, Some(now))
    })?;
    let name = text(status, "/name");
    let end = status.pointer("/lastState/terminated")?;
    let restarts = number(status, "/restartCount");
    let message =
        format!("container {name} ends again and again: {}", how_it_ended(pod, name, end));
    let pod_name = text(pod, "/metadata/name").to_owned();
    Some(Trouble {
        cause: Cause::CrashLoop,
        reason: "CrashLoopBackOff".into(),
        object: workload(pod),
        pod: pod_name.clone(),
        container: Some(name.to_owned()),
        message: of_no_pod(pod, &message),
        pods: 1,
        grave: restarts > 1,
        log: Some(LogOf { pod: pod_name, container: name.to_owned(), previous: true }),
    })
}

/// Whether the pod mounts a claim.
#[must_use]
pub fn is_mounted(pod: &Value, claim: &str) -> bool {
    list(pod, "/spec/volumes")
        .iter()
        .any(|volume| text(volume, "/persistentVolumeClaim/claimName") == claim)
}

/// `Kind/name` of what the pod was made for; of itself when nobody made it.
pub(super) fn workload(pod: &Value) -> String {
    let owner = owner(pod);
    let (kind, name) = owner.unwrap_or(("Pod", text(pod, "/metadata/name")));
    let hash = text(pod, "/metadata/labels/pod-template-hash");
    match name.strip_suffix(hash).and_then(|rest| rest.strip_suffix('-')) {
        Some(deployment) if kind == "ReplicaSet" && !hash.is_empty() => {
            format!("Deployment/{deployment}")
        }
        _ => format!("{kind}/{name}"),
    }
}

/// Kind and name of the pod's controller.
pub(super) fn owner(pod: &Value) -> Option<(&str, &str)> {
    list(pod, "/metadata/ownerReferences")
        .iter()
        .find(|owner| owner["controller"] == true)
        .map(|owner| (text(owner, "/kind"), text(owner, "/name")))
}

/// Whether what began at `since` lasted for `least`. Without a present time everything counts as lasting; without a
/// beginning nothing does.
pub(super) fn lasts(since: &str, least: TimeDelta, now: Option<DateTime<Utc>>) -> bool {
    let Some(now) = now else { return true };
    since.parse::<DateTime<Utc>>().is_ok_and(|since| now - since >= least)
}

/// The newest event about a pod (or one container of it) of one of these reasons.
fn newest<'e>(
    events: &[&'e Value],
    pod: &Value,
    container: &str,
    reasons: &[&str],
    beginning: &str,
) -> Option<&'e Value> {
    let uid = text(pod, "/metadata/uid");
    let field = format!("{{{container}}}");
    events
        .iter()
        .filter(|event| {
            let path = text(event, "/involvedObject/fieldPath");
            text(event, "/involvedObject/uid") == uid
                && reasons.contains(&text(event, "/reason"))
                && text(event, "/message").starts_with(beginning)
                && (container.is_empty() || path.is_empty() || path.ends_with(&field))
        })
        .max_by_key(|event| (when(event), text(event, "/message")))
        .copied()
}

/// When an event happened last.
pub(super) fn when(event: &Value) -> &str {
    ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
        .into_iter()
        .map(|path| text(event, path))
        .find(|time| !time.is_empty())
        .unwrap_or_default()
}

/// `message` without what differs from pod to pod: name, UID, address.
fn of_no_pod(pod: &Value, message: &str) -> String {
    let mut message = message.to_owned();
    for (path, instead) in
        [("/metadata/uid", "…"), ("/metadata/name", "the pod"), ("/status/podIP", "the pod")]
    {
        let own = text(pod, path);
        if own.len() > 3 {
            message = message.replace(own, instead);
        }
    }
    message
}
