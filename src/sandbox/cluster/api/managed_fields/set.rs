//! Sets of field paths, and their form in `fieldsV1`. In and out: JSON, paths. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value};

/// One step of a path. Keys and values hold their JSON text, compact and with sorted keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    /// A field of an object (`f:`).
    Field(String),
    /// An item of a list, by the values of its key fields (`k:`).
    Key(String),
    /// An item of a set, by its value (`v:`).
    Value(String),
    /// An item of a list, by its place (`i:`).
    Index(i64),
}

impl Element {
    fn parse(text: &str) -> Option<Self> {
        let (sort, rest) = text.split_once(':')?;
        let json = || serde_json::from_str::<Value>(rest).ok().map(|value| value.to_string());
        match sort {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => json().map(Self::Key),
            "v" => json().map(Self::Value),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    fn print(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// This step as conflicts print it: `.spec`, `[name="a"]`, `[="x"]`, `[0]`.
    #[must_use]
    pub fn display(&self) -> String {
        match self {
            Self::Field(name) => format!(".{name}"),
            Self::Value(value) => format!("[={value}]"),
            Self::Index(index) => format!("[{index}]"),
            Self::Key(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let mut out = String::new();
                for (key, value) in keys {
                    let comma = if out.is_empty() { "" } else { "," };
                    let _ = write!(out, "{comma}{key}={value}");
                }
                format!("[{out}]")
            }
        }
    }
}

/// A set of field paths. A path can be in the set without those below it, and the other way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Paths that end here.
    pub(super) members: BTreeSet<Element>,
    /// Paths that go on.
    pub(super) children: BTreeMap<Element, Set>,
}

impl Set {
    /// Whether no path is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(Self::is_empty)
    }

    /// Adds a path.
    pub fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// Reads `fieldsV1`. What it does not understand is left out.
    #[must_use]
    pub fn parse(fields: &Value) -> Self {
        let mut set = Self::default();
        for (key, inner) in fields.as_object().into_iter().flatten() {
            let Some(element) = Element::parse(key) else { continue };
            let child = Self::parse(inner);
            let is_leaf = inner.as_object().is_none_or(Map::is_empty);
            if is_leaf || inner.get(".").is_some() {
                set.members.insert(element.clone());
            }
            if !child.is_empty() {
                set.children.insert(element, child);
            }
        }
        set
    }

    /// This set as `fieldsV1`.
    #[must_use]
    pub fn print(&self) -> Value {
        let mut out = Map::new();
        for (element, child) in &self.children {
            if child.is_empty() {
                continue;
            }
            let mut inner = child.print();
            if self.members.contains(element)
                && let Some(inner) = inner.as_object_mut()
            {
                inner.insert(".".to_owned(), Value::Object(Map::new()));
            }
            out.insert(element.print(), inner);
        }
        for element in &self.members {
            out.entry(element.print()).or_insert_with(|| Value::Object(Map::new()));
        }
        Value::Object(out)
    }

    /// The paths in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut out = self.clone();
        out.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            let mine = out.children.entry(element.clone()).or_default();
            *mine = mine.union(child);
        }
        out
    }

    /// The paths that `other` does not have.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.combine(
            |element| !other.members.contains(element),
            |element, child| {
                other
                    .children
                    .get(element)
                    .map_or_else(|| child.clone(), |theirs| child.difference(theirs))
            },
        )
    }

    /// The paths that `other` has too.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.combine(
            |element| other.members.contains(element),
            |element, child| {
                other
                    .children
                    .get(element)
                    .map(|theirs| child.intersection(theirs))
                    .unwrap_or_default()
            },
        )
    }

    fn combine(
        &self,
        keep: impl Fn(&Element) -> bool,
        descend: impl Fn(&Element, &Self) -> Self,
    ) -> Self {
        Self {
            members: self.members.iter().filter(|element| keep(element)).cloned().collect(),
            children: self
                .children
                .iter()
                .map(|(element, child)| (element.clone(), descend(element, child)))
                .filter(|(_, child)| !child.is_empty())
                .collect(),
        }
    }

    /// This set without the path of one field and all that is below it.
    #[must_use]
    pub(super) fn without_field(mut self, name: &str) -> Self {
        let element = Element::Field(name.to_owned());
        self.members.remove(&element);
        self.children.remove(&element);
        self
    }

    /// Every path, as conflicts print them, in order.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut out: Vec<String> = self.members.iter().map(Element::display).collect();
        for (element, child) in &self.children {
            let prefix = element.display();
            out.extend(child.paths().into_iter().map(|path| format!("{prefix}{path}")));
        }
        out
    }
}
