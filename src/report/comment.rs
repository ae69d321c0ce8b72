//! I/O · the one sticky comment of a pull request: found again, kept single, written only when its text changed.
//!
//! A comment is ours when its author is the token's own account **and** its first line is a marker of this
//! installation. Nothing else in it is read; comments of others are never touched.

use crate::domain::comment::{CommentText, Marker};
use crate::domain::id::PrNumber;
use crate::forge::{Class, Comment, Forge, ForgeError};

/// What is to stand on the pull request.
#[derive(Clone, Debug)]
pub struct CommentPlan {
    /// The pull request.
    pub pr: PrNumber,
    /// Name of this installation.
    pub instance: String,
    /// Identity of the record: its UID.
    pub record: String,
    /// What was written last, when the record knows.
    pub recorded: Option<Recorded>,
    /// The new text.
    pub text: CommentText,
}

/// What the record remembers of the last write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The comment's id.
    pub id: u64,
    /// Its page.
    pub url: String,
    /// Hash of its text.
    pub hash: String,
    /// How often it was written.
    pub sequence: u64,
}

/// What stands on the pull request now; to be put into the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The comment, its hash and sequence.
    pub recorded: Recorded,
    /// False when nothing had to be written.
    pub wrote: bool,
}

/// Why the comment does not stand as planned.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The forge refused or could not be reached.
    #[error("failed to write the comment on pull request #{pr}")]
    Forge {
        /// The pull request.
        pr: PrNumber,
        /// Why.
        #[source]
        source: ForgeError,
    },
    /// A later text of the same record is there: whoever plans this one is behind. It is left alone. When the record
    /// itself is what was put back (from a backup), take over `theirs` as its sequence and plan again.
    #[error(
        "the comment on pull request #{pr} is newer (revision {theirs}) than this text (revision {ours})"
    )]
    Superseded {
        /// The pull request.
        pr: PrNumber,
        /// Sequence in the comment.
        theirs: u64,
        /// Sequence that was to be written.
        ours: u64,
    },
}

impl ReportError {
    /// What to do about it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Forge { source, .. } => source.class(),
            Self::Superseded { .. } => Class::Transient { not_before: None },
        }
    }

    /// True when telling the forge again won't change anything: a teardown stops telling then.
    #[must_use]
    pub fn ends_the_telling(&self) -> bool {
        matches!(self, Self::Forge { source, .. } if source.ends_the_telling())
    }
}

/// Brings the plan about. Doing it twice writes once.
pub async fn post(forge: &Forge, plan: &CommentPlan) -> Result<Posted, ReportError> {
    if let Some(recorded) = &plan.recorded
        && recorded.hash == plan.text.hash()
    {
        return Ok(Posted { recorded: recorded.clone(), wrote: false });
    }
    Writer { forge, plan }.post().await.map_err(|stop| stop.on(plan.pr))
}

/// Brings the plan about where a comment of ours is there; makes none. `None`: there is none.
pub async fn correct(forge: &Forge, plan: &CommentPlan) -> Result<Option<Posted>, ReportError> {
    let writer = Writer { forge, plan };
    let corrected = async { writer.correct(forge.viewer().await?.id).await };
    corrected.await.map_err(|stop: Stop| stop.on(plan.pr))
}

enum Stop {
    Forge(ForgeError),
    Superseded { theirs: u64, ours: u64 },
}

impl Stop {
    fn on(self, pr: PrNumber) -> ReportError {
        match self {
            Self::Forge(source) => ReportError::Forge { pr, source },
            Self::Superseded { theirs, ours } => ReportError::Superseded { pr, theirs, ours },
        }
    }
}

impl From<ForgeError> for Stop {
    fn from(error: ForgeError) -> Self {
        Self::Forge(error)
    }
}

struct Writer<'a> {
    forge: &'a Forge,
    plan: &'a CommentPlan,
}

impl Writer<'_> {
    async fn post(&self) -> Result<Posted, Stop> {
        let me = self.forge.viewer().await?.id;
        if let Some(posted) = self.correct(me).await? {
            return Ok(posted);
        }
        let marker = self.marker(self.next());
        let made = self.forge.create_comment(self.plan.pr, &self.plan.text.body(&marker)).await?;
        // Somebody may have made one at the same moment: the oldest stays.
        match self.single(me).await? {
            Some(oldest) if oldest.id != made.id => self.write(&oldest).await,
            _ => Ok(self.posted(&made, marker.sequence, true)),
        }
    }

    /// Writes into what is there.
    async fn correct(&self, me: u64) -> Result<Option<Posted>, Stop> {
        if let Some(comment) = self.recorded(me).await? {
            match self.write(&comment).await {
                // Deleted between the two requests.
                Err(Stop::Forge(ForgeError::NotFound { .. } | ForgeError::Gone { .. })) => {}
                other => return other.map(Some),
            }
        }
        match self.single(me).await? {
            Some(comment) => self.write(&comment).await.map(Some),
            None => Ok(None),
        }
    }

    /// The comment that the record names, when it is there and ours.
    async fn recorded(&self, me: u64) -> Result<Option<Comment>, ForgeError> {
        let Some(recorded) = &self.plan.recorded else { return Ok(None) };
        match self.forge.comment(recorded.id).await {
            Ok(comment) => {
                let here = comment.on.is_none_or(|on| on == self.plan.pr);
                Ok((here && self.is_ours(&comment, me)).then_some(comment))
            }
            Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The oldest comment of ours; younger ones are removed.
    async fn single(&self, me: u64) -> Result<Option<Comment>, ForgeError> {
        let comments = self.forge.comments(self.plan.pr).await?;
        let mut ours = comments.into_iter().filter(|comment| self.is_ours(comment, me));
        let oldest = ours.next();
        for younger in ours {
            self.forge.delete_comment(younger.id).await?;
        }
        Ok(oldest)
    }

    fn is_ours(&self, comment: &Comment, me: u64) -> bool {
        let instance = self.marker(0).instance;
        comment.author.id == me
            && Marker::find(&comment.body).is_some_and(|marker| marker.instance == instance)
    }

    async fn write(&self, comment: &Comment) -> Result<Posted, Stop> {
        let found = Marker::find(&comment.body);
        let same_record =
            found.as_ref().is_some_and(|found| found.id == self.marker(found.sequence).id);
        let theirs = found.map_or(0, |found| found.sequence);
        let ours = match same_record {
            true if theirs > self.next() => {
                return Err(Stop::Superseded { theirs, ours: self.next() });
            }
            true => self.next(),
            // A record that was deleted and made anew goes on where the former one ended.
            false => self.next().max(theirs.saturating_add(1)),
        };
        let marker = self.marker(ours);
        if same_record && same_text(&comment.body, &self.plan.text.body(&self.marker(theirs))) {
            return Ok(self.posted(comment, theirs, false));
        }
        let body = self.plan.text.body(&marker);
        if same_text(&comment.body, &body) {
            return Ok(self.posted(comment, ours, false));
        }
        let written = self.forge.update_comment(comment.id, &body).await?;
        Ok(self.posted(&written, ours, true))
    }

    fn next(&self) -> u64 {
        self.plan.recorded.as_ref().map_or(0, |recorded| recorded.sequence).saturating_add(1)
    }

    fn marker(&self, sequence: u64) -> Marker {
        Marker::new(&self.plan.instance, &self.plan.record, sequence)
    }

    fn posted(&self, comment: &Comment, sequence: u64, wrote: bool) -> Posted {
        Posted {
            recorded: Recorded {
                id: comment.id,
                url: comment.html_url.clone(),
                hash: self.plan.text.hash().to_owned(),
                sequence,
            },
            wrote,
        }
    }
}

/// GitHub may give line ends back as CR LF and trims the end.
fn same_text(theirs: &str, ours: &str) -> bool {
    theirs.lines().map(str::trim_end).eq(ours.trim_end().lines().map(str::trim_end))
}

#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod tests;
