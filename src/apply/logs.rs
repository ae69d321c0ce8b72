//! The end of a camp's logs, for somebody who asked. I/O with the target, as the deployer.

use serde_json::Value;

use super::deployer::Deployer;
use super::error::ApplyError;
use crate::domain::redact::redact;

/// Containers that are shown.
const MOST: usize = 5;

/// The end of one container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerLog {
    /// `pod/container`.
    pub of: String,
    /// Its last lines, without what looks like a secret.
    pub text: String,
}

/// Logs of the camp's pods, or of those of one app; and how many containers were left out.
pub async fn logs(
    deployer: &Deployer,
    app: Option<&str>,
    tail: u32,
) -> Result<(Vec<ContainerLog>, usize), ApplyError> {
    let mut pods = deployer.pods().await?;
    pods.retain(|pod| app.is_none_or(|app| is_of(pod, app)));
    pods.sort_by(|a, b| name(a).cmp(name(b)));
    let containers: Vec<(String, String)> = pods
        .iter()
        .flat_map(|pod| {
            let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
            let names = containers.into_iter().flatten();
            names.filter_map(|one| Some((name(pod).to_owned(), one["name"].as_str()?.to_owned())))
        })
        .collect();
    let mut shown = Vec::new();
    for (pod, container) in containers.iter().take(MOST) {
        let text = deployer.log_tail(pod, container, i64::from(tail)).await;
        shown.push(ContainerLog { of: format!("{pod}/{container}"), text: redact(&text) });
    }
    Ok((shown, containers.len().saturating_sub(MOST)))
}

fn name(pod: &Value) -> &str {
    pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

/// By the usual labels, else by the name.
fn is_of(pod: &Value, app: &str) -> bool {
    let label = |key: &str| pod.pointer("/metadata/labels")?.get(key)?.as_str();
    let labels = ["app", "app.kubernetes.io/name", "app.kubernetes.io/instance"];
    labels.into_iter().any(|key| label(key) == Some(app))
        || name(pod).strip_prefix(app).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
