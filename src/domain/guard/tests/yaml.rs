//! The YAML of the examples, with the place of each field. Simpler than what rendering reads: examples are tame.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Value;

use crate::domain::bundle::{BundleObject, Origin, group_of, wave_of};
use crate::domain::document::{Key, Node, NodeValue, Position};

enum Open {
    List(Position, Vec<Node>),
    Map(Position, Vec<(Key, Node)>, Option<Key>),
}

/// The objects of `text`, completed as rendering does.
pub(super) fn objects(text: &str, file: &str, namespace: &str) -> Vec<BundleObject> {
    documents(text).iter().map(|node| object(node, file, namespace)).collect()
}

fn object(node: &Node, file: &str, namespace: &str) -> BundleObject {
    let mut json = node.to_json();
    if let Some(Value::Object(metadata)) = json.get_mut("metadata") {
        metadata.entry("namespace").or_insert_with(|| namespace.into());
    }
    let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
    BundleObject {
        wave: wave_of(group_of(&text("apiVersion")), &text("kind")),
        origin: Origin { file: file.into(), line: node.position.line },
        app: "web".into(),
        positions: node.positions(),
        json,
    }
}

fn documents(text: &str) -> Vec<Node> {
    let mut open: Vec<Open> = Vec::new();
    let mut done = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.expect("examples are valid YAML");
        let position = Position { line: span.start.line(), column: span.start.col() + 1 };
        let node = match event {
            Event::SequenceStart(..) => {
                open.push(Open::List(position, Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(position, Vec::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(position, list)) => {
                    Node { value: NodeValue::Sequence(list), position }
                }
                Some(Open::Map(position, members, _)) => {
                    Node { value: NodeValue::Mapping(members), position }
                }
                None => panic!("an end without a beginning"),
            },
            Event::Scalar(text, style, ..) => {
                if let Some(Open::Map(_, _, key @ None)) = open.last_mut() {
                    *key = Some(Key { name: text.into_owned(), position });
                    continue;
                }
                let plain = style == ScalarStyle::Plain;
                Node { value: NodeValue::Scalar(scalar(&text, plain)), position }
            }
            _ => continue,
        };
        match open.last_mut() {
            None => done.push(node),
            Some(Open::List(_, list)) => list.push(node),
            Some(Open::Map(_, members, key)) => {
                members.push((key.take().expect("a key stands before its value"), node));
            }
        }
    }
    done
}

fn scalar(text: &str, plain: bool) -> Value {
    match text {
        _ if !plain => text.into(),
        "" | "null" | "~" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        _ => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
    }
}
