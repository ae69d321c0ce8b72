//! (objects, form) → the answer's JSON: object, list, table, metadata alone. No I/O.

use std::sync::Arc;

use serde_json::{Value, json};

use super::negotiate::Form;
use super::rest::Page;
use super::state::Call;
use super::{Shared, convert, engine};

/// Names, labels, owners: what informers of metadata keep.
fn metadata_of(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
    })
}

/// The form that the columns are written for: the stored one.
fn table_form(call: &Call, object: &Value) -> Value {
    let kind = &call.served.kind;
    if convert::storage_group(&kind.group, &kind.plural) == kind.group {
        convert::from_storage(kind, object)
    } else {
        object.clone()
    }
}

/// One object.
pub(crate) fn object(call: &Call, form: Form, object: &Value) -> Value {
    match form {
        Form::Object | Form::Discovery => convert::from_storage(&call.served.kind, object),
        Form::Metadata => metadata_of(object),
        Form::Table => {
            let object = table_form(call, object);
            let meta = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            engine::table(call, &[Arc::new(object)], &meta)
        }
    }
}

/// A page of a collection.
pub(crate) fn list(call: &Call, form: Form, page: &Page) -> Value {
    let kind = &call.served.kind;
    let items = page.items.iter().map(|item| convert::from_storage(kind, item));
    match form {
        Form::Object | Form::Discovery => {
            let items: Vec<Value> = items
                .map(|mut item| {
                    // Items of a typed list don't repeat what the list says; those of custom kinds do.
                    if call.served.custom.is_none()
                        && let Some(item) = item.as_object_mut()
                    {
                        item.remove("kind");
                        item.remove("apiVersion");
                    }
                    item
                })
                .collect();
            json!({
                "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
                "metadata": page.metadata(), "items": items,
            })
        }
        Form::Metadata => {
            let items: Vec<Value> = items.map(|item| metadata_of(&item)).collect();
            json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": page.metadata(), "items": items,
            })
        }
        Form::Table => {
            let items: Vec<Arc<Value>> =
                page.items.iter().map(|item| Arc::new(table_form(call, item))).collect();
            engine::table(call, &items, &page.metadata())
        }
    }
}

/// The object of a watch event; of tables only the `first` has the columns.
pub(crate) fn event(shared: &Shared, call: &Call, form: Form, found: &Value, first: bool) -> Value {
    if form != Form::Table {
        return object(call, form, found);
    }
    let object = Arc::new(table_form(call, found));
    let meta = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
    let mut table = engine::table_at(call, &[object], &meta, shared.clock.now());
    if !first {
        table["columnDefinitions"] = Value::Null;
    }
    table
}
