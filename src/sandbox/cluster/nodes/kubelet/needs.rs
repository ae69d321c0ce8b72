//! ConfigMaps, Secrets and claims that a pod needs before it can start, and what is missing. Pure.

use serde_json::Value;

use super::super::super::controllers::kit::resource::{CLAIMS, CONFIG_MAPS, SECRETS};
use super::super::super::controllers::kit::{Caches, json};

/// Why a volume of the pod can't be mounted, in kubelet's words.
pub(super) fn missing_mount(pod: &Value, caches: &Caches) -> Option<String> {
    let namespace = json::namespace(pod);
    json::list(pod, "/spec/volumes").iter().find_map(|volume| {
        let why = missing_volume(volume, namespace, caches)?;
        let name = json::text(volume, "/name");
        Some(format!("MountVolume.SetUp failed for volume \"{name}\" : {why}"))
    })
}

fn missing_volume(volume: &Value, namespace: &str, caches: &Caches) -> Option<String> {
    let claim = json::text(volume, "/persistentVolumeClaim/claimName");
    if !claim.is_empty() && caches.get(&CLAIMS, namespace, claim).is_none() {
        return Some(format!("persistentvolumeclaim \"{claim}\" not found"));
    }
    let mut sources: Vec<(&Value, &str)> = Vec::new();
    for (source, key) in [("/configMap", "/name"), ("/secret", "/secretName")] {
        sources.extend(volume.pointer(source).map(|s| (s, key)));
    }
    let mut why = None;
    for (source, key) in sources {
        let is_map = key == "/name";
        why = why.or_else(|| missing_source(source, key, is_map, namespace, caches));
    }
    for part in json::list(volume, "/projected/sources") {
        for (source, is_map) in [("/configMap", true), ("/secret", false)] {
            if let Some(source) = part.pointer(source) {
                why = why.or_else(|| missing_source(source, "/name", is_map, namespace, caches));
            }
        }
    }
    why
}

fn missing_source(
    source: &Value,
    key: &str,
    is_map: bool,
    namespace: &str,
    caches: &Caches,
) -> Option<String> {
    if json::flag(source, "/optional") {
        return None;
    }
    let name = json::text(source, key);
    let (resource, word) = if is_map { (&CONFIG_MAPS, "configmap") } else { (&SECRETS, "secret") };
    let Some(found) = caches.get(resource, namespace, name) else {
        return Some(format!("{word} \"{name}\" not found"));
    };
    json::list(source, "/items")
        .iter()
        .map(|item| json::text(item, "/key"))
        .find(|key| !has_key(found, key))
        .map(|key| {
            format!(
                "{word} references non-existent {} key: {key}",
                if is_map { "config" } else { "secret" }
            )
        })
}

fn has_key(object: &Value, key: &str) -> bool {
    ["data", "binaryData", "stringData"]
        .iter()
        .any(|part| object.get(*part).and_then(|d| d.get(key)).is_some())
}

/// Why a container's environment can't be made, in kubelet's words.
pub(super) fn missing_environment(
    pod: &Value,
    container: &Value,
    caches: &Caches,
) -> Option<String> {
    let namespace = json::namespace(pod);
    for source in json::list(container, "/envFrom") {
        for (at, resource, word) in
            [("/configMapRef", &CONFIG_MAPS, "configmap"), ("/secretRef", &SECRETS, "secret")]
        {
            let Some(reference) = source.pointer(at) else { continue };
            let name = json::text(reference, "/name");
            let there = caches.get(resource, namespace, name).is_some();
            if !there && !json::flag(reference, "/optional") {
                return Some(format!("{word} \"{name}\" not found"));
            }
        }
    }
    for variable in json::list(container, "/env") {
        for (at, resource, word, kind) in [
            ("/valueFrom/configMapKeyRef", &CONFIG_MAPS, "configmap", "ConfigMap"),
            ("/valueFrom/secretKeyRef", &SECRETS, "secret", "Secret"),
        ] {
            let Some(reference) = variable.pointer(at) else { continue };
            if json::flag(reference, "/optional") {
                continue;
            }
            let (name, key) = (json::text(reference, "/name"), json::text(reference, "/key"));
            match caches.get(resource, namespace, name) {
                None => return Some(format!("{word} \"{name}\" not found")),
                Some(found) if !has_key(found, key) => {
                    return Some(format!("couldn't find key {key} in {kind} {namespace}/{name}"));
                }
                Some(_) => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn caches() -> Caches {
        let mut caches = Caches::default();
        caches.store_mut(&CONFIG_MAPS).put(json!({ "metadata": { "namespace": "n", "name": "page", "uid": "p" }, "data": { "a": "" } }));
        caches
    }

    fn mount(volume: Value) -> Option<String> {
        let mut volume = volume;
        volume["name"] = json!("v");
        missing_mount(
            &json!({ "metadata": { "namespace": "n" }, "spec": { "volumes": [volume] } }),
            &caches(),
        )
    }

    #[test]
    fn missing_volumes_are_named() {
        let wrong = |why: &str| Some(format!("MountVolume.SetUp failed for volume \"v\" : {why}"));
        for (volume, expected) in [
            (json!({ "configMap": { "name": "page" } }), None),
            (json!({ "configMap": { "name": "no" } }), wrong("configmap \"no\" not found")),
            (json!({ "configMap": { "name": "no", "optional": true } }), None),
            (
                json!({ "configMap": { "name": "page", "items": [{ "key": "b" }] } }),
                wrong("configmap references non-existent config key: b"),
            ),
            (json!({ "secret": { "secretName": "s" } }), wrong("secret \"s\" not found")),
            (
                json!({ "projected": { "sources": [{ "configMap": { "name": "no" } }] } }),
                wrong("configmap \"no\" not found"),
            ),
            (
                json!({ "persistentVolumeClaim": { "claimName": "c" } }),
                wrong("persistentvolumeclaim \"c\" not found"),
            ),
            (json!({ "emptyDir": {} }), None),
        ] {
            assert_eq!(mount(volume.clone()), expected, "{volume}");
        }
    }

    #[test]
    fn missing_environment_is_named() {
        let pod = json!({ "metadata": { "namespace": "n" } });
        for (container, expected) in [
            (json!({ "envFrom": [{ "configMapRef": { "name": "page" } }] }), None),
            (
                json!({ "envFrom": [{ "secretRef": { "name": "s" } }] }),
                Some("secret \"s\" not found"),
            ),
            (
                json!({ "env": [{ "valueFrom": { "configMapKeyRef": { "name": "page", "key": "b" } } }] }),
                Some("couldn't find key b in ConfigMap n/page"),
            ),
            (json!({ "env": [{ "value": "x" }] }), None),
        ] {
            assert_eq!(
                missing_environment(&pod, &container, &caches()).as_deref(),
                expected,
                "{container}"
            );
        }
    }
}
