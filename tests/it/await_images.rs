//! A commit waits for its images: asked are listed registries only, with their own credentials, never for an unapproved
//! source; what was found can be pinned.

use std::time::Duration;

use bivouac::app::stage::{FILES, MAINTAINER, NAMESPACE, REPOSITORY, STRANGER};
use bivouac::crd::AdmissionState;
use bivouac::sandbox::registry::{Access, RegistryFault};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use crate::support::{Files, World, one};

const HOST: &str = "registry.example.com";
const WEB: &str = "deploy/preview/web.yaml.hbs";

/// The demo's manifests with another image.
fn with_image(image: &str) -> String {
    let (_, text) = FILES.iter().find(|(path, _)| *path == WEB).expect("the file");
    text.replace("nginxinc/nginx-unprivileged:1.29", image)
}

/// A world in which images of one registry are awaited.
async fn world(seed: u64, images: &str) -> World {
    let world = World::new(seed).await;
    world.stage.registry.host(HOST, Access::Open, None);
    let prefixes = [format!("{HOST}/acme/"), "docker.io/nginxinc/".to_owned()];
    world
        .policy(json!({"await": {"images": images}, "isolation": {"imageRegistries": prefixes}}))
        .await;
    world
}

fn open(world: &World, branch: &str, image: &str) -> (u64, String) {
    let text = with_image(image);
    world.open(branch, &one(WEB, &text))
}

async fn image_of(world: &World, number: u64) -> Option<String> {
    let namespace = world.stage.namespace_of(number);
    let api: Api<Deployment> = Api::namespaced(world.stage.admin.clone(), &namespace);
    let spec = api.get_opt("web").await.expect("an answer")?.spec;
    spec.template.spec?.containers.first()?.image.clone()
}

/// Hosts that were asked, each once.
fn asked(world: &World) -> Vec<String> {
    let all = world.stage.registry.requests().into_iter();
    let mut hosts: Vec<String> =
        all.filter_map(|one| Some(one.url.split('/').nth(2)?.to_owned())).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

#[tokio::test(start_paused = true)]
async fn a_commit_waits_until_its_image_is_there() {
    let world = world(1, "Required").await;
    let image = format!("{HOST}/acme/web:next");
    let (number, head) = open(&world, "sparks", &image);
    let text = format!(
        "commit {} waits for image {image} (not in the registry) since 2026-03-02 09:",
        &head[..7]
    );
    world.told(number, &text).await;
    assert!(world.namespace(number).await.is_none(), "never a preview that can't pull its image");
    world.sleep(Duration::from_secs(300)).await;
    assert!(world.namespace(number).await.is_none());
    let few = world.stage.registry.requests().len();
    assert!((10..40).contains(&few), "it is asked less and less: {few}");
    world.stage.registry.push(HOST, "acme/web", "next", "one");
    world
        .within(Duration::from_secs(60), "it goes on", async || {
            let status = world.status(number).await?;
            (status.revision.as_deref() == Some(&head)).then_some(())
        })
        .await;
    world.ready(number, &head).await;
    assert_eq!(image_of(&world, number).await, Some(image));
    assert_eq!(asked(&world), [HOST]);

    // Once admitted, nobody asks any more.
    let before = world.stage.registry.requests().len();
    world.sleep(Duration::from_secs(1200)).await;
    assert_eq!(world.stage.registry.requests().len(), before);
}

#[tokio::test(start_paused = true)]
async fn the_digest_that_was_found_is_what_runs() {
    let world = world(2, "Pin").await;
    let image = format!("{HOST}/acme/web:next");
    let first = world.stage.registry.push(HOST, "acme/web", "next", "one");
    let (number, head) = open(&world, "sparks", &image);
    world.ready(number, &head).await;
    assert_eq!(image_of(&world, number).await, Some(format!("{image}@{first}")));

    // A tag that moves changes nothing that runs: not by drift repair, nor by a restart.
    let second = world.stage.registry.push(HOST, "acme/web", "next", "two");
    assert_ne!(first, second);
    let namespace = world.stage.namespace_of(number);
    let api: Api<Deployment> = Api::namespaced(world.stage.admin.clone(), &namespace);
    api.delete("web", &kube::api::DeleteParams::default()).await.expect("it is gone");
    world
        .until("it is put back", async || {
            let image = image_of(&world, number).await?;
            (image == format!("{HOST}/acme/web:next@{first}")).then_some(())
        })
        .await;
    world.ready(number, &head).await;

    let next = world.push("sparks", &one("CHANGES.md", "more"));
    world.ready(number, &next).await;
    assert_eq!(image_of(&world, number).await, Some(format!("{image}@{second}")));
}

#[tokio::test(start_paused = true)]
async fn credentials_of_a_pull_secret_go_to_their_registry_and_nowhere_else() {
    let world = world(3, "Required").await;
    let secrets: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let config = json!({"auths": {HOST: {"username": "bot", "password": "s3cret"}}}).to_string();
    let secret = json!({
        "metadata": {"name": "regcred"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": config},
    });
    let secret: Secret = serde_json::from_value(secret).expect("a Secret");
    secrets.create(&PostParams::default(), &secret).await.expect("a Secret");
    world.policy(json!({"isolation": {"imagePullSecrets": [{"name": "regcred"}]}})).await;
    let registry = &world.stage.registry;
    let login = Some(("bot", "s3cret"));
    let realm = "https://auth.example.com/token".to_owned();
    registry.host(HOST, Access::Bearer { realm }, login);
    registry.push(HOST, "acme/web", "next", "one");
    let (number, head) = open(&world, "sparks", &format!("{HOST}/acme/web:next"));
    world.ready(number, &head).await;
    let with_password: Vec<String> = registry
        .requests()
        .into_iter()
        .filter(|one| one.authorization.as_deref().is_some_and(|value| value.starts_with("Basic")))
        .map(|one| one.url.split('?').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(with_password, ["https://auth.example.com/token"]);

    // A registry that was taken over names another token service.
    let evil = "https://auth.evil.test/token".to_owned();
    registry.host(HOST, Access::Bearer { realm: evil }, login);
    registry.withdraw_tokens();
    let next = world.push("sparks", &one("CHANGES.md", "more"));
    let text = format!("commit {} is not deployed: image", &next[..7]);
    let comment = world.told(number, &text).await;
    assert!(comment.contains("auth.evil.test"), "{comment}");
    assert!(asked(&world).iter().all(|host| !host.contains("evil")), "{:?}", asked(&world));
    let all = registry.requests();
    assert!(!format!("{comment} {:?}", world.status(number).await).contains("s3cret"), "{all:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_listed_is_not_asked_for_and_said_so() {
    let world = World::new(4).await;
    world.policy(json!({"await": {"images": "Required"}})).await;
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world.ready(number, &head).await;
    let comment = world.comment(number).expect("a comment");
    assert!(comment.contains("images not checked"), "{comment}");
    assert!(comment.contains("nginxinc/nginx-unprivileged:1.29"), "{comment}");
    assert_eq!(asked(&world), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_registry_in_trouble_is_waited_for_and_one_at_a_private_address_is_not() {
    let world = world(5, "Required").await;
    let registry = &world.stage.registry;
    registry.push(HOST, "acme/web", "next", "one");
    registry.fail(HOST, RegistryFault::Status(503), 3);
    let (number, head) = open(&world, "sparks", &format!("{HOST}/acme/web:next"));
    world.ready(number, &head).await;
    let refused = bivouac::seams::Unreached::AddressRefused;
    registry.fail(HOST, RegistryFault::Unreached(refused), u32::MAX);
    let next = world.push("sparks", &one("CHANGES.md", "more"));
    let comment = world.told(number, &format!("commit {} is not deployed", &next[..7])).await;
    assert!(comment.contains("an address that is never asked"), "{comment}");
    let (code, page) = world.page(number).await.expect("an answer");
    assert!(code == 200 && page.contains(&head), "what ran goes on");
}

#[tokio::test(start_paused = true)]
async fn no_registry_is_asked_for_an_unapproved_source() {
    let world = world(6, "Required").await;
    let github = &world.stage.github;
    github.fork(REPOSITORY, STRANGER).expect("a fork");
    let fork = format!("{STRANGER}/campfire");
    let text = with_image(&format!("{HOST}/acme/web:next"));
    let files: Files<'_> = one(WEB, &text);
    let head = github.commit(&fork, "embers", &files, "Add embers\n", STRANGER).expect("a commit");
    let number = world.propose(&format!("{STRANGER}:embers"), "Add embers", STRANGER);
    world.told(number, "waits for approval").await;
    world.sleep(Duration::from_secs(700)).await;
    assert_eq!(asked(&world), Vec::<String>::new());
    let base = github.head(REPOSITORY, "main").expect("main");
    let at = "2026-03-02T09:00:00Z";
    let approved = json!({"revision": head, "base": base, "by": MAINTAINER, "at": at});
    world.ask(number, json!({ "approved": approved })).await;
    world
        .until("it waits", async || {
            let admission = world.status(number).await?.admission?;
            (admission.state == AdmissionState::Waiting).then_some(())
        })
        .await;
    assert_eq!(asked(&world), [HOST]);
}
