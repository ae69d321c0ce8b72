//! What can be said of an expression before it is evaluated: whether the fields that it names exist, and what kind of
//! value it gives. In: an expression and the schemas of its variables; out: a finding. No I/O.

use cel::common::ast::{Expr, IdedExpr, LiteralValue};
use serde_json::Value;

use super::{convert, expression};

/// Marks a schema of the server's own: its names are written as they are, reserved words too.
pub(crate) const PLAIN_NAMES: &str = "x-plain-names";

/// A variable whose schema is known.
pub(super) struct Typed<'s> {
    pub(super) name: &'s str,
    pub(super) schema: &'s Value,
    /// It is an object of its own, with metadata.
    pub(super) is_root: bool,
}

/// The first field of a typed variable that its schema does not have.
pub(super) fn undefined_field(root: &IdedExpr, variables: &[Typed]) -> Option<String> {
    match shape(root, variables) {
        Err(field) => Some(field),
        Ok(_) => expression::children(root)
            .into_iter()
            .find_map(|child| undefined_field(child, variables)),
    }
}

const CHECKS: [&str; 20] = [
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "hasValue",
    "isSorted",
    "isQuantity",
    "isInteger",
    "isGreaterThan",
    "isLessThan",
    "isIP",
    "isCIDR",
    "isURL",
    "isUnspecified",
    "isLoopback",
    "containsIP",
    "containsCIDR",
    "allowed",
    "errored",
    "bool",
];
const TEXTS: [&str; 14] = [
    "string",
    "lowerAscii",
    "upperAscii",
    "replace",
    "substring",
    "trim",
    "join",
    "format",
    "charAt",
    "find",
    "getScheme",
    "getHost",
    "getHostname",
    "getPort",
];

/// The type of what an expression gives, in CEL's words, when its form alone tells.
pub(super) fn kind(root: &IdedExpr) -> Option<&'static str> {
    match &root.expr {
        Expr::Literal(literal) => Some(match literal {
            LiteralValue::Boolean(_) => "bool",
            LiteralValue::Bytes(_) => "bytes",
            LiteralValue::Double(_) => "double",
            LiteralValue::Int(_) => "int",
            LiteralValue::Null => "null_type",
            LiteralValue::String(_) => "string",
            LiteralValue::UInt(_) => "uint",
        }),
        Expr::List(_) => Some("list"),
        Expr::Map(_) => Some("map"),
        Expr::Select(select) if select.test => Some("bool"),
        Expr::Call(call) => match call.func_name.as_str() {
            "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "_&&_" | "_||_" | "!_" | "@in" => {
                Some("bool")
            }
            "_?_:_" => {
                let (one, other) = (call.args.get(1)?, call.args.get(2)?);
                kind(one).or_else(|| kind(other))
            }
            "_+_" => kind(call.args.first()?).or_else(|| kind(call.args.get(1)?)),
            "size" | "int" => Some("int"),
            word if CHECKS.contains(&word) => Some("bool"),
            // A macro of ours may share the name of a method: only what is called on something counts.
            word if TEXTS.contains(&word) => Some("string"),
            _ => None,
        },
        // `all` and `exists` fold from a truth, `map` and `filter` from a list; others tell by their result.
        Expr::Comprehension(fold) => match &fold.result.expr {
            Expr::Ident(name) if *name == fold.accu_var => kind(&fold.accu_init),
            _ => kind(&fold.result),
        },
        _ => None,
    }
}

/// The schema of what an expression gives, when it is known, and whether that is a whole object.
fn shape<'s>(
    expression: &IdedExpr,
    variables: &[Typed<'s>],
) -> Result<Option<(&'s Value, bool)>, String> {
    match &expression.expr {
        Expr::Ident(name) => Ok(variables
            .iter()
            .find(|variable| variable.name == name)
            .map(|variable| (variable.schema, variable.is_root))),
        Expr::Select(select) => match shape(&select.operand, variables)? {
            Some((found, whole)) => member(found, whole, &select.field),
            None => Ok(None),
        },
        Expr::Call(call) if call.func_name == "_[_]" => {
            let Some(base) = call.args.first() else { return Ok(None) };
            let Some((found, _)) = shape(base, variables)? else { return Ok(None) };
            let inner = [&found["items"], &found["additionalProperties"]];
            Ok(inner.into_iter().find(|inner| inner.is_object()).map(|inner| (inner, false)))
        }
        _ => Ok(None),
    }
}

fn member<'s>(
    schema: &'s Value,
    whole: bool,
    field: &str,
) -> Result<Option<(&'s Value, bool)>, String> {
    let whole = whole || schema["x-kubernetes-embedded-resource"] == true;
    if whole && matches!(field, "apiVersion" | "kind" | "metadata") {
        return Ok(None);
    }
    let properties = schema["properties"].as_object();
    if let Some((_, found)) = properties.into_iter().flatten().find(|(name, _)| {
        if schema[PLAIN_NAMES] == true { *name == field } else { convert::escape(name) == field }
    }) {
        return Ok(Some((found, false)));
    }
    if schema["additionalProperties"].is_object() {
        return Ok(Some((&schema["additionalProperties"], false)));
    }
    let open = schema["additionalProperties"] == true
        || schema["x-kubernetes-preserve-unknown-fields"] == true
        || schema["type"] != "object";
    if open { Ok(None) } else { Err(field.to_owned()) }
}
