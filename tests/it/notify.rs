//! Chats and webhooks are told what becomes of a camp: once for each turn, in their form, and never what they must not read.

use std::time::Duration;

use bivouac::app::stage::{NAMESPACE, Sent};
use hmac::{Hmac, KeyInit as _, Mac as _};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{World, one};

const SLACK: &str = "https://hooks.slack.example/services/T0/B0/the-slack-secret";
const HOOK: &str = "https://hooks.example.com/bivouac";
const SIGNING: &str = "It's a Secret to Everybody";

async fn secret(world: &World, name: &str, data: Value) {
    let api: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let secret = json!({"metadata": {"name": name}, "stringData": data});
    let secret = serde_json::from_value(secret).expect("a Secret");
    api.create(&PostParams::default(), &secret).await.expect("created");
}

/// A world whose Repository tells a webhook of everything, and Slack of what failed.
async fn telling(seed: u64) -> World {
    let world = World::new(seed).await;
    secret(&world, "chat", json!({ "url": SLACK })).await;
    secret(&world, "hook", json!({"address": HOOK, "signingSecret": SIGNING})).await;
    world
        .policy(json!({"notify": [
            {"kind": "Webhook", "urlFrom": {"secretName": "hook", "key": "address"}},
            {"kind": "Slack", "urlFrom": {"secretName": "chat"}, "when": ["Failed"]},
        ]}))
        .await;
    world.sleep(Duration::from_secs(5)).await;
    world
}

fn to(world: &World, url: &str) -> Vec<Sent> {
    world.stage.notices.sent().into_iter().filter(|sent| sent.url == url).collect()
}

fn read(sent: &Sent) -> Value {
    serde_json::from_slice(&sent.body).expect("JSON")
}

fn words(world: &World) -> Vec<String> {
    let sent = to(world, HOOK);
    sent.iter().map(|sent| read(sent)["event"].as_str().expect("an event").to_owned()).collect()
}

async fn events(world: &World) -> Vec<String> {
    let api: Api<Event> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let found = api.list(&ListParams::default()).await.expect("Events");
    let said =
        found.items.into_iter().filter(|event| event.reason.as_deref() == Some("NoticeNotSent"));
    said.filter_map(|event| event.note).collect()
}

#[tokio::test(start_paused = true)]
async fn a_life_is_told_turn_by_turn_signed_and_once() {
    let world = telling(1).await;
    let (number, head) = world.camp("sparks").await;
    world.sleep(Duration::from_secs(1200)).await;
    assert_eq!(words(&world), ["ready"], "once, however long it stands");
    let second = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &second).await;
    world.sleep(Duration::from_secs(60)).await;
    world.close(number);
    world.closed(number).await;
    world.sleep(Duration::from_secs(60)).await;
    assert_eq!(words(&world), ["ready", "ready", "gone"]);
    assert!(to(&world, SLACK).is_empty(), "it asked for failures only");

    let sent = to(&world, HOOK);
    let (first, last) = (read(&sent[0]), read(&sent[2]));
    assert_eq!(first["revision"], head);
    assert_eq!(read(&sent[1])["revision"], second);
    assert_eq!(first["repository"], "acme/campfire");
    assert_eq!(first["pullRequest"], number);
    assert_eq!(first["page"], format!("http://github.test/acme/campfire/pull/{number}"));
    let url = first["urls"][0]["url"].as_str().expect("an address");
    assert!(url.contains("preview.localhost"), "{url}");
    assert_eq!(last["urls"], json!([]), "nobody is led to what is gone");
    let mut ids = Vec::new();
    for sent in &sent {
        let mut mac = Hmac::<Sha256>::new_from_slice(SIGNING.as_bytes()).expect("a key");
        mac.update(&sent.body);
        let wanted = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        assert_eq!(sent.headers["x-bivouac-signature-256"], wanted);
        assert_eq!(sent.headers["x-bivouac-event"], read(sent)["event"].as_str().expect("a word"));
        ids.push(sent.headers["x-bivouac-delivery"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "each has an id of its own");
    assert_eq!(events(&world).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_with_its_reason_which_is_only_text() {
    let world = telling(2).await;
    let bad = "apps:\n  - name: \"<!channel>\"\n    path: deploy\n";
    let (number, _) = world.open("sparks", &one(".bivouac.yaml", bad));
    world.until("Slack is told", async || (!to(&world, SLACK).is_empty()).then_some(())).await;
    let slack = read(&to(&world, SLACK)[0]);
    let marked = slack["blocks"][0]["text"]["text"].as_str().expect("a text");
    assert!(marked.starts_with("*Preview failed*: <http://github.test/acme/"), "{marked}");
    assert!(!marked.contains("<!"), "{marked}");
    let reason = &slack["blocks"][1]["text"];
    assert_eq!(reason["type"], "plain_text", "{slack:#}");
    assert!(!reason["text"].as_str().expect("a text").is_empty());
    assert_eq!(words(&world), ["failed"]);
    // Mended, it is told as well.
    let text = bivouac::app::stage::FILES.iter().find(|(path, _)| *path == ".bivouac.yaml");
    let (_, good) = text.expect("the preview file");
    let head = world.push("sparks", &one(".bivouac.yaml", good));
    world.ready(number, &head).await;
    world.sleep(Duration::from_secs(30)).await;
    assert_eq!(words(&world), ["failed", "ready"]);
    assert_eq!(to(&world, SLACK).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_is_away_is_tried_three_times_and_holds_up_nothing() {
    let world = telling(3).await;
    // Away for a moment: told by the third try, under the same id.
    world.stage.notices.answer(&[0, 503]);
    let (number, _) = world.camp("sparks").await;
    world.sleep(Duration::from_secs(90)).await;
    let sent = to(&world, HOOK);
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|one| one.body == sent[0].body
        && one.headers["x-bivouac-delivery"] == sent[0].headers["x-bivouac-delivery"]));
    assert!((sent[2].at - sent[0].at).num_seconds() >= 35);
    assert_eq!(events(&world).await, Vec::<String>::new());

    // Away for good: given up and said, without the address.
    world.stage.notices.answer(&[0; 100]);
    world.close(number);
    world.closed(number).await;
    world.sleep(Duration::from_secs(120)).await;
    assert_eq!(to(&world, HOOK).len(), 6);
    let said = events(&world).await;
    assert_eq!(
        said,
        [
            "Webhook (Secret hook) was not told \"gone\": the receiver is not reached: no connection: connection refused"
        ]
    );

    // One that refuses is not asked again.
    world.stage.notices.answer(&[410; 100]);
    let (other, _) = world.camp("embers").await;
    world.sleep(Duration::from_secs(120)).await;
    assert_eq!(to(&world, HOOK).len(), 7);
    let metrics = world.stage.metrics_of(0).await.expect("metrics");
    for line in [
        "bivouac_notices_total{kind=\"Webhook\",outcome=\"sent\"} 1",
        "bivouac_notices_total{kind=\"Webhook\",outcome=\"failed\"} 1",
        "bivouac_notices_total{kind=\"Webhook\",outcome=\"refused\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    assert!(world.camp_uid(other).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_sent_is_said_and_no_secret_is_in_it() {
    let world = World::new(4).await;
    secret(&world, "plain", json!({"url": "http://10.0.0.7/notify"})).await;
    secret(&world, "unsigned", json!({ "url": HOOK })).await;
    secret(&world, "login", json!({"url": "https://me:hunter2@hooks.example.com/"})).await;
    let names = ["plain", "unsigned", "login", "missing"];
    let all: Vec<Value> = names
        .iter()
        .map(|name| json!({"kind": "Webhook", "urlFrom": {"secretName": name}, "when": ["Ready"]}))
        .collect();
    world.policy(json!({ "notify": all })).await;
    world.sleep(Duration::from_secs(5)).await;
    world.camp("sparks").await;
    world.sleep(Duration::from_secs(30)).await;
    assert!(world.stage.notices.sent().is_empty());
    let mut said = events(&world).await;
    said.sort();
    let no_address = "the value of the key url is no https:// address without user and password";
    assert_eq!(
        said,
        [
            format!("Webhook (Secret login) was not told \"ready\": {no_address}"),
            "Webhook (Secret missing) was not told \"ready\": there is no such Secret in the service's namespace".into(),
            format!("Webhook (Secret plain) was not told \"ready\": {no_address}"),
            "Webhook (Secret unsigned) was not told \"ready\": the Secret has no value for the key signingSecret".into(),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn people_are_told_once_before_the_end_and_how_to_put_it_off() {
    let world = telling(5).await;
    let minute = Duration::from_secs(60);
    world.policy(json!({"lifetime": {"ttl": "40m", "maxTtl": "70m", "warnBefore": "10m"}})).await;
    let (number, head) = world.camp("sparks").await;
    world.sleep(29 * minute).await;
    assert_eq!(words(&world), ["ready"]);
    world.sleep(2 * minute).await;
    assert_eq!(words(&world), ["ready", "expiring"]);
    let ends = world.status(number).await.and_then(|status| status.expires_at).expect("an end").0;
    let sent = to(&world, HOOK);
    let notice = read(&sent[1]);
    assert_eq!(sent[1].headers["x-bivouac-event"], "expiring");
    assert_eq!(notice["revision"], head);
    let at = ends.format("%Y-%m-%d %H:%M UTC");
    assert_eq!(notice["reason"], format!("its time is up on {at}; a push gives it more time"));
    assert_eq!(notice["expiresAt"], ends.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    let url = notice["urls"][0]["url"].as_str().expect("an address");
    assert!(url.contains("preview.localhost"), "who is told can still go and look: {url}");
    world.sleep(6 * minute).await;
    assert_eq!(words(&world), ["ready", "expiring"], "once");
    assert!(to(&world, SLACK).is_empty(), "it asked for failures only");

    // A push puts it off, until the longest life ends: that is said, once more, and then it goes.
    let second = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &second).await;
    world.sleep(10 * minute).await;
    assert_eq!(words(&world), ["ready", "expiring", "ready"]);
    world.sleep(20 * minute).await;
    world.gone(number).await;
    world.sleep(minute).await;
    assert_eq!(words(&world), ["ready", "expiring", "ready", "expiring", "gone"]);
    let last = read(&to(&world, HOOK)[3]);
    let reason = last["reason"].as_str().expect("a reason");
    assert!(reason.ends_with("; that is its longest life"), "{reason}");
    assert_eq!(read(&to(&world, HOOK)[4])["expiresAt"], json!(null));
    assert_eq!(events(&world).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_comes_and_goes_is_told_once_in_ten_minutes() {
    let world = telling(6).await;
    let (number, head) = world.camp("sparks").await;
    for quick in [false, false, true] {
        world.ask(number, json!({"want": "Down"})).await;
        if quick {
            // Made anew before anybody said that it is gone.
            world.gone(number).await;
        } else {
            world.told(number, "### Preview is switched off").await;
        }
        world.ask(number, json!({"want": "Auto"})).await;
        world.ready(number, &head).await;
        world.sleep(Duration::from_secs(5)).await;
    }
    assert_eq!(words(&world), ["ready", "gone"]);
    world.sleep(Duration::from_secs(600)).await;
    world.ask(number, json!({"want": "Down"})).await;
    world.gone(number).await;
    world.sleep(Duration::from_secs(5)).await;
    assert_eq!(words(&world), ["ready", "gone", "gone"]);
}
