//! Who owns whom: a graph over the metadata of all objects, and what is to be done with one of them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::kit::{Key, Resource, json};

/// The finalizer of an object whose dependents go first.
pub(super) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents stay.
pub(super) const ORPHAN: &str = "orphan";

/// One object.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) resource: Resource,
    pub(super) key: Key,
    /// `metadata`, as last seen.
    pub(super) object: Value,
}

impl Node {
    pub(super) fn owners(&self) -> &[Value] {
        json::list(&self.object, "/metadata/ownerReferences")
    }

    pub(super) fn is_deleting(&self) -> bool {
        json::is_deleting(&self.object)
    }

    pub(super) fn has_finalizer(&self, finalizer: &str) -> bool {
        json::list(&self.object, "/metadata/finalizers")
            .iter()
            .any(|f| f.as_str() == Some(finalizer))
    }

    /// Its dependents are to go before it.
    pub(super) fn waits_for_dependents(&self) -> bool {
        self.is_deleting() && self.has_finalizer(FOREGROUND)
    }

    /// Its dependents are to be left alone.
    pub(super) fn leaves_dependents(&self) -> bool {
        self.is_deleting() && self.has_finalizer(ORPHAN)
    }

    /// Its owner references without those to one of `uids`, when there are such.
    pub(super) fn owners_without(&self, uids: &BTreeSet<String>) -> Option<Vec<Value>> {
        let kept: Vec<Value> = self
            .owners()
            .iter()
            .filter(|o| !uids.contains(json::text(o, "/uid")))
            .cloned()
            .collect();
        (kept.len() != self.owners().len()).then_some(kept)
    }
}

/// All objects by UID, and who names whom as owner.
#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: BTreeMap<String, Node>,
    dependents: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    pub(super) fn get(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// UIDs of objects that name `uid` as an owner.
    pub(super) fn dependents(&self, uid: &str) -> Vec<String> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Takes over an object's metadata; answers the UIDs that have to be looked at.
    pub(super) fn put(&mut self, resource: &Resource, object: Value) -> BTreeSet<String> {
        let uid = json::uid(&object).to_owned();
        let mut wake = self.forget_owners(&uid);
        let node = Node { resource: resource.clone(), key: Key::of(&object), object };
        for owner in node.owners() {
            let owner = json::text(owner, "/uid").to_owned();
            self.dependents.entry(owner.clone()).or_default().insert(uid.clone());
            // It may be among the last that its owner waits for, or a new one.
            wake.insert(owner);
        }
        // Owners that neither go nor went need no look.
        wake.retain(|owner| self.nodes.get(owner).is_none_or(Node::is_deleting));
        if node.is_deleting() {
            wake.extend(self.dependents(&uid));
        }
        if node.is_deleting() || !node.owners().is_empty() {
            wake.insert(uid.clone());
        }
        self.nodes.insert(uid, node);
        wake
    }

    /// An object is gone; answers the UIDs that have to be looked at.
    pub(super) fn remove(&mut self, uid: &str) -> BTreeSet<String> {
        let mut wake = self.forget_owners(uid);
        self.nodes.remove(uid);
        wake.extend(self.dependents(uid));
        wake
    }

    /// UIDs of all objects of a resource.
    pub(super) fn of(&self, resource: &Resource) -> Vec<String> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.resource == *resource)
            .map(|(uid, _)| uid.clone())
            .collect()
    }

    /// Takes the edges from `uid` to its owners away; answers these.
    fn forget_owners(&mut self, uid: &str) -> BTreeSet<String> {
        let owners: BTreeSet<String> = self
            .nodes
            .get(uid)
            .into_iter()
            .flat_map(Node::owners)
            .map(|o| json::text(o, "/uid").to_owned())
            .collect();
        for owner in &owners {
            if let Some(of_owner) = self.dependents.get_mut(owner) {
                of_owner.remove(uid);
                if of_owner.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
        owners
    }
}

/// What is known of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// It is there, and has a say.
    Solid,
    /// It is there, and waits for its dependents to go.
    Waiting,
    /// It is not there, or another object has its name.
    Absent,
    /// The graph doesn't have it; the server has to be asked.
    Unknown,
}

impl Graph {
    /// What the graph knows of the owner that `reference` of `dependent` names.
    pub(super) fn owner(&self, reference: &Value, dependent: &Node) -> Owner {
        match self.get(json::text(reference, "/uid")) {
            Some(owner) if named(reference, owner, dependent) => state(&owner.object, reference),
            // The UID is of another object than the reference says: the server's word counts.
            Some(_) | None => Owner::Unknown,
        }
    }
}

fn named(reference: &Value, owner: &Node, dependent: &Node) -> bool {
    let group = json::text(reference, "/apiVersion").rsplit_once('/').map_or("", |(g, _)| g);
    group == owner.resource.group
        && json::text(reference, "/kind") == owner.resource.kind
        && json::text(reference, "/name") == owner.key.name
        && (owner.key.namespace.is_empty() || owner.key.namespace == dependent.key.namespace)
}

/// What an owner that is there means for who refers to it.
pub(super) fn state(owner: &Value, reference: &Value) -> Owner {
    let foreground =
        json::list(owner, "/metadata/finalizers").iter().any(|f| f.as_str() == Some(FOREGROUND));
    if json::is_deleting(owner) && foreground && json::flag(reference, "/blockOwnerDeletion") {
        Owner::Waiting
    } else {
        Owner::Solid
    }
}

/// What is to be done with an object, given what is known of each of its owners.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Keep,
    /// Take the references to these away.
    Release(BTreeSet<String>),
    /// Delete it with this propagation policy.
    Delete(&'static str),
}

/// Decides; `owners` are in the order of the object's references. `has_waiting_dependents` says whether the object has
/// dependents itself.
pub(super) fn verdict(node: &Node, owners: &[Owner], has_dependents: bool) -> Verdict {
    if node.is_deleting() || owners.is_empty() || owners.contains(&Owner::Unknown) {
        return Verdict::Keep;
    }
    if owners.contains(&Owner::Solid) {
        let others: BTreeSet<String> = node
            .owners()
            .iter()
            .zip(owners)
            .filter(|(_, state)| **state != Owner::Solid)
            .map(|(reference, _)| json::text(reference, "/uid").to_owned())
            .collect();
        return if others.is_empty() { Verdict::Keep } else { Verdict::Release(others) };
    }
    if owners.contains(&Owner::Waiting) && has_dependents {
        return Verdict::Delete("Foreground");
    }
    if node.has_finalizer(ORPHAN) {
        Verdict::Delete("Orphan")
    } else if node.has_finalizer(FOREGROUND) {
        Verdict::Delete("Foreground")
    } else {
        Verdict::Delete("Background")
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::kit::resource::{PODS, REPLICA_SETS};
    use super::*;
    use serde_json::json;

    fn set(extra: &Value) -> Value {
        let mut metadata = json!({ "namespace": "n", "name": "set", "uid": "s" });
        for (key, value) in extra.as_object().expect("an object") {
            metadata[key] = value.clone();
        }
        json!({ "metadata": metadata })
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "a json! literal reads best where it is handed over"
    )]
    fn pod(owners: Value) -> Value {
        json!({ "metadata": { "namespace": "n", "name": "pod", "uid": "p", "ownerReferences": owners } })
    }

    fn reference(uid: &str) -> Value {
        json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "set", "uid": uid, "blockOwnerDeletion": true })
    }

    #[test]
    fn an_owner_that_goes_wakes_its_dependents_and_a_dependent_its_waiting_owner() {
        let mut graph = Graph::default();
        assert!(graph.put(&REPLICA_SETS, set(&json!({}))).is_empty());
        assert_eq!(graph.put(&PODS, pod(json!([reference("s")]))), BTreeSet::from(["p".into()]));
        let going = json!({ "deletionTimestamp": "now", "finalizers": [FOREGROUND] });
        let woken = graph.put(&REPLICA_SETS, set(&going));
        assert_eq!(woken, BTreeSet::from(["p".into(), "s".into()]));
        assert_eq!(graph.remove("p"), BTreeSet::from(["s".into()]));
        assert!(graph.dependents("s").is_empty());
    }

    #[test]
    fn the_uid_decides_not_the_name() {
        let mut graph = Graph::default();
        graph.put(&REPLICA_SETS, set(&json!({})));
        graph.put(&PODS, pod(json!([reference("earlier")])));
        let node = graph.get("p").expect("node");
        assert_eq!(graph.owner(&reference("earlier"), node), Owner::Unknown);
        assert_eq!(graph.owner(&reference("s"), node), Owner::Solid);
        let mut other = reference("s");
        other["name"] = json!("other");
        assert_eq!(graph.owner(&other, node), Owner::Unknown);
    }

    #[test]
    fn verdicts() {
        let mut graph = Graph::default();
        graph.put(&PODS, pod(json!([reference("a"), reference("b")])));
        let node = graph.get("p").expect("node");
        for (owners, has_dependents, expected) in [
            ([Owner::Solid, Owner::Solid], false, Verdict::Keep),
            ([Owner::Solid, Owner::Absent], false, Verdict::Release(BTreeSet::from(["b".into()]))),
            ([Owner::Waiting, Owner::Solid], false, Verdict::Release(BTreeSet::from(["a".into()]))),
            ([Owner::Absent, Owner::Absent], false, Verdict::Delete("Background")),
            ([Owner::Absent, Owner::Waiting], true, Verdict::Delete("Foreground")),
            ([Owner::Absent, Owner::Waiting], false, Verdict::Delete("Background")),
            ([Owner::Absent, Owner::Unknown], false, Verdict::Keep),
        ] {
            assert_eq!(verdict(node, &owners, has_dependents), expected, "{owners:?}");
        }
        assert_eq!(verdict(node, &[], false), Verdict::Keep);
    }
}
