//! One expression: compiled, checked for functions that do not exist here, evaluated. In: text and variables; out: a
//! value. No I/O.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::parser::PrattParser;
use cel::{Context, Env, ExecutionError, Value as Cel};
use serde_json::Value;

use super::convert;

/// Why an expression gave no value.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CelError {
    /// It is no valid expression, or calls a function that there is not.
    #[error("compilation failed: {0}")]
    Compile(String),
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

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    for extension in [
        cel::extensions::strings,
        cel::extensions::lists,
        cel::extensions::math,
        cel::extensions::encoders,
    ] {
        // A library whose names are taken adds nothing; the calls of it are then undeclared.
        let _ = env.add_extension(extension);
    }
    Arc::new(env)
});

/// Functions that the engine has; a call of any other is an error when a rule is compiled, so that it can't hide in a
/// branch that is never reached.
const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "uint",
    "double",
    "bool",
    "bytes",
    "dyn",
    "type",
    "duration",
    "timestamp",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "hasValue",
    "value",
    "or",
    "orValue",
    "optMap",
    "optFlatMap",
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "charAt",
    "indexOf",
    "lastIndexOf",
    "lowerAscii",
    "upperAscii",
    "replace",
    "split",
    "substring",
    "trim",
    "join",
    "format",
    "reverse",
    "strings.quote",
    "distinct",
    "flatten",
    "slice",
    "sort",
    "lists.range",
    "math.abs",
    "math.bitAnd",
    "math.bitNot",
    "math.bitOr",
    "math.bitShiftLeft",
    "math.bitShiftRight",
    "math.bitXor",
    "math.ceil",
    "math.floor",
    "math.isFinite",
    "math.isInf",
    "math.isNaN",
    "math.round",
    "math.sign",
    "math.sqrt",
    "math.trunc",
    "base64.encode",
    "base64.decode",
];

/// A compiled expression. The crate's default parser needs so much stack that fifteen nested brackets end a thread;
/// this one needs little and has a bound of its own.
#[derive(Debug)]
pub(super) struct Compiled {
    expression: IdedExpr,
}

impl Compiled {
    /// Compiles `text`; `variables` are the names it may use.
    pub(super) fn new(text: &str, variables: &[&str]) -> Result<Self, CelError> {
        let links = text.matches(['+', '-', '*', '/', '%', '.', '<', '>', '=', ',']).count();
        if text.len() > MAX_LENGTH || links > MAX_LINKS || depth(text) > MAX_DEPTH {
            return Err(CelError::Compile("the expression is too large".to_owned()));
        }
        let expression = PrattParser::new()
            .enable_optional_syntax(true)
            .max_expression_node_count(MAX_NODES)
            .parse(text)
            .map_err(|why| CelError::Compile(why.to_string().trim().to_owned()))?;
        if levels(&expression) > MAX_DEPTH {
            return Err(CelError::Compile("the expression nests too deep".to_owned()));
        }
        let mut scope: Vec<String> = variables.iter().map(|&name| name.to_owned()).collect();
        undeclared(&expression, &mut scope).map_err(|name| {
            CelError::Compile(format!("undeclared reference to '{name}' (in container '')"))
        })?;
        Ok(Self { expression })
    }

    pub(super) fn uses(&self, variable: &str) -> bool {
        self.expression.references().has_variable(variable)
    }

    pub(super) fn root(&self) -> &IdedExpr {
        &self.expression
    }

    pub(super) fn run(&self, variables: &[(&str, &Cel)]) -> Result<Cel, CelError> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        for (name, value) in variables {
            context.add_variable_from_value(*name, (*value).clone());
        }
        Cel::resolve(&self.expression, &context).map_err(|error| CelError::Evaluate(words(&error)))
    }
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
