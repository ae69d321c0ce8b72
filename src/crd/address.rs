//! Where camps are reached, as a Repository says it. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Who may see camps. All traffic passes the gate then. Default: everybody who reaches them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect: Option<Protect>,
    /// Search engines are told to keep out, by `X-Robots-Tag`. All traffic passes the gate then; a protected camp has it
    /// in any case. Default: false.
    #[serde(default, skip_serializing_if = "super::entries::is_false")]
    pub noindex: bool,
}

/// Who may see camps: whom one of these lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Protect {
    /// Who signs in there, and may read the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<SignIn>,
    /// Who knows the password in this Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretKey>,
    /// What end-to-end tests send: the token in this Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bypass: Option<SecretKey>,
}

/// Where people sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SignIn {
    /// At the forge of the Repository, by its App.
    #[serde(rename = "GitHub")]
    GitHub,
}

/// A value of a Secret in the namespace of the Repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKey {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// The key.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
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
