//! PURE · which Secrets and ConfigMaps a pod reads.

use super::Rule;
use super::look::{At, Look};
use super::object::is_reserved;

/// The one object of the service that is there to be read.
const PUBLIC: &str = "bivouac-env";

pub(super) fn pod(look: &mut Look<'_>, spec: &At<'_, '_>) {
    for pull in look.maps(spec, "imagePullSecrets") {
        secret(look, &pull, "name");
    }
}

pub(super) fn container(look: &mut Look<'_>, container: &At<'_, '_>) {
    for source in look.maps(container, "envFrom") {
        if let Some(reference) = look.map(&source, "secretRef") {
            secret(look, &reference, "name");
        }
        if let Some(reference) = look.map(&source, "configMapRef") {
            config_map(look, &reference);
        }
    }
    for variable in look.maps(container, "env") {
        let Some(from) = look.map(&variable, "valueFrom") else { continue };
        if let Some(reference) = look.map(&from, "secretKeyRef") {
            secret(look, &reference, "name");
        }
        if let Some(reference) = look.map(&from, "configMapKeyRef") {
            config_map(look, &reference);
        }
    }
}

pub(super) fn volume(look: &mut Look<'_>, volume: &At<'_, '_>) {
    if let Some(source) = look.map(volume, "secret") {
        secret(look, &source, "secretName");
    }
    if let Some(source) = look.map(volume, "configMap") {
        config_map(look, &source);
    }
    if let Some(driver) = look.map(volume, "csi")
        && let Some(reference) = look.map(&driver, "nodePublishSecretRef")
    {
        secret(look, &reference, "name");
    }
    if let Some(projected) = look.map(volume, "projected") {
        for source in look.maps(&projected, "sources") {
            if let Some(reference) = look.map(&source, "secret") {
                secret(look, &reference, "name");
            }
            if let Some(reference) = look.map(&source, "configMap") {
                config_map(look, &reference);
            }
        }
    }
}

/// What a ServiceAccount names.
pub(super) fn account(look: &mut Look<'_>, root: &At<'_, '_>) {
    for list in ["imagePullSecrets", "secrets"] {
        for named in look.maps(root, list) {
            secret(look, &named, "name");
        }
    }
}

/// A field of a kind that nobody knows, whose name speaks of a secret.
pub(super) fn named_secret(look: &mut Look<'_>, value: &At<'_, '_>) {
    let name = value.text().or_else(|| value.get("name").and_then(|name| name.text()));
    if name.is_some_and(is_reserved) {
        let message = "Secrets of this name are the service's own";
        look.found(Rule::ReservedReference, value.pointer(), message, "name a Secret of your own");
    }
}

fn secret(look: &mut Look<'_>, at: &At<'_, '_>, key: &'static str) {
    if look.string(at, key).is_some_and(is_reserved) {
        let message = "Secrets of this name are the service's own";
        look.found(
            Rule::ReservedReference,
            at.pointer_of(key),
            message,
            "name a Secret of your own",
        );
    }
}

fn config_map(look: &mut Look<'_>, at: &At<'_, '_>) {
    if look.string(at, "name").is_some_and(|name| is_reserved(name) && name != PUBLIC) {
        let message = "ConfigMaps of this name are the service's own, but for bivouac-env";
        let hint = "name a ConfigMap of your own";
        look.found(Rule::ReservedReference, at.pointer_of("name"), message, hint);
    }
}
