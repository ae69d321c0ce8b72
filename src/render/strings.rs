//! PURE · single strings of the preview file that are templates: `set`, `images`, `expose.headers`.

use serde_json::Value;

use super::handlebars::{self, Partials};
use super::{Place, RenderError};
use crate::domain::document::Position;
use crate::domain::preview_file::PREVIEW_FILE;

/// Bytes of one filled string.
const MAX_STRING: usize = 64 << 10;

/// Fills `text`, which stands at `position` of the preview file as the value of `what`.
pub(super) fn fill(
    text: &str,
    context: &Value,
    what: &str,
    position: Position,
) -> Result<String, RenderError> {
    handlebars::fill_value(text, context, MAX_STRING, &Partials::default()).map_err(|problem| {
        RenderError::Template {
            place: Place::at(PREVIEW_FILE, position),
            message: format!("{what}: {}", problem.message),
        }
    })
}
