//! Approval of an untrusted commit: this commit and this base, by who may, and never one that nobody looked at.

use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, REPOSITORY, STRANGER};
use bivouac::sandbox::github::Role;

use crate::commands::{answered, done, reacted, refused, say, with_role};
use crate::support::{World, one};

const FORK: &str = "sam/campfire";

/// A pull request of a fork that waits for approval.
async fn idea(world: &World) -> (u64, String) {
    let github = &world.stage.github;
    github.fork(REPOSITORY, STRANGER).expect("a fork");
    let head = push(world, "first");
    let number = world.propose(&format!("{STRANGER}:idea"), "An idea", STRANGER);
    world.told(number, "### Preview waits for approval").await;
    (number, head)
}

fn push(world: &World, text: &str) -> String {
    let files = one("CHANGES.md", text);
    let head = world.stage.github.commit(FORK, "idea", &files, "An idea\n", STRANGER);
    head.expect("a commit")
}

#[tokio::test(start_paused = true)]
async fn it_is_for_this_commit_only_and_a_push_ends_it() {
    let world = World::new(1).await;
    let (number, head) = idea(&world).await;
    with_role(&world, "wen", Role::Write);
    refused(&world, number, "/preview approve", STRANGER).await;
    refused(&world, number, "/preview approve", "wen").await;
    world.sleep(Duration::from_secs(60)).await;
    assert_eq!(world.record(number).await.expect("a record").spec.approved, None);
    done(&world, number, "/preview approve", MAINTAINER).await;
    world.ready(number, &head).await;
    let approved = world.record(number).await.expect("a record").spec.approved.expect("it");
    assert_eq!((approved.revision, approved.by.as_str()), (head, MAINTAINER));
    let second = push(&world, "second");
    world.gone(number).await;
    world.told(number, "### Preview waits for approval").await;
    assert!(!world.page(number).await.is_some_and(|(_, page)| page.contains(&second)));
    done(&world, number, &format!("/preview approve {}", &second[..7]), MAINTAINER).await;
    world.ready(number, &second).await;
}

#[tokio::test(start_paused = true)]
async fn another_base_ends_it() {
    let world = World::new(2).await;
    let github = &world.stage.github;
    let (number, head) = idea(&world).await;
    done(&world, number, &format!("/preview approve {}", &head[..12]), MAINTAINER).await;
    world.ready(number, &head).await;
    github
        .commit(REPOSITORY, "next", &one("NEXT.md", "x"), "Next\n", MAINTAINER)
        .expect("a commit");
    github.retarget(REPOSITORY, number, "next", MAINTAINER).expect("another base");
    world.gone(number).await;
    world.told(number, "### Preview waits for approval").await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_not_the_head_is_not_approved_and_trusted_ones_need_none() {
    let world = World::new(3).await;
    let (number, head) = idea(&world).await;
    refused(&world, number, "/preview approve feedf00d", MAINTAINER).await;
    answered(&world, number, "`feedf00d` is not the head").await;
    let (own, _) = world.camp("sparks").await;
    refused(&world, own, "/preview approve", MAINTAINER).await;
    answered(&world, own, "this pull request needs no approval").await;
    // So new that nobody can have looked at it.
    push(&world, "second");
    world.sleep(Duration::from_secs(10)).await;
    refused(&world, number, "/preview approve", MAINTAINER).await;
    answered(&world, number, "so new that it may not be the one you looked at").await;
    assert_ne!(world.stage.github.head(FORK, "idea"), Some(head));
    assert!(world.namespace(number).await.is_none());
}

/// Pauses between the two.
const PAUSES: [u64; 6] = [0, 5, 60, 400, 2500, 20_000];

/// Somebody reads a commit and approves it, and its author pushes another at about the same moment. Whoever is first, with
/// whatever pause, and whether or not a webhook tells of the push: the second commit never runs.
#[tokio::test(start_paused = true)]
async fn a_push_beside_an_approval_is_never_approved() {
    for pause in PAUSES {
        for push_first in [false, true] {
            race(false, false, pause, push_first).await;
            race(true, false, pause, push_first).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_beside_an_approval_that_names_its_commit_is_never_approved() {
    for pause in PAUSES {
        for push_first in [false, true] {
            race(false, true, pause, push_first).await;
            race(true, true, pause, push_first).await;
        }
    }
}

async fn race(lost: bool, named: bool, pause: u64, push_first: bool) {
    let what = format!("lost {lost}, named {named}, {pause} ms, push first: {push_first}");
    let world = World::new(pause).await;
    let (number, first) = idea(&world).await;
    world.sleep(Duration::from_secs(90)).await;
    let text =
        if named { format!("/preview approve {}", &first[..7]) } else { "/preview approve".into() };
    world.lose_webhooks(lost);
    let approve = || {
        world.lose_webhooks(false);
        let id = say(&world, number, &text, MAINTAINER);
        world.lose_webhooks(lost);
        id
    };
    let (id, second) = if push_first {
        let second = push(&world, "second");
        world.sleep(Duration::from_millis(pause)).await;
        (approve(), second)
    } else {
        let id = approve();
        world.sleep(Duration::from_millis(pause)).await;
        (id, push(&world, "second"))
    };
    world.lose_webhooks(false);
    reacted(&world, number, id, "eyes").await;
    world
        .until(&format!("{what}: the second waits"), async || {
            let status = world.status(number).await?;
            let seen = status.head.as_ref()?.revision == second;
            let approved = world.record(number).await?.spec.approved;
            assert!(approved.is_none_or(|a| a.revision != second), "{what}");
            assert_ne!(status.revision.as_deref(), Some(second.as_str()), "{what}");
            (seen && world.namespace(number).await.is_none()).then_some(())
        })
        .await;
    world.sleep(Duration::from_secs(30)).await;
    assert!(world.namespace(number).await.is_none(), "{what}");
    let fetched = world.stage.github.requests();
    let fetched = fetched.iter().filter(|r| r.method == "FETCH" && r.path.contains(&second));
    assert_eq!(fetched.count(), 0, "{what}: nothing of it is even fetched");
}
