//! PURE · `parameters` of the preview file: what people may choose, and the values that hold for one camp.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Number, Value};

use super::keys::{self, list, mapping, text};
use super::{Checked, nearest, wrong};
use crate::domain::document::{Node, NodeValue, Position};

/// What people may choose.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Templates read it as `params.<name>`.
    pub name: String,
    /// Type of its values.
    pub kind: ParameterType,
    /// The only values that are allowed; empty: any of the type.
    pub allowed: Vec<Value>,
    /// The value when nobody chose one; `None`: somebody must.
    pub default: Option<Value>,
    /// One sentence for people.
    pub description: Option<String>,
    /// Where it is written.
    pub position: Position,
}

/// Type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterType {
    /// Text of one line.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
}

/// What the platform team says about a parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ParameterRule {
    /// Stands before the preview file's default.
    pub default: Option<String>,
    /// The only values that are allowed; empty asks nothing.
    pub allowed: Vec<String>,
}

/// A value that is not allowed, or missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterProblem {
    /// Where the parameter is declared, if it is.
    pub position: Option<Position>,
    /// Names the parameter and what is allowed.
    pub message: String,
}

impl ParameterType {
    fn of(word: &str) -> Option<Self> {
        Some(match word {
            "string" => Self::String,
            "integer" => Self::Integer,
            "number" => Self::Number,
            "boolean" => Self::Boolean,
            _ => return None,
        })
    }

    fn rule(self) -> &'static str {
        match self {
            Self::String => "a string of one line with at most 256 characters",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
        }
    }

    /// Whether a parsed value is of this type.
    fn admits(self, value: &Value) -> bool {
        match (self, value) {
            (Self::String, Value::String(text)) => {
                text.chars().count() <= keys::MAX_PARAMETER && !text.chars().any(char::is_control)
            }
            (Self::Integer, Value::Number(number)) => number.is_i64() || number.is_u64(),
            (Self::Number, Value::Number(_)) | (Self::Boolean, Value::Bool(_)) => true,
            _ => false,
        }
    }

    /// The value that a text from outside stands for.
    fn read(self, text: &str) -> Option<Value> {
        let value = match self {
            Self::String => Value::from(text),
            Self::Integer => Value::from(text.parse::<i64>().ok()?),
            Self::Number => match text.parse::<i64>() {
                Ok(whole) => Value::from(whole),
                Err(_) => Value::Number(Number::from_f64(text.parse().ok()?)?),
            },
            Self::Boolean => Value::from(text.parse::<bool>().ok()?),
        };
        self.admits(&value).then_some(value)
    }
}

pub(super) fn parameters(node: &Node) -> Checked<Vec<Parameter>> {
    let members = mapping(node, "parameters")?;
    keys::bounded(members.len(), keys::MAX_PARAMETERS, "parameters", node.position)?;
    let mut found = Vec::new();
    for (key, node) in members {
        let name = key.name.as_str();
        let plain = (1..=40).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain {
            let shown: String = name.chars().take(60).collect();
            let message = format!(
                "parameters: {shown:?} must begin with a letter and hold only letters, digits and _, at most 40"
            );
            return wrong(key.position, message);
        }
        found.push(parameter(node, name, key.position)?);
    }
    Ok(found)
}

fn parameter(node: &Node, name: &str, position: Position) -> Checked<Parameter> {
    let at = format!("parameters.{name}");
    keys::object(node, &at, keys::PARAMETER)?;
    let kind = match node.get("type") {
        None => ParameterType::String,
        Some(node) => {
            let Some(kind) = node.text().and_then(ParameterType::of) else {
                let message = format!("{at}.type must be string, integer, number or boolean");
                return wrong(node.position, message);
            };
            kind
        }
    };
    let typed = |node: &Node, at: &str| match &node.value {
        NodeValue::Scalar(value) if kind.admits(value) => Ok(value.clone()),
        _ => {
            let hint = match (kind, &node.value) {
                (ParameterType::String, NodeValue::Scalar(Value::Bool(_) | Value::Number(_))) => {
                    "; put it in quotes"
                }
                _ => "",
            };
            wrong(node.position, format!("{at} must be {}{hint}", kind.rule()))
        }
    };
    let mut allowed = Vec::new();
    if let Some(node) = node.get("enum") {
        let at = format!("{at}.enum");
        for (index, element) in list(node, &at, 1, keys::MAX_ENUM)?.iter().enumerate() {
            allowed.push(typed(element, &format!("{at}[{index}]"))?);
        }
    }
    let default = match node.get("default") {
        None => None,
        Some(node) => {
            let value = typed(node, &format!("{at}.default"))?;
            if !allowed.is_empty() && !allowed.contains(&value) {
                let message = format!("{at}.default is not in its enum: {}", words(&allowed));
                return wrong(node.position, message);
            }
            Some(value)
        }
    };
    let description = match node.get("description") {
        None => None,
        Some(node) => {
            Some(text(node, &format!("{at}.description"), keys::MAX_DESCRIPTION)?.to_owned())
        }
    };
    Ok(Parameter { name: name.to_owned(), kind, allowed, default, description, position })
}

/// The value as it is written without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn words(values: &[Value]) -> String {
    values.iter().map(plain).collect::<Vec<_>>().join(", ")
}

/// The values that hold: what somebody gave, else the platform team's default, else the preview file's.
///
/// A value that was given for a parameter that nobody declared is refused. A rule of the platform team for one is not:
/// it holds for many commits, and older ones may not know the parameter.
pub fn resolve_parameters(
    declared: &[Parameter],
    rules: &BTreeMap<String, ParameterRule>,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Value>, ParameterProblem> {
    for name in given.keys() {
        if !declared.iter().any(|parameter| parameter.name == *name) {
            let known: Vec<&str> = declared.iter().map(|one| one.name.as_str()).collect();
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None if known.is_empty() => "the preview file declares none".to_owned(),
                None => format!("there are {}", known.join(", ")),
            };
            let shown: String = name.chars().take(60).collect();
            let message = format!("there is no parameter {shown:?}; {hint}");
            return Err(ParameterProblem { position: None, message });
        }
    }
    let mut resolved = BTreeMap::new();
    for parameter in declared {
        let value = value_of(parameter, rules.get(&parameter.name), given)
            .map_err(|message| ParameterProblem { position: Some(parameter.position), message })?;
        resolved.insert(parameter.name.clone(), value);
    }
    Ok(resolved)
}

fn value_of(
    parameter: &Parameter,
    rule: Option<&ParameterRule>,
    given: &BTreeMap<String, String>,
) -> Result<Value, String> {
    let Parameter { name, kind, allowed, default, .. } = parameter;
    let read = |text: &str, whose: &str| {
        kind.read(text)
            .ok_or_else(|| format!("parameter {name:?}: the value {whose} must be {}", kind.rule()))
    };
    let value = match (given.get(name), rule.and_then(|rule| rule.default.as_ref()), default) {
        (Some(text), _, _) => read(text, "that was chosen")?,
        (None, Some(text), _) => read(text, "of the Repository")?,
        (None, None, Some(value)) => value.clone(),
        (None, None, None) => {
            let what = if allowed.is_empty() {
                kind.rule().to_owned()
            } else {
                format!("one of {}", words(allowed))
            };
            return Err(format!("parameter {name:?} has no default and no value; choose {what}"));
        }
    };
    if !allowed.is_empty() && !allowed.contains(&value) {
        let all = words(allowed);
        return Err(format!("parameter {name:?}: this value is not allowed; there are {all}"));
    }
    if let Some(rule) = rule
        && !rule.allowed.is_empty()
        && !rule.allowed.contains(&plain(&value))
    {
        let all = rule.allowed.join(", ");
        return Err(format!(
            "parameter {name:?}: the Repository does not allow this value; it allows {all}"
        ));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameter(kind: ParameterType, allowed: &Value, default: Value) -> Parameter {
        let allowed = allowed.as_array().cloned().unwrap_or_default();
        let default = Some(default).filter(|default| !default.is_null());
        let name = "size".to_owned();
        Parameter { name, kind, allowed, default, description: None, position: Position::default() }
    }

    fn resolve(
        parameter: Parameter,
        rule: Option<ParameterRule>,
        given: Option<&str>,
    ) -> Result<Value, String> {
        let rules = rule.map(|rule| ("size".to_owned(), rule)).into_iter().collect();
        let given = given.map(|text| ("size".to_owned(), text.to_owned())).into_iter().collect();
        resolve_parameters(&[parameter], &rules, &given)
            .map(|values| values["size"].clone())
            .map_err(|problem| problem.message)
    }

    #[test]
    fn the_chosen_value_stands_before_the_repositorys_and_that_before_the_files() {
        use ParameterType::String;
        let file = || parameter(String, &json!([]), json!("file"));
        let rule = || Some(ParameterRule { default: Some("platform".into()), allowed: vec![] });
        assert_eq!(resolve(file(), None, None), Ok(json!("file")));
        assert_eq!(resolve(file(), rule(), None), Ok(json!("platform")));
        assert_eq!(resolve(file(), rule(), Some("chosen")), Ok(json!("chosen")));
    }

    #[test]
    fn a_value_has_its_type_and_a_wrong_one_names_the_parameter_and_what_is_allowed() {
        use ParameterType::{Boolean, Integer, Number, String};
        let ask = |kind, text| resolve(parameter(kind, &json!([]), json!(null)), None, Some(text));
        assert_eq!(ask(Integer, "-3"), Ok(json!(-3)));
        assert_eq!(ask(Number, "0.5"), Ok(json!(0.5)));
        assert_eq!(ask(Number, "7"), Ok(json!(7)));
        assert_eq!(ask(Boolean, "true"), Ok(json!(true)));
        assert_eq!(ask(String, "0755"), Ok(json!("0755")));
        for (kind, text) in
            [(Integer, "1.5"), (Integer, "x"), (Number, "NaN"), (Boolean, "yes"), (String, "a\nb")]
        {
            let message = ask(kind, text).expect_err("refused");
            assert!(message.contains("\"size\"") && message.contains(kind.rule()), "{message}");
        }
        let small = || parameter(String, &json!(["small", "full"]), json!(null));
        let message = resolve(small(), None, Some("huge")).expect_err("refused");
        assert_eq!(message, "parameter \"size\": this value is not allowed; there are small, full");
        let message = resolve(small(), None, None).expect_err("refused");
        assert!(message.ends_with("choose one of small, full"), "{message}");
        let only = ParameterRule { default: None, allowed: vec!["small".into()] };
        let message = resolve(small(), Some(only), Some("full")).expect_err("refused");
        assert!(message.ends_with("it allows small"), "{message}");
    }

    #[test]
    fn a_value_for_no_parameter_is_refused_and_a_rule_for_none_is_not() {
        let declared = [parameter(ParameterType::String, &json!([]), json!("a"))];
        let given = BTreeMap::from([("sise".to_owned(), "x".to_owned())]);
        let problem = resolve_parameters(&declared, &BTreeMap::new(), &given).expect_err("refused");
        assert_eq!(problem.message, "there is no parameter \"sise\"; did you mean \"size\"?");
        let rules = BTreeMap::from([("other".to_owned(), ParameterRule::default())]);
        assert!(resolve_parameters(&declared, &rules, &BTreeMap::new()).is_ok());
    }
}
