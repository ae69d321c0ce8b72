//! PURE · what Helm and Kustomize print: documents with their origin, errors without values, fields that differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::tools::{RandomOutput, ToolDocument};
use super::yaml::{self, YamlLimits};
use crate::domain::document::{Node, Position, pointer_token};

/// Fields that are reported as random; a bundle with more of them has other worries.
const MAX_RANDOM: usize = 1000;
/// Characters of an error that are shown.
const MAX_MESSAGE: usize = 400;

/// YAML by the rules of this program; the one place where tools meet our parser.
pub(super) fn parse(bytes: &[u8], max_bytes: usize) -> Result<Vec<Node>, (Position, String)> {
    yaml::documents(bytes, &YamlLimits::of_file(max_bytes))
        .map_err(|problem| (problem.position, problem.message))
}

/// One piece of a stream, with the `# Source:` its first line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// As Helm names it: `chart/templates/x.yaml`.
    pub(super) source: Option<&'a str>,
    /// The document without separator and without that line.
    pub(super) yaml: &'a str,
}

/// Splits a stream at lines that begin with `---`: at that column YAML has nothing else that begins so.
///
/// A document without a `# Source:` of its own came from the same file as the one before it.
pub(super) fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut source = None;
    let mut begin = 0;
    let mut at = 0;
    let mut push = |from: usize, to: usize| {
        let mut yaml = text.get(from..to).unwrap_or_default();
        if let Some(rest) = yaml.strip_prefix("# Source: ") {
            let (name, below) = rest.split_once('\n').unwrap_or((rest, ""));
            source = Some(name.trim_end());
            yaml = below;
        }
        let holds = |line: &str| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with('#') && line != "..."
        };
        if yaml.lines().any(holds) {
            pieces.push(Piece { source, yaml });
        }
    };
    for line in text.split_inclusive('\n') {
        let ending = line.strip_prefix("---");
        if ending.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
            push(begin, at);
            // What follows on the same line (`--- {a: 1}`) is part of the document.
            begin = at + 3;
            if ending.is_some_and(|rest| rest.trim().is_empty()) {
                begin = at + line.len();
            }
        }
        at += line.len();
    }
    push(begin, text.len());
    pieces
}

/// Fields of `first` that are not the same in `second`, each as index and JSON pointer. Documents are matched by file,
/// kind and order, because a random name may change the order of a whole bundle.
pub(super) fn differences(
    first: &[ToolDocument],
    second: &[ToolDocument],
    max_bytes: usize,
) -> Vec<RandomOutput> {
    let mut others: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
    for document in second {
        let value = value_of(document, max_bytes);
        others.entry(place_of(document, &value)).or_default().push(value);
    }
    for list in others.values_mut() {
        list.reverse();
    }
    let mut found = Vec::new();
    for (index, document) in first.iter().enumerate() {
        let value = value_of(document, max_bytes);
        let other = others.get_mut(&place_of(document, &value)).and_then(Vec::pop);
        let mut pointers = BTreeSet::new();
        match other {
            Some(other) => compare(&value, &other, &mut String::new(), &mut pointers),
            None => {
                pointers.insert(String::new());
            }
        }
        found.extend(pointers.into_iter().map(|pointer| RandomOutput { document: index, pointer }));
        if found.len() >= MAX_RANDOM {
            found.truncate(MAX_RANDOM);
            break;
        }
    }
    found
}

/// The document, or its text when it is no YAML: the core refuses it with its place.
fn value_of(document: &ToolDocument, max_bytes: usize) -> Value {
    match parse(document.yaml.as_bytes(), max_bytes) {
        Ok(nodes) => nodes.iter().map(Node::to_json).collect(),
        Err(_) => Value::from(document.yaml.as_str()),
    }
}

fn place_of(document: &ToolDocument, value: &Value) -> (String, String) {
    let kind = value.pointer("/0/kind").and_then(Value::as_str).unwrap_or_default();
    (document.file.clone(), kind.to_owned())
}

/// `value` is a list of documents, which is one document for all that is known here: its index is left out.
fn compare(value: &Value, other: &Value, pointer: &mut String, found: &mut BTreeSet<String>) {
    match (value, other) {
        (Value::Array(one), Value::Array(two)) => {
            if let ([one], [two]) = (one.as_slice(), two.as_slice()) {
                return below(one, two, pointer, found);
            }
            if value != other {
                found.insert(String::new());
            }
        }
        _ if value == other => {}
        _ => {
            found.insert(String::new());
        }
    }
}

fn below(one: &Value, two: &Value, pointer: &mut String, found: &mut BTreeSet<String>) {
    if one == two {
        return;
    }
    let length = pointer.len();
    match (one, two) {
        (Value::Object(one), Value::Object(two)) if two.keys().all(|key| one.contains_key(key)) => {
            for (key, value) in one {
                pointer.push('/');
                pointer.push_str(&pointer_token(key));
                match two.get(key) {
                    Some(other) => below(value, other, pointer, found),
                    None => {
                        found.insert(pointer.clone());
                    }
                }
                pointer.truncate(length);
            }
        }
        (Value::Array(one), Value::Array(two)) if one.len() == two.len() => {
            for (index, (value, other)) in one.iter().zip(two).enumerate() {
                pointer.push('/');
                pointer.push_str(&index.to_string());
                below(value, other, pointer, found);
                pointer.truncate(length);
            }
        }
        _ => {
            found.insert(pointer.clone());
        }
    }
}

/// Texts that a message must not repeat.
#[derive(Clone, Debug, Default)]
pub(super) struct Secrets(BTreeSet<String>);

impl Secrets {
    /// Every string in `node` that could be more than a word of the language.
    pub(super) fn add(&mut self, node: &Node) {
        self.add_value(&node.to_json());
    }

    pub(super) fn add_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                let text = text.trim();
                if (5..=10_000).contains(&text.len()) {
                    self.0.insert(text.to_owned());
                }
            }
            Value::Array(all) => all.iter().for_each(|value| self.add_value(value)),
            Value::Object(all) => all.values().for_each(|value| self.add_value(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// `message` on one line, short, with `…` for every value.
    pub(super) fn out_of(&self, message: &str) -> String {
        let mut text = message.split_whitespace().collect::<Vec<_>>().join(" ");
        // Long ones first: a value may hold another.
        let mut values: Vec<&String> =
            self.0.iter().filter(|value| text.contains(value.as_str())).collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        for value in values {
            text = text.replace(value.as_str(), "…");
        }
        text = text.chars().filter(|c| !c.is_control()).collect();
        if text.chars().count() > MAX_MESSAGE {
            text = text.chars().take(MAX_MESSAGE).collect::<String>() + " …";
        }
        text
    }
}

/// `path:line` or `path:line:column` at the beginning of `text`, with what follows.
pub(super) fn leading_place(text: &str) -> Option<(&str, usize, &str)> {
    let (path, rest) = text.split_once(':')?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let line = rest.get(..digits)?.parse().ok()?;
    let rest = rest.get(digits..)?;
    let column = rest.strip_prefix(':').map_or(0, |more| {
        let digits = more.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 { 0 } else { digits + 1 }
    });
    (!path.is_empty() && !path.contains(char::is_whitespace))
        .then(|| (path, line, rest.get(column..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(file: &str, yaml: &str) -> ToolDocument {
        ToolDocument { file: file.into(), yaml: yaml.into() }
    }

    #[test]
    fn a_stream_is_split_with_the_file_of_each_document() {
        let text = "---\n# Source: a/templates/x.yaml\nkind: A\ntext: |\n  ---\n  # Source: no\n---\n\
                    kind: B\n---\n# Source: a/crds/y.yaml\n# only this\n---\nkind: C\n--- {kind: D}\n";
        let pieces = split(text);
        let short: Vec<_> = pieces.iter().map(|p| (p.source, p.yaml.trim())).collect();
        assert_eq!(
            short,
            [
                (Some("a/templates/x.yaml"), "kind: A\ntext: |\n  ---\n  # Source: no"),
                (Some("a/templates/x.yaml"), "kind: B"),
                (Some("a/crds/y.yaml"), "kind: C"),
                (Some("a/crds/y.yaml"), "{kind: D}"),
            ]
        );
        assert_eq!(split(""), []);
        assert_eq!(split("---\n---\n"), []);
    }

    #[test]
    fn fields_that_differ_are_named_by_document_and_pointer() {
        let one = [
            document("t/s.yaml", "kind: Secret\ndata:\n  a/b: one\n  same: x\nlist: [1, 2]\n"),
            document("t/s.yaml", "kind: Job\nmetadata: {name: x-1}\n"),
            document("t/t.yaml", "kind: Job\nonly: here\n"),
        ];
        let two = [
            document("t/s.yaml", "kind: Job\nmetadata: {name: x-2}\n"),
            document("t/s.yaml", "kind: Secret\ndata:\n  a/b: two\n  same: x\nlist: [1, 2, 3]\n"),
        ];
        let found: Vec<_> = differences(&one, &two, 1 << 20)
            .into_iter()
            .map(|random| (random.document, random.pointer))
            .collect();
        let expected = [(0, "/data/a~1b"), (0, "/list"), (1, "/metadata/name"), (2, "")];
        assert_eq!(found, expected.map(|(index, pointer)| (index, pointer.to_owned())));
        assert_eq!(differences(&one, &one, 1 << 20), []);
    }

    #[test]
    fn values_are_taken_out_of_messages_long_ones_first() {
        let mut secrets = Secrets::default();
        let nodes = parse(b"a: hunter22\nb: [hunter22-long]\nc: x\n", 100).expect("valid");
        for node in &nodes {
            secrets.add(node);
        }
        let message = "bad  value \"hunter22-long\"\n  or hunter22, x stays";
        assert_eq!(secrets.out_of(message), "bad value \"…\" or …, x stays");
        assert!(secrets.out_of(&"y".repeat(5000)).chars().count() < 500);
    }

    #[test]
    fn a_place_is_read_from_the_beginning() {
        assert_eq!(leading_place("c/t/x.yaml:3:14: why"), Some(("c/t/x.yaml", 3, ": why")));
        assert_eq!(leading_place("c/t/x.yaml:3: why"), Some(("c/t/x.yaml", 3, ": why")));
        assert_eq!(leading_place("c/t/x.yaml:3"), Some(("c/t/x.yaml", 3, "")));
        for none in ["why", "a b:3", "x:y", ":3", "x:99999999999999999999999"] {
            assert_eq!(leading_place(none), None, "{none}");
        }
    }
}
