//! Rows of pods: what a pod's containers are doing, in one word. In: a pod and the time; out: cells. No I/O.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::age;
use super::cells::{condition, count, items, or, text};

/// What the containers of a pod add up to.
struct Summary {
    reason: String,
    ready: usize,
    restarts: i64,
    restarted: Option<DateTime<Utc>>,
}

/// How a container ended, with its reason or its code.
fn ended(terminated: &Value) -> String {
    let reason = text(&terminated["reason"]);
    match terminated["signal"].as_i64() {
        _ if !reason.is_empty() => reason.to_owned(),
        Some(signal) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", count(&terminated["exitCode"])),
    }
}

impl Summary {
    fn restart(&mut self, container: &Value) {
        self.restarts += count(&container["restartCount"]);
        self.restarted =
            self.restarted.max(age::time(&container["lastState"]["terminated"]["finishedAt"]));
    }

    /// Init containers: gives whether one is still to end.
    fn init(&mut self, pod: &Value) -> bool {
        let specs = items(&pod["spec"]["initContainers"]);
        let mut sidecars = (0, None);
        for (index, container) in items(&pod["status"]["initContainerStatuses"]).iter().enumerate()
        {
            let before = self.restarts;
            self.restart(container);
            let sidecar =
                specs.iter().any(|spec| spec["name"] == container["name"] && is_sidecar(spec));
            if sidecar {
                let ended = &container["lastState"]["terminated"]["finishedAt"];
                sidecars = (sidecars.0 + self.restarts - before, age::time(ended).max(sidecars.1));
            }
            let state = &container["state"];
            let waiting = text(&state["waiting"]["reason"]);
            if state["terminated"].is_object() {
                if count(&state["terminated"]["exitCode"]) == 0 {
                    continue;
                }
                self.reason = format!("Init:{}", ended(&state["terminated"]));
            } else if sidecar && container["started"] == true {
                self.ready += usize::from(container["ready"] == true);
                continue;
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                self.reason = format!("Init:{waiting}");
            } else {
                self.reason = format!("Init:{index}/{}", specs.len());
            }
            if condition(pod, "Initialized") == "True" {
                (self.restarts, self.restarted) = sidecars;
            }
            return true;
        }
        // Init containers that are done don't count any more; sidecars do.
        (self.restarts, self.restarted) = sidecars;
        false
    }

    fn main(&mut self, pod: &Value) {
        let mut running = false;
        for container in items(&pod["status"]["containerStatuses"]).iter().rev() {
            self.restart(container);
            let state = &container["state"];
            let waiting = text(&state["waiting"]["reason"]);
            if !waiting.is_empty() {
                waiting.clone_into(&mut self.reason);
            } else if state["terminated"].is_object() {
                self.reason = ended(&state["terminated"]);
            } else if container["ready"] == true && state["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let ready = condition(pod, "Ready") == "True";
            if ready { "Running" } else { "NotReady" }.clone_into(&mut self.reason);
        }
    }
}

fn is_sidecar(container: &Value) -> bool {
    container["restartPolicy"] == "Always"
}

fn summary(pod: &Value) -> Summary {
    let status = &pod["status"];
    let phase = text(&status["phase"]);
    let mut reason = or(text(&status["reason"]), phase);
    let gated =
        |found: &&Value| found["type"] == "PodScheduled" && found["reason"] == "SchedulingGated";
    if items(&status["conditions"]).iter().find(gated).is_some() {
        reason = "SchedulingGated";
    }
    let mut summary = Summary { reason: reason.to_owned(), ready: 0, restarts: 0, restarted: None };
    let initializing = summary.init(pod);
    if !initializing || condition(pod, "Initialized") == "True" {
        summary.main(pod);
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        if status["reason"] == "NodeLost" {
            "Unknown".clone_into(&mut summary.reason);
        } else if !matches!(phase, "Succeeded" | "Failed") {
            "Terminating".clone_into(&mut summary.reason);
        }
    }
    summary
}

/// The cells of a pod.
pub(super) fn cells(pod: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let found = summary(pod);
    let spec = &pod["spec"];
    let sidecars = items(&spec["initContainers"]).iter().filter(|spec| is_sidecar(spec)).count();
    let total = items(&spec["containers"]).len() + sidecars;
    let restarts = match found.restarted {
        Some(time) if found.restarts != 0 => {
            format!("{} ({} ago)", found.restarts, age::human(now - time))
        }
        _ => found.restarts.to_string(),
    };
    let gates = items(&spec["readinessGates"]);
    let open =
        gates.iter().filter(|gate| condition(pod, text(&gate["conditionType"])) == "True").count();
    let gates =
        if gates.is_empty() { "<none>".to_owned() } else { format!("{open}/{}", gates.len()) };
    let status = &pod["status"];
    let ip = or(text(&status["podIPs"][0]["ip"]), or(text(&status["podIP"]), "<none>"));
    vec![
        json!(text(&pod["metadata"]["name"])),
        json!(format!("{}/{total}", found.ready)),
        json!(found.reason),
        json!(restarts),
        json!(age::since(&pod["metadata"]["creationTimestamp"], now)),
        json!(ip),
        json!(or(text(&spec["nodeName"]), "<none>")),
        json!(or(text(&status["nominatedNodeName"]), "<none>")),
        json!(gates),
    ]
}

/// The conditions of a row: kubectl hides or marks pods that are done by them.
pub(super) fn conditions(pod: &Value) -> Option<Value> {
    let (reason, message) = match text(&pod["status"]["phase"]) {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}
