//! Secrets of Repositories that change: noticed by a watch, so that a new token or webhook secret counts at once. I/O:
//! a watch of metadata; no content of any Secret goes through it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};

use super::error::chain;
use super::patience::Patience;
use super::stored::BUNDLE_LABEL;
use super::{Context, grants};

/// Which Secret each Repository was read from, and whose has changed since.
#[derive(Default)]
pub(super) struct Rotations(Mutex<State>);

#[derive(Default)]
struct State {
    /// Name and version of the Secret, by Repository. Without a version it was not there.
    read: BTreeMap<String, (String, Option<String>)>,
    changed: BTreeSet<String>,
}

impl Rotations {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A Repository's credentials were read just now.
    pub(super) fn read(&self, repository: &str, secret: &str, version: Option<String>) {
        let mut state = self.state();
        state.changed.remove(repository);
        state.read.insert(repository.to_owned(), (secret.to_owned(), version));
    }

    /// Whether they are to be read again.
    pub(super) fn is_due(&self, repository: &str) -> bool {
        self.state().changed.contains(repository)
    }

    /// Which version was read: what failed with another may work with this one.
    pub(super) fn version(&self, repository: &str) -> Option<String> {
        self.state().read.get(repository).and_then(|(_, version)| version.clone())
    }

    /// A Repository is gone.
    pub(super) fn forget(&self, repository: &str) {
        let mut state = self.state();
        state.read.remove(repository);
        state.changed.remove(repository);
    }

    /// The watch shows a Secret. `true`: a Repository was read from another version of it.
    fn shown(&self, secret: &str, version: Option<&str>) -> bool {
        let mut state = self.state();
        let concerned: Vec<String> = state
            .read
            .iter()
            .filter(|(_, (name, read))| name == secret && read.as_deref() != version)
            .map(|(repository, _)| repository.clone())
            .collect();
        let any = !concerned.is_empty();
        state.changed.extend(concerned);
        any
    }
}

/// Something each time that the Secret of a Repository has changed.
pub(super) fn changes(context: Arc<Context>) -> impl Stream<Item = ()> + Send + 'static {
    let api: Api<PartialObjectMeta<Secret>> =
        Api::namespaced(context.home.clone(), &context.namespace);
    // Stored bundles are Secrets, too, and change all the time.
    let config = watcher::Config::default().labels(&format!("!{BUNDLE_LABEL}"));
    let watched = watcher::watcher(api, config).backoff(Patience::of(&context));
    watched.touched_objects().filter_map(move |shown| {
        let changed = match shown {
            Ok(secret) => {
                let name = secret.metadata.name.as_deref().unwrap_or_default();
                let version = secret.metadata.resource_version.as_deref();
                context.grants.shown(name, version, grants::is_used(&context, name));
                context.rotations.shown(name, version)
            }
            Err(error) => {
                tracing::warn!("the watch of Secrets failed: {}", chain(&error));
                false
            }
        };
        std::future::ready(changed.then_some(()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_version_of_a_secret_in_use_makes_its_repositories_due() {
        let rotations = Rotations::default();
        rotations.read("shop", "token", Some("7".into()));
        rotations.read("blog", "token", Some("7".into()));
        rotations.read("wiki", "none", None);
        assert!(!rotations.shown("token", Some("7")));
        assert!(!rotations.shown("other", Some("8")));
        assert!(rotations.shown("token", Some("8")));
        assert!(rotations.is_due("shop") && rotations.is_due("blog") && !rotations.is_due("wiki"));
        rotations.read("shop", "token", Some("8".into()));
        assert!(!rotations.is_due("shop") && rotations.is_due("blog"));
        assert!(rotations.shown("none", Some("1")), "one that was missing is there");
        rotations.forget("blog");
        assert!(!rotations.is_due("blog"));
        assert_eq!(rotations.version("shop").as_deref(), Some("8"));
    }
}
