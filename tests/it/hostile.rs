//! A hostile pull request costs its author a preview, and nobody else anything; a chart that draws passwords draws each
//! of them once.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bivouac::app::stage::NAMESPACE;
use bivouac::crd::Phase;
use bivouac::render::tools::{
    HelmJob, KustomizeJob, RandomOutput, ToolDocument, ToolError, ToolOutput, Tools,
};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use crate::bad_input::{Witness, bomb};
use crate::support::{Files, SWEEP, World, one};

const CHART: &str = "apiVersion: v2\nname: chart\nversion: 1.0.0\n";

/// Charts that never end: what confines them ends them when their time is up.
#[derive(Default)]
struct Hanging {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

/// Counts a renderer that is gone, by its time or because nobody waits for it.
struct Ended<'a>(&'a AtomicUsize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Hanging {
    async fn hang(&self, time: Duration) -> Result<ToolOutput, ToolError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let _ended = Ended(&self.ended);
        tokio::time::sleep(time).await;
        let message = format!("helm took longer than {} s (limits.renderTime)", time.as_secs());
        Err(ToolError::TooMuch { message })
    }

    fn hangs_now(&self) -> usize {
        self.begun.load(Ordering::SeqCst) - self.ended.load(Ordering::SeqCst)
    }
}

impl Tools for Hanging {
    fn helm(&self, job: HelmJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        Box::pin(self.hang(job.limits.time))
    }

    fn kustomize(&self, job: KustomizeJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        Box::pin(self.hang(job.limits.time))
    }
}

/// Draws another password each time.
#[derive(Default)]
struct Drawing {
    drawn: AtomicUsize,
}

impl Drawing {
    fn times(&self) -> usize {
        self.drawn.load(Ordering::SeqCst)
    }
}

impl Tools for Drawing {
    fn helm(&self, job: HelmJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        // Eight digits are base64 of six bytes.
        let password = 10_000_000 + self.drawn.fetch_add(1, Ordering::SeqCst);
        let yaml = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: db, annotations: {{drawn: 'at {password}'}}}}\n\
             data: {{password: '{password}', user: YWRtaW4=}}\n"
        );
        let file = format!("{}/templates/secret.yaml", job.chart);
        let random = ["/data/password", "/metadata/annotations/drawn"]
            .map(|pointer| RandomOutput { document: 0, pointer: pointer.into() });
        Box::pin(async move {
            Ok(ToolOutput {
                documents: vec![ToolDocument { file, yaml }],
                notes: Vec::new(),
                random: random.into(),
            })
        })
    }

    fn kustomize(&self, _: KustomizeJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        let message = "there is no overlay in this story".into();
        Box::pin(async move { Err(ToolError::Unavailable { message }) })
    }
}

/// A commit whose preview is a chart.
fn chart() -> Files<'static> {
    Files::from([
        (".bivouac.yaml", "apps: [{name: db, path: chart}]\n"),
        ("chart/Chart.yaml", CHART),
        ("chart/templates/secret.yaml", "# what the chart draws\n"),
    ])
}

/// How long a harmless pull request takes from its opening until it is ready. Its comment is written after that: the
/// forge wants a second between two of them, whoever they are for.
async fn good_neighbour(world: &World, branch: &str) -> Duration {
    let opened = world.stage.clock.now();
    let (number, head) = world.open(branch, &one("CHANGES.md", branch));
    ready(world, number, &head).await;
    let took = world.stage.clock.now() - opened;
    world.ready(number, &head).await;
    took.to_std().expect("time goes on")
}

/// The same in a world without anything hostile.
async fn undisturbed(seed: u64) -> Duration {
    let world = World::new(seed).await;
    Witness::of(&world).await;
    good_neighbour(&world, "neighbour").await
}

/// What one story may differ from another by the order in which things are seen; a renderer has a minute.
const AS_FAST: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn renderers_that_hang_hold_up_nobody_but_their_own_pull_request() {
    let alone = undisturbed(1).await;
    let tools = Arc::new(Hanging::default());
    let world = World::with_tools(1, tools.clone()).await;
    let witness = Witness::of(&world).await;
    let mut hostile = Vec::new();
    for branch in ["hang-1", "hang-2", "hang-3", "hang-4", "hang-5", "hang-6", "hang-7"] {
        hostile.push((branch, world.open(branch, &chart()).0));
    }
    let all_hang = async || (tools.hangs_now() == hostile.len()).then_some(());
    world.until("the renderers hang", all_hang).await;

    let beside = good_neighbour(&world, "neighbour").await;
    assert_eq!(tools.hangs_now(), hostile.len(), "they hung all the while");
    assert!(beside <= alone + AS_FAST, "{beside:?} beside them, {alone:?} alone");
    witness.is_unharmed(&world).await;

    for (_, number) in &hostile {
        let comment = world.told(*number, "### Preview is refused").await;
        assert!(comment.contains("helm took longer than 60 s (limits.renderTime)"), "{comment}");
        let status = world.status(*number).await.expect("a status");
        assert_eq!(status.phase, Some(Phase::Refused));
        assert!(world.namespace(*number).await.is_none(), "nothing of it was written");
    }
    // It is the commit's fault: nobody waits for the same minute again.
    let begun = tools.begun.load(Ordering::SeqCst);
    world.sleep(SWEEP * 3).await;
    assert_eq!(tools.begun.load(Ordering::SeqCst), begun, "a refused commit is not tried again");

    let (branch, number) = hostile[0];
    let apps = "apps: [{name: web, path: deploy/preview}]\n";
    let mended = world.push(branch, &one(".bivouac.yaml", apps));
    world.ready(number, &mended).await;
    witness.is_unharmed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_push_and_a_close_end_a_renderer_that_hangs_within_a_second() {
    let tools = Arc::new(Hanging::default());
    let world = World::with_tools(2, tools.clone()).await;
    let (pushed, _) = world.open("pushed", &chart());
    let (closed, _) = world.open("closed", &chart());
    let both = async || (tools.hangs_now() == 2).then_some(());
    world.until("both renderers hang", both).await;
    let apps = "apps: [{name: web, path: deploy/preview}]\n";
    let mended = world.push("pushed", &one(".bivouac.yaml", apps));
    world.close(closed);
    let neither = async || (tools.hangs_now() == 0).then_some(());
    world.within(Duration::from_secs(1), "both renderers are gone", neither).await;
    world.ready(pushed, &mended).await;
    world.closed(closed).await;
    world.sleep(SWEEP).await;
    assert_eq!(world.comment(closed), None, "what was ended says nothing afterwards");
}

#[tokio::test(start_paused = true)]
async fn bombs_and_floods_are_refused_beside_a_good_neighbour() {
    let alone = undisturbed(3).await;
    let world = World::new(3).await;
    let witness = Witness::of(&world).await;
    let mut flood = String::new();
    for n in 0..1000 {
        let map = "apiVersion: v1\nkind: ConfigMap\nmetadata";
        writeln!(flood, "---\n{map}: {{name: flood-{n}}}").expect("a text can be written to");
    }
    let manifest = "deploy/preview/extra.yaml";
    let map = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: bomb}}\n{}", bomb());
    let (bombed, _) = world.open("bomb", &one(manifest, &map));
    let (flooded, _) = world.open("flood", &one(manifest, &flood));
    let beside = good_neighbour(&world, "neighbour").await;
    assert!(beside <= alone + AS_FAST, "{beside:?} beside them, {alone:?} alone");
    for (number, words) in [
        (bombed, "values when its aliases are followed"),
        (flooded, "more than 200 objects are rendered (limits.objects)"),
    ] {
        let comment = world.told(number, "### Preview is refused").await;
        assert!(comment.contains(words) && comment.contains(manifest), "{comment}");
        assert!(world.namespace(number).await.is_none(), "nothing of it was written");
    }
    witness.is_unharmed(&world).await;
}

/// Waits until the camp is ready at `head`, whatever it shows.
async fn ready(world: &World, number: u64, head: &str) {
    world
        .until(&format!("#{number} is ready at {head}"), async || {
            let status = world.status(number).await?;
            (status.holds("Ready") && status.revision.as_deref() == Some(head)).then_some(())
        })
        .await;
}

fn secrets(world: &World, number: u64) -> Api<Secret> {
    Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number))
}

async fn password(world: &World, number: u64) -> Vec<u8> {
    let secret = secrets(world, number).get("db").await.expect("the Secret");
    secret.data.and_then(|mut data| data.remove("password")).expect("a password").0
}

#[tokio::test(start_paused = true)]
async fn a_password_that_a_chart_drew_stays_through_reconciles_a_restart_and_a_push() {
    let tools = Arc::new(Drawing::default());
    let mut world = World::with_tools(4, tools.clone()).await;
    let (number, head) = world.open("sparks", &chart());
    ready(&world, number, &head).await;
    let first = password(&world, number).await;
    let comment = world.told(number, "### Preview is ready").await;
    assert!(comment.contains("at random") && comment.contains("/data/password"), "{comment}");
    assert!(!comment.contains("1000000"), "the comment tells no password: {comment}");

    let drawn = tools.times();
    for _ in 0..10 {
        world.sleep(SWEEP).await;
        assert_eq!(password(&world, number).await, first);
    }
    assert_eq!(tools.times(), drawn, "the stored bundle counts while the inputs stay");

    let before = world.camp_uid(number).await;
    let namespaces: Api<Namespace> = Api::all(world.stage.admin.clone());
    let camp = world.stage.namespace_of(number);
    namespaces.delete(&camp, &DeleteParams::default()).await.expect("deleted");
    world
        .until("another namespace has the Secret", async || {
            let now = world.camp_uid(number).await?;
            let there = secrets(&world, number).get_opt("db").await.expect("an answer")?;
            (Some(&now) != before.as_ref()).then_some(there)
        })
        .await;
    assert_eq!(password(&world, number).await, first, "it is put back as it was drawn first");
    assert_eq!(tools.times(), drawn, "from the stored bundle");

    world.stage.kill_service().await;
    world.sleep(SWEEP).await;
    world.stage.start_service().expect("a start");
    world.sleep(SWEEP).await;
    ready(&world, number, &head).await;
    assert_eq!(password(&world, number).await, first, "after a restart");

    let drawn = tools.times();
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    ready(&world, number, &head).await;
    assert!(tools.times() > drawn, "the new commit was rendered");
    assert_eq!(password(&world, number).await, first, "after a push");
    let secret = secrets(&world, number).get("db").await.expect("the Secret");
    let note = secret.metadata.annotations.unwrap_or_default().remove("drawn");
    let second = format!("at {}", 10_000_000 + tools.times() - 1);
    assert_eq!(note, Some(second), "what is no value of a Secret is drawn anew");

    world.close(number);
    world.closed(number).await;
    let own: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let left = own.list(&ListParams::default().labels("bivouac.dev/bundle")).await;
    let left: Vec<_> =
        left.expect("a list").into_iter().filter_map(|secret| secret.metadata.name).collect();
    assert_eq!(left, Vec::<String>::new(), "no stored bundle outlives its camp");
}
