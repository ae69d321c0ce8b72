//! The life of one pull request: opened, pushed to three times, closed. Calls to the embedded GitHub by kind, in virtual
//! time, as a user with a token and as an App.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, NAME, NAMESPACE, REPOSITORY, Stage, Wiring};
use bivouac::crd::Phase;
use bivouac::sandbox::github::{HookConfig, NewPull};
use bivouac::seams::{BoxError, Clock, Rng};
use chrono::DateTime;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::count::{Count, is_scheduled};
use crate::numbers::say;

const KEY: &str = include_str!("../../src/sandbox/github/testdata/app.pem");
const PERMISSIONS: &[(&str, &str)] = &[
    ("metadata", "read"),
    ("contents", "read"),
    ("pull_requests", "write"),
    ("checks", "write"),
    ("deployments", "write"),
];
const APP: &str = "camper";
/// After this nothing of a step is left to tell.
const OVER: Duration = Duration::from_secs(120);
/// A step that takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(180);

/// How the service is known to GitHub.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Login {
    Token,
    App,
}

impl Login {
    pub(crate) const ALL: [Self; 2] = [Self::Token, Self::App];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::App => "App",
        }
    }

    fn user(self) -> &'static str {
        match self {
            Self::Token => BOT,
            Self::App => APP,
        }
    }
}

/// What was counted, step by step.
pub(crate) struct Found {
    login: Login,
    steps: Vec<(&'static str, Count)>,
}

pub(crate) async fn measure(login: Login) -> Result<Found, BoxError> {
    let folder = tempfile::tempdir()?;
    let start = DateTime::from_timestamp(1_800_000_000, 0).ok_or("no time")?;
    let (clock, rng) = (Clock::simulated(start), Rng::seeded(1));
    let stage = Stage::build(folder.path(), Wiring::InProcess, clock, rng).await?;
    if let Login::App = login {
        as_an_app(&stage).await?;
    }
    // Another one before it: what is asked once for a repository is no part of a life.
    open(&stage, "before").await?;
    tokio::time::sleep(OVER).await;
    let mut steps = Vec::new();
    let mut first = stage.github.requests().len();
    let mut number = 0;
    for step in ["open", "push 1", "push 2", "push 3", "close"] {
        match step {
            "open" => number = open(&stage, "sparks").await?,
            "close" => {
                stage.github.close(REPOSITORY, number, MAINTAINER)?;
                stands(&stage, number, None).await?;
            }
            push => {
                let files = BTreeMap::from([("CHANGES.md", push)]);
                let head = stage.github.push(REPOSITORY, "sparks", &files, MAINTAINER)?;
                stands(&stage, number, Some(&head)).await?;
            }
        }
        tokio::time::sleep(OVER).await;
        steps.push((step, Count::since(&stage.github, first, login.user())));
        first = stage.github.requests().len();
    }
    stage.end().await;
    Ok(Found { login, steps })
}

/// The App in the place of the token, which counts no longer; its hook in the place of the repository's.
async fn as_an_app(stage: &Stage) -> Result<(), BoxError> {
    let (owner, _) = REPOSITORY.split_once('/').ok_or("owner and name")?;
    let github = &stage.github;
    let app = github.register_app(APP, owner, Some(KEY), PERMISSIONS)?;
    github.install_app(app, owner, Some(&[REPOSITORY]))?;
    let config = HookConfig {
        url: "http://bivouac.test/webhook".into(),
        transport: Some(stage.receiver.clone()),
        secret: stage.webhook_secret.clone(),
        events: ["check_run", "delete", "issue_comment", "pull_request", "push", "repository"]
            .map(String::from)
            .into(),
    };
    github.add_app_hook(app, config)?;
    github.set_hook_active(stage.hook, false);
    github.revoke_token(&stage.tokens.service);
    let patch = json!({
        "data": {"token": null}, "stringData": {"appId": app.to_string(), "privateKey": KEY},
    });
    let api: Api<Secret> = Api::namespaced(stage.admin.clone(), NAMESPACE);
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await?;
    tokio::time::sleep(OVER).await;
    Ok(())
}

/// A branch with a harmless change, proposed, and its camp waited for.
pub(crate) async fn open(stage: &Stage, branch: &str) -> Result<u64, BoxError> {
    let (number, head) = propose(stage, branch)?;
    stands(stage, number, Some(&head)).await?;
    Ok(number)
}

/// The same without waiting. Gives number and head.
pub(crate) fn propose(stage: &Stage, branch: &str) -> Result<(u64, String), BoxError> {
    let files = BTreeMap::from([("CHANGES.md", branch)]);
    let head = stage.github.commit(REPOSITORY, branch, &files, "Change something\n", MAINTAINER)?;
    let new = NewPull {
        head: branch.into(),
        base: "main".into(),
        title: branch.into(),
        body: None,
        draft: false,
    };
    Ok((stage.github.open_pull_request(REPOSITORY, &new, MAINTAINER)?, head))
}

/// Waits until the record is ready at `head`; without one, until it is closed.
async fn stands(stage: &Stage, number: u64, head: Option<&str>) -> Result<(), BoxError> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let name = format!("{NAME}-pr-{number}");
    loop {
        let record = stage.environments().get_opt(&name).await?;
        let status = record.and_then(|record| record.status).unwrap_or_default();
        let there = match head {
            Some(head) => status.holds("Ready") && status.revision.as_deref() == Some(head),
            None => status.phase == Some(Phase::Closed),
        };
        if there {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            return Err(format!("{name} is not as it should be: {:?}", status.reason).into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

impl Found {
    pub(crate) fn json(&self) -> Value {
        let steps = self.steps.iter().map(|(step, count)| ((*step).to_owned(), count.json()));
        Value::Object(steps.collect())
    }

    pub(crate) fn table(&self) {
        say(&format!("calls for the life of a pull request, as {}:", self.login.word()));
        let row = |name: &str, of: &dyn Fn(&Count) -> usize| {
            let cells: Vec<usize> = self.steps.iter().map(|(_, count)| of(count)).collect();
            let line = columns(&cells);
            say(&format!("{name:<58}{line}{:>8}", cells.iter().sum::<usize>()));
        };
        let heads = columns(&self.steps.iter().map(|(step, _)| step).collect::<Vec<_>>());
        say(&format!("{:<58}{heads}{:>8}", "", "all"));
        let kinds: BTreeSet<&str> =
            self.steps.iter().flat_map(|(_, count)| count.kinds()).collect();
        let (scheduled, caused): (Vec<&str>, Vec<&str>) =
            kinds.into_iter().partition(|kind| is_scheduled(kind));
        for kind in caused {
            row(kind, &|count| count.of(kind));
        }
        row("calls (aim: 12 for a push, or less)", &Count::caused);
        for kind in scheduled {
            row(&format!("on schedule: {kind}"), &|count| count.of(kind));
        }
        row("all calls", &Count::calls);
        row("those that count against 5,000/h", &Count::counted);
        row("points", &Count::points);
        say("");
    }
}

/// Cells of a row, each as wide as the others.
fn columns<T: std::fmt::Display>(cells: &[T]) -> String {
    cells.iter().fold(String::new(), |line, cell| format!("{line}{cell:>8}"))
}
