//! PURE · every key of the preview file in one table. The parser asks it which keys there are, the JSON Schema is made
//! of it: neither can know a key that the other does not.

use super::{Checked, wrong};
use crate::domain::document::{Key, Node, Position};
use crate::domain::waves::MAX_RETRIES;

/// One key of a mapping.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) required: bool,
    pub(super) shape: Shape,
    pub(super) says: &'static str,
}

/// What may stand behind a key.
pub(super) enum Shape {
    /// A string that is not empty, of at most so many characters, that matches this pattern of ECMA 262.
    Text { most: usize, pattern: &'static str },
    /// One of these words.
    Word(&'static [&'static str]),
    /// A string, number, truth value or nothing.
    Scalar,
    /// A string, number or truth value.
    Value,
    /// A port by its number or by its name.
    Port,
    /// A whole number from 0 to this.
    Count(u32),
    /// True or false.
    Flag,
    /// A list.
    List { of: &'static Shape, least: usize, most: usize },
    /// A mapping with keys of its own.
    Object(&'static [Field]),
    /// A mapping from names, which match this pattern, to values of one shape.
    Map { of: &'static Shape, most: usize, names: &'static str },
}

/// Lower-case letters, digits and `-`.
pub(super) const LABEL: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
/// What `params.NAME` can name in a template.
pub(super) const PARAMETER_NAME: &str = "^[A-Za-z][A-Za-z0-9_]{0,39}$";
const ANYTHING: &str = "";
/// Characters that no proxy reads as configuration.
pub(super) const URL_PATH: &str = "^/[A-Za-z0-9/._~-]*$";

/// Bounds of the file; each is in `docs/limits.md`.
pub(super) const MAX_APPS: usize = 20;
/// With `<environment>-` before it an app's name must still leave room in a DNS label.
pub(super) const MAX_APP_NAME: usize = 30;
pub(super) const MAX_PATH: usize = 512;
pub(super) const MAX_VALUES: usize = 20;
pub(super) const MAX_SET: usize = 100;
pub(super) const MAX_SET_KEY: usize = 256;
pub(super) const MAX_IMAGES: usize = 50;
pub(super) const MAX_IMAGE: usize = 512;
pub(super) const MAX_URL_PATH: usize = 256;
/// As many as a filter of the Gateway API may set.
pub(super) const MAX_HEADERS: usize = 16;
pub(super) const MAX_HEADER: usize = 512;
pub(super) const MAX_PARAMETERS: usize = 32;
pub(super) const MAX_ENUM: usize = 50;
pub(super) const MAX_PARAMETER: usize = 256;
pub(super) const MAX_DESCRIPTION: usize = 256;
pub(super) const MAX_HOOKS: usize = 10;

/// Keys of the file.
pub(super) const FILE: &[Field] = &[
    Field {
        name: "apps",
        required: true,
        shape: Shape::List { of: &Shape::Object(APP), least: 1, most: MAX_APPS },
        says: "What is rendered. The names differ.",
    },
    Field {
        name: "parameters",
        required: false,
        shape: Shape::Map {
            of: &Shape::Object(PARAMETER),
            most: MAX_PARAMETERS,
            names: PARAMETER_NAME,
        },
        says: "Values that people may choose; templates read them as params.NAME.",
    },
    Field {
        name: "lifetime",
        required: false,
        shape: Shape::Object(LIFETIME),
        says: "How long the preview stands.",
    },
    Field {
        name: "hooks",
        required: false,
        shape: Shape::Object(HOOKS),
        says: "Jobs of the apps that run at certain moments instead of with the rest.",
    },
    Field {
        name: "deleteData",
        required: false,
        shape: Shape::Flag,
        says: "true: a PersistentVolumeClaim that leaves the commit is deleted at once, with its data. Else it stays for \
               one more commit. Default: false",
    },
];

/// Keys of `hooks`.
pub(super) const HOOKS: &[Field] = &[
    Field {
        name: "beforeApply",
        required: false,
        shape: HOOK_LIST,
        says: "Run after configuration and storage and before the workloads change. When one fails, nothing more is \
               applied.",
    },
    Field {
        name: "afterReady",
        required: false,
        shape: HOOK_LIST,
        says: "Run when everything is ready. When one fails, the preview is degraded.",
    },
    Field {
        name: "beforeDelete",
        required: false,
        shape: HOOK_LIST,
        says: "Run before the preview is taken down. None of them holds that up for longer than its time.",
    },
];

const HOOK_LIST: Shape = Shape::List { of: &Shape::Object(HOOK), least: 0, most: MAX_HOOKS };

/// Keys of one hook.
pub(super) const HOOK: &[Field] = &[
    Field {
        name: "job",
        required: true,
        shape: Shape::Text { most: 63, pattern: LABEL },
        says: "Name of a Job of the preview.",
    },
    Field {
        name: "app",
        required: false,
        shape: Shape::Text { most: MAX_APP_NAME, pattern: LABEL },
        says: "The app whose Job it is; may be left out when one app has a Job of that name.",
    },
    Field {
        name: "timeout",
        required: false,
        shape: Shape::Text { most: 32, pattern: "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$" },
        says: "From 1s to 1h, as 90s or 5m. Default: 5m",
    },
    Field {
        name: "retries",
        required: false,
        shape: Shape::Count(MAX_RETRIES),
        says: "How often a pod that failed is tried again. Default: the Job's backoffLimit",
    },
];

/// Keys of an entry of `apps`.
pub(super) const APP: &[Field] = &[
    Field {
        name: "name",
        required: true,
        shape: Shape::Text { most: MAX_APP_NAME, pattern: LABEL },
        says: "Name of the app: lower-case letters, digits and -.",
    },
    Field {
        name: "path",
        required: true,
        shape: Shape::Text { most: MAX_PATH, pattern: ANYTHING },
        says: "File or directory in the repository. With Chart.yaml it is a Helm chart, with kustomization.yaml it is \
               built by Kustomize, else *.yaml.hbs are templates and *.yaml are manifests.",
    },
    Field {
        name: "values",
        required: false,
        shape: Shape::List {
            of: &Shape::Text { most: MAX_PATH, pattern: ANYTHING },
            least: 0,
            most: MAX_VALUES,
        },
        says: "Values files for Helm, relative to the chart; with / before it, relative to the repository. Later ones \
               win. Files ending in .hbs are templates.",
    },
    Field {
        name: "set",
        required: false,
        shape: Shape::Map { of: &Shape::Scalar, most: MAX_SET, names: ANYTHING },
        says: "Single values for Helm, by the path syntax of `helm --set`. Strings are templates.",
    },
    Field {
        name: "images",
        required: false,
        shape: Shape::Map {
            of: &Shape::Text { most: MAX_IMAGE, pattern: ANYTHING },
            most: MAX_IMAGES,
            names: ANYTHING,
        },
        says: "Image name to tag, digest or another image, in every pod of the app. The value is a template.",
    },
    Field {
        name: "expose",
        required: false,
        shape: Shape::Object(EXPOSE),
        says: "Makes a route from the preview's host to a Service.",
    },
];

/// Keys of `expose`.
pub(super) const EXPOSE: &[Field] = &[
    Field {
        name: "service",
        required: true,
        shape: Shape::Text { most: 63, pattern: LABEL },
        says: "Name of a Service of the preview.",
    },
    Field {
        name: "port",
        required: false,
        shape: Shape::Port,
        says: "Port of the Service by number or name; may be left out when it has one port.",
    },
    Field {
        name: "path",
        required: false,
        shape: Shape::Text { most: MAX_URL_PATH, pattern: URL_PATH },
        says: "Beginning of the paths that are passed on. Default: /",
    },
    Field {
        name: "headers",
        required: false,
        shape: Shape::Map {
            of: &Shape::Text { most: MAX_HEADER, pattern: ANYTHING },
            most: MAX_HEADERS,
            names: "^[A-Za-z0-9-]{1,64}$",
        },
        says: "Headers that each request gets on its way to the Service; only with a Gateway. Values are templates.",
    },
];

/// Keys of a parameter.
pub(super) const PARAMETER: &[Field] = &[
    Field {
        name: "type",
        required: false,
        shape: Shape::Word(&["string", "integer", "number", "boolean"]),
        says: "Default: string",
    },
    Field {
        name: "enum",
        required: false,
        shape: Shape::List { of: &Shape::Value, least: 1, most: MAX_ENUM },
        says: "The values that are allowed.",
    },
    Field {
        name: "default",
        required: false,
        shape: Shape::Value,
        says: "The value when nobody chose one. Without it a value must be given.",
    },
    Field {
        name: "description",
        required: false,
        shape: Shape::Text { most: MAX_DESCRIPTION, pattern: ANYTHING },
        says: "One sentence for people.",
    },
];

/// Keys of `lifetime`.
pub(super) const LIFETIME: &[Field] = &[Field {
    name: "ttl",
    required: false,
    shape: Shape::Text { most: 32, pattern: "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$" },
    says: "From 1m to 366d, as 90m, 24h, 7d or 1d12h; can only shorten what the platform team allows.",
}];

/// `node` as a mapping that has only keys of `fields`, and all required ones.
pub(super) fn object<'a>(
    node: &'a Node,
    what: &str,
    fields: &[Field],
) -> Checked<&'a [(Key, Node)]> {
    let members = mapping(node, if what.is_empty() { "the preview file" } else { what })?;
    let prefix = if what.is_empty() { String::new() } else { format!("{what}.") };
    known_keys(members, &prefix, fields)?;
    Ok(members)
}

/// `node` as a mapping.
pub(super) fn mapping<'a>(node: &'a Node, what: &str) -> Checked<&'a [(Key, Node)]> {
    match node.members() {
        Some(members) => Ok(members),
        None => wrong(node.position, format!("{what} must be a mapping, not {}", node.type_name())),
    }
}

/// `node` as a list of `least` to `most` elements.
pub(super) fn list<'a>(
    node: &'a Node,
    what: &str,
    least: usize,
    most: usize,
) -> Checked<&'a [Node]> {
    let Some(elements) = node.elements() else {
        let found = node.type_name();
        return wrong(node.position, format!("{what} must be a list, not {found}"));
    };
    if elements.len() < least {
        return wrong(node.position, format!("{what} is empty; name at least one, or take it out"));
    }
    bounded(elements.len(), most, what, node.position)?;
    Ok(elements)
}

/// Refuses more than `most` entries.
pub(super) fn bounded(count: usize, most: usize, what: &str, at: Position) -> Checked<()> {
    if count > most {
        return wrong(at, format!("{what} has {count} entries; at most {most} are allowed"));
    }
    Ok(())
}

/// The required string `key` of `node`.
pub(super) fn string<'a>(
    node: &'a Node,
    what: &str,
    key: &str,
    most: usize,
) -> Checked<(&'a str, Position)> {
    let Some(value) = node.get(key) else {
        return wrong(node.position, format!("{what}: key {key:?} is missing"));
    };
    Ok((text(value, &format!("{what}.{key}"), most)?, value.position))
}

/// `node` as a string that is not empty.
pub(super) fn text<'a>(node: &'a Node, what: &str, most: usize) -> Checked<&'a str> {
    match node.text() {
        Some("") => wrong(node.position, format!("{what} is empty")),
        Some(text) if text.chars().count() > most => {
            wrong(node.position, format!("{what} has more than {most} characters"))
        }
        Some(text) => Ok(text),
        None => {
            let hint = if node.is_null() || node.elements().is_some() || node.members().is_some() {
                ""
            } else {
                "; put it in quotes"
            };
            let found = node.type_name();
            wrong(node.position, format!("{what} must be a string, not {found}{hint}"))
        }
    }
}

fn known_keys(members: &[(Key, Node)], prefix: &str, fields: &[Field]) -> Checked<()> {
    for (key, _) in members {
        let name = key.name.as_str();
        if fields.iter().any(|field| field.name == name) {
            continue;
        }
        let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
        let hint = match nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("known keys are {}", known.join(", ")),
        };
        let name: String = name.chars().take(60).collect();
        return wrong(key.position, format!("unknown key {:?}; {hint}", format!("{prefix}{name}")));
    }
    Ok(())
}

/// The known word that is at most two edits away.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (far, near) = known.map(|word| (distance(word, name), word)).min_by_key(|(far, _)| *far)?;
    (far <= 2 && far < name.chars().count()).then_some(near)
}

/// Edits between two words (Levenshtein); words over 64 characters count as far away.
fn distance(a: &str, b: &str) -> usize {
    if b.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
