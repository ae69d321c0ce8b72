//! Labels that act like commands, with the rights of whoever put them on.

use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, REPOSITORY, STRANGER};
use bivouac::crd::{Power, RequestState, Want};
use bivouac::sandbox::github::Role;
use serde_json::json;

use crate::commands::{all_requests, answered, done, with_role};
use crate::support::{SWEEP, World};

async fn spec(world: &World, number: u64) -> bivouac::crd::EnvironmentSpec {
    world.record(number).await.expect("a record").spec
}

#[tokio::test(start_paused = true)]
async fn a_label_makes_a_preview_and_its_going_ends_it() {
    let world = World::new(1).await;
    let github = &world.stage.github;
    // Drafts get none by the rules; a label is a wish.
    world.policy(json!({"select": {"drafts": false}})).await;
    let (number, head) = world.open("sparks", &[("CHANGES.md", "x")].into());
    github.convert_to_draft(REPOSITORY, number, MAINTAINER).expect("a draft");
    world.gone(number).await;
    github.label(REPOSITORY, number, "preview", MAINTAINER).expect("a label");
    world.ready(number, &head).await;
    assert_eq!(spec(&world, number).await.want, Want::Up);
    github.unlabel(REPOSITORY, number, "preview", MAINTAINER).expect("no label");
    world.gone(number).await;
    assert_eq!(spec(&world, number).await.want, Want::Down);
    github.label(REPOSITORY, number, "preview", MAINTAINER).expect("a label");
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_later_command_outlives_the_label() {
    let world = World::new(2).await;
    let github = &world.stage.github;
    let (number, head) = world.camp("sparks").await;
    github.label(REPOSITORY, number, "preview", MAINTAINER).expect("a label");
    world
        .until("it is wanted", async || (spec(&world, number).await.want == Want::Up).then_some(()))
        .await;
    done(&world, number, "/preview up", MAINTAINER).await;
    github.unlabel(REPOSITORY, number, "preview", MAINTAINER).expect("no label");
    world.sleep(SWEEP).await;
    assert_eq!(spec(&world, number).await.want, Want::Up);
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn keep_and_sleep_are_labels_too() {
    let world = World::new(3).await;
    let github = &world.stage.github;
    let (number, _) = world.camp("sparks").await;
    let is = async |what: &str, pinned: bool, power: Power| {
        world
            .until(what, async || {
                let spec = spec(&world, number).await;
                (spec.lifetime.pinned == pinned && spec.power == power).then_some(())
            })
            .await;
    };
    github.label(REPOSITORY, number, "preview/keep", MAINTAINER).expect("a label");
    is("it is kept", true, Power::Auto).await;
    github.label(REPOSITORY, number, "preview/sleep", MAINTAINER).expect("a label");
    is("it sleeps", true, Power::Asleep).await;
    github.unlabel(REPOSITORY, number, "preview/keep", MAINTAINER).expect("no label");
    github.unlabel(REPOSITORY, number, "preview/sleep", MAINTAINER).expect("no label");
    is("all is as before", false, Power::Awake).await;
}

#[tokio::test(start_paused = true)]
async fn who_may_label_may_not_do_more_by_labels_than_by_words() {
    let world = World::new(4).await;
    let github = &world.stage.github;
    let (number, _) = world.camp("sparks").await;
    with_role(&world, "tri", Role::Triage);
    github.label(REPOSITORY, number, "preview/keep", "tri").expect("a label");
    answered(&world, number, "`pin` is for: maintain. `tri` has: triage").await;
    assert!(!spec(&world, number).await.lifetime.pinned);
    // The sender of the next webhook is somebody else; the label is still hers.
    world.lose_webhooks(true);
    github.unlabel(REPOSITORY, number, "preview/keep", "tri").expect("no label");
    github.label(REPOSITORY, number, "preview/sleep", "tri").expect("a label");
    world.lose_webhooks(false);
    github.label(REPOSITORY, number, "docs", MAINTAINER).expect("a label");
    world.sleep(SWEEP).await;
    let spec = spec(&world, number).await;
    assert_eq!((spec.lifetime.pinned, spec.power), (false, Power::Auto));
    let all = all_requests(&world).await;
    assert!(all.iter().all(|r| r.spec.by.login == "tri"), "{all:#?}");
    assert!(
        all.iter().all(|r| r.status.as_ref().is_some_and(|s| s.state == RequestState::Refused))
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_webhook_is_no_lost_label_and_our_own_never_act() {
    let world = World::new(5).await;
    let github = &world.stage.github;
    let (number, _) = world.camp("sparks").await;
    world.lose_webhooks(true);
    github.label(REPOSITORY, number, "preview/keep", MAINTAINER).expect("a label");
    world
        .until("it is kept", async || spec(&world, number).await.lifetime.pinned.then_some(()))
        .await;
    github.unlabel(REPOSITORY, number, "preview/keep", BOT).expect("no label");
    world.sleep(SWEEP * 2).await;
    assert!(spec(&world, number).await.lifetime.pinned, "what we do ourselves is no command");
}

#[tokio::test(start_paused = true)]
async fn a_label_approves_only_the_head_that_was_there_and_only_for_who_may() {
    let world = World::new(6).await;
    let github = &world.stage.github;
    with_role(&world, "wen", Role::Write);
    github.fork(REPOSITORY, STRANGER).expect("a fork");
    let fork = format!("{STRANGER}/campfire");
    let head = github
        .commit(&fork, "idea", &[("CHANGES.md", "x")].into(), "An idea\n", STRANGER)
        .expect("a commit");
    let number = world.propose(&format!("{STRANGER}:idea"), "An idea", STRANGER);
    world.told(number, "### Preview waits for approval").await;
    world.sleep(Duration::from_secs(60)).await;
    github.label(REPOSITORY, number, "preview", "wen").expect("a label");
    world
        .until("it is wanted", async || (spec(&world, number).await.want == Want::Up).then_some(()))
        .await;
    assert_eq!(spec(&world, number).await.approved, None);
    github.unlabel(REPOSITORY, number, "preview", MAINTAINER).expect("no label");
    world
        .until("it is not", async || (spec(&world, number).await.want == Want::Down).then_some(()))
        .await;
    github.label(REPOSITORY, number, "preview", MAINTAINER).expect("a label");
    world.ready(number, &head).await;
    let approved = spec(&world, number).await.approved.expect("an approval");
    assert_eq!((approved.revision, approved.by.as_str()), (head, MAINTAINER));
}
