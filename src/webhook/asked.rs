//! PURE · a command that somebody gave, as the [`Request`](crate::crd::Request) that is written for it.

use chrono::{DateTime, Utc};

use crate::crd::{OriginKind, RequestSpec, Timestamp};
use crate::domain::command::{Given, read};
use crate::domain::event::Comment;
use crate::domain::id::PrNumber;
use crate::domain::naming::environment_name;
use crate::domain::pull_request::Author;

/// What is written down.
pub(super) struct Asked {
    pub(super) repository: String,
    pub(super) number: PrNumber,
    /// Of the Request: the same command has the same name however often it is told.
    pub(super) name: String,
    pub(super) given: Given,
    pub(super) from: (OriginKind, String),
    pub(super) by: Author,
    pub(super) at: DateTime<Utc>,
}

impl Asked {
    /// The commands of a comment.
    pub(super) fn of_comment(repository: &str, prefix: &str, comment: &Comment) -> Vec<Self> {
        let Comment { number, id, by, at, text } = comment;
        let given = read(text, prefix).into_iter().enumerate();
        given
            .map(|(index, given)| Self {
                repository: repository.to_owned(),
                number: *number,
                name: format!("comment-{id}-{}", index + 1),
                given,
                from: (OriginKind::Comment, id.to_string()),
                by: by.clone(),
                at: *at,
            })
            .collect()
    }

    /// Name of the Environment.
    pub(super) fn environment(&self) -> String {
        environment_name(&self.repository, self.number).as_str().to_owned()
    }

    /// The whole `spec`.
    pub(super) fn spec(&self) -> RequestSpec {
        let Self { given, from, by, at, .. } = self;
        let at = Timestamp::from(*at);
        RequestSpec::of_command(&self.environment(), given.clone(), from.clone(), by, at)
    }
}
