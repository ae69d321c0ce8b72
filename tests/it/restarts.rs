//! Nothing that matters lives in the process.

use std::time::Duration;

use bivouac::app::stage::NAMESPACE;
use bivouac::sandbox::cluster::api::FaultPlan;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use crate::support::{World, one};

#[tokio::test(start_paused = true)]
async fn a_service_that_is_killed_at_any_moment_goes_on_where_it_was() {
    let mut world = World::new(1).await;
    // From the webhook to the comment takes about two seconds; each of these moments is a different place in it.
    for (round, millis) in [0, 20, 60, 120, 250, 400, 700, 1100, 1600, 2500].into_iter().enumerate()
    {
        let branch = format!("branch-{round}");
        let (number, head) = world.open(&branch, &one("CHANGES.md", &branch));
        world.sleep(Duration::from_millis(millis)).await;
        world.stage.kill_service().await;
        world.sleep(Duration::from_secs(5)).await;
        world.stage.start_service().expect("a start");
        world.ready(number, &head).await;

        world.close(number);
        world.sleep(Duration::from_millis(millis)).await;
        world.stage.kill_service().await;
        world.sleep(Duration::from_secs(5)).await;
        world.stage.start_service().expect("a start");
        world.closed(number).await;
        world.told(number, "### Preview is gone").await;
    }
    assert_eq!(world.stage.camps().await.expect("a list"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_happened_while_the_service_was_away_is_repaired() {
    let mut world = World::new(2).await;
    let (pushed, _) = world.camp("sparks").await;
    let (closed, _) = world.camp("kettle").await;
    world.stage.kill_service().await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.close(closed);
    let (opened, opened_head) = world.open("late", &one("CHANGES.md", "late"));
    world.sleep(Duration::from_secs(3600)).await;
    world.stage.start_service().expect("a start");
    world.ready(pushed, &head).await;
    world.ready(opened, &opened_head).await;
    world.closed(closed).await;
}

#[tokio::test(start_paused = true)]
async fn a_camp_that_somebody_deleted_is_made_again() {
    let world = World::anywhere(3).await;
    let (number, head) = world.camp("sparks").await;
    let before = world.camp_uid(number).await;
    let api: kube::Api<k8s_openapi::api::core::v1::Namespace> =
        kube::Api::all(world.stage.admin.clone());
    let name = world.stage.namespace_of(number);
    api.delete(&name, &kube::api::DeleteParams::default()).await.expect("deleted");
    world
        .until("another namespace stands", async || {
            let now = world.camp_uid(number).await?;
            (Some(&now) != before.as_ref()).then_some(())
        })
        .await;
    world.ready(number, &head).await;
}

#[tokio::test(start_paused = true)]
async fn a_camp_that_is_made_again_through_failures_is_still_ours() {
    let world = World::new(12).await;
    let (number, head) = world.camp("sparks").await;
    let spared = ["kubernetes-admin", "system:kube-controller-manager", "system:nodes"];
    for round in 0..4 {
        let before = world.camp_uid(number).await;
        // Runs end in the midst of the making: the namespace is there, and nobody has written down that it is.
        world.stage.cluster.set_faults(FaultPlan {
            server_errors: 100,
            spared_users: spared.map(str::to_owned).into(),
            ..FaultPlan::default()
        });
        let api: Api<Namespace> = Api::all(world.stage.admin.clone());
        let name = world.stage.namespace_of(number);
        api.delete(&name, &DeleteParams::default()).await.expect("deleted");
        world
            .until(&format!("another namespace stands in round {round}"), async || {
                let now = world.camp_uid(number).await?;
                (Some(&now) != before.as_ref()).then_some(())
            })
            .await;
        world.sleep(Duration::from_secs(2)).await;
        world.stage.cluster.set_faults(FaultPlan::default());
        world.ready(number, &head).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_record_means_from_scratch() {
    let world = World::anywhere(4).await;
    let (number, head) = world.camp("sparks").await;
    let before = world.camp_uid(number).await;
    let name = format!("campfire-pr-{number}");
    world
        .stage
        .environments()
        .delete(&name, &kube::api::DeleteParams::default())
        .await
        .expect("deleted");
    world
        .until("another namespace stands", async || {
            let now = world.camp_uid(number).await?;
            (Some(&now) != before.as_ref()).then_some(())
        })
        .await;
    world.ready(number, &head).await;
}

/// Names of the stored bundles' Secrets.
async fn stored(world: &World) -> Vec<String> {
    let api: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let bundles = ListParams::default().labels("bivouac.dev/bundle");
    let found = api.list(&bundles).await.expect("a list").items;
    found.into_iter().filter_map(|secret| secret.metadata.name).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_put_back_without_the_forge_and_its_source() {
    let mut world = World::new(5).await;
    let (number, head) = world.camp("sparks").await;
    world.sleep(Duration::from_secs(30)).await;
    assert_eq!(stored(&world).await.len(), 1);
    let camp = world.stage.namespace_of(number);
    let requests = world.stage.github.requests().len();

    // The service forgets all, its cache too, and nothing at the forge answers any more.
    world.stage.kill_service().await;
    world.forget_fetched();
    world.stage.github.set_outage(true);
    world.stage.github.fail_next("FETCH", "*", 503, u32::MAX);
    let deployments: Api<Deployment> = Api::namespaced(world.stage.admin.clone(), &camp);
    deployments.delete("web", &DeleteParams::background()).await.expect("deleted");
    world.stage.start_service().expect("a start");
    world
        .until("the deployment is there again", async || {
            deployments.get_opt("web").await.expect("an answer").map(drop)
        })
        .await;
    let fetched = world.stage.github.requests();
    let fetched: Vec<_> = fetched.iter().skip(requests).filter(|r| r.method == "FETCH").collect();
    assert!(fetched.is_empty(), "{fetched:?}");

    // The whole namespace, too.
    let before = world.camp_uid(number).await;
    let namespaces: Api<Namespace> = Api::all(world.stage.admin.clone());
    namespaces.delete(&camp, &DeleteParams::default()).await.expect("deleted");
    world
        .until("another namespace has the page", async || {
            let now = world.camp_uid(number).await?;
            let (code, page) = world.page(number).await?;
            (Some(&now) != before.as_ref() && code == 200 && page.contains(&head)).then_some(())
        })
        .await;

    world.stage.github.set_outage(false);
    world.stage.github.fail_no_more();
    world.ready(number, &head).await;
    world.close(number);
    world.closed(number).await;
    assert_eq!(stored(&world).await, Vec::<String>::new(), "no trace");
}

#[tokio::test(start_paused = true)]
async fn the_running_bundle_and_the_last_four_are_stored() {
    let world = World::anywhere(6).await;
    let (number, _) = world.camp("sparks").await;
    for round in 0..7 {
        let head = world.push("sparks", &one("CHANGES.md", &format!("round {round}")));
        world.ready(number, &head).await;
    }
    assert_eq!(stored(&world).await.len(), 5);
    let name = format!("campfire-pr-{number}");
    let records = world.stage.environments();
    records.delete(&name, &DeleteParams::default()).await.expect("deleted");
    world.close(number);
    world
        .until("the bundles are gone", async || stored(&world).await.is_empty().then_some(()))
        .await;
}
