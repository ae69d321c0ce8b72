//! Commands on the pull request: seen at once, carried out in order with the rights of whoever gave them, answered with a
//! reaction, and never lost, doubled or taken from somebody else's text.

use std::time::Duration;

use bivouac::app::stage::{BOT, FIRST, MAINTAINER, NAME, NAMESPACE, REPOSITORY, STRANGER};
use bivouac::crd::{Power, Request, RequestState, Want};
use bivouac::sandbox::github::{CommentView, Role};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use crate::apps_at_forge::as_an_app_with;
use crate::support::{SWEEP, World, one};

/// Words of ours that answer somebody.
const REPLY: &str = "<!-- bivouac-reply:v1 ";
const WITH_CHECKS: &[(&str, &str)] = &[
    ("metadata", "read"),
    ("contents", "read"),
    ("pull_requests", "write"),
    ("checks", "write"),
    ("deployments", "write"),
];

pub(crate) fn say(world: &World, number: u64, text: &str, by: &str) -> u64 {
    world.stage.github.comment(REPOSITORY, number, text, by).expect("a comment")
}

pub(crate) fn with_role(world: &World, login: &str, role: Role) {
    world.stage.github.create_user(login).expect("a person");
    world.stage.github.add_collaborator(REPOSITORY, login, role).expect("a collaborator");
}

fn comment(world: &World, number: u64, id: u64) -> CommentView {
    let all = world.stage.github.comments(REPOSITORY, number).expect("comments");
    all.into_iter().find(|comment| comment.id == id).expect("the comment")
}

fn has(world: &World, number: u64, id: u64, reaction: &str) -> bool {
    let wanted = format!(": {reaction}");
    comment(world, number, id).reactions.iter().any(|one| one.ends_with(&wanted))
}

/// Waits for a reaction to a comment.
pub(crate) async fn reacted(world: &World, number: u64, id: u64, reaction: &str) {
    world
        .until(&format!("comment {id} has {reaction}"), async || {
            has(world, number, id, reaction).then_some(())
        })
        .await;
}

pub(crate) async fn done(world: &World, number: u64, text: &str, by: &str) {
    let id = say(world, number, text, by);
    reacted(world, number, id, "rocket").await;
}

pub(crate) async fn refused(world: &World, number: u64, text: &str, by: &str) {
    let id = say(world, number, text, by);
    reacted(world, number, id, "confused").await;
}

pub(crate) fn replies(world: &World, number: u64) -> Vec<CommentView> {
    let mut all = world.stage.github.comments(REPOSITORY, number).expect("comments");
    all.retain(|comment| comment.body.starts_with(REPLY));
    all
}

/// Waits for an answer in words that holds `text`.
pub(crate) async fn answered(world: &World, number: u64, text: &str) -> CommentView {
    world
        .until(&format!("an answer on #{number} says {text:?}"), async || {
            replies(world, number).into_iter().find(|reply| reply.body.contains(text))
        })
        .await
}

fn requests(world: &World) -> Api<Request> {
    Api::namespaced(world.stage.admin.clone(), NAMESPACE)
}

pub(crate) async fn all_requests(world: &World) -> Vec<Request> {
    requests(world).list(&ListParams::default()).await.expect("a list").items
}

async fn want(world: &World, number: u64) -> Want {
    world.record(number).await.expect("a record").spec.want
}

#[tokio::test(start_paused = true)]
async fn a_command_is_seen_within_a_second_and_then_carried_out() {
    let world = World::new(1).await;
    let (number, head) = world.camp("sparks").await;
    world.sleep(Duration::from_secs(30)).await;
    let began = world.stage.clock.now();
    let down = say(&world, number, "Enough for today.\n\n/preview down\n", MAINTAINER);
    reacted(&world, number, down, "eyes").await;
    let took = world.stage.clock.now() - began;
    assert!(took < chrono::Duration::seconds(1), "{took}");
    reacted(&world, number, down, "rocket").await;
    world.gone(number).await;
    assert_eq!(want(&world, number).await, Want::Down);
    world.told(number, "### Preview is switched off").await;
    // It stays down, whatever is pushed, until somebody says otherwise.
    world.push("sparks", &one("CHANGES.md", "more"));
    world.sleep(SWEEP).await;
    assert!(world.namespace(number).await.is_none());
    done(&world, number, "/PREVIEW Up", MAINTAINER).await;
    let head_now = world.stage.github.head(REPOSITORY, "sparks").expect("a head");
    assert_ne!(head, head_now);
    world.ready(number, &head_now).await;
    assert_eq!(replies(&world, number), [], "what went well needs no words");
}

#[tokio::test(start_paused = true)]
async fn the_p95_of_the_acknowledgement_is_below_a_second() {
    let world = World::new(2).await;
    let (number, _) = world.camp("sparks").await;
    let mut took = Vec::new();
    for n in 0..40 {
        world.sleep(Duration::from_secs(20)).await;
        let began = world.stage.clock.now();
        let text = if n % 2 == 0 { "/preview pin" } else { "/preview unpin" };
        let id = say(&world, number, text, MAINTAINER);
        reacted(&world, number, id, "eyes").await;
        took.push((world.stage.clock.now() - began).num_milliseconds());
    }
    took.sort_unstable();
    assert!(took[37] < 1000, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn each_command_writes_what_it_says_into_the_record() {
    let world = World::new(3).await;
    let (number, _) = world.camp("sparks").await;
    let spec = async || world.record(number).await.expect("a record").spec;
    let before = world.status(number).await.expect("a status").expires_at.expect("an end");
    done(&world, number, "/preview extend 10h", MAINTAINER).await;
    let until = spec().await.lifetime.until.expect("a wish");
    assert_eq!((until.0 - before.0).num_hours(), 10);
    // Never longer than the policy lets it.
    done(&world, number, "/preview extend 900d", MAINTAINER).await;
    let since = world.status(number).await.expect("a status").camp_since.expect("a beginning");
    assert_eq!((spec().await.lifetime.until.expect("a wish").0 - since.0).num_days(), 14);
    done(&world, number, "/preview pin", MAINTAINER).await;
    assert!(spec().await.lifetime.pinned);
    done(&world, number, "/preview unpin", MAINTAINER).await;
    assert!(!spec().await.lifetime.pinned);
    done(&world, number, "/preview sleep", MAINTAINER).await;
    assert_eq!(spec().await.power, Power::Asleep);
    done(&world, number, "/preview wake", MAINTAINER).await;
    assert_eq!(spec().await.power, Power::Awake);
    // The preview file knows no such parameters: it is refused, and told in the one comment.
    done(&world, number, "/preview set colour=\"dark red\" size=2", MAINTAINER).await;
    assert_eq!(spec().await.parameters["colour"], "dark red");
    world.told(number, "### Preview is refused").await;
    done(&world, number, "/preview unset colour size", MAINTAINER).await;
    assert!(spec().await.parameters.is_empty());
    world.told(number, "### Preview is ready").await;
    refused(&world, number, "/preview unset colour", MAINTAINER).await;
}

#[tokio::test(start_paused = true)]
async fn several_commands_of_a_comment_are_carried_out_in_their_order() {
    let world = World::new(4).await;
    let (number, _) = world.camp("sparks").await;
    let text =
        "/preview pin\nand then\n/preview unpin\n/preview sleep\n/preview wake\n/preview pin\n";
    let id = say(&world, number, text, MAINTAINER);
    world
        .until("all are answered", async || {
            let all = all_requests(&world).await;
            let done = |r: &Request| r.status.as_ref().is_some_and(|s| s.told);
            (all.len() == 5 && all.iter().all(done)).then_some(())
        })
        .await;
    let mut all = all_requests(&world).await;
    all.sort_by_key(|r| r.status.as_ref().and_then(|s| s.answered_at));
    let names: Vec<_> = all.iter().filter_map(|r| r.metadata.name.clone()).collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, (1..=5).map(|n| format!("comment-{id}-{n}")).collect::<Vec<_>>());
    let spec = world.record(number).await.expect("a record").spec;
    assert!(spec.lifetime.pinned && spec.power == Power::Awake);
}

#[tokio::test(start_paused = true)]
async fn an_edit_a_deletion_a_quote_and_code_never_act() {
    let world = World::new(5).await;
    let github = &world.stage.github;
    let (number, _) = world.camp("sparks").await;
    let harmless = say(&world, number, "Looks good", MAINTAINER);
    // GitHub tells an edit by its time, in whole seconds.
    world.sleep(Duration::from_secs(1)).await;
    github.edit_comment(REPOSITORY, harmless, "/preview down", MAINTAINER).expect("an edit");
    for text in [
        "> /preview down",
        "```\n/preview down\n```",
        "    /preview down",
        "<!--\n/preview down\n-->",
        "please `/preview down`",
        "try /preview down",
        "/previews down",
        "> she said\n/preview down",
    ] {
        say(&world, number, text, MAINTAINER);
    }
    let gone = say(&world, number, "Bye", MAINTAINER);
    github.delete_comment(REPOSITORY, gone, MAINTAINER).expect("a deletion");
    world.sleep(SWEEP * 2).await;
    assert_eq!(all_requests(&world).await, []);
    assert!(world.namespace(number).await.is_some());
    // A comment of an issue is nothing either.
    let issue = github.open_issue(REPOSITORY, "An issue", MAINTAINER).expect("an issue");
    say(&world, issue, "/preview down", MAINTAINER);
    world.sleep(SWEEP).await;
    assert_eq!(all_requests(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_told_twice_is_carried_out_once() {
    let world = World::new(6).await;
    let (number, _) = world.camp("sparks").await;
    done(&world, number, "/preview extend 1h", MAINTAINER).await;
    let until = world.record(number).await.expect("a record").spec.lifetime.until;
    let all = world.stage.github.deliveries(world.stage.hook);
    let told = all.iter().filter(|d| d.event == "issue_comment").map(|d| d.id);
    for delivery in told.collect::<Vec<_>>() {
        world.stage.github.redeliver(delivery).expect("a redelivery");
    }
    world.sleep(Duration::from_secs(60)).await;
    assert_eq!(world.record(number).await.expect("a record").spec.lifetime.until, until);
}

#[tokio::test(start_paused = true)]
async fn a_death_between_the_deed_and_the_answer_repeats_neither() {
    for wait in [0, 5, 40, 200, 400, 900, 1500] {
        let mut world = World::new(7).await;
        let (number, _) = world.camp("sparks").await;
        let before = world.status(number).await.expect("a status").expires_at.expect("an end");
        let id = say(&world, number, "/preview extend 1h\n/preview nonsense", MAINTAINER);
        world
            .until("it is in the record", async || {
                world.record(number).await?.spec.lifetime.until.map(|_| ())
            })
            .await;
        world.sleep(Duration::from_millis(wait)).await;
        world.stage.kill_service().await;
        world.sleep(Duration::from_secs(20)).await;
        world.stage.start_service().expect("a start");
        reacted(&world, number, id, "rocket").await;
        answered(&world, number, "there is no command `nonsense`").await;
        world.sleep(Duration::from_secs(60)).await;
        let until = world.record(number).await.expect("a record").spec.lifetime.until;
        assert_eq!((until.expect("a wish").0 - before.0).num_hours(), 1, "after {wait} ms");
        assert_eq!(replies(&world, number).len(), 1, "after {wait} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deed_that_the_record_remembers_is_not_done_again() {
    let world = World::new(30).await;
    let (number, _) = world.camp("sparks").await;
    done(&world, number, "/preview extend 1h", MAINTAINER).await;
    let until = world.record(number).await.expect("a record").spec.lifetime.until;
    // The same once more, as a process leaves it that dies between the deed and the answer.
    let spec = all_requests(&world).await.remove(0).spec;
    let name = format!("{NAME}-pr-{number}");
    let done_by = json!({"metadata": {"annotations": {"bivouac.dev/request": "again"}}});
    let records = world.stage.environments();
    records.patch(&name, &PatchParams::default(), &Patch::Merge(done_by)).await.expect("patched");
    let again = Request::new("again", spec);
    requests(&world).create(&kube::api::PostParams::default(), &again).await.expect("made");
    let state = world
        .until("it is answered", async || {
            let found = requests(&world).get_opt("again").await.expect("an answer")?;
            found.status.map(|status| status.state).filter(|s| *s != RequestState::Pending)
        })
        .await;
    assert_eq!(state, RequestState::Done);
    assert_eq!(world.record(number).await.expect("a record").spec.lifetime.until, until);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_is_told_so_and_nothing_happens() {
    let world = World::new(8).await;
    let (number, head) = world.camp("sparks").await;
    refused(&world, number, "/preview down", STRANGER).await;
    let reply = answered(&world, number, "`down` is for").await;
    assert!(reply.body.contains("write, or author of the pull request"), "{}", reply.body);
    assert!(reply.body.contains("`sam` has: read"), "{}", reply.body);
    world.ready(number, &head).await;
    assert_eq!(want(&world, number).await, Want::Auto);
    // The same person, once she may.
    let github = &world.stage.github;
    github.add_collaborator(REPOSITORY, STRANGER, Role::Write).expect("a right");
    done(&world, number, "/preview down", STRANGER).await;
    world.gone(number).await;
}

#[tokio::test(start_paused = true)]
async fn somebody_who_has_a_login_by_now_is_not_who_had_it() {
    let world = World::new(9).await;
    let (number, _) = world.camp("sparks").await;
    // A Request that an entrance wrote for an account that had this login.
    let request: Request = serde_json::from_value(json!({
        "apiVersion": "bivouac.dev/v1alpha1",
        "kind": "Request",
        "metadata": {"name": "ui-1", "namespace": NAMESPACE},
        "spec": {
            "environment": format!("{NAME}-pr-{number}"), "verb": "down",
            "from": {"kind": "dashboard"}, "by": {"login": MAINTAINER, "id": 7},
            "at": world.stage.clock.now(),
        },
    }))
    .expect("a Request");
    requests(&world).create(&kube::api::PostParams::default(), &request).await.expect("made");
    let state = world
        .until("it is answered", async || {
            let found = requests(&world).get_opt("ui-1").await.expect("an answer")?;
            found.status.map(|status| status.state).filter(|s| *s != RequestState::Pending)
        })
        .await;
    assert_eq!(state, RequestState::Refused);
    assert!(world.namespace(number).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_repository_may_say_who_may_and_how_it_is_spelled() {
    let world = World::new(10).await;
    let github = &world.stage.github;
    let (number, _) = world.camp("sparks").await;
    with_role(&world, "wen", Role::Write);
    let (organisation, _) = REPOSITORY.split_once('/').expect("owner and name");
    github.add_to_team(organisation, "on-call", &[STRANGER, BOT]).expect("a team");
    world
        .policy(json!({"commands": {
            "prefix": "/env",
            "verbs": {"down": "team:on-call", "pin": "read", "extend": "nobody"},
        }}))
        .await;
    world.sleep(Duration::from_secs(5)).await;
    say(&world, number, "/preview down", MAINTAINER);
    refused(&world, number, "/env down", "wen").await;
    refused(&world, number, "/env extend", MAINTAINER).await;
    done(&world, number, "/env pin", STRANGER).await;
    assert!(world.namespace(number).await.is_some());
    done(&world, number, "/env down", STRANGER).await;
    world.gone(number).await;
    // A word that is no command is refused with the whole policy.
    world.policy(json!({"commands": {"verbs": {"fly": "read"}}})).await;
    let api: Api<bivouac::crd::Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    world
        .until("the policy is refused", async || {
            let status = api.get(NAME).await.expect("a Repository").status?;
            status.conditions.iter().any(|c| c.message.contains("\"fly\"")).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn bots_are_not_listened_to_unless_they_are_listed() {
    let world = World::new(11).await;
    let github = &world.stage.github;
    let (number, _) = world.camp("sparks").await;
    github.create_bot("helper[bot]").expect("a bot");
    github.add_collaborator(REPOSITORY, "helper[bot]", Role::Write).expect("a right");
    say(&world, number, "/preview down", "helper[bot]");
    // Nor is what we write ourselves.
    say(&world, number, "/preview down", BOT);
    world.sleep(SWEEP * 2).await;
    assert!(world.namespace(number).await.is_some());
    assert_eq!(replies(&world, number), []);
    // Nor by another entrance.
    let request: Request = serde_json::from_value(json!({
        "apiVersion": "bivouac.dev/v1alpha1",
        "kind": "Request",
        "metadata": {"name": "ui-2", "namespace": NAMESPACE},
        "spec": {
            "environment": format!("{NAME}-pr-{number}"), "verb": "down",
            "from": {"kind": "dashboard"}, "by": {"login": "helper[bot]", "id": 7, "bot": true},
            "at": world.stage.clock.now(),
        },
    }))
    .expect("a Request");
    requests(&world).create(&kube::api::PostParams::default(), &request).await.expect("made");
    let why = world
        .until("it is answered", async || {
            let found = requests(&world).get_opt("ui-2").await.expect("an answer")?;
            found.status.and_then(|status| status.message)
        })
        .await;
    assert_eq!(why, "bots give no commands, unless `commands.bots` lists them");
    world.policy(json!({"commands": {"bots": ["helper[bot]"]}})).await;
    world.sleep(Duration::from_secs(5)).await;
    done(&world, number, "/preview down", "helper[bot]").await;
    world.gone(number).await;
}

#[tokio::test(start_paused = true)]
async fn questions_are_answered_and_older_answers_folded_up() {
    let world = World::new(12).await;
    let (number, head) = world.camp("sparks").await;
    let second = world.push("sparks", &one("deploy/preview/page.yaml.hbs", PAGE));
    world.ready(number, &second).await;
    let url = world.status(number).await.expect("a status").urls[0].url.clone();
    say(&world, number, "/preview status", MAINTAINER);
    let status = answered(&world, number, "* State: Ready").await;
    assert!(status.body.contains(&url) && status.body.contains(&second[..7]), "{}", status.body);
    world.sleep(Duration::from_secs(3600)).await;
    say(&world, number, "/preview why", MAINTAINER);
    let why = answered(&world, number, "select: the policy takes it").await;
    world.sleep(Duration::from_secs(3600)).await;
    say(&world, number, "/preview diff", MAINTAINER);
    let diff =
        answered(&world, number, &format!("From `{}` to `{}`", &head[..7], &second[..7])).await;
    assert!(diff.body.contains("ConfigMap"), "{}", diff.body);
    world.sleep(Duration::from_secs(3600)).await;
    say(&world, number, "/preview logs web --tail 5", MAINTAINER);
    let logs = answered(&world, number, "web-").await;
    world.sleep(Duration::from_secs(3600)).await;
    say(&world, number, "/preview", MAINTAINER);
    let help = answered(&world, number, "| `/preview logs [app] [--tail n]` |").await;
    world
        .until("all but the last are folded up", async || {
            let folded: Vec<_> =
                replies(&world, number).into_iter().filter(|r| r.minimized).map(|r| r.id).collect();
            (folded == [status.id, why.id, diff.id, logs.id]).then_some(())
        })
        .await;
    assert!(!comment(&world, number, help.id).minimized);
    let one = world.stage.github.comments(REPOSITORY, number).expect("comments");
    let others = one.iter().filter(|c| !c.body.starts_with(REPLY) && c.minimized);
    assert_eq!(others.count(), 0, "nothing else is folded up");
}

const PAGE: &str = "apiVersion: v1
kind: ConfigMap
metadata:
  name: page
data:
  index.html: |
    <p>other {{commit.sha}}</p>
";

#[tokio::test(start_paused = true)]
async fn on_a_public_repository_a_person_has_two_answers_an_hour() {
    let world = World::new(13).await;
    let (number, _) = world.camp("sparks").await;
    let are = async |count: usize| {
        world
            .until(&format!("there are {count} answers"), async || {
                (replies(&world, number).len() == count).then_some(())
            })
            .await;
    };
    for count in 1..=2 {
        done(&world, number, "/preview status", STRANGER).await;
        are(count).await;
    }
    let third = say(&world, number, "/preview why", STRANGER);
    reacted(&world, number, third, "confused").await;
    world.sleep(Duration::from_secs(60)).await;
    are(2).await;
    // Another person is another person, and an hour later it is another hour.
    done(&world, number, "/preview status", MAINTAINER).await;
    are(3).await;
    world.sleep(Duration::from_secs(3700)).await;
    done(&world, number, "/preview status", STRANGER).await;
    are(4).await;
}

#[tokio::test(start_paused = true)]
async fn a_word_that_is_no_command_is_answered_with_the_one_that_was_meant() {
    let world = World::new(14).await;
    let (number, _) = world.camp("sparks").await;
    refused(&world, number, "/preview dwon", MAINTAINER).await;
    answered(&world, number, "there is no command `dwon`; did you mean `down`?").await;
    refused(&world, number, "/preview extend soon", MAINTAINER).await;
    answered(&world, number, "`soon` is no time").await;
    refused(&world, number, "/preview set a=\"b", MAINTAINER).await;
    answered(&world, number, "a quotation mark has no partner").await;
    refused(&world, number, "/preview @everyone<!--x", MAINTAINER).await;
    let reply = answered(&world, number, "`@everyone`").await;
    assert!(
        !reply.body.replace("`@everyone`", "").replace("`/preview @everyone`", "").contains('@')
    );
    assert!(world.namespace(number).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lost_comment_is_no_lost_command() {
    let world = World::new(15).await;
    let (number, head) = world.camp("sparks").await;
    world.lose_webhooks(true);
    let down = say(&world, number, "/preview down", MAINTAINER);
    world.gone(number).await;
    reacted(&world, number, down, "rocket").await;
    // Changed before anybody saw it: nobody knows whose words these are.
    let edited = say(&world, number, "/preview pin", MAINTAINER);
    world.sleep(Duration::from_secs(2)).await;
    let github = &world.stage.github;
    github.edit_comment(REPOSITORY, edited, "/preview up", MAINTAINER).expect("an edit");
    world.sleep(SWEEP).await;
    let spec = world.record(number).await.expect("a record").spec;
    assert!(spec.want == Want::Down && !spec.lifetime.pinned);
    assert_eq!(comment(&world, number, edited).reactions, Vec::<String>::new());
    let up = say(&world, number, "/preview up", MAINTAINER);
    reacted(&world, number, up, "rocket").await;
    world.ready(number, &head).await;
    // It costs nothing while nobody writes.
    world.sleep(SWEEP * 2).await;
    let since = world.stage.clock.now();
    let asked = world.stage.github.requests().len();
    world.sleep(SWEEP * 3).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new());
    let cost = world.stage.github.requests().into_iter().skip(asked);
    let cost: Vec<_> = cost.filter(|r| r.user.as_deref() == Some(BOT) && r.status != 304).collect();
    assert_eq!(cost, []);
}

#[tokio::test(start_paused = true)]
async fn what_is_seen_late_is_not_done_but_asked_for_again() {
    let mut world = World::new(16).await;
    let (number, head) = world.camp("sparks").await;
    world.stage.stop_replica(FIRST).await;
    let late = say(&world, number, "/preview down", MAINTAINER);
    world.sleep(Duration::from_secs(31 * 60)).await;
    let fresh = say(&world, number, "/preview pin", MAINTAINER);
    world.stage.start_service().expect("a start");
    reacted(&world, number, late, "confused").await;
    answered(&world, number, "this was seen late").await;
    reacted(&world, number, fresh, "rocket").await;
    world.ready(number, &head).await;
    // Once, however often the sweep comes by.
    world.sleep(SWEEP * 4).await;
    assert_eq!(replies(&world, number).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_day_later_nothing_is_left_of_a_command_and_it_does_not_come_back() {
    let world = World::new(17).await;
    let (number, _) = world.camp("sparks").await;
    done(&world, number, "/preview pin", MAINTAINER).await;
    assert_eq!(all_requests(&world).await.len(), 1);
    world.sleep(Duration::from_secs(25 * 3600)).await;
    assert_eq!(all_requests(&world).await, []);
    done(&world, number, "/preview unpin", MAINTAINER).await;
    let names: Vec<_> = all_requests(&world).await.into_iter().map(|r| r.spec.verb).collect();
    assert_eq!(names, ["unpin"]);
    // With its record a Request goes at once.
    world.close(number);
    world.closed(number).await;
    world
        .within(Duration::from_secs(30 * 3600), "the record is forgotten", async || {
            world.record(number).await.is_none().then_some(())
        })
        .await;
    assert_eq!(all_requests(&world).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_closed_pull_request_answers_three_words_only() {
    let world = World::new(18).await;
    let (number, _) = world.camp("sparks").await;
    world.close(number);
    world.closed(number).await;
    for verb in ["up", "redeploy", "extend", "pin", "approve", "help", "logs"] {
        refused(&world, number, &format!("/preview {verb}"), MAINTAINER).await;
    }
    done(&world, number, "/preview status", MAINTAINER).await;
    done(&world, number, "/preview why", MAINTAINER).await;
    done(&world, number, "/preview down", MAINTAINER).await;
}

async fn pods(world: &World, number: u64) -> Vec<String> {
    let namespace = world.stage.namespace_of(number);
    let api: Api<Pod> = Api::namespaced(world.stage.admin.clone(), &namespace);
    let found = api.list(&ListParams::default()).await.expect("a list").items;
    let mut uids: Vec<_> = found.into_iter().filter_map(|pod| pod.metadata.uid).collect();
    uids.sort();
    uids
}

#[tokio::test(start_paused = true)]
async fn a_redeploy_renders_and_applies_the_same_commit_again() {
    let world = World::new(19).await;
    let (number, head) = world.camp("sparks").await;
    let before = world.status(number).await.expect("a status");
    let old = pods(&world, number).await;
    done(&world, number, "/preview redeploy", MAINTAINER).await;
    world
        .until("it was rendered again", async || {
            let now = world.status(number).await?;
            (now.inputs_digest != before.inputs_digest && now.holds("Ready")).then_some(())
        })
        .await;
    let now = world.status(number).await.expect("a status");
    assert_eq!((&now.digest, &now.revision), (&before.digest, &Some(head.clone())));
    assert_eq!(pods(&world, number).await, old, "nobody asked for other pods");
    done(&world, number, "/preview redeploy --restart", MAINTAINER).await;
    world
        .until("the pods are others", async || {
            let now = pods(&world, number).await;
            let others = now.len() == old.len() && now.iter().all(|uid| !old.contains(uid));
            (others && world.status(number).await?.holds("Ready")).then_some(())
        })
        .await;
    // And they stay: it was asked for once.
    let restarted = pods(&world, number).await;
    world.sleep(SWEEP * 2).await;
    assert_eq!(pods(&world, number).await, restarted);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_holds_until_the_next_push() {
    let world = World::new(20).await;
    let (number, first) = world.camp("sparks").await;
    let second = world.push("sparks", &one("CHANGES.md", "more"));
    world.ready(number, &second).await;
    refused(&world, number, "/preview rollback feedf00", MAINTAINER).await;
    answered(&world, number, "never ran here; these did").await;
    done(&world, number, "/preview rollback", MAINTAINER).await;
    world.ready(number, &first).await;
    done(&world, number, &format!("/preview rollback {}", &second[..8]), MAINTAINER).await;
    world.ready(number, &second).await;
    done(&world, number, &format!("/preview rollback {}", &first[..8]), MAINTAINER).await;
    world.ready(number, &first).await;
    let third = world.push("sparks", &one("CHANGES.md", "even more"));
    world.ready(number, &third).await;
}

#[tokio::test(start_paused = true)]
async fn questions_and_extensions_during_an_apply_do_not_disturb_it() {
    let writes = async |words: bool| {
        let world = World::new(21).await;
        let (number, _) = world.camp("sparks").await;
        world.sleep(Duration::from_secs(30)).await;
        let since = world.stage.clock.now();
        world.stage.github.set_latency(Duration::from_millis(40));
        let second = world.push("sparks", &one("CHANGES.md", "more"));
        if words {
            for text in ["/preview status", "/preview why", "/preview extend 1h", "/preview pin"] {
                say(&world, number, text, MAINTAINER);
                world.sleep(Duration::from_millis(7)).await;
            }
        }
        world.ready(number, &second).await;
        let namespace = world.stage.namespace_of(number);
        let mut sent: Vec<String> = world
            .writes_since(since)
            .into_iter()
            .filter(|e| e.uri.contains(&namespace) && e.impersonated.is_some())
            .map(|e| format!("{} {}", e.verb, e.uri))
            .collect();
        sent.sort();
        sent
    };
    let (quiet, asked) = (writes(false).await, writes(true).await);
    assert!(!quiet.is_empty());
    assert_eq!(quiet, asked);
}

#[tokio::test(start_paused = true)]
async fn a_button_of_the_check_does_what_it_says_with_the_rights_of_who_presses_it() {
    let (world, _) = as_an_app_with(22, WITH_CHECKS).await;
    // The App hears of its buttons.
    let github = &world.stage.github;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let run = world
        .until("the check has its buttons", async || {
            let all = github.check_runs(REPOSITORY).expect("runs");
            all.into_iter()
                .find(|run| run.sha == head && run.conclusion.as_deref() == Some("success"))
        })
        .await;
    assert_eq!(
        run.actions,
        [format!("redeploy:{number}"), format!("extend:{number}"), format!("destroy:{number}")]
    );
    github.press(REPOSITORY, run.id, &format!("destroy:{number}"), STRANGER).expect("pressed");
    world
        .until("it is refused", async || {
            let all = all_requests(&world).await;
            let refused =
                |r: &Request| r.status.as_ref().is_some_and(|s| s.state == RequestState::Refused);
            all.iter().any(refused).then_some(())
        })
        .await;
    assert!(world.namespace(number).await.is_some());
    github.press(REPOSITORY, run.id, &format!("extend:{number}"), MAINTAINER).expect("pressed");
    world
        .until("it lives longer", async || {
            world.record(number).await?.spec.lifetime.until.map(|_| ())
        })
        .await;
    github.press(REPOSITORY, run.id, &format!("destroy:{number}"), MAINTAINER).expect("pressed");
    world.gone(number).await;
}

#[test]
fn the_documentation_has_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");
    let text = std::fs::read_to_string(path).expect("docs/commands.md");
    let (begin, end) = ("<!-- table -->\n", "<!-- end of table -->\n");
    let (before, rest) = text.split_once(begin).expect("the beginning of the table");
    let (there, after) = rest.split_once(end).expect("its end");
    let now =
        bivouac::domain::command::table("/preview", &bivouac::domain::command::Rules::default());
    if std::env::var_os("BIVOUAC_REGENERATE").is_some() {
        let text = format!("{before}{begin}{now}{end}{after}");
        std::fs::write(path, text).expect("docs can be written");
    } else {
        assert_eq!(
            there, now,
            "docs/commands.md is stale: run this test with BIVOUAC_REGENERATE=1"
        );
    }
}
