//! PURE · why nothing could be rendered, as a finding: each kind of mistake has a rule of its own.

use super::RenderError;
use crate::domain::finding::{BuildRule, Finding};

impl RenderError {
    /// The rule that this breaks.
    #[must_use]
    pub fn build_rule(&self) -> BuildRule {
        match self {
            Self::PreviewFile { .. } => BuildRule::PreviewFile,
            Self::Parameter { .. } => BuildRule::Parameter,
            Self::PathMissing { .. } => BuildRule::PathMissing,
            Self::Yaml { .. } => BuildRule::Yaml,
            Self::Template { .. } => BuildRule::Template,
            Self::Manifest { .. } => BuildRule::Manifest,
            Self::Tool { .. } => BuildRule::RendererRefused,
            Self::Namespaces { .. } => BuildRule::Namespaces,
            Self::Duplicate { .. } => BuildRule::DuplicateObject,
            Self::Unsupported { .. } => BuildRule::Unsupported,
            Self::TooMuch { .. } => BuildRule::RenderLimit,
            Self::Unavailable { .. } => BuildRule::RendererUnavailable,
            Self::Failed { .. } => BuildRule::RendererFailed,
            Self::Inputs { .. } => BuildRule::Internal,
        }
    }

    /// The same for people and programs: rule, place, and the message without the place.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let mut finding = Finding::of(self.build_rule(), self.message());
        if matches!(self, Self::TooMuch { .. }) && !finding.message.ends_with(')') {
            // Settings are named in brackets; nobody can raise what is none.
            "make it smaller; this limit is the same for everybody".clone_into(&mut finding.hint);
        }
        match self.place() {
            Some(place) => finding.at(&place.file, place.position),
            None => finding,
        }
    }
}
