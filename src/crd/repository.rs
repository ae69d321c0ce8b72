//! `Repository`: a repository that is served, and its policy; written by the platform team. No I/O.
#![expect(unreachable_pub, reason = "kube's derive repeats the spec in a block of its own")]

use std::collections::BTreeMap;

use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::UrlPolicy;
use super::admission::Await;
use super::entries::Condition;
use super::guardrails::Grant;
use super::isolation::Isolation;
use super::lifetime::Lifetime;
use super::limits::Limits;
use super::notify::Notify;
use super::report::ReportPolicy;
use super::request::CommandPolicy;
use super::time::Timestamp;

/// A repository whose pull requests get environments, and the policy for them. Written by the platform team; the
/// application team can only narrow it in its preview file.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bivouac.dev",
    version = "v1alpha1",
    kind = "Repository",
    plural = "repositories",
    shortname = "repo",
    category = "bivouac",
    doc = "A repository whose pull requests get environments, and the policy for them.",
    namespaced,
    status = "RepositoryStatus",
    derive = "PartialEq",
    printcolumn(name = "Repository", type_ = "string", json_path = ".spec.forge.github.name"),
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.forge.github.owner"),
    printcolumn(
        name = "Accessible",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Accessible")].status"#
    ),
    printcolumn(name = "Camps", type_ = "integer", json_path = ".status.camps"),
    printcolumn(name = "Swept", type_ = "date", json_path = ".status.lastSweep"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.url.host", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = "self.metadata.name.size() <= 40"
)]
#[serde(rename_all = "camelCase")]
pub struct RepositorySpec {
    /// Where the repository is, and with which credentials it is read.
    pub forge: Forge,
    /// Which commit of a pull request is rendered.
    #[serde(default)]
    pub source: SourcePolicy,
    /// Which pull requests get a camp.
    #[serde(default)]
    pub select: Select,
    /// Branches that have an environment each, at their head; `*` stands for any characters. It has no end of its own: it
    /// goes with the branch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 255)))]
    pub branches: BranchNames,
    /// What happens to a pull request whose head is in another repository, or whose author is a bot.
    #[serde(default)]
    pub forks: Forks,
    /// What a commit waits for before it is applied.
    #[serde(default)]
    pub r#await: Await,
    /// How long a camp stands.
    #[serde(default)]
    pub lifetime: Lifetime,
    /// Below which wildcard domain the camps' hosts are.
    pub url: UrlPolicy,
    /// What a bundle may hold and how its camp is fenced in.
    #[serde(default)]
    pub isolation: Isolation,
    /// Bounds for what comes out of the repository.
    #[serde(default)]
    pub limits: Limits,
    /// Defaults and allowed values for parameters that preview files declare, by the name of the parameter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub parameters: BTreeMap<String, ParameterRule>,
    /// Secrets of this namespace that are put into each camp. A Secret that is put into a camp is given to the code of
    /// that pull request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub secrets: Vec<Grant>,
    /// What the forge is told.
    #[serde(default)]
    pub report: ReportPolicy,
    /// Who is told beside the forge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub notify: Vec<Notify>,
    /// What people may ask for on a pull request.
    #[serde(default)]
    pub commands: CommandPolicy,
}

/// What the platform team says about one parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParameterRule {
    /// Stands before the preview file's default. Written as text, whatever the parameter's type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub default: Option<String>,
    /// The only values that are allowed; empty asks nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 256)))]
    pub allowed: Vec<String>,
}

/// The forge that hosts the repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Forge {
    /// github.com or a GitHub Enterprise Server.
    pub github: GitHub,
}

/// A repository on GitHub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitHub {
    /// User or organisation that owns the repository.
    #[schemars(length(min = 1, max = 39))]
    pub owner: String,
    /// Name of the repository.
    #[schemars(length(min = 1, max = 100))]
    pub name: String,
    /// REST API, for GitHub Enterprise Server: `https://HOST/api/v3`. Default: `https://api.github.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub api_url: Option<String>,
    /// Where commits are fetched from. Default: `OWNER/NAME.git` below the web address that belongs to `apiUrl`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub clone_url: Option<String>,
    /// Secret in this namespace with the keys `token` (API and fetch) and `webhookSecret`.
    pub credentials: Credentials,
}

/// Name of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
}

/// Which commit of a pull request is rendered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourcePolicy {
    /// `Head` or `Merge`. Default: `Head`.
    #[serde(default)]
    pub at: At,
}

/// A commit of a pull request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum At {
    /// The head commit: what the author pushed.
    #[default]
    Head,
    /// The forge's test merge of the head into the base branch: what the base branch would be after the merge.
    Merge,
}

/// Branch names; `*` stands for any characters.
pub type BranchNames = Vec<String>;

/// Which pull requests get a camp. All conditions must hold; an empty list asks nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Select {
    /// The base branch is one of these; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 255)))]
    pub base_branches: BranchNames,
    /// The head branch is one of these; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 255)))]
    pub head_branches: BranchNames,
    /// Labels that must or must not be there.
    #[serde(default)]
    pub labels: LabelRules,
    /// Whether drafts get a camp. Default: true.
    #[serde(default = "super::entries::yes")]
    pub drafts: bool,
    /// The author's login is one of these; `*` stands for any characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 100)))]
    pub authors: Vec<String>,
    /// The pull request changes one of these paths at least; `*` stands for any characters, also `/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 512)))]
    pub paths: Vec<String>,
    /// Logins of bots that are trusted, as `renovate[bot]`. Other bots' pull requests are untrusted: see `forks`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 100)))]
    pub bots: Vec<String>,
}

impl Default for Select {
    fn default() -> Self {
        Self {
            base_branches: Vec::new(),
            head_branches: Vec::new(),
            labels: LabelRules::default(),
            drafts: true,
            authors: Vec::new(),
            paths: Vec::new(),
            bots: Vec::new(),
        }
    }
}

/// Labels of the pull request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelRules {
    /// All of these are there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 50)))]
    pub all: Vec<String>,
    /// None of these is there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 50)))]
    pub none: Vec<String>,
}

/// What happens to untrusted pull requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Forks {
    /// They never get a camp.
    Deny,
    /// A camp for exactly the commit that somebody approved in `spec.approved`.
    #[default]
    Approve,
    /// They are treated like everybody else's. Their code then runs in the cluster unseen.
    Allow,
}

/// What the service found out about the repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryStatus {
    /// `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accessible`, `CredentialsValid`, `Unique`, `SweepHalted`, `GateReady`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub conditions: Vec<Condition>,
    /// The repository as the forge knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forge: Option<ForgeStatus>,
    /// When the open pull requests were last compared with the records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sweep: Option<Timestamp>,
    /// Comments that were written before then were looked at for commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comments_seen: Option<Timestamp>,
    /// Number of camps that stand; a minute old at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub camps: Option<i32>,
    /// What the last sweep did not do, because it would have ended too many camps at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halted: Option<SweepHalt>,
}

/// Camps that a sweep would have ended, and did not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SweepHalt {
    /// Identifies the list. The annotation `bivouac.dev/allow-teardown` with this value lets exactly these camps end.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// How many would have ended.
    pub ends: i32,
    /// How many stood.
    pub camps: i32,
    /// Names of their Environments, sorted; the first 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 253)))]
    pub environments: Vec<String>,
}

/// The repository as the forge knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForgeStatus {
    /// Numeric id: stays through renames and transfers, and is never given twice.
    pub repository_id: i64,
    /// Owner and name as they are now, which a rename changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub name: Option<String>,
    /// What the token may do, as the forge lists it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(max = 50)))]
    pub permissions: Vec<String>,
}
