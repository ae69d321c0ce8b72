//! The sandbox in several processes, over sockets: a bare API server, agents by its kubeconfig, and two replicas of the
//! service, of which one is really killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A child process that does not outlive the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bivouac(arguments: &[&str], environment: &BTreeMap<&str, &str>) -> Process {
    let child = Command::new(env!("CARGO_BIN_EXE_bivouac"))
        .args(arguments)
        .envs(environment)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn();
    Process(child.expect("the program starts"))
}

/// The JSON object that a process prints first.
fn printed(process: &mut Process) -> Value {
    let mut text = String::new();
    for line in BufReader::new(process.0.stdout.take().expect("piped")).lines() {
        let line = line.expect("a line");
        text.push_str(&line);
        if line == "}" {
            break;
        }
    }
    serde_json::from_str(&text).expect("one JSON object")
}

async fn client(kubeconfig: &Path) -> Client {
    // The one crypto provider; a second call finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("a config")).expect("a client")
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

async fn until<T>(what: &str, longest: u64, condition: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(longest);
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {longest} s in vain until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect(key)
}

#[tokio::test]
async fn agents_give_a_bare_api_server_pods_and_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().to_str().expect("a path");
    let none = BTreeMap::new();
    let mut server = bivouac(&["sandbox", "--without-agents", "-o", "json", "--folder", at], &none);
    let addresses = printed(&mut server);
    let kubeconfig = text(&addresses, "kubeconfig");
    let client = client(Path::new(kubeconfig)).await;

    let namespaces: Api<Namespace> = Api::all(client.clone());
    let create = PostParams::default();
    let camp = json!({"metadata": {"name": "camp"}});
    namespaces.create(&create, &object(camp)).await.expect("a namespace");
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "camp");
    let page = json!({"metadata": {"name": "page"}, "data": {"index.html": "warm by the fire"}});
    maps.create(&create, &object(page)).await.expect("a ConfigMap");
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "camp");
    let labels = json!({"app": "web"});
    let deployment = json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {
                "containers": [{
                    "name": "web", "image": "nginx:1", "ports": [{"containerPort": 80}],
                    "volumeMounts": [{"name": "page", "mountPath": "/usr/share/nginx/html"}],
                }],
                "volumes": [{"name": "page", "configMap": {"name": "page"}}],
            }},
        },
    });
    deployments.create(&create, &object(deployment)).await.expect("a Deployment");
    let services: Api<Service> = Api::namespaced(client.clone(), "camp");
    let service = json!({
        "metadata": {"name": "web"}, "spec": {"selector": labels, "ports": [{"port": 80}]},
    });
    services.create(&create, &object(service)).await.expect("a Service");
    let ingresses: Api<Ingress> = Api::namespaced(client.clone(), "camp");
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let ingress = json!({
        "metadata": {"name": "web"},
        "spec": {"rules": [{"host": "camp.test", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": backend},
        ]}}]},
    });
    ingresses.create(&create, &object(ingress)).await.expect("an Ingress");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let available =
        async || deployments.get("web").await.expect("a Deployment").status?.available_replicas;
    assert_eq!(available().await, None, "nobody acts at a bare API server");

    let door = text(&addresses, "ingress").trim_start_matches("http://").to_owned();
    let mut agents = bivouac(
        &["sandbox", "agents", "--kubeconfig", kubeconfig, "--listen", &door, "-o", "json"],
        &none,
    );
    let told = printed(&mut agents);
    assert_eq!(text(&told, "ingress"), text(&addresses, "ingress"));
    until("the Deployment is there", 30, async || available().await.filter(|n| *n == 1)).await;
    let browser = reqwest::Client::new();
    let page = until("the page is there", 30, async || {
        let asked = browser.get(text(&told, "ingress")).header("host", "camp.test");
        let answer = asked.send().await.ok()?;
        (answer.status() == 200).then_some(answer)?.text().await.ok()
    });
    assert_eq!(page.await, "warm by the fire");

    namespaces.delete("camp", &DeleteParams::default()).await.expect("deleted");
    until("the namespace is gone", 30, async || {
        namespaces.get_opt("camp").await.expect("an answer").is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_context_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, "apiVersion: v1\nkind: Config\n").expect("a file");
    let file = file.to_str().expect("a path");
    let output = Command::new(env!("CARGO_BIN_EXE_bivouac"))
        .args(["sandbox", "agents", "--kubeconfig", file, "--context", "elsewhere"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(file) && said.contains("elsewhere"), "{said}");
}

#[tokio::test]
async fn a_service_that_is_killed_is_replaced_by_its_other_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().to_str().expect("a path");
    let mut world = bivouac(&["sandbox", "-o", "json", "--folder", at], &BTreeMap::new());
    let addresses = printed(&mut world);
    let kubeconfig = text(&addresses, "kubeconfig");
    let webhook = text(&addresses, "webhookUrl").trim_end_matches("/webhook");
    let first_door = webhook.trim_start_matches("http://");
    let serve = |replica: &str, door: &str| {
        let environment = BTreeMap::from([("KUBECONFIG", kubeconfig), ("HOSTNAME", replica)]);
        let cache = folder.path().join(replica);
        let cache = cache.to_str().expect("a path");
        let arguments = [
            "serve",
            "--instance",
            "demo",
            "--allow-http",
            "--service-account",
            "",
            "--listen",
            door,
            "--cache-dir",
            cache,
        ];
        bivouac(&arguments, &environment)
    };
    let client = client(Path::new(kubeconfig)).await;
    let leases: Api<Lease> = Api::namespaced(client.clone(), "bivouac-system");
    let leader = async || leases.get_opt("bivouac-demo").await.ok()??.spec?.holder_identity;
    let led_by = async |replica: &str| leader().await.filter(|who| who.starts_with(replica));

    let one = serve("one", first_door);
    until("one leads", 30, async || led_by("one").await).await;
    let two = serve("two", "127.0.0.1:0");
    tokio::time::sleep(Duration::from_secs(3)).await;
    led_by("one").await.expect("the first still leads");
    // SIGKILL.
    drop(one);
    let killed = Instant::now();
    until("two leads", 15, async || led_by("two").await).await;
    assert!(killed.elapsed() > Duration::from_secs(3), "not before the Lease's end");

    // SIGTERM: the Lease is given back, and the next leads at once.
    let three = serve("three", first_door);
    let browser = reqwest::Client::new();
    until("three is ready, though it follows", 30, async || {
        let answer = browser.get(format!("{webhook}/readyz")).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    let terminated = Command::new("kill").args(["-TERM", &two.0.id().to_string()]).status();
    assert!(terminated.expect("kill runs").success());
    until("three leads", 3, async || led_by("three").await).await;
    drop(three);
}
