//! Namespaces with the label of this installation whose record is gone, or is another one, or has another camp. I/O with
//! home and target.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{LeftoversError, Search};
use crate::apply::ApplyError;
use crate::apply::census::{self, FoundCamp};
use crate::crd::Environment;
use crate::domain::status::bounded;
use crate::domain::stuck::diagnose;

/// A namespace that belongs to no Environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrphanNamespace {
    /// Its name.
    pub name: String,
    /// Its UID: nothing else is ever removed under this name.
    pub uid: String,
    /// The Environment that it says it is of.
    pub environment: String,
    /// Why it belongs to none.
    pub reason: String,
    /// Since when it is going away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending_since: Option<DateTime<Utc>>,
    /// What holds up its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held_up_by: Vec<String>,
    #[serde(skip)]
    found: FoundCamp,
}

pub(super) async fn find(search: &Search) -> Result<Vec<OrphanNamespace>, LeftoversError> {
    let camps =
        census::camps_of(&search.target, &search.instance).await.map_err(LeftoversError::Target)?;
    let records = super::records(search).await?;
    let mut orphans = Vec::new();
    for camp in camps {
        let Some(reason) = orphaned(&camp, &records) else { continue };
        // It may have ended, with its record, between the two lists.
        let again =
            census::look_again(&search.target, &camp).await.map_err(LeftoversError::Target)?;
        orphans.extend(again.map(|camp| orphan(camp, reason)));
    }
    Ok(orphans)
}

fn orphan(found: FoundCamp, reason: String) -> OrphanNamespace {
    OrphanNamespace {
        name: found.namespace.clone(),
        uid: found.uid.clone(),
        environment: bounded(&found.environment, 253),
        reason,
        ending_since: found.ending_since,
        held_up_by: found.ending_since.map(|_| diagnose(&found.remains)).unwrap_or_default(),
        found,
    }
}

/// Why no record has this camp; `None` when one has.
fn orphaned(camp: &FoundCamp, records: &[Environment]) -> Option<String> {
    let uid_of = |record: &Environment| record.metadata.uid.clone().unwrap_or_default();
    let by_uid = records
        .iter()
        .find(|record| !camp.environment_uid.is_empty() && uid_of(record) == camp.environment_uid);
    let name = bounded(&camp.environment, 253);
    let Some(record) = by_uid else {
        let same_name = records
            .iter()
            .any(|record| record.metadata.name.as_deref() == Some(camp.environment.as_str()));
        return Some(if same_name {
            format!("there is an Environment {name}, but it is another one than this was made for")
        } else {
            format!("there is no Environment {name}")
        });
    };
    let status = record.status.as_ref();
    let recorded = status.and_then(|status| status.namespace.as_deref());
    let uid = status.and_then(|status| status.namespace_uid.as_deref());
    match (recorded, uid) {
        // Its name is written down before it is made, its UID a moment after.
        (Some(namespace), None) if namespace == camp.namespace => None,
        (Some(namespace), Some(uid)) if namespace == camp.namespace && uid == camp.uid => None,
        (Some(namespace), Some(_)) if namespace == camp.namespace => {
            Some(format!("Environment {name} has another namespace of this name recorded"))
        }
        (Some(namespace), _) => Some(format!("Environment {name} is in namespace {namespace}")),
        (None, _) => Some(format!("Environment {name} has no namespace")),
    }
}

pub(super) async fn remove(
    search: &Search,
    found: &[OrphanNamespace],
) -> Vec<(String, ApplyError)> {
    let mut failed = Vec::new();
    for orphan in found.iter().filter(|orphan| orphan.ending_since.is_none()) {
        if let Err(error) = census::remove(&search.target, &orphan.found).await {
            failed.push((orphan.name.clone(), error));
        }
    }
    failed
}

pub(super) async fn still_there(
    search: &Search,
    found: &[OrphanNamespace],
) -> Result<Vec<OrphanNamespace>, LeftoversError> {
    let mut left = Vec::new();
    for one in found {
        let again =
            census::look_again(&search.target, &one.found).await.map_err(LeftoversError::Target)?;
        left.extend(again.map(|camp| orphan(camp, one.reason.clone())));
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn camp(environment_uid: &str) -> FoundCamp {
        FoundCamp {
            namespace: "camp-shop-pr-1-00000000".into(),
            uid: "n1".into(),
            environment: "shop-pr-1".into(),
            environment_uid: environment_uid.into(),
            ending_since: None,
            remains: crate::domain::stuck::Remains::default(),
        }
    }

    fn record(uid: &str, status: &serde_json::Value) -> Environment {
        serde_json::from_value(json!({
            "apiVersion": "bivouac.dev/v1alpha1",
            "kind": "Environment",
            "metadata": {"name": "shop-pr-1", "uid": uid},
            "spec": {"repository": "shop", "source": {"pullRequest": {"number": 1}}},
            "status": status,
        }))
        .expect("a record")
    }

    #[test]
    fn a_camp_is_an_orphan_unless_its_record_says_otherwise() {
        let here = "camp-shop-pr-1-00000000";
        for (uid, status, orphan) in [
            ("e1", json!({"namespace": here, "namespaceUid": "n1"}), false),
            ("e1", json!({ "namespace": here }), false),
            ("e1", json!({"namespace": here, "namespaceUid": "n2"}), true),
            ("e1", json!({"namespace": "camp-elsewhere", "namespaceUid": "n1"}), true),
            ("e1", json!({}), true),
            ("e2", json!({"namespace": here, "namespaceUid": "n1"}), true),
        ] {
            let reason = orphaned(&camp("e1"), &[record(uid, &status)]);
            assert_eq!(reason.is_some(), orphan, "{uid} {status} {reason:?}");
        }
        assert_eq!(
            orphaned(&camp("e1"), &[]).as_deref(),
            Some("there is no Environment shop-pr-1")
        );
        assert!(orphaned(&camp(""), &[record("", &json!({ "namespace": here }))]).is_some());
    }
}
