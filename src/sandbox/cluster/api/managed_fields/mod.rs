//! Who owns which field: server-side apply, and ownership moved by updates. In: objects, a manager, a schema, the time;
//! out: the object with new `managedFields`, or conflicts. No I/O.

mod entries;
mod set;
mod typed;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::schema::Schema;
use entries::{Entries, Entry, Operation};
pub use set::{Element, Set};
use typed::{Difference, Lens};

/// A write, as ownership sees it.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// The name of the writer (`fieldManager`).
    pub manager: &'a str,
    /// The subresource written to; empty for the object itself.
    pub subresource: &'a str,
    /// Whether the kind has a `status` subresource, so that `status` is not written with the object itself.
    pub status_subresource: bool,
    /// The kind's schema.
    pub schema: &'a Schema,
    /// The time of the write.
    pub now: DateTime<Utc>,
}

/// A server-side apply.
#[derive(Clone, Copy)]
pub struct ApplyRequest<'a> {
    /// The object as it is stored, if it is there.
    pub live: Option<&'a Value>,
    /// What is applied.
    pub config: &'a Value,
    /// Take fields that others own.
    pub force: bool,
    /// Who writes what.
    pub write: Write<'a>,
}

/// One field that another manager owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager, printed: `"kubectl" using apps/v1`.
    pub manager: String,
    /// The field's path, as `.spec.replicas`.
    pub path: String,
}

/// Fields that other managers own with other values (409).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl Conflicts {
    /// The message of the `Status`.
    #[must_use]
    pub fn message(&self) -> String {
        if let [only] = self.0.as_slice() {
            return format!(
                "Apply failed with 1 conflict: conflict with {}: {}",
                only.manager, only.path
            );
        }
        let mut managers: Vec<&str> = self.0.iter().map(|one| one.manager.as_str()).collect();
        managers.dedup();
        let groups: Vec<String> = managers
            .iter()
            .map(|manager| {
                let paths: Vec<String> = self
                    .0
                    .iter()
                    .filter(|one| one.manager == *manager)
                    .map(|one| format!("- {}", one.path))
                    .collect();
                format!("conflicts with {manager}:\n{}", paths.join("\n"))
            })
            .collect();
        format!("Apply failed with {} conflicts: {}", self.0.len(), groups.join("\n"))
    }

    /// The causes of the `Status`.
    #[must_use]
    pub fn causes(&self) -> Vec<Value> {
        let cause = |one: &Conflict| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", one.manager),
                "field": one.path,
            })
        };
        self.0.iter().map(cause).collect()
    }
}

/// Why an apply failed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Others own fields (409, reason `Conflict`).
    #[error("{}", .0.message())]
    Conflicts(Conflicts),
    /// The configuration does not fit the kind's schema (500, as the real one has it).
    #[error("{0}")]
    Invalid(String),
    /// The configuration may not be applied (400).
    #[error("{0}")]
    BadRequest(String),
}

/// Applies a configuration: merges it into the live object, removes what the manager applied before and no longer does,
/// and records who owns what. Applying the same thing again gives the live object back, byte for byte.
pub fn apply(request: ApplyRequest<'_>) -> Result<Value, ApplyError> {
    let ApplyRequest { live, config, force, write } = request;
    let lens = Lens::root(write.schema);
    if config.pointer("/metadata/managedFields").is_some_and(|fields| !fields.is_null()) {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    check(lens, config)?;
    let api_version = config.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let mut entries = live.map(Entries::of).unwrap_or_default();
    let old = live.map_or_else(|| json!({}), entries::stripped);
    if live.is_some() && entries.is_empty() {
        entries.put(Entry {
            manager: "before-first-apply".to_owned(),
            operation: Operation::Update,
            api_version: api_version.to_owned(),
            subresource: String::new(),
            time: Some(write.now),
            set: owned(Difference::between(write.schema, &json!({}), &old).added, write),
        });
    }
    let before = entries.clone();
    let entry = Entry {
        manager: write.manager.to_owned(),
        operation: Operation::Apply,
        api_version: api_version.to_owned(),
        subresource: write.subresource.to_owned(),
        time: Some(write.now),
        set: owned(lens.fields(config), write),
    };
    let key = entry.key();
    let last = entries.get(&key).cloned();
    let mut new = lens.merge(&old, &entries::writable(config, write));
    entries.put(entry);
    if let Some(last) = &last {
        new = prune(lens, &new, &entries, &last.set);
    }
    let difference = Difference::between(write.schema, &old, &new);
    if let Err(conflicts) = take(&mut entries, &difference, &key, write, force) {
        let left = beyond_last_applied(conflicts, &old, write);
        // What kubectl applied on the client's side before, and nobody changed since, it may take over.
        return if left.0.is_empty() {
            apply(ApplyRequest { force: true, ..request })
        } else {
            Err(ApplyError::Conflicts(left))
        };
    }
    if let Some(last) = last
        && let Some(mine) = entries.get_mut(&key)
        && new == old
        && mine.set == last.set
    {
        mine.time = last.time;
    }
    if new == old && same_sets(&entries, &before) {
        return Ok(live.cloned().unwrap_or(new));
    }
    entries.write_to(&mut new);
    Ok(new)
}

/// Records the ownership of an update, a patch that is not an apply, or a creation. Gives `new` with its `managedFields`.
#[must_use]
pub fn update(live: Option<&Value>, new: &Value, write: Write<'_>) -> Value {
    let sent = new.pointer("/metadata/managedFields").and_then(Value::as_array);
    let reset = sent.is_some_and(|list| list.iter().all(|entry| entry == &json!({})));
    let mut out = entries::stripped(new);
    if reset && live.is_some() {
        return out;
    }
    let mut entries = match sent {
        Some(_) if !reset => Entries::of(new),
        _ => live.map(Entries::of).unwrap_or_default(),
    };
    let old = entries::padded(write.schema, live.map_or_else(|| json!({}), entries::stripped));
    let padded = entries::padded(write.schema, out.clone());
    let difference = Difference::between(write.schema, &old, &padded);
    let api_version = new.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
    let taken = owned(difference.modified.union(&difference.added), write);
    // Everybody, this manager too, loses what was changed; then this manager gets it.
    let _: Result<(), Conflicts> = take(&mut entries, &difference, "", write, true);
    if !taken.is_empty() {
        let mut entry = Entry {
            manager: write.manager.to_owned(),
            operation: Operation::Update,
            api_version: api_version.to_owned(),
            subresource: write.subresource.to_owned(),
            time: Some(write.now),
            set: taken,
        };
        if let Some(previous) = entries.get(&entry.key()) {
            entry.set = entry.set.union(&previous.set);
        }
        entries.put(entry);
        entries.cap();
    }
    entries.write_to(&mut out);
    out
}

fn check(lens: Lens<'_>, config: &Value) -> Result<(), ApplyError> {
    let mut errors = Vec::new();
    lens.check(config, "", &mut errors);
    let said = match errors.as_slice() {
        [] => return Ok(()),
        [only] => only.clone(),
        several => format!("errors:\n  {}", several.join("\n  ")),
    };
    let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    Err(ApplyError::Invalid(format!(
        "failed to create typed patch object ({}/{}; {}, Kind={}): {said}",
        text("/metadata/namespace"),
        text("/metadata/name"),
        text("/apiVersion"),
        text("/kind"),
    )))
}

/// The part of `set` that can have an owner, for a write to this subresource.
fn owned(set: Set, write: Write<'_>) -> Set {
    let set = entries::without_identity(set);
    match write.subresource {
        "" if write.status_subresource => set.without_field("status"),
        "status" => set.without_field("spec").without_field("metadata"),
        _ => set,
    }
}

/// Takes what changed from everybody but `key`; without force, refuses when somebody owned it.
fn take(
    entries: &mut Entries,
    difference: &Difference,
    key: &str,
    write: Write<'_>,
    force: bool,
) -> Result<(), Conflicts> {
    let changed = owned(difference.modified.union(&difference.added), write);
    let removed = owned(difference.removed.clone(), write);
    if !force {
        let conflicts: Vec<Conflict> = entries
            .others(key)
            .flat_map(|entry| {
                let manager = entry.printed();
                entry
                    .set
                    .intersection(&changed)
                    .paths()
                    .into_iter()
                    .map(move |path| Conflict { manager: manager.clone(), path })
            })
            .collect();
        if !conflicts.is_empty() {
            return Err(Conflicts(conflicts));
        }
    }
    entries.reduce(key, |set| set.difference(&changed).difference(&removed));
    Ok(())
}

/// The conflicts that are left for kubectl, which owns what its annotation of client-side applies says about `live`.
fn beyond_last_applied(conflicts: Conflicts, live: &Value, write: Write<'_>) -> Conflicts {
    const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let annotation = || live.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str();
    let applied = || serde_json::from_str::<Value>(annotation()?).ok();
    if write.manager != "kubectl" {
        return conflicts;
    }
    let Some(applied) = applied() else { return conflicts };
    let since = Difference::between(write.schema, &applied, live);
    let changed = since.modified.union(&since.added).union(&since.removed);
    let mine = Lens::root(write.schema).fields(&applied).difference(&changed).paths();
    Conflicts(conflicts.0.into_iter().filter(|one| !mine.contains(&one.path)).collect())
}

/// Removes what this manager applied last time, does not apply now, and nobody else owns.
fn prune(lens: Lens<'_>, merged: &Value, entries: &Entries, last: &Set) -> Value {
    if last.is_empty() {
        return merged.clone();
    }
    let without = |set: &Set| lens.remove(merged, set).unwrap_or_else(|| json!({}));
    let fields = |value: &Value| lens.with_named(&lens.fields(value));
    let last = lens.with_named(last);
    let all = fields(merged);
    let kept = fields(&without(&last));
    let held = lens.with_named(&entries.union());
    let kept = fields(&without(&all.difference(&kept.union(&held))));
    without(&all.difference(&kept).intersection(&last))
}

fn same_sets(left: &Entries, right: &Entries) -> bool {
    left.sets().eq(right.sets())
}

#[cfg(test)]
mod kubectl_tests;
#[cfg(test)]
mod tests;
