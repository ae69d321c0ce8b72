//! PURE · the bytes of a YAML file → text that may be scanned: UTF-8, no character that Go's reader refuses, bounded.

use super::{Read, YamlLimit, YamlLimits, too_much, wrong};
use crate::domain::document::Position;

type Checked<T> = Result<T, super::Failure>;

/// `bytes` as text, without a byte order mark.
pub(super) fn text_of<'t>(bytes: &'t [u8], limits: &YamlLimits) -> Checked<&'t str> {
    Ok(checked(bytes, limits)?)
}

fn checked<'t>(bytes: &'t [u8], limits: &YamlLimits) -> Read<&'t str> {
    let start = Position { line: 1, column: 1 };
    if bytes.len() > limits.bytes {
        return too_much(start, YamlLimit::Bytes, limits);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + valid.split(|b| *b == b'\n').count().saturating_sub(1);
            return wrong(Position { line, column: 1 }, "the file is not UTF-8");
        }
    };
    let tame = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t');
    // No character to refuse, and no directive: nothing to look for line by line.
    if text.as_bytes().iter().all(tame) && !text.contains('%') {
        return Ok(text);
    }
    let mut between_documents = true;
    for (index, line) in text.split('\n').enumerate() {
        let line_number = index + 1;
        if let Some((column, c)) = line.chars().enumerate().find(|(_, c)| is_refused(*c)) {
            let at = Position { line: line_number, column: column + 1 };
            let message = if matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}') {
                "this character ends a line for some readers of YAML; write it as \\u2028 in double quotes"
            } else {
                "control characters are not allowed in YAML; write them as \\x01 in double quotes"
            };
            return wrong(at, message);
        }
        let line = line.trim_end_matches('\r');
        if between_documents && line.starts_with('%') {
            let at = Position { line: line_number, column: 1 };
            return wrong(
                at,
                "directives (%YAML, %TAG) are not allowed; kubectl does not read them",
            );
        }
        let is_blank = line.trim_start().is_empty() || line.starts_with('#');
        between_documents = line == "..." || (between_documents && is_blank);
    }
    Ok(text)
}

/// What Go's reader takes for a control character or a line break.
fn is_refused(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}'
            | '\u{fffe}' | '\u{ffff}'
    )
}

/// The scanner keeps a note for each open bracket and walks them all for each token: without a bound a line of
/// brackets costs quadratic time before the first event comes out.
pub(super) fn bounded_brackets(text: &str, limits: &YamlLimits) -> Checked<()> {
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let opened = trimmed
            .bytes()
            .take_while(|b| matches!(b, b'[' | b'{' | b' ' | b'-' | b'?' | b'\t'))
            .filter(|b| matches!(b, b'[' | b'{' | b'-' | b'?'))
            .count();
        // A rule of dashes in a comment or block text is fine; brackets in such a number are not.
        if opened > limits.nesting
            && trimmed.bytes().take(opened).any(|b| matches!(b, b'[' | b'{' | b'?'))
        {
            let position = Position { line: index + 1, column: 1 };
            return Ok(too_much(position, YamlLimit::Nesting, limits)?);
        }
    }
    Ok(())
}
