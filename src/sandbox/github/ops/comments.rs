//! Comments on issues and pull requests, and reactions to them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::sandbox::github::model::{Comment, Reaction};
use crate::sandbox::github::refusal::Refusal;
use crate::sandbox::github::state::State;

/// Longest comment GitHub takes, in characters.
const LONGEST: usize = 65_536;
/// Reactions that GitHub knows.
const REACTIONS: &[&str] = &["+1", "-1", "laugh", "confused", "heart", "hooray", "rocket", "eyes"];

/// Refuses what GitHub would not take as the text of a comment.
fn check(body: &str) -> Result<(), Refusal> {
    if body.trim().is_empty() {
        let words = Some("body can't be blank");
        return Err(Refusal::invalid("IssueComment", "body", "unprocessable", words));
    }
    if body.chars().count() > LONGEST {
        let words = Some("body is too long (maximum is 65536 characters)");
        return Err(Refusal::invalid("IssueComment", "body", "unprocessable", words));
    }
    Ok(())
}

impl State {
    pub(in crate::sandbox::github) fn add_comment(
        &mut self,
        repo: u64,
        issue: u64,
        body: &str,
        by: u64,
        app: Option<u64>,
    ) -> Result<u64, Refusal> {
        check(body)?;
        self.issue(repo, issue)?;
        let (id, now) = (self.id(), self.now());
        let comment = Comment {
            id,
            issue,
            author: by,
            body: body.to_owned(),
            created_at: now,
            updated_at: now,
            app,
            reactions: BTreeMap::new(),
            minimized: None,
        };
        self.repo_mut(repo)?.comments.insert(id, comment);
        self.issue_mut(repo, issue)?.updated_at = now;
        self.comment_event(repo, id, "created", by, Value::Null)?;
        Ok(id)
    }

    pub(in crate::sandbox::github) fn comment(
        &self,
        repo: u64,
        id: u64,
    ) -> Result<&Comment, Refusal> {
        self.repo(repo)?.comments.get(&id).ok_or_else(Refusal::not_found)
    }

    fn comment_event(
        &mut self,
        repo: u64,
        id: u64,
        action: &str,
        by: u64,
        more: Value,
    ) -> Result<(), Refusal> {
        let found = self.repo(repo)?;
        let comment = self.comment(repo, id)?;
        let issue = self.issue(repo, comment.issue)?;
        let mut payload = json!({
            "action": action,
            "issue": self.issue_json(found, issue),
            "comment": self.comment_json(found, comment),
        });
        crate::sandbox::github::views::merge_into(&mut payload, more);
        self.emit("issue_comment", repo, by, payload);
        Ok(())
    }

    pub(in crate::sandbox::github) fn edit_comment(
        &mut self,
        repo: u64,
        id: u64,
        body: &str,
        by: u64,
    ) -> Result<(), Refusal> {
        check(body)?;
        let now = self.now();
        let comment = self.repo_mut(repo)?.comments.get_mut(&id).ok_or_else(Refusal::not_found)?;
        let from = std::mem::replace(&mut comment.body, body.to_owned());
        comment.updated_at = now;
        let changes = json!({ "changes": { "body": { "from": from } } });
        self.comment_event(repo, id, "edited", by, changes)
    }

    pub(in crate::sandbox::github) fn delete_comment(
        &mut self,
        repo: u64,
        id: u64,
        by: u64,
    ) -> Result<(), Refusal> {
        self.comment_event(repo, id, "deleted", by, Value::Null)?;
        self.repo_mut(repo)?.comments.remove(&id);
        Ok(())
    }

    /// The reaction and whether it is new: one account has each reaction once.
    pub(in crate::sandbox::github) fn react(
        &mut self,
        repo: u64,
        comment: u64,
        content: &str,
        by: u64,
    ) -> Result<(Reaction, bool), Refusal> {
        if !REACTIONS.contains(&content) {
            return Err(Refusal::invalid("Reaction", "content", "invalid", None));
        }
        let (id, created_at) = (self.id(), self.now());
        let found = self.repo_mut(repo)?.comments.get_mut(&comment);
        let reactions = &mut found.ok_or_else(Refusal::not_found)?.reactions;
        if let Some(known) = reactions.values().find(|r| r.user == by && r.content == content) {
            return Ok((known.clone(), false));
        }
        let reaction = Reaction { id, user: by, content: content.to_owned(), created_at };
        reactions.insert(id, reaction.clone());
        Ok((reaction, true))
    }
}
