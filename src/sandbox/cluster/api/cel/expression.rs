//! One expression: compiled, checked for functions that do not exist here, evaluated. In: text and variables; out: a
//! value. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::parser::PrattParser;
use cel::{Context, ExecutionError, Value as Cel};
use serde_json::Value;

use super::convert;
use super::library::{ENV, FUNCTIONS};

/// Why an expression gave no value.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CelError {
    /// It is no valid expression, or calls a function that there is not.
    #[error("compilation failed: {0}")]
    Compile(String),
    /// It does not give what it is to give.
    #[error("{0}")]
    Type(String),
    /// It went wrong on these variables.
    #[error("{0}")]
    Evaluate(String),
}

/// Longer expressions and deeper nesting are refused before the parser recurses into them.
const MAX_LENGTH: usize = 64 * 1024;
const MAX_DEPTH: usize = 30;
const MAX_NODES: usize = 2000;
/// Chains (`a + b + c`, `a.b.c`) nest to the left; even to drop a very long one takes a deep stack.
const MAX_LINKS: usize = 400;

/// A compiled expression. The crate's default parser needs so much stack that fifteen nested brackets end a thread;
/// this one needs little and has a bound of its own.
#[derive(Debug)]
pub(super) struct Compiled {
    expression: IdedExpr,
}

impl Compiled {
    /// Compiles `text`; `variables` are the names it may use. A name with a dot in it (`variables.x`) is one variable,
    /// and then no other member of what stands before the dot is known.
    pub(super) fn new(text: &str, variables: &[&str]) -> Result<Self, CelError> {
        let links = text.matches(['+', '-', '*', '/', '%', '.', '<', '>', '=', ',']).count();
        if text.len() > MAX_LENGTH || links > MAX_LINKS || depth(text) > MAX_DEPTH {
            return Err(CelError::Compile("the expression is too large".to_owned()));
        }
        let mut expression = PrattParser::new()
            .enable_optional_syntax(true)
            .max_expression_node_count(MAX_NODES)
            .parse(text)
            .map_err(|why| CelError::Compile(why.to_string().trim().to_owned()))?;
        if levels(&expression) > MAX_DEPTH {
            return Err(CelError::Compile("the expression nests too deep".to_owned()));
        }
        join(&mut expression, variables)
            .map_err(|field| CelError::Compile(format!("undefined field '{field}'")))?;
        let mut scope: Vec<String> = variables.iter().map(|&name| name.to_owned()).collect();
        undeclared(&expression, &mut scope).map_err(|name| {
            CelError::Compile(format!("undeclared reference to '{name}' (in container '')"))
        })?;
        Ok(Self { expression })
    }

    /// The variables of which `wanted` says so that it uses.
    pub(super) fn used(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        let (mut found, mut open) = (Vec::new(), vec![&self.expression]);
        while let Some(expression) = open.pop() {
            if let Expr::Ident(name) = &expression.expr
                && wanted(name)
                && !found.contains(name)
            {
                found.push(name.clone());
            }
            open.extend(children(expression));
        }
        found
    }

    pub(super) fn uses(&self, variable: &str) -> bool {
        self.expression.references().has_variable(variable)
    }

    pub(super) fn root(&self) -> &IdedExpr {
        &self.expression
    }

    pub(super) fn run(&self, variables: &[(&str, &Cel)]) -> Result<Cel, CelError> {
        let mut scope = Scope::new();
        for (name, value) in variables {
            scope.bind(name, (*value).clone());
        }
        self.run_in(&scope)
    }

    pub(super) fn run_in(&self, scope: &Scope) -> Result<Cel, CelError> {
        Cel::resolve(&self.expression, &scope.context)
            .map_err(|error| CelError::Evaluate(words(&error)))
    }
}

/// Variables for many expressions: each value is converted once.
pub(super) struct Scope {
    context: Context<'static, 'static>,
}

impl Scope {
    pub(super) fn new() -> Self {
        Self { context: Context::with_env(Arc::clone(&ENV)) }
    }

    pub(super) fn bind(&mut self, name: &str, value: Cel) {
        self.context.add_variable_from_value(name, value);
    }
}

/// Makes one identifier of each `a.b` whose name is a variable; fails with `c` for `a.c` where only `a.b` is one.
fn join(expression: &mut IdedExpr, variables: &[&str]) -> Result<(), String> {
    if let Expr::Select(select) = &expression.expr
        && let Expr::Ident(base) = &select.operand.expr
    {
        let full = format!("{base}.{}", select.field);
        let dotted =
            |name: &&str| name.strip_prefix(base).is_some_and(|rest| rest.starts_with('.'));
        if variables.contains(&full.as_str()) {
            expression.expr = if select.test {
                Expr::Literal(LiteralValue::Boolean(true.into()))
            } else {
                Expr::Ident(full)
            };
            return Ok(());
        }
        if variables.iter().any(dotted) && !variables.contains(&base.as_str()) {
            return Err(select.field.clone());
        }
    }
    children_mut(expression).into_iter().try_for_each(|child| join(child, variables))
}

/// How deep brackets nest, quotes not minded: a bound, not a parse.
fn depth(text: &str) -> usize {
    let (mut depth, mut most, mut run) = (0_usize, 0, 0_usize);
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        // Rows of signs and ternaries nest, too.
        run = match c {
            '!' | '-' | ' ' => run + usize::from(c != ' '),
            _ => 0,
        };
        most = most.max(depth).max(run);
    }
    most.max(text.matches('?').count())
}

/// How deep the expression is, counted without recursion.
fn levels(root: &IdedExpr) -> usize {
    let (mut most, mut open) = (0, vec![(root, 1)]);
    while let Some((expression, level)) = open.pop() {
        most = most.max(level);
        open.extend(children(expression).into_iter().map(|child| (child, level + 1)));
    }
    most
}

/// The engine's errors in the words of Kubernetes' engine.
fn words(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::UndeclaredReference(name) => {
            format!("undeclared reference to '{name}' (in container '')")
        }
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::IndexOutOfBounds(index) => match index {
            Cel::Int(index) => format!("index out of bounds: {index}"),
            _ => "index out of bounds".to_owned(),
        },
        ExecutionError::FunctionError { message, .. } => message.chars().take(300).collect(),
        other => {
            // Debug texts of whole values don't belong into a message of a line.
            let text = other.to_string();
            text.chars().take(300).collect()
        }
    }
}

/// Every expression right below one.
pub(super) fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => entries(&map.entries),
        Expr::Struct(made) => entries(&made.entries),
        Expr::Comprehension(fold) => {
            vec![&fold.iter_range, &fold.accu_init, &fold.loop_cond, &fold.loop_step, &fold.result]
        }
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn children_mut(expression: &mut IdedExpr) -> Vec<&mut IdedExpr> {
    match &mut expression.expr {
        Expr::Call(call) => {
            call.target.iter_mut().map(AsMut::as_mut).chain(&mut call.args).collect()
        }
        Expr::Select(select) => vec![&mut select.operand],
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => entries_mut(&mut map.entries),
        Expr::Struct(made) => entries_mut(&mut made.entries),
        Expr::Comprehension(fold) => {
            let fold = fold.as_mut();
            vec![
                &mut fold.iter_range,
                &mut fold.accu_init,
                &mut fold.loop_cond,
                &mut fold.loop_step,
                &mut fold.result,
            ]
        }
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn entries_mut(entries: &mut [cel::common::ast::IdedEntryExpr]) -> Vec<&mut IdedExpr> {
    entries
        .iter_mut()
        .flat_map(|entry| match &mut entry.expr {
            EntryExpr::StructField(field) => vec![&mut field.value],
            EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
        })
        .collect()
}

fn entries(entries: &[cel::common::ast::IdedEntryExpr]) -> Vec<&IdedExpr> {
    entries
        .iter()
        .flat_map(|entry| match &entry.expr {
            EntryExpr::StructField(field) => vec![&field.value],
            EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
        })
        .collect()
}

const TYPES: [&str; 12] = [
    "bool",
    "bytes",
    "double",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "type",
    "uint",
    "optional_type",
    "dyn",
];

/// Fails with the first name that is neither a variable nor a function here.
fn undeclared(expression: &IdedExpr, scope: &mut Vec<String>) -> Result<(), String> {
    match &expression.expr {
        Expr::Ident(name) => {
            let known = scope.contains(name)
                || TYPES.contains(&name.as_str())
                || name.starts_with(['@', '#']);
            return if known { Ok(()) } else { Err(name.clone()) };
        }
        Expr::Call(call) => {
            let word = call.func_name.as_str();
            let operator = !word.starts_with(|c: char| c.is_ascii_alphabetic());
            let namespace = call.target.as_ref().and_then(|target| match &target.expr {
                Expr::Ident(name) if !scope.contains(name) => Some(name),
                _ => None,
            });
            if let Some(namespace) = namespace {
                let full = format!("{namespace}.{word}");
                let known = FUNCTIONS.contains(&full.as_str()) || (namespace == "math" && operator);
                if !known {
                    return Err(full);
                }
                return call.args.iter().try_for_each(|argument| undeclared(argument, scope));
            }
            if !operator && !FUNCTIONS.contains(&word) && !word.contains(".@") {
                return Err(word.to_owned());
            }
        }
        Expr::Comprehension(fold) => {
            undeclared(&fold.iter_range, scope)?;
            undeclared(&fold.accu_init, scope)?;
            let outer = scope.len();
            scope.push(fold.accu_var.clone());
            let result = undeclared(&fold.result, scope).and_then(|()| {
                scope.push(fold.iter_var.clone());
                scope.extend(fold.iter_var2.clone());
                undeclared(&fold.loop_cond, scope)?;
                undeclared(&fold.loop_step, scope)
            });
            scope.truncate(outer);
            return result;
        }
        _ => {}
    }
    children(expression).into_iter().try_for_each(|child| undeclared(child, scope))
}

/// The value of an expression without variables.
pub(super) fn constant(text: &str) -> Result<Cel, CelError> {
    Compiled::new(text, &[])?.run(&[])
}

/// Evaluates an expression on variables.
pub fn evaluate(expression: &str, variables: &BTreeMap<String, Value>) -> Result<Value, CelError> {
    let names: Vec<&str> = variables.keys().map(String::as_str).collect();
    let compiled = Compiled::new(expression, &names)?;
    let values: Vec<Cel> = variables.values().map(convert::plain).collect();
    let bound: Vec<(&str, &Cel)> = names.into_iter().zip(&values).collect();
    convert::to_json(&compiled.run(&bound)?).map_err(CelError::Evaluate)
}
