//! PURE · `hooks` of the preview file: Jobs of the apps that run at certain moments.

use std::time::Duration;

use serde_json::Value;

use super::app::App;
use super::keys::{self, list, string, text};
use super::{Checked, parse_duration, wrong};
use crate::domain::dns::is_dns_label;
use crate::domain::document::{Node, NodeValue, Position};
use crate::domain::waves::{MAX_RETRIES, MAX_TIMEOUT, Moment};

/// One Job that is a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRule {
    /// When it runs.
    pub moment: Moment,
    /// Place in the list of its moment, from 0.
    pub index: usize,
    /// Name of the Job.
    pub job: String,
    /// The app whose Job it is.
    pub app: Option<String>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Retries of its Job.
    pub retries: Option<u32>,
    /// Where the Job's name is written.
    pub position: Position,
}

impl HookRule {
    /// Where it stands in the file, for messages.
    #[must_use]
    pub fn at(&self) -> String {
        format!("hooks.{}[{}]", self.moment.word(), self.index)
    }
}

pub(super) fn hooks(node: &Node, apps: &[App]) -> Checked<Vec<HookRule>> {
    keys::object(node, "hooks", keys::HOOKS)?;
    let mut found: Vec<HookRule> = Vec::new();
    for moment in [Moment::BeforeApply, Moment::AfterReady, Moment::BeforeDelete] {
        let Some(node) = node.get(moment.word()) else { continue };
        let at = format!("hooks.{}", moment.word());
        for (index, element) in list(node, &at, 0, keys::MAX_HOOKS)?.iter().enumerate() {
            let rule = hook(element, moment, index, apps)?;
            let twice = |other: &&HookRule| other.job == rule.job && other.app == rule.app;
            if let Some(other) = found.iter().find(twice) {
                let message = format!(
                    "{}.job: the Job {:?} is named by {} already; a Job is one hook",
                    rule.at(),
                    rule.job,
                    other.at()
                );
                return wrong(rule.position, message);
            }
            found.push(rule);
        }
    }
    Ok(found)
}

fn hook(node: &Node, moment: Moment, index: usize, apps: &[App]) -> Checked<HookRule> {
    let at = format!("hooks.{}[{index}]", moment.word());
    keys::object(node, &at, keys::HOOK)?;
    let (job, position) = string(node, &at, "job", usize::MAX)?;
    if !is_dns_label(job, 63) {
        return wrong(position, format!("{at}.job is no name of a Job"));
    }
    let app = match node.get("app") {
        None => None,
        Some(app) => {
            let name = text(app, &format!("{at}.app"), keys::MAX_APP_NAME)?;
            if !apps.iter().any(|app| app.name == name) {
                let known: Vec<&str> = apps.iter().map(|app| app.name.as_str()).collect();
                let known = known.join(", ");
                let message = format!("{at}.app: there is no app {name:?}; there are {known}");
                return wrong(app.position, message);
            }
            Some(name.to_owned())
        }
    };
    let timeout = match node.get("timeout") {
        None => None,
        Some(timeout) => {
            let written = text(timeout, &format!("{at}.timeout"), 32)?;
            match parse_duration(written) {
                Some(time) if !time.is_zero() && time <= MAX_TIMEOUT => Some(time),
                _ => {
                    let message =
                        format!("{at}.timeout must be a time from 1s to 1h, like 90s or 5m");
                    return wrong(timeout.position, message);
                }
            }
        }
    };
    let retries = node.get("retries").map(|node| retries(node, &at)).transpose()?;
    Ok(HookRule { moment, index, job: job.to_owned(), app, timeout, retries, position })
}

fn retries(node: &Node, at: &str) -> Checked<u32> {
    let number = match &node.value {
        NodeValue::Scalar(Value::Number(number)) => number.as_u64(),
        _ => None,
    };
    match number.and_then(|number| u32::try_from(number).ok()) {
        Some(number) if number <= MAX_RETRIES => Ok(number),
        _ => {
            let message = format!("{at}.retries must be a whole number from 0 to {MAX_RETRIES}");
            wrong(node.position, message)
        }
    }
}
