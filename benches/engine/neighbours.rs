//! Three pull requests that never get to their end: an image that never comes, a camp that is stuck in its deletion, and
//! a chart that renders for 300 s. Input: a world; output: a proof that they are still at it. I/O with the world, `/proc`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bivouac::app::stage::{FILES, MAINTAINER, REPOSITORY};
use bivouac::crd::Phase;
use bivouac::seams::BoxError;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, Patch, PatchParams, PostParams};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::Instant;

use crate::numbers::say;
use crate::world::{PATIENCE, World};

/// What a render may take, and takes.
const RENDER: Duration = Duration::from_secs(300);
/// The image of the demo's preview, and one that the sandbox's registry does not have.
const IMAGE: &str = "nginxinc/nginx-unprivileged:1.29";
const NO_IMAGE: &str = "nginxinc/nginx-unprivileged:does-not-exist";
/// Of a controller that does not run.
const FINALIZER: &str = "example.com/hold";

/// What this program is to do when it is started as Helm.
pub(crate) enum Order {
    /// Say a version that the service takes.
    Version,
    /// Render, and come to no end.
    Template,
}

/// Whether this program was started as Helm.
pub(crate) fn order() -> Option<Order> {
    match std::env::args().nth(1)?.as_str() {
        "version" => Some(Order::Version),
        "template" => Some(Order::Template),
        _ => None,
    }
}

impl Order {
    /// Does it.
    pub(crate) fn obey(self) {
        match self {
            Self::Version => say("v4.0.0"),
            Self::Template => std::thread::sleep(RENDER),
        }
    }
}

/// A Helm of this run alone, so that its processes can be told from all others.
pub(crate) struct Helm(PathBuf);

impl Helm {
    /// This program under the name of Helm.
    pub(crate) fn new(folder: &Path) -> Result<Self, BoxError> {
        let (own, helm) = (std::env::current_exe()?, folder.join("helm"));
        if std::fs::hard_link(&own, &helm).is_err() {
            std::fs::copy(&own, &helm)?;
        }
        Ok(Self(std::fs::canonicalize(helm)?))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> String {
        self.0.display().to_string()
    }

    /// Its processes.
    fn running(&self) -> Vec<Pid> {
        let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
        all.filter_map(|entry| {
            let entry = entry.ok()?;
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            let program = std::fs::read_link(entry.path().join("exe")).ok()?;
            (program == self.0).then(|| Pid::from_raw(id))?
        })
        .collect()
    }
}

impl Drop for Helm {
    fn drop(&mut self) {
        for process in self.running() {
            // It may have ended meanwhile.
            let _ = kill_process(process, Signal::KILL);
        }
    }
}

/// They stand in the way from now on.
pub(crate) struct Neighbours {
    image: u64,
    stuck: String,
    render: u64,
}

impl Neighbours {
    /// Opens them, and waits until each is where it stays.
    pub(crate) async fn begin(world: &World, helm: &Helm) -> Result<Self, BoxError> {
        world.policy(json!({"limits": {"renderTime": format!("{}s", RENDER.as_secs())}})).await?;
        let find = |path: &str| FILES.iter().find(|file| file.0 == path).map(|file| file.1);
        let web = "deploy/preview/web.yaml.hbs";
        let text = find(web).ok_or("the demo has no such file")?.replace(IMAGE, NO_IMAGE);
        let (image, _) = world.pull("no-image", &BTreeMap::from([(web, text.as_str())]))?;

        let (number, _) = world.pull("stuck", &BTreeMap::from([("CHANGES.md", "stuck\n")]))?;
        let ready = world.until(number, "it is ready", |status| status.holds("Ready")).await?;
        let stuck = ready.namespace.ok_or("a camp without a namespace")?;
        let maps: Api<ConfigMap> = Api::namespaced(world.stage.admin.clone(), &stuck);
        let held = json!({"metadata": {"name": "held", "finalizers": [FINALIZER]}});
        maps.create(&PostParams::default(), &serde_json::from_value(held)?).await?;
        world.stage.github.close(REPOSITORY, number, MAINTAINER)?;

        let chart = BTreeMap::from([
            (".bivouac.yaml", "apps: [{name: db, path: chart}]\n"),
            ("chart/Chart.yaml", "apiVersion: v2\nname: chart\nversion: 1.0.0\n"),
            ("chart/templates/map.yaml", "# never rendered\n"),
        ]);
        let (render, _) = world.pull("render", &chart)?;

        world.until(image, "its image is missed", |status| !status.trouble.is_empty()).await?;
        let began = Instant::now();
        let neighbours = Self { image, stuck, render };
        while let Err(why) = neighbours.are_at_it(world, helm).await {
            if began.elapsed() > PATIENCE {
                return Err(why);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(neighbours)
    }

    /// Whether all three are as bad as they should be.
    pub(crate) async fn are_at_it(&self, world: &World, helm: &Helm) -> Result<(), BoxError> {
        if helm.running().is_empty() {
            let status = world.stage.environment(self.render).await.and_then(|one| one.status);
            let reason = status.and_then(|status| status.reason).unwrap_or_default();
            return Err(format!("nothing is being rendered: {reason}").into());
        }
        let namespaces: Api<Namespace> = Api::all(world.stage.admin.clone());
        let camp = namespaces.get(&self.stuck).await?;
        if camp.metadata.deletion_timestamp.is_none() {
            return Err("the camp that should be stuck is not being deleted".into());
        }
        let image = world.stage.environment(self.image).await.and_then(|one| one.status);
        if image.is_none_or(|status| status.phase == Some(Phase::Ready)) {
            return Err("the camp without its image is ready".into());
        }
        Ok(())
    }

    /// Lets them go, as well as that is possible in a moment.
    pub(crate) async fn end(self, world: &World, helm: &Helm) -> Result<(), BoxError> {
        for number in [self.image, self.render] {
            world.stage.github.close(REPOSITORY, number, MAINTAINER)?;
        }
        let maps: Api<ConfigMap> = Api::namespaced(world.stage.admin.clone(), &self.stuck);
        let none = Patch::Merge(json!({"metadata": {"finalizers": []}}));
        maps.patch("held", &PatchParams::default(), &none).await?;
        let began = Instant::now();
        while !helm.running().is_empty() && began.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}
