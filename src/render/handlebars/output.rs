//! PURE · what a template gives: the text, bounded, with the place in the template that each part of it comes from.

use std::collections::BTreeMap;

use super::Problem;
use crate::domain::document::Position;

/// A filled template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filled {
    /// The text.
    pub(crate) text: String,
    /// Lines of the text.
    lines: u32,
    segments: Vec<Segment>,
    written: Vec<Written>,
    /// Lines on which an expression put nothing, with the expression.
    empties: Vec<(u32, u32)>,
}

/// An expression that put something into the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Written {
    /// As the template names it: `params.size`, `lower params.size`.
    pub(crate) name: String,
    /// The value was a string, not a number or truth value.
    pub(crate) string: bool,
}

/// A run of text that has one origin; the next one begins where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    line: u32,
    column: u32,
    source_line: u32,
    source_column: u32,
    /// The template's own text, so that columns run along; else the place of an expression.
    literal: bool,
    /// Index into `written`.
    written: Option<u32>,
}

impl Segment {
    fn start(&self) -> Position {
        Position { line: self.line as usize, column: self.column as usize }
    }
}

/// What an expression put between two places of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Between<'f> {
    /// The expression.
    pub(crate) written: &'f Written,
    /// Nothing else stands between the two places.
    pub(crate) alone: bool,
}

impl Filled {
    /// The place in the template that put what stands at `position` of the text. What came out of an expression has
    /// the place of the expression, what came out of a partial the place of `{{> …}}`.
    pub(crate) fn place(&self, position: Position) -> Position {
        let index = self.segments.partition_point(|segment| segment.start() <= position);
        let Some(segment) = index.checked_sub(1).and_then(|i| self.segments.get(i)) else {
            return Position { line: 1, column: 1 };
        };
        let (line, column) = (segment.source_line as usize, segment.source_column as usize);
        if !segment.literal {
            return Position { line, column };
        }
        // Readers put what is missing at the end on a line of its own that is not there.
        let last = self.lines.max(1) as usize;
        let lines = position.line.min(last).saturating_sub(segment.line as usize);
        if lines == 0 {
            let along = position.column.saturating_sub(segment.column as usize);
            Position { line, column: column + along }
        } else {
            Position { line: line + lines, column: position.column }
        }
    }

    /// An expression that put nothing on `line` of the text.
    pub(crate) fn empty_on(&self, line: usize) -> Option<&str> {
        let index = self.empties.binary_search_by_key(&line, |(line, _)| *line as usize).ok()?;
        let written = self.written.get(self.empties.get(index)?.1 as usize)?;
        Some(&written.name)
    }

    /// The last expression that put something between `from` and `to`.
    pub(crate) fn between(&self, from: Position, to: Position) -> Option<Between<'_>> {
        let first = self.segments.partition_point(|segment| segment.start() <= from).max(1) - 1;
        let inside = self.segments.get(first..)?.iter().take_while(|segment| segment.start() < to);
        let (mut count, mut found) = (0, None);
        for segment in inside {
            count += 1;
            if let Some(written) = segment.written {
                found = self.written.get(written as usize);
            }
        }
        found.map(|written| Between { written, alone: count == 1 })
    }
}

/// Takes text up to a limit.
pub(super) struct Output {
    filled: Filled,
    index: BTreeMap<Written, u32>,
    line: u32,
    column: u32,
    limit: usize,
    /// The same text with words of our own in the place of values that could mean something to YAML; begun with the
    /// first of them.
    shadow: Option<String>,
    /// White space before each line of a partial.
    pub(super) indent: String,
    /// The outermost `{{> …}}` that is being filled.
    pub(super) included: Option<Position>,
}

impl Output {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            filled: Filled::default(),
            index: BTreeMap::new(),
            line: 1,
            column: 1,
            limit,
            shadow: None,
            indent: String::new(),
            included: None,
        }
    }

    /// Text of the template that begins at `at`.
    pub(super) fn literal(&mut self, text: &str, at: Position) -> Problem<()> {
        let mut at = at;
        for line in lines(text) {
            self.segment(at, true, None);
            self.write(line, None)?;
            at = Position { line: at.line + 1, column: 1 };
        }
        Ok(())
    }

    /// A value that the expression at `at` has.
    pub(super) fn value(
        &mut self,
        text: &str,
        shadow: Option<&str>,
        at: Position,
        written: Written,
    ) -> Problem<()> {
        let next = u32::try_from(self.filled.written.len()).unwrap_or(u32::MAX);
        let index = *self.index.entry(written.clone()).or_insert(next);
        if index == next {
            self.filled.written.push(written);
        }
        if text.is_empty() {
            self.filled.empties.push((self.line, index));
        } else {
            self.segment(at, false, Some(index));
        }
        self.write(text, shadow)
    }

    fn segment(&mut self, at: Position, literal: bool, written: Option<u32>) {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let source = self.included.unwrap_or(at);
        self.filled.segments.push(Segment {
            line: self.line,
            column: self.column,
            source_line: small(source.line),
            source_column: small(source.column),
            literal: literal && self.included.is_none(),
            written,
        });
    }

    fn write(&mut self, text: &str, shadow: Option<&str>) -> Problem<()> {
        if shadow.is_some() && self.shadow.is_none() {
            self.shadow = Some(self.filled.text.clone());
        }
        if let Some(all) = &mut self.shadow {
            indented(all, &self.indent, shadow.unwrap_or(text), self.limit)?;
        }
        let before = self.filled.text.len();
        indented(&mut self.filled.text, &self.indent, text, self.limit)?;
        let mut after_return = self.filled.text.get(..before).is_some_and(|t| t.ends_with('\r'));
        for c in self.filled.text.get(before..).unwrap_or_default().chars() {
            // A lone carriage return ends a line for readers of YAML; with a line feed after it, it is one end.
            match c {
                '\n' if after_return => {}
                '\n' | '\r' => {
                    self.line = self.line.saturating_add(1);
                    self.column = 1;
                }
                _ => self.column = self.column.saturating_add(1),
            }
            after_return = c == '\r';
        }
        Ok(())
    }

    /// The text, and the shadow if there is one.
    pub(super) fn finish(mut self) -> (Filled, Option<String>) {
        self.filled.lines = self.line;
        (self.filled, self.shadow)
    }
}

/// The lines of `text` with their ends.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').flat_map(|line| {
        let end = if line.ends_with("\r\n") { line.len() - 2 } else { line.len() };
        let (body, end) = line.split_at(end);
        let last = body.rfind('\r').map_or(0, |at| at + 1);
        let (returns, _) = body.split_at(last);
        let rest = line.get(last..).unwrap_or(end);
        returns.split_inclusive('\r').chain((!rest.is_empty()).then_some(rest))
    })
}

/// Adds `text` to `all`, with `indent` before each line that is not blank.
fn indented(all: &mut String, indent: &str, text: &str, limit: usize) -> Problem<()> {
    for line in text.split_inclusive('\n') {
        if !indent.is_empty()
            && (all.is_empty() || all.ends_with('\n'))
            && !line.trim_end_matches(['\r', '\n']).is_empty()
        {
            all.push_str(indent);
        }
        all.push_str(line);
        if all.len() > limit {
            let message = format!("the filled template has more than {limit} bytes");
            return super::too_much(None, message);
        }
    }
    Ok(())
}
