//! What GitHub publishes about itself: the description of its API, and examples of every event.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, REPOSITORY, STRANGER};
use bivouac::domain::event::{Delivery, Event, parse};
use bivouac::sandbox::github::Exchange;
use serde_json::{Value, json};

use crate::support::openapi::judge;
use crate::support::{SWEEP, World, one};

/// What is read of a payload.
const READ: &[&str] = &[
    "action",
    "number",
    "pull_request",
    "repository",
    "ref",
    "ref_type",
    "installation",
    "repositories",
    "repositories_added",
    "repositories_removed",
    "issue",
    "comment",
    "check_run",
    "requested_action",
    "sender",
];
/// Where the examples are: `api.github.com/index.json` of npm's `@octokit/webhooks-examples`.
const EXAMPLES: &str = "BIVOUAC_WEBHOOK_EXAMPLES";

#[tokio::test(start_paused = true)]
#[expect(clippy::print_stderr, reason = "it shows what was judged")]
async fn every_request_and_every_answer_of_a_life_is_as_github_describes_it() {
    let Some(judge) = judge("a life as GitHub describes it") else { return };
    let world = World::new(1).await;
    world.policy(json!({"source": {"at": "Merge"}})).await;
    let github = &world.stage.github;
    let (number, _) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world
        .until("it is ready", async || world.status(number).await?.holds("Ready").then_some(()))
        .await;
    github.label(REPOSITORY, number, "urgent", MAINTAINER).expect("a label");
    github.comment(REPOSITORY, number, "/preview extend", STRANGER).expect("a comment");
    github.comment(REPOSITORY, number, "/preview status", MAINTAINER).expect("a comment");
    github.label(REPOSITORY, number, "preview/keep", MAINTAINER).expect("a label");
    world.push("sparks", &one("CHANGES.md", "more sparks"));
    // One sweep reads what was said, the next from there on, and another that it is still so.
    world.sleep(SWEEP * 3).await;
    github.rename_repository(REPOSITORY, "bonfire", MAINTAINER).expect("a name");
    world.sleep(SWEEP).await;
    github.rename_repository("acme/bonfire", "campfire", MAINTAINER).expect("a name");
    world.close(number);
    world.closed(number).await;
    world.sleep(Duration::from_secs(60)).await;
    let verdict = judge.all(&github.take_exchanges());
    for (operation, count) in &verdict.operations {
        eprintln!("{count:>5}  {operation}");
    }
    assert_eq!(verdict.violations, std::collections::BTreeSet::new());
    for operation in [
        "GET /repos/{owner}/{repo} 200",
        "GET /repos/{owner}/{repo} 301",
        "GET /repos/{owner}/{repo}/pulls 200",
        "GET /repos/{owner}/{repo}/pulls 304",
        "GET /repos/{owner}/{repo}/pulls/{pull_number} 200",
        "GET /repos/{owner}/{repo}/git/ref/{ref} 200",
        "GET /repos/{owner}/{repo}/issues/{issue_number}/comments 200",
        "POST /repos/{owner}/{repo}/issues/{issue_number}/comments 201",
        "PATCH /repos/{owner}/{repo}/issues/comments/{comment_id} 200",
        "GET /user 200",
        "POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions 201",
        "GET /repos/{owner}/{repo}/issues/{issue_number}/timeline 200",
        "GET /repos/{owner}/{repo}/issues/comments 200",
        "GET /repos/{owner}/{repo}/issues/comments 304",
        "GET /repos/{owner}/{repo}/collaborators/{username}/permission 200",
    ] {
        assert!(verdict.operations.contains_key(operation), "{operation} was not asked for");
    }
}

#[test]
fn the_judge_finds_what_is_not_as_described() {
    let Some(judge) = judge("the judge's own test") else { return };
    let comments = "/repos/acme/shop/issues/7/comments";
    let good = || {
        Exchange {
        method: "POST".into(),
        path: comments.into(),
        query: String::new(),
        body: r#"{"body": "hello"}"#.into(),
        status: 422,
        answer: r#"{"message": "Validation Failed", "documentation_url": "https://docs.github.com/rest"}"#.into(),
        fault: false,
    }
    };
    let found =
        |exchange: Exchange| judge.all(&[exchange]).violations.into_iter().collect::<Vec<_>>();
    assert_eq!(found(good()), Vec::<String>::new());
    let get = || Exchange {
        method: "GET".into(),
        body: "".into(),
        status: 200,
        answer: "[]".into(),
        ..good()
    };
    assert_eq!(found(get()), Vec::<String>::new());
    for (why, exchange) in [
        ("no such path", Exchange { path: "/repos/acme/shop/isues/7/comments".into(), ..get() }),
        ("no such method", Exchange { method: "PUT".into(), ..good() }),
        ("path parameter issue_number", Exchange { path: comments.replace('7', "seven"), ..get() }),
        ("no query parameter perpage", Exchange { query: "perpage=100".into(), ..get() }),
        ("query parameter per_page", Exchange { query: "per_page=all".into(), ..get() }),
        ("query parameter since", Exchange { query: "since=yesterday".into(), ..get() }),
        ("a body is missing", Exchange { body: "".into(), ..good() }),
        ("\"body\" is a required property", Exchange { body: "{}".into(), ..good() }),
        ("body at \"/body\"", Exchange { body: r#"{"body": 7}"#.into(), ..good() }),
        ("no field boddy", Exchange { body: r#"{"body": "a", "boddy": "b"}"#.into(), ..good() }),
        ("a body where none is described", Exchange { body: "{}".into(), ..get() }),
        ("answer at \"\"", Exchange { answer: "{}".into(), ..get() }),
        ("answer at \"/0\"", Exchange { answer: "[{}]".into(), ..get() }),
        ("an answer is missing", Exchange { answer: "".into(), ..get() }),
        ("no such status", Exchange { status: 200, ..good() }),
    ] {
        let found = found(exchange.clone());
        assert!(found.iter().any(|violation| violation.contains(why)), "{why}: {found:?}");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is not run says why")]
fn every_published_example_of_an_event_is_read_and_each_decision_is_known() {
    let Some(file) = std::env::var_os(EXAMPLES) else {
        eprintln!("examples of events: not run, because {EXAMPLES} is not set");
        return;
    };
    let text = std::fs::read(&file).expect("the examples");
    let all: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
    let mut table = String::new();
    for event in &all {
        let name = event["name"].as_str().expect("a name");
        for (index, example) in event["examples"].as_array().expect("examples").iter().enumerate() {
            let action = example["action"].as_str().unwrap_or("-");
            let decision = decision(name, example);
            writeln!(table, "{name} {index} {action}: {decision}").expect("a text");
            // The same with each part of it missing: an answer, and never a panic.
            let fields = example.as_object().expect("an object").keys();
            for field in fields.filter(|field| READ.contains(&field.as_str())) {
                for instead in [Value::Null, json!([]), json!({}), json!("x"), json!(-1)] {
                    let mut broken = example.clone();
                    broken[field] = instead;
                    let _ = parse(name, broken.to_string().as_bytes());
                }
            }
        }
    }
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events.txt");
    if std::env::var_os("BIVOUAC_REGENERATE").is_some() {
        std::fs::write(&golden, &table).expect("the golden file can be written");
    }
    let stored = std::fs::read_to_string(&golden).expect("the golden file");
    assert_eq!(table, stored, "BIVOUAC_REGENERATE=1 writes the golden file anew");
}

fn decision(name: &str, example: &Value) -> String {
    let Delivery { repository, event } = match parse(name, example.to_string().as_bytes()) {
        Ok(delivery) => delivery,
        Err(error) => return format!("400 {error}"),
    };
    let of = repository.map_or("no repository".to_owned(), |r| format!("{} ({})", r.name, r.id));
    match event {
        Event::PullRequest { action, number } => format!("#{number} {action:?} of {of}"),
        Event::Repository => format!("look at {of}"),
        Event::Branch { name, gone } => {
            let gone = if gone { ", which is gone" } else { "" };
            format!("branch {name}{gone} of {of}, where it or merges with it are shown")
        }
        Event::Checked { revision } => format!("what waits for checks of {revision} of {of}"),
        Event::Installation { account, repositories } if repositories.is_empty() => {
            format!("look at all of {account}")
        }
        Event::Installation { account, repositories } => {
            let names = repositories.iter().map(|r| format!("{} ({})", r.name, r.id));
            format!("look at {} of {account}", names.collect::<Vec<_>>().join(", "))
        }
        Event::Comment(comment) => {
            let (id, by, lines) = (comment.id, comment.by.login, comment.text.lines().count());
            format!("comment {id} of {by} on #{}, {lines} lines, in {of}", comment.number)
        }
        Event::Button(button) => {
            format!("button {} pressed by {} in {of}", button.identifier, button.by.login)
        }
        Event::Ping => "pong".to_owned(),
        Event::Ignored { reason } => format!("ignored: {reason}"),
    }
}
