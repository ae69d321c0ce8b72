//! Where there is no room, the preview that nobody used for the longest time sleeps: never a pinned one, and it is said.

use std::time::Duration;

use bivouac::crd::Phase;
use serde_json::json;

use crate::idle::visit;
use crate::support::{World, one};

const MINUTE: Duration = Duration::from_secs(60);

async fn phase(world: &World, number: u64, phase: Phase) {
    world
        .until(&format!("#{number} is {phase:?}"), async || {
            (world.status(number).await?.phase == Some(phase)).then_some(())
        })
        .await;
}

async fn awake(world: &World, of: &[u64]) -> usize {
    let mut count = 0;
    for number in of {
        let status = world.status(*number).await.expect("a status");
        let asleep = status.power.is_some_and(|power| power.asleep);
        count += usize::from(status.namespace.is_some() && !asleep);
    }
    count
}

#[tokio::test(start_paused = true)]
async fn the_quietest_preview_sleeps_so_that_another_has_room() {
    let world = World::new(821).await;
    let limits = json!({"limits": {"environments": 2, "whenFull": "SleepOldest"}});
    world.policy(limits).await;
    let (first, first_head) = world.camp("one").await;
    world.sleep(2 * MINUTE).await;
    let (second, second_head) = world.camp("two").await;
    world.sleep(2 * MINUTE).await;
    // Somebody looks at the first: the second is the quietest now.
    visit(&world, first).await;
    world.sleep(2 * MINUTE).await;
    let (third, third_head) = world.open("three", &one("CHANGES.md", "three"));
    world.ready(third, &third_head).await;
    phase(&world, second, Phase::Asleep).await;
    world.ready(first, &first_head).await;
    let comment = world.told(second, "### Preview sleeps").await;
    assert!(comment.contains("others have room"), "{comment}");
    let why = world.status(second).await.expect("a status").why;
    let why = why.into_iter().find(|line| line.rule == "power").expect("the rule");
    assert!(why.answer.contains("limits.whenFull: SleepOldest"), "{why:?}");

    // Who wakes it lets another one sleep, which is never the one that just woke.
    world.sleep(2 * MINUTE).await;
    world.ask(second, json!({"power": "Awake"})).await;
    world.ready(second, &second_head).await;
    phase(&world, first, Phase::Asleep).await;
    world.sleep(5 * MINUTE).await;
    assert_eq!(awake(&world, &[first, second, third]).await, 2);
    phase(&world, second, Phase::Ready).await;
    // What stands is updated, however full it is.
    let head = world.push("three", &one("CHANGES.md", "more"));
    world.ready(third, &head).await;
    let wakes = world.push("one", &one("CHANGES.md", "more"));
    world.ready(first, &wakes).await;
    phase(&world, second, Phase::Asleep).await;
    assert_eq!(awake(&world, &[first, second, third]).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_pinned_preview_never_sleeps_for_others_and_those_wait() {
    let mut world = World::new(822).await;
    let limits = json!({"limits": {"environments": 2, "whenFull": "SleepOldest"}});
    world.policy(limits).await;
    let (first, _) = world.camp("one").await;
    let (second, _) = world.camp("two").await;
    for number in [first, second] {
        world.ask(number, json!({"lifetime": {"pinned": true}})).await;
    }
    world.sleep(MINUTE).await;
    let (third, third_head) = world.open("three", &one("CHANGES.md", "three"));
    phase(&world, third, Phase::Queued).await;
    let reason = world.status(third).await.expect("a status").reason.expect("a reason");
    assert!(reason.contains("none of them can be put to sleep now"), "{reason}");
    world.sleep(10 * MINUTE).await;
    assert!(world.camp_uid(third).await.is_none());
    phase(&world, first, Phase::Ready).await;
    phase(&world, second, Phase::Ready).await;

    // Let go, it makes room, also through a service that is killed meanwhile.
    world.ask(second, json!({"lifetime": {"pinned": false}})).await;
    world.sleep(Duration::from_millis(200)).await;
    world.stage.kill_service().await;
    world.stage.start_service().expect("started");
    world.ready(third, &third_head).await;
    phase(&world, second, Phase::Asleep).await;
    phase(&world, first, Phase::Ready).await;

    // What sleeps takes no room: all three stand when two of them do.
    world.ask(third, json!({"power": "Asleep"})).await;
    phase(&world, third, Phase::Asleep).await;
    let (fourth, head) = world.open("four", &one("CHANGES.md", "four"));
    world.ready(fourth, &head).await;
    phase(&world, first, Phase::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn without_that_rule_what_sleeps_takes_room_as_ever() {
    let world = World::new(823).await;
    world.policy(json!({"limits": {"environments": 1}})).await;
    let (first, _) = world.camp("one").await;
    world.ask(first, json!({"power": "Asleep"})).await;
    phase(&world, first, Phase::Asleep).await;
    let (second, head) = world.open("two", &one("CHANGES.md", "two"));
    phase(&world, second, Phase::Queued).await;
    // Asked for now, it counts at once.
    world.policy(json!({"limits": {"whenFull": "SleepOldest"}})).await;
    world.ready(second, &head).await;
}
