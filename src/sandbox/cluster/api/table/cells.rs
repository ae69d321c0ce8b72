//! Small readers that rows are made of: texts, counts, conditions, lists with an end. In: JSON; out: text. No I/O.

use serde_json::Value;

/// A text, empty when there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text or, when it is empty, another one.
pub(super) fn or<'t>(text: &'t str, other: &'t str) -> &'t str {
    if text.is_empty() { other } else { text }
}

/// A whole number, 0 when there is none.
pub(super) fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or_default()
}

/// The items of a list, none when there is no list.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A string or a number as text, as quantities and int-or-strings are.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The status of a condition, empty when it is not there.
pub(super) fn condition<'v>(object: &'v Value, kind: &str) -> &'v str {
    let found = items(&object["status"]["conditions"]).iter().find(|found| found["type"] == kind);
    found.map(|found| text(&found["status"])).unwrap_or_default()
}

/// Texts of a member of each item, joined.
pub(super) fn joined(list: &Value, member: &str, separator: &str) -> String {
    items(list).iter().map(|item| text(&item[member])).collect::<Vec<_>>().join(separator)
}

/// The first `most` of a list, and how many more there are; `none` for an empty one.
pub(super) fn first(all: &[String], most: usize, none: &str) -> String {
    if all.is_empty() {
        return none.to_owned();
    }
    let shown = all[..all.len().min(most)].join(",");
    match all.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} + {more} more..."),
    }
}

/// A map of labels as `a=b,c=d`.
pub(super) fn labels(map: &Value) -> String {
    let mut all: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    all.sort();
    or(&all.join(","), "<none>").to_owned()
}

/// A label selector as kubectl's `-l` would take it.
pub(super) fn selector(selector: &Value) -> String {
    let mut all: Vec<(String, String)> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        all.push((key.clone(), format!("{key}={}", text(value))));
    }
    for expression in items(&selector["matchExpressions"]) {
        let key = text(&expression["key"]);
        let mut values: Vec<&str> = items(&expression["values"]).iter().map(text).collect();
        values.sort_unstable();
        let values = values.join(",");
        let shown = match text(&expression["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        all.push((key.to_owned(), shown));
    }
    all.sort();
    let all: Vec<String> = all.into_iter().map(|(_, shown)| shown).collect();
    or(&all.join(","), "<none>").to_owned()
}

/// `True`, `False` or `<unset>`.
pub(super) fn flag(value: &Value) -> &'static str {
    match value.as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    }
}
