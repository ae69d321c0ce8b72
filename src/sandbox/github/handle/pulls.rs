//! Handle: pull requests and comments.

use super::{CommentView, PullView};
use crate::sandbox::github::ops::pulls::{Edit, NewPull};
use crate::sandbox::github::state::State;
use crate::sandbox::github::{GitHub, Refusal};

/// Pull requests and comments.
impl GitHub {
    /// Opens a pull request; gives its number.
    pub fn open_pull_request(
        &self,
        repo: &str,
        new: &NewPull,
        author: &str,
    ) -> Result<u64, Refusal> {
        let mut state = self.state();
        let (id, by) = state.named_by(repo, author)?;
        state.open_pull(id, new, by)
    }

    /// Opens an issue that is no pull request; gives its number.
    pub fn open_issue(&self, repo: &str, title: &str, author: &str) -> Result<u64, Refusal> {
        let mut state = self.state();
        let (id, by) = state.named_by(repo, author)?;
        state.open_issue(id, title, None, by)
    }

    /// A pull request as it is now.
    pub fn pull_request(&self, repo: &str, number: u64) -> Result<PullView, Refusal> {
        let state = self.state();
        state.pull_view(state.named(repo)?, number)
    }

    /// The commit that `refs/pull/N/merge` points to; `None` when head and base never fitted.
    #[must_use]
    pub fn test_merge(&self, repo: &str, number: u64) -> Option<String> {
        let state = self.state();
        let found = state.repo(state.named(repo).ok()?).ok()?;
        found.git.reference(&format!("refs/pull/{number}/merge"))
    }

    fn on_pull<T>(
        &self,
        repo: &str,
        by: &str,
        act: impl FnOnce(&mut State, u64, u64) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut state = self.state();
        let (id, by) = state.named_by(repo, by)?;
        act(&mut state, id, by)
    }

    /// Closes without merging.
    pub fn close(&self, repo: &str, number: u64, by: &str) -> Result<(), Refusal> {
        self.on_pull(repo, by, |state, id, by| state.set_open(id, number, false, by))
    }

    /// Opens what was closed.
    pub fn reopen(&self, repo: &str, number: u64, by: &str) -> Result<(), Refusal> {
        self.on_pull(repo, by, |state, id, by| state.set_open(id, number, true, by))
    }

    /// Merges with a merge commit; gives its hash.
    pub fn merge(&self, repo: &str, number: u64, by: &str) -> Result<String, Refusal> {
        self.on_pull(repo, by, |state, id, by| state.merge(id, number, by))
    }

    /// Changes the title.
    pub fn retitle(&self, repo: &str, number: u64, title: &str, by: &str) -> Result<(), Refusal> {
        let edit = Edit { title: Some(title.to_owned()), ..Edit::default() };
        self.on_pull(repo, by, |state, id, by| state.edit(id, number, edit, by))
    }

    /// Proposes it to another branch.
    pub fn retarget(&self, repo: &str, number: u64, base: &str, by: &str) -> Result<(), Refusal> {
        let edit = Edit { base: Some(base.to_owned()), ..Edit::default() };
        self.on_pull(repo, by, |state, id, by| state.edit(id, number, edit, by))
    }

    /// Puts a label on.
    pub fn label(&self, repo: &str, number: u64, name: &str, by: &str) -> Result<(), Refusal> {
        self.on_pull(repo, by, |state, id, by| state.add_label(id, number, name, by))
    }

    /// Takes a label off.
    pub fn unlabel(&self, repo: &str, number: u64, name: &str, by: &str) -> Result<(), Refusal> {
        self.on_pull(repo, by, |state, id, by| state.remove_label(id, number, name, by))
    }

    /// Marks it as not ready.
    pub fn convert_to_draft(&self, repo: &str, number: u64, by: &str) -> Result<(), Refusal> {
        self.on_pull(repo, by, |state, id, by| state.set_draft(id, number, true, by))
    }

    /// Marks it as ready.
    pub fn ready_for_review(&self, repo: &str, number: u64, by: &str) -> Result<(), Refusal> {
        self.on_pull(repo, by, |state, id, by| state.set_draft(id, number, false, by))
    }

    /// Writes a comment; gives its id.
    pub fn comment(&self, repo: &str, number: u64, text: &str, by: &str) -> Result<u64, Refusal> {
        self.on_pull(repo, by, |state, id, by| state.add_comment(id, number, text, by, None))
    }

    /// Changes a comment.
    pub fn edit_comment(
        &self,
        repo: &str,
        comment: u64,
        text: &str,
        by: &str,
    ) -> Result<(), Refusal> {
        self.on_pull(repo, by, |state, id, by| state.edit_comment(id, comment, text, by))
    }

    /// Deletes a comment.
    pub fn delete_comment(&self, repo: &str, comment: u64, by: &str) -> Result<(), Refusal> {
        self.on_pull(repo, by, |state, id, by| state.delete_comment(id, comment, by))
    }

    /// Comments of a pull request or issue, oldest first.
    pub fn comments(&self, repo: &str, number: u64) -> Result<Vec<CommentView>, Refusal> {
        let state = self.state();
        let found = state.repo(state.named(repo)?)?;
        let comments = found.comments.values().filter(|comment| comment.issue == number);
        Ok(comments
            .map(|comment| CommentView {
                id: comment.id,
                author: state.login(comment.author).to_owned(),
                body: comment.body.clone(),
                created_at: comment.created_at,
                updated_at: comment.updated_at,
                reactions: comment
                    .reactions
                    .values()
                    .map(|r| format!("{}: {}", state.login(r.user), r.content))
                    .collect(),
                minimized: comment.minimized.is_some(),
            })
            .collect())
    }

    /// Presses a button of a check run.
    pub fn press(&self, repo: &str, check_run: u64, action: &str, by: &str) -> Result<(), Refusal> {
        self.on_pull(repo, by, |state, id, by| {
            state.check_event(id, check_run, "requested_action", by, Some(action))
        })
    }
}
