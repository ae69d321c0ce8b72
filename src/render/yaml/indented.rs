//! PURE · lists and mappings in brackets whose lines begin further to the left than YAML has it.
//!
//! ```yaml
//! args: [
//!   "a"
//! ]
//! ```
//!
//! The specification and our scanner refuse the last line, Go's reader takes it. Inside brackets white space at the
//! start of a line has no meaning, so a line that the scanner refuses is moved to the right, and the text is read
//! again. Only lines that the scanner itself names are touched.

use std::collections::BTreeSet;

use super::Failure;
use crate::domain::document::{Node, Position};

/// Further to the right than any block goes.
const SPACES: usize = 256;
/// Bytes that may be read again.
const MAX_WORK: usize = 16 << 20;

/// Lines that were moved.
#[derive(Default)]
pub(super) struct Lines {
    moved: BTreeSet<usize>,
}

impl Lines {
    /// The place in the text as it was written.
    pub(super) fn original(&self, mut position: Position) -> Position {
        if self.moved.contains(&position.line) {
            position.column = position.column.saturating_sub(SPACES).max(1);
        }
        position
    }
}

/// Reads `text`, and again as long as a low line of brackets is all that is wrong.
pub(super) fn read(
    text: &str,
    attempt: impl Fn(&str, &Lines) -> Result<Vec<Node>, Failure>,
) -> Result<Vec<Node>, Failure> {
    let mut lines = Lines::default();
    let first = match attempt(text, &lines) {
        Err(failure) if failure.low_line.is_some() => failure,
        done => return done,
    };
    let mut mended = text.to_owned();
    let mut low = first.low_line;
    let mut work = 0;
    while let Some(line) = low {
        work += mended.len();
        let start = line_start(&mended, line);
        if work > MAX_WORK || !lines.moved.insert(line) || start.is_none() {
            break;
        }
        mended.insert_str(start.unwrap_or_default(), &" ".repeat(SPACES));
        match attempt(&mended, &lines) {
            Err(failure) if failure.low_line.is_some() => low = failure.low_line,
            Err(_) => break,
            done => return done,
        }
    }
    // What is wrong elsewhere may be a bracket that was never closed: the first low line is the better place.
    Err(first)
}

fn line_start(text: &str, line: usize) -> Option<usize> {
    let mut left = line.checked_sub(1)?;
    if left == 0 {
        return Some(0);
    }
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        // A lone carriage return ends a line too, for the scanner.
        let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(index + 1) != Some(&b'\n'));
        if ends {
            left -= 1;
            if left == 0 {
                return Some(index + 1);
            }
        }
    }
    None
}
