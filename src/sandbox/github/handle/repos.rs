//! Handle: repositories and branches.

use std::collections::BTreeMap;

use super::{Content, all, split};
use crate::sandbox::github::model::Role;
use crate::sandbox::github::ops::branches::Onto;
use crate::sandbox::github::{GitHub, Refusal};

/// Repositories and branches.
impl GitHub {
    /// Creates a public, empty repository; gives its id.
    pub fn create_repo(&self, repo: &str) -> Result<u64, Refusal> {
        self.create(repo, false)
    }

    /// Creates a private, empty repository; gives its id.
    pub fn create_private_repo(&self, repo: &str) -> Result<u64, Refusal> {
        self.create(repo, true)
    }

    /// Makes a repository private.
    pub fn make_private(&self, repo: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let id = state.named(repo)?;
        state.repo_mut(id)?.private = true;
        Ok(())
    }

    fn create(&self, repo: &str, private: bool) -> Result<u64, Refusal> {
        let mut state = self.state();
        let (owner, name) = split(repo)?;
        let owner = state.need_account(owner)?;
        state.create_repo(owner, name, private, None)
    }

    /// Forks a repository to `owner`; gives the fork's id.
    pub fn fork(&self, repo: &str, owner: &str) -> Result<u64, Refusal> {
        let mut state = self.state();
        let (source, owner) = state.named_by(repo, owner)?;
        state.fork(source, owner)
    }

    /// Gives a repository another name; the old one leads there.
    pub fn rename_repository(&self, repo: &str, name: &str, by: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let (id, by) = state.named_by(repo, by)?;
        state.rename_repo(id, name, by)
    }

    /// Gives a repository to another account.
    pub fn transfer_repository(&self, repo: &str, to: &str, by: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let ((id, by), to) = (state.named_by(repo, by)?, state.need_account(to)?);
        state.transfer_repo(id, to, by)
    }

    /// Deletes a repository and its git data.
    pub fn delete_repository(&self, repo: &str, by: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let (id, by) = state.named_by(repo, by)?;
        state.delete_repo(id, by)
    }

    /// Gives `login` a role, or takes it away with `None`.
    pub fn add_collaborator(
        &self,
        repo: &str,
        login: &str,
        role: impl Into<Option<Role>>,
    ) -> Result<(), Refusal> {
        let mut state = self.state();
        let (id, account) = state.named_by(repo, login)?;
        state.add_collaborator(id, account, role.into())
    }

    /// Id of a repository.
    pub fn repo_id(&self, repo: &str) -> Result<u64, Refusal> {
        self.state().named(repo)
    }

    /// A commit with these files on top of a branch; other files stay. A new branch starts at the default branch.
    /// Gives the commit's hash.
    pub fn commit(
        &self,
        repo: &str,
        branch: &str,
        files: &Content<'_>,
        message: &str,
        author: &str,
    ) -> Result<String, Refusal> {
        self.write(repo, branch, &all(files), message, author, Onto::Tip)
    }

    /// As [`GitHub::commit`], for any bytes, and `None` deletes a file.
    pub fn commit_bytes(
        &self,
        repo: &str,
        branch: &str,
        files: &BTreeMap<String, Option<Vec<u8>>>,
        message: &str,
        author: &str,
    ) -> Result<String, Refusal> {
        self.write(repo, branch, files, message, author, Onto::Tip)
    }

    /// A commit whose whole tree is these files.
    pub fn replace(
        &self,
        repo: &str,
        branch: &str,
        files: &Content<'_>,
        message: &str,
        author: &str,
    ) -> Result<String, Refusal> {
        self.write(repo, branch, &all(files), message, author, Onto::TipAlone)
    }

    /// Pushes one commit with these files, as somebody does while a pull request is open.
    pub fn push(
        &self,
        repo: &str,
        branch: &str,
        files: &Content<'_>,
        author: &str,
    ) -> Result<String, Refusal> {
        let names: Vec<&str> = files.keys().copied().collect();
        let message = format!("Change {}\n", names.join(", "));
        self.write(repo, branch, &all(files), &message, author, Onto::Tip)
    }

    /// Replaces the tip of a branch by another commit: the old one is on no branch any more.
    pub fn force_push(
        &self,
        repo: &str,
        branch: &str,
        files: &Content<'_>,
        author: &str,
    ) -> Result<String, Refusal> {
        self.write(repo, branch, &all(files), "Start over\n", author, Onto::Parent)
    }

    fn write(
        &self,
        repo: &str,
        branch: &str,
        files: &BTreeMap<String, Option<Vec<u8>>>,
        message: &str,
        author: &str,
        onto: Onto,
    ) -> Result<String, Refusal> {
        let mut state = self.state();
        let (id, by) = state.named_by(repo, author)?;
        state.commit(id, branch, files, message, by, onto)
    }

    /// Deletes a branch; its pull requests close.
    pub fn delete_branch(&self, repo: &str, branch: &str, by: &str) -> Result<(), Refusal> {
        let mut state = self.state();
        let (id, by) = state.named_by(repo, by)?;
        state.move_branch(id, branch, None, by)
    }

    /// The commit of a branch.
    #[must_use]
    pub fn head(&self, repo: &str, branch: &str) -> Option<String> {
        let state = self.state();
        let id = state.named(repo).ok()?;
        state.repos.get(&id)?.git.branch(branch)
    }

    /// Takes a commit that no branch has from the disk, as a forge's garbage collection does.
    pub fn forget_commit(&self, repo: &str, sha: &str) -> Result<(), Refusal> {
        let state = self.state();
        let id = state.named(repo)?;
        Ok(state.repo(id)?.git.forget(sha)?)
    }
}
