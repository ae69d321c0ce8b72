//! PURE · values as text: what `{{a}}` puts out and what helpers about text make of it.

use super::Said;
use serde_json::Value;

/// Columns that `indent` moves a text by: wider is a slip, and lines times columns is memory.
const MAX_INDENT: u64 = 100;
/// Bytes of one result of a helper that can multiply.
const MAX_RESULT: usize = 4 << 20;

type Made = Result<Value, Said>;

/// The text of one value, or why it has none.
pub(super) fn text_of(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null => Err("has no value".into()),
        Value::Array(_) | Value::Object(_) => Err("is a group of values; name one of them".into()),
    }
}

fn argument_text(value: &Value) -> Result<String, String> {
    text_of(value).map_err(|what| format!("the value {what}"))
}

pub(super) fn count(value: &Value, what: &str) -> Result<i64, String> {
    value.as_i64().ok_or_else(|| format!("{what} must be a whole number"))
}

pub(super) fn lower(given: &[&Value]) -> Made {
    Ok(Value::from(argument_text(given[0])?.to_lowercase()))
}

pub(super) fn upper(given: &[&Value]) -> Made {
    Ok(Value::from(argument_text(given[0])?.to_uppercase()))
}

pub(super) fn trim(given: &[&Value]) -> Made {
    Ok(Value::from(argument_text(given[0])?.trim()))
}

/// `trunc 5 text`; a negative number keeps the end.
pub(super) fn trunc(given: &[&Value]) -> Made {
    let most = count(given[0], "the length")?;
    let text = argument_text(given[1])?;
    let length = usize::try_from(most.unsigned_abs()).unwrap_or(usize::MAX);
    let skip = if most < 0 { text.chars().count().saturating_sub(length) } else { 0 };
    Ok(Value::from(text.chars().skip(skip).take(length).collect::<String>()))
}

/// `replace "old" "new" text`.
pub(super) fn replace(given: &[&Value]) -> Made {
    let (old, new) = (argument_text(given[0])?, argument_text(given[1])?);
    let text = argument_text(given[2])?;
    if old.is_empty() {
        return Err("the text to replace is empty".into());
    }
    let grown = text.matches(&old).count().saturating_mul(new.len());
    if grown.saturating_add(text.len()) > MAX_RESULT {
        return Err(Said::too_much(format!("the result has more than {MAX_RESULT} bytes")));
    }
    Ok(Value::from(text.replace(&old, &new)))
}

/// `indent 4 text`: blank lines stay blank.
pub(super) fn indent(given: &[&Value]) -> Made {
    let width = given[0].as_u64().filter(|width| *width <= MAX_INDENT);
    let width =
        width.ok_or_else(|| format!("the width must be a number from 0 to {MAX_INDENT}"))?;
    let space = " ".repeat(usize::try_from(width).unwrap_or_default());
    let text = argument_text(given[1])?;
    let lines = text.split_inclusive('\n').count();
    if lines.saturating_mul(space.len()).saturating_add(text.len()) > MAX_RESULT {
        return Err(Said::too_much(format!("the result has more than {MAX_RESULT} bytes")));
    }
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        if !line.trim_end_matches(['\r', '\n']).is_empty() {
            out.push_str(&space);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

pub(super) fn nindent(given: &[&Value]) -> Made {
    let indented = indent(given)?;
    Ok(Value::from(format!("\n{}", indented.as_str().unwrap_or_default())))
}

pub(super) fn concat(given: &[&Value]) -> Made {
    let parts: Vec<String> =
        given.iter().map(|value| argument_text(value)).collect::<Result<_, _>>()?;
    Ok(Value::from(parts.concat()))
}

/// `join ", " list`.
pub(super) fn join(given: &[&Value]) -> Made {
    let between = argument_text(given[0])?;
    let Value::Array(elements) = given[1] else { return Err("the value is no list".into()) };
    let parts: Vec<String> = elements.iter().map(argument_text).collect::<Result<_, _>>()?;
    let grown = parts.len().saturating_mul(between.len());
    if grown.saturating_add(parts.iter().map(String::len).sum()) > MAX_RESULT {
        return Err(Said::too_much(format!("the result has more than {MAX_RESULT} bytes")));
    }
    Ok(Value::from(parts.join(&between)))
}

pub(super) fn contains(given: &[&Value]) -> Made {
    let wanted = argument_text(given[0])?;
    Ok(Value::Bool(match given[1] {
        Value::Array(elements) => elements.iter().any(|e| text_of(e).is_ok_and(|t| t == wanted)),
        Value::Object(members) => members.contains_key(&wanted),
        other => argument_text(other)?.contains(&wanted),
    }))
}

pub(super) fn starts_with(given: &[&Value]) -> Made {
    Ok(Value::Bool(argument_text(given[1])?.starts_with(&argument_text(given[0])?)))
}

pub(super) fn ends_with(given: &[&Value]) -> Made {
    Ok(Value::Bool(argument_text(given[1])?.ends_with(&argument_text(given[0])?)))
}
