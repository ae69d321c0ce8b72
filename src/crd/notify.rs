//! Whom a Repository tells beside the forge. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody who is told what becomes of the camps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Notify {
    /// `Slack`, `Teams`, or `Webhook`: JSON, signed.
    pub kind: NotifyKind,
    /// The Secret that holds the address; whoever knows it may write there.
    pub url_from: UrlFrom,
    /// When. Default: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub when: Vec<NotifyWhen>,
}

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NotifyKind {
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of a Teams workflow.
    Teams,
    /// Anything that takes JSON; signed with the Secret's `signingSecret`.
    Webhook,
}

/// When somebody is told.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum NotifyWhen {
    /// A commit runs, or runs again.
    Ready,
    /// A commit can't be rendered, is refused, fails, or what ran does no more.
    Failed,
    /// The camp's end is near (`lifetime.warnBefore`).
    Expiring,
    /// The camp is gone.
    Gone,
}

/// Where the address stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UrlFrom {
    /// Name of a Secret of this namespace. A `Webhook` needs its key `signingSecret`, too.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// The key. Default: `url`.
    #[serde(default = "UrlFrom::default_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

impl UrlFrom {
    fn default_key() -> String {
        "url".into()
    }
}
