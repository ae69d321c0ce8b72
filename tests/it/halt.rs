//! A sweep that would end too many camps at once ends none, says so, and lets exactly that list go when somebody says so.

use std::time::Duration;

use bivouac::app::stage::{NAME, NAMESPACE};
use bivouac::crd::{Repository, RepositoryStatus, SweepHalt};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::{SWEEP, World, one};

fn repositories(world: &World) -> Api<Repository> {
    Api::namespaced(world.stage.admin.clone(), NAMESPACE)
}

async fn status(world: &World) -> RepositoryStatus {
    repositories(world).get(NAME).await.expect("a Repository").status.expect("a status")
}

/// The condition `SweepHalted`: its status, when it is there.
async fn halted(world: &World) -> Option<String> {
    let conditions = status(world).await.conditions;
    conditions.into_iter().find(|one| one.r#type == "SweepHalted").map(|one| one.status)
}

async fn camps(world: &World, count: usize) -> Vec<u64> {
    let opened: Vec<_> = (0..count)
        .map(|n| world.open(&format!("branch-{n}"), &one("CHANGES.md", &format!("change {n}"))))
        .collect();
    for (number, head) in &opened {
        world.ready(*number, head).await;
    }
    opened.into_iter().map(|(number, _)| number).collect()
}

async fn standing(world: &World) -> usize {
    world.stage.camps().await.expect("a list").len()
}

async fn allow(world: &World, digest: &str) {
    let patch = json!({"metadata": {"annotations": {"bivouac.dev/allow-teardown": digest}}});
    let (api, patch) = (repositories(world), Patch::Merge(patch));
    api.patch(NAME, &PatchParams::default(), &patch).await.expect("annotated");
}

/// Closes them without a word, and waits until a sweep has stopped over them.
async fn closed_in_silence(world: &World, numbers: &[u64]) -> SweepHalt {
    world.lose_webhooks(true);
    for number in numbers {
        world.close(*number);
    }
    halted_over(world, numbers.len()).await
}

/// Waits until a sweep has stopped over so many.
async fn halted_over(world: &World, count: usize) -> SweepHalt {
    let known = async || {
        let halt = status(world).await.halted?;
        (usize::try_from(halt.ends) == Ok(count)).then_some(halt)
    };
    world.until("the sweep is halted", known).await
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_would_end_too_many_camps_ends_none_until_somebody_allows_exactly_that_list() {
    let mut world = World::new(1).await;
    let numbers = camps(&world, 8).await;
    let halt = closed_in_silence(&world, &numbers[..7]).await;
    assert_eq!((halt.ends, halt.camps), (7, 8));
    let mut names: Vec<_> =
        numbers[..7].iter().map(|number| format!("{NAME}-pr-{number}")).collect();
    names.sort();
    assert_eq!(halt.environments, names);
    assert_eq!(halted(&world).await.as_deref(), Some("True"));
    let conditions = status(&world).await.conditions;
    let told = conditions.into_iter().find(|one| one.r#type == "SweepHalted").expect("told");
    assert!(told.message.contains(&names[0]) && told.message.contains(&halt.digest), "{told:?}");
    assert_eq!(standing(&world).await, 8);

    // It stays so, through sweeps and a new process, and costs nothing.
    let since = world.stage.clock.now();
    world.sleep(SWEEP * 3).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new());
    world.stage.kill_service().await;
    world.stage.start_service().expect("a start");
    world.sleep(SWEEP).await;
    assert_eq!(standing(&world).await, 8);
    assert_eq!(status(&world).await.halted, Some(halt.clone()));

    // Not any list: this one.
    allow(&world, "0123456789abcdef").await;
    world.sleep(SWEEP).await;
    assert_eq!(standing(&world).await, 8);
    let since = world.stage.clock.now();
    allow(&world, &halt.digest).await;
    for number in &numbers[..7] {
        world.closed(*number).await;
    }
    let took = world.stage.clock.now() - since;
    assert!(took < chrono::Duration::seconds(60), "at once, not with a later sweep: {took}");
    assert_eq!(standing(&world).await, 1);
    world.sleep(SWEEP).await;
    assert_eq!(halted(&world).await.as_deref(), Some("False"));
    assert_eq!(status(&world).await.halted, None);
}

#[tokio::test(start_paused = true)]
async fn an_allowed_list_is_spent_by_a_list_that_differs() {
    let world = World::new(2).await;
    let numbers = camps(&world, 8).await;
    let first = closed_in_silence(&world, &numbers[..6]).await;
    // One more has closed before somebody says yes to six.
    world.close(numbers[6]);
    let second = halted_over(&world, 7).await;
    assert_ne!(first.digest, second.digest);
    allow(&world, &first.digest).await;
    world.sleep(SWEEP * 2).await;
    assert_eq!(standing(&world).await, 8);
    assert_eq!(status(&world).await.halted, Some(second));
}

#[tokio::test(start_paused = true)]
async fn pull_requests_that_are_closed_by_hand_with_webhooks_are_never_halted() {
    let world = World::new(3).await;
    let numbers = camps(&world, 8).await;
    for number in &numbers[..7] {
        world.close(*number);
    }
    for number in &numbers[..7] {
        world.closed(*number).await;
    }
    world.sleep(SWEEP).await;
    assert_eq!((standing(&world).await, halted(&world).await), (1, None));
}

#[tokio::test(start_paused = true)]
async fn five_at_once_may_always_go() {
    let world = World::new(4).await;
    let numbers = camps(&world, 6).await;
    world.lose_webhooks(true);
    for number in &numbers[..5] {
        world.close(*number);
    }
    for number in &numbers[..5] {
        world.closed(*number).await;
    }
    assert_eq!((standing(&world).await, halted(&world).await), (1, None));
}

#[tokio::test(start_paused = true)]
async fn a_halt_clears_itself_when_the_situation_is_over() {
    let world = World::new(5).await;
    let numbers = camps(&world, 7).await;
    closed_in_silence(&world, &numbers[..6]).await;
    // The forge was wrong, or somebody was: two are open again, and four are few enough to go.
    world.reopen(numbers[0]);
    world.reopen(numbers[1]);
    for number in &numbers[2..6] {
        world.closed(*number).await;
    }
    world.sleep(SWEEP).await;
    assert_eq!(halted(&world).await.as_deref(), Some("False"));
    assert_eq!(status(&world).await.halted, None);
    assert_eq!(standing(&world).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_word_about_one_pull_request_ends_that_one_and_no_other() {
    let world = World::new(6).await;
    let numbers = camps(&world, 8).await;
    let before = closed_in_silence(&world, &numbers[..8]).await;
    let name = format!("{NAME}-pr-{}", numbers[0]);
    // As a webhook does, or a person with kubectl.
    let hint = json!({"metadata": {"annotations": {"bivouac.dev/hint": "by-hand"}}});
    let (records, hint) = (world.stage.environments(), Patch::Merge(hint));
    records.patch(&name, &PatchParams::default(), &hint).await.expect("hinted");
    world.closed(numbers[0]).await;
    world.sleep(SWEEP).await;
    assert_eq!(standing(&world).await, 7);
    let after = status(&world).await.halted.expect("still halted");
    assert_eq!(after.ends, 7);
    assert_ne!(after.digest, before.digest);
}

#[tokio::test(start_paused = true)]
async fn what_a_list_left_out_and_is_open_does_not_count() {
    let world = World::new(7).await;
    let numbers = camps(&world, 7).await;
    world.lose_webhooks(true);
    // The list is empty for once, and each pull request says that it is open.
    world.stage.github.set_empty_lists(true);
    world.sleep(SWEEP * 2).await;
    assert_eq!((standing(&world).await, halted(&world).await), (7, None));
    world.stage.github.set_empty_lists(false);
    world.sleep(Duration::from_secs(60)).await;
    for number in numbers {
        assert!(world.camp_uid(number).await.is_some());
    }
}
