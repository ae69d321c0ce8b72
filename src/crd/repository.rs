//! `Repository`: a repository that is served, and its policy; written by the platform team. No I/O.
#![expect(unreachable_pub, reason = "kube's derive repeats the spec in a block of its own")]

use std::collections::BTreeMap;

use kube::CustomResource;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::admission::Await;
use super::entries::Condition;
use super::guardrails::{Access, ContainerLimits, Egress, Grant, PullSecret, Quantities};
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
    /// What people may ask for on a pull request.
    #[serde(default)]
    pub commands: CommandPolicy,
    /// Who is told beside the forge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub notify: Vec<Notify>,
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
    #[serde(default = "yes")]
    pub drafts: bool,
}

fn yes() -> bool {
    true
}

impl Default for Select {
    fn default() -> Self {
        Self {
            base_branches: Vec::new(),
            head_branches: Vec::new(),
            labels: LabelRules::default(),
            drafts: true,
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
}

impl Lifetime {
    fn default_ttl() -> String {
        "72h".into()
    }

    fn default_max_ttl() -> String {
        "14d".into()
    }
}

impl Default for Lifetime {
    fn default() -> Self {
        Self { ttl: Self::default_ttl(), max_ttl: Self::default_max_ttl() }
    }
}

/// Where camps are reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UrlPolicy {
    /// The wildcard domain, without `*.`: each camp's host is one label below it.
    #[schemars(
        length(min = 1, max = 180),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub host: String,
    /// `https` or `http`. Default: `https`.
    #[serde(default = "UrlPolicy::default_scheme")]
    #[schemars(length(max = 5), regex(pattern = r"^https?$"))]
    pub scheme: String,
    /// Port in the URL, when it is not the scheme's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The one ingress class a bundle may name. Without it a bundle names none and gets the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub ingress_class: Option<String>,
    /// Gateway that routes made for `expose` are attached to. Without it they are Ingresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<Gateway>,
    /// Where the certificates of routes made for `expose` come from. Default: `{source: ControllerDefault}`.
    #[serde(default)]
    pub tls: TlsPolicy,
    /// Whether a camp is ready only when its URLs answer the service. Default: `Required`.
    #[serde(default)]
    pub probe: Probe,
}

/// Whether URLs are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Probe {
    /// Each exposed URL must answer.
    #[default]
    Required,
    /// No URL is asked: a camp is ready when its objects are.
    Never,
}

/// A Gateway of the Gateway API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gateway {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Name of one of its listeners. Default: all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub section: Option<String>,
}

/// Where certificates come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TlsPolicy {
    /// `ControllerDefault`, `Gateway` or `PerHost`.
    #[serde(default)]
    pub source: TlsSource,
    /// `ClusterIssuer` of cert-manager; for `PerHost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub cluster_issuer: Option<String>,
}

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsSource {
    /// The ingress controller has one for the wildcard domain.
    #[default]
    ControllerDefault,
    /// The Gateway's listener has one; needs `gateway`.
    Gateway,
    /// cert-manager makes one for each host; needs `clusterIssuer`.
    PerHost,
}

impl UrlPolicy {
    fn default_scheme() -> String {
        "https".into()
    }
}

/// How a camp is fenced in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Isolation {
    /// Pod Security level that the namespace enforces. Default: `Baseline`.
    #[serde(default)]
    pub pod_security: PodSecurity,
    /// Kinds that a bundle may hold, as `Kind` (core) or `Kind.group`. Empty: the built-in list of harmless kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 100),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^[A-Z][A-Za-z0-9]*(\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")
        )
    )]
    pub allowed_kinds: Vec<String>,
    /// Fields that are left to others who write them, say an operator that fills them in. Everything else is put back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub r#yield: Vec<YieldRule>,
    /// ClusterRole that a bundle is applied with, bound in the camp's namespace only. Default: `bivouac-deployer`.
    #[serde(default = "Isolation::default_deployer_role")]
    #[schemars(length(min = 1, max = 253))]
    pub deployer_role: String,
    /// What becomes of a bundle whose objects all name one namespace that is not the camp's. Default: `Rewrite`.
    #[serde(default)]
    pub namespaces: Namespaces,
    /// Registries that images may come from, as beginnings of image names (`ghcr.io/acme/`). Empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 50),
        inner(length(min = 1, max = 253), regex(pattern = r"^[A-Za-z0-9._:/-]+$"))
    )]
    pub image_registries: Vec<String>,
    /// What becomes of objects that are in no namespace.
    #[serde(default)]
    pub cluster_scoped: ClusterScoped,
    /// The `ResourceQuota` of each camp, as its `hard`: what is said here goes over the defaults, `unlimited` takes one away.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 50), extend("additionalProperties" = {"type": "string", "maxLength": 32}))]
    pub quota: Quantities,
    /// The `LimitRange` of each camp: what containers get that name no requests and limits.
    #[serde(default)]
    pub limit_range: ContainerLimits,
    /// The NetworkPolicy of each camp: where its pods may connect to.
    #[serde(default)]
    pub egress: Egress,
    /// Secrets of this namespace by which images are pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub image_pull_secrets: Vec<PullSecret>,
    /// Groups of people with rights in each camp.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub access: Vec<Access>,
}

/// A field that is left to another manager who has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct YieldRule {
    /// Objects of this kind only, as `Kind` or `Kind.group`. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[A-Z][A-Za-z0-9]*(\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")
    )]
    pub kind: Option<String>,
    /// The field and all below it, as `metadata.managedFields` and conflicts name it:
    /// `.spec.template.spec.containers[*].resources`. `[*]` stands for any element of a list.
    #[schemars(length(min = 2, max = 512), regex(pattern = r"^\.[^.\[]"))]
    pub field: String,
    /// Left to this field manager only. Default: to any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub manager: Option<String>,
}

/// What becomes of a bundle whose objects all name one foreign namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Namespaces {
    /// It is replaced by the camp's.
    #[default]
    Rewrite,
    /// The bundle is refused.
    Refuse,
}

/// What becomes of objects that are in no namespace; those that are not ignored are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterScoped {
    /// Kinds that are left out of a bundle with a note, as `Kind` or `Kind.group`. Without an entry a
    /// `CustomResourceDefinition` is left out when the cluster serves it in the same versions. Default: none.
    #[serde(default)]
    #[schemars(
        length(max = 50),
        inner(
            length(min = 1, max = 253),
            regex(pattern = r"^[A-Z][A-Za-z0-9]*(\.[a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")
        )
    )]
    pub ignore: Vec<String>,
}

impl Isolation {
    fn default_deployer_role() -> String {
        "bivouac-deployer".into()
    }
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            pod_security: PodSecurity::default(),
            allowed_kinds: Vec::new(),
            r#yield: Vec::new(),
            deployer_role: Self::default_deployer_role(),
            namespaces: Namespaces::default(),
            image_registries: Vec::new(),
            cluster_scoped: ClusterScoped::default(),
            quota: Quantities::new(),
            limit_range: ContainerLimits::default(),
            egress: Egress::default(),
            image_pull_secrets: Vec::new(),
            access: Vec::new(),
        }
    }
}

/// A Pod Security level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PodSecurity {
    /// Known privilege escalations are refused.
    #[default]
    Baseline,
    /// Current hardening practice is asked for.
    Restricted,
}

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
        }
    }
}

/// What the service found out about the repository.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryStatus {
    /// `metadata.generation` that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accessible`, `CredentialsValid`, `Unique`, `SweepHalted`.
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
