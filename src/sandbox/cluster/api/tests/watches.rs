//! Watches: what they send, in which order, and how they end.

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};

use super::*;
use crate::sandbox::cluster::api::FaultPlan;

/// The lines of a watch, as they come.
struct Lines {
    body: Body,
    rest: Vec<u8>,
}

impl Lines {
    async fn open(raw: &Raw, path: &str) -> Self {
        let request = Request::builder()
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", raw.token))
            .body(seams::body(""))
            .expect("a request");
        let response = raw.server.transport().oneshot(request).await.expect("answered");
        assert_eq!(response.status(), 200);
        Self { body: response.into_body(), rest: Vec::new() }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("a line is JSON"));
            }
            let frame = self.body.frame().await?.ok()?;
            self.rest.extend_from_slice(&frame.into_data().expect("data"));
        }
    }

    async fn named(&mut self) -> (String, String) {
        let event = soon(self.next()).await.expect("an event");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

fn event(kind: &str, name: &str) -> (String, String) {
    (kind.to_owned(), name.to_owned())
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[tokio::test(start_paused = true)]
async fn a_watch_tells_what_comes_changes_and_goes_from_its_version_on() {
    let server = server();
    let admin = Raw::admin(&server);
    let (_, a) = admin.post(MAPS, &config_map("a", "1")).await;
    let from = a["metadata"]["resourceVersion"].as_str().expect("a version");
    let mut lines = Lines::open(&admin, &format!("{MAPS}?watch=true&resourceVersion={from}")).await;
    admin.post(MAPS, &config_map("b", "1")).await;
    admin.merge(&format!("{MAPS}/a"), &json!({"data": {"k": "2"}})).await;
    admin.delete(&format!("{MAPS}/b")).await;
    for wanted in [event("ADDED", "b"), event("MODIFIED", "a"), event("DELETED", "b")] {
        assert_eq!(lines.named().await, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn leaving_the_selection_is_a_delete_and_entering_it_an_add() {
    let server = server();
    let admin = Raw::admin(&server);
    admin.post(MAPS, &config_map("a", "1")).await;
    let (_, list) = admin.get(MAPS).await;
    let from = list["metadata"]["resourceVersion"].as_str().expect("a version");
    let path = format!("{MAPS}?watch=true&labelSelector=x%3Dy&resourceVersion={from}");
    let mut lines = Lines::open(&admin, &path).await;
    let a = format!("{MAPS}/a");
    admin.merge(&a, &json!({"metadata": {"labels": {"x": "y"}}})).await;
    admin.merge(&a, &json!({"data": {"k": "2"}})).await;
    admin.merge(&a, &json!({"metadata": {"labels": {"x": null}}})).await;
    for wanted in [event("ADDED", "a"), event("MODIFIED", "a"), event("DELETED", "a")] {
        assert_eq!(lines.named().await, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_ends_with_a_bookmark_and_bookmarks_go_on() {
    let server = server();
    let admin = Raw::admin(&server);
    admin.post(MAPS, &config_map("a", "1")).await;
    let path = format!(
        "{MAPS}?watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=150"
    );
    let mut lines = Lines::open(&admin, &path).await;
    assert_eq!(lines.named().await, event("ADDED", "a"));
    let mark = lines.next().await.expect("a bookmark");
    assert_eq!(mark["type"], "BOOKMARK");
    assert_eq!(mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    let mut marks = 0;
    while let Some(event) = lines.next().await {
        assert_eq!(event["type"], "BOOKMARK");
        marks += 1;
    }
    assert_eq!(marks, 3, "after one minute, after two, and at the end");
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_before_the_history_gets_410() {
    let server = server();
    let admin = Raw::admin(&server);
    admin.post(MAPS, &config_map("a", "1")).await;
    server.compact();
    let mut lines = Lines::open(&admin, &format!("{MAPS}?watch=true&resourceVersion=2")).await;
    let error = lines.next().await.expect("an event");
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert!(lines.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_kube_watcher_survives_cut_watches() {
    let server = server();
    server.set_faults(FaultPlan { cut_watches: 1000, ..FaultPlan::default() });
    let admin = Raw::admin(&server);
    let maps: Api<ConfigMap> = Api::namespaced(client(&server), "default");
    let mut seen = watcher(maps, watcher::Config::default().streaming_lists())
        .default_backoff()
        .applied_objects()
        .boxed();
    for round in 0..5 {
        let name = format!("m{round}");
        admin.post(MAPS, &config_map(&name, "1")).await;
        let wait = async {
            loop {
                if let Some(Ok(map)) = seen.next().await
                    && map.metadata.name.as_ref() == Some(&name)
                {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(120), wait).await.expect("the watcher goes on");
        tokio::time::sleep(Duration::from_secs(15)).await;
    }
}
