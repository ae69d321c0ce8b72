//! The objects and their history: writes get the next resource version, watches read what came after theirs.
//! In memory; no clock, no I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::status::GroupResource;

/// Namespace (empty for cluster-scoped kinds) and name.
pub(crate) type Key = (String, String);

/// One write.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) resource: GroupResource,
    pub(crate) key: Key,
    /// What was there before; `None` when the write created it.
    pub(crate) before: Option<Arc<Value>>,
    /// What is there now; of a delete the last state, with the delete's own resource version.
    pub(crate) object: Arc<Value>,
    pub(crate) deleted: bool,
}

/// The history does not reach back that far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// The oldest resource version that can still be read.
    pub(crate) oldest: u64,
}

type Objects = BTreeMap<Key, Arc<Value>>;

/// All objects of the cluster.
#[derive(Debug)]
pub(crate) struct Store {
    objects: BTreeMap<GroupResource, Objects>,
    history: VecDeque<Change>,
    history_limit: usize,
    /// Everything up to this revision has left the history.
    compacted: u64,
    revision: u64,
    news: Arc<Notify>,
}

impl Store {
    pub(crate) fn new(history_limit: usize) -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            history_limit,
            compacted: 0,
            revision: 1,
            news: Arc::default(),
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Wakes at each write: those who wait, in the order in which they began to. (A `watch` channel wakes its receivers
    /// in a random order, and requests made at one instant would change places between two runs of one seed.)
    pub(crate) fn subscribe(&self) -> Arc<Notify> {
        Arc::clone(&self.news)
    }

    pub(crate) fn get(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Option<&Arc<Value>> {
        self.objects.get(resource)?.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// All objects of `resource`, in one namespace or (`None`) in all, in order of namespace and name.
    pub(crate) fn list<'s>(
        &'s self,
        resource: &GroupResource,
        namespace: Option<&'s str>,
    ) -> impl Iterator<Item = (&'s Key, &'s Arc<Value>)> + use<'s> {
        self.objects
            .get(resource)
            .into_iter()
            .flatten()
            .filter(move |((at, _), _)| namespace.is_none_or(|wanted| wanted == at))
    }

    /// Every resource that has an object in `namespace`.
    pub(crate) fn resources(&self) -> impl Iterator<Item = (&GroupResource, &Objects)> {
        self.objects.iter()
    }

    /// Creates or replaces; the object gets the next resource version.
    pub(crate) fn put(
        &mut self,
        resource: &GroupResource,
        key: Key,
        mut object: Value,
    ) -> Arc<Value> {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let object = Arc::new(object);
        let before = self
            .objects
            .entry(resource.clone())
            .or_default()
            .insert(key.clone(), Arc::clone(&object));
        self.record(resource, key, before, Arc::clone(&object), false);
        object
    }

    /// Takes an object away and returns its last state, which has the delete's resource version.
    pub(crate) fn remove(&mut self, resource: &GroupResource, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.get_mut(resource)?.remove(key)?;
        self.revision += 1;
        let mut last = Value::clone(&before);
        last["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let last = Arc::new(last);
        self.record(resource, key.clone(), Some(before), Arc::clone(&last), true);
        Some(last)
    }

    fn record(
        &mut self,
        resource: &GroupResource,
        key: Key,
        before: Option<Arc<Value>>,
        object: Arc<Value>,
        deleted: bool,
    ) {
        let revision = self.revision;
        self.history.push_back(Change {
            revision,
            resource: resource.clone(),
            key,
            before,
            object,
            deleted,
        });
        while self.history.len() > self.history_limit {
            if let Some(gone) = self.history.pop_front() {
                self.compacted = gone.revision;
            }
        }
        self.news.notify_waiters();
    }

    /// Forgets the history, as a real server's compaction does: older watches and lists get 410.
    pub(crate) fn compact(&mut self) {
        self.compacted = self.revision;
        self.history.clear();
    }

    /// The writes to `resource` after `revision`, oldest first.
    pub(crate) fn since<'s>(
        &'s self,
        resource: &'s GroupResource,
        revision: u64,
    ) -> Result<impl Iterator<Item = &'s Change>, Compacted> {
        if revision < self.compacted {
            return Err(Compacted { oldest: self.compacted });
        }
        let from = self.history.partition_point(|change| change.revision <= revision);
        Ok(self.history.range(from..).filter(move |change| change.resource == *resource))
    }

    /// All objects of `resource` as they stood at `revision`.
    pub(crate) fn at(&self, resource: &GroupResource, revision: u64) -> Result<Objects, Compacted> {
        let mut objects = self.objects.get(resource).cloned().unwrap_or_default();
        let changes: Vec<&Change> = self.since(resource, revision)?.collect();
        for change in changes.into_iter().rev() {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), Arc::clone(before)),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cm() -> GroupResource {
        GroupResource::new("", "configmaps")
    }
    fn key(name: &str) -> Key {
        ("a".into(), name.into())
    }

    #[test]
    fn every_write_gets_the_next_version_and_the_history_knows_what_was_before() {
        let mut store = Store::new(100);
        store.put(&cm(), key("x"), json!({"metadata": {}, "data": {"k": "1"}}));
        let start = store.revision();
        store.put(&cm(), key("x"), json!({"metadata": {}, "data": {"k": "2"}}));
        store.put(&GroupResource::new("", "secrets"), key("x"), json!({"metadata": {}}));
        let last = store.remove(&cm(), &key("x")).expect("it is there");
        assert_eq!(last["metadata"]["resourceVersion"], json!((start + 3).to_string()));
        let resource = cm();
        let seen: Vec<(u64, bool)> = store
            .since(&resource, start)
            .expect("nothing was compacted")
            .map(|c| (c.revision, c.deleted))
            .collect();
        assert_eq!(seen, [(start + 1, false), (start + 3, true)]);
        let then = store.at(&cm(), start).expect("nothing was compacted");
        assert_eq!(then[&key("x")]["data"]["k"], "1");
        assert!(store.at(&cm(), store.revision()).expect("the present").is_empty());
    }

    #[test]
    fn what_left_the_history_cannot_be_read() {
        let mut store = Store::new(2);
        for _ in 0..5 {
            store.put(&cm(), key("x"), json!({"metadata": {}}));
        }
        let resource = cm();
        assert!(store.since(&resource, 2).is_err());
        assert_eq!(store.since(&resource, 4).expect("in the history").count(), 2);
        store.compact();
        assert!(store.since(&resource, 4).is_err());
        assert_eq!(store.since(&resource, store.revision()).expect("the present").count(), 0);
    }
}
