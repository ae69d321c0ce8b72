//! PURE · one object under inspection: a cursor that knows its JSON pointer, and readers that report what has the wrong
//! type instead of passing over it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Finding, GuardPolicy, Rule, Severity};
use crate::domain::bundle::{BundleObject, ObjectIdentity};
use crate::domain::document::pointer_token;

/// More than anybody reads. Refusals and warnings count apart, so that a bundle full of warnings still is refused for
/// its one mistake; without a bound eight megabytes of manifests could become a gigabyte of findings.
const MOST_OF_A_SEVERITY: usize = 2_000;

/// All findings of a bundle.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) list: Vec<Finding>,
    refusals: usize,
    warnings: usize,
}

impl Findings {
    /// Whether there is room for one more.
    fn takes(&mut self, severity: Severity) -> bool {
        let count = match severity {
            Severity::Refused => &mut self.refusals,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        *count <= MOST_OF_A_SEVERITY
    }
}

/// What the whole bundle brings; rules about one object ask for others by it.
pub(super) struct Brought {
    /// Names of the Secrets.
    pub(super) secrets: BTreeSet<String>,
    /// Names of the ServiceAccounts.
    pub(super) accounts: BTreeSet<String>,
    /// Pointers of fields that a chart drew at random, by object.
    pub(super) random: BTreeMap<ObjectIdentity, BTreeSet<String>>,
}

/// How a place is reached from the one above it.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// A member.
    Key(&'a str),
    /// An element of the list in a member.
    Item(&'a str, usize),
    /// An element of a list.
    Index(usize),
    /// Members below one another, as a pointer.
    Path(&'a str),
}

/// A value with the way to it. The pointer is only written out when something was found.
#[derive(Clone, Copy)]
pub(super) struct At<'p, 'a> {
    up: Option<&'p At<'p, 'a>>,
    step: Step<'a>,
    pub(super) value: &'a Value,
}

impl<'a> At<'_, 'a> {
    pub(super) fn root(value: &'a Value) -> Self {
        Self { up: None, step: Step::Path(""), value }
    }

    fn below_by<'s>(&'s self, step: Step<'a>, value: &'a Value) -> At<'s, 'a> {
        At { up: Some(self), step, value }
    }

    /// The member called `key`; null is as good as absent, as it is to the API server.
    pub(super) fn get<'s>(&'s self, key: &'a str) -> Option<At<'s, 'a>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(self.below_by(Step::Key(key), value))
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The members in the order of their names.
    pub(super) fn members<'s>(&'s self) -> Vec<(&'a str, At<'s, 'a>)> {
        let members: BTreeMap<&'a String, &'a Value> =
            self.value.as_object().into_iter().flatten().collect();
        members
            .into_iter()
            .map(|(key, value)| (key.as_str(), self.below_by(Step::Key(key), value)))
            .collect()
    }

    /// The elements, if this is a list.
    pub(super) fn elements<'s>(&'s self) -> Vec<At<'s, 'a>> {
        let elements = self.value.as_array().into_iter().flatten().enumerate();
        elements.map(|(index, value)| self.below_by(Step::Index(index), value)).collect()
    }

    /// The JSON pointer of this place.
    pub(super) fn pointer(&self) -> String {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(here) = at {
            steps.push(here.step);
            // The borrow checker wants the same lifetime all the way up, which `At` gives.
            at = here.up;
        }
        let mut pointer = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Path(path) => pointer.push_str(path),
                Step::Key(key) => {
                    pointer.push('/');
                    pointer.push_str(&pointer_token(key));
                }
                Step::Item(key, index) => {
                    pointer.push('/');
                    pointer.push_str(&pointer_token(key));
                    pointer.push('/');
                    pointer.push_str(&index.to_string());
                }
                Step::Index(index) => {
                    pointer.push('/');
                    pointer.push_str(&index.to_string());
                }
            }
        }
        pointer
    }

    /// The pointer of something below this place, whether it is there or not.
    pub(super) fn pointer_of(&self, below: &str) -> String {
        format!("{}/{below}", self.pointer())
    }
}

/// One object under inspection.
pub(super) struct Look<'l> {
    pub(super) object: &'l BundleObject,
    pub(super) identity: ObjectIdentity,
    pub(super) policy: &'l GuardPolicy,
    pub(super) brought: &'l Brought,
    said: BTreeSet<(Rule, String)>,
    findings: &'l mut Findings,
}

impl<'l> Look<'l> {
    pub(super) fn new(
        object: &'l BundleObject,
        identity: ObjectIdentity,
        policy: &'l GuardPolicy,
        brought: &'l Brought,
        findings: &'l mut Findings,
    ) -> Self {
        Self { object, identity, policy, brought, said: BTreeSet::new(), findings }
    }

    /// Notes a finding; what was said already about this field by this rule is not said again.
    pub(super) fn found(
        &mut self,
        rule: Rule,
        field: String,
        message: impl Into<String>,
        hint: &'static str,
    ) {
        let said = (rule, field.clone());
        if !self.said.contains(&said) && self.findings.takes(rule.severity()) {
            self.said.insert(said);
            self.findings.list.push(Finding {
                rule,
                origin: self.object.place_of(&field),
                object: self.identity.clone(),
                field,
                message: message.into(),
                hint,
            });
        }
    }

    /// Whether something of this object was refused already.
    pub(super) fn is_refused(&self) -> bool {
        self.said.iter().any(|(rule, _)| rule.severity() == Severity::Refused)
    }

    /// Says that `at` is not what it must be.
    pub(super) fn malformed(&mut self, at: &At<'_, '_>, wanted: &str) {
        let field = at.pointer();
        let name = field.rsplit('/').next().unwrap_or_default();
        let message = format!("{} must be {wanted}, not {}", short(name), type_name(at.value));
        let hint = "write the field as the Kubernetes API has it";
        self.found(Rule::Malformed, field, message, hint);
    }

    /// The mapping below `key`. Anything else but null is reported.
    pub(super) fn map<'s, 'a>(&mut self, at: &'s At<'_, 'a>, key: &'a str) -> Option<At<'s, 'a>> {
        let below = at.get(key)?;
        if below.value.is_object() {
            return Some(below);
        }
        self.malformed(&below, "a mapping");
        None
    }

    /// What stands at the end of `path`, a JSON pointer whose steps must be mappings.
    pub(super) fn path<'s, 'a>(&mut self, at: &'s At<'_, 'a>, path: &'a str) -> Option<At<'s, 'a>> {
        let mut value = at.value;
        let mut end = 0;
        for key in path.split('/').skip(1) {
            if !value.is_object() {
                let here = at.below_by(Step::Path(path.get(..end)?), value);
                self.malformed(&here, "a mapping");
                return None;
            }
            value = value.get(key).filter(|value| !value.is_null())?;
            end += 1 + key.len();
        }
        Some(at.below_by(Step::Path(path), value))
    }

    /// The elements of the list below `key`. Anything else but null is reported.
    pub(super) fn items<'s, 'a>(&mut self, at: &'s At<'_, 'a>, key: &'a str) -> Vec<At<'s, 'a>> {
        let Some(below) = at.get(key) else { return Vec::new() };
        let Some(elements) = below.value.as_array() else {
            self.malformed(&below, "a list");
            return Vec::new();
        };
        let elements = elements.iter().enumerate();
        elements.map(|(index, value)| at.below_by(Step::Item(key, index), value)).collect()
    }

    /// The mappings in the list below `key`. Anything else is reported.
    pub(super) fn maps<'s, 'a>(&mut self, at: &'s At<'_, 'a>, key: &'a str) -> Vec<At<'s, 'a>> {
        let mut maps = self.items(at, key);
        maps.retain(|item| {
            let fine = item.value.is_object();
            if !fine {
                self.malformed(item, "a mapping");
            }
            fine
        });
        maps
    }

    /// The text below `key`. Anything else but null is reported.
    pub(super) fn string<'a>(&mut self, at: &At<'_, 'a>, key: &'a str) -> Option<&'a str> {
        let below = at.get(key)?;
        if below.text().is_none() {
            self.malformed(&below, "a string");
        }
        below.text()
    }

    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.identity.group == group && self.identity.kind == kind
    }
}

/// Anything but `false` and null counts as set: what a reader makes of `"true"` or `1` is not ours to guess.
pub(super) fn is_set(at: &At<'_, '_>) -> bool {
    *at.value != Value::Bool(false)
}

/// Null, `[]` and `{}` say nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// What kind of value this is, for people.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// The first characters of a name from outside.
pub(super) fn short(name: &str) -> String {
    name.chars().filter(|c| !crate::domain::plain::is_odd(*c)).take(100).collect()
}

/// A name for a message; anything that is no text is only called that.
pub(super) fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| "that is no text".into(), |text| format!("{:?}", short(text)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_place_knows_its_pointer() {
        let value = json!({"a/b": [{"c~": {"d": [1]}}]});
        let root = At::root(&value);
        let list = root.get("a/b").expect("is there");
        let first = list.elements();
        let below = first[0].get("c~").expect("is there");
        let items = below.get("d").expect("is there");
        assert_eq!(items.elements()[0].pointer(), "/a~1b/0/c~0/d/0");
        assert_eq!(below.pointer_of("x/y"), "/a~1b/0/c~0/x/y");
        assert_eq!(root.pointer(), "");
        assert!(root.get("missing").is_none());
    }
}
