//! Where the server meets the pure parts: schemas, patches, managed fields, tables, selectors, rules. One place, so that
//! their errors become `Status`es in one way. No I/O.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::body::PatchKind;
use super::convert::storage_group;
use super::managed_fields::{self, ApplyError, ApplyRequest, Write};
use super::patch as patches;
use super::path::Query;
use super::schema::{Kind, openapi_document};
use super::selectors::{FieldSelector, LabelSelector};
use super::state::Call;
use super::status::{ApiError, Cause};
use super::table::{self, TableKind};

/// Parses `labelSelector`.
pub(crate) fn label_selector(text: &str) -> Result<LabelSelector, ApiError> {
    LabelSelector::parse(text).map_err(ApiError::bad_request)
}

/// Parses `fieldSelector`; only some fields of a kind can be selected by.
pub(crate) fn field_selector(call: &Call, query: &Query) -> Result<FieldSelector, ApiError> {
    let text = query.get("fieldSelector").unwrap_or_default();
    let selector = FieldSelector::parse(text).map_err(ApiError::bad_request)?;
    let kind = &call.served.kind;
    // A definition names the fields that its objects can be selected by.
    if call.served.custom.is_none() {
        selector.check(&kind.group, &kind.plural, None).map_err(|error| {
            ApiError::bad_request(format!(
                "Unable to find {:?} that match label selector {:?}, field selector {text:?}: {error}",
                format!("{}/{}, Resource={}", kind.group, kind.version, kind.plural),
                query.get("labelSelector").unwrap_or_default(),
            ))
        })?;
    }
    Ok(selector)
}

/// Whether a `LabelSelector` object selects `object`; one that says nothing selects all.
pub(crate) fn selects(selector: &Value, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    let all = selector["matchLabels"].as_object();
    all.is_none_or(|all| all.iter().all(|(key, value)| labels[key] == *value))
        && selector["matchExpressions"].as_array().into_iter().flatten().all(|expression| {
            let value = &labels[expression["key"].as_str().unwrap_or_default()];
            let listed =
                expression["values"].as_array().is_some_and(|values| values.contains(value));
            match expression["operator"].as_str() {
                Some("In") => listed,
                Some("NotIn") => !listed,
                Some("Exists") => !value.is_null(),
                Some("DoesNotExist") => value.is_null(),
                _ => false,
            }
        })
}

/// Moves the ownership of changed fields to the request's manager.
pub(crate) fn track(call: &Call, live: Option<&Value>, new: &Value, subresource: &str) -> Value {
    managed_fields::update(live, new, write(call, subresource))
}

fn write<'c>(call: &'c Call, subresource: &'c str) -> Write<'c> {
    Write {
        manager: &call.manager,
        subresource,
        status_subresource: call.served.kind.has("status"),
        schema: &call.served.kind.schema,
        now: call.now,
    }
}

/// Server-side apply: the merged object with its new managed fields.
pub(crate) fn apply(call: &Call, live: Option<&Value>, config: &Value) -> Result<Value, ApiError> {
    let request = ApplyRequest {
        live,
        config,
        force: call.query.flag("force"),
        write: write(call, &call.path.subresource),
    };
    managed_fields::apply(request).map_err(|error| apply_error(&error))
}

fn apply_error(error: &ApplyError) -> ApiError {
    match error {
        ApplyError::Conflicts(conflicts) => {
            let mut status = ApiError::new(409, "Conflict", conflicts.message());
            status.details.insert("causes".into(), json!(conflicts.causes()));
            status
        }
        // The real server answers 500 to a configuration that does not fit its schema.
        ApplyError::Invalid(text) => ApiError::new(500, "", text.clone()),
        ApplyError::BadRequest(text) => ApiError::bad_request(text.clone()),
    }
}

/// The object with the patch on it.
pub(crate) fn patch(
    call: &Call,
    kind: PatchKind,
    live: &Value,
    patch: &Value,
) -> Result<Value, ApiError> {
    let result = match kind {
        PatchKind::Json => patches::json(live, patch),
        PatchKind::Merge | PatchKind::Apply => patches::merge(live, patch),
        PatchKind::Strategic => patches::strategic(live, patch, &call.served.kind.schema),
    };
    result.map_err(|error| match error {
        patches::PatchError::Malformed(text) => ApiError::bad_request(text),
        // The real server's words end here; ours say why besides.
        patches::PatchError::DoesNotFit(_) => ApiError::new(422, "Invalid", error.to_string()),
    })
}

/// What the CEL rules of a custom kind find wrong; they are asked only when the schema finds nothing.
pub(crate) fn cel(call: &Call, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let Some(custom) = &call.served.custom else { return Vec::new() };
    custom
        .rules
        .validate(new, old)
        .into_iter()
        .map(|problem| Cause {
            reason: problem.reason,
            field: problem.field,
            message: problem.message,
        })
        .collect()
}

/// Rows for kubectl, as of the request.
pub(crate) fn table(call: &Call, objects: &[Arc<Value>], meta: &Value) -> Value {
    table_at(call, objects, meta, call.now)
}

/// Rows for kubectl, with ages as of `now`.
pub(crate) fn table_at(
    call: &Call,
    objects: &[Arc<Value>],
    meta: &Value,
    now: DateTime<Utc>,
) -> Value {
    let kind = &call.served.kind;
    let kind = TableKind {
        group: storage_group(&kind.group, &kind.plural),
        plural: &kind.plural,
        custom: call.served.custom.is_some(),
    };
    let include = call.query.get("includeObject").unwrap_or("Metadata");
    let mut table = table::table(kind, call.served.columns(), objects, now, include);
    table["metadata"] = meta.clone();
    table
}

/// The `OpenAPI` v3 document of one group and version.
pub(crate) fn openapi(kinds: &[Arc<Kind>]) -> Value {
    openapi_document(kinds.iter().map(AsRef::as_ref))
}
