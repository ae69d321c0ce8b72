//! Strategic merge patch: lists merge by the schema's keys, and directives say what goes. In: an object, a patch, a schema;
//! out: the patched object. No I/O.

use serde_json::{Map, Value};

use super::super::schema::{Node, Schema};
use super::PatchError;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

/// Applies a strategic merge patch.
pub fn strategic(live: &Value, patch: &Value, schema: &Schema) -> Result<Value, PatchError> {
    let Value::Object(changes) = patch else {
        return Err(PatchError::Malformed("a strategic merge patch must be an object".to_owned()));
    };
    let old = live.as_object().cloned().unwrap_or_default();
    Ok(Value::Object(merge_maps(schema, schema.root(), old, changes)?))
}

type Object = Map<String, Value>;

fn merge_maps(
    schema: &Schema,
    node: &Node,
    mut old: Object,
    changes: &Object,
) -> Result<Object, PatchError> {
    match changes.get(DIRECTIVE).map(|word| word.as_str().unwrap_or_default()) {
        None | Some("merge") => {}
        Some("replace") => return Ok(clean(changes)),
        Some("delete") => return Ok(Object::new()),
        Some(word) => return Err(PatchError::Malformed(format!("unknown patch type: {word}"))),
    }
    if let Some(retained) = changes.get(RETAIN) {
        let Some(retained) = retained.as_array() else {
            return Err(PatchError::Malformed(format!("{RETAIN} must be a list")));
        };
        old.retain(|key, _| retained.iter().any(|kept| kept.as_str() == Some(key)));
    }
    for (key, change) in changes {
        if let Some(field) = key.strip_prefix(DELETE) {
            delete_values(&mut old, field, change);
        }
    }
    for (key, change) in changes {
        if key.starts_with('$') && is_directive(key) {
            continue;
        }
        let child = node.properties.get(key);
        let (resolved, _) = schema.member(node, key);
        let order = changes.get(&format!("{ORDER}{key}")).and_then(Value::as_array);
        let merged = match (old.get(key), change) {
            (_, Value::Null) => None,
            (Some(Value::Object(members)), Value::Object(inner)) => {
                Some(Value::Object(merge_maps(schema, resolved, members.clone(), inner)?))
            }
            (Some(Value::Array(items)), Value::Array(inner)) => {
                Some(Value::Array(merge_lists(schema, child, items, inner, order)?))
            }
            (None, Value::Object(inner)) if is_deletion(change) => {
                let _ = inner;
                None
            }
            (None, Value::Array(inner)) => {
                Some(Value::Array(merge_lists(schema, child, &[], inner, order)?))
            }
            (_, value) => Some(clean_value(value)),
        };
        match merged {
            Some(value) => old.insert(key.clone(), value),
            None => old.remove(key),
        };
    }
    // An order without a change of the list: only the order changes.
    for (key, order) in changes {
        if let (Some(field), Some(order)) = (key.strip_prefix(ORDER), order.as_array())
            && !changes.contains_key(field)
            && let Some(Value::Array(items)) = old.get(field)
        {
            let merge_key = node.properties.get(field).and_then(|node| node.merge_key.as_deref());
            let sorted = sort(items.clone(), items, order, merge_key);
            old.insert(field.to_owned(), Value::Array(sorted));
        }
    }
    Ok(old)
}

fn is_directive(key: &str) -> bool {
    key == DIRECTIVE || key == RETAIN || key.starts_with(ORDER) || key.starts_with(DELETE)
}

fn is_deletion(value: &Value) -> bool {
    value.get(DIRECTIVE).and_then(Value::as_str) == Some("delete")
}

fn delete_values(old: &mut Object, field: &str, values: &Value) {
    let gone = values.as_array().map(Vec::as_slice).unwrap_or_default();
    if let Some(Value::Array(items)) = old.get_mut(field) {
        items.retain(|item| !gone.contains(item));
    }
}

/// The value without directives and nulls: what is added whole.
fn clean_value(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(clean(members)),
        Value::Array(items) => {
            Value::Array(items.iter().filter(|item| !is_deletion(item)).map(clean_value).collect())
        }
        other => other.clone(),
    }
}

fn clean(members: &Object) -> Object {
    members
        .iter()
        .filter(|(key, value)| !is_directive(key) && !value.is_null())
        .map(|(key, value)| (key.clone(), clean_value(value)))
        .collect()
}

fn merge_lists(
    schema: &Schema,
    node: Option<&Node>,
    old: &[Value],
    changes: &[Value],
    order: Option<&Vec<Value>>,
) -> Result<Vec<Value>, PatchError> {
    let Some(node) = node.filter(|node| node.patch_merge) else {
        return Ok(changes.iter().filter(|item| !is_deletion(item)).map(clean_value).collect());
    };
    let replaces = |item: &Value| item.get(DIRECTIVE).and_then(Value::as_str) == Some("replace");
    if changes.iter().any(replaces) {
        return Ok(changes
            .iter()
            .filter(|item| !(replaces(item) && item.as_object().is_some_and(|all| all.len() == 1)))
            .map(clean_value)
            .collect());
    }
    let mut out = old.to_vec();
    let Some(key) = node.merge_key.as_deref() else {
        for value in changes {
            if !out.contains(value) {
                out.push(value.clone());
            }
        }
        return Ok(ordered(out, old, changes, order, None));
    };
    let item = schema.item(node);
    for change in changes {
        let Some(members) = change.as_object() else {
            return Err(PatchError::Malformed(format!(
                "{change} is not an object, but its list merges by key {key}"
            )));
        };
        let Some(name) = members.get(key) else {
            return Err(PatchError::Malformed(format!(
                "map: {change} does not contain declared merge key: {key}"
            )));
        };
        let place = out.iter().position(|item| item.get(key) == Some(name));
        match (place, is_deletion(change)) {
            (_, true) => out.retain(|item| item.get(key) != Some(name)),
            (Some(index), false) => {
                let was = out[index].as_object().cloned().unwrap_or_default();
                out[index] = Value::Object(merge_maps(schema, item, was, members)?);
            }
            (None, false) => {
                out.push(Value::Object(merge_maps(schema, item, Object::new(), members)?));
            }
        }
    }
    Ok(ordered(out, old, changes, order, Some(key)))
}

fn ordered(
    items: Vec<Value>,
    old: &[Value],
    changes: &[Value],
    order: Option<&Vec<Value>>,
    key: Option<&str>,
) -> Vec<Value> {
    if let Some(order) = order {
        return sort(items, old, order, key);
    }
    // Without a word about it the patch's own order counts: what it adds stands before what it does not name.
    let named: Vec<Value> = changes.iter().filter(|item| !is_deletion(item)).cloned().collect();
    sort(items, old, &named, key)
}

/// Items that the order names stand in that order; the others stay before the first named item that they stood before.
fn sort(items: Vec<Value>, old: &[Value], order: &[Value], key: Option<&str>) -> Vec<Value> {
    let identity = |value: &Value| match key {
        Some(key) => value.get(key).cloned().unwrap_or(Value::Null),
        None => value.clone(),
    };
    let rank = |value: &Value| {
        let own = identity(value);
        order.iter().position(|other| identity(other) == own)
    };
    let was = |value: &Value| {
        let own = identity(value);
        old.iter().position(|other| identity(other) == own)
    };
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| rank(item).is_some());
    named.sort_by_key(|item| rank(item));
    let mut out = Vec::new();
    let mut others = others.into_iter().peekable();
    for item in named {
        while let Some(other) = others.peek() {
            match (was(other), was(&item)) {
                (Some(left), Some(right)) if left < right => out.extend(others.next()),
                _ => break,
            }
        }
        out.push(item);
    }
    out.extend(others);
    out
}
