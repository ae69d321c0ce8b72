//! PURE · why nothing could be rendered, as a finding: each kind of mistake has a rule of its own.

use super::{Place, RenderError};
use crate::domain::finding::{BuildRule, Finding};

impl RenderError {
    /// The rule that this breaks.
    #[must_use]
    pub fn rule(&self) -> BuildRule {
        match self {
            Self::PreviewFile { .. } => BuildRule::PreviewFile,
            Self::PathMissing { .. } => BuildRule::PathMissing,
            Self::Yaml { .. } => BuildRule::Yaml,
            Self::Template { .. } => BuildRule::Template,
            Self::Manifest { .. } => BuildRule::Manifest,
            Self::Duplicate { .. } => BuildRule::DuplicateObject,
            Self::Unsupported { .. } => BuildRule::RendererUnavailable,
            Self::TooMuch { .. } => BuildRule::RenderLimit,
            Self::Inputs { .. } => BuildRule::Internal,
        }
    }

    /// Where it is, when it has a place.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        match self {
            Self::PreviewFile { place, .. }
            | Self::PathMissing { place, .. }
            | Self::Yaml { place, .. }
            | Self::Template { place, .. }
            | Self::Manifest { place, .. }
            | Self::TooMuch { place, .. }
            | Self::Duplicate { second: place, .. } => Some(place.clone()),
            Self::Unsupported { path, .. } => Some(Place::file(path)),
            Self::Inputs { .. } => None,
        }
    }

    /// The same for people and programs: rule, place, and the message without the place.
    #[must_use]
    pub fn finding(&self) -> Finding {
        let text = self.to_string();
        let place = self.place();
        let message = place
            .as_ref()
            .and_then(|place| text.strip_prefix(&format!("{place}: ")))
            .unwrap_or(&text)
            .to_owned();
        let finding = Finding::of(self.rule(), message);
        match place {
            Some(place) => finding.at(&place.file, place.position),
            None => finding,
        }
    }
}
