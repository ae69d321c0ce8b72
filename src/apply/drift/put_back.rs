//! One object compared with what we applied, and put back. Input: the object, its mark of then; output: what had
//! happened to it. I/O with the target, as the deployer.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::{DynamicObject, ObjectMeta};
use serde_json::Value;

use super::{Kind, Mark, own_entry};
use crate::apply::FIELD_MANAGER;
use crate::apply::bundle::Entry;
use crate::apply::deployer::{Deployer, Written};
use crate::apply::error::{ApplyError, status};
use crate::apply::target::{As, Target};
use crate::domain::bundle::BundleObject;
use crate::domain::drift::{Change, Writer, paths};

/// What came of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutBack {
    /// Its mark now; `None` when the API server does not say.
    pub mark: Option<Mark>,
    /// What had happened; `None`: nothing, it was as we left it.
    pub change: Option<Change>,
}

/// An object as the cluster has it.
enum Found {
    /// It is there, with this metadata.
    There(Box<ObjectMeta>),
    /// It is not.
    Gone,
    /// It may not be read.
    Hidden,
}

/// How an object compares with what was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// As we left it.
    None,
    /// Somebody changed it.
    Changed,
    /// It is not there.
    Gone,
}

/// Compares an object with what was applied without reading it: by a server-side apply that is not stored. What would
/// change nothing keeps our entry with its time; what would, or would meet a conflict, does not.
pub async fn compare(
    deployer: &Deployer,
    target: &Target,
    namespace: &str,
    object: &BundleObject,
    expected: &Mark,
) -> Result<Difference, ApplyError> {
    let identity = object.identity();
    let wrap = |source| ApplyError::Cluster {
        what: format!("compare {identity}"),
        source: Box::new(source),
    };
    let Some(api) = api_of(target, namespace, object).await? else {
        return Ok(Difference::None);
    };
    let parameters = PatchParams { dry_run: true, ..PatchParams::apply(FIELD_MANAGER) };
    let sent = deployer.as_sent(object);
    match api.patch_metadata(&identity.name, &parameters, &Patch::Apply(&sent)).await {
        Ok(would_be) if Mark::of(&would_be.metadata).as_ref() == Some(expected) => {
            Ok(Difference::None)
        }
        // What was never stored has no version.
        Ok(would_be) if would_be.metadata.resource_version.is_none() => Ok(Difference::Gone),
        Ok(_) => Ok(Difference::Changed),
        Err(error) if status(&error).is_some_and(|status| status.code == 409) => {
            Ok(Difference::Changed)
        }
        Err(error) => Err(wrap(error)),
    }
}

/// Applies `object` again when it is not as we left it.
pub async fn put_back(
    deployer: &Deployer,
    target: &Target,
    namespace: &str,
    object: &BundleObject,
    expected: Option<&Mark>,
) -> Result<PutBack, ApplyError> {
    let entry = entry_of(object);
    let before = look(target, namespace, object).await?;
    let difference = match (&before, expected) {
        (Found::There(metadata), Some(expected))
            if Mark::of(metadata).as_ref() == Some(expected) =>
        {
            Difference::None
        }
        (Found::Hidden, Some(expected)) => {
            compare(deployer, target, namespace, object, expected).await?
        }
        (Found::Gone, _) => Difference::Gone,
        _ => Difference::Changed,
    };
    if difference == Difference::None {
        return Ok(PutBack { mark: expected.cloned(), change: None });
    }
    let written = deployer.apply(object).await?;
    let noted = target.marks().of(namespace, &entry);
    let (mark, change) = match before {
        _ if difference == Difference::Gone => {
            (noted, Some(Change { gone: true, ..Change::default() }))
        }
        Found::There(before) => match look(target, namespace, object).await? {
            Found::There(after) => {
                let mark = Mark::of(&after);
                // Somebody put it back before us.
                let same = Mark::of(&before) == mark;
                (mark, (!same).then(|| change(&before, &after)))
            }
            Found::Gone | Found::Hidden => (noted, None),
        },
        Found::Gone => (noted, None),
        // Of what can't be read, only a conflict says who and what.
        Found::Hidden if noted.as_ref() == expected => (noted, None),
        Found::Hidden => match written {
            Written::Forced { manager, fields } => (noted, Some(Change::by(manager, fields))),
            // What is left to others is nothing that was put back.
            Written::Yielded { .. } | Written::Unchanged => (noted, None),
            Written::Plainly | Written::Replaced { .. } => (noted, Some(Change::default())),
        },
    };
    Ok(PutBack { mark, change })
}

/// An API for the object's kind in its camp; `None` when the cluster has no such kind.
async fn api_of(
    target: &Target,
    namespace: &str,
    object: &BundleObject,
) -> Result<Option<Api<DynamicObject>>, ApplyError> {
    let Entry { api_version, kind, name } = entry_of(object);
    let known = target.kind(&api_version, &kind).await.map_err(|source| ApplyError::Cluster {
        what: format!("ask for the kind of {kind}/{name}"),
        source: Box::new(source),
    })?;
    let client = target.client(&As::Deployer(namespace.to_owned()));
    Ok(known.map(|known| Api::namespaced_with(client, namespace, &known.resource)))
}

async fn look(
    target: &Target,
    namespace: &str,
    object: &BundleObject,
) -> Result<Found, ApplyError> {
    let Entry { api_version, kind, name } = entry_of(object);
    if Kind::of(&api_version, &kind).is_secret() {
        return Ok(Found::Hidden);
    }
    let Some(api) = api_of(target, namespace, object).await? else { return Ok(Found::Gone) };
    match api.get_metadata_opt(&name).await {
        Ok(Some(found)) => Ok(Found::There(Box::new(found.metadata))),
        Ok(None) => Ok(Found::Gone),
        Err(error) if status(&error).is_some_and(|status| status.code == 403) => Ok(Found::Hidden),
        Err(source) => Err(ApplyError::Cluster {
            what: format!("look at {kind}/{name}"),
            source: Box::new(source),
        }),
    }
}

fn entry_of(object: &BundleObject) -> Entry {
    let text = |pointer| {
        object.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    Entry { api_version: text("/apiVersion"), kind: text("/kind"), name: text("/metadata/name") }
}

/// What was lost, and to whom.
fn change(before: &ObjectMeta, after: &ObjectMeta) -> Change {
    let fields = |entry: Option<&ManagedFieldsEntry>| {
        let fields = entry.and_then(|entry| entry.fields_v1.as_ref());
        fields.map(|fields| paths(&fields.0)).unwrap_or_default()
    };
    let own = own_entry(before);
    let others: Vec<Writer> = before
        .managed_fields
        .iter()
        .flatten()
        .filter(|entry| own != Some(*entry) && entry.subresource.as_deref() != Some("status"))
        .map(|entry| Writer {
            manager: entry.manager.clone().unwrap_or_default(),
            at: entry.time.as_ref().map_or(0, |time| time.0.as_second()),
            fields: fields(Some(entry)),
        })
        .collect();
    Change::between(&fields(own), &fields(own_entry(after)), &others)
}
