//! What the stories have in common: a world, the words to act in it, and waits for a condition on the virtual clock.

mod golden;
pub(crate) mod network;
pub(crate) mod openapi;
mod process;
pub(crate) mod socket;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, NAME, NAMESPACE, REPOSITORY, Stage, Wiring};
use bivouac::crd::{Environment, EnvironmentStatus, Repository};
use bivouac::render::tools::{NoTools, Tools};
use bivouac::sandbox::cluster::api::AuditEvent;
use bivouac::sandbox::github::NewPull;
use bivouac::seams::{Clock, Rng};
use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

pub(crate) use golden::golden;
pub(crate) use process::{internet_sockets, threads_of_this_test};

/// The service's account at the API server.
pub(crate) const SERVICE: &str = "system:serviceaccount:bivouac-system:bivouac";
/// Between two sweeps, with the longest jitter of the controller.
pub(crate) const SWEEP: Duration = Duration::from_secs(360);

/// Files by path.
pub(crate) type Files<'a> = BTreeMap<&'a str, &'a str>;

/// A world of its own for one story.
pub(crate) struct World {
    pub(crate) stage: Stage,
    folder: TempDir,
    _turn: Option<MutexGuard<'static, ()>>,
    _judged: openapi::AtTheEnd,
}

/// A kubeconfig of a real API server to spare.
const REAL: &str = "BIVOUAC_TEST_KUBECONFIG";
/// Whether stories that can, run on it.
fn is_real() -> bool {
    std::env::var_os(REAL).is_some()
}

/// Stories on a real API server come one after another.
static TURN: Mutex<()> = Mutex::const_new(());

/// When every story begins.
pub(crate) fn start() -> DateTime<Utc> {
    "2026-03-02T09:00:00Z".parse().expect("a time")
}

/// A file below the path that the preview file names.
pub(crate) fn one<'a>(path: &'a str, text: &'a str) -> Files<'a> {
    Files::from([(path, text)])
}

impl World {
    /// For a story that needs an API server and nothing of its inside: no audit, no faults, no virtual time. It is the
    /// one of `BIVOUAC_TEST_KUBECONFIG` where that is set.
    pub(crate) async fn anywhere(seed: u64) -> Self {
        let Some(kubeconfig) = std::env::var_os(REAL) else { return Self::new(seed).await };
        let turn = TURN.lock().await;
        tokio::time::resume();
        // A second call finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = TempDir::new().expect("a folder for the story");
        let tools = Arc::new(NoTools::because("a story starts no program"));
        let stage = Stage::build_elsewhere(folder.path(), Path::new(&kubeconfig), tools).await;
        Self::of(stage.expect("a world"), folder, Some(turn))
    }

    /// For a story that needs the embedded Kubernetes: its virtual time, its audit, faults on wish. It is never a real one.
    #[expect(clippy::print_stderr, reason = "a story that is not run says why")]
    pub(crate) async fn new(seed: u64) -> Self {
        if is_real() {
            let test = std::thread::current();
            let name = test.name().unwrap_or("a story");
            eprintln!(
                "{name}: not run on the real API server; it needs virtual time, the audit or faults"
            );
        }
        let reason = "a story starts no program";
        Self::with_tools(seed, Arc::new(NoTools::because(reason))).await
    }

    /// With something that renders charts and overlays.
    pub(crate) async fn with_tools(seed: u64, tools: Arc<dyn Tools>) -> Self {
        let folder = TempDir::new().expect("a folder for the story");
        let (clock, rng) = (Clock::simulated(start()), Rng::seeded(seed));
        let path = folder.path();
        let stage = Stage::build_with_tools(path, Wiring::InProcess, clock, rng, tools).await;
        Self::of(stage.expect("a world"), folder, None)
    }

    fn of(stage: Stage, folder: TempDir, turn: Option<MutexGuard<'static, ()>>) -> Self {
        let judged = openapi::AtTheEnd::of(&stage.github);
        Self { stage, folder, _turn: turn, _judged: judged }
    }

    // === Acting ===

    /// A branch with one more commit, proposed to main. Gives number and head.
    pub(crate) fn open(&self, branch: &str, files: &Files<'_>) -> (u64, String) {
        let github = &self.stage.github;
        let head = github.commit(REPOSITORY, branch, files, "Change something\n", MAINTAINER);
        let head = head.expect("a commit");
        (self.propose(branch, "A change", MAINTAINER), head)
    }

    pub(crate) fn propose(&self, head: &str, title: &str, author: &str) -> u64 {
        let pull = NewPull {
            head: head.into(),
            base: "main".into(),
            title: title.into(),
            body: None,
            draft: false,
        };
        let number = self.stage.github.open_pull_request(REPOSITORY, &pull, author);
        number.expect("a pull request")
    }

    /// A branch with a harmless change, proposed to main, and its camp waited for.
    pub(crate) async fn camp(&self, branch: &str) -> (u64, String) {
        let (number, head) = self.open(branch, &one("CHANGES.md", branch));
        self.ready(number, &head).await;
        (number, head)
    }

    pub(crate) fn push(&self, branch: &str, files: &Files<'_>) -> String {
        self.stage.github.push(REPOSITORY, branch, files, MAINTAINER).expect("a push")
    }

    pub(crate) fn close(&self, number: u64) {
        self.stage.github.close(REPOSITORY, number, MAINTAINER).expect("closing");
    }

    pub(crate) fn reopen(&self, number: u64) {
        self.stage.github.reopen(REPOSITORY, number, MAINTAINER).expect("reopening");
    }

    /// Webhooks are lost from now on, or not any more.
    pub(crate) fn lose_webhooks(&self, lost: bool) {
        self.stage.github.set_hook_active(self.stage.hook, !lost);
    }

    /// Changes the Repository's spec, as the platform team does.
    pub(crate) async fn policy(&self, spec: Value) {
        let api: Api<Repository> = Api::namespaced(self.stage.admin.clone(), NAMESPACE);
        let patch = Patch::Merge(json!({ "spec": spec }));
        api.patch(NAME, &PatchParams::default(), &patch).await.expect("a policy");
    }

    /// Changes a record's spec, as somebody with rights in the cluster does.
    pub(crate) async fn ask(&self, number: u64, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let name = format!("{NAME}-pr-{number}");
        let asked = self.stage.environments().patch(&name, &PatchParams::default(), &patch).await;
        asked.expect("a wish");
    }

    /// Throws away every commit that the service has fetched.
    pub(crate) fn forget_fetched(&self) {
        let cache = self.folder.path().join("cache");
        std::fs::remove_dir_all(&cache).expect("the cache is gone");
        std::fs::create_dir_all(&cache).expect("an empty cache");
    }

    pub(crate) async fn sleep(&self, time: Duration) {
        self.stage.clock.sleep(time).await;
    }

    // === Looking ===

    pub(crate) async fn record(&self, number: u64) -> Option<Environment> {
        self.stage.environment(number).await
    }

    pub(crate) async fn status(&self, number: u64) -> Option<EnvironmentStatus> {
        self.record(number).await?.status
    }

    /// The one comment of the service that says how the preview does; two are a failure at once.
    pub(crate) fn comment(&self, number: u64) -> Option<String> {
        let comments = self.stage.github.comments(REPOSITORY, number).expect("comments");
        let mut ours = comments.into_iter().filter(|comment| {
            comment.author == BOT && !comment.body.starts_with("<!-- bivouac-reply:")
        });
        let first = ours.next();
        assert!(ours.next().is_none(), "there are two comments on #{number}");
        first.map(|comment| comment.body)
    }

    /// UID of the camp's namespace.
    pub(crate) async fn namespace(&self, number: u64) -> Option<Namespace> {
        let api: Api<Namespace> = Api::all(self.stage.admin.clone());
        api.get_opt(&self.stage.namespace_of(number)).await.expect("an answer")
    }

    pub(crate) async fn camp_uid(&self, number: u64) -> Option<String> {
        self.namespace(number).await?.metadata.uid
    }

    /// Names of the camp's ConfigMaps.
    pub(crate) async fn config_maps(&self, number: u64) -> Vec<String> {
        let namespace = self.stage.namespace_of(number);
        let api: Api<ConfigMap> = Api::namespaced(self.stage.admin.clone(), &namespace);
        let found = api.list(&ListParams::default()).await.expect("a list");
        found.items.into_iter().filter_map(|item| item.metadata.name).collect()
    }

    /// The page behind the preview URL: status and text.
    pub(crate) async fn page(&self, number: u64) -> Option<(u16, String)> {
        let url = self.status(number).await?.urls.first()?.url.clone();
        self.stage.browse(&url).await.ok()
    }

    /// What was asked of the API server since `since`, and is neither reading nor the renewal of a Lease.
    pub(crate) fn writes_since(&self, since: DateTime<Utc>) -> Vec<AuditEvent> {
        let mut audit = self.stage.cluster.audit();
        audit.retain(|event| {
            event.at >= since
                && !matches!(event.verb.as_str(), "get" | "list" | "watch")
                && event.resource != "leases"
        });
        audit
    }

    /// What the service itself wrote since `since`, as itself or as a camp's deployer; one a line.
    pub(crate) fn written_by_the_service(&self, since: DateTime<Utc>) -> Vec<String> {
        let ours = self.writes_since(since).into_iter().filter(|event| event.user == SERVICE);
        ours.map(|event| format!("{} {} {} {}", event.at, event.verb, event.uri, event.code))
            .collect()
    }

    /// What the forge was asked since its request number `first`, and is no reading; one a line.
    pub(crate) fn told_to_the_forge(&self, first: usize) -> Vec<String> {
        let requests = self.stage.github.requests().into_iter().skip(first);
        let told =
            requests.filter(|r| !matches!(r.method.as_str(), "GET" | "HEAD" | "FETCH" | "GIT"));
        told.map(|r| format!("{} {} {} {}", r.at, r.method, r.path, r.status)).collect()
    }

    // === Waiting ===

    /// Waits for a condition, ten virtual minutes at most: two sweeps.
    pub(crate) async fn until<T, F>(&self, what: &str, condition: impl Fn() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        self.within(Duration::from_secs(800), what, condition).await
    }

    pub(crate) async fn within<T, F>(
        &self,
        longest: Duration,
        what: &str,
        condition: impl Fn() -> F,
    ) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let deadline = self.stage.clock.now() + longest;
        // Watching closely at first; a wait for a sweep needs no more than a look each second.
        let mut pause = Duration::from_millis(25);
        loop {
            if let Some(found) = condition().await {
                return found;
            }
            assert!(
                self.stage.clock.now() < deadline,
                "waited {longest:?} in vain until {what}\n{}",
                self.picture().await
            );
            self.sleep(pause).await;
            pause = (pause + pause / 50).min(Duration::from_secs(1));
        }
    }

    /// All records with their comments, for a failure's message.
    async fn picture(&self) -> String {
        let records = self.stage.environments().list(&ListParams::default()).await;
        let mut text = String::new();
        for record in records.expect("a list").items {
            let number = record.spec.source.number().unwrap_or_default();
            let status = serde_json::to_string_pretty(&record.status).expect("JSON");
            let comment = (number > 0).then(|| self.comment(number)).flatten().unwrap_or_default();
            writeln!(text, "#{number}: {status}\n{comment}").expect("a text can be written to");
        }
        let github = &self.stage.github;
        for run in github.check_runs(REPOSITORY).expect("check runs") {
            let line = (run.id, run.sha, run.status, run.conclusion, run.title);
            writeln!(text, "check run {line:?}").expect("a text can be written to");
        }
        for deployment in github.deployments(REPOSITORY).expect("deployments") {
            let line = (deployment.id, deployment.sha, deployment.task, deployment.states);
            writeln!(text, "deployment {line:?}").expect("a text can be written to");
        }
        text
    }

    /// Waits until the record is ready with `head`, its page shows that commit, and the comment names it.
    pub(crate) async fn ready(&self, number: u64, head: &str) {
        self.until(&format!("#{number} is ready at {head}"), async || {
            let status = self.status(number).await?;
            let ready = status.holds("Ready") && status.revision.as_deref() == Some(head);
            let (code, page) = self.page(number).await.filter(|_| ready)?;
            let comment = self.comment(number)?;
            let told = comment.contains("### Preview is ready") && comment.contains(head);
            (code == 200 && page.contains(head) && told).then_some(())
        })
        .await;
    }

    /// Waits until the comment holds `text`, and gives it.
    pub(crate) async fn told(&self, number: u64, text: &str) -> String {
        self.until(&format!("the comment on #{number} says {text:?}"), async || {
            self.comment(number).filter(|comment| comment.contains(text))
        })
        .await
    }

    /// Waits until there is no namespace.
    pub(crate) async fn gone(&self, number: u64) {
        self.until(&format!("the camp of #{number} is gone"), async || {
            self.namespace(number).await.is_none().then_some(())
        })
        .await;
    }

    /// Waits until the record says that the pull request is closed and nothing is left.
    pub(crate) async fn closed(&self, number: u64) {
        self.gone(number).await;
        self.until(&format!("#{number} is closed"), async || {
            let status = self.status(number).await?;
            (status.phase == Some(bivouac::crd::Phase::Closed)).then_some(())
        })
        .await;
    }
}
