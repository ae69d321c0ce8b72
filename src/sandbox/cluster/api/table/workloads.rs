//! Rows of what runs pods: deployments, jobs and their like. In: an object and the time; out: cells. No I/O.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::cells::{condition, count, items, joined, labels, or, selector, text};
use super::{age, name_and_age};

fn containers(pod: &Value) -> [Value; 2] {
    let list = &pod["containers"];
    [json!(joined(list, "name", ",")), json!(joined(list, "image", ","))]
}

pub(super) fn deployment(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]["spec"]);
    vec![
        name,
        json!(format!("{}/{}", count(&status["readyReplicas"]), count(&spec["replicas"]))),
        json!(count(&status["updatedReplicas"])),
        json!(count(&status["availableReplicas"])),
        age,
        names,
        images,
        json!(selector(&spec["selector"])),
    ]
}

pub(super) fn replica_set(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]["spec"]);
    // A replication controller's selector is a plain map.
    let plain = object["kind"] == "ReplicationController";
    let chosen = if plain { labels(&spec["selector"]) } else { selector(&spec["selector"]) };
    vec![
        name,
        json!(count(&spec["replicas"])),
        json!(count(&status["replicas"])),
        json!(count(&status["readyReplicas"])),
        age,
        names,
        images,
        json!(chosen),
    ]
}

pub(super) fn stateful_set(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]["spec"]);
    let ready = format!("{}/{}", count(&status["readyReplicas"]), count(&spec["replicas"]));
    vec![name, json!(ready), age, names, images]
}

pub(super) fn daemon_set(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let (spec, status) = (&object["spec"], &object["status"]);
    let pod = &spec["template"]["spec"];
    let [names, images] = containers(pod);
    vec![
        name,
        json!(count(&status["desiredNumberScheduled"])),
        json!(count(&status["currentNumberScheduled"])),
        json!(count(&status["numberReady"])),
        json!(count(&status["updatedNumberScheduled"])),
        json!(count(&status["numberAvailable"])),
        json!(labels(&pod["nodeSelector"])),
        age,
        names,
        images,
        json!(selector(&spec["selector"])),
    ]
}

pub(super) fn job(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]["spec"]);
    let is = |kind: &str| condition(object, kind) == "True";
    let state = match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if object["metadata"]["deletionTimestamp"].is_string() => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    };
    let done = count(&status["succeeded"]);
    let completions = match (spec["completions"].as_i64(), count(&spec["parallelism"])) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, workers) if workers > 1 => format!("{done}/1 of {workers}"),
        (None, _) => format!("{done}/1"),
    };
    let duration = age::time(&status["startTime"])
        .map(|start| age::human(age::time(&status["completionTime"]).unwrap_or(now) - start))
        .unwrap_or_default();
    vec![
        name,
        json!(state),
        json!(completions),
        json!(duration),
        age,
        names,
        images,
        json!(selector(&spec["selector"])),
    ]
}

pub(super) fn cron_job(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let (spec, status) = (&object["spec"], &object["status"]);
    let job = &spec["jobTemplate"]["spec"];
    let [names, images] = containers(&job["template"]["spec"]);
    let last = age::time(&status["lastScheduleTime"]);
    vec![
        name,
        json!(text(&spec["schedule"])),
        json!(or(text(&spec["timeZone"]), "<none>")),
        json!(super::cells::flag(&spec["suspend"])),
        json!(items(&status["active"]).len()),
        json!(last.map_or_else(|| "<none>".to_owned(), |last| age::human(now - last))),
        age,
        names,
        images,
        json!(selector(&job["selector"])),
    ]
}

pub(super) fn autoscaler(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let (spec, status) = (&object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    let mut metrics: Vec<String> = items(&spec["metrics"])
        .iter()
        .enumerate()
        .map(|(index, metric)| measure(metric, &status["currentMetrics"][index]))
        .collect();
    if let Some(wanted) = spec["targetCPUUtilizationPercentage"].as_i64() {
        let current = status["currentCPUUtilizationPercentage"].as_i64();
        let current = current.map_or_else(|| "<unknown>".to_owned(), |now| format!("{now}%"));
        metrics.push(format!("cpu: {current}/{wanted}%"));
    }
    let shown = match metrics.len() {
        0 => "<none>".to_owned(),
        length if length > 2 => format!("{} + {} more...", metrics[..2].join(", "), length - 2),
        _ => metrics.join(", "),
    };
    vec![
        name,
        json!(format!("{}/{}", text(&target["kind"]), text(&target["name"]))),
        json!(shown),
        json!(spec["minReplicas"].as_i64().map_or_else(|| "<unset>".to_owned(), |n| n.to_string())),
        json!(count(&spec["maxReplicas"])),
        json!(count(&status["currentReplicas"])),
        age,
    ]
}

/// One metric as `current/target`.
fn measure(metric: &Value, current: &Value) -> String {
    let member = match text(&metric["type"]) {
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        "ContainerResource" => "containerResource",
        _ => "resource",
    };
    let (wanted, now) = (&metric[member]["target"], &current[member]["current"]);
    let named = text(&metric[member]["name"]);
    let prefix = if named.is_empty() { String::new() } else { format!("{named}: ") };
    let value =
        |from: &Value, key: &str| Some(super::cells::plain(&from[key])).filter(|t| !t.is_empty());
    let unknown = || "<unknown>".to_owned();
    if let Some(wanted) = wanted["averageUtilization"].as_i64() {
        let now = now["averageUtilization"].as_i64().map_or_else(unknown, |now| format!("{now}%"));
        return format!("{prefix}{now}/{wanted}%");
    }
    let (key, suffix) =
        if wanted["averageValue"].is_null() { ("value", "") } else { ("averageValue", " (avg)") };
    // Kubernetes marks averages of what is not measured per pod anyway.
    let suffix = if matches!(member, "object" | "external") { suffix } else { "" };
    let wanted = value(wanted, key).unwrap_or_else(|| "<auto>".to_owned());
    format!("{prefix}{}/{wanted}{suffix}", value(now, key).unwrap_or_else(unknown))
}

pub(super) fn budget(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let spec = &object["spec"];
    let given = |value: &Value| match value {
        Value::Null => json!("N/A"),
        value => json!(super::cells::plain(value)),
    };
    vec![
        name,
        given(&spec["minAvailable"]),
        given(&spec["maxUnavailable"]),
        json!(count(&object["status"]["disruptionsAllowed"])),
        age,
    ]
}
