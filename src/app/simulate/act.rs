//! I/O with the sandbox · carries a step out, as the person, the forge or the machine that it is about.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::SecondsFormat;
use http::Request;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::lives::{Content, Life, Lives};
use super::steps::Step;
use crate::app::stage::{BOT, MAINTAINER, NAME, REPOSITORY, STRANGER, Stage};
use crate::sandbox::cluster::api::FaultPlan;
use crate::sandbox::github::{NewPull, Refusal};
use crate::seams::{BoxError, body};

/// The label that the policy of a run refuses.
pub(super) const LABEL: &str = "no-preview";
/// The sandbox's own clients, whose requests never go wrong.
const SPARED: [&str; 4] =
    ["kubernetes-admin", "system:kube-controller-manager", "system:nodes", "system:ingress"];

/// A world and what is known of it.
pub(super) struct World {
    pub(super) stage: Stage,
    pub(super) lives: Lives,
    pub(super) commits: usize,
}

impl World {
    /// Takes the step. What the forge refuses (the merge of what can't be merged) is no error: nothing happened.
    pub(super) async fn take(&mut self, step: &Step) -> Result<(), BoxError> {
        match step {
            Step::Open { content, draft, fork } => {
                self.open(*content, *draft, *fork)?;
            }
            Step::Push { life, content, force } => self.push(*life, *content, *force)?,
            Step::Close { .. }
            | Step::Merge { .. }
            | Step::Reopen { .. }
            | Step::Label { .. }
            | Step::Draft { .. }
            | Step::Retitle { .. }
            | Step::Chat { .. }
            | Step::DeleteComment { .. } => self.at_the_forge(step),
            Step::Approve { life } => self.approve(*life).await,
            Step::Want { life, want } => {
                self.wish(*life, json!({ "want": want })).await;
                self.touch(*life);
            }
            Step::DeleteRecord { life } => {
                if let Some(one) = self.lives.get(*life) {
                    let name = format!("{NAME}-pr-{}", one.number);
                    let parameters = DeleteParams::default();
                    // There may be none.
                    let _ = self.stage.environments().delete(&name, &parameters).await;
                }
                self.touch(*life);
                if let Some(one) = self.lives.get_mut(*life) {
                    one.forgotten = true;
                }
            }
            Step::DeleteNamespace { life } => {
                if let Some(one) = self.lives.get(*life) {
                    let api: Api<Namespace> = Api::all(self.stage.admin.clone());
                    let name = self.stage.namespace_of(one.number);
                    let _ = api.delete(&name, &DeleteParams::default()).await;
                }
            }
            Step::Forge { life, signed } => self.forge_delivery(*life, *signed).await?,
            Step::Wait(time) => self.stage.clock.sleep(*time).await,
            trouble => self.trouble(trouble).await?,
        }
        Ok(())
    }

    async fn trouble(&mut self, step: &Step) -> Result<(), BoxError> {
        let github = &self.stage.github;
        match step {
            Step::Deliveries(faults) => github.set_delivery_faults(*faults),
            Step::Redeliver { back } => {
                let deliveries = github.deliveries(self.stage.hook);
                let back = usize::try_from(*back).unwrap_or(0);
                if let Some(delivery) = deliveries.iter().rev().nth(back) {
                    github.redeliver(delivery.id)?;
                }
            }
            Step::ForgeFails { method, fault, times } => {
                github.fault_next(method, "*", fault.clone(), *times);
            }
            Step::Outage { on } => github.set_outage(*on),
            Step::EmptyLists { on } => github.set_empty_lists(*on),
            Step::Latency(most) => github.set_latency(*most),
            Step::ClusterFails { of_thousand } => {
                self.stage.cluster.set_faults(cluster_faults(*of_thousand));
            }
            Step::Kill { replica } => {
                self.stage.kill_replica(*replica).await;
                self.lives.note_replica(*replica, None);
            }
            Step::Start { replica } => {
                self.stage.start_replica(*replica)?;
                self.lives.note_replica(*replica, Some(false));
            }
            Step::Pause { replica, paused } => {
                self.stage.pause_replica(*replica, *paused);
                self.lives.note_replica(*replica, Some(*paused));
            }
            _ => {}
        }
        Ok(())
    }

    /// Nothing goes wrong any more, and the service runs.
    pub(super) async fn calm(&mut self) -> Result<(), BoxError> {
        let github = &self.stage.github;
        github.fail_no_more();
        github.set_outage(false);
        github.set_empty_lists(false);
        github.set_latency(Duration::ZERO);
        github.set_delivery_faults(crate::sandbox::github::DeliveryFaults::default());
        self.stage.cluster.set_faults(FaultPlan::default());
        for replica in [0, 1] {
            match self.lives.replica(replica) {
                Some(true) => self.trouble(&Step::Pause { replica, paused: false }).await?,
                None if replica == 0 => self.trouble(&Step::Start { replica }).await?,
                _ => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, content: Content, draft: bool, fork: bool) -> Result<(), BoxError> {
        let branch = format!("branch-{}", self.lives.count());
        let github = self.stage.github.clone();
        let (repo, author, head) = if fork {
            // The second time it is there.
            let _ = github.fork(REPOSITORY, STRANGER);
            let (_, name) = REPOSITORY.split_once('/').unwrap_or(("", REPOSITORY));
            (format!("{STRANGER}/{name}"), STRANGER, format!("{STRANGER}:{branch}"))
        } else {
            (REPOSITORY.to_owned(), MAINTAINER, branch.clone())
        };
        let (path, text) = self.file(&branch, content);
        let files = BTreeMap::from([(path.as_str(), text.as_str())]);
        let commit = github.commit(&repo, &branch, &files, "Change something\n", author)?;
        let pull =
            NewPull { head, base: "main".into(), title: "A change".into(), body: None, draft };
        let number = github.open_pull_request(REPOSITORY, &pull, author)?;
        let now = self.stage.clock.now();
        self.lives.add(Life {
            number,
            branch,
            fork,
            open: true,
            merged: false,
            draft,
            labelled: false,
            content,
            head: commit.clone(),
            pushed: now,
            touched: now,
            comment_deleted: false,
            forgotten: false,
            chats: Vec::new(),
            approved: std::collections::BTreeSet::new(),
            heads: vec![commit],
        });
        Ok(())
    }

    fn push(&mut self, life: usize, content: Content, force: bool) -> Result<(), BoxError> {
        let Some(one) = self.lives.get(life) else { return Ok(()) };
        let (branch, fork) = (one.branch.clone(), one.fork);
        let (path, text) = self.file(&branch, content);
        let files = BTreeMap::from([(path.as_str(), text.as_str())]);
        let github = &self.stage.github;
        let (_, name) = REPOSITORY.split_once('/').unwrap_or(("", REPOSITORY));
        let (repo, author) = match fork {
            true => (format!("{STRANGER}/{name}"), STRANGER),
            false => (REPOSITORY.to_owned(), MAINTAINER),
        };
        let head = match force {
            true => github.force_push(&repo, &branch, &files, author)?,
            false => github.push(&repo, &branch, &files, author)?,
        };
        let now = self.stage.clock.now();
        if let Some(one) = self.lives.get_mut(life) {
            (one.content, one.pushed, one.touched) = (content, now, now);
            one.comment_deleted = false;
            one.head.clone_from(&head);
            one.heads.push(head);
        }
        Ok(())
    }

    /// A file whose text no other commit has.
    fn file(&mut self, branch: &str, content: Content) -> (String, String) {
        self.commits += 1;
        let count = self.commits;
        let text = match content {
            Content::Good => format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: extra-{branch}}}\ndata: {{count: \"{count}\"}}\n"
            ),
            Content::Refused => format!(
                "# {count}\napiVersion: v1\nkind: Service\nmetadata: {{name: open-{branch}}}\nspec: {{type: LoadBalancer, ports: [{{port: 80}}]}}\n"
            ),
            Content::Broken => format!("# {count}\napiVersion: [v1\n"),
        };
        (format!("deploy/preview/extra-{branch}.yaml"), text)
    }

    fn touch(&mut self, life: usize) {
        let now = self.stage.clock.now();
        if let Some(one) = self.lives.get_mut(life) {
            one.touched = now;
        }
    }

    /// What people do at the forge with a pull request that is there. A refusal leaves all as it was.
    fn at_the_forge(&mut self, step: &Step) {
        let github = self.stage.github.clone();
        let now = self.stage.clock.now();
        let (Step::Close { life }
        | Step::Merge { life }
        | Step::Reopen { life }
        | Step::Label { life, .. }
        | Step::Draft { life, .. }
        | Step::Retitle { life }
        | Step::Chat { life, .. }
        | Step::DeleteComment { life }) = step
        else {
            return;
        };
        let Some(one) = self.lives.get_mut(*life) else { return };
        let number = one.number;
        let done: Result<(), Refusal> = match step {
            Step::Close { .. } => {
                github.close(REPOSITORY, number, MAINTAINER).map(|()| one.open = false)
            }
            Step::Merge { .. } => github.merge(REPOSITORY, number, MAINTAINER).map(|_| {
                (one.open, one.merged) = (false, true);
            }),
            Step::Reopen { .. } => github.reopen(REPOSITORY, number, MAINTAINER).map(|()| {
                (one.open, one.touched) = (true, now);
            }),
            Step::Label { on: true, .. } => {
                github.label(REPOSITORY, number, LABEL, MAINTAINER).map(|()| one.labelled = true)
            }
            Step::Label { .. } => {
                github.unlabel(REPOSITORY, number, LABEL, MAINTAINER).map(|()| one.labelled = false)
            }
            Step::Draft { on: true, .. } => {
                github.convert_to_draft(REPOSITORY, number, MAINTAINER).map(|()| one.draft = true)
            }
            Step::Draft { .. } => {
                github.ready_for_review(REPOSITORY, number, MAINTAINER).map(|()| one.draft = false)
            }
            Step::Retitle { .. } => {
                github.retitle(REPOSITORY, number, &format!("Title of {now}"), MAINTAINER)
            }
            Step::Chat { mean, .. } => {
                let comments = github.comments(REPOSITORY, number).unwrap_or_default();
                let ours = comments.iter().find(|comment| comment.author == BOT);
                let marker = ours.and_then(|comment| comment.body.lines().next());
                let first = marker.filter(|_| *mean).unwrap_or("Nice.");
                let text = format!("{first}\n\nSee you. {now}");
                github
                    .comment(REPOSITORY, number, &text, STRANGER)
                    .map(|id| one.chats.push((id, text)))
            }
            _ => {
                let comments = github.comments(REPOSITORY, number).unwrap_or_default();
                comments.iter().find(|comment| comment.author == BOT).map_or(Ok(()), |ours| {
                    one.comment_deleted = true;
                    github.delete_comment(REPOSITORY, ours.id, MAINTAINER)
                })
            }
        };
        // Merging what conflicts, a label that is not there: nothing happened.
        drop(done);
    }

    async fn wish(&self, life: usize, spec: Value) {
        let Some(one) = self.lives.get(life) else { return };
        let name = format!("{NAME}-pr-{}", one.number);
        let patch = Patch::Merge(json!({ "spec": spec }));
        // There may be no record (yet).
        let _ = self.stage.environments().patch(&name, &PatchParams::default(), &patch).await;
    }

    async fn approve(&mut self, life: usize) {
        let Some(one) = self.lives.get_mut(life) else { return };
        let Ok(pull) = self.stage.github.pull_request(REPOSITORY, one.number) else { return };
        one.approved.insert(pull.head.clone());
        let at = self.stage.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let approved =
            json!({"revision": pull.head, "base": pull.base, "by": MAINTAINER, "at": at});
        self.wish(life, json!({ "approved": approved })).await;
    }

    /// As somebody would who has seen a delivery and does not know the secret.
    async fn forge_delivery(&mut self, life: usize, signed: bool) -> Result<(), BoxError> {
        let deliveries = self.stage.github.deliveries(self.stage.hook);
        let Some(seen) = deliveries.iter().rev().nth(life).or(deliveries.last()) else {
            return Ok(());
        };
        let mut request = Request::post("http://bivouac.test/webhook")
            .header("content-type", "application/json")
            .header("x-github-event", &seen.event)
            .header("x-github-delivery", format!("forged-{}", seen.guid));
        if signed {
            request = request.header("x-hub-signature-256", format!("sha256={}", "5a".repeat(32)));
        }
        let request = request.body(body(seen.payload.clone()))?;
        let answer = self.stage.receiver.clone().oneshot(request).await?;
        // 503: nobody is there to take it.
        if !matches!(answer.status().as_u16(), 401 | 503) {
            self.lives.taken_in.push(format!("a forged delivery was answered {}", answer.status()));
        }
        Ok(())
    }
}

fn cluster_faults(of_thousand: u16) -> FaultPlan {
    if of_thousand == 0 {
        return FaultPlan::default();
    }
    FaultPlan {
        latency: Duration::from_millis(20),
        conflicts: of_thousand,
        too_many: of_thousand,
        server_errors: of_thousand,
        lost_answers: of_thousand,
        cut_watches: of_thousand,
        spared_users: SPARED.map(str::to_owned).into(),
    }
}
