//! Fields of a camp's objects that others write: what is left to them, and what is put back.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{Files, World, one};

pub(crate) const WORKER: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  replicas: 1
  selector: {matchLabels: {app: worker}}
  template:
    metadata: {labels: {app: worker}}
    spec:
      containers:
        - {name: worker, image: 'ghcr.io/acme/worker:1'}
";
const SCALER: &str = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: worker}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker}
  minReplicas: 1
  maxReplicas: 5
";

fn api<K>(world: &World, number: u64) -> Api<K>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
{
    Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number))
}

pub(crate) async fn scale(world: &World, number: u64, manager: &str, replicas: i32) {
    let parameters = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let api: Api<Deployment> = api(world, number);
    api.patch_scale("worker", &parameters, &patch).await.expect("scaled");
}

async fn replicas(world: &World, number: u64) -> Option<i32> {
    let api: Api<Deployment> = api(world, number);
    api.get_opt("worker").await.expect("an answer")?.spec.replicas
}

async fn write_map(world: &World, number: u64, manager: &str, data: Value) {
    let parameters = PatchParams { field_manager: Some(manager.into()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "data": data }));
    let api: Api<ConfigMap> = api(world, number);
    api.patch("settings", &parameters, &patch).await.expect("written");
}

async fn map(world: &World, number: u64, key: &str) -> Option<String> {
    let api: Api<ConfigMap> = api(world, number);
    api.get_opt("settings").await.expect("an answer")?.data?.remove(key)
}

/// A commit that changes nothing of what is watched here, and the camp ready with it.
async fn next_commit(world: &World, number: u64, text: &str) {
    let head = world.push("sparks", &one("CHANGES.md", text));
    world.ready(number, &head).await;
}

async fn yielded(world: &World, number: u64) -> Vec<(String, String, String)> {
    let status = world.status(number).await.expect("a status");
    let all = status.yielded.into_iter();
    all.map(|one| (format!("{}/{}", one.kind, one.name), one.field, one.manager)).collect()
}

#[tokio::test(start_paused = true)]
async fn replicas_that_an_autoscaler_set_are_left_to_it_until_the_object_is_another_one() {
    let world = World::new(1).await;
    let (number, head) = world.open("sparks", &one("deploy/preview/worker.yaml", WORKER));
    world.ready(number, &head).await;
    scale(&world, number, "kube-controller-manager", 3).await;
    next_commit(&world, number, "one").await;
    assert_eq!(replicas(&world, number).await, Some(3));
    let noted = ("Deployment/worker", ".spec.replicas", "kube-controller-manager");
    let noted = (noted.0.to_owned(), noted.1.to_owned(), noted.2.to_owned());
    assert_eq!(yielded(&world, number).await, std::slice::from_ref(&noted));

    // It stays so, without a conflict at each commit.
    let since = world.stage.clock.now();
    next_commit(&world, number, "two").await;
    assert_eq!(replicas(&world, number).await, Some(3));
    assert_eq!(yielded(&world, number).await, [noted]);
    let mut conflicts = world.writes_since(since);
    conflicts.retain(|write| write.impersonated.is_some() && write.code == 409);
    assert_eq!(conflicts, []);

    // Another object of the same name belongs to nobody else.
    let workers: Api<Deployment> = api(&world, number);
    workers.delete("worker", &DeleteParams::default()).await.expect("deleted");
    next_commit(&world, number, "three").await;
    assert_eq!(replicas(&world, number).await, Some(1));
    assert_eq!(yielded(&world, number).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_field_that_left_the_bundle_is_forgotten() {
    let world = World::anywhere(2).await;
    let (number, head) = world.open("sparks", &one("deploy/preview/worker.yaml", WORKER));
    world.ready(number, &head).await;
    scale(&world, number, "kube-controller-manager", 3).await;
    next_commit(&world, number, "one").await;
    assert_eq!(yielded(&world, number).await.len(), 1);
    let without = WORKER.replace("  replicas: 1\n", "");
    let head = world.push("sparks", &one("deploy/preview/worker.yaml", &without));
    world.ready(number, &head).await;
    assert_eq!(yielded(&world, number).await, []);
    assert_eq!(replicas(&world, number).await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn replicas_that_somebody_set_by_hand_are_put_back() {
    let world = World::anywhere(3).await;
    let (number, head) = world.open("sparks", &one("deploy/preview/worker.yaml", WORKER));
    world.ready(number, &head).await;
    scale(&world, number, "kubectl", 3).await;
    next_commit(&world, number, "one").await;
    assert_eq!(replicas(&world, number).await, Some(1));
    assert_eq!(yielded(&world, number).await, []);
}

#[tokio::test(start_paused = true)]
async fn replicas_are_never_sent_where_the_bundle_has_an_autoscaler() {
    let world = World::anywhere(4).await;
    let files = Files::from([
        ("deploy/preview/worker.yaml", WORKER),
        ("deploy/preview/scaler.yaml", SCALER),
    ]);
    let (number, head) = world.open("sparks", &files);
    world.ready(number, &head).await;
    for (manager, count) in [("kube-controller-manager", 3), ("kubectl", 4)] {
        scale(&world, number, manager, count).await;
        next_commit(&world, number, manager).await;
        assert_eq!(replicas(&world, number).await, Some(count));
        assert_eq!(yielded(&world, number).await, [], "nobody was asked");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_repository_leaves_to_somebody_stays_his_and_everything_else_is_put_back() {
    let world = World::anywhere(5).await;
    let rule = json!({"kind": "ConfigMap", "field": ".data.token", "manager": "token-operator"});
    world.policy(json!({"isolation": {"yield": [rule]}})).await;
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {token: none, mode: calm}\n";
    let (number, head) = world.open("sparks", &one("deploy/preview/settings.yaml", settings));
    world.ready(number, &head).await;

    write_map(&world, number, "token-operator", json!({"token": "t1", "mode": "wild"})).await;
    next_commit(&world, number, "one").await;
    assert_eq!(map(&world, number, "token").await.as_deref(), Some("t1"));
    assert_eq!(map(&world, number, "mode").await.as_deref(), Some("calm"));
    let all = yielded(&world, number).await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!((all[0].1.as_str(), all[0].2.as_str()), (".data.token", "token-operator"));

    // Without the rule the field is the bundle's again.
    world.policy(json!({"isolation": {"yield": null}})).await;
    next_commit(&world, number, "two").await;
    assert_eq!(map(&world, number, "token").await.as_deref(), Some("none"));
    assert_eq!(yielded(&world, number).await, []);

    write_map(&world, number, "somebody", json!({"token": "t2"})).await;
    next_commit(&world, number, "three").await;
    assert_eq!(map(&world, number, "token").await.as_deref(), Some("none"));
}
