//! PURE · one parsed YAML document in which every node knows its place in the file.

use std::fmt;

use serde_json::{Map, Value};

use super::positions::Positions;

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

    /// The place of this value and of each below it, by JSON pointer. A member stands where its key stands.
    #[must_use]
    pub fn positions(&self) -> Positions {
        self.clone().into_parts().1
    }

    /// The same value as JSON, and the places of all that is in it.
    #[must_use]
    pub fn into_parts(self) -> (Value, Positions) {
        let mut positions = Positions::of_root(self.position);
        let value = self.part(0, &mut positions);
        (value, positions)
    }

    /// This value, which is the entry `at` of `positions`.
    fn part(self, at: usize, positions: &mut Positions) -> Value {
        match self.value {
            NodeValue::Scalar(value) => value,
            NodeValue::Sequence(elements) => {
                let first =
                    positions.add_elements(at, elements.iter().map(|element| element.position));
                let elements = elements.into_iter().enumerate();
                elements.map(|(index, element)| element.part(first + index, positions)).collect()
            }
            NodeValue::Mapping(mut members) => {
                members.sort_unstable_by(|(a, _), (b, _)| a.name.cmp(&b.name));
                let names = members.iter().map(|(key, _)| (key.name.as_str(), key.position));
                let first = positions.add_members(at, names);
                let members = members.into_iter().enumerate();
                let members = members
                    .map(|(index, (key, node))| (key.name, node.part(first + index, positions)));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

/// `name` as one part of a JSON pointer.
#[must_use]
pub fn pointer_token(name: &str) -> String {
    if name.contains(['~', '/']) {
        name.replace('~', "~0").replace('/', "~1")
    } else {
        name.to_owned()
    }
}
