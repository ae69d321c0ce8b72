//! The gate: a sleeping preview wakes when a person's browser asks, and by nothing else; what is awake is passed on to,
//! websockets too.

use std::time::Duration;

use bivouac::app::stage::{FIRST, MAINTAINER, NAMESPACE};
use bivouac::crd::{OriginKind, Phase, Request};
use bivouac::seams::body;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::commands::{all_requests, done};
use crate::support::socket::Socket;
use crate::support::{SERVICE, World, one};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const VISIT: &str = "bivouac.dev/last-visit";

/// What was heard.
struct Heard {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Heard {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What stands in the page's form.
    fn word(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("name=\"word\" value=\"")?;
        rest.split('"').next()
    }
}

pub(crate) type Headers<'a> = &'a [(&'static str, &'a str)];

/// A browser that navigates, as it says itself.
const NAVIGATES: Headers<'static> = &[
    ("user-agent", FIREFOX),
    ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "none"),
];

async fn ask(
    world: &World,
    (method, host, path): (Method, &str, &str),
    headers: Headers<'_>,
    content: &str,
) -> Heard {
    let mut request = http::Request::new(body(content.to_owned()));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("a path");
    request.headers_mut().insert(header::HOST, host.parse().expect("a host"));
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    let answer = world.stage.send(request).await.expect("an answer");
    let (parts, content) = answer.into_parts();
    let bytes = content.collect().await.expect("a body").to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Heard { status: parts.status, headers: parts.headers, text }
}

async fn open(world: &World, host: &str, path: &str) -> Heard {
    ask(world, (Method::GET, host, path), NAVIGATES, "").await
}

/// The script of a page of this host sends its word.
async fn wake(world: &World, host: &str, origin: &str, word: &str) -> Heard {
    let headers = [
        ("user-agent", FIREFOX),
        ("accept", "application/json"),
        ("origin", origin),
        ("sec-fetch-site", "same-origin"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let form = format!("word={word}");
    ask(world, (Method::POST, host, "/.bivouac/wake"), &headers, &form).await
}

async fn host_of(world: &World, number: u64) -> String {
    world.status(number).await.expect("a status").hosts.first().expect("a host").clone()
}

async fn asleep(world: &World, number: u64) {
    world
        .until(&format!("#{number} sleeps"), async || {
            (world.status(number).await?.phase == Some(Phase::Asleep)).then_some(())
        })
        .await;
}

async fn wakes(world: &World) -> Vec<Request> {
    let mut all = all_requests(world).await;
    all.retain(|request| request.spec.from.kind == OriginKind::Gate);
    all
}

async fn last_visit(world: &World, number: u64) -> Option<String> {
    world.record(number).await?.metadata.annotations?.get(VISIT).cloned()
}

/// The page that is shown once the way to the gate stands.
async fn waiting_page(world: &World, host: &str, path: &str) -> Heard {
    world
        .until("the gate answers with its page", async || {
            let heard = open(world, host, path).await;
            heard.word().is_some().then_some(heard)
        })
        .await
}

#[tokio::test(start_paused = true)]
async fn a_sleeping_preview_wakes_when_a_persons_browser_asks_and_by_nothing_else() {
    let world = World::new(701).await;
    let (number, head) = world.camp("sparks").await;
    let host = host_of(&world, number).await;
    done(&world, number, "/preview sleep", MAINTAINER).await;
    asleep(&world, number).await;
    let page = waiting_page(&world, &host, "/some/page?of=it").await;

    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.header("retry-after").is_some_and(|after| after.parse::<u32>().is_ok()));
    assert_eq!(page.header("x-robots-tag"), Some("noindex"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "{}", page.text);
    assert!(page.text.contains("about"), "it says how long: {}", page.text);

    // Programs get a line, and nothing by which they could wake anything; nor do scripts and files of a page.
    for (name, value) in [
        ("user-agent", "bivouac-probe"),
        ("user-agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"),
        ("user-agent", "curl/8.5.0"),
        ("accept", "*/*"),
    ] {
        let headers = [NAVIGATES, &[(name, value)]].concat();
        let heard = ask(&world, (Method::GET, &host, "/"), &headers, "").await;
        assert_eq!(heard.status, StatusCode::SERVICE_UNAVAILABLE, "{value}");
        assert!(heard.word().is_none() && heard.text.len() < 60, "{value}: {}", heard.text);
    }
    let posted = ask(&world, (Method::POST, &host, "/"), NAVIGATES, "x=y").await;
    assert_eq!(posted.status, StatusCode::SERVICE_UNAVAILABLE);

    // A word that is not the page's own, or not from the page, wakes nothing.
    let (word, own) = (page.word().expect("a word").to_owned(), format!("http://{host}"));
    let mut forged = word.clone();
    forged.replace_range(0..1, if word.starts_with('9') { "8" } else { "9" });
    for (host, origin, word) in [
        (host.as_str(), "null", word.as_str()),
        (&host, "https://evil.test", &word),
        (&host, "http://other.preview.localhost", &word),
        (&host, &own, &forged),
        (&host, &own, ""),
        (&host, &own, "x.y.z"),
    ] {
        let heard = wake(&world, host, origin, word).await;
        assert_eq!(heard.status, StatusCode::FORBIDDEN, "{origin} {word}");
    }
    let read = ask(&world, (Method::GET, &host, "/.bivouac/wake"), NAVIGATES, "").await;
    assert_eq!(read.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wakes(&world).await.len(), 0, "nothing of all this wakes it");
    assert_eq!(last_visit(&world, number).await, None, "nor is it a visit");

    // A hundred visitors are one wish.
    for _ in 0..100 {
        let heard = wake(&world, &host, &own, &word).await;
        assert_eq!(heard.status, StatusCode::ACCEPTED, "{}", heard.text);
    }
    let asked = wakes(&world).await;
    let [request] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((request.spec.verb.as_str(), request.spec.by.id), ("wake", 0));
    let state = ask(&world, (Method::GET, &host, "/.bivouac/state"), NAVIGATES, "").await;
    if let Ok(found) = serde_json::from_str::<Value>(&state.text) {
        assert!(["asleep", "turning", "awake"].map(Value::from).contains(&found["state"]));
    }
    world.ready(number, &head).await;
    let shown = world
        .until("the app answers", async || {
            let heard = open(&world, &host, "/").await;
            (heard.status == StatusCode::OK).then_some(heard)
        })
        .await;
    assert!(shown.text.contains(&head), "{}", shown.text);
    assert!(last_visit(&world, number).await.is_some(), "a wake is a visit");
}

#[tokio::test(start_paused = true)]
async fn the_button_of_the_page_wakes_without_a_script_and_leads_back() {
    let world = World::new(702).await;
    let (number, head) = world.camp("sparks").await;
    let host = host_of(&world, number).await;
    done(&world, number, "/preview sleep", MAINTAINER).await;
    asleep(&world, number).await;
    let (own, path) = (format!("http://{host}"), "/deep/link?a=1&b=2");
    let page = waiting_page(&world, &host, path).await;
    let form = format!("word={}", page.word().expect("a word"));
    let headers = [NAVIGATES, &[("origin", own.as_str()), ("sec-fetch-site", "same-origin")]];
    let clicked =
        ask(&world, (Method::POST, &host, "/.bivouac/wake"), &headers.concat(), &form).await;
    assert_eq!(clicked.status, StatusCode::SEE_OTHER);
    assert_eq!(clicked.header("location"), Some(path));
    world.ready(number, &head).await;

    // A page of an earlier camp, or one that was open for too long, wakes nothing.
    done(&world, number, "/preview sleep", MAINTAINER).await;
    asleep(&world, number).await;
    let page = waiting_page(&world, &host, "//evil.test/x").await;
    let word = page.word().expect("a word").to_owned();
    let form = format!("word={word}");
    world.sleep(Duration::from_secs(31 * 60)).await;
    let late = ask(&world, (Method::POST, &host, "/.bivouac/wake"), &headers.concat(), &form).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN);
    // And none leads elsewhere.
    let page = waiting_page(&world, &host, "//evil.test/x").await;
    let form = format!("word={}", page.word().expect("a word"));
    let clicked =
        ask(&world, (Method::POST, &host, "/.bivouac/wake"), &headers.concat(), &form).await;
    assert_eq!(clicked.header("location"), Some("/"));
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_host_that_is_none_learns_nothing() {
    let world = World::new(703).await;
    world.policy(json!({"url": {"noindex": true}})).await;
    let (number, _) = world.camp("sparks").await;
    let host = host_of(&world, number).await;
    // Straight at the gate: the ingress controller knows no such host anyway.
    let gate = |host: &str| {
        let request = http::Request::get("/").header("host", host).header("user-agent", FIREFOX);
        world.stage.send_to_gate(request.body(body("")).expect("a request"))
    };
    let known = gate(&host).await.expect("an answer");
    assert_eq!(known.status(), StatusCode::OK);
    let mut seen = Vec::new();
    for host in ["nobody.preview.localhost", "campfire-pr-99.preview.localhost", "10.255.0.1:8081"]
    {
        let answer = gate(host).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        seen.push(answer.into_body().collect().await.expect("a body").to_bytes());
    }
    world.close(number);
    world
        .until("the camp is gone", async || {
            (gate(&host).await.ok()?.status() == StatusCode::NOT_FOUND).then_some(())
        })
        .await;
    let gone = gate(&host).await.expect("an answer");
    seen.push(gone.into_body().collect().await.expect("a body").to_bytes());
    assert!(seen.iter().all(|text| text == "not found\n"), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_websocket_goes_through_the_gate_for_hours_and_through_a_rollout() {
    let mut world = World::new(704).await;
    world.policy(json!({"url": {"noindex": true}})).await;
    let (number, head) = world.camp("sparks").await;
    let host = host_of(&world, number).await;
    let shown = open(&world, &host, "/").await;
    assert!(shown.status == StatusCode::OK && shown.text.contains(&head), "{}", shown.text);
    let mut socket = Socket::open(world.stage.connect(), &host).await.expect("a websocket");
    assert_eq!(socket.echo("first").await.expect("an echo"), "first");
    for minute in 0..4 {
        world.sleep(Duration::from_secs(60)).await;
        let text = format!("after {minute} minutes");
        assert_eq!(socket.echo(&text).await.expect("an echo"), text);
    }
    // A new replica comes, the old one ends.
    world.stage.start_replica(1).expect("started");
    world
        .until("the new one has read everything", async || {
            world.stage.replica_is_ready(1).await.then_some(())
        })
        .await;
    world.stage.stop_replica(FIRST).await;
    world.sleep(Duration::from_secs(60)).await;
    assert_eq!(socket.echo("still").await.expect("an echo"), "still");
    let mut second = Socket::open(world.stage.connect(), &host).await.expect("a websocket");
    assert_eq!(second.echo("new").await.expect("an echo"), "new");
    // The pod behind it ends it, and nothing hangs.
    let away = open(&world, &host, "/").await;
    assert_eq!(away.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_person_who_opens_pages_is_noted_every_five_minutes_and_nobody_else_is() {
    let world = World::new(705).await;
    world.policy(json!({"url": {"noindex": true}})).await;
    let (number, _) = world.camp("sparks").await;
    let host = host_of(&world, number).await;
    world.sleep(Duration::from_secs(600)).await;
    for (name, value) in [
        ("user-agent", "bivouac-probe"),
        ("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1)"),
        ("sec-fetch-dest", "image"),
        ("sec-fetch-mode", "cors"),
        ("sec-purpose", "prefetch"),
    ] {
        let headers = [NAVIGATES, &[(name, value)]].concat();
        let heard = ask(&world, (Method::GET, &host, "/"), &headers, "").await;
        assert_eq!(heard.status, StatusCode::OK, "{value}");
    }
    let mut socket = Socket::open(world.stage.connect(), &host).await.expect("a websocket");
    socket.echo("x").await.expect("an echo");
    world.sleep(Duration::from_secs(60)).await;
    let since = world.stage.clock.now();
    assert_eq!(last_visit(&world, number).await, None);
    for _ in 0..30 {
        open(&world, &host, "/").await;
        world.sleep(Duration::from_secs(20)).await;
    }
    let mut notes = world.writes_since(since);
    let record = format!("/environments/campfire-pr-{number}");
    notes.retain(|write| {
        let of_record = write.uri.split('?').next().is_some_and(|path| path.ends_with(&record));
        write.user == SERVICE && write.verb == "patch" && of_record
    });
    assert!((2..=3).contains(&notes.len()), "ten minutes of visits: {notes:#?}");
    let noted = last_visit(&world, number).await.expect("a visit");
    let noted: chrono::DateTime<chrono::Utc> = noted.parse().expect("a time");
    assert!(noted > since, "{noted}");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_takes_no_connection_is_said_to_and_without_a_key_nothing_wakes() {
    let world = World::new(706).await;
    world.policy(json!({"url": {"noindex": true}})).await;
    let (number, _) = world.camp("sparks").await;
    let host = host_of(&world, number).await;
    // Nobody is behind the Service for a while.
    let pods: Api<Pod> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    let call_them = async |app: &str| {
        let label = Patch::Merge(json!({"metadata": {"labels": {"app": app}}}));
        for pod in pods.list(&ListParams::default()).await.expect("a list").items {
            let name = pod.metadata.name.expect("a name");
            pods.patch(&name, &PatchParams::default(), &label).await.expect("changed");
        }
    };
    call_them("nobody").await;
    let page = world
        .until("the gate says that the app does not answer", async || {
            let heard = open(&world, &host, "/").await;
            heard.text.contains("does not answer").then_some(heard)
        })
        .await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.word().is_none(), "there is nothing to wake");
    let program = ask(&world, (Method::GET, &host, "/"), &[("user-agent", "curl/8")], "").await;
    assert!(program.text.starts_with("This preview does not answer"), "{}", program.text);
    call_them("web").await;
    world
        .until("a pod is behind it, and the app answers", async || {
            (open(&world, &host, "/").await.status == StatusCode::OK).then_some(())
        })
        .await;

    let secrets: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let all = secrets.list(&ListParams::default()).await.expect("a list").items;
    let names = all.into_iter().filter_map(|secret| secret.metadata.name);
    let keys: Vec<String> = names.filter(|name| name.starts_with("bivouac-gate-")).collect();
    assert_eq!(keys, ["bivouac-gate-demo"]);
    done(&world, number, "/preview sleep", MAINTAINER).await;
    asleep(&world, number).await;
    let word = waiting_page(&world, &host, "/").await.word().expect("a word").to_owned();
    // Who deletes it takes back every word that was given.
    secrets.delete("bivouac-gate-demo", &DeleteParams::default()).await.expect("deleted");
    world.sleep(Duration::from_secs(5)).await;
    let own = format!("http://{host}");
    assert_eq!(wake(&world, &host, &own, &word).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(start_paused = true)]
async fn what_is_passed_on_has_limits() {
    let world = World::new(707).await;
    world.policy(json!({"url": {"noindex": true}})).await;
    let (number, _) = world.camp("sparks").await;
    let host = host_of(&world, number).await;
    let mut sockets = Vec::new();
    for _ in 0..200 {
        sockets.push(Socket::open(world.stage.connect(), &host).await.expect("a websocket"));
    }
    let full = open(&world, &host, "/").await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE, "{}", full.text);
    assert!(full.text.contains("too many"), "{}", full.text);
    // Another camp has room of its own.
    let (other, _) = world.open("embers", &one("CHANGES.md", "embers"));
    let there = world
        .until("the other camp answers", async || {
            let host = world.status(other).await?.hosts.first()?.clone();
            let heard = open(&world, &host, "/").await;
            (heard.status == StatusCode::OK).then_some(heard)
        })
        .await;
    assert!(!there.text.is_empty());
    sockets.truncate(100);
    world
        .until("there is room again", async || {
            (open(&world, &host, "/").await.status == StatusCode::OK).then_some(())
        })
        .await;
}
