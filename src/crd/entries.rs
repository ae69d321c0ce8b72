//! What the lists and parts of an Environment's status hold. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::report::{CheckRecord, DeploymentRecord};
use super::time::Timestamp;

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

/// Where the gate passes a request of a host on to: a path of one of the camp's routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteEntry {
    /// The host; one of `status.hosts`.
    #[schemars(length(min = 1, max = 253))]
    pub host: String,
    /// The path.
    #[schemars(length(min = 1, max = 512))]
    pub path: String,
    /// How the path is compared.
    #[serde(default)]
    pub path_type: PathType,
    /// The Service of the camp.
    #[schemars(length(min = 1, max = 63))]
    pub service: String,
    /// Its port, by number.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// How the path of a route is compared with that of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PathType {
    /// Element by element, as a beginning.
    #[default]
    Prefix,
    /// As a whole.
    Exact,
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

/// What a bundle changed in a camp.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangesStatus {
    /// The commit that ran before.
    #[schemars(length(max = 40))]
    pub since: String,
    /// Objects that were not there.
    #[serde(default)]
    pub added: ChangedObjects,
    /// Objects that were there, and otherwise.
    #[serde(default)]
    pub changed: ChangedObjects,
    /// Objects that were there and are in the bundle no more.
    #[serde(default)]
    pub removed: ChangedObjects,
}

/// Objects with which one thing happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedObjects {
    /// How many.
    pub count: i32,
    /// `Kind/name` of the first ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 320)))]
    pub named: Vec<String>,
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
    /// The first comment is to be made; whether it was, and which it is, is not noted yet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub making: bool,
    /// The check of the head commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<CheckRecord>,
    /// The deployments of the pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentRecord>,
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

impl CommentRecord {
    /// The same comment, of which nobody knows what it says now.
    #[must_use]
    pub fn of_unknown_text(mut self) -> Self {
        self.hash.clear();
        self.basis.clear();
        self
    }
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

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

/// The default of what is so unless somebody says otherwise.
pub(super) fn yes() -> bool {
    true
}
