//! Fields that can't be changed: the object is made anew where that is allowed, and explained elsewhere.

use bivouac::crd::Phase;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Service};
use kube::{Api, ResourceExt as _};

use crate::support::{World, one};

const PATH: &str = "deploy/preview/thing.yaml";

fn deployment(label: &str, annotation: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: thing
  annotations: {{{annotation}}}
spec:
  selector: {{matchLabels: {{app: {label}}}}}
  template:
    metadata: {{labels: {{app: {label}}}}}
    spec:
      containers:
        - {{name: main, image: 'ghcr.io/acme/worker:1'}}
"
    )
}

fn stateful(service: &str, annotation: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: thing
  annotations: {{{annotation}}}
spec:
  serviceName: {service}
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec:
      containers:
        - {{name: main, image: 'ghcr.io/acme/worker:1'}}
"
    )
}

fn job(word: &str) -> String {
    format!(
        "apiVersion: batch/v1
kind: Job
metadata: {{name: thing}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - {{name: main, image: 'ghcr.io/acme/seed:1', args: [{word}]}}
"
    )
}

fn service(headless: bool, annotation: &str) -> String {
    let address = if headless { "\n  clusterIP: None" } else { "" };
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: thing\n  annotations: {{{annotation}}}\nspec:\n  selector: {{app: web}}\n  ports: [{{port: 80}}]{address}\n"
    )
}

fn claim(mode: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: thing}}\nspec:\n  accessModes: [{mode}]\n  resources: {{requests: {{storage: 1Gi}}}}\n"
    )
}

fn settings(word: &str, annotation: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: thing\n  annotations: {{{annotation}}}\nimmutable: true\ndata: {{a: {word}}}\n"
    )
}

async fn uid<K>(world: &World, number: u64) -> Option<String>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    api.get_opt("thing").await.expect("an answer").and_then(|object| object.uid())
}

/// `before` runs; `after` is refused with `field` and `hint`, and what ran goes on.
async fn explained<K>(world: &World, branch: &str, before: &str, after: &str, words: [&str; 3])
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let (number, head) = world.open(branch, &one(PATH, before));
    world.ready(number, &head).await;
    let first = uid::<K>(world, number).await;
    assert!(first.is_some());
    world.push(branch, &one(PATH, after));
    let comment = world.told(number, "### Preview is refused").await;
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Refused));
    let finding = &status.findings[0];
    assert_eq!(finding.rule, "BA002 immutable-field", "{}", finding.message);
    let hint = finding.hint.clone().unwrap_or_default();
    let [object, field, way_out] = words;
    assert!(finding.message.starts_with(object), "{}", finding.message);
    assert!(finding.message.contains(field), "{}", finding.message);
    assert!(hint.contains(way_out) && hint.contains("bivouac.dev/replace"), "{hint}");
    assert!(comment.contains(PATH) && comment.contains("immutable"), "{comment}");
    assert_eq!(uid::<K>(world, number).await, first, "it was not touched");
    let (code, page) = world.page(number).await.expect("an answer");
    assert!(code == 200 && page.contains(&head));
}

/// `before` runs; `after` is made anew and runs.
async fn replaced<K>(world: &World, branch: &str, before: &str, after: &str)
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let (number, head) = world.open(branch, &one(PATH, before));
    world.ready(number, &head).await;
    let first = uid::<K>(world, number).await;
    assert!(first.is_some());
    // What can be changed is changed, whatever is allowed.
    let same = world.push(branch, &one("CHANGES.md", branch));
    world.ready(number, &same).await;
    assert_eq!(uid::<K>(world, number).await, first, "nothing to make anew");

    let head = world.push(branch, &one(PATH, after));
    world.ready(number, &head).await;
    let second = uid::<K>(world, number).await;
    assert!(second.is_some() && second != first, "{first:?} {second:?}");
}

const ALLOWED: &str = "bivouac.dev/replace: 'true'";

#[tokio::test(start_paused = true)]
async fn a_field_that_cannot_be_changed_is_explained_with_object_field_and_what_to_do() {
    let world = World::anywhere(1).await;
    let words = ["Deployment/thing", "spec.selector", "deleted with its pods"];
    explained::<Deployment>(&world, "a", &deployment("one", ""), &deployment("two", ""), words)
        .await;
    let words = ["StatefulSet/thing", "spec", "deleted with its pods"];
    explained::<StatefulSet>(&world, "b", &stateful("one", ""), &stateful("two", ""), words).await;
    let words = ["Service/thing", "spec.clusterIPs[0]", "another name"];
    explained::<Service>(&world, "c", &service(false, ""), &service(true, ""), words).await;
    let words = ["PersistentVolumeClaim/thing", "spec", "all that it holds"];
    let (one, many) = (claim("ReadWriteOnce"), claim("ReadWriteMany"));
    explained::<PersistentVolumeClaim>(&world, "d", &one, &many, words).await;
    let words = ["ConfigMap/thing", "data", "another name"];
    explained::<ConfigMap>(&world, "e", &settings("one", ""), &settings("two", ""), words).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_changed_is_made_anew() {
    let world = World::anywhere(2).await;
    replaced::<Job>(&world, "sparks", &job("small"), &job("full")).await;
}

#[tokio::test(start_paused = true)]
async fn an_object_that_says_so_is_made_anew_with_all_that_belongs_to_it() {
    let world = World::anywhere(3).await;
    let (before, after) = (deployment("one", ALLOWED), deployment("two", ALLOWED));
    replaced::<Deployment>(&world, "a", &before, &after).await;
    let argo = "argocd.argoproj.io/sync-options: 'Force=true,Replace=true'";
    let (before, after) = (stateful("one", argo), stateful("two", argo));
    replaced::<StatefulSet>(&world, "b", &before, &after).await;
    let (before, after) = (service(false, ALLOWED), service(true, ALLOWED));
    replaced::<Service>(&world, "c", &before, &after).await;
    let (before, after) = (settings("one", ALLOWED), settings("two", ALLOWED));
    replaced::<ConfigMap>(&world, "d", &before, &after).await;
}

#[tokio::test(start_paused = true)]
async fn an_object_is_not_deleted_for_a_mistake_that_making_it_anew_does_not_mend() {
    let world = World::anywhere(4).await;
    let (number, head) = world.open("sparks", &one(PATH, &deployment("one", ALLOWED)));
    world.ready(number, &head).await;
    let before = uid::<Deployment>(&world, number).await;
    let mount = "image: 'ghcr.io/acme/worker:1', volumeMounts: [{name: nowhere, mountPath: /x}]";
    let wrong = deployment("two", ALLOWED).replace("image: 'ghcr.io/acme/worker:1'", mount);
    world.push("sparks", &one(PATH, &wrong));
    let comment = world.told(number, "### Preview is refused").await;
    assert!(comment.contains("volumeMounts[0].name"), "{comment}");
    assert_eq!(uid::<Deployment>(&world, number).await, before);
}
