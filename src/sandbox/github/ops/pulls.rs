//! Pull requests: open, change, close, merge, and what they change.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::sandbox::github::git::Signed;
use crate::sandbox::github::model::{Issue, LabelEvent, Merged, Pull, Repo, TestMerge};
use crate::sandbox::github::ops::changes::merged_files;
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;

/// A pull request to be opened.
#[derive(Clone, Debug, Default)]
pub struct NewPull {
    /// Branch in the repository itself, or `owner:branch` of a fork.
    pub head: String,
    /// Branch it is proposed to.
    pub base: String,
    /// Its title.
    pub title: String,
    /// Its text, Markdown.
    pub body: Option<String>,
    /// Not ready for review.
    pub draft: bool,
}

/// What is to be changed in a pull request; `None` leaves it.
#[derive(Clone, Debug, Default)]
pub(in crate::sandbox::github) struct Edit {
    pub(in crate::sandbox::github) title: Option<String>,
    pub(in crate::sandbox::github) body: Option<String>,
    pub(in crate::sandbox::github) base: Option<String>,
}

impl State {
    pub(in crate::sandbox::github) fn open_issue(
        &mut self,
        repo: u64,
        title: &str,
        body: Option<String>,
        author: u64,
    ) -> Result<u64, Refusal> {
        let issue = self.new_issue(repo, title, body, author)?;
        let number = issue.number;
        self.repo_mut(repo)?.issues.insert(number, issue);
        let found = self.repo(repo)?;
        let json = self.issue_json(found, self.issue(repo, number)?);
        self.emit("issues", repo, author, json!({ "action": "opened", "issue": json }));
        Ok(number)
    }

    fn new_issue(
        &mut self,
        repo: u64,
        title: &str,
        body: Option<String>,
        author: u64,
    ) -> Result<Issue, Refusal> {
        if title.trim().is_empty() {
            return Err(Refusal::invalid("Issue", "title", "missing_field", None));
        }
        let (id, now) = (self.id(), self.now());
        let found = self.repo_mut(repo)?;
        let number = found.next_number;
        found.next_number += 1;
        Ok(Issue {
            id,
            number,
            title: title.to_owned(),
            body,
            open: true,
            author,
            labels: BTreeSet::new(),
            created_at: now,
            updated_at: now,
            closed_at: None,
            closed_by: None,
            pull: None,
            events: Vec::new(),
        })
    }

    pub(in crate::sandbox::github) fn open_pull(
        &mut self,
        repo: u64,
        new: &NewPull,
        author: u64,
    ) -> Result<u64, Refusal> {
        let invalid = |field| Refusal::invalid("PullRequest", field, "invalid", None);
        let (head_repo, head_branch) = match new.head.split_once(':') {
            None => (repo, new.head.as_str()),
            Some((owner, branch)) => {
                let family = |other: &&Repo| {
                    other.id == repo
                        || other.fork_of == Some(repo)
                        || self.repos.get(&repo).is_some_and(|r| r.fork_of == Some(other.id))
                };
                let found = self
                    .repos
                    .values()
                    .filter(family)
                    .find(|other| self.login(other.owner).eq_ignore_ascii_case(owner));
                (found.ok_or_else(|| invalid("head"))?.id, branch)
            }
        };
        let found = self.repo(repo)?;
        let head = self.repo(head_repo)?;
        let head_sha = head.git.branch(head_branch).ok_or_else(|| invalid("head"))?;
        let base_sha = found.git.branch(&new.base).ok_or_else(|| invalid("base"))?;
        let same = |issue: &&Issue| {
            issue.open
                && issue.pull.as_ref().is_some_and(|pull| {
                    pull.head_repo == Some(head_repo)
                        && pull.head_branch == head_branch
                        && pull.base_branch == new.base
                })
        };
        let named = format!("{}:{head_branch}", self.login(head.owner));
        if found.issues.values().any(|issue| same(&issue)) {
            let words = format!("A pull request already exists for {named}.");
            return Err(Refusal::invalid("PullRequest", "base", "custom", Some(&words)));
        }
        if head_sha == base_sha {
            let words = format!("No commits between {} and {}", new.base, new.head);
            return Err(Refusal::invalid("PullRequest", "base", "custom", Some(&words)));
        }
        head.git.copy_history(&found.git, &head_sha)?;
        let (head_owner, head_branch) = (head.owner, head_branch.to_owned());
        let mut issue = self.new_issue(repo, &new.title, new.body.clone(), author)?;
        let (id, number) = (self.id(), issue.number);
        self.repo(repo)?.git.set(&format!("refs/pull/{number}/head"), &head_sha)?;
        issue.pull = Some(Pull {
            id,
            draft: new.draft,
            head_repo: Some(head_repo),
            head_owner,
            head_branch,
            head_sha,
            base_branch: new.base.clone(),
            base_sha,
            merged: None,
            test_merge: TestMerge::default(),
        });
        self.repo_mut(repo)?.issues.insert(number, issue);
        self.try_merge(repo, number)?;
        self.pull_event(repo, number, "opened", author, Value::Null)?;
        Ok(number)
    }

    /// Sends `pull_request` with `action` and the fields of `more`.
    pub(in crate::sandbox::github) fn pull_event(
        &mut self,
        repo: u64,
        number: u64,
        action: &str,
        by: u64,
        more: Value,
    ) -> Result<(), Refusal> {
        let found = self.repo(repo)?;
        let issue = self.issue(repo, number)?;
        let Some(pull) = &issue.pull else {
            let mut payload = json!({ "action": action, "issue": self.issue_json(found, issue) });
            crate::sandbox::github::views::merge_into(&mut payload, more);
            self.emit("issues", repo, by, payload);
            return Ok(());
        };
        let mut payload = json!({
            "action": action,
            "number": number,
            "pull_request": self.full_pull_json(found, issue, pull),
        });
        crate::sandbox::github::views::merge_into(&mut payload, more);
        self.emit("pull_request", repo, by, payload);
        Ok(())
    }

    /// The pull request of an issue, or 404.
    pub(in crate::sandbox::github) fn pull(
        &self,
        repo: u64,
        number: u64,
    ) -> Result<(&Repo, &Issue, &Pull), Refusal> {
        let found = self.repo(repo)?;
        let issue = self.issue(repo, number)?;
        Ok((found, issue, issue.pull.as_ref().ok_or_else(Refusal::not_found)?))
    }

    fn pull_mut(&mut self, repo: u64, number: u64) -> Result<&mut Pull, Refusal> {
        self.issue_mut(repo, number)?.pull.as_mut().ok_or_else(Refusal::not_found)
    }

    /// New commits on the head branch.
    pub(in crate::sandbox::github) fn synchronize(
        &mut self,
        repo: u64,
        number: u64,
        sha: &str,
        by: u64,
    ) -> Result<(), Refusal> {
        let now = self.now();
        let (base, _, pull) = self.pull(repo, number)?;
        if let Some(head) = pull.head_repo.filter(|head| *head != repo) {
            self.repo(head)?.git.copy_history(&base.git, sha)?;
        }
        base.git.set(&format!("refs/pull/{number}/head"), sha)?;
        let base_sha = base.git.branch(&pull.base_branch);
        let issue = self.issue_mut(repo, number)?;
        issue.updated_at = now;
        let pull = issue.pull.as_mut().ok_or_else(Refusal::not_found)?;
        let before = std::mem::replace(&mut pull.head_sha, sha.to_owned());
        if let Some(base_sha) = base_sha {
            pull.base_sha = base_sha;
        }
        self.try_merge(repo, number)?;
        self.pull_event(repo, number, "synchronize", by, json!({ "before": before, "after": sha }))
    }

    /// Opens or closes; nothing happens when it is so already.
    pub(in crate::sandbox::github) fn set_open(
        &mut self,
        repo: u64,
        number: u64,
        open: bool,
        by: u64,
    ) -> Result<(), Refusal> {
        let now = self.now();
        let issue = self.issue(repo, number)?;
        if issue.open == open {
            return Ok(());
        }
        if let (true, Some(pull)) = (open, &issue.pull) {
            let impossible = || {
                let words = "state cannot be changed. The pull request cannot be reopened.";
                Refusal::invalid("PullRequest", "state", "invalid", Some(words))
            };
            if pull.merged.is_some() {
                return Err(impossible());
            }
            let head = pull.head_repo.ok_or_else(impossible)?;
            let tip = self.repo(head)?.git.branch(&pull.head_branch).ok_or_else(impossible)?;
            // What was pushed while it was closed is what it proposes now.
            let base = self.repo(repo)?;
            self.repo(head)?.git.copy_history(&base.git, &tip)?;
            base.git.set(&format!("refs/pull/{number}/head"), &tip)?;
            self.pull_mut(repo, number)?.head_sha = tip;
        }
        let issue = self.issue_mut(repo, number)?;
        issue.open = open;
        issue.updated_at = now;
        issue.closed_at = (!open).then_some(now);
        issue.closed_by = (!open).then_some(by);
        if open && issue.pull.is_some() {
            self.try_merge(repo, number)?;
        }
        self.pull_event(repo, number, if open { "reopened" } else { "closed" }, by, Value::Null)
    }

    /// Changes title, text or base; one `edited` event tells what was there before.
    pub(in crate::sandbox::github) fn edit(
        &mut self,
        repo: u64,
        number: u64,
        edit: Edit,
        by: u64,
    ) -> Result<(), Refusal> {
        let Edit { title, body, base } = edit;
        let now = self.now();
        let mut changes = Map::new();
        if title.as_ref().is_some_and(|title| title.trim().is_empty()) {
            return Err(Refusal::invalid("PullRequest", "title", "missing_field", None));
        }
        let base_sha = match &base {
            Some(base) => Some(
                self.repo(repo)?
                    .git
                    .branch(base)
                    .ok_or_else(|| Refusal::invalid("PullRequest", "base", "invalid", None))?,
            ),
            None => None,
        };
        let issue = self.issue_mut(repo, number)?;
        if let Some(title) = title.filter(|title| *title != issue.title) {
            changes.insert("title".into(), json!({ "from": issue.title }));
            issue.title = title;
        }
        // An emptied text is none at all.
        if let Some(body) = body.map(|body| (!body.is_empty()).then_some(body))
            && body != issue.body
        {
            changes.insert("body".into(), json!({ "from": issue.body }));
            issue.body = body;
        }
        if let (Some(base), Some(base_sha), Some(pull)) = (base, base_sha, &mut issue.pull)
            && base != pull.base_branch
        {
            let from =
                json!({ "ref": { "from": pull.base_branch }, "sha": { "from": pull.base_sha } });
            changes.insert("base".into(), from);
            (pull.base_branch, pull.base_sha) = (base, base_sha);
        }
        if changes.is_empty() {
            return Ok(());
        }
        issue.updated_at = now;
        if changes.contains_key("base") {
            self.try_merge(repo, number)?;
        }
        self.pull_event(repo, number, "edited", by, json!({ "changes": changes }))
    }

    pub(in crate::sandbox::github) fn set_draft(
        &mut self,
        repo: u64,
        number: u64,
        draft: bool,
        by: u64,
    ) -> Result<(), Refusal> {
        let pull = self.pull_mut(repo, number)?;
        if pull.draft == draft {
            return Ok(());
        }
        pull.draft = draft;
        let action = if draft { "converted_to_draft" } else { "ready_for_review" };
        self.pull_event(repo, number, action, by, Value::Null)
    }

    pub(in crate::sandbox::github) fn add_label(
        &mut self,
        repo: u64,
        number: u64,
        name: &str,
        by: u64,
    ) -> Result<(), Refusal> {
        self.issue(repo, number)?;
        let name = self.label(repo, name)?;
        if !self.issue_mut(repo, number)?.labels.insert(name.clone()) {
            return Ok(());
        }
        self.note_label(repo, number, &name, true, by)?;
        self.label_event(repo, number, "labeled", &name, by)
    }

    /// Into the timeline, which tells who did it.
    fn note_label(
        &mut self,
        repo: u64,
        number: u64,
        label: &str,
        added: bool,
        by: u64,
    ) -> Result<(), Refusal> {
        let (id, at) = (self.id(), self.now());
        let color = self.repo(repo)?.labels.get(label).map(|label| label.color.clone());
        let app = self.apps.values().find(|app| app.bot == by).map(|app| app.id);
        let (label, color) = (label.to_owned(), color.unwrap_or_default());
        let event = LabelEvent { id, added, label, color, by, at, app };
        self.issue_mut(repo, number)?.events.push(event);
        Ok(())
    }

    pub(in crate::sandbox::github) fn remove_label(
        &mut self,
        repo: u64,
        number: u64,
        name: &str,
        by: u64,
    ) -> Result<(), Refusal> {
        let issue = self.issue_mut(repo, number)?;
        let known = issue.labels.iter().find(|known| known.eq_ignore_ascii_case(name)).cloned();
        let known = known.ok_or_else(|| Refusal::new(404, "Label does not exist"))?;
        issue.labels.remove(&known);
        self.note_label(repo, number, &known, false, by)?;
        self.label_event(repo, number, "unlabeled", &known, by)
    }

    fn label_event(
        &mut self,
        repo: u64,
        number: u64,
        action: &str,
        name: &str,
        by: u64,
    ) -> Result<(), Refusal> {
        let now = self.now();
        self.issue_mut(repo, number)?.updated_at = now;
        let found = self.repo(repo)?;
        let label = found.labels.get(name).map(|label| self.label_json(found, label));
        self.pull_event(repo, number, action, by, json!({ "label": label }))
    }

    // --- merge ---

    /// Merges head and base for a try: `refs/pull/N/merge`, a commit on both. A conflict leaves the one of before. GitHub
    /// waits until somebody asks for the pull request; nobody can tell the difference but by `refs/pull/N/merge`.
    pub(in crate::sandbox::github) fn try_merge(
        &mut self,
        repo: u64,
        number: u64,
    ) -> Result<(), Refusal> {
        let at = self.now();
        let delay = self.faults.merge_delay;
        let known_at = (!delay.is_zero()).then(|| self.clock.now() + delay);
        let (found, issue, pull) = self.pull(repo, number)?;
        let tip = found.git.branch(&pull.base_branch);
        // A commit that was taken from the disk can't be merged; that is no reason to refuse the push.
        let files = merged_files(found, pull).unwrap_or(None);
        let commit = match (tip, files) {
            (Some(tip), Some(files)) => {
                let message = format!("Merge {} into {tip}", pull.head_sha);
                let signed = Signed { author: self.login(issue.author), at };
                let parents = [tip, pull.head_sha.clone()];
                let commit = found.git.commit(&files, &parents, &message, &signed)?;
                found.git.set(&format!("refs/pull/{number}/merge"), &commit)?;
                Some(commit)
            }
            _ => None,
        };
        let clean = commit.is_some();
        let before = pull.test_merge.commit.clone();
        let commit = commit.or_else(|| before.clone());
        self.pull_mut(repo, number)?.test_merge = TestMerge { commit, before, clean, known_at };
        Ok(())
    }

    /// Merges with a merge commit.
    pub(in crate::sandbox::github) fn merge(
        &mut self,
        repo: u64,
        number: u64,
        by: u64,
    ) -> Result<String, Refusal> {
        let at = self.now();
        let (found, issue, pull) = self.pull(repo, number)?;
        let not_mergeable = || Refusal::new(405, "Pull Request is not mergeable");
        if !issue.open || pull.draft {
            return Err(not_mergeable());
        }
        let files = merged_files(found, pull)?.ok_or_else(not_mergeable)?;
        let tip = found.git.branch(&pull.base_branch).ok_or_else(not_mergeable)?;
        let from = format!("{}/{}", self.login(pull.head_owner), pull.head_branch);
        let message = format!("Merge pull request #{number} from {from}\n\n{}", issue.title);
        let signed = Signed { author: self.login(by), at };
        let parents = [tip, pull.head_sha.clone()];
        let commit = found.git.commit(&files, &parents, &message, &signed)?;
        let base = pull.base_branch.clone();
        self.finish_merge(repo, number, Merged { at, by, commit: commit.clone() })?;
        self.move_branch(repo, &base, Some(&commit), by)?;
        Ok(commit)
    }

    pub(in crate::sandbox::github) fn finish_merge(
        &mut self,
        repo: u64,
        number: u64,
        merged: Merged,
    ) -> Result<(), Refusal> {
        let by = merged.by;
        self.pull_mut(repo, number)?.merged = Some(merged);
        self.set_open(repo, number, false, by)
    }
}
