//! Deliveries of an App's webhook that failed are asked for again: each once, of each pull request the newest.

use std::collections::BTreeMap;
use std::time::Duration;

use bivouac::app::stage::{FIRST, MAINTAINER, NAMESPACE, REPOSITORY};
use bivouac::sandbox::github::{DeliveryView, Outcome};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use crate::apps_at_forge::{App, as_an_app};
use crate::support::{World, one};

const HOUR: Duration = Duration::from_secs(3600);

/// What was sent again, and is answered.
fn sent_again(world: &World, app: &App) -> Vec<DeliveryView> {
    let mut all = world.stage.github.deliveries(app.hook);
    all.retain(|delivery| delivery.redelivery && delivery.outcome != Outcome::Queued);
    all
}

fn failed(world: &World, app: &App) -> Vec<DeliveryView> {
    let mut all = world.stage.github.deliveries(app.hook);
    all.retain(|delivery| delivery.outcome == Outcome::Answered(503));
    all
}

/// By pull request: the last one that failed.
fn newest(failed: &[DeliveryView]) -> BTreeMap<u64, String> {
    let mut newest = BTreeMap::new();
    for delivery in failed.iter().filter(|delivery| delivery.event == "pull_request") {
        let payload: serde_json::Value =
            serde_json::from_slice(&delivery.payload).expect("a payload");
        newest.insert(payload["number"].as_u64().expect("a number"), delivery.guid.clone());
    }
    newest
}

async fn events(world: &World, reason: &str) -> Vec<String> {
    let api: Api<Event> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let found = api.list(&ListParams::default()).await.expect("Events");
    let said = found.items.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
    said.filter_map(|event| event.note).collect()
}

/// The value of a series.
async fn metric(world: &World, series: &str) -> Option<f64> {
    let text = world.stage.metrics_of(FIRST).await?;
    let line = text.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

#[tokio::test(start_paused = true)]
async fn what_failed_while_nobody_was_there_is_delivered_again_the_newest_of_each_pull_request() {
    let (mut world, app) = as_an_app(1).await;
    world.stage.kill_service().await;
    let (first, _) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let (second, _) = world.open("embers", &one("CHANGES.md", "embers"));
    for text in ["more", "and more", "and even more"] {
        world.push("sparks", &one("CHANGES.md", text));
    }
    world.close(second);
    world.sleep(Duration::from_secs(60)).await;
    let lost = failed(&world, &app);
    assert!(lost.len() >= 6, "{lost:#?}");
    let newest = newest(&lost);
    assert_eq!(newest.keys().copied().collect::<Vec<_>>(), [first, second]);

    world.stage.start_service().expect("the service");
    world
        .until("both are delivered", async || {
            (sent_again(&world, &app).len() >= newest.len()).then_some(())
        })
        .await;
    // Also what goes on for hours is asked for no more, and no other.
    world.sleep(HOUR / 2).await;
    let again = sent_again(&world, &app);
    let mut asked: Vec<&str> = again.iter().map(|delivery| delivery.guid.as_str()).collect();
    asked.sort_unstable();
    let mut wanted: Vec<&str> = newest.values().map(String::as_str).collect();
    wanted.sort_unstable();
    assert_eq!(asked, wanted, "each once, and the newest of each");
    assert!(again.iter().all(|delivery| delivery.outcome == Outcome::Answered(202)), "{again:#?}");

    // It says so.
    let said = events(&world, "DeliveriesRepaired").await;
    assert_eq!(
        said,
        ["asked GitHub to send 2 failed deliveries of the App's webhook again: \
          pull_request.closed (1), pull_request.synchronize (1)"]
    );
    let series = "bivouac_repaired_total{by=\"deliveries\",what=\"delivery\"}";
    assert_eq!(metric(&world, series).await, Some(2.0));

    // Another process does not ask for the same once more.
    world.stage.kill_service().await;
    world.stage.start_service().expect("the service");
    world.sleep(HOUR / 2).await;
    assert_eq!(sent_again(&world, &app).len(), again.len());
}

#[tokio::test(start_paused = true)]
async fn what_fails_again_is_not_asked_for_for_ever() {
    let (world, app) = as_an_app(2).await;
    world.stage.pause_replica(FIRST, true);
    world.open("sparks", &one("CHANGES.md", "sparks"));
    world.sleep(Duration::from_secs(5)).await;
    assert!(!failed(&world, &app).is_empty());
    // The receiver refuses what it gets: another secret.
    let patch = serde_json::json!({"stringData": {"webhookSecret": "another one"}});
    crate::apps_at_forge::write_secret(&world, bivouac::app::stage::NAME, patch).await;
    world.stage.pause_replica(FIRST, false);
    world.sleep(HOUR).await;
    let mut again = sent_again(&world, &app);
    // The service's own comment and check are told of, too.
    again.retain(|delivery| delivery.event == "pull_request");
    assert_eq!(again.len(), 1, "{again:#?}");
    assert_eq!(again[0].outcome, Outcome::Answered(401));
}

#[tokio::test(start_paused = true)]
async fn a_long_log_is_read_page_by_page_and_many_failures_are_healed_a_bounded_number_at_a_time() {
    let (mut world, app) = as_an_app(3).await;
    // None of them gets a camp: this is about deliveries.
    world.policy(serde_json::json!({"select": {"labels": {"all": ["preview"]}}})).await;
    world.stage.kill_service().await;
    let many: u64 = 40;
    for number in 0..many {
        world.open(&format!("branch-{number}"), &one("CHANGES.md", &number.to_string()));
    }
    for _ in 0..2 {
        for number in 0..many {
            let title = format!("another {number}");
            let pulls = number + 1;
            world.stage.github.retitle(REPOSITORY, pulls, &title, MAINTAINER).expect("a title");
        }
    }
    world.sleep(Duration::from_secs(60)).await;
    let newest = newest(&failed(&world, &app));
    assert_eq!(newest.len() as u64, many);
    world.stage.github.set_page_rows(Some(40));
    let first = world.stage.github.requests().len();
    world.stage.start_service().expect("the service");
    world
        .within(HOUR, "all are delivered", async || {
            (sent_again(&world, &app).len() >= newest.len()).then_some(())
        })
        .await;
    world.sleep(HOUR / 2).await;
    let again = sent_again(&world, &app);
    let mut asked: Vec<&str> = again.iter().map(|delivery| delivery.guid.as_str()).collect();
    let mut wanted: Vec<&str> = newest.values().map(String::as_str).collect();
    asked.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(asked, wanted);
    let requests: Vec<_> = world.stage.github.requests().into_iter().skip(first).collect();
    assert!(requests.iter().any(|r| r.path.contains("cursor=")), "later pages are read");
    // No minute has more attempts than a round may make.
    let attempts: Vec<_> = requests.iter().filter(|r| r.path.ends_with("/attempts")).collect();
    for (at, attempt) in attempts.iter().enumerate() {
        let within = attempts[at..].iter().take_while(|r| (r.at - attempt.at).num_seconds() < 60);
        assert!(within.count() <= 50, "{}", attempt.at);
    }
}
