//! A teardown always ends: whatever the forge answers, whatever was deleted before it, and without touching what is not
//! ours. What holds one up is named, with the one who has to act.

use std::collections::BTreeSet;
use std::time::Duration;

use bivouac::app::stage::{NAME, NAMESPACE, REPOSITORY};
use bivouac::crd::{Phase, Repository};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::discovery::{Discovery, Scope, verbs};
use kube::{Api, core::DynamicObject};
use serde_json::{Value, json};

use crate::support::{SWEEP, World, golden, one};

const MINUTE: Duration = Duration::from_secs(60);

fn repositories(world: &World) -> Api<Repository> {
    Api::namespaced(world.stage.admin.clone(), NAMESPACE)
}

async fn delete_record(world: &World, number: u64) {
    let name = format!("{NAME}-pr-{number}");
    let deleted = world.stage.environments().delete(&name, &DeleteParams::default()).await;
    deleted.expect("deleted");
}

async fn no_record(world: &World, number: u64) {
    world
        .until(&format!("the record of #{number} is gone"), async || {
            world.record(number).await.is_none().then_some(())
        })
        .await;
}

/// Puts a ConfigMap with a finalizer into a camp, as another controller does.
pub(crate) async fn hold(world: &World, number: u64, finalizer: &str) {
    let api: Api<ConfigMap> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    let held = json!({"metadata": {"name": "held", "finalizers": [finalizer]}});
    let held = serde_json::from_value(held).expect("a ConfigMap");
    api.create(&PostParams::default(), &held).await.expect("created");
}

/// Takes the finalizer off, as its controller does in the end.
pub(crate) async fn release(world: &World, number: u64) {
    let api: Api<ConfigMap> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    let none = Patch::Merge(json!({"metadata": {"finalizers": []}}));
    api.patch("held", &PatchParams::default(), &none).await.expect("released");
}

/// Every object of the cluster that is listable, but what lives by itself (Leases, Events, our own resources).
async fn everything(world: &World) -> BTreeSet<String> {
    let found = Discovery::new(world.stage.admin.clone()).run().await.expect("discovery");
    let mut all = BTreeSet::new();
    for group in found.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            let own = matches!(resource.kind.as_str(), "Lease" | "Event" | "Repository");
            if own || !capabilities.supports_operation(verbs::LIST) {
                continue;
            }
            let api: Api<DynamicObject> = Api::all_with(world.stage.admin.clone(), &resource);
            for object in api.list(&ListParams::default()).await.expect("a list").items {
                let namespace = object.metadata.namespace.unwrap_or_default();
                assert_eq!(namespace.is_empty(), capabilities.scope == Scope::Cluster);
                let name = object.metadata.name.unwrap_or_default();
                all.insert(format!("{} {namespace}/{name}", resource.kind));
            }
        }
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_teardown_ends_though_the_forge_answers_500_or_401_or_404_for_ever() {
    for (seed, status) in [(1, 500), (2, 401), (3, 403), (4, 404), (5, 410)] {
        let world = World::new(seed).await;
        world.policy(json!({"lifetime": {"ttl": "30m", "maxTtl": "1h"}})).await;
        let (deleted, _) = world.camp("deleted").await;
        let (down, _) = world.camp("down").await;
        let (expires, _) = world.camp("expires").await;
        world.stage.github.fail_next("*", "*", status, u32::MAX);

        delete_record(&world, deleted).await;
        no_record(&world, deleted).await;
        world.gone(deleted).await;
        world.ask(down, json!({"want": "Down"})).await;
        world.gone(down).await;
        assert!(world.camp_uid(expires).await.is_some(), "an answer of {status} proves nothing");
        world.sleep(Duration::from_secs(31 * 60)).await;
        world.gone(expires).await;
        assert_eq!(world.stage.camps().await.expect("a list"), Vec::<String>::new());
        let finalizers = |record: bivouac::crd::Environment| record.metadata.finalizers;
        for number in [down, expires] {
            let record = world.record(number).await.expect("a record");
            assert_eq!(finalizers(record).unwrap_or_default(), Vec::<String>::new());
        }
        // A forge that failed is told once it listens; one that refused, not before something changes. A 403 that says
        // nothing of limits is taken for one, and waited for.
        let listens_again = matches!(status, 500 | 403);
        if !listens_again {
            let refused = async || {
                let status = world.status(down).await?;
                (status.condition("Reported")?.reason == "ForgeNotTold").then_some(())
            };
            world.until("the trying has ended", refused).await;
        }
        world.stage.github.fail_no_more();
        if listens_again {
            world.sleep(MINUTE * 60).await;
            world.told(expires, "### Preview has expired").await;
            world.told(down, "### Preview is switched off").await;
        } else {
            let status = world.status(down).await.expect("a status");
            let reported = status.condition("Reported").expect("Reported");
            assert_eq!(reported.reason, "ForgeNotTold");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_teardown_ends_though_the_secret_was_deleted_first() {
    let world = World::new(11).await;
    let (number, _) = world.camp("sparks").await;
    let secrets: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    secrets.delete(NAME, &DeleteParams::default()).await.expect("deleted");
    world.sleep(SWEEP).await;
    assert!(world.camp_uid(number).await.is_some(), "a missing Secret ends no camp");
    repositories(&world).delete(NAME, &DeleteParams::default()).await.expect("deleted");
    no_record(&world, number).await;
    world.gone(number).await;
    let gone = async || repositories(&world).get_opt(NAME).await.expect("an answer").is_none();
    world.until("the Repository is gone", async || gone().await.then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_is_deleted_first_waits_for_its_camps_and_says_for_which() {
    let world = World::new(12).await;
    let (number, _) = world.camp("sparks").await;
    hold(&world, number, "example.com/hold").await;
    repositories(&world).delete(NAME, &DeleteParams::default()).await.expect("deleted");
    world.sleep(MINUTE * 3).await;
    let repository = repositories(&world).get(NAME).await.expect("it waits");
    assert!(repository.metadata.deletion_timestamp.is_some());
    let conditions = repository.status.expect("a status").conditions;
    let accessible = conditions.iter().find(|one| one.r#type == "Accessible").expect("Accessible");
    assert_eq!(accessible.reason, "BeingDeleted");
    assert!(accessible.message.contains(&format!("{NAME}-pr-{number}")), "{accessible:?}");
    release(&world, number).await;
    no_record(&world, number).await;
    world.gone(number).await;
    let gone = async || repositories(&world).get_opt(NAME).await.expect("an answer").is_none();
    world.until("the Repository is gone", async || gone().await.then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_somebody_else_took_is_left_alone_and_holds_up_nothing() {
    let mut world = World::new(13).await;
    let (number, _) = world.camp("sparks").await;
    world.stage.kill_service().await;
    let name = world.stage.namespace_of(number);
    let namespaces: Api<Namespace> = Api::all(world.stage.admin.clone());
    namespaces.delete(&name, &DeleteParams::default()).await.expect("deleted");
    world.gone(number).await;
    let theirs: Namespace =
        serde_json::from_value(json!({"metadata": {"name": name}})).expect("a namespace");
    namespaces.create(&PostParams::default(), &theirs).await.expect("taken");
    let uid = world.camp_uid(number).await;
    let maps: Api<ConfigMap> = Api::namespaced(world.stage.admin.clone(), &name);
    let map = serde_json::from_value(json!({"metadata": {"name": "theirs"}})).expect("a ConfigMap");
    maps.create(&PostParams::default(), &map).await.expect("created");

    world.close(number);
    world.stage.start_service().expect("a start");
    world
        .until("the record is done with it", async || {
            let record = world.record(number).await?;
            let status = record.status.as_ref()?;
            let held = record.metadata.finalizers.is_some_and(|all| !all.is_empty());
            (status.phase == Some(Phase::Closed) && !held).then_some(())
        })
        .await;
    world.sleep(SWEEP).await;
    assert_eq!(world.camp_uid(number).await, uid, "it still stands");
    maps.get("theirs").await.expect("with what is in it");
}

#[tokio::test(start_paused = true)]
async fn what_holds_up_a_teardown_is_named_after_a_minute_and_its_finalizer_is_never_stripped() {
    let world = World::new(14).await;
    let (number, head) = world.camp("sparks").await;
    hold(&world, number, "cert-manager.io/hold").await;
    world.close(number);
    world.sleep(Duration::from_secs(40)).await;
    let reason = async || world.status(number).await.and_then(|status| status.reason);
    let early = reason().await.expect("a reason");
    assert!(!early.contains("cert-manager"), "most of it ends by itself: {early}");
    let named = "which cert-manager (cert-manager.io) has to take off";
    let comment = world.told(number, "cert-manager").await;
    golden("teardown-stuck", &comment, &head);
    let told = reason().await.expect("a reason");
    assert!(told.contains(named), "{told}");

    // For as long as it takes; and what it costs is little.
    let since = world.stage.clock.now();
    world.sleep(MINUTE * 30).await;
    let maps: Api<ConfigMap> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    let held = maps.get("held").await.expect("it is still there");
    assert_eq!(held.metadata.finalizers, Some(vec!["cert-manager.io/hold".to_owned()]));
    let written = world.written_by_the_service(since);
    assert!(written.len() <= 1, "{written:#?}");
    release(&world, number).await;
    world.closed(number).await;
    world.told(number, "### Preview is gone").await;
}

#[tokio::test(start_paused = true)]
async fn a_protected_volume_and_a_finalizer_of_the_namespace_itself_are_named_too() {
    // Elsewhere the claim's own controller would take its finalizer off.
    let world = World::new(15).await;
    let (volume, _) = world.camp("volume").await;
    let claims: Api<PersistentVolumeClaim> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(volume));
    let claim = json!({
        "metadata": {"name": "data", "finalizers": ["kubernetes.io/pvc-protection"]},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let claim = serde_json::from_value(claim).expect("a claim");
    claims.create(&PostParams::default(), &claim).await.expect("created");
    // As one that a pod on a dead node uses: nobody takes the finalizer off, it is put on again.
    let (rancher, _) = world.camp("rancher").await;
    let namespaces: Api<Namespace> = Api::all(world.stage.admin.clone());
    let finalizer = Patch::Merge(json!({"metadata": {"finalizers": ["controller.cattle.io/x"]}}));
    let name = world.stage.namespace_of(rancher);
    namespaces.patch(&name, &PatchParams::default(), &finalizer).await.expect("patched");

    // Switched off, not closed: it is told all the same.
    world.ask(rancher, json!({"want": "Down"})).await;
    world.close(volume);
    let text = world.told(rancher, "controller.cattle.io/x").await;
    assert!(text.contains("### Preview is being taken down") && text.contains("Rancher"), "{text}");
    let none = Patch::Merge(json!({"metadata": {"finalizers": []}}));
    let protected = claims.get("data").await.expect("it is held").metadata;
    assert!(protected.finalizers.is_some() && protected.deletion_timestamp.is_some());
    world.told(volume, "pvc-protection").await;
    claims.patch("data", &PatchParams::default(), &none).await.expect("released");
    namespaces.patch(&name, &PatchParams::default(), &none).await.expect("released");
    world.closed(volume).await;
    world.gone(rancher).await;
    world.told(rancher, "### Preview is switched off").await;
}

#[tokio::test(start_paused = true)]
async fn sixteen_environments_that_are_stuck_delay_nobody() {
    let world = World::new(16).await;
    // From the push of another to its page, and from its closing to its end.
    let life = async |branch: &str| {
        let since = world.stage.clock.now();
        let (number, head) = world.open(branch, &one("CHANGES.md", branch));
        let ready = async || {
            let status = world.status(number).await?;
            (status.holds("Ready") && status.revision.as_deref() == Some(&head)).then_some(())
        };
        world.until("it is ready", ready).await;
        let up = (world.stage.clock.now() - since).num_milliseconds();
        let since = world.stage.clock.now();
        world.close(number);
        world.gone(number).await;
        (up, (world.stage.clock.now() - since).num_milliseconds())
    };
    let alone = life("alone").await;
    let stuck: Vec<_> = (0..16)
        .map(|n| world.open(&format!("stuck-{n}"), &one("CHANGES.md", &format!("stuck {n}"))))
        .collect();
    for (number, head) in &stuck {
        world.ready(*number, head).await;
        hold(&world, *number, "example.com/hold").await;
    }
    for (number, _) in &stuck {
        world.close(*number);
    }
    world.sleep(MINUTE * 2).await;
    assert_eq!(world.stage.camps().await.expect("a list").len(), 16, "all are stuck");
    let among = life("among").await;
    let (slower, longest) = ((among.0 - alone.0, among.1 - alone.1), 1500);
    assert!(slower.0 < longest && slower.1 < longest, "alone {alone:?}, among them {among:?} ms");
    for (number, _) in &stuck {
        release(&world, *number).await;
    }
    for (number, _) in &stuck {
        world.closed(*number).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_camp_is_left_anywhere() {
    let world = World::new(17).await;
    let stays = world.camp("stays").await;
    world.sleep(MINUTE).await;
    let before = everything(&world).await;
    let (number, _) = world.camp("sparks").await;
    let more = world.push("sparks", &one("CHANGES.md", "more sparks"));
    world.ready(number, &more).await;
    assert!(everything(&world).await.len() > before.len() + 5);
    world.close(number);
    world.closed(number).await;
    world.told(number, "### Preview is gone").await;
    world.sleep(MINUTE).await;
    let mut left: Vec<_> = everything(&world).await.difference(&before).cloned().collect();
    // The record of a closed pull request stays for a day.
    left.retain(|one| *one != format!("Environment {NAMESPACE}/{NAME}-pr-{number}"));
    assert_eq!(left, Vec::<String>::new());
    world.sleep(Duration::from_secs(26 * 3600)).await;
    let left: Vec<_> = everything(&world).await.difference(&before).cloned().collect();
    assert_eq!(left, Vec::<String>::new());
    // At the forge: one comment, which says that it is gone.
    assert_eq!(world.stage.github.comments(REPOSITORY, number).expect("comments").len(), 1);
    world.ready(stays.0, &stays.1).await;
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_somebody_restored_is_named_and_not_deleted() {
    let world = World::anywhere(18).await;
    let (number, _) = world.camp("sparks").await;
    let namespaces: Api<Namespace> = Api::all(world.stage.admin.clone());
    let original = world.namespace(number).await.expect("a namespace");
    let copy: Value = json!({"metadata": {"name": "restored", "labels": original.metadata.labels}});
    let copy = serde_json::from_value(copy).expect("a namespace");
    namespaces.create(&PostParams::default(), &copy).await.expect("restored");
    world.close(number);
    world.closed(number).await;
    let reason = world.status(number).await.and_then(|status| status.reason).expect("a reason");
    assert!(reason.contains("restored carries the labels"), "{reason}");
    assert!(
        namespaces.get("restored").await.expect("it stands").metadata.deletion_timestamp.is_none()
    );
}
