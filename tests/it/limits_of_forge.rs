//! The forge's limits and failures: whatever it answers, or does not, each pull request ends with one true comment.

use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, NAME, NAMESPACE, REPOSITORY};
use bivouac::crd::Repository;
use bivouac::sandbox::github::{Fault, RequestRecord, RetryAfter};
use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::{SWEEP, World, one};

/// Longer than any pause after a refusal, and a sweep.
const LONG: Duration = Duration::from_secs(2400);

/// What the service asked of the API since `since`, git apart.
fn asked(world: &World, since: DateTime<Utc>) -> Vec<RequestRecord> {
    let all = world.stage.github.requests().into_iter();
    all.filter(|r| r.at >= since && !matches!(r.method.as_str(), "FETCH" | "GIT")).collect()
}

/// Content that the service wrote, also what was refused.
fn written(world: &World, since: DateTime<Utc>) -> Vec<RequestRecord> {
    asked(world, since).into_iter().filter(|r| r.method != "GET").collect()
}

/// Comments of those.
fn comments(world: &World, since: DateTime<Utc>) -> Vec<RequestRecord> {
    written(world, since).into_iter().filter(|r| r.path.contains("/issues/")).collect()
}

/// Waits until the comment is the one of `head`, ready, and the record says that it is told.
async fn told(world: &World, number: u64, head: &str) {
    world
        .within(LONG, &format!("#{number} is told of {head}"), async || {
            let status = world.status(number).await?;
            let comment = world.comment(number)?;
            let ready = status.holds("Ready") && status.revision.as_deref() == Some(head);
            let said = comment.contains("### Preview is ready") && comment.contains(head);
            (ready && said && status.holds("Reported")).then_some(())
        })
        .await;
}

/// While a comment is made, and while one is changed, the forge fails so; both ends are as if it had not.
async fn writing_ends_well(seed: u64, fault: Fault, times: u32) {
    let world = World::new(seed).await;
    let github = &world.stage.github;
    github.fault_next("POST", "/comments", fault.clone(), times);
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    told(&world, number, &head).await;
    let camp = world.camp_uid(number).await;

    github.fault_next("PATCH", "/comments/", fault.clone(), times);
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    told(&world, number, &next).await;
    assert_eq!(world.camp_uid(number).await, camp, "{fault:?}");
    world.sleep(SWEEP).await;
    told(&world, number, &next).await;

    github.fault_next("PATCH", "/comments/", fault, times);
    world.close(number);
    world.closed(number).await;
    world
        .within(LONG, "the end is told", async || {
            world.comment(number).filter(|comment| comment.contains("### Preview is gone"))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_404_a_422_and_a_500_while_writing_end_in_one_true_comment() {
    for (seed, status, times) in [(1, 404, 2), (2, 422, 3), (3, 500, 3)] {
        writing_ends_well(seed, Fault::Status(status), times).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxys_page_while_writing_ends_in_one_true_comment() {
    writing_ends_well(4, Fault::Page(502), 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_does_not_answer_while_writing_ends_in_one_true_comment() {
    writing_ends_well(5, Fault::Hang, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_comment_whose_answer_is_lost_is_not_written_twice() {
    // It is there, and nobody says so: no answer, half of one, and half of one that looks whole.
    for (seed, fault) in [(6, Fault::HangAfter), (7, Fault::Cut), (8, Fault::Short)] {
        writing_ends_well(seed, fault, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_failure_of_a_reading_is_got_over() {
    let faults = [
        Fault::Status(404),
        Fault::Status(422),
        Fault::Status(500),
        Fault::Mute(403),
        Fault::Mute(502),
        Fault::Page(502),
        Fault::Hang,
        Fault::Cut,
        Fault::Short,
        Fault::Limited(429, RetryAfter::Seconds(20)),
        Fault::Spent(Duration::from_secs(300)),
    ];
    let world = World::new(9).await;
    let (number, _) = world.camp("sparks").await;
    let camp = world.camp_uid(number).await;
    for (count, fault) in faults.into_iter().enumerate() {
        world.stage.github.fault_next("GET", "*", fault.clone(), 3);
        let head = world.push("sparks", &one("CHANGES.md", &format!("sparks {count}")));
        told(&world, number, &head).await;
        assert_eq!(world.camp_uid(number).await, camp, "{fault:?}");
        // The rest of the failures, and what was asked to wait.
        world.sleep(SWEEP * 2).await;
    }
}

/// After the one refusal of `fault` nothing is asked for `wait`, and then all is told.
async fn is_left_alone(seed: u64, fault: Fault, wait: Duration) {
    let world = World::new(seed).await;
    let since = world.stage.clock.now();
    world.stage.github.fault_next("POST", "/comments", fault.clone(), 1);
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    told(&world, number, &head).await;
    let asked = asked(&world, since);
    let struck = asked.iter().position(|r| r.status == 403 || r.status == 429);
    let struck = struck.expect("a request that was refused");
    let (at, next) = (asked[struck].at, &asked[struck + 1]);
    let left = next.at - at;
    assert!(left >= chrono::Duration::from_std(wait).expect("a span"), "{fault:?}: {next:?}");
    // Nothing is gained by waiting for much longer.
    assert!(left < chrono::Duration::from_std(wait * 2).expect("a span"), "{fault:?}: {next:?}");
}

#[tokio::test(start_paused = true)]
async fn a_forge_that_asks_to_wait_is_left_alone_for_so_long() {
    let seconds = Duration::from_secs;
    for (seed, fault, wait) in [
        (10, Fault::Limited(403, RetryAfter::Seconds(90)), seconds(90)),
        (11, Fault::Limited(429, RetryAfter::Seconds(90)), seconds(90)),
        (12, Fault::Limited(403, RetryAfter::Date(90)), seconds(89)),
        (13, Fault::Limited(429, RetryAfter::Date(90)), seconds(89)),
        (14, Fault::Spent(seconds(600)), seconds(599)),
        // Not a word: at least a minute.
        (15, Fault::Mute(403), seconds(60)),
        (16, Fault::Mute(429), seconds(60)),
    ] {
        is_left_alone(seed, fault, wait).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_a_day_is_not_believed() {
    let world = World::new(17).await;
    let fault = Fault::Limited(429, RetryAfter::Seconds(86_400));
    world.stage.github.fault_next("POST", "/comments", fault, 1);
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world.sleep(Duration::from_secs(7200)).await;
    told(&world, number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ended_is_named_and_the_next_one_tells_what_happened_meanwhile() {
    let world = World::new(18).await;
    let (number, _) = world.camp("sparks").await;
    let camp = world.camp_uid(number).await;
    world.stage.github.revoke_token(&world.stage.tokens.service);
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    let repositories: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    world
        .until("the token is named", async || {
            let status = repositories.get(NAME).await.ok()?.status?;
            let found = status.conditions.iter().find(|c| c.r#type == "CredentialsValid")?;
            (found.status == "False" && found.reason == "Unauthorized").then_some(())
        })
        .await;
    assert_eq!(world.camp_uid(number).await, camp);
    let token = world.stage.github.token_for(BOT).expect("a token");
    let secrets: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let patch = Patch::Merge(json!({"stringData": {"token": token}}));
    secrets.patch(NAME, &PatchParams::default(), &patch).await.expect("a Secret");
    world.ready(number, &next).await;
    assert_eq!(world.camp_uid(number).await, camp);
}

#[tokio::test(start_paused = true)]
async fn what_was_made_a_moment_ago_and_is_not_found_yet_is_waited_for() {
    let world = World::new(19).await;
    // A replica of the forge that lags behind: the webhook is there before the pull request is.
    world.stage.github.set_birth_lag(Duration::from_secs(4));
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world
        .within(Duration::from_secs(60), "it is ready without a sweep", async || {
            world.status(number).await?.holds("Ready").then_some(())
        })
        .await;
    told(&world, number, &head).await;
    // The comment that was just made is not found either: it is no reason for a second one.
    world.stage.github.set_birth_lag(Duration::from_secs(120));
    let (number, _) = world.camp("kettle").await;
    let next = world.push("kettle", &one("CHANGES.md", "more"));
    told(&world, number, &next).await;
}

#[tokio::test(start_paused = true)]
async fn pull_requests_that_move_between_two_pages_are_neither_lost_nor_torn_down() {
    let world = World::new(20).await;
    let github = &world.stage.github;
    github.set_page_rows(Some(2));
    let mut camps = Vec::new();
    for branch in ["one", "two", "three", "four", "five"] {
        camps.push(world.camp(branch).await);
    }
    let mut uids = Vec::new();
    for (number, _) in &camps {
        uids.push(world.camp_uid(*number).await);
    }
    for moving in [1, -1] {
        // Each sweep misses some that are open, or sees some twice.
        github.set_moving_rows(moving);
        world.sleep(SWEEP * 3).await;
        for ((number, head), uid) in camps.iter().zip(&uids) {
            assert_eq!(world.camp_uid(*number).await, *uid, "#{number} stands");
            world.ready(*number, head).await;
        }
    }
    // One whose webhook is lost is found as soon as a list shows it.
    github.set_moving_rows(1);
    world.lose_webhooks(true);
    let (number, head) = world.open("six", &one("CHANGES.md", "six"));
    world.sleep(SWEEP).await;
    github.set_moving_rows(0);
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn no_pull_request_is_written_to_twice_within_five_seconds_and_the_last_text_wins() {
    let world = World::new(21).await;
    let since = world.stage.clock.now();
    let (number, _) = world.camp("sparks").await;
    let mut head = String::new();
    for count in 0..12 {
        head = world.push("sparks", &one("CHANGES.md", &format!("sparks {count}")));
        // Long enough for a camp to be ready, and shorter than two writes may be apart.
        world.sleep(Duration::from_millis(2300)).await;
    }
    told(&world, number, &head).await;
    world.close(number);
    world.reopen(number);
    told(&world, number, &head).await;
    let times: Vec<_> = comments(&world, since).into_iter().map(|r| r.at).collect();
    assert!(times.len() >= 4, "{times:?}");
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= chrono::Duration::seconds(5), "{times:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_points_are_short_progress_is_left_out_and_the_url_is_not() {
    // First with plenty, so that it is known that there would have been progress to tell.
    for (seed, short) in [(22, false), (23, true)] {
        let world = World::new(seed).await;
        let github = &world.stage.github;
        let (number, _) = world.camp("sparks").await;
        if short {
            // Less than a tenth is left of 5,000.
            github.spend_points(BOT, 4600).expect("spent");
        }
        github.label(REPOSITORY, number, "urgent", MAINTAINER).expect("a label");
        world.sleep(Duration::from_secs(10)).await;
        let since = world.stage.clock.now();
        let host = format!("{NAME}-pr-{number}.preview.localhost");
        let slow = bivouac::app::stage::PreviewFault::Answer(503, String::new());
        world.stage.previews.fail(&host, slow, 25);
        let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
        told(&world, number, &head).await;
        let written = comments(&world, since);
        let expected = if short { 1 } else { 2 };
        assert_eq!(written.len(), expected, "short: {short}: {written:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_the_hour_is_spent_nothing_is_asked_and_all_is_told_when_it_begins_anew() {
    let world = World::new(24).await;
    let github = &world.stage.github;
    let (number, _) = world.camp("sparks").await;
    let camp = world.camp_uid(number).await;
    github.set_rate_limit(Some(1));
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.sleep(Duration::from_secs(30)).await;
    let since = world.stage.clock.now();
    world.sleep(Duration::from_secs(600)).await;
    assert_eq!(asked(&world, since), [], "whoever has nothing left does not ask");
    github.set_rate_limit(None);
    world
        .within(Duration::from_secs(3900), "it is told", async || {
            world.comment(number).filter(|comment| comment.contains(&head))
        })
        .await;
    assert_eq!(world.camp_uid(number).await, camp);
}

#[tokio::test(start_paused = true)]
async fn whoever_writes_more_than_the_forge_takes_waits_and_everything_that_matters_is_told() {
    let world = World::new(25).await;
    // Less than the service allows itself: the forge is the one who says so.
    world.stage.github.set_content_limits(Some((4, 100)));
    let since = world.stage.clock.now();
    let mut camps = Vec::new();
    for count in 0..14 {
        let branch = format!("branch-{count}");
        camps.push(world.open(&branch, &one("CHANGES.md", &branch)));
    }
    for (number, head) in &camps {
        told(&world, *number, head).await;
    }
    let written = written(&world, since);
    let done = |r: &&RequestRecord| r.status < 300;
    for first in written.iter().filter(done) {
        let minute = first.at..first.at + chrono::Duration::seconds(60);
        let count = written.iter().filter(done).filter(|r| minute.contains(&r.at)).count();
        assert!(count <= 4, "{count} in the minute of {first:?}");
    }
    // Each time it is refused it asks once or a few times, not again and again.
    let refused = written.iter().filter(|r| r.status == 403).count();
    assert!((1..=20).contains(&refused), "{refused} refusals");
}
