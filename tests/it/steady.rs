//! What stands costs nothing: no write but the Lease's, and of the forge only the sweep's reading.

use std::time::Duration;

use bivouac::app::stage::{FIRST, REPOSITORY, STRANGER};
use serde_json::json;

use crate::support::{SERVICE, SWEEP, World, one};

#[tokio::test(start_paused = true)]
async fn sixty_standing_camps_cost_nothing_but_the_lease_for_five_minutes() {
    let world = World::new(61).await;
    let opened: Vec<_> = (0..60)
        .map(|n| world.open(&format!("branch-{n}"), &one("CHANGES.md", &format!("change {n}"))))
        .collect();
    for (number, head) in &opened {
        world.ready(*number, head).await;
    }
    // One sweep counts the camps; the next finds nothing new.
    world.sleep(SWEEP).await;

    let (since, first) = (world.stage.clock.now(), world.stage.github.requests().len());
    world.sleep(Duration::from_secs(300)).await;
    assert_eq!(world.written_by_the_service(since), Vec::<String>::new());
    let leases =
        world.stage.cluster.audit().into_iter().filter(|event| {
            event.at >= since && event.resource == "leases" && event.user == SERVICE
        });
    let renewals = leases.filter(|event| event.verb == "update").count();
    assert!((50..=70).contains(&renewals), "{renewals}");

    let asked: Vec<_> = world.stage.github.requests().split_off(first);
    let asked: Vec<_> =
        asked.iter().map(|r| format!("{} {} {}", r.method, r.path, r.status)).collect();
    // One sweep, whose readings are conditional and cost nothing of the rate.
    let open = "/repos/acme/campfire/pulls?state=open&sort=created&direction=asc&per_page=100";
    let sweep = ["GET /repos/acme/campfire 304".to_owned(), format!("GET {open} 304")];
    assert_eq!(asked, sweep);
}

/// Ends of stories: ready, refused by its preview file and by a manifest, gone by wish, closed, waiting for approval.
async fn ends_of_stories(world: &World) -> Vec<u64> {
    let github = &world.stage.github;
    let (ready, head) = world.camp("ready").await;
    world.ready(ready, &head).await;
    let (refused, _) = world.open("refused", &one(".bivouac.yaml", "apps: 7\n"));
    world.told(refused, "### Preview is refused").await;
    let (down, _) = world.camp("down").await;
    world.ask(down, json!({"want": "Down"})).await;
    world.gone(down).await;
    let (closed, _) = world.camp("closed").await;
    world.close(closed);
    world.closed(closed).await;
    world.told(closed, "### Preview is gone").await;
    github.fork(REPOSITORY, STRANGER).expect("a fork");
    let fork = format!("{STRANGER}/campfire");
    github
        .commit(&fork, "embers", &one("CHANGES.md", "embers"), "Add embers\n", STRANGER)
        .expect("a commit");
    let strange = world.propose(&format!("{STRANGER}:embers"), "Add embers", STRANGER);
    world.told(strange, "waits for approval").await;
    let (broken, _) =
        world.open("broken", &one("deploy/preview/web.yaml.hbs", "kind: Deployment\n"));
    world.told(broken, "### Preview is refused").await;
    vec![ready, refused, down, closed, strange, broken]
}

#[tokio::test(start_paused = true)]
async fn what_a_story_ended_with_is_looked_at_ten_times_and_nothing_is_written() {
    let mut world = World::new(62).await;
    let numbers = ends_of_stories(&world).await;
    // One sweep counts the camps.
    world.sleep(SWEEP).await;
    let told: Vec<_> = numbers.iter().map(|number| world.comment(*number)).collect();
    for round in 0..10 {
        let (since, first) = (world.stage.clock.now(), world.stage.github.requests().len());
        // A process that begins with nothing in its memory looks at everything.
        world.stage.stop_replica(FIRST).await;
        world.stage.start_replica(FIRST).expect("a start");
        world.sleep(Duration::from_secs(20)).await;
        let looked = world.stage.cluster.audit().into_iter().filter(|event| {
            event.at >= since && event.verb == "get" && event.resource == "environments"
        });
        assert!(looked.count() >= numbers.len(), "each record is looked at");
        assert_eq!(world.written_by_the_service(since), Vec::<String>::new(), "round {round}");
        assert_eq!(world.told_to_the_forge(first), Vec::<String>::new(), "round {round}");
    }
    let after: Vec<_> = numbers.iter().map(|number| world.comment(*number)).collect();
    assert_eq!(after, told);
}
