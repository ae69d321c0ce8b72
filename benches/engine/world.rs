//! A folder in; a stage, the service beside it and what both show out. I/O with cluster, forge and one child process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, NAME, NAMESPACE, REPOSITORY, Stage};
use bivouac::crd::{Environment, EnvironmentStatus, Repository};
use bivouac::sandbox::github::NewPull;
use bivouac::seams::{BoxError, Clock, Rng};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Config};
use serde_json::Value;
use tokio::process::Child;
use tokio::time::Instant;

use crate::baseline;
use crate::elsewhere::Elsewhere;
use crate::numbers::say;
use crate::{preview, serve};

/// What takes longer is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A stage with the service beside it.
pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) serve: Child,
    /// An administrator who keeps his connections, as any client has them.
    pub(crate) client: Client,
    pub(crate) folder: PathBuf,
    /// The API server, when it is not the embedded one.
    pub(crate) elsewhere: Option<Elsewhere>,
}

impl World {
    /// Raises it. Each pull request has so many objects, as a preview and as plain manifests for `kubectl`.
    pub(crate) async fn raise(
        folder: &Path,
        objects: usize,
        arguments: &[&str],
        elsewhere: Option<Elsewhere>,
    ) -> Result<Self, BoxError> {
        let (clock, rng) = (Clock::system(), Rng::system());
        let stage = match &elsewhere {
            None => Stage::without_service(folder, clock, rng).await?,
            Some(Elsewhere { kubeconfig, .. }) => {
                Stage::without_service_elsewhere(folder, kubeconfig, clock, rng).await?
            }
        };
        // GitHub's 5,000 requests an hour are for people; here they would end the measurement.
        stage.github.set_rate_limit(Some(10_000_000));
        let mut files = preview::preview(objects);
        files.extend(baseline::plain(&files));
        let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        stage.github.replace(REPOSITORY, "main", &files, "Light a bigger fire\n", MAINTAINER)?;
        let at = stage.addresses.as_ref().ok_or("the stage has no addresses")?;
        let kubeconfig = Kubeconfig::read_from(&at.kubeconfig)?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        let client = Client::try_from(config)?;
        let serve = match &elsewhere {
            None => serve::start(&stage, folder, arguments)?,
            Some(elsewhere) => {
                let kubeconfig = elsewhere.kubeconfig_of_service(&stage.admin).await?;
                serve::start_with(&stage, folder, &kubeconfig, arguments)?
            }
        };
        let world = Self { stage, serve, client, folder: folder.to_owned(), elsewhere };
        let served = world
            .stage
            .until("the service is there", async || serve::is_served(&world.stage).await);
        match served.await {
            Ok(()) => Ok(world),
            Err(error) => world.end(Err(error)).await,
        }
    }

    /// Ends everything, and says why nothing was measured when that is so.
    pub(crate) async fn end<T>(mut self, measured: Result<T, BoxError>) -> Result<T, BoxError> {
        self.serve.kill().await?;
        self.stage.end().await;
        if measured.is_err() {
            for line in serve::end_of_log(&self.folder) {
                say(&line);
            }
        }
        measured
    }

    /// Changes the Repository's policy.
    pub(crate) async fn policy(&self, spec: Value) -> Result<(), BoxError> {
        let api: Api<Repository> = Api::namespaced(self.stage.admin.clone(), NAMESPACE);
        let change = Patch::Merge(serde_json::json!({ "spec": spec }));
        api.patch(NAME, &PatchParams::default(), &change).await?;
        Ok(())
    }

    /// A commit on a branch of its own. Gives its hash.
    pub(crate) fn commit(
        &self,
        branch: &str,
        files: &BTreeMap<&str, &str>,
        author: &str,
    ) -> Result<String, BoxError> {
        Ok(self.stage.github.commit(REPOSITORY, branch, files, "Add a spark\n", author)?)
    }

    /// A pull request for a branch. Gives its number.
    pub(crate) fn open(&self, branch: &str, author: &str) -> Result<u64, BoxError> {
        let new = NewPull {
            title: branch.to_owned(),
            head: branch.to_owned(),
            base: "main".into(),
            body: None,
            draft: false,
        };
        Ok(self.stage.github.open_pull_request(REPOSITORY, &new, author)?)
    }

    /// Both.
    pub(crate) fn pull(
        &self,
        branch: &str,
        files: &BTreeMap<&str, &str>,
    ) -> Result<(u64, String), BoxError> {
        let head = self.commit(branch, files, MAINTAINER)?;
        Ok((self.open(branch, MAINTAINER)?, head))
    }

    /// Polls until the record of a pull request is so. For what is not measured.
    pub(crate) async fn until(
        &self,
        number: u64,
        what: &str,
        is_so: impl Fn(&EnvironmentStatus) -> bool,
    ) -> Result<EnvironmentStatus, BoxError> {
        let began = Instant::now();
        loop {
            let status = self.stage.environment(number).await.and_then(|record| record.status);
            if let Some(status) = status.clone().filter(&is_so) {
                return Ok(status);
            }
            if began.elapsed() > PATIENCE {
                let reason = status.and_then(|status| status.reason).unwrap_or_default();
                return Err(format!("#{number}: waited in vain until {what}: {reason}").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a namespace is not there any more.
    pub(crate) async fn gone(&self, namespace: &str) -> Result<(), BoxError> {
        let api: Api<Namespace> = Api::all(self.stage.admin.clone());
        let began = Instant::now();
        while api.get_opt(namespace).await?.is_some() {
            if began.elapsed() > PATIENCE {
                return Err(format!("the namespace {namespace} does not go").into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Deletes a namespace, with all that is in it.
    pub(crate) async fn delete(&self, namespace: &str) -> Result<(), BoxError> {
        let api: Api<Namespace> = Api::all(self.stage.admin.clone());
        api.delete(namespace, &DeleteParams::default()).await?;
        self.gone(namespace).await
    }

    /// Records as they change.
    pub(crate) fn records(&self) -> BoxStream<'static, Result<Environment, watcher::Error>> {
        watcher::watcher(self.stage.environments(), watcher::Config::default())
            .applied_objects()
            .boxed()
    }
}

/// The number of the pull request that a record is of.
pub(crate) fn number_of(record: &Environment) -> u64 {
    record.spec.source.number().unwrap_or_default()
}

/// Whether this commit's bundle was applied whole.
pub(crate) fn is_applied(status: &EnvironmentStatus, head: &str) -> bool {
    status.revision.as_deref() == Some(head) && status.holds("Applied")
}
