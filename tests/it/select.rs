//! Who gets a camp by the Repository's choice: authors, and bots that it names.

use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, REPOSITORY};
use bivouac::crd::Phase;
use serde_json::json;

use crate::support::{World, one};

fn by(world: &World, branch: &str, author: &str) -> (u64, String) {
    let github = &world.stage.github;
    let files = one("CHANGES.md", branch);
    let head = github.commit(REPOSITORY, branch, &files, "Change something\n", MAINTAINER);
    (world.propose(branch, "A change", author), head.expect("a commit"))
}

#[tokio::test(start_paused = true)]
async fn only_named_authors_get_a_camp_and_the_others_are_told_why_in_the_check() {
    let world = World::new(61).await;
    world.policy(json!({"select": {"authors": ["bob"]}})).await;
    let (adas, head) = world.open("adas", &one("CHANGES.md", "x"));
    let status = world
        .until("it is looked at", async || {
            world.status(adas).await.filter(|status| status.phase == Some(Phase::NoCamp))
        })
        .await;
    let reason = "its author ada is none of bob (select.authors)";
    assert_eq!(status.reason.as_deref(), Some(reason));
    let why = status.why.iter().find(|line| line.decided).expect("a rule that decided");
    assert_eq!((why.rule.as_str(), why.answer.as_str()), ("select", reason));
    let _ = head;
    world.stage.github.create_user("bob").expect("a person");
    let (bobs, head) = by(&world, "bobs", "Bob");
    world.ready(bobs, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_bot_is_trusted_when_it_is_named_and_waits_for_approval_when_it_is_not() {
    let world = World::new(62).await;
    world.stage.github.create_bot("renovate[bot]").expect("a bot");
    let (number, head) = by(&world, "bump", "renovate[bot]");
    let status = world
        .until("it waits for approval", async || {
            let status = world.status(number).await?;
            (status.phase == Some(Phase::WaitingForApproval)).then_some(status)
        })
        .await;
    assert!(status.reason.is_some_and(|reason| reason.contains("select.bots")));
    let fetched = world.stage.github.requests().iter().filter(|r| r.method == "FETCH").count();
    assert_eq!(fetched, 0, "nothing of it is fetched");
    world.sleep(Duration::from_secs(60)).await;
    world.policy(json!({"select": {"bots": ["Renovate[bot]"]}})).await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_pull_request_that_changes_nothing_of_interest_gets_no_camp_until_it_does() {
    let world = World::new(63).await;
    world.policy(json!({"select": {"paths": ["deploy/*", "web/*"]}})).await;
    let (number, _) = world.open("sparks", &one("CHANGES.md", "x"));
    let status = world
        .until("it is looked at", async || {
            world.status(number).await.filter(|status| status.phase == Some(Phase::NoCamp))
        })
        .await;
    assert_eq!(status.reason.as_deref(), Some("it changes none of deploy/*, web/* (select.paths)"));
    let asked = |world: &World| {
        let requests = world.stage.github.requests();
        requests.iter().filter(|r| r.path.contains(&format!("/pulls/{number}/files"))).count()
    };
    world.sleep(Duration::from_secs(1800)).await;
    assert_eq!(asked(&world), 1, "it is asked once for a head");
    let head = world.push("sparks", &one("web/index.html", "<p>"));
    world.ready(number, &head).await;
    assert_eq!(asked(&world), 2);
    world.policy(json!({"select": {"paths": []}})).await;
    let (second, head) = world.open("kettle", &one("CHANGES.md", "y"));
    world.ready(second, &head).await;
}
