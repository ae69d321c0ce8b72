//! What happens to a repository as a whole is seen at once, and not at the next sweep; and it is a hint as all others.

use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, NAME, NAMESPACE, REPOSITORY, STRANGER};
use bivouac::crd::{Repository, RepositoryStatus};
use kube::Api;
use serde_json::json;

use crate::support::{SWEEP, World, one};

/// Much less than the time between two sweeps.
const AT_ONCE: Duration = Duration::from_secs(20);

async fn repository(world: &World) -> RepositoryStatus {
    let api: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    api.get(NAME).await.expect("a Repository").status.unwrap_or_default()
}

async fn is_called(world: &World, name: &str) {
    world
        .within(AT_ONCE, &format!("the repository is called {name}"), async || {
            let known = repository(world).await.forge?.name?;
            (known == name).then_some(())
        })
        .await;
}

async fn is_accessible(world: &World, wanted: &str) {
    world
        .within(AT_ONCE, &format!("Accessible is {wanted}"), async || {
            let status = repository(world).await;
            let found = status.conditions.iter().find(|c| c.r#type == "Accessible")?;
            (format!("{} {}", found.status, found.reason) == wanted).then_some(())
        })
        .await;
}

/// Looks at the repository since request number `first`.
fn looks(world: &World, first: usize) -> usize {
    let requests = world.stage.github.requests().into_iter().skip(first);
    requests.filter(|r| r.method == "GET" && r.path.contains("/pulls?")).count()
}

#[tokio::test(start_paused = true)]
async fn a_rename_is_known_at_once_and_the_next_push_is_fetched_under_the_new_name() {
    let world = World::new(1).await;
    let (number, _) = world.camp("sparks").await;
    let camp = world.camp_uid(number).await;
    // Not a moment that a sweep happens to be in.
    world.sleep(SWEEP / 4).await;
    let github = &world.stage.github;
    github.rename_repository(REPOSITORY, "bonfire", MAINTAINER).expect("a name");
    is_called(&world, "acme/bonfire").await;
    let files = one("CHANGES.md", "more sparks");
    let head = github.push("acme/bonfire", "sparks", &files, MAINTAINER).expect("a push");
    world
        .within(AT_ONCE, "the push is served", async || {
            let status = world.status(number).await?;
            (status.revision.as_deref() == Some(&head) && status.holds("Ready")).then_some(())
        })
        .await;
    // What is written goes where the old name leads.
    world
        .within(AT_ONCE, "the comment says so", async || {
            let comments = github.comments("acme/bonfire", number).expect("comments");
            assert_eq!(comments.len(), 1);
            comments[0].body.contains(&head).then_some(())
        })
        .await;
    let redirected = github.requests().into_iter().filter(|r| r.method == "PATCH");
    assert!(redirected.map(|r| r.status).any(|status| status == 307), "a write was redirected");
    assert_eq!(world.camp_uid(number).await, camp);
}

#[tokio::test(start_paused = true)]
async fn a_transfer_is_known_at_once() {
    let world = World::new(2).await;
    let (number, _) = world.camp("sparks").await;
    let camp = world.camp_uid(number).await;
    world.sleep(SWEEP / 4).await;
    // The token's account works there, too.
    world.stage.github.transfer_repository(REPOSITORY, STRANGER, MAINTAINER).expect("a transfer");
    is_called(&world, &format!("{STRANGER}/campfire")).await;
    assert_eq!(world.camp_uid(number).await, camp);
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_is_deleted_is_said_at_once_and_nothing_is_torn_down() {
    let world = World::new(3).await;
    let (number, _) = world.camp("sparks").await;
    let camp = world.camp_uid(number).await;
    world.sleep(SWEEP / 4).await;
    world.stage.github.delete_repository(REPOSITORY, MAINTAINER).expect("gone");
    is_accessible(&world, "False NotFound").await;
    world.sleep(SWEEP * 2).await;
    assert_eq!(world.camp_uid(number).await, camp);
}

#[tokio::test(start_paused = true)]
async fn a_commit_on_the_base_branch_is_merged_at_once_where_merges_are_shown_and_nowhere_else() {
    for (seed, at) in [(4, "Head"), (5, "Merge")] {
        let world = World::new(seed).await;
        world.policy(json!({"source": {"at": at}})).await;
        let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
        world.ready(number, &head).await;
        world.sleep(SWEEP / 4).await;
        let first = world.stage.github.requests().len();
        let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: theirs}\n";
        world.push("main", &one("deploy/preview/theirs.yaml", manifest));
        if at == "Merge" {
            world
                .within(AT_ONCE, "the camp has it", async || {
                    let there = world.config_maps(number).await;
                    there.iter().any(|name| name == "theirs").then_some(())
                })
                .await;
        } else {
            world.sleep(AT_ONCE).await;
            assert_eq!(looks(&world, first), 0, "nothing is asked");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn however_many_hints_come_the_repository_is_looked_at_once_in_five_seconds() {
    let world = World::new(6).await;
    world.policy(json!({"source": {"at": "Merge"}})).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world.ready(number, &head).await;
    world.sleep(SWEEP / 4).await;
    let first = world.stage.github.requests().len();
    for count in 0..30 {
        world.push("aside", &one("NOTES.md", &format!("{count}")));
        world.sleep(Duration::from_secs(1)).await;
    }
    let looks = looks(&world, first);
    assert!((2..=8).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_made_good_by_the_sweep() {
    let world = World::new(7).await;
    world.camp("sparks").await;
    world.lose_webhooks(true);
    world.stage.github.rename_repository(REPOSITORY, "bonfire", MAINTAINER).expect("a name");
    world
        .until("the sweep finds the name", async || {
            (repository(&world).await.forge?.name? == "acme/bonfire").then_some(())
        })
        .await;
}
