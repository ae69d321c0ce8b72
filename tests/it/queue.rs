//! Room for camps: who waits, for how long people are told, and who is let in next.

use std::time::Duration;

use bivouac::app::stage::{FIRST, MAINTAINER};
use bivouac::crd::Phase;
use serde_json::json;

use crate::support::{World, golden, one};

async fn waits(world: &World, number: u64, place: &str) {
    world
        .until(&format!("#{number} waits: {place}"), async || {
            let status = world.status(number).await?;
            let there = status.queue.as_ref().is_some_and(|queue| queue.place == place);
            (there && status.phase == Some(Phase::Queued)).then_some(())
        })
        .await;
    assert!(world.camp_uid(number).await.is_none());
}

/// A pull request by somebody, with a harmless change.
fn by(world: &World, branch: &str, author: &str) -> (u64, String) {
    let github = &world.stage.github;
    let head = github.commit(
        bivouac::app::stage::REPOSITORY,
        branch,
        &one("CHANGES.md", branch),
        "Change something\n",
        MAINTAINER,
    );
    (world.propose(branch, "A change", author), head.expect("a commit"))
}

#[tokio::test(start_paused = true)]
async fn a_full_repository_lets_the_next_one_in_when_one_leaves() {
    let world = World::new(51).await;
    world.policy(json!({"limits": {"environments": 2}})).await;
    let (first, _) = world.camp("one").await;
    let (second, _) = world.camp("two").await;
    let (third, third_head) = world.open("three", &one("CHANGES.md", "three"));
    waits(&world, third, "next").await;
    let (fourth, fourth_head) = world.open("four", &one("CHANGES.md", "four"));
    waits(&world, fourth, "2–5").await;
    let comment = world.told(third, "### Preview waits for its turn").await;
    golden("queued", &comment, &third_head);
    let why = world.status(third).await.expect("a status").why;
    let limits = why.iter().find(|line| line.rule == "limits").expect("the rule");
    assert!(limits.decided && limits.answer.contains("limits.environments"), "{limits:?}");

    // What stands is never refused an update for being full.
    let head = world.push("two", &one("CHANGES.md", "more"));
    world.ready(second, &head).await;
    waits(&world, third, "next").await;

    world.close(first);
    world.gone(first).await;
    let gone = world.stage.clock.now();
    world
        .within(Duration::from_secs(5), "the next one is let in", async || {
            world.camp_uid(third).await
        })
        .await;
    assert!(world.stage.clock.now() - gone < chrono::TimeDelta::seconds(5));
    world.ready(third, &third_head).await;
    waits(&world, fourth, "next").await;

    // Who is let down waits no more, and a higher limit counts at once.
    world.policy(json!({"limits": {"environments": 3}})).await;
    world.ready(fourth, &fourth_head).await;
}

#[tokio::test(start_paused = true)]
async fn an_author_with_many_pull_requests_waits_behind_one_with_none() {
    let world = World::new(52).await;
    world.policy(json!({"limits": {"environments": 2, "perAuthor": 5}})).await;
    let (first, _) = world.camp("one").await;
    let (second, _) = world.camp("two").await;
    let (third, _) = world.open("three", &one("CHANGES.md", "three"));
    waits(&world, third, "next").await;
    let (fourth, _) = world.open("four", &one("CHANGES.md", "four"));
    waits(&world, fourth, "2–5").await;
    world.stage.github.create_user("bob").expect("a person");
    let (bobs, bobs_head) = by(&world, "bobs", "bob");
    world.until("it waits", async || world.status(bobs).await?.queue).await;
    world.close(first);
    world.close(second);
    world.ready(bobs, &bobs_head).await;
    waits(&world, fourth, "next").await;
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_an_author_is_named_and_holds_nobody_else_up() {
    let world = World::new(53).await;
    world.policy(json!({"limits": {"perAuthor": 1}})).await;
    world.camp("one").await;
    let (second, _) = world.open("two", &one("CHANGES.md", "two"));
    waits(&world, second, "next").await;
    let reason = world.status(second).await.expect("a status").reason.expect("a reason");
    assert_eq!(
        reason,
        "ada has 1 of 1 environments (limits.perAuthor); its place in the line: next"
    );
    world.stage.github.create_user("bob").expect("a person");
    let (bobs, head) = by(&world, "bobs", "bob");
    world.ready(bobs, &head).await;
    waits(&world, second, "next").await;
}

#[tokio::test(start_paused = true)]
async fn ten_at_once_never_stand_above_the_limit_through_kills() {
    let mut world = World::new(54).await;
    world.policy(json!({"limits": {"environments": 3}})).await;
    let opened: Vec<u64> =
        (0..10).map(|n| world.open(&format!("b{n}"), &one("CHANGES.md", "x")).0).collect();
    let mut most = 0;
    for round in 0..12_u64 {
        for _ in 0..20 {
            world.sleep(Duration::from_millis(200)).await;
            most = most.max(world.stage.camps().await.expect("camps").len());
        }
        if round % 4 == 1 {
            world.stage.kill_replica(FIRST).await;
            world.stage.start_replica(FIRST).expect("started");
        }
    }
    assert_eq!(most, 3);
    let mut left = opened;
    while !left.is_empty() {
        let next = world
            .until("one of them has its turn", async || {
                for number in &left {
                    let status = world.status(*number).await?;
                    if status.phase == Some(Phase::Ready) {
                        return Some(*number);
                    }
                }
                None
            })
            .await;
        world.close(next);
        left.retain(|number| *number != next);
        let standing = world.stage.camps().await.expect("camps").len();
        assert!(standing <= 3, "{standing}");
    }
}
