//! What stands costs nothing: no write but the Lease's, and of the forge only the sweep's reading.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bivouac::app::stage::{FIRST, MAINTAINER, NAME, REPOSITORY, STRANGER};
use bivouac::crd::{Environment, EnvironmentStatus, HINT_ANNOTATION, Phase};
use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::conflicts::WORKER;
use crate::hooks::job;
use crate::support::{SERVICE, SWEEP, World, one};
use crate::teardown::hold;

#[tokio::test(start_paused = true)]
async fn a_hundred_standing_camps_cost_nothing_but_the_lease_for_five_minutes() {
    let world = World::new(61).await;
    let opened: Vec<_> = (0..100)
        .map(|n| world.open(&format!("branch-{n}"), &one("CHANGES.md", &format!("change {n}"))))
        .collect();
    for (number, head) in &opened {
        world.ready(*number, head).await;
    }
    // Comments, checks and deployments of so many are more than the forge takes in an hour.
    for (number, _) in &opened {
        world
            .within(Duration::from_secs(3 * 3600), "all of it is told", async || {
                world.status(*number).await?.report?.deployment.map(|_| ())
            })
            .await;
    }
    // One sweep counts the camps, the next reads comments from there on; another finds nothing new.
    world.sleep(SWEEP * 3).await;

    let (since, first) = (world.stage.clock.now(), world.stage.github.requests().len());
    world.sleep(Duration::from_secs(300)).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new());
    let leases =
        world.stage.cluster.audit().into_iter().filter(|event| {
            event.at >= since && event.resource == "leases" && event.user == SERVICE
        });
    let renewals = leases.filter(|event| event.verb == "update").count();
    assert!((50..=70).contains(&renewals), "{renewals}");

    // The sweep's pause is up to a minute longer.
    world.sleep(Duration::from_secs(60)).await;
    let asked: Vec<_> = world.stage.github.requests().split_off(first);
    let asked: Vec<_> =
        asked.iter().map(|r| format!("{} {} {}", r.method, r.path, r.status)).collect();
    // One sweep or two, whose readings are conditional and cost nothing of the rate.
    let since = asked.iter().find(|line| line.contains("/issues/comments?"));
    let sweep = [
        "GET /repos/acme/campfire 304",
        "GET /repos/acme/campfire/pulls?state=open&sort=created&direction=asc&per_page=100 304",
        since.map_or("", String::as_str),
    ];
    assert!(sweep[2].ends_with(" 304"), "{asked:#?}");
    let sweep: Vec<_> = sweep.iter().map(|line| (*line).to_owned()).collect();
    assert!(asked == sweep || asked == [&sweep[..], &sweep[..]].concat(), "{asked:#?}");
}

/// What a camp may end in.
struct End {
    number: u64,
    phase: Phase,
    /// What the comment says; empty where nothing is said.
    told: &'static str,
    /// Something about it that is not in its phase.
    holds: fn(&EnvironmentStatus) -> bool,
}

impl End {
    fn new(number: u64, phase: Phase, told: &'static str) -> Self {
        Self { number, phase, told, holds: |_| true }
    }

    fn and(self, holds: fn(&EnvironmentStatus) -> bool) -> Self {
        Self { holds, ..self }
    }

    /// Waits for it.
    async fn reached(&self, world: &World) {
        let Self { number, phase, told, holds } = self;
        world
            .until(&format!("#{number} is {phase:?} and says {told:?}"), async || {
                let status = world.status(*number).await?;
                let says = match world.comment(*number) {
                    Some(comment) => !told.is_empty() && comment.contains(told),
                    None => told.is_empty(),
                };
                (status.phase == Some(*phase) && holds(&status) && says).then_some(())
            })
            .await;
    }
}

/// Camps that stand and have something to say.
async fn standing(world: &World) -> Vec<End> {
    const EXTRA: &str = "deploy/preview/extra.yaml";
    let ready = "### Preview is ready";
    let problem = "### Preview has a problem";
    let (plain, _) = world.camp("plain").await;
    let broken = WORKER.replace("worker:1", "worker:missing");
    let (no_image, _) = world.open("no-image", &one(EXTRA, &broken));
    let smoke = job("smoke", "bivouac.dev/hook: afterReady", "exit 1");
    let (after, _) = world.open("after", &one(EXTRA, &smoke));
    let (before, head) = world.camp("before").await;
    world.ready(before, &head).await;
    world.push("before", &one(EXTRA, &job("migrate", "bivouac.dev/hook: beforeApply", "exit 3")));

    // Somebody's replicas, which a commit met.
    let (scaled, head) = world.open("scaled", &one(EXTRA, WORKER));
    world.ready(scaled, &head).await;
    crate::conflicts::scale(world, scaled, "kube-controller-manager", 3).await;
    let head = world.push("scaled", &one("CHANGES.md", "one"));
    world.ready(scaled, &head).await;

    // Gone back to its first commit.
    let (pinned, first) = world.camp("pinned").await;
    let second = world.push("pinned", &one("CHANGES.md", "second"));
    world.ready(pinned, &second).await;
    let at = "2026-03-02T09:00:00Z";
    let pin = json!({"revision": first, "head": second, "by": "mia", "at": at});
    world.ask(pinned, json!({ "pin": pin })).await;

    // What was pruned is kept back by somebody.
    let kept = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra, annotations: {bivouac.dev/prune: 'false'}}\n";
    let (left, head) = world.open("left", &one(EXTRA, kept));
    world.ready(left, &head).await;
    let gone = BTreeMap::from([(EXTRA.to_owned(), None)]);
    let github = &world.stage.github;
    let head = github.commit_bytes(REPOSITORY, "left", &gone, "Take it out\n", MAINTAINER);
    world.ready(left, &head.expect("a commit")).await;

    vec![
        End::new(plain, Phase::Ready, ready),
        End::new(no_image, Phase::Degraded, problem).and(|status| !status.trouble.is_empty()),
        End::new(after, Phase::Degraded, "hook afterReady"),
        End::new(before, Phase::Failed, "hook beforeApply"),
        End::new(scaled, Phase::Ready, ready).and(|status| !status.yielded.is_empty()),
        End::new(pinned, Phase::Ready, "went back to commit"),
        End::new(left, Phase::Ready, ready)
            .and(|status| status.inventory.iter().any(|entry| entry.left.is_some())),
    ]
}

/// Those that were refused, that wait, that go and that are gone.
async fn others(world: &World) -> Vec<End> {
    const EXTRA: &str = "deploy/preview/extra.yaml";
    let refused = "### Preview is refused";
    let github = &world.stage.github;
    let (file, _) = world.open("file", &one(".bivouac.yaml", "apps: 7\n"));
    let (text, _) = world.open("text", &one("deploy/preview/web.yaml.hbs", "kind: Deployment\n"));
    let role =
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: x}\nrules: []\n";
    let (guarded, head) = world.camp("guarded").await;
    world.ready(guarded, &head).await;
    world.push("guarded", &one(EXTRA, role));
    // The API server's own words.
    let wrong = WORKER.replace("replicas: 1", "replicas: -1");
    let (tried, _) = world.open("tried", &one(EXTRA, &wrong));
    let greedy = WORKER.replace("worker:1'", "worker:1', resources: {requests: {cpu: 64}}");
    let (quota, _) = world.open("quota", &one(EXTRA, &greedy));

    let (down, _) = world.camp("down").await;
    world.ask(down, json!({"want": "Down"})).await;
    world.gone(down).await;
    let (unwanted, _) = world.camp("unwanted").await;
    let (never, _) = world.open("never", &one("CHANGES.md", "never"));
    for number in [unwanted, never] {
        github.label(REPOSITORY, number, "no-preview", MAINTAINER).expect("a label");
    }
    let (closed, _) = world.camp("closed").await;
    world.close(closed);
    world.closed(closed).await;
    let (stuck, _) = world.camp("stuck").await;
    hold(world, stuck, "example.com/hold").await;
    world.close(stuck);
    github.fork(REPOSITORY, STRANGER).expect("a fork");
    let fork = format!("{STRANGER}/campfire");
    let embers = one("CHANGES.md", "embers");
    github.commit(&fork, "embers", &embers, "Add embers\n", STRANGER).expect("a commit");
    let strange = world.propose(&format!("{STRANGER}:embers"), "Add embers", STRANGER);

    vec![
        End::new(file, Phase::Refused, refused),
        End::new(text, Phase::Refused, refused),
        End::new(guarded, Phase::Refused, "BV008"),
        End::new(tried, Phase::Refused, "BA0"),
        End::new(quota, Phase::Refused, "quota bivouac-quota allows"),
        End::new(down, Phase::NoCamp, "### Preview is switched off"),
        End::new(unwanted, Phase::NoCamp, "no-preview"),
        End::new(never, Phase::NoCamp, ""),
        End::new(closed, Phase::Closed, "### Preview is gone"),
        End::new(stuck, Phase::TearingDown, "example.com/hold"),
        End::new(strange, Phase::WaitingForApproval, "waits for approval"),
    ]
}

/// Two want a field otherwise, until the service gives way.
async fn contested(world: &World, number: u64) -> End {
    let maps: Api<ConfigMap> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    let by = PatchParams { field_manager: Some("rival".into()), ..PatchParams::default() };
    let theirs = Patch::Merge(json!({"data": {"index.html": "theirs"}}));
    world
        .until("they fight", async || {
            let page = maps.get("page").await.expect("a page").data.unwrap_or_default();
            if page.get("index.html").is_some_and(|text| text != "theirs") {
                maps.patch("page", &by, &theirs).await.expect("an edit");
            }
            world.status(number).await?.holds("Contested").then_some(())
        })
        .await;
    End::new(number, Phase::Ready, "### Preview is ready").and(|s| !s.contested.is_empty())
}

/// Every record without what a hint and its acknowledgement change.
async fn records(world: &World, ends: &[End]) -> Vec<Environment> {
    let mut all = Vec::new();
    for end in ends {
        let mut record = world.record(end.number).await.expect("a record");
        record.metadata.resource_version = None;
        record.metadata.managed_fields = None;
        record.metadata.annotations.as_mut().and_then(|all| all.remove(HINT_ANNOTATION));
        record.status.as_mut().expect("a status").handled_hint = None;
        all.push(record);
    }
    all
}

/// What the service wrote since then, one a line. What stores nothing (a trial, a question about rights) is no write.
fn stored(world: &World, since: DateTime<Utc>) -> Vec<String> {
    let ours = world.writes_since(since).into_iter().filter(|write| {
        write.user == SERVICE && !write.dry_run && !write.resource.ends_with("reviews")
    });
    ours.map(|w| format!("{} {} {} {}", w.verb, w.resource, w.name, w.code)).collect()
}

#[tokio::test(start_paused = true)]
async fn every_end_is_looked_at_ten_times_and_nothing_is_written() {
    let mut world = World::new(63).await;
    world.policy(json!({"select": {"labels": {"none": ["no-preview"]}}})).await;
    let mut ends = standing(&world).await;
    ends.extend(others(&world).await);
    for end in &ends {
        end.reached(&world).await;
    }
    let (rivals, _) = world.camp("rivals").await;
    // Progress deadlines pass, a stuck teardown says so, and one sweep counts the camps.
    world.sleep(SWEEP * 4).await;
    ends.push(contested(&world, rivals).await);
    world.sleep(Duration::from_secs(60)).await;
    for end in &ends {
        end.reached(&world).await;
    }
    let seen: BTreeSet<_> = ends.iter().map(|end| format!("{:?}", end.phase)).collect();
    let all = [
        "Closed",
        "Degraded",
        "Failed",
        "NoCamp",
        "Ready",
        "Refused",
        "TearingDown",
        "WaitingForApproval",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all, "every phase that lasts");
    let told: Vec<_> = ends.iter().map(|end| world.comment(end.number)).collect();
    let before = records(&world, &ends).await;

    for round in 0..10 {
        let (since, first) = (world.stage.clock.now(), world.stage.github.requests().len());
        for end in &ends {
            world.hint(end.number, &format!("round {round}")).await;
        }
        world.sleep(Duration::from_secs(20)).await;
        // Each was looked at: the forge was asked about each, and the hint is acknowledged. That is all.
        let asked = world.stage.github.requests().split_off(first);
        let mut acknowledged = Vec::new();
        for End { number, .. } in &ends {
            let path = format!("/repos/{REPOSITORY}/pulls/{number}");
            assert!(asked.iter().any(|r| r.path == path), "round {round}: #{number} is looked at");
            acknowledged.push(format!("update environments {NAME}-pr-{number} 200"));
        }
        let mut written = stored(&world, since);
        written.sort();
        acknowledged.sort();
        assert_eq!(written, acknowledged, "round {round}");
        assert_eq!(records(&world, &ends).await, before, "round {round}");
        assert_eq!(world.told_to_the_forge(first), Vec::<String>::new(), "round {round}");
    }
    for round in 0..10 {
        let (since, first) = (world.stage.clock.now(), world.stage.github.requests().len());
        // A process that begins with nothing in its memory looks at everything.
        world.stage.stop_replica(FIRST).await;
        world.stage.start_replica(FIRST).expect("a start");
        world.sleep(Duration::from_secs(20)).await;
        let looked: BTreeSet<_> = world
            .stage
            .cluster
            .audit()
            .into_iter()
            .filter(|event| {
                event.at >= since && event.verb == "get" && event.resource == "environments"
            })
            .map(|event| event.name)
            .collect();
        for End { number, .. } in &ends {
            let name = format!("{NAME}-pr-{number}");
            assert!(looked.contains(&name), "round {round}: #{number} is looked at");
        }
        assert_eq!(stored(&world, since), Vec::<String>::new(), "round {round}");
        assert_eq!(world.told_to_the_forge(first), Vec::<String>::new(), "round {round}");
    }
    let after: Vec<_> = ends.iter().map(|end| world.comment(end.number)).collect();
    assert_eq!(after, told);
    assert_eq!(records(&world, &ends).await, before);
}
