//! What tests, the simulation and the demo do in the sandbox GitHub, said in the words of the domain.
//!
//! Repositories are named `owner/name`. Everything here ends in the same operations as the REST API.

mod observe;
mod people;
mod pulls;
mod reports;
mod repos;
mod webhooks;

pub use reports::{AnnotationView, CheckView, DeploymentView, StatusView};

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::sandbox::github::Refusal;
use crate::sandbox::github::hooks::Outcome;
use crate::sandbox::github::state::State;
use crate::seams::Transport;

/// Where a webhook goes and what it wants.
pub struct HookConfig {
    /// Address of the receiver; with `transport` only its path and host header matter.
    pub url: String,
    /// Called in process instead of over a socket.
    pub transport: Option<Transport>,
    /// Signs each delivery; empty is unsigned.
    pub secret: String,
    /// Names of events; `*` is all.
    pub events: Vec<String>,
}

/// A comment, as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommentView {
    /// Its id.
    pub id: u64,
    /// Login of who wrote it.
    pub author: String,
    /// Markdown.
    pub body: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Reactions as `login: content`, in the order in which they came.
    pub reactions: Vec<String>,
    /// Folded up.
    pub minimized: bool,
}

/// A pull request, as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullView {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Not closed and not merged.
    pub open: bool,
    /// Merged.
    pub merged: bool,
    /// Not ready for review.
    pub draft: bool,
    /// Names of its labels.
    pub labels: Vec<String>,
    /// The proposed commit.
    pub head: String,
    /// The base branch's commit when GitHub last looked.
    pub base: String,
    /// Its page.
    pub html_url: String,
}

/// One delivery of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryView {
    /// Row of the log.
    pub id: u64,
    /// `X-GitHub-Delivery`.
    pub guid: String,
    /// Name of the event.
    pub event: String,
    /// Its action, if it has one.
    pub action: Option<String>,
    /// Sent again by request.
    pub redelivery: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// The raw body.
    pub payload: bytes::Bytes,
}

/// Everything that is still open in all repositories: after a run that cleans up, all but `pulls` is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Open pull requests, as `owner/name#1`.
    pub pulls: Vec<String>,
    /// Check runs that are not completed, as `owner/name@commit name`.
    pub check_runs: Vec<String>,
    /// Deployments that are neither inactive nor failed, as `owner/name task (state)`.
    pub deployments: Vec<String>,
    /// Commit statuses that are pending, as `owner/name@commit context`.
    pub statuses: Vec<String>,
    /// Names of environments, as `owner/name environment`.
    pub environments: Vec<String>,
    /// Deliveries that were neither answered nor failed.
    pub deliveries: usize,
}

fn split(repo: &str) -> Result<(&str, &str), Refusal> {
    repo.split_once('/').ok_or_else(Refusal::not_found)
}

impl State {
    fn named(&self, repo: &str) -> Result<u64, Refusal> {
        let (owner, name) = split(repo)?;
        self.find_repo(owner, name).ok_or_else(Refusal::not_found)
    }

    fn named_by(&self, repo: &str, by: &str) -> Result<(u64, u64), Refusal> {
        Ok((self.named(repo)?, self.need_account(by)?))
    }

    fn pull_view(&self, repo: u64, number: u64) -> Result<PullView, Refusal> {
        let (found, issue, pull) = self.pull(repo, number)?;
        Ok(PullView {
            number,
            title: issue.title.clone(),
            open: issue.open,
            merged: pull.merged.is_some(),
            draft: pull.draft,
            labels: issue.labels.iter().cloned().collect(),
            head: pull.head_sha.clone(),
            base: pull.base_sha.clone(),
            html_url: self.issue_html(found, issue),
        })
    }
}

/// Content of files by path.
pub type Content<'a> = BTreeMap<&'a str, &'a str>;

fn all(files: &Content<'_>) -> BTreeMap<String, Option<Vec<u8>>> {
    let files = files.iter();
    files.map(|(path, text)| ((*path).to_owned(), Some(text.as_bytes().to_vec()))).collect()
}
