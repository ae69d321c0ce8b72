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
        let finding = Finding::of(self.build_rule(), self.message());
        let finding = if matches!(self, Self::TooMuch { .. }) && !names_a_setting(&finding.message)
        {
            let hint = "make it smaller; this limit is the same for everybody";
            Finding { hint: hint.to_owned(), ..finding }
        } else {
            finding
        };
        match self.place() {
            Some(place) => finding.at(&place.file, place.position),
            None => finding,
        }
    }
}

/// Nobody can raise a limit that is no setting.
fn names_a_setting(message: &str) -> bool {
    ["(limits.", "(BIVOUAC_"].iter().any(|setting| message.contains(setting))
}

#[cfg(test)]
mod tests {
    use super::super::Place;
    use super::*;

    #[test]
    fn the_platform_team_is_asked_for_what_it_can_raise_only() {
        let hint = |message: &str| {
            let place = Place::file("a.yaml");
            RenderError::TooMuch { place, message: message.to_owned() }.finding().hint
        };
        for settable in [
            "more than 200 objects are rendered (limits.objects)",
            "helm needed more than 256 MiB of memory (BIVOUAC_RENDER_MEMORY)",
        ] {
            assert!(hint(settable).contains("ask the platform team"), "{settable}");
        }
        for fixed in ["values are nested deeper than 64", "x (line of the rendered document)"] {
            assert!(hint(fixed).contains("the same for everybody"), "{fixed}");
        }
    }
}
