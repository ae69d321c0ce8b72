//! Requests against a cluster that is told to the door as a watch would tell it.

#![expect(
    clippy::needless_pass_by_value,
    reason = "a json! literal reads best where it is handed over"
)]

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

fn pod(name: &str, ready: bool) -> Value {
    json!({
        "metadata": { "name": name, "namespace": "n", "uid": name, "labels": { "app": "web" } },
        "spec": {
            "containers": [{
                "name": "web", "image": "docker.io/library/nginx:1.27-alpine",
                "ports": [{ "name": "http", "containerPort": 8080 }],
                "volumeMounts": [
                    { "name": "page", "mountPath": "/usr/share/nginx/html" },
                    { "name": "assets", "mountPath": "/usr/share/nginx/html/assets" },
                    { "name": "extra", "mountPath": "/usr/share/nginx/html/robots.txt", "subPath": "robots" },
                ],
            }],
            "volumes": [
                { "name": "page", "configMap": { "name": "page" } },
                { "name": "assets", "configMap": { "name": "assets", "items": [{ "key": "style", "path": "css/site.css" }] } },
                { "name": "extra", "configMap": { "name": "extra" } },
            ],
        },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
    })
}

fn map(name: &str, data: Value) -> Value {
    json!({ "metadata": { "name": name, "namespace": "n", "uid": name }, "data": data, "binaryData": { "dot.png": "AAEC" } })
}

fn ingress(name: &str, rules: Value) -> Value {
    json!({ "metadata": { "name": name, "namespace": "n", "uid": name }, "spec": { "rules": rules } })
}

fn rule(host: &str, kind: &str, path: &str, service: &str) -> Value {
    json!({ "host": host, "http": { "paths": [{ "path": path, "pathType": kind,
        "backend": { "service": { "name": service, "port": { "number": 80 } } } }] } })
}

fn door(ready: bool) -> Ingress {
    let door = Ingress::new();
    let service = |name: &str, app: &str| {
        json!({ "metadata": { "name": name, "namespace": "n", "uid": name },
            "spec": { "selector": { "app": app }, "ports": [{ "port": 80, "targetPort": "http" }] } })
    };
    let rules = json!([
        rule("Web.Example.org", "Prefix", "/", "web"),
        rule("web.example.org", "Prefix", "/api", "none"),
        rule("web.example.org", "Exact", "/assets/css/site.css", "web"),
        rule("*.wild.org", "Prefix", "/", "web"),
        rule("narrow.org", "Prefix", "/only", "web"),
        rule("gone.org", "Prefix", "/", "gone"),
    ]);
    for (resource, objects) in [
        (&INGRESSES, vec![ingress("i", rules)]),
        (&SERVICES, vec![service("web", "web"), service("none", "none")]),
        (&PODS, vec![pod("web-1", ready)]),
        (&SLICES, Vec::new()),
        (
            &CONFIG_MAPS,
            vec![
                map("page", json!({ "index.html": "<h1>hello</h1>", "about.html": "about" })),
                map("assets", json!({ "style": "body{}", "index.html": "not an item" })),
                map("extra", json!({ "robots": "User-agent: *" })),
            ],
        ),
    ] {
        door.take(resource, Change::Listed(objects, 1));
    }
    door
}

async fn get(door: &Ingress, host: &str, path: &str) -> (u16, String, String) {
    let request = http::Request::get(path).header(HOST, host).body(body("")).expect("a request");
    let answer = door.transport().oneshot(request).await.expect("an answer");
    let status = answer.status().as_u16();
    let kind = answer.headers()[CONTENT_TYPE].to_str().expect("text").to_owned();
    let bytes = answer.into_body().collect().await.expect("a body").to_bytes();
    (status, kind, String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn the_page_of_the_pods_configmap_is_served() {
    let door = door(true);
    for (host, path, kind, text) in [
        ("web.example.org", "/", "text/html; charset=utf-8", "<h1>hello</h1>"),
        ("WEB.example.ORG:8080", "/?a=b", "text/html; charset=utf-8", "<h1>hello</h1>"),
        ("web.example.org", "/about.html", "text/html; charset=utf-8", "about"),
        ("web.example.org", "/assets/css/site.css", "text/css; charset=utf-8", "body{}"),
        ("web.example.org", "/robots.txt", "text/plain; charset=utf-8", "User-agent: *"),
        ("web.example.org", "/dot.png", "image/png", "\u{0}\u{1}\u{2}"),
        ("a.wild.org", "/%61bout.html", "text/html; charset=utf-8", "about"),
    ] {
        assert_eq!(get(&door, host, path).await, (200, kind.into(), text.into()), "{host}{path}");
    }
}

#[tokio::test]
async fn what_leads_nowhere_says_why() {
    let door = door(true);
    for (host, path, status, text) in [
        ("other.org", "/", 404, "no Ingress for host other.org"),
        ("a.b.wild.org", "/", 404, "no Ingress for host a.b.wild.org"),
        ("narrow.org", "/onlyish", 404, "no Ingress rule of host narrow.org is for path /onlyish"),
        ("web.example.org", "/missing", 404, "pod web-1 has no file /usr/share/nginx/html/missing"),
        (
            "web.example.org",
            "/assets/index.html",
            404,
            "pod web-1 has no file /usr/share/nginx/html/assets/index.html",
        ),
        (
            "web.example.org",
            "/api/x",
            503,
            "no ready pod behind Service n/none: its selector chooses no pod",
        ),
        ("gone.org", "/", 503, "there is no Service n/gone"),
        ("web.example.org", "/../x", 400, "the path is not a clean UTF-8 path"),
        ("web.example.org", "/%2e%2e/x", 400, "the path is not a clean UTF-8 path"),
        ("web.example.org", "/%zz", 400, "the path is not a clean UTF-8 path"),
    ] {
        let (got, _, page) = get(&door, host, path).await;
        assert_eq!((got, page.lines().last().unwrap_or("")), (status, text), "{host}{path}");
    }
}

#[tokio::test]
async fn a_pod_that_is_not_ready_is_named() {
    let (status, _, page) = get(&door(false), "web.example.org", "/").await;
    assert_eq!(status, 503);
    assert!(page.contains("no ready pod behind Service n/web: web-1 is Running"), "{page}");
}

#[tokio::test]
async fn a_pod_without_content_answers_all_the_same() {
    let door = door(true);
    let mut bare = pod("web-1", true);
    bare["spec"]["volumes"] = json!([]);
    bare["metadata"]["resourceVersion"] = json!("9");
    door.take(&PODS, Change::Put(bare));
    let (status, _, page) = get(&door, "web.example.org", "/").await;
    assert_eq!(status, 200);
    assert!(page.contains("mounts no ConfigMap"), "{page}");
}

#[tokio::test]
async fn before_the_cluster_is_read_nothing_is_claimed() {
    let (status, _, page) = get(&Ingress::new(), "web.example.org", "/").await;
    assert_eq!(status, 503);
    assert!(page.contains("has not read the cluster yet"), "{page}");
}

#[tokio::test]
async fn only_reading_is_answered_and_head_has_no_body() {
    let door = door(true);
    let request = |method: Method| {
        http::Request::builder()
            .method(method)
            .uri("http://web.example.org/")
            .body(body(""))
            .expect("a request")
    };
    let answer = door.transport().oneshot(request(Method::POST)).await.expect("an answer");
    assert_eq!(answer.status(), 405);
    let answer = door.transport().oneshot(request(Method::HEAD)).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[CONTENT_LENGTH], "14");
    assert!(answer.into_body().collect().await.expect("a body").to_bytes().is_empty());
}

#[tokio::test]
async fn it_answers_on_a_listener_until_it_is_told_to_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let door = door(true);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let address = listener.local_addr().expect("bound");
    let token = CancellationToken::new();
    let ends = token.clone();
    let served = tokio::spawn(async move { door.serve(listener, ends).await });
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let request = format!(
        "GET / HTTP/1.1\r\nHost: web.example.org:{}\r\nConnection: close\r\n\r\n",
        address.port()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n<h1>hello</h1>"), "{answer}");
    token.cancel();
    served.await.expect("no panic").expect("served");
}
