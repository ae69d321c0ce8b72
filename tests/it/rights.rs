//! The rights of a camp's deployer: those that are on their way, those that are missing, and those that change.

use std::time::Duration;

use bivouac::crd::Phase;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, RoleBinding};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::support::{World, one};

const DEPLOYER: &str = "bivouac-deployer";

fn roles(world: &World) -> Api<ClusterRole> {
    Api::all(world.stage.admin.clone())
}

/// Takes Services out of what a deployer may touch. Gives the role as it was.
async fn without_services(world: &World) -> ClusterRole {
    let before = roles(world).get(DEPLOYER).await.expect("the role");
    let mut less = before.clone();
    for rule in less.rules.as_mut().expect("rules") {
        if let Some(resources) = &mut rule.resources {
            resources.retain(|resource| resource != "services");
        }
    }
    assert_ne!(less.rules, before.rules);
    roles(world).replace(DEPLOYER, &PostParams::default(), &less).await.expect("replaced");
    before
}

async fn put_back(world: &World, mut role: ClusterRole) {
    role.metadata.resource_version = None;
    roles(world).replace(DEPLOYER, &PostParams::default(), &role).await.expect("replaced");
}

#[tokio::test(start_paused = true)]
async fn a_right_that_comes_some_seconds_late_is_nobodys_fault() {
    let world = World::new(1).await;
    let role = without_services(&world).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world
        .until("the camp is there", async || {
            let maps = world.config_maps(number).await;
            maps.contains(&"bivouac-env".to_owned()).then_some(())
        })
        .await;
    for _ in 0..50 {
        world.sleep(Duration::from_millis(100)).await;
        let status = world.status(number).await.expect("a status");
        assert_eq!(status.phase, Some(Phase::Progressing), "{:?}", status.reason);
    }
    put_back(&world, role).await;
    world
        .within(Duration::from_secs(10), "it is ready within seconds", async || {
            world.status(number).await?.holds("Ready").then_some(())
        })
        .await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_still_missing_after_ten_seconds_is_told() {
    let world = World::new(2).await;
    let role = without_services(&world).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    let opened = world.stage.clock.now();
    let comment = world.told(number, "cannot patch resource").await;
    assert!(comment.contains("Service/web"), "{comment}");
    let took = (world.stage.clock.now() - opened).num_seconds();
    assert!((10..20).contains(&took), "after {took} s");
    put_back(&world, role).await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn another_deployer_role_holds_for_the_camp_that_stands() {
    let world = World::anywhere(3).await;
    let (number, head) = world.camp("sparks").await;
    let uid = world.camp_uid(number).await;
    let mut role = roles(&world).get(DEPLOYER).await.expect("the role");
    role.metadata = kube::api::ObjectMeta {
        name: Some("campfire-deployer".into()),
        ..kube::api::ObjectMeta::default()
    };
    roles(&world).create(&PostParams::default(), &role).await.expect("another role");
    let mut service = roles(&world).get("bivouac").await.expect("the service's role");
    service.rules.get_or_insert_default().push(PolicyRule {
        api_groups: Some(vec!["rbac.authorization.k8s.io".into()]),
        resources: Some(vec!["clusterroles".into()]),
        resource_names: Some(vec!["campfire-deployer".into()]),
        verbs: vec!["bind".into()],
        ..PolicyRule::default()
    });
    roles(&world).replace("bivouac", &PostParams::default(), &service).await.expect("may bind");

    world.policy(json!({"isolation": {"deployerRole": "campfire-deployer"}})).await;
    let bindings: Api<RoleBinding> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    world
        .until("the deployer is bound to the other role", async || {
            let binding = bindings.get_opt(DEPLOYER).await.expect("an answer")?;
            (binding.role_ref.name == "campfire-deployer").then_some(())
        })
        .await;
    world.ready(number, &head).await;
    assert_eq!(world.camp_uid(number).await, uid, "in the same camp");
}
