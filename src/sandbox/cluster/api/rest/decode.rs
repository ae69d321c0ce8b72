//! (body) → object of the kind that the path names: kind and namespace agree, fields are known. Pure, no I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::schema::{Class, FieldValidation, Problem};
use super::super::state::Call;
use super::super::status::{ApiError, Cause};

/// Checks and completes `object`; unknown fields are refused, warned of or dropped as the request wants.
pub(crate) fn decode(call: &mut Call, mut object: Value) -> Result<Value, ApiError> {
    head(call, &mut object)?;
    let kind = &call.served.kind;
    let (decode, unknown): (Vec<Problem>, Vec<Problem>) = kind
        .schema
        .validate(&object, call.fields)
        .into_iter()
        .filter(|p| matches!(p.class, Class::Decode | Class::UnknownField))
        .partition(|p| p.class == Class::Decode);
    let refuse = |text: &str| {
        ApiError::bad_request(format!(
            "{0} in version {1:?} cannot be handled as a {0}: {text}",
            kind.kind, kind.version
        ))
    };
    if let Some(problem) = decode.first() {
        return Err(refuse(&problem.message));
    }
    if let Some(at) = bad_base64(call, &object) {
        return Err(refuse(&format!("illegal base64 data at input byte {at}")));
    }
    match call.fields {
        FieldValidation::Strict if !unknown.is_empty() || !call.duplicates.is_empty() => {
            let texts: Vec<&str> = (call.duplicates.iter().map(String::as_str))
                .chain(unknown.iter().map(|p| p.message.as_str()))
                .collect();
            return Err(refuse(&format!("strict decoding error: {}", texts.join(", "))));
        }
        FieldValidation::Warn => {
            call.warnings.append(&mut call.duplicates);
            call.warnings.extend(unknown.into_iter().map(|p| p.message));
        }
        FieldValidation::Strict | FieldValidation::Ignore => {}
    }
    kind.schema.prune(&mut object);
    kind.schema.default(&mut object);
    Ok(object)
}

/// The first byte that is no base64 in what has to be it: the data of Secrets, the binary data of `ConfigMaps`.
fn bad_base64(call: &Call, object: &Value) -> Option<usize> {
    let key = match (call.served.kind.group.as_str(), call.served.kind.plural.as_str()) {
        ("", "secrets") => "data",
        ("", "configmaps") => "binaryData",
        _ => return None,
    };
    object[key].as_object()?.values().filter_map(Value::as_str).find_map(|text| {
        let plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '\r' | '\n');
        let clean: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        match text.find(|c| !plain(c)) {
            Some(at) => Some(at),
            None => STANDARD.decode(&clean).is_err().then_some(clean.len()),
        }
    })
}

/// `apiVersion`, `kind` and the namespace of a body.
pub(crate) fn head(call: &Call, object: &mut Value) -> Result<(), ApiError> {
    let kind = &call.served.kind;
    if !object.is_object() {
        return Err(ApiError::bad_request("the body is not an object"));
    }
    let said = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let (mut version, mut name) = (said("apiVersion"), said("kind"));
    let applied = call.content_type.as_deref().is_some_and(|kind| kind.contains("apply-patch"));
    if call.served.custom.is_none() && !applied {
        // What is decoded into a type has the path's, when the body says nothing.
        for (said, key, own) in [
            (&mut version, "apiVersion", kind.api_version()),
            (&mut name, "kind", kind.kind.clone()),
        ] {
            if said.is_empty() {
                object[key] = json!(own);
                *said = own;
            }
        }
    }
    if name.is_empty() {
        return Err(ApiError::bad_request("Object 'Kind' is missing in the body of the request"));
    }
    if version != kind.api_version() {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({version}) does not match the expected API version ({})",
            kind.api_version()
        )));
    }
    if name != kind.kind {
        return Err(ApiError::bad_request(format!(
            "{name} in version {:?} cannot be handled as a {}: no kind {name:?} matches the path",
            kind.version, kind.kind
        )));
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    if kind.namespaced {
        match object["metadata"]["namespace"].as_str() {
            None | Some("") => object["metadata"]["namespace"] = json!(call.path.namespace),
            Some(namespace) if namespace != call.path.namespace => {
                return Err(ApiError::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            Some(_) => {}
        }
    } else if let Some(meta) = object["metadata"].as_object_mut() {
        meta.remove("namespace");
    }
    Ok(())
}

/// A schema's problem as a cause.
pub(crate) fn cause(problem: &Problem) -> Cause {
    Cause {
        reason: problem.class.reason().to_owned(),
        field: problem.field.clone(),
        message: problem.message.clone(),
    }
}

/// What the schema finds wrong with the values of a decoded object.
pub(crate) fn value_problems(call: &Call, object: &Value) -> Vec<Cause> {
    call.served
        .kind
        .schema
        .validate(object, FieldValidation::Ignore)
        .iter()
        .filter(|p| !matches!(p.class, Class::Decode | Class::UnknownField))
        .map(cause)
        .collect()
}
