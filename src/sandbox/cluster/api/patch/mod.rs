//! The three patches that are not apply. In: an object and a patch; out: the patched object. No I/O.

mod strategic;

use serde_json::{Map, Value};

pub use strategic::strategic;

/// Why a patch can't be applied.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The patch is not of its type's form (400).
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object: a test failed, a path is absent (422).
    #[error("the server rejected our request due to an error in our request: {0}")]
    DoesNotFit(String),
}

/// Applies an RFC 7396 merge patch.
pub fn merge(live: &Value, patch: &Value) -> Result<Value, PatchError> {
    if !patch.is_object() {
        return Err(PatchError::Malformed("a merge patch must be an object".to_owned()));
    }
    let mut out = live.clone();
    merge_into(&mut out, patch);
    Ok(out)
}

fn merge_into(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(members) = target.as_object_mut() else { return };
    for (key, change) in changes {
        if change.is_null() {
            members.remove(key);
        } else {
            merge_into(members.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// How many operations a JSON patch may have.
const MAX_OPERATIONS: usize = 10_000;
/// By how many bytes the `copy` operations of a JSON patch may make an object larger.
const MAX_COPIED: usize = 3 * 1024 * 1024;

/// Applies an RFC 6902 patch: all of it or nothing. Copies of copies are bounded.
pub fn json(live: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = patch.as_array().map_or(0, Vec::len);
    if operations > MAX_OPERATIONS {
        return Err(PatchError::Malformed(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {operations}"
        )));
    }
    let patch: json_patch::Patch = serde_json::from_value(patch.clone())
        .map_err(|error| PatchError::Malformed(error.to_string()))?;
    let mut out = live.clone();
    let mut copied = 0;
    for operation in &patch.0 {
        if let json_patch::PatchOperation::Copy(copy) = operation {
            copied += out.pointer(copy.from.as_str()).map_or(0, |value| value.to_string().len());
            if copied > MAX_COPIED {
                return Err(PatchError::DoesNotFit(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is {copied}, exceeding the limit {MAX_COPIED}"
                )));
            }
        }
        json_patch::patch_unsafe(&mut out, std::slice::from_ref(operation))
            .map_err(|error| PatchError::DoesNotFit(error.to_string()))?;
    }
    Ok(out)
}

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod tests;
