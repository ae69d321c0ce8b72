//! PURE · everything that decides what a bundle looks like, and its digest.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::bundle::{canonical_json, sha256_hex};
use super::id::{PrNumber, RepoName, Revision};
use super::policy::Policy;

/// All inputs of a bundle. Two equal values give two equal bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderInputs {
    /// The commit.
    pub revision: Revision,
    /// The repository, as the templates name it.
    pub repository: RepoName,
    /// Name of the Environment.
    pub environment: String,
    /// Name of the camp's namespace.
    pub namespace: String,
    /// Host of the first app, or of the whole camp.
    pub host: String,
    /// The URL people open.
    pub url: String,
    /// Further URLs, by the name of their app.
    pub app_urls: BTreeMap<String, String>,
    /// The pull request, when the source is one.
    pub pull_request: Option<PrNumber>,
    /// The head branch as a slug; never the raw name.
    pub branch_slug: String,
    /// Resolved parameters.
    pub parameters: BTreeMap<String, String>,
    /// The part of the policy that changes what is rendered or accepted, as the Repository says it.
    pub policy: BTreeMap<String, String>,
    /// What the target told about itself.
    pub cluster: ClusterFacts,
}

/// What renderers may know about the target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterFacts {
    /// `major.minor` of the API server.
    pub kubernetes_version: String,
    /// Served `group/version`s, sorted.
    pub api_versions: Vec<String>,
}

/// Raised when the same inputs begin to give another bundle.
const RENDERER: &str = "bivouac/1";

impl RenderInputs {
    /// The part of a Repository's policy that changes what is rendered or accepted.
    #[must_use]
    pub fn policy_of(policy: &Policy) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("allowedKinds".to_owned(), policy.isolation.allowed_kinds.join(",")),
            ("deployerRole".to_owned(), policy.isolation.deployer_role.clone()),
            ("podSecurity".to_owned(), policy.isolation.pod_security.to_owned()),
            ("ingressClass".to_owned(), policy.url.ingress_class.clone().unwrap_or_default()),
            ("limits".to_owned(), format!("{:?}", policy.limits)),
        ])
    }

    /// SHA-256 of the canonical JSON of all inputs and of the renderer's version, 64 hex digits.
    #[must_use]
    pub fn inputs_digest(&self) -> String {
        // Without `..`: a new input that is not part of the digest would never reach a standing camp.
        let Self {
            revision,
            repository,
            environment,
            namespace,
            host,
            url,
            app_urls,
            pull_request,
            branch_slug,
            parameters,
            policy,
            cluster: ClusterFacts { kubernetes_version, api_versions },
        } = self;
        let all = json!({
            "revision": revision.as_str(),
            "repository": repository.to_string(),
            "environment": environment,
            "namespace": namespace,
            "host": host,
            "url": url,
            "appUrls": app_urls,
            "pullRequest": pull_request,
            "branchSlug": branch_slug,
            "parameters": parameters,
            "policy": policy,
            "cluster": {"kubernetesVersion": kubernetes_version, "apiVersions": api_versions},
            "renderer": RENDERER,
        });
        sha256_hex(canonical_json(&all).as_bytes())
    }

    /// What a template of `app` sees, and nothing else.
    #[must_use]
    pub fn context(&self, app: &str) -> Value {
        let mut context = json!({
            "env": {
                "name": self.environment,
                "namespace": self.namespace,
                "host": self.host,
                "url": self.url,
            },
            "branch": {"slug": self.branch_slug},
            "commit": {"sha": self.revision.as_str(), "short": self.revision.short()},
            "repo": {"owner": self.repository.owner(), "name": self.repository.name()},
            "app": {"name": app},
        });
        if let (Some(number), Some(members)) = (self.pull_request, context.as_object_mut()) {
            members.insert("pr".into(), json!({"number": number.0}));
        }
        context
    }

    /// The first context value that holds a character which could mean something to YAML, as `name`. All are made by
    /// us from slugs, hashes and numbers, so this finds our own mistakes before they become somebody's injection.
    #[must_use]
    pub fn unsafe_context_value(&self) -> Option<String> {
        let safe = |text: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || "-._/".contains(c) || c == ':')
                && !text.contains(": ")
        };
        let context = self.context("app");
        for (outer, members) in context.as_object()? {
            for (inner, value) in members.as_object()? {
                if value.as_str().is_some_and(|text| !safe(text) || text.is_empty()) {
                    return Some(format!("{outer}.{inner}"));
                }
            }
        }
        None
    }
}

/// The ConfigMap `bivouac-env`, made before the first wave so that containers can take it by `envFrom`.
///
/// It is a guardrail and no part of a bundle: its name is reserved.
#[must_use]
pub fn environment_config(inputs: &RenderInputs) -> Value {
    let mut data = BTreeMap::from([
        ("BIVOUAC_ENV".to_owned(), inputs.environment.clone()),
        ("BIVOUAC_HOST".to_owned(), inputs.host.clone()),
        ("BIVOUAC_REVISION".to_owned(), inputs.revision.to_string()),
        ("BIVOUAC_URL".to_owned(), inputs.url.clone()),
    ]);
    if let Some(number) = inputs.pull_request {
        data.insert("BIVOUAC_PR".into(), number.to_string());
    }
    for (app, url) in &inputs.app_urls {
        let name = app.to_ascii_uppercase().replace('-', "_");
        data.insert(format!("BIVOUAC_URL_{name}"), url.clone());
    }
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "bivouac-env",
            "namespace": inputs.namespace,
            "labels": {
                "app.kubernetes.io/managed-by": "bivouac",
                "bivouac.dev/environment": inputs.environment,
                "bivouac.dev/guardrail": "true",
            },
        },
        "data": data,
    })
}
