//! A newer revision ends the work for an older one.

use std::collections::BTreeMap;
use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, REPOSITORY};
use bivouac::crd::Phase;
use bivouac::sandbox::cluster::api::FaultPlan;

use crate::support::{SERVICE, World, one, start};

/// A manifest of many ConfigMaps, for an apply that takes its time.
fn many(count: usize, text: &str) -> String {
    let one = |n: usize| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: part-{n:02}\ndata:\n  text: {text}\n"
        )
    };
    (0..count).map(one).collect::<Vec<_>>().join("---\n")
}

/// Everybody's requests take up to this long, but those of the cluster's own agents and of the story.
fn slow(latency: Duration) -> FaultPlan {
    let spared =
        ["kubernetes-admin", "system:kube-controller-manager", "system:nodes", "system:ingress"];
    FaultPlan { latency, spared_users: spared.map(str::to_owned).into(), ..FaultPlan::default() }
}

#[tokio::test(start_paused = true)]
async fn a_push_while_applying_supersedes_the_older_revision() {
    let world = World::new(1).await;
    world.stage.cluster.set_faults(slow(Duration::from_secs(3)));
    let (number, old) = world.open("sparks", &one("deploy/preview/many.yaml", &many(60, "old")));
    world
        .until("the first objects are there", async || {
            let names = world.config_maps(number).await;
            names.iter().any(|name| name.starts_with("part-")).then_some(())
        })
        .await;
    let hint = async || {
        let record = world.record(number).await?;
        record.metadata.annotations.unwrap_or_default().get("bivouac.dev/hint").cloned()
    };
    let before = hint().await;
    let new = world.push("sparks", &one("deploy/preview/many.yaml", &many(60, "new")));
    // The hint itself is a slow request, too; from then on the run knows.
    world.until("the hint is written", async || (hint().await != before).then_some(())).await;
    let hinted = world.stage.clock.now();
    world.ready(number, &new).await;

    let status = world.status(number).await.expect("a status");
    let applied: Vec<_> = status.history.iter().map(|entry| entry.revision.as_str()).collect();
    assert_eq!(applied, [new.as_str()], "{old} was never applied whole");
    let parts = world
        .writes_since(hinted)
        .into_iter()
        .filter(|w| !w.dry_run && w.name.starts_with("part-"));
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for write in parts {
        *times.entry(write.name).or_default() += 1;
    }
    assert!(!times.is_empty());
    let twice = times.values().filter(|count| **count > 1).count();
    assert!(twice <= 8, "no more than what was on its way is sent for the old one, not {twice}");
    let comment = world.comment(number).expect("a comment");
    assert!(!comment.contains(&old), "{comment}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_posted_for_a_revision_that_is_no_longer_the_head() {
    let world = World::new(2).await;
    // Its pods need half a minute to get ready.
    let slow = "apiVersion: apps/v1
kind: Deployment
metadata: {name: slow}
spec:
  selector: {matchLabels: {app: slow}}
  template:
    metadata:
      labels: {app: slow}
    spec:
      initContainers:
        - {name: wait, image: example.com/slow:1, command: [sleep, '30']}
      containers:
        - {name: slow, image: example.com/slow:1}
";
    let (number, old) = world.open("sparks", &one("deploy/preview/slow.yaml", slow));
    let before = world.told(number, "### Preview is being made").await;
    assert!(before.contains(&old));
    // Nobody tells the service of the push.
    world.lose_webhooks(true);
    let new = world.push("sparks", &one("CHANGES.md", "newer"));
    world
        .until("the old revision is ready", async || {
            let status = world.status(number).await?;
            (status.phase == Some(Phase::Ready) && status.revision.as_deref() == Some(&old))
                .then_some(())
        })
        .await;
    world.sleep(Duration::from_secs(10)).await;
    assert_eq!(
        world.comment(number).as_ref(),
        Some(&before),
        "of the old one nothing more is said"
    );
    world.ready(number, &new).await;
}

#[tokio::test(start_paused = true)]
async fn a_close_while_applying_ends_in_nothing() {
    let world = World::new(3).await;
    let (stays, stays_head) = world.camp("kettle").await;
    world.stage.cluster.set_faults(slow(Duration::from_secs(3)));
    let (number, _) = world.open("sparks", &one("deploy/preview/many.yaml", &many(60, "old")));
    world
        .until("the first objects are there", async || {
            let names = world.config_maps(number).await;
            names.iter().any(|name| name.starts_with("part-")).then_some(())
        })
        .await;
    world.close(number);
    world.closed(number).await;
    world.stage.cluster.set_faults(FaultPlan::default());
    world.ready(stays, &stays_head).await;
    let comments = world.stage.github.comments(REPOSITORY, number).expect("comments");
    assert!(comments.iter().filter(|comment| comment.author == BOT).count() <= 1);
    assert!(world.writes_since(start()).len() > 10);
}

#[tokio::test(start_paused = true)]
async fn an_apply_of_many_objects_reads_its_record_no_oftener_than_one_of_few() {
    let world = World::new(4).await;
    let reads_of = async |branch: &str, count: usize| {
        let since = world.stage.clock.now();
        let (number, head) =
            world.open(branch, &one("deploy/preview/many.yaml", &many(count, "text")));
        world.ready(number, &head).await;
        let audit = world.stage.cluster.audit().into_iter().filter(|event| event.at >= since);
        let reads = audit.filter(|event| {
            event.user == SERVICE && event.verb == "get" && event.resource == "environments"
        });
        reads.count()
    };
    let (few, lot) = (reads_of("few", 2).await, reads_of("lot", 100).await);
    assert!(lot <= few + 5, "{few} reads with 2 objects, {lot} with 100");
}

#[tokio::test(start_paused = true)]
async fn a_label_while_applying_ends_nothing_and_repeats_nothing() {
    let world = World::new(5).await;
    // Below the 2 s that a renewal of the Lease may take: losing the lead would end the run, and rightly.
    world.stage.cluster.set_faults(slow(Duration::from_secs(1)));
    let (number, head) = world.open("sparks", &one("deploy/preview/many.yaml", &many(60, "text")));
    for label in ["urgent", "wip", "later"] {
        let before = world.config_maps(number).await.len();
        world
            .until("it goes on", async || {
                (world.config_maps(number).await.len() > before + 5).then_some(())
            })
            .await;
        world.stage.github.label(REPOSITORY, number, label, MAINTAINER).expect("a label");
    }
    world.ready(number, &head).await;
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    for write in world
        .writes_since(start())
        .into_iter()
        .filter(|w| !w.dry_run && w.name.starts_with("part-"))
    {
        *times.entry(write.name).or_default() += 1;
    }
    assert_eq!(times.len(), 60);
    assert!(times.values().all(|count| *count == 1), "{times:?}");
}
