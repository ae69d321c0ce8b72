//! Charts learn what the cluster is, and nothing is rendered again for what no camp may hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bivouac::render::tools::{HelmJob, KustomizeJob, ToolDocument, ToolError, ToolOutput, Tools};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::support::{Files, World, start};

/// Renders every chart as one ConfigMap that says what it was told of the cluster.
#[derive(Default)]
struct Mirror(AtomicUsize);

fn output(documents: Vec<ToolDocument>) -> ToolOutput {
    ToolOutput { documents, notes: Vec::new(), random: Vec::new() }
}

impl Tools for Mirror {
    fn helm(&self, job: HelmJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let data = json!({"version": job.kubernetes_version, "apis": job.api_versions.join(" ")});
        let yaml =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: facts}}\ndata: {data}\n");
        let documents = vec![ToolDocument { file: String::new(), yaml }];
        async { Ok(output(documents)) }.boxed()
    }

    fn kustomize(&self, _: KustomizeJob) -> BoxFuture<'_, Result<ToolOutput, ToolError>> {
        async { Ok(output(Vec::new())) }.boxed()
    }
}

async fn told(world: &World, number: u64) -> (String, Vec<String>) {
    let namespace = world.stage.namespace_of(number);
    let api: Api<ConfigMap> = Api::namespaced(world.stage.admin.clone(), &namespace);
    let mut data = api.get("facts").await.expect("the chart").data.expect("data");
    let apis = data.remove("apis").unwrap_or_default();
    (data.remove("version").unwrap_or_default(), apis.split(' ').map(str::to_owned).collect())
}

async fn define(world: &World, group: &str) {
    let definition = json!({
        "metadata": {"name": format!("things.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }],
        },
    });
    let definition: CustomResourceDefinition = serde_json::from_value(definition).expect("a CRD");
    let api: Api<CustomResourceDefinition> = Api::all(world.stage.admin.clone());
    api.create(&PostParams::default(), &definition).await.expect("it is defined");
}

#[tokio::test(start_paused = true)]
async fn a_chart_learns_version_and_apis_and_is_not_rendered_for_every_other_definition() {
    let mirror = Arc::new(Mirror::default());
    let world = World::with_tools(1, mirror.clone()).await;
    let chart = "apiVersion: v2\nname: facts\nversion: 0.1.0\n";
    let preview =
        "apps:\n  - {name: web, path: deploy/preview}\n  - {name: facts, path: deploy/chart}\n";
    let map = "kind: none\n";
    let files = Files::from([
        (".bivouac.yaml", preview),
        ("deploy/chart/Chart.yaml", chart),
        ("deploy/chart/templates/map.yaml", map),
    ]);
    let (number, head) = world.open("sparks", &files);
    world.ready(number, &head).await;
    let (version, apis) = told(&world, number).await;
    let (major, minor) = version.split_once('.').expect("major.minor");
    assert!(major == "1" && minor.parse::<u8>().is_ok(), "{version}");
    for there in ["v1", "v1/ConfigMap", "apps/v1", "apps/v1/Deployment", "networking.k8s.io/v1"] {
        assert!(apis.iter().any(|one| one == there), "{there} of {apis:?}");
    }
    assert!(apis.iter().all(|one| !one.starts_with("bivouac.dev/")), "{apis:?}");
    // A kind that no camp may hold is not told, also in a group of which others are.
    for not in ["v1/Namespace", "networking.k8s.io/v1/NetworkPolicy"] {
        assert!(apis.iter().all(|one| one != not), "{not} of {apis:?}");
    }
    assert!(apis.is_sorted(), "{apis:?}");

    // Somebody installs something that no camp may hold.
    let renderings = mirror.0.load(Ordering::Relaxed);
    define(&world, "other.example.com").await;
    world.sleep(Duration::from_secs(3600)).await;
    assert_eq!(mirror.0.load(Ordering::Relaxed), renderings);
    let audit = world.stage.cluster.audit();
    let reads = audit.iter().filter(|event| event.at > start() && event.uri == "/version").count();
    assert!(reads <= 8, "{reads} questions in an hour");

    // What a camp may hold is told.
    define(&world, "things.example.com").await;
    world.sleep(Duration::from_secs(700)).await;
    let allowed = [
        "ConfigMap",
        "Service",
        "Deployment.apps",
        "Ingress.networking.k8s.io",
        "Thing.things.example.com",
    ];
    world.policy(json!({"isolation": {"allowedKinds": allowed}})).await;
    world
        .until("the chart is rendered anew", async || {
            let (_, apis) = told(&world, number).await;
            let told = |wanted: &str| apis.iter().any(|one| one == wanted);
            (told("things.example.com/v1") && told("things.example.com/v1/Thing")).then_some(())
        })
        .await;
    let (_, apis) = told(&world, number).await;
    assert!(apis.iter().all(|one| one != "other.example.com/v1" && one != "batch/v1"), "{apis:?}");
}

#[tokio::test(start_paused = true)]
async fn a_push_asks_the_cluster_nothing_about_itself() {
    let world = World::new(2).await;
    let (number, _) = world.camp("sparks").await;
    let since = world.stage.clock.now();
    for text in ["one", "two", "three"] {
        let head = world.push("sparks", &crate::support::one("CHANGES.md", text));
        world.ready(number, &head).await;
    }
    let audit = world.stage.cluster.audit();
    let asked = audit.iter().filter(|event| {
        event.at > since && matches!(event.uri.as_str(), "/version" | "/apis" | "/api")
    });
    assert_eq!(asked.count(), 0);
    assert!(audit.iter().any(|event| event.uri == "/version"), "it was asked at the beginning");
}
