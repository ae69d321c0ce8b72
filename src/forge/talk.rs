//! I/O · what goes on between people and us on a pull request: reactions, labels, who is in which team, and comments that
//! are folded up.

use chrono::{DateTime, SecondsFormat, Utc};
use http::{Method, StatusCode};
use serde_json::json;

use super::call::Call;
use super::client::{Comment, Forge, PER_PAGE, Permission, path_part, too_many};
use super::error::{ForgeError, one_line};
use super::wire;
use crate::domain::id::PrNumber;
use crate::domain::pull_request::Author;

/// Pages of a pull request's history that are read: 1,000 events.
const MOST_PAGES: usize = 10;
/// Pages of comments that are read at once.
const MOST_COMMENT_PAGES: usize = 20;
const MINIMIZE: &str = "mutation($id: ID!) { minimizeComment(input: {subjectId: $id, classifier: OUTDATED}) { minimizedComment { isMinimized } } }";

/// A label that was put on or taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelEvent {
    /// Numeric id.
    pub id: u64,
    /// Put on.
    pub added: bool,
    /// Its name.
    pub label: String,
    /// Who did it.
    pub by: Author,
    /// When.
    pub at: DateTime<Utc>,
}

/// A reaction that we leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Seen.
    Eyes,
    /// Done.
    Rocket,
    /// Not done.
    Confused,
}

impl Reaction {
    fn name(self) -> &'static str {
        match self {
            Self::Eyes => "eyes",
            Self::Rocket => "rocket",
            Self::Confused => "confused",
        }
    }
}

impl Forge {
    /// Leaves a reaction at a comment; gives its id. Doing it twice leaves one. One that somebody waits for goes before
    /// other writes.
    pub async fn react(&self, comment: u64, reaction: Reaction) -> Result<u64, ForgeError> {
        let path = self.path(&format!("/issues/comments/{comment}/reactions"));
        let body = Some(json!({"content": reaction.name()}));
        let call = Call { method: Method::POST, path: &path, body, tag: None };
        let reply = match reaction {
            Reaction::Eyes => self.api.send_promptly(call).await?,
            Reaction::Rocket | Reaction::Confused => self.api.send(call).await?,
        };
        Ok(reply.json::<wire::Reaction>()?.id)
    }

    /// What the account `login` with the number `id` may do here, at this moment. Who has that login and another number
    /// may nothing, as may somebody whom the forge does not know.
    pub async fn permission_of(&self, login: &str, id: u64) -> Result<Permission, ForgeError> {
        let path = self.path(&format!("/collaborators/{}/permission", path_part(login)));
        match self.api.send(Call::get(&path)).await {
            Ok(reply) => Ok(reply.json::<wire::Collaborator>()?.of(id)),
            Err(ForgeError::NotFound { .. }) => Ok(Permission::None),
            Err(error) => Err(error),
        }
    }

    /// Whether `login` is in a team of the repository's organisation, at this moment.
    pub async fn is_member(&self, team: &str, login: &str) -> Result<bool, ForgeError> {
        let (org, team, login) =
            (path_part(self.name().owner()), path_part(team), path_part(login));
        let path = format!("/orgs/{org}/teams/{team}/memberships/{login}");
        match self.api.send(Call::get(&path)).await {
            Ok(reply) => Ok(reply.json::<wire::Membership>()?.state == "active"),
            Err(ForgeError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Labels that were put on a pull request or taken off it, oldest first.
    pub async fn label_events(&self, number: PrNumber) -> Result<Vec<LabelEvent>, ForgeError> {
        let mut path = self.path(&format!("/issues/{number}/timeline?per_page={PER_PAGE}"));
        let mut all: Vec<LabelEvent> = Vec::new();
        for _ in 0..MOST_PAGES {
            let reply = self.api.send(Call::get(&path)).await?;
            let page: Vec<serde_json::Value> = reply.json()?;
            // Each kind of event has a form of its own: those that are read otherwise are about something else.
            let read = page.into_iter().filter_map(|one| serde_json::from_value(one).ok());
            all.extend(read.filter_map(wire::IssueEvent::of_label));
            let Some(next) = reply.next() else {
                all.sort_by_key(|event| event.id);
                all.dedup_by_key(|event| event.id);
                return Ok(all);
            };
            path = next;
        }
        Err(too_many("events", &self.path(&format!("/issues/{number}/timeline"))))
    }

    /// Comments of the repository that were written since then, oldest first, on whichever issue or pull request. While
    /// there is none, asking for the same time again costs nothing of the rate.
    pub async fn comments_written_since(
        &self,
        since: DateTime<Utc>,
    ) -> Result<Vec<Comment>, ForgeError> {
        let text = since.to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut path = self.path(&format!(
            "/issues/comments?sort=created&direction=asc&since={text}&per_page={PER_PAGE}"
        ));
        let mut all: Vec<Comment> = Vec::new();
        for page in 0..MOST_COMMENT_PAGES {
            let kept = self.api.comments().get(&path).filter(|_| page == 0);
            let tag = kept.as_ref().map(|kept| kept.tag.clone());
            let reply = self.api.send(Call { tag, ..Call::get(&path) }).await?;
            if reply.status == StatusCode::NOT_MODIFIED {
                return kept.map(|kept| kept.value).ok_or_else(|| reply.unexpected("304 unasked"));
            }
            let found: Vec<wire::IssueComment> = reply.json()?;
            all.extend(found.into_iter().map(Comment::from));
            let Some(next) = reply.next() else {
                // `since` asks for what was changed since: an old comment that was edited is none of these.
                all.retain(|comment| comment.created_at.is_some_and(|at| at >= since));
                all.sort_by_key(|comment| comment.id);
                all.dedup_by_key(|comment| comment.id);
                if page == 0 {
                    self.api.comments().put(&path, reply.tag(), &all);
                }
                return Ok(all);
            };
            path = next;
        }
        // The newest are read the next time: those that were taken move the beginning.
        all.retain(|comment| comment.created_at.is_some_and(|at| at >= since));
        all.sort_by_key(|comment| comment.id);
        all.dedup_by_key(|comment| comment.id);
        Ok(all)
    }

    /// Folds a comment of ours up as outdated. To be called with ids of our own comments only.
    pub async fn minimize(&self, node: &str) -> Result<(), ForgeError> {
        let path = self.api.graphql();
        let body = Some(json!({"query": MINIMIZE, "variables": {"id": node}}));
        let reply = self.write(Method::POST, &path, body).await?;
        let answer: wire::GraphQl = reply.json()?;
        match answer.errors.into_iter().next() {
            None => Ok(()),
            Some(error) if error.kind == "NOT_FOUND" => Ok(()),
            Some(error) => {
                Err(ForgeError::Forbidden { call: reply.call, message: one_line(&error.message) })
            }
        }
    }
}
