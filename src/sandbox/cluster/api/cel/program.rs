//! Expressions of policies: compiled against the variables of a request, evaluated many times on one set of values. In:
//! text, JSON and values; out: values. No I/O.

use cel::Value as Cel;
use serde_json::Value;

use super::convert;
use super::expression::{CelError, Compiled, Scope};
use super::types::{self, Typed};

/// What an expression is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A truth.
    Bool,
    /// A text.
    String,
    /// Whatever it gives.
    Anything,
}

/// A variable of the environment: its name and, where it is typed, its schema.
pub(crate) type Declared<'d> = (&'d str, Option<&'d Value>);

/// A compiled expression with its text.
#[derive(Debug)]
pub(crate) struct Program {
    text: String,
    compiled: Compiled,
}

impl Program {
    /// Compiles `text`; it may use the declared variables and has to give what is wanted, as far as its form tells.
    pub(crate) fn new(text: &str, declared: &[Declared], wanted: Wanted) -> Result<Self, CelError> {
        let names: Vec<&str> = declared.iter().map(|(name, _)| *name).collect();
        let compiled = Compiled::new(text, &names)?;
        let typed: Vec<Typed> = declared
            .iter()
            .filter_map(|(name, schema)| Some(Typed { name, schema: (*schema)?, is_root: false }))
            .collect();
        if let Some(field) = types::undefined_field(compiled.root(), &typed) {
            return Err(CelError::Compile(format!("undefined field '{field}'")));
        }
        let word = match wanted {
            Wanted::Bool => "bool",
            Wanted::String => "string",
            Wanted::Anything => return Ok(Self { text: text.to_owned(), compiled }),
        };
        match types::kind(compiled.root()) {
            Some(kind) if kind != word => {
                Err(CelError::Type(format!("must evaluate to {word} but got {kind}")))
            }
            _ => Ok(Self { text: text.to_owned(), compiled }),
        }
    }

    /// The names of variables that it uses and that begin with `prefix`, in no particular order.
    pub(crate) fn uses(&self, prefix: &str) -> Vec<String> {
        self.compiled.used(|name| name.starts_with(prefix))
    }

    /// Evaluates it; an error is said as Kubernetes says it.
    pub(crate) fn run(&self, bindings: &Bindings) -> Result<Cel, String> {
        self.compiled.run_in(&bindings.scope).map_err(|error| {
            let error = bindings.explained(&error.to_string());
            format!("expression '{}' resulted in error: {error}", self.text)
        })
    }
}

/// The values that expressions are evaluated on.
pub(crate) struct Bindings {
    scope: Scope,
    /// Variables that have no value, each with what is said when one asks for it.
    failed: Vec<(String, String)>,
}

impl Bindings {
    pub(crate) fn new() -> Self {
        Self { scope: Scope::new(), failed: Vec::new() }
    }

    /// Binds JSON; numbers and texts are what they are, no schema is applied.
    pub(crate) fn bind(&mut self, name: &str, value: &Value) {
        self.scope.bind(name, convert::plain(value));
    }

    pub(crate) fn bind_value(&mut self, name: &str, value: Cel) {
        self.scope.bind(name, value);
    }

    /// Notes that a variable has no value.
    pub(crate) fn fail(&mut self, name: &str, why: String) {
        self.failed.push((name.to_owned(), why));
    }

    /// An error about a variable without value is the error that kept it from having one.
    fn explained(&self, error: &str) -> String {
        self.failed
            .iter()
            .find(|(name, _)| error.contains(&format!("undeclared reference to '{name}'")))
            .map_or_else(|| error.to_owned(), |(_, why)| why.clone())
    }
}
