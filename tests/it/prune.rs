//! What leaves the commit leaves the camp.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, NAMESPACE, REPOSITORY};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use crate::support::{SWEEP, World, one};

const EXTRA: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: extra\ndata: {a: b}\n";

#[tokio::test(start_paused = true)]
async fn an_object_that_leaves_the_commit_is_deleted() {
    let world = World::anywhere(1).await;
    let (number, head) = world.open("sparks", &one("deploy/preview/extra.yaml", EXTRA));
    world.ready(number, &head).await;
    let listed = async || {
        let inventory = world.status(number).await.expect("a status").inventory;
        let names = inventory.into_iter().map(|entry| format!("{}/{}", entry.kind, entry.name));
        names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let all = ["ConfigMap/extra", "ConfigMap/page", "Deployment/web", "Ingress/web", "Service/web"];
    assert_eq!(listed().await, all);
    assert_eq!(
        world.config_maps(number).await,
        ["bivouac-env", "extra", "kube-root-ca.crt", "page"]
    );
    let before = world.camp_uid(number).await;

    let gone = BTreeMap::from([("deploy/preview/extra.yaml".to_owned(), None)]);
    let commit =
        world.stage.github.commit_bytes(REPOSITORY, "sparks", &gone, "Take it out\n", MAINTAINER);
    world.ready(number, &commit.expect("a commit")).await;
    assert_eq!(world.config_maps(number).await, ["bivouac-env", "kube-root-ca.crt", "page"]);
    assert_eq!(listed().await, ["ConfigMap/page", "Deployment/web", "Ingress/web", "Service/web"]);
    assert_eq!(world.camp_uid(number).await, before, "in the same camp");
}

#[tokio::test(start_paused = true)]
async fn the_comment_says_what_a_push_changed_in_the_camp() {
    let world = World::new(14).await;
    let (number, head) = world.open("sparks", &one("deploy/preview/extra.yaml", EXTRA));
    world.ready(number, &head).await;
    let first = world.told(number, "### Preview is ready").await;
    assert!(!first.contains("Since"), "nothing ran before: {first}");

    // One object comes, one goes, and the page shows its commit.
    let other = EXTRA.replace("name: extra", "name: other").into_bytes();
    let files = BTreeMap::from([
        ("deploy/preview/extra.yaml".to_owned(), None),
        ("deploy/preview/other.yaml".to_owned(), Some(other)),
    ]);
    let push =
        |files| world.stage.github.commit_bytes(REPOSITORY, "sparks", files, "x\n", MAINTAINER);
    let second = push(&files).expect("a commit");
    world.ready(number, &second).await;
    let told = world.told(number, "* removed: `ConfigMap/extra`").await;
    assert!(told.contains(&format!("Since [`{}`]", &head[..7])), "{told}");
    assert!(told.contains("* added: `ConfigMap/other`\n"), "{told}");
    assert!(told.contains("* changed: `ConfigMap/page`"), "{told}");

    // It stays said while nothing new comes, and goes with the camp.
    world.sleep(SWEEP * 2).await;
    assert_eq!(world.comment(number).as_deref(), Some(told.as_str()));
    world.close(number);
    let gone = world.told(number, "### Preview is gone").await;
    assert!(!gone.contains("Since"), "{gone}");
    assert_eq!(world.status(number).await.and_then(|status| status.changes), None);
}

#[tokio::test(start_paused = true)]
async fn a_closed_pull_request_leaves_its_record_and_nothing_else() {
    let world = World::new(9).await;
    let census = || {
        let mut all = world.stage.cluster.census();
        // The cluster's own diary.
        all.retain(|(resource, _), count| *count > 0 && !resource.starts_with("events"));
        all
    };
    let mut before = census();
    let (number, head) = world.open("sparks", &one("deploy/preview/extra.yaml", EXTRA));
    world.ready(number, &head).await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    assert!(census().len() > before.len());
    world.close(number);
    world.closed(number).await;
    world.told(number, "### Preview is gone").await;
    let records = ("environments.bivouac.dev".to_owned(), NAMESPACE.to_owned());
    before.insert(records, 1);
    assert_eq!(census(), before);
    // The forge is told a moment later.
    world
        .until("nothing is left at the forge", async || {
            let forge = world.stage.github.census();
            let left = [forge.pulls.len(), forge.check_runs.len(), forge.deployments.len()];
            (left == [0, 0, 0]).then_some(())
        })
        .await;
}

/// Takes files out of the branch `sparks`, and waits for that.
async fn take_out(world: &World, number: u64, path: &str) {
    let gone = BTreeMap::from([(path.to_owned(), None)]);
    let commit =
        world.stage.github.commit_bytes(REPOSITORY, "sparks", &gone, "Take it out\n", MAINTAINER);
    world.ready(number, &commit.expect("a commit")).await;
}

fn claim(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{accessModes: [ReadWriteOnce], \
         resources: {{requests: {{storage: 1Gi}}}}}}\n"
    )
}

async fn claims(world: &World, number: u64) -> Vec<String> {
    let namespace = world.stage.namespace_of(number);
    let api: Api<PersistentVolumeClaim> = Api::namespaced(world.stage.admin.clone(), &namespace);
    let found = api.list(&ListParams::default()).await.expect("a list");
    found.items.into_iter().filter_map(|item| item.metadata.name).collect()
}

#[tokio::test(start_paused = true)]
async fn what_says_that_it_stays_is_not_deleted_by_whichever_tools_word() {
    let world = World::anywhere(2).await;
    let words = [
        ("ours", "bivouac.dev/prune: 'false'"),
        ("argo", "argocd.argoproj.io/sync-options: 'Validate=false,Prune=false'"),
        ("helm", "helm.sh/resource-policy: keep"),
        ("plain", ""),
    ];
    let one_of = |(name, words): &(&str, &str)| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, annotations: {{{words}}}}}\n"
        )
    };
    let text = words.iter().map(one_of).collect::<Vec<_>>().join("---\n");
    let (number, head) = world.open("sparks", &one("deploy/preview/extra.yaml", &text));
    world.ready(number, &head).await;
    take_out(&world, number, "deploy/preview/extra.yaml").await;
    let stay = ["argo", "bivouac-env", "helm", "kube-root-ca.crt", "ours", "page"];
    assert_eq!(world.config_maps(number).await, stay);
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    assert_eq!(world.config_maps(number).await, stay, "for good");
    let inventory = world.status(number).await.expect("a status").inventory;
    let kept = inventory.iter().filter(|entry| entry.left.is_some()).map(|entry| &entry.name);
    assert_eq!(kept.collect::<Vec<_>>(), ["argo", "helm", "ours"], "and nothing is forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_storage_stays_for_one_commit_after_it_left_and_goes_with_the_next() {
    let world = World::new(3).await;
    let (number, head) = world.open("sparks", &one("deploy/preview/data.yaml", &claim("data")));
    world.ready(number, &head).await;
    take_out(&world, number, "deploy/preview/data.yaml").await;
    assert_eq!(claims(&world, number).await, ["data"], "one commit without it may be a mistake");
    // The same commit again, for other reasons, does not count.
    world.ask(number, json!({"parameters": {}})).await;
    world.sleep(Duration::from_secs(900)).await;
    assert_eq!(claims(&world, number).await, ["data"]);
    // Back again: it counts anew.
    let head = world.push("sparks", &one("deploy/preview/data.yaml", &claim("data")));
    world.ready(number, &head).await;
    take_out(&world, number, "deploy/preview/data.yaml").await;
    assert_eq!(claims(&world, number).await, ["data"]);
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &head).await;
    assert_eq!(claims(&world, number).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn with_delete_data_a_claim_goes_at_once() {
    let world = World::anywhere(4).await;
    let (number, head) = world.open("sparks", &one("deploy/preview/data.yaml", &claim("data")));
    world.ready(number, &head).await;
    let file = "apps: [{name: web, path: deploy/preview}]\ndeleteData: true\n";
    let head = world.push("sparks", &one(".bivouac.yaml", file));
    world.ready(number, &head).await;
    assert_eq!(claims(&world, number).await, ["data"]);
    take_out(&world, number, "deploy/preview/data.yaml").await;
    assert_eq!(claims(&world, number).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_last_wave_goes_first() {
    let world = World::new(5).await;
    let of = |name: &str, wave: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, annotations: {{bivouac.dev/wave: '{wave}'}}}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n"
        )
    };
    let text =
        [of("first", "-5"), of("last", "9"), EXTRA.to_owned(), of("middle", "0")].join("---\n");
    let (number, head) = world.open("sparks", &one("deploy/preview/extra.yaml", &text));
    world.ready(number, &head).await;
    let since = world.stage.clock.now();
    take_out(&world, number, "deploy/preview/extra.yaml").await;
    let deleted = world.writes_since(since).into_iter().filter(|w| w.verb == "delete");
    let names: Vec<_> = deleted
        .filter(|w| w.resource == "services" || w.resource == "configmaps")
        .map(|w| w.name)
        .collect();
    assert_eq!(names, ["last", "middle", "first", "extra"]);
}
