//! Kinds that are served at two places and stored once: (object, kind) ↔ stored form. Pure, no I/O.

use serde_json::{Value, json};

use super::schema::Kind;

const EVENT: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

fn rename(object: &mut Value, from: &str, to: &str) {
    if let Some(object) = object.as_object_mut()
        && let Some(value) = object.remove(from)
    {
        object.insert(to.to_owned(), value);
    }
}

/// The group under which objects of `group` and `plural` are stored.
pub(crate) fn storage_group<'g>(group: &'g str, plural: &str) -> &'g str {
    if group == "events.k8s.io" && plural == "events" { "" } else { group }
}

/// From the form of `kind` to the stored one.
pub(crate) fn to_storage(kind: &Kind, object: &mut Value) {
    match (kind.group.as_str(), kind.plural.as_str(), kind.version.as_str()) {
        ("events.k8s.io", "events", _) => {
            for (new, core) in EVENT {
                rename(object, new, core);
            }
            object["apiVersion"] = json!("v1");
        }
        ("autoscaling", "horizontalpodautoscalers", "v1") => {
            let target = object["spec"]
                .as_object_mut()
                .and_then(|spec| spec.remove("targetCPUUtilizationPercentage"));
            if let Some(target) = target {
                object["spec"]["metrics"] = json!([{"type": "Resource", "resource": {
                    "name": "cpu", "target": {"type": "Utilization", "averageUtilization": target},
                }}]);
            }
            object["apiVersion"] = json!("autoscaling/v2");
        }
        _ => {}
    }
}

/// From the stored form to the one of `kind`. All versions of a custom kind have one form.
pub(crate) fn from_storage(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    match (kind.group.as_str(), kind.plural.as_str(), kind.version.as_str()) {
        ("events.k8s.io", "events", _) => {
            for (new, core) in EVENT {
                rename(&mut object, core, new);
            }
        }
        ("autoscaling", "horizontalpodautoscalers", "v1") => {
            let target =
                object["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"].clone();
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.remove("metrics");
                spec.remove("behavior");
                if !target.is_null() {
                    spec.insert("targetCPUUtilizationPercentage".into(), target);
                }
            }
            if let Some(status) = object["status"].as_object_mut() {
                status.remove("conditions");
                status.remove("currentMetrics");
            }
        }
        _ => {}
    }
    object["apiVersion"] = json!(kind.api_version());
    object
}

#[cfg(test)]
mod tests {
    use super::super::schema::Catalogue;
    use super::*;

    #[test]
    fn an_event_of_the_new_group_is_an_event_of_the_core_group() {
        let catalogue = Catalogue::builtin();
        let new = catalogue.find("events.k8s.io", "v1", "events").expect("served");
        let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "hello", "regarding": {"name": "p"}, "reportingController": "c"});
        let mut stored = event.clone();
        to_storage(new, &mut stored);
        assert_eq!(stored["message"], "hello");
        assert_eq!(stored["apiVersion"], "v1");
        assert_eq!(from_storage(new, &stored), event);
    }
}
