//! Objects of kinds that somebody else defined: they come late, and they go.

use std::time::Duration;

use bivouac::crd::Phase;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;

use crate::support::{World, one};

const GROUP: &str = "tea.example.com";
const KETTLE: &str =
    "apiVersion: tea.example.com/v1\nkind: Kettle\nmetadata: {name: big}\nspec: {litres: 2}\n";
const PATH: &str = "deploy/preview/kettle.yaml";

fn definition(served: bool) -> CustomResourceDefinition {
    let definition = json!({
        "metadata": {"name": format!("kettles.{GROUP}")},
        "spec": {
            "group": GROUP, "scope": "Namespaced", "names": {"plural": "kettles", "kind": "Kettle"},
            "versions": [{
                "name": "v1", "served": served, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "properties": {"litres": {"type": "integer", "maximum": 9}}}},
                }},
            }],
        },
    });
    serde_json::from_value(definition).expect("a CRD")
}

fn definitions(world: &World) -> Api<CustomResourceDefinition> {
    Api::all(world.stage.admin.clone())
}

async fn install(world: &World) {
    definitions(world).create(&PostParams::default(), &definition(true)).await.expect("defined");
}

async fn uninstall(world: &World) {
    let name = format!("kettles.{GROUP}");
    definitions(world).delete(&name, &DeleteParams::default()).await.expect("deleted");
    world
        .until("the definition is gone", async || {
            let found = definitions(world).get_opt(&name).await.expect("an answer");
            found.is_none().then_some(())
        })
        .await;
}

/// What the platform team does once: kettles are allowed, and the deployer has a right to them.
async fn allow(world: &World) {
    let roles: Api<ClusterRole> = Api::all(world.stage.admin.clone());
    let mut role = roles.get("bivouac-deployer").await.expect("the role");
    role.rules.get_or_insert_default().push(PolicyRule {
        api_groups: Some(vec![GROUP.into()]),
        resources: Some(vec!["kettles".into()]),
        verbs: ["get", "list", "watch", "create", "patch", "update", "delete"]
            .map(str::to_owned)
            .to_vec(),
        ..PolicyRule::default()
    });
    roles.replace("bivouac-deployer", &PostParams::default(), &role).await.expect("replaced");
    let kinds = ["ConfigMap", "Service", "Deployment.apps", "Ingress.networking.k8s.io"];
    let mut kinds: Vec<String> = kinds.map(str::to_owned).to_vec();
    kinds.push(format!("Kettle.{GROUP}"));
    world.policy(json!({"isolation": {"allowedKinds": kinds}})).await;
}

async fn litres(world: &World, number: u64) -> Option<i64> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", "Kettle"));
    let namespace = world.stage.namespace_of(number);
    let api: Api<DynamicObject> =
        Api::namespaced_with(world.stage.admin.clone(), &namespace, &kind);
    api.get_opt("big").await.ok()??.data["spec"]["litres"].as_i64()
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_the_cluster_lacks_is_named_with_its_group_and_works_within_five_seconds_when_it_comes()
 {
    let world = World::new(1).await;
    allow(&world).await;
    let (number, head) = world.open("sparks", &one(PATH, KETTLE));
    let comment = world.told(number, "### Preview is refused").await;
    assert!(comment.contains("the cluster has no Kettle in tea.example.com/v1"), "{comment}");
    assert!(comment.contains(&format!("{PATH}:2")), "{comment}");
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Refused));
    let maps = world.config_maps(number).await;
    assert!(!maps.contains(&"page".to_owned()), "nothing of the bundle is written: {maps:?}");

    // It is looked for by one question each three seconds, and nothing else.
    world.sleep(Duration::from_secs(90)).await;
    let since = world.stage.clock.now();
    world.sleep(Duration::from_secs(60)).await;
    let audit = world.stage.cluster.audit();
    let asked = audit.iter().filter(|e| e.at >= since && e.uri.starts_with("/apis/tea.")).count();
    assert!((15..=21).contains(&asked), "{asked} questions in a minute");
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new());

    install(&world).await;
    world
        .within(Duration::from_secs(5), "the kettle is there", async || {
            litres(&world, number).await.filter(|litres| *litres == 2)
        })
        .await;
    world.ready(number, &head).await;
    let since = world.stage.clock.now();
    world.sleep(Duration::from_secs(30)).await;
    let audit = world.stage.cluster.audit();
    let asked = audit
        .iter()
        .filter(|e| e.at >= since && e.uri.starts_with("/apis/tea.") && e.resource.is_empty());
    assert_eq!(asked.count(), 0, "discovery is remembered");
}

#[tokio::test(start_paused = true)]
async fn an_object_of_a_kind_of_somebody_else_is_tried_applied_changed_and_pruned() {
    let world = World::new(2).await;
    allow(&world).await;
    install(&world).await;
    let (number, head) = world.open("sparks", &one(PATH, KETTLE));
    world.ready(number, &head).await;
    assert_eq!(litres(&world, number).await, Some(2));
    world.push("sparks", &one(PATH, &KETTLE.replace("litres: 2", "litres: 12")));
    let comment = world.told(number, "### Preview is refused").await;
    assert!(comment.contains("Kettle/big: spec.litres"), "{comment}");
    assert_eq!(litres(&world, number).await, Some(2));
    let head = world.push("sparks", &one(PATH, &KETTLE.replace("litres: 2", "litres: 3")));
    world.ready(number, &head).await;
    assert_eq!(litres(&world, number).await, Some(3));
    let head = world.push("sparks", &one(PATH, ""));
    world.ready(number, &head).await;
    assert_eq!(litres(&world, number).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_goes_leaves_its_entries_and_a_condition_and_is_applied_again_when_it_is_back()
{
    let world = World::new(3).await;
    allow(&world).await;
    install(&world).await;
    let (number, head) = world.open("sparks", &one(PATH, KETTLE));
    world.ready(number, &head).await;
    uninstall(&world).await;
    let condition = world
        .until("the condition says so", async || {
            let status = world.status(number).await?;
            status.condition("KindsServed").filter(|it| it.status == "False").cloned()
        })
        .await;
    assert_eq!(condition.reason, "KindGone");
    assert!(condition.message.contains("Kettle in tea.example.com/v1"), "{}", condition.message);
    let status = world.status(number).await.expect("a status");
    assert!(status.inventory.iter().any(|entry| entry.kind == "Kettle"), "{:?}", status.inventory);
    assert!(status.holds("Ready"), "what runs is none the worse for it");

    let since = world.stage.clock.now();
    world.sleep(Duration::from_secs(700)).await;
    let mut written = world.written_by_the_service(since);
    // A sweep says once an hour that it was there.
    written.retain(|line| !line.contains("/repositories/"));
    assert_eq!(written, Vec::<String>::new(), "it is said once");

    install(&world).await;
    world
        .until("the kettle is back", async || {
            litres(&world, number).await.filter(|litres| *litres == 2)
        })
        .await;
    world
        .until("the condition is well again", async || {
            world.status(number).await?.holds("KindsServed").then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_left_the_bundle_while_its_kind_is_gone_stays_in_the_inventory() {
    let world = World::new(4).await;
    allow(&world).await;
    install(&world).await;
    let (number, head) = world.open("sparks", &one(PATH, KETTLE));
    world.ready(number, &head).await;
    // Not served for a while, say while its operator is updated: the objects are still there.
    let mut off = definitions(&world).get(&format!("kettles.{GROUP}")).await.expect("defined");
    off.spec.versions[0].served = false;
    let mut more = off.spec.versions[0].clone();
    more.name = "v2".into();
    more.served = true;
    more.storage = false;
    off.spec.versions.push(more);
    let name = format!("kettles.{GROUP}");
    definitions(&world).replace(&name, &PostParams::default(), &off).await.expect("replaced");
    world
        .until("it is noticed", async || {
            let status = world.status(number).await?;
            status.condition("KindsServed").is_some_and(|it| it.status == "False").then_some(())
        })
        .await;
    world.push("sparks", &one(PATH, ""));
    world.sleep(Duration::from_secs(30)).await;
    let status = world.status(number).await.expect("a status");
    assert!(status.inventory.iter().any(|entry| entry.kind == "Kettle"), "{:?}", status.inventory);

    off = definitions(&world).get(&name).await.expect("defined");
    off.spec.versions[0].served = true;
    definitions(&world).replace(&name, &PostParams::default(), &off).await.expect("replaced");
    world
        .until("it is pruned", async || litres(&world, number).await.is_none().then_some(()))
        .await;
}
