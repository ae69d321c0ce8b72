//! Repositories: create, fork, rename, delete, and who works with them.

use std::collections::BTreeMap;

use serde_json::json;

use crate::sandbox::github::git::Git;
use crate::sandbox::github::model::{AccountKind, Label, Repo, Role};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;

/// Colour of a label that nobody chose one for.
const LABEL_COLOR: &str = "ededed";

impl State {
    pub(in crate::sandbox::github) fn create_repo(
        &mut self,
        owner: u64,
        name: &str,
        private: bool,
        fork_of: Option<u64>,
    ) -> Result<u64, Refusal> {
        self.need_free_name(owner, name)?;
        let (id, now) = (self.id(), self.now());
        let git = Git::create(self.root.join(format!("{id}.git")), "main")?;
        self.moved.remove(&(self.login(owner).to_ascii_lowercase(), name.to_ascii_lowercase()));
        let repo = Repo {
            id,
            owner,
            name: name.to_owned(),
            private,
            fork_of,
            default_branch: "main".to_owned(),
            git,
            created_at: now,
            updated_at: now,
            pushed_at: now,
            next_number: 1,
            issues: BTreeMap::new(),
            comments: BTreeMap::new(),
            labels: BTreeMap::new(),
            collaborators: BTreeMap::new(),
            check_runs: BTreeMap::new(),
            statuses: Vec::new(),
            deployments: BTreeMap::new(),
            environments: BTreeMap::new(),
        };
        self.repos.insert(id, repo);
        Ok(id)
    }

    fn need_free_name(&self, owner: u64, name: &str) -> Result<(), Refusal> {
        let fine = (1..=100).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && !matches!(name, "." | "..");
        if !fine || name.to_ascii_lowercase().ends_with(".git") {
            return Err(Refusal::invalid("Repository", "name", "invalid", None));
        }
        if self.find_repo(self.login(owner), name).is_some() {
            let words = Some("name already exists on this account");
            return Err(Refusal::invalid("Repository", "name", "custom", words));
        }
        Ok(())
    }

    /// A repository of `owner` with all branches of `source`.
    pub(in crate::sandbox::github) fn fork(
        &mut self,
        source: u64,
        owner: u64,
    ) -> Result<u64, Refusal> {
        let (name, private, branch, from) = {
            let repo = self.repo(source)?;
            (repo.name.clone(), repo.private, repo.default_branch.clone(), repo.git.clone())
        };
        let id = self.create_repo(owner, &name, private, Some(source))?;
        let to = self.repo(id)?.git.clone();
        for (name, sha) in from.references("refs/heads/")? {
            from.copy_history(&to, &sha)?;
            to.set(&name, &sha)?;
        }
        self.repo_mut(id)?.default_branch = branch;
        Ok(id)
    }

    pub(in crate::sandbox::github) fn rename_repo(
        &mut self,
        id: u64,
        name: &str,
        by: u64,
    ) -> Result<(), Refusal> {
        let (owner, old) = {
            let repo = self.repo(id)?;
            (repo.owner, repo.name.clone())
        };
        self.need_free_name(owner, name)?;
        let login = self.login(owner).to_ascii_lowercase();
        self.moved.remove(&(login.clone(), name.to_ascii_lowercase()));
        self.moved.insert((login, old.to_ascii_lowercase()), id);
        name.clone_into(&mut self.repo_mut(id)?.name);
        let changes = json!({ "repository": { "name": { "from": old } } });
        self.emit("repository", id, by, json!({ "action": "renamed", "changes": changes }));
        Ok(())
    }

    /// Gives a repository to another account; its old name leads there.
    pub(in crate::sandbox::github) fn transfer_repo(
        &mut self,
        id: u64,
        to: u64,
        by: u64,
    ) -> Result<(), Refusal> {
        let (owner, name) = {
            let repo = self.repo(id)?;
            (repo.owner, repo.name.clone())
        };
        self.need_free_name(to, &name)?;
        let key = |state: &Self, owner| {
            (state.login(owner).to_ascii_lowercase(), name.to_ascii_lowercase())
        };
        let (old, new) = (key(self, owner), key(self, to));
        self.moved.remove(&new);
        self.moved.insert(old, id);
        self.repo_mut(id)?.owner = to;
        let kind = self.accounts.get(&owner).map(|account| account.kind);
        let kind = if kind == Some(AccountKind::Organization) { "organization" } else { "user" };
        let changes = json!({ "owner": { "from": { kind: self.user_json(owner) } } });
        self.emit("repository", id, by, json!({ "action": "transferred", "changes": changes }));
        Ok(())
    }

    /// Deletes a repository: pull requests from it stay, with no head repository.
    pub(in crate::sandbox::github) fn delete_repo(
        &mut self,
        id: u64,
        by: u64,
    ) -> Result<(), Refusal> {
        self.emit("repository", id, by, json!({ "action": "deleted" }));
        let repo = self.repos.remove(&id).ok_or_else(Refusal::not_found)?;
        self.moved.retain(|_, moved| *moved != id);
        // The folder goes too: a fetch must fail as it does at a forge.
        std::fs::remove_dir_all(repo.git.dir()).map_err(Refusal::broken)?;
        let mut orphans = Vec::new();
        for other in self.repos.values_mut() {
            for issue in other.issues.values_mut() {
                if let Some(pull) = &mut issue.pull
                    && pull.head_repo == Some(id)
                {
                    pull.head_repo = None;
                    if issue.open {
                        orphans.push((other.id, issue.number));
                    }
                }
            }
        }
        // GitHub closes what can't be pushed to any more.
        for (base, number) in orphans {
            self.set_open(base, number, false, by)?;
        }
        Ok(())
    }

    pub(in crate::sandbox::github) fn add_collaborator(
        &mut self,
        repo: u64,
        account: u64,
        role: Option<Role>,
    ) -> Result<(), Refusal> {
        let repo = self.repo_mut(repo)?;
        match role {
            Some(role) => repo.collaborators.insert(account, role),
            None => repo.collaborators.remove(&account),
        };
        Ok(())
    }

    /// The label as the repository spells it; made when it is not there.
    pub(in crate::sandbox::github) fn label(
        &mut self,
        repo: u64,
        name: &str,
    ) -> Result<String, Refusal> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 50 {
            return Err(Refusal::invalid("Label", "name", "invalid", None));
        }
        let known = self.repo(repo)?.labels.keys().find(|known| known.eq_ignore_ascii_case(name));
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let id = self.id();
        let color = LABEL_COLOR.to_owned();
        let label = Label { id, name: name.to_owned(), color, description: None };
        self.repo_mut(repo)?.labels.insert(name.to_owned(), label);
        Ok(name.to_owned())
    }
}
