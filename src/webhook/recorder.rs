//! I/O · writes what an entrance may write: the record of a source, and the hint that it should be looked at again.
//! Each write is idempotent and none reads first.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use kube::Resource as _;
use kube::api::{
    ListParams, ObjectList, PartialObjectMeta, Patch, PatchParams, PostParams, Request,
};
use kube::client::Client;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;

use super::asked::Asked;
use crate::crd::{AWAITS_LABEL, Environment, HINT_ANNOTATION, REPOSITORY_LABEL, Repository};
use crate::domain::id::{PrNumber, Revision};
use crate::domain::naming::{branch_environment_name, environment_name};

/// Why a record or a hint could not be written. The forge is told to try again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("failed to write {record}")]
pub struct RecordError {
    /// Kind and name of the record.
    pub record: String,
    /// The API server's answer, or what kept us from it. Shared by all who waited for the same write.
    #[source]
    source: Arc<kube::Error>,
}

/// Writes records and hints in one namespace. A clone shares what is on its way.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    client: Client,
    namespace: String,
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
}

/// One source's writes: one at a time; hints that come meanwhile share the next.
#[derive(Default)]
struct Slot {
    turn: AsyncMutex<()>,
    waiting: Mutex<Option<Arc<Batch>>>,
}

impl Slot {
    /// From here on nobody joins `batch`.
    fn close(&self, batch: &Arc<Batch>) {
        let mut waiting = lock(&self.waiting);
        if waiting.as_ref().is_some_and(|next| Arc::ptr_eq(next, batch)) {
            *waiting = None;
        }
    }
}

#[derive(Default)]
struct Batch {
    wanted: Mutex<Wanted>,
    result: Mutex<Option<Result<(), RecordError>>>,
}

#[derive(Clone, Default)]
struct Wanted {
    delivery: String,
    create: bool,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("namespace", &self.0.namespace).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is written to.
enum Target<'a> {
    Environment {
        name: String,
        repository: &'a str,
        source: Value,
    },
    Repository(&'a str),
    /// A record that is there, by its name.
    Record(String),
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment { name, .. } | Self::Record(name) => write!(f, "environment {name}"),
            Self::Repository(name) => write!(f, "repository {name}"),
        }
    }
}

fn there_already(answer: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match answer {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        other => other,
    }
}

fn hint(delivery: &str) -> Patch<Value> {
    Patch::Merge(json!({"metadata": {"annotations": {HINT_ANNOTATION: delivery}}}))
}

impl Recorder {
    /// Writes into `namespace`, where the service's own resources are.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self(Arc::new(Inner {
            client,
            namespace: namespace.to_owned(),
            slots: Mutex::new(BTreeMap::new()),
        }))
    }

    /// Makes the record of a pull request when it is not there, and leaves the hint.
    pub async fn record(
        &self,
        repository: &str,
        number: PrNumber,
        delivery: &str,
    ) -> Result<(), RecordError> {
        self.write(repository, number, Wanted { delivery: delivery.to_owned(), create: true }).await
    }

    /// Leaves the hint when the record is there.
    pub async fn hint(
        &self,
        repository: &str,
        number: PrNumber,
        delivery: &str,
    ) -> Result<(), RecordError> {
        self.write(repository, number, Wanted { delivery: delivery.to_owned(), create: false })
            .await
    }

    /// Makes the record of a pull request when it is not there, and the Request of a command. No hint: a question must not
    /// disturb what is under way.
    pub(super) async fn command(&self, asked: &Asked) -> Result<(), RecordError> {
        let (name, environment) = (&asked.name, asked.environment());
        let failed = |record: String| {
            move |source: kube::Error| RecordError { record, source: Arc::new(source) }
        };
        let source = json!({"pullRequest": {"number": asked.number}});
        there_already(self.create(&asked.repository, &source, &environment).await)
            .map_err(failed(format!("environment {environment}")))?;
        let record = json!({
            "apiVersion": crate::crd::Request::api_version(&()),
            "kind": crate::crd::Request::kind(&()),
            "metadata": {"name": name, "namespace": self.0.namespace},
            "spec": asked.spec(),
        });
        let bytes = record.to_string().into_bytes();
        let path = crate::crd::Request::url_path(&(), Some(&self.0.namespace));
        let request = Request::new(path).create(&PostParams::default(), bytes);
        there_already(self.run(request).await).map_err(failed(format!("request {name}")))
    }

    async fn write(
        &self,
        repository: &str,
        number: PrNumber,
        wanted: Wanted,
    ) -> Result<(), RecordError> {
        let name = environment_name(repository, number).to_string();
        let source = json!({"pullRequest": {"number": number}});
        self.together(&Target::Environment { name, repository, source }, wanted).await
    }

    /// Leaves the hint at the record of a branch, which is made when it is not there and `create` says so.
    pub async fn branch(
        &self,
        repository: &str,
        branch: &str,
        delivery: &str,
        create: bool,
    ) -> Result<(), RecordError> {
        let wanted = Wanted { delivery: delivery.to_owned(), create };
        let name = branch_environment_name(repository, branch).to_string();
        let source = json!({"branch": {"name": branch}});
        self.together(&Target::Environment { name, repository, source }, wanted).await
    }

    /// Leaves the hint at a Repository, so that all of it is looked at.
    pub async fn look(&self, repository: &str, delivery: &str) -> Result<(), RecordError> {
        let wanted = Wanted { delivery: delivery.to_owned(), create: false };
        self.together(&Target::Repository(repository), wanted).await
    }

    /// Leaves the hint at each record that waits for checks of a commit. They are found by their label.
    pub async fn checked(&self, revision: &Revision, delivery: &str) -> Result<(), RecordError> {
        let failed = |error| RecordError {
            record: format!("what waits for commit {}", revision.short()),
            source: Arc::new(error),
        };
        let waiting = ListParams::default().labels(&format!("{AWAITS_LABEL}={revision}"));
        let request = self.request().list_metadata(&waiting);
        let request = request.map_err(kube::Error::BuildRequest).map_err(failed)?;
        let found = self.0.client.request::<ObjectList<PartialObjectMeta<Environment>>>(request);
        for record in found.await.map_err(failed)?.items {
            let wanted = Wanted { delivery: delivery.to_owned(), create: false };
            let name = record.metadata.name.unwrap_or_default();
            self.together(&Target::Record(name), wanted).await?;
        }
        Ok(())
    }

    async fn annotate_repository(
        &self,
        repository: &str,
        delivery: &str,
    ) -> Result<(), kube::Error> {
        let request = Request::new(Repository::url_path(&(), Some(&self.0.namespace)));
        match self.run(request.patch(repository, &PatchParams::default(), &hint(delivery))).await {
            // Nobody serves it any more.
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// Writes, together with all who want the same record written meanwhile.
    async fn together(&self, target: &Target<'_>, wanted: Wanted) -> Result<(), RecordError> {
        let name = target.to_string();
        let slot = Arc::clone(lock(&self.0.slots).entry(name.clone()).or_default());
        let batch = {
            let mut waiting = lock(&slot.waiting);
            let batch = Arc::clone(waiting.get_or_insert_default());
            let mut shared = lock(&batch.wanted);
            shared.delivery = wanted.delivery;
            shared.create |= wanted.create;
            drop(shared);
            batch
        };
        let result = {
            let _turn = slot.turn.lock().await;
            let done = lock(&batch.result).clone();
            if let Some(result) = done {
                result
            } else {
                // The first to get here writes for all who joined. When its caller goes away in the middle, the next
                // one does it again: each write is idempotent.
                slot.close(&batch);
                let wanted = lock(&batch.wanted).clone();
                let result = match target {
                    Target::Repository(repository) => {
                        self.annotate_repository(repository, &wanted.delivery).await
                    }
                    Target::Record(name) => match self.annotate(name, &wanted.delivery).await {
                        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
                        other => other,
                    },
                    Target::Environment { name, repository, source } => {
                        self.send(repository, source, name, &wanted).await
                    }
                };
                let result = result.map_err(|source| RecordError {
                    record: name.clone(),
                    source: Arc::new(source),
                });
                *lock(&batch.result) = Some(result.clone());
                result
            }
        };
        let mut slots = lock(&self.0.slots);
        // The map's and ours: nobody else waits, and none can come while the map is locked.
        if Arc::strong_count(&slot) == 2 {
            slots.remove(&name);
        }
        result
    }

    async fn send(
        &self,
        repository: &str,
        source: &Value,
        name: &str,
        wanted: &Wanted,
    ) -> Result<(), kube::Error> {
        if wanted.create {
            match self.create(repository, source, name).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                other => other?,
            }
        }
        match self.annotate(name, &wanted.delivery).await {
            // A closed pull request that we never heard of.
            Err(kube::Error::Api(status)) if status.is_not_found() && !wanted.create => Ok(()),
            other => other,
        }
    }

    /// Repository and source, and nothing else: defaults are the API server's to fill in.
    async fn create(
        &self,
        repository: &str,
        source: &Value,
        name: &str,
    ) -> Result<(), kube::Error> {
        let record = json!({
            "apiVersion": Environment::api_version(&()),
            "kind": Environment::kind(&()),
            "metadata": {
                "name": name,
                "namespace": self.0.namespace,
                "labels": {REPOSITORY_LABEL: repository},
            },
            "spec": {"repository": repository, "source": source},
        });
        let bytes = record.to_string().into_bytes();
        let request = self.request().create(&PostParams::default(), bytes);
        self.run(request).await
    }

    async fn annotate(&self, name: &str, delivery: &str) -> Result<(), kube::Error> {
        let request = self.request().patch(name, &PatchParams::default(), &hint(delivery));
        self.run(request).await
    }

    fn request(&self) -> Request {
        Request::new(Environment::url_path(&(), Some(&self.0.namespace)))
    }

    /// The answer's object is not read: what is stored may be of a newer schema than ours.
    async fn run(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<(), kube::Error> {
        let request = request.map_err(kube::Error::BuildRequest)?;
        self.0.client.request::<IgnoredAny>(request).await.map(|_| ())
    }

    #[cfg(test)]
    pub(super) fn on_its_way(&self) -> usize {
        lock(&self.0.slots).len()
    }
}
