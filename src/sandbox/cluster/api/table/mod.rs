//! Tables for `kubectl get`. In: objects of one kind, its printer columns when it is a custom one, the time; out: a
//! `meta.k8s.io/v1` Table. No I/O.

mod age;
mod cells;
mod cluster;
mod custom;
mod jsonpath;
mod kinds;
mod network;
mod pods;
mod workloads;

use std::borrow::Borrow;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

pub use jsonpath::JsonPath;

/// Which kind a table is of.
#[derive(Clone, Copy, Debug)]
pub struct TableKind<'k> {
    /// The API group, empty for the core.
    pub group: &'k str,
    /// The plural of the kind.
    pub plural: &'k str,
    /// Whether a definition made it: then its columns are the definition's.
    pub custom: bool,
}

/// A Table of `objects`. `columns`: a definition's `additionalPrinterColumns`. `include`: what stands for the object in
/// each row, `Metadata` (the default), `Object` or `None`. The Table's own metadata is the caller's to add.
#[must_use]
pub fn table<O: Borrow<Value>>(
    kind: TableKind<'_>,
    columns: Option<&Value>,
    objects: &[O],
    now: DateTime<Utc>,
    include: &str,
) -> Value {
    let is_pod = kind.group.is_empty() && kind.plural == "pods";
    let row = |object: &Value, cells: Vec<Value>| {
        let mut row = json!({ "cells": cells });
        if is_pod && let Some(conditions) = pods::conditions(object) {
            row["conditions"] = conditions;
        }
        match include {
            "None" => {}
            "Object" => row["object"] = object.clone(),
            _ => {
                row["object"] = json!({
                    "kind": "PartialObjectMetadata",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": object["metadata"],
                });
            }
        }
        row
    };
    let objects = objects.iter().map(Borrow::borrow);
    let (definitions, rows): (Vec<Value>, Vec<Value>) = if kind.custom {
        let columns = custom::columns(columns);
        let rows = objects.map(|object| {
            let mut cells = vec![json!(cells::text(&object["metadata"]["name"]))];
            cells.extend(columns.iter().map(|column| custom::cell(column, object, now)));
            row(object, cells)
        });
        let rows = rows.collect();
        let name = definition(("Name", "string", 0));
        let own = columns.into_iter().map(|column| column.definition);
        (std::iter::once(name).chain(own).collect(), rows)
    } else {
        let (columns, printer) = kinds::printer(kind.group, kind.plural);
        let rows = objects.map(|object| row(object, printer(object, now))).collect();
        (columns.iter().copied().map(definition).collect(), rows)
    };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

fn definition((name, kind, priority): kinds::Column) -> Value {
    let (format, description) = match name {
        // kubectl finds the column with the name by its format.
        "Name" if priority == 0 => {
            ("name", "The object's name, unique among its kind in its namespace.")
        }
        "Age" => ("", "How long ago the object was created."),
        "Created At" => ("date", "When the object was created."),
        _ => ("", ""),
    };
    json!({
        "name": name, "type": if format == "date" { "date" } else { kind }, "format": if format == "date" { "" } else { format },
        "description": description, "priority": priority,
    })
}

/// The two cells that nearly every kind has.
fn name_and_age(object: &Value, now: DateTime<Utc>) -> (Value, Value) {
    let meta = &object["metadata"];
    (json!(cells::text(&meta["name"])), json!(age::since(&meta["creationTimestamp"], now)))
}

#[cfg(test)]
mod tests;
