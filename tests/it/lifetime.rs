//! How long a camp stands, and what brings it back.

use std::time::Duration;

use bivouac::app::stage::{NAME, NAMESPACE};
use bivouac::crd::{Phase, Repository, Want};
use kube::Api;
use serde_json::json;

use crate::support::{SERVICE, SWEEP, World, golden, one};

/// The shortest life that leaves room for a sweep.
const TTL: Duration = Duration::from_secs(30 * 60);

/// A camp that stood until its time was up, and that no sweep brought back. Gives its number and head.
async fn an_expired_camp(world: &World) -> (u64, String) {
    world.policy(json!({"lifetime": {"ttl": "30m", "maxTtl": "14d"}})).await;
    let (number, head) = world.camp("sparks").await;
    world.sleep(TTL.saturating_sub(Duration::from_secs(120))).await;
    assert!(world.camp_uid(number).await.is_some(), "its time is not up yet");
    world.told(number, "### Preview has expired").await;
    world.gone(number).await;

    let since = world.stage.clock.now();
    let sweeps = || {
        let requests = world.stage.github.requests();
        let lists = requests.iter().filter(|r| r.at >= since && r.path.contains("/pulls?"));
        lists.count()
    };
    world.sleep(SWEEP * 20).await;
    assert!(sweeps() >= 20, "only {} sweeps", sweeps());
    let made: Vec<_> =
        world.writes_since(since).into_iter().filter(|w| w.resource == "namespaces").collect();
    assert_eq!(made, [], "no sweep brings it back");
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::NoCamp));
    (number, head)
}

#[tokio::test(start_paused = true)]
async fn an_expired_environment_stays_down_through_twenty_sweeps_until_a_push() {
    let world = World::new(1).await;
    let (number, head) = an_expired_camp(&world).await;
    golden("expired", &world.comment(number).expect("a comment"), &head);
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    assert_eq!(world.status(number).await.expect("a status").incarnation, Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_expired_environment_stays_down_through_twenty_sweeps_until_a_reopening() {
    let world = World::new(2).await;
    let (number, head) = an_expired_camp(&world).await;
    world.close(number);
    world.closed(number).await;
    world.reopen(number);
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_environment_stays_down_through_twenty_sweeps_until_want_up() {
    let world = World::new(3).await;
    let (number, head) = an_expired_camp(&world).await;
    world.ask(number, json!({"want": "Up"})).await;
    world.ready(number, &head).await;

    // Up is spent by the next end: it has to be said again.
    world.sleep(TTL).await;
    world.gone(number).await;
    world.sleep(SWEEP * 3).await;
    assert!(world.camp_uid(number).await.is_none(), "an old Up keeps nothing up");
    let want = world.record(number).await.expect("a record").spec.want;
    assert_eq!(want, Want::Auto);
    world.ask(number, json!({"want": "Up"})).await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn somebody_may_switch_a_camp_off_and_on() {
    let world = World::new(4).await;
    let (number, head) = world.camp("sparks").await;
    world.ask(number, json!({"want": "Down"})).await;
    world.told(number, "### Preview is switched off").await;
    world.gone(number).await;
    let pushed = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.sleep(SWEEP * 2).await;
    assert!(world.camp_uid(number).await.is_none(), "a push does not undo it");
    assert_ne!(head, pushed);
    world.ask(number, json!({"want": "Auto"})).await;
    world.ready(number, &pushed).await;
}

#[tokio::test(start_paused = true)]
async fn closing_sets_want_back_and_the_record_is_forgotten_a_day_later() {
    let world = World::new(5).await;
    let (number, head) = world.camp("sparks").await;
    let stays = world.camp("kettle").await;
    world.ask(number, json!({"want": "Up"})).await;
    world.sleep(Duration::from_secs(5)).await;
    world.close(number);
    world.closed(number).await;
    golden("closed", &world.told(number, "### Preview is gone").await, &head);
    let record = world.record(number).await.expect("a record");
    assert_eq!(record.spec.want, Want::Auto);
    assert_eq!(record.metadata.finalizers.unwrap_or_default(), Vec::<String>::new());

    world.sleep(Duration::from_secs(23 * 3600)).await;
    assert!(world.record(number).await.is_some(), "it is kept for a day");
    // The day's last hour, and the jitter of five per cent of the pause.
    world.sleep(Duration::from_secs(5 * 3600 / 2)).await;
    assert!(world.record(number).await.is_none(), "and not longer");
    world.sleep(SWEEP * 2).await;
    assert!(world.record(number).await.is_none(), "a sweep does not bring it back");
    world.ready(stays.0, &stays.1).await;
}

#[tokio::test(start_paused = true)]
async fn a_camp_that_stands_costs_one_write_an_hour_that_shows_the_sweeps() {
    let world = World::new(6).await;
    let (number, head) = world.camp("sparks").await;
    let refused = world.open("kettle", &one(".bivouac.yaml", "apps: deploy/preview\n")).0;
    world.told(refused, "### Preview is refused").await;
    world.sleep(SWEEP * 2).await;

    let since = world.stage.clock.now();
    world.sleep(Duration::from_secs(3600)).await;
    let mut writes = world.writes_since(since);
    writes.retain(|write| write.user == SERVICE);
    assert!(writes.len() <= 1, "{writes:#?}");
    assert!(writes.iter().all(|write| write.resource == "repositories"), "{writes:#?}");
    let requests = world.stage.github.requests();
    let told: Vec<_> = requests.iter().filter(|r| r.at >= since && r.method != "GET").collect();
    assert!(told.is_empty(), "{told:#?}");
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_repository_says_within_a_minute_how_many_camps_it_has() {
    let world = World::new(8).await;
    let repositories: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let says = async |camps: i32| {
        world
            .within(Duration::from_secs(70), &format!("{camps} camps are counted"), async || {
                let status = repositories.get(NAME).await.expect("a Repository").status?;
                (status.camps == Some(camps)).then_some(())
            })
            .await;
    };
    says(0).await;
    let (first, _) = world.camp("sparks").await;
    let (_, _) = world.camp("kettle").await;
    says(2).await;
    world.close(first);
    world.gone(first).await;
    says(1).await;
}
