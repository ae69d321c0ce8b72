//! PURE · remarks as annotations at file and line of the commit.

use serde::Serialize;

use super::{Row, shorten};
use crate::domain::comment::escape::one_line;

/// Annotations that GitHub takes in one request.
pub const BATCH: usize = 50;
/// Annotations of one run. A page that nobody reads to its end helps nobody.
const MOST: usize = 200;
/// Characters of a message; GitHub takes 64 KiB.
const MESSAGE: usize = 2000;
/// GitHub's limit for a title, in characters.
const TITLE: usize = 255;
/// Characters of a path that are sent. A longer one is none that people have.
const PATH: usize = 1000;

/// How bad a remark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The commit is refused for it.
    Failure,
    /// People should know.
    Notice,
}

/// A remark at a line of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Annotation {
    /// The file, from the root of the repository.
    pub path: String,
    /// From this line on.
    pub start_line: u32,
    /// Up to this line.
    pub end_line: u32,
    /// How bad it is.
    pub annotation_level: Level,
    /// Plain text.
    pub message: String,
    /// Plain text.
    pub title: String,
}

/// All that are at a file, the worst first; one that concerns two Environments once.
pub(super) fn of(rows: &[&Row]) -> Vec<Annotation> {
    let remarks = rows.iter().flat_map(|row| &row.remarks);
    let mut all: Vec<Annotation> = remarks
        .filter_map(|remark| {
            let path = remark.file.as_deref()?;
            let line = remark.line.unwrap_or(1).max(1);
            let hint = remark.hint.as_deref().map(|hint| format!("\n{}", one_line(hint)));
            let message = one_line(&remark.message) + &hint.unwrap_or_default();
            Some(Annotation {
                path: shorten(&one_line(path), PATH),
                start_line: line,
                end_line: line,
                annotation_level: remark.level,
                message: shorten(&message, MESSAGE),
                title: shorten(&one_line(remark.rule.as_deref().unwrap_or("preview")), TITLE),
            })
        })
        // GitHub refuses the whole request for one that says nothing or is nowhere.
        .filter(|annotation| {
            !annotation.path.trim().is_empty() && !annotation.message.trim().is_empty()
        })
        .collect();
    all.sort_by(|a, b| (a.annotation_level, a).cmp(&(b.annotation_level, b)));
    all.dedup();
    all.truncate(MOST);
    all
}
