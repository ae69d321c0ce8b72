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
async fn camps_sleep_when_it_is_time_in_their_time_zone_and_wake_after_it() {
    let world = World::new(41).await;
    let asleep = ["10:20-10:40", "11:00-11:20", "Mon 11:40-24:00"];
    let schedule = json!({"timeZone": "Europe/Berlin", "asleep": asleep});
    world.policy(json!({"lifetime": {"schedule": schedule}})).await;
    // Monday, 10:00 in Berlin.
    let (number, head) = world.camp("sparks").await;
    until(&world, "02T09:19").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Ready));
    until(&world, "02T09:20").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    let why = world.status(number).await.expect("a status").why;
    let why = why.into_iter().find(|line| line.rule == "power").expect("the rule");
    assert_eq!(why.answer, "it sleeps by lifetime.schedule: 10:20-10:40, Europe/Berlin");
    until(&world, "02T09:38").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    until(&world, "02T09:40").await;
    world.ready(number, &head).await;

    // Somebody works late: for this time to sleep, not for the next.
    until(&world, "02T10:00").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    world.ask(number, json!({"power": "Awake"})).await;
    world.ready(number, &head).await;
    until(&world, "02T10:15").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Ready));
    until(&world, "02T10:40").await;
    assert_eq!(phase(&world, number).await, Some(Phase::Asleep));
    let wish = world.record(number).await.expect("a record").spec.power;
    assert_eq!(wish, Power::Auto, "the wish was for one time");

    // A push wakes it, and one that is made now is awake.
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    let (fresh, head) = world.camp("kettle").await;
    world.sleep(Duration::from_secs(600)).await;
    world.ready(fresh, &head).await;
    assert_eq!(phase(&world, number).await, Some(Phase::Ready));
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
