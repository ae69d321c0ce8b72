//! What the forge did and did not answer: it is looked for, and is true in the end.

use std::time::Duration;

use bivouac::app::stage::{FIRST, NAME, REPOSITORY};
use bivouac::sandbox::github::Fault;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::{World, one};

/// Longer than a write that is not answered, and the pause after it.
const LONG: Duration = Duration::from_secs(300);

fn deployments(world: &World) -> Vec<(String, Vec<String>)> {
    let all = world.stage.github.deployments(REPOSITORY).expect("deployments");
    all.into_iter().map(|deployment| (deployment.sha, deployment.states)).collect()
}

fn active(world: &World) -> usize {
    let all = deployments(world);
    all.iter().filter(|(_, states)| states.last().is_none_or(|last| last != "inactive")).count()
}

/// A camp that was, and of which the forge shows no deployment any more; and it is on its way again.
async fn comes_again(world: &World) -> u64 {
    let (number, _) = world.camp("sparks").await;
    world.until("it is deployed", async || (active(world) == 1).then_some(())).await;
    world.ask(number, json!({"want": "Down"})).await;
    world.until("it is deployed no more", async || (active(world) == 0).then_some(())).await;
    number
}

#[tokio::test(start_paused = true)]
async fn a_deployment_whose_making_was_not_answered_is_over_with_its_camp() {
    let world = World::new(1).await;
    let number = comes_again(&world).await;
    world.stage.github.fault_next("POST", "/deployments", Fault::HangAfter, 1);
    world.ask(number, json!({"want": "Auto"})).await;
    world.until("another is made", async || (deployments(&world).len() == 2).then_some(())).await;
    world.ask(number, json!({"want": "Down"})).await;
    world.sleep(LONG).await;
    assert_eq!(active(&world), 0, "{:?}", deployments(&world));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_was_made_in_the_last_moment_of_a_process_is_over_with_its_camp() {
    let mut world = World::new(2).await;
    let number = comes_again(&world).await;
    world.stage.github.fault_next("POST", "/deployments", Fault::HangAfter, 1);
    world.ask(number, json!({"want": "Auto"})).await;
    world.until("another is made", async || (deployments(&world).len() == 2).then_some(())).await;
    world.stage.kill_replica(FIRST).await;
    world.ask(number, json!({"want": "Down"})).await;
    world.stage.start_replica(FIRST).expect("a process");
    world.sleep(LONG).await;
    assert_eq!(active(&world), 0, "{:?}", deployments(&world));
}

#[tokio::test(start_paused = true)]
async fn what_the_forge_would_not_take_is_told_again_though_nothing_happens_any_more() {
    let world = World::new(6).await;
    let (number, _) = world.camp("sparks").await;
    world.until("it is deployed", async || (active(&world) == 1).then_some(())).await;
    world.stage.github.fault_next("POST", "/statuses", Fault::Status(403), 20);
    world.ask(number, json!({"want": "Down"})).await;
    world.told(number, "### Preview is switched off").await;
    world.sleep(LONG).await;
    assert_eq!(active(&world), 1, "it was refused: {:?}", deployments(&world));
    world.stage.github.fail_no_more();
    // A quarter of an hour after the refusal.
    world.sleep(4 * LONG).await;
    assert_eq!(active(&world), 0, "{:?}", deployments(&world));
}

/// Switched off and told so.
async fn switched_off(world: &World) -> u64 {
    let (number, _) = world.camp("sparks").await;
    world.ask(number, json!({"want": "Down"})).await;
    world.told(number, "### Preview is switched off").await;
    // The next text is written at once.
    world.sleep(Duration::from_secs(10)).await;
    number
}

/// On its way again, which is written and not answered.
async fn said_without_an_answer(world: &World, number: u64) {
    world.stage.github.fault_next("PATCH", "/comments/", Fault::HangAfter, 1);
    world.ask(number, json!({"want": "Auto"})).await;
    let what = "another text is there";
    let other = |text: String| (!text.contains("### Preview is switched off")).then_some(());
    world.until(what, async || world.comment(number).and_then(other)).await;
}

#[tokio::test(start_paused = true)]
async fn a_text_that_was_written_without_an_answer_does_not_stay() {
    let world = World::new(3).await;
    let number = switched_off(&world).await;
    said_without_an_answer(&world, number).await;
    world.ask(number, json!({"want": "Down"})).await;
    world.sleep(LONG).await;
    let text = world.comment(number).expect("a comment");
    assert!(text.contains("### Preview is switched off"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_text_that_was_written_in_the_last_moment_of_a_process_does_not_stay() {
    let mut world = World::new(4).await;
    let number = switched_off(&world).await;
    said_without_an_answer(&world, number).await;
    world.stage.kill_replica(FIRST).await;
    world.ask(number, json!({"want": "Down"})).await;
    world.stage.start_replica(FIRST).expect("a process");
    world.sleep(LONG).await;
    let text = world.comment(number).expect("a comment");
    assert!(text.contains("### Preview is switched off"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_lost_its_notes_goes_on_from_what_the_comment_says() {
    let mut world = World::new(5).await;
    let (number, _) = world.camp("sparks").await;
    for change in ["more", "even more", "still more", "enough"] {
        let head = world.push("sparks", &one("CHANGES.md", change));
        world.ready(number, &head).await;
        world.sleep(LONG).await;
    }
    world.stage.kill_replica(FIRST).await;
    let report = world.status(number).await.expect("a status").report.expect("a report");
    let noted = report.comment.expect("a comment").sequence;
    assert!(noted > 3, "{noted} texts");
    let name = format!("{NAME}-pr-{number}");
    let put_back = json!({"status": {"report": {"comment": {"sequence": noted - 3}}}});
    let patch = Patch::Merge(put_back);
    let records = world.stage.environments();
    records.patch_status(&name, &PatchParams::default(), &patch).await.expect("a record of before");
    world.stage.start_replica(FIRST).expect("a process");
    world.ask(number, json!({"want": "Down"})).await;
    world.told(number, "### Preview is switched off").await;
}
