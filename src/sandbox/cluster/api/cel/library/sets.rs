//! Lists as sets: `sets.contains`, `sets.equivalent`, `sets.intersects`.

use cel::{DeclarationError, Env, ExecutionError, Value as Cel};

use super::{functions, no_overload};

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    functions!(env,
        "sets.contains" / 2 => contains,
        "sets.equivalent" / 2 => equivalent,
        "sets.intersects" / 2 => intersects,
    );
    Ok(())
}

fn both(arguments: &[Cel]) -> Result<(&[Cel], &[Cel]), ExecutionError> {
    match arguments {
        [Cel::List(a), Cel::List(b)] => Ok((a, b)),
        _ => Err(no_overload(arguments)),
    }
}

fn holds(all: &[Cel], some: &[Cel]) -> bool {
    some.iter().all(|item| all.contains(item))
}

fn contains(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    both(arguments).map(|(a, b)| Cel::Bool(holds(a, b)))
}

fn equivalent(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    both(arguments).map(|(a, b)| Cel::Bool(holds(a, b) && holds(b, a)))
}

fn intersects(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    both(arguments).map(|(a, b)| Cel::Bool(a.iter().any(|item| b.contains(item))))
}
