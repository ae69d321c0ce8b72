//! `pods/log`: what the node has noted about a pod's output, in its annotation.

use std::fmt::Write as _;

use serde_json::Value;

use super::Shared;
use super::handler::{Answer, Content};
use super::state::Call;
use super::status::ApiError;

/// Where the sandbox's nodes (or who made the pod) put what the pod says; they run no container.
const LOG: &str = "sandbox.bivouac.dev/log";
/// The same of the run before; without it that run said what this one says.
const PREVIOUS_LOG: &str = "sandbox.bivouac.dev/previous-log";

/// Answers a request for a log. `follow` ends with what there is: no container goes on writing.
pub(crate) fn log(shared: &Shared, call: &Call) -> Result<Answer, ApiError> {
    let pod = shared.lock().live(call)?;
    let name = &call.path.name;
    let containers: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|key| pod["spec"][*key].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str())
        .collect();
    let wanted = match (call.query.get("container"), containers.as_slice()) {
        (Some(wanted), all) if all.contains(&wanted) => wanted,
        (Some(wanted), _) => {
            return Err(ApiError::bad_request(format!(
                "container {wanted} is not valid for pod {name}"
            )));
        }
        (None, [only]) => only,
        (None, all) => {
            return Err(ApiError::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                all.join(" ")
            )));
        }
    };
    let waiting = status_of(&pod, wanted)["state"]["waiting"]["reason"].as_str();
    if pod["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return Err(ApiError::bad_request(format!("pod {name} does not have a host assigned")));
    }
    if let Some(
        reason @ ("ContainerCreating"
        | "ErrImagePull"
        | "ImagePullBackOff"
        | "CreateContainerConfigError"
        | "InvalidImageName"),
    ) = waiting
    {
        let why = match reason {
            "ContainerCreating" => "is waiting to start: ContainerCreating".to_owned(),
            "ErrImagePull" | "ImagePullBackOff" => {
                "is waiting to start: trying and failing to pull image".to_owned()
            }
            other => format!("is waiting to start: {other}"),
        };
        return Err(ApiError::bad_request(format!("container {wanted:?} in pod {name:?} {why}")));
    }
    let notes = &pod["metadata"]["annotations"];
    let mut text = notes[LOG].as_str().unwrap_or_default();
    if call.query.get("previous").is_some_and(|previous| previous == "true") {
        if !status_of(&pod, wanted)["lastState"]["terminated"].is_object() {
            return Err(ApiError::bad_request(format!(
                "previous terminated container {wanted:?} in pod {name:?} not found"
            )));
        }
        text = notes[PREVIOUS_LOG].as_str().unwrap_or(text);
    }
    let mut lines: Vec<&str> = text.lines().collect();
    if let Some(tail) = call.query.number("tailLines")? {
        let tail = usize::try_from(tail).unwrap_or(usize::MAX);
        lines = lines.split_off(lines.len().saturating_sub(tail));
    }
    let mut out = String::new();
    for line in lines {
        let _ = writeln!(out, "{line}");
    }
    if let Some(limit) = call.query.number("limitBytes")? {
        let mut end = usize::try_from(limit).unwrap_or(usize::MAX).min(out.len());
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
    }
    Ok(Answer { code: 200, content: Content::Text(out, "text/plain"), headers: Vec::new() })
}

fn status_of<'p>(pod: &'p Value, container: &str) -> &'p Value {
    ["containerStatuses", "initContainerStatuses"]
        .iter()
        .flat_map(|key| pod["status"][*key].as_array().into_iter().flatten())
        .find(|status| status["name"] == container)
        .unwrap_or(&Value::Null)
}
