//! How camps are fenced in, as a Repository says it. No I/O.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::guardrails::{Access, ContainerLimits, Egress, PullSecret, Quantities};

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
