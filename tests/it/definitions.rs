//! A definition of a kind that a commit brings: left out where the cluster has it, refused where it has not, and tried again
//! when it has come.

use std::time::Duration;

use bivouac::crd::Phase;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::support::{SWEEP, World, one};

fn definition(versions: &[&str]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .enumerate()
        .map(|(index, name)| {
            json!({"name": name, "served": true, "storage": index == 0,
                "schema": {"openAPIV3Schema": {"type": "object"}}})
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
            "versions": versions},
    })
}

fn definitions(world: &World) -> Api<CustomResourceDefinition> {
    Api::all(world.stage.admin.clone())
}

async fn define(world: &World, versions: &[&str]) {
    let object = serde_json::from_value(definition(versions)).expect("a definition");
    definitions(world).create(&PostParams::default(), &object).await.expect("it is defined");
}

const FILE: &str = "deploy/preview/crd.yaml";

#[tokio::test(start_paused = true)]
async fn a_definition_that_the_cluster_has_in_these_versions_is_left_out_with_a_note() {
    let world = World::new(1).await;
    define(&world, &["v1", "v1beta1"]).await;
    world.sleep(Duration::from_secs(700)).await;
    let before = definitions(&world).get("things.example.com").await.expect("there");
    let (number, head) = world.open("sparks", &one(FILE, &definition(&["v1"]).to_string()));
    world.ready(number, &head).await;
    let notes = world.status(number).await.expect("a status").notes;
    let note = notes.iter().find(|note| note.file.as_deref() == Some(FILE)).expect("a note");
    assert_eq!(
        note.message,
        "CustomResourceDefinition/things.example.com is left out: the cluster has it already"
    );
    let after = definitions(&world).get("things.example.com").await.expect("there");
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version);
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_the_cluster_lacks_is_refused_until_it_is_there() {
    let world = World::new(2).await;
    let (number, head) = world.open("sparks", &one(FILE, &definition(&["v1", "v2"]).to_string()));
    let refused = world.told(number, "### Preview is refused").await;
    assert!(
        refused.contains(
            "the cluster has no CustomResourceDefinition things.example.com (Thing v1, v2), and a preview may not bring one"
        ) && refused.contains("BR016 definition-missing")
            && refused.contains("ask the platform team to install it"),
        "{refused}"
    );
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Refused));
    assert_eq!(status.condition("Rendered").expect("a condition").reason, "DefinitionMissing");
    assert!(world.namespace(number).await.is_none(), "nothing of it was written");
    // It stays so, and costs nothing once all of it is told.
    world.sleep(SWEEP).await;
    let since = world.stage.clock.now();
    // Once an hour the Repository says that there are sweeps.
    world.sleep(Duration::from_secs(3000)).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new());

    // Other versions are not these.
    define(&world, &["v1"]).await;
    let told = world.told(number, "in other versions").await;
    assert!(
        told.contains("it serves v1, and CustomResourceDefinition/things.example.com says v1, v2"),
        "{told}"
    );

    definitions(&world)
        .delete("things.example.com", &DeleteParams::default())
        .await
        .expect("it goes");
    world.sleep(Duration::from_secs(60)).await;
    define(&world, &["v1", "v2"]).await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_repository_may_leave_out_every_definition() {
    let world = World::anywhere(3).await;
    let ignore = json!(["CustomResourceDefinition.apiextensions.k8s.io"]);
    world.policy(json!({"isolation": {"clusterScoped": {"ignore": ignore}}})).await;
    let (number, head) = world.open("sparks", &one(FILE, &definition(&["v1"]).to_string()));
    world.ready(number, &head).await;
    assert!(definitions(&world).get_opt("things.example.com").await.expect("an answer").is_none());
}
