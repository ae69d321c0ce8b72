//! PURE · the check run of a commit: a [`CheckView`] of all Environments at that head in, title, summary, conclusion,
//! annotations and buttons out. No time, no ids, nothing that changes while nothing happens.
//!
//! Text from outside goes through the comment's escaping where it becomes Markdown; titles are our own words alone.

mod actions;
mod annotations;
mod summary;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use actions::Action;
pub use annotations::{Annotation, BATCH, Level};

use super::comment::{AppUrl, escape};
use super::id::{PrNumber, Revision};

/// The instance whose check is called after the product alone.
const PLAIN: &str = "bivouac";
/// GitHub's limit for the description of a commit status, in characters.
const DESCRIPTION: usize = 140;

/// Everything that the check of one commit shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckView {
    /// All Environments whose head this commit is.
    pub rows: Vec<Row>,
    /// The newer head, when there is no row left because of it.
    pub superseded_by: Option<Revision>,
    /// Where people read on when there is no preview.
    pub details: Option<String>,
    /// Whether somebody carries out what the buttons ask for.
    pub buttons: bool,
}

/// One Environment at the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its pull request; 0 for a branch's.
    pub number: PrNumber,
    /// Its branch, when it is of no pull request.
    pub branch: Option<String>,
    /// Where it stands.
    pub standing: Standing,
    /// Why, where that is not plain.
    pub reason: Option<String>,
    /// The apps with their addresses.
    pub apps: Vec<AppUrl>,
    /// When the camp ends if nothing happens.
    pub expires_at: Option<DateTime<Utc>>,
    /// What is wrong or worth knowing, in files of the commit or elsewhere.
    pub remarks: Vec<Remark>,
}

impl Row {
    /// What it is of, as Markdown.
    fn source(&self) -> String {
        match &self.branch {
            None => format!("#{}", self.number),
            Some(name) => escape::code(&shorten(name, 100)),
        }
    }
}

/// Something about the commit, at a place in it when that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How bad it is.
    pub level: Level,
    /// Id of the rule.
    pub rule: Option<String>,
    /// The file.
    pub file: Option<String>,
    /// The line in it, from 1.
    pub line: Option<u32>,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Where an Environment stands, as far as a check tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// On its way.
    Working,
    /// It waits for checks or images.
    Awaiting,
    /// It never worked.
    Failed,
    /// What the commit holds may not be applied.
    Refused,
    /// It runs, and something is wrong with it.
    Degraded,
    /// Somebody has to approve the commit first.
    AwaitingApproval,
    /// All addresses answer.
    Ready,
    /// Somebody went back to an older commit: this one does not run.
    Pinned,
    /// Switched off, or its time was up.
    Down,
    /// The pull request is closed.
    Gone,
    /// None by the rules.
    NoPreview,
}

impl Standing {
    /// In one or two words, for a table and for counts.
    fn word(self) -> &'static str {
        match self {
            Self::Working => "being made",
            Self::Awaiting => "waiting",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Degraded => "in trouble",
            Self::AwaitingApproval => "waiting for approval",
            Self::Ready => "ready",
            Self::Pinned => "at another commit",
            Self::Down => "down",
            Self::Gone => "gone",
            Self::NoPreview => "not wanted",
        }
    }

    /// As a heading for a single one; the comment has the same.
    fn heading(self) -> &'static str {
        match self {
            Self::Working => "Preview is being made",
            Self::Awaiting => "Preview waits for checks or images",
            Self::Failed => "Preview failed",
            Self::Refused => "Preview is refused",
            Self::Degraded => "Preview has a problem",
            Self::AwaitingApproval => "Preview waits for approval",
            Self::Ready => "Preview is ready",
            Self::Pinned => "Preview shows another commit",
            Self::Down => "Preview is down",
            Self::Gone => "Preview is gone",
            Self::NoPreview => "No preview",
        }
    }

    /// `None`: not concluded yet.
    fn conclusion(self) -> Option<Conclusion> {
        Some(match self {
            Self::Working | Self::Awaiting => return None,
            Self::Failed | Self::Refused | Self::Degraded => Conclusion::Failure,
            Self::AwaitingApproval => Conclusion::ActionRequired,
            Self::Ready => Conclusion::Success,
            Self::Pinned | Self::Down | Self::Gone => Conclusion::Neutral,
            Self::NoPreview => Conclusion::Skipped,
        })
    }

    /// A camp stands, or is about to.
    fn has_camp(self) -> bool {
        matches!(self, Self::Working | Self::Awaiting | Self::Degraded | Self::Ready | Self::Pinned)
    }

    /// The reason belongs to what people must read.
    fn is_explained(self) -> bool {
        !matches!(self, Self::Working | Self::Ready | Self::Gone)
    }
}

/// GitHub's conclusions that we use. The order is that of weight: the first among several Environments is the whole's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Something has to be mended.
    Failure,
    /// Somebody has to say yes.
    ActionRequired,
    /// All is well.
    Success,
    /// Nothing to say for or against the commit.
    Neutral,
    /// Not asked for.
    Skipped,
}

impl Conclusion {
    /// As GitHub spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::ActionRequired => "action_required",
            Self::Success => "success",
            Self::Neutral => "neutral",
            Self::Skipped => "skipped",
        }
    }
}

/// The check run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckContent {
    /// `None` while something is on its way.
    pub conclusion: Option<Conclusion>,
    /// One line of our own words.
    pub title: String,
    /// Markdown.
    pub summary: String,
    /// The page behind "Details".
    pub details_url: Option<String>,
    /// Buttons, three at most.
    pub actions: Vec<Action>,
    /// What is told at a file and a line; more than [`BATCH`] go in several requests.
    #[serde(skip)]
    pub annotations: Vec<Annotation>,
    #[serde(skip)]
    reason: Option<String>,
}

/// The same as the status of a commit, for logins that can't make check runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitStatus {
    /// `pending`, `success` or `failure`.
    pub state: &'static str,
    /// Plain text.
    pub description: String,
    /// The page behind "Details".
    pub target_url: Option<String>,
}

/// What the check is called: the same in every repository of an installation, for branch protection.
#[must_use]
pub fn name(instance: &str) -> String {
    if instance == PLAIN {
        format!("{PLAIN} / preview")
    } else {
        format!("{PLAIN} ({instance}) / preview")
    }
}

/// By which the run of a commit is found again.
#[must_use]
pub fn external_id(instance: &str, head: &Revision) -> String {
    format!("{PLAIN}:v1:{instance}:{head}")
}

/// The check run of a commit.
#[must_use]
pub fn content(view: &CheckView) -> CheckContent {
    let mut rows: Vec<&Row> = view.rows.iter().collect();
    rows.sort_by_key(|row| (row.number, row.branch.clone()));
    let conclusion = if rows.is_empty() {
        Some(Conclusion::Neutral)
    } else if rows.iter().any(|row| row.standing.conclusion().is_none()) {
        None
    } else {
        rows.iter().filter_map(|row| row.standing.conclusion()).min()
    };
    // The address that people want is that of the one preview, when there is one.
    let preview = match rows.as_slice() {
        [row] if matches!(row.standing, Standing::Ready | Standing::Degraded) => row.apps.first(),
        _ => None,
    };
    let web = |url: &String| url.starts_with("https://") || url.starts_with("http://");
    CheckContent {
        conclusion,
        title: title(&rows, view.superseded_by.as_ref()),
        summary: summary::of(&rows, view.superseded_by.as_ref()),
        details_url: preview.map(|app| app.url.clone()).or(view.details.clone()).filter(web),
        actions: if view.buttons { actions::of(&rows) } else { Vec::new() },
        annotations: annotations::of(&rows),
        reason: match rows.as_slice() {
            [row] if row.standing.is_explained() => row.reason.clone(),
            _ => None,
        },
    }
}

fn title(rows: &[&Row], superseded_by: Option<&Revision>) -> String {
    match (rows, superseded_by) {
        ([], Some(newer)) => format!("Superseded by {}", newer.short()),
        ([], None) => Standing::Gone.heading().to_owned(),
        ([row], _) => row.standing.heading().to_owned(),
        (rows, _) => {
            let mut standings: Vec<Standing> = rows.iter().map(|row| row.standing).collect();
            standings.sort();
            let counts: Vec<String> = standings
                .chunk_by(|a, b| a == b)
                .map(|same| format!("{} {}", same.len(), same[0].word()))
                .collect();
            format!("{} previews: {}", rows.len(), counts.join(", "))
        }
    }
}

impl CheckContent {
    /// SHA-256 over everything but the annotations, hex. Two equal hashes: nothing to write.
    #[must_use]
    pub fn hash(&self) -> String {
        digest(&serde_json::to_vec(self).unwrap_or_default())
    }

    /// The same over the annotations; empty without any. They can only be added to a run, never taken away.
    #[must_use]
    pub fn annotations_hash(&self) -> String {
        if self.annotations.is_empty() {
            return String::new();
        }
        digest(&serde_json::to_vec(&self.annotations).unwrap_or_default())
    }

    /// Nothing that somebody has to be told who did not ask: no preview was wanted, or none is left.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.conclusion, Some(Conclusion::Neutral | Conclusion::Skipped))
    }

    /// As the status of a commit. It knows no way to say "not asked": what is neither good nor bad does not block.
    #[must_use]
    pub fn commit_status(&self) -> CommitStatus {
        let state = match self.conclusion {
            None | Some(Conclusion::ActionRequired) => "pending",
            Some(Conclusion::Failure) => "failure",
            Some(Conclusion::Success | Conclusion::Neutral | Conclusion::Skipped) => "success",
        };
        let text = match &self.reason {
            Some(reason) => format!("{}: {}", self.title, escape::one_line(reason).trim()),
            None => self.title.clone(),
        };
        CommitStatus {
            state,
            description: shorten(&text, DESCRIPTION),
            target_url: self.details_url.clone(),
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// At most `most` characters; a dot for an end that is cut.
fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
