//! `PersistentVolumeClaims` are bound to volumes made for them; volumes of claims that are gone go too. Pure.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::kit::resource::{CLAIMS, VOLUMES};
use super::kit::{Action, Caches, Controller, Event, Key, Resource, json};

/// The controller of volumes. Keys are claims.
pub(super) struct Volumes;

const PROVISIONER: &str = "sandbox.bivouac.dev/memory";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

impl Controller for Volumes {
    fn name(&self) -> &'static str {
        "persistentvolume-controller"
    }

    fn watches(&self) -> Vec<&'static Resource> {
        vec![&CLAIMS, &VOLUMES]
    }

    fn keys(&self, resource: &Resource, object: &Value, _caches: &Caches) -> Vec<Key> {
        if *resource == CLAIMS {
            return vec![Key::of(object)];
        }
        let namespace = json::text(object, "/spec/claimRef/namespace");
        let name = json::text(object, "/spec/claimRef/name");
        if name.is_empty() { Vec::new() } else { vec![Key::new(namespace, name)] }
    }

    fn reconcile(&self, key: &Key, caches: &Caches, _now: DateTime<Utc>) -> Vec<Action> {
        let claim = caches.get(&CLAIMS, &key.namespace, &key.name);
        let mut actions = Vec::new();
        for volume in caches.all(&VOLUMES) {
            let reference = volume.pointer("/spec/claimRef").unwrap_or(&Value::Null);
            let of_key = json::text(reference, "/namespace") == key.namespace
                && json::text(reference, "/name") == key.name;
            let uid = json::text(reference, "/uid");
            if of_key && !uid.is_empty() && claim.is_none_or(|c| json::uid(c) != uid) {
                actions.extend(release(volume));
            }
        }
        if let Some(claim) = claim.filter(|c| !json::is_deleting(c)) {
            actions.extend(bind(claim, caches));
        }
        actions
    }
}

/// The claim of a volume is gone.
fn release(volume: &Value) -> Option<Action> {
    if json::is_deleting(volume) {
        return None;
    }
    if json::text(volume, "/spec/persistentVolumeReclaimPolicy") == "Delete"
        && json::annotation(volume, PROVISIONED_BY) == Some(PROVISIONER)
    {
        return Some(Action::delete(&VOLUMES, volume));
    }
    let mut status = volume.get("status").cloned().unwrap_or_else(|| json!({}));
    json::set(&mut status, &["phase"], "Released".into());
    Action::status(&VOLUMES, volume, status)
}

fn bind(claim: &Value, caches: &Caches) -> Vec<Action> {
    let asked = json::text(claim, "/spec/volumeName");
    let name = match asked {
        "" => format!("pvc-{}", json::uid(claim)),
        asked => asked.to_owned(),
    };
    let Some(volume) = caches.get(&VOLUMES, "", &name) else {
        if asked.is_empty() || asked == format!("pvc-{}", json::uid(claim)) {
            let message = format!("Successfully provisioned volume {name}");
            return vec![
                Action::Create(&VOLUMES, volume_for(claim, &name)),
                Event::normal(claim, "ProvisioningSucceeded", message),
            ];
        }
        // A volume asked for by name that isn't there: the claim stays pending, as on a real cluster.
        return pending(claim).into_iter().collect();
    };
    let holder = json::text(volume, "/spec/claimRef/uid");
    if !holder.is_empty() && holder != json::uid(claim) {
        return pending(claim).into_iter().collect();
    }
    let mut actions = Vec::new();
    if holder.is_empty() {
        let patch = json!({ "spec": { "claimRef": reference(claim) } });
        actions.push(Action::Patch(&VOLUMES, volume.as_ref().clone(), patch));
    }
    if json::text(volume, "/status/phase") != "Bound" && !holder.is_empty() {
        actions.extend(Action::status(&VOLUMES, volume, json!({ "phase": "Bound" })));
    }
    if json::text(claim, "/spec/volumeName").is_empty() {
        let patch = json!({
            "metadata": { "annotations": {
                "pv.kubernetes.io/bind-completed": "yes",
                "pv.kubernetes.io/bound-by-controller": "yes",
                "volume.kubernetes.io/storage-provisioner": PROVISIONER,
            } },
            "spec": { "volumeName": name },
        });
        actions.push(Action::Patch(&CLAIMS, claim.clone(), patch));
        // The status follows when the claim has come back with its volume.
        return actions;
    }
    let status = json!({
        "phase": "Bound",
        "accessModes": claim.pointer("/spec/accessModes"),
        "capacity": { "storage": volume.pointer("/spec/capacity/storage") },
    });
    if json::text(claim, "/status/phase") != "Bound" {
        actions.extend(Action::status(&CLAIMS, claim, status));
    }
    actions
}

fn pending(claim: &Value) -> Option<Action> {
    if json::text(claim, "/status/phase") == "Pending" {
        return None;
    }
    Action::status(&CLAIMS, claim, json!({ "phase": "Pending" }))
}

fn reference(claim: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": json::namespace(claim),
        "name": json::name(claim),
        "uid": json::uid(claim),
    })
}

fn volume_for(claim: &Value, name: &str) -> Value {
    let storage = json::text(claim, "/spec/resources/requests/storage");
    let mut spec = json!({
        "capacity": { "storage": if storage.is_empty() { "1Gi" } else { storage } },
        "accessModes": claim.pointer("/spec/accessModes").cloned().unwrap_or_else(|| json!(["ReadWriteOnce"])),
        "claimRef": reference(claim),
        "persistentVolumeReclaimPolicy": "Delete",
        "volumeMode": claim.pointer("/spec/volumeMode").cloned().unwrap_or_else(|| json!("Filesystem")),
        "hostPath": { "path": format!("/var/lib/sandbox/{name}"), "type": "" },
    });
    if let Some(class) = claim.pointer("/spec/storageClassName") {
        json::set(&mut spec, &["storageClassName"], class.clone());
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": { "name": name, "annotations": { (PROVISIONED_BY): PROVISIONER } },
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_bound_in_a_few_steps_and_its_volume_goes_with_it() {
        let mut caches = Caches::default();
        caches.store_mut(&CLAIMS).put(json!({
            "metadata": { "name": "data", "namespace": "n", "uid": "c" },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "2Gi" } } },
        }));
        let key = Key::new("n", "data");
        let mut rounds = 0;
        loop {
            let actions = Volumes.reconcile(&key, &caches, DateTime::UNIX_EPOCH);
            if actions.is_empty() {
                break;
            }
            rounds += 1;
            assert!(rounds < 10, "{actions:?}");
            for action in actions {
                match action {
                    Action::Create(r, o) | Action::ReplaceStatus(r, o) => {
                        caches.store_mut(r).put(o);
                    }
                    Action::Patch(r, mut o, patch) => {
                        json::set(
                            &mut o,
                            &["spec", "volumeName"],
                            patch["spec"]["volumeName"].clone(),
                        );
                        caches.store_mut(r).put(o);
                    }
                    _ => {}
                }
            }
        }
        let claim = caches.get(&CLAIMS, "n", "data").expect("there").clone();
        assert_eq!(claim["status"]["phase"], "Bound");
        assert_eq!(claim["status"]["capacity"]["storage"], "2Gi");
        assert_eq!(caches.get(&VOLUMES, "", "pvc-c").expect("made")["status"]["phase"], "Bound");
        caches.store_mut(&CLAIMS).remove(&claim);
        let actions = Volumes.reconcile(&key, &caches, DateTime::UNIX_EPOCH);
        assert!(matches!(actions.as_slice(), [Action::Delete(..)]), "{actions:?}");
    }
}
