//! Checks values against a schema: types, required fields, bounds, logic. In: an object and its schema; out: problems in
//! the API server's words. No I/O.

use std::collections::BTreeSet;
use std::sync::Mutex;

use regex::Regex;
use serde_json::Value;

use super::Schema;
use super::fields::join;
use super::node::{Limits, ListType, Logic, Node, Type};
use super::problem::{Class, Problem};

pub(super) fn validate(schema: &Schema, object: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    check(schema, schema.root(), object, "", &mut problems);
    problems
}

fn check(schema: &Schema, node: &Node, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let node = schema.resolve(node);
    if value.is_null() {
        if !node.nullable && schema.is_custom() && node.ty != Type::Any {
            problems.push(wrong_type(node, value, path));
        }
        return;
    }
    if !has_type(node.ty, value) {
        if schema.is_custom() {
            problems.push(wrong_type(node, value, path));
        }
        return;
    }
    if let Some(limits) = &node.limits
        && schema.is_custom()
    {
        check_limits(limits, value, path, problems);
    }
    if let Some(logic) = &node.logic {
        check_logic(schema, logic, value, path, problems);
    }
    match value {
        Value::Object(members) => {
            for name in &node.required {
                if members.get(name).is_none_or(|member| member.is_null() && !schema.is_custom()) {
                    // The server decodes absent metadata as empty.
                    if !(path.is_empty() && name == "metadata") {
                        problems.push(Problem::required(&join(path, name), ""));
                    }
                }
            }
            for (key, member) in members {
                let (child, named) = schema.member(node, key);
                if path.is_empty() && key == "metadata" && schema.is_custom() {
                    continue;
                }
                let at = if named { join(path, key) } else { format!("{path}[{key}]") };
                let at = if schema.is_custom() { join(path, key) } else { at };
                check(schema, child, member, &at, problems);
            }
        }
        Value::Array(items) => {
            let child = schema.item(node);
            for (index, item) in items.iter().enumerate() {
                check(schema, child, item, &format!("{path}[{index}]"), problems);
            }
            if schema.is_custom() {
                check_unique(node, items, path, problems);
            }
        }
        _ => {}
    }
}

fn has_type(ty: Type, value: &Value) -> bool {
    match ty {
        Type::Any => true,
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Boolean => value.is_boolean(),
        Type::Number => value.is_number(),
        Type::Integer => is_whole(value),
        Type::IntOrString => value.is_string() || is_whole(value),
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) if is_whole(value) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn wrong_type(node: &Node, value: &Value, path: &str) -> Problem {
    let found = name_of(value);
    let wanted = node.ty.name();
    Problem {
        class: Class::TypeInvalid,
        field: path.to_owned(),
        message: format!(
            "Invalid value: {found:?}: {} must be of type {wanted}: {found:?}",
            in_body(path)
        ),
    }
}

fn in_body(path: &str) -> String {
    if path.is_empty() { "in body".to_owned() } else { format!("{path} in body") }
}

fn check_limits(limits: &Limits, value: &Value, path: &str, problems: &mut Vec<Problem>) {
    let mut invalid = |detail: String| {
        problems.push(Problem::invalid(path, value, &format!("{} {detail}", in_body(path))));
    };
    match value {
        Value::String(text) => {
            let length = text.chars().count() as u64;
            if let Some(bound) = limits.length.0
                && length < bound
            {
                invalid(format!("should be at least {bound} chars long"));
            }
            if let Some(pattern) = &limits.pattern
                && !matches_pattern(pattern, text)
            {
                invalid(format!("should match '{pattern}'"));
            }
            if let Some(format) = &limits.format
                && !matches_format(format, text)
            {
                invalid(format!("must be of type {format}: {text:?}"));
            }
            if let Some(bound) = limits.length.1
                && length > bound
            {
                problems.push(Problem {
                    class: Class::TooLong,
                    field: path.to_owned(),
                    message: format!("Too long: may not be more than {bound} bytes"),
                });
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            match limits.minimum {
                Some((bound, true)) if number <= bound => {
                    invalid(format!("should be greater than {bound}"));
                }
                Some((bound, false)) if number < bound => {
                    invalid(format!("should be greater than or equal to {bound}"));
                }
                _ => {}
            }
            match limits.maximum {
                Some((bound, true)) if number >= bound => {
                    invalid(format!("should be less than {bound}"));
                }
                Some((bound, false)) if number > bound => {
                    invalid(format!("should be less than or equal to {bound}"));
                }
                _ => {}
            }
            if let Some(factor) = limits.multiple_of
                && factor != 0.0
                && (number / factor).fract() != 0.0
            {
                invalid(format!("should be a multiple of {factor}"));
            }
        }
        Value::Array(items) => {
            if let Some(bound) = limits.items.0
                && (items.len() as u64) < bound
            {
                invalid(format!("should have at least {bound} items"));
            }
            if let Some(bound) = limits.items.1 {
                too_many(items.len(), bound, path, problems);
            }
            if limits.unique && has_twins(items) {
                problems.push(Problem::invalid(
                    path,
                    value,
                    &format!("{} shouldn't contain duplicates", in_body(path)),
                ));
            }
        }
        Value::Object(members) => {
            if let Some(bound) = limits.properties.0
                && (members.len() as u64) < bound
            {
                invalid(format!("should have at least {bound} properties"));
            }
            if let Some(bound) = limits.properties.1 {
                too_many(members.len(), bound, path, problems);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    if !limits.one_of_values.is_empty() && !limits.one_of_values.contains(value) {
        let supported: Vec<String> = limits
            .one_of_values
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect();
        problems.push(Problem::not_supported(path, value, &supported));
    }
}

fn too_many(actual: usize, bound: u64, path: &str, problems: &mut Vec<Problem>) {
    if actual as u64 > bound {
        problems.push(Problem {
            class: Class::TooMany,
            field: path.to_owned(),
            message: format!("Too many: {actual}: must have at most {bound} items"),
        });
    }
}

fn has_twins(items: &[Value]) -> bool {
    items.iter().enumerate().any(|(index, item)| items[..index].contains(item))
}

fn check_unique(node: &Node, items: &[Value], path: &str, problems: &mut Vec<Problem>) {
    let keys: Vec<String> = match &node.list_type {
        ListType::Atomic => return,
        ListType::Set => items.iter().map(Value::to_string).collect(),
        ListType::Map(keys) => items
            .iter()
            .map(|item| {
                let own: serde_json::Map<String, Value> = keys
                    .iter()
                    .filter_map(|key| Some((key.clone(), item.get(key)?.clone())))
                    .collect();
                Value::Object(own).to_string()
            })
            .collect(),
    };
    let mut seen = BTreeSet::new();
    for (index, key) in keys.iter().enumerate() {
        if !seen.insert(key) {
            problems.push(Problem {
                class: Class::Duplicate,
                field: format!("{path}[{index}]"),
                message: format!("Duplicate value: {key}"),
            });
        }
    }
}

fn check_logic(
    schema: &Schema,
    logic: &Logic,
    value: &Value,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    let holds = |node: &Node| {
        let mut inner = Vec::new();
        check(schema, node, value, path, &mut inner);
        inner.is_empty()
    };
    for node in &logic.all_of {
        check(schema, node, value, path, problems);
    }
    let mut invalid = |detail: String| problems.push(Problem::invalid(path, value, &detail));
    if !logic.any_of.is_empty() && !logic.any_of.iter().any(holds) {
        invalid(format!("{path:?} must validate at least one schema (anyOf)"));
    }
    if !logic.one_of.is_empty() {
        match logic.one_of.iter().filter(|node| holds(node)).count() {
            1 => {}
            0 => invalid(format!(
                "{path:?} must validate one and only one schema (oneOf). Found none valid"
            )),
            count => invalid(format!(
                "{path:?} must validate one and only one schema (oneOf). Found {count} valid alternatives"
            )),
        }
    }
    if logic.not.as_ref().is_some_and(holds) {
        invalid(format!("{path:?} must not validate the schema (not)"));
    }
}

/// Patterns are compiled once a process. One that is not a regular expression matches nothing.
fn matches_pattern(pattern: &str, text: &str) -> bool {
    static COMPILED: Mutex<std::collections::BTreeMap<String, Option<Regex>>> =
        Mutex::new(std::collections::BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    compiled
        .entry(pattern.to_owned())
        .or_insert_with(|| Regex::new(pattern).ok())
        .as_ref()
        .is_some_and(|regex| regex.is_match(text))
}

/// Formats that the server enforces; others say nothing.
fn matches_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        "date" => chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "uuid" => uuid::Uuid::try_parse(text).is_ok(),
        "uri" => http::Uri::try_from(text).is_ok_and(|uri| uri.scheme().is_some()),
        _ => true,
    }
}
