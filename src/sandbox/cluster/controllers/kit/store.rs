//! Objects as the watches (and the answers to our own writes) last showed them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::Resource;
use super::json;

/// Namespace and name of an object; the namespace is empty for what is cluster-scoped.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Namespace.
    pub(crate) namespace: String,
    /// Name.
    pub(crate) name: String,
}

impl Key {
    /// The key of `namespace` and `name`.
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    pub(crate) fn of(object: &Value) -> Self {
        Self::new(json::namespace(object), json::name(object))
    }
}

/// What [`Store::put`] did.
#[derive(Debug)]
pub(crate) enum Put {
    /// The store holds at least as new a state: nothing was done.
    Stale,
    /// Taken over; this was there before.
    Taken(Option<Arc<Value>>),
}

/// All objects of one resource.
#[derive(Debug, Default)]
pub(crate) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    /// UIDs that were seen to go by the answer to our own deletion: older news of them may still be on its way.
    buried: BTreeSet<String>,
}

impl Store {
    /// One object.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Value>> {
        self.objects.get(&Key::new(namespace, name))
    }

    /// All objects of a namespace, by name.
    pub(crate) fn within<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Value>> {
        self.objects
            .range(Key::new(namespace, "")..)
            .take_while(move |(key, _)| key.namespace == namespace)
            .map(|(_, object)| object)
    }

    /// All objects, by namespace and name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.objects.values()
    }

    /// Takes over one state of an object, unless the store has it or a newer one.
    pub(crate) fn put(&mut self, object: Value) -> Put {
        if self.buried.contains(json::uid(&object)) {
            return Put::Stale;
        }
        let key = Key::of(&object);
        if let Some(known) = self.objects.get(&key)
            && json::uid(known) == json::uid(&object)
            && version(known) >= version(&object)
            && version(&object) > 0
        {
            return Put::Stale;
        }
        Put::Taken(self.objects.insert(key, Arc::new(object)))
    }

    /// The watch says that an object is gone.
    pub(crate) fn remove(&mut self, object: &Value) -> Option<Arc<Value>> {
        let uid = json::uid(object);
        self.buried.remove(uid);
        self.take(object)
    }

    /// The answer to our own deletion says that an object is gone; the watch will say so later.
    pub(crate) fn bury(&mut self, object: &Value) -> Option<Arc<Value>> {
        self.buried.insert(json::uid(object).to_owned());
        self.take(object)
    }

    fn take(&mut self, object: &Value) -> Option<Arc<Value>> {
        let key = Key::of(object);
        // Another object may have taken the name meanwhile.
        if self.objects.get(&key).is_some_and(|known| json::uid(known) == json::uid(object)) {
            self.objects.remove(&key)
        } else {
            None
        }
    }

    /// Takes over a whole list. Answers what was gone or is different, as it was before.
    pub(crate) fn replace(&mut self, listed: Vec<Value>, list_version: u64) -> Vec<Arc<Value>> {
        self.buried.clear();
        let keys: BTreeSet<Key> = listed.iter().map(Key::of).collect();
        let mut before = Vec::new();
        self.objects.retain(|key, object| {
            let stays = keys.contains(key) || version(object) > list_version;
            if !stays {
                before.push(Arc::clone(object));
            }
            stays
        });
        for object in listed {
            if let Put::Taken(Some(old)) = self.put(object) {
                before.push(old);
            }
        }
        before
    }
}

/// `metadata.resourceVersion` as the number that it is on every server that we meet; 0 when it is none.
pub(crate) fn version(object: &Value) -> u64 {
    json::text(object, "/metadata/resourceVersion").parse().unwrap_or(0)
}

/// The stores of all resources that are watched.
#[derive(Debug, Default)]
pub(crate) struct Caches(BTreeMap<Resource, Store>);

impl Caches {
    /// The store of one resource, made when it is missing.
    pub(crate) fn store_mut(&mut self, resource: &Resource) -> &mut Store {
        self.0.entry(resource.clone()).or_default()
    }

    /// One object.
    pub(crate) fn get(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Option<&Arc<Value>> {
        self.0.get(resource)?.get(namespace, name)
    }

    /// All objects of a resource in a namespace, by name.
    pub(crate) fn within<'a>(
        &'a self,
        resource: &Resource,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Value>> {
        self.0.get(resource).into_iter().flat_map(move |store| store.within(namespace))
    }

    /// All objects of a resource.
    pub(crate) fn all(&self, resource: &Resource) -> impl Iterator<Item = &Arc<Value>> {
        self.0.get(resource).into_iter().flat_map(Store::all)
    }

    /// Objects of a resource that the object with `uid` controls, by name.
    pub(crate) fn controlled(
        &self,
        resource: &Resource,
        namespace: &str,
        uid: &str,
    ) -> Vec<Arc<Value>> {
        self.within(resource, namespace)
            .filter(|object| json::is_controlled_by(object, uid))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(name: &str, uid: &str, version: u64) -> Value {
        json!({ "metadata": { "namespace": "n", "name": name, "uid": uid, "resourceVersion": version.to_string() } })
    }

    #[test]
    fn older_news_never_overwrites_newer() {
        let mut store = Store::default();
        assert!(matches!(store.put(object("a", "1", 5)), Put::Taken(None)));
        assert!(matches!(store.put(object("a", "1", 4)), Put::Stale));
        assert!(matches!(store.put(object("a", "1", 5)), Put::Stale));
        assert!(matches!(store.put(object("a", "2", 3)), Put::Taken(Some(_))), "another object");
    }

    #[test]
    fn what_we_deleted_does_not_come_back_by_late_news() {
        let mut store = Store::default();
        store.put(object("a", "1", 5));
        assert!(store.bury(&object("a", "1", 5)).is_some());
        assert!(matches!(store.put(object("a", "1", 6)), Put::Stale));
        store.remove(&object("a", "1", 7));
        assert!(store.get("n", "a").is_none());
    }

    #[test]
    fn a_late_deletion_of_an_older_object_leaves_the_new_one() {
        let mut store = Store::default();
        store.put(object("a", "2", 9));
        assert!(store.remove(&object("a", "1", 8)).is_none());
        assert!(store.get("n", "a").is_some());
    }

    #[test]
    fn a_list_takes_away_what_it_lacks_but_not_what_is_younger_than_it() {
        let mut store = Store::default();
        store.put(object("old", "1", 5));
        store.put(object("young", "2", 50));
        let before = store.replace(vec![object("new", "3", 7)], 10);
        assert_eq!(before.len(), 1);
        let names: Vec<_> = store.all().map(|o| json::name(o).to_owned()).collect();
        assert_eq!(names, ["new", "young"]);
    }

    #[test]
    fn within_gives_one_namespace_only() {
        let mut store = Store::default();
        for namespace in ["a", "ab", "b"] {
            store.put(
                json!({ "metadata": { "namespace": namespace, "name": "x", "uid": namespace } }),
            );
        }
        assert_eq!(store.within("a").count(), 1);
    }
}
