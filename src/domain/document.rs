//! PURE · one parsed YAML document in which every node knows its place in the file.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// Pointers repeat the keys above them: long keys around many values would cost gigabytes. What has no place of its
/// own is found at the place around it.
const MAX_POINTER_BYTES: usize = 4 << 20;

/// A place in a text, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What stands there.
    pub value: NodeValue,
    /// Where it begins.
    pub position: Position,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeValue {
    /// Null, a truth value, a number or a string: never an array or object.
    Scalar(Value),
    /// A list.
    Sequence(Vec<Node>),
    /// Members in the order they were written; no key comes twice.
    Mapping(Vec<(Key, Node)>),
}

/// Name of a member with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name.
    pub name: String,
    /// Where it begins.
    pub position: Position,
}

impl Node {
    /// The member called `name`, if this is a mapping that has it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members()?.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// The members, if this is a mapping.
    #[must_use]
    pub fn members(&self) -> Option<&[(Key, Node)]> {
        match &self.value {
            NodeValue::Mapping(members) => Some(members),
            _ => None,
        }
    }

    /// The elements, if this is a list.
    #[must_use]
    pub fn elements(&self) -> Option<&[Node]> {
        match &self.value {
            NodeValue::Sequence(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text, if this is a string.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Nothing, `~` or `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.value, NodeValue::Scalar(Value::Null))
    }

    /// What kind of value this is, for people.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match &self.value {
            NodeValue::Scalar(Value::Null) => "nothing",
            NodeValue::Scalar(Value::Bool(_)) => "a truth value",
            NodeValue::Scalar(Value::Number(_)) => "a number",
            NodeValue::Scalar(_) => "a string",
            NodeValue::Sequence(_) => "a list",
            NodeValue::Mapping(_) => "a mapping",
        }
    }

    /// The same value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Scalar(value) => value.clone(),
            NodeValue::Sequence(elements) => elements.iter().map(Node::to_json).collect(),
            NodeValue::Mapping(members) => Value::Object(
                members
                    .iter()
                    .map(|(key, node)| (key.name.clone(), node.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// The place of each value below this one, by JSON pointer. A member stands where its key stands.
    #[must_use]
    pub fn positions(&self) -> BTreeMap<String, Position> {
        let mut found = BTreeMap::from([(String::new(), self.position)]);
        let mut left = MAX_POINTER_BYTES;
        self.collect_positions("", &mut found, &mut left);
        found
    }

    fn collect_positions(
        &self,
        pointer: &str,
        found: &mut BTreeMap<String, Position>,
        left: &mut usize,
    ) {
        match &self.value {
            NodeValue::Scalar(_) => {}
            NodeValue::Sequence(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    let below = format!("{pointer}/{index}");
                    let Some(rest) = left.checked_sub(below.len()) else { return };
                    *left = rest;
                    element.collect_positions(&below, found, left);
                    found.insert(below, element.position);
                }
            }
            NodeValue::Mapping(members) => {
                for (key, node) in members {
                    let below = format!("{pointer}/{}", pointer_token(&key.name));
                    let Some(rest) = left.checked_sub(below.len()) else { return };
                    *left = rest;
                    node.collect_positions(&below, found, left);
                    found.insert(below, key.position);
                }
            }
        }
    }
}

/// `name` as one part of a JSON pointer.
#[must_use]
pub fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
