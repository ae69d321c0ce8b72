//! One watch of metadata for a kind, of all camps of this installation. Input: a kind; output: marks as they come. I/O
//! with the target, by the service's own identity.

use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use kube::Api;
use kube::core::{DynamicObject, ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::{self, Event};

use super::Mark;
use crate::apply::camp::{ENVIRONMENT_LABEL, INSTANCE_LABEL};
use crate::apply::error::status;
use crate::apply::target::{As, Target};

/// What the watch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It begins anew: what is there follows.
    Begun,
    /// Part of what is there.
    Listed(Place, Option<Mark>),
    /// That was all.
    Whole,
    /// Made or changed.
    Changed(Place, Option<Mark>),
    /// Deleted, or without our label.
    Gone(Place),
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The Environment that its label names: a hint, no proof.
    pub environment: String,
}

/// Why a watch shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum WatchTrouble {
    /// The service may not list or watch this kind in the whole cluster.
    #[error("the service may not list and watch this kind")]
    NotAllowed,
    /// The cluster has no such kind, or none that can be watched.
    #[error("the cluster has no such kind")]
    NoSuchKind,
    /// It passes; the watch is opened again by asking for the next item.
    #[error("the watch broke off")]
    Passing(#[source] Box<watcher::Error>),
    /// The kind could not be asked for.
    #[error("the cluster could not be asked for this kind")]
    Unasked(#[source] Box<kube::Error>),
}

/// Watches a kind. After an error that passes, the next item opens the watch again.
pub async fn watch_kind(
    target: &Target,
    api_version: &str,
    kind: &str,
) -> Result<BoxStream<'static, Result<Shown, WatchTrouble>>, WatchTrouble> {
    let known = target
        .kind(api_version, kind)
        .await
        .map_err(|error| WatchTrouble::Unasked(Box::new(error)))?
        .filter(|known| known.namespaced)
        .ok_or(WatchTrouble::NoSuchKind)?;
    let api: Api<PartialObjectMeta<DynamicObject>> =
        Api::all_with(target.client(&As::Service), &known.resource);
    let label = match target.instance() {
        Some(instance) => format!("{INSTANCE_LABEL}={instance},{ENVIRONMENT_LABEL}"),
        None => ENVIRONMENT_LABEL.to_owned(),
    };
    let config = watcher::Config::default().labels(&label);
    let shown =
        watcher::watcher(api, config).flat_map(|event| {
            stream::iter(match event {
                Ok(Event::Init) => Some(Ok(Shown::Begun)),
                Ok(Event::InitApply(object)) => place(&object.metadata)
                    .map(|at| Ok(Shown::Listed(at, Mark::of(&object.metadata)))),
                Ok(Event::InitDone) => Some(Ok(Shown::Whole)),
                Ok(Event::Apply(object)) => place(&object.metadata)
                    .map(|at| Ok(Shown::Changed(at, Mark::of(&object.metadata)))),
                Ok(Event::Delete(object)) => place(&object.metadata).map(|at| Ok(Shown::Gone(at))),
                Err(error) => Some(Err(trouble(error))),
            })
        });
    Ok(shown.boxed())
}

fn place(metadata: &ObjectMeta) -> Option<Place> {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(ENVIRONMENT_LABEL));
    Some(Place {
        namespace: metadata.namespace.clone()?,
        name: metadata.name.clone()?,
        environment: label.cloned().unwrap_or_default(),
    })
}

fn trouble(error: watcher::Error) -> WatchTrouble {
    let code = match &error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => status(error).map_or(0, |status| status.code),
        watcher::Error::WatchError(status) => status.code,
        watcher::Error::NoResourceVersion => 405,
    };
    match code {
        401 | 403 => WatchTrouble::NotAllowed,
        404 | 405 => WatchTrouble::NoSuchKind,
        _ => WatchTrouble::Passing(Box::new(error)),
    }
}
