//! Kinds and their schemas: built-in ones from `k8s-openapi`, custom ones from a `CustomResourceDefinition`. In: types or
//! JSON; out: one [`Schema`] that validates, prunes and defaults objects. No I/O.

mod builtin;
mod catalogue;
mod defaulting;
mod fields;
mod kinds;
mod node;
mod openapi;
mod problem;
mod validate;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

pub use catalogue::{Catalogue, Kind};
pub use fields::duplicate_fields;
pub use node::{ANYTHING, Additional, Limits, ListType, Logic, Node, Rule, Type};
pub use openapi::openapi_document;
pub use problem::{Class, Problem};

/// What happens to unknown and duplicate fields (`?fieldValidation=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Dropped, nothing said.
    Ignore,
    /// Dropped, with a warning each.
    #[default]
    Warn,
    /// Refused.
    Strict,
}

impl FieldValidation {
    /// Reads the query parameter; `None` for a word that is not one of the three.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "Ignore" => Some(Self::Ignore),
            "Warn" | "" => Some(Self::Warn),
            "Strict" => Some(Self::Strict),
            _ => None,
        }
    }
}

/// The schema of a kind. Built when it is first asked for.
#[derive(Debug)]
pub struct Schema {
    source: Source,
    built: OnceLock<Built>,
}

#[derive(Debug)]
enum Source {
    Builtin(builtin::Generate),
    Custom { open_api: Value, gvk: [String; 3] },
}

#[derive(Debug)]
struct Built {
    /// Every definition, as JSON in Kubernetes' `OpenAPI` v3 form.
    definitions: Map<String, Value>,
    root: String,
    nodes: BTreeMap<String, Node>,
}

impl Schema {
    fn of_builtin(generate: builtin::Generate) -> Self {
        Self { source: Source::Builtin(generate), built: OnceLock::new() }
    }

    /// The schema of one version of a custom resource, from its `openAPIV3Schema`.
    #[must_use]
    pub fn custom(group: &str, version: &str, kind: &str, open_api: &Value) -> Self {
        Self {
            source: Source::Custom {
                open_api: open_api.clone(),
                gvk: [group.to_owned(), version.to_owned(), kind.to_owned()],
            },
            built: OnceLock::new(),
        }
    }

    /// Whether this is a custom resource's schema: its unknown fields are pruned by rule, its bounds are enforced.
    #[must_use]
    pub fn is_custom(&self) -> bool {
        matches!(self.source, Source::Custom { .. })
    }

    fn built(&self) -> &Built {
        self.built.get_or_init(|| {
            let (root, definitions) = match &self.source {
                Source::Builtin(generate) => builtin::definitions(*generate),
                Source::Custom { open_api, gvk } => custom_definitions(open_api, gvk),
            };
            let nodes = definitions
                .iter()
                .map(|(name, schema)| (name.clone(), builtin::node(name, schema)))
                .collect();
            Built { definitions, root, nodes }
        })
    }

    /// The node of the whole object.
    #[must_use]
    pub fn root(&self) -> &Node {
        let built = self.built();
        built.nodes.get(&built.root).unwrap_or(&ANYTHING)
    }

    /// The name of the root's definition, as `io.k8s.api.apps.v1.Deployment`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.built().root
    }

    /// All definitions that the root needs, itself too, by name.
    #[must_use]
    pub fn definitions(&self) -> &Map<String, Value> {
        &self.built().definitions
    }

    /// The node that `node` stands for: itself, or what it refers to.
    #[must_use]
    pub fn resolve<'s>(&'s self, node: &'s Node) -> &'s Node {
        match &node.reference {
            Some(name) => self.built().nodes.get(name).unwrap_or(&ANYTHING),
            None => node,
        }
    }

    /// The node of the member `key` of an object, resolved; whether it is a named field.
    #[must_use]
    pub fn member<'s>(&'s self, node: &'s Node, key: &str) -> (&'s Node, bool) {
        if let Some(field) = node.properties.get(key) {
            return (self.resolve(field), true);
        }
        match &node.additional {
            Additional::Schema(node) => (self.resolve(node), false),
            Additional::None | Additional::Any => (&ANYTHING, false),
        }
    }

    /// The node of the items of a list, resolved.
    #[must_use]
    pub fn item<'s>(&'s self, node: &'s Node) -> &'s Node {
        node.items.as_deref().map_or(&ANYTHING, |items| self.resolve(items))
    }

    /// What is wrong with `object`: wrong types ([`Class::Decode`]: 400), unknown fields
    /// ([`Class::UnknownField`]: none when ignored), and values that are not allowed (422).
    #[must_use]
    pub fn validate(&self, object: &Value, fields: FieldValidation) -> Vec<Problem> {
        let mut problems = Vec::new();
        if fields != FieldValidation::Ignore {
            problems.extend(self.unknown_fields(object));
        }
        if self.is_custom() {
            problems.extend(validate::validate(self, object));
        } else {
            let decode = fields::decode(self, object);
            let readable = decode.is_none();
            problems.extend(decode);
            if readable {
                problems.extend(validate::validate(self, object));
            }
        }
        problems
    }

    /// The unknown fields of `object`, each with the message `unknown field "spec.foo"`.
    #[must_use]
    pub fn unknown_fields(&self, object: &Value) -> Vec<Problem> {
        fields::unknown(self, object)
    }

    /// Drops what the schema does not have.
    pub fn prune(&self, object: &mut Value) {
        fields::prune(self, object);
    }

    /// Fills in defaults: the schema's own, and for built-in kinds those that the server's code sets.
    pub fn default(&self, object: &mut Value) {
        defaulting::default(self, object);
    }
}

/// The definitions of a custom resource: its own, and `ObjectMeta`'s.
fn custom_definitions(open_api: &Value, gvk: &[String; 3]) -> (String, Map<String, Value>) {
    let [group, version, kind] = gvk;
    let reversed: Vec<&str> = group.split('.').rev().collect();
    let name = format!("{}.{version}.{kind}", reversed.join("."));
    let mut definitions = builtin::object_meta_definitions().clone();
    let mut root = open_api.as_object().cloned().unwrap_or_default();
    root.insert("type".to_owned(), json!("object"));
    root.insert(
        "x-kubernetes-group-version-kind".to_owned(),
        json!([{ "group": group, "version": version, "kind": kind }]),
    );
    let properties = root.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        for (field, schema) in builtin::type_meta() {
            properties.insert(field, schema);
        }
    }
    definitions.insert(name.clone(), Value::Object(root));
    (name, definitions)
}

#[cfg(test)]
mod tests;
