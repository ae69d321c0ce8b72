//! Checks of this installation that speak of a preview that nobody has: a run that is open, or concluded with a verdict,
//! at a commit that is no record's. I/O with home and the forges.
//!
//! Commits can't be searched for checks, so those are looked at that people see: the heads of open pull requests and of
//! listed branches, and the commits that this installation deployed. A run counts as ours when our App made it and its
//! `external_id` names this installation and the commit. A commit status has no such mark: it counts by its context, and
//! only while it is pending, which holds up a merge; a concluded one is history.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Search;
use super::comments::forge_of;
use crate::controller::error::chain;
use crate::crd::{Environment, Repository};
use crate::domain::admit::checks::State;
use crate::domain::check::{CheckView, Conclusion, content, external_id, name};
use crate::domain::deployment::subject;
use crate::domain::id::Revision;
use crate::forge::{CheckRun, Forge, ForgeError};
use crate::report::check::{CheckKind, check_kind};

/// Commits of a Repository that are looked at.
pub(super) const MOST: usize = 500;

/// A check that belongs to no Environment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphanCheck {
    /// Name of the Repository.
    pub repository: String,
    /// Its commit.
    pub revision: String,
    /// Its id; a commit status has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Why it belongs to none.
    pub reason: String,
    #[serde(skip)]
    forge: Forge,
}

impl OrphanCheck {
    /// How it is called for people.
    #[must_use]
    pub fn name(&self) -> String {
        let short = self.revision.get(..7).unwrap_or(&self.revision);
        match self.id {
            Some(id) => format!("{}@{short} {id}", self.repository),
            None => format!("{}@{short}", self.repository),
        }
    }
}

pub(super) async fn of_repository(
    search: &Search,
    repository_name: &str,
    repository: &Repository,
) -> Result<(Vec<OrphanCheck>, bool), String> {
    let forge = forge_of(search, repository).await?;
    let words = |error| chain(&error);
    let kind = check_kind(&forge).await.map_err(words)?;
    if kind == CheckKind::None {
        return Ok((Vec::new(), true));
    }
    let (commits, whole) = commits(search, repository, &forge).await.map_err(words)?;
    let mut found: BTreeMap<Revision, (Option<u64>, &str)> = BTreeMap::new();
    for commit in commits {
        let misleads = match kind {
            CheckKind::Run => run(search, &forge, &commit).await,
            _ => status(search, &forge, &commit).await,
        };
        if let Some(misleads) = misleads.map_err(words)? {
            found.insert(commit, misleads);
        }
    }
    // After the checks: what was made meanwhile has a record that is seen.
    let records = super::records(search).await.map_err(|error| chain(&error))?;
    let known: BTreeSet<&str> =
        super::of_repository(search, repository_name, &records).flat_map(commits_of).collect();
    found.retain(|commit, _| !known.contains(commit.as_str()));
    let orphans = found.into_iter().map(|(commit, (id, says))| OrphanCheck {
        repository: repository_name.to_owned(),
        revision: commit.to_string(),
        id,
        reason: format!("{says}, and no Environment has this commit"),
        forge: forge.clone(),
    });
    Ok((orphans.collect(), whole))
}

/// Commits at which a check may be seen, or was made. `false`: there are more than are looked at.
async fn commits(
    search: &Search,
    repository: &Repository,
    forge: &Forge,
) -> Result<(BTreeSet<Revision>, bool), ForgeError> {
    let mut all: BTreeSet<Revision> = BTreeSet::new();
    all.extend(forge.open_pull_requests().await?.into_iter().map(|pull| pull.head.revision));
    for pattern in &repository.spec.branches {
        all.extend(forge.branches(pattern).await?.into_iter().map(|(_, tip)| tip));
    }
    let (deployed, mut whole) = forge.deployments_to(&repository.spec.report.environment).await?;
    let ours = deployed.into_iter().filter(|one| subject(&search.instance, &one.task).is_some());
    for one in ours {
        let Ok(revision) = Revision::parse(&one.revision) else { continue };
        if all.len() < MOST {
            all.insert(revision);
        } else {
            whole = false;
        }
    }
    whole &= all.len() <= MOST;
    Ok((all.into_iter().take(MOST).collect(), whole))
}

/// The commits that a record speaks for: its head, and the one whose check it remembers.
fn commits_of(record: &Environment) -> impl Iterator<Item = &str> {
    let status = record.status.as_ref();
    let head = status.and_then(|status| status.head.as_ref()).map(|head| head.revision.as_str());
    let check = status.and_then(|status| status.report.as_ref()?.check.as_ref());
    head.into_iter().chain(check.map(|check| check.revision.as_str()))
}

/// Our newest run there, and what it says that is not so.
async fn run(
    search: &Search,
    forge: &Forge,
    commit: &Revision,
) -> Result<Option<(Option<u64>, &'static str)>, ForgeError> {
    let runs = match forge.check_runs(commit, &name(&search.instance)).await {
        // Commits of a deleted branch go some time.
        Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. } | ForgeError::Invalid { .. }) => {
            return Ok(None);
        }
        other => other?,
    };
    let mark = external_id(&search.instance, commit);
    let newest = runs.into_iter().find(|run| run.external_id == mark);
    Ok(newest.and_then(|run| verdict(&run).map(|says| (Some(run.id), says))))
}

/// What a run says of a preview; `None` when it says that there is none.
fn verdict(run: &CheckRun) -> Option<&'static str> {
    let idle = [Conclusion::Neutral, Conclusion::Skipped].map(Conclusion::name);
    match run.conclusion.as_deref() {
        None => Some("it is open"),
        Some(word) if idle.contains(&word) => None,
        Some("success") => Some("it says that a preview runs"),
        Some("action_required") => Some("it waits for an approval"),
        Some(_) => Some("it says that a preview failed"),
    }
}

async fn status(
    search: &Search,
    forge: &Forge,
    commit: &Revision,
) -> Result<Option<(Option<u64>, &'static str)>, ForgeError> {
    let context = name(&search.instance);
    let seen = match forge.checks_at(commit).await {
        Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. } | ForgeError::Invalid { .. }) => {
            return Ok(None);
        }
        other => other?,
    };
    let open = seen.iter().any(|one| one.name == context && matches!(one.state, State::Open(_)));
    Ok(open.then_some((None, "it is pending")))
}

/// Says at each that there is no preview: neither a run nor a status can be deleted.
pub(super) async fn remove(search: &Search, found: &[OrphanCheck]) -> Vec<(String, String)> {
    let gone = content(&CheckView::default());
    let mut failed = Vec::new();
    for orphan in found {
        let ended = match (orphan.id, Revision::parse(&orphan.revision)) {
            (Some(id), _) => orphan.forge.update_check_run(id, &gone, &[]).await,
            (None, Ok(revision)) => {
                let context = name(&search.instance);
                orphan.forge.set_commit_status(&revision, &context, &gone.commit_status()).await
            }
            (None, Err(_)) => Ok(()),
        };
        match ended {
            Ok(()) | Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) => {}
            Err(error) => failed.push((orphan.name(), chain(&error))),
        }
    }
    failed
}
