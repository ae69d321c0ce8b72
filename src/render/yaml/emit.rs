//! PURE · values → YAML text that every reader (Go's, YAML 1.1's, YAML 1.2's) reads back as the same values.

use std::fmt::Write as _;

use serde_json::Value;

use super::scalar::{self, Scalar};

/// Block style, keys in the order of the alphabet, no line break at the end.
pub(crate) fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, true, &mut out);
    if out.ends_with('\n') {
        out.pop();
    }
    out
}

/// `at_start`: the first line is begun already and indented to `depth`.
fn block(value: &Value, depth: usize, at_start: bool, out: &mut String) {
    let mut at_start = at_start;
    let mut begin = |out: &mut String| {
        if !std::mem::take(&mut at_start) {
            out.extend(std::iter::repeat_n(' ', depth));
        }
    };
    match value {
        Value::Array(elements) if !elements.is_empty() => {
            for element in elements {
                begin(out);
                out.push_str("- ");
                block(element, depth + 2, true, out);
            }
        }
        Value::Object(members) if !members.is_empty() => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            for (name, member) in members {
                begin(out);
                out.push_str(&text(name));
                out.push(':');
                if is_block(member) {
                    out.push('\n');
                    block(member, depth + 2, false, out);
                } else {
                    out.push(' ');
                    block(member, depth + 2, true, out);
                }
            }
        }
        Value::Array(_) => out.push_str("[]\n"),
        Value::Object(_) => out.push_str("{}\n"),
        Value::String(string) => {
            out.push_str(&text(string));
            out.push('\n');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            let _ = writeln!(out, "{value}");
        }
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Array(elements) => !elements.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => false,
    }
}

/// Without quotes only where no reader takes it for something else.
fn text(string: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    let is_plain = string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && string.chars().all(plain)
        && matches!(scalar::resolve(string, true, None), Ok(Scalar::Value(Value::String(_))));
    if is_plain { string.to_owned() } else { quoted(string) }
}

/// In double quotes: JSON's escapes, which are YAML's too.
pub(crate) fn quoted(string: &str) -> String {
    escaped_json(&Value::from(string).to_string())
}

/// JSON text in which no character is left that YAML does not take as it stands.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // All of them are in strings: JSON has nothing but ASCII outside.
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}
