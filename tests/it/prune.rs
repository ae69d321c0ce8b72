//! What leaves the commit leaves the camp.

use std::collections::{BTreeMap, BTreeSet};

use bivouac::app::stage::{MAINTAINER, NAMESPACE, REPOSITORY};

use crate::support::{World, one};

const EXTRA: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: extra\ndata: {a: b}\n";

#[tokio::test(start_paused = true)]
async fn an_object_that_leaves_the_commit_is_deleted() {
    let world = World::new(1).await;
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
    let forge = world.stage.github.census();
    assert_eq!((forge.pulls, forge.check_runs, forge.deployments), (vec![], vec![], vec![]));
}
