//! PURE · a Handlebars template and a context → text of which each part knows its line in the template.
//!
//! An engine of our own, because three things must hold that the `handlebars` crate can't give: what is not there is an
//! error wherever it stands (also in `{{#if missing}}` and in a branch that is not taken), everything that comes out
//! can be traced to its line, and no value can change the meaning of the YAML around it ([`injection`]). The crate is
//! the judge in the tests: both must say the same where it says something.
//!
//! Time and memory are bounded: the parser is linear, and steps, nesting, partials and output have limits.

mod blocks;
mod expression;
mod fill;
mod helpers;
mod injection;
mod lexer;
mod output;
mod parser;
mod partials;
mod scope;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

use serde_json::Value;

pub(crate) use output::Filled;
pub(crate) use partials::{Partials, partial_name};

use crate::domain::document::Position;

/// Bytes of one template or partial.
const MAX_BYTES: usize = 256 << 10;

/// What is wrong with a template. Never quotes its text, which may hold a secret; names are quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateProblem {
    /// The partial in which it is, when it is not in the template itself.
    pub(crate) file: Option<String>,
    /// Where.
    pub(crate) position: Option<Position>,
    /// What, and what to do.
    pub(crate) message: String,
    /// Nothing is wrong with it but that it is too much.
    pub(crate) is_limit: bool,
}

type Problem<T> = Result<T, TemplateProblem>;

/// What a helper or an expression says, which does not know where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    message: String,
    is_limit: bool,
}

impl Said {
    fn too_much(message: String) -> Self {
        Self { message, is_limit: true }
    }

    fn at(self, position: Position) -> TemplateProblem {
        let Self { message, is_limit } = self;
        TemplateProblem { is_limit, ..TemplateProblem::at(position, message) }
    }
}

impl From<String> for Said {
    fn from(message: String) -> Self {
        Self { message, is_limit: false }
    }
}

impl From<&str> for Said {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl TemplateProblem {
    fn new(position: Option<Position>, message: impl Into<String>) -> Self {
        Self { file: None, position, message: message.into(), is_limit: false }
    }

    fn at(position: Position, message: impl Into<String>) -> Self {
        Self::new(Some(position), message)
    }

    fn in_file(mut self, path: &str) -> Self {
        self.file.get_or_insert_with(|| path.to_owned());
        self
    }
}

impl fmt::Display for TemplateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(position) = self.position {
            write!(f, "{position}: ")?;
        }
        f.write_str(&self.message)
    }
}

fn wrong<T>(position: impl Into<Option<Position>>, message: impl Into<String>) -> Problem<T> {
    Err(TemplateProblem::new(position.into(), message))
}

fn too_much<T>(position: impl Into<Option<Position>>, message: impl Into<String>) -> Problem<T> {
    Err(TemplateProblem { is_limit: true, ..TemplateProblem::new(position.into(), message) })
}

/// Fills a template whose text is YAML afterwards; at most `limit` bytes come out. A value that would change the
/// meaning of the YAML around it is refused.
pub(crate) fn fill(
    template: &[u8],
    context: &Value,
    limit: usize,
    partials: &Partials,
) -> Result<Filled, TemplateProblem> {
    let most = limit.min(MAX_BYTES);
    if template.len() > most {
        return too_much(None, format!("the template has more than {most} bytes"));
    }
    let Ok(text) = std::str::from_utf8(template) else {
        return wrong(None, "the template is not UTF-8");
    };
    let parsed = parser::parse(text)?;
    let (filled, shadow, probes) = fill::run(&parsed, context, limit, partials, true)?;
    if let Some(shadow) = shadow {
        injection::check(&filled, &shadow, &probes, limit)?;
    }
    Ok(filled)
}

/// Fills a template that is one value already (an entry of `values`, `set` or `images`): whatever comes out stays
/// that value, so it may hold anything.
pub(crate) fn fill_value(
    template: &str,
    context: &Value,
    limit: usize,
    partials: &Partials,
) -> Result<String, TemplateProblem> {
    if !template.contains("{{") {
        return Ok(template.to_owned());
    }
    let most = limit.min(MAX_BYTES);
    if template.len() > most {
        return too_much(None, format!("the template has more than {most} bytes"));
    }
    let parsed = parser::parse(template)?;
    fill::run(&parsed, context, limit, partials, false).map(|(filled, ..)| filled.text)
}
