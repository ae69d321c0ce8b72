//! PURE · is this object ready, and if not, why? After kstatus' rules for the kinds that run something; every other
//! kind is ready once it was applied.

use serde_json::Value;

/// State of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It does what it is for.
    Ready,
    /// It is on its way.
    Progressing(String),
    /// It will not get there by itself.
    Failed(String),
}

/// Whether objects of this kind have a health worth reading.
#[must_use]
pub fn has_health(kind: &str) -> bool {
    matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Pod" | "Job")
}

/// Judges one object as it was read.
#[must_use]
pub fn judge(object: &Value) -> Health {
    let kind = object["kind"].as_str().unwrap_or_default();
    let observed = object["status"]["observedGeneration"].as_i64().unwrap_or(0);
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" if observed < generation => {
            Health::Progressing("its controller has not looked at it yet".into())
        }
        "Deployment" => deployment(object),
        "StatefulSet" | "ReplicaSet" => replicas(object, "readyReplicas"),
        "DaemonSet" => daemon_set(object),
        "Pod" => pod(object),
        "Job" => job(object),
        _ => Health::Ready,
    }
}

fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == name)
}

fn deployment(object: &Value) -> Health {
    if let Some(progressing) = condition(object, "Progressing")
        && progressing["reason"] == "ProgressDeadlineExceeded"
    {
        return Health::Failed(
            progressing["message"]
                .as_str()
                .unwrap_or("its progress deadline is exceeded")
                .to_owned(),
        );
    }
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let updated = number(object, "/status/updatedReplicas");
    let all = number(object, "/status/replicas");
    let available = number(object, "/status/availableReplicas");
    if updated < wanted {
        return Health::Progressing(format!("{updated} of {wanted} replicas are of this revision"));
    }
    if all > updated {
        return Health::Progressing(format!(
            "{} replicas of an older revision are going away",
            all - updated
        ));
    }
    if available < wanted {
        return Health::Progressing(format!("{available} of {wanted} replicas are available"));
    }
    Health::Ready
}

fn replicas(object: &Value, ready: &str) -> Health {
    let wanted = object["spec"]["replicas"].as_i64().unwrap_or(1);
    let ready = object["status"][ready].as_i64().unwrap_or(0);
    let current = object["status"]["currentRevision"].as_str();
    let update = object["status"]["updateRevision"].as_str();
    if ready < wanted {
        Health::Progressing(format!("{ready} of {wanted} replicas are ready"))
    } else if object["kind"] == "StatefulSet" && current != update && wanted > 0 {
        Health::Progressing("replicas of an older revision are being replaced".into())
    } else {
        Health::Ready
    }
}

fn daemon_set(object: &Value) -> Health {
    let wanted = number(object, "/status/desiredNumberScheduled");
    let updated = number(object, "/status/updatedNumberScheduled");
    let available = number(object, "/status/numberAvailable");
    if updated < wanted || available < wanted {
        Health::Progressing(format!("{} of {wanted} pods are available", updated.min(available)))
    } else {
        Health::Ready
    }
}

fn job(object: &Value) -> Health {
    if let Some(failed) = condition(object, "Failed").filter(|failed| failed["status"] == "True") {
        return Health::Failed(failed["message"].as_str().unwrap_or("it failed").to_owned());
    }
    let complete =
        condition(object, "Complete").is_some_and(|complete| complete["status"] == "True");
    let suspended = object["spec"]["suspend"].as_bool().unwrap_or(false);
    if complete || suspended {
        Health::Ready
    } else {
        Health::Progressing("it has not ended yet".into())
    }
}

fn pod(object: &Value) -> Health {
    if let Some(trouble) = pod_trouble(object) {
        return Health::Failed(trouble.message);
    }
    match object["status"]["phase"].as_str() {
        Some("Succeeded") => Health::Ready,
        Some("Failed") => {
            Health::Failed(object["status"]["message"].as_str().unwrap_or("it failed").to_owned())
        }
        Some("Running")
            if condition(object, "Ready").is_some_and(|ready| ready["status"] == "True") =>
        {
            Health::Ready
        }
        other => Health::Progressing(format!("it is {}", other.unwrap_or("Pending"))),
    }
}

/// Why a pod does not get ready, as far as it tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Name of the pod.
    pub pod: String,
    /// The container, when it is one's.
    pub container: Option<String>,
    /// Kubernetes' word: `ImagePullBackOff`, `CrashLoopBackOff`, …
    pub reason: String,
    /// One sentence.
    pub message: String,
    /// The container ran, so there is a log.
    pub has_log: bool,
}

/// Reasons that Kubernetes gives while all is well.
const ON_ITS_WAY: &[&str] = &["ContainerCreating", "PodInitializing", "Completed"];

/// The first trouble of a pod; `None` while it is on its way or well.
#[must_use]
pub fn pod_trouble(pod: &Value) -> Option<Trouble> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let empty = Vec::new();
    let statuses = ["initContainerStatuses", "containerStatuses"]
        .into_iter()
        .flat_map(|key| pod["status"][key].as_array().unwrap_or(&empty));
    for status in statuses {
        let container = status["name"].as_str().unwrap_or_default();
        let waiting = &status["state"]["waiting"];
        let Some(reason) = waiting["reason"].as_str().filter(|reason| !ON_ITS_WAY.contains(reason))
        else {
            continue;
        };
        let image = status["image"].as_str().unwrap_or_default();
        let detail = waiting["message"].as_str().unwrap_or_default();
        let message = match reason {
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" => {
                format!(
                    "container {container} of pod {name} can't pull image {image} ({reason}): {detail}"
                )
            }
            _ => format!("container {container} of pod {name} does not run ({reason}): {detail}"),
        };
        return Some(Trouble {
            pod: name.to_owned(),
            container: Some(container.to_owned()),
            reason: reason.to_owned(),
            message: message.trim_end_matches([':', ' ']).to_owned(),
            has_log: reason == "CrashLoopBackOff",
        });
    }
    let unscheduled = condition(pod, "PodScheduled")
        .filter(|c| c["status"] == "False" && c["reason"] == "Unschedulable")?;
    let detail = unscheduled["message"].as_str().unwrap_or_default();
    Some(Trouble {
        pod: name.to_owned(),
        container: None,
        reason: "Unschedulable".into(),
        message: format!("pod {name} fits on no node: {detail}"),
        has_log: false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment_with(spec: i64, status: &Value) -> Value {
        json!({"kind": "Deployment", "metadata": {"generation": 2}, "spec": {"replicas": spec}, "status": status})
    }

    #[test]
    fn a_deployment_is_ready_when_its_newest_replicas_are_and_no_others_are_left() {
        for (name, status, expected) in [
            (
                "not looked at",
                json!({"observedGeneration": 1}),
                "its controller has not looked at it yet",
            ),
            (
                "old ones",
                json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 0}),
                "0 of 2 replicas are of this revision",
            ),
            (
                "surge",
                json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}),
                "1 replicas of an older revision are going away",
            ),
            (
                "starting",
                json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}),
                "1 of 2 replicas are available",
            ),
        ] {
            assert_eq!(
                judge(&deployment_with(2, &status)),
                Health::Progressing(expected.into()),
                "{name}"
            );
        }
        let all = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert_eq!(judge(&deployment_with(2, &all)), Health::Ready);
        let late = json!({"observedGeneration": 2, "conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "too long"}]});
        assert_eq!(judge(&deployment_with(2, &late)), Health::Failed("too long".into()));
        assert_eq!(judge(&deployment_with(0, &json!({"observedGeneration": 2}))), Health::Ready);
    }

    #[test]
    fn a_pod_tells_why_it_does_not_run() {
        let pod = |waiting: Value| {
            json!({"kind": "Pod", "metadata": {"name": "web-1"}, "status": {"phase": "Pending", "containerStatuses": [
                {"name": "c", "image": "nginx:missing", "state": {"waiting": waiting}}]}})
        };
        assert_eq!(pod_trouble(&pod(json!({"reason": "ContainerCreating"}))), None);
        let trouble =
            pod_trouble(&pod(json!({"reason": "ImagePullBackOff", "message": "not found"})))
                .expect("there is trouble");
        assert_eq!(
            trouble.message,
            "container c of pod web-1 can't pull image nginx:missing (ImagePullBackOff): not found"
        );
        assert!(!trouble.has_log);
        let crash =
            pod_trouble(&pod(json!({"reason": "CrashLoopBackOff"}))).expect("there is trouble");
        assert_eq!(crash.message, "container c of pod web-1 does not run (CrashLoopBackOff)");
        assert!(crash.has_log);
    }

    #[test]
    fn what_runs_nothing_is_ready_once_it_is_there() {
        assert_eq!(judge(&json!({"kind": "ConfigMap"})), Health::Ready);
        assert!(!has_health("ConfigMap"));
    }

    #[test]
    fn a_job_is_ready_when_it_ended_well() {
        let job = |conditions: Value| json!({"kind": "Job", "status": {"conditions": conditions}});
        assert_eq!(judge(&job(json!([]))), Health::Progressing("it has not ended yet".into()));
        assert_eq!(judge(&job(json!([{"type": "Complete", "status": "True"}]))), Health::Ready);
        assert_eq!(
            judge(&job(json!([{"type": "Failed", "status": "True", "message": "no"}]))),
            Health::Failed("no".into())
        );
    }
}
