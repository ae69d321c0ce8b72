//! Every kind that is served now: the built-in catalogue and what definitions of custom resources add. No I/O.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::cel::Rules;
use super::convert::storage_group;
use super::schema::{Catalogue, Kind, Schema};
use super::status::GroupResource;

/// One version of one kind, as it is served.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) kind: Arc<Kind>,
    pub(crate) custom: Option<Custom>,
}

/// What only custom kinds have.
#[derive(Clone, Debug)]
pub(crate) struct Custom {
    /// The version's part of the definition: printer columns, scale paths, selectable fields.
    pub(crate) version: Arc<Value>,
    /// The CEL rules of its schema.
    pub(crate) rules: Arc<Rules>,
}

impl Served {
    /// Where its objects are stored.
    pub(crate) fn resource(&self) -> GroupResource {
        let kind = &self.kind;
        GroupResource::new(storage_group(&kind.group, &kind.plural), &kind.plural)
    }

    /// `columns` of the definition, when it has some.
    pub(crate) fn columns(&self) -> Option<&Value> {
        self.custom
            .as_ref()
            .map(|custom| &custom.version["additionalPrinterColumns"])
            .filter(|columns| columns.is_array())
    }
}

/// All kinds.
#[derive(Debug)]
pub(crate) struct Kinds {
    builtin: Vec<Served>,
    /// By name of the definition.
    custom: BTreeMap<String, Vec<Served>>,
}

impl Kinds {
    pub(crate) fn new() -> Self {
        let builtin = Catalogue::builtin()
            .kinds()
            // There is nothing behind it that could be reported on.
            .filter(|kind| kind.plural != "componentstatuses")
            .map(|kind| Served { kind: Arc::clone(kind), custom: None })
            .collect();
        Self { builtin, custom: BTreeMap::new() }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Served> {
        self.builtin.iter().chain(self.custom.values().flatten())
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Served> {
        self.all().find(|served| {
            let kind = &served.kind;
            kind.group == group && kind.version == version && kind.plural == plural
        })
    }

    /// Groups in order, each with its versions, the preferred first.
    pub(crate) fn groups(&self) -> Vec<(&str, Vec<&str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for served in self.all() {
            let (group, version) = (served.kind.group.as_str(), served.kind.version.as_str());
            match groups.iter_mut().find(|(name, _)| *name == group) {
                Some((_, versions)) if versions.contains(&version) => {}
                Some((_, versions)) => versions.push(version),
                None => groups.push((group, vec![version])),
            }
        }
        for (_, versions) in &mut groups {
            versions.sort_by(|a, b| by_priority(a, b));
        }
        groups
    }

    /// The kinds of one group and version.
    pub(crate) fn of<'k>(
        &'k self,
        group: &'k str,
        version: &'k str,
    ) -> impl Iterator<Item = &'k Served> {
        self.all().filter(move |s| s.kind.group == group && s.kind.version == version)
    }

    /// The versions that a definition serves; an empty list takes the kind away.
    pub(crate) fn set_custom(&mut self, definition: &str, served: Vec<Served>) {
        if served.is_empty() {
            self.custom.remove(definition);
        } else {
            self.custom.insert(definition.to_owned(), served);
        }
    }
}

/// The served versions of a definition (whose defaults are filled in).
pub(crate) fn versions_of(definition: &Value) -> Vec<Served> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| {
        value
            .as_array()
            .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default()
    };
    let spec = &definition["spec"];
    let names = &spec["names"];
    let (group, kind) = (text(&spec["group"]), text(&names["kind"]));
    spec["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|version| version["served"] == true)
        .map(|version| {
            let name = text(&version["name"]);
            let schema =
                Schema::custom(&group, &name, &kind, &version["schema"]["openAPIV3Schema"]);
            let subresources = ["scale", "status"]
                .into_iter()
                .filter(|sub| version["subresources"][*sub].is_object())
                .map(str::to_owned)
                .collect();
            Served {
                kind: Arc::new(Kind {
                    group: group.clone(),
                    version: name,
                    kind: kind.clone(),
                    plural: text(&names["plural"]),
                    singular: names["singular"]
                        .as_str()
                        .map_or_else(|| kind.to_lowercase(), str::to_owned),
                    short_names: texts(&names["shortNames"]),
                    categories: texts(&names["categories"]),
                    namespaced: spec["scope"] == "Namespaced",
                    subresources,
                    schema: Arc::new(schema),
                }),
                custom: Some(Custom {
                    version: Arc::new(version.clone()),
                    rules: Arc::new(Rules::compile(&version["schema"]["openAPIV3Schema"])),
                }),
            }
        })
        .collect()
}

/// Kubernetes' order of versions: v2, v1, v2beta1, v1beta2, v1alpha1, then the rest by name.
pub(crate) fn by_priority(a: &str, b: &str) -> Ordering {
    let rank = |version: &str| -> Option<(u8, u32, u32)> {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major = rest[..digits].parse().ok()?;
        let (stage, minor) = match &rest[digits..] {
            "" => (2, 0),
            tail if tail.starts_with("beta") => (1, tail[4..].parse().ok()?),
            tail if tail.starts_with("alpha") => (0, tail[5..].parse().ok()?),
            _ => return None,
        };
        Some((stage, major, minor))
    };
    match (rank(a), rank(b)) {
        (Some(one), Some(two)) => two.cmp(&one),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_kubernetes_orders_them() {
        let mut versions = ["v1alpha1", "foo", "v1beta2", "v10", "v1", "v2beta1", "v2"];
        versions.sort_by(|a, b| by_priority(a, b));
        assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo"]);
    }
}
