//! Resource quotas: refuses what would exceed them, in the order and words of the real server.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::amount::Amount;
use super::super::state::{Call, State};
use super::super::status::{ApiError, GroupResource};

type Usage = BTreeMap<String, Amount>;

/// What an object takes of what a quota may count.
fn usage(call: &Call, object: &Value) -> Usage {
    let kind = &call.served.kind;
    let mut usage = Usage::new();
    let counted = if kind.group.is_empty() {
        format!("count/{}", kind.plural)
    } else {
        format!("count/{}.{}", kind.plural, kind.group)
    };
    usage.insert(counted, Amount::whole(1));
    if !kind.group.is_empty() {
        return usage;
    }
    match kind.plural.as_str() {
        "pods" => {
            usage.insert("pods".into(), Amount::whole(1));
            for (what, prefix) in [("requests", "requests."), ("limits", "limits.")] {
                for (name, amount) in pod_sum(object, what) {
                    if what == "requests"
                        && matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
                    {
                        usage.insert(name.clone(), amount);
                    }
                    usage.insert(format!("{prefix}{name}"), amount);
                }
            }
        }
        "services" => {
            usage.insert("services".into(), Amount::whole(1));
            let ports = object["spec"]["ports"].as_array().map_or(0, Vec::len);
            let ports = Amount::whole(i64::try_from(ports).unwrap_or(i64::MAX));
            match object["spec"]["type"].as_str() {
                Some("NodePort") => {
                    usage.insert("services.nodeports".into(), ports);
                }
                Some("LoadBalancer") => {
                    usage.insert("services.nodeports".into(), ports);
                    usage.insert("services.loadbalancers".into(), Amount::whole(1));
                }
                _ => {}
            }
        }
        "persistentvolumeclaims" => {
            usage.insert("persistentvolumeclaims".into(), Amount::whole(1));
            if let Some(amount) = Amount::of(&object["spec"]["resources"]["requests"]["storage"]) {
                usage.insert("requests.storage".into(), amount);
            }
        }
        "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas" => {
            usage.insert(kind.plural.clone(), Amount::whole(1));
        }
        _ => {}
    }
    usage
}

/// The sum over containers, or the largest init container where that is more.
fn pod_sum(pod: &Value, what: &str) -> Usage {
    let mut sum = Usage::new();
    let amounts = |container: &Value| -> Vec<(String, Amount)> {
        container["resources"][what]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), Amount::of(value)?)))
            .collect()
    };
    for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
        for (name, amount) in amounts(container) {
            let entry = sum.entry(name).or_default();
            *entry = entry.plus(amount);
        }
    }
    for container in pod["spec"]["initContainers"].as_array().into_iter().flatten() {
        for (name, amount) in amounts(container) {
            let entry = sum.entry(name).or_default();
            *entry = entry.max(amount);
        }
    }
    sum
}

fn quotas(state: &State, namespace: &str) -> Vec<(String, Value)> {
    state
        .store
        .list(&GroupResource::new("", "resourcequotas"), Some(namespace))
        // Scopes narrow a quota down to some pods; those are not counted by the sandbox.
        .filter(|(_, quota)| {
            quota["spec"]["scopes"].is_null() && quota["spec"]["scopeSelector"].is_null()
        })
        .map(|((_, name), quota)| (name.clone(), Value::clone(quota)))
        .collect()
}

/// Containers that do not say what a quota counts must not come in.
fn unsaid(hard: &Value, pod: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for name in hard.as_object().into_iter().flatten().map(|(name, _)| name) {
        let (what, which) = match name.split_once('.') {
            Some((what @ ("requests" | "limits"), which @ ("cpu" | "memory"))) => (what, which),
            _ if matches!(name.as_str(), "cpu" | "memory") => ("requests", name.as_str()),
            _ => continue,
        };
        let containers: Vec<&str> = pod["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|container| container["resources"][what][which].is_null())
            .filter_map(|container| container["name"].as_str())
            .collect();
        if !containers.is_empty() {
            missing.push(format!("{name} for: {}", containers.join(",")));
        }
    }
    missing
}

/// Refuses an object that would exceed a quota of its namespace.
pub(super) fn check(state: &State, call: &Call, object: &Value) -> Result<(), ApiError> {
    if call.namespace().is_empty() {
        return Ok(());
    }
    let wanted = usage(call, object);
    let object_name = object["metadata"]["name"].as_str().unwrap_or_default();
    let refuse = |why: &str| Err(ApiError::forbidden(&call.resource(), object_name, why));
    for (name, quota) in quotas(state, call.namespace()) {
        let hard = &quota["spec"]["hard"];
        if super::is_pod(call) {
            let missing = unsaid(hard, object);
            if !missing.is_empty() {
                return refuse(&format!(
                    "failed quota: {name}: must specify {}",
                    missing.join("; ")
                ));
            }
        }
        let counted: Vec<(&String, &Amount)> = wanted
            .iter()
            .filter(|(what, amount)| !hard[what.as_str()].is_null() && !amount.is_zero())
            .collect();
        let unknown: Vec<&str> = counted
            .iter()
            .map(|(what, _)| what.as_str())
            .filter(|what| {
                quota["status"]["hard"][*what].is_null() || quota["status"]["used"][*what].is_null()
            })
            .collect();
        if !unknown.is_empty() {
            return refuse(&format!(
                "status unknown for quota: {name}, resources: {}",
                unknown.join(",")
            ));
        }
        let (mut requested, mut used, mut limited) = (Vec::new(), Vec::new(), Vec::new());
        for (what, amount) in counted {
            let limit = Amount::of(&quota["status"]["hard"][what.as_str()]).unwrap_or_default();
            let has = Amount::of(&quota["status"]["used"][what.as_str()]).unwrap_or_default();
            if !has.plus(*amount).at_most(limit) {
                requested.push(format!("{what}={amount}"));
                used.push(format!("{what}={has}"));
                limited.push(format!("{what}={limit}"));
            }
        }
        if !requested.is_empty() {
            return refuse(&format!(
                "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
                requested.join(","),
                used.join(","),
                limited.join(",")
            ));
        }
    }
    Ok(())
}

/// Adds what a stored object takes to the status of the quotas that count it.
#[expect(clippy::unnecessary_wraps, reason = "admission's steps have one form")]
pub(super) fn charge(state: &mut State, call: &Call, object: &Value) -> Result<(), ApiError> {
    if call.namespace().is_empty() {
        return Ok(());
    }
    let wanted = usage(call, object);
    let resource = GroupResource::new("", "resourcequotas");
    for (name, mut quota) in quotas(state, call.namespace()) {
        let mut changed = false;
        for (what, amount) in &wanted {
            let used = quota["status"]["used"].get(what).unwrap_or(&Value::Null);
            if let (Some(has), false) = (Amount::of(used), amount.is_zero()) {
                quota["status"]["used"][what] = json!(has.plus(*amount).to_string());
                changed = true;
            }
        }
        if changed {
            state.put(&resource, (call.namespace().to_owned(), name), quota, call.now);
        }
    }
    Ok(())
}
