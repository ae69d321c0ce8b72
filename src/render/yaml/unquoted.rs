//! PURE · a filled template → the values that landed without quotes and mean something else than the text they are.

use std::fmt::Write as _;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};
use serde_json::Value;

use super::scalar::{self, Scalar};
use super::{YamlLimits, text_of};
use crate::domain::document::Position;
use crate::render::handlebars::Filled;

/// Variables whose text is letters for one commit and a number for the next.
const SOMETIMES_NUMBERS: [&str; 2] = ["commit.short", "branch.slug"];
/// More than anybody reads.
const MAX_FINDINGS: usize = 100;

/// A value of a template that should stand in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unquoted {
    /// Its place in the template.
    pub(crate) position: Position,
    /// Where it is in the document: `spec.template.metadata.labels.version`.
    pub(crate) path: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do.
    pub(crate) hint: String,
}

enum Frame {
    List(usize),
    Group { key: Option<String>, key_line: usize },
}

/// The findings of one filled template, in its order. A text that is no YAML has none: it is refused elsewhere.
pub(crate) fn unquoted(filled: &Filled, limits: &YamlLimits) -> Vec<Unquoted> {
    let mut found = Vec::new();
    let Ok(text) = text_of(filled.text.as_bytes(), limits) else { return found };
    if super::bounded_brackets(text, limits).is_err() {
        return found;
    }
    let mut frames: Vec<Frame> = Vec::new();
    let mut parser = Parser::new_from_str(text);
    while let Some(Ok((event, span))) = parser.next_event() {
        let (from, to) = (place(&span.start), place(&span.end));
        match event {
            Event::SequenceStart(..) => frames.push(Frame::List(0)),
            Event::MappingStart(..) => {
                frames.push(Frame::Group { key: None, key_line: 0 });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                frames.pop();
                ended(&mut frames, None, from.line);
            }
            Event::Alias(_) => ended(&mut frames, None, from.line),
            Event::Scalar(text, style, _, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                if plain && let Some((message, name)) = judged(filled, &text, from, to, &frames) {
                    found.push(Unquoted {
                        position: filled.place(from),
                        path: path(&frames),
                        message,
                        hint: format!("put it in quotes: {{{{quote {name}}}}}"),
                    });
                }
                ended(&mut frames, Some(&text), from.line);
            }
            _ => {}
        }
        if frames.len() > limits.nesting || found.len() >= MAX_FINDINGS {
            break;
        }
    }
    found
}

fn place(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

/// What is wrong with one scalar without quotes, and the expression that made it.
fn judged(
    filled: &Filled,
    text: &str,
    from: Position,
    to: Position,
    frames: &[Frame],
) -> Option<(String, String)> {
    if text.is_empty() {
        let Some(Frame::Group { key: Some(_), key_line }) = frames.last() else {
            return None;
        };
        let name = filled.empty_on(*key_line)?;
        let message =
            format!("{name} is empty and stands without quotes: it is read as nothing (null)");
        return Some((message, name.to_owned()));
    }
    let between = filled.between(from, to)?;
    let name = between.written.name.clone();
    let read = match scalar::resolve(text, true, None) {
        Ok(Scalar::Value(Value::Null)) => Some("nothing (null)"),
        Ok(Scalar::Value(Value::Bool(_))) => Some("a truth value"),
        // Infinity is refused as a number.
        Ok(Scalar::Value(Value::Number(_))) | Err(_) => Some("a number"),
        Ok(Scalar::Merge) => Some("a merge key"),
        Ok(Scalar::Value(_)) => None,
    };
    let said = match read {
        Some(_) if !between.written.string => return None,
        Some(read) => format!("{name} is text that stands without quotes: it is read as {read}"),
        None if scalar::looks_like_another_type(text) => {
            format!(
                "{name} stands without quotes: some readers of YAML take it for a number or a time"
            )
        }
        None if between.alone && SOMETIMES_NUMBERS.contains(&name.as_str()) => {
            format!(
                "{name} stands without quotes: it is read as a number when it looks like one (1234567)"
            )
        }
        None => return None,
    };
    Some((said, name))
}

fn ended(frames: &mut [Frame], text: Option<&str>, line: usize) {
    match frames.last_mut() {
        None => {}
        Some(Frame::List(index)) => *index += 1,
        // A group takes a key and a value by turns.
        Some(Frame::Group { key, key_line }) => {
            *key = match key {
                Some(_) => None,
                None => Some(text.unwrap_or("?").chars().take(80).collect()),
            };
            *key_line = line;
        }
    }
}

fn path(frames: &[Frame]) -> String {
    let mut out = String::new();
    for frame in frames {
        match frame {
            Frame::List(index) => {
                let _ = write!(out, "[{index}]");
            }
            Frame::Group { key: Some(key), .. } => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(key);
            }
            Frame::Group { key: None, .. } => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::handlebars::{Partials, fill};
    use serde_json::json;

    fn findings(template: &str) -> Vec<String> {
        let context = json!({
            "commit": {"short": "0123456"}, "branch": {"slug": "fix"}, "pr": {"number": 7}, "env": {"name": "shop-pr-7"},
            "params": {"mode": "0755", "on": "yes", "real": true, "none": "", "day": "2026-01-02", "hash": "123e4567",
                "null": "null", "time": "12:30", "thousand": "1_000", "word": "x"},
        });
        let limits = YamlLimits::default();
        let filled = fill(template.as_bytes(), &context, 10_000, &Partials::default());
        unquoted(&filled.expect(template), &limits)
            .into_iter()
            .map(|f| format!("{} {}: {}; {}", f.position, f.path, f.message, f.hint))
            .collect()
    }

    #[test]
    fn text_that_is_read_as_something_else_is_named_with_line_and_key() {
        for (value, read) in [
            ("params.mode", "a number"),
            ("params.on", "a truth value"),
            ("params.null", "nothing (null)"),
            ("params.thousand", "a number"),
        ] {
            let template = format!("a:\n  b:\n    - x\n    - c: {{{{{value}}}}}\n");
            let wanted = format!(
                "4:10 a.b[1].c: {value} is text that stands without quotes: it is read as {read}; put it in quotes: \
                 {{{{quote {value}}}}}"
            );
            assert_eq!(findings(&template), [wanted]);
        }
        for value in ["params.day", "params.hash", "params.time"] {
            let found = findings(&format!("a: {{{{{value}}}}}\n"));
            assert!(found.len() == 1 && found[0].contains("some readers"), "{found:?}");
        }
        let found = findings("a: 1\nb: {{params.none}}\nc: 2\n");
        assert!(
            found.len() == 1 && found[0].starts_with("2:2 b: params.none is empty"),
            "{found:?}"
        );
        let found = findings("on: {{branch.slug}}\n");
        assert!(
            found.len() == 1 && found[0].starts_with("1:5 on: branch.slug stands"),
            "{found:?}"
        );
        assert_eq!(findings("{{commit.short}}: 1\n").len(), 1);
        assert_eq!(findings("- [{{params.mode}}, {{params.on}}]\n").len(), 2);
        assert_eq!(findings("a: {{params.mode}}0\n").len(), 1);
    }

    #[test]
    fn what_is_quoted_a_number_anyway_or_part_of_a_word_is_fine() {
        for fine in [
            "a: \"{{params.mode}}\"\nb: {{quote params.on}}\nc: '{{commit.short}}'\n",
            "a: {{pr.number}}\nb: {{params.real}}\n",
            "a: v{{commit.short}}\nb: repo:{{commit.short}}\n",
            "a: |\n  {{params.mode}}\n",
            "a: {{env.name}} # {{params.mode}}\n",
            "a: {{params.word}}\n",
            "a: 0755\nb: yes\n",
            "a: '{{params.none}}'\nb: x{{params.none}}\n",
            "a: [",
        ] {
            assert_eq!(findings(fine), Vec::<String>::new(), "{fine}");
        }
    }
}
