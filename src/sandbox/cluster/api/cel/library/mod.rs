//! The functions that an expression may call: the engine's own and, where it has none, Kubernetes' libraries. In: values;
//! out: a value. No I/O.

mod authorizer;
mod lists;
mod network;
mod quantities;
mod sets;
mod text;
mod urls;

use std::sync::{Arc, LazyLock};

use cel::common::types::{DYN_TYPE, Type};
use cel::common::value::{CowVal, Val};
use cel::objects::Opaque;
use cel::{DeclarationError, Env, ExecutionError, Value as Cel};

pub(crate) use authorizer::Authorizer;

/// A function of ours: arguments (of a method, what it is called on comes first) → value.
type Body = fn(&[Cel]) -> Result<Cel, ExecutionError>;

/// Declares methods: name, number of arguments behind the target, body.
macro_rules! methods {
    ($env:ident, $($name:literal / $count:literal => $body:path),+ $(,)?) => {
        $({
            fn op<'b, 'v>(
                arguments: Vec<cel::common::value::CowVal<'b, 'v>>,
            ) -> Result<cel::common::value::CowVal<'b, 'v>, cel::ExecutionError> {
                super::call($name, &arguments, $body)
            }
            super::method($env, $name, concat!("k8s_", $name, "_", $count), $count, op)?;
        })+
    };
}

/// Declares functions: name, number of arguments, body.
macro_rules! functions {
    ($env:ident, $($name:literal / $count:literal => $body:path),+ $(,)?) => {
        $({
            fn op<'b, 'v>(
                arguments: Vec<cel::common::value::CowVal<'b, 'v>>,
            ) -> Result<cel::common::value::CowVal<'b, 'v>, cel::ExecutionError> {
                super::call($name, &arguments, $body)
            }
            super::function($env, $name, concat!("k8s_", $name, "_", $count), $count, op)?;
        })+
    };
}

use {functions, methods};

type Op = for<'b, 'v> fn(Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError>;

fn any(count: usize) -> Vec<Type> {
    (0..count).map(|_| DYN_TYPE.to_owned()).collect()
}

fn method(
    env: &mut Env,
    name: &str,
    id: &str,
    count: usize,
    op: Op,
) -> Result<(), DeclarationError> {
    env.add_member_overload(name, id, DYN_TYPE.to_owned(), any(count), op)
}

fn function(
    env: &mut Env,
    name: &str,
    id: &str,
    count: usize,
    op: Op,
) -> Result<(), DeclarationError> {
    env.add_overload(name, id, any(count), op)
}

fn call<'b, 'v>(
    name: &str,
    arguments: &[CowVal<'b, 'v>],
    body: Body,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let arguments: Vec<Cel> = arguments
        .iter()
        .map(|argument| Cel::try_from(argument.as_ref()))
        .collect::<Result<_, _>>()?;
    let value = body(&arguments).map_err(|error| match error {
        // A body does not know under which name it was called.
        ExecutionError::FunctionError { message, .. } => {
            ExecutionError::FunctionError { function: name.to_owned(), message }
        }
        other => other,
    })?;
    let value: Box<dyn Val> = value.try_into()?;
    Ok(CowVal::Owned(value))
}

/// The values are of types that the function does not take.
fn no_overload(arguments: &[Cel]) -> ExecutionError {
    let types: Vec<String> = arguments.iter().map(|value| value.type_of().to_string()).collect();
    failed(format!("no such overload: ({})", types.join(", ")))
}

fn failed(message: impl Into<String>) -> ExecutionError {
    ExecutionError::FunctionError { function: String::new(), message: message.into() }
}

fn string(text: impl Into<String>) -> Cel {
    Cel::String(Arc::new(text.into()))
}

fn opaque(value: impl Opaque) -> Cel {
    Cel::Opaque(Arc::new(value))
}

/// The value of type `T` behind an opaque one.
fn downcast<T: 'static>(value: &Cel) -> Option<&T> {
    match value {
        Cel::Opaque(value) => value.downcast_ref::<T>(),
        _ => None,
    }
}

pub(super) static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    for extension in [
        cel::extensions::strings,
        cel::extensions::lists,
        cel::extensions::math,
        cel::extensions::encoders,
        lists::extension,
        sets::extension,
        text::extension,
        quantities::extension,
        network::extension,
        urls::extension,
        authorizer::extension,
    ] {
        // A library whose names are taken adds nothing; a test calls each function once.
        let _ = env.add_extension(extension);
    }
    Arc::new(env)
});

/// Functions that the engine has; a call of any other is an error when an expression is compiled, so that it can't hide
/// in a branch that is never reached.
pub(super) const FUNCTIONS: &[&str] = &[
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
    // Kubernetes' own.
    "isSorted",
    "sum",
    "min",
    "max",
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
    "find",
    "findAll",
    "format.named",
    "validate",
    "quantity",
    "isQuantity",
    "isInteger",
    "asInteger",
    "asApproximateFloat",
    "sign",
    "add",
    "sub",
    "isGreaterThan",
    "isLessThan",
    "compareTo",
    "ip",
    "isIP",
    "ip.isCanonical",
    "family",
    "isUnspecified",
    "isLoopback",
    "isLinkLocalMulticast",
    "isLinkLocalUnicast",
    "isGlobalUnicast",
    "cidr",
    "isCIDR",
    "containsIP",
    "containsCIDR",
    "prefixLength",
    "masked",
    "url",
    "isURL",
    "getScheme",
    "getHost",
    "getHostname",
    "getPort",
    "getEscapedPath",
    "getQuery",
    "path",
    "group",
    "resource",
    "subresource",
    "namespace",
    "name",
    "serviceAccount",
    "check",
    "allowed",
    "reason",
    "errored",
    "error",
];
