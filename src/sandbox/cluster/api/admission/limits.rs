//! Limit ranges: defaults for containers that say nothing, refusal of what is out of range.

use serde_json::Value;

use super::super::amount::Amount;
use super::super::state::{Call, State};
use super::super::status::{ApiError, GroupResource};

const SETS: [&str; 2] = ["containers", "initContainers"];

fn container_limits(state: &State, namespace: &str) -> Vec<Value> {
    state
        .store
        .list(&GroupResource::new("", "limitranges"), Some(namespace))
        .flat_map(|(_, range)| range["spec"]["limits"].as_array().cloned().unwrap_or_default())
        .filter(|limit| limit["type"] == "Container")
        .collect()
}

/// Fills in requests and limits.
pub(super) fn defaults(state: &State, call: &Call, pod: &mut Value) {
    for limit in container_limits(state, call.namespace()) {
        for set in SETS {
            if !pod["spec"][set].is_array() {
                continue;
            }
            for container in pod["spec"][set].as_array_mut().into_iter().flatten() {
                for (default, what) in [("defaultRequest", "requests"), ("default", "limits")] {
                    for (name, amount) in limit[default].as_object().into_iter().flatten() {
                        // A limit that is said and no request: the request is the limit.
                        let said = container["resources"]["limits"][name].clone();
                        let amount = if what == "requests" && !said.is_null() {
                            said
                        } else {
                            amount.clone()
                        };
                        if container["resources"][what][name].is_null() {
                            container["resources"][what][name] = amount;
                        }
                    }
                }
            }
        }
    }
}

/// Refuses containers outside of `min` and `max`.
pub(super) fn check(state: &State, call: &Call, pod: &Value) -> Result<(), ApiError> {
    let mut problems = Vec::new();
    for limit in container_limits(state, call.namespace()) {
        let containers =
            SETS.iter().flat_map(|set| pod["spec"][*set].as_array().into_iter().flatten());
        for container in containers {
            for (bound, word, smaller_is_bad) in
                [("min", "minimum", true), ("max", "maximum", false)]
            {
                for (name, edge) in limit[bound].as_object().into_iter().flatten() {
                    let what = if smaller_is_bad { "requests" } else { "limits" };
                    let noun = if smaller_is_bad { "request" } else { "limit" };
                    let said = &container["resources"][what][name];
                    let (Some(edge_amount), edge) = (Amount::of(edge), text(edge)) else {
                        continue;
                    };
                    match Amount::of(said) {
                        None => problems.push(format!(
                            "{word} {name} usage per Container is {edge}.  No {noun} is specified"
                        )),
                        Some(amount)
                            if (smaller_is_bad && !edge_amount.at_most(amount))
                                || (!smaller_is_bad && !amount.at_most(edge_amount)) =>
                        {
                            problems.push(format!(
                                "{word} {name} usage per Container is {edge}, but {noun} is {}",
                                text(said)
                            ));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let list = match problems.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    };
    Err(ApiError::forbidden(&call.resource(), name, &list))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
