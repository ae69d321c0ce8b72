//! PURE · passwords that a chart drew at random stay what they were when the chart is rendered again: a database that
//! was set up with the first one knows no other.

use serde_json::Value;

use super::bundle::{Bundle, BundleObject, RandomField, sha256_hex};

/// Gives each value of a Secret that was drawn at random in `bundle` the value that the same object has in `before`.
///
/// Other random fields (a time, a checksum of a password) keep what was drawn: they say nothing that anybody has to know
/// again. What `before` lacks is drawn now.
#[must_use]
pub fn carry_over(mut bundle: Bundle, before: &Bundle) -> Bundle {
    let kept: Vec<(usize, &str, Value)> = bundle
        .random
        .iter()
        .filter(|field| is_secret_value(field))
        .filter_map(|field| {
            let of = |objects: &[BundleObject]| {
                objects.iter().position(|object| object.identity() == field.object)
            };
            let old = before.objects.get(of(&before.objects)?)?;
            let value = old.json.pointer(&field.pointer)?.clone();
            Some((of(&bundle.objects)?, field.pointer.as_str(), value))
        })
        .collect();
    for (index, pointer, value) in kept {
        if let Some(place) =
            bundle.objects.get_mut(index).and_then(|object| object.json.pointer_mut(pointer))
        {
            *place = value;
        }
    }
    bundle.digest = sha256_hex(bundle.canonical().as_bytes());
    bundle
}

/// Whether a new bundle has anything to carry over.
#[must_use]
pub fn has_random_secrets(bundle: &Bundle) -> bool {
    bundle.random.iter().any(is_secret_value)
}

/// One value of a Secret: `/data/password`, not `/data` and nothing below a value.
fn is_secret_value(field: &RandomField) -> bool {
    let key = ["/data/", "/stringData/"].iter().find_map(|map| field.pointer.strip_prefix(map));
    field.object.group.is_empty()
        && field.object.kind == "Secret"
        && key.is_some_and(|key| !key.is_empty() && !key.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::bundle::{Origin, Wave};
    use crate::domain::positions::Positions;
    use serde_json::json;

    fn bundle(password: &str, drawn_at: &str, random: &[(&str, &str, &str)]) -> Bundle {
        let object = |json: Value| BundleObject {
            json,
            origin: Origin { file: "chart/templates/secret.yaml".into(), line: 1 },
            app: "web".into(),
            wave: Wave::Config,
            positions: Positions::default(),
        };
        let objects = vec![
            object(json!({
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "db", "namespace": "camp", "annotations": {"drawn": drawn_at}},
                "data": {"password": password, "user": "YWRtaW4="},
                "stringData": {"url": format!("postgres://admin:{password}@db")},
            })),
            object(json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "db", "namespace": "camp"},
                "data": {"password": password},
            })),
        ];
        let mut bundle = Bundle::new(objects, "inputs".into());
        bundle.random = random
            .iter()
            .map(|(kind, name, pointer)| {
                let object = bundle.objects.iter().map(BundleObject::identity);
                let mut object = object
                    .into_iter()
                    .find(|object| object.kind == *kind)
                    .expect("an object of that kind");
                object.name = (*name).to_owned();
                RandomField { object, pointer: (*pointer).to_owned() }
            })
            .collect();
        bundle
    }

    fn secret(bundle: &Bundle) -> &Value {
        let found = bundle.objects.iter().find(|object| object.identity().kind == "Secret");
        &found.expect("a Secret").json
    }

    #[test]
    fn a_password_stays_and_the_digest_tells_what_is_in_the_bundle() {
        let random = [
            ("Secret", "db", "/data/password"),
            ("Secret", "db", "/stringData/url"),
            ("Secret", "db", "/metadata/annotations/drawn"),
        ];
        let (old, new) = (bundle("old", "monday", &random), bundle("new", "tuesday", &random));
        let carried = carry_over(new.clone(), &old);
        assert_eq!(secret(&carried)["data"]["password"], "old");
        assert_eq!(secret(&carried)["stringData"]["url"], "postgres://admin:old@db");
        assert_eq!(secret(&carried)["metadata"]["annotations"]["drawn"], "tuesday");
        assert_eq!(carried.digest, sha256_hex(carried.canonical().as_bytes()));
        assert_ne!(carried.digest, new.digest);
        assert_eq!(carried.random, new.random);
    }

    #[test]
    fn what_was_written_and_not_drawn_changes_as_it_was_written() {
        let (old, new) = (bundle("old", "monday", &[]), bundle("new", "monday", &[]));
        assert_eq!(carry_over(new.clone(), &old), new);
        // A ConfigMap is no Secret, another object is another, and what was not there can't stay.
        for random in [
            ("ConfigMap", "db", "/data/password"),
            ("Secret", "other", "/data/password"),
            ("Secret", "db", "/data/fresh"),
            ("Secret", "db", "/data"),
            ("Secret", "db", "/data/"),
        ] {
            let new = bundle("new", "monday", &[random]);
            assert_eq!(carry_over(new.clone(), &old), new, "{random:?}");
        }
    }

    #[test]
    fn only_values_of_secrets_are_worth_reading_the_old_bundle_for() {
        assert!(has_random_secrets(&bundle("x", "y", &[("Secret", "db", "/stringData/url")])));
        for random in [("ConfigMap", "db", "/data/a"), ("Secret", "db", "/metadata/labels/a")] {
            assert!(!has_random_secrets(&bundle("x", "y", &[random])), "{random:?}");
        }
    }
}
