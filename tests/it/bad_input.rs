//! Bad input: a person reads what is wrong and what to do, and nobody else's camp is touched.

use std::fmt::Write as _;

use bivouac::app::stage::{MAINTAINER, REPOSITORY};
use bivouac::crd::Phase;
use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::support::{Files, SWEEP, World, golden, one};

/// A camp that has nothing to do with the story, and must be at its end as it was at its beginning.
pub(crate) struct Witness {
    number: u64,
    head: String,
    uid: Option<String>,
    comment: Option<String>,
    since: DateTime<Utc>,
}

impl Witness {
    pub(crate) async fn of(world: &World) -> Self {
        let (number, head) = world.camp("witness").await;
        let uid = world.camp_uid(number).await;
        let comment = world.comment(number);
        Self { number, head, uid, comment, since: world.stage.clock.now() }
    }

    pub(crate) async fn is_unharmed(&self, world: &World) {
        assert_eq!(world.camp_uid(self.number).await, self.uid, "the same namespace");
        assert_eq!(world.comment(self.number), self.comment, "the same comment");
        let (code, page) = world.page(self.number).await.expect("an answer");
        assert!(code == 200 && page.contains(&self.head), "the same page");
        let namespace = world.stage.namespace_of(self.number);
        let mut writes = world.writes_since(self.since);
        writes.retain(|write| write.namespace == namespace || write.name == namespace);
        assert_eq!(writes, [], "nothing was written in it");
    }
}

/// Anchors that grow to 10^9 when they are followed.
pub(crate) fn bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let alias = format!("*a{}", level - 1);
        let list = [alias.as_str(); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{list}]").expect("a text can be written to");
    }
    text
}

fn config_map(name: &str, rest: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n{rest}")
}

/// Commits that can't be rendered: name of the golden file, path, text.
fn unrenderable() -> Vec<(&'static str, &'static str, String)> {
    let preview = ".bivouac.yaml";
    let manifest = "deploy/preview/extra.yaml";
    let template = "deploy/preview/extra.yaml.hbs";
    let apps = "apps:\n  - name: web\n    path: deploy/preview\n";
    let twice = format!("{}---\n{}", config_map("twin", ""), config_map("twin", ""));
    let long = format!("apiVersion: v1\nkind: Service\nmetadata:\n  name: {}\n", "s".repeat(64));
    vec![
        ("preview-file-unknown-key", preview, format!("{apps}lifetme: {{ttl: 24h}}\n")),
        ("preview-file-wrong-type", preview, "apps: deploy/preview\n".into()),
        ("preview-file-duplicate-key", preview, format!("{apps}{apps}")),
        ("preview-file-anchors-bomb", preview, format!("{}{apps}", bomb())),
        ("template-unknown-variable", template, config_map("extra", "data: {a: '{{pr.titel}}'}\n")),
        (
            "template-unknown-variable-in-if",
            template,
            config_map("extra", "data:\n{{#if pr.titel}}\n  a: b\n{{/if}}\n"),
        ),
        ("manifest-no-object", manifest, "just a sentence\n".into()),
        ("manifest-two-of-one-identity", manifest, twice),
        ("manifest-name-over-63", manifest, long),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_cannot_be_rendered_is_refused_with_file_line_and_reason() {
    let world = World::new(1).await;
    let witness = Witness::of(&world).await;
    for (name, path, text) in unrenderable() {
        let (number, head) = world.open(name, &one(path, &text));
        golden(name, &world.told(number, "### Preview is refused").await, &head);
        let status = world.status(number).await.expect("a status");
        assert_eq!(status.phase, Some(Phase::Refused), "{name}");
        assert!(world.namespace(number).await.is_none(), "{name}: nothing of it was written");
        world.close(number);
        world.closed(number).await;
        world.told(number, "### Preview is gone").await;
    }
    witness.is_unharmed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_camp_that_stands_goes_on_standing_when_the_next_commit_is_refused() {
    let world = World::new(2).await;
    let (number, head) = world.camp("sparks").await;
    let before = world.camp_uid(number).await;
    let bad = world.push("sparks", &one(".bivouac.yaml", "apps: deploy/preview\n"));
    let comment = world.told(number, "### Preview is refused").await;
    assert!(comment.contains(&bad));
    world.sleep(SWEEP * 2).await;
    let (code, page) = world.page(number).await.expect("an answer");
    assert!(code == 200 && page.contains(&head), "what ran before is as it was");
    assert_eq!(world.camp_uid(number).await, before);

    let apps = "apps:\n  - name: web\n    path: deploy/preview\n";
    let mended = world.push("sparks", &one(".bivouac.yaml", apps));
    world.ready(number, &mended).await;
    assert_eq!(world.camp_uid(number).await, before);
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_refuses_is_told_with_its_words() {
    let world = World::new(3).await;
    let witness = Witness::of(&world).await;
    let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: extra}\nspec:\n  selector: {app: web}\n  ports: [{port: 99999}]\n";
    let (number, head) = world.open("sparks", &one("deploy/preview/extra.yaml", bad));
    golden("refused-by-the-cluster", &world.told(number, "### Preview is refused").await, &head);
    let before = world.comment(number);
    world.sleep(SWEEP * 2).await;
    assert_eq!(world.comment(number), before, "it is tried again and said once");

    let good = bad.replace("99999", "80");
    let mended = world.push("sparks", &one("deploy/preview/extra.yaml", &good));
    world.ready(number, &mended).await;
    witness.is_unharmed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn an_image_that_cannot_be_pulled_is_named() {
    let world = World::new(4).await;
    let witness = Witness::of(&world).await;
    let deployment = "apiVersion: apps/v1
kind: Deployment
metadata: {name: worker}
spec:
  selector: {matchLabels: {app: worker}}
  template:
    metadata:
      labels: {app: worker}
    spec:
      containers:
        - {name: worker, image: 'ghcr.io/acme/worker:missing'}
";
    let (number, head) = world.open("sparks", &one("deploy/preview/worker.yaml", deployment));
    world.told(number, "### Preview has a problem").await;
    world.sleep(SWEEP).await;
    let status = world.status(number).await.expect("a status");
    assert_eq!(status.phase, Some(Phase::Degraded));
    golden("image-missing", &world.comment(number).expect("a comment"), &head);

    let mended = deployment.replace(":missing", ":1.0");
    let head = world.push("sparks", &one("deploy/preview/worker.yaml", &mended));
    world.ready(number, &head).await;
    witness.is_unharmed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_of_somebody_else_is_neither_used_nor_deleted() {
    let world = World::new(5).await;
    let witness = Witness::of(&world).await;
    let number = witness.number + 1;
    let name = world.stage.namespace_of(number);
    let namespaces: Api<Namespace> = Api::all(world.stage.admin.clone());
    let theirs =
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {"team": "theirs"}}}));
    namespaces.create(&PostParams::default(), &theirs.expect("a namespace")).await.expect("made");
    let maps: Api<ConfigMap> = Api::namespaced(world.stage.admin.clone(), &name);
    let theirs =
        serde_json::from_value(json!({"metadata": {"name": "precious"}, "data": {"a": "b"}}));
    maps.create(&PostParams::default(), &theirs.expect("a map")).await.expect("made");
    let before = world.camp_uid(number).await;

    let (opened, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    assert_eq!(opened, number);
    golden("namespace-taken", &world.told(number, "### Preview failed").await, &head);
    world.sleep(SWEEP * 2).await;
    world.close(number);
    world
        .until("the pull request is closed", async || {
            let status = world.status(number).await?;
            (status.phase == Some(Phase::Closed)).then_some(())
        })
        .await;
    let record = world.record(number).await.expect("a record");
    assert_eq!(record.metadata.finalizers.unwrap_or_default(), Vec::<String>::new());
    assert_eq!(world.camp_uid(number).await, before, "it is not deleted");
    let names = world.config_maps(number).await;
    assert_eq!(names, ["kube-root-ca.crt", "precious"], "nothing was put into it");

    namespaces.delete(&name, &DeleteParams::default()).await.expect("deleted");
    world.gone(number).await;
    world.reopen(number);
    world.ready(number, &head).await;
    witness.is_unharmed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_a_force_push_took_away_gives_way_to_the_new_head() {
    let world = World::new(6).await;
    let witness = Witness::of(&world).await;
    let github = &world.stage.github;
    github.fail_next("FETCH", "*", 503, u32::MAX);
    let (number, gone) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world
        .until("the first head is known", async || {
            let head = world.status(number).await?.head?;
            (head.revision == gone).then_some(())
        })
        .await;
    world.lose_webhooks(true);
    let files = one("CHANGES.md", "other sparks");
    let head = github.force_push(REPOSITORY, "sparks", &files, MAINTAINER).expect("a push");
    github.forget_commit(REPOSITORY, &gone).expect("forgotten");
    github.fail_no_more();
    let reason = world
        .until("the record says that the commit is gone", async || {
            let reason = world.status(number).await?.reason?;
            reason.contains("any more").then_some(reason)
        })
        .await;
    let url = "http://github.test/acme/campfire.git";
    let expected =
        format!("the commit could not be read: commit {gone} is not in {url} (any more)");
    assert_eq!(reason, expected);
    world.ready(number, &head).await;
    witness.is_unharmed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_head_that_the_forge_names_and_does_not_have_is_told() {
    let world = World::new(7).await;
    let witness = Witness::of(&world).await;
    world.lose_webhooks(true);
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    world.stage.github.forget_commit(REPOSITORY, &head).expect("forgotten");
    golden("commit-gone", &world.told(number, "### Preview failed").await, &head);
    witness.is_unharmed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn git_that_denies_the_repository_is_told() {
    let world = World::new(8).await;
    let witness = Witness::of(&world).await;
    world.stage.github.fail_next("FETCH", "*", 404, u32::MAX);
    let (number, head) = world.open("sparks", &one("CHANGES.md", "sparks"));
    golden("repository-denied", &world.told(number, "### Preview failed").await, &head);
    world.stage.github.fail_no_more();
    world.ready(number, &head).await;
    witness.is_unharmed(&world).await;
}

#[tokio::test(start_paused = true)]
async fn titles_branches_and_labels_full_of_syntax_do_no_harm() {
    let world = World::new(9).await;
    let witness = Witness::of(&world).await;
    let label = "`@ada` **x** {{y}} <img src=x> [z](//e.test)";
    let title = "\"quoted\" 'single' `code` **bold** @ada @acme/all #1 {{env.host}} <script>alert(1)</script>\r\n\
                 <!-- bivouac:v1 instance=demo --> \u{0}\u{7}\u{1b}[31m\u{202e}";
    let branch = "Feat/\"q\"-'s'-{{env.host}}-@ada-<b>-$(id)-`id`-#1-\u{202e}ü";
    let files = Files::from([
        ("CHANGES.md", "x"),
        (
            "deploy/preview/extra.yaml.hbs",
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\ndata: {branch: '{{branch.slug}}'}\n",
        ),
    ]);
    let head =
        world.stage.github.commit(REPOSITORY, branch, &files, title, MAINTAINER).expect("a commit");
    let number = world.propose(branch, title, MAINTAINER);
    world.ready(number, &head).await;
    golden("hostile-ready", &world.comment(number).expect("a comment"), &head);
    let maps: Api<ConfigMap> =
        Api::namespaced(world.stage.admin.clone(), &world.stage.namespace_of(number));
    let data = maps.get("extra").await.expect("the map").data.unwrap_or_default();
    assert_eq!(
        data.get("branch").map(String::as_str),
        Some("feat-q-s-env-host-ada-b-id-id-1"),
        "of the branch's name only the slug is shown"
    );

    // A label reaches the comment as the reason why there is no camp any more.
    world.policy(json!({"select": {"labels": {"none": [label]}}})).await;
    world.stage.github.label(REPOSITORY, number, label, MAINTAINER).expect("a label");
    golden("hostile-not-eligible", &world.told(number, "### No preview").await, &head);
    world.gone(number).await;
    witness.is_unharmed(&world).await;
}
