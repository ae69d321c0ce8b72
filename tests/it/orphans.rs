//! What belongs to no environment is found and removed; what belongs to one, or to somebody else, is not touched.

use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, NAME, NAMESPACE, REPOSITORY};
use bivouac::apply::Target;
use bivouac::controller::leftovers::{
    Orphans, Search, find, remove_comments, remove_namespaces, still_there,
};
use bivouac::controller::uninstall::{begin, led_at, survey};
use bivouac::forge::Apis;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::support::{SWEEP, World, one, start};

fn search(world: &World) -> Search {
    let forges = Apis::new(world.stage.github.transport(), world.stage.clock.clone());
    Search {
        home: world.stage.admin.clone(),
        target: Target::new(world.stage.admin.clone()),
        instance: "demo".into(),
        namespace: NAMESPACE.into(),
        forges: Some(forges),
        allow_http: true,
        comments_since: start(),
    }
}

async fn found(world: &World) -> Orphans {
    find(&search(world), &|_| {}).await.expect("they can be looked for")
}

async fn namespace(world: &World, name: &str, instance: &str) {
    let labels = json!({
        "bivouac.dev/instance": instance,
        "bivouac.dev/environment": "campfire-pr-99",
        "bivouac.dev/environment-uid": "00000000-0000-0000-0000-000000000099",
    });
    let namespace = json!({"metadata": {"name": name, "labels": labels}});
    let namespace: Namespace = serde_json::from_value(namespace).expect("a namespace");
    let api: Api<Namespace> = Api::all(world.stage.admin.clone());
    api.create(&PostParams::default(), &namespace).await.expect("created");
}

fn names(orphans: &Orphans) -> Vec<&str> {
    orphans.namespaces.iter().map(|orphan| orphan.name.as_str()).collect()
}

/// Takes a record away with force, as somebody does who wants it gone and knows how.
async fn tear_out(world: &World, number: u64) {
    let (name, none) = (format!("{NAME}-pr-{number}"), json!({"metadata": {"finalizers": []}}));
    let records = world.stage.environments();
    records.patch(&name, &PatchParams::default(), &Patch::Merge(none)).await.expect("patched");
    records.delete(&name, &DeleteParams::default()).await.expect("deleted");
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_no_environment_is_listed_with_its_reason_and_removed() {
    let mut world = World::new(1).await;
    let stays = world.camp("stays").await;
    let (closed, _) = world.camp("closed").await;
    let (torn, _) = world.camp("torn").await;
    world.close(closed);
    world.closed(closed).await;
    world.told(closed, "### Preview is gone").await;
    assert!(found(&world).await.is_empty(), "all of it belongs to somebody");

    world.stage.kill_service().await;
    tear_out(&world, torn).await;
    tear_out(&world, closed).await;
    namespace(&world, "camp-left-over", "demo").await;
    namespace(&world, "camp-of-others", "other").await;
    // Not ours: another installation's, and one that somebody copied.
    let text = world.comment(torn).expect("a comment");
    let theirs = text.replace("instance=demo", "instance=other");
    let github = &world.stage.github;
    github.comment(REPOSITORY, stays.0, &theirs, BOT).expect("a comment");
    github.comment(REPOSITORY, stays.0, &text, MAINTAINER).expect("a comment");
    // Ours, and one too many.
    github.comment(REPOSITORY, stays.0, &text, BOT).expect("a comment");

    let orphans = found(&world).await;
    assert_eq!(names(&orphans), [world.stage.namespace_of(torn).as_str(), "camp-left-over"]);
    let why = format!("there is no Environment {NAME}-pr-{torn}");
    assert_eq!(orphans.namespaces[0].reason, why);
    let comments: Vec<_> = orphans
        .comments
        .iter()
        .map(|orphan| (orphan.pull_request.expect("a number"), orphan.reason.clone()))
        .collect();
    let second = format!(
        "Environment {NAME}-pr-{} has another comment; this is one of an Environment that was before it",
        stays.0
    );
    let lone = "there is no Environment for this pull request".to_owned();
    assert_eq!(comments, [(stays.0, second), (torn, lone)], "the last word of {closed} may stay");
    assert_eq!(orphans.not_looked_at, Vec::<String>::new());

    let search = search(&world);
    assert!(remove_namespaces(&search, &orphans.namespaces).await.is_empty());
    assert!(remove_comments(&search, &orphans.comments).await.is_empty());
    let gone = async || {
        let left = still_there(&search, &orphans.namespaces).await.expect("an answer");
        left.is_empty().then_some(())
    };
    world.until("they are gone", gone).await;
    assert!(found(&world).await.is_empty());
    let namespaces: Api<Namespace> = Api::all(world.stage.admin.clone());
    assert!(namespaces.get("camp-of-others").await.is_ok(), "another installation's");
    assert_eq!(github.comments(REPOSITORY, stays.0).expect("comments").len(), 3);
    assert!(world.camp_uid(stays.0).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_orphan_that_does_not_end_says_who_holds_it_up() {
    let world = World::new(2).await;
    namespace(&world, "camp-left-over", "demo").await;
    let maps: Api<ConfigMap> = Api::namespaced(world.stage.admin.clone(), "camp-left-over");
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    let held = serde_json::from_value(held).expect("a ConfigMap");
    maps.create(&PostParams::default(), &held).await.expect("created");
    let (search, orphans) = (search(&world), found(&world).await);
    remove_namespaces(&search, &orphans.namespaces).await;
    world.sleep(Duration::from_secs(30)).await;
    let left = still_there(&search, &orphans.namespaces).await.expect("an answer");
    let told = left[0].held_up_by.join("; ");
    assert!(told.contains("the controller of example.com has to take off"), "{told}");
    assert!(found(&world).await.namespaces[0].ending_since.is_some());
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_looked_at_is_said_and_nothing_of_it_called_an_orphan() {
    let world = World::anywhere(3).await;
    let (number, _) = world.camp("sparks").await;
    world.stage.github.fail_next("GET", "/issues/comments", 404, u32::MAX);
    let orphans = found(&world).await;
    assert!(orphans.is_empty());
    assert_eq!(orphans.not_looked_at.len(), 1, "{:?}", orphans.not_looked_at);
    assert!(orphans.not_looked_at[0].contains(NAME));
    assert!(world.camp_uid(number).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn uninstalling_takes_every_camp_down_first() {
    let world = World::new(4).await;
    let (number, _) = world.camp("sparks").await;
    world.camp("kettle").await;
    let home = &world.stage.admin;
    let standing = survey(home, NAMESPACE).await.expect("an answer");
    assert_eq!((standing.repositories.len(), standing.camps()), (1, 2));
    assert!(led_at(home, NAMESPACE, "bivouac-demo").await.expect("an answer").is_some());
    begin(home, NAMESPACE, &standing).await.expect("it begins");
    // What happens at the forge meanwhile brings nothing back.
    let (late, _) = world.open("late", &one("CHANGES.md", "late"));
    let gone = async || survey(home, NAMESPACE).await.ok()?.is_empty().then_some(());
    world.until("nothing is left", gone).await;
    assert_eq!(world.stage.camps().await.expect("a list"), Vec::<String>::new());
    world.sleep(SWEEP * 2).await;
    world.push("late", &one("CHANGES.md", "later"));
    world.sleep(SWEEP).await;
    assert_eq!(world.stage.camps().await.expect("a list"), Vec::<String>::new());
    let records = world.stage.environments().list(&ListParams::default()).await.expect("a list");
    assert_eq!(records.items.len(), 0);
    for number in [number, late] {
        let said = world.comment(number).unwrap_or_default();
        assert!(!said.contains("### Preview is ready"), "{said}");
    }
}
