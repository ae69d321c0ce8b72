//! PURE · template text → pieces: runs of text and tags, with Handlebars' white space rules applied.
//!
//! One pass over the text; every rule looks only at white space next to a tag, so the time is linear.

use std::ops::Range;

use super::{Problem, TemplateProblem, wrong};
use crate::domain::document::Position;

/// A part of a template, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text that is put out as it stands.
    Text(Range<usize>),
    /// A tag that does something.
    Tag(Tag),
}

/// `{{…}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub(super) kind: TagKind,
    /// What stands between the braces, without signs.
    pub(super) inner: Range<usize>,
    /// All of it.
    pub(super) span: Range<usize>,
    /// The white space before a tag that has its line to itself: what a partial is indented by.
    pub(super) indent: Option<Range<usize>>,
    trim: (bool, bool),
}

/// What a tag does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TagKind {
    /// `{{a}}`, `{{{a}}}`, `{{&a}}`: no difference, nothing is escaped.
    Value,
    /// `{{#a}}`.
    Open,
    /// `{{/a}}`.
    Close,
    /// `{{else}}`, `{{else if a}}`, `{{^}}`.
    Else,
    /// `{{> a}}`.
    Partial,
    /// `{{! a }}`.
    Comment,
}

/// Finds line and column of growing offsets without reading anything twice.
pub(super) struct Cursor<'t> {
    text: &'t str,
    offset: usize,
    position: Position,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, offset: 0, position: Position { line: 1, column: 1 } }
    }

    /// The place of `offset`, which is not before the one asked for last.
    pub(super) fn at(&mut self, offset: usize) -> Position {
        for c in self.text.get(self.offset..offset).unwrap_or_default().chars() {
            if c == '\n' {
                self.position = Position { line: self.position.line + 1, column: 1 };
            } else {
                self.position.column += 1;
            }
        }
        self.offset = self.offset.max(offset);
        self.position
    }
}

/// Splits `text`.
pub(super) fn pieces(text: &str) -> Problem<Vec<Piece>> {
    let mut pieces = Vec::new();
    let (mut text_from, mut search_from) = (0, 0);
    while let Some(found) = text.get(search_from..).and_then(|rest| rest.find("{{")) {
        let open = search_from + found;
        let before = text.get(text_from..open).unwrap_or_default();
        let slashes = before.len() - before.trim_end_matches('\\').len();
        let text_to = if slashes > 0 { open - 1 } else { open };
        if text_from < text_to {
            pieces.push(Piece::Text(text_from..text_to));
        }
        if slashes == 1 {
            // `\{{` is text; two backslashes are one backslash and a tag.
            text_from = open;
            search_from = open + if at(text, open).starts_with("{{{{") { 4 } else { 2 };
            continue;
        }
        let tag = tag(text, open)
            .map_err(|message| TemplateProblem::at(Cursor::new(text).at(open), message))?;
        text_from = tag.span.end;
        search_from = text_from;
        pieces.push(Piece::Tag(tag));
    }
    if text_from < text.len() {
        pieces.push(Piece::Text(text_from..text.len()));
    }
    white_space(text, &mut pieces);
    Ok(pieces)
}

fn at(text: &str, offset: usize) -> &str {
    text.get(offset..).unwrap_or_default()
}

fn tag(text: &str, open: usize) -> Result<Tag, String> {
    let rest = at(text, open);
    if rest.starts_with("{{{{") {
        return Err("raw blocks ({{{{…}}}}) are not allowed; write \\{{ for braces".into());
    }
    let mut inner = open + 2;
    let mut trim = (false, false);
    let eat = |inner: &mut usize, sign: &str| {
        let there = at(text, *inner).starts_with(sign);
        *inner += if there { sign.len() } else { 0 };
        there
    };
    trim.0 = eat(&mut inner, "~");
    if eat(&mut inner, "!") {
        return comment(text, open, inner, trim.0);
    }
    let triple = eat(&mut inner, "{");
    while eat(&mut inner, " ") {}
    let sign = at(text, inner).chars().next().unwrap_or_default();
    let kind = match sign {
        _ if triple => TagKind::Value,
        '#' => TagKind::Open,
        '/' => TagKind::Close,
        '^' => TagKind::Else,
        '>' => TagKind::Partial,
        '*' => return Err("decorators ({{* …}}) are not allowed".into()),
        _ => TagKind::Value,
    };
    if !triple && "#/^>&".contains(sign) {
        inner += sign.len_utf8();
    }
    if kind == TagKind::Open {
        let after = at(text, inner).trim_start();
        if after.starts_with('>') {
            return Err("blocks of partials ({{#> …}}) are not allowed; write {{> name}}".into());
        }
        if after.starts_with('*') {
            return Err("decorators ({{#* …}}) are not allowed".into());
        }
    }
    let closed = close(text, inner).ok_or(NOT_CLOSED)?;
    let (mut inner_end, mut end) = (closed, closed + 2);
    if triple {
        let after = at(text, closed);
        if after.starts_with("}~}}") {
            trim.1 = true;
            end = closed + 4;
        } else if after.starts_with("}}}") {
            end = closed + 3;
        } else {
            return Err("{{{ must be closed by }}}".into());
        }
    }
    if text.get(inner..inner_end).is_some_and(|inside| inside.ends_with('~')) {
        trim.1 = true;
        inner_end -= 1;
    }
    let words = text.get(inner..inner_end).unwrap_or_default();
    let leading = words.len() - words.trim_start().len();
    let (mut kind, mut inner) =
        (kind, inner + leading..inner + words.trim_end().len().max(leading));
    let words = text.get(inner.clone()).unwrap_or_default();
    if kind == TagKind::Value
        && !triple
        && let Some(chain) = words.strip_prefix("else")
        && (chain.is_empty() || chain.starts_with(char::is_whitespace))
    {
        kind = TagKind::Else;
        inner.start = inner.end - chain.trim_start().len();
    }
    end = end.min(text.len());
    Ok(Tag { kind, inner, span: open..end, indent: None, trim })
}

const NOT_CLOSED: &str = "this {{ is not closed; write }} after it, or \\{{ when it is text";

fn comment(text: &str, open: usize, inner: usize, before: bool) -> Result<Tag, String> {
    let body = at(text, inner);
    let (length, trailer) = if body.starts_with("--") {
        // The dashes of the opening are not those of the closing.
        let found = body.get(2..).unwrap_or_default();
        let plain = found.find("--}}").map(|at| (at + 2, 4));
        let trimmed = found.find("--~}}").map(|at| (at + 2, 5));
        plain.into_iter().chain(trimmed).min().ok_or("this {{!-- is not closed by --}}")?
    } else {
        let length = body.find("}}").ok_or(NOT_CLOSED)?;
        if body.get(..length).is_some_and(|body| body.ends_with('~')) {
            (length - 1, 3)
        } else {
            (length, 2)
        }
    };
    let after = at(text, inner + length).trim_start_matches('-').starts_with('~');
    Ok(Tag {
        kind: TagKind::Comment,
        inner: inner..inner + length,
        span: open..inner + length + trailer,
        indent: None,
        trim: (before, after),
    })
}

/// The offset of the `}}` that closes a tag; quoted text and `[names]` may hold braces.
fn close(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut index = from;
    while let Some(byte) = bytes.get(index) {
        match byte {
            b'"' | b'\'' => {
                index += 1;
                while *bytes.get(index)? != *byte {
                    index += if bytes.get(index) == Some(&b'\\') { 2 } else { 1 };
                }
            }
            b'[' => {
                while *bytes.get(index)? != b']' {
                    index += 1;
                }
            }
            b'}' if bytes.get(index + 1) == Some(&b'}') => return Some(index),
            // A second opening shows that the first was forgotten, long before the end of the file.
            b'{' if bytes.get(index + 1) == Some(&b'{') => return None,
            _ => {}
        }
        index += 1;
    }
    None
}

/// `~` takes all white space next to a tag; a block tag, comment or partial alone on its line takes the line with it.
fn white_space(text: &str, pieces: &mut [Piece]) {
    let blank = [' ', '\t'];
    for index in 0..pieces.len() {
        let Some(Piece::Tag(tag)) = pieces.get(index) else { continue };
        let (before, after) = (text.get(..tag.span.start), text.get(tag.span.end..));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let trim = tag.trim;
        let line_start = before.trim_end_matches(blank);
        let line_rest = after.trim_start_matches(blank);
        let alone = tag.kind != TagKind::Value
            && (line_start.is_empty() || line_start.ends_with('\n'))
            && (after.is_empty() || line_rest.starts_with('\n') || line_rest.starts_with("\r\n"));
        let indent = line_start.len()..before.len();
        let newline = line_rest.find('\n').map_or(0, |at| at + 1);
        let line_end = tag.span.end + (after.len() - line_rest.len()) + newline;
        if let Some(Piece::Text(range)) = index.checked_sub(1).and_then(|i| pieces.get_mut(i)) {
            let kept = text.get(range.clone()).unwrap_or_default();
            if trim.0 {
                range.end = range.start + kept.trim_end().len();
            } else if alone {
                range.end = range.end.min(indent.start).max(range.start);
            }
        }
        if let Some(Piece::Text(range)) = pieces.get_mut(index + 1) {
            let kept = text.get(range.clone()).unwrap_or_default();
            if trim.1 {
                range.start = range.end - kept.trim_start().len();
            } else if alone {
                range.start = range.start.max(line_end).min(range.end);
            }
        }
        if alone && let Some(Piece::Tag(tag)) = pieces.get_mut(index) {
            tag.indent = Some(indent);
        }
    }
}

/// Refuses what has more tags than `most`.
pub(super) fn few_tags(pieces: &[Piece], most: usize) -> Problem<()> {
    let tags = pieces.iter().filter(|piece| matches!(piece, Piece::Tag(_))).count();
    if tags > most {
        return wrong(
            None,
            format!("the template has {tags} expressions; at most {most} are allowed"),
        );
    }
    Ok(())
}
