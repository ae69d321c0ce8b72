//! The check of a head commit: one run for all pull requests at it, true at each moment, with findings at their lines; and
//! a commit status where only a token is at hand.

use std::time::Duration;

use bivouac::app::stage::{FIRST, MAINTAINER, NAME, NAMESPACE, PreviewFault, REPOSITORY, STRANGER};
use bivouac::apply::Target;
use bivouac::controller::leftovers::{Search, end_checks, find};
use bivouac::crd::Phase;
use bivouac::forge::Apis;
use bivouac::sandbox::github::{CheckView, StatusView};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::apps_at_forge::{App, as_an_app_with};
use crate::support::{SWEEP, World, one, start};

const CONTEXT: &str = "bivouac (demo) / preview";
const NEEDED: &[(&str, &str)] =
    &[("metadata", "read"), ("contents", "read"), ("pull_requests", "write")];
const WITH_CHECKS: &[(&str, &str)] = &[
    ("metadata", "read"),
    ("contents", "read"),
    ("pull_requests", "write"),
    ("checks", "write"),
    ("deployments", "write"),
];
/// A Service that the guard refuses, in a file of its own.
const EXTRA: &str = "deploy/preview/extra.yaml";
const OPEN_TO_ALL: &str = "apiVersion: v1
kind: Service
metadata:
  name: open
spec:
  type: LoadBalancer
  selector: {app: web}
  ports:
    - {port: 80, targetPort: 8080}
";

fn runs(world: &World) -> Vec<CheckView> {
    world.stage.github.check_runs(REPOSITORY).expect("check runs")
}

/// The runs at a commit.
fn runs_at(world: &World, head: &str) -> Vec<CheckView> {
    runs(world).into_iter().filter(|run| run.sha == head).collect()
}

fn statuses_at(world: &World, head: &str) -> Vec<StatusView> {
    let mut all = world.stage.github.statuses(REPOSITORY).expect("statuses");
    all.retain(|status| status.sha == head);
    all
}

/// Waits until the one run at a commit has that conclusion and title.
async fn concluded(world: &World, head: &str, conclusion: &str, title: &str) -> CheckView {
    let what = format!("the check of {head} is {conclusion}: {title}");
    world
        .until(&what, async || {
            let mut found = runs_at(world, head);
            assert!(found.len() <= 1, "one run for a head: {found:#?}");
            let fits = |run: &CheckView| {
                run.conclusion.as_deref() == Some(conclusion) && run.title == title
            };
            found.pop().filter(fits)
        })
        .await
}

/// Waits until the newest status of a commit is that one.
async fn set(world: &World, head: &str, state: &str, description: &str) -> StatusView {
    let what = format!("the status of {head} is {state}: {description}");
    world
        .until(&what, async || {
            let newest = statuses_at(world, head).pop()?;
            (newest.state == state && newest.description == description).then_some(newest)
        })
        .await
}

/// Waits until the record is ready at the commit.
async fn ready(world: &World, number: u64, head: &str) {
    world
        .until(&format!("#{number} is ready at {head}"), async || {
            let status = world.status(number).await?;
            let there = status.holds("Ready") && status.revision.as_deref() == Some(head);
            there.then_some(())
        })
        .await;
}

async fn with_checks(seed: u64) -> (World, App) {
    as_an_app_with(seed, WITH_CHECKS).await
}

#[tokio::test(start_paused = true)]
async fn the_check_follows_the_life_of_a_pull_request() {
    let (world, app) = with_checks(1).await;
    let (number, first) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let run = concluded(&world, &first, "success", "Preview is ready").await;
    assert_eq!((run.name.as_str(), run.app.as_str()), (CONTEXT, app.slug));
    assert_eq!(run.external_id, format!("bivouac:v1:demo:{first}"));
    let url = world.status(number).await.expect("a status").urls[0].url.clone();
    assert_eq!(run.details_url.as_ref(), Some(&url));
    let row = run.summary.lines().find(|line| line.starts_with(&format!("| #{number} ")));
    assert!(row.is_some_and(|row| row.contains(&url) && row.contains("| ready |")), "{row:?}");
    let buttons = ["redeploy", "extend", "destroy"].map(|verb| format!("{verb}:{number}"));
    assert_eq!(run.actions, buttons);

    // A new head has a run of its own; the old one is concluded and says which it is.
    let second = world.push("sparks", &one("CHANGES.md", "more sparks"));
    concluded(&world, &second, "success", "Preview is ready").await;
    let title = format!("Superseded by {}", &second[..7]);
    concluded(&world, &first, "neutral", &title).await;

    world.close(number);
    concluded(&world, &second, "neutral", "Preview is gone").await;
    world.closed(number).await;
    world.reopen(number);
    concluded(&world, &second, "success", "Preview is ready").await;
    assert_eq!(world.stage.github.census().check_runs, Vec::<String>::new(), "none is left open");
    assert_eq!(runs(&world).len(), 2);
    // No status beside it.
    assert_eq!(world.stage.github.statuses(REPOSITORY).expect("statuses"), []);
}

#[tokio::test(start_paused = true)]
async fn findings_stand_at_file_and_line_and_go_with_the_commit() {
    let (world, _) = with_checks(2).await;
    let (number, bad) = world.open("open", &one(EXTRA, OPEN_TO_ALL));
    let run = concluded(&world, &bad, "failure", "Preview is refused").await;
    let told: Vec<_> =
        run.annotations.iter().map(|a| (a.level.as_str(), a.place.as_str())).collect();
    let finding = world.status(number).await.expect("a status").findings.remove(0);
    let place = format!("{}:{}", finding.file.expect("a file"), finding.line.unwrap_or(1));
    assert_eq!(told, [("failure", place.as_str())], "{:#?}", run.annotations);
    assert!(place.starts_with(EXTRA), "{place}");
    assert_eq!(run.annotations[0].title, finding.rule);
    assert!(run.annotations[0].message.contains(&finding.message));
    assert!(run.summary.contains(&finding.rule), "{}", run.summary);

    // Told once, however often it is looked at.
    world.sleep(SWEEP * 2).await;
    assert_eq!(runs_at(&world, &bad)[0].annotations.len(), 1);
    let good = world.push("open", &one(EXTRA, "# nothing\n"));
    concluded(&world, &good, "success", "Preview is ready").await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_preview_file_is_told_at_its_line() {
    let (world, _) = with_checks(3).await;
    let (_, head) = world.open("kettle", &one(".bivouac.yaml", "# ours\napps: deploy/preview\n"));
    let run = concluded(&world, &head, "failure", "Preview is refused").await;
    let places: Vec<_> = run.annotations.iter().map(|a| a.place.as_str()).collect();
    assert_eq!(places, [".bivouac.yaml:2"], "{:#?}", run.annotations);
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_a_stranger_asks_for_an_action_until_it_is_approved() {
    let (world, _) = with_checks(4).await;
    let github = &world.stage.github;
    github.fork(REPOSITORY, STRANGER).expect("a fork");
    let fork = format!("{STRANGER}/campfire");
    let embers = one("CHANGES.md", "embers");
    let head = github.commit(&fork, "embers", &embers, "Add embers\n", STRANGER);
    let head = head.expect("a commit");
    let number = world.propose(&format!("{STRANGER}:embers"), "Add embers", STRANGER);
    let run = concluded(&world, &head, "action_required", "Preview waits for approval").await;
    let page = run.details_url.expect("where to read on");
    assert!(page.ends_with(&format!("/pull/{number}")), "{page}");
    assert!(run.summary.contains("approves this commit"), "{}", run.summary);

    let base = github.head(REPOSITORY, "main").expect("main");
    let at = "2026-03-02T09:00:00Z";
    let approved = json!({"revision": head, "base": base, "by": MAINTAINER, "at": at});
    world.ask(number, json!({ "approved": approved })).await;
    concluded(&world, &head, "success", "Preview is ready").await;
}

#[tokio::test(start_paused = true)]
async fn two_pull_requests_with_one_head_share_one_run() {
    let (world, _) = with_checks(5).await;
    let github = &world.stage.github;
    let (first, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    github
        .commit(REPOSITORY, "release", &one("RELEASE.md", "1"), "Release\n", MAINTAINER)
        .expect("a commit");
    let second = {
        let pull = bivouac::sandbox::github::NewPull {
            head: "sparks".into(),
            base: "release".into(),
            title: "The same for the release".into(),
            body: None,
            draft: false,
        };
        github.open_pull_request(REPOSITORY, &pull, MAINTAINER).expect("a pull request")
    };
    let run = concluded(&world, &head, "success", "2 previews: 2 ready").await;
    for number in [first, second] {
        let url = world.status(number).await.expect("a status").urls[0].url.clone();
        assert!(run.summary.contains(&format!("| #{number} |")) && run.summary.contains(&url));
    }
    // Both records know it: whoever comes next writes to the same.
    world.sleep(Duration::from_secs(10)).await;
    let mut known = Vec::new();
    for number in [first, second] {
        let report = world.status(number).await.expect("a status").report.expect("a report");
        known.push(report.check.expect("a check"));
    }
    assert_eq!(known[0], known[1]);
    assert_eq!(known[0].id, i64::try_from(run.id).ok());

    // The one that goes takes its row along.
    world.close(second);
    world.closed(second).await;
    let run = concluded(&world, &head, "success", "Preview is ready").await;
    assert!(!run.summary.contains(&format!("| #{second} |")), "{}", run.summary);
    // And the one that moves on leaves nothing but a trace.
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    concluded(&world, &next, "success", "Preview is ready").await;
    concluded(&world, &head, "neutral", &format!("Superseded by {}", &next[..7])).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_slow_is_told_as_in_progress_and_what_fails_as_failure() {
    let (world, _) = with_checks(6).await;
    let (number, first) = world.open("sparks", &one("CHANGES.md", "sparks"));
    ready(&world, number, &first).await;
    let url = world.status(number).await.expect("a status").urls[0].url.clone();
    let host = url.split('/').nth(2).expect("a host").to_owned();
    world.stage.previews.fail(&host, PreviewFault::Answer(503, String::new()), u32::MAX);
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world
        .until("the check is in progress", async || {
            let run = runs_at(&world, &head).pop()?;
            (run.status == "in_progress" && run.title == "Preview is being made").then_some(())
        })
        .await;
    concluded(&world, &head, "failure", "Preview has a problem").await;
    world.stage.previews.fail_no_more();
    concluded(&world, &head, "success", "Preview is ready").await;
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_run_is_found_again_by_its_external_id() {
    let (mut world, _) = with_checks(7).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let run = concluded(&world, &head, "success", "Preview is ready").await;
    ready(&world, number, &head).await;
    world.sleep(Duration::from_secs(30)).await;
    // As after a crash between the write and its note.
    world.stage.stop_replica(FIRST).await;
    let forget = Patch::Merge(json!({"status": {"report": {"check": null}}}));
    let name = format!("{NAME}-pr-{number}");
    let records = world.stage.environments();
    records.patch_status(&name, &PatchParams::default(), &forget).await.expect("a status");
    world.stage.start_replica(FIRST).expect("a start");
    world
        .until("the record knows the run again", async || {
            let check = world.status(number).await?.report?.check?;
            (check.id == i64::try_from(run.id).ok()).then_some(())
        })
        .await;
    assert_eq!(runs_at(&world, &head).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn with_a_token_the_status_of_the_commit_says_it() {
    let world = World::new(8).await;
    let (number, first) = world.camp("sparks").await;
    let status = set(&world, &first, "success", "Preview is ready").await;
    assert_eq!(status.context, CONTEXT);
    let url = world.status(number).await.expect("a status").urls[0].url.clone();
    assert_eq!(status.target_url, Some(url));

    let second = world.push("sparks", &one(EXTRA, OPEN_TO_ALL));
    let finding = world
        .until("it is refused", async || {
            let status = world.status(number).await?;
            let refused = status.phase == Some(Phase::Refused);
            status.reason.filter(|_| refused)
        })
        .await;
    let newest = world
        .until("the status says so", async || {
            statuses_at(&world, &second).pop().filter(|status| status.state == "failure")
        })
        .await;
    assert!(newest.description.starts_with("Preview is refused: "), "{newest:?}");
    assert!(
        finding
            .starts_with(newest.description["Preview is refused: ".len()..].trim_end_matches('…'))
    );

    let third = world.push("sparks", &one(EXTRA, "# nothing\n"));
    set(&world, &third, "success", "Preview is ready").await;
    world.close(number);
    world.closed(number).await;
    world.sleep(Duration::from_secs(60)).await;
    assert_eq!(world.stage.github.census().statuses, Vec::<String>::new(), "none is pending");
    assert_eq!(runs(&world), [], "a token makes no check runs");
    // Each costs one of the commit's thousand: what was concluded is left alone when a push comes.
    let told = |head: &str| {
        statuses_at(&world, head).into_iter().map(|s| s.description).collect::<Vec<_>>()
    };
    assert_eq!(told(&first), ["Preview is ready"]);
    assert_eq!(told(&third), ["Preview is ready", "Preview is gone"]);
}

#[tokio::test(start_paused = true)]
async fn with_a_token_an_open_status_is_ended_when_a_push_comes() {
    let world = World::new(9).await;
    let (number, _) = world.camp("sparks").await;
    let url = world.status(number).await.expect("a status").urls[0].url.clone();
    let host = url.split('/').nth(2).expect("a host").to_owned();
    world.stage.previews.fail(&host, PreviewFault::Answer(503, String::new()), u32::MAX);
    let slow = world.push("sparks", &one("CHANGES.md", "slow"));
    set(&world, &slow, "pending", "Preview is being made").await;
    world.stage.previews.fail_no_more();
    let next = world.push("sparks", &one("CHANGES.md", "next"));
    world.ready(number, &next).await;
    set(&world, &next, "success", "Preview is ready").await;
    assert_ne!(statuses_at(&world, &slow).pop().expect("a status").state, "pending");
    assert_eq!(world.stage.github.census().statuses, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_pull_request_that_is_not_selected_says_why_in_a_check_and_leaves_statuses_alone() {
    let (world, _) = with_checks(10).await;
    world.policy(json!({"select": {"labels": {"all": ["preview"]}}})).await;
    let (_, head) = world.open("plain", &one("CHANGES.md", "plain"));
    let run = concluded(&world, &head, "skipped", "No preview").await;
    assert!(run.summary.contains("preview"), "{}", run.summary);

    let world = World::new(11).await;
    world.policy(json!({"select": {"labels": {"all": ["preview"]}}})).await;
    let (number, head) = world.open("plain", &one("CHANGES.md", "plain"));
    world
        .until("there is none", async || {
            (world.status(number).await?.phase == Some(Phase::NoCamp)).then_some(())
        })
        .await;
    world.sleep(SWEEP).await;
    assert_eq!(statuses_at(&world, &head), []);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_nothing_is_told_and_nothing_is_asked_for_it() {
    let (world, _) = as_an_app_with(12, NEEDED).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    ready(&world, number, &head).await;
    world.sleep(SWEEP * 5).await;
    let beside = |path: &str| {
        ["/check-runs", "/statuses", "/deployments"].iter().any(|part| path.contains(part))
    };
    let asked: Vec<_> =
        world.stage.github.requests().into_iter().filter(|r| beside(&r.path)).collect();
    assert!(asked.is_empty(), "{asked:#?}");
    let status = world.status(number).await.expect("a status");
    assert!(status.condition("CheckReported").is_none(), "{:#?}", status.conditions);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_forge_is_shown_costs_no_camp_and_is_not_repeated_at_once() {
    let world = World::new(13).await;
    let github = &world.stage.github;
    github.fail_next("POST", "*/statuses/*", 404, u32::MAX);
    github.fail_next("POST", "*/deployments", 404, u32::MAX);
    let (number, _) = world.camp("sparks").await;
    let refused = async || {
        let status = world.status(number).await?;
        let why =
            |name| status.condition(name).filter(|c| c.status == "False").map(|c| c.reason.clone());
        Some((why("CheckReported")?, why("DeploymentReported")?))
    };
    let both = world.until("both are shown as refused", refused).await;
    assert_eq!(both, ("ForgeNotTold".to_owned(), "ForgeNotTold".to_owned()));
    let (second, _) = world.camp("kettle").await;
    world.sleep(Duration::from_secs(600)).await;
    let tries =
        || github.requests().iter().filter(|r| r.method == "POST" && r.status == 404).count();
    assert_eq!(tries(), 2, "a right that lacks, lacks for all pull requests");
    github.fail_no_more();
    world
        .within(SWEEP * 5, "both go on", async || {
            for number in [number, second] {
                let status = world.status(number).await?;
                let report = status.report?;
                report.check?;
                report.deployment?.id?;
            }
            let status = world.status(number).await?;
            (status.holds("CheckReported") && status.holds("DeploymentReported")).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_switched_off_is_neutral_and_then_silent() {
    let (world, _) = with_checks(14).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    concluded(&world, &head, "success", "Preview is ready").await;
    world.policy(json!({"report": {"check": false}})).await;
    concluded(&world, &head, "neutral", "Preview is gone").await;
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    ready(&world, number, &next).await;
    world.sleep(SWEEP).await;
    assert_eq!(runs_at(&world, &next), []);
    assert!(
        world.status(number).await.expect("a status").report.expect("a report").check.is_none()
    );
    world.policy(json!({"report": {"check": true}})).await;
    concluded(&world, &next, "success", "Preview is ready").await;
}

#[tokio::test(start_paused = true)]
async fn a_comment_that_is_switched_off_is_taken_away() {
    let world = World::new(15).await;
    let (number, head) = world.camp("sparks").await;
    world.policy(json!({"report": {"comment": false}})).await;
    world
        .until("the comment is gone", async || {
            let known = world.status(number).await?.report.and_then(|report| report.comment);
            (world.comment(number).is_none() && known.is_none()).then_some(())
        })
        .await;
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    ready(&world, number, &next).await;
    set(&world, &next, "success", "Preview is ready").await;
    world.sleep(SWEEP).await;
    assert_eq!(world.comment(number), None);
    world.policy(json!({"report": {"comment": true}})).await;
    world.ready(number, &next).await;
    assert_ne!(head, next);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_made_anew_takes_the_run_that_is_there() {
    let (world, _) = with_checks(16).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let run = concluded(&world, &head, "success", "Preview is ready").await;
    ready(&world, number, &head).await;
    let uid = world.record(number).await.expect("a record").metadata.uid;
    let name = format!("{NAME}-pr-{number}");
    world.stage.environments().delete(&name, &DeleteParams::default()).await.expect("deleted");
    world
        .until("another record knows the run", async || {
            let record = world.record(number).await.filter(|r| r.metadata.uid != uid)?;
            let status = record.status.filter(|status| status.holds("Ready"))?;
            (status.report?.check?.id == i64::try_from(run.id).ok()).then_some(())
        })
        .await;
    concluded(&world, &head, "success", "Preview is ready").await;
}

#[tokio::test(start_paused = true)]
async fn a_run_at_a_commit_that_no_environment_has_is_found_and_concluded() {
    let (mut world, app) = with_checks(20).await;
    let (torn, lost) = world.open("torn", &one("CHANGES.md", "torn"));
    let (gone, over) = world.open("gone", &one("CHANGES.md", "gone"));
    let (number, head) = world.open("stays", &one("CHANGES.md", "stays"));
    for (number, head) in [(torn, &lost), (gone, &over), (number, &head)] {
        ready(&world, number, head).await;
        concluded(&world, head, "success", "Preview is ready").await;
    }
    world.close(gone);
    concluded(&world, &over, "neutral", "Preview is gone").await;
    world.sleep(Duration::from_secs(60)).await;
    let search = Search {
        home: world.stage.admin.clone(),
        target: Target::new(world.stage.admin.clone()),
        instance: "demo".into(),
        namespace: NAMESPACE.into(),
        forges: Some(Apis::new(world.stage.github.transport(), world.stage.clock.clone())),
        allow_http: true,
        comments_since: start(),
    };
    let found = async || {
        let found = find(&search, &|_| {}).await.expect("they can be looked for");
        assert_eq!(found.not_looked_at, Vec::<String>::new());
        found.checks
    };
    assert!(found().await.is_empty(), "all of it belongs to somebody");

    world.stage.stop_replica(FIRST).await;
    let records = world.stage.environments();
    for number in [torn, gone] {
        let (name, none) = (format!("{NAME}-pr-{number}"), json!({"metadata": {"finalizers": []}}));
        records.patch(&name, &PatchParams::default(), &Patch::Merge(none)).await.expect("patched");
        records.delete(&name, &DeleteParams::default()).await.expect("deleted");
    }
    // Of our App and of our name, and of another installation.
    let github = &world.stage.github;
    github.check(REPOSITORY, app.id, &over, CONTEXT, Some("success")).expect("a run");
    let checks = found().await;
    let told: Vec<_> =
        checks.iter().map(|one| (one.revision.as_str(), one.reason.as_str())).collect();
    let why = "it says that a preview runs, and no Environment has this commit";
    assert_eq!(told, [(lost.as_str(), why)], "what says that nothing runs may stay");
    assert_eq!(end_checks(&search, &checks).await, []);
    let run = runs_at(&world, &lost).remove(0);
    assert_eq!(
        (run.conclusion.as_deref(), run.title.as_str(), run.actions.len()),
        (Some("neutral"), "Preview is gone", 0)
    );
    assert_eq!(runs_at(&world, &head)[0].conclusion.as_deref(), Some("success"));
    assert!(found().await.is_empty());
    // To another installation they are nobody's.
    let other = Search { instance: "other".into(), ..search.clone() };
    assert!(find(&other, &|_| {}).await.expect("an answer").checks.is_empty());
}
