//! A file with a Repository in, its policy out. I/O: reads that file.

use std::path::Path;

use serde_json::{Value, json};

use super::super::Misuse;
use crate::crd::{Repository, RepositorySpec};
use crate::domain::document::Node;
use crate::domain::id::RepoName;
use crate::domain::plain::plain;
use crate::domain::policy::Policy;
use crate::render::text;

/// More than any manifest.
const MAX_BYTES: usize = 1 << 20;

/// What a Repository says.
pub(super) struct Given {
    /// Its name in the cluster.
    pub(super) record: String,
    /// Owner and name at the forge.
    pub(super) name: RepoName,
    /// The valid form of its spec.
    pub(super) policy: Policy,
}

/// Reads the one Repository in `file`; other objects in it (a Secret with credentials) are passed over.
pub(super) fn read(file: &Path) -> Result<Given, Misuse> {
    let name = file.display().to_string();
    let says = |message: &str| Misuse::says(format!("--repository {name}: {message}"));
    let bytes = std::fs::read(file)
        .map_err(|error| Misuse::with(format!("failed to read {name}"), error))?;
    let documents = text::read(&bytes, &name, MAX_BYTES).map_err(Misuse::of)?;
    let is_repository = |value: &Value| {
        value["kind"] == "Repository"
            && value["apiVersion"]
                .as_str()
                .is_some_and(|version| version.starts_with("bivouac.dev/"))
    };
    let mut found = documents
        .iter()
        .map(|document| (document, document.to_json()))
        .filter(|(_, value)| is_repository(value));
    let (document, value) =
        found.next().ok_or_else(|| says("there is no Repository of bivouac.dev in it"))?;
    if found.next().is_some() {
        return Err(says("there is more than one Repository in it"));
    }
    let at = |field: &str, what: &str| {
        let line = line_of(document, field);
        Misuse::says(format!("--repository {name}:{line}: {what}"))
    };
    let repository: Repository =
        serde_path_to_error::deserialize(value.clone()).map_err(|error| {
            let field = error.path().to_string();
            at(&field, &format!("{field}: {}", plain(&error.inner().to_string())))
        })?;
    let read_back = serde_json::to_value(&repository.spec).unwrap_or_default();
    if let Some(field) = unknown_field("spec", &value["spec"], &read_back) {
        return Err(at(&field, &format!("unknown field {field}")));
    }
    let github = &repository.spec.forge.github;
    Ok(Given {
        record: repository.metadata.name.clone().unwrap_or_default(),
        name: RepoName::parse(&github.owner, &github.name).map_err(Misuse::of)?,
        policy: repository.spec.policy().map_err(Misuse::of)?,
    })
}

/// The policy of a Repository that says nothing but where its hosts are.
pub(super) fn default_policy(name: &RepoName) -> Result<Policy, Misuse> {
    let spec: RepositorySpec = serde_json::from_value(json!({
        "forge": {"github": {
            "owner": name.owner(),
            "name": name.name(),
            "credentials": {"secretName": "none"},
        }},
        "url": {"host": "preview.localhost", "scheme": "http"},
    }))
    .map_err(Misuse::of)?;
    spec.policy().map_err(Misuse::of)
}

/// The line of a field (`spec.limits.objects`, `spec.parameters[0].name`), or of the nearest one around it.
fn line_of(document: &Node, field: &str) -> usize {
    let mut node = document;
    for step in field.split(['.', '[']) {
        let below = match step.strip_suffix(']').map(str::parse::<usize>) {
            Some(Ok(index)) => node.elements().and_then(|elements| elements.get(index)),
            _ => node.get(step),
        };
        let Some(below) = below else { break };
        node = below;
    }
    node.position.line
}

/// The first field of `written` that is not in `read`: the API server refuses it, and a policy that is half read
/// would be a wrong one. Empty values may be left out.
fn unknown_field(at: &str, written: &Value, read: &Value) -> Option<String> {
    let members = written.as_object()?;
    members.iter().find_map(|(key, value)| {
        let below = format!("{at}.{key}");
        match read.get(key) {
            Some(other) => unknown_field(&below, value, other),
            None if value.is_null() || *value == json!([]) || *value == json!({}) => None,
            None => Some(below),
        }
    })
}
