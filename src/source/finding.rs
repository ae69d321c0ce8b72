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
                let message = format!("more than {limit} {what}");
                Some(Finding::of(BuildRule::SourceLimit, message).at(path, None))
            }
            Self::Fetch(_) | Self::NotTheMerge { .. } | Self::Cache { .. } => None,
        }
    }
}
