//! The way back: `spec.pin` runs a commit of the history until the next push.

use std::time::Duration;

use bivouac::crd::{Cause, Outcome};
use serde_json::json;

use crate::support::{World, one};

fn pin(revision: &str, head: &str) -> serde_json::Value {
    json!({"pin": {"revision": revision, "head": head, "by": "mia", "at": "2026-03-02T09:00:00Z"}})
}

/// Three commits of one branch, each of which was ready: number, and the commits, oldest first.
async fn three(world: &World) -> (u64, [String; 3]) {
    let (number, first) = world.camp("sparks").await;
    let second = world.push("sparks", &one("CHANGES.md", "second"));
    world.ready(number, &second).await;
    let third = world.push("sparks", &one("CHANGES.md", "third"));
    world.ready(number, &third).await;
    (number, [first, second, third])
}

async fn runs(world: &World, number: u64, commit: &str) {
    world
        .until(&format!("#{number} runs {commit}"), async || {
            let status = world.status(number).await?;
            let ready = status.holds("Ready") && status.revision.as_deref() == Some(commit);
            let (_, page) = world.page(number).await.filter(|_| ready)?;
            page.contains(commit).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_runs_the_older_commit_until_the_next_push() {
    let world = World::new(301).await;
    let (number, [first, second, third]) = three(&world).await;
    let fetched = |world: &World| {
        world.stage.github.requests().iter().filter(|r| r.method == "FETCH").count()
    };
    let before = fetched(&world);
    world.ask(number, pin(&first, &third)).await;
    runs(&world, number, &first).await;
    let comment = world.told(number, "went back to commit").await;
    let about = comment.lines().find(|line| line.starts_with("Commit "));
    let about = about.expect("a line about the commit");
    assert!(about.contains(&first) && !about.contains(&third), "{comment}");
    let since = comment.lines().find(|line| line.starts_with("Since "));
    assert!(since.is_some_and(|since| since.contains(&third)), "{comment}");
    assert_eq!(fetched(&world), before, "it is stored: nothing is fetched");

    // It holds through sweeps, hints and a restart.
    world.sleep(Duration::from_secs(900)).await;
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.revision.as_ref(), Some(&first));
    assert_eq!(status.head.expect("a head").revision, third);
    let told = |entry: &bivouac::crd::HistoryEntry| {
        (entry.revision.clone(), entry.cause, entry.outcome, entry.by.clone())
    };
    let history: Vec<_> = status.history.iter().map(told).collect();
    let author = Some(bivouac::app::stage::MAINTAINER.to_owned());
    assert_eq!(
        history,
        [
            (first.clone(), Cause::Rollback, Outcome::Ready, Some("mia".to_owned())),
            (third.clone(), Cause::Push, Outcome::Ready, author.clone()),
            (second, Cause::Push, Outcome::Ready, author.clone()),
            (first, Cause::Push, Outcome::Ready, author),
        ]
    );

    let fourth = world.push("sparks", &one("CHANGES.md", "fourth"));
    world.ready(number, &fourth).await;
    let record = world.record(number).await.expect("a record");
    assert_eq!(record.spec.pin, None, "a push ends it, and it can't come back");
}

#[tokio::test(start_paused = true)]
async fn a_rollback_needs_neither_the_commit_nor_the_forge() {
    let world = World::new(302).await;
    let (number, [first, _, third]) = three(&world).await;
    world.forget_fetched();
    world.stage.github.set_outage(true);
    world.ask(number, pin(&first, &third)).await;
    runs(&world, number, &first).await;
    // Rules that change what is rendered, say the ingress class, make other inputs: it stays what it was.
    world.policy(json!({"limits": {"objects": 199}})).await;
    world.sleep(Duration::from_secs(60)).await;
    runs(&world, number, &first).await;
    world.stage.github.set_outage(false);
    world.told(number, "went back to commit").await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_never_ran_can_not_be_gone_back_to() {
    let world = World::anywhere(303).await;
    let (number, head) = world.camp("sparks").await;
    world.ask(number, pin(&"a".repeat(40), &head)).await;
    let comment = world.told(number, "which never ran here").await;
    assert!(comment.contains("asked for commit aaaaaaa"), "{comment}");
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_rollback_during_an_apply_ends_it() {
    let world = World::anywhere(304).await;
    let (number, [first, _, third]) = three(&world).await;
    world.ask(number, pin(&first, &third)).await;
    // Somebody thinks better of it at once.
    world.ask(number, json!({"pin": null})).await;
    runs(&world, number, &third).await;
    let status = world.status(number).await.expect("a status");
    assert!(
        status.history.iter().all(|entry| entry.outcome != Outcome::Progressing),
        "{:?}",
        status.history
    );
}
