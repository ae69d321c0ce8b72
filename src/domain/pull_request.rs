//! PURE · a pull request as the forge showed it, in our words. Titles and bodies are left at the forge: nothing here
//! decides by them.

use super::id::{PrNumber, RepoName, Revision};

/// One reading of a pull request from the forge's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: PrNumber,
    /// Open or closed.
    pub state: State,
    /// Closed by a merge.
    pub merged: bool,
    /// Not ready for review.
    pub draft: bool,
    /// Names of the labels, sorted.
    pub labels: Vec<String>,
    /// Who opened it.
    pub author: Author,
    /// What is proposed.
    pub head: Head,
    /// What it is proposed to.
    pub base: Base,
    /// What came of merging both sides for a try. Only a reading of one pull request tells; a list does not.
    pub merge: TestMerge,
    /// The page for people.
    pub html_url: String,
}

/// What came of merging head and base for a try, as the forge does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TestMerge {
    /// Not tried yet, or not told.
    #[default]
    Unknown,
    /// They contradict each other.
    Conflict,
    /// The commit that holds both.
    Clean(Revision),
}

/// Open or closed; a merged pull request is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Work goes on.
    Open,
    /// Closed or merged.
    Closed,
}

/// An account at the forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Login name as shown.
    pub login: String,
    /// Numeric id; survives a rename.
    pub id: u64,
    /// An App or a machine account.
    pub bot: bool,
}

/// The proposing side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The commit.
    pub revision: Revision,
    /// Branch name, raw: for selection only, never for a template, a name or a shell.
    pub branch: String,
    /// Numeric id of the repository the branch is in; `None` when that repository was deleted.
    pub repository_id: Option<u64>,
}

/// The receiving side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// The commit the base branch had when the forge last looked.
    pub revision: Revision,
    /// Branch name, raw.
    pub branch: String,
    /// Numeric id of the repository.
    pub repository_id: u64,
    /// Owner and name of the repository, as the forge spells them now.
    pub repository: RepoName,
}

impl PullRequest {
    /// True when the commits come from somewhere else than the repository itself: a fork, or one that is deleted.
    #[must_use]
    pub fn is_from_fork(&self) -> bool {
        self.head.repository_id != Some(self.base.repository_id)
    }
}
