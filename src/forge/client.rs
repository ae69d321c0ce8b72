//! I/O · what we ask of a forge about one repository, and what we tell it.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use http::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::json;

use super::api::Api;
use super::call::{Call, Reply};
use super::error::ForgeError;
use super::wire;
use crate::domain::id::{PrNumber, RepoName, Revision};
use crate::domain::pull_request::{Author, PullRequest};
use crate::domain::rate::{May, WriteKind};

/// GitHub's most.
pub(super) const PER_PAGE: usize = 100;
/// 10,000 open pull requests, or comments on one: nobody reads more, and neither do we.
const MOST_PAGES: usize = 100;

/// A repository at the forge, as it says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryInfo {
    /// Numeric id; survives renames and transfers.
    pub id: u64,
    /// Owner and name as they are now.
    pub name: RepoName,
    /// Not readable without a token.
    pub private: bool,
    /// Nothing can be written there.
    pub archived: bool,
    /// What our token may do; `None` when the forge does not say.
    pub permission: Option<Permission>,
    /// The page for people.
    pub html_url: String,
    /// Where git fetches from, as the forge says.
    pub clone_url: Option<String>,
}

/// What somebody may do in a repository, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing.
    None,
    /// Read.
    Read,
    /// Sort issues.
    Triage,
    /// Push.
    Write,
    /// Manage without the dangerous parts.
    Maintain,
    /// Everything.
    Admin,
}

/// A comment on a pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Numeric id; a lower one is older.
    pub id: u64,
    /// Markdown.
    pub body: String,
    /// Who wrote it.
    pub author: Author,
    /// The page for people.
    pub html_url: String,
    /// The pull request it is on, when the forge says.
    pub on: Option<PrNumber>,
    /// When it was written.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub updated_at: Option<DateTime<Utc>>,
    /// Its id for GraphQL.
    pub node: String,
}

/// GitHub lists no more files of a pull request …
const MOST_FILES: usize = 3000;
/// … which are so many pages.
const MOST_PAGES_OF_FILES: usize = 30;

/// One repository at one API with one login.
#[derive(Clone, Debug)]
pub struct Forge {
    pub(super) api: Api,
    repository: RepoName,
}

impl Forge {
    pub(super) fn new(api: Api, repository: RepoName) -> Self {
        Self { api, repository }
    }

    /// Owner and name that are asked for.
    #[must_use]
    pub fn name(&self) -> &RepoName {
        &self.repository
    }

    /// The same API and login for another repository, or for its new name.
    #[must_use]
    pub fn named(&self, repository: RepoName) -> Self {
        Self { api: self.api.clone(), repository }
    }

    /// What the login may do has changed at the forge: an App's next call asks for a new token.
    pub fn login_changed(&self) {
        self.api.outdated();
    }

    /// Whether a write of that kind may go out now. Nothing is sent.
    #[must_use]
    pub fn may(&self, kind: WriteKind) -> May {
        self.api.may(kind)
    }

    /// Whether what one of them uses of the rate is missing to the other: the same token, or the same installation.
    #[must_use]
    pub fn shares_rate_with(&self, other: &Self) -> bool {
        self.api.shares_rate_with(&other.api)
    }

    pub(super) fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{}{rest}", self.repository.owner(), self.repository.name())
    }

    /// The repository under its name.
    pub async fn repository(&self) -> Result<RepositoryInfo, ForgeError> {
        self.repository_at(&self.path("")).await
    }

    /// A repository by its id, whatever its name is now.
    pub async fn repository_by_id(&self, id: u64) -> Result<RepositoryInfo, ForgeError> {
        self.repository_at(&format!("/repositories/{id}")).await
    }

    async fn repository_at(&self, path: &str) -> Result<RepositoryInfo, ForgeError> {
        let kept = self.api.repository().get(path);
        let tag = kept.as_ref().map(|kept| kept.tag.clone());
        let reply = self.api.send(Call { tag, ..Call::get(path) }).await?;
        if reply.status == StatusCode::NOT_MODIFIED {
            return kept.map(|kept| kept.value).ok_or_else(|| reply.unexpected("304 unasked"));
        }
        let repository: wire::Repository = reply.json()?;
        let repository: RepositoryInfo =
            repository.try_into().map_err(|reason: String| reply.unexpected(&reason))?;
        self.api.repository().put(path, reply.tag(), &repository);
        Ok(repository)
    }

    /// One pull request. A reading that has not changed costs nothing of the rate.
    pub async fn pull_request(&self, number: PrNumber) -> Result<PullRequest, ForgeError> {
        let path = self.path(&format!("/pulls/{number}"));
        let kept = self.api.pull().get(&path);
        let tag = kept.as_ref().map(|kept| kept.tag.clone());
        let reply = self.api.send(Call { tag, ..Call::get(&path) }).await?;
        if reply.status == StatusCode::NOT_MODIFIED {
            return kept.map(|kept| kept.value).ok_or_else(|| reply.unexpected("304 unasked"));
        }
        let pull: wire::Pull = reply.json()?;
        let pull = PullRequest::try_from(pull).map_err(|reason| reply.unexpected(&reason))?;
        if pull.number != number {
            return Err(reply.unexpected("it is another pull request"));
        }
        self.api.pull().put(&path, reply.tag(), &pull);
        Ok(pull)
    }

    /// Paths of all files that a pull request changes, the old ones of renamed files too. `None`: there are more than the
    /// forge tells.
    pub async fn changed_paths(&self, number: PrNumber) -> Result<Option<Vec<String>>, ForgeError> {
        let mut path = self.path(&format!("/pulls/{number}/files?per_page={PER_PAGE}"));
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES_OF_FILES {
            let reply = self.api.send(Call::get(&path)).await?;
            let page: Vec<wire::ChangedFile> = reply.json()?;
            for wire::ChangedFile { filename, previous_filename } in page {
                all.push(filename);
                all.extend(previous_filename);
            }
            match reply.next() {
                Some(next) => path = next,
                None => return Ok((all.len() < MOST_FILES).then_some(all)),
            }
        }
        Ok(None)
    }

    /// All open pull requests, oldest first. One that can't be read is passed over and logged.
    pub async fn open_pull_requests(&self) -> Result<Vec<PullRequest>, ForgeError> {
        let mut path =
            self.path(&format!("/pulls?state=open&sort=created&direction=asc&per_page={PER_PAGE}"));
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let (page, next) = self.pulls_page(&path).await?;
            all.extend(page);
            match next {
                Some(next) => path = next,
                None => return Ok(all),
            }
        }
        Err(too_many("open pull requests", &self.path("/pulls")))
    }

    async fn pulls_page(
        &self,
        path: &str,
    ) -> Result<(Vec<PullRequest>, Option<String>), ForgeError> {
        let kept = self.api.pulls().get(path).zip(self.api.links().get(path));
        // Both halves must be of one answer.
        let kept = kept.filter(|(page, link)| page.tag == link.tag);
        let tag = kept.as_ref().map(|(page, _)| page.tag.clone());
        let reply = self.api.send(Call { tag, ..Call::get(path) }).await?;
        if reply.status == StatusCode::NOT_MODIFIED {
            return kept
                .map(|(page, link)| (page.value, link.value))
                .ok_or_else(|| reply.unexpected("304 unasked"));
        }
        let values: Vec<serde_json::Value> = reply.json()?;
        let mut page = Vec::with_capacity(values.len());
        for value in values {
            let number = value.get("number").and_then(serde_json::Value::as_u64);
            let read = serde_json::from_value::<wire::Pull>(value)
                .map_err(|error| error.to_string())
                .and_then(PullRequest::try_from);
            match read {
                Ok(pull) => page.push(pull),
                Err(reason) => tracing::warn!(
                    repository = %self.repository, number, reason = super::error::one_line(&reason),
                    "passed over a pull request that can't be read"
                ),
            }
        }
        let next = reply.next();
        self.api.pulls().put(path, reply.tag(), &page);
        self.api.links().put(path, reply.tag(), &next);
        Ok((page, next))
    }

    /// The commit of a branch; `None` when there is no such branch. An answer that has not changed costs nothing of the
    /// rate.
    pub async fn branch(&self, name: &str) -> Result<Option<Revision>, ForgeError> {
        let parts: Vec<String> = name.split('/').map(path_part).collect();
        let path = self.path(&format!("/git/ref/heads/{}", parts.join("/")));
        let kept = self.api.tips().get(&path);
        let tag = kept.as_ref().map(|kept| kept.tag.clone());
        let reply = match self.api.send(Call { tag, ..Call::get(&path) }).await {
            Ok(reply) => reply,
            Err(ForgeError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if reply.status == StatusCode::NOT_MODIFIED {
            return kept
                .map(|kept| Some(kept.value))
                .ok_or_else(|| reply.unexpected("304 unasked"));
        }
        let found: wire::GitRef = reply.json()?;
        let tip = Revision::try_from(found).map_err(|reason| reply.unexpected(&reason))?;
        self.api.tips().put(&path, reply.tag(), &tip);
        Ok(Some(tip))
    }

    /// All comments on a pull request, oldest first.
    pub async fn comments(&self, number: PrNumber) -> Result<Vec<Comment>, ForgeError> {
        let mut path = self.path(&format!("/issues/{number}/comments?per_page={PER_PAGE}"));
        let mut all: Vec<Comment> = Vec::new();
        for _ in 0..MOST_PAGES {
            let reply = self.api.send(Call::get(&path)).await?;
            let page: Vec<wire::IssueComment> = reply.json()?;
            all.extend(page.into_iter().map(Comment::from));
            let Some(next) = reply.next() else {
                // A comment that went away between two pages moves others; each counts once.
                all.sort_by_key(|comment| comment.id);
                all.dedup_by_key(|comment| comment.id);
                return Ok(all);
            };
            path = next;
        }
        Err(too_many("comments", &self.path(&format!("/issues/{number}/comments"))))
    }

    /// All comments of the repository that were written or changed since then, newest first, on whichever issue or pull
    /// request. `false`: there are more than anybody reads, and the oldest are missing.
    pub async fn comments_since(
        &self,
        since: DateTime<Utc>,
    ) -> Result<(Vec<Comment>, bool), ForgeError> {
        let since = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut path = self.path(&format!(
            "/issues/comments?sort=updated&direction=desc&since={since}&per_page={PER_PAGE}"
        ));
        let mut all: Vec<Comment> = Vec::new();
        for _ in 0..MOST_PAGES {
            let reply = self.api.send(Call::get(&path)).await?;
            let page: Vec<wire::IssueComment> = reply.json()?;
            all.extend(page.into_iter().map(Comment::from));
            let Some(next) = reply.next() else {
                all.sort_by_key(|comment| std::cmp::Reverse(comment.id));
                all.dedup_by_key(|comment| comment.id);
                return Ok((all, true));
            };
            path = next;
        }
        Ok((all, false))
    }

    /// One comment.
    pub async fn comment(&self, id: u64) -> Result<Comment, ForgeError> {
        comment(&self.api.send(Call::get(&self.comment_path(id))).await?)
    }

    /// Writes a new comment.
    pub async fn create_comment(
        &self,
        number: PrNumber,
        body: &str,
    ) -> Result<Comment, ForgeError> {
        let path = self.path(&format!("/issues/{number}/comments"));
        comment(&self.write(Method::POST, &path, Some(json!({"body": body}))).await?)
    }

    /// Replaces the text of a comment.
    pub async fn update_comment(&self, id: u64, body: &str) -> Result<Comment, ForgeError> {
        let path = self.comment_path(id);
        comment(&self.write(Method::PATCH, &path, Some(json!({"body": body}))).await?)
    }

    /// Removes a comment; one that is not there is success.
    pub async fn delete_comment(&self, id: u64) -> Result<(), ForgeError> {
        match self.write(Method::DELETE, &self.comment_path(id), None).await {
            Ok(_) | Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn comment_path(&self, id: u64) -> String {
        self.path(&format!("/issues/comments/{id}"))
    }

    pub(super) async fn write(
        &self,
        method: Method,
        path: &str,
        body: Option<serde_json::Value>,
    ) -> Result<Reply, ForgeError> {
        self.api.send(Call { method, path, body, tag: None }).await
    }

    /// Whose token this is: for an App its bot, as which it writes. Asked once.
    pub async fn viewer(&self) -> Result<Author, ForgeError> {
        let viewer = self.api.viewer_cell().get_or_try_init(async || {
            // An installation may not ask who it is.
            let path = match self.api.app_slug().await? {
                None => "/user".to_owned(),
                Some(slug) => format!("/users/{}", path_part(&format!("{slug}[bot]"))),
            };
            let reply = self.api.send(Call::get(&path)).await?;
            Ok::<_, ForgeError>(Author::from(reply.json::<wire::User>()?))
        });
        viewer.await.cloned()
    }

    /// What the App's installation lets its token do, as GitHub names it (`checks` → `write`); `None` with a token of a
    /// person, which says nothing of the kind.
    pub async fn app_permissions(&self) -> Result<Option<BTreeMap<String, String>>, ForgeError> {
        self.api.app_permissions().await
    }

    /// The login is an App's: it has rights that no token has, and lacks others.
    #[must_use]
    pub fn is_app(&self) -> bool {
        self.api.is_app()
    }

    /// Whether the rate gets short: what nobody would miss is better left out.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.may(WriteKind::DeploymentStatus) == May::LeaveOut
    }

    /// What git sends as password of `x-access-token`. An App's is good for some minutes at least.
    pub async fn fetch_token(&self) -> Result<SecretString, ForgeError> {
        self.api.fetch_token().await
    }

    /// Another one, when git's server did not take `refused`; `None` when there is no other to be had.
    pub async fn fetch_token_instead_of(
        &self,
        refused: &SecretString,
    ) -> Result<Option<SecretString>, ForgeError> {
        self.api.fetch_token_instead_of(refused).await
    }

    /// What `login` may do here: the highest right that is true, at this moment.
    pub async fn permission(&self, login: &str) -> Result<Permission, ForgeError> {
        let path = self.path(&format!("/collaborators/{}/permission", path_part(login)));
        let reply = self.api.send(Call::get(&path)).await?;
        Ok(reply.json::<wire::Collaborator>()?.into())
    }
}

fn comment(reply: &Reply) -> Result<Comment, ForgeError> {
    Ok(reply.json::<wire::IssueComment>()?.into())
}

pub(super) fn too_many(what: &str, path: &str) -> ForgeError {
    ForgeError::TooLarge {
        call: format!("GET {path}"),
        limit: format!("{} {what}", MOST_PAGES * PER_PAGE),
    }
}

/// `text` as one part of a path or value of a query: what could end or leave it is percent-encoded.
pub(super) fn path_part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            part.push(char::from(byte));
        } else {
            part.push('%');
            part.push_str(&hex::encode_upper([byte]));
        }
    }
    part
}
