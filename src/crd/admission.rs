//! What a commit waits for before it is applied, as the platform team says it and as the record shows it. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// What a commit waits for before it is applied. What runs goes on meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Await {
    /// Names of check runs (for GitHub Actions: of jobs) and contexts of commit statuses that must be there at the head
    /// and have passed. One that was skipped has passed. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 255)))]
    pub checks: Vec<String>,
    /// Whether images must be in their registry: `Required`, `Pin` or `Never`. Asked are registries of
    /// `isolation.imageRegistries` only. Default: `Never`.
    #[serde(default)]
    pub images: AwaitImages,
    /// Hosts of token services that may get a registry's credentials, beside those of the registry's own domain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 20),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]+)?$")
        )
    )]
    pub token_hosts: Vec<String>,
    /// After so long it is given up: a number with `m`, `h` or `d`. Default: `30m`.
    #[serde(default = "Await::default_timeout")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(m|h|d)$"))]
    pub timeout: String,
}

impl Await {
    fn default_timeout() -> String {
        "30m".into()
    }
}

impl Default for Await {
    fn default() -> Self {
        Self {
            checks: Vec::new(),
            images: AwaitImages::default(),
            token_hosts: Vec::new(),
            timeout: Self::default_timeout(),
        }
    }
}

/// Whether images must be in their registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AwaitImages {
    /// No registry is asked.
    #[default]
    Never,
    /// Each image must be there.
    Required,
    /// Each image must be there, and the very digest that was found is applied.
    Pin,
}

/// Whether a commit may be applied, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionStatus {
    /// Digest of the inputs that this is about.
    #[schemars(length(max = 64))]
    pub inputs_digest: String,
    /// `Waiting`, `Admitted` or `GivenUp`.
    pub state: AdmissionState,
    /// Since when it is waited for.
    pub since: Timestamp,
    /// What is not there yet; the first 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub waits: Vec<AwaitedEntry>,
}

/// Whether a commit may be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdmissionState {
    /// Not yet.
    Waiting,
    /// Yes.
    Admitted,
    /// Not any more, unless what failed is mended.
    GivenUp,
}

/// Something that is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwaitedEntry {
    /// `check build` or `image ghcr.io/acme/web:1`.
    #[schemars(length(max = 320))]
    pub what: String,
    /// What is known of it.
    #[schemars(length(max = 512))]
    pub state: String,
}
