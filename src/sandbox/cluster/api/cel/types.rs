//! Whether the fields that a rule names exist. In: an expression and the schema of `self`; out: the first field that
//! does not. No I/O.

use cel::common::ast::{Expr, IdedExpr};
use serde_json::Value;

use super::{convert, expression};

/// The first field below `self` or `oldSelf` that the schema does not have.
pub(super) fn undefined_field(root: &IdedExpr, schema: &Value, is_root: bool) -> Option<String> {
    match shape(root, schema, is_root) {
        Err(field) => Some(field),
        Ok(_) => expression::children(root)
            .into_iter()
            .find_map(|child| undefined_field(child, schema, is_root)),
    }
}

/// The schema of what an expression gives, when it is known, and whether that is a whole object.
fn shape<'s>(
    expression: &IdedExpr,
    schema: &'s Value,
    is_root: bool,
) -> Result<Option<(&'s Value, bool)>, String> {
    match &expression.expr {
        // A list that is no optional: `oldSelf` may be one, so only `self` is followed.
        Expr::Ident(name) if name == "self" => Ok(Some((schema, is_root))),
        Expr::Select(select) => match shape(&select.operand, schema, is_root)? {
            Some((found, whole)) => member(found, whole, &select.field),
            None => Ok(None),
        },
        Expr::Call(call) if call.func_name == "_[_]" => {
            let Some(base) = call.args.first() else { return Ok(None) };
            let Some((found, _)) = shape(base, schema, is_root)? else { return Ok(None) };
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
    if let Some((_, found)) =
        properties.into_iter().flatten().find(|(name, _)| convert::escape(name) == field)
    {
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
