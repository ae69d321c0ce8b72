//! PURE · `CustomResourceDefinition`s of a commit, which are never applied: they belong to the whole cluster. One that the
//! cluster has already in the same versions is left out; any other is refused.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bundle::{BundleObject, ObjectIdentity};
use super::dns::{is_dns_label, is_dns_subdomain};
use super::document::Position;
use super::finding::{BuildRule, Finding};
use super::render_inputs::ClusterFacts;

/// What a commit says that the cluster should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Definition {
    /// The object.
    pub object: ObjectIdentity,
    /// File that it stands in.
    pub file: String,
    /// Line of it.
    pub line: usize,
    group: String,
    kind: String,
    /// Versions that it serves.
    versions: BTreeSet<String>,
}

impl Definition {
    /// What `object` defines; `None` when it is no definition, or one that no API server would take.
    #[must_use]
    pub fn of(object: &BundleObject) -> Option<Self> {
        let identity = object.identity();
        if identity.group != "apiextensions.k8s.io"
            || identity.kind != "CustomResourceDefinition"
            || object.json.get("apiVersion")? != "apiextensions.k8s.io/v1"
        {
            return None;
        }
        let text = |pointer: &str| object.json.pointer(pointer).and_then(Value::as_str);
        let group = text("/spec/group").filter(|group| is_dns_subdomain(group))?;
        let kind = text("/spec/names/kind")
            .filter(|kind| is_dns_label(&kind.to_ascii_lowercase(), 63) && !kind.contains('.'))?;
        let mut versions = BTreeSet::new();
        for version in object.json.pointer("/spec/versions")?.as_array()? {
            let name = version.get("name")?.as_str().filter(|name| is_dns_label(name, 63))?;
            if version.get("served")?.as_bool()? {
                versions.insert(name.to_owned());
            }
        }
        let file = object.origin.file.clone();
        let line = object.origin.line;
        let (group, kind) = (group.to_owned(), kind.to_owned());
        Some(Self { object: identity, file, line, group, kind, versions })
    }

    /// Why the cluster would not do as it is: `None` when it serves every version of this.
    #[must_use]
    pub fn lacking(&self, cluster: &ClusterFacts) -> Option<String> {
        let Self { object, group, kind, versions, .. } = self;
        let there = cluster.versions_of(group, kind);
        if !there.is_empty() && versions.iter().all(|version| there.contains(version.as_str())) {
            return None;
        }
        let name = &object.name;
        let wanted = list(versions.iter().map(String::as_str));
        Some(if there.is_empty() {
            format!(
                "the cluster has no CustomResourceDefinition {name} ({kind} {wanted}), and a preview may not bring one: \
                 it would belong to the whole cluster"
            )
        } else {
            format!(
                "the cluster has {kind} of {group} in other versions: it serves {}, and {object} says {wanted}",
                list(there.into_iter())
            )
        })
    }

    /// The same as a finding.
    #[must_use]
    pub fn finding(&self, cluster: &ClusterFacts) -> Option<Finding> {
        let message = self.lacking(cluster)?;
        let position = Position { line: self.line, column: 1 };
        let mut finding =
            Finding::of(BuildRule::DefinitionMissing, message).at(&self.file, Some(position));
        finding.column = None;
        finding.object = Some(self.object.to_string());
        Some(finding)
    }

    /// Says that it is left out, because the cluster serves it.
    #[must_use]
    pub fn left_out(&self) -> String {
        format!("{} is left out: the cluster has it already", self.object)
    }

    /// What is told where no cluster can be asked, with the place.
    #[must_use]
    pub fn note_unasked(&self) -> String {
        format!("{}:{}: {}", self.file, self.line, self.unasked())
    }

    fn unasked(&self) -> String {
        let Self { object, group, kind, versions, .. } = self;
        format!(
            "{object} is left out when the cluster serves {kind} of {group} in {} already; otherwise the service \
             refuses the commit",
            list(versions.iter().map(String::as_str))
        )
    }
}

/// What one is left out or refused for, in order and once each.
#[must_use]
pub fn distinct(mut definitions: Vec<Definition>) -> Vec<Definition> {
    definitions.sort();
    definitions.dedup_by(|one, other| one.object == other.object && one.versions == other.versions);
    definitions
}

/// `v1, v2`, at most five.
fn list<'a>(versions: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = versions.collect();
    match all.len() {
        0 => "in no version".to_owned(),
        1..=5 => all.join(", "),
        more => format!("{} and {} more", all[..5].join(", "), more - 5),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::bundle::{Origin, Wave};

    fn definition(versions: &Value) -> Value {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.example.com"},
            "spec": {"group": "example.com", "names": {"kind": "Thing", "plural": "things"}, "versions": versions},
        })
    }

    fn of(json: Value) -> Option<Definition> {
        Definition::of(&BundleObject {
            json,
            origin: Origin { file: "crds/a.yaml".into(), line: 3 },
            app: "web".into(),
            wave: Wave::Config,
            positions: crate::domain::positions::Positions::default(),
        })
    }

    fn serving(versions: &[&str]) -> Definition {
        let all: Vec<Value> =
            versions.iter().map(|name| json!({"name": name, "served": true})).collect();
        of(definition(&json!(all))).expect("a definition")
    }

    fn cluster(api_versions: &[&str]) -> ClusterFacts {
        let api_versions = api_versions.iter().map(|one| (*one).to_owned()).collect();
        ClusterFacts { kubernetes_version: "1.35".into(), api_versions }
    }

    #[test]
    fn what_the_cluster_serves_in_every_version_does() {
        let has = cluster(&["example.com/v1", "example.com/v1/Thing", "example.com/v2/Thing"]);
        assert_eq!(serving(&["v1"]).lacking(&has), None);
        assert_eq!(serving(&["v1", "v2"]).lacking(&has), None);
        assert_eq!(
            serving(&["v1", "v3"]).lacking(&has).expect("lacks v3"),
            "the cluster has Thing of example.com in other versions: it serves v1, v2, and \
             CustomResourceDefinition/things.example.com says v1, v3"
        );
        let none = "the cluster has no CustomResourceDefinition things.example.com (Thing v1), and a preview may not \
                    bring one: it would belong to the whole cluster";
        // The group alone is not the kind, nor is the kind of another group.
        for other in [&[][..], &["example.com/v1"], &["example.org/v1/Thing", "v1/Thing"]] {
            assert_eq!(serving(&["v1"]).lacking(&cluster(other)).expect("lacks it"), none);
        }
    }

    #[test]
    fn versions_that_are_not_served_do_not_count() {
        let versions =
            json!([{"name": "v1", "served": true}, {"name": "v1alpha1", "served": false}]);
        let found = of(definition(&versions)).expect("a definition");
        assert_eq!(found.lacking(&cluster(&["example.com/v1/Thing"])), None);
        assert_eq!(
            found.unasked(),
            "CustomResourceDefinition/things.example.com is left out when the cluster serves Thing of example.com in v1 \
             already; otherwise the service refuses the commit"
        );
    }

    #[test]
    fn what_no_server_would_take_is_no_definition() {
        let fine = definition(&json!([{"name": "v1", "served": true}]));
        assert!(of(fine.clone()).is_some());
        for (pointer, value) in [
            ("/apiVersion", json!("apiextensions.k8s.io/v1beta1")),
            ("/kind", json!("ConfigMap")),
            ("/spec", json!({})),
            ("/spec/group", json!("x\u{202e}y")),
            ("/spec/names/kind", json!("Thing\n")),
            ("/spec/versions", json!({})),
            ("/spec/versions/0", json!({"name": "v1"})),
            ("/spec/versions/0/name", json!("v 1")),
        ] {
            let mut odd = fine.clone();
            *odd.pointer_mut(pointer).expect("is there") = value;
            assert_eq!(of(odd), None, "{pointer}");
        }
    }

    #[test]
    fn the_finding_names_rule_and_place() {
        let finding = serving(&["v1"]).finding(&cluster(&[])).expect("a finding");
        assert_eq!((finding.rule, finding.name), ("BR016", "definition-missing"));
        assert_eq!(finding.place(), "crds/a.yaml:3");
        assert!(finding.hint.contains("platform team"), "{}", finding.hint);
    }

    #[test]
    fn one_that_two_apps_bring_is_told_once() {
        let twice = vec![serving(&["v1"]), serving(&["v2"]), serving(&["v1"])];
        assert_eq!(distinct(twice), [serving(&["v1"]), serving(&["v2"])]);
    }
}
