//! Bounds for what comes out of a repository and for how much of it stands at a time. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bounds for what comes out of a repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Limits {
    /// Objects in a bundle. Default: 200.
    #[schemars(range(min = 1, max = 500))]
    pub objects: i32,
    /// Files that are read of a commit. Default: 1,000.
    #[schemars(range(min = 1, max = 20_000))]
    pub files: i32,
    /// Bytes of one file. Default: 1 MiB.
    #[schemars(range(min = 1, max = 33_554_432))]
    pub file_bytes: i64,
    /// Bytes of all files that are read of a commit. Default: 16 MiB.
    #[schemars(range(min = 1, max = 268_435_456))]
    pub tree_bytes: i64,
    /// Bytes of a rendered bundle. Default: 4 MiB.
    #[schemars(range(min = 1, max = 33_554_432))]
    pub rendered_bytes: i64,
    /// Time that Helm or Kustomize may take for one app: a number with `s` or `m`, at most ten minutes. Default: `60s`.
    #[schemars(length(max = 8), regex(pattern = r"^[1-9][0-9]*(s|m)$"))]
    pub render_time: String,
    /// From a bundle's application to its readiness; then the camp is `Degraded`. A number with `s`, `m` or `h`, from ten
    /// seconds to a day. Default: `10m`.
    #[schemars(length(max = 8), regex(pattern = r"^[1-9][0-9]*(s|m|h)$"))]
    pub progress_deadline: String,
    /// Camps of this Repository at a time; further ones wait for their turn. Default: not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub environments: Option<i32>,
    /// The same of one author of pull requests. Default: not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub per_author: Option<i32>,
    /// What becomes of a camp for which there is no room. Default: `Queue`.
    pub when_full: WhenFull,
}

/// What becomes of a camp for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenFull {
    /// It waits for its turn.
    #[default]
    Queue,
    /// The one that nobody used for the longest time sleeps, and counts no more; never a pinned one. Without one, it waits.
    SleepOldest,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            objects: 200,
            files: 1_000,
            file_bytes: 1 << 20,
            tree_bytes: 16 << 20,
            rendered_bytes: 4 << 20,
            render_time: "60s".into(),
            progress_deadline: "10m".into(),
            environments: None,
            per_author: None,
            when_full: WhenFull::Queue,
        }
    }
}
