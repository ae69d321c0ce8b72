//! PURE · what of a commit can't be read, as a finding.

use super::SourceError;
use crate::domain::finding::{BuildRule, Finding};

impl SourceError {
    /// The same as a finding, when another commit (or a higher limit) is what helps; `None` when the way to the
    /// commit is to blame.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        match self {
            Self::Refused { path, what, hint } => {
                let finding = Finding::of(BuildRule::SourceRefused, *what).at(path, None);
                Some(Finding { hint: (*hint).to_owned(), ..finding })
            }
            Self::TooBig { path, limit, what } => {
                let finding = Finding::of(BuildRule::SourceLimit, too_big(*limit, what));
                Some(Finding { hint: hint(what).to_owned(), ..finding.at(path, None) })
            }
            Self::Fetch(_) | Self::NotTheMerge { .. } | Self::Cache { .. } => None,
        }
    }
}

/// The setting that bounds `what`; `None` for bounds that nobody can move.
fn setting(what: &str) -> Option<&'static str> {
    match what {
        "files" | "directories" => Some("files"),
        "bytes in one file" => Some("fileBytes"),
        "bytes in all files" => Some("treeBytes"),
        _ => None,
    }
}

/// The limit with its figure and name.
pub(super) fn too_big(limit: u64, what: &str) -> String {
    let name = setting(what).map(|name| format!(" (limits.{name})")).unwrap_or_default();
    format!("more than {limit} {what}{name}")
}

/// What to do about a limit.
pub(super) fn hint(what: &str) -> &'static str {
    match setting(what) {
        Some(_) => "render less, or ask the platform team to raise the limit",
        None => "render less; this limit is the same for everybody",
    }
}
