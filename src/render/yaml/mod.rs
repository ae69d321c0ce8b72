//! PURE · YAML text → documents whose nodes know their places, read as `sigs.k8s.io/yaml` reads it (what kubectl and
//! the API server use), so that a manifest means here what it means there.
//!
//! Stricter than Go: a key that comes twice, an unknown tag and values JSON can't hold are errors. Hostile texts end
//! early: bytes, depth and the number of nodes *after* aliases were followed are bounded.

pub(crate) mod emit;
mod indented;
#[cfg(test)]
mod kubectl_table;
mod limits;
mod scalar;
mod simple;
#[cfg(test)]
mod simple_tests;
mod text;
mod unquoted;

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use serde_json::Value;

use super::handlebars::Filled;
use crate::domain::document::{Key, Node, NodeValue, Position};
use scalar::Scalar;

pub use limits::{YamlLimit, YamlLimits};
pub(crate) use unquoted::unquoted;

/// What is wrong with a text and where. Never quotes the text, which may hold a secret; keys are quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlProblem {
    /// Where.
    pub(crate) position: Position,
    /// What, and what to do.
    pub(crate) message: String,
    /// The limit that was reached, when it is one.
    pub(crate) limit: Option<YamlLimit>,
}

type Read<T> = Result<T, YamlProblem>;

fn wrong<T>(position: Position, message: impl Into<String>) -> Read<T> {
    Err(YamlProblem { position, message: message.into(), limit: None })
}

fn too_much<T>(position: Position, limit: YamlLimit, limits: &YamlLimits) -> Read<T> {
    Err(YamlProblem { position, message: limit.message(limits), limit: Some(limit) })
}

/// All documents of `bytes` that hold something.
pub(crate) fn documents(bytes: &[u8], limits: &YamlLimits) -> Read<Vec<Node>> {
    read(bytes, limits, &|position| position)
}

/// The same for a filled template: all places are those of the template.
pub(crate) fn filled_documents(filled: &Filled, limits: &YamlLimits) -> Read<Vec<Node>> {
    read(filled.text.as_bytes(), limits, &|position| filled.place(position))
}

fn read(
    bytes: &[u8],
    limits: &YamlLimits,
    place: &dyn Fn(Position) -> Position,
) -> Read<Vec<Node>> {
    let found = text::text_of(bytes, limits).and_then(|text| {
        // Most files are simple, and read several times faster as such.
        match simple::documents(text, limits, place) {
            Some(documents) => Ok(documents),
            None => general(text, limits, place),
        }
    });
    found.map_err(|Failure { mut problem, placed, .. }| {
        if !placed {
            problem.position = place(problem.position);
        }
        problem
    })
}

/// Reads YAML of any kind, and says what is wrong with it.
fn general(
    text: &str,
    limits: &YamlLimits,
    place: &dyn Fn(Position) -> Position,
) -> Result<Vec<Node>, Failure> {
    text::bounded_brackets(text, limits)?;
    indented::read(text, |text, mended| attempt(text, limits, place, mended))
}

/// Why one attempt to read a text failed.
struct Failure {
    problem: YamlProblem,
    /// The problem's place is the caller's already.
    placed: bool,
    /// The line of brackets that the scanner wants further to the right.
    low_line: Option<usize>,
}

impl From<YamlProblem> for Failure {
    fn from(problem: YamlProblem) -> Self {
        Self { problem, placed: false, low_line: None }
    }
}

fn attempt(
    text: &str,
    limits: &YamlLimits,
    place: &dyn Fn(Position) -> Position,
    mended: &indented::Lines,
) -> Result<Vec<Node>, Failure> {
    let mut reader = Reader {
        open: Vec::new(),
        anchors: BTreeMap::new(),
        done: Vec::new(),
        nodes: 0,
        bytes: 0,
        aliases: 0,
        limits,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                let at = place(mended.original(position(&span.start)));
                reader.event(event, at).map_err(|problem| Failure {
                    problem,
                    placed: true,
                    low_line: None,
                })?;
            }
            Err(error) => {
                let at = position(error.marker());
                let low = matches!(
                    error.info(),
                    "invalid indentation" | "invalid indentation in flow construct"
                );
                let message = explain(error.info(), text);
                let problem =
                    YamlProblem { position: place(mended.original(at)), message, limit: None };
                return Err(Failure { problem, placed: true, low_line: low.then_some(at.line) });
            }
        }
    }
    Ok(reader.done)
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

/// The scanner's reason, which names no value but for one character that it found unexpected.
fn explain(info: &str, text: &str) -> String {
    let indented_by_tabs =
        || text.lines().any(|line| line.trim_start_matches(' ').starts_with('\t'));
    if info.split(|c: char| !c.is_alphabetic()).any(|word| matches!(word, "tab" | "tabs"))
        || (info.contains("indentation") && indented_by_tabs())
    {
        return "this is no valid YAML: indent with spaces, not tabs".into();
    }
    if info == "recursion limit exceeded" {
        return "this is no valid YAML: lists and mappings are nested too deep".into();
    }
    let info = if info.starts_with("unexpected character") { "unexpected character" } else { info };
    format!("this is no valid YAML: {info}")
}

/// A collection that is not closed yet.
struct Open {
    anchor: usize,
    position: Position,
    kind: OpenKind,
}

enum OpenKind {
    Sequence(Vec<Node>),
    Mapping {
        members: Vec<(Key, Node)>,
        index: BTreeMap<String, Position>,
        key: Option<MemberKey>,
        merges: Vec<Node>,
    },
}

enum MemberKey {
    Named(Key),
    Merge(Position),
}

/// A complete node that an alias may name, with what following it costs.
struct Anchored {
    node: Node,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

struct Reader<'l> {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Anchored>,
    done: Vec<Node>,
    nodes: usize,
    bytes: usize,
    aliases: usize,
    limits: &'l YamlLimits,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, at: Position) -> Read<()> {
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(1, text.len(), at)?;
                self.scalar(&text, style, anchor, tag.as_deref(), at)
            }
            Event::SequenceStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "seq", at)?;
                self.enter(anchor, at, OpenKind::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                collection_tag(tag.as_deref(), "map", at)?;
                let kind = OpenKind::Mapping {
                    members: Vec::new(),
                    index: BTreeMap::new(),
                    key: None,
                    merges: Vec::new(),
                };
                self.enter(anchor, at, kind)
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn spend(&mut self, nodes: usize, bytes: usize, at: Position) -> Read<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.nodes > self.limits.values {
            return too_much(at, YamlLimit::Values, self.limits);
        }
        if self.bytes > self.limits.expanded_bytes {
            return too_much(at, YamlLimit::ExpandedBytes, self.limits);
        }
        Ok(())
    }

    fn enter(&mut self, anchor: usize, position: Position, kind: OpenKind) -> Read<()> {
        self.spend(1, 0, position)?;
        if self.open.len() >= self.limits.nesting {
            return too_much(position, YamlLimit::Nesting, self.limits);
        }
        if self.expects_key() {
            return wrong(position, "a key must be a plain word, not a list or mapping");
        }
        self.open.push(Open { anchor, position, kind });
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { kind: OpenKind::Mapping { key: None, .. }, .. }))
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        at: Position,
    ) -> Read<()> {
        let plain = style == ScalarStyle::Plain;
        let scalar = scalar::resolve(text, plain, tag).or_else(|message| wrong(at, message))?;
        if self.expects_key() {
            let key = match scalar {
                Scalar::Merge => MemberKey::Merge(at),
                Scalar::Value(value) => {
                    MemberKey::Named(Key { name: key_name(value, at)?, position: at })
                }
            };
            if anchor != 0
                && let MemberKey::Named(key) = &key
            {
                let value = NodeValue::Scalar(Value::from(key.name.as_str()));
                self.remember(anchor, &Node { value, position: at })?;
            }
            return self.key(key);
        }
        let value = match scalar {
            Scalar::Value(value) => value,
            Scalar::Merge => Value::from("<<"),
        };
        let node = Node { value: NodeValue::Scalar(value), position: at };
        self.remember(anchor, &node)?;
        self.add(node)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Read<()> {
        let Some(Anchored { node, nodes, bytes, depth }) = self.anchors.get(&anchor) else {
            return wrong(at, "this alias names an anchor that is not complete here");
        };
        let (nodes, bytes, depth) = (*nodes, *bytes, *depth);
        self.aliases += 1;
        if self.aliases > self.limits.aliases {
            return too_much(at, YamlLimit::Aliases, self.limits);
        }
        if depth + self.open.len() > self.limits.nesting {
            return too_much(at, YamlLimit::Nesting, self.limits);
        }
        let as_key = self.expects_key().then(|| node.text().map(str::to_owned));
        match as_key {
            Some(Some(name)) => {
                self.spend(1, bytes, at)?;
                self.key(MemberKey::Named(Key { name, position: at }))
            }
            Some(None) => wrong(at, "a key must be a plain word, not a list or mapping"),
            None => {
                // Spent before anything is copied: a bomb ends here.
                self.spend(nodes, bytes, at)?;
                let copy = self.anchors.get(&anchor).map(|anchored| anchored.node.clone());
                copy.map_or(Ok(()), |node| self.add(node))
            }
        }
    }

    fn key(&mut self, new: MemberKey) -> Read<()> {
        if let Some(Open { kind: OpenKind::Mapping { index, key, .. }, .. }) = self.open.last_mut()
        {
            if let MemberKey::Named(named) = &new
                && let Some(first) = index.insert(named.name.clone(), named.position)
            {
                let name: String = named.name.chars().take(80).collect();
                let message =
                    format!("key {name:?} comes twice; the first is at line {}", first.line);
                return wrong(named.position, message);
            }
            *key = Some(new);
        }
        Ok(())
    }

    fn add(&mut self, node: Node) -> Read<()> {
        match self.open.last_mut().map(|open| &mut open.kind) {
            None => {
                if !node.is_null() {
                    if self.done.len() >= self.limits.documents {
                        return too_much(node.position, YamlLimit::Documents, self.limits);
                    }
                    self.done.push(node);
                }
            }
            Some(OpenKind::Sequence(elements)) => elements.push(node),
            Some(OpenKind::Mapping { members, key, merges, .. }) => match key.take() {
                Some(MemberKey::Named(name)) => members.push((name, node)),
                Some(MemberKey::Merge(at)) => merge_sources(node, at, merges)?,
                None => {}
            },
        }
        Ok(())
    }

    fn leave(&mut self) -> Read<()> {
        let Some(Open { anchor, position, kind }) = self.open.pop() else { return Ok(()) };
        let value = match kind {
            OpenKind::Sequence(elements) => NodeValue::Sequence(elements),
            OpenKind::Mapping { mut members, mut index, merges, .. } => {
                // Written members win over merged ones, earlier merges over later ones.
                for source in merges {
                    if let NodeValue::Mapping(merged) = source.value {
                        for (key, node) in merged {
                            if index.insert(key.name.clone(), key.position).is_none() {
                                members.push((key, node));
                            }
                        }
                    }
                }
                NodeValue::Mapping(members)
            }
        };
        let node = Node { value, position };
        self.remember(anchor, &node)?;
        self.add(node)
    }

    fn remember(&mut self, anchor: usize, node: &Node) -> Read<()> {
        if anchor != 0 {
            let (nodes, bytes, depth) = cost(node);
            // Kept as a copy, so it counts like one: anchors within anchors multiply too.
            self.spend(nodes, bytes, node.position)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, bytes, depth });
        }
        Ok(())
    }
}

/// Nodes, bytes and depth of what is below `node`, itself counted.
fn cost(node: &Node) -> (usize, usize, usize) {
    let below: Vec<(usize, usize, usize)> = match &node.value {
        NodeValue::Scalar(Value::String(text)) => return (1, text.len(), 0),
        NodeValue::Scalar(_) => return (1, 8, 0),
        NodeValue::Sequence(elements) => elements.iter().map(cost).collect(),
        NodeValue::Mapping(members) => members
            .iter()
            .map(|(key, node)| {
                let (nodes, bytes, depth) = cost(node);
                (nodes + 1, bytes + key.name.len(), depth)
            })
            .collect(),
    };
    below.into_iter().fold((1, 0, 1), |(nodes, bytes, depth), (n, b, d)| {
        (nodes + n, bytes + b, depth.max(d + 1))
    })
}

fn merge_sources(node: Node, at: Position, merges: &mut Vec<Node>) -> Read<()> {
    match node.value {
        NodeValue::Mapping(_) => merges.push(node),
        NodeValue::Sequence(elements)
            if elements.iter().all(|element| element.members().is_some()) =>
        {
            merges.extend(elements);
        }
        _ => return wrong(at, "\"<<\" takes a mapping or a list of mappings"),
    }
    Ok(())
}

fn collection_tag(tag: Option<&Tag>, own: &str, at: Position) -> Read<()> {
    match tag {
        Some(tag) if scalar::own_tag(tag) != Some(own) => {
            wrong(at, "tags other than YAML's own are not allowed")
        }
        _ => Ok(()),
    }
}

/// Names that are numbers or truth values become text as Go makes it of them: `on:` is `"true"`.
fn key_name(value: Value, at: Position) -> Read<String> {
    match value {
        Value::String(name) => Ok(name),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => wrong(at, "a key is missing before \":\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fmt::Write as _;

    fn read(text: &str) -> Read<Vec<Value>> {
        documents(text.as_bytes(), &YamlLimits::default())
            .map(|all| all.iter().map(Node::to_json).collect())
    }

    fn problem(text: &str) -> String {
        let problem = read(text).expect_err(text);
        format!("{}: {}", problem.position, problem.message)
    }

    #[test]
    fn documents_are_split_and_empty_ones_left_out() {
        let all = read("---\n---\na: 1\n---\n# only a comment\n---\n[b]\n...\n").expect("valid");
        assert_eq!(all, [json!({"a": 1}), json!(["b"])]);
        assert_eq!(read("").expect("valid"), Vec::<Value>::new());
    }

    #[test]
    fn merge_keys_add_what_is_not_written() {
        let text = "base: &b {a: 1, b: 2}\nmore: &m {a: 9, c: 3}\none: {<<: *b, a: 5}\n\
                    many:\n  <<: [*b, *m]\nquoted: {'<<': 1}\n";
        let all = read(text).expect("valid");
        assert_eq!(all[0]["one"], json!({"a": 5, "b": 2}));
        assert_eq!(all[0]["many"], json!({"a": 1, "b": 2, "c": 3}));
        assert_eq!(all[0]["quoted"], json!({"<<": 1}));
        assert!(problem("a: {<<: 5}").contains("takes a mapping"));
    }

    #[test]
    fn keys_become_text_as_go_makes_them() {
        let all = read("on: 1\n0755: 2\n\"3\": 3\n").expect("valid");
        assert_eq!(all[0], json!({"true": 1, "493": 2, "3": 3}));
    }

    #[test]
    fn mistakes_name_line_and_key_and_no_value() {
        assert_eq!(
            problem("a: 1\nb: 2\na: 3\n"),
            r#"3:1: key "a" comes twice; the first is at line 1"#
        );
        for (text, line) in [
            ("password: \"hunter2\nnext: 1\n", 1),
            ("a:\n\tb: hunter2\n", 2),
            ("a: [hunter2\n", 1),
            ("a: *hunter2\n", 1),
            ("a: !secret hunter2\n", 1),
            ("a: !!int hunter2\n", 1),
            ("a: .inf\n", 1),
            ("? {hunter2: 1}\n: 2\n", 1),
            ("a: b: hunter2\n", 1),
            ("hunter2: 1\n b: 2\n", 2),
        ] {
            let problem = read(text).expect_err(text);
            assert!(!problem.message.contains("hunter2"), "{text:?}: {problem:?}");
            assert!(problem.position.line >= line, "{text:?}: {problem:?}");
        }
    }

    #[test]
    fn bombs_end_early() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
        for level in 1..10 {
            let list = vec![format!("*a{}", level - 1); 9].join(",");
            let _ = writeln!(bomb, "a{level}: &a{level} [{list}]");
        }
        assert!(problem(&bomb).contains("aliases"));
        let long = "x".repeat(500_000);
        let strings = format!("a: &a \"{long}\"\nb: [{}]\n", vec!["*a"; 1000].join(","));
        assert!(problem(&strings).contains("aliases"));
        for deep in [
            "[".repeat(900_000),
            "{a: ".repeat(200_000),
            "- ".repeat(400_000),
            "? ".repeat(400_000),
        ] {
            assert!(read(&deep).is_err());
        }
        assert!(problem("a: &a [*a]\n").contains("anchor"));
        let mut nested = String::new();
        for level in 0..60 {
            let _ = write!(nested, "&n{level} [");
        }
        nested.push_str(&vec!["x"; 100_000].join(","));
        nested.push_str(&"]".repeat(60));
        assert!(problem(&nested).contains("aliases"));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in proptest::prop_oneof![
            ".{0,200}",
            "([a-c*&<!|>%@`{}\\[\\],:?'\"#~ \\-\n\t0-9]|<<: |&a |\\*a |--- |\n  |\n- ){0,60}",
        ]) {
            if let Ok(all) = documents(text.as_bytes(), &YamlLimits::default()) {
                for document in all {
                    let _ = (document.to_json(), document.positions());
                }
            }
        }
    }
}
