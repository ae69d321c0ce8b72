//! Values seen through their schema: the set of their fields, merging, comparing, removing. In: JSON and a schema; out:
//! JSON and sets. No I/O. The rules are those of Kubernetes' structured merge.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::schema::{Additional, ListType, Node, Schema, Type};
use super::set::{Element, Set};

/// A schema and the node in it that a value is seen through.
#[derive(Clone, Copy)]
pub(super) struct Lens<'s> {
    pub(super) schema: &'s Schema,
    pub(super) node: &'s Node,
}

#[derive(PartialEq)]
enum Shape {
    Leaf,
    Map,
    List,
}

impl<'s> Lens<'s> {
    pub(super) fn root(schema: &'s Schema) -> Self {
        Self { schema, node: schema.root() }
    }

    fn field(self, key: &str) -> (Self, bool) {
        let (node, named) = self.schema.member(self.node, key);
        (Self { schema: self.schema, node }, named)
    }

    fn item(self) -> Self {
        Self { schema: self.schema, node: self.schema.item(self.node) }
    }

    fn shape(self, value: &Value) -> Shape {
        match value {
            Value::Object(_) if !self.node.atomic => Shape::Map,
            Value::Array(_) if self.node.list_type != ListType::Atomic => Shape::List,
            _ => Shape::Leaf,
        }
    }

    /// The path element of a list's item.
    fn element(self, item: &Value) -> Element {
        match &self.node.list_type {
            ListType::Map(keys) => {
                let own: Map<String, Value> = keys
                    .iter()
                    .map(|key| {
                        let default = || self.item().node.properties.get(key)?.default.clone();
                        let value = item.get(key).cloned().or_else(default);
                        (key.clone(), value.unwrap_or(Value::Null))
                    })
                    .collect();
                Element::Key(Value::Object(own).to_string())
            }
            _ => Element::Value(item.to_string()),
        }
    }

    /// The fields that `value` holds.
    pub(super) fn fields(self, value: &Value) -> Set {
        let mut set = Set::default();
        match self.shape(value) {
            Shape::Leaf => {}
            Shape::Map => {
                for (key, member) in value.as_object().into_iter().flatten() {
                    let (lens, named) = self.field(key);
                    let empty = member.is_null() || member.as_object().is_some_and(Map::is_empty);
                    let leaf = lens.shape(member) == Shape::Leaf;
                    set.add(
                        Element::Field(key.clone()),
                        leaf || empty || !named,
                        lens.fields(member),
                    );
                }
            }
            Shape::List => {
                for item in value.as_array().into_iter().flatten() {
                    set.add(self.element(item), true, self.item().fields(item));
                }
            }
        }
        set
    }

    /// `right` laid over `left`.
    pub(super) fn merge(self, left: &Value, right: &Value) -> Value {
        match (left, right) {
            (Value::Object(old), Value::Object(new)) if !self.node.atomic => {
                let mut out = old.clone();
                for (key, member) in new {
                    let merged = match old.get(key) {
                        Some(old) => self.field(key).0.merge(old, member),
                        None => member.clone(),
                    };
                    out.insert(key.clone(), merged);
                }
                Value::Object(out)
            }
            (Value::Array(old), Value::Array(new)) if self.node.list_type != ListType::Atomic => {
                Value::Array(self.merge_lists(old, new))
            }
            // A null has no items of its own: what is shared item by item stays.
            (Value::Object(_) | Value::Array(_), Value::Null)
                if self.shape(left) != Shape::Leaf && !is_empty(left) =>
            {
                left.clone()
            }
            _ => right.clone(),
        }
    }

    /// Items of both lists: in the order of `new`; those only in `old` stay where they were between the shared ones.
    fn merge_lists(self, old: &[Value], new: &[Value]) -> Vec<Value> {
        let olds: Vec<Element> = old.iter().map(|item| self.element(item)).collect();
        let news: Vec<Element> = new.iter().map(|item| self.element(item)).collect();
        let place = |element: &Element| olds.iter().position(|other| other == element);
        let mut shared = news.iter().filter(|element| olds.contains(element)).peekable();
        let mut out = Vec::new();
        let (mut left, mut right) = (0, 0);
        while left < olds.len() || right < news.len() {
            if left < olds.len() && right < news.len() {
                if olds[left] == news[right] {
                    out.push(self.item().merge(&old[left], &new[right]));
                    left += 1;
                    right += 1;
                    shared.next();
                    continue;
                }
                if news.contains(&olds[left])
                    && shared.peek().is_some_and(|next| **next != olds[left])
                {
                    left += 1;
                    continue;
                }
            }
            if left < olds.len() {
                if !news.contains(&olds[left]) {
                    out.push(old[left].clone());
                    left += 1;
                    continue;
                }
                if news[..right].contains(&olds[left]) {
                    left += 1;
                }
            }
            if right < news.len() {
                out.push(match place(&news[right]) {
                    Some(index) => self.item().merge(&old[index], &new[right]),
                    None => new[right].clone(),
                });
                if shared.peek() == Some(&&news[right]) {
                    shared.next();
                }
                right += 1;
            }
        }
        out
    }

    /// `value` without the paths of `set`; `None` when nothing is left of a container.
    pub(super) fn remove(self, value: &Value, set: &Set) -> Option<Value> {
        match self.shape(value) {
            Shape::Leaf => Some(value.clone()),
            Shape::Map => {
                let members = value.as_object()?;
                if members.is_empty() {
                    return Some(value.clone());
                }
                let mut out = Map::new();
                for (key, member) in members {
                    let element = Element::Field(key.clone());
                    if set.members.contains(&element) {
                        continue;
                    }
                    let kept = match set.children.get(&element) {
                        Some(below) => self.field(key).0.remove(member, below),
                        None => Some(member.clone()),
                    };
                    if let Some(kept) = kept {
                        out.insert(key.clone(), kept);
                    }
                }
                (!out.is_empty()).then_some(Value::Object(out))
            }
            Shape::List => {
                let items = value.as_array()?;
                if items.is_empty() {
                    return Some(value.clone());
                }
                let mut out = Vec::new();
                for item in items {
                    let element = self.element(item);
                    if set.members.contains(&element) {
                        continue;
                    }
                    match set.children.get(&element) {
                        Some(below) => out.extend(self.item().remove(item, below)),
                        None => out.push(item.clone()),
                    }
                }
                (!out.is_empty()).then_some(Value::Array(out))
            }
        }
    }

    /// `set`, with every named field that it goes through.
    pub(super) fn with_named(self, set: &Set) -> Set {
        let mut out = Set { members: set.members.clone(), ..Set::default() };
        for (element, child) in &set.children {
            let lens = match element {
                Element::Field(key) => {
                    let (lens, named) = self.field(key);
                    if named {
                        out.members.insert(element.clone());
                    }
                    lens
                }
                _ => self.item(),
            };
            out.children.insert(element.clone(), lens.with_named(child));
        }
        out
    }

    /// What is wrong with an applied configuration, in the words of the real one.
    pub(super) fn check(self, value: &Value, path: &str, errors: &mut Vec<String>) {
        let mut expected = |what: &str| {
            let found = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::Array(_) => "list",
                _ => "map",
            };
            errors.push(format!("{path}: expected {what}, got {found}"));
        };
        match (self.node.ty, value) {
            (Type::Object, Value::Object(members)) => {
                for (key, member) in members {
                    let (lens, named) = self.field(key);
                    let at = format!("{path}.{key}");
                    if named || matches!(self.node.additional, Additional::Schema(_)) {
                        lens.check(member, &at, errors);
                    } else if !(self.node.keeps_unknown() || path.is_empty() && is_type_meta(key)) {
                        errors.push(format!("{at}: field not declared in schema"));
                    }
                }
            }
            (Type::Array, Value::Array(items)) => {
                let mut seen = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    if let ListType::Map(keys) = &self.node.list_type {
                        let absent = keys.iter().find(|&key| {
                            let has_default = self
                                .item()
                                .node
                                .properties
                                .get(key)
                                .is_some_and(|field| field.default.is_some());
                            item.get(key).is_none() && !has_default
                        });
                        if let Some(key) = absent {
                            errors.push(format!(
                                "{path}: element {index}: associative list with keys has an element that omits key \
                                 field {key:?} (and doesn't have default value)"
                            ));
                            continue;
                        }
                    }
                    let element = self.element(item);
                    let at = format!("{path}{}", element.display());
                    if self.node.list_type == ListType::Atomic {
                        self.item().check(item, &format!("{path}[{index}]"), errors);
                    } else {
                        if seen.contains(&element) {
                            errors.push(format!(
                                "{path}: duplicate entries for key {}",
                                element.display()
                            ));
                        }
                        seen.push(element);
                        self.item().check(item, &at, errors);
                    }
                }
            }
            (_, Value::Null)
            | (Type::Any, _)
            | (Type::String, Value::String(_))
            | (Type::Integer | Type::Number, Value::Number(_))
            | (Type::Boolean, Value::Bool(_))
            | (Type::IntOrString, Value::String(_) | Value::Number(_)) => {}
            (Type::Object, _) => expected("map"),
            (Type::Array, _) => expected("list"),
            (Type::String, _) => expected("string"),
            (Type::Integer | Type::Number, _) => expected("numeric (int or float)"),
            (Type::Boolean, _) => expected("boolean"),
            (Type::IntOrString, _) => expected("string or number"),
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null => true,
        _ => false,
    }
}

fn is_type_meta(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata")
}

impl Set {
    fn add(&mut self, element: Element, member: bool, below: Self) {
        if member {
            self.members.insert(element.clone());
        }
        if !below.is_empty() {
            self.children.insert(element, below);
        }
    }
}

/// What differs between two values.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub(super) added: Set,
    pub(super) modified: Set,
    pub(super) removed: Set,
}

impl Difference {
    pub(super) fn between(schema: &Schema, old: &Value, new: &Value) -> Self {
        let mut out = Self::default();
        out.visit(Lens::root(schema), Some(old), Some(new), &mut Vec::new());
        out
    }

    fn visit(
        &mut self,
        lens: Lens<'_>,
        old: Option<&Value>,
        new: Option<&Value>,
        path: &mut Vec<Element>,
    ) {
        let empty = |value: Option<&Value>| value.is_none_or(is_empty);
        let shape = |value: Option<&Value>| match value {
            Some(Value::Null) | None => None,
            Some(value) => Some(lens.shape(value)),
        };
        let (left, right) = (shape(old), shape(new));
        let same_shape = left.is_none() || right.is_none() || left == right;
        let container = same_shape
            && !(empty(old) && empty(new))
            && left.or(right).is_some_and(|shape| shape != Shape::Leaf);
        if container {
            let mut below: BTreeMap<Element, (Lens<'_>, Option<&Value>, Option<&Value>)> =
                BTreeMap::new();
            for (key, member) in members(old) {
                below.insert(Element::Field(key.clone()), (lens.field(key).0, Some(member), None));
            }
            for (key, member) in members(new) {
                below
                    .entry(Element::Field(key.clone()))
                    .or_insert((lens.field(key).0, None, None))
                    .2 = Some(member);
            }
            for item in items(old) {
                below.insert(lens.element(item), (lens.item(), Some(item), None));
            }
            for item in items(new) {
                below.entry(lens.element(item)).or_insert((lens.item(), None, None)).2 = Some(item);
            }
            for (element, (lens, old, new)) in below {
                path.push(element);
                self.visit(lens, old, new, path);
                path.pop();
            }
        }
        match (old, new) {
            (None, Some(_)) => self.added.insert(path),
            (Some(_), None) => self.removed.insert(path),
            (Some(old), Some(new)) if !container && old != new => self.modified.insert(path),
            _ => {}
        }
    }
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}
