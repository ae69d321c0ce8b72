//! PURE · one thing that is wrong with a commit, whoever found it: the source, the renderer or the guard. The formats
//! beside this file write a list of them for people and for other tools.

mod github;

mod json;

mod rules;

mod sarif;

mod text;

pub use github::github;
pub use json::json;
pub use rules::BuildRule;
pub use sarif::{Docs, sarif};
pub use text::text;

use super::bundle::{Bundle, BundleObject};
use super::document::Position;
use super::guard;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing of the commit is applied.
    Error,
    /// It is applied, and people are told.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong with a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Id of the rule: `BR…` of [`BuildRule`], `BV…` of [`guard::Rule`]. Never changes its meaning.
    pub rule: &'static str,
    /// The rule's name for people.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Path in the repository, when there is one.
    pub file: Option<String>,
    /// Line, from 1. For a template: of the template, or of the filled text, as the message says.
    pub line: Option<usize>,
    /// Column, from 1.
    pub column: Option<usize>,
    /// Kind and name of the object, when it is about one.
    pub object: Option<String>,
    /// JSON pointer of the field in the object, when it is about one.
    pub field: Option<String>,
    /// What is wrong. Holds no value of a manifest but names.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Finding {
    /// A finding of `rule`, without a place yet.
    #[must_use]
    pub fn of(rule: BuildRule, message: impl Into<String>) -> Self {
        Self {
            rule: rule.id(),
            name: rule.name(),
            severity: rule.severity(),
            file: None,
            line: None,
            column: None,
            object: None,
            field: None,
            message: message.into(),
            hint: rule.hint().to_owned(),
        }
    }

    /// The same in `file`, at `position` when it is known.
    #[must_use]
    pub fn at(mut self, file: &str, position: Option<Position>) -> Self {
        self.file = Some(file.to_owned());
        self.line = position.map(|position| position.line);
        self.column = position.map(|position| position.column);
        self
    }

    /// What the guard found in `bundle`, with the column that the bundle knows.
    #[must_use]
    pub fn of_guard(found: &guard::Finding, bundle: &Bundle) -> Self {
        let object = bundle.objects.iter().find(|object| object.identity() == found.object);
        let column = object.and_then(|object| column_of(object, &found.field, found.origin.line));
        Self {
            rule: found.rule.id(),
            name: found.rule.name(),
            severity: match found.rule.severity() {
                guard::Severity::Refused => Severity::Error,
                guard::Severity::Warning => Severity::Warning,
            },
            file: Some(found.origin.file.clone()),
            line: Some(found.origin.line),
            column,
            object: Some(found.object.to_string()),
            field: Some(found.field.clone()),
            message: found.message.clone(),
            hint: found.hint.to_string(),
        }
    }

    /// `file:line:column`, as far as it is known; `.` when there is no file.
    #[must_use]
    pub fn place(&self) -> String {
        let mut place = self.file.clone().unwrap_or_else(|| ".".into());
        for number in [self.line, self.column].into_iter().map_while(|number| number) {
            place.push(':');
            place.push_str(&number.to_string());
        }
        place
    }

    /// Page and anchor in `docs/` that explain the rule, as `guard.md#bv001-kind-not-allowed`.
    #[must_use]
    pub fn page(&self) -> String {
        let page = if self.rule.starts_with("BV") { "guard.md" } else { "cli.md" };
        format!("{page}#{}-{}", self.rule.to_ascii_lowercase(), self.name)
    }

    /// Order for people: by file, then as it is read.
    fn order(&self) -> impl Ord + '_ {
        (&self.file, self.line, self.column, self.rule, &self.object, &self.field, &self.message)
    }
}

/// Sorts by file, line and column, and takes out what is there twice.
pub fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| a.order().cmp(&b.order()));
    findings.dedup();
}

/// How many errors and warnings.
#[must_use]
pub fn count(findings: &[Finding]) -> (usize, usize) {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    (errors, findings.len() - errors)
}

/// Column of the field at `pointer`, or of the nearest one around it that was written, when it stands on `line`.
fn column_of(object: &BundleObject, pointer: &str, line: usize) -> Option<usize> {
    let mut pointer = pointer;
    loop {
        if let Some(position) = object.positions.get(pointer) {
            return (position.line == line).then_some(position.column);
        }
        pointer = &pointer[..pointer.rfind('/')?];
    }
}

#[cfg(test)]
mod tests;
