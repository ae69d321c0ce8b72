//! `Environment`: the record of one source. It exists from the first time we hear of the source and outlives its camp.
//! No I/O.
#![expect(unreachable_pub, reason = "kube's derive repeats the spec in a block of its own")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admission::AdmissionStatus;
use super::entries::{
    ApplyingStatus, ChangesStatus, Condition, ContestedEntry, FindingEntry, HistoryEntry,
    HookEntry, InventoryEntry, LastCamp, NoteEntry, RenderedPath, ReportStatus, RouteEntry,
    TroubleEntry, UrlEntry, WhyLine, YieldedField,
};
use super::time::Timestamp;

/// The record of one pull request: what somebody asked for, and everything the service knows and did.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bivouac.dev",
    version = "v1alpha1",
    kind = "Environment",
    plural = "environments",
    shortname = "env",
    category = "bivouac",
    doc = "The record of one pull request: what somebody asked for, and everything the service knows and did.",
    namespaced,
    status = "EnvironmentStatus",
    derive = "PartialEq",
    printcolumn(name = "Source", type_ = "string", json_path = ".status.source"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.shortRevision"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.urls[0].url"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1),
    printcolumn(
        name = "Namespace",
        type_ = "string",
        json_path = ".status.namespace",
        priority = 1
    ),
    validation = "self.metadata.name.size() <= 63"
)]
#[x_kube(validation = Rule::new("self.repository == oldSelf.repository").message("repository is immutable: delete the record and make another"))]
#[x_kube(validation = Rule::new("has(self.source.pullRequest) != has(self.source.branch)").message("source is either a pullRequest or a branch"))]
#[x_kube(validation = Rule::new("self.source == oldSelf.source").message("source is immutable: delete the record and make another"))]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentSpec {
    /// Name of the Repository in the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub repository: String,
    /// Which pull request or branch. Immutable.
    pub source: Source,
    /// Whether a camp is wanted: by the Repository's rules (`Auto`), in any case (`Up`), in no case (`Down`).
    #[serde(default)]
    pub want: Want,
    /// Approval of an untrusted source; holds for exactly this head and base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Approval>,
    /// A way back: this commit of the history runs in place of the head's, until the next push.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Values for parameters that the preview file declares, as text whatever their type.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = {"type": "string", "maxLength": 256}))]
    pub parameters: BTreeMap<String, String>,
    /// What somebody asked for about the camp's time.
    #[serde(default, skip_serializing_if = "LifetimeWish::is_empty")]
    pub lifetime: LifetimeWish,
    /// Whether the camp sleeps: by the Repository's rules (`Auto`), not for now (`Awake`), until it is woken (`Asleep`).
    #[serde(default)]
    pub power: Power,
    /// The commit is rendered and applied once more for each of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redeploy: Option<Redeploy>,
}

/// Somebody asked for the same commit once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Redeploy {
    /// Tells this one from the one before: name of the Request.
    #[schemars(length(min = 1, max = 128))]
    pub id: String,
    /// When, to start the workloads' pods anew; without it they are left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Timestamp>,
}

/// What somebody asked for about the camp's time. The Repository's `maxTtl` bounds `until`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifetimeWish {
    /// The camp stands at least until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The camp has no end but `maxTtl`'s, and is never put to sleep to make room.
    #[serde(default, skip_serializing_if = "super::entries::is_false")]
    pub pinned: bool,
}

impl LifetimeWish {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether the camp sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Power {
    /// As the Repository's rules say.
    #[default]
    Auto,
    /// It does not sleep, up to the next beginning of a time to sleep; then this is set back.
    Awake,
    /// It sleeps until somebody wakes it, or a push does; then this is set back.
    Asleep,
}

/// What an environment is made of: either of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// A pull request of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequestSource>,
    /// A branch of the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<BranchSource>,
}

impl Source {
    /// A pull request.
    #[must_use]
    pub fn pull_request(number: i64) -> Self {
        Self { pull_request: Some(PullRequestSource { number }), branch: None }
    }

    /// A branch.
    #[must_use]
    pub fn branch(name: &str) -> Self {
        Self { pull_request: None, branch: Some(BranchSource { name: name.to_owned() }) }
    }

    /// Number of the pull request; `None` for a branch.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.pull_request.as_ref().map(|one| one.number.unsigned_abs())
    }

    /// Name of the branch; `None` for a pull request.
    #[must_use]
    pub fn branch_name(&self) -> Option<&str> {
        self.branch.as_ref().map(|one| one.name.as_str())
    }
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BranchSource {
    /// Its name, without `refs/heads/`.
    #[schemars(length(min = 1, max = 255))]
    pub name: String,
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullRequestSource {
    /// Its number.
    #[schemars(range(min = 1))]
    pub number: i64,
}

/// Whether a camp is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Want {
    /// As the Repository's rules say.
    #[default]
    Auto,
    /// In any case, as long as the source is open, trusted and not expired.
    Up,
    /// In no case.
    Down,
}

/// Somebody looked at one commit and lets it run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// The head commit that was looked at; must equal `status.head.revision`.
    #[schemars(length(equal = 40), regex(pattern = r"^[0-9a-f]{40}$"))]
    pub revision: String,
    /// The base commit at that moment; must equal `status.head.base`.
    #[schemars(length(equal = 40), regex(pattern = r"^[0-9a-f]{40}$"))]
    pub base: String,
    /// Who approved.
    #[schemars(length(min = 1, max = 100))]
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Somebody went back to a commit that ran before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// The commit that is to run; one of `status.history`.
    #[schemars(length(equal = 40), regex(pattern = r"^[0-9a-f]{40}$"))]
    pub revision: String,
    /// The head commit at that moment: another one ends the pin. Must equal `status.head.revision`.
    #[schemars(length(equal = 40), regex(pattern = r"^[0-9a-f]{40}$"))]
    pub head: String,
    /// Who asked for it.
    #[schemars(length(min = 1, max = 100))]
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What the service knows and did. Holds no present time and no duration: ages are computed by who shows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The last hint that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub handled_hint: Option<String>,
    /// The source for people: `OWNER/NAME#7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 160))]
    pub source: Option<String>,
    /// One word for people; programs read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// One sentence for people: why it is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// `Ready`, `Rendered`, `Applied`, `Healthy`, `Reported`, `Contested`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The source as the forge last showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<HeadStatus>,
    /// `spec.want` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_want: Option<Want>,
    /// Last push, reopening or `want: Up`: the lifetime counts from here, or from a visit after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewed_at: Option<Timestamp>,
    /// `lifetime.ttl` of the preview file in seconds; it can only shorten the Repository's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<i64>,
    /// When the camp ran out of time; gone after the next push, reopening or `want: Up`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired_at: Option<Timestamp>,
    /// Digest of all inputs that were last rendered, with or without success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub inputs_digest: Option<String>,
    /// The commit whose bundle was last applied whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub revision: Option<String>,
    /// The first 7 digits of `revision`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 7))]
    pub short_revision: Option<String>,
    /// Digest of the bundle that was last applied whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub digest: Option<String>,
    /// The camp's namespace: written before it is made, and not computed again while the camp stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    /// UID of that namespace: nothing else is ever deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub namespace_uid: Option<String>,
    /// Counts the camps of this record, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<i64>,
    /// When the camp was decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camp_since: Option<Timestamp>,
    /// When this camp got ready for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camp_ready_at: Option<Timestamp>,
    /// Hosts that the camp's routes may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 253)))]
    pub hosts: Vec<String>,
    /// Where the camp is reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub urls: Vec<UrlEntry>,
    /// Where the gate passes requests on to, for a camp whose traffic passes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub routes: Vec<RouteEntry>,
    /// How far the camp's traffic passes the gate; missing where that was never asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateStatus>,
    /// Fields of the camp's objects that are left to others who write them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub yielded: Vec<YieldedField>,
    /// When the camp's time is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Its place in the line, while a limit keeps it waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStatus>,
    /// Its turn among all that have a camp or wait for one: the lowest goes first. Missing where nothing is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<i64>,
    /// Whether the camp sleeps; missing for one that never did and never was to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power: Option<PowerStatus>,
    /// What was applied. What leaves the bundle is pruned by this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub inventory: Vec<InventoryEntry>,
    /// Hooks of the commit that runs or is being applied, and what became of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 60))]
    pub hooks: Vec<HookEntry>,
    /// Whether the head commit may be applied, and what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<AdmissionStatus>,
    /// An apply that waits, for a wave to get ready or for a hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applying: Option<ApplyingStatus>,
    /// The last 20 bundles that were applied whole, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub history: Vec<HistoryEntry>,
    /// The rules that were asked, in their order, with their answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub why: Vec<WhyLine>,
    /// Paths that the running or refused bundle was rendered from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub rendered_from: Vec<RenderedPath>,
    /// Why the head commit is refused; the first 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub findings: Vec<FindingEntry>,
    /// What people should know about the last rendered commit, though it is not refused for it; the first 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub notes: Vec<NoteEntry>,
    /// Why the camp does not get ready, as far as its pods and events tell; the first 20 causes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub trouble: Vec<TroubleEntry>,
    /// Fields that somebody else changes as often as they are put back: the object is put back each ten minutes only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub contested: Vec<ContestedEntry>,
    /// What the running bundle changed in the camp, when another ran there before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangesStatus>,
    /// The camp before this one, or the one that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_camp: Option<LastCamp>,
    /// What the forge was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportStatus>,
    /// When the source was first seen closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

/// A place in the line of those that wait for a camp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// Since when it waits.
    pub since: Timestamp,
    /// `next`, `2–5`, `6–20` or `> 20`.
    #[schemars(length(max = 16))]
    pub place: String,
}

/// Whether a camp sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PowerStatus {
    /// Nothing of the camp runs, or soon. It is awake again once everything of it runs.
    #[serde(default)]
    pub asleep: bool,
    /// Since when that is so.
    pub since: Timestamp,
    /// When the camp was ready for the first time since it woke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// `spec.power` that this status is about …
    #[serde(default)]
    pub asked: Power,
    /// … and since when that stands there.
    pub asked_at: Timestamp,
    /// Since when it sleeps so that others have room; gone when something wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_room: Option<Timestamp>,
    /// A push, a reopening or `want: Up` woke it since.
    #[serde(default, skip_serializing_if = "super::entries::is_false")]
    pub woken: bool,
    /// When the last of them did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub woken_at: Option<Timestamp>,
}

/// How far a camp's traffic passes the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// The routes of the camp lead to the gate, whether it sleeps or not.
    #[serde(default)]
    pub led: bool,
    /// The pods of the camp hear the gate, and no ingress controller.
    #[serde(default)]
    pub closed: bool,
    /// When that changed last, or was asked for: whoever was on another way then has a moment.
    pub since: Timestamp,
}

/// State of a camp in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// No camp, and none is to be.
    NoCamp,
    /// The source is untrusted and nobody approved this head.
    WaitingForApproval,
    /// Being fetched, rendered or applied, or applied and not ready.
    Progressing,
    /// Every workload of the bundle is ready.
    Ready,
    /// It was ready or should be, and a workload is not.
    Degraded,
    /// It sleeps: nothing of it runs, and it keeps its addresses and its data.
    Asleep,
    /// A limit is reached: it waits for its turn.
    Queued,
    /// The bundle can't be rendered, or the guard refused it.
    Refused,
    /// Something else went wrong.
    Failed,
    /// The camp is being taken down.
    TearingDown,
    /// The source is closed and nothing is left of the camp.
    Closed,
}

/// The source as the forge showed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact the forge tells, and they are independent"
)]
pub struct HeadStatus {
    /// Head commit.
    #[schemars(length(max = 40))]
    pub revision: String,
    /// Base commit.
    #[schemars(length(max = 40))]
    pub base: String,
    /// Test merge commit of both, which is rendered; with `source.at: Merge` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub merge: Option<String>,
    /// The base branch's commit that `merge` was made with; known once it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub merged_with: Option<String>,
    /// Since when the forge has not said whether both can be merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_awaited: Option<Timestamp>,
    /// When it was last asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge_asked: Option<Timestamp>,
    /// Both can't be merged; with `source.at: Merge` only.
    #[serde(default, skip_serializing_if = "super::entries::is_false")]
    pub conflict: bool,
    /// Open or closed.
    pub state: SourcePhase,
    /// Not ready for review.
    #[serde(default)]
    pub draft: bool,
    /// Closed by a merge.
    #[serde(default)]
    pub merged: bool,
    /// Labels, sorted; the first 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 100)))]
    pub labels: Vec<String>,
    /// Branch that is proposed.
    #[schemars(length(max = 255))]
    pub branch: String,
    /// Branch that it is proposed to.
    #[schemars(length(max = 255))]
    pub base_branch: String,
    /// Login of the author.
    #[schemars(length(max = 100))]
    pub author: String,
    /// The author is a bot.
    #[serde(default)]
    pub bot: bool,
    /// The head is in another repository, or in one that is deleted.
    #[serde(default)]
    pub fork: bool,
    /// Whether the pull request changes a path that `select.paths` names; with `select.paths` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<PathsStatus>,
    /// When this head was first seen.
    pub seen_at: Timestamp,
}

/// What became of `select.paths`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PathsStatus {
    /// Digest of the commits and of the patterns that it is about.
    #[schemars(length(max = 64))]
    pub of: String,
    /// The pull request changes one of them.
    #[serde(default)]
    pub touched: bool,
}

/// Open or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SourcePhase {
    /// Work goes on.
    Open,
    /// Closed or merged.
    Closed,
}
