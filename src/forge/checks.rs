//! I/O · check runs and commit statuses of one repository. A check run is made and changed by an App only.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{Call, Reply};
use super::client::{Forge, PER_PAGE, path_part, too_many};
use super::error::ForgeError;
use crate::domain::admit::checks::{Seen, State};
use crate::domain::check::{Annotation, BATCH, CheckContent, CommitStatus};
use crate::domain::id::Revision;

/// Runs of one name at one commit: more than one page of them nobody has.
const MOST_PAGES: usize = 5;

/// A check run at the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRun {
    /// Numeric id; a higher one is newer.
    pub id: u64,
    /// What its maker calls it.
    pub external_id: String,
    /// Slug of the App that made it.
    pub app: String,
    /// How many annotations it has.
    pub annotations: usize,
    /// `None` while it is open.
    pub conclusion: Option<String>,
}

#[derive(Deserialize)]
struct Runs {
    check_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    id: u64,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    app: Option<App>,
    #[serde(default)]
    output: Output,
    #[serde(default)]
    conclusion: Option<String>,
}

#[derive(Deserialize)]
struct App {
    #[serde(default)]
    slug: String,
}

#[derive(Default, Deserialize)]
struct Output {
    #[serde(default)]
    annotations_count: usize,
}

impl From<Run> for CheckRun {
    fn from(run: Run) -> Self {
        Self {
            id: run.id,
            external_id: run.external_id.unwrap_or_default(),
            app: run.app.map(|app| app.slug).unwrap_or_default(),
            annotations: run.output.annotations_count,
            conclusion: run.conclusion,
        }
    }
}

#[derive(Deserialize)]
struct StatesPage {
    check_runs: Vec<RunState>,
}

#[derive(Deserialize)]
struct RunState {
    name: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    conclusion: Option<String>,
}

#[derive(Deserialize)]
struct Combined {
    #[serde(default)]
    statuses: Vec<ContextState>,
}

#[derive(Deserialize)]
struct ContextState {
    context: String,
    state: String,
}

impl From<RunState> for Seen {
    fn from(run: RunState) -> Self {
        Self { state: State::of_run(&run.status, run.conclusion.as_deref()), name: run.name }
    }
}

impl From<ContextState> for Seen {
    fn from(status: ContextState) -> Self {
        Self { state: State::of_status(&status.state), name: status.context }
    }
}

impl Forge {
    /// How everybody's checks of a commit stand: the latest run of each check, and the newest status of each context. A
    /// reading that has not changed costs nothing of the rate.
    pub async fn checks_at(&self, revision: &Revision) -> Result<Vec<Seen>, ForgeError> {
        let runs =
            self.path(&format!("/commits/{revision}/check-runs?filter=latest&per_page={PER_PAGE}"));
        let runs = self
            .seen(runs, |reply| {
                Ok(reply.json::<StatesPage>()?.check_runs.into_iter().map(Seen::from).collect())
            })
            .await;
        let statuses = self.path(&format!("/commits/{revision}/status?per_page={PER_PAGE}"));
        let statuses = self
            .seen(statuses, |reply| {
                Ok(reply.json::<Combined>()?.statuses.into_iter().map(Seen::from).collect())
            })
            .await;
        match (runs, statuses) {
            (Ok(mut all), Ok(more)) => {
                all.extend(more);
                Ok(all)
            }
            // Who may read only one of the two sees that.
            (Ok(all), Err(ForgeError::Forbidden { .. } | ForgeError::NotFound { .. }))
            | (Err(ForgeError::Forbidden { .. } | ForgeError::NotFound { .. }), Ok(all)) => Ok(all),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    async fn seen(
        &self,
        first: String,
        read: impl Fn(&Reply) -> Result<Vec<Seen>, ForgeError>,
    ) -> Result<Vec<Seen>, ForgeError> {
        let mut path = first.clone();
        let mut all = Vec::new();
        for page in 0..MOST_PAGES {
            let kept = self.api.seen().get(&path).filter(|_| page == 0);
            let tag = kept.as_ref().map(|kept| kept.tag.clone());
            let reply = self.api.send(Call { tag, ..Call::get(&path) }).await?;
            if reply.status == StatusCode::NOT_MODIFIED {
                return kept.map(|kept| kept.value).ok_or_else(|| reply.unexpected("304 unasked"));
            }
            all.extend(read(&reply)?);
            let Some(next) = reply.next() else {
                if page == 0 {
                    self.api.seen().put(&path, reply.tag(), &all);
                }
                return Ok(all);
            };
            path = next;
        }
        Err(too_many("checks", &first))
    }

    /// Our App's check runs of that name at a commit, newest first.
    pub async fn check_runs(
        &self,
        revision: &Revision,
        name: &str,
    ) -> Result<Vec<CheckRun>, ForgeError> {
        let ours = self.api.app_slug().await?;
        let first = self.path(&format!(
            "/commits/{revision}/check-runs?check_name={}&filter=all&per_page={PER_PAGE}",
            path_part(name)
        ));
        let mut path = first.clone();
        let mut all: Vec<CheckRun> = Vec::new();
        for _ in 0..MOST_PAGES {
            let reply = self.api.send(Call::get(&path)).await?;
            let page: Runs = reply.json()?;
            all.extend(page.check_runs.into_iter().map(CheckRun::from));
            let Some(next) = reply.next() else {
                all.retain(|run| ours.as_ref().is_none_or(|slug| run.app == *slug));
                all.sort_by_key(|run| std::cmp::Reverse(run.id));
                all.dedup_by_key(|run| run.id);
                return Ok(all);
            };
            path = next;
        }
        Err(too_many("check runs", &first))
    }

    /// Makes a check run with the first annotations.
    pub async fn create_check_run(
        &self,
        revision: &Revision,
        name: &str,
        external_id: &str,
        content: &CheckContent,
        annotations: &[Annotation],
    ) -> Result<u64, ForgeError> {
        let mut body = body(content, annotations);
        body["name"] = name.into();
        body["head_sha"] = revision.as_str().into();
        body["external_id"] = external_id.into();
        let reply = self.write(Method::POST, &self.path("/check-runs"), Some(body)).await?;
        id(&reply)
    }

    /// Changes a check run; the annotations are added to those that it has.
    pub async fn update_check_run(
        &self,
        id: u64,
        content: &CheckContent,
        annotations: &[Annotation],
    ) -> Result<(), ForgeError> {
        let path = self.path(&format!("/check-runs/{id}"));
        self.write(Method::PATCH, &path, Some(body(content, annotations))).await.map(|_| ())
    }

    /// Sets the status of a commit; the newest one of a context counts.
    pub async fn set_commit_status(
        &self,
        revision: &Revision,
        context: &str,
        status: &CommitStatus,
    ) -> Result<(), ForgeError> {
        let CommitStatus { state, description, target_url } = status;
        let mut body = json!({"state": state, "context": context, "description": description});
        if let Some(url) = target_url {
            body["target_url"] = url.as_str().into();
        }
        let path = self.path(&format!("/statuses/{revision}"));
        self.write(Method::POST, &path, Some(body)).await.map(|_| ())
    }
}

fn body(content: &CheckContent, annotations: &[Annotation]) -> Value {
    let mut output = json!({"title": content.title, "summary": content.summary});
    if !annotations.is_empty() {
        output["annotations"] = json!(annotations.iter().take(BATCH).collect::<Vec<_>>());
    }
    // Buttons that are left out would stay.
    let mut body = json!({"output": output, "actions": content.actions});
    match content.conclusion {
        Some(conclusion) => {
            body["status"] = "completed".into();
            body["conclusion"] = conclusion.name().into();
        }
        None => body["status"] = "in_progress".into(),
    }
    if let Some(url) = &content.details_url {
        body["details_url"] = url.as_str().into();
    }
    body
}

fn id(reply: &Reply) -> Result<u64, ForgeError> {
    #[derive(Deserialize)]
    struct Made {
        id: u64,
    }
    Ok(reply.json::<Made>()?.id)
}
