//! Files of a commit and inputs in, bundle out. PURE but for the child processes behind [`tools::Tools`].
//!
//! [`wanted`] says which part of a commit is needed, `source` reads it, [`render`] does the rest. The same tree and
//! inputs give the same bytes.
//!
//! A path is read with everything below it. `*.yaml` and `*.yml` are manifests; with `.hbs` after it (`web.yaml.hbs`)
//! the file's text is a Handlebars template first. Other files (README, scripts) are left alone.

pub mod check;
mod findings;
mod handlebars;
mod manifest;
pub mod text;
pub mod tools;
mod yaml;
mod yaml_scalar;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use tools::Tools;

use crate::domain::bundle::{Bundle, BundleObject, ObjectIdentity};
use crate::domain::document::Position;
use crate::domain::file_tree::{FileTree, Wanted};
use crate::domain::policy::Limits;
use crate::domain::preview_file::{App, CONVENTIONAL_PATHS, PREVIEW_FILE, PreviewFile};
use crate::domain::render_inputs::RenderInputs;

/// How much rendering may take in and give out.
#[derive(Clone, Copy, Debug)]
pub struct RenderLimits {
    /// Objects in a bundle.
    pub objects: usize,
    /// Bytes of one manifest, before and after it was a template.
    pub file_bytes: usize,
    /// Bytes of all rendered text together, and of the canonical bundle.
    pub rendered_bytes: usize,
}

impl RenderLimits {
    /// What the Repository allows.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        let bytes = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            objects: limits.objects,
            file_bytes: bytes(limits.file_bytes),
            rendered_bytes: bytes(limits.rendered_bytes),
        }
    }
}

impl Default for RenderLimits {
    fn default() -> Self {
        Self { objects: 500, file_bytes: 1 << 20, rendered_bytes: 8 << 20 }
    }
}

/// What came out of [`render`].
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The objects.
    pub bundle: Bundle,
    /// What was read.
    pub chosen: Chosen,
    /// The wish of the preview file, if it has one.
    pub ttl: Option<std::time::Duration>,
    /// What people should know, though nothing is wrong.
    pub notes: Vec<String>,
}

/// Which files decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The preview file, with the paths of its apps in order.
    PreviewFile(Vec<String>),
    /// There is no preview file; this conventional path was found.
    Convention(String),
}

/// Place of a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Path in the repository.
    pub file: String,
    /// Line and column, when the mistake has them.
    pub position: Option<Position>,
}

impl Place {
    fn file(file: &str) -> Self {
        Self { file: file.to_owned(), position: None }
    }

    fn at(file: &str, position: Position) -> Self {
        Self { file: file.to_owned(), position: Some(position) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        self.position.map_or(Ok(()), |position| write!(f, ":{position}"))
    }
}

/// Why nothing could be rendered. All but [`RenderError::Inputs`] are for the author of the commit to mend; none
/// repeats a value from a manifest, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The preview file says something that is not allowed.
    #[error("{place}: {message}")]
    PreviewFile {
        /// Where.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// A path of the preview file, or every conventional one, is not in the commit.
    #[error("{place}: {message}")]
    PathMissing {
        /// Where it was asked for.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// Text that is no YAML as the Kubernetes tools read it.
    #[error("{place}: {message}")]
    Yaml {
        /// Where.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// A template that can't be filled.
    #[error("{place}: {message}")]
    Template {
        /// Where.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// A document that is no Kubernetes object.
    #[error("{place}: {message}")]
    Manifest {
        /// Where.
        place: Place,
        /// What and what to do.
        message: String,
    },
    /// Two objects would overwrite each other.
    #[error("{second}: {object} is already defined at {first}; take one of them out")]
    Duplicate {
        /// Kind and name.
        object: String,
        /// Where it is defined first.
        first: Place,
        /// Where it comes again.
        second: Place,
    },
    /// A kind of source that another renderer reads.
    #[error("{path} holds {what}; this version renders plain YAML and Handlebars")]
    Unsupported {
        /// The path of the app.
        path: String,
        /// What was found in it.
        what: &'static str,
    },
    /// More than the limits allow.
    #[error("{place}: {message}")]
    TooMuch {
        /// The file in which the limit was reached.
        place: Place,
        /// Which limit.
        message: String,
    },
    /// A mistake of ours: a name that we made could break out of a template.
    #[error("context value {name} has characters that may not be put into a template")]
    Inputs {
        /// The variable.
        name: String,
    },
}

/// What has to be read of a commit, given its preview file (`None` when it has none).
///
/// A preview file that can't be read wants nothing: [`render`] then says what is wrong with it.
#[must_use]
pub fn wanted(preview_file: Option<&[u8]>) -> Wanted {
    let Some(bytes) = preview_file else {
        return Wanted::FirstOf(CONVENTIONAL_PATHS.map(str::to_owned).to_vec());
    };
    let apps = read_preview_file(bytes, RenderLimits::default()).map(|file| file.apps);
    Wanted::All(apps.unwrap_or_default().into_iter().map(|app| app.path).collect())
}

/// Renders what `tree` holds for `inputs`. The tree is what [`wanted`] asked for, with the preview file if there is
/// one; it may hold more.
pub async fn render(
    tree: &FileTree,
    inputs: &RenderInputs,
    limits: RenderLimits,
    _tools: &dyn Tools,
) -> Result<Rendered, RenderError> {
    if let Some(name) = inputs.unsafe_context_value() {
        return Err(RenderError::Inputs { name });
    }
    let (apps, chosen, ttl) = what_to_render(tree, limits)?;
    let mut work = Work { inputs, limits, bytes: 0, objects: Vec::new(), seen: BTreeMap::new() };
    let mut notes = Vec::new();
    for app in &apps {
        let before = work.objects.len();
        work.app(tree, app)?;
        if work.objects.len() == before {
            notes.push(format!("{} holds no Kubernetes object", app.path));
        }
    }
    let bundle = Bundle::new(work.objects, inputs.inputs_digest());
    if bundle.canonical().len() > limits.rendered_bytes {
        let message = format!("the bundle has more than {} bytes", limits.rendered_bytes);
        return Err(RenderError::TooMuch { place: Place::file(&apps[0].path), message });
    }
    if let Chosen::Convention(path) = &chosen {
        notes.insert(0, format!("there is no {PREVIEW_FILE}; {path} was taken"));
    }
    Ok(Rendered { bundle, chosen, ttl, notes })
}

type ToRender = (Vec<App>, Chosen, Option<std::time::Duration>);

fn what_to_render(tree: &FileTree, limits: RenderLimits) -> Result<ToRender, RenderError> {
    if let Some(bytes) = tree.get(PREVIEW_FILE) {
        let file = read_preview_file(bytes, limits)?;
        for (index, app) in file.apps.iter().enumerate() {
            if !tree.contains(&app.path) {
                return Err(RenderError::PathMissing {
                    place: Place::at(PREVIEW_FILE, app.position),
                    message: format!(
                        "apps[{index}].path: there is no {:?} in this commit",
                        app.path
                    ),
                });
            }
        }
        let paths = file.apps.iter().map(|app| app.path.clone()).collect();
        return Ok((file.apps, Chosen::PreviewFile(paths), file.ttl));
    }
    let Some(path) = conventional_path(tree) else {
        let tried = CONVENTIONAL_PATHS.join(", ");
        return Err(RenderError::PathMissing {
            place: Place::file(PREVIEW_FILE),
            message: format!(
                "the commit has no preview file and none of {tried}; add one that names what to render"
            ),
        });
    };
    let position = Position { line: 1, column: 1 };
    let app = App { name: "app".into(), path: path.clone(), position };
    Ok((vec![app], Chosen::Convention(path), None))
}

fn conventional_path(tree: &FileTree) -> Option<String> {
    CONVENTIONAL_PATHS.iter().find_map(|path| match path.strip_suffix("/*") {
        Some(parent) => {
            tree.directories_in(parent).into_iter().next().map(|name| format!("{parent}/{name}"))
        }
        None => tree.contains(path).then(|| (*path).to_owned()),
    })
}

fn read_preview_file(bytes: &[u8], limits: RenderLimits) -> Result<PreviewFile, RenderError> {
    let wrong = |position: Position, message: String| RenderError::PreviewFile {
        place: Place::at(PREVIEW_FILE, position),
        message,
    };
    let documents =
        yaml::documents(bytes, limits.file_bytes).map_err(|e| wrong(e.position, e.message))?;
    match documents.as_slice() {
        [document] => {
            PreviewFile::from_document(document).map_err(|e| wrong(e.position, e.message))
        }
        [] => Err(wrong(Position { line: 1, column: 1 }, "the preview file is empty".into())),
        [_, second, ..] => {
            let message = "the preview file must be one YAML document".into();
            Err(wrong(second.position, message))
        }
    }
}

/// What one run of [`render`] has gathered.
struct Work<'a> {
    inputs: &'a RenderInputs,
    limits: RenderLimits,
    bytes: usize,
    objects: Vec<BundleObject>,
    seen: BTreeMap<ObjectIdentity, Place>,
}

impl Work<'_> {
    fn app(&mut self, tree: &FileTree, app: &App) -> Result<(), RenderError> {
        for (path, _) in tree.below(&app.path) {
            let name = path.rsplit('/').next().unwrap_or(path);
            let what = match name {
                "Chart.yaml" => "a Helm chart",
                "kustomization.yaml" | "kustomization.yml" | "Kustomization" => {
                    "a Kustomize directory"
                }
                _ => continue,
            };
            return Err(RenderError::Unsupported { path: app.path.clone(), what });
        }
        for (path, bytes) in tree.below(&app.path) {
            if path == PREVIEW_FILE {
                continue;
            }
            let plain =
                if has_extension(path, "hbs") { path.trim_end_matches(".hbs") } else { path };
            if has_extension(plain, "yaml") || has_extension(plain, "yml") {
                self.file(app, path, bytes)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, app: &App, path: &str, bytes: &[u8]) -> Result<(), RenderError> {
        let filled;
        let is_template = has_extension(path, "hbs");
        let text = if is_template {
            let context = self.inputs.context(&app.name);
            filled = handlebars::fill(bytes, &context, self.limits.file_bytes).map_err(|e| {
                RenderError::Template {
                    place: Place { file: path.to_owned(), position: e.position },
                    message: e.message,
                }
            })?;
            filled.as_bytes()
        } else {
            bytes
        };
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > self.limits.rendered_bytes {
            let message = format!("more than {} bytes are rendered", self.limits.rendered_bytes);
            return Err(RenderError::TooMuch { place: Place::file(path), message });
        }
        let documents = yaml::documents(text, self.limits.file_bytes).map_err(|e| {
            let note = if is_template { " (line of the filled template)" } else { "" };
            RenderError::Yaml {
                place: Place::at(path, e.position),
                message: format!("{}{note}", e.message),
            }
        })?;
        for document in &documents {
            for object in manifest::objects(document, path, &app.name, self.inputs)? {
                self.add(object)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, object: BundleObject) -> Result<(), RenderError> {
        let place =
            Place::at(&object.origin.file, object.positions.get("").copied().unwrap_or_default());
        let identity = object.identity();
        if let Some(first) = self.seen.get(&identity) {
            return Err(RenderError::Duplicate {
                object: identity.to_string(),
                first: first.clone(),
                second: place,
            });
        }
        if self.objects.len() == self.limits.objects {
            let message = format!("more than {} objects are rendered", self.limits.objects);
            return Err(RenderError::TooMuch { place, message });
        }
        self.seen.insert(identity, place);
        self.objects.push(object);
        Ok(())
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests;
