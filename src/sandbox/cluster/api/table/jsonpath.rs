//! The part of `JSONPath` that columns of custom kinds use. In: a path and an object; out: the values found. No I/O.

use std::cmp::Ordering;

use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Index(i64),
    All,
    Filter { path: Vec<Step>, test: Option<(Comparison, Value)> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A parsed path: `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Reads a path, with or without the braces and the `$`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.trim();
        let inner =
            inner.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(inner);
        let inner = inner.strip_prefix('$').unwrap_or(inner);
        let chars: Vec<char> = inner.chars().collect();
        steps(&chars).map(Self).map_err(|why| format!("invalid JSONPath {text:?}: {why}"))
    }

    /// The values at the path, in the object's order.
    #[must_use]
    pub fn find<'v>(&self, object: &'v Value) -> Vec<&'v Value> {
        find(&self.0, object)
    }
}

fn find<'v>(steps: &[Step], object: &'v Value) -> Vec<&'v Value> {
    let mut found = vec![object];
    for step in steps {
        found = found.into_iter().flat_map(|value| next(step, value)).collect();
    }
    found
}

fn next<'v>(step: &Step, value: &'v Value) -> Vec<&'v Value> {
    match (step, value) {
        (Step::Key(key), Value::Object(map)) => map.get(key).into_iter().collect(),
        (Step::Index(index), Value::Array(items)) => {
            let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
            let index = if *index < 0 { length.saturating_add(*index) } else { *index };
            usize::try_from(index).ok().and_then(|index| items.get(index)).into_iter().collect()
        }
        (Step::All, Value::Array(items)) => items.iter().collect(),
        (Step::All, Value::Object(map)) => map.values().collect(),
        (Step::Filter { path, test }, Value::Array(items)) => items
            .iter()
            .filter(|item| {
                let found = find(path, item);
                match test {
                    None => !found.is_empty(),
                    Some((comparison, wanted)) => {
                        found.iter().any(|value| holds(*comparison, value, wanted))
                    }
                }
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn holds(comparison: Comparison, value: &Value, wanted: &Value) -> bool {
    let order = match (value, wanted) {
        (Value::String(one), Value::String(two)) => Some(one.cmp(two)),
        (Value::Number(one), Value::Number(two)) => {
            one.as_f64().zip(two.as_f64()).and_then(|(one, two)| one.partial_cmp(&two))
        }
        (Value::Bool(one), Value::Bool(two)) => Some(one.cmp(two)),
        _ => None,
    };
    match comparison {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }
}

fn steps(chars: &[char]) -> Result<Vec<Step>, String> {
    let (mut steps, mut at) = (Vec::new(), 0);
    while let Some(c) = chars.get(at) {
        match c {
            '.' if chars.get(at + 1) == Some(&'.') => {
                return Err("recursive descent (..) is not supported".to_owned());
            }
            '.' => at += 1,
            '[' => {
                let end = closing(chars, at).ok_or("unterminated array")?;
                steps.push(bracket(&chars[at + 1..end])?);
                at = end + 1;
            }
            _ => {
                let mut key = String::new();
                while let Some(c) = chars.get(at).filter(|c| !matches!(c, '.' | '[')) {
                    if matches!(c, '{' | '}') {
                        return Err("more than one expression is not supported".to_owned());
                    }
                    if *c == '\\' {
                        at += 1;
                    }
                    key.extend(chars.get(at));
                    at += 1;
                }
                steps.push(if key == "*" { Step::All } else { Step::Key(key) });
            }
        }
    }
    Ok(steps)
}

/// Where the bracket that opens at `start` closes; quotes hide brackets.
fn closing(chars: &[char], start: usize) -> Option<usize> {
    let (mut depth, mut quote) = (0_u32, None);
    for (at, c) in chars.iter().enumerate().skip(start) {
        match (quote, c) {
            (Some(open), c) => quote = (open != *c).then_some(open),
            (None, '\'' | '"') => quote = Some(*c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 1 => return Some(at),
            (None, ']') => depth -= 1,
            _ => {}
        }
    }
    None
}

fn unquote(text: &str) -> Option<&str> {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)))
}

fn bracket(chars: &[char]) -> Result<Step, String> {
    let text: String = chars.iter().collect();
    let text = text.trim();
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(key) = unquote(text) {
        return Ok(Step::Key(key.replace("\\.", ".")));
    }
    if let Some(filter) = text.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        return condition(filter);
    }
    text.parse().map(Step::Index).map_err(|_| format!("invalid array index {text}"))
}

fn condition(filter: &str) -> Result<Step, String> {
    let path = |text: &str| {
        let text = text.trim();
        let text = text.strip_prefix('@').ok_or_else(|| format!("unrecognized filter {text}"))?;
        steps(&text.chars().collect::<Vec<_>>())
    };
    let operators = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];
    let first = operators
        .iter()
        .filter_map(|(word, comparison)| filter.find(word).map(|at| (at, *word, *comparison)))
        .min_by_key(|(at, word, _)| (*at, std::cmp::Reverse(word.len())));
    let Some((at, word, comparison)) = first else {
        return Ok(Step::Filter { path: path(filter)?, test: None });
    };
    let right = filter[at + word.len()..].trim();
    let wanted = match unquote(right) {
        Some(text) => Value::String(text.to_owned()),
        None => serde_json::from_str(right).map_err(|_| format!("unrecognized value {right}"))?,
    };
    Ok(Step::Filter { path: path(&filter[..at])?, test: Some((comparison, wanted)) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_what_they_name() {
        let object = json!({
            "metadata": {"annotations": {"a.b/c": "x"}},
            "spec": {"list": [1, 2, 3], "n": 7},
            "status": {"conditions": [
                {"type": "Synced", "status": "False"}, {"type": "Ready", "status": "True", "n": 4},
            ]},
        });
        for (path, expected) in [
            (".spec.n", json!([7])),
            ("{.spec.n}", json!([7])),
            ("$.spec['n']", json!([7])),
            (".spec.list[0]", json!([1])),
            (".spec.list[-1]", json!([3])),
            (".spec.list[9]", json!([])),
            (".spec.list[*]", json!([1, 2, 3])),
            (".spec.list", json!([[1, 2, 3]])),
            (".metadata.annotations.a\\.b/c", json!(["x"])),
            (".metadata.annotations['a.b/c']", json!(["x"])),
            (".metadata.annotations['a\\.b/c']", json!(["x"])),
            (".status.conditions[?(@.type==\"Ready\")].status", json!(["True"])),
            (".status.conditions[?(@.type == 'Ready')].status", json!(["True"])),
            (".status.conditions[?(@.type!='Ready')].status", json!(["False"])),
            (".status.conditions[?(@.n>=4)].type", json!(["Ready"])),
            (".status.conditions[?(@.n<4)].type", json!([])),
            (".status.conditions[?(@.n)].type", json!(["Ready"])),
            (".nothing.here", json!([])),
        ] {
            let found = JsonPath::parse(path).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(json!(found.find(&object)), expected, "{path}");
        }
    }

    #[test]
    fn paths_beyond_the_subset_are_refused() {
        for path in [".a..b", ".a[", ".a[x]", ".a[?(b==1)]", "{.a}{.b}", ".a[?(@.b==c)]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
