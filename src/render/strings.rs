//! PURE · single strings of the preview file that are templates: `set`, `images`, `expose.headers`.

use serde_json::Value;

use super::{Place, RenderError, handlebars};
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
    if !text.contains("{{") && !text.contains('\\') {
        return Ok(text.to_owned());
    }
    handlebars::fill(text.as_bytes(), context, MAX_STRING).map_err(|problem| {
        RenderError::Template {
            place: Place::at(PREVIEW_FILE, position),
            message: format!("{what}: {}", problem.message),
        }
    })
}
