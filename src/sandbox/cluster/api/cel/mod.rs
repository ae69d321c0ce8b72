//! Rules in CEL. In: a definition's schema with `x-kubernetes-validations`, a new and perhaps an old object; out: what
//! is wrong. Expressions alone can be evaluated, too. No I/O.

mod convert;
mod expression;
mod library;
mod program;
mod rules;
mod types;

pub use expression::{CelError, evaluate};
pub(crate) use library::Authorizer;
pub(crate) use program::{Bindings, Program, Wanted};
pub use rules::{Problem, Rules};
pub(crate) use types::PLAIN_NAMES;

use serde_json::Value;

/// What the rules of `schema` (a version's `openAPIV3Schema`) find wrong with `new`. Compiles them first: who checks
/// many objects keeps a [`Rules`].
#[must_use]
pub fn validate(schema: &Value, new: &Value, old: Option<&Value>) -> Vec<Problem> {
    Rules::compile(schema).validate(new, old)
}

/// The rules of `schema` that can't be compiled, each with its place, for the creation of a definition.
#[must_use]
pub fn check_rules(schema: &Value) -> Vec<String> {
    Rules::compile(schema).broken()
}

#[cfg(test)]
mod tests;
