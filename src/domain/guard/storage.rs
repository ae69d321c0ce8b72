//! PURE · rules for claims and volumes: whose data a pod gets to see.

use super::Rule;
use super::look::{At, Look, is_empty, short};
use super::object;

/// Volumes that name storage on the network, or a disk, by its address.
const BY_ADDRESS: [&str; 20] = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
];

const CLAIM: &str = "ask for storage by a storage class alone";

pub(super) fn claim_object(look: &mut Look<'_>, root: &At<'_, '_>) {
    if look.is("", "PersistentVolumeClaim") {
        if let Some(metadata) = look.map(root, "metadata") {
            controllers_notes(look, &metadata);
        }
        claim(look, root);
    }
}

/// What controllers of storage write onto a claim, and believe when they read it.
fn controllers_notes(look: &mut Look<'_>, metadata: &At<'_, '_>) {
    let Some(annotations) = look.map(metadata, "annotations") else { return };
    for (key, value) in annotations.members() {
        let class = key == "volume.beta.kubernetes.io/storage-class";
        let theirs = ["pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/"]
            .iter()
            .any(|domain| key.starts_with(domain));
        if theirs && !(class && value.text().is_some_and(|name| !name.is_empty())) {
            let message = format!("annotation {} is for controllers of storage", short(key));
            look.found(Rule::ForeignStorage, value.pointer(), message, CLAIM);
        }
    }
}

/// A claim, or the template of one: what has `spec` and maybe `metadata`.
pub(super) fn claim(look: &mut Look<'_>, at: &At<'_, '_>) {
    let Some(spec) = look.map(at, "spec") else { return };
    if let Some(name) = spec.get("volumeName")
        && name.text() != Some("")
    {
        let message = "volumeName binds a volume that was made beforehand";
        look.found(Rule::ForeignStorage, name.pointer(), message, CLAIM);
    }
    if let Some(selector) = spec.get("selector") {
        let message = "selector binds a volume that was made beforehand";
        look.found(Rule::ForeignStorage, selector.pointer(), message, CLAIM);
    }
    if look.string(&spec, "storageClassName") == Some("") {
        let message = "an empty storageClassName binds a volume that was made beforehand";
        let hint = "leave storageClassName out, or name a class";
        look.found(Rule::ForeignStorage, spec.pointer_of("storageClassName"), message, hint);
    }
    if let Some(source) = look.map(&spec, "dataSourceRef") {
        object::own_namespace(look, &source, "namespace");
    }
}

/// The template of a claim: a claim with metadata of its own.
pub(super) fn claim_template(look: &mut Look<'_>, at: &At<'_, '_>) {
    if let Some(metadata) = look.map(at, "metadata") {
        object::own_namespace(look, &metadata, "namespace");
        object::marks(look, &metadata);
        controllers_notes(look, &metadata);
    }
    claim(look, at);
}

/// A volume of a pod, without what Pod Security says about it.
pub(super) fn volume(look: &mut Look<'_>, volume: &At<'_, '_>) {
    for (kind, source) in volume.members() {
        if BY_ADDRESS.contains(&kind) && !source.value.is_null() {
            let message = format!("a volume of type {} names storage by its address", short(kind));
            let hint = "use a PersistentVolumeClaim with a storage class, or an emptyDir";
            look.found(Rule::ForeignStorage, source.pointer(), message, hint);
        }
    }
    if let Some(ephemeral) = look.map(volume, "ephemeral")
        && let Some(template) = look.map(&ephemeral, "volumeClaimTemplate")
        && !is_empty(template.value)
    {
        claim_template(look, &template);
    }
}
