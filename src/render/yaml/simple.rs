//! PURE · the YAML that manifests are mostly written in, read straight into nodes: blocks, collections in brackets on one
//! line, scalars on one line and literal blocks.
//!
//! The general reader ([`super`]) spends most of its time on what such files don't have. This one knows nothing of
//! anchors, tags, folded blocks, values that run over several lines, or mistakes: at the first thing that it does not
//! know for certain it gives up, and the general reader reads the text from its beginning. So what comes out of here
//! must be what the general reader makes of the same text, places included; the tests compare the two.

mod scalars;

use serde_json::Value;

use super::limits::YamlLimits;
use crate::domain::document::{Key, Node, NodeValue, Position};

/// Up to so many members are compared one by one.
const FEW: usize = 12;

/// The documents of `text`, or nothing when it has anything but the simplest YAML.
pub(super) fn documents(
    text: &str,
    limits: &YamlLimits,
    place: &dyn Fn(Position) -> Position,
) -> Option<Vec<Node>> {
    let ascii = text.is_ascii();
    // A lone carriage return ends a line, a byte order mark is skipped: both are rare.
    if text.contains('\r') || (!ascii && text.contains('\u{feff}')) {
        return None;
    }
    let mut reader = Simple {
        text,
        bytes: text.as_bytes(),
        ascii,
        limits,
        place,
        at: 0,
        line: 1,
        begin: 0,
        indent: 0,
        next: Next::End,
        nodes: 0,
        size: 0,
        depth: 0,
    };
    reader.documents()
}

/// What the current line is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Something at [`Simple::indent`].
    Content,
    /// `---`.
    Marker,
    /// Nothing follows.
    End,
}

struct Simple<'t> {
    text: &'t str,
    bytes: &'t [u8],
    /// One byte is one column.
    ascii: bool,
    limits: &'t YamlLimits,
    place: &'t dyn Fn(Position) -> Position,
    /// The next byte.
    at: usize,
    /// Of it, from 1.
    line: usize,
    /// Where its line begins.
    begin: usize,
    /// Spaces before the line's content.
    indent: usize,
    next: Next,
    nodes: usize,
    size: usize,
    depth: usize,
}

impl Simple<'_> {
    fn documents(&mut self) -> Option<Vec<Node>> {
        let mut done = Vec::new();
        self.go_to_content()?;
        loop {
            match self.next {
                Next::End => return Some(done),
                Next::Marker => {
                    self.at += 3;
                    self.end_line()?;
                    self.go_to_content()?;
                }
                Next::Content => {
                    // Anything but a mapping is no manifest, and any other text before it is worth a second look.
                    if self.indent != 0 || done.len() >= self.limits.documents {
                        return None;
                    }
                    done.push(self.mapping(0)?);
                    if self.next == Next::Content {
                        return None;
                    }
                }
            }
        }
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn byte_after(&self, more: usize) -> Option<u8> {
        self.bytes.get(self.at + more).copied()
    }

    fn is_end_of_word(byte: Option<u8>) -> bool {
        matches!(byte, None | Some(b' ' | b'\n'))
    }

    /// The place of the next byte.
    fn here(&self) -> Position {
        let column = if self.ascii {
            self.at - self.begin
        } else {
            let before = self.bytes.get(self.begin..self.at).unwrap_or_default();
            // Bytes that begin a character.
            before.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
        };
        (self.place)(Position { line: self.line, column: column + 1 })
    }

    fn spend(&mut self, nodes: usize, bytes: usize) -> Option<()> {
        self.nodes += nodes;
        self.size += bytes;
        (self.nodes <= self.limits.values && self.size <= self.limits.expanded_bytes).then_some(())
    }

    fn enter(&mut self) -> Option<()> {
        self.spend(1, 0)?;
        self.depth += 1;
        (self.depth <= self.limits.nesting).then_some(())
    }

    fn skip_spaces(&mut self) {
        while self.byte() == Some(b' ') {
            self.at += 1;
        }
    }

    /// To the line break, or the end.
    fn skip_line(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }

    /// Over the line break.
    fn next_line(&mut self) {
        self.at += 1;
        self.line += 1;
        self.begin = self.at;
    }

    /// Nothing but spaces and a comment may follow on this line.
    fn end_line(&mut self) -> Option<()> {
        let from = self.at;
        self.skip_spaces();
        match self.byte() {
            None | Some(b'\n') => Some(()),
            Some(b'#') if self.at > from => {
                self.skip_line();
                Some(())
            }
            Some(_) => None,
        }
    }

    /// From the end of a line, or the beginning of the text, to the next line that holds something.
    fn go_to_content(&mut self) -> Option<()> {
        if self.byte() == Some(b'\n') {
            self.next_line();
        }
        loop {
            let line = self.at;
            self.skip_spaces();
            self.indent = self.at - line;
            match self.byte() {
                None => {
                    self.next = Next::End;
                    return Some(());
                }
                Some(b'\n') => self.next_line(),
                Some(b'#') => {
                    self.skip_line();
                    if self.byte().is_some() {
                        self.next_line();
                    }
                }
                Some(b'\t') => return None,
                Some(first) => {
                    self.next = Next::Content;
                    if self.indent == 0 && matches!(first, b'-' | b'.') {
                        let same = (1..3).all(|more| self.byte_after(more) == Some(first));
                        if same && Self::is_end_of_word(self.byte_after(3)) {
                            self.next = Next::Marker;
                            // What `...` ends may go on in ways of its own.
                            return (first == b'-').then_some(());
                        }
                    }
                    return Some(());
                }
            }
        }
    }

    fn is_dash(&self) -> bool {
        self.byte() == Some(b'-') && Self::is_end_of_word(self.byte_after(1))
    }

    /// A mapping whose keys stand `column` bytes from the beginning of their lines; the first one is here.
    fn mapping(&mut self, column: usize) -> Option<Node> {
        let position = self.here();
        let name = self.key(false)?;
        self.members(column, position, Key { name, position })
    }

    /// The same when the first key was read already.
    fn members(&mut self, column: usize, position: Position, first: Key) -> Option<Node> {
        self.enter()?;
        let mut members = Vec::with_capacity(4);
        let mut key = first;
        loop {
            let colon = self.here();
            if self.byte() != Some(b':') || !Self::is_end_of_word(self.byte_after(1)) {
                return None;
            }
            self.at += 1;
            let value = self.value(column, colon, false)?;
            members.push((key, value));
            if self.next != Next::Content || self.indent < column {
                break;
            }
            if self.indent > column {
                return None;
            }
            let position = self.here();
            key = Key { name: self.key(false)?, position };
        }
        self.depth -= 1;
        distinct(&members)?;
        Some(Node { value: NodeValue::Mapping(members), position })
    }

    /// A list whose dashes stand `column` bytes from the beginning of their lines; the first one is here.
    ///
    /// To the general reader a dash stands where what follows it on its line begins. That is the place of a list only
    /// when the list is not further to the right than the key it belongs to.
    fn list(&mut self, column: usize, indented: bool) -> Option<Node> {
        self.enter()?;
        let mut position = self.here();
        if !indented {
            let dash = self.at;
            self.at += 1;
            self.skip_spaces();
            if self.byte() == Some(b'#') {
                self.skip_line();
            }
            position = self.here();
            self.at = dash;
        }
        let mut elements = Vec::with_capacity(2);
        loop {
            self.at += 1;
            elements.push(self.value(column, Position::default(), true)?);
            if self.next != Next::Content || self.indent < column {
                break;
            }
            if self.indent > column {
                return None;
            }
            if !self.is_dash() {
                break;
            }
        }
        self.depth -= 1;
        Some(Node { value: NodeValue::Sequence(elements), position })
    }

    /// What stands after a colon or dash, up to the next line that holds something. It belongs to a collection at
    /// `column`; `colon` is the place of the colon, if it is one.
    fn value(&mut self, column: usize, colon: Position, in_list: bool) -> Option<Node> {
        let from = self.at;
        self.skip_spaces();
        let position = self.here();
        match self.byte() {
            None | Some(b'\n' | b'#') => {
                self.at = from;
                return self.value_below(column, colon, in_list);
            }
            Some(b'|') => return self.literal(column),
            Some(b'-') if in_list && self.is_dash() => {
                return self.list(self.at - self.begin, true);
            }
            _ => {}
        }
        let node = match self.byte()? {
            b'{' | b'[' => self.flow()?,
            _ => {
                let begin = self.at - self.begin;
                let (text, plain) = self.scalar(false)?;
                if in_list && self.byte() == Some(b':') {
                    let name = self.name(&text, plain)?;
                    return self.members(begin, position, Key { name, position });
                }
                self.node(&text, plain, position)?
            }
        };
        self.end_line()?;
        self.go_to_content()?;
        // A line further to the right continues a scalar, or is a mistake.
        (self.next != Next::Content || self.indent <= column).then_some(node)
    }

    /// A value that begins on a line of its own, or none at all.
    fn value_below(&mut self, column: usize, colon: Position, in_list: bool) -> Option<Node> {
        self.end_line()?;
        let position = if in_list { self.here() } else { colon };
        self.go_to_content()?;
        if self.next == Next::Content {
            let indent = self.indent;
            if indent > column {
                return if self.is_dash() { self.list(indent, true) } else { self.mapping(indent) };
            }
            if indent == column && !in_list && self.is_dash() {
                return self.list(indent, false);
            }
        }
        self.spend(1, 1)?;
        Some(Node { value: NodeValue::Scalar(Value::Null), position })
    }

    /// Text after `|`. It stands where its first letter stands.
    fn literal(&mut self, column: usize) -> Option<Node> {
        self.at += 1;
        let strip = self.byte() == Some(b'-');
        if strip {
            self.at += 1;
        }
        self.skip_spaces();
        if self.byte() != Some(b'\n') {
            return None;
        }
        self.next_line();
        let mut text = String::new();
        let mut position = Position::default();
        let mut indent = None;
        let mut breaks = 0;
        loop {
            self.skip_spaces();
            let spaces = self.at - self.begin;
            match self.byte() {
                None if spaces > 0 => return None,
                None => break,
                Some(b'\n') => {
                    // More spaces than the text is indented by belong to it.
                    if spaces > indent.unwrap_or(0) {
                        return None;
                    }
                    breaks += 1;
                    self.next_line();
                }
                Some(first) => {
                    let from = match indent {
                        Some(indent) if spaces < indent => break,
                        Some(indent) => indent,
                        None if spaces <= column || first == b'\t' => return None,
                        None => {
                            position = self.here();
                            *indent.insert(spaces)
                        }
                    };
                    text.extend(std::iter::repeat_n('\n', breaks));
                    let start = self.begin + from;
                    self.skip_line();
                    text.push_str(self.text.get(start..self.at)?);
                    // A text that the end of the file cuts off is read in more than one way.
                    self.byte()?;
                    breaks = 1;
                    self.next_line();
                }
            }
        }
        indent?;
        if !strip {
            text.push('\n');
        }
        self.at = self.begin;
        self.go_to_content()?;
        if self.next == Next::Content && self.indent > column {
            return None;
        }
        self.spend(1, text.len())?;
        Some(Node { value: NodeValue::Scalar(Value::String(text)), position })
    }

    /// A collection in brackets that ends on this line.
    fn flow(&mut self) -> Option<Node> {
        self.enter()?;
        let position = self.here();
        let is_list = self.byte() == Some(b'[');
        let close = if is_list { b']' } else { b'}' };
        let (mut elements, mut members) = (Vec::new(), Vec::new());
        self.at += 1;
        self.skip_spaces();
        if self.byte() != Some(close) {
            loop {
                if is_list {
                    elements.push(self.flow_value()?);
                } else {
                    let position = self.here();
                    let name = self.key(true)?;
                    if self.byte() != Some(b':') || self.byte_after(1) != Some(b' ') {
                        return None;
                    }
                    self.at += 1;
                    self.skip_spaces();
                    members.push((Key { name, position }, self.flow_value()?));
                }
                self.skip_spaces();
                match self.byte()? {
                    b',' => {
                        self.at += 1;
                        self.skip_spaces();
                    }
                    byte if byte == close => break,
                    _ => return None,
                }
            }
        }
        self.at += 1;
        self.depth -= 1;
        let value = if is_list {
            NodeValue::Sequence(elements)
        } else {
            distinct(&members)?;
            NodeValue::Mapping(members)
        };
        Some(Node { value, position })
    }

    fn flow_value(&mut self) -> Option<Node> {
        if matches!(self.byte()?, b'{' | b'[') {
            return self.flow();
        }
        let position = self.here();
        let (text, plain) = self.scalar(true)?;
        self.node(&text, plain, position)
    }
}

/// A key that comes twice is a mistake, and the general reader says where.
fn distinct(members: &[(Key, Node)]) -> Option<()> {
    if members.len() <= FEW {
        let twice = members.iter().enumerate().any(|(index, (key, _))| {
            members.iter().take(index).any(|(other, _)| other.name == key.name)
        });
        return (!twice).then_some(());
    }
    let mut names: Vec<&str> = members.iter().map(|(key, _)| key.name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).all(|pair| pair.first() != pair.last()).then_some(())
}
