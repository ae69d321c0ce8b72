//! The same objects by other means: `git` and `kubectl` one after the other, as a pipeline does it, and a plain client
//! that knows already what to send. I/O: child processes, requests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bivouac::app::stage::{DOMAIN, REPOSITORY};
use bivouac::seams::BoxError;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use crate::world::World;

/// Where the plain manifests are in the repository.
const FOLDER: &str = "deploy/plain";
/// Field manager of the plain client.
pub(crate) const MANAGER: &str = "plain-client";
/// Requests of it at once, as many as the service has.
const AT_ONCE: usize = 8;

/// What `git` and `kubectl` do, in their order.
pub(crate) const STEPS: [&str; 4] = [
    "git clone --depth 1",
    "kubectl kustomize",
    "kubectl create namespace",
    "kubectl apply --server-side",
];

/// The preview's templates with values in them, and a kustomization that lists them.
pub(crate) fn plain(files: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let values = [
        ("{{commit.sha}}", "0123456789abcdef0123456789abcdef01234567".to_owned()),
        ("{{commit.short}}", "0123456".to_owned()),
        ("{{pr.number}}", "1".to_owned()),
        ("{{branch.slug}}", "plain".to_owned()),
        ("{{env.host}}", format!("plain.{DOMAIN}")),
        ("{{env.url}}", format!("http://plain.{DOMAIN}")),
        ("{{env.name}}", "plain".to_owned()),
    ];
    let mut all = BTreeMap::new();
    let mut list = "resources:\n".to_owned();
    for (path, text) in files {
        let name = path.strip_prefix("deploy/preview/").and_then(|name| name.strip_suffix(".hbs"));
        let Some(name) = name else { continue };
        let filled =
            values.iter().fold(text.clone(), |text, (key, value)| text.replace(key, value));
        all.insert(format!("{FOLDER}/{name}"), filled);
        list.push_str("  - ");
        list.push_str(name);
        list.push('\n');
    }
    all.insert(format!("{FOLDER}/kustomization.yaml"), list);
    all
}

/// The objects of the plain manifests.
pub(crate) fn objects(files: &BTreeMap<String, String>) -> Result<Vec<Value>, BoxError> {
    let mut all = Vec::new();
    for (path, text) in plain(files) {
        for document in text.split("---\n").filter(|_| !path.ends_with("kustomization.yaml")) {
            let object: Value = serde_saphyr::from_str(document)?;
            if object.is_object() {
                all.push(object);
            }
        }
    }
    Ok(all)
}

/// `git` and `kubectl`.
pub(crate) struct Pipeline {
    kubectl: PathBuf,
    folder: PathBuf,
}

impl Pipeline {
    /// The programs, or what is missing.
    pub(crate) async fn find(folder: &Path) -> Result<Self, String> {
        let kubectl = std::env::var_os("BIVOUAC_TEST_KUBECTL")
            .map(PathBuf::from)
            .ok_or("BIVOUAC_TEST_KUBECTL does not say where kubectl is")?;
        let pipeline = Self { kubectl, folder: folder.join("pipeline") };
        std::fs::create_dir_all(pipeline.folder.join("home")).map_err(|e| e.to_string())?;
        let kubectl = pipeline.kubectl.display().to_string();
        let versions: [(&str, &[&str]); 2] =
            [("git", &["--version"]), (&kubectl, &["version", "--client"])];
        for (program, arguments) in versions {
            let mut command = pipeline.command(program, None);
            run(command.args(arguments)).await.map_err(|e| e.to_string())?;
        }
        Ok(pipeline)
    }

    fn command(&self, program: &str, kubeconfig: Option<&Path>) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.folder.join("home")).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_TERMINAL_PROMPT", "0").env_remove("KUBECONFIG");
        if let Some(kubeconfig) = kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// One environment. Gives how long each step took.
    pub(crate) async fn raise(
        &self,
        world: &World,
        branch: &str,
        namespace: &str,
    ) -> Result<[Duration; 4], BoxError> {
        let at = world.stage.addresses.as_ref().ok_or("the stage has no addresses")?;
        let token = &world.stage.tokens.maintainer;
        let url = format!("http://x-access-token:{token}@{}/{REPOSITORY}.git", at.github);
        let clone = self.folder.join("clone");
        let manifest = self.folder.join("objects.yaml");
        let kubectl = || self.command(&self.kubectl.display().to_string(), Some(&at.kubeconfig));
        let mut took = [Duration::ZERO; 4];

        let began = Instant::now();
        let mut git = self.command("git", None);
        git.args(["clone", "--quiet", "--depth", "1", "--branch", branch, &url]).arg(&clone);
        run(&mut git).await?;
        took[0] = began.elapsed();

        let began = Instant::now();
        let rendered = run(kubectl().arg("kustomize").arg(clone.join(FOLDER))).await?;
        std::fs::write(&manifest, rendered)?;
        took[1] = began.elapsed();

        let began = Instant::now();
        run(kubectl().args(["create", "namespace", namespace])).await?;
        took[2] = began.elapsed();

        let began = Instant::now();
        let apply = ["apply", "--server-side", "--namespace", namespace, "--filename"];
        run(kubectl().args(apply).arg(&manifest)).await?;
        took[3] = began.elapsed();

        std::fs::remove_dir_all(&clone)?;
        Ok(took)
    }
}

/// Runs a program to its end. Gives what it printed.
async fn run(command: &mut Command) -> Result<Vec<u8>, BoxError> {
    let name = Path::new(command.as_std().get_program()).to_path_buf();
    let name = name.display();
    let output = command.output().await.map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(format!("{name} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr))
        .into())
}

/// The objects, eight at a time over connections that are there. Gives how long it took.
pub(crate) async fn apply_plainly(
    client: &Client,
    objects: &[Value],
    namespace: &str,
) -> Result<Duration, BoxError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let new = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
    namespaces.create(&PostParams::default(), &new).await?;
    // As many connections as are needed, open before anything counts.
    let warm = (0..AT_ONCE).map(|_| namespaces.get(namespace));
    futures::future::try_join_all(warm).await?;
    let by = PatchParams::apply(MANAGER).force();
    let send = async |object: &Value| -> Result<(), BoxError> {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (group, version) =
            text("/apiVersion").split_once('/').unwrap_or(("", text("/apiVersion")));
        let kind = GroupVersionKind::gvk(group, version, text("/kind"));
        let api: Api<DynamicObject> =
            Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk(&kind));
        api.patch(text("/metadata/name"), &by, &Patch::Apply(object)).await?;
        Ok(())
    };
    let began = Instant::now();
    stream::iter(objects).map(send).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
    Ok(began.elapsed())
}
