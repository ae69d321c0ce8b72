//! PURE but for git objects on disk · everything the sandbox GitHub knows, and who may do what in it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use super::exchange::Exchanges;
use super::faults::Faults;
use super::git::GitError;
use super::hooks::{Delivery, Hook, Sink};
use super::model::{
    Account, AccountKind, Actor, App, Bearer, Grant, Installation, Issue, Repo, Role, Time, Token,
};
use super::refusal::Refusal;
use super::web::sign_in::Agreed;
use super::{RequestRecord, limits::Limits};
use crate::seams::{Clock, Rng};

impl From<GitError> for Refusal {
    fn from(error: GitError) -> Self {
        Self::broken(error)
    }
}

/// All that is known. One lock holds it; nothing waits while holding that lock.
#[derive(Debug)]
pub(super) struct State {
    pub(super) root: PathBuf,
    pub(super) clock: Clock,
    pub(super) rng: Rng,
    /// Where people and clients reach the sandbox, without a slash at its end.
    pub(super) url: String,
    next_id: u64,
    pub(super) accounts: BTreeMap<u64, Account>,
    pub(super) repos: BTreeMap<u64, Repo>,
    /// Old owner and name, lower case, of a renamed repository.
    pub(super) moved: BTreeMap<(String, String), u64>,
    pub(super) tokens: BTreeMap<String, Token>,
    pub(super) apps: BTreeMap<u64, App>,
    pub(super) installations: BTreeMap<u64, Installation>,
    pub(super) grants: BTreeMap<u64, Grant>,
    pub(super) hooks: BTreeMap<u64, Hook>,
    pub(super) deliveries: BTreeMap<u64, Delivery>,
    /// Apps that were made by a manifest, by the code that is good for their secrets.
    pub(super) codes: BTreeMap<String, (u64, Time)>,
    /// People who agreed to sign in to an App, by the code that is good for a token.
    pub(super) agreed: BTreeMap<String, Agreed>,
    /// How hooks of such Apps reach their address; over sockets when nothing else is said.
    pub(super) way_of_hooks: Option<Sink>,
    pub(super) requests: VecDeque<RequestRecord>,
    pub(super) faults: Faults,
    pub(super) exchanges: Exchanges,
    pub(super) limits: Limits,
}

impl State {
    pub(super) fn new(root: PathBuf, url: String, clock: Clock, rng: Rng) -> Self {
        Self {
            root,
            clock,
            faults: Faults::new(rng.fork()),
            rng,
            url,
            next_id: 1000,
            accounts: BTreeMap::new(),
            repos: BTreeMap::new(),
            moved: BTreeMap::new(),
            tokens: BTreeMap::new(),
            apps: BTreeMap::new(),
            installations: BTreeMap::new(),
            grants: BTreeMap::new(),
            hooks: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            codes: BTreeMap::new(),
            agreed: BTreeMap::new(),
            way_of_hooks: None,
            requests: VecDeque::new(),
            exchanges: Exchanges::default(),
            limits: Limits::default(),
        }
    }

    /// The time, in whole seconds as GitHub shows it.
    pub(super) fn now(&self) -> Time {
        let now = self.clock.now();
        Time::from_timestamp(now.timestamp(), 0).unwrap_or(now)
    }

    /// The next id; no two things of any kind share one, so that mixed-up ids are found out.
    pub(super) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    // --- finding ---

    pub(super) fn account(&self, login: &str) -> Option<&Account> {
        self.accounts.values().find(|account| account.login.eq_ignore_ascii_case(login))
    }

    /// Login of an account; GitHub's `ghost` when it is gone.
    pub(super) fn login(&self, id: u64) -> &str {
        self.accounts.get(&id).map_or("ghost", |account| &account.login)
    }

    /// Whether what a path names was made so short a time ago that the API does not find it yet.
    pub(super) fn is_unborn(&self, segments: &[String]) -> bool {
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (repo, rest) = match parts.as_slice() {
            ["repos", owner, name, rest @ ..] => (self.find_repo(owner, name), rest),
            ["repositories", id, rest @ ..] => (id.parse().ok(), rest),
            _ => return false,
        };
        let Some(repo) = repo.and_then(|id| self.repos.get(&id)) else { return false };
        let made = match rest {
            ["issues", "comments", id, ..] => {
                id.parse().ok().and_then(|id: u64| Some(repo.comments.get(&id)?.created_at))
            }
            ["pulls" | "issues", number, ..] => {
                number.parse().ok().and_then(|n: u64| Some(repo.issues.get(&n)?.created_at))
            }
            _ => None,
        };
        let lag = chrono::TimeDelta::from_std(self.faults.birth).unwrap_or_default();
        made.is_some_and(|made| self.now() < made + lag)
    }

    pub(super) fn find_repo(&self, owner: &str, name: &str) -> Option<u64> {
        self.repos
            .values()
            .find(|repo| {
                repo.name.eq_ignore_ascii_case(name)
                    && self.login(repo.owner).eq_ignore_ascii_case(owner)
            })
            .map(|repo| repo.id)
    }

    pub(super) fn repo(&self, id: u64) -> Result<&Repo, Refusal> {
        self.repos.get(&id).ok_or_else(Refusal::not_found)
    }

    pub(super) fn repo_mut(&mut self, id: u64) -> Result<&mut Repo, Refusal> {
        self.repos.get_mut(&id).ok_or_else(Refusal::not_found)
    }

    /// Owner and name as shown.
    pub(super) fn full_name(&self, repo: &Repo) -> String {
        format!("{}/{}", self.login(repo.owner), repo.name)
    }

    pub(super) fn issue(&self, repo: u64, number: u64) -> Result<&Issue, Refusal> {
        self.repo(repo)?.issues.get(&number).ok_or_else(Refusal::not_found)
    }

    pub(super) fn issue_mut(&mut self, repo: u64, number: u64) -> Result<&mut Issue, Refusal> {
        self.repo_mut(repo)?.issues.get_mut(&number).ok_or_else(Refusal::not_found)
    }

    // --- rights ---

    /// What `account` may do in `repo`; `None` is: may not even know that it is there.
    pub(super) fn role_of(&self, account: u64, repo: &Repo) -> Option<Role> {
        let owner = self.accounts.get(&repo.owner);
        if repo.owner == account || owner.is_some_and(|owner| owner.owners.contains(&account)) {
            return Some(Role::Admin);
        }
        let everybody = (!repo.private).then_some(Role::Read);
        repo.collaborators.get(&account).copied().max(everybody)
    }

    /// True when the actor may see the repository.
    pub(super) fn can_read(&self, actor: Actor, repo: &Repo) -> bool {
        match actor {
            Actor::User(account) => self.role_of(account, repo).is_some(),
            Actor::Installation(bearer) => !repo.private || self.reaches(bearer, repo),
            Actor::Anonymous | Actor::App(_) => !repo.private,
        }
    }

    /// True when the installation covers the repository.
    pub(super) fn installed(&self, installation: u64, repo: &Repo) -> bool {
        self.installations.get(&installation).is_some_and(|found| {
            found.account == repo.owner
                && found.repositories.as_ref().is_none_or(|some| some.contains(&repo.id))
        })
    }

    /// True when the repository is one of those that an installation token was given for.
    pub(super) fn reaches(&self, bearer: Bearer, repo: &Repo) -> bool {
        self.installed(bearer.installation, repo)
            && self.grants.get(&bearer.grant).is_some_and(|grant| {
                grant.repositories.as_ref().is_none_or(|some| some.contains(&repo.id))
            })
    }

    /// Refuses, in GitHub's words, an actor who lacks `role` as a person or all of `permissions` (`write`) as an App.
    pub(super) fn need(
        &self,
        actor: Actor,
        repo: u64,
        role: Role,
        permissions: &[&str],
    ) -> Result<(), Refusal> {
        let repo = self.repo(repo)?;
        if !self.can_read(actor, repo) {
            return Err(Refusal::not_found());
        }
        match actor {
            Actor::Anonymous => Err(Refusal::login_needed()),
            Actor::App(_) => Err(Refusal::new(401, "A JSON web token could not be decoded")),
            Actor::User(account) => match self.role_of(account, repo) {
                Some(has) if has >= role => Ok(()),
                _ if role == Role::Admin => {
                    Err(Refusal::forbidden("Must have admin rights to Repository."))
                }
                _ => Err(Refusal::forbidden("Resource not accessible by personal access token")),
            },
            Actor::Installation(bearer) => {
                let may = self.reaches(bearer, repo)
                    && permissions.iter().any(|name| self.app_may(bearer, name, "write"));
                if may {
                    Ok(())
                } else {
                    Err(Refusal::forbidden("Resource not accessible by integration"))
                }
            }
        }
    }

    /// True when an installation token was given `level` (or more) of permission `name`, and the installation still has it.
    pub(super) fn app_may(&self, bearer: Bearer, name: &str, level: &str) -> bool {
        let enough = |permissions: Option<&BTreeMap<String, String>>| {
            permissions
                .and_then(|all| all.get(name))
                .is_some_and(|has| has == level || has == "write" || has == "admin")
        };
        let installation = self.installations.get(&bearer.installation);
        enough(installation.map(|found| &found.permissions))
            && enough(self.grants.get(&bearer.grant).map(|grant| &grant.permissions))
    }

    /// The account in whose name an actor writes.
    pub(super) fn account_of(&self, actor: Actor) -> Result<u64, Refusal> {
        match actor {
            Actor::User(account) => Ok(account),
            Actor::Installation(Bearer { installation: id, .. }) => {
                let app = self.app_of(actor).ok_or_else(Refusal::not_found)?;
                self.apps
                    .get(&app)
                    .map(|app| app.bot)
                    .ok_or_else(|| Refusal::broken(format_args!("installation {id} has no app")))
            }
            Actor::Anonymous | Actor::App(_) => Err(Refusal::login_needed()),
        }
    }

    /// The App behind an actor.
    pub(super) fn app_of(&self, actor: Actor) -> Option<u64> {
        match actor {
            Actor::Installation(bearer) => {
                self.installations.get(&bearer.installation).map(|found| found.app)
            }
            Actor::App(id) => Some(id),
            Actor::User(_) | Actor::Anonymous => None,
        }
    }

    /// Who it is, for the list of requests.
    pub(super) fn actor_name(&self, actor: Actor) -> Option<String> {
        match actor {
            Actor::Anonymous => None,
            Actor::User(id) => Some(self.login(id).to_owned()),
            Actor::App(id) => self.apps.get(&id).map(|app| app.slug.clone()),
            Actor::Installation(_) => {
                self.account_of(actor).ok().map(|bot| self.login(bot).to_owned())
            }
        }
    }

    /// Role word of an author towards a repository, as `author_association`.
    pub(super) fn association(&self, account: u64, repo: &Repo) -> &'static str {
        let organization = self
            .accounts
            .get(&repo.owner)
            .is_some_and(|owner| owner.kind == AccountKind::Organization);
        if repo.owner == account {
            "OWNER"
        } else if organization
            && self.accounts.get(&repo.owner).is_some_and(|owner| owner.owners.contains(&account))
        {
            "MEMBER"
        } else if repo.collaborators.contains_key(&account) {
            "COLLABORATOR"
        } else if repo.issues.values().any(|issue| {
            issue.author == account && issue.pull.as_ref().is_some_and(|pull| pull.merged.is_some())
        }) {
            "CONTRIBUTOR"
        } else {
            "NONE"
        }
    }
}
