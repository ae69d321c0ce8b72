//! How long camps stand and when they sleep, as a Repository says it. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a camp stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifetime {
    /// From the last push, reopening or `want: Up`: a number with `m`, `h` or `d`. Default: `72h`.
    #[serde(default = "Lifetime::default_ttl")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(m|h|d)$"))]
    pub ttl: String,
    /// From the moment the camp was made, whatever happens. Default: `14d`.
    #[serde(default = "Lifetime::default_max_ttl")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(m|h|d)$"))]
    pub max_ttl: String,
    /// So long before its end the comment warns of it; never in the first half of a life. Default: `2h`.
    #[serde(default = "Lifetime::default_warn_before")]
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(m|h|d)$"))]
    pub warn_before: String,
    /// When camps sleep: nothing of them runs, and they keep their addresses and their data. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// How long a camp may rest before it sleeps. Default: it rests as long as it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep_after: Option<SleepAfter>,
    /// Whether a push wakes a camp that sleeps. Default: true.
    #[serde(default = "super::entries::yes")]
    pub wake_on_push: bool,
}

/// When camps sleep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Time zone of IANA's database, as `Europe/Berlin`.
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// Times to sleep: `22:00-07:00`, `Mon-Fri 20:00-07:00`, `Sat`, `Sat-Sun`.
    #[schemars(length(min = 1, max = 20), inner(length(min = 3, max = 24)))]
    pub asleep: Vec<String>,
}

/// When a camp sleeps that nobody uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SleepAfter {
    /// After so long without a visit (with `Ingress`: a request), a push or a command: a number with `m`, `h` or `d`, ten minutes at least.
    #[schemars(length(max = 16), regex(pattern = r"^[1-9][0-9]*(m|h|d)$"))]
    pub idle: String,
    /// How visits are noticed. Default: `Gate`.
    #[serde(default)]
    pub measure: Measure,
}

/// How visits are noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Measure {
    /// All traffic passes the gate, which sees people's visits.
    #[default]
    Gate,
    /// Requests of any kind, as the ingress controllers count them for Prometheus (`--prometheus-url`). Nothing tells people
    /// from programs there: `ttl` counts no visits.
    Ingress,
}

impl Lifetime {
    fn default_ttl() -> String {
        "72h".into()
    }

    fn default_max_ttl() -> String {
        "14d".into()
    }

    fn default_warn_before() -> String {
        "2h".into()
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Self {
            ttl: Self::default_ttl(),
            max_ttl: Self::default_max_ttl(),
            warn_before: Self::default_warn_before(),
            schedule: None,
            sleep_after: None,
            wake_on_push: true,
        }
    }
}
