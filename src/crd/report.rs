//! What the forge is to be told beside the comment, and what is remembered of it. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::deployment::ENVIRONMENT;

/// What the forge is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ReportPolicy {
    /// One comment on each pull request. Default: true.
    pub comment: bool,
    /// A check run on each head commit; a commit status where the login is a token. Default: true.
    pub check: bool,
    /// A deployment for each commit that runs. Default: true.
    pub deployments: bool,
    /// Name of the environment at the forge that all deployments share. Default: `preview`.
    #[schemars(length(min = 1, max = 200), regex(pattern = r"^[^\s/]([^/]*[^\s/])?$"))]
    pub environment: String,
}

impl Default for ReportPolicy {
    fn default() -> Self {
        Self { comment: true, check: true, deployments: true, environment: ENVIRONMENT.into() }
    }
}

/// The check of one commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckRecord {
    /// The commit.
    #[schemars(length(max = 40))]
    pub revision: String,
    /// Id of the check run; missing for a commit status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// SHA-256 of what was written last.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// SHA-256 of the annotations that it has; missing without any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub annotations: String,
    /// It is not concluded.
    #[serde(default, skip_serializing_if = "super::entries::is_false")]
    pub open: bool,
}

/// The deployments of one pull request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentRecord {
    /// Id of the one that counts; missing when all are inactive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// Its commit.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 40))]
    pub revision: String,
    /// SHA-256 of what its newest status says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub basis: String,
    /// Ids of earlier ones that go on until this one runs; the first 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub earlier: Vec<i64>,
    /// This one and all before it are inactive.
    #[serde(default)]
    pub retired: i64,
    /// Another is to be made; whether it was, and which it is, is not noted yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub making: bool,
}
