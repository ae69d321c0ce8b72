//! Branches: commits on them, and what a moved branch means for pull requests and webhooks.

use std::collections::BTreeMap;

use gix::objs::tree::EntryKind;
use serde_json::{Value, json};

use crate::sandbox::github::git::{Files, Signed, is_branch_name};
use crate::sandbox::github::model::{Merged, Repo};
use crate::sandbox::github::ops::changes::{ChangeKind, changes_between};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;
use crate::sandbox::github::views::time;

/// "No commit", as webhooks write it.
pub(in crate::sandbox::github) const ZERO: &str = "0000000000000000000000000000000000000000";

/// What a new commit is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox::github) enum Onto {
    /// The tip of the branch; files that are not named stay.
    Tip,
    /// The tip of the branch; the files are all that is there.
    TipAlone,
    /// What the tip is on: the old tip is lost, as after a forced push.
    Parent,
}

impl State {
    /// Writes a commit and moves `branch` to it. A branch that is not there starts at the default branch.
    pub(in crate::sandbox::github) fn commit(
        &mut self,
        repo: u64,
        branch: &str,
        files: &BTreeMap<String, Option<Vec<u8>>>,
        message: &str,
        by: u64,
        onto: Onto,
    ) -> Result<String, Refusal> {
        if !is_branch_name(branch) {
            return Err(Refusal::unprocessable("Reference name is not valid"));
        }
        let (author, at) = (self.login(by).to_owned(), self.now());
        let found = self.repo(repo)?;
        let old = found.git.branch(branch);
        let start = old.clone().or_else(|| found.git.branch(&found.default_branch));
        let parent = match (onto, &start) {
            (Onto::Parent, Some(tip)) => {
                found.git.info(tip).and_then(|i| i.parents.first().cloned())
            }
            _ => start,
        };
        let mut tree = match (&parent, onto) {
            (Some(parent), Onto::Tip | Onto::Parent) => found.git.files(parent)?,
            _ => Files::new(),
        };
        for (path, content) in files {
            if !is_path(path) {
                return Err(Refusal::unprocessable(format!("path {path:?} is not valid")));
            }
            tree.retain(|other, _| !is_inside(other, path) && !is_inside(path, other));
            match content {
                Some(content) => {
                    let mode = EntryKind::Blob.into();
                    tree.insert(path.clone(), (mode, found.git.blob(content)?));
                }
                None => {
                    tree.remove(path);
                }
            }
        }
        let parents: Vec<String> = parent.into_iter().collect();
        let signed = Signed { author: &author, at };
        let sha = found.git.commit(&tree, &parents, message, &signed)?;
        self.move_branch(repo, branch, Some(&sha), by)?;
        Ok(sha)
    }

    /// Sets a branch to a commit, or deletes it, with all that follows.
    pub(in crate::sandbox::github) fn move_branch(
        &mut self,
        repo: u64,
        branch: &str,
        to: Option<&str>,
        by: u64,
    ) -> Result<(), Refusal> {
        let git = self.repo(repo)?.git.clone();
        let old = git.branch(branch);
        let name = format!("refs/heads/{branch}");
        match to {
            Some(sha) if git.info(sha).is_some() => git.set(&name, sha)?,
            Some(_) => return Err(Refusal::unprocessable("Object does not exist")),
            None if old.is_none() => {
                return Err(Refusal::unprocessable("Reference does not exist"));
            }
            None => git.remove(&name)?,
        }
        self.moved_branch(repo, branch, old.as_deref(), to, by)
    }

    /// A branch was moved from `old` to `new` (already on disk): tells hooks and pull requests.
    pub(in crate::sandbox::github) fn moved_branch(
        &mut self,
        repo: u64,
        branch: &str,
        old: Option<&str>,
        new: Option<&str>,
        by: u64,
    ) -> Result<(), Refusal> {
        if old == new {
            return Ok(());
        }
        let now = self.now();
        self.repo_mut(repo)?.pushed_at = now;
        let found = self.repo(repo)?;
        let payload = self.push_json(found, branch, old, new, by);
        let git = found.git.clone();
        self.emit("push", repo, by, payload);
        if new.is_none() {
            let payload = json!({ "ref": branch, "ref_type": "branch", "pusher_type": "user" });
            self.emit("delete", repo, by, payload);
        }
        let mut from_here = Vec::new();
        let mut to_here = Vec::new();
        for base in self.repos.values() {
            for issue in base.issues.values().filter(|issue| issue.open) {
                let Some(pull) = &issue.pull else { continue };
                if pull.head_repo == Some(repo) && pull.head_branch == branch {
                    from_here.push((base.id, issue.number));
                } else if base.id == repo && pull.base_branch == branch {
                    to_here.push((issue.number, pull.head_sha.clone()));
                }
            }
        }
        for (base, number) in from_here {
            match new {
                Some(sha) => self.synchronize(base, number, sha, by)?,
                None => self.set_open(base, number, false, by)?,
            }
        }
        for (number, head) in to_here {
            match new {
                // Pushed to the base by hand: GitHub calls that merged.
                Some(sha) if git.merge_base(sha, &head).as_deref() == Some(head.as_str()) => {
                    let merged = Merged { at: now, by, commit: sha.to_owned() };
                    self.finish_merge(repo, number, merged)?;
                }
                Some(_) => self.try_merge(repo, number)?,
                None => self.set_open(repo, number, false, by)?,
            }
        }
        Ok(())
    }

    fn push_json(
        &self,
        repo: &Repo,
        branch: &str,
        old: Option<&str>,
        new: Option<&str>,
        by: u64,
    ) -> Value {
        let html = self.repo_html(repo);
        // A new branch brings what the default branch has not.
        let usual = repo.git.branch(&repo.default_branch).filter(|_| branch != repo.default_branch);
        let start = old.or(usual.as_deref()).unwrap_or_default();
        let commits = new.map(|new| repo.git.between(start, new, 20)).unwrap_or_default();
        let commits: Vec<Value> = commits
            .iter()
            .map(|info| {
                let person = json!({
                    "name": info.author, "email": info.email, "username": info.author,
                });
                let parent = info.parents.first().map(String::as_str);
                let changes = changes_between(repo, parent, &info.sha).unwrap_or_default();
                let files = |kind| -> Vec<&str> {
                    let some = changes.iter().filter(|change| change.kind == kind);
                    some.map(|change| change.path.as_str()).collect()
                };
                json!({
                    "id": info.sha, "tree_id": info.tree, "distinct": true,
                    "message": info.message, "timestamp": time(info.at),
                    "url": format!("{html}/commit/{}", info.sha),
                    "author": person, "committer": person,
                    "added": files(ChangeKind::Added),
                    "removed": files(ChangeKind::Removed),
                    "modified": files(ChangeKind::Modified),
                })
            })
            .collect();
        let forced = match (old, new) {
            (Some(old), Some(new)) => repo.git.merge_base(old, new).as_deref() != Some(old),
            _ => false,
        };
        let login = self.login(by);
        json!({
            "ref": format!("refs/heads/{branch}"),
            "before": old.unwrap_or(ZERO),
            "after": new.unwrap_or(ZERO),
            "created": old.is_none(),
            "deleted": new.is_none(),
            "forced": forced,
            "base_ref": null,
            "compare": format!("{html}/compare/{}...{}", old.unwrap_or(ZERO), new.unwrap_or(ZERO)),
            "head_commit": commits.last(),
            "commits": commits,
            "pusher": { "name": login, "email": format!("{login}@users.noreply.github.com") },
        })
    }
}

/// True when `path` is below the folder `folder`.
fn is_inside(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// True when git could check this path out everywhere.
fn is_path(path: &str) -> bool {
    !path.is_empty()
        && !path.contains('\0')
        && path.split('/').all(|part| {
            !part.is_empty() && !matches!(part, "." | "..") && !part.eq_ignore_ascii_case(".git")
        })
}
