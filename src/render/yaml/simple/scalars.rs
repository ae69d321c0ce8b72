//! PURE · scalars on one line, and what they stand for.

use std::borrow::Cow;

use serde_json::Value;

use super::super::key_name;
use super::super::scalar::{self, Scalar};
use super::Simple;
use crate::domain::document::{Node, NodeValue, Position};

/// A key may be as long as this; longer ones are the general reader's.
const MAX_KEY: usize = 200;

impl<'t> Simple<'t> {
    pub(super) fn node(&mut self, text: &str, plain: bool, position: Position) -> Option<Node> {
        self.spend(1, text.len())?;
        let value = if plain {
            match scalar::resolve(text, true, None).ok()? {
                Scalar::Value(value) => value,
                Scalar::Merge => return None,
            }
        } else {
            Value::from(text)
        };
        Some(Node { value: NodeValue::Scalar(value), position })
    }

    pub(super) fn key(&mut self, flow: bool) -> Option<String> {
        let (text, plain) = self.scalar(flow)?;
        self.name(&text, plain)
    }

    pub(super) fn name(&mut self, text: &str, plain: bool) -> Option<String> {
        if text.len() > MAX_KEY {
            return None;
        }
        self.spend(1, text.len())?;
        if !plain {
            return Some(text.to_owned());
        }
        match scalar::resolve(text, true, None).ok()? {
            Scalar::Value(value) => key_name(value, Position::default()).ok(),
            Scalar::Merge => None,
        }
    }

    /// A scalar on this line, and whether it stands without quotes.
    pub(super) fn scalar(&mut self, flow: bool) -> Option<(Cow<'t, str>, bool)> {
        match self.byte()? {
            b'"' => Some((self.double_quoted()?, false)),
            b'\'' => Some((self.single_quoted()?, false)),
            _ => Some((Cow::Borrowed(self.plain(flow)?), true)),
        }
    }

    /// Text without quotes; the cursor stands behind its last letter.
    pub(super) fn plain(&mut self, flow: bool) -> Option<&'t str> {
        let begins = match self.byte()? {
            b'-' => match self.byte_after(1)? {
                b'-' => self.byte_after(2)?.is_ascii_alphanumeric(),
                second => second.is_ascii_alphanumeric(),
            },
            b'_' | b'/' | b'.' | b'$' | b'(' | b'+' | b'=' | b'~' | b'<' | b'\\' | b'^' | b';' => {
                true
            }
            first => first.is_ascii_alphanumeric() || first >= 0x80,
        };
        if !begins {
            return None;
        }
        let start = self.at;
        let mut end = start;
        let mut before = b' ';
        for (index, byte) in self.bytes.iter().enumerate().skip(start) {
            match byte {
                b'\n' => break,
                b'\t' => return None,
                b':' => match self.bytes.get(index + 1) {
                    None | Some(b' ' | b'\n') => break,
                    Some(b'\t') => return None,
                    Some(b',' | b'[' | b']' | b'{' | b'}') if flow => return None,
                    Some(_) => {}
                },
                b'#' if before == b' ' => break,
                b',' | b'[' | b']' | b'{' | b'}' if flow && before == b'-' => return None,
                b',' | b'[' | b']' | b'{' | b'}' if flow => break,
                _ => {}
            }
            before = *byte;
            if before != b' ' {
                end = index + 1;
            }
        }
        self.at = end;
        self.text.get(start..end)
    }

    pub(super) fn double_quoted(&mut self) -> Option<Cow<'t, str>> {
        self.at += 1;
        let mut start = self.at;
        let mut text = Cow::Borrowed("");
        loop {
            let byte = self.byte()?;
            match byte {
                b'"' | b'\\' => {
                    let piece = self.text.get(start..self.at)?;
                    if text.is_empty() {
                        text = Cow::Borrowed(piece);
                    } else {
                        text.to_mut().push_str(piece);
                    }
                    self.at += 1;
                    if byte == b'"' {
                        return Some(text);
                    }
                    text.to_mut().push(match self.byte()? {
                        b'n' => '\n',
                        b't' => '\t',
                        b'"' => '"',
                        b'\\' => '\\',
                        _ => return None,
                    });
                    self.at += 1;
                    start = self.at;
                }
                b'\n' | b'\t' => return None,
                _ => self.at += 1,
            }
        }
    }

    pub(super) fn single_quoted(&mut self) -> Option<Cow<'t, str>> {
        self.at += 1;
        let mut start = self.at;
        let mut text = Cow::Borrowed("");
        loop {
            match self.byte()? {
                b'\'' => {
                    let piece = self.text.get(start..self.at)?;
                    if text.is_empty() {
                        text = Cow::Borrowed(piece);
                    } else {
                        text.to_mut().push_str(piece);
                    }
                    self.at += 1;
                    if self.byte() != Some(b'\'') {
                        return Some(text);
                    }
                    text.to_mut().push('\'');
                    self.at += 1;
                    start = self.at;
                }
                b'\n' | b'\t' => return None,
                _ => self.at += 1,
            }
        }
    }
}
