//! Kubernetes' list functions: `isSorted`, `sum`, `min`, `max`, `indexOf`, `lastIndexOf`.

use std::cmp::Ordering;

use cel::{DeclarationError, Env, ExecutionError, Value as Cel};

use super::{failed, methods, no_overload};

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    methods!(env,
        "isSorted" / 0 => is_sorted,
        "sum" / 0 => sum,
        "min" / 0 => least,
        "max" / 0 => most,
        "indexOf" / 1 => first_index,
        "lastIndexOf" / 1 => last_index,
    );
    Ok(())
}

fn items(arguments: &[Cel]) -> Result<&[Cel], ExecutionError> {
    match arguments.first() {
        Some(Cel::List(items)) => Ok(items),
        _ => Err(no_overload(arguments)),
    }
}

fn order(a: &Cel, b: &Cel) -> Result<Ordering, ExecutionError> {
    a.partial_cmp(b).ok_or_else(|| no_overload(&[a.clone(), b.clone()]))
}

fn is_sorted(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    for pair in items(arguments)?.windows(2) {
        if let [a, b] = pair
            && order(a, b)? == Ordering::Greater
        {
            return Ok(Cel::Bool(false));
        }
    }
    Ok(Cel::Bool(true))
}

fn sum(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let mut items = items(arguments)?.iter();
    let Some(first) = items.next() else { return Ok(Cel::Int(0)) };
    let overflow = || failed("integer overflow");
    let mut sum = first.clone();
    if !matches!(sum, Cel::Int(_) | Cel::UInt(_) | Cel::Float(_) | Cel::Duration(_)) {
        return Err(no_overload(arguments));
    }
    for item in items {
        sum = match (&sum, item) {
            (Cel::Int(a), Cel::Int(b)) => Cel::Int(a.checked_add(*b).ok_or_else(overflow)?),
            (Cel::UInt(a), Cel::UInt(b)) => Cel::UInt(a.checked_add(*b).ok_or_else(overflow)?),
            (Cel::Float(a), Cel::Float(b)) => Cel::Float(a + b),
            (Cel::Duration(a), Cel::Duration(b)) => {
                Cel::Duration(a.checked_add(b).ok_or_else(overflow)?)
            }
            (a, b) => return Err(no_overload(&[a.clone(), b.clone()])),
        };
    }
    Ok(sum)
}

fn extreme(arguments: &[Cel], word: &str, wanted: Ordering) -> Result<Cel, ExecutionError> {
    let mut items = items(arguments)?.iter();
    let mut best =
        items.next().ok_or_else(|| failed(format!("{word} called on empty list")))?.clone();
    for item in items {
        if order(item, &best)? == wanted {
            best = item.clone();
        }
    }
    Ok(best)
}

fn least(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    extreme(arguments, "min", Ordering::Less)
}

fn most(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    extreme(arguments, "max", Ordering::Greater)
}

fn index(found: Option<usize>) -> Cel {
    Cel::Int(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}

fn first_index(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let wanted = arguments.get(1).ok_or_else(|| no_overload(arguments))?;
    Ok(index(items(arguments)?.iter().position(|item| item == wanted)))
}

fn last_index(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let wanted = arguments.get(1).ok_or_else(|| no_overload(arguments))?;
    Ok(index(items(arguments)?.iter().rposition(|item| item == wanted)))
}
