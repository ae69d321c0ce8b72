//! The service as a GitHub App: tokens that end, keys that change, installations that go; and two Apps side by side.

use std::time::Duration;

use bivouac::app::stage::{BOT, DOMAIN, FILES, NAME, NAMESPACE, REPOSITORY, STRANGER};
use bivouac::crd::{Environment, EnvironmentStatus, Repository};
use bivouac::sandbox::github::{Fault, HookConfig, NewPull, Outcome, RequestRecord, RetryAfter};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{SWEEP, World, one};

const KEY: &str = include_str!("../../src/sandbox/github/testdata/app.pem");
/// PKCS#1, as GitHub gives them.
const SECOND_KEY: &str = include_str!("../../src/sandbox/github/testdata/app-2.pem");
const THIRD_KEY: &str = include_str!("../../src/sandbox/github/testdata/app-3.pem");
const NEEDED: &[(&str, &str)] =
    &[("metadata", "read"), ("contents", "read"), ("pull_requests", "write")];
const LAKE: &str = "glade/lake";
const HOUR: Duration = Duration::from_secs(3600);

/// An App at the forge, installed for one repository.
pub(crate) struct App {
    pub(crate) id: u64,
    pub(crate) installation: u64,
    /// Its hook, once it has one.
    pub(crate) hook: u64,
    pub(crate) slug: &'static str,
}

impl App {
    fn bot(&self) -> String {
        format!("{}[bot]", self.slug)
    }

    fn made(world: &World, slug: &'static str, key: &str, repository: &str) -> Self {
        Self::made_with(world, slug, key, repository, NEEDED)
    }

    fn made_with(
        world: &World,
        slug: &'static str,
        key: &str,
        repository: &str,
        permissions: &[(&str, &str)],
    ) -> Self {
        let github = &world.stage.github;
        let (owner, _) = repository.split_once('/').expect("owner and name");
        let id = github.register_app(slug, owner, Some(key), permissions).expect("an App");
        let installation = github.install_app(id, owner, Some(&[repository]));
        Self { id, installation: installation.expect("an installation"), hook: 0, slug }
    }

    /// Its hook, which hears of every repository that it is installed for.
    fn hook(&self, world: &World, secret: &str) -> u64 {
        let config = HookConfig {
            url: "http://bivouac.test/webhook".into(),
            transport: Some(world.stage.receiver.clone()),
            secret: secret.into(),
            events: ["check_run", "issue_comment", "pull_request", "repository"]
                .map(String::from)
                .into(),
        };
        world.stage.github.add_app_hook(self.id, config).expect("a hook")
    }
}

pub(crate) async fn write_secret(world: &World, name: &str, patch: Value) {
    let api: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("a Secret");
}

/// A condition of a Repository as `status reason`, and its message.
async fn condition(world: &World, repository: &str, kind: &str) -> (String, String) {
    let api: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let status = api.get(repository).await.expect("a Repository").status.unwrap_or_default();
    let found = status.conditions.into_iter().find(|condition| condition.r#type == kind);
    found
        .map(|found| (format!("{} {}", found.status, found.reason), found.message))
        .unwrap_or_default()
}

async fn is(world: &World, repository: &str, kind: &str, wanted: &str) -> String {
    world
        .until(&format!("{kind} of {repository} is {wanted}"), async || {
            let (state, message) = condition(world, repository, kind).await;
            (state == wanted).then_some(message)
        })
        .await
}

/// The world with an App in the place of the token, which counts no longer; its hook in the place of the repository's.
pub(crate) async fn as_an_app(seed: u64) -> (World, App) {
    as_an_app_with(seed, NEEDED).await
}

/// The same with more permissions than it needs.
pub(crate) async fn as_an_app_with(seed: u64, permissions: &[(&str, &str)]) -> (World, App) {
    let world = World::new(seed).await;
    let mut app = App::made_with(&world, "camper", KEY, REPOSITORY, permissions);
    app.hook = app.hook(&world, &world.stage.webhook_secret);
    world.lose_webhooks(true);
    world.stage.github.revoke_token(&world.stage.tokens.service);
    let patch = json!({
        "data": {"token": null},
        "stringData": {"appId": app.id.to_string(), "privateKey": KEY},
    });
    write_secret(&world, NAME, patch).await;
    world
        .until("the App is accepted", async || {
            let (_, message) = condition(&world, NAME, "CredentialsValid").await;
            (message == "the forge accepts the App").then_some(())
        })
        .await;
    (world, app)
}

async fn status_of(world: &World, record: &str) -> Option<EnvironmentStatus> {
    let found: Option<Environment> = world.stage.environments().get_opt(record).await.ok()?;
    found?.status
}

/// Waits until the record is ready at `head`, and the bot says so in its one comment.
async fn ready(world: &World, app: &App, repository: &str, record: &str, head: &str) {
    let (_, number) = record.rsplit_once('-').expect("a number");
    let number = number.parse().expect("a number");
    world
        .until(&format!("{record} is ready at {head}"), async || {
            let status = status_of(world, record).await?;
            let ready = status.holds("Ready") && status.revision.as_deref() == Some(head);
            let told = comment(world, app, repository, number)?;
            (ready && told.contains("### Preview is ready") && told.contains(head)).then_some(())
        })
        .await;
}

fn comment(world: &World, app: &App, repository: &str, number: u64) -> Option<String> {
    let comments = world.stage.github.comments(repository, number).expect("comments");
    assert!(comments.iter().all(|comment| comment.author != BOT), "the token is not used");
    let mut ours = comments.into_iter().filter(|comment| comment.author == app.bot());
    let first = ours.next();
    assert!(ours.next().is_none(), "there are two comments on {repository}#{number}");
    first.map(|comment| comment.body)
}

/// A camp of the served repository, with its record's name.
async fn camp(world: &World, app: &App, branch: &str) -> (u64, String) {
    let (number, head) = world.open(branch, &one("CHANGES.md", branch));
    let record = format!("{NAME}-pr-{number}");
    ready(world, app, REPOSITORY, &record, &head).await;
    (number, record)
}

fn since(world: &World, first: usize) -> Vec<RequestRecord> {
    world.stage.github.requests().into_iter().skip(first).collect()
}

fn minted(requests: &[RequestRecord]) -> usize {
    requests.iter().filter(|r| r.path.ends_with("/access_tokens") && r.status == 201).count()
}

#[tokio::test(start_paused = true)]
async fn a_camp_lives_its_whole_life_through_an_app() {
    let (world, app) = as_an_app(1).await;
    let first = world.stage.github.requests().len();
    let (number, record) = camp(&world, &app, "sparks").await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    ready(&world, &app, REPOSITORY, &record, &head).await;
    world.close(number);
    world.closed(number).await;
    world
        .until("the bot says that it is gone", async || {
            let told = comment(&world, &app, REPOSITORY, number)?;
            told.contains("### Preview is gone").then_some(())
        })
        .await;

    let requests = since(&world, first);
    let who = |r: &RequestRecord| r.user.clone().unwrap_or_default();
    for request in &requests {
        let ours = [app.slug.to_owned(), app.bot()].contains(&who(request));
        assert!(ours && request.status < 400, "{request:?}");
    }
    let fetched = requests.iter().filter(|r| r.method == "FETCH" && who(r) == app.bot()).count();
    assert!(fetched >= 2, "git fetches with the installation's token: {requests:#?}");
    assert_eq!(minted(&requests), 0, "the token of before is still good");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_in_a_quiet_time_is_renewed_before_anybody_is_refused() {
    let (world, app) = as_an_app(2).await;
    let (_, record) = camp(&world, &app, "sparks").await;
    let first = world.stage.github.requests().len();
    world.sleep(HOUR * 3 + HOUR / 2).await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    ready(&world, &app, REPOSITORY, &record, &head).await;
    let requests = since(&world, first);
    let refused: Vec<_> = requests.iter().filter(|r| r.status >= 400).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert!((3..=5).contains(&minted(&requests)), "one in 55 minutes: {}", minted(&requests));

    // While the forge is away for longer than a token lives, nothing is lost but time.
    world.stage.github.set_outage(true);
    world.sleep(HOUR * 2).await;
    world.stage.github.set_outage(false);
    let first = world.stage.github.requests().len();
    let head = world.push("sparks", &one("CHANGES.md", "and more"));
    ready(&world, &app, REPOSITORY, &record, &head).await;
    let refused: Vec<_> = since(&world, first).into_iter().filter(|r| r.status >= 400).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_token_is_replaced_within_the_same_call() {
    let (world, app) = as_an_app(3).await;
    let (_, record) = camp(&world, &app, "sparks").await;
    let ended = world.stage.github.revoke_tokens_of(app.installation);
    assert!(ended > 0);
    let first = world.stage.github.requests().len();
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    ready(&world, &app, REPOSITORY, &record, &head).await;
    let requests = since(&world, first);
    assert_eq!(minted(&requests), 1);
    assert!(requests.iter().any(|r| r.status == 401), "{requests:#?}");
    let (state, _) = condition(&world, NAME, "Accessible").await;
    assert_eq!(state, "True Accessible");
}

#[tokio::test(start_paused = true)]
async fn a_rotated_key_counts_at_once_and_a_broken_one_is_named() {
    let (world, app) = as_an_app(4).await;
    let (number, record) = camp(&world, &app, "sparks").await;
    let camp = world.camp_uid(number).await;
    let github = &world.stage.github;

    // The usual way: the new key first, then the Secret, then the old one goes.
    github.add_app_key(app.id, SECOND_KEY).expect("a key");
    write_secret(&world, NAME, json!({"stringData": {"privateKey": SECOND_KEY}})).await;
    world.sleep(Duration::from_secs(5)).await;
    github.delete_app_key(app.id, KEY).expect("a key");
    world.sleep(HOUR * 2).await;
    let head = world.push("sparks", &one("CHANGES.md", "more sparks"));
    ready(&world, &app, REPOSITORY, &record, &head).await;
    assert_eq!(condition(&world, NAME, "CredentialsValid").await.0, "True Accepted");

    // The key is gone and the Secret has the old one: told, and nothing is torn down.
    github.add_app_key(app.id, THIRD_KEY).expect("a key");
    github.delete_app_key(app.id, SECOND_KEY).expect("a key");
    world.sleep(HOUR).await;
    let message = is(&world, NAME, "CredentialsValid", "False AppRefused").await;
    assert!(message.contains("appId and privateKey must belong together"), "{message}");
    assert_eq!(world.camp_uid(number).await, camp);
    let changed = world.stage.clock.now();
    write_secret(&world, NAME, json!({"stringData": {"privateKey": THIRD_KEY}})).await;
    is(&world, NAME, "CredentialsValid", "True Accepted").await;
    let took = world.stage.clock.now() - changed;
    assert!(took < chrono::Duration::seconds(10), "it took {took}");

    // What is no key is told in words that name the formats, and nothing of it.
    write_secret(&world, NAME, json!({"stringData": {"privateKey": "hunter2"}})).await;
    let message = is(&world, NAME, "CredentialsValid", "False SecretInvalid").await;
    assert!(message.contains("PKCS#1") && message.contains("PKCS#8"), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
    assert_eq!(world.camp_uid(number).await, camp);
    write_secret(&world, NAME, json!({"stringData": {"privateKey": THIRD_KEY}})).await;
    is(&world, NAME, "CredentialsValid", "True Accepted").await;
    let head = world.push("sparks", &one("CHANGES.md", "and more"));
    ready(&world, &app, REPOSITORY, &record, &head).await;
    assert_eq!(world.camp_uid(number).await, camp);
}

/// Keeps the App out until `known`; the camps must stand and the Repository must say why, and all is well after `end`.
async fn camps_stay(
    seed: u64,
    known: Duration,
    trouble: impl Fn(&World, &App),
    reason: &str,
    words: &str,
    end: impl Fn(&World, &App),
) {
    let (world, app) = as_an_app(seed).await;
    let mut camps = Vec::new();
    for branch in ["sparks", "kettle", "smoke"] {
        let (number, record) = camp(&world, &app, branch).await;
        camps.push((number, record, world.camp_uid(number).await));
    }
    let began = world.stage.clock.now();
    trouble(&world, &app);
    world.sleep(known).await;
    let (state, message) = condition(&world, NAME, "Accessible").await;
    assert_eq!(state, format!("False {reason}"));
    assert!(message.contains(words), "{message}");
    for (number, record, uid) in &camps {
        assert_eq!(&world.camp_uid(*number).await, uid, "{record} stands");
        let (code, _) = world.page(*number).await.expect("an answer");
        assert_eq!(code, 200, "{record} is served");
    }
    end(&world, &app);
    is(&world, NAME, "Accessible", "True Accessible").await;
    let head = world.push("sparks", &one("CHANGES.md", "after the trouble"));
    ready(&world, &app, REPOSITORY, &camps[0].1, &head).await;
    let writes = world.writes_since(began);
    let deleted = writes.iter().filter(|w| w.verb == "delete" && w.resource == "namespaces");
    assert_eq!(deleted.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_uninstalled_tears_nothing_down() {
    camps_stay(
        5,
        SWEEP * 2,
        |world, app| world.stage.github.uninstall_app(app.installation).expect("uninstalled"),
        "AppNotInstalled",
        &format!("is not installed on {REPOSITORY}: its owner installs it from the App's page"),
        |world, app| {
            let (owner, _) = REPOSITORY.split_once('/').expect("a name");
            let again = world.stage.github.install_app(app.id, owner, Some(&[REPOSITORY]));
            again.expect("installed");
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_installation_tears_nothing_down() {
    let suspend = |on| {
        move |world: &World, app: &App| {
            world.stage.github.suspend_app(app.installation, on).expect("an installation");
        }
    };
    camps_stay(6, SWEEP * 2, suspend(true), "AppSuspended", "is suspended", suspend(false)).await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_named_and_tears_nothing_down() {
    let accept = |permissions: &'static [(&str, &str)]| {
        move |world: &World, app: &App| {
            let github = &world.stage.github;
            github.accept_permissions(app.installation, permissions).expect("an installation");
        }
    };
    let less = accept(&[("metadata", "read"), ("contents", "read"), ("pull_requests", "read")]);
    let words = "lacks the permission \"Pull requests: write (it has read)\"";
    // Reading goes on; with the next token it is told.
    camps_stay(7, HOUR + SWEEP, less, "AppPermissionMissing", words, accept(NEEDED)).await;
}

/// Another organisation with a private repository, and an App of its own.
async fn another_served(world: &World) -> (App, u64) {
    let (github, lake) = (&world.stage.github, LAKE);
    github.create_org("glade", STRANGER).expect("an organisation");
    github.create_private_repo(lake).expect("a repository");
    let files = FILES.iter().copied().collect();
    github.commit(lake, "main", &files, "Still water\n", STRANGER).expect("a commit");
    let lantern = App::made(world, "lantern", SECOND_KEY, lake);
    let hook = lantern.hook(world, "the lantern's");
    let secrets: Api<Secret> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let secret = serde_json::from_value(json!({
        "metadata": {"name": "lake"},
        "stringData": {
            "appId": lantern.id.to_string(),
            "installationId": lantern.installation.to_string(),
            "privateKey": SECOND_KEY,
            "webhookSecret": "the lantern's",
        },
    }));
    secrets.create(&PostParams::default(), &secret.expect("a Secret")).await.expect("a Secret");
    let repositories: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);
    let repository = serde_json::from_value(json!({
        "apiVersion": "bivouac.dev/v1alpha1",
        "kind": "Repository",
        "metadata": {"name": "lake"},
        "spec": {
            "forge": {"github": {
                "owner": "glade", "name": "lake", "apiUrl": "http://github.test/api/v3",
                "credentials": {"secretName": "lake"},
            }},
            "url": {"host": DOMAIN, "scheme": "http"},
        },
    }));
    let repository = repository.expect("a Repository");
    repositories.create(&PostParams::default(), &repository).await.expect("a Repository");
    is(world, "lake", "Accessible", "True Accessible").await;
    (lantern, hook)
}

/// A pull request there.
fn proposed(world: &World, branch: &str) -> (u64, String) {
    let github = &world.stage.github;
    let head = github.commit(LAKE, branch, &one("CHANGES.md", branch), "Throw\n", STRANGER);
    let pull = NewPull {
        head: branch.into(),
        base: "main".into(),
        title: "Ripples".into(),
        body: None,
        draft: false,
    };
    let number = github.open_pull_request(LAKE, &pull, STRANGER).expect("a pull request");
    (number, head.expect("a commit"))
}

#[tokio::test(start_paused = true)]
async fn two_apps_side_by_side_see_each_only_its_own() {
    let (world, camper) = as_an_app(8).await;
    let github = &world.stage.github;
    let (lake, (lantern, hook)) = (LAKE, another_served(&world).await);
    let repositories: Api<Repository> = Api::namespaced(world.stage.admin.clone(), NAMESPACE);

    // Both serve, over each other's head.
    let first = github.requests().len();
    let (_, campfire) = camp(&world, &camper, "sparks").await;
    let (number, head) = proposed(&world, "ripples");
    let record = format!("lake-pr-{number}");
    ready(&world, &lantern, lake, &record, &head).await;
    world.sleep(HOUR * 2).await;
    let next = world.push("sparks", &one("CHANGES.md", "more sparks"));
    ready(&world, &camper, REPOSITORY, &campfire, &next).await;
    let answered = github.deliveries(hook).into_iter().filter(|d| d.event == "pull_request");
    assert!(answered.map(|d| d.outcome).all(|outcome| outcome == Outcome::Answered(202)));

    for request in since(&world, first) {
        let user = request.user.clone().unwrap_or_default();
        let path = &request.path;
        let of = |owner: &str| path.contains(&format!("/{owner}/"));
        let installation =
            |app: &App| path.contains(&format!("/installations/{}/", app.installation));
        for (app, other, owner) in [(&camper, &lantern, "acme"), (&lantern, &camper, "glade")] {
            if of(owner) || installation(app) {
                assert!(user.starts_with(app.slug), "{request:?} is {}'s", app.slug);
                assert!(!user.starts_with(other.slug));
                assert!(request.status < 400, "{request:?}");
            }
        }
    }

    // With the other's Secret a Repository gets nothing: the App is not installed there.
    let uid = camp_of(&world, &record).await;
    let swap = |secret: &str| json!({"spec": {"forge": {"github": {"credentials": {"secretName": secret}}}}});
    let patch = Patch::Merge(swap(NAME));
    repositories.patch("lake", &PatchParams::default(), &patch).await.expect("a Repository");
    let message = is(&world, "lake", "Accessible", "False AppNotInstalled").await;
    assert!(message.contains(&format!("the GitHub App {} is not installed on {lake}", camper.id)));
    let patch = Patch::Merge(swap("lake"));
    repositories.patch("lake", &PatchParams::default(), &patch).await.expect("a Repository");
    is(&world, "lake", "Accessible", "True Accessible").await;

    // And what one App's secret signed says nothing about the other's repository.
    let forged = HookConfig {
        url: "http://bivouac.test/webhook".into(),
        transport: Some(world.stage.receiver.clone()),
        secret: world.stage.webhook_secret.clone(),
        events: vec!["pull_request".into()],
    };
    let forged = github.add_hook(lake, forged).expect("a hook");
    github.label(lake, number, "urgent", STRANGER).expect("a label");
    world
        .until("the forged delivery is refused", async || {
            let all = github.deliveries(forged);
            let sent = all.iter().find(|d| d.event == "pull_request")?;
            (sent.outcome == Outcome::Answered(401)).then_some(())
        })
        .await;
    assert_eq!(camp_of(&world, &record).await, uid);
}

/// UID of the namespace that a record names.
async fn camp_of(world: &World, record: &str) -> Option<String> {
    let name = status_of(world, record).await?.namespace?;
    let api: Api<Namespace> = Api::all(world.stage.admin.clone());
    api.get_opt(&name).await.expect("an answer")?.metadata.uid
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_an_installation_is_known_at_once() {
    let (world, app) = as_an_app(9).await;
    let github = &world.stage.github;
    let (_, record) = camp(&world, &app, "sparks").await;
    let uid = camp_of(&world, &record).await;
    let at_once = async |wanted: &str| {
        world
            .within(Duration::from_secs(20), &format!("Accessible is {wanted}"), async || {
                (condition(&world, NAME, "Accessible").await.0 == wanted).then_some(())
            })
            .await;
        // Not a moment that a sweep happens to be in.
        world.sleep(Duration::from_secs(45)).await;
    };
    for _ in 0..2 {
        github.suspend_app(app.installation, true).expect("suspended");
        at_once("False AppSuspended").await;
        github.suspend_app(app.installation, false).expect("not suspended");
        at_once("True Accessible").await;
        github.choose_repositories(app.installation, Some(&[])).expect("chosen");
        at_once("False AppNotInstalled").await;
        github.choose_repositories(app.installation, Some(&[REPOSITORY])).expect("chosen");
        at_once("True Accessible").await;
    }
    github.accept_permissions(app.installation, &NEEDED[..2]).expect("accepted");
    // The token in hand is good for some minutes more.
    world.sleep(SWEEP).await;
    github.accept_permissions(app.installation, NEEDED).expect("accepted");
    at_once("True Accessible").await;
    assert_eq!(camp_of(&world, &record).await, uid);
}

#[tokio::test(start_paused = true)]
async fn an_installation_that_has_to_wait_delays_no_other() {
    let (world, camper) = as_an_app(10).await;
    let (lantern, _) = another_served(&world).await;
    let github = &world.stage.github;
    // One hour of silence is asked of the first one's installation.
    let fault = Fault::Limited(429, RetryAfter::Seconds(3600));
    github.fault_next("*", "/repos/acme/", fault, 1);
    let branches = ["one", "two", "three", "four", "five", "six"];
    for branch in branches {
        world.open(branch, &one("CHANGES.md", branch));
    }
    world.sleep(Duration::from_secs(5)).await;
    let first = github.requests().len();
    let (number, head) = proposed(&world, "ripples");
    let record = format!("lake-pr-{number}");
    world
        .within(Duration::from_secs(20), "the other one is served", async || {
            let status = status_of(&world, &record).await?;
            let told = comment(&world, &lantern, LAKE, number)?;
            (status.holds("Ready") && told.contains(&head)).then_some(())
        })
        .await;
    world.sleep(Duration::from_secs(1800)).await;
    let asked = since(&world, first);
    assert!(asked.iter().all(|r| !r.path.contains("/acme/")), "{asked:?}");
    world.sleep(Duration::from_secs(2400)).await;
    for number in 1..=6 {
        let told = comment(&world, &camper, REPOSITORY, number);
        assert!(told.is_some_and(|told| told.contains("### Preview is ready")), "#{number}");
    }
}
