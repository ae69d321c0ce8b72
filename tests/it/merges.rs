//! `source.at: Merge`: what is applied is what the base branch would be after the merge.

use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, REPOSITORY, STRANGER};
use bivouac::crd::{EnvironmentStatus, Phase};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use crate::support::{SWEEP, World, golden, one, start};

/// A manifest of one ConfigMap.
fn config(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: b}}\n")
}

async fn merging(seed: u64) -> World {
    let world = World::new(seed).await;
    world.policy(json!({"source": {"at": "Merge"}})).await;
    world
}

/// Waits until the camp has all of these ConfigMaps, and gives the status.
async fn has(world: &World, number: u64, names: &[&str]) -> EnvironmentStatus {
    world
        .until(&format!("#{number} has {names:?} and is ready"), async || {
            let there = world.config_maps(number).await;
            let status = world.status(number).await?;
            let all = names.iter().all(|name| there.iter().any(|one| one == name));
            (all && status.holds("Ready") && status.holds("Applied")).then_some(status)
        })
        .await
}

async fn lacks(world: &World, number: u64, name: &str) {
    let there = world.config_maps(number).await;
    assert!(there.iter().all(|one| one != name), "{name} of {there:?}");
}

/// Questions for one pull request since `since`.
fn asked(world: &World, number: u64, since: DateTime<Utc>) -> usize {
    let path = format!("/pulls/{number}");
    let requests = world.stage.github.requests().into_iter();
    requests.filter(|r| r.at >= since && r.method == "GET" && r.path.ends_with(&path)).count()
}

fn merge_of(world: &World, number: u64) -> String {
    world.stage.github.test_merge(REPOSITORY, number).expect("a merge")
}

#[tokio::test(start_paused = true)]
async fn the_merge_is_what_is_applied_and_it_follows_head_and_base() {
    let world = merging(1).await;
    let (ours, theirs) = (config("ours"), config("theirs"));
    let (number, head) = world.open("sparks", &one("deploy/preview/ours.yaml", &ours));
    world.ready(number, &head).await;
    lacks(&world, number, "theirs").await;
    let first = merge_of(&world, number);

    // Nobody tells the service that the base moved; the sweep finds it.
    let base = world.push("main", &one("deploy/preview/theirs.yaml", &theirs));
    let status = has(&world, number, &["ours", "theirs"]).await;
    let found = status.head.clone().expect("a head");
    assert_eq!(status.revision.as_deref(), Some(head.as_str()), "the record is about the head");
    assert_eq!(found.revision, head);
    assert_eq!(found.merge, Some(merge_of(&world, number)));
    assert_ne!(found.merge, Some(first));
    assert_eq!(found.merged_with.as_deref(), Some(base.as_str()));
    let comment = world.told(number, &base).await;
    assert!(comment.contains(&head) && comment.contains(" merged with "), "{comment}");
    // The page is made of `commit.sha`.
    assert!(world.page(number).await.expect("an answer").1.contains(&head));

    // Nothing moves: nothing is asked for each pull request, and nothing is written.
    world.sleep(SWEEP).await;
    let since = world.stage.clock.now();
    world.sleep(SWEEP * 3).await;
    assert_eq!(asked(&world, number, since), 0);
    let writes = world.writes_since(since);
    let writes: Vec<_> = writes.iter().filter(|write| write.resource == "environments").collect();
    assert!(writes.is_empty(), "{writes:?}");

    let next = world.push("sparks", &one("deploy/preview/more.yaml", &config("more")));
    world.ready(number, &next).await;
    has(&world, number, &["ours", "theirs", "more"]).await;

    // And back to the head alone.
    world.policy(json!({"source": {"at": "Head"}})).await;
    world
        .until("what is of the base alone is gone", async || {
            let there = world.config_maps(number).await;
            let status = world.status(number).await?;
            let gone = there.iter().all(|name| name != "theirs");
            (gone && status.holds("Ready") && status.head?.merge.is_none()).then_some(())
        })
        .await;
    has(&world, number, &["ours", "more"]).await;
    world
        .until("the comment names the head alone", async || {
            (!world.comment(number)?.contains(" merged with ")).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_told_and_the_camp_goes_on_until_a_push_resolves_it() {
    let world = merging(2).await;
    let (number, head) = world.camp("sparks").await;
    let before = world.camp_uid(number).await;

    let main = world.push("main", &one("CHANGES.md", "something else"));
    let comment = world.told(number, "### Preview is held up").await;
    golden("merge-conflict", &comment, &head);
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Refused));
    let ready = status.condition("Ready").expect("a condition");
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Conflict"));
    assert_eq!(status.revision.as_deref(), Some(head.as_str()));
    assert!(status.head.expect("a head").conflict);
    assert_eq!(world.camp_uid(number).await, before);
    let (code, page) = world.page(number).await.expect("an answer");
    assert!(code == 200 && page.contains(&head), "it is served");

    // A push that resolves nothing.
    let unresolved = world.push("sparks", &one("CHANGES.md", "still our own"));
    world.told(number, &unresolved).await;
    world.sleep(SWEEP * 2).await;
    assert!(world.page(number).await.expect("an answer").1.contains(&head), "of before");
    assert_eq!(world.camp_uid(number).await, before);

    let resolved = world.push("sparks", &one("CHANGES.md", "something else"));
    world.ready(number, &resolved).await;
    assert_eq!(world.camp_uid(number).await, before);
    let status = world.status(number).await.expect("a status");
    let found = status.head.expect("a head");
    assert!(!found.conflict);
    assert_eq!(found.merged_with, Some(main));
}

#[tokio::test(start_paused = true)]
async fn a_new_pull_request_with_a_conflict_gets_no_camp_before_the_base_resolves_it() {
    let world = merging(3).await;
    let github = &world.stage.github;
    let ours = one("CHANGES.md", "ours");
    github.commit(REPOSITORY, "sparks", &ours, "Change\n", MAINTAINER).expect("a commit");
    world.push("main", &one("CHANGES.md", "theirs"));
    let number = world.propose("sparks", "A change", MAINTAINER);
    let comment = world.told(number, "### Preview is held up").await;
    assert!(comment.contains("conflicts with"), "{comment}");
    world.sleep(SWEEP * 2).await;
    let status = world.status(number).await.expect("a status");
    assert_eq!((status.phase, status.namespace), (Some(Phase::NoCamp), None));
    assert!(world.namespace(number).await.is_none());
    let decided = status.why.iter().find(|why| why.decided).expect("a reason");
    assert_eq!(decided.rule, "merge");

    // The base comes to say the same. Nothing is pushed to the head.
    let head = github.head(REPOSITORY, "sparks").expect("a head");
    world.push("main", &ours);
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_has_not_tried_the_merge_yet_is_asked_again_and_not_too_often() {
    let world = merging(4).await;
    world.stage.github.set_merge_delay(Duration::from_secs(20));
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let opened = world.stage.clock.now();
    world.told(number, "### Preview is being made").await;
    world.ready(number, &head).await;
    let took = world.stage.clock.now() - opened;
    assert!((20..60).contains(&took.num_seconds()), "{took}");
    let asked_first = asked(&world, number, opened);
    assert!((3..=12).contains(&asked_first), "{asked_first} questions");

    // A push: what stands goes on meanwhile.
    let before = world.camp_uid(number).await;
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.sleep(Duration::from_secs(10)).await;
    assert!(world.page(number).await.expect("an answer").1.contains(&head));
    world.ready(number, &next).await;
    assert_eq!(world.camp_uid(number).await, before);

    // The base moves: it stays ready with what is known until there is another merge.
    world.stage.github.set_merge_delay(Duration::from_secs(500));
    world.push("main", &one("deploy/preview/theirs.yaml", &config("theirs")));
    world
        .until("the service waits for the other merge", async || {
            let status = world.status(number).await?;
            let awaited = status.head.as_ref()?.merge_awaited.is_some();
            assert!(status.holds("Ready"), "{status:?}");
            awaited.then_some(())
        })
        .await;
    has(&world, number, &["theirs"]).await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_for_the_head_and_the_merge_is_of_that_head() {
    let world = merging(5).await;
    let github = &world.stage.github;
    github.fork(REPOSITORY, STRANGER).expect("a fork");
    let fork = format!("{STRANGER}/campfire");
    let (embers, theirs) = (config("embers"), config("theirs"));
    let files = one("deploy/preview/embers.yaml", &embers);
    let head = github.commit(&fork, "embers", &files, "Add embers\n", STRANGER).expect("a commit");
    world.push("main", &one("deploy/preview/theirs.yaml", &theirs));
    let number = world.propose(&format!("{STRANGER}:embers"), "Add embers", STRANGER);
    world.told(number, "waits for approval").await;
    let fetched = |since: DateTime<Utc>| {
        let requests = github.requests().into_iter();
        requests.filter(|r| r.at >= since && r.method == "FETCH").count()
    };
    assert_eq!(fetched(start()), 0, "nothing is fetched before");

    let base = github.pull_request(REPOSITORY, number).expect("a pull request").base;
    let at = world.stage.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let approval = json!({"revision": head, "base": base, "by": MAINTAINER, "at": at});
    world.ask(number, json!({ "approved": approval })).await;
    world.ready(number, &head).await;
    has(&world, number, &["embers", "theirs"]).await;

    let hotter = one("deploy/preview/embers.yaml", "not approved");
    let next = github.push(&fork, "embers", &hotter, STRANGER).expect("a push");
    world.told(number, &next).await;
    world.gone(number).await;
}

#[tokio::test(start_paused = true)]
async fn a_merge_that_the_forge_has_thrown_away_is_asked_for_anew() {
    let world = merging(6).await;
    let (number, head) = world.camp("sparks").await;
    // The record knows a merge that is there no more, and the service renders it again from nothing.
    let known = merge_of(&world, number);
    world.lose_webhooks(true);
    world.push("main", &one("deploy/preview/theirs.yaml", &config("theirs")));
    world.stage.github.forget_commit(REPOSITORY, &known).expect("forgotten");
    world.forget_fetched();
    world.policy(json!({"limits": {"objects": 77}})).await;
    let status = has(&world, number, &["theirs"]).await;
    assert_eq!(status.revision.as_deref(), Some(head.as_str()));
    assert_eq!(status.head.expect("a head").merge, Some(merge_of(&world, number)));
}
