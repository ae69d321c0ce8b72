//! The rules of a schema, compiled once. In: a schema, then objects; out: problems in Kubernetes' words. No I/O.

use std::fmt;

use cel::Value as Cel;
use serde_json::{Value, json};

use super::convert;
use super::expression::{CelError, Compiled};
use super::types::{self, Typed};

/// What a rule finds wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path of the field, as `spec.source`; empty for the whole object.
    pub field: String,
    /// The `reason` of the cause: `FieldValueInvalid`, or what the rule says.
    pub reason: String,
    /// The sentence without the field: `Invalid value: "object": …`.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { "<nil>" } else { &self.field };
        write!(out, "{field}: {}", self.message)
    }
}

/// A rule, compiled or not.
#[derive(Debug)]
struct Rule {
    text: String,
    source: Value,
    compiled: Result<Compiled, CelError>,
    message: Option<Compiled>,
    message_error: Option<CelError>,
}

/// A part of a schema that has rules, or parts with rules.
#[derive(Debug)]
struct Node {
    schema: Value,
    rules: Vec<Rule>,
    properties: Vec<(String, Node)>,
    items: Option<Box<Node>>,
    values: Option<Box<Node>>,
}

/// All rules of a schema.
#[derive(Debug)]
pub struct Rules {
    root: Option<Node>,
}

impl Rule {
    fn new(source: &Value, schema: &Value, root: bool) -> Self {
        let text = source["rule"].as_str().unwrap_or_default().trim().to_owned();
        let optional = source["optionalOldSelf"] == true;
        let compiled = Compiled::new(&text, &["self", "oldSelf"]).and_then(|compiled| {
            // `oldSelf` may be an optional, so only `self` is followed.
            let variables = [Typed { name: "self", schema, is_root: root }];
            match types::undefined_field(compiled.root(), &variables) {
                Some(field) => Err(CelError::Compile(format!("undefined field '{field}'"))),
                None if optional && !compiled.uses("oldSelf") => Err(CelError::Compile(
                    "may not set optionalOldSelf: the rule does not use oldSelf".to_owned(),
                )),
                None => Ok(compiled),
            }
        });
        let message = source["messageExpression"].as_str();
        let message = message.map(|text| Compiled::new(text, &["self", "oldSelf"])).transpose();
        let (message, message_error) = match message {
            Ok(message) => (message, None),
            Err(error) => (None, Some(error)),
        };
        Self { text, source: source.clone(), compiled, message, message_error }
    }

    fn is_transition(&self) -> bool {
        self.compiled.as_ref().is_ok_and(|compiled| compiled.uses("oldSelf"))
    }

    /// What is said when the rule is false.
    fn words(&self, variables: &[(&str, &Cel)]) -> String {
        let made = self.message.as_ref().and_then(|message| message.run(variables).ok());
        if let Some(Cel::String(made)) = made
            && !made.trim().is_empty()
            && !made.contains('\n')
            && made.len() <= 5 * 1024
        {
            return made.trim().to_owned();
        }
        match self.source["message"].as_str().map(str::trim) {
            Some(message) if !message.is_empty() => message.to_owned(),
            _ => format!("failed rule: {}", self.text),
        }
    }

    /// The rule as errors name it.
    fn name(&self) -> &str {
        self.source["message"].as_str().filter(|text| !text.is_empty()).unwrap_or(&self.text)
    }

    fn check(&self, value: &Value, cel: &Cel, old: Option<&Cel>, path: &str) -> Option<Problem> {
        // Only scalars are shown.
        let shown = match value {
            Value::Object(_) | Value::Array(_) => String::new(),
            scalar => format!("{scalar}: "),
        };
        let invalid = |detail: String| Problem {
            field: path.to_owned(),
            reason: "FieldValueInvalid".to_owned(),
            message: format!("Invalid value: {shown}{detail}"),
        };
        let compiled = match &self.compiled {
            Ok(compiled) => compiled,
            Err(error) => {
                return Some(invalid(format!("rule compile error: {error} (rule: {})", self.text)));
            }
        };
        let optional = self.source["optionalOldSelf"] == true;
        let wrapped = convert::optional(old.cloned());
        let mut variables = vec![("self", cel)];
        match old {
            _ if optional => variables.push(("oldSelf", &wrapped)),
            Some(old) => variables.push(("oldSelf", old)),
            None => {}
        }
        let detail = match compiled.run(&variables) {
            Ok(Cel::Bool(true)) => return None,
            Ok(Cel::Bool(false)) => self.words(&variables),
            Ok(_) => {
                return Some(invalid(format!(
                    "cel expression must evaluate to a bool evaluating rule: {}",
                    self.name()
                )));
            }
            Err(error) => {
                return Some(invalid(format!("{error} evaluating rule: {}", self.name())));
            }
        };
        let reason = self.source["reason"].as_str().unwrap_or("FieldValueInvalid");
        let message = match reason {
            "FieldValueForbidden" => format!("Forbidden: {detail}"),
            "FieldValueRequired" => format!("Required value: {detail}"),
            "FieldValueDuplicate" => format!("Duplicate value: {}", shown.trim_end_matches(": ")),
            _ => format!("Invalid value: {shown}{detail}"),
        };
        let below = self.source["fieldPath"].as_str().unwrap_or_default();
        Some(Problem { field: child_path(path, below), reason: reason.to_owned(), message })
    }
}

/// A path and a rule's `fieldPath` (`.spec.x`, `.map['key']`) below it.
fn child_path(path: &str, below: &str) -> String {
    let below = below.replace("['", ".").replace("[\"", ".").replace("']", "").replace("\"]", "");
    let below = below.trim_start_matches('.');
    match (path, below) {
        (path, "") => path.to_owned(),
        ("", below) => below.to_owned(),
        (path, below) => format!("{path}.{below}"),
    }
}

impl Node {
    fn new(schema: &Value, root: bool) -> Option<Self> {
        let root = root || schema["x-kubernetes-embedded-resource"] == true;
        let rules: Vec<Rule> = schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|rule| Rule::new(rule, schema, root))
            .collect();
        let properties: Vec<(String, Self)> = schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, schema)| Some((name.clone(), Self::new(schema, false)?)))
            .collect();
        let inner = |key: &str| Self::new(schema.get(key)?, false).map(Box::new);
        let (items, values) = (inner("items"), inner("additionalProperties"));
        let empty =
            rules.is_empty() && properties.is_empty() && items.is_none() && values.is_none();
        (!empty).then(|| Self { schema: schema.clone(), rules, properties, items, values })
    }

    fn validate(
        &self,
        new: &Value,
        old: Option<&Value>,
        path: &str,
        root: bool,
        problems: &mut Vec<Problem>,
    ) {
        if new.is_null() {
            return;
        }
        let unchanged = old == Some(new);
        if !self.rules.is_empty() {
            let value = convert::typed(&self.schema, new, root);
            let before =
                old.filter(|old| !old.is_null()).map(|old| convert::typed(&self.schema, old, root));
            for rule in &self.rules {
                let transition = rule.is_transition();
                let optional = rule.source["optionalOldSelf"] == true;
                // A value that did not change is not judged again, so that a stricter rule does not lock an object.
                if (transition && before.is_none() && !optional) || (!transition && unchanged) {
                    continue;
                }
                problems.extend(rule.check(new, &value, before.as_ref(), path));
            }
        }
        match new {
            Value::Object(map) => {
                for (name, node) in &self.properties {
                    if let Some(value) = map.get(name) {
                        let old = old.and_then(|old| old.get(name));
                        node.validate(value, old, &child_path(path, name), false, problems);
                    }
                }
                let Some(node) = &self.values else { return };
                for (key, value) in map {
                    let old = old.and_then(|old| old.get(key));
                    node.validate(value, old, &format!("{path}[{key}]"), false, problems);
                }
            }
            Value::Array(items) => {
                let Some(node) = &self.items else { return };
                for (index, item) in items.iter().enumerate() {
                    let old = old.and_then(|old| self.same_item(item, old));
                    node.validate(item, old, &format!("{path}[{index}]"), false, problems);
                }
            }
            _ => {}
        }
    }

    /// The item of the old list that has the new one's keys. Only lists of type map know which item became which.
    fn same_item<'v>(&self, item: &Value, old: &'v Value) -> Option<&'v Value> {
        if self.schema["x-kubernetes-list-type"] != "map" {
            return None;
        }
        let keys: Vec<&str> = self.schema["x-kubernetes-list-map-keys"]
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        old.as_array()?.iter().find(|old| keys.iter().all(|&key| old.get(key) == item.get(key)))
    }

    fn broken(&self, path: &str, problems: &mut Vec<String>) {
        for (index, rule) in self.rules.iter().enumerate() {
            let at = format!("{path}.x-kubernetes-validations[{index}]");
            if rule.text.is_empty() {
                problems.push(format!("{at}.rule: Required value: rule is not specified"));
            } else if let Err(error) = &rule.compiled {
                problems.push(format!("{at}.rule: Invalid value: {}: {error}", json!(rule.text)));
            }
            if let Some(error) = &rule.message_error {
                let text = &rule.source["messageExpression"];
                problems.push(format!(
                    "{at}.messageExpression: Invalid value: {text}: messageExpression {error}"
                ));
            }
        }
        for (name, node) in &self.properties {
            node.broken(&format!("{path}.properties[{name}]"), problems);
        }
        if let Some(node) = &self.items {
            node.broken(&format!("{path}.items"), problems);
        }
        if let Some(node) = &self.values {
            node.broken(&format!("{path}.additionalProperties"), problems);
        }
    }
}

impl Rules {
    /// Compiles the rules of a version's `openAPIV3Schema`.
    #[must_use]
    pub fn compile(schema: &Value) -> Self {
        Self { root: Node::new(schema, true) }
    }

    /// What the rules find wrong with `new`; with `old`, rules on transitions are checked, too. A rule that can't be
    /// compiled is a problem of every object.
    #[must_use]
    pub fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(root) = &self.root {
            root.validate(new, old, "", true, &mut problems);
        }
        problems
    }

    /// The rules that can't be compiled, each with its place in the schema.
    #[must_use]
    pub fn broken(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(root) = &self.root {
            root.broken("openAPIV3Schema", &mut problems);
        }
        problems
    }

    /// Whether there is no rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }
}
