//! One environment for each listed branch, at its head: made by a push or by the sweep, without an end of its own, gone
//! with the branch and with nothing else.

use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, NAME, NAMESPACE, REPOSITORY};
use bivouac::crd::{Environment, EnvironmentStatus, Phase};
use bivouac::domain::naming::branch_environment_name;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;

use crate::support::{SWEEP, World, one};

/// Longest time from an event to what comes of it.
const AT_ONCE: Duration = Duration::from_secs(20);
/// Longest time until a sweep has found out.
const SWEPT: Duration = Duration::from_secs(420);

fn named(branch: &str) -> String {
    branch_environment_name(NAME, branch).to_string()
}

async fn record(world: &World, branch: &str) -> Option<Environment> {
    world.stage.environments().get_opt(&named(branch)).await.expect("an answer")
}

async fn status(world: &World, branch: &str) -> Option<EnvironmentStatus> {
    record(world, branch).await?.status
}

async fn camp_uid(world: &World, branch: &str) -> Option<String> {
    let namespace = status(world, branch).await?.namespace?;
    let api: Api<Namespace> = Api::all(world.stage.admin.clone());
    api.get_opt(&namespace).await.expect("an answer")?.metadata.uid
}

/// Waits until the branch's page shows `head`.
async fn shows(world: &World, branch: &str, head: &str, within: Duration) -> EnvironmentStatus {
    world
        .within(within, &format!("{branch} is ready at {head}"), async || {
            let status = status(world, branch).await?;
            let ready = status.holds("Ready") && status.revision.as_deref() == Some(head);
            let url = status.urls.first()?.url.clone();
            let (code, page) = world.stage.browse(&url).await.ok()?;
            (ready && code == 200 && page.contains(head)).then_some(status)
        })
        .await
}

/// Waits until nothing is left of the branch's camp.
async fn gone(world: &World, branch: &str, within: Duration) {
    world
        .within(within, &format!("the camp of {branch} is gone"), async || {
            let status = status(world, branch).await?;
            (status.phase == Some(Phase::Closed) && status.namespace_uid.is_none()).then_some(())
        })
        .await;
}

fn head(world: &World, branch: &str) -> String {
    world.stage.github.head(REPOSITORY, branch).expect("a branch")
}

/// A branch with a commit of its own; tells of it as a push does.
fn branch(world: &World, name: &str) -> String {
    world.stage.github.push(REPOSITORY, name, &one("CHANGES.md", name), MAINTAINER).expect("a push")
}

async fn listed(seed: u64) -> World {
    let world = World::new(seed).await;
    world.policy(json!({"branches": ["main", "release/*"]})).await;
    shows(&world, "main", &head(&world, "main"), SWEPT).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_listed_branch_has_an_environment_that_follows_its_head_and_goes_with_it() {
    let world = listed(1).await;
    let first = branch(&world, "release/1.0");
    let status = shows(&world, "release/1.0", &first, AT_ONCE).await;
    assert_eq!(status.source.as_deref(), Some("acme/campfire@release/1.0"));
    assert!(named("release/1.0").starts_with(&format!("{NAME}-release-1-0-")));
    assert!(status.urls[0].url.contains(&named("release/1.0")), "{:?}", status.urls);
    assert_eq!(status.expires_at, None);
    let uid = camp_uid(&world, "release/1.0").await;

    let next = world.push("release/1.0", &one("CHANGES.md", "more"));
    shows(&world, "release/1.0", &next, AT_ONCE).await;
    assert_eq!(camp_uid(&world, "release/1.0").await, uid, "the same camp");
    // It is told at the commit, and in the list of deployments; there is nothing that a comment could be on.
    let github = &world.stage.github;
    world
        .until("the commit says it", async || {
            let all = github.statuses(REPOSITORY).expect("statuses");
            let newest = all.into_iter().rfind(|status| status.sha == next)?;
            (newest.state == "success").then_some(())
        })
        .await;
    world
        .until("the deployment says it", async || {
            let all = github.deployments(REPOSITORY).expect("deployments");
            let ours = all.into_iter().rfind(|one| one.sha == next && one.creator == BOT)?;
            assert_eq!(ours.task, format!("bivouac:demo:env-{}", named("release/1.0")));
            (ours.states.last().is_some_and(|state| state == "success")).then_some(())
        })
        .await;
    let comments = world.told_to_the_forge(0);
    assert!(comments.iter().all(|line| !line.contains("/comments")), "{comments:#?}");

    github.delete_branch(REPOSITORY, "release/1.0", MAINTAINER).expect("gone");
    gone(&world, "release/1.0", Duration::from_secs(60)).await;
    let why = self::status(&world, "release/1.0").await.expect("a status").why;
    assert!(why.iter().any(|line| line.answer == "the branch is gone"), "{why:?}");
    world
        .until("no deployment of it is active", async || {
            let all = github.deployments(REPOSITORY).expect("deployments");
            let mut ours = all.into_iter().filter(|one| one.task.contains("release-1-0"));
            ours.all(|one| one.states.last().is_some_and(|state| state == "inactive")).then_some(())
        })
        .await;
    // A day later its record goes; the branch that comes again begins anew.
    world.sleep(Duration::from_secs(26 * 3600)).await;
    assert!(record(&world, "release/1.0").await.is_none());
    let again = branch(&world, "release/1.0");
    shows(&world, "release/1.0", &again, AT_ONCE).await;
}

#[tokio::test(start_paused = true)]
async fn a_branch_that_nobody_listed_gets_nothing() {
    let world = listed(2).await;
    branch(&world, "feature/x");
    branch(&world, "releases");
    world.sleep(SWEEP * 2).await;
    let all = world.stage.environments().list(&ListParams::default()).await.expect("a list");
    let names: Vec<_> = all.items.into_iter().filter_map(|one| one.metadata.name).collect();
    assert_eq!(names, [named("main")]);
    // Who is taken from the list loses it, and gets it back.
    world.policy(json!({"branches": ["release/*"]})).await;
    world
        .until("main has no camp", async || {
            let status = status(&world, "main").await?;
            (status.phase == Some(Phase::NoCamp)).then_some(())
        })
        .await;
    let reason = status(&world, "main").await.and_then(|status| status.reason).expect("a reason");
    assert_eq!(reason, "branch \"main\" is none of release/* (branches)");
    world.policy(json!({"branches": ["main"]})).await;
    shows(&world, "main", &head(&world, "main"), SWEPT).await;
}

#[tokio::test(start_paused = true)]
async fn a_branchs_environment_has_no_end_of_its_own() {
    let world = listed(3).await;
    world.policy(json!({"lifetime": {"ttl": "1h", "maxTtl": "2h"}})).await;
    let (number, first) = world.camp("sparks").await;
    let uid = camp_uid(&world, "main").await;
    world.sleep(Duration::from_secs(3 * 3600)).await;
    assert!(world.namespace(number).await.is_none(), "#{number} at {first} had its time");
    assert_eq!(camp_uid(&world, "main").await, uid);
    let status = status(&world, "main").await.expect("a status");
    assert!(status.holds("Ready") && status.expires_at.is_none());
    assert!(
        status.why.iter().any(|line| line.answer == "a branch's has no end"),
        "{:?}",
        status.why
    );
}

#[tokio::test(start_paused = true)]
async fn what_nobody_told_of_a_branch_is_found_out_by_the_sweep() {
    let world = listed(4).await;
    world.lose_webhooks(true);
    let first = branch(&world, "release/2");
    shows(&world, "release/2", &first, SWEPT).await;
    let next = world.push("main", &one("CHANGES.md", "more"));
    shows(&world, "main", &next, SWEPT).await;
    let github = &world.stage.github;
    github.delete_branch(REPOSITORY, "release/2", MAINTAINER).expect("gone");
    gone(&world, "release/2", SWEPT).await;
    assert!(status(&world, "main").await.is_some_and(|status| status.holds("Ready")));
}

#[tokio::test(start_paused = true)]
async fn only_a_missing_branch_of_the_very_repository_ends_its_environment() {
    let world = listed(5).await;
    let tip = branch(&world, "release/3");
    shows(&world, "release/3", &tip, AT_ONCE).await;
    let before = (camp_uid(&world, "main").await, camp_uid(&world, "release/3").await);
    let (since, github) = (world.stage.clock.now(), &world.stage.github);
    // The forge denies everything: nothing is proven.
    github.fail_next("*", "*", 404, u32::MAX);
    world.sleep(SWEEP * 3).await;
    github.fail_no_more();
    world.sleep(SWEEP).await;
    // The repository goes, and another one of its name comes, which has no such branch.
    github.delete_repository(REPOSITORY, MAINTAINER).expect("gone");
    world.sleep(SWEEP).await;
    github.create_repo(REPOSITORY).expect("another");
    let files = one("README.md", "another");
    github.commit(REPOSITORY, "main", &files, "Begin\n", MAINTAINER).expect("a commit");
    world.sleep(SWEEP * 3).await;
    for branch in ["main", "release/3"] {
        let hint = json!({"metadata": {"annotations": {"bivouac.dev/hint": format!("by-hand-{branch}").replace('/', "-")}}});
        let api = world.stage.environments();
        let patch = kube::api::Patch::Merge(hint);
        api.patch(&named(branch), &kube::api::PatchParams::default(), &patch)
            .await
            .expect("a hint");
    }
    world.sleep(SWEEP * 2).await;
    let after = (camp_uid(&world, "main").await, camp_uid(&world, "release/3").await);
    assert_eq!(after, before);
    let deleted = world.writes_since(since).into_iter();
    let deleted = deleted.filter(|w| w.verb == "delete" && w.resource == "namespaces");
    assert_eq!(deleted.count(), 0);
    let revision = status(&world, "release/3").await.and_then(|status| status.revision);
    assert_eq!(revision, Some(tip), "nothing is fetched from the other one");
}

#[tokio::test(start_paused = true)]
async fn a_record_is_of_one_source_alone() {
    let world = World::new(6).await;
    for source in [json!({}), json!({"branch": {"name": "main"}, "pullRequest": {"number": 1}})] {
        let wrong = json!({
            "apiVersion": "bivouac.dev/v1alpha1", "kind": "Environment",
            "metadata": {"name": "wrong", "namespace": NAMESPACE},
            "spec": {"repository": NAME, "source": source},
        });
        let wrong: Environment = serde_json::from_value(wrong).expect("a record");
        let refused = world.stage.environments().create(&PostParams::default(), &wrong).await;
        let text = refused.map(|_| ()).expect_err("refused").to_string();
        assert!(text.contains("either a pullRequest or a branch"), "{text}");
    }
}
