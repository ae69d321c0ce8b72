//! PURE · what the sandbox GitHub remembers: accounts, repositories, pull requests, comments, checks, deployments,
//! hooks. Everything is found by number or name in a `BTreeMap`, so that every listing has one order.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::git::Git;

/// Time as GitHub keeps it.
pub(super) type Time = DateTime<Utc>;

/// What an account may do in a repository; a higher one includes the lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See and comment.
    Read,
    /// Label and close.
    Triage,
    /// Push.
    Write,
    /// Settings without danger.
    Maintain,
    /// All.
    Admin,
}

impl Role {
    /// GitHub's `role_name`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Triage => "triage",
            Self::Write => "write",
            Self::Maintain => "maintain",
            Self::Admin => "admin",
        }
    }

    /// GitHub's older `permission`, which knows no triage and no maintain.
    pub(super) fn legacy(self) -> &'static str {
        match self {
            Self::Read | Self::Triage => "read",
            Self::Write | Self::Maintain => "write",
            Self::Admin => "admin",
        }
    }
}

/// Kind of account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccountKind {
    User,
    Organization,
    Bot,
}

impl AccountKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Organization => "Organization",
            Self::Bot => "Bot",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) login: String,
    pub(super) kind: AccountKind,
    /// Owners of an organisation: admins of all its repositories.
    pub(super) owners: BTreeSet<u64>,
    /// Teams of an organisation: who is in each, by its slug.
    pub(super) teams: BTreeMap<String, BTreeSet<u64>>,
    pub(super) created_at: Time,
}

/// Who makes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Actor {
    Anonymous,
    User(u64),
    /// An App by its JWT: only `/app…`.
    App(u64),
    /// An App at one account, by an installation token.
    Installation(Bearer),
}

/// An installation token: of whom, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bearer {
    pub(super) installation: u64,
    /// Key of what it was given.
    pub(super) grant: u64,
}

/// What an installation token was given when it was made.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// `None`: all that the installation covers, whatever that is at the time.
    pub(super) repositories: Option<BTreeSet<u64>>,
    /// Name to `read` or `write`.
    pub(super) permissions: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) actor: Actor,
    pub(super) expires_at: Option<Time>,
    /// The App that a person signed in to, when it is a token for that.
    pub(super) via: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) id: u64,
    pub(super) slug: String,
    pub(super) owner: u64,
    pub(super) bot: u64,
    /// RSA keys, as PKCS#1 has them (DER): with a JWT that one of their private halves signed it logs in as itself.
    pub(super) public_keys: Vec<Vec<u8>>,
    /// What it asks for when it is installed. Name to `read` or `write`.
    pub(super) permissions: BTreeMap<String, String>,
    /// Where people are led back to when they have signed in to it.
    pub(super) callbacks: Vec<String>,
    pub(super) created_at: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Installation {
    pub(super) id: u64,
    pub(super) app: u64,
    pub(super) account: u64,
    /// `None`: all repositories of the account.
    pub(super) repositories: Option<BTreeSet<u64>>,
    /// What the account's owner has accepted.
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) suspended_at: Option<Time>,
    pub(super) created_at: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Repo {
    pub(super) id: u64,
    pub(super) owner: u64,
    pub(super) name: String,
    pub(super) private: bool,
    pub(super) fork_of: Option<u64>,
    pub(super) default_branch: String,
    pub(super) git: Git,
    pub(super) created_at: Time,
    pub(super) updated_at: Time,
    pub(super) pushed_at: Time,
    pub(super) next_number: u64,
    pub(super) issues: BTreeMap<u64, Issue>,
    pub(super) comments: BTreeMap<u64, Comment>,
    pub(super) labels: BTreeMap<String, Label>,
    pub(super) collaborators: BTreeMap<u64, Role>,
    pub(super) check_runs: BTreeMap<u64, CheckRun>,
    pub(super) statuses: Vec<Status>,
    pub(super) deployments: BTreeMap<u64, Deployment>,
    pub(super) environments: BTreeMap<String, Environment>,
}

/// An issue, or a pull request when `pull` is there: GitHub numbers both alike.
#[derive(Clone, Debug)]
pub(super) struct Issue {
    pub(super) id: u64,
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) body: Option<String>,
    pub(super) open: bool,
    pub(super) author: u64,
    pub(super) labels: BTreeSet<String>,
    pub(super) created_at: Time,
    pub(super) updated_at: Time,
    pub(super) closed_at: Option<Time>,
    pub(super) closed_by: Option<u64>,
    pub(super) pull: Option<Pull>,
    /// Labels that came and went, oldest first.
    pub(super) events: Vec<LabelEvent>,
}

/// A label that was put on or taken off.
#[derive(Clone, Debug)]
pub(super) struct LabelEvent {
    pub(super) id: u64,
    pub(super) added: bool,
    pub(super) label: String,
    pub(super) color: String,
    pub(super) by: u64,
    pub(super) at: Time,
    pub(super) app: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) struct Pull {
    pub(super) id: u64,
    pub(super) draft: bool,
    /// `None` once that repository was deleted.
    pub(super) head_repo: Option<u64>,
    /// Owner of the head repository; stays when the repository goes.
    pub(super) head_owner: u64,
    pub(super) head_branch: String,
    pub(super) head_sha: String,
    pub(super) base_branch: String,
    pub(super) base_sha: String,
    pub(super) merged: Option<Merged>,
    pub(super) test_merge: TestMerge,
}

/// What came of merging head and base for a try.
#[derive(Clone, Debug, Default)]
pub(super) struct TestMerge {
    /// The last merge commit that could be made; as at GitHub, a conflict leaves it where it is.
    pub(super) commit: Option<String>,
    /// The one before it: shown while the new one is not known yet.
    pub(super) before: Option<String>,
    /// Head and base do not contradict each other.
    pub(super) clean: bool,
    /// Until then nobody is told.
    pub(super) known_at: Option<Time>,
}

impl TestMerge {
    /// GitHub's `mergeable` and `merge_commit_sha` of an open pull request.
    pub(super) fn shown(&self, now: Time) -> (Option<bool>, Option<&str>) {
        match self.known_at {
            Some(at) if now < at => (None, self.before.as_deref()),
            _ => (Some(self.clean), self.commit.as_deref()),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Merged {
    pub(super) at: Time,
    pub(super) by: u64,
    pub(super) commit: String,
}

#[derive(Clone, Debug)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) issue: u64,
    pub(super) author: u64,
    pub(super) body: String,
    pub(super) created_at: Time,
    pub(super) updated_at: Time,
    /// App that wrote it, when one did.
    pub(super) app: Option<u64>,
    pub(super) reactions: BTreeMap<u64, Reaction>,
    /// Folded up, for that reason.
    pub(super) minimized: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Reaction {
    pub(super) id: u64,
    pub(super) user: u64,
    pub(super) content: String,
    pub(super) created_at: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Label {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) color: String,
    pub(super) description: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct CheckRun {
    pub(super) id: u64,
    pub(super) suite: u64,
    pub(super) app: u64,
    pub(super) name: String,
    pub(super) head_sha: String,
    pub(super) external_id: String,
    pub(super) details_url: Option<String>,
    pub(super) status: String,
    pub(super) conclusion: Option<String>,
    pub(super) started_at: Option<Time>,
    pub(super) completed_at: Option<Time>,
    pub(super) title: Option<String>,
    pub(super) summary: Option<String>,
    pub(super) text: Option<String>,
    pub(super) actions: Vec<CheckAction>,
    /// They are only ever added.
    pub(super) annotations: Vec<CheckAnnotation>,
}

/// A remark at lines of a file, as a client sends it.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct CheckAnnotation {
    pub(super) path: String,
    pub(super) start_line: u64,
    pub(super) end_line: u64,
    #[serde(default)]
    pub(super) start_column: Option<u64>,
    #[serde(default)]
    pub(super) end_column: Option<u64>,
    pub(super) annotation_level: String,
    pub(super) message: String,
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) raw_details: Option<String>,
}

#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
pub(super) struct CheckAction {
    pub(super) label: String,
    pub(super) description: String,
    pub(super) identifier: String,
}

#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) id: u64,
    pub(super) sha: String,
    pub(super) state: String,
    pub(super) context: String,
    pub(super) description: Option<String>,
    pub(super) target_url: Option<String>,
    pub(super) creator: u64,
    pub(super) created_at: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub(super) id: u64,
    pub(super) sha: String,
    pub(super) reference: String,
    pub(super) task: String,
    pub(super) payload: serde_json::Value,
    pub(super) environment: String,
    pub(super) original_environment: String,
    pub(super) description: Option<String>,
    pub(super) creator: u64,
    pub(super) app: Option<u64>,
    pub(super) transient: bool,
    pub(super) production: bool,
    pub(super) created_at: Time,
    pub(super) updated_at: Time,
    pub(super) statuses: Vec<DeploymentStatus>,
}

impl Deployment {
    /// The newest state; `pending` before the first status.
    pub(super) fn state(&self) -> &str {
        self.statuses.last().map_or("pending", |status| &status.state)
    }
}

#[derive(Clone, Debug)]
pub(super) struct DeploymentStatus {
    pub(super) id: u64,
    pub(super) state: String,
    pub(super) description: String,
    pub(super) environment: String,
    pub(super) environment_url: String,
    pub(super) log_url: String,
    pub(super) creator: u64,
    pub(super) created_at: Time,
}

#[derive(Clone, Debug)]
pub(super) struct Environment {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) created_at: Time,
    pub(super) updated_at: Time,
}
