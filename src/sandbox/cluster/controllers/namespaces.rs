//! Namespaces on their way out: deletes all that is in them, tells in conditions what is left, and lets go of them when
//! nothing is. I/O: the API server, which is asked anew each time; nothing here trusts a cache.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::Method;
use serde_json::{Value, json};

use super::kit::resource::NAMESPACES;
use super::kit::{
    Api, ApiError, Caches, Controller, Deletion, Found, Key, Resource, Work, discover, json,
};

/// Name of the controller, by which the garbage collector wakes it.
pub(super) const NAME: &str = "namespace-controller";

/// The finalizer in `spec.finalizers` that is ours to take off.
const FINALIZER: &str = "kubernetes";

/// The controller of namespaces.
#[derive(Default)]
pub(super) struct Namespaces {
    /// Looks at each namespace so far, by UID: the wait between two of them grows.
    looks: Mutex<BTreeMap<String, u32>>,
}

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        NAME
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&NAMESPACES]
    }

    fn keys(&self, _resource: &Resource, object: &Value, caches: &Caches) -> Vec<Key> {
        let key = Key::of(object);
        if !json::is_deleting(object) {
            return Vec::new();
        }
        if caches.get(&NAMESPACES, "", &key.name).is_none() {
            self.looks.lock().unwrap_or_else(PoisonError::into_inner).remove(json::uid(object));
            return Vec::new();
        }
        // Our own writes of the status come back as news; only the first news of a deletion starts the work.
        let known = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains_key(json::uid(object)) { Vec::new() } else { vec![key] }
    }

    fn work(&self, key: &Key, caches: &Caches, now: DateTime<Utc>, api: &Api) -> Option<Work> {
        let namespace = caches.get(&NAMESPACES, "", &key.name)?;
        if !json::is_deleting(namespace) {
            return None;
        }
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let look = looks.entry(json::uid(namespace).to_owned()).or_insert(0);
        *look = look.saturating_add(1);
        // The garbage collector wakes us when something of the namespace goes. The timer is for what it doesn't see.
        let wait = Duration::from_millis(500 << (*look).min(5)).min(Duration::from_secs(15));
        let (api, name) = (api.clone(), key.name.clone());
        Some(Box::pin(async move { take_down(&api, &name, now, wait).await }))
    }
}

/// What is left of a namespace.
#[derive(Debug, Default)]
struct Left {
    /// Objects by resource.
    objects: BTreeMap<String, usize>,
    /// Objects by finalizer.
    finalizers: BTreeMap<String, usize>,
    discovery_error: Option<String>,
    deletion_errors: Vec<String>,
}

impl Left {
    fn is_nothing(&self) -> bool {
        self.objects.is_empty() && self.discovery_error.is_none() && self.deletion_errors.is_empty()
    }
}

async fn take_down(
    api: &Api,
    name: &str,
    now: DateTime<Utc>,
    wait: Duration,
) -> Result<Option<Duration>, ApiError> {
    let Some(namespace) = api.get(&NAMESPACES, "", name).await? else { return Ok(None) };
    if !json::is_deleting(&namespace) || json::list(&namespace, "/spec/finalizers").is_empty() {
        return Ok(None);
    }
    let left = empty(api, name).await;
    let namespace = tell(api, namespace, &left, now).await?;
    if !left.is_nothing() {
        return Ok(Some(wait));
    }
    let mut finalized = namespace;
    let others: Vec<Value> = json::list(&finalized, "/spec/finalizers")
        .iter()
        .filter(|f| f.as_str() != Some(FINALIZER))
        .cloned()
        .collect();
    json::set(&mut finalized, &["spec", "finalizers"], others.into());
    match api.replace(&NAMESPACES, &finalized, "finalize").await {
        Ok(_) => Ok(None),
        Err(error) if error.code() == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Deletes the content, pods before all else: what they use stays until they have ended.
async fn empty(api: &Api, namespace: &str) -> Left {
    let mut left = Left::default();
    let found = match discover(api).await {
        Ok(found) => found,
        Err(error) => {
            left.discovery_error = Some(error.to_string());
            return left;
        }
    };
    let content: Vec<&Found> =
        found.iter().filter(|f| f.resource.namespaced && f.can(&["list", "delete"])).collect();
    let is_pods = |f: &&Found| f.resource.group.is_empty() && f.resource.plural == "pods";
    for pods in content.iter().copied().filter(is_pods) {
        empty_of(api, namespace, pods, &mut left).await;
    }
    if !left.is_nothing() {
        return left;
    }
    for other in content.iter().copied().filter(|f| !is_pods(f)) {
        empty_of(api, namespace, other, &mut left).await;
    }
    left
}

async fn empty_of(api: &Api, namespace: &str, found: &Found, left: &mut Left) {
    let resource = &found.resource;
    match delete_all(api, namespace, found).await {
        Ok(rest) => {
            for object in &rest {
                *left.objects.entry(dotted(resource)).or_insert(0) += 1;
                for finalizer in json::list(object, "/metadata/finalizers") {
                    let finalizer = finalizer.as_str().unwrap_or_default().to_owned();
                    *left.finalizers.entry(finalizer).or_insert(0) += 1;
                }
            }
        }
        // A definition may go while its objects are being deleted.
        Err(error) if error.code() == 404 => {}
        Err(error) => left.deletion_errors.push(format!("{resource}: {error}")),
    }
}

/// `resource.group`, with the dot also when the group is empty, as the conditions of Kubernetes say it.
fn dotted(resource: &Resource) -> String {
    format!("{}.{}", resource.plural, resource.group)
}

/// Deletes all objects of a resource in the namespace; answers those that are still there.
async fn delete_all(api: &Api, namespace: &str, found: &Found) -> Result<Vec<Value>, ApiError> {
    let resource = &found.resource;
    let path = resource.path(namespace, "", "");
    let there = list(api, &path).await?;
    if there.is_empty() {
        return Ok(there);
    }
    let mut waits = false;
    if there.iter().any(|object| !json::is_deleting(object)) {
        waits = true;
        if found.can(&["deletecollection"]) {
            let options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background" });
            let delete = || api.send(Method::DELETE, &path, "application/json", Some(&options));
            match api.again_and_again(delete).await {
                Ok(_) => {}
                Err(error) if matches!(error.code(), 404 | 405 | 501) => {
                    delete_each(api, resource, &there).await?;
                }
                Err(error) => return Err(error),
            }
        } else {
            delete_each(api, resource, &there).await?;
        }
    }
    if waits { list(api, &path).await } else { Ok(there) }
}

async fn delete_each(api: &Api, resource: &Resource, there: &[Value]) -> Result<(), ApiError> {
    for object in there.iter().filter(|object| !json::is_deleting(object)) {
        let deletion = Deletion { uid: json::uid(object).to_owned(), ..Deletion::default() };
        let (namespace, name) = (json::namespace(object), json::name(object));
        match api.delete(resource, namespace, name, &deletion).await {
            Err(error) if !matches!(error.code(), 404 | 409) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn list(api: &Api, path: &str) -> Result<Vec<Value>, ApiError> {
    let mut answer = api.get_path(path).await?;
    match answer.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

/// Writes the conditions when they say something new; answers the namespace as it is then.
async fn tell(
    api: &Api,
    namespace: Value,
    left: &Left,
    now: DateTime<Utc>,
) -> Result<Value, ApiError> {
    let mut told = namespace.clone();
    json::set(&mut told, &["status", "phase"], "Terminating".into());
    let mut conditions = json::list(&namespace, "/status/conditions").to_vec();
    for (kind, status, reason, message) in conditions_of(left) {
        json::set_condition(&mut conditions, kind, status, reason, &message, now);
    }
    json::set(&mut told, &["status", "conditions"], conditions.into());
    if told == namespace { Ok(told) } else { api.replace(&NAMESPACES, &told, "status").await }
}

type ConditionText = (&'static str, &'static str, &'static str, String);

/// The five conditions, in Kubernetes' words.
fn conditions_of(left: &Left) -> [ConditionText; 5] {
    let listed = |parts: Vec<String>, before: &str| format!("{before}{}", parts.join(", "));
    let fine = |kind, reason, message: &str| (kind, "False", reason, message.to_owned());
    [
        match &left.discovery_error {
            Some(error) => (
                "NamespaceDeletionDiscoveryFailure",
                "True",
                "DiscoveryFailed",
                format!("Discovery failed for some groups, 1 failing: {error}"),
            ),
            None => fine(
                "NamespaceDeletionDiscoveryFailure",
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
        },
        fine(
            "NamespaceDeletionGroupVersionParsingFailure",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        if left.deletion_errors.is_empty() {
            fine(
                "NamespaceDeletionContentFailure",
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            )
        } else {
            (
                "NamespaceDeletionContentFailure",
                "True",
                "ContentDeletionFailed",
                listed(
                    left.deletion_errors.clone(),
                    "Failed to delete all resource types, 1 remaining: ",
                ),
            )
        },
        if left.objects.is_empty() {
            fine("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed")
        } else {
            let parts = left.objects.iter().map(|(r, n)| format!("{r} has {n} resource instances"));
            (
                "NamespaceContentRemaining",
                "True",
                "SomeResourcesRemain",
                listed(parts.collect(), "Some resources are remaining: "),
            )
        },
        if left.finalizers.is_empty() {
            fine(
                "NamespaceFinalizersRemaining",
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            )
        } else {
            let parts =
                left.finalizers.iter().map(|(f, n)| format!("{f} in {n} resource instances"));
            (
                "NamespaceFinalizersRemaining",
                "True",
                "SomeFinalizersRemain",
                listed(parts.collect(), "Some content in the namespace has finalizers remaining: "),
            )
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_what_is_left_in_kubernetes_words() {
        let left = Left {
            objects: BTreeMap::from([
                ("pods.".to_owned(), 2),
                ("things.example.org".to_owned(), 1),
            ]),
            finalizers: BTreeMap::from([("example.org/hold".to_owned(), 1)]),
            ..Left::default()
        };
        let told = conditions_of(&left);
        assert_eq!(
            told[3],
            (
                "NamespaceContentRemaining",
                "True",
                "SomeResourcesRemain",
                "Some resources are remaining: pods. has 2 resource instances, things.example.org has 1 resource instances".to_owned()
            )
        );
        assert_eq!(
            told[4].3,
            "Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances"
        );
        assert_eq!(told[0].1, "False");
        assert!(conditions_of(&Left::default()).iter().all(|c| c.1 == "False"));
    }
}
