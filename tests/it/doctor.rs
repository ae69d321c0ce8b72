//! `bivouac doctor`: what is wrong is named, with what to change; and where nothing is, nothing is.

use std::time::Duration;

use bivouac::app::stage::{FIRST, MAINTAINER, NAME, NAMESPACE, REPOSITORY, Stage};
use bivouac::controller::checkup::{Checkup, Found, Weight, examine};
use bivouac::crd::Repository;
use bivouac::forge::Apis;
use bivouac::sandbox::github::HookConfig;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::apps_at_forge::{App, as_an_app_with, write_secret};
use crate::support::{SWEEP, World, one};

const ALL: &[(&str, &str)] = &[
    ("actions", "read"),
    ("checks", "write"),
    ("contents", "read"),
    ("deployments", "write"),
    ("members", "read"),
    ("metadata", "read"),
    ("pull_requests", "write"),
    ("statuses", "write"),
];
const URL: &str = "http://bivouac.test/webhook";

fn checkup(stage: &Stage) -> Checkup {
    Checkup {
        home: stage.admin.clone(),
        instance: "demo".into(),
        namespace: NAMESPACE.into(),
        service_account: "bivouac".into(),
        forges: Some(Apis::new(stage.github.transport(), stage.clock.clone())),
        allow_http: true,
        webhook_url: Some(URL.into()),
        now: stage.clock.now(),
    }
}

async fn found(world: &World) -> Found {
    examine(&checkup(&world.stage), &|_| {}).await
}

/// Everything that is not fine, as `about: what` and the advice.
fn not_fine(found: &Found) -> Vec<(String, String)> {
    let wrong = found.all().iter().filter(|one| one.weight > Weight::Fine);
    wrong
        .map(|one| {
            let seen = format!("{}: {}", one.about, one.seen);
            (seen, one.advice.clone().unwrap_or_default())
        })
        .collect()
}

/// There is exactly one finding that begins so; gives its advice.
fn advice(found: &Found, seen: &str) -> String {
    let all = not_fine(found);
    let mut matching = all.iter().filter(|(what, _)| what.contains(seen));
    let (first, second) = (matching.next(), matching.next());
    assert!(first.is_some() && second.is_none(), "{seen}: {all:#?}");
    first.map(|(_, advice)| advice.clone()).unwrap_or_default()
}

/// An App with all that is of use, and a delivery that arrived.
async fn healthy(seed: u64) -> (World, App) {
    let (world, app) = as_an_app_with(seed, ALL).await;
    let github = &world.stage.github;
    github.set_hook_active(app.hook, false);
    github.remove_hook(app.hook).expect("a hook");
    let config = HookConfig {
        url: URL.into(),
        transport: Some(world.stage.receiver.clone()),
        secret: world.stage.webhook_secret.clone(),
        events: ["check_run", "delete", "issue_comment", "pull_request", "push", "repository"]
            .map(String::from)
            .into(),
    };
    let hook = github.add_app_hook(app.id, config).expect("a hook");
    let app = App { hook, ..app };
    world.open("sparks", &one("CHANGES.md", "sparks"));
    world.sleep(Duration::from_secs(60)).await;
    (world, app)
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_wrong_nothing_is_said() {
    let (world, _) = healthy(1).await;
    let first = world.stage.github.requests().len();
    let begin = world.stage.clock.now();
    let found = found(&world).await;
    assert_eq!(not_fine(&found), []);
    assert!(!found.has_problems() && found.all().len() >= 8, "{found:#?}");
    // It only looks.
    assert_eq!(
        world.told_to_the_forge(first).len(),
        1,
        "a token: {:#?}",
        world.told_to_the_forge(first)
    );
    let written = world.writes_since(begin);
    let reviews = |event: &&bivouac::sandbox::cluster::api::AuditEvent| {
        event.user != crate::support::SERVICE && event.resource != "subjectaccessreviews"
    };
    assert_eq!(written.iter().filter(reviews).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_at_github_is_named_with_what_to_change() {
    let (world, app) = healthy(2).await;
    let github = &world.stage.github;

    // Another secret: the last delivery says so.
    let patch = json!({"stringData": {"webhookSecret": "another one"}});
    write_secret(&world, NAME, patch).await;
    world.sleep(Duration::from_secs(5)).await;
    github.retitle(REPOSITORY, 1, "Another title", MAINTAINER).expect("a title");
    world.sleep(Duration::from_secs(5)).await;
    let now = found(&world).await;
    let cure = advice(&now, "was answered 401");
    assert!(cure.contains("webhookSecret in the Secret differ"), "{cure}");
    assert!(now.has_problems());

    // Another address, without a secret, deaf to what matters.
    github.remove_hook(app.hook).expect("a hook");
    let config = HookConfig {
        url: "http://bivouac.test/hooks".into(),
        transport: Some(world.stage.receiver.clone()),
        secret: String::new(),
        events: vec!["push".into()],
    };
    let hook = github.add_app_hook(app.id, config).expect("a hook");
    world.sleep(Duration::from_secs(5)).await;
    let now = found(&world).await;
    assert!(advice(&now, "leads to http://bivouac.test/hooks").contains(URL));
    assert!(advice(&now, "has no secret").contains("webhookSecret"));
    assert!(advice(&now, "does not hear of pull_request").contains("subscribe"));
    assert!(
        advice(&now, "does not hear of check_run, delete, issue_comment, repository")
            .contains("subscribe")
    );
    assert!(advice(&now, "(ping, ").contains("/webhook"), "404 leads elsewhere");

    // No webhook at all.
    github.remove_hook(hook).expect("a hook");
    let now = found(&world).await;
    assert!(advice(&now, "there is no webhook").contains(URL));

    // Suspended.
    github.suspend_app(app.installation, true).expect("suspended");
    world.sleep(SWEEP).await;
    let now = found(&world).await;
    let problems = not_fine(&now);
    assert!(problems.iter().any(|(seen, _)| seen.contains("is suspended")), "{problems:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_asks_for_too_little_is_told_what_it_lacks() {
    let (world, _) = as_an_app_with(3, &ALL[2..7]).await;
    let now = found(&world).await;
    advice(&now, "does not ask for Actions: read, Checks: write, Statuses: write");
    let key = include_str!("../../src/sandbox/github/testdata/app-3.pem");
    let github = &world.stage.github;
    let id = github.register_app("poor", "acme", Some(key), &ALL[2..3]).expect("an App");
    github.install_app(id, "acme", None).expect("an installation");
    let patch = json!({"stringData": {"appId": id.to_string(), "privateKey": key}});
    write_secret(&world, NAME, patch).await;
    let now = found(&world).await;
    let cure = advice(&now, "does not ask for Metadata: read, Pull requests: write");
    assert!(cure.contains("accept it for each installation"), "{cure}");
}

#[tokio::test(start_paused = true)]
async fn with_a_token_it_says_that_the_sweeps_alone_heal() {
    let world = World::new(4).await;
    world.open("sparks", &one("CHANGES.md", "sparks"));
    world.sleep(Duration::from_secs(60)).await;
    let now = found(&world).await;
    advice(&now, "not asked for again with a token");
    // Its account may write, and does not administer.
    advice(&now, "may not see the repository's webhooks");
    assert!(!now.has_problems(), "{:#?}", not_fine(&now));
    // With more rights the webhook is looked at, too.
    let patch = json!({"stringData": {"token": world.stage.tokens.maintainer}});
    write_secret(&world, NAME, patch).await;
    let now = found(&world).await;
    assert_eq!(not_fine(&now).len(), 1, "{:#?}", not_fine(&now));
    world.lose_webhooks(true);
    let now = found(&world).await;
    advice(&now, "the webhook is switched off");
    // A token that is none.
    write_secret(&world, NAME, json!({"stringData": {"token": "ghp_none"}})).await;
    world.sleep(Duration::from_secs(30)).await;
    let now = found(&world).await;
    assert!(now.has_problems());
    let text = format!("{now:?}");
    assert!(text.contains("does not accept the token") && !text.contains("ghp_none"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_in_the_cluster_is_named_with_what_to_change() {
    let (mut world, _) = healthy(5).await;
    // A right less, of each kind.
    let roles: Api<Role> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let role = roles.get("bivouac").await.expect("a Role");
    let mut rules = serde_json::to_value(&role.rules).expect("rules");
    let list = rules.as_array_mut().expect("a list");
    list.retain(|rule| rule["resources"] != json!(["events"]));
    let patch = Patch::Merge(json!({ "rules": rules }));
    roles.patch("bivouac", &PatchParams::default(), &patch).await.expect("a Role");
    let now = found(&world).await;
    let cure = advice(&now, "lacks 2 rights");
    assert!(
        cure.contains(
            "{apiGroups: [\"events.k8s.io\"], resources: [events], verbs: [create, patch]}"
        ),
        "{cure}"
    );
    let cluster: Api<ClusterRole> = Api::all(world.stage.admin.clone());
    cluster.delete("bivouac-deployer", &DeleteParams::default()).await.expect("deleted");
    let now = found(&world).await;
    assert!(advice(&now, "there is no ClusterRole bivouac-deployer").contains("deploy/rbac.yaml"));

    // Nobody works.
    world.stage.kill_replica(FIRST).await;
    world.sleep(Duration::from_secs(60)).await;
    let now = found(&world).await;
    assert!(advice(&now, "nobody works").contains("pods"));
    // The Secret is gone.
    let secrets: Api<k8s_openapi::api::core::v1::Secret> =
        Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    secrets.delete(NAME, &DeleteParams::default()).await.expect("deleted");
    let now = found(&world).await;
    assert!(advice(&now, "there is no Secret campfire").contains("docs/github.md"));
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_took_the_name_of_another_is_told_from_it() {
    let mut world = World::new(6).await;
    world.stage.kill_replica(FIRST).await;
    let api: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let patch = Patch::Merge(json!({"status": {"forge": {"repositoryId": 1}}}));
    api.patch_status(NAME, &PatchParams::default(), &patch).await.expect("a status");
    let now = found(&world).await;
    let cure = advice(&now, "is another repository than the one that is served");
    assert!(cure.contains("delete the Repository"), "{cure}");
}
