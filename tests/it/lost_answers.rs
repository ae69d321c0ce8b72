//! What the forge did and did not answer: it is looked for, and is true in the end.

use std::time::Duration;

use bivouac::app::stage::{FIRST, MAINTAINER, NAME, REPOSITORY};
use bivouac::crd::Phase;
use bivouac::sandbox::github::Fault;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::{World, one};
use crate::teardown::{hold, release};

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

#[tokio::test(start_paused = true)]
async fn a_first_comment_that_was_made_in_the_last_moment_of_a_process_does_not_stay() {
    let mut world = World::new(7).await;
    world.policy(json!({"select": {"labels": {"none": ["no-preview"]}}})).await;
    world.stage.github.fault_next("POST", "/comments", Fault::HangAfter, 1);
    let (number, _) = world.open("sparks", &one("CHANGES.md", "more"));
    world.until("it is made", async || world.comment(number)).await;
    world.stage.kill_replica(FIRST).await;
    world.stage.github.label(REPOSITORY, number, "no-preview", MAINTAINER).expect("a label");
    world.stage.start_replica(FIRST).expect("a process");
    world.told(number, "### No preview").await;
    let noted = || async {
        let report = world.status(number).await?.report?;
        (report.comment.is_some() && !report.making).then_some(())
    };
    world.until("it is noted", noted).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_comment_that_was_never_made_is_looked_for_once() {
    let world = World::new(8).await;
    world.policy(json!({"select": {"labels": {"none": ["no-preview"]}}})).await;
    world.stage.github.fault_next("POST", "/comments", Fault::Hang, 1);
    let (number, _) = world.open("sparks", &one("CHANGES.md", "more"));
    let path = format!("/issues/{number}/comments");
    let asked = |world: &World, method: &str, after: usize| {
        let since = world.stage.github.requests().into_iter().skip(after);
        since.filter(|request| request.method == method && request.path.contains(&path)).count()
    };
    let made = async || (asked(&world, "POST", 0) == 1).then_some(());
    world.until("it is asked for", made).await;
    let before = world.stage.github.requests().len();
    world.stage.github.label(REPOSITORY, number, "no-preview", MAINTAINER).expect("a label");
    world.sleep(LONG).await;
    assert_eq!(asked(&world, "GET", before), 1);
    assert_eq!(world.comment(number), None, "there is nothing to say");
    let report = world.status(number).await.expect("a status").report;
    assert!(report.is_none_or(|report| !report.making));
    world.stage.github.label(REPOSITORY, number, "another", MAINTAINER).expect("a label");
    world.sleep(LONG).await;
    assert_eq!(asked(&world, "GET", before), 1, "once is enough");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_the_forge_does_not_find_for_a_moment_is_over_all_the_same() {
    let world = World::new(9).await;
    // A moment after it was made.
    world.stage.github.fault_next("POST", "/deployments/", Fault::Status(404), 1);
    let (number, _) = world.camp("sparks").await;
    let told = || deployments(&world).first().and_then(|(_, states)| states.last().cloned());
    let success = async || (told()? == "success").then_some(());
    world.within(LONG, "it is deployed", success).await;
    // And when it is over.
    world.stage.github.fault_next("POST", "/deployments/", Fault::Status(404), 1);
    world.close(number);
    world.sleep(LONG).await;
    assert_eq!(active(&world), 0, "{:?}", deployments(&world));
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_down_for_another_reason_has_not_run_out_of_time_though_nobody_could_be_asked()
 {
    let world = World::new(10).await;
    world.policy(json!({"select": {"labels": {"none": ["no-preview"]}}})).await;
    let (number, head) = world.camp("sparks").await;
    let github = &world.stage.github;
    hold(&world, number, "example.com/held").await;
    github.label(REPOSITORY, number, "no-preview", MAINTAINER).expect("a label");
    let going = || async {
        let status = world.status(number).await?;
        (status.phase == Some(Phase::TearingDown)).then_some(())
    };
    world.until("it goes", going).await;
    github.fail_next("*", "*", 500, u32::MAX);
    github.label(REPOSITORY, number, "urgent", MAINTAINER).expect("a hint");
    world.sleep(Duration::from_secs(60)).await;
    release(&world, number).await;
    world.gone(number).await;
    world.sleep(Duration::from_secs(60)).await;
    let status = world.status(number).await.expect("a status");
    assert_eq!((status.phase, status.expired_at), (Some(Phase::NoCamp), None));
    github.fail_no_more();
    world.told(number, "### No preview").await;
    github.unlabel(REPOSITORY, number, "no-preview", MAINTAINER).expect("taken off");
    world.ready(number, &head).await;
}
