//! The webhook against a Kubernetes API of two verbs, with GitHub's published payloads.
#[cfg(test)]
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use http::StatusCode;
use kube::Client;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::watch;
use tower::ServiceExt;

use super::{MOST_BYTES, Recorder, Secrets, Served, Webhook, router};
use crate::domain::id::{PrNumber, RepoName};

/// Environments by name, and every write as it came in.
#[derive(Default)]
struct Cluster {
    records: BTreeMap<String, Value>,
    requests: BTreeMap<String, Value>,
    writes: Vec<(String, Value)>,
    fails_with: Option<u16>,
    latency: Duration,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Cluster>>);

impl Fake {
    fn client(&self) -> Client {
        let fake = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let fake = fake.clone();
            async move { Ok::<_, std::convert::Infallible>(fake.answer(request).await) }
        });
        Client::new(service, "bivouac")
    }

    async fn answer(&self, request: http::Request<kube::client::Body>) -> Response {
        let (parts, body) = request.into_parts();
        let bytes = axum::body::to_bytes(Body::new(body), 1 << 20).await.unwrap();
        let sent: Value = serde_json::from_slice(&bytes).unwrap();
        let latency = self.0.lock().unwrap().latency;
        tokio::time::sleep(latency).await;
        let mut cluster = self.0.lock().unwrap();
        let path = parts.uri.path();
        cluster.writes.push((format!("{} {path}", parts.method), sent.clone()));
        if let Some(code) = cluster.fails_with {
            return status(code, "Broken");
        }
        let root = "/apis/bivouac.dev/v1alpha1/namespaces/bivouac/environments";
        match (parts.method.as_str(), path.strip_prefix(root)) {
            ("POST", Some("")) => {
                let name = sent["metadata"]["name"].as_str().unwrap().to_owned();
                if cluster.records.contains_key(&name) {
                    return status(409, "AlreadyExists");
                }
                cluster.records.insert(name, sent.clone());
                (StatusCode::CREATED, axum::Json(sent)).into_response()
            }
            ("PATCH", Some(name)) => {
                assert_eq!(parts.headers["content-type"], "application/merge-patch+json");
                match cluster.records.get_mut(name.trim_start_matches('/')) {
                    Some(record) => {
                        json_patch::merge(record, &sent);
                        axum::Json(record.clone()).into_response()
                    }
                    None => status(404, "NotFound"),
                }
            }
            ("POST", None) if path.ends_with("/namespaces/bivouac/requests") => {
                let name = sent["metadata"]["name"].as_str().unwrap().to_owned();
                if cluster.requests.contains_key(&name) {
                    return status(409, "AlreadyExists");
                }
                cluster.requests.insert(name, sent.clone());
                (StatusCode::CREATED, axum::Json(sent)).into_response()
            }
            ("PATCH", None) if path.contains("/repositories/") && !path.ends_with("/shop") => {
                axum::Json(json!({"kind": "Repository"})).into_response()
            }
            _ => status(405, "MethodNotAllowed"),
        }
    }

    fn writes(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.0.lock().unwrap().writes)
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().records.keys().cloned().collect()
    }
}

fn status(code: u16, reason: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": reason,
    });
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

struct World {
    fake: Fake,
    router: axum::Router,
    _secrets: watch::Sender<Arc<Secrets>>,
}

fn served(resource: &str, id: Option<u64>, full_name: &str) -> Served {
    let (owner, name) = full_name.split_once('/').unwrap();
    let name = RepoName::parse(owner, name).unwrap();
    Served {
        resource: resource.into(),
        id,
        name,
        follows_base: false,
        awaits_checks: false,
        branches: Vec::new(),
        prefix: "/preview".into(),
        bots: Vec::new(),
    }
}

/// `hello` is the repository of GitHub's examples, `shop` another one with its own secret.
fn world() -> World {
    let fake = Fake::default();
    let secrets = Secrets::new([
        ("hello-secret".into(), served("hello", Some(186_853_002), "Codertocat/Hello-World")),
        ("shop-secret".into(), served("shop", None, "acme/shop")),
    ]);
    let (sender, secrets) = watch::channel(Arc::new(secrets));
    let recorder = Recorder::new(fake.client(), "bivouac");
    World { router: router(Webhook::new(secrets, recorder)), fake, _secrets: sender }
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn request(event: &str, delivery: &str, secret: &str, body: &[u8]) -> Request {
    Request::post("/webhook")
        .header("x-github-event", event)
        .header("x-github-delivery", delivery)
        .header("x-hub-signature-256", sign(secret, body))
        .body(Body::from(body.to_vec()))
        .unwrap()
}

impl World {
    async fn send(&self, request: Request) -> u16 {
        self.router.clone().oneshot(request).await.unwrap().status().as_u16()
    }

    async fn deliver(&self, event: &str, payload: &Value) -> u16 {
        self.send(request(event, "d-1", "hello-secret", payload.to_string().as_bytes())).await
    }
}

fn fixture(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/webhook");
    serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
}

/// Event and payload of each fixture.
fn fixtures() -> Vec<(String, Value)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/webhook");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["README.md", "LICENSE"].contains(&name.as_str()))
        .collect();
    names.sort();
    assert!(names.len() > 20, "{names:?}");
    names.iter().map(|name| (name.split('.').next().unwrap().to_owned(), fixture(name))).collect()
}

fn pull(number: u64) -> Value {
    json!({
        "action": "opened", "number": number,
        "repository": {"id": 186_853_002, "full_name": "Codertocat/Hello-World"},
    })
}

/// What is hinted at, as `d-1` by the secret of `hello`, which speaks for `hello` and for `merged`.
async fn hinted(event: &str, payload: &Value) -> (u16, Vec<String>) {
    let fake = Fake::default();
    let merged =
        Served { follows_base: true, ..served("merged", Some(186_853_003), "Codertocat/Merged") };
    let secrets = Secrets::new([
        ("hello-secret".into(), served("hello", Some(186_853_002), "Codertocat/Hello-World")),
        ("hello-secret".into(), merged),
        ("shop-secret".into(), served("shop", Some(7), "Codertocat/shop")),
    ]);
    let (_sender, secrets) = watch::channel(Arc::new(secrets));
    let router = router(Webhook::new(secrets, Recorder::new(fake.client(), "bivouac")));
    let request = request(event, "d-1", "hello-secret", payload.to_string().as_bytes());
    let status = router.oneshot(request).await.unwrap().status().as_u16();
    let writes = fake.writes().into_iter().map(|(write, body)| {
        let hint = body["metadata"]["annotations"]["bivouac.dev/hint"].as_str().unwrap();
        let prefix = if event.starts_with("installation") { "installation-" } else { "" };
        assert_eq!(hint, format!("{prefix}d-1"), "{write}");
        write.rsplit('/').next().unwrap().to_owned()
    });
    let mut writes: Vec<String> = writes.collect();
    writes.sort();
    (status, writes)
}

#[tokio::test(start_paused = true)]
async fn a_whole_repository_is_hinted_at_when_it_or_its_installation_changed() {
    let repository = |id: u64| json!({"id": id, "full_name": "Codertocat/any"});
    let of = |id: u64, more: Value| {
        let mut payload = more;
        payload["repository"] = repository(id);
        payload
    };
    let installation = |more: Value| {
        let mut payload = more;
        payload["installation"] = json!({"id": 1, "account": {"login": "codertocat"}});
        payload
    };
    // The fake API knows `hello` alone; what is not there any more is no error.
    for (event, payload, expected) in [
        ("repository", of(186_853_002, json!({"action": "renamed"})), (202, vec!["hello"])),
        ("repository", of(186_853_002, json!({"action": "edited"})), (202, vec![])),
        ("repository", of(7, json!({"action": "renamed"})), (401, vec![])),
        ("push", of(186_853_002, json!({"ref": "refs/heads/main"})), (202, vec![])),
        ("push", of(186_853_003, json!({"ref": "refs/heads/main"})), (202, vec!["merged"])),
        ("push", of(186_853_003, json!({"ref": "refs/tags/v1"})), (202, vec![])),
        ("push", of(7, json!({"ref": "refs/heads/main"})), (401, vec![])),
        (
            "delete",
            of(186_853_003, json!({"ref": "next", "ref_type": "branch"})),
            (202, vec!["merged"]),
        ),
        (
            "installation",
            installation(json!({"action": "suspend"})),
            (202, vec!["hello", "merged"]),
        ),
        (
            "installation",
            installation(json!({"action": "deleted", "repositories": [repository(186_853_003)]})),
            (202, vec!["merged"]),
        ),
        (
            "installation_repositories",
            installation(json!({
                "action": "added", "repositories_added": [repository(7), repository(186_853_002)],
                "repositories_removed": [],
            })),
            (202, vec!["hello"]),
        ),
        (
            "installation",
            json!({"action": "suspend", "installation": {"account": {"login": "somebody"}}}),
            (202, vec![]),
        ),
    ] {
        let (status, writes) = hinted(event, &payload).await;
        let writes: Vec<&str> = writes.iter().map(String::as_str).collect();
        assert_eq!((status, writes), expected, "{event} {payload}");
    }
}

const LISTED: &[&str] = &[
    "opened",
    "reopened",
    "synchronize",
    "edited",
    "labeled",
    "unlabeled",
    "ready_for_review",
    "converted_to_draft",
];

/// What an attacker who holds the secret, or a stale delivery, could claim.
fn falsified(mut payload: Value) -> Value {
    let pull = &mut payload["pull_request"];
    pull["head"]["sha"] = json!("f".repeat(40));
    pull["head"]["ref"] = json!("x\"; kubectl delete ns --all #");
    pull["head"]["repo"] = json!({"id": 1, "full_name": "evil/fork"});
    pull["base"]["sha"] = json!("e".repeat(40));
    pull["labels"] = json!([{"name": "preview"}, {"name": "approved"}]);
    pull["state"] = json!("closed");
    pull["draft"] = json!(true);
    pull["merged"] = json!(true);
    pull["title"] = json!("{{commit.sha}} @everyone\n\u{0}");
    pull["user"] = json!({"login": "root", "id": 1});
    payload["sender"] = json!({"login": "root", "id": 1});
    payload
}

#[tokio::test(start_paused = true)]
async fn what_is_written_follows_the_identities_and_nothing_else_of_a_payload() {
    for action in LISTED {
        // GitHub has no example of "edited": it differs by its `changes`, which nobody reads.
        let file = if *action == "edited" { "opened" } else { *action };
        let mut original = fixture(&format!("pull_request.{file}.json"));
        original["action"] = json!(action);
        let mut seen = Vec::new();
        for payload in [original.clone(), falsified(original)] {
            let mut payload = payload;
            // Some examples are of other repositories.
            payload["repository"]["id"] = json!(186_853_002);
            let world = world();
            assert_eq!(world.deliver("pull_request", &payload).await, 202, "{action}");
            seen.push((world.fake.writes(), payload["number"].clone()));
        }
        assert_eq!(seen[0], seen[1], "{action}");
        let (writes, number) = &seen[0];
        let name = format!("hello-pr-{number}");
        let root = "/apis/bivouac.dev/v1alpha1/namespaces/bivouac/environments";
        let expected = [
            (
                format!("POST {root}"),
                json!({
                    "apiVersion": "bivouac.dev/v1alpha1", "kind": "Environment",
                    "metadata": {
                        "name": name, "namespace": "bivouac", "labels": {"bivouac.dev/repository": "hello"},
                    },
                    "spec": {"repository": "hello", "source": {"pullRequest": {"number": number}}},
                }),
            ),
            (
                format!("PATCH {root}/{name}"),
                json!({"metadata": {"annotations": {"bivouac.dev/hint": "d-1"}}}),
            ),
        ];
        assert_eq!(writes[..], expected, "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_pull_request_leaves_a_hint_only_where_a_record_is() {
    let payload = fixture("pull_request.closed.json");
    let world = world();
    assert_eq!(world.deliver("pull_request", &payload).await, 202);
    assert_eq!(world.fake.names(), Vec::<String>::new());
    let mut opened = payload.clone();
    opened["action"] = json!("opened");
    assert_eq!(world.deliver("pull_request", &opened).await, 202);
    world.fake.writes();
    assert_eq!(world.deliver("pull_request", &payload).await, 202);
    let writes = world.fake.writes();
    assert!(writes.len() == 1 && writes[0].0.starts_with("PATCH"), "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn no_other_example_writes() {
    let mut examples = fixtures();
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch for developers, read by this test alone"
    )]
    if let Ok(file) = std::env::var("BIVOUAC_WEBHOOK_EXAMPLES") {
        let all: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        for event in &all {
            for example in event["examples"].as_array().unwrap() {
                examples.push((event["name"].as_str().unwrap().to_owned(), example.clone()));
            }
        }
        assert!(examples.len() > 300);
    }
    for (event, payload) in examples {
        let action = payload["action"].as_str().unwrap_or_default();
        let listed = event == "pull_request" && (LISTED.contains(&action) || action == "closed");
        let foreign = payload
            .get("repository")
            .is_some_and(|r| !r.is_null() && r["id"] != json!(186_853_002));
        let world = world();
        let status = world.deliver(&event, &payload).await;
        // An example that names another repository is refused; that it is read at all was shown above.
        assert_eq!(status, if foreign { 401 } else { 202 }, "{event} {action}");
        let writes = world.fake.writes();
        // A whole repository is looked at by a hint at it, and at nothing else.
        let look = |(write, _): &(String, Value)| write.ends_with("/repositories/hello");
        assert!(writes.iter().all(|write| listed || look(write)), "{event} {action}: {writes:?}");
        let looked = writes.iter().any(look);
        let changes = ["renamed", "transferred", "archived", "unarchived", "deleted"];
        let changed = [&changes[..], &["publicized", "privatized"]].concat().contains(&action);
        let about = event.starts_with("installation") || (event == "repository" && changed);
        assert!(about || !looked, "{event} {action}");
        assert!(foreign || event != "repository" || !changed || looked, "{event} {action}");
        assert_eq!(writes.len() > usize::from(looked), listed && !foreign, "{event} {action}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_signed_for_its_repository_is_refused_and_writes_nothing() {
    let world = world();
    let body = pull(1).to_string();
    let good = || request("pull_request", "d-1", "hello-secret", body.as_bytes());
    let without = |name: &str| {
        let mut request = good();
        request.headers_mut().remove(name);
        request
    };
    let with = |name: &'static str, value: &str| {
        let mut request = good();
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let truncated =
        |n: usize| request("pull_request", "d-1", "hello-secret", &body.as_bytes()[..n]);
    let mut changed = good();
    *changed.body_mut() = Body::from(body.replace("opened", "closed"));
    let mut unknown = pull(1);
    unknown["repository"] = json!({"id": 5, "full_name": "acme/other"});
    let mut same_name_other_id = pull(1);
    same_name_other_id["repository"]["id"] = json!(6);
    for (name, request, expected) in [
        ("no signature", without("x-hub-signature-256"), 401),
        ("no event", without("x-github-event"), 400),
        ("no delivery", without("x-github-delivery"), 400),
        ("empty event", with("x-github-event", ""), 400),
        ("empty signature", with("x-hub-signature-256", ""), 401),
        ("odd delivery", with("x-github-delivery", "a b"), 400),
        ("long delivery", with("x-github-delivery", &"a".repeat(101)), 400),
        ("wrong signature", with("x-hub-signature-256", &sign("x", body.as_bytes())), 401),
        ("no hex", with("x-hub-signature-256", "sha256=zz"), 401),
        ("sha1", with("x-hub-signature-256", "sha1=00"), 401),
        ("changed body", changed, 401),
        (
            "another Repository's secret",
            request("pull_request", "d", "shop-secret", body.as_bytes()),
            401,
        ),
        (
            "unknown repository",
            request("pull_request", "d", "hello-secret", unknown.to_string().as_bytes()),
            401,
        ),
        (
            "the name of a repository whose id is known",
            request("pull_request", "d", "hello-secret", same_name_other_id.to_string().as_bytes()),
            401,
        ),
        ("not JSON", request("pull_request", "d", "hello-secret", b"payload=%7B%7D"), 400),
        ("cut off", truncated(20), 400),
        ("empty", truncated(0), 400),
        (
            "no number",
            request("pull_request", "d", "hello-secret", body.replace("number", "n").as_bytes()),
            400,
        ),
        ("unknown event", with("x-github-event", "sponsorship"), 202),
        (
            "unsigned rubbish is not parsed",
            {
                let mut request = request("pull_request", "d", "x", b"{");
                request.headers_mut().insert("x-hub-signature-256", "sha256=00".parse().unwrap());
                request
            },
            401,
        ),
    ] {
        assert_eq!(world.send(request).await, expected, "{name}");
        assert_eq!(world.fake.writes(), [], "{name}");
    }
    assert_eq!(world.send(good()).await, 202);
    assert_eq!(world.fake.names(), ["hello-pr-1"]);
    let get = Request::get("/webhook").body(Body::empty()).unwrap();
    assert_eq!(world.send(get).await, 405);
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_cap_is_refused_while_it_comes() {
    let world = world();
    let mut announced = request("push", "d", "x", b"x");
    announced.headers_mut().insert("content-length", (MOST_BYTES + 1).into());
    assert_eq!(world.send(announced).await, 413);
    // Nobody says how long it is, and it never ends.
    let chunk = bytes::Bytes::from(vec![b' '; 1 << 20]);
    let endless = futures::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
    let mut streamed = request("push", "d", "x", b"");
    *streamed.body_mut() = Body::from_stream(endless);
    assert_eq!(world.send(streamed).await, 413);
    let mut silent = request("push", "d", "x", b"");
    *silent.body_mut() =
        Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    assert_eq!(world.send(silent).await, 408);
}

#[tokio::test(start_paused = true)]
async fn without_any_secret_nobody_gets_in() {
    let (_sender, secrets) = watch::channel(Arc::new(Secrets::default()));
    let fake = Fake::default();
    let router = router(Webhook::new(secrets, Recorder::new(fake.client(), "bivouac")));
    let body = pull(1).to_string();
    let answer = router.oneshot(request("pull_request", "d", "", body.as_bytes())).await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(fake.writes(), []);
}

#[tokio::test(start_paused = true)]
async fn before_all_secrets_are_known_nobody_is_called_a_forger() {
    let (sender, secrets) = watch::channel(Arc::new(Secrets::default()));
    let fake = Fake::default();
    let known = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = known.clone();
    let webhook = Webhook::new(secrets, Recorder::new(fake.client(), "bivouac"))
        .ready_when(move || seen.load(std::sync::atomic::Ordering::Relaxed));
    let router = router(webhook);
    let body = pull(1).to_string();
    let send = async || {
        let request = request("pull_request", "d", "hello-secret", body.as_bytes());
        router.clone().oneshot(request).await.unwrap()
    };
    let answer = send().await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
    let one = || served("hello", Some(186_853_002), "Codertocat/Hello-World");
    sender.send_replace(Arc::new(Secrets::new([("hello-secret".into(), one())])));
    assert_eq!(send().await.status(), 202, "one that is known is known");
    sender.send_replace(Arc::new(Secrets::new([("another".into(), one())])));
    assert_eq!(send().await.status(), 503);
    known.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(send().await.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn strangers_can_not_fill_the_memory() {
    use futures::StreamExt as _;
    let world = world();
    // Twenty megabytes, and then nothing more.
    let slow = || {
        let chunk = bytes::Bytes::from(vec![b' '; 1 << 20]);
        let sent = futures::stream::repeat(chunk).take(20).map(Ok::<_, std::io::Error>);
        let mut request = request("push", "d", "x", b"");
        *request.body_mut() = Body::from_stream(sent.chain(futures::stream::pending()));
        request
    };
    let others = (0..3).map(|_| world.send(slow()));
    let fourth = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let full = world.send(slow()).await;
        // What is small has room beside them.
        (full, world.deliver("pull_request", &pull(1)).await)
    };
    let (others, fourth) = futures::future::join(futures::future::join_all(others), fourth).await;
    assert_eq!(others, [408, 408, 408]);
    assert_eq!(fourth, (503, 202));
    assert_eq!(world.send(slow()).await, 408, "the room is given back");
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_is_503_and_may_come_again() {
    let world = world();
    for code in [403, 404, 422, 500] {
        world.fake.0.lock().unwrap().fails_with = Some(code);
        assert_eq!(world.deliver("pull_request", &pull(1)).await, 503, "{code}");
    }
    {
        let mut cluster = world.fake.0.lock().unwrap();
        cluster.fails_with = None;
        cluster.latency = Duration::from_secs(60);
    }
    assert_eq!(world.deliver("pull_request", &pull(1)).await, 503, "too slow for GitHub");
    world.fake.0.lock().unwrap().latency = Duration::ZERO;
    assert_eq!(world.deliver("pull_request", &pull(1)).await, 202);
    assert_eq!(world.deliver("pull_request", &pull(1)).await, 202, "AlreadyExists is success");
    assert_eq!(world.fake.names(), ["hello-pr-1"]);
}

#[tokio::test(start_paused = true)]
async fn hints_that_come_while_one_is_on_its_way_share_the_next() {
    let fake = Fake::default();
    let recorder = Recorder::new(fake.client(), "bivouac");
    recorder.record("hello", PrNumber(1), "first").await.unwrap();
    recorder.record("hello", PrNumber(2), "first").await.unwrap();
    fake.writes();
    fake.0.lock().unwrap().latency = Duration::from_millis(100);
    let ids: Vec<String> = (0..50).map(|n| format!("d-{n}")).collect();
    let one = ids.iter().map(|id| recorder.hint("hello", PrNumber(1), id));
    let other = recorder.hint("hello", PrNumber(2), "other");
    let (all, other) = tokio::join!(
        async {
            let late = async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                futures::future::join_all(
                    ids.iter().map(|id| recorder.hint("hello", PrNumber(1), id)),
                )
                .await
            };
            let (first, late) = tokio::join!(futures::future::join_all(one), late);
            first.into_iter().chain(late).collect::<Vec<_>>()
        },
        other
    );
    assert!(other.is_ok() && all.len() == 100 && all.iter().all(Result::is_ok));
    let mine: Vec<Value> = fake
        .writes()
        .into_iter()
        .filter(|(what, _)| what.ends_with("hello-pr-1"))
        .map(|(_, patch)| patch["metadata"]["annotations"]["bivouac.dev/hint"].clone())
        .collect();
    assert_eq!(mine, ["d-0", "d-49"], "the first goes out at once, the 99 others share one patch");
    assert_eq!(recorder.on_its_way(), 0, "nothing is kept");
}

/// GitHub's recorded comment, on a pull request, with a command in it.
fn recorded(action: &str, body: &str) -> Value {
    let mut payload = fixture(&format!("issue_comment.{action}.json"));
    payload["issue"]["pull_request"] = json!({"url": "https://api.github.com/x"});
    payload["comment"]["body"] = json!(body);
    payload
}

#[tokio::test(start_paused = true)]
async fn each_command_of_a_recorded_comment_is_written_down_before_the_answer() {
    let world = world();
    let payload =
        recorded("created", "Hm.\n/preview down\n\n> /preview up\n\n/preview set a=\"b c\"\n");
    for _ in 0..2 {
        assert_eq!(world.deliver("issue_comment", &payload).await, 202);
    }
    let id = payload["comment"]["id"].as_u64().unwrap();
    let cluster = world.fake.0.lock().unwrap();
    let names: Vec<&String> = cluster.requests.keys().collect();
    assert_eq!(names, [&format!("comment-{id}-1"), &format!("comment-{id}-2")]);
    let spec = &cluster.requests[&format!("comment-{id}-2")]["spec"];
    let user = &payload["comment"]["user"];
    assert_eq!(
        spec,
        &json!({
            "environment": format!("hello-pr-{}", payload["issue"]["number"]),
            "verb": "set", "arguments": ["a=b c"],
            "from": {"kind": "comment", "id": id.to_string()},
            "by": {"login": user["login"], "id": user["id"]},
            "at": payload["comment"]["created_at"],
        })
    );
    let record = cluster.records.values().next().unwrap();
    assert_eq!(record["metadata"].get("annotations"), None, "a question disturbs nothing");
    assert_eq!(record["spec"].as_object().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_spoken_for_by_an_edit_a_deletion_a_bot_or_a_comment_of_ours() {
    let world = world();
    let mut bot = recorded("created", "/preview down");
    bot["comment"]["user"]["type"] = json!("Bot");
    let mut issue = recorded("created", "/preview down");
    issue["issue"].as_object_mut().unwrap().remove("pull_request");
    for payload in [
        recorded("edited", "/preview down"),
        recorded("deleted", "/preview down"),
        recorded("created", "preview down"),
        recorded("created", "<!-- bivouac:v1 instance=a id=b rev=1 -->\n\n/preview down"),
        bot,
        issue,
    ] {
        assert_eq!(world.deliver("issue_comment", &payload).await, 202);
    }
    assert_eq!(world.fake.writes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_goes_away_does_not_take_the_others_hint_along() {
    let fake = Fake::default();
    let recorder = Recorder::new(fake.client(), "bivouac");
    recorder.record("hello", PrNumber(1), "first").await.unwrap();
    fake.writes();
    fake.0.lock().unwrap().latency = Duration::from_millis(100);
    let leaving = tokio::time::timeout(
        Duration::from_millis(10),
        recorder.hint("hello", PrNumber(1), "leaving"),
    );
    let (left, stays) = tokio::join!(leaving, recorder.hint("hello", PrNumber(1), "stays"));
    assert!(left.is_err() && stays.is_ok());
    let record = fake.0.lock().unwrap().records["hello-pr-1"].clone();
    assert_eq!(record["metadata"]["annotations"]["bivouac.dev/hint"], "stays");
}

/// The whole way in: the sandbox's GitHub signs and sends, and it knows nothing of this module.
#[tokio::test(start_paused = true)]
async fn what_the_sandboxs_github_sends_is_taken() {
    use crate::sandbox::github::{Content, GitHub, HookConfig, NewPull};
    use crate::seams::{BoxError, Clock, Rng, Transport};
    use http_body_util::BodyExt as _;

    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    let github = GitHub::new(dir.path(), "http://github.test", clock, Rng::seeded(7));
    github.create_user("olga").unwrap();
    let id = github.create_repo("olga/shop").unwrap();
    github.commit("olga/shop", "main", &Content::from([("a", "1")]), "Start", "olga").unwrap();
    github.commit("olga/shop", "blue", &Content::from([("a", "2")]), "Blue", "olga").unwrap();

    let fake = Fake::default();
    let secrets =
        Secrets::new([("s3cret".into(), served("shop", Some(id), "olga/before-its-rename"))]);
    let (_sender, secrets) = watch::channel(Arc::new(secrets));
    let router = router(Webhook::new(secrets, Recorder::new(fake.client(), "bivouac")));
    let transport = Transport::new(tower::service_fn(move |request: http::Request<_>| {
        let router = router.clone();
        async move {
            let response = router.oneshot(request.map(Body::new)).await?;
            Ok::<_, BoxError>(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
        }
    }));
    let hook = |secret: &str| HookConfig {
        url: "http://bivouac.test/webhook".to_owned(),
        transport: Some(transport.clone()),
        secret: secret.to_owned(),
        events: vec!["*".to_owned()],
    };
    let good = github.add_hook("olga/shop", hook("s3cret")).unwrap();
    let bad = github.add_hook("olga/shop", hook("guessed")).unwrap();
    let new = NewPull {
        head: "blue".into(),
        base: "main".into(),
        title: "Go blue".into(),
        body: None,
        draft: false,
    };
    let number = github.open_pull_request("olga/shop", &new, "olga").unwrap();
    github.comment("olga/shop", number, "/preview up", "olga").unwrap();
    github.label("olga/shop", number, "preview", "olga").unwrap();
    github.close("olga/shop", number, "olga").unwrap();
    while github.census().deliveries > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answers = |hook| -> Vec<String> {
        github.deliveries(hook).iter().map(|delivery| format!("{:?}", delivery.outcome)).collect()
    };
    assert!(
        answers(good).len() >= 4 && answers(good).iter().all(|a| a.contains("202")),
        "{:?}",
        answers(good)
    );
    assert!(answers(bad).iter().all(|a| a.contains("401")), "{:?}", answers(bad));
    let name = format!("shop-pr-{number}");
    assert_eq!(fake.names(), std::slice::from_ref(&name));
    let requests = fake.0.lock().unwrap().requests.clone();
    let request = requests.values().next().unwrap();
    assert_eq!((requests.len(), &request["spec"]["verb"]), (1, &json!("up")));
    assert_eq!(request["spec"]["environment"], json!(name));
    assert_eq!(request["spec"]["by"]["login"], json!("olga"));
    let hint = fake.0.lock().unwrap().records[&name]["metadata"]["annotations"].clone();
    assert!(hint["bivouac.dev/hint"].as_str().is_some_and(|hint| hint.len() == 36), "{hint}");
}
