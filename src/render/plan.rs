//! PURE · files of a commit → what is to be rendered, and by what.

use std::time::Duration;

use super::{Place, RenderError, RenderLimits, YamlLimits, yaml};
use crate::domain::document::Position;
use crate::domain::file_tree::FileTree;
use crate::domain::preview_file::{
    App, CONVENTIONAL_PATHS, HookRule, PREVIEW_FILE, Parameter, PreviewFile, exposed,
};

/// Which files decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The preview file, with the paths of its apps in order.
    PreviewFile(Vec<String>),
    /// There is no preview file; this conventional path was found.
    Convention(String),
}

/// What is to be rendered.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The apps in order; at least one.
    pub apps: Vec<App>,
    /// What people may choose.
    pub parameters: Vec<Parameter>,
    /// Which files decided.
    pub chosen: Chosen,
    /// The wish of the preview file, if it has one.
    pub ttl: Option<Duration>,
    /// Jobs that the preview file makes hooks.
    pub hooks: Vec<HookRule>,
    /// Whether the preview file has claims of storage deleted with their data.
    pub delete_data: bool,
}

impl Chosen {
    /// What people should be told when they did not choose themselves.
    #[must_use]
    pub fn guess(&self) -> Option<String> {
        match self {
            Self::Convention(path) => Some(format!("there is no {PREVIEW_FILE}; {path} was taken")),
            Self::PreviewFile(_) => None,
        }
    }
}

impl Plan {
    /// The apps that get a host of their own, in order.
    #[must_use]
    pub fn exposed(&self) -> Vec<&str> {
        exposed(&self.apps)
    }
}

/// What an app is rendered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renderer {
    /// `Chart.yaml`.
    Helm,
    /// One of [`KUSTOMIZATIONS`].
    Kustomize,
    /// `*.yaml` and `*.yaml.hbs`, by ourselves.
    Files,
}

/// Names of the file that makes a directory one of Kustomize, in its own order.
pub(super) const KUSTOMIZATIONS: [&str; 3] =
    ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// What makes a directory a chart.
pub(super) const CHART: &str = "Chart.yaml";

/// `directory` and `name` as one path.
pub(super) fn join(directory: &str, name: &str) -> String {
    if directory == "." { name.to_owned() } else { format!("{directory}/{name}") }
}

impl Renderer {
    /// What reads the directory `path`.
    pub(super) fn of(tree: &FileTree, path: &str) -> Self {
        if tree.get(&join(path, CHART)).is_some() {
            Self::Helm
        } else if KUSTOMIZATIONS.iter().any(|name| tree.get(&join(path, name)).is_some()) {
            Self::Kustomize
        } else {
            Self::Files
        }
    }
}

/// What `tree` says is to be rendered. The tree is what [`wanted`](super::wanted) asked for; it may hold more.
pub fn plan(tree: &FileTree, limits: RenderLimits) -> Result<Plan, RenderError> {
    if let Some(bytes) = tree.get(PREVIEW_FILE) {
        let PreviewFile { apps, parameters, ttl, hooks, delete_data } =
            read_preview_file(bytes, limits)?;
        for (index, app) in apps.iter().enumerate() {
            check(tree, app, index)?;
        }
        let paths = apps.iter().map(|app| app.path.clone()).collect();
        let chosen = Chosen::PreviewFile(paths);
        return Ok(Plan { apps, parameters, chosen, ttl, hooks, delete_data });
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
    let app = App::at("app", &path, Position { line: 1, column: 1 });
    let chosen = Chosen::Convention(path);
    Ok(Plan {
        apps: vec![app],
        parameters: Vec::new(),
        chosen,
        ttl: None,
        hooks: Vec::new(),
        delete_data: false,
    })
}

/// Paths of an app are there, and its keys fit what they name.
fn check(tree: &FileTree, app: &App, index: usize) -> Result<(), RenderError> {
    let missing = |position, message| {
        Err(RenderError::PathMissing { place: Place::at(PREVIEW_FILE, position), message })
    };
    let unsupported = |position, message| {
        Err(RenderError::Unsupported { place: Place::at(PREVIEW_FILE, position), message })
    };
    let path = &app.path;
    if !tree.contains(path) {
        let message = format!("apps[{index}].path: there is no {path:?} in this commit");
        return missing(app.position, message);
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if (name == CHART || KUSTOMIZATIONS.contains(&name)) && tree.get(path).is_some() {
        let message = format!("apps[{index}].path names the file {name}; name its directory");
        return unsupported(app.position, message);
    }
    let renderer = Renderer::of(tree, path);
    if renderer != Renderer::Helm {
        let found = [
            ("values", app.values.first().map(|one| one.position)),
            ("set", app.set.first().map(|one| one.position)),
        ];
        for (key, position) in found {
            if let Some(position) = position {
                let message = format!(
                    "apps[{index}].{key} is for Helm, and {path} is no chart: it has no {CHART}"
                );
                return unsupported(position, message);
            }
        }
    }
    for (number, file) in app.values.iter().enumerate() {
        if tree.get(&file.path).is_none() {
            let path = &file.path;
            let message =
                format!("apps[{index}].values[{number}]: there is no file {path:?} in this commit");
            return missing(file.position, message);
        }
    }
    Ok(())
}

pub(super) fn conventional_path(tree: &FileTree) -> Option<String> {
    CONVENTIONAL_PATHS.iter().find_map(|path| match path.strip_suffix("/*") {
        Some(parent) => {
            tree.directories_in(parent).into_iter().next().map(|name| format!("{parent}/{name}"))
        }
        None => tree.contains(path).then(|| (*path).to_owned()),
    })
}

pub(super) fn read_preview_file(
    bytes: &[u8],
    limits: RenderLimits,
) -> Result<PreviewFile, RenderError> {
    let wrong = |position: Position, message: String| RenderError::PreviewFile {
        place: Place::at(PREVIEW_FILE, position),
        message,
    };
    let documents = yaml::documents(bytes, &YamlLimits::of_file(limits.file_bytes))
        .map_err(|e| wrong(e.position, e.message))?;
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
