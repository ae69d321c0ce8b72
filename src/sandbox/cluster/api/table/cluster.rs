//! Rows of nodes, namespaces, events, storage, limits and rights. In: an object and the time; out: cells. No I/O.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::cells::{condition, count, flag, items, joined, or, plain, text};
use super::{age, name_and_age};

pub(super) fn namespace(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    vec![name, json!(text(&object["status"]["phase"])), age]
}

pub(super) fn node(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let mut state = match condition(object, "Ready") {
        "True" => "Ready",
        "" => "Unknown",
        _ => "NotReady",
    }
    .to_owned();
    if object["spec"]["unschedulable"] == true {
        state.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<&str> = object["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role),
            None => (key == "kubernetes.io/role").then(|| text(value)),
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let status = &object["status"];
    let info = &status["nodeInfo"];
    let address = |kind: &str| {
        let found = items(&status["addresses"]).iter().find(|address| address["type"] == kind);
        found.map_or("<none>", |address| or(text(&address["address"]), "<none>"))
    };
    let unknown = |key: &str| json!(or(text(&info[key]), "<unknown>"));
    vec![
        name,
        json!(state),
        json!(or(&roles.join(","), "<none>")),
        age,
        json!(text(&info["kubeletVersion"])),
        json!(address("InternalIP")),
        json!(address("ExternalIP")),
        unknown("osImage"),
        unknown("kernelVersion"),
        unknown("containerRuntimeVersion"),
    ]
}

pub(super) fn event(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    // The two groups that serve events have other names for some members.
    let either = |old: &str, new: &str| {
        if object[old].is_null() { &object[new] } else { &object[old] }
    };
    let about = either("involvedObject", "regarding");
    let kind = text(&about["kind"]).to_lowercase();
    let target = match text(&about["name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = either("source", "deprecatedSource");
    let component =
        or(text(&source["component"]), text(either("reportingComponent", "reportingController")));
    let source = match or(text(&source["host"]), text(&object["reportingInstance"])) {
        "" => component.to_owned(),
        host => format!("{component}, {host}"),
    };
    let or_else = |one: &'_ Value, other: &'_ Value| {
        if one.is_string() { one.clone() } else { other.clone() }
    };
    let start = or_else(either("firstTimestamp", "deprecatedFirstTimestamp"), &object["eventTime"]);
    let last = or_else(either("lastTimestamp", "deprecatedLastTimestamp"), &start);
    let last = or_else(&object["series"]["lastObservedTime"], &last);
    let times = match object["series"]["count"].as_i64() {
        Some(series) => series,
        None => count(either("count", "deprecatedCount")).max(1),
    };
    vec![
        json!(age::since(&last, now)),
        json!(text(&object["type"])),
        json!(text(&object["reason"])),
        json!(target),
        json!(text(&about["fieldPath"])),
        json!(source),
        json!(text(either("message", "note")).trim()),
        json!(age::since(&start, now)),
        json!(times),
        json!(text(&object["metadata"]["name"])),
    ]
}

fn length(value: &Value) -> usize {
    value.as_object().map_or_else(|| items(value).len(), serde_json::Map::len)
}

pub(super) fn secret(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    vec![name, json!(or(text(&object["type"]), "Opaque")), json!(length(&object["data"])), age]
}

pub(super) fn config_map(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    vec![name, json!(length(&object["data"]) + length(&object["binaryData"])), age]
}

pub(super) fn service_account(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    vec![name, json!(length(&object["secrets"])), age]
}

/// Kinds of which only the time of creation is shown, as a time.
pub(super) fn created(object: &Value, _now: DateTime<Utc>) -> Vec<Value> {
    let meta = &object["metadata"];
    vec![json!(text(&meta["name"])), json!(text(&meta["creationTimestamp"]))]
}

pub(super) fn binding(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let role = &object["roleRef"];
    let subjects = |kind: &str| {
        let of_kind = items(&object["subjects"]).iter().filter(|subject| subject["kind"] == kind);
        let shown = of_kind.map(|subject| match (kind, text(&subject["name"])) {
            ("ServiceAccount", name) => format!("{}/{name}", text(&subject["namespace"])),
            (_, name) => name.to_owned(),
        });
        json!(shown.collect::<Vec<_>>().join(", "))
    };
    vec![
        name,
        json!(format!("{}/{}", text(&role["kind"]), text(&role["name"]))),
        age,
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

fn access_modes(list: &Value) -> Value {
    let short = |mode: &Value| match text(mode) {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    json!(items(list).iter().map(short).collect::<Vec<_>>().join(","))
}

/// The phase, or that it is going away.
fn phase(object: &Value) -> Value {
    let gone = object["metadata"]["deletionTimestamp"].is_string();
    json!(if gone { "Terminating" } else { text(&object["status"]["phase"]) })
}

pub(super) fn claim(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let (spec, status) = (&object["spec"], &object["status"]);
    let volume = text(&spec["volumeName"]);
    let bound = !volume.is_empty();
    vec![
        name,
        phase(object),
        json!(volume),
        if bound { json!(plain(&status["capacity"]["storage"])) } else { json!("") },
        if bound { access_modes(&status["accessModes"]) } else { json!("") },
        json!(text(&spec["storageClassName"])),
        json!(or(text(&spec["volumeAttributesClassName"]), "<unset>")),
        age,
        json!(or(text(&spec["volumeMode"]), "<unset>")),
    ]
}

pub(super) fn volume(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let spec = &object["spec"];
    let claim = match &spec["claimRef"] {
        Value::Null => String::new(),
        claim => format!("{}/{}", text(&claim["namespace"]), text(&claim["name"])),
    };
    vec![
        name,
        json!(plain(&spec["capacity"]["storage"])),
        access_modes(&spec["accessModes"]),
        json!(text(&spec["persistentVolumeReclaimPolicy"])),
        phase(object),
        json!(claim),
        json!(text(&spec["storageClassName"])),
        json!(or(text(&spec["volumeAttributesClassName"]), "<unset>")),
        json!(text(&object["status"]["reason"])),
        age,
        json!(or(text(&spec["volumeMode"]), "<unset>")),
    ]
}

pub(super) fn storage_class(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (_, age) = name_and_age(object, now);
    let mut name = text(&object["metadata"]["name"]).to_owned();
    let marks = &object["metadata"]["annotations"];
    if marks["storageclass.kubernetes.io/is-default-class"] == "true" {
        name.push_str(" (default)");
    }
    vec![
        json!(name),
        json!(text(&object["provisioner"])),
        json!(or(text(&object["reclaimPolicy"]), "Delete")),
        json!(or(text(&object["volumeBindingMode"]), "Immediate")),
        json!(object["allowVolumeExpansion"] == true),
        age,
    ]
}

pub(super) fn quota(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let status = &object["status"];
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    let mut hard: Vec<_> = status["hard"].as_object().into_iter().flatten().collect();
    hard.sort_by_key(|(resource, _)| *resource);
    for (resource, hard) in hard {
        let used = plain(&status["used"][resource]);
        let shown = format!("{resource}: {}/{}", or(&used, "0"), plain(hard));
        let list = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        list.push(shown);
    }
    vec![name, json!(requests.join(", ")), json!(limits.join(", ")), age]
}

pub(super) fn lease(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    vec![name, json!(text(&object["spec"]["holderIdentity"])), age]
}

pub(super) fn priority_class(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    vec![
        name,
        json!(count(&object["value"])),
        json!(object["globalDefault"] == true),
        age,
        json!(or(text(&object["preemptionPolicy"]), "PreemptLowerPriority")),
    ]
}

pub(super) fn webhooks(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    vec![name, json!(length(&object["webhooks"])), age]
}

pub(super) fn policy(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let spec = &object["spec"];
    let kind = match &spec["paramKind"] {
        Value::Null => "<unset>".to_owned(),
        kind => format!("{}/{}", text(&kind["apiVersion"]), text(&kind["kind"])),
    };
    vec![name, json!(length(&spec["validations"])), json!(kind), age]
}

pub(super) fn policy_binding(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let spec = &object["spec"];
    let parameters = match &spec["paramRef"] {
        Value::Null => "<unset>".to_owned(),
        found => match (text(&found["namespace"]), text(&found["name"])) {
            ("", name) => name.to_owned(),
            (namespace, name) => format!("{namespace}/{name}"),
        },
    };
    vec![name, json!(text(&spec["policyName"])), json!(parameters), age]
}

pub(super) fn runtime_class(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    vec![name, json!(text(&object["handler"])), age]
}

pub(super) fn revision(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let owners = &object["metadata"]["ownerReferences"];
    let owner = items(owners).iter().find(|owner| owner["controller"] == true);
    let owner = owner.map_or_else(
        || "<none>".to_owned(),
        |owner| {
            let group = text(&owner["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
            let kind = text(&owner["kind"]).to_lowercase();
            let kind = if group.is_empty() { kind } else { format!("{kind}.{group}") };
            format!("{kind}/{}", text(&owner["name"]))
        },
    );
    vec![name, json!(owner), json!(count(&object["revision"])), age]
}

pub(super) fn pod_template(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let template = &object["template"];
    let containers = &template["spec"]["containers"];
    vec![
        name,
        json!(joined(containers, "name", ",")),
        json!(joined(containers, "image", ",")),
        json!(super::cells::labels(&template["metadata"]["labels"])),
        age,
    ]
}

pub(super) fn api_service(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let service = match &object["spec"]["service"] {
        Value::Null => "Local".to_owned(),
        service => format!("{}/{}", text(&service["namespace"]), text(&service["name"])),
    };
    let available = items(&object["status"]["conditions"])
        .iter()
        .find(|found| found["type"] == "Available")
        .map_or_else(
            || "Unknown".to_owned(),
            |found| match (text(&found["status"]), text(&found["reason"])) {
                ("True", _) => "True".to_owned(),
                (status, reason) => format!("{status} ({reason})"),
            },
        );
    vec![name, json!(service), json!(available), age]
}

pub(super) fn signing_request(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let spec = &object["spec"];
    let is = |kind: &str| condition(object, kind) == "True";
    let mut state = match (is("Approved"), is("Denied")) {
        (_, true) => "Denied",
        (true, _) => "Approved",
        _ => "Pending",
    }
    .to_owned();
    if is("Failed") {
        state.push_str(",Failed");
    }
    if !text(&object["status"]["certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    let asked = spec["expirationSeconds"].as_i64();
    let asked = asked
        .map_or_else(|| "<none>".to_owned(), |asked| age::human(chrono::Duration::seconds(asked)));
    vec![
        name,
        age,
        json!(text(&spec["signerName"])),
        json!(text(&spec["username"])),
        json!(asked),
        json!(state),
    ]
}

pub(super) fn csi_driver(object: &Value, now: DateTime<Utc>) -> Vec<Value> {
    let (name, age) = name_and_age(object, now);
    let spec = &object["spec"];
    let modes: Vec<&str> = items(&spec["volumeLifecycleModes"]).iter().map(text).collect();
    vec![
        name,
        json!(spec["attachRequired"] != false),
        json!(spec["podInfoOnMount"] == true),
        json!(flag(&spec["storageCapacity"]).to_lowercase()),
        json!(or(&modes.join(","), "<unset>")),
        age,
    ]
}
