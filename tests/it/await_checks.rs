//! A commit waits for the checks that the platform team names: it says for which and since when, goes on at once when
//! they have passed, and gives up with the reason.

use std::time::Duration;

use bivouac::app::stage::{FIRST, MAINTAINER, NAME, REPOSITORY, STRANGER};
use bivouac::crd::{AdmissionState, AdmissionStatus, Phase};
use bivouac::sandbox::github::HookConfig;
use serde_json::json;

use crate::support::{SWEEP, World, one};

/// Longest time from an event to what comes of it.
const AT_ONCE: Duration = Duration::from_secs(15);

/// A world with CI (an App) in which commits wait for `build`.
async fn world(seed: u64) -> (World, u64) {
    let world = World::new(seed).await;
    let (owner, _) = REPOSITORY.split_once('/').expect("owner and name");
    let github = &world.stage.github;
    let ci = github.register_app("ci", owner, None, &[("checks", "write")]).expect("an App");
    github.install_app(ci, owner, Some(&[REPOSITORY])).expect("an installation");
    world.policy(json!({"await": {"checks": ["build"]}})).await;
    (world, ci)
}

async fn admission(world: &World, number: u64) -> Option<AdmissionStatus> {
    world.status(number).await?.admission
}

/// Waits until the record says that `head` waits.
async fn waits(world: &World, number: u64, head: &str) -> AdmissionStatus {
    world
        .until(&format!("#{number} waits at {head}"), async || {
            let status = world.status(number).await?;
            let reason = status.reason.clone().unwrap_or_default();
            let here = reason.starts_with(&format!("commit {} waits for", &head[..7]));
            status.admission.filter(|one| here && one.state == AdmissionState::Waiting)
        })
        .await
}

fn concludes(world: &World, ci: u64, head: &str, conclusion: &str) {
    let github = &world.stage.github;
    github.check(REPOSITORY, ci, head, "build", Some(conclusion)).expect("a run");
}

/// Waits until the record is ready at `head`; not longer than an event takes.
async fn ready_at_once(world: &World, number: u64, head: &str) {
    let what = format!("#{number} is ready at {head}");
    world
        .within(AT_ONCE, &what, async || {
            let status = world.status(number).await?;
            (status.holds("Ready") && status.revision.as_deref() == Some(head)).then_some(())
        })
        .await;
}

/// Requests that look for checks, since the forge's request number `first`.
fn looks(world: &World, first: usize) -> usize {
    let requests = world.stage.github.requests().into_iter().skip(first);
    requests.filter(|r| r.path.contains("/check-runs?filter=latest")).count()
}

#[tokio::test(start_paused = true)]
async fn a_commit_waits_for_its_check_and_goes_on_at_once_when_it_has_passed() {
    let (world, ci) = world(1).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let waiting = waits(&world, number, &head).await;
    assert_eq!(waiting.waits.len(), 1);
    let (what, state) = (waiting.waits[0].what.as_str(), waiting.waits[0].state.as_str());
    assert_eq!((what, state), ("check build", "not started"));
    let since = waiting.since.0.format("%Y-%m-%d %H:%M:%S UTC");
    let short = &head[..7];
    let text = format!("commit {short} waits for check build (not started) since {since}");
    world.told(number, &text).await;
    world
        .until("the commit's status says it", async || {
            let all = world.stage.github.statuses(REPOSITORY).expect("statuses");
            let newest = all.into_iter().rfind(|status| status.sha == head)?;
            (newest.state == "pending").then_some(())
        })
        .await;
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Progressing));
    assert!(world.namespace(number).await.is_none(), "nothing of it is in the cluster");
    let label = world.record(number).await.and_then(|record| record.metadata.labels);
    assert_eq!(label.and_then(|all| all.get("bivouac.dev/awaits").cloned()), Some(head.clone()));

    let github = &world.stage.github;
    github.check(REPOSITORY, ci, &head, "build", None).expect("a run");
    github.check(REPOSITORY, ci, &head, "lint", Some("failure")).expect("a run");
    world.sleep(AT_ONCE).await;
    assert!(world.namespace(number).await.is_none(), "another check is none of it");
    concludes(&world, ci, &head, "success");
    ready_at_once(&world, number, &head).await;
    world.ready(number, &head).await;
    let admitted = admission(&world, number).await.expect("an admission");
    assert_eq!((admitted.state, admitted.waits.len()), (AdmissionState::Admitted, 0));

    // The next one waits while this one goes on.
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    waits(&world, number, &next).await;
    world.told(number, &format!("; commit {short} goes on")).await;
    let (code, page) = world.page(number).await.expect("an answer");
    assert!(code == 200 && page.contains(&head));
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.revision.as_deref(), Some(head.as_str()));
    concludes(&world, ci, &next, "skipped");
    ready_at_once(&world, number, &next).await;
    world.close(number);
    world.closed(number).await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_failed_ends_the_wait_and_a_new_run_takes_it_up_again() {
    let (world, ci) = world(2).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    waits(&world, number, &head).await;
    concludes(&world, ci, &head, "failure");
    let text = format!("commit {} is not deployed: check build (failure)", &head[..7]);
    let comment = world.told(number, &text).await;
    assert!(comment.contains("it goes on when that has passed"), "{comment}");
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Failed));
    let ready = status.condition("Ready").expect("a condition");
    assert_eq!(ready.reason, "AwaitFailed");
    world
        .until("the commit's status says it", async || {
            let all = world.stage.github.statuses(REPOSITORY).expect("statuses");
            let newest = all.into_iter().rfind(|status| status.sha == head)?;
            (newest.state == "failure" || newest.state == "error").then_some(())
        })
        .await;
    // A rerun of CI is a new run of the same name: the latest one counts.
    concludes(&world, ci, &head, "success");
    ready_at_once(&world, number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_never_comes_is_given_up_after_the_timeout_and_is_taken_all_the_same() {
    let (world, ci) = world(3).await;
    world.policy(json!({"await": {"timeout": "10m"}})).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let since = waits(&world, number, &head).await.since.0;
    world.sleep(Duration::from_secs(590)).await;
    let still = admission(&world, number).await.expect("an admission");
    assert_eq!((still.state, still.since.0), (AdmissionState::Waiting, since));
    let text = "is not deployed: not there after 10m: check build (not started)";
    let what = "it is given up";
    world
        .within(Duration::from_secs(30), what, async || {
            let status = world.status(number).await?;
            status.reason.filter(|reason| reason.contains(text))
        })
        .await;
    world.told(number, text).await;
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.condition("Ready").expect("a condition").reason, "AwaitTimedOut");
    concludes(&world, ci, &head, "success");
    ready_at_once(&world, number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_lost_costs_two_minutes() {
    let (world, ci) = world(4).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    waits(&world, number, &head).await;
    world.lose_webhooks(true);
    concludes(&world, ci, &head, "success");
    world
        .within(Duration::from_secs(150), "it is found out", async || {
            let status = world.status(number).await?;
            (status.holds("Ready") && status.revision.as_deref() == Some(&head)).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_status_is_a_check_too_and_the_services_own_is_none() {
    let (world, _) = world(5).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    waits(&world, number, &head).await;
    let github = &world.stage.github;
    github.set_status(REPOSITORY, &head, "build", "pending", MAINTAINER).expect("a status");
    github.set_status(REPOSITORY, &head, "build", "success", MAINTAINER).expect("a status");
    ready_at_once(&world, number, &head).await;

    world.policy(json!({"await": {"checks": ["bivouac (demo) / preview"]}})).await;
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    let text = format!("commit {} is not deployed: check bivouac (demo) / preview", &next[..7]);
    world.told(number, &text).await;
    // Without a rule nothing is waited for.
    world.policy(json!({"await": null})).await;
    world.ready(number, &next).await;
    assert_eq!(admission(&world, number).await, None);
    let label = world.record(number).await.and_then(|record| record.metadata.labels);
    assert!(label.is_none_or(|all| !all.contains_key("bivouac.dev/awaits")));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_an_unapproved_source() {
    let (world, ci) = world(6).await;
    let github = &world.stage.github;
    github.fork(REPOSITORY, STRANGER).expect("a fork");
    let fork = format!("{STRANGER}/campfire");
    let embers = one("CHANGES.md", "embers");
    let head = github.commit(&fork, "embers", &embers, "Add embers\n", STRANGER);
    let head = head.expect("a commit");
    let first = github.requests().len();
    let number = world.propose(&format!("{STRANGER}:embers"), "Add embers", STRANGER);
    world.told(number, "waits for approval").await;
    world.sleep(Duration::from_secs(700)).await;
    assert_eq!(looks(&world, first), 0);
    let base = github.head(REPOSITORY, "main").expect("main");
    let approved =
        json!({"revision": head, "base": base, "by": MAINTAINER, "at": "2026-03-02T09:00:00Z"});
    world.ask(number, json!({ "approved": approved })).await;
    waits(&world, number, &head).await;
    concludes(&world, ci, &head, "success");
    ready_at_once(&world, number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_costs_no_writes_and_no_rate() {
    let (world, ci) = world(7).await;
    world.policy(json!({"await": {"timeout": "2h"}})).await;
    let (other, other_head) = world.open("kettle", &one("CHANGES.md", "kettle"));
    waits(&world, other, &other_head).await;
    concludes(&world, ci, &other_head, "success");
    world.ready(other, &other_head).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    waits(&world, number, &head).await;
    world.told(number, "waits for check build").await;
    // A sweep sees our own comment, and notes up to when it has read them.
    world.sleep(SWEEP).await;
    let (since, first) = (world.stage.clock.now(), world.stage.github.requests().len());
    world.sleep(Duration::from_secs(1800)).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new());
    let requests = world.stage.github.requests().into_iter().skip(first);
    let asked: Vec<_> = requests.filter(|r| r.path.contains("/commits/")).collect();
    assert!((20..=70).contains(&asked.len()), "once in one or two minutes: {}", asked.len());
    assert!(asked.iter().all(|r| r.status == 304), "{asked:#?}");
    // Events about commits that nobody waits for wake nobody.
    let github = &world.stage.github;
    let main = github.head(REPOSITORY, "main").expect("main");
    for head in [&main, &other_head] {
        github.check(REPOSITORY, ci, head, "build", Some("success")).expect("a run");
    }
    world.sleep(AT_ONCE).await;
    let written = world.written_by_the_service(since);
    let hints: Vec<_> = written.iter().filter(|line| !line.contains(NAME)).collect();
    assert_eq!(hints, Vec::<&String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_killed_waits_on_as_if_nothing_had_been() {
    let (mut world, ci) = world(8).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let before = waits(&world, number, &head).await;
    world.stage.kill_replica(FIRST).await;
    world.sleep(Duration::from_secs(300)).await;
    world.stage.start_replica(FIRST).expect("a service");
    world.sleep(Duration::from_secs(60)).await;
    assert_eq!(admission(&world, number).await, Some(before));
    concludes(&world, ci, &head, "success");
    world.ready(number, &head).await;
}

/// A second webhook of the repository that is told of one kind of event alone, in the place of the first.
fn hears_only(world: &World, event: &str) {
    let github = &world.stage.github;
    world.lose_webhooks(true);
    let config = HookConfig {
        url: "http://bivouac.test/webhook".into(),
        transport: Some(world.stage.receiver.clone()),
        secret: world.stage.webhook_secret.clone(),
        events: vec![event.into()],
    };
    github.add_hook(REPOSITORY, config).expect("a hook");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_suite_lets_a_commit_go_on_at_once() {
    let (world, ci) = world(9).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    waits(&world, number, &head).await;
    // The next look without an event is minutes away.
    world.told(number, "waits for check build").await;
    let github = &world.stage.github;
    github.check(REPOSITORY, ci, &head, "lint", None).expect("a run");
    hears_only(&world, "check_suite");
    concludes(&world, ci, &head, "success");
    world.sleep(AT_ONCE).await;
    assert!(
        world.namespace(number).await.is_none(),
        "the suite goes on, and nothing else was told"
    );
    github.check(REPOSITORY, ci, &head, "lint", Some("failure")).expect("a run");
    ready_at_once(&world, number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_workflow_lets_a_commit_go_on_at_once() {
    let (world, ci) = world(10).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    waits(&world, number, &head).await;
    // The next look without an event is minutes away.
    world.told(number, "waits for check build").await;
    hears_only(&world, "workflow_run");
    let github = &world.stage.github;
    github.workflow(REPOSITORY, ci, &head, "build", None).expect("a run");
    world.sleep(AT_ONCE).await;
    assert!(world.namespace(number).await.is_none(), "it has only begun");
    github.workflow(REPOSITORY, ci, &head, "build", Some("success")).expect("a run");
    ready_at_once(&world, number, &head).await;
    world.close(number);
    world.closed(number).await;
}
