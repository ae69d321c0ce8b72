//! Deployments at the forge: one for each commit that ran, under one environment name, true at each moment, and none active
//! once the pull request is closed.

use std::time::Duration;

use bivouac::app::stage::{BOT, FIRST, NAME, NAMESPACE, PreviewFault, REPOSITORY};
use bivouac::apply::Target;
use bivouac::controller::leftovers::{Search, end_deployments, find};
use bivouac::forge::Apis;
use bivouac::sandbox::github::DeploymentView;
use bivouac::seams::body;
use http::Request;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use tower::ServiceExt as _;

use crate::support::{SWEEP, World, one, start};

fn deployments(world: &World) -> Vec<DeploymentView> {
    world.stage.github.deployments(REPOSITORY).expect("deployments")
}

/// Waits until the states of the deployments of a commit are those, each deployment in one text.
async fn went(world: &World, head: &str, states: &[&str]) -> Vec<DeploymentView> {
    let what = format!("the deployments of {head} went {states:?}");
    world
        .until(&what, async || {
            let mut found = deployments(world);
            found.retain(|deployment| deployment.sha == head);
            let all: Vec<String> = found.iter().map(|d| d.states.join(" ")).collect();
            (all == states).then_some(found)
        })
        .await
}

/// A deployment that somebody else makes.
async fn made_by_another(world: &World, sha: &str, task: &str) {
    let wanted = json!({
        "ref": sha, "task": task, "environment": "preview", "auto_merge": false,
        "required_contexts": [], "transient_environment": true,
    });
    let url = format!("http://github.test/api/v3/repos/{REPOSITORY}/deployments");
    let request = Request::post(url)
        .header("authorization", format!("Bearer {}", world.stage.tokens.maintainer))
        .header("content-type", "application/json")
        .body(body(wanted.to_string()))
        .expect("a request");
    let answer = world.stage.github.transport().oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), 201);
}

/// Nothing is active.
fn all_are_over(world: &World) {
    assert_eq!(world.stage.github.census().deployments, Vec::<String>::new());
}

async fn url_of(world: &World, number: u64) -> String {
    world.status(number).await.expect("a status").urls[0].url.clone()
}

#[tokio::test(start_paused = true)]
async fn each_commit_that_runs_is_a_deployment_and_the_earlier_ones_are_over() {
    let world = World::new(1).await;
    let (number, first) = world.camp("sparks").await;
    let one_of = went(&world, &first, &["success"]).await.remove(0);
    assert_eq!(one_of.environment, "preview");
    assert_eq!(one_of.task, format!("bivouac:demo:pr-{number}"));
    assert_eq!(one_of.creator, BOT);
    assert!(one_of.transient && !one_of.production);
    assert_eq!(one_of.environment_url, url_of(&world, number).await);
    let comment = world.status(number).await.expect("a status").report.expect("a report").comment;
    assert_eq!(one_of.log_url, comment.expect("a comment").url);

    let second = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &second).await;
    went(&world, &second, &["success"]).await;
    went(&world, &first, &["success inactive"]).await;
    // Another pull request's is none of its business.
    let (other, kettle) = world.camp("kettle").await;
    went(&world, &kettle, &["success"]).await;
    let third = world.push("sparks", &one("CHANGES.md", "even more sparks"));
    world.ready(number, &third).await;
    went(&world, &third, &["success"]).await;
    went(&world, &second, &["success inactive"]).await;
    went(&world, &kettle, &["success"]).await;

    for number in [number, other] {
        world.close(number);
        world.closed(number).await;
    }
    went(&world, &third, &["success inactive"]).await;
    went(&world, &kettle, &["success inactive"]).await;
    all_are_over(&world);
    // However many pull requests there were, GitHub has one environment more.
    assert_eq!(world.stage.github.census().environments, [format!("{REPOSITORY} preview")]);
}

#[tokio::test(start_paused = true)]
async fn the_one_before_goes_on_until_the_next_runs() {
    let world = World::new(2).await;
    let (number, first) = world.camp("sparks").await;
    went(&world, &first, &["success"]).await;
    let host = url_of(&world, number).await.split('/').nth(2).expect("a host").to_owned();
    world.stage.previews.fail(&host, PreviewFault::Answer(503, String::new()), u32::MAX);
    let slow = world.push("sparks", &one("CHANGES.md", "slow"));
    went(&world, &slow, &["in_progress"]).await;
    went(&world, &first, &["success"]).await;
    went(&world, &slow, &["in_progress failure"]).await;
    went(&world, &first, &["success inactive"]).await;
    world.stage.previews.fail_no_more();
    let found = went(&world, &slow, &["in_progress failure success"]).await;
    assert_eq!(found[0].environment_url, url_of(&world, number).await);
}

#[tokio::test(start_paused = true)]
async fn a_refused_commit_is_no_deployment_and_ends_none() {
    let world = World::new(3).await;
    let (number, first) = world.camp("sparks").await;
    went(&world, &first, &["success"]).await;
    let bad = world.push("sparks", &one(".bivouac.yaml", "apps: 7\n"));
    world.told(number, "### Preview is refused").await;
    world.sleep(SWEEP).await;
    went(&world, &bad, &[]).await;
    went(&world, &first, &["success"]).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_ends_a_camp_ends_its_deployment() {
    let world = World::new(4).await;
    let (number, head) = world.camp("sparks").await;
    went(&world, &head, &["success"]).await;
    world.ask(number, json!({"want": "Down"})).await;
    went(&world, &head, &["success inactive"]).await;
    all_are_over(&world);
    // What comes back is another one.
    world.ask(number, json!({"want": "Auto"})).await;
    let last = |deployment: &DeploymentView| deployment.states.last().cloned().unwrap_or_default();
    let both = async |wanted: [&str; 2]| {
        world
            .until(&format!("the two went {wanted:?}"), async || {
                let found = deployments(&world);
                let last: Vec<String> = found.iter().map(last).collect();
                let failed = found.iter().any(|d| d.states.iter().any(|state| state == "failure"));
                assert!(!failed, "to come back is no failure: {found:#?}");
                (last == wanted).then_some(())
            })
            .await;
    };
    both(["inactive", "success"]).await;
    world.policy(json!({"lifetime": {"ttl": "30m", "maxTtl": "14d"}})).await;
    world.sleep(Duration::from_secs(31 * 60)).await;
    both(["inactive", "inactive"]).await;
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    went(&world, &next, &["success"]).await;
    world.policy(json!({"report": {"deployments": false}})).await;
    went(&world, &next, &["success inactive"]).await;
    all_are_over(&world);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_record_leaves_no_active_deployment() {
    let world = World::new(5).await;
    let (number, head) = world.camp("sparks").await;
    went(&world, &head, &["success"]).await;
    // Closed, and nobody says so: it is not made anew.
    world.lose_webhooks(true);
    world.close(number);
    let name = format!("{NAME}-pr-{number}");
    world.stage.environments().delete(&name, &DeleteParams::default()).await.expect("deleted");
    went(&world, &head, &["success inactive"]).await;
    all_are_over(&world);
    let statuses = world.stage.github.statuses(REPOSITORY).expect("statuses");
    assert_eq!(statuses.last().expect("a status").description, "Preview is gone");
}

async fn all_are_over_soon(world: &World) {
    let over = async || world.stage.github.census().deployments.is_empty().then_some(());
    world.until("all deployments are over", over).await;
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_deployment_is_found_again_and_never_made_twice() {
    let mut world = World::new(6).await;
    let (number, head) = world.camp("sparks").await;
    went(&world, &head, &["success"]).await;
    world.sleep(Duration::from_secs(30)).await;
    let id = deployments(&world)[0].id;
    // As after a crash between the write and its note.
    let forget = async |world: &mut World| {
        world.stage.stop_replica(FIRST).await;
        let nothing = Patch::Merge(json!({"status": {"report": {"deployment": null}}}));
        let name = format!("{NAME}-pr-{number}");
        let records = world.stage.environments();
        records.patch_status(&name, &PatchParams::default(), &nothing).await.expect("a status");
    };
    forget(&mut world).await;
    world.stage.start_replica(FIRST).expect("a start");
    world
        .until("the record knows it again", async || {
            let deployment = world.status(number).await?.report?.deployment?;
            (deployment.id == i64::try_from(id).ok()).then_some(())
        })
        .await;
    assert_eq!(deployments(&world).len(), 1);
    // The same when the pull request was closed meanwhile.
    forget(&mut world).await;
    world.close(number);
    world.stage.start_replica(FIRST).expect("a start");
    all_are_over_soon(&world).await;
}

#[tokio::test(start_paused = true)]
async fn when_the_rate_is_short_deployments_are_left_out_and_the_rest_is_told() {
    let world = World::new(7).await;
    let github = &world.stage.github;
    let (number, first) = world.camp("sparks").await;
    for n in 0..12 {
        world.camp(&format!("more-{n}")).await;
    }
    went(&world, &first, &["success"]).await;
    world.sleep(SWEEP).await;
    // What GitHub counts: no reading that brought nothing new, and nothing of git's.
    let counts = |r: &&bivouac::sandbox::github::RequestRecord| {
        r.user.as_deref() == Some(BOT)
            && r.status != 304
            && !matches!(r.method.as_str(), "GIT" | "FETCH")
    };
    let used = github.requests().iter().filter(counts).count() as u64;
    // Less than a tenth of it is left.
    github.set_rate_limit(Some(used + used / 10));
    let second = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &second).await;
    world
        .until("the status is set", async || {
            let statuses = github.statuses(REPOSITORY).expect("statuses");
            statuses.iter().any(|s| s.sha == second && s.state == "success").then_some(())
        })
        .await;
    world.sleep(Duration::from_secs(60)).await;
    assert_eq!(deployments(&world).iter().filter(|d| d.sha == second).count(), 0);
    github.set_rate_limit(None);
    world
        .within(Duration::from_secs(2 * 3600), "it is made up for", async || {
            deployments(&world)
                .iter()
                .any(|d| d.sha == second && d.states == ["success"])
                .then_some(())
        })
        .await;
    went(&world, &first, &["success inactive"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_forge_is_tried_again_until_it_is_told() {
    let world = World::new(8).await;
    let github = &world.stage.github;
    github.fail_next("POST", "*/deployments", 502, 2);
    github.fail_next("POST", "*/deployments/*/statuses", 500, 2);
    let (number, head) = world.camp("sparks").await;
    went(&world, &head, &["success"]).await;
    github.fail_next("POST", "*/deployments/*/statuses", 500, 3);
    world.close(number);
    world.closed(number).await;
    all_are_over_soon(&world).await;
    assert_eq!(deployments(&world).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_of_the_platform_team_is_used_and_the_old_ones_are_over() {
    let world = World::new(9).await;
    let (number, first) = world.camp("sparks").await;
    went(&world, &first, &["success"]).await;
    world.policy(json!({"report": {"environment": "review apps"}})).await;
    let second = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &second).await;
    let found = went(&world, &second, &["success"]).await;
    assert_eq!(found[0].environment, "review apps");
    went(&world, &first, &["success inactive"]).await;
}

#[tokio::test(start_paused = true)]
async fn deployments_of_nobody_are_found_and_ended_by_hand() {
    let mut world = World::new(10).await;
    let (torn, lost) = world.camp("torn").await;
    let (_, stays) = world.camp("stays").await;
    went(&world, &lost, &["success"]).await;
    went(&world, &stays, &["success"]).await;
    world.stage.kill_service().await;
    let (name, none) = (format!("{NAME}-pr-{torn}"), json!({"metadata": {"finalizers": []}}));
    let records = world.stage.environments();
    records.patch(&name, &PatchParams::default(), &Patch::Merge(none)).await.expect("patched");
    records.delete(&name, &DeleteParams::default()).await.expect("deleted");

    let search = Search {
        home: world.stage.admin.clone(),
        target: Target::new(world.stage.admin.clone()),
        instance: "demo".into(),
        namespace: NAMESPACE.into(),
        forges: Some(Apis::new(world.stage.github.transport(), world.stage.clock.clone())),
        allow_http: true,
        comments_since: start(),
    };
    // Somebody else's, under our task, is none of ours.
    made_by_another(&world, &lost, &format!("bivouac:demo:pr-{torn}")).await;
    let found = find(&search, &|_| {}).await.expect("they can be looked for");
    let orphans: Vec<_> =
        found.deployments.iter().map(|d| (d.pull_request, d.revision.as_str())).collect();
    assert_eq!(orphans, [(Some(torn), lost.as_str())]);
    assert_eq!(end_deployments(&found.deployments).await, []);
    went(&world, &lost, &["success inactive", ""]).await;
    went(&world, &stays, &["success"]).await;
    let found = find(&search, &|_| {}).await.expect("they can be looked for");
    assert!(found.deployments.is_empty());
    // To another installation they are nobody's.
    let other = Search { instance: "other".into(), ..search };
    let found = find(&other, &|_| {}).await.expect("they can be looked for");
    assert!(found.deployments.is_empty());
}
