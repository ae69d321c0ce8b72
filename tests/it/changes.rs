//! What changes around the records: secrets are rotated, repositories get other names.

use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, NAME, NAMESPACE, REPOSITORY};
use bivouac::sandbox::github::Outcome;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::support::{World, one};

#[tokio::test(start_paused = true)]
async fn a_rotated_webhook_secret_counts_within_seconds() {
    let world = World::new(1).await;
    let (number, head) = world.camp("sparks").await;
    let secrets: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let rotate = async |value: &str| {
        let patch = Patch::Merge(json!({"stringData": {"webhookSecret": value}}));
        secrets.patch(NAME, &PatchParams::default(), &patch).await.expect("rotated");
        world.sleep(Duration::from_secs(5)).await;
    };
    let delivered = async |title: &str| {
        let github = &world.stage.github;
        github.retitle(REPOSITORY, number, title, MAINTAINER).expect("a title");
        world
            .until("it is delivered", async || (github.census().deliveries == 0).then_some(()))
            .await;
        github.deliveries(world.stage.hook).pop().expect("a delivery").outcome
    };
    assert_eq!(delivered("before").await, Outcome::Answered(202));
    rotate("another one").await;
    assert_eq!(delivered("with the old one").await, Outcome::Answered(401));
    rotate(&world.stage.webhook_secret).await;
    assert_eq!(delivered("with the right one").await, Outcome::Answered(202));
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_rotated_token_counts_within_seconds() {
    let world = World::new(2).await;
    let (number, _) = world.camp("sparks").await;
    let secrets: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let rotate = async |value: &str| {
        let patch = Patch::Merge(json!({"stringData": {"token": value}}));
        secrets.patch(NAME, &PatchParams::default(), &patch).await.expect("rotated");
    };
    rotate("no token of this forge").await;
    world.sleep(Duration::from_secs(5)).await;
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.sleep(Duration::from_secs(30)).await;
    let status = world.status(number).await.expect("a status");
    assert_ne!(status.revision.as_deref(), Some(next.as_str()), "the forge does not answer");
    rotate(&world.stage.tokens.service).await;
    world
        .within(Duration::from_secs(15), "the newer head runs", async || {
            let status = world.status(number).await?;
            (status.revision.as_deref() == Some(next.as_str())).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_renamed_repository_is_fetched_under_its_new_name() {
    let world = World::anywhere(3).await;
    let (number, _) = world.camp("sparks").await;
    let github = &world.stage.github;
    github.rename_repository(REPOSITORY, "bonfire", MAINTAINER).expect("renamed");
    let files = one("CHANGES.md", "more sparks");
    let head = github.push("acme/bonfire", "sparks", &files, MAINTAINER).expect("a push");
    world
        .until("the newer head runs", async || {
            let status = world.status(number).await?;
            (status.holds("Ready") && status.revision.as_deref() == Some(head.as_str()))
                .then_some(())
        })
        .await;
    let comments = github.comments("acme/bonfire", number).expect("comments");
    let ours = comments.iter().filter(|comment| comment.body.contains("### Preview")).count();
    assert_eq!(ours, 1, "{comments:?}");
}
