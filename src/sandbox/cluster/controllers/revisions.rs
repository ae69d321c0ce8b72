//! `ControllerRevisions`: the templates that StatefulSets and `DaemonSets` have had. Pure.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kit::resource::REVISIONS;
use super::kit::{Action, Resource, json};

/// The label of a pod, and of a revision, with the hash of the template.
pub(super) const LABEL: &str = "controller-revision-hash";

/// The hash of an owner's present template.
pub(super) fn hash(owner: &Value) -> String {
    let template = owner.pointer("/spec/template").unwrap_or(&Value::Null);
    json::safe_hash(&template.to_string())
}

/// The name of the revision of an owner's present template.
pub(super) fn name(owner: &Value) -> String {
    format!("{}-{}", json::name(owner), hash(owner))
}

/// Makes the revision of the present template, or gives it the highest number again; drops old ones beyond the limit.
pub(super) fn keep(
    owners: &'static Resource,
    owner: &Value,
    known: &[Arc<Value>],
    in_use: &dyn Fn(&str) -> bool,
) -> Vec<Action> {
    let number = |r: &Value| json::int(r, "/revision").unwrap_or(0);
    let highest = known.iter().map(|r| number(r)).max().unwrap_or(0);
    let name = name(owner);
    let mut actions = Vec::new();
    match known.iter().find(|r| json::name(r) == name) {
        Some(present) if number(present) == highest => {}
        Some(present) => {
            let patch = json!({ "revision": highest + 1 });
            actions.push(Action::Patch(&REVISIONS, present.as_ref().clone(), patch));
        }
        None => {
            let mut labels = owner
                .pointer("/spec/template/metadata/labels")
                .cloned()
                .unwrap_or_else(|| json!({}));
            json::set(&mut labels, &[LABEL], hash(owner).into());
            let mut template = owner.pointer("/spec/template").cloned().unwrap_or_default();
            json::set(&mut template, &["$patch"], "replace".into());
            actions.push(Action::Create(
                &REVISIONS,
                json!({
                    "apiVersion": "apps/v1",
                    "kind": "ControllerRevision",
                    "metadata": {
                        "name": name,
                        "namespace": json::namespace(owner),
                        "labels": labels,
                        "ownerReferences": [owners.controller_reference(owner)],
                    },
                    "data": { "spec": { "template": template } },
                    "revision": highest + 1,
                }),
            ));
        }
    }
    let limit = json::int(owner, "/spec/revisionHistoryLimit").unwrap_or(10).max(0);
    let mut old: Vec<&Arc<Value>> = known
        .iter()
        .filter(|r| json::name(r) != name && !json::is_deleting(r))
        .filter(|r| !json::label(r, LABEL).is_some_and(in_use))
        .collect();
    old.sort_by_key(|r| number(r));
    let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    actions.extend(old.into_iter().take(surplus).map(|r| Action::delete(&REVISIONS, r)));
    actions
}
