//! Columns of custom kinds. In: `additionalPrinterColumns`, an object, the time; out: cells. No I/O.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{age, jsonpath::JsonPath};

/// A definition's column with its path, which is `None` when it can't be read: its cells stay empty.
pub(super) struct Column {
    pub(super) definition: Value,
    kind: String,
    path: Option<JsonPath>,
}

/// The columns that a definition asks for; an age when it asks for none.
pub(super) fn columns(asked: Option<&Value>) -> Vec<Column> {
    let default =
        json!([{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]);
    let asked = asked.filter(|asked| asked.as_array().is_some_and(|asked| !asked.is_empty()));
    let asked = asked.unwrap_or(&default);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let column = |column: &Value| Column {
        definition: json!({
            "name": text(&column["name"]),
            "type": text(&column["type"]),
            "format": text(&column["format"]),
            "description": text(&column["description"]),
            "priority": column["priority"].as_i64().unwrap_or_default(),
        }),
        kind: text(&column["type"]),
        path: JsonPath::parse(column["jsonPath"].as_str().unwrap_or_default()).ok(),
    };
    asked.as_array().into_iter().flatten().map(column).collect()
}

/// The cell of one column: the first value found, in the column's type.
pub(super) fn cell(column: &Column, object: &Value, now: DateTime<Utc>) -> Value {
    let found = column.path.as_ref().map(|path| path.find(object)).unwrap_or_default();
    let Some(value) = found.first() else { return Value::Null };
    match column.kind.as_str() {
        "string" => match value {
            Value::String(text) => json!(text),
            other => json!(other.to_string()),
        },
        "integer" => match value {
            Value::Number(number) => {
                let cut = || number.as_f64().filter(|float| float.abs() < 9e15).and_then(whole);
                json!(number.as_i64().or_else(cut))
            }
            _ => Value::Null,
        },
        "number" if value.is_number() => (*value).clone(),
        "boolean" if value.is_boolean() => (*value).clone(),
        "date" => match (value.is_string(), age::time(value)) {
            (true, Some(time)) => json!(age::human(now - time)),
            (true, None) => json!("<invalid>"),
            _ => Value::Null,
        },
        _ => Value::Null,
    }
}

/// The whole part of a number, read from its digits so that no cast is needed.
fn whole(float: f64) -> Option<i64> {
    format!("{:.0}", float.trunc()).parse().ok()
}
