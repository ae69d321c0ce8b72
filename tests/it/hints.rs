//! A webhook is a hint, the forge is the truth; and what the forge does not tell proves nothing.

use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, NAME, NAMESPACE, REPOSITORY};
use bivouac::crd::{Environment, Phase, Repository};
use bivouac::sandbox::github::DeliveryFaults;
use kube::Api;

use crate::support::{SWEEP, World, one};

const FOR_EVER: u32 = u32::MAX;

/// The condition `Accessible` of the Repository, as `status reason`.
async fn accessible(world: &World) -> String {
    let api: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let conditions =
        api.get(NAME).await.expect("a Repository").status.unwrap_or_default().conditions;
    let found = conditions.iter().find(|condition| condition.r#type == "Accessible");
    found.map(|condition| format!("{} {}", condition.status, condition.reason)).unwrap_or_default()
}

/// Lets `trouble` last for three sweeps, with a hint in its midst; the camp must stand, and all is well after `end`.
async fn nothing_is_torn_down(name: &str, trouble: impl Fn(&World), end: impl Fn(&World)) {
    let world = World::new(1).await;
    let (number, head) = world.camp("sparks").await;
    let (quiet, quiet_head) = world.camp("kettle").await;
    let before = (world.camp_uid(number).await, world.camp_uid(quiet).await);
    let since = world.stage.clock.now();

    trouble(&world);
    world.stage.github.label(REPOSITORY, number, "urgent", MAINTAINER).expect("a label");
    world.sleep(SWEEP * 3).await;
    let seen = accessible(&world).await;
    assert!(seen.starts_with("False"), "{name}: the Repository says so, not {seen:?}");
    let after = (world.camp_uid(number).await, world.camp_uid(quiet).await);
    assert_eq!(after, before, "{name}: both camps stand");
    for (number, head) in [(number, &head), (quiet, &quiet_head)] {
        let (code, page) = world.page(number).await.expect("an answer");
        assert!(code == 200 && page.contains(head), "{name}: #{number} is served");
    }

    end(&world);
    world
        .until(&format!("{name}: it is accessible again"), async || {
            accessible(&world).await.starts_with("True").then_some(())
        })
        .await;
    let next = world.push("sparks", &one("CHANGES.md", "after the trouble"));
    world.ready(number, &next).await;
    world
        .until(&format!("{name}: all are ready"), async || {
            let status = world.status(quiet).await?;
            (status.holds("Ready") && status.phase == Some(Phase::Ready)).then_some(())
        })
        .await;
    let after = (world.camp_uid(number).await, world.camp_uid(quiet).await);
    assert_eq!(after, before, "{name}: the same namespaces as before");
    let deleted = world
        .writes_since(since)
        .into_iter()
        .filter(|w| w.verb == "delete" && w.resource == "namespaces");
    assert_eq!(deleted.count(), 0, "{name}");
}

async fn refusals_tear_nothing_down(status: u16) {
    let all = |world: &World| world.stage.github.fail_next("*", "*", status, FOR_EVER);
    nothing_is_torn_down(&format!("{status} for all"), all, |world| {
        world.stage.github.fail_no_more();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_404_for_the_repository_tears_nothing_down() {
    refusals_tear_nothing_down(404).await;
}

#[tokio::test(start_paused = true)]
async fn a_401_tears_nothing_down() {
    refusals_tear_nothing_down(401).await;
}

#[tokio::test(start_paused = true)]
async fn a_403_tears_nothing_down() {
    refusals_tear_nothing_down(403).await;
}

#[tokio::test(start_paused = true)]
async fn a_410_tears_nothing_down() {
    refusals_tear_nothing_down(410).await;
}

#[tokio::test(start_paused = true)]
async fn a_451_tears_nothing_down() {
    refusals_tear_nothing_down(451).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_tears_nothing_down() {
    let (on, off) =
        (|w: &World| w.stage.github.set_outage(true), |w: &World| w.stage.github.set_outage(false));
    nothing_is_torn_down("outage", on, off).await;
}

#[tokio::test(start_paused = true)]
async fn a_404_for_a_pull_request_tears_nothing_down() {
    let world = World::new(2).await;
    let (number, head) = world.camp("sparks").await;
    let before = world.camp_uid(number).await;
    for status in [401, 403, 404, 410, 451, 500] {
        // The list lacks it, too: the sweep asks for a proof and gets none.
        world.stage.github.fail_next("GET", "/pulls/", status, FOR_EVER);
        world
            .stage
            .github
            .retitle(REPOSITORY, number, &format!("{status}"), MAINTAINER)
            .expect("a title");
        world.sleep(SWEEP * 2).await;
        let known = world.status(number).await.expect("a status");
        let observed = known.condition("Observed").map(|condition| condition.status.clone());
        assert_eq!(observed.as_deref(), Some("False"), "{status}: it says that it can't be read");
        world.stage.github.fail_no_more();
        world
            .until(&format!("{status}: it is ready again"), async || {
                world.status(number).await?.holds("Ready").then_some(())
            })
            .await;
        assert_eq!(world.camp_uid(number).await, before, "{status}");
        world.ready(number, &head).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_closed_webhook_is_repaired_by_the_sweep() {
    let world = World::new(3).await;
    let (number, _) = world.camp("sparks").await;
    world.lose_webhooks(true);
    world.close(number);
    world.closed(number).await;
    world.told(number, "### Preview is gone").await;
}

#[tokio::test(start_paused = true)]
async fn lost_webhooks_of_an_opening_and_a_push_are_repaired_by_the_sweep() {
    let world = World::new(4).await;
    world.lose_webhooks(true);
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world.ready(number, &head).await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn doubled_late_and_reordered_deliveries_change_nothing() {
    let world = World::new(5).await;
    let doubled = DeliveryFaults { lost: 0, doubled: 100, delay: Duration::from_secs(5) };
    world.stage.github.set_delivery_faults(doubled);
    let (number, _) = world.camp("sparks").await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    world.close(number);
    world.closed(number).await;

    // Everything once more, the newest first: what the payloads say was true once.
    let github = &world.stage.github;
    let since = world.stage.clock.now();
    let mut all = github.deliveries(world.stage.hook);
    assert!(all.len() > 2, "{}", all.len());
    all.reverse();
    for delivery in &all {
        github.redeliver(delivery.id).expect("a delivery");
    }
    world
        .until("all are delivered", async || (github.census().deliveries == 0).then_some(()))
        .await;
    world.sleep(SWEEP).await;
    let made: Vec<_> =
        world.writes_since(since).into_iter().filter(|w| w.resource == "namespaces").collect();
    assert_eq!(made, [], "a closed pull request gets no camp");
    assert_eq!(world.status(number).await.and_then(|status| status.phase), Some(Phase::Closed));

    // Even when the record is forgotten already.
    let records: &Api<Environment> = &world.stage.environments();
    records
        .delete(&format!("{NAME}-pr-{number}"), &kube::api::DeleteParams::default())
        .await
        .expect("gone");
    for delivery in &all {
        github.redeliver(delivery.id).expect("a delivery");
    }
    world.sleep(SWEEP).await;
    let made: Vec<_> =
        world.writes_since(since).into_iter().filter(|w| w.resource == "namespaces").collect();
    assert_eq!(made, [], "a closed pull request gets no camp");
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_is_down_does_not_hold_up_a_teardown_and_the_comment_becomes_true_later() {
    let world = World::new(6).await;
    let (number, head) = world.camp("sparks").await;
    // The pull request can still be read, so that its end is known; nothing can be written.
    world.stage.github.fail_next("PATCH", "*", 503, FOR_EVER);
    world.stage.github.fail_next("POST", "*", 503, FOR_EVER);
    world.close(number);
    world
        .within(Duration::from_secs(60), "the camp is gone within a minute", async || {
            world.namespace(number).await.is_none().then_some(())
        })
        .await;
    world.closed(number).await;
    assert!(
        world.comment(number).expect("a comment").contains("### Preview is ready"),
        "not told yet"
    );
    world
        .within(Duration::from_secs(60), "it says that it could not tell", async || {
            let status = world.status(number).await?;
            (status.condition("Reported")?.status == "False").then_some(())
        })
        .await;
    world.sleep(SWEEP).await;
    world.stage.github.fail_no_more();
    let comment = world.told(number, "### Preview is gone").await;
    assert!(comment.contains(&head));
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_goes_down_in_the_middle_of_a_teardown_does_not_hold_it_up() {
    let world = World::new(7).await;
    let (number, _) = world.camp("sparks").await;
    world.close(number);
    world
        .until("the end is known", async || {
            let phase = world.status(number).await?.phase?;
            matches!(phase, Phase::TearingDown | Phase::Closed).then_some(())
        })
        .await;
    // Requests hang: worse than a refusal.
    world.stage.github.set_latency(Duration::from_secs(24 * 3600));
    world
        .within(Duration::from_secs(120), "the camp is gone within two minutes", async || {
            world.namespace(number).await.is_none().then_some(())
        })
        .await;
    world.stage.github.set_latency(Duration::ZERO);
    world.told(number, "### Preview is gone").await;
    world.closed(number).await;
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_is_gone_tears_nothing_down_and_says_so() {
    let world = World::new(8).await;
    let (number, _) = world.camp("sparks").await;
    let before = world.camp_uid(number).await;
    world.stage.github.delete_repository(REPOSITORY, MAINTAINER).expect("gone");
    world.sleep(SWEEP * 3).await;
    assert_eq!(accessible(&world).await, "False NotFound");
    assert_eq!(world.camp_uid(number).await, before);
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_hangs_holds_up_no_run() {
    let world = World::new(9).await;
    let mut camps = Vec::new();
    for number in 0..24 {
        let branch = format!("branch-{number}");
        camps.push(world.open(&branch, &one("CHANGES.md", &branch)));
    }
    for (number, head) in &camps {
        world.ready(*number, head).await;
    }
    let inputs = async |number: u64| {
        let status = world.status(number).await.expect("a status");
        if status.holds("Ready") { status.inputs_digest } else { None }
    };
    let mut before = Vec::new();
    for (number, _) in &camps {
        before.push(inputs(*number).await);
    }

    // Other limits are other inputs, and another lifetime is another text for each.
    world.stage.github.set_latency(Duration::from_secs(24 * 3600));
    let spec = serde_json::json!({"limits": {"objects": 77}, "lifetime": {"ttl": "48h"}});
    world.policy(spec).await;
    world
        .within(Duration::from_secs(20), "all have the other inputs", async || {
            for ((number, _), before) in camps.iter().zip(&before) {
                let now = inputs(*number).await?;
                (Some(&now) != before.as_ref()).then_some(())?;
            }
            Some(())
        })
        .await;
    world.stage.github.set_latency(Duration::ZERO);
    for (number, _) in &camps {
        world
            .until(&format!("#{number} is told"), async || {
                let status = world.status(*number).await?;
                let until = status.expires_at?.0.format("%Y-%m-%d %H:%M").to_string();
                world.comment(*number)?.contains(&until).then_some(())
            })
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_asked_to_end_tells_first_what_it_has_to_tell() {
    let world = World::anywhere(10).await;
    world.stage.github.set_latency(Duration::from_millis(400));
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world
        .until("it is ready and not told", async || {
            let ready = world.status(number).await?.holds("Ready");
            (ready && world.comment(number).is_none()).then_some(())
        })
        .await;
    let github = world.stage.github.clone();
    world.stage.end().await;
    let comments = github.comments(REPOSITORY, number).expect("comments");
    assert!(comments.iter().any(|comment| comment.body.contains(&head)), "{comments:?}");
}
