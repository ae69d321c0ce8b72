//! PURE · the name of a variable → its value, or the error that lists the names there are.

use std::borrow::Cow;

use serde_json::Value;

use super::expression::{From, Path};

/// A value, and the same with words of ours in the place of strings that could mean something to YAML.
#[derive(Clone, Debug)]
pub(super) struct Held<'s> {
    pub(super) json: Cow<'s, Value>,
    pub(super) shadow: Option<Value>,
}

impl Held<'_> {
    pub(super) fn owned(json: Value) -> Self {
        Self { json: Cow::Owned(json), shadow: None }
    }
}

/// What names mean inside a block.
pub(super) struct Scope<'s> {
    pub(super) this: Held<'s>,
    pub(super) outer: Option<&'s Scope<'s>>,
    /// Arguments of a partial; they hide members of `this`.
    pub(super) named: Vec<(String, Held<'s>)>,
    pub(super) turn: Option<Turn>,
}

/// One turn of an `each`.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) key: Option<String>,
    pub(super) index: usize,
    pub(super) last: bool,
}

/// What `path` stands for in `scope`; `None` when there is no such thing.
pub(super) fn lookup<'s>(path: &Path, root: &'s Value, scope: &'s Scope<'s>) -> Option<Held<'s>> {
    let (mut held, mut parts) = match path.from {
        From::Local(up) => return local(path, up, scope),
        From::Root => (Held { json: Cow::Borrowed(root), shadow: None }, path.parts.as_slice()),
        From::Here(up) => {
            let mut scope = scope;
            for _ in 0..up {
                scope = scope.outer.unwrap_or(scope);
            }
            let named = path.parts.first().and_then(|first| {
                scope.named.iter().find(|(name, _)| name == first).map(|(_, held)| held)
            });
            match (named, path.parts.split_first()) {
                (Some(held), Some((_, rest))) => (borrowed(held), rest),
                _ => (borrowed(&scope.this), path.parts.as_slice()),
            }
        }
    };
    while let Some((part, rest)) = parts.split_first() {
        held = member(&held, part)?;
        parts = rest;
    }
    Some(held)
}

fn borrowed<'s>(held: &'s Held<'s>) -> Held<'s> {
    Held { json: Cow::Borrowed(held.json.as_ref()), shadow: held.shadow.clone() }
}

fn member<'s>(held: &Held<'s>, part: &str) -> Option<Held<'s>> {
    let json = match &held.json {
        Cow::Borrowed(value) => Cow::Borrowed(child(value, part)?),
        Cow::Owned(value) => Cow::Owned(child(value, part)?.clone()),
    };
    let shadow = held.shadow.as_ref().and_then(|shadow| child(shadow, part)).cloned();
    Some(Held { json, shadow })
}

fn child<'v>(value: &'v Value, part: &str) -> Option<&'v Value> {
    match value {
        Value::Object(members) => members.get(part),
        Value::Array(elements) => elements.get(part.parse::<usize>().ok()?),
        _ => None,
    }
}

fn local<'s>(path: &Path, up: usize, scope: &'s Scope<'s>) -> Option<Held<'s>> {
    let [name] = path.parts.as_slice() else { return None };
    let mut turns = std::iter::successors(Some(scope), |scope| scope.outer)
        .filter_map(|scope| scope.turn.as_ref());
    let turn = turns.nth(up)?;
    let value = match name.as_str() {
        "index" => Value::from(turn.index),
        "first" => Value::Bool(turn.index == 0),
        "last" => Value::Bool(turn.last),
        "key" => turn.key.as_deref().map_or_else(|| Value::from(turn.index), Value::from),
        _ => return None,
    };
    Some(Held::owned(value))
}

/// The names of all variables, for people.
pub(super) fn variables(root: &Value) -> String {
    let mut names = Vec::new();
    for (outer, members) in root.as_object().into_iter().flatten() {
        for inner in members.as_object().into_iter().flat_map(|members| members.keys()) {
            names.push(format!("{outer}.{inner}"));
        }
    }
    names.sort();
    let more = names.len().saturating_sub(60);
    names.truncate(60);
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there are {}{tail}", names.join(", "))
}
