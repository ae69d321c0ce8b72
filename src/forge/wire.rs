//! PURE · the parts of GitHub's answers that we read, and what they become. Everything else in them is passed over.

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::client::{Comment, Permission, RepositoryInfo};
use super::talk::LabelEvent;
use crate::domain::id::{PrNumber, RepoName, Revision};
use crate::domain::pull_request::{Author, Base, Head, PullRequest, State, TestMerge};

/// GitHub's account for authors that are gone.
const GHOST: (&str, u64) = ("ghost", 10137);

#[derive(Deserialize)]
pub(super) struct User {
    login: String,
    id: u64,
    #[serde(rename = "type", default)]
    kind: String,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct RepoRef {
    id: u64,
    name: String,
    owner: Owner,
}

#[derive(Deserialize)]
struct Owner {
    login: String,
}

#[derive(Deserialize)]
struct HeadRepo {
    id: u64,
}

#[derive(Deserialize)]
struct HeadSide {
    sha: String,
    #[serde(rename = "ref")]
    branch: String,
    repo: Option<HeadRepo>,
}

#[derive(Deserialize)]
struct BaseSide {
    sha: String,
    #[serde(rename = "ref")]
    branch: String,
    repo: RepoRef,
}

#[derive(Deserialize)]
pub(super) struct Pull {
    number: u64,
    state: String,
    #[serde(default)]
    merged: Option<bool>,
    #[serde(default)]
    merged_at: Option<String>,
    #[serde(default)]
    draft: Option<bool>,
    #[serde(default)]
    labels: Vec<Label>,
    user: Option<User>,
    head: HeadSide,
    base: BaseSide,
    #[serde(default)]
    mergeable: Option<bool>,
    #[serde(default)]
    merge_commit_sha: Option<String>,
    html_url: String,
}

#[derive(Deserialize)]
pub(super) struct IssueComment {
    id: u64,
    #[serde(default)]
    body: Option<String>,
    user: Option<User>,
    html_url: String,
    #[serde(default)]
    issue_url: String,
    #[serde(default)]
    created_at: Option<DateTime<Utc>>,
    #[serde(default)]
    updated_at: Option<DateTime<Utc>>,
    #[serde(default)]
    node_id: String,
}

#[derive(Deserialize)]
pub(super) struct Repository {
    id: u64,
    name: String,
    owner: Owner,
    private: bool,
    #[serde(default)]
    archived: bool,
    #[serde(default)]
    permissions: Option<Rights>,
    html_url: String,
    #[serde(default)]
    clone_url: Option<String>,
}

#[derive(Deserialize, Default)]
#[expect(clippy::struct_excessive_bools, reason = "GitHub's own shape")]
pub(super) struct Rights {
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    maintain: bool,
    #[serde(default)]
    push: bool,
    #[serde(default)]
    triage: bool,
    #[serde(default)]
    pull: bool,
}

#[derive(Deserialize)]
pub(super) struct Collaborator {
    user: Option<CollaboratorUser>,
}

#[derive(Deserialize)]
struct CollaboratorUser {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default)]
    permissions: Rights,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ErrorBody {
    message: String,
    errors: Vec<serde_json::Value>,
}

impl ErrorBody {
    /// The message with its details, on one line.
    pub(super) fn text(bytes: &[u8]) -> String {
        let body: Self = serde_json::from_slice(bytes).unwrap_or_default();
        let details = body.errors.iter().filter_map(|error| match error {
            serde_json::Value::String(text) => Some(text.clone()),
            serde_json::Value::Object(fields) => {
                let part = |name: &str| fields.get(name).and_then(|v| v.as_str());
                part("message")
                    .map(str::to_owned)
                    .or_else(|| Some(format!("{} {}", part("field")?, part("code")?)))
            }
            _ => None,
        });
        let mut text = body.message.clone();
        for detail in details.take(5) {
            text.push_str(if text.is_empty() { "" } else { "; " });
            text.push_str(&detail);
        }
        super::error::one_line(if text.is_empty() { "(no message)" } else { &text })
    }
}

impl From<User> for Author {
    fn from(user: User) -> Self {
        Self { bot: user.kind == "Bot", login: user.login, id: user.id }
    }
}

fn author(user: Option<User>) -> Author {
    user.map_or_else(|| Author { login: GHOST.0.to_owned(), id: GHOST.1, bot: false }, Author::from)
}

impl Rights {
    fn highest(&self) -> Permission {
        [
            (self.admin, Permission::Admin),
            (self.maintain, Permission::Maintain),
            (self.push, Permission::Write),
            (self.triage, Permission::Triage),
            (self.pull, Permission::Read),
        ]
        .into_iter()
        .find_map(|(has, permission)| has.then_some(permission))
        .unwrap_or(Permission::None)
    }
}

impl Collaborator {
    /// What the account with that id may do. The login may be somebody else's by now: he may nothing.
    pub(super) fn of(self, id: u64) -> Permission {
        match &self.user {
            Some(user) if user.id == Some(id) => self.into(),
            _ => Permission::None,
        }
    }
}

/// A membership of a team.
#[derive(Deserialize)]
pub(super) struct Membership {
    pub(super) state: String,
}

/// A reaction.
#[derive(Deserialize)]
pub(super) struct Reaction {
    pub(super) id: u64,
}

/// Something that happened to an issue or pull request.
#[derive(Deserialize)]
pub(super) struct IssueEvent {
    id: Option<u64>,
    event: Option<String>,
    actor: Option<User>,
    created_at: Option<DateTime<Utc>>,
    label: Option<Label>,
}

impl IssueEvent {
    /// What it says of a label; `None` when it is about something else.
    pub(super) fn of_label(self) -> Option<LabelEvent> {
        let added = match self.event?.as_str() {
            "labeled" => true,
            "unlabeled" => false,
            _ => return None,
        };
        Some(LabelEvent {
            id: self.id?,
            added,
            label: self.label?.name,
            by: author(self.actor),
            at: self.created_at?,
        })
    }
}

/// The answer of GraphQL.
#[derive(Deserialize)]
pub(super) struct GraphQl {
    #[serde(default)]
    pub(super) errors: Vec<GraphQlError>,
}

/// What GraphQL did not do.
#[derive(Deserialize)]
pub(super) struct GraphQlError {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
}

impl From<Collaborator> for Permission {
    fn from(collaborator: Collaborator) -> Self {
        collaborator.user.map_or(Self::None, |user| user.permissions.highest())
    }
}

impl TryFrom<Pull> for PullRequest {
    type Error = String;

    fn try_from(pull: Pull) -> Result<Self, String> {
        let repo = pull.base.repo;
        let state = match pull.state.as_str() {
            "open" => State::Open,
            "closed" => State::Closed,
            // Anything else proves nothing, least of all that the pull request is closed.
            other => return Err(format!("state {:?}", super::error::one_line(other))),
        };
        let merge = test_merge(state, pull.mergeable, pull.merge_commit_sha.as_deref())?;
        let mut labels: Vec<String> = pull.labels.into_iter().map(|label| label.name).collect();
        labels.sort();
        Ok(Self {
            number: PrNumber(pull.number),
            state,
            merged: pull.merged.unwrap_or(pull.merged_at.is_some()),
            draft: pull.draft.unwrap_or(false),
            labels,
            author: author(pull.user),
            head: Head {
                revision: Revision::parse(&pull.head.sha).map_err(|e| e.to_string())?,
                branch: pull.head.branch,
                repository_id: pull.head.repo.map(|repo| repo.id),
            },
            base: Base {
                revision: Revision::parse(&pull.base.sha).map_err(|e| e.to_string())?,
                branch: pull.base.branch,
                repository_id: repo.id,
                repository: RepoName::parse(&repo.owner.login, &repo.name)
                    .map_err(|e| e.to_string())?,
            },
            merge,
            html_url: pull.html_url,
        })
    }
}

/// `merge_commit_sha` alone means nothing: it is the last one that could be made while `mergeable` is false or null, and
/// another commit when the pull request is closed.
fn test_merge(
    state: State,
    mergeable: Option<bool>,
    commit: Option<&str>,
) -> Result<TestMerge, String> {
    match (state, mergeable, commit) {
        (State::Open, Some(false), _) => Ok(TestMerge::Conflict),
        (State::Open, Some(true), Some(commit)) => {
            Revision::parse(commit).map(TestMerge::Clean).map_err(|e| e.to_string())
        }
        _ => Ok(TestMerge::Unknown),
    }
}

/// A reference of the repository.
#[derive(Deserialize)]
pub(super) struct GitRef {
    object: GitObject,
}

#[derive(Deserialize)]
struct GitObject {
    sha: String,
}

impl TryFrom<GitRef> for Revision {
    type Error = String;

    fn try_from(found: GitRef) -> Result<Self, String> {
        Self::parse(&found.object.sha).map_err(|e| e.to_string())
    }
}

impl From<IssueComment> for Comment {
    fn from(comment: IssueComment) -> Self {
        Self {
            id: comment.id,
            body: comment.body.unwrap_or_default(),
            author: author(comment.user),
            html_url: comment.html_url,
            on: comment
                .issue_url
                .rsplit('/')
                .next()
                .and_then(|number| number.parse().ok())
                .map(PrNumber),
            created_at: comment.created_at,
            updated_at: comment.updated_at,
            node: comment.node_id,
        }
    }
}

impl TryFrom<Repository> for RepositoryInfo {
    type Error = String;

    fn try_from(repository: Repository) -> Result<Self, String> {
        Ok(Self {
            id: repository.id,
            name: RepoName::parse(&repository.owner.login, &repository.name)
                .map_err(|e| e.to_string())?,
            private: repository.private,
            archived: repository.archived,
            permission: repository.permissions.map(|rights| rights.highest()),
            html_url: repository.html_url,
            clone_url: repository.clone_url,
        })
    }
}

/// One file of a pull request.
#[derive(Deserialize)]
pub(super) struct ChangedFile {
    pub(super) filename: String,
    #[serde(default)]
    pub(super) previous_filename: Option<String>,
}
