//! Waves that somebody wrote down wait for one another; nobody else waits for them.

use std::time::Duration;

use bivouac::crd::Phase;
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::support::{World, one};

/// A Deployment whose pods get ready after `ready`, with these annotations.
fn deployment(name: &str, annotations: &str, ready: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  annotations: {{{annotations}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata:
      labels: {{app: {name}}}
    spec:
      initContainers:
        - {{name: wait, image: 'example.com/wait:1', command: [sleep, '{ready}']}}
      containers:
        - {{name: main, image: 'example.com/{name}:1'}}
"
    )
}

/// When each object of that name was sent for pull request `number`.
fn sent(world: &World, number: u64, resource: &str, name: &str) -> Vec<DateTime<Utc>> {
    let namespace = world.stage.namespace_of(number);
    let mut audit = world.stage.cluster.audit();
    audit.retain(|event| {
        event.verb == "patch"
            && event.namespace == namespace
            && event.resource == resource
            && event.name == name
            && event.subresource.is_empty()
            && event.field_manager == "bivouac"
            && !event.dry_run
    });
    audit.into_iter().map(|event| event.at).collect()
}

#[tokio::test(start_paused = true)]
async fn a_wave_begins_when_the_one_before_it_is_ready_and_nothing_is_sent_twice() {
    let world = World::new(1).await;
    let db = deployment("db", "bivouac.dev/wave: '-1'", "8s");
    let late = deployment("late", "argocd.argoproj.io/sync-wave: '3'", "1s");
    let (number, head) =
        world.open("sparks", &one("deploy/preview/db.yaml", &format!("{db}---\n{late}")));
    let reason = world
        .until("the wave waits", async || {
            let reason = world.status(number).await?.reason?;
            reason.contains("of 1 replicas").then_some(reason)
        })
        .await;
    assert!(reason.contains("wave 0 waits: Deployment/db: 0 of 1 replicas"), "{reason}");
    assert_eq!(sent(&world, number, "deployments", "web"), Vec::<DateTime<Utc>>::new());
    assert_eq!(world.status(number).await.expect("a status").phase, Some(Phase::Progressing));
    world.ready(number, &head).await;

    let once = |resource: &str, name: &str| {
        let times = sent(&world, number, resource, name);
        assert_eq!(times.len(), 1, "{resource}/{name} is sent once: {times:?}");
        times[0]
    };
    let (config, db) = (once("configmaps", "page"), once("deployments", "db"));
    let (web, route) = (once("deployments", "web"), once("ingresses", "web"));
    let late = once("deployments", "late");
    assert!(config <= db && web - db >= chrono::TimeDelta::seconds(8), "{db} {web}");
    assert!(route - web < chrono::TimeDelta::seconds(1), "kinds of one wave do not wait: {route}");
    assert!(late > route, "{route} {late}");
    let guardrails = world.writes_since(crate::support::start());
    let namespace = world.stage.namespace_of(number);
    let made = guardrails.iter().filter(|w| {
        w.resource == "configmaps" && w.namespace == namespace && w.name == "bivouac-env"
    });
    assert_eq!(made.count(), 1, "the camp is prepared once");
}

#[tokio::test(start_paused = true)]
async fn an_ordinary_bundle_waits_for_nothing() {
    let world = World::new(2).await;
    let slow = deployment("slow", "", "60s");
    let (number, head) = world.open("sparks", &one("deploy/preview/slow.yaml", &slow));
    world.ready(number, &head).await;
    let slow = sent(&world, number, "deployments", "slow")[0];
    let route = sent(&world, number, "ingresses", "web")[0];
    assert!(route - slow < chrono::TimeDelta::seconds(1), "{slow} {route}");
    assert!(world.status(number).await.expect("a status").applying.is_none());
}

#[tokio::test(start_paused = true)]
async fn twenty_camps_that_wait_for_a_wave_keep_no_other_one_waiting_and_a_push_frees_them() {
    let world = World::new(3).await;
    // The twenty have one head, so that what a check says of one is noted in each.
    world.policy(json!({"report": {"check": false, "deployments": false}})).await;
    let alone = {
        let since = world.stage.clock.now();
        world.camp("alone").await;
        world.stage.clock.now() - since
    };
    let stuck = deployment("db", "bivouac.dev/wave: '-1'", "9d");
    let mut waiting = Vec::new();
    for round in 0..20 {
        let branch = format!("stuck-{round}");
        waiting
            .push((branch.clone(), world.open(&branch, &one("deploy/preview/db.yaml", &stuck)).0));
    }
    for (_, number) in &waiting {
        world
            .until("the wave waits", async || {
                let reason = world.status(*number).await?.reason?;
                reason.contains("wave 0 waits").then_some(())
            })
            .await;
    }
    // After a minute each says once in its comment what it waits for.
    world.sleep(Duration::from_secs(150)).await;
    let since = world.stage.clock.now();
    world.camp("other").await;
    let took = world.stage.clock.now() - since;
    assert!(took <= alone * 3, "{took} beside the waiting ones, {alone} without");

    let since = world.stage.clock.now();
    // Below the ten minutes after which a Deployment says that it does not get on.
    world.sleep(Duration::from_secs(300)).await;
    let writes = world.written_by_the_service(since);
    let camps: Vec<_> = waiting.iter().map(|(_, n)| world.stage.namespace_of(*n)).collect();
    let of_waiting: Vec<_> = writes
        .iter()
        .filter(|w| {
            w.contains("environments") || camps.iter().any(|camp| w.contains(camp.as_str()))
        })
        .collect();
    assert!(of_waiting.is_empty(), "what waits writes nothing: {of_waiting:#?}");
    let (branch, number) = &waiting[0];
    let head = world.push(branch, &one("deploy/preview/db.yaml", &deployment("db", "", "1s")));
    world.ready(*number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_deletes_while_a_wave_waits_is_sent_again() {
    let world = World::new(4).await;
    let db = deployment("db", "bivouac.dev/wave: '-1'", "20s");
    let (number, head) = world.open("sparks", &one("deploy/preview/db.yaml", &db));
    world
        .until("the wave waits", async || {
            world.status(number).await?.reason?.contains("wave 0 waits").then_some(())
        })
        .await;
    let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> =
        kube::Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    api.delete("db", &kube::api::DeleteParams::default()).await.expect("deleted");
    world.ready(number, &head).await;
    assert_eq!(sent(&world, number, "deployments", "db").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_killed_while_a_wave_waits_goes_on_there() {
    let mut world = World::new(5).await;
    let db = deployment("db", "bivouac.dev/wave: '-1'", "30s");
    let (number, head) = world.open("sparks", &one("deploy/preview/db.yaml", &db));
    world
        .until("the wave waits", async || {
            world.status(number).await?.reason?.contains("wave 0 waits").then_some(())
        })
        .await;
    world.stage.kill_service().await;
    world.sleep(Duration::from_secs(5)).await;
    world.stage.start_service().expect("a start");
    world.ready(number, &head).await;
    assert_eq!(sent(&world, number, "deployments", "db").len(), 1);
    assert_eq!(sent(&world, number, "configmaps", "page").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wave_that_is_no_number_is_refused_with_file_and_line() {
    let world = World::anywhere(6).await;
    for (round, annotation) in
        ["bivouac.dev/wave: soon", "argocd.argoproj.io/sync-wave: '1.5'"].into_iter().enumerate()
    {
        let text = deployment("db", annotation, "1s");
        let branch = format!("bad-{round}");
        let (number, _) = world.open(&branch, &one("deploy/preview/db.yaml", &text));
        let comment = world.told(number, "### Preview is refused").await;
        assert!(comment.contains("must be a whole number in quotes"), "{comment}");
        assert!(comment.contains("deploy/preview/db.yaml"), "{comment}");
        assert!(world.camp_uid(number).await.is_none());
    }
}
