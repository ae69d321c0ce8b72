//! A camp's end: people are warned of it, may put it off, and are told how to get the camp back.

use std::time::Duration;

use bivouac::crd::Phase;
use serde_json::json;

use crate::support::{World, golden, one};

const MINUTE: Duration = Duration::from_secs(60);

/// How often the comment was written since the request number `first`.
fn edits(world: &World, first: usize) -> usize {
    let told = world.told_to_the_forge(first);
    told.iter().filter(|line| line.contains("PATCH") && line.contains("/issues/comments/")).count()
}

#[tokio::test(start_paused = true)]
async fn the_comment_warns_once_before_the_end_and_no_more_after_a_push() {
    let world = World::new(11).await;
    world.policy(json!({"lifetime": {"ttl": "40m", "maxTtl": "14d", "warnBefore": "10m"}})).await;
    let (number, head) = world.camp("sparks").await;
    world.sleep(29 * MINUTE).await;
    assert!(!world.comment(number).expect("a comment").contains("Its end is near"));
    let first = world.stage.github.requests().len();
    world.sleep(2 * MINUTE).await;
    let comment = world.comment(number).expect("a comment");
    golden("ends-soon", &comment, &head);
    assert!(world.status(number).await.expect("a status").holds("Expiring"));
    world.sleep(6 * MINUTE).await;
    assert_eq!(edits(&world, first), 1, "it is said once");

    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    let comment = world.comment(number).expect("a comment");
    assert!(!comment.contains("Its end is near"), "{comment}");
    let status = world.status(number).await.expect("a status");
    assert!(status.condition("Expiring").is_none());
    world.sleep(20 * MINUTE).await;
    assert!(world.camp_uid(number).await.is_some(), "a push gave it more time");
}

#[tokio::test(start_paused = true)]
async fn an_extended_camp_stands_until_then_and_no_longer_than_its_longest_life() {
    let world = World::new(12).await;
    world.policy(json!({"lifetime": {"ttl": "10m", "maxTtl": "1h"}})).await;
    let (number, _) = world.camp("sparks").await;
    let (bounded, _) = world.camp("kettle").await;
    let until = |minutes: i64| {
        let at = world.stage.clock.now() + chrono::TimeDelta::minutes(minutes);
        json!({"lifetime": {"until": at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)}})
    };
    world.ask(number, until(30)).await;
    world.ask(bounded, until(400)).await;
    world.sleep(20 * MINUTE).await;
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Ready), "{status:?}");
    let why = status.why.iter().find(|line| line.rule == "lifetime").expect("the rule");
    assert_eq!(why.answer, "its time is not up: somebody extended it");
    world.sleep(11 * MINUTE).await;
    world.gone(number).await;
    assert!(world.camp_uid(bounded).await.is_some());
    let why = world.status(bounded).await.expect("a status").why;
    let why = why.into_iter().find(|line| line.rule == "lifetime").expect("the rule");
    assert!(why.answer.contains("lifetime.maxTtl bounds it"), "{why:?}");
    world.sleep(28 * MINUTE).await;
    world.gone(bounded).await;
    let comment = world.told(bounded, "### Preview has expired").await;
    assert!(comment.contains("`/preview up`"), "{comment}");
}

#[tokio::test(start_paused = true)]
async fn a_pinned_camp_ends_with_its_longest_life_alone_and_unpinned_by_its_time() {
    let world = World::new(13).await;
    world.policy(json!({"lifetime": {"ttl": "10m", "maxTtl": "1h"}})).await;
    let (pinned, _) = world.camp("sparks").await;
    let (released, _) = world.camp("kettle").await;
    for number in [pinned, released] {
        world.ask(number, json!({"lifetime": {"pinned": true}})).await;
    }
    world.sleep(40 * MINUTE).await;
    assert!(world.camp_uid(pinned).await.is_some() && world.camp_uid(released).await.is_some());
    world.ask(released, json!({"lifetime": {"pinned": false}})).await;
    world.gone(released).await;
    world.sleep(5 * MINUTE).await;
    let comment = world.told(pinned, "Its end is near").await;
    assert!(comment.contains("Nothing extends its longest time"), "{comment}");
    world.gone(pinned).await;
}
