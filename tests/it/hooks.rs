//! Hooks: Jobs before the workloads change, when everything is ready, and before the camp goes.

use std::collections::BTreeMap;
use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, REPOSITORY};
use bivouac::crd::{EnvironmentStatus, HookEntry, HookPhase, Phase};
use chrono::{DateTime, Utc};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use crate::support::{Files, SERVICE, World, one, start};

/// A Job that runs `script`, with these annotations; its log names its image.
pub(crate) fn job(name: &str, annotations: &str, script: &str) -> String {
    format!(
        "apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  annotations: {{{annotations}}}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - {{name: main, image: 'example.com/{name}:1', command: [sh, -c, '{script}']}}
"
    )
}

fn jobs(world: &World, number: u64) -> Api<Job> {
    Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number))
}

/// When something was done to an object of the camp: `patch` or `delete`.
fn times(world: &World, number: u64, verb: &str, resource: &str, name: &str) -> Vec<DateTime<Utc>> {
    let namespace = world.stage.namespace_of(number);
    let mut audit = world.stage.cluster.audit();
    audit.retain(|event| {
        event.verb == verb
            && event.user == SERVICE
            && event.code < 300
            && !event.dry_run
            && (event.namespace == namespace || event.resource == "namespaces")
            && event.resource == resource
            && event.name == name
            && event.subresource.is_empty()
    });
    audit.into_iter().map(|event| event.at).collect()
}

fn hook<'a>(status: &'a EnvironmentStatus, name: &str) -> &'a HookEntry {
    status.hooks.iter().find(|hook| hook.name == name).expect("a hook")
}

/// Waits until the record says this of a hook.
async fn ended(world: &World, number: u64, name: &str, phase: HookPhase) -> EnvironmentStatus {
    world
        .until(&format!("{name} is {phase:?}"), async || {
            let status = world.status(number).await?;
            let is_so = status.hooks.iter().any(|hook| hook.name == name && hook.state == phase);
            is_so.then_some(status)
        })
        .await
}

/// Makes a commit on `sparks` without a file.
fn without(world: &World, path: &str) -> String {
    let gone = BTreeMap::from([(path.to_owned(), None)]);
    let commit =
        world.stage.github.commit_bytes(REPOSITORY, "sparks", &gone, "Take it out\n", MAINTAINER);
    commit.expect("a commit")
}

#[tokio::test(start_paused = true)]
async fn a_hook_before_the_apply_runs_to_its_end_before_the_workloads_change_and_for_each_commit() {
    let world = World::new(1).await;
    let migrate = job("migrate", "bivouac.dev/hook: beforeApply", "sleep 7");
    let (number, head) = world.open("sparks", &one("deploy/preview/hooks.yaml", &migrate));
    let reason = world
        .until("the hook runs", async || {
            let reason = world.status(number).await?.reason?;
            reason.contains("hook beforeApply Job/migrate runs").then_some(reason)
        })
        .await;
    assert!(reason.contains(&head[..7]), "{reason}");
    assert_eq!(times(&world, number, "patch", "deployments", "web"), Vec::<DateTime<Utc>>::new());
    assert_eq!(times(&world, number, "patch", "configmaps", "page").len(), 1);
    world.ready(number, &head).await;
    let (began, changed) = (
        times(&world, number, "patch", "jobs", "migrate"),
        times(&world, number, "patch", "deployments", "web"),
    );
    assert_eq!((began.len(), changed.len()), (1, 1));
    assert!(changed[0] - began[0] >= chrono::TimeDelta::seconds(7), "{began:?} {changed:?}");
    let uid = jobs(&world, number).get("migrate").await.expect("the Job").metadata.uid;

    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    let now = jobs(&world, number).get("migrate").await.expect("the Job");
    assert_ne!(now.metadata.uid, uid, "it ran anew, under the same name");
    let status = world.status(number).await.expect("a status");
    assert_eq!(hook(&status, "migrate").state, HookPhase::Succeeded);
    assert!(hook(&status, "migrate").run.starts_with(&head[..12]));

    let head = without(&world, "deploy/preview/hooks.yaml");
    world.ready(number, &head).await;
    let left = jobs(&world, number).list(&ListParams::default()).await.expect("a list").items;
    assert_eq!(left.len(), 0, "a hook that left the commit is pruned");
    assert_eq!(world.status(number).await.expect("a status").hooks, Vec::<HookEntry>::new());
}

#[tokio::test(start_paused = true)]
async fn a_failing_hook_before_the_apply_stops_it_and_what_stood_goes_on() {
    let world = World::new(2).await;
    let (number, stands) = world.camp("sparks").await;
    let migrate = job("migrate", "argocd.argoproj.io/hook: PreSync", "exit 3");
    let bad = world.push("sparks", &one("deploy/preview/hooks.yaml", &migrate));
    let comment = world.told(number, "hook beforeApply").await;
    assert!(comment.contains("Job/migrate (deploy/preview/hooks.yaml:1) failed"), "{comment}");
    assert!(
        comment.contains("(exit code 3)")
            && comment.contains("started from image example.com/migrate:1"),
        "{comment}"
    );
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Failed));
    assert_eq!(status.revision.as_deref(), Some(stands.as_str()));
    let reason = status.reason.unwrap_or_default();
    assert!(reason.contains(&format!("commit {} goes on", &stands[..7])), "{reason}");
    assert_eq!(times(&world, number, "patch", "deployments", "web").len(), 1);

    // Nothing more is written for it, and the hook does not run again, until there is something new.
    // (The first sweep counts the camps.)
    world.sleep(Duration::from_secs(400)).await;
    let (since, told) = (world.stage.clock.now(), world.stage.github.requests().len());
    world.sleep(Duration::from_secs(1500)).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new(), "{bad}");
    assert_eq!(world.told_to_the_forge(told), Vec::<String>::new());
    assert_eq!(times(&world, number, "patch", "jobs", "migrate").len(), 1);
    let good = job("migrate", "argocd.argoproj.io/hook: PreSync", "true");
    let head = world.push("sparks", &one("deploy/preview/hooks.yaml", &good));
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_hook_after_ready_degrades_the_preview_and_leaves_it_there() {
    let world = World::new(3).await;
    let smoke = job("smoke", "bivouac.dev/hook: afterReady", "sleep 2; exit 1");
    let (number, head) = world.open("sparks", &one("deploy/preview/hooks.yaml", &smoke));
    let comment = world.told(number, "hook afterReady").await;
    assert!(comment.contains("### Preview has a problem"), "{comment}");
    assert!(comment.contains("started from image example.com/smoke:1"), "{comment}");
    let status = world.status(number).await.expect("a status");
    assert_eq!(
        (status.phase, status.revision.as_deref()),
        (Some(Phase::Degraded), Some(head.as_str()))
    );
    let (code, page) = world.page(number).await.expect("a page");
    assert!(code == 200 && page.contains(&head), "{code}");
    let (ran, web) = (
        times(&world, number, "patch", "jobs", "smoke"),
        times(&world, number, "patch", "deployments", "web"),
    );
    assert_eq!(ran.len(), 1);
    assert!(ran[0] > web[0]);
    // The progress deadline and the sweep's count of the camps are told once.
    world.sleep(Duration::from_secs(700)).await;
    let since = world.stage.clock.now();
    world.sleep(Duration::from_secs(900)).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new());

    let smoke = job("smoke", "bivouac.dev/hook: afterReady", "true");
    let head = world.push("sparks", &one("deploy/preview/hooks.yaml", &smoke));
    world.ready(number, &head).await;
    // Neither a look nor a restart of the cluster's diary makes it run again.
    world.sleep(Duration::from_secs(900)).await;
    assert_eq!(times(&world, number, "patch", "jobs", "smoke").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn hooks_of_the_preview_file_run_in_their_order_with_their_time_and_their_retries() {
    let world = World::new(4).await;
    let file = "apps: [{name: web, path: deploy/preview}]
hooks:
  beforeApply:
    - {job: zebra, timeout: 1m, retries: 4}
    - {job: ant, app: web}
  afterReady: [{job: endless, timeout: 30s}]
";
    let all = [job("zebra", "", "sleep 3"), job("ant", "", "true"), job("endless", "", "sleep 9d")];
    let all = all.join("---\n");
    let files = Files::from([(".bivouac.yaml", file), ("deploy/preview/hooks.yaml", all.as_str())]);
    let (number, _) = world.open("sparks", &files);
    let status = ended(&world, number, "endless", HookPhase::Failed).await;
    let message = &hook(&status, "endless").message;
    assert!(message.contains("did not end within 30s"), "{message}");
    let log = &hook(&status, "endless").log;
    assert!(log.contains("started from image example.com/endless:1"), "{log}");
    let (zebra, ant) = (
        times(&world, number, "patch", "jobs", "zebra")[0],
        times(&world, number, "patch", "jobs", "ant")[0],
    );
    assert!(ant - zebra >= chrono::TimeDelta::seconds(3), "in the order written: {zebra} {ant}");
    let spec = jobs(&world, number).get("zebra").await.expect("the Job").spec.expect("a spec");
    assert_eq!(spec.backoff_limit, Some(4));
    world
        .until("what took too long is stopped", async || {
            jobs(&world, number)
                .get_opt("endless")
                .await
                .expect("an answer")
                .is_none()
                .then_some(())
        })
        .await;
    world.told(number, "did not end within 30s").await;

    let wrong =
        "apps: [{name: web, path: deploy/preview}]\nhooks: {afterReady: [{job: missing}]}\n";
    world.push("sparks", &one(".bivouac.yaml", wrong));
    let comment = world.told(number, "### Preview is refused").await;
    assert!(
        comment.contains("hooks.afterReady\\[0\\].job")
            || comment.contains("hooks.afterReady[0].job"),
        "{comment}"
    );
}

#[tokio::test(start_paused = true)]
async fn hooks_of_helm_know_the_first_apply_from_later_ones_and_go_when_they_say_so() {
    let world = World::new(5).await;
    let seed = job(
        "seed",
        "helm.sh/hook: post-install, helm.sh/hook-delete-policy: hook-succeeded",
        "true",
    );
    let upgrade = job("upgrade", "helm.sh/hook: pre-upgrade", "true");
    let (number, head) =
        world.open("sparks", &one("deploy/preview/hooks.yaml", &format!("{seed}---\n{upgrade}")));
    world.ready(number, &head).await;
    assert_eq!(times(&world, number, "patch", "jobs", "seed").len(), 1);
    assert_eq!(times(&world, number, "patch", "jobs", "upgrade").len(), 0);
    assert!(jobs(&world, number).get_opt("seed").await.expect("an answer").is_none());
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    assert_eq!(times(&world, number, "patch", "jobs", "seed").len(), 1);
    assert_eq!(times(&world, number, "patch", "jobs", "upgrade").len(), 1);
    world.sleep(Duration::from_secs(900)).await;
    assert_eq!(times(&world, number, "patch", "jobs", "seed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hook_before_the_end_runs_before_the_namespace_goes_though_the_forge_is_away() {
    let world = World::new(6).await;
    let dump = job("dump", "bivouac.dev/hook: beforeDelete", "sleep 5");
    let (number, head) = world.open("sparks", &one("deploy/preview/hooks.yaml", &dump));
    world.ready(number, &head).await;
    assert_eq!(
        times(&world, number, "patch", "jobs", "dump"),
        Vec::<DateTime<Utc>>::new(),
        "it is held back"
    );
    let since = world.stage.clock.now();
    world.stage.github.set_outage(true);
    world.forget_fetched();
    let name = world.record(number).await.expect("a record").metadata.name.unwrap_or_default();
    world.stage.environments().delete(&name, &DeleteParams::default()).await.expect("deleted");
    world.gone(number).await;
    let ran = times(&world, number, "patch", "jobs", "dump");
    let namespace = world.stage.namespace_of(number);
    let gone = times(&world, number, "delete", "namespaces", &namespace);
    assert_eq!((ran.len(), gone.len()), (1, 1));
    let between = gone[0] - ran[0];
    assert!(between >= chrono::TimeDelta::seconds(5), "{between}");
    assert!(between <= chrono::TimeDelta::seconds(15), "{between} {since}");
}

#[tokio::test(start_paused = true)]
async fn no_hook_before_the_end_keeps_a_camp_longer_than_its_time() {
    let world = World::new(7).await;
    let mut numbers = Vec::new();
    for (branch, script) in [("sparks", "exit 1"), ("kettle", "sleep 9d")] {
        let annotations = "bivouac.dev/hook: beforeDelete, bivouac.dev/hook-timeout: 40s";
        let (number, head) = world
            .open(branch, &one("deploy/preview/hooks.yaml", &job("dump", annotations, script)));
        world.ready(number, &head).await;
        numbers.push(number);
    }
    for number in &numbers {
        world.close(*number);
    }
    let since = world.stage.clock.now();
    for (number, why, most) in
        [(numbers[0], "failed", 20), (numbers[1], "did not end within 40s", 60)]
    {
        world.closed(number).await;
        let took = world.stage.clock.now() - since;
        assert!(took <= chrono::TimeDelta::seconds(most), "{took}");
        let status = world.status(number).await.expect("a status");
        assert_eq!(hook(&status, "dump").state, HookPhase::Failed);
        let message = &hook(&status, "dump").message;
        assert!(message.contains(why), "{message}");
        // Nobody waits for it, and whoever looks for the dump is told.
        let told = world.told(number, "### Preview is gone").await;
        assert!(told.contains("failed") && told.contains("dump"), "{told}");
        assert!(told.contains(why), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_killed_while_a_hook_runs_does_not_run_it_twice() {
    let mut world = World::new(8).await;
    let both = [
        job("migrate", "bivouac.dev/hook: beforeApply", "sleep 10"),
        job("smoke", "bivouac.dev/hook: afterReady", "sleep 10"),
    ];
    let (number, head) =
        world.open("sparks", &one("deploy/preview/hooks.yaml", &both.join("---\n")));
    for name in ["migrate", "smoke"] {
        world
            .until(&format!("{name} is there"), async || {
                jobs(&world, number).get_opt(name).await.expect("an answer").map(|_| ())
            })
            .await;
        world.stage.kill_service().await;
        world.sleep(Duration::from_secs(3)).await;
        world.stage.start_service().expect("a start");
    }
    world.ready(number, &head).await;
    for name in ["migrate", "smoke"] {
        assert_eq!(times(&world, number, "patch", "jobs", name).len(), 1, "{name}");
        assert_eq!(times(&world, number, "delete", "jobs", name).len(), 0, "{name}");
    }
    assert!(world.writes_since(start()).len() > 10);
}

#[tokio::test(start_paused = true)]
async fn a_push_while_a_hook_runs_supersedes_it() {
    let world = World::new(9).await;
    let endless = job("migrate", "bivouac.dev/hook: beforeApply", "sleep 9d");
    let (number, old) = world.open("sparks", &one("deploy/preview/hooks.yaml", &endless));
    world
        .until("it runs", async || {
            jobs(&world, number).get_opt("migrate").await.expect("an answer").map(|_| ())
        })
        .await;
    let good = job("migrate", "bivouac.dev/hook: beforeApply", "true");
    let head = world.push("sparks", &one("deploy/preview/hooks.yaml", &good));
    let since = world.stage.clock.now();
    world.ready(number, &head).await;
    let took = world.stage.clock.now() - since;
    assert!(took < chrono::TimeDelta::seconds(30), "{took}");
    let status = world.status(number).await.expect("a status");
    assert!(status.history.iter().all(|entry| entry.revision != old), "{old} never ran whole");
}
