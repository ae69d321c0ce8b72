//! Several replicas: one works, all take webhooks, and a dead one is replaced.

use std::time::Duration;

use bivouac::app::stage::FIRST;

use crate::support::{SWEEP, World, one};

const SECOND: usize = 1;

/// A world with two replicas, of which the first leads.
async fn two(seed: u64) -> World {
    let mut world = World::new(seed).await;
    world.stage.start_replica(SECOND).expect("a start");
    world.until("the second replica is ready", async || ready(&world, SECOND).await).await;
    world.sleep(Duration::from_secs(2)).await;
    assert_eq!(world.stage.leader().await, Some(FIRST));
    world
}

async fn ready(world: &World, replica: usize) -> Option<()> {
    world.stage.replica_is_ready(replica).await.then_some(())
}

/// Waits until `replica` leads; how long that took.
async fn led_by(world: &World, replica: usize) -> Duration {
    let since = world.stage.clock.now();
    world
        .until(&format!("replica {replica} leads"), async || {
            (world.stage.leader().await == Some(replica)).then_some(())
        })
        .await;
    (world.stage.clock.now() - since).to_std().expect("time goes on")
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_killed_is_replaced_within_fifteen_seconds_and_its_work_finished() {
    for (seed, millis) in [(21, 20), (22, 250), (23, 700), (24, 1600)] {
        let mut world = two(seed).await;
        let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
        world.sleep(Duration::from_millis(millis)).await;
        world.stage.kill_replica(FIRST).await;
        let took = led_by(&world, SECOND).await;
        assert!(took < Duration::from_secs(15), "{took:?}");
        world.ready(number, &head).await;
        // And back again: the first comes as one that waits.
        world.stage.start_replica(FIRST).expect("a start");
        world.sleep(Duration::from_secs(60)).await;
        assert_eq!(world.stage.leader().await, Some(SECOND), "who leads goes on");
        world.close(number);
        world.stage.kill_replica(SECOND).await;
        led_by(&world, FIRST).await;
        world.closed(number).await;
        world.told(number, "### Preview is gone").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stood_still_and_lost_its_lease_writes_nothing_any_more() {
    for (seed, millis) in [(31, 60), (32, 250), (33, 400), (34, 700), (35, 1100)] {
        let world = two(seed).await;
        let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
        world.sleep(Duration::from_millis(millis)).await;
        world.stage.pause_replica(FIRST, true);
        led_by(&world, SECOND).await;
        world.ready(number, &head).await;
        let newer = world.push("sparks", &one("CHANGES.md", "more sparks"));
        world.ready(number, &newer).await;
        world.sleep(Duration::from_secs(30)).await;

        // Nobody writes while both stand still; then the first wakes up in the middle of what it was doing.
        world.stage.pause_replica(SECOND, true);
        world.sleep(Duration::from_secs(1)).await;
        let (since, first) = (world.stage.clock.now(), world.stage.github.requests().len());
        world.stage.pause_replica(FIRST, false);
        world.sleep(Duration::from_secs(6)).await;
        assert_eq!(world.stage.leader().await, Some(SECOND));
        assert_eq!(world.written_by_the_service(since), Vec::<String>::new());
        assert_eq!(world.told_to_the_forge(first), Vec::<String>::new());

        // It stands again, and has forgotten what it knew: the newer commit stays.
        led_by(&world, FIRST).await;
        world.sleep(Duration::from_secs(30)).await;
        world.ready(number, &newer).await;
        assert_eq!(world.written_by_the_service(since), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_asked_to_end_hands_over_within_a_second() {
    let mut world = two(41).await;
    let (number, head) = world.camp("sparks").await;
    // One sweep counts the camps.
    world.sleep(SWEEP).await;
    let since = world.stage.clock.now();
    world.stage.stop_replica(FIRST).await;
    led_by(&world, SECOND).await;
    let took = world.stage.clock.now() - since;
    assert!(took < chrono::Duration::seconds(1), "{took}");
    world.sleep(Duration::from_secs(30)).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new(), "all is as it was");
    world.ready(number, &head).await;

    // In the middle of a run, too: the run ends first.
    world.stage.start_replica(FIRST).expect("a start");
    world.sleep(Duration::from_secs(5)).await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.sleep(Duration::from_millis(300)).await;
    world.stage.stop_replica(SECOND).await;
    world.ready(number, &head).await;
    assert_eq!(world.stage.leader().await, Some(FIRST));
}

#[tokio::test(start_paused = true)]
async fn each_replica_takes_webhooks_whoever_leads() {
    let mut world = two(51).await;
    assert!(world.stage.replica_is_ready(FIRST).await);
    // Each in turn.
    let (first, one_head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let (second, other_head) = world.open("kettle", &one("CHANGES.md", "kettle"));
    world.ready(first, &one_head).await;
    world.ready(second, &other_head).await;

    // Nobody leads, and the one that is left takes a webhook all the same.
    world.stage.kill_replica(FIRST).await;
    let (third, head) = world.open("embers", &one("CHANGES.md", "embers"));
    let recorded = async || world.record(third).await.map(drop);
    world.within(Duration::from_secs(2), "the delivery is recorded", recorded).await;
    assert_eq!(world.stage.leader().await, Some(FIRST), "its Lease has not ended yet");
    world.ready(third, &head).await;
    assert_eq!(world.stage.leader().await, Some(SECOND));
}
