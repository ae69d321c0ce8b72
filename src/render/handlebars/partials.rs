//! PURE · the templates of an app that other templates take in by `{{> name}}`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::parser::{self, Template};
use super::{MAX_BYTES, Problem, TemplateProblem};

/// The partials of one app: its files `_name.hbs`, by name. Each is read once, when it is first used.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    all: BTreeMap<String, Vec<Partial>>,
}

#[derive(Debug)]
pub(super) struct Partial {
    pub(super) path: String,
    bytes: Vec<u8>,
    template: OnceLock<Problem<Template>>,
}

/// The name by which templates call the file at `path`, if it is a partial: `_labels.hbs` and `_labels.yaml.hbs` are
/// `labels`.
pub(crate) fn partial_name(path: &str) -> Option<&str> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.strip_prefix('_')?.strip_suffix(".hbs")?;
    let name = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml")).unwrap_or(name);
    (!name.is_empty()).then_some(name)
}

impl Partials {
    /// Takes those of `files` that are partials; paths are in the repository.
    pub(crate) fn of<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>) -> Self {
        let mut all: BTreeMap<String, Vec<Partial>> = BTreeMap::new();
        for (path, bytes) in files {
            if let Some(name) = partial_name(path) {
                all.entry(name.to_owned()).or_default().push(Partial {
                    path: path.to_owned(),
                    bytes: bytes.to_vec(),
                    template: OnceLock::new(),
                });
            }
        }
        Self { all }
    }

    /// The partial called `name`, or why there is none.
    pub(super) fn get(&self, name: &str) -> Result<&Partial, String> {
        let plain = name.strip_prefix('_').unwrap_or(name);
        match self.all.get(plain).map(Vec::as_slice) {
            Some([partial]) => Ok(partial),
            Some([first, second, ..]) => Err(format!(
                "two files are called {plain:?}: {} and {}; rename one",
                first.path, second.path
            )),
            _ => {
                let name: String = plain.chars().take(80).collect();
                let known: Vec<&str> = self.all.keys().map(String::as_str).take(20).collect();
                let known = if known.is_empty() {
                    "this app has no file _*.hbs".to_owned()
                } else {
                    format!("there are {}", known.join(", "))
                };
                Err(format!("unknown partial {name:?}; {known}"))
            }
        }
    }
}

impl Partial {
    pub(super) fn template(&self) -> Result<&Template, TemplateProblem> {
        let read = || {
            let said = |message: String| TemplateProblem::new(None, message);
            if self.bytes.len() > MAX_BYTES {
                let message = format!("the partial has more than {MAX_BYTES} bytes");
                return super::too_much(None, message);
            }
            let text = std::str::from_utf8(&self.bytes)
                .map_err(|_| said("the partial is not UTF-8".into()))?;
            parser::parse(text)
        };
        self.template
            .get_or_init(read)
            .as_ref()
            .map_err(|problem| problem.clone().in_file(&self.path))
    }
}
