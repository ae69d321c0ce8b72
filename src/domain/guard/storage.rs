//! PURE · rules for claims and volumes: whose data a pod gets to see.

use super::Rule;
use super::look::{At, Look, is_empty, short};
use super::object;

/// Volumes that name storage on the network, or a disk, by its address.
const BY_ADDRESS: [&str; 19] = [
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
];

const CLAIM: &str = "ask for storage by a storage class alone";

pub(super) fn claim_object(look: &mut Look<'_>, root: &At<'_, '_>) {
    if look.is("", "PersistentVolumeClaim") {
        claim(look, root);
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
    }
    claim(look, at);
}

/// A volume of a pod, without what Pod Security says about it.
pub(super) fn volume(look: &mut Look<'_>, volume: &At<'_, '_>) {
    for (kind, source) in volume.members() {
        if BY_ADDRESS.iter().any(|known| *known == kind) || kind == "vsphereVolume" {
            if !source.value.is_null() {
                let message =
                    format!("a volume of type {} names storage by its address", short(kind));
                let hint = "use a PersistentVolumeClaim with a storage class, or an emptyDir";
                look.found(Rule::ForeignStorage, source.pointer(), message, hint);
            }
        }
    }
    if let Some(ephemeral) = look.map(volume, "ephemeral")
        && let Some(template) = look.map(&ephemeral, "volumeClaimTemplate")
        && !is_empty(template.value)
    {
        claim_template(look, &template);
    }
}
