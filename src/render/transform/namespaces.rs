//! PURE · everything goes to the camp's namespace: one foreign namespace is rewritten, two are refused, and objects that
//! are in no namespace are left out when the platform team says so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::strings::each;
use crate::domain::bundle::{BundleObject, Names, is_cluster_scoped};
use crate::domain::definitions::{self, Definition};
use crate::domain::policy::Namespaces;
use crate::domain::render_inputs::RenderInputs;
use crate::render::{Note, Place, RenderError, place_of};

/// Places of strings that still name the old namespace; the rest is only counted.
const SHOWN: usize = 10;

/// Gives each object its namespace. `kept` has the index of each object and loses those of the ones that are left out.
/// Definitions that the Repository says nothing about are taken out and handed back: what becomes of them depends on the
/// cluster.
pub(crate) fn namespaces(
    objects: &mut Vec<BundleObject>,
    kept: &mut Vec<usize>,
    inputs: &RenderInputs,
    notes: &mut Vec<Note>,
) -> Result<Vec<Definition>, RenderError> {
    let ignored = &inputs.rules.ignored_cluster_scoped;
    leave_out(objects, kept, notes, |object| {
        let Names { group, kind, .. } = object.names();
        let listed = ignored.iter().any(|name| match name.strip_prefix(kind) {
            Some("") => group.is_empty(),
            Some(rest) => !group.is_empty() && rest.strip_prefix('.') == Some(group),
            None => false,
        });
        listed.then(|| {
            format!(
                "{} is left out: it is in no namespace, and the cluster has its own",
                object.identity()
            )
        })
    });
    let definitions: Vec<Definition> = objects.iter().filter_map(Definition::of).collect();
    if !definitions.is_empty() {
        leave_out(objects, kept, &mut Vec::new(), |object| {
            Definition::of(object).map(|_| String::new())
        });
    }
    let own = inputs.namespace.as_str();
    let foreign = foreign_namespace(objects, own)?;
    if let Some((namespace, place)) = &foreign {
        if inputs.rules.namespaces == Namespaces::Refuse {
            let message = format!(
                "namespace {namespace:?} is not this preview's; leave it out of the manifests (isolation.namespaces is \
                 Refuse)"
            );
            return Err(RenderError::Namespaces { place: place.clone(), message });
        }
        let mut message =
            format!("namespace {namespace:?} was replaced by the preview's own in every object");
        let before = objects.len();
        leave_out(objects, kept, &mut Vec::new(), |object| {
            is_namespace(object, namespace).then(String::new)
        });
        if objects.len() < before {
            message.push_str(", and the Namespace object of that name was left out");
        }
        notes.push(Note::at(place.clone(), message));
        let services = services(objects);
        let mut left = Vec::new();
        for object in objects.iter_mut() {
            let cluster = is_cluster(object);
            rewrite(object, namespace, own, cluster);
            in_strings(object, namespace, &services, &mut left);
        }
        tell_left(left, namespace, notes);
    } else {
        leave_out(objects, kept, notes, |object| {
            is_namespace(object, own)
                .then(|| format!("{} is left out: the preview has it already", object.identity()))
        });
    }
    for object in objects.iter_mut() {
        let cluster = is_cluster(object);
        let Some(Value::Object(metadata)) = object.json.get_mut("metadata") else { continue };
        if !cluster {
            metadata.entry("namespace").or_insert_with(|| Value::from(own));
        }
    }
    Ok(definitions::distinct(definitions))
}

/// Takes out the objects for which `why` has a reason, and notes the reason.
fn leave_out(
    objects: &mut Vec<BundleObject>,
    kept: &mut Vec<usize>,
    notes: &mut Vec<Note>,
    why: impl Fn(&BundleObject) -> Option<String>,
) {
    let reasons: Vec<Option<String>> = objects.iter().map(why).collect();
    if reasons.iter().all(Option::is_none) {
        return;
    }
    for (object, reason) in objects.iter().zip(&reasons) {
        if let Some(reason) = reason {
            notes.push(Note::at(place_of(object), reason.clone()));
        }
    }
    let mut stays = reasons.iter().map(Option::is_none);
    objects.retain(|_| stays.next().unwrap_or(true));
    let mut stays = reasons.iter().map(Option::is_none);
    kept.retain(|_| stays.next().unwrap_or(true));
}

fn is_cluster(object: &BundleObject) -> bool {
    let Names { group, kind, .. } = object.names();
    is_cluster_scoped(group, kind)
}

fn is_namespace(object: &BundleObject, name: &str) -> bool {
    let identity = object.names();
    identity.group.is_empty() && identity.kind == "Namespace" && identity.name == name
}

/// The one namespace that is not the camp's; two are refused.
fn foreign_namespace(
    objects: &[BundleObject],
    own: &str,
) -> Result<Option<(String, Place)>, RenderError> {
    let mut found: BTreeMap<String, Place> = BTreeMap::new();
    let mut first: Option<(String, Place)> = None;
    for object in objects {
        let Names { group, kind, namespace, .. } = object.names();
        if namespace.is_empty() || namespace == own || is_cluster_scoped(group, kind) {
            continue;
        }
        let at = object.positions.get("/metadata/namespace").copied();
        let place = at.map_or_else(|| place_of(object), |at| Place::at(&object.origin.file, at));
        first.get_or_insert_with(|| (namespace.to_owned(), place.clone()));
        if !found.contains_key(namespace) {
            found.insert(namespace.to_owned(), place);
        }
    }
    if found.len() < 2 {
        return Ok(first);
    }
    let all: Vec<String> =
        found.iter().take(5).map(|(name, place)| format!("{name:?} ({place})")).collect();
    let more =
        if found.len() > 5 { format!(" and {} more", found.len() - 5) } else { String::new() };
    let place = first.map_or_else(|| Place::file(""), |(_, place)| place);
    let message = format!(
        "the objects name {} namespaces: {}{more}; a preview has one, so leave the namespace out, or render one of them \
         only",
        found.len(),
        all.join(", ")
    );
    Err(RenderError::Namespaces { place, message })
}

/// Replaces the namespace where an object names it: its own, and in references to others.
fn rewrite(object: &mut BundleObject, from: &str, to: &str, cluster: bool) {
    let Value::Object(members) = &mut object.json else { return };
    let is_data =
        matches!(members.get("kind").and_then(Value::as_str), Some("ConfigMap" | "Secret"));
    for (key, member) in members.iter_mut() {
        match key.as_str() {
            "metadata" => {
                if let Some(Value::String(namespace)) = member.get_mut("namespace")
                    && namespace == from
                    && !cluster
                {
                    to.clone_into(namespace);
                }
            }
            "data" | "stringData" | "binaryData" if is_data => {}
            _ => references(member, from, to),
        }
    }
}

/// Every member `namespace`, and selectors of namespaces by name. Gateways are shared and stay where they are.
fn references(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(|one| references(one, from, to)),
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                match (key.as_str(), &mut *member) {
                    ("parentRefs" | "labels" | "annotations", _) => {}
                    ("namespace" | "kubernetes.io/metadata.name", Value::String(text)) => {
                        if text == from {
                            to.clone_into(text);
                        }
                    }
                    ("namespaceSelector", selector) => {
                        if let Some(Value::Array(names)) = selector.get_mut("matchNames") {
                            for name in names.iter_mut().filter(|name| name.as_str() == Some(from))
                            {
                                *name = Value::from(to);
                            }
                        }
                        references(selector, from, to);
                    }
                    _ => references(member, from, to),
                }
            }
        }
        _ => {}
    }
}

/// Names of the bundle's Services.
fn services(objects: &[BundleObject]) -> BTreeSet<String> {
    let of = |object: &BundleObject| {
        let Names { group, kind, name, .. } = object.names();
        (group.is_empty() && kind == "Service").then(|| name.to_owned())
    };
    objects.iter().filter_map(of).collect()
}

/// Places of strings in which a Service is named together with the old namespace.
fn in_strings(
    object: &BundleObject,
    namespace: &str,
    services: &BTreeSet<String>,
    left: &mut Vec<Place>,
) {
    let mut pointer = String::new();
    each(&object.json, &mut pointer, &mut |pointer, text| {
        if names_service(text, namespace, services) {
            let mut at = pointer;
            let position = loop {
                match object.positions.get(at) {
                    Some(position) => break *position,
                    None => at = at.rfind('/').map_or("", |cut| &at[..cut]),
                }
                if at.is_empty() {
                    break object.positions.get("").copied().unwrap_or_default();
                }
            };
            left.push(Place::at(&object.origin.file, position));
        }
    });
}

/// Whether `text` has `<service>.<namespace>` of a Service of the bundle, or `<anything>.<namespace>.svc`.
fn names_service(text: &str, namespace: &str, services: &BTreeSet<String>) -> bool {
    let label = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let needle = format!(".{namespace}");
    text.match_indices(&needle).any(|(at, _)| {
        let after = &text[at + needle.len()..];
        if after.starts_with(label) {
            return false;
        }
        let before = &text[..at];
        let start = before
            .rfind(|c| !label(c))
            .map_or(0, |found| found + before[found..].chars().next().map_or(1, char::len_utf8));
        let service = &before[start..];
        let whole = after.strip_prefix(".svc").is_some_and(|rest| !rest.starts_with(label));
        // `svc.<namespace>` is said of the part before it too.
        !service.is_empty() && (whole || service == "svc" || services.contains(service))
    })
}

fn tell_left(left: Vec<Place>, namespace: &str, notes: &mut Vec<Note>) {
    let more = left.len().saturating_sub(SHOWN);
    for place in left.into_iter().take(SHOWN) {
        let message = format!(
            "this text names a Service in namespace {namespace:?}; texts are not rewritten, so write the Service's name \
             alone, or {{{{env.namespace}}}} in a template"
        );
        notes.push(Note::at(place, message));
    }
    if more > 0 {
        notes.push(Note::new(format!(
            "{more} more texts name a Service in namespace {namespace:?}"
        )));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_by_its_dns_name_only() {
        let services = BTreeSet::from(["api".to_owned()]);
        for yes in [
            "http://api.shop.svc.cluster.local:80/x",
            "other.shop.svc",
            "api.shop",
            "a=1,api.shop:80",
            "ä/api.shop/",
        ] {
            assert!(names_service(yes, "shop", &services), "{yes}");
        }
        for no in [
            "shop",
            "api",
            "other.shop",
            "api.shopping",
            "api.shop-x",
            ".shop",
            "www.shop.example.com",
        ] {
            assert!(!names_service(no, "shop", &services), "{no}");
        }
    }
}
