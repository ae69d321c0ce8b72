//! Nothing that matters lives in the process.

use std::time::Duration;

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
    let world = World::new(3).await;
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
async fn a_deleted_record_means_from_scratch() {
    let world = World::new(4).await;
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
