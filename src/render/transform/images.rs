//! PURE · `images` of an app: replaces images by name in every pod template of its objects, wherever it is.

use serde_json::Value;

use crate::domain::bundle::BundleObject;
use crate::domain::preview_file::{App, PREVIEW_FILE};
use crate::render::{Note, Place, RenderError, strings};

/// Lists of containers, in a pod's specification or in the template of any kind, also one that nobody heard of.
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Replaces images in the objects of `app`. An entry that matched nothing is a note.
pub(crate) fn images(
    objects: &mut [BundleObject],
    app: &App,
    index: usize,
    context: &Value,
    notes: &mut Vec<Note>,
) -> Result<(), RenderError> {
    for rule in &app.images {
        let what = format!("apps[{index}].images[{:?}]", rule.name);
        let place = || Place::at(PREVIEW_FILE, rule.position);
        let to = strings::fill(&rule.to, context, &what, rule.position)?;
        let image = whole(&rule.name, &to).ok_or_else(|| RenderError::PreviewFile {
            place: place(),
            message: format!("{what} must give a tag, a digest (sha256:…) or another image"),
        })?;
        let mut replaced = 0;
        for object in objects.iter_mut().filter(|object| object.app == app.name) {
            replaced += replace(&mut object.json, &rule.name, &image);
        }
        if replaced == 0 {
            let message = format!("{what} matches no image of the app {:?}", app.name);
            notes.push(Note::at(place(), message));
        }
    }
    Ok(())
}

/// The image that `name` becomes.
fn whole(name: &str, to: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if to.is_empty() || to.len() > 512 || !to.chars().all(plain) {
        return None;
    }
    if let Some(digest) = to.strip_prefix("sha256:") {
        let hex = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        return hex.then(|| format!("{name}@{to}"));
    }
    if to.contains(['/', ':', '@']) {
        return Some(to.to_owned());
    }
    let begins = to.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    (to.len() <= 128 && begins).then(|| format!("{name}:{to}"))
}

/// The image without tag and digest.
fn name_of(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        // A colon before the last slash is the registry's port.
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

fn replace(value: &mut Value, name: &str, image: &str) -> usize {
    match value {
        Value::Array(elements) => elements.iter_mut().map(|one| replace(one, name, image)).sum(),
        Value::Object(members) => {
            let mut count = 0;
            let is_pod =
                CONTAINERS.iter().any(|list| members.get(*list).is_some_and(Value::is_array));
            for (key, member) in members.iter_mut() {
                if let (true, Some(list)) =
                    (CONTAINERS.contains(&key.as_str()), member.as_array_mut())
                {
                    for container in list {
                        count +=
                            container.get_mut("image").map_or(0, |field| swap(field, name, image));
                    }
                } else if let (true, "volumes", Some(list)) =
                    (is_pod, key.as_str(), member.as_array_mut())
                {
                    for volume in list {
                        let source =
                            volume.get_mut("image").and_then(|one| one.get_mut("reference"));
                        count += source.map_or(0, |field| swap(field, name, image));
                    }
                } else {
                    count += replace(member, name, image);
                }
            }
            count
        }
        _ => 0,
    }
}

fn swap(field: &mut Value, name: &str, image: &str) -> usize {
    match field {
        Value::String(text) if name_of(text) == name => {
            image.clone_into(text);
            1
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_a_tag_a_digest_or_another_image() {
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(whole("a/b", "v1").as_deref(), Some("a/b:v1"));
        assert_eq!(whole("a/b", &digest), Some(format!("a/b@{digest}")));
        assert_eq!(whole("a/b", "c/d:2").as_deref(), Some("c/d:2"));
        assert_eq!(whole("a/b", "redis:7").as_deref(), Some("redis:7"));
        for bad in ["", "-x", "a b", "sha256:00", "x\n", &"x".repeat(129)] {
            assert_eq!(whole("a/b", bad), None, "{bad}");
        }
    }

    #[test]
    fn the_name_of_an_image_ends_before_its_tag_and_not_before_its_port() {
        for (image, name) in [
            ("nginx", "nginx"),
            ("nginx:1", "nginx"),
            ("localhost:5000/web", "localhost:5000/web"),
            ("localhost:5000/web:1@sha256:00", "localhost:5000/web"),
        ] {
            assert_eq!(name_of(image), name);
        }
    }

    #[test]
    fn images_are_replaced_in_every_pod_wherever_it_is() {
        let pod = json!({
            "containers": [{"image": "web:old"}, {"image": "other:1"}, {"name": "no image"}],
            "initContainers": [{"image": "web"}],
            "ephemeralContainers": [{"image": "web@sha256:00"}],
            "volumes": [{"image": {"reference": "web:2"}}],
        });
        for mut object in [
            json!({"kind": "Pod", "spec": pod}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": pod}}}),
            json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}}),
            json!({"kind": "Rollout", "spec": {"steps": [{"podTemplate": {"spec": pod}}]}}),
        ] {
            assert_eq!(replace(&mut object, "web", "web:new"), 4, "{object}");
            let text = object.to_string();
            assert_eq!((text.matches("web:new").count(), text.matches("other:1").count()), (4, 1));
        }
        // What only looks like an image is left alone.
        let mut map = json!({"kind": "ConfigMap", "data": {"image": "web:old"}});
        assert_eq!(replace(&mut map, "web", "web:new"), 0);
    }
}
