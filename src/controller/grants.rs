//! What camps get from the service's own namespace: copies of Secrets, and the ConfigMap with the platform team's
//! templates. A watch of metadata tells when one of them changes. I/O with home.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;
use tokio::sync::watch;

use super::Context;
use super::error::{ReconcileError, chain};
use super::patience::Patience;
use super::reconcile::Served;
use crate::domain::guardrails::{Camp, Overrides, copy_of, pull_secret_name};

/// Versions of what camps are made from, as the watch last showed them.
pub(super) struct Grants {
    seen: Mutex<Seen>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Seen {
    /// By name of the Secret.
    secrets: BTreeMap<String, String>,
    /// Of the ConfigMap.
    overrides: Option<String>,
}

impl Default for Grants {
    fn default() -> Self {
        Self { seen: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Grants {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The watch shows a Secret of home. Only what is `used` is remembered, and wakes somebody.
    pub(super) fn shown(&self, secret: &str, version: Option<&str>, used: bool) {
        let mut seen = self.seen();
        if !used {
            seen.secrets.remove(secret);
            return;
        }
        let version = version.unwrap_or_default();
        if seen.secrets.get(secret).is_none_or(|known| known != version) {
            seen.secrets.insert(secret.to_owned(), version.to_owned());
            drop(seen);
            self.changed.send_modify(|count| *count += 1);
        }
    }

    fn shown_overrides(&self, version: Option<&str>) {
        let mut seen = self.seen();
        if seen.overrides.as_deref() != version {
            seen.overrides = version.map(str::to_owned);
            drop(seen);
            self.changed.send_modify(|count| *count += 1);
        }
    }

    /// In one line: the versions of these Secrets and of the templates.
    pub(super) fn versions(&self, secrets: &[&str]) -> String {
        let seen = self.seen();
        let secrets: Vec<_> = secrets.iter().map(|name| seen.secrets.get(*name)).collect();
        format!("{secrets:?} {:?}", seen.overrides)
    }

    /// Something each time that one of them has changed.
    pub(super) fn changes(&self) -> impl Stream<Item = ()> + Send + 'static {
        let changed = self.changed.subscribe();
        futures::stream::unfold(changed, |mut changed| async {
            changed.changed().await.ok()?;
            Some(((), changed))
        })
    }
}

/// Whether a Repository puts this Secret into camps.
pub(super) fn is_used(context: &Context, secret: &str) -> bool {
    context.all_repositories().iter().any(|repository| {
        let spec = &repository.spec;
        spec.secrets.iter().any(|grant| grant.from_secret == secret)
            || spec.isolation.image_pull_secrets.iter().any(|pull| pull.name == secret)
    })
}

/// Watches the ConfigMap with the templates for as long as it is polled.
pub(super) async fn watch_overrides(context: &Context) {
    let api: Api<PartialObjectMeta<ConfigMap>> =
        Api::namespaced(context.home.clone(), &context.namespace);
    let config =
        watcher::Config::default().fields(&format!("metadata.name={}", context.guardrails));
    let stream = watcher::watcher(api, config).backoff(Patience::of(context)).touched_objects();
    futures::pin_mut!(stream);
    while let Some(shown) = stream.next().await {
        match shown {
            Ok(map) => context.grants.shown_overrides(map.metadata.resource_version.as_deref()),
            Err(error) => tracing::warn!("the watch of templates failed: {}", chain(&error)),
        }
    }
}

/// The platform team's templates, as they are now.
pub(super) async fn overrides(context: &Context) -> Result<Overrides, ReconcileError> {
    let name = &context.guardrails;
    let api: Api<ConfigMap> = Api::namespaced(context.home.clone(), &context.namespace);
    let found = api.get_opt(name).await;
    let found = found
        .map_err(|error| ReconcileError::record("read the templates of the guardrails", error))?;
    Ok(Overrides {
        source: format!("ConfigMap {name}"),
        templates: found.and_then(|map| map.data).unwrap_or_default(),
    })
}

/// The Secrets that this camp gets: image pull secrets, and what the Repository grants.
pub(super) async fn copies(
    context: &Context,
    served: &Served,
    camp: &Camp,
) -> Result<Vec<Value>, ReconcileError> {
    let rules = &served.policy.guardrails;
    let pulled = rules
        .pull_secrets_for(camp.untrusted)
        .map(|secret| (pull_secret_name(&secret.name), secret.name.as_str()));
    let granted =
        rules.grants_for(camp.untrusted).map(|grant| (grant.name.clone(), grant.from.as_str()));
    let mut copies = Vec::new();
    for (name, from) in pulled.chain(granted) {
        copies.push(copy_of(camp, &name, &source(context, from).await?));
    }
    Ok(copies)
}

async fn source(context: &Context, name: &str) -> Result<Value, ReconcileError> {
    let unusable = |why| ReconcileError::Grant { secret: name.to_owned(), why };
    // Of another Repository, or of a service account: neither is for the code of a pull request.
    let is_of_a_forge = context
        .all_repositories()
        .iter()
        .any(|repository| repository.spec.forge.github.credentials.secret_name == name);
    if is_of_a_forge {
        return Err(unusable("it holds the credentials of a forge, which no camp may have"));
    }
    let api: Api<Secret> = Api::namespaced(context.home.clone(), &context.namespace);
    let found = api.get_opt(name).await;
    let found =
        found.map_err(|error| ReconcileError::record("read a Secret that is granted", error))?;
    let Some(secret) = found else {
        return Err(unusable("it is not there; make it in the service's own namespace"));
    };
    if secret.type_.as_deref() == Some("kubernetes.io/service-account-token") {
        return Err(unusable("it is the token of a service account, which no camp may have"));
    }
    let labels = secret.metadata.labels.as_ref();
    if labels.is_some_and(|labels| labels.contains_key(super::stored::BUNDLE_LABEL)) {
        return Err(unusable("it is one of the service's own"));
    }
    serde_json::to_value(secret).map_err(|error| {
        ReconcileError::record("read a Secret that is granted", kube::Error::SerdeError(error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_new_version_of_a_secret_in_use_is_a_change() {
        let grants = Grants::default();
        let mut changed = grants.changed.subscribe();
        grants.shown("db", Some("1"), false);
        assert!(!changed.has_changed().expect("it lives"));
        grants.shown("db", Some("1"), true);
        assert!(changed.has_changed().expect("it lives"));
        changed.mark_unchanged();
        let before = grants.versions(&["db"]);
        grants.shown("db", Some("1"), true);
        assert!(!changed.has_changed().expect("it lives"));
        grants.shown("db", Some("2"), true);
        grants.shown_overrides(Some("7"));
        assert_ne!(grants.versions(&["db"]), before);
        assert_eq!(grants.versions(&["other"]), r#"[None] Some("7")"#);
    }
}
