//! PURE · the images of a bundle: which there are, where each is asked for, and the bundle with the digests that were
//! found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::domain::bundle::Bundle;
use crate::domain::guard::images::{covers, repository_of};

/// Lists of containers, in a pod's specification or in the template of any kind.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// The registry of names that name none, and where it is asked.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// An image in a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageRef {
    /// As it is called: `ghcr.io`, `localhost:5000`.
    pub registry: String,
    /// Below it: `acme/web`.
    pub repository: String,
    /// The tag, or the digest when there is one.
    pub reference: String,
}

impl ImageRef {
    /// Reads a name as Docker does; `None` when it is none, or has a digest that is no SHA-256.
    #[must_use]
    pub fn parse(image: &str) -> Option<Self> {
        let mut parts = repository_of(image)?;
        let registry = parts.remove(0);
        let reference = if let Some((_, digest)) = image.split_once('@') {
            is_digest(digest).then(|| digest.to_owned())?
        } else {
            let last = image.rfind('/').map_or(image, |at| &image[at + 1..]);
            last.split_once(':').map_or("latest", |(_, tag)| tag).to_owned()
        };
        Some(Self { registry, repository: parts.join("/"), reference })
    }

    /// The host that is asked.
    #[must_use]
    pub fn host(&self) -> &str {
        if self.registry == DOCKER_HUB.0 { DOCKER_HUB.1 } else { &self.registry }
    }

    /// Whether one of the platform team's prefixes covers it.
    #[must_use]
    pub fn is_listed(&self, prefixes: &[String]) -> bool {
        let mut parts = vec![self.registry.clone()];
        parts.extend(self.repository.split('/').map(str::to_owned));
        prefixes.iter().any(|prefix| covers(prefix, &parts))
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if is_digest(&self.reference) { '@' } else { ':' };
        write!(f, "{}/{}{between}{}", self.registry, self.repository, self.reference)
    }
}

/// `sha256:` and 64 hexadecimal digits in lower case.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hash| {
        hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

/// All images of a bundle as they are written, each once, in order.
#[must_use]
pub fn images(bundle: &Bundle) -> Vec<String> {
    let mut found = BTreeSet::new();
    for object in &bundle.objects {
        walk(&object.json, &mut |image| {
            found.insert(image.to_owned());
        });
    }
    found.into_iter().collect()
}

/// The bundle with each image of `digests` (as it is written) at its digest. The tag stays, for people.
#[must_use]
pub fn pinned(bundle: Bundle, digests: &BTreeMap<String, String>) -> Bundle {
    let Bundle { mut objects, inputs_digest, digest: _, random, delete_data } = bundle;
    for object in &mut objects {
        swap(&mut object.json, &|image| {
            let digest = digests.get(image).filter(|_| !image.contains('@'))?;
            Some(format!("{image}@{digest}"))
        });
    }
    Bundle { random, delete_data, ..Bundle::new(objects, inputs_digest) }
}

fn walk(value: &Value, see: &mut dyn FnMut(&str)) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|one| walk(one, see)),
        Value::Object(members) => {
            let is_pod =
                CONTAINERS.iter().any(|list| members.get(*list).is_some_and(Value::is_array));
            for (key, member) in members {
                let field = |one: &Value, see: &mut dyn FnMut(&str)| {
                    if let Some(image) = one.as_str().filter(|image| !image.is_empty()) {
                        see(image);
                    }
                };
                if CONTAINERS.contains(&key.as_str()) {
                    for container in member.as_array().into_iter().flatten() {
                        if let Some(one) = container.get("image") {
                            field(one, see);
                        }
                    }
                } else if is_pod && key == "volumes" {
                    for volume in member.as_array().into_iter().flatten() {
                        let source = volume.get("image").and_then(|one| one.get("reference"));
                        if let Some(one) = source {
                            field(one, see);
                        }
                    }
                } else {
                    walk(member, see);
                }
            }
        }
        _ => {}
    }
}

fn swap(value: &mut Value, to: &dyn Fn(&str) -> Option<String>) {
    let put = |field: Option<&mut Value>| {
        if let Some(field) = field
            && let Some(new) = field.as_str().and_then(to)
        {
            *field = Value::String(new);
        }
    };
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|one| swap(one, to)),
        Value::Object(members) => {
            let is_pod =
                CONTAINERS.iter().any(|list| members.get(*list).is_some_and(Value::is_array));
            for (key, member) in members.iter_mut() {
                if CONTAINERS.contains(&key.as_str()) {
                    for container in member.as_array_mut().into_iter().flatten() {
                        put(container.get_mut("image"));
                    }
                } else if is_pod && key == "volumes" {
                    for volume in member.as_array_mut().into_iter().flatten() {
                        put(volume.get_mut("image").and_then(|one| one.get_mut("reference")));
                    }
                } else {
                    swap(member, to);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::bundle::{BundleObject, Origin, Wave};
    use crate::domain::positions::Positions;

    fn bundle(json: Value) -> Bundle {
        let object = BundleObject {
            json,
            origin: Origin { file: "a.yaml".into(), line: 1 },
            app: "web".into(),
            wave: Wave::Workloads,
            positions: Positions::default(),
        };
        let mut bundle = Bundle::new(vec![object], "inputs".into());
        bundle.delete_data = true;
        bundle
    }

    fn deployment(first: &str, web: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"template": {"spec": {
                "initContainers": [{"name": "a", "image": first}],
                "containers": [{"name": "b", "image": web}, {"name": "c", "image": ""}, {"name": "d"}],
                "volumes": [{"name": "v", "image": {"reference": "ghcr.io/acme/data:1"}}],
            }}},
        })
    }

    #[test]
    fn a_reference_is_read_as_docker_reads_it() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, host, repository, reference) in [
            ("nginx", "registry-1.docker.io", "library/nginx", "latest"),
            ("acme/web:1.2", "registry-1.docker.io", "acme/web", "1.2"),
            ("ghcr.io/acme/web", "ghcr.io", "acme/web", "latest"),
            ("localhost:5000/a/b:x", "localhost:5000", "a/b", "x"),
            (&format!("ghcr.io/acme/web:1@{digest}"), "ghcr.io", "acme/web", digest.as_str()),
        ] {
            let read = ImageRef::parse(image).expect(image);
            assert_eq!(
                (read.host(), read.repository.as_str(), read.reference.as_str()),
                (host, repository, reference)
            );
        }
        for bad in ["", "UPPER/x y", "a/b@sha512:00", "ghcr.io/a b", "ghcr.io/../x"] {
            assert_eq!(ImageRef::parse(bad), None, "{bad:?}");
        }
        let prefixes = ["ghcr.io/acme/".to_owned()];
        assert!(ImageRef::parse("ghcr.io/acme/web").is_some_and(|one| one.is_listed(&prefixes)));
        assert!(!ImageRef::parse("ghcr.io/acmes/web").is_some_and(|one| one.is_listed(&prefixes)));
        assert!(!ImageRef::parse("nginx").is_some_and(|one| one.is_listed(&prefixes)));
    }

    #[test]
    fn every_image_is_found_and_only_named_ones_are_pinned() {
        let before = bundle(deployment("ghcr.io/acme/init:1", "ghcr.io/acme/web:2"));
        assert_eq!(
            images(&before),
            ["ghcr.io/acme/data:1", "ghcr.io/acme/init:1", "ghcr.io/acme/web:2"]
        );
        let digest = format!("sha256:{}", "b".repeat(64));
        let digests = BTreeMap::from([("ghcr.io/acme/web:2".to_owned(), digest.clone())]);
        let after = pinned(before.clone(), &digests);
        let with = format!("ghcr.io/acme/web:2@{digest}");
        let expected = bundle(deployment("ghcr.io/acme/init:1", &with));
        assert_eq!(
            (after.canonical(), after.digest.as_str()),
            (expected.canonical(), expected.digest.as_str())
        );
        assert!(after.delete_data && after.inputs_digest == "inputs");
        assert_eq!(pinned(after.clone(), &digests).digest, after.digest, "once is enough");
        assert_eq!(pinned(before.clone(), &BTreeMap::new()).digest, before.digest);
    }
}
