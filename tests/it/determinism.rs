//! The same seed gives the same run, byte for byte.

use std::fmt::Write as _;

use bivouac::app::stage::{MAINTAINER, REPOSITORY, STRANGER};
use bivouac::crd::Phase;
use chrono::SecondsFormat;
use serde_json::json;

use crate::support::{SWEEP, World, internet_sockets, one, threads_of_this_test};

/// A Service that the guard refuses, as somebody might write it in good faith.
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

/// Three pull requests, one of them from a fork, from their opening to their end and one sweep longer. Gives every
/// request that the API server and the forge answered, with its virtual time, and the threads that were seen.
async fn a_life(seed: u64) -> String {
    let threads = threads_of_this_test();
    let world = World::new(seed).await;
    let github = &world.stage.github;

    let (first, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let (second, other) = world.open("kettle", &one("CHANGES.md", "kettle"));
    github.fork(REPOSITORY, STRANGER).expect("a fork");
    let fork = format!("{STRANGER}/campfire");
    let embers = one("CHANGES.md", "embers");
    let strange =
        github.commit(&fork, "embers", &embers, "Add embers\n", STRANGER).expect("a commit");
    let third = world.propose(&format!("{STRANGER}:embers"), "Add embers", STRANGER);
    world.ready(first, &head).await;
    world.ready(second, &other).await;
    world.told(third, "waits for approval").await;
    assert_eq!(threads_of_this_test(), threads, "no thread is started");

    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.push("kettle", &one("deploy/preview/open.yaml", OPEN_TO_ALL));
    world.ready(first, &head).await;
    world.told(second, "BV005").await;

    let base = github.pull_request(REPOSITORY, third).expect("a pull request").base;
    let at = world.stage.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let approval = json!({"revision": strange, "base": base, "by": MAINTAINER, "at": at});
    world.ask(third, json!({ "approved": approval })).await;
    world.ready(third, &strange).await;
    let hotter = one("CHANGES.md", "hotter embers");
    let next = github.push(&fork, "embers", &hotter, STRANGER).expect("a push");
    world.told(third, &next).await;
    world.gone(third).await;
    assert_eq!(threads_of_this_test(), threads, "no thread is started");

    for number in [first, second, third] {
        world.close(number);
    }
    for number in [first, second, third] {
        world.closed(number).await;
        let status = world.status(number).await.expect("a status");
        assert_eq!(status.phase, Some(Phase::Closed), "#{number}");
    }
    world.sleep(SWEEP).await;
    assert_eq!(threads_of_this_test(), threads, "no thread is started");
    assert_eq!(internet_sockets(), Vec::<String>::new(), "no socket is opened");

    let time = |at: &chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Nanos, true);
    let mut list = String::new();
    for event in world.stage.cluster.audit() {
        let who = event.impersonated.as_deref().unwrap_or(&event.user);
        let _ =
            writeln!(list, "{} {who} {} {} {}", time(&event.at), event.verb, event.uri, event.code);
    }
    for request in github.requests() {
        let who = request.user.as_deref().unwrap_or("-");
        let (method, path, status) = (&request.method, &request.path, request.status);
        let _ = writeln!(list, "{} {who} {method} {path} {status}", time(&request.at));
    }
    world.stage.end().await;
    list
}

/// The first line that differs, with those before it.
fn first_difference(one: &str, two: &str) -> Option<String> {
    let (one, two): (Vec<_>, Vec<_>) = (one.lines().collect(), two.lines().collect());
    let at = (0..one.len().max(two.len())).find(|at| one.get(*at) != two.get(*at))?;
    let before = one.get(at.saturating_sub(8)..at).unwrap_or_default().join("\n");
    let after =
        |lines: &[&str]| lines.get(at..(at + 5).min(lines.len())).unwrap_or_default().join("\n");
    Some(format!(
        "line {at} of {} and {}\n{before}\n--- one\n{}\n--- two\n{}",
        one.len(),
        two.len(),
        after(&one),
        after(&two)
    ))
}

/// A life in a runtime of its own, which can have neither sockets nor child processes: its I/O driver is not there.
fn lived(seed: u64) -> String {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(a_life(seed))
}

#[test]
fn a_life_of_three_pull_requests_is_the_same_twice() {
    let (one, two) = (lived(7), lived(7));
    assert!(one.lines().count() > 500, "the lists hold the life:\n{one}");
    assert_eq!(first_difference(&one, &two), None, "the same seed gives the same requests");
    let other = lived(8);
    assert!(first_difference(&one, &other).is_some(), "another seed is another life");
}
