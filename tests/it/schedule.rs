//! Times to sleep: by the clock on the wall of the Repository's time zone.

use std::time::Duration;

use bivouac::crd::{Phase, Power};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::support::{World, one};

/// Waits until a point in time.
async fn until(world: &World, at: &str) {
    let at: DateTime<Utc> = format!("2026-03-{at}:00Z").parse().expect("a time");
    let left = (at - world.stage.clock.now()).to_std().expect("it is ahead");
    world.sleep(left).await;
}

async fn phase(world: &World, number: u64) -> Option<Phase> {
    // What the clock begins takes a moment.
    world.sleep(Duration::from_secs(45)).await;
    world.status(number).await.expect("a status").phase
}

#[tokio::test(start_paused = true)]
async fn camps_sleep_by_night_in_their_time_zone_and_wake_in_the_morning() {
    let world = World::new(41).await;
    let lifetime = json!({"ttl": "7d", "schedule": {"timeZone": "Europe/Berlin", "asleep": ["Mon-Fri 20:00-07:00"]}});
    world.policy(json!({"lifetime": lifetime})).await;
    // Monday, 10:00 in Berlin.
    let (number, head) = world.camp("sparks").await;
    until(&world, "02T18:59").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Ready));
    until(&world, "02T19:00").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    let why = world.status(number).await.expect("a status").why;
    let why = why.into_iter().find(|line| line.rule == "power").expect("the rule");
    assert_eq!(why.answer, "it sleeps by lifetime.schedule: Mon-Fri 20:00-07:00, Europe/Berlin");
    until(&world, "03T05:58").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    until(&world, "03T06:00").await;
    world.ready(number, &head).await;

    // Somebody works late: for this night, not for the next.
    until(&world, "03T20:00").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    world.ask(number, json!({"power": "Awake"})).await;
    world.ready(number, &head).await;
    until(&world, "04T01:00").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Ready));
    until(&world, "04T19:00").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    let wish = world.record(number).await.expect("a record").spec.power;
    assert_eq!(wish, Power::Auto, "the wish was for one night");

    // A push wakes it, until the next evening.
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    until(&world, "05T19:00").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_means_nothing_is_named() {
    let world = World::new(42).await;
    let (number, _) = world.camp("sparks").await;
    for (schedule, named) in [
        (json!({"timeZone": "Berlin", "asleep": ["Sat"]}), "lifetime.schedule.timeZone"),
        (json!({"timeZone": "UTC", "asleep": ["late"]}), "lifetime.schedule.asleep"),
    ] {
        world.policy(json!({"lifetime": {"schedule": schedule}})).await;
        world
            .until("the value is named", async || {
                let reason = world.status(number).await?.reason?;
                reason.contains(named).then_some(())
            })
            .await;
    }
    assert!(world.camp_uid(number).await.is_some(), "and nothing is taken down for it");
}
