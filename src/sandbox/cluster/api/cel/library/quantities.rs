//! Quantities: `quantity('500m')` and what is done with them.

use std::cmp::Ordering;

use cel::objects::Opaque;
use cel::{DeclarationError, Env, ExecutionError, Value as Cel};

use super::super::super::quantity::Quantity;
use super::{downcast, failed, functions, methods, no_overload, opaque};

#[derive(Debug)]
struct Amount(Quantity);

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.0.partial_cmp(&other.0) == Some(Ordering::Equal)
    }
}

impl Eq for Amount {}

impl Opaque for Amount {
    fn runtime_type_name(&self) -> &'static str {
        "kubernetes.Quantity"
    }
}

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    functions!(env,
        "quantity" / 1 => quantity,
        "isQuantity" / 1 => is_quantity,
    );
    methods!(env,
        "isInteger" / 0 => is_integer,
        "asInteger" / 0 => as_integer,
        "asApproximateFloat" / 0 => as_float,
        "sign" / 0 => sign,
        "add" / 1 => add,
        "sub" / 1 => sub,
        "isGreaterThan" / 1 => is_greater,
        "isLessThan" / 1 => is_less,
        "compareTo" / 1 => compare,
    );
    Ok(())
}

fn quantity(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [Cel::String(text)] = arguments else { return Err(no_overload(arguments)) };
    let parsed = Quantity::parse(text).ok_or_else(|| {
        failed(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        )
    })?;
    Ok(opaque(Amount(parsed)))
}

fn is_quantity(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [Cel::String(text)] = arguments else { return Err(no_overload(arguments)) };
    Ok(Cel::Bool(Quantity::parse(text).is_some()))
}

fn this(arguments: &[Cel]) -> Result<Quantity, ExecutionError> {
    let this = arguments.first().and_then(downcast::<Amount>);
    this.map(|amount| amount.0).ok_or_else(|| no_overload(arguments))
}

fn other(arguments: &[Cel]) -> Result<Quantity, ExecutionError> {
    let other = arguments.get(1).and_then(downcast::<Amount>);
    other.map(|amount| amount.0).ok_or_else(|| no_overload(arguments))
}

/// What is added or taken away: a quantity or a whole number.
fn operand(arguments: &[Cel]) -> Result<Quantity, ExecutionError> {
    match arguments.get(1) {
        Some(Cel::Int(number)) => {
            Quantity::parse(&number.to_string()).ok_or_else(|| no_overload(arguments))
        }
        _ => other(arguments),
    }
}

fn whole(quantity: Quantity) -> Option<i64> {
    quantity.is_whole().then(|| i64::try_from(quantity.value()).ok()).flatten()
}

fn is_integer(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(whole(this(arguments)?).is_some()))
}

fn as_integer(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let number = whole(this(arguments)?);
    number.map(Cel::Int).ok_or_else(|| failed("cannot convert value to integer"))
}

fn as_float(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Float(this(arguments)?.approximate()))
}

fn order(a: Quantity, b: Quantity) -> i64 {
    match a.partial_cmp(&b) {
        Some(Ordering::Less) => -1,
        Some(Ordering::Greater) => 1,
        _ => 0,
    }
}

fn sign(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let this = this(arguments)?;
    Ok(Cel::Int(order(this, this.minus(this))))
}

fn add(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(opaque(Amount(this(arguments)?.plus(operand(arguments)?))))
}

fn sub(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(opaque(Amount(this(arguments)?.minus(operand(arguments)?))))
}

fn is_greater(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(order(this(arguments)?, other(arguments)?) > 0))
}

fn is_less(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Bool(order(this(arguments)?, other(arguments)?) < 0))
}

fn compare(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    Ok(Cel::Int(order(this(arguments)?, other(arguments)?)))
}
