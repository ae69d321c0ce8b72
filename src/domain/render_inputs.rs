//! PURE · everything that decides what a bundle looks like, and its digest.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::bundle::{canonical_json, sha256_hex};
use super::guard::GroupKind;
use super::hosts::AppHost;
use super::id::{PrNumber, RepoName, Revision};
use super::policy::{Gateway, Namespaces, Policy, Tls};
use super::preview_file::ParameterRule;

/// All inputs of a bundle. Two equal values give two equal bundles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderInputs {
    /// The commit that the environment is about: the head of a pull request.
    pub revision: Revision,
    /// The forge's test merge of that commit, when that is what is rendered.
    pub merge: Option<Revision>,
    /// The repository, as the templates name it.
    pub repository: RepoName,
    /// Name of the Environment.
    pub environment: String,
    /// Name of the camp's namespace.
    pub namespace: String,
    /// The camp's own host.
    pub host: String,
    /// Its URL, which people open.
    pub url: String,
    /// Hosts and URLs of the apps that `expose` a Service, by the name of the app.
    pub app_hosts: BTreeMap<String, AppHost>,
    /// The pull request, when the source is one.
    pub pull_request: Option<PrNumber>,
    /// The head branch as a slug; never the raw name.
    pub branch_slug: String,
    /// Values that were chosen for parameters. What they mean is said by the preview file, and so by the revision:
    /// rendering resolves them.
    pub parameters: BTreeMap<String, String>,
    /// The part of the policy that rendering works by.
    pub rules: RenderRules,
    /// The part of the policy that changes what is accepted, as the Repository says it.
    pub policy: BTreeMap<String, String>,
    /// What the target told about itself.
    pub cluster: ClusterFacts,
    /// Somebody asked for the same once more.
    pub redeploy: Option<Redeploy>,
}

/// The wish for the same commit once more. It is an input like any other, and so outlives every crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redeploy {
    /// Tells one wish from another.
    pub id: String,
    /// Written to the pods of workloads, so that they start anew.
    pub restart: Option<String>,
}

/// The part of a Repository's policy that rendering works by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RenderRules {
    /// Class of generated Ingresses.
    pub ingress_class: Option<String>,
    /// What generated routes are attached to; without it an Ingress is generated.
    pub gateway: Option<Gateway>,
    /// Where certificates come from.
    pub tls: Tls,
    /// Whether people reach the camp by https.
    pub https: bool,
    /// What becomes of one foreign namespace.
    pub namespaces: Namespaces,
    /// Cluster-scoped kinds that are left out with a note, as `Kind` or `Kind.group`.
    pub ignored_cluster_scoped: Vec<String>,
    /// What the platform team says about parameters.
    pub parameters: BTreeMap<String, ParameterRule>,
}

impl Default for RenderRules {
    fn default() -> Self {
        Self {
            ingress_class: None,
            gateway: None,
            tls: Tls::default(),
            https: true,
            namespaces: Namespaces::default(),
            ignored_cluster_scoped: Vec::new(),
            parameters: BTreeMap::new(),
        }
    }
}

impl RenderRules {
    /// What the Repository says.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self {
            ingress_class: policy.url.ingress_class.clone(),
            gateway: policy.url.gateway.clone(),
            tls: policy.url.tls.clone(),
            https: policy.url.scheme == "https",
            namespaces: policy.isolation.namespaces,
            ignored_cluster_scoped: policy.isolation.ignored_cluster_scoped.clone(),
            parameters: policy.parameters.clone(),
        }
    }
}

/// What renderers may know about the target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClusterFacts {
    /// `major.minor` of the API server.
    pub kubernetes_version: String,
    /// Served `group/version`s and `group/version/Kind`s, as Helm writes them, sorted.
    pub api_versions: Vec<String>,
}

/// `group/version` or `group/version/Kind`, taken apart. Of the core group, whose name is empty, only `v1` and `v1/Pod`
/// are there; no version begins with a capital, and each of its kinds does.
fn parts(entry: &str) -> (&str, &str, Option<&str>) {
    let capital = |text: &str| text.starts_with(|c: char| c.is_ascii_uppercase());
    match entry.split_once('/') {
        None => ("", entry, None),
        Some((version, kind)) if capital(kind) => ("", version, Some(kind)),
        Some((group, rest)) => match rest.split_once('/') {
            None => (group, rest, None),
            Some((version, kind)) => (group, version, Some(kind)),
        },
    }
}

impl ClusterFacts {
    /// The same with these kinds only, and the versions of their groups: what a camp can't hold is nothing that a chart
    /// should make, and another definition in the cluster is no reason to render everything anew.
    #[must_use]
    pub fn of_kinds(&self, kinds: &BTreeSet<GroupKind>) -> Self {
        let groups: BTreeSet<&str> = kinds.iter().map(|kind| kind.group.as_str()).collect();
        let told = |entry: &&String| match parts(entry) {
            (group, _, None) => groups.contains(group),
            (group, _, Some(kind)) => kinds.contains(&GroupKind::new(group, kind)),
        };
        Self {
            kubernetes_version: self.kubernetes_version.clone(),
            api_versions: self.api_versions.iter().filter(told).cloned().collect(),
        }
    }

    /// Versions in which a kind is served.
    #[must_use]
    pub fn versions_of(&self, group: &str, kind: &str) -> BTreeSet<&str> {
        let version = |entry| match parts(entry) {
            (of, version, Some(name)) => (of == group && name == kind).then_some(version),
            _ => None,
        };
        self.api_versions.iter().filter_map(|entry| version(entry)).collect()
    }
}

/// Raised when the same inputs begin to give another bundle.
const RENDERER: &str = "bivouac/3";

impl RenderInputs {
    /// The part of a Repository's policy that changes what is accepted.
    #[must_use]
    pub fn policy_of(policy: &Policy) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("allowedKinds".to_owned(), policy.isolation.allowed_kinds.join(",")),
            ("deployerRole".to_owned(), policy.isolation.deployer_role.clone()),
            ("podSecurity".to_owned(), policy.isolation.pod_security.to_owned()),
            ("ingressClass".to_owned(), policy.url.ingress_class.clone().unwrap_or_default()),
            ("imageRegistries".to_owned(), policy.isolation.image_registries.join(",")),
            ("limits".to_owned(), format!("{:?}", policy.limits)),
        ])
    }

    /// SHA-256 of the canonical JSON of all inputs and of the renderer's version, 64 hex digits.
    #[must_use]
    pub fn inputs_digest(&self) -> String {
        // Without `..`: a new input that is not part of the digest would never reach a standing camp.
        let Self {
            revision,
            merge,
            repository,
            environment,
            namespace,
            host,
            url,
            app_hosts,
            pull_request,
            branch_slug,
            parameters,
            rules,
            policy,
            cluster: ClusterFacts { kubernetes_version, api_versions },
            redeploy,
        } = self;
        let mut all = json!({
            "revision": revision.as_str(),
            "merge": merge.as_ref().map(Revision::as_str),
            "repository": repository.to_string(),
            "environment": environment,
            "namespace": namespace,
            "host": host,
            "url": url,
            "appHosts": app_hosts,
            "pullRequest": pull_request,
            "branchSlug": branch_slug,
            "parameters": parameters,
            "rules": rules,
            "policy": policy,
            "cluster": {"kubernetesVersion": kubernetes_version, "apiVersions": api_versions},
            "renderer": RENDERER,
        });
        // What nobody asked for changes no digest.
        if let Some(redeploy) = redeploy {
            all["redeploy"] = json!(redeploy);
        }
        sha256_hex(canonical_json(&all).as_bytes())
    }

    /// The digest of all inputs and of everything that the cluster serves: for a commit that was refused for what the
    /// cluster lacks, which may come.
    #[must_use]
    pub fn digest_with(&self, cluster: &ClusterFacts) -> String {
        let all = json!({"inputs": self.inputs_digest(), "cluster": cluster});
        sha256_hex(canonical_json(&all).as_bytes())
    }

    /// The commit whose files are rendered.
    #[must_use]
    pub fn rendered(&self) -> &Revision {
        self.merge.as_ref().unwrap_or(&self.revision)
    }

    /// The host of `app`: its own, or the camp's when it has none.
    #[must_use]
    pub fn host_of(&self, app: &str) -> &str {
        self.app_hosts.get(app).map_or(&self.host, |own| &own.host)
    }

    /// What a template of `app` sees, and nothing else. `parameters` are the resolved ones.
    #[must_use]
    pub fn context(&self, app: &str, parameters: &BTreeMap<String, Value>) -> Value {
        let url = self.app_hosts.get(app).map_or(&self.url, |own| &own.url);
        let mut context = json!({
            "env": {
                "name": self.environment,
                "namespace": self.namespace,
                "host": self.host,
                "url": self.url,
            },
            "branch": {"slug": self.branch_slug},
            "commit": {
                "sha": self.revision.as_str(),
                "short": self.revision.short(),
                "rendered": self.rendered().as_str(),
            },
            "repo": {"owner": self.repository.owner(), "name": self.repository.name()},
            "app": {"name": app, "host": self.host_of(app), "url": url},
            "params": parameters,
        });
        // Of a branch it is null: `{{#if pr.number}}` tells the two apart.
        let number = self.pull_request.map(|number| number.0);
        if let Some(members) = context.as_object_mut() {
            members.insert("pr".into(), json!({"number": number}));
        }
        context
    }

    /// The first context value that holds a character which could mean something to YAML, as `name`. All are made by
    /// us from slugs, hashes and numbers, so this finds our own mistakes before they become somebody's injection.
    /// Parameters are not ours; they are held to the rules of the preview file.
    #[must_use]
    pub fn unsafe_context_value(&self) -> Option<String> {
        let safe = |text: &str| {
            text.chars().all(|c| c.is_ascii_alphanumeric() || "-._/".contains(c) || c == ':')
                && !text.contains(": ")
        };
        let context = self.context("app", &BTreeMap::new());
        for (outer, members) in context.as_object()? {
            for (inner, value) in members.as_object()? {
                if value.as_str().is_some_and(|text| !safe(text) || text.is_empty()) {
                    return Some(format!("{outer}.{inner}"));
                }
            }
        }
        let unsafe_host = |own: &&AppHost| {
            !safe(&own.host) || !safe(&own.url) || own.host.is_empty() || own.url.is_empty()
        };
        self.app_hosts.values().any(|own| unsafe_host(&own)).then(|| "app.host".to_owned())
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
    for (app, own) in &inputs.app_hosts {
        let name = app.to_ascii_uppercase().replace('-', "_");
        data.insert(format!("BIVOUAC_URL_{name}"), own.url.clone());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_learns_of_the_kinds_that_a_camp_may_hold() {
        let versions = [
            "apps/v1",
            "apps/v1/ControllerRevision",
            "apps/v1/Deployment",
            "example.com/v1",
            "example.com/v1/thing",
            "monitoring.coreos.com/v1",
            "monitoring.coreos.com/v1/ServiceMonitor",
            "v1",
            "v1/ConfigMap",
            "v1/Node",
        ];
        let api_versions = versions.map(str::to_owned).to_vec();
        let facts = ClusterFacts { kubernetes_version: "1.35".into(), api_versions };
        let of = |kinds: &[&str]| {
            facts.of_kinds(&kinds.iter().map(|kind| GroupKind::parse(kind)).collect()).api_versions
        };
        assert_eq!(
            of(&["ConfigMap", "Deployment.apps", "CronJob.batch"]),
            ["apps/v1", "apps/v1/Deployment", "v1", "v1/ConfigMap"]
        );
        assert_eq!(of(&["PodMonitor.monitoring.coreos.com"]), ["monitoring.coreos.com/v1"]);
        assert_eq!(of(&["thing.example.com"]), ["example.com/v1", "example.com/v1/thing"]);
        assert_eq!(facts.versions_of("example.com", "thing"), BTreeSet::from(["v1"]));
        assert_eq!(facts.versions_of("", "Node"), BTreeSet::from(["v1"]));
        assert_eq!(facts.versions_of("v1", "Node"), BTreeSet::new());
    }
}
