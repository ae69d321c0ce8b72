//! The story: what users do, and what they must see then. Every sentence is checked; the first that is not true ends it.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::narrator::Narrator;
use crate::app::stage::{BOT, MAINTAINER, NAMESPACE, REPOSITORY, STRANGER, Stage};
use crate::sandbox::github::{CommentView, NewPull};
use crate::seams::BoxError;

type Result<T = ()> = std::result::Result<T, BoxError>;

/// A branch with one change, for a page that differs.
fn change(text: &str) -> BTreeMap<&'static str, String> {
    BTreeMap::from([("CHANGES.md", format!("{text}\n"))])
}

fn borrowed<'a>(files: &'a BTreeMap<&'static str, String>) -> BTreeMap<&'a str, &'a str> {
    files.iter().map(|(path, text)| (*path, text.as_str())).collect()
}

/// A Service that the guard refuses, as somebody might write it in good faith.
const OPEN_TO_ALL: &str = "apiVersion: v1
kind: Service
metadata:
  name: open
spec:
  type: LoadBalancer
  selector: {app: web}
  ports:
    - {port: 80, targetPort: 8080}
";

/// All acts.
pub(super) async fn play(stage: &Stage, narrator: &mut Narrator) -> Result {
    let leftovers = Census::take(stage).await?;
    let number = a_pull_request_gets_a_camp(stage, narrator).await?;
    a_push_changes_the_page(stage, narrator, number).await?;
    a_manifest_is_refused(stage, narrator, number).await?;
    let fork = a_fork_waits_for_approval(stage, narrator).await?;
    for number in [number, fork] {
        closing_leaves_nothing(stage, narrator, number).await?;
    }
    narrator.begin("the forge is told that nothing runs");
    stage
        .until("no deployment is active and no check is open", async || {
            let census = stage.github.census();
            (census.deployments.is_empty() && census.statuses.is_empty()).then_some(())
        })
        .await?;
    narrator.done("every deployment is inactive, no check is pending");
    narrator.begin("census of leftovers");
    let now = Census::take(stage).await?;
    if now != leftovers {
        return Err(format!("something was left: {now:?} instead of {leftovers:?}").into());
    }
    narrator.done("0: every object of the cluster that was not there before is gone");
    Ok(())
}

async fn a_pull_request_gets_a_camp(stage: &Stage, narrator: &mut Narrator) -> Result<u64> {
    narrator.begin("a pull request is opened");
    let head = stage.github.commit(
        REPOSITORY,
        "sparks",
        &borrowed(&change("sparks")),
        "Add sparks\n",
        MAINTAINER,
    )?;
    let number = open(stage, "sparks", "Add sparks", MAINTAINER)?;
    let url = shows(stage, number, &head).await?;
    let comment = the_comment(stage, number, |comment| comment.body.contains(&url)).await?;
    narrator.done(&format!(
        "Ready at {url}, the page is that of {}; one comment by {} says so",
        short(&head),
        comment.author
    ));
    Ok(number)
}

async fn a_push_changes_the_page(stage: &Stage, narrator: &mut Narrator, number: u64) -> Result {
    narrator.begin("somebody pushes");
    let before = the_comment(stage, number, |_| true).await?;
    let head =
        stage.github.push(REPOSITORY, "sparks", &borrowed(&change("more sparks")), MAINTAINER)?;
    shows(stage, number, &head).await?;
    let after = the_comment(stage, number, |comment| {
        comment.body.contains(short(&head)) && comment.body.contains("http")
    })
    .await?;
    if after.id != before.id {
        return Err(format!(
            "comment {} was to be updated, and {} was written",
            before.id, after.id
        )
        .into());
    }
    narrator.done(&format!("the page is that of {}; the same comment was updated", short(&head)));
    Ok(())
}

async fn a_manifest_is_refused(stage: &Stage, narrator: &mut Narrator, number: u64) -> Result {
    narrator.begin("somebody pushes a Service of type LoadBalancer");
    let path = "deploy/preview/open.yaml";
    let files = BTreeMap::from([(path, OPEN_TO_ALL)]);
    stage.github.push(REPOSITORY, "sparks", &files, MAINTAINER)?;
    let comment = the_comment(stage, number, |comment| comment.body.contains("BV005")).await?;
    for expected in [path, "LoadBalancer"] {
        if !comment.body.contains(expected) {
            return Err(format!("the comment does not name {expected}:\n{}", comment.body).into());
        }
    }
    let reason = stage
        .environment(number)
        .await
        .and_then(|record| record.status?.reason)
        .unwrap_or_default();
    narrator.done(&format!("refused: {reason}"));
    Ok(())
}

async fn a_fork_waits_for_approval(stage: &Stage, narrator: &mut Narrator) -> Result<u64> {
    narrator.begin("a stranger opens a pull request from a fork");
    stage.github.fork(REPOSITORY, STRANGER)?;
    let fork =
        format!("{STRANGER}/{}", REPOSITORY.split_once('/').map_or(REPOSITORY, |(_, name)| name));
    let head = stage.github.commit(
        &fork,
        "embers",
        &borrowed(&change("embers")),
        "Add embers\n",
        STRANGER,
    )?;
    let number = open(stage, &format!("{STRANGER}:embers"), "Add embers", STRANGER)?;
    the_comment(stage, number, |comment| comment.body.contains("approv")).await?;
    no_camp(stage, number).await?;
    narrator.done("it waits for approval: nothing of it was fetched, and there is no namespace");

    narrator.begin("a maintainer approves this head in spec.approved");
    let record = stage.environment(number).await.ok_or("the record is gone")?;
    let base =
        record.status.and_then(|status| status.head).map(|head| head.base).unwrap_or_default();
    let at = stage.clock.now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let approval =
        json!({"spec": {"approved": {"revision": head, "base": base, "by": MAINTAINER, "at": at}}});
    let name = record.metadata.name.unwrap_or_default();
    stage.environments().patch(&name, &PatchParams::default(), &Patch::Merge(approval)).await?;
    let url = shows(stage, number, &head).await?;
    narrator.done(&format!("Ready at {url}"));

    narrator.begin("the stranger pushes again");
    let next = stage.github.push(&fork, "embers", &borrowed(&change("hotter embers")), STRANGER)?;
    the_comment(stage, number, |comment| {
        comment.body.contains(&next) && comment.body.contains("approv")
    })
    .await?;
    stage
        .until("the camp of the unapproved head is gone", async || {
            no_camp(stage, number).await.ok()
        })
        .await?;
    narrator.done(&format!(
        "{} waits again: the approval was for {} only",
        short(&next),
        short(&head)
    ));
    Ok(number)
}

async fn closing_leaves_nothing(stage: &Stage, narrator: &mut Narrator, number: u64) -> Result {
    narrator.begin(&format!("pull request #{number} is closed"));
    stage.github.close(REPOSITORY, number, MAINTAINER)?;
    the_comment(stage, number, |comment| comment.body.to_lowercase().contains("closed")).await?;
    stage.until("the namespace is gone", async || no_camp(stage, number).await.ok()).await?;
    stage
        .until("the record says so", async || {
            let status = stage.environment(number).await?.status?;
            (status.phase == Some(crate::crd::Phase::Closed)).then_some(())
        })
        .await?;
    narrator.done("the namespace is gone, the comment says so");
    Ok(())
}

/// One more pull request, for people to play with.
pub(super) async fn leave_one_open(stage: &Stage, narrator: &mut Narrator) -> Result<u64> {
    narrator.begin("one more pull request, left open for you");
    let head = stage.github.commit(
        REPOSITORY,
        "marshmallows",
        &borrowed(&change("marshmallows")),
        "Roast marshmallows\n",
        MAINTAINER,
    )?;
    let number = open(stage, "marshmallows", "Roast marshmallows", MAINTAINER)?;
    let url = shows(stage, number, &head).await?;
    the_comment(stage, number, |comment| comment.body.contains(&url)).await?;
    narrator.done(&format!("Ready at {url}"));
    Ok(number)
}

fn open(stage: &Stage, head: &str, title: &str, author: &str) -> Result<u64> {
    let pull = NewPull {
        head: head.into(),
        base: "main".into(),
        title: title.into(),
        body: None,
        draft: false,
    };
    Ok(stage.github.open_pull_request(REPOSITORY, &pull, author)?)
}

/// The URL of a pull request's camp.
pub(super) async fn url_of(stage: &Stage, number: u64) -> Result<String> {
    let record = stage.environment(number).await.ok_or("there is no record")?;
    let urls = record.status.map(|status| status.urls).unwrap_or_default();
    Ok(urls.first().map(|entry| entry.url.clone()).ok_or("there is no URL")?)
}

/// Waits until the record is ready with `head` and the page behind its URL names that commit. Gives the URL.
async fn shows(stage: &Stage, number: u64, head: &str) -> Result<String> {
    stage
        .until(&format!("#{number} is ready at {}", short(head)), async || {
            let status = stage.environment(number).await?.status?;
            (status.holds("Ready") && status.revision.as_deref() == Some(head)).then_some(())
        })
        .await?;
    let url = url_of(stage, number).await?;
    stage
        .until(&format!("{url} shows {}", short(head)), async || {
            let (status, page) = stage.browse(&url).await.ok()?;
            (status == 200 && page.contains(head)).then_some(())
        })
        .await?;
    Ok(url)
}

/// Waits until the one comment of the service is as expected; a second one is an error at once.
async fn the_comment(
    stage: &Stage,
    number: u64,
    expected: impl Fn(&CommentView) -> bool,
) -> Result<CommentView> {
    stage
        .until(&format!("the comment on #{number} is as expected"), async || {
            let comments = stage.github.comments(REPOSITORY, number).ok()?;
            let mut ours = comments.into_iter().filter(|comment| comment.author == BOT);
            match (ours.next(), ours.next()) {
                (Some(_), Some(_)) => {
                    Some(Err(BoxError::from(format!("there are two comments on #{number}"))))
                }
                (Some(comment), None) if expected(&comment) => Some(Ok(comment)),
                _ => None,
            }
        })
        .await?
}

async fn no_camp(stage: &Stage, number: u64) -> Result {
    let prefix = format!("camp-campfire-pr-{number}-");
    match stage.camps().await?.into_iter().find(|name| name.starts_with(&prefix)) {
        Some(name) => Err(format!("namespace {name} is there").into()),
        None => Ok(()),
    }
}

fn short(revision: &str) -> &str {
    revision.get(..7).unwrap_or(revision)
}

/// Everything that is there: every object of the cluster but our records and what a cluster writes about itself, and
/// every open item at the forge. It does not look for labels of ours.
#[derive(Debug, PartialEq, Eq)]
struct Census {
    cluster: BTreeMap<(String, String), usize>,
    forge: crate::sandbox::github::Census,
}

impl Census {
    async fn take(stage: &Stage) -> Result<Self> {
        // Deliveries that are under way end by themselves.
        let mut forge = stage
            .until("all webhooks are delivered", async || {
                let census = stage.github.census();
                (census.deliveries == 0).then_some(census)
            })
            .await?;
        // All pull requests share one, which stays.
        forge.environments.clear();
        let mut cluster = stage.cluster.census();
        // Records outlive their camps by a day, and events are the cluster's diary.
        cluster.retain(|(resource, namespace), _| {
            let record = namespace == NAMESPACE && resource == "environments.bivouac.dev";
            !(record || resource.starts_with("events"))
        });
        Ok(Self { cluster, forge })
    }
}
