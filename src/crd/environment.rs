//! `Environment`: the record of one source. It exists from the first time we hear of the source and outlives its camp.
//! No I/O.
#![expect(unreachable_pub, reason = "kube's derive repeats the spec in a block of its own")]

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
#[x_kube(validation = Rule::new("self.source == oldSelf.source").message("source is immutable: delete the record and make another"))]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentSpec {
    /// Name of the Repository in the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub repository: String,
    /// Which pull request. Immutable.
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
}

/// What an environment is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// A pull request of the repository.
    pub pull_request: PullRequestSource,
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
    /// Last push, reopening or `want: Up`: the lifetime counts from here.
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
    /// Hosts that the camp's routes may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 253)))]
    pub hosts: Vec<String>,
    /// Where the camp is reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub urls: Vec<UrlEntry>,
    /// Fields of the camp's objects that are left to others who write them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub yielded: Vec<YieldedField>,
    /// When the camp's time is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What was applied. What leaves the bundle is pruned by this list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub inventory: Vec<InventoryEntry>,
    /// Hooks of the commit that runs or is being applied, and what became of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 60))]
    pub hooks: Vec<HookEntry>,
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
    #[serde(default, skip_serializing_if = "is_false")]
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
    /// When this head was first seen.
    pub seen_at: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Open or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SourcePhase {
    /// Work goes on.
    Open,
    /// Closed or merged.
    Closed,
}

/// One URL of a camp.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UrlEntry {
    /// The app that answers.
    #[schemars(length(max = 63))]
    pub app: String,
    /// The address.
    #[schemars(length(max = 300))]
    pub url: String,
    /// The path that is asked for, once a route of the running bundle is for this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub path: Option<String>,
    /// Whether it answered when it was last asked; missing while it is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reachable: Option<bool>,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub why: Option<String>,
}

/// What keeps a camp from getting ready: one cause, however many pods suffer from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TroubleEntry {
    /// `Kind/name` of the workload.
    #[schemars(length(max = 320))]
    pub object: String,
    /// One CamelCase word, Kubernetes' own where it has one.
    #[schemars(length(max = 63))]
    pub reason: String,
    /// One sentence.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// How many pods suffer from it; 0 when they can't even be made.
    pub pods: i32,
}

/// A field that is left to another manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct YieldedField {
    /// API group of the object; empty for the core group.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub group: String,
    /// Kind of the object.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Its name in the camp's namespace.
    #[schemars(length(max = 253))]
    pub name: String,
    /// UID of the object: another of the same name begins anew.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// The field, as managed fields name it.
    #[schemars(length(max = 512))]
    pub field: String,
    /// The field manager that has it.
    #[schemars(length(max = 128))]
    pub manager: String,
}

/// One object that was applied.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryEntry {
    /// `group/version`, or `version` for the core group.
    #[schemars(length(max = 128))]
    pub api_version: String,
    /// Kind.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Name in the camp's namespace.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The wave that it names, if it names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<i32>,
    /// It says that it is not to be pruned.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keep: bool,
    /// The first commit that it is not in, and that was applied. Why it is still there: it says so, it holds data, or it
    /// could not be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub left: Option<String>,
    /// A mark of the fields that are ours since it was applied: another one in the cluster is drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub mark: Option<String>,
}

/// One hook of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HookEntry {
    /// `group/version`, or `version` for the core group.
    #[schemars(length(max = 128))]
    pub api_version: String,
    /// Kind.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Name in the camp's namespace.
    #[schemars(length(max = 253))]
    pub name: String,
    /// When it runs.
    pub moment: HookMoment,
    /// Names the apply that it ran for. The same commit with the same objects is one.
    #[schemars(length(max = 63))]
    pub run: String,
    /// How far it is.
    pub state: HookPhase,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub message: String,
    /// `pod/container` of the log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 400))]
    pub log_of: String,
    /// The end of its log, when it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 4096))]
    pub log: String,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HookMoment {
    /// Before the workloads change.
    BeforeApply,
    /// When everything is ready.
    AfterReady,
    /// Before the camp is taken down.
    BeforeDelete,
}

/// How far a hook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum HookPhase {
    /// It has not begun.
    Pending,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It failed, or took too long.
    Failed,
}

/// An apply that waits. The next run goes on where this one stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApplyingStatus {
    /// Names the apply. The same commit with the same objects is one.
    #[schemars(length(max = 63))]
    pub run: String,
    /// Steps that are done.
    pub steps: i32,
    /// It is the first one in this camp.
    #[serde(default, skip_serializing_if = "is_false")]
    pub first: bool,
    /// Since when it waits for what it waits for.
    pub since: Timestamp,
}

/// A field that somebody else changes again as often as it is put back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContestedEntry {
    /// Kind of the object.
    #[schemars(length(max = 63))]
    pub kind: String,
    /// Its name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The field, or `(the object)` when it is deleted again and again.
    #[schemars(length(max = 512))]
    pub field: String,
    /// Who changes it, when that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub manager: Option<String>,
    /// Since when it is known.
    pub since: Timestamp,
    /// When it was put back last; the next time is ten minutes later.
    pub repaired_at: Timestamp,
}

/// One bundle that was applied whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryEntry {
    /// Its commit.
    #[schemars(length(max = 40))]
    pub revision: String,
    /// The test merge of it that was rendered; with `source.at: Merge` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 40))]
    pub merge: Option<String>,
    /// Its digest.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// When it was applied.
    pub at: Timestamp,
    /// When everything of it was ready for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// Why it was applied.
    #[serde(default)]
    pub cause: Cause,
    /// Who went back to it, approved it, or is the author of the pull request; nobody for a `Change`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub by: Option<String>,
    /// What became of it; of an older bundle: how it did when another took its place.
    #[serde(default)]
    pub outcome: Outcome,
}

/// Why a bundle was applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Cause {
    /// A commit that had not run before.
    #[default]
    Push,
    /// The same commit as before, rendered with other parameters, rules or a changed cluster.
    Change,
    /// Somebody went back to it.
    Rollback,
}

/// How a bundle did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// Applied, and not everything was ready yet.
    #[default]
    Progressing,
    /// Everything was ready.
    Ready,
    /// Something did not run.
    Degraded,
    /// Another bundle took its place before it was ready.
    Superseded,
}

/// One rule that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhyLine {
    /// Name of the rule.
    #[schemars(length(max = 63))]
    pub rule: String,
    /// What it answered, with what it looked at.
    #[schemars(length(max = 512))]
    pub answer: String,
    /// True for the rule that decided.
    #[serde(default)]
    pub decided: bool,
}

/// A path of the repository that was rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RenderedPath {
    /// The path.
    #[schemars(length(max = 512))]
    pub path: String,
    /// There is no preview file; the path was found by its name.
    #[serde(default)]
    pub guessed: bool,
}

/// One reason why a commit is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FindingEntry {
    /// Id of the rule.
    #[schemars(length(max = 63))]
    pub rule: String,
    /// Path in the repository, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub file: Option<String>,
    /// Line in it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<i32>,
    /// What is wrong.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub hint: Option<String>,
}

/// What people should know about a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NoteEntry {
    /// Id of the rule, when a rule of the guard found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub rule: Option<String>,
    /// Path in the repository, when it is about one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub file: Option<String>,
    /// Line in it, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<i32>,
    /// What.
    #[schemars(length(max = 512))]
    pub message: String,
}

/// A camp that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastCamp {
    /// When it was decided on.
    pub since: Timestamp,
    /// When it was gone.
    pub until: Timestamp,
    /// Its last address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 300))]
    pub url: Option<String>,
}

/// What the forge was told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportStatus {
    /// The one comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<CommentRecord>,
}

/// The sticky comment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommentRecord {
    /// Id at the forge.
    pub id: i64,
    /// Its page.
    #[serde(default)]
    #[schemars(length(max = 300))]
    pub url: String,
    /// SHA-256 of the text that was written last.
    #[schemars(length(max = 64))]
    pub hash: String,
    /// SHA-256 of the same text without logs: what decides whether it is written again.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub basis: String,
    /// Counts the texts; never goes back.
    pub sequence: i64,
}

/// A condition after Kubernetes' conventions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Name of the condition.
    #[schemars(length(min = 1, max = 63))]
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    #[schemars(length(max = 7), regex(pattern = r"^(True|False|Unknown)$"))]
    pub status: String,
    /// One CamelCase word.
    #[schemars(length(min = 1, max = 63))]
    pub reason: String,
    /// For people.
    #[schemars(length(max = 2048))]
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Timestamp,
    /// `metadata.generation` that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}
