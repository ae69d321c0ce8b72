//! What belongs to no environment is found and removed; what belongs to one, or to somebody else, is not touched.

use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, NAME, NAMESPACE, REPOSITORY};
use bivouac::apply::Target;
use bivouac::controller::leftovers::{
    Orphans, Search, end_checks, end_deployments, find, remove_comments, remove_namespaces,
    still_there,
};
use bivouac::controller::uninstall::{begin, led_at, survey};
use bivouac::domain::naming::branch_environment_name;
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
async fn deployments_of_a_branch_that_has_no_environment_are_found_and_ended() {
    let mut world = World::new(5).await;
    world.policy(json!({"branches": ["main", "release/*"]})).await;
    let files = one("CHANGES.md", "release");
    let github = world.stage.github.clone();
    let release = github.push(REPOSITORY, "release/1", &files, MAINTAINER).expect("a push");
    let runs = async |sha: &str| {
        world
            .until(&format!("{sha} is deployed"), async || {
                let all = github.deployments(REPOSITORY).expect("deployments");
                let found = all.into_iter().find(|one| one.sha == sha)?;
                (found.states.last().map(String::as_str) == Some("success")).then_some(())
            })
            .await;
    };
    runs(&release).await;
    runs(&github.head(REPOSITORY, "main").expect("main")).await;
    assert!(found(&world).await.is_empty(), "all of it belongs to somebody");

    world.stage.kill_service().await;
    let name = branch_environment_name(NAME, "release/1").to_string();
    let (records, none) = (world.stage.environments(), json!({"metadata": {"finalizers": []}}));
    records.patch(&name, &PatchParams::default(), &Patch::Merge(none)).await.expect("patched");
    records.delete(&name, &DeleteParams::default()).await.expect("deleted");
    let orphans = found(&world).await;
    let told: Vec<_> =
        orphans.deployments.iter().map(|one| (one.name(), one.reason.as_str())).collect();
    let id = orphans.deployments[0].id;
    let why = "there is no Environment for its branch";
    assert_eq!(told, [(format!("{NAME} {name} {id}"), why)]);
    assert_eq!(orphans.deployments[0].environment.as_ref(), Some(&name));
    assert_eq!(end_deployments(&orphans.deployments).await, []);
    let active = github.census().deployments;
    assert_eq!(active.len(), 1, "main goes on: {active:?}");
    assert!(found(&world).await.deployments.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pending_status_of_a_commit_that_no_environment_has_is_found_and_ended() {
    let mut world = World::new(6).await;
    let (stays, _) = world.camp("stays").await;
    world.policy(json!({"await": {"checks": ["build"]}})).await;
    let (torn, head) = world.open("torn", &one("CHANGES.md", "torn"));
    let pending = async || (!world.stage.github.census().statuses.is_empty()).then_some(());
    world.until("the commit's status is pending", pending).await;
    assert!(found(&world).await.is_empty(), "all of it belongs to somebody");
    world.stage.kill_service().await;
    tear_out(&world, torn).await;
    let orphans = found(&world).await;
    let told: Vec<_> = orphans.checks.iter().map(|one| (one.name(), one.reason.as_str())).collect();
    let why = "it is pending, and no Environment has this commit";
    assert_eq!(told, [(format!("{NAME}@{}", &head[..7]), why)]);
    assert_eq!(end_checks(&search(&world), &orphans.checks).await, []);
    assert_eq!(world.stage.github.census().statuses, Vec::<String>::new());
    let all = world.stage.github.statuses(REPOSITORY).expect("statuses");
    let newest = all.into_iter().rfind(|one| one.sha == head).expect("a status");
    assert_eq!(
        (newest.state.as_str(), newest.description.as_str()),
        ("success", "Preview is gone")
    );
    assert!(found(&world).await.checks.is_empty());
    assert!(world.camp_uid(stays).await.is_some());
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
