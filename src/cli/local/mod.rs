//! What `render` and `check` share: the repository on this disk, whose environment is to be shown, and its bundle. I/O:
//! reads the repository and one manifest.

mod manifest;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::{Misuse, Trouble};
use crate::apply::{CampId, labels};
use crate::config::RawTools;
use crate::domain::bundle::Bundle;
use crate::domain::definitions::Definition;
use crate::domain::file_tree::{FileTree, Wanted};
use crate::domain::finding::{Finding, Severity, sort};
use crate::domain::guard::{GuardPolicy, guard};
use crate::domain::guardrails::{
    Camp, INGRESS_NAMESPACES, Overrides, beside, copy_of, objects, pull_secret_name,
};
use crate::domain::id::{PrNumber, RepoName, Revision};
use crate::domain::naming::{self, Instance, Label};
use crate::domain::policy::Policy;
use crate::domain::render_inputs::{ClusterFacts, RenderInputs, RenderRules, environment_config};
use crate::render::check::with_hosts;
use crate::render::confined::ConfinedTools;
use crate::render::tools::Tools;
use crate::render::{self, RenderError, RenderLimits};
use crate::source::{
    LocalError, LocalRepository, SourceError, TreeLimits, WorkTreeError, read_work_tree,
};

/// Namespace of the service's own resources and name of its target, as `serve` has them unless told otherwise.
const OWN_NAMESPACE: &str = "bivouac-system";
const TARGET: &str = "in-cluster";

/// The repository, and whose environment is shown.
#[derive(Args, Clone, Debug)]
pub(super) struct Local {
    /// A git repository on this disk, bare or not, or a folder in one
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Manifest of the Repository, as the platform team applied it: limits, kinds, hosts. Without it: the defaults,
    /// and hosts below preview.localhost
    #[arg(long, value_name = "FILE")]
    repository: Option<PathBuf>,
    /// Number of the pull request
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    pr: u64,
    /// Name of the environment [default: <repository>-pr-<N>]
    #[arg(long, value_name = "NAME")]
    env: Option<String>,
    /// Its namespace, as `kubectl get env` shows it [default: computed as for an installation called `local`]
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// The head branch [default: the branch that --revision names or HEAD is on]
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// A parameter of the preview file; may be given many times
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = parameter)]
    params: Vec<(String, String)>,
    #[command(flatten)]
    tools: RawTools,
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// Which state of the repository.
#[derive(Clone, Debug)]
pub(super) enum At {
    /// The commit that this names.
    Revision(String),
    /// What is on disk.
    WorkTree,
}

/// An open repository, and all that is the same for each of its commits.
pub(super) struct Session {
    local: LocalRepository,
    policy: Policy,
    name: RepoName,
    environment: Label,
    namespace: Label,
    pr: PrNumber,
    branch: Option<String>,
    params: BTreeMap<String, String>,
    tools: Arc<dyn Tools>,
    /// What was taken because nobody said otherwise.
    pub(super) notes: Vec<String>,
}

/// The files of one state, and what they are rendered for.
pub(super) struct Commit {
    /// What people call it.
    pub(super) label: String,
    /// The commit, unless it is the work tree.
    pub(super) revision: Option<Revision>,
    /// The files, or why they can't be read.
    pub(super) tree: Result<FileTree, Finding>,
    /// All inputs.
    pub(super) inputs: RenderInputs,
    /// What renders charts and overlays.
    pub(super) tools: Arc<dyn Tools>,
}

/// A bundle, and what the guard says of it.
pub(super) struct Built {
    pub(super) bundle: Bundle,
    pub(super) findings: Vec<Finding>,
    pub(super) notes: Vec<String>,
    pub(super) inputs: RenderInputs,
    pub(super) hosts: Vec<String>,
}

impl Built {
    /// Whether the service would apply it.
    pub(super) fn is_refused(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

impl Local {
    pub(super) fn open(self) -> Result<Session, Misuse> {
        let Self { path, repository, pr, env, namespace, branch, params, tools } = self;
        let local = LocalRepository::discover(&path).map_err(Misuse::of)?;
        let mut notes = Vec::new();
        let given = repository.map(|file| manifest::read(&file)).transpose()?;
        let (record, name, policy) = if let Some(given) = given {
            (given.record, given.name, given.policy)
        } else {
            let folder = naming::slug(&local.name(), naming::LABEL_MAX);
            let name = match local.origin() {
                Some(name) => name,
                None => RepoName::parse("local", &folder).map_err(Misuse::of)?,
            };
            let policy = manifest::default_policy(&name)?;
            let host = &policy.url.host;
            notes.push(format!(
                "no --repository was given: default policy, hosts below {host}, repository {name}"
            ));
            (naming::slug(name.name(), 40), name, policy)
        };
        let pr = PrNumber(pr);
        let environment = match env {
            Some(env) => label("env", &env)?,
            None => naming::environment_name(&record, pr),
        };
        let namespace = match namespace {
            Some(namespace) => label("namespace", &namespace)?,
            None => naming::namespace_name(&instance()?, environment.as_str()),
        };
        let mut given = BTreeMap::new();
        for (key, value) in params {
            if given.insert(key.clone(), value).is_some() {
                return Err(Misuse::says(format!("--param {key} was given twice")));
            }
        }
        let params = given;
        let tools = Arc::new(ConfinedTools::find(tools.settings(std::env::temp_dir())));
        Ok(Session {
            local,
            policy,
            name,
            environment,
            namespace,
            pr,
            branch,
            params,
            tools,
            notes,
        })
    }
}

fn label(flag: &str, text: &str) -> Result<Label, Misuse> {
    Label::parse(text).ok_or_else(|| {
        Misuse::says(format!(
            "--{flag} must be lower-case letters, digits and -, begin and end with a letter or digit, and have at most \
             63 characters"
        ))
    })
}

/// The installation whose names are shown when nobody gives others.
fn instance() -> Result<Instance, Misuse> {
    Ok(Instance {
        name: label("instance", "local")?,
        own_namespace: OWN_NAMESPACE.into(),
        target: TARGET.into(),
        namespace_prefix: "camp-".into(),
    })
}

impl Session {
    /// Whether there is a work tree.
    pub(super) fn has_work_tree(&self) -> bool {
        self.local.work_tree().is_some()
    }

    /// The policy that everything is judged by.
    pub(super) fn policy(&self) -> Policy {
        self.policy.clone()
    }

    /// What the service puts beside a bundle. Secrets are shown without what is in them: that is known in the cluster
    /// only.
    pub(super) fn guardrails(&self, built: &Built) -> Result<Vec<Value>, Misuse> {
        let id = CampId {
            instance: instance()?.name.as_str().to_owned(),
            environment: self.environment.as_str().to_owned(),
            // Given by the cluster when the record is made: not known here.
            environment_uid: "00000000-0000-0000-0000-000000000000".to_owned(),
            namespace: self.namespace.as_str().to_owned(),
        };
        let camp = Camp {
            namespace: id.namespace.clone(),
            labels: labels(&id),
            hosts: built.hosts.clone(),
            untrusted: false,
            service_account: Some((OWN_NAMESPACE.to_owned(), "bivouac".to_owned())),
            ingress_namespaces: INGRESS_NAMESPACES.iter().map(|name| (*name).to_owned()).collect(),
            // Which pods those are is known in the cluster only.
            gatekeepers: None,
            closed: false,
        };
        let rules = &self.policy.guardrails;
        let mut all = objects(&camp, &self.policy, &Overrides::default()).map_err(Misuse::of)?;
        all.push(beside(&camp, environment_config(&built.inputs)));
        let pulled = rules.pull_secrets_for(camp.untrusted);
        let pulled = pulled.map(|secret| (pull_secret_name(&secret.name), &secret.name));
        let granted = rules.grants_for(camp.untrusted).map(|one| (one.name.clone(), &one.from));
        all.extend(
            pulled
                .chain(granted)
                .map(|(name, from)| copy_of(&camp, &name, &json!({"metadata": {"name": from}}))),
        );
        Ok(all)
    }

    /// Reads the files that `wanted` asks for: [`render::wanted`], as for the service, or one that asks for more.
    pub(super) fn commit(
        &self,
        at: &At,
        wanted: fn(&FileTree) -> Wanted,
    ) -> Result<Commit, Trouble> {
        let limits = TreeLimits::of(&self.policy.limits);
        match at {
            At::Revision(spec) => {
                let resolved = self.local.resolve(spec).map_err(Misuse::of)?;
                let tree = match self.local.read(&resolved.revision, limits, wanted) {
                    Ok(tree) => Ok(tree),
                    Err(error) => Err(finding_of(error)?),
                };
                Ok(Commit {
                    label: format!("{} ({spec})", resolved.revision.short()),
                    inputs: self.inputs(&resolved.revision, resolved.branch.as_deref()),
                    revision: Some(resolved.revision),
                    tree,
                    tools: self.tools.clone(),
                })
            }
            At::WorkTree => {
                let Some(root) = self.local.work_tree() else {
                    let message =
                        "a bare repository has no work tree; name a commit with --revision";
                    return Err(Misuse::says(message).into());
                };
                let tree = match read_work_tree(root, limits, wanted) {
                    Ok(tree) => Ok(tree),
                    Err(WorkTreeError::Source(error)) => Err(finding_of(error)?),
                    Err(error @ WorkTreeError::Unreadable { .. }) => return Err(error.into()),
                };
                // The commit that these files will be in is not known: the one they are based on stands for it.
                let (revision, branch) = match self.local.resolve("HEAD") {
                    Ok(resolved) => (resolved.revision, resolved.branch),
                    Err(LocalError::NoCommit { .. }) => (Revision::parse(&"0".repeat(40))?, None),
                    Err(error) => return Err(Misuse::of(error).into()),
                };
                let inputs = self.inputs(&revision, branch.as_deref());
                let tools = self.tools.clone();
                Ok(Commit { label: "the work tree".into(), revision: None, tree, inputs, tools })
            }
        }
    }

    /// The same inputs as the service's, for this environment.
    fn inputs(&self, revision: &Revision, branch: Option<&str>) -> RenderInputs {
        let branch = self.branch.as_deref().or(branch).unwrap_or("detached");
        RenderInputs {
            revision: revision.clone(),
            merge: None,
            repository: self.name.clone(),
            environment: self.environment.as_str().to_owned(),
            namespace: self.namespace.as_str().to_owned(),
            // Assigned when it is known what the commit exposes.
            host: String::new(),
            url: String::new(),
            app_hosts: BTreeMap::new(),
            pull_request: Some(self.pr),
            branch_slug: naming::slug(branch, naming::LABEL_MAX),
            parameters: self.params.clone(),
            rules: RenderRules::of(&self.policy),
            policy: RenderInputs::policy_of(&self.policy),
            cluster: ClusterFacts::default(),
            redeploy: None,
        }
    }
}

/// What is wrong with the commit, or that the repository could not be read at all.
fn finding_of(error: SourceError) -> Result<Finding, Trouble> {
    error.finding().ok_or_else(|| error.into())
}

/// Plan ▶ hosts ▶ render ▶ guard, as the service does it for an environment that has no hosts yet. `Err`: what stands
/// in the way.
pub(super) async fn build(commit: Commit, policy: &Policy) -> Result<Built, Unbuilt> {
    let tree = commit.tree.map_err(Unbuilt::Refused)?;
    let limits = RenderLimits::of(&policy.limits);
    let plan = render::plan(&tree, limits).map_err(Unbuilt::Render)?;
    let (inputs, hosts) = with_hosts(&commit.inputs, &policy.url, &plan.exposed());
    let rendered = render::render(&tree, &inputs, limits, commit.tools.as_ref())
        .await
        .map_err(Unbuilt::Render)?;
    let guess = rendered.chosen.guess().into_iter();
    let unasked = rendered.definitions.iter().map(Definition::note_unasked);
    let notes =
        guess.chain(rendered.notes.iter().map(ToString::to_string)).chain(unasked).collect();
    let guard_policy = GuardPolicy::of(policy, &inputs.namespace, &hosts);
    let mut findings: Vec<Finding> = guard(&rendered.bundle, &guard_policy)
        .iter()
        .map(|found| Finding::of_guard(found, &rendered.bundle))
        .collect();
    sort(&mut findings);
    Ok(Built { bundle: rendered.bundle, findings, notes, inputs, hosts })
}

/// Why there is no bundle.
pub(super) enum Unbuilt {
    /// The commit can't be read.
    Refused(Finding),
    /// It can't be rendered.
    Render(RenderError),
}

impl Unbuilt {
    /// The same for people.
    pub(super) fn finding(&self) -> Finding {
        match self {
            Self::Refused(finding) => finding.clone(),
            Self::Render(error) => error.finding(),
        }
    }

    /// There is nothing that asks for a preview: neither a preview file nor a path that is tried without one.
    pub(super) fn is_no_preview(&self) -> bool {
        matches!(self, Self::Render(RenderError::PathMissing { place, .. }) if place.position.is_none())
    }
}
