//! Text: regular expressions (`find`, `findAll`) and named formats (`format.named('dns1123Label').value().validate(x)`).

use std::sync::Arc;

use cel::objects::{Opaque, OptionalValue};
use cel::{DeclarationError, Env, ExecutionError, Value as Cel};
use regex::Regex;

use super::{failed, functions, methods, no_overload, opaque, string};

pub(super) fn extension(env: &mut Env) -> Result<(), DeclarationError> {
    methods!(env,
        "find" / 1 => find,
        "findAll" / 1 => find_all,
        "findAll" / 2 => find_some,
        "validate" / 1 => validate,
    );
    functions!(env, "format.named" / 1 => named);
    Ok(())
}

fn pattern(text: &str) -> Result<Regex, ExecutionError> {
    Regex::new(text).map_err(|_| failed(format!("Illegal regex: {text}")))
}

fn find(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [Cel::String(text), Cel::String(wanted)] = arguments else {
        return Err(no_overload(arguments));
    };
    Ok(string(pattern(wanted)?.find(text).map_or("", |found| found.as_str())))
}

fn find_all(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [Cel::String(text), Cel::String(wanted)] = arguments else {
        return Err(no_overload(arguments));
    };
    let found = pattern(wanted)?.find_iter(text).map(|found| string(found.as_str())).collect();
    Ok(Cel::List(Arc::new(found)))
}

fn find_some(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [Cel::String(text), Cel::String(wanted), Cel::Int(most)] = arguments else {
        return Err(no_overload(arguments));
    };
    // A negative number asks for all, as in Go.
    let most = usize::try_from(*most).unwrap_or(usize::MAX);
    let pattern = pattern(wanted)?;
    let found = pattern.find_iter(text).take(most).map(|found| string(found.as_str())).collect();
    Ok(Cel::List(Arc::new(found)))
}

/// A format that has a name.
#[derive(Debug, PartialEq, Eq)]
struct Format {
    name: String,
}

impl Opaque for Format {
    fn runtime_type_name(&self) -> &'static str {
        "kubernetes.NamedFormat"
    }
}

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_WORDS: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_WORDS: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const VALUE_WORDS: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// The formats of the sandbox: pattern, most characters, what is said of others.
fn rule(name: &str) -> Option<(String, usize, &'static str)> {
    Some(match name {
        "dns1123Label" => (LABEL.to_owned(), 63, LABEL_WORDS),
        "dns1123Subdomain" => (format!("{LABEL}(\\.{LABEL})*"), 253, SUBDOMAIN_WORDS),
        "labelValue" => ("(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?".to_owned(), 63, VALUE_WORDS),
        _ => return None,
    })
}

fn named(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [Cel::String(name)] = arguments else { return Err(no_overload(arguments)) };
    let found = match name.as_str() {
        // The real server knows these too: better an error than "there is no such format".
        "dns1123LabelPrefix"
        | "dns1123SubdomainPrefix"
        | "dns1035Label"
        | "dns1035LabelPrefix"
        | "qualifiedName"
        | "uri"
        | "uuid"
        | "byte"
        | "date"
        | "datetime" => {
            return Err(failed(format!("the sandbox does not support the format {name:?}")));
        }
        name if rule(name).is_some() => OptionalValue::of(opaque(Format { name: name.to_owned() })),
        _ => OptionalValue::none(),
    };
    Ok(Cel::Opaque(Arc::new(found)))
}

fn validate(arguments: &[Cel]) -> Result<Cel, ExecutionError> {
    let [format, Cel::String(text)] = arguments else { return Err(no_overload(arguments)) };
    let Some(format) = super::downcast::<Format>(format) else {
        return Err(no_overload(arguments));
    };
    let Some((wanted, most, words)) = rule(&format.name) else {
        return Err(no_overload(arguments));
    };
    let mut problems = Vec::new();
    if text.len() > most {
        problems.push(string(format!("must be no more than {most} characters")));
    }
    if !pattern(&format!("^(?:{wanted})$"))?.is_match(text) {
        problems.push(string(words));
    }
    let found = if problems.is_empty() {
        OptionalValue::none()
    } else {
        OptionalValue::of(Cel::List(Arc::new(problems)))
    };
    Ok(Cel::Opaque(Arc::new(found)))
}
