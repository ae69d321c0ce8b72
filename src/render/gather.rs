//! The objects of each app as its renderer gives them, before anything is changed in them. PURE but for
//! [`Tools`](super::tools::Tools).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::handlebars::{self, Filled, Partials};
use super::plan::{CHART, KUSTOMIZATIONS, Renderer};
use super::tools::{HelmJob, KustomizeJob, ToolDocument, ToolOutput, Tools};
use super::wanted;
use super::yaml::{self, YamlProblem};
use super::{
    Note, Place, RenderError, RenderLimits, YamlLimit, YamlLimits, aside, manifest, place_of,
    strings, transform,
};
use crate::domain::bundle::BundleObject;
use crate::domain::file_tree::FileTree;
use crate::domain::preview_file::{App, PREVIEW_FILE};
use crate::domain::render_inputs::RenderInputs;

/// What the renderers gave.
pub(super) struct Gathered {
    /// In the order of the apps and of their files.
    pub(super) objects: Vec<BundleObject>,
    /// Fields that came out differently when they were rendered again: index of the object, and JSON pointer.
    pub(super) random: Vec<(usize, String)>,
    pub(super) notes: Vec<Note>,
}

/// What one run of [`render`](super::render) has gathered.
pub(super) struct Work<'a> {
    tree: &'a FileTree,
    inputs: &'a RenderInputs,
    parameters: &'a BTreeMap<String, Value>,
    limits: RenderLimits,
    tools: &'a dyn Tools,
    bytes: usize,
    gathered: Gathered,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        tree: &'a FileTree,
        inputs: &'a RenderInputs,
        parameters: &'a BTreeMap<String, Value>,
        limits: RenderLimits,
        tools: &'a dyn Tools,
    ) -> Self {
        let gathered = Gathered { objects: Vec::new(), random: Vec::new(), notes: Vec::new() };
        Self { tree, inputs, parameters, limits, tools, bytes: 0, gathered }
    }

    pub(super) fn done(self) -> Gathered {
        self.gathered
    }

    /// Adds the objects of `app`, which is the entry `index` of the preview file.
    pub(super) async fn app(&mut self, app: &App, index: usize) -> Result<(), RenderError> {
        let before = self.gathered.objects.len();
        match Renderer::of(self.tree, &app.path) {
            Renderer::Files => aside(|| self.files(app))?,
            Renderer::Kustomize => {
                let job = KustomizeJob {
                    files: self.files_of(app),
                    overlay: app.path.clone(),
                    limits: self.limits.of_tool(),
                };
                let output = self.tools.kustomize(job).await;
                let output = output.map_err(|error| RenderError::of_tool(error, &app.path))?;
                aside(|| self.output(app, output))?;
            }
            Renderer::Helm => {
                let job = self.helm_job(app, index)?;
                let output = self.tools.helm(job).await;
                let output = output.map_err(|error| RenderError::of_tool(error, &app.path))?;
                aside(|| self.output(app, output))?;
            }
        }
        if self.gathered.objects.len() == before {
            let note = Note::new(format!("{} holds no Kubernetes object", app.path));
            self.gathered.notes.push(note);
        }
        Ok(())
    }

    /// What a tool may read for `app`: nothing of the other apps.
    fn files_of(&self, app: &App) -> FileTree {
        let paths = wanted::of_app(self.tree, app, self.limits);
        self.tree.only(paths.iter().map(String::as_str))
    }

    fn helm_job(&self, app: &App, index: usize) -> Result<HelmJob, RenderError> {
        let context = self.inputs.context(&app.name, self.parameters);
        let mut files = self.files_of(app);
        let partials = Partials::of(self.tree.below(&app.path));
        let mut values = Vec::new();
        for (number, file) in app.values.iter().enumerate() {
            if !has_extension(&file.path, "hbs") {
                values.push(file.path.clone());
                continue;
            }
            let bytes = self.tree.get(&file.path).unwrap_or_default();
            let filled = self.filled(&file.path, bytes, &context, &partials)?.text;
            // A name of its own: the file without `.hbs` may be there too.
            let path = format!(".bivouac-values/{}-{number}.yaml", app.name);
            files.insert(path.clone(), filled);
            values.push(path);
        }
        let mut set = Vec::new();
        for one in &app.set {
            let value = match &one.value {
                Value::String(text) => {
                    let what = format!("apps[{index}].set[{:?}]", one.key);
                    Value::from(strings::fill(text, &context, &what, one.position)?)
                }
                other => other.clone(),
            };
            set.push((one.key.clone(), value));
        }
        Ok(HelmJob {
            files,
            chart: app.path.clone(),
            release: app.name.clone(),
            namespace: self.inputs.namespace.clone(),
            values,
            set,
            kubernetes_version: self.inputs.cluster.kubernetes_version.clone(),
            api_versions: self.inputs.cluster.api_versions.clone(),
            limits: self.limits.of_tool(),
        })
    }

    /// Documents that a tool printed.
    fn output(&mut self, app: &App, output: ToolOutput) -> Result<(), RenderError> {
        let ToolOutput { documents, notes, random } = output;
        self.gathered.notes.extend(notes.into_iter().map(Note::new));
        for (index, ToolDocument { file, yaml }) in documents.into_iter().enumerate() {
            // Only our own objects have the preview file as origin.
            let known = !file.is_empty() && file != PREVIEW_FILE;
            let file = if known { file } else { app.path.clone() };
            self.count(yaml.len(), &file)?;
            let fields: Vec<&str> = random
                .iter()
                .filter(|field| field.document == index)
                .map(|field| field.pointer.as_str())
                .collect();
            let most = self.limits.rendered_bytes;
            let limits = YamlLimits::of_file(most);
            let documents = yaml::documents(yaml.as_bytes(), &limits).map_err(|mut problem| {
                problem.message.push_str(" (line of the rendered document)");
                of_yaml(problem, &file)
            })?;
            for (number, document) in documents.into_iter().enumerate() {
                for (prefix, object) in manifest::objects(document, &file, &app.name, self.inputs)?
                {
                    let Some(object) = self.placed(object)? else { continue };
                    let at = self.gathered.objects.len();
                    // The tool names fields of the one document that it should have printed.
                    for field in fields.iter().filter(|_| number == 0) {
                        if let Some(pointer) = field.strip_prefix(prefix.as_str()) {
                            self.gathered.random.push((at, pointer.to_owned()));
                        }
                    }
                    self.add(object)?;
                }
            }
        }
        Ok(())
    }

    /// Everything below the path of `app`.
    fn files(&mut self, app: &App) -> Result<(), RenderError> {
        let tree = self.tree;
        for (path, _) in tree.below(&app.path) {
            let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
            let what = if name == CHART {
                "a Helm chart"
            } else if KUSTOMIZATIONS.contains(&name) {
                "an overlay of Kustomize"
            } else {
                continue;
            };
            let message = format!(
                "{directory} is {what}, and {} is read as plain manifests; name {directory:?} as the path of an app in \
                 {PREVIEW_FILE}",
                app.path
            );
            return Err(RenderError::Unsupported { place: Place::file(path), message });
        }
        let context = self.inputs.context(&app.name, self.parameters);
        let partials = Partials::of(tree.below(&app.path));
        for (path, bytes) in tree.below(&app.path) {
            if path == PREVIEW_FILE || handlebars::partial_name(path).is_some() {
                continue;
            }
            let is_template = has_extension(path, "hbs");
            let plain = if is_template { path.trim_end_matches(".hbs") } else { path };
            if has_extension(plain, "yaml") || has_extension(plain, "yml") {
                self.file(app, path, bytes, is_template.then_some((&context, &partials)))?;
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        app: &App,
        path: &str,
        bytes: &[u8],
        template: Option<(&Value, &Partials)>,
    ) -> Result<(), RenderError> {
        let limits = YamlLimits::of_file(self.limits.file_bytes);
        let (size, documents) = match template {
            Some((context, partials)) => {
                let filled = self.filled(path, bytes, context, partials)?;
                (filled.text.len(), yaml::filled_documents(&filled, &limits))
            }
            None => (bytes.len(), yaml::documents(bytes, &limits)),
        };
        self.count(size, path)?;
        let documents = documents.map_err(|problem| of_yaml(problem, path))?;
        for document in documents {
            for (_, object) in manifest::objects(document, path, &app.name, self.inputs)? {
                if let Some(object) = self.placed(object)? {
                    self.add(object)?;
                }
            }
        }
        Ok(())
    }

    fn filled(
        &self,
        path: &str,
        bytes: &[u8],
        context: &Value,
        partials: &Partials,
    ) -> Result<Filled, RenderError> {
        handlebars::fill(bytes, context, self.limits.file_bytes, partials).map_err(|e| {
            let file = e.file.unwrap_or_else(|| path.to_owned());
            let (place, message) = (Place { file, position: e.position }, e.message);
            if e.is_limit {
                let settable = format!("more than {} bytes", self.limits.file_bytes);
                let name = if message.ends_with(&settable) { " (limits.fileBytes)" } else { "" };
                RenderError::TooMuch { place, message: message + name }
            } else {
                RenderError::Template { place, message }
            }
        })
    }

    fn count(&mut self, bytes: usize, path: &str) -> Result<(), RenderError> {
        self.bytes = self.bytes.saturating_add(bytes);
        let most = self.limits.rendered_bytes;
        if self.bytes > most {
            let message = format!("more than {most} bytes are rendered (limits.renderedBytes)");
            return Err(RenderError::TooMuch { place: Place::file(path), message });
        }
        Ok(())
    }

    /// The object in its wave; `None` when it is a hook of a moment that a camp does not have, which is noted.
    fn placed(&mut self, mut object: BundleObject) -> Result<Option<BundleObject>, RenderError> {
        let Some(never) = transform::place(&mut object)? else { return Ok(Some(object)) };
        let message = format!("{} is left out: it is a {never}", object.identity());
        self.gathered.notes.push(Note::at(place_of(&object), message));
        Ok(None)
    }

    fn add(&mut self, object: BundleObject) -> Result<(), RenderError> {
        if self.gathered.objects.len() == self.limits.objects {
            return Err(too_many(&object, self.limits));
        }
        self.gathered.objects.push(object);
        Ok(())
    }
}

/// What is wrong with the YAML of `file`.
fn of_yaml(problem: YamlProblem, file: &str) -> RenderError {
    let YamlProblem { position, message, limit } = problem;
    let place = Place::at(file, position);
    match limit {
        Some(limit @ YamlLimit::Bytes) => {
            RenderError::TooMuch { place, message: format!("{message} (limits.{})", limit.name()) }
        }
        Some(_) => RenderError::TooMuch { place, message },
        None => RenderError::Yaml { place, message },
    }
}

/// `object` is the first one too many.
pub(super) fn too_many(object: &BundleObject, limits: RenderLimits) -> RenderError {
    let message = format!("more than {} objects are rendered (limits.objects)", limits.objects);
    RenderError::TooMuch { place: place_of(object), message }
}

pub(super) fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}
