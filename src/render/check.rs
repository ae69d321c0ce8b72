//! PURE but for [`Tools`] · files of a commit → everything that is wrong with them, as far as it can be seen at once.
//!
//! [`super::render`] stops at the first mistake. Here that mistake is noted and taken out of a copy of the files (a
//! document, a file, a key of the preview file), and the rest is rendered again, until nothing is wrong or nothing is
//! left to take out. So the first finding is always what the service says, and none is made up by a second reader.

use std::collections::BTreeSet;
use std::path::Path;

use super::handlebars::{self, Partials};
use super::plan::Renderer;
use super::tools::Tools;
use super::yaml::{self, YamlLimits};
use super::{Place, RenderError, RenderLimits, Rendered, plan, render, text};
use crate::domain::definitions::Definition;
use crate::domain::document::{Key, Node, NodeValue, Position};
use crate::domain::file_tree::{FileTree, Wanted};
use crate::domain::finding::{self, BuildRule, Finding};
use crate::domain::guard::{GuardPolicy, guard};
use crate::domain::hosts;
use crate::domain::policy::{Policy, Url};
use crate::domain::preview_file::{App, PREVIEW_FILE, PreviewFile};
use crate::domain::render_inputs::RenderInputs;

/// More findings of *render* help nobody, and each costs another try.
const MOST: usize = 50;
/// What has to be read of a commit for [`check`]: what [`super::wanted`] asks for, or the paths that can be made out
/// in a preview file which is wrong elsewhere.
#[must_use]
pub fn wanted(tree: &FileTree) -> Wanted {
    let asked = super::wanted(tree);
    let (Wanted::All(paths), Some(bytes)) = (&asked, tree.get(PREVIEW_FILE)) else { return asked };
    if !paths.is_empty() {
        return asked;
    }
    let limits = RenderLimits::default();
    let documents = text::read(bytes, PREVIEW_FILE, limits.file_bytes).unwrap_or_default();
    let apps = documents.first().and_then(|document| document.get("apps")?.elements());
    let apps = apps.unwrap_or_default().iter().take(MOST);
    let mut found = BTreeSet::new();
    for app in apps.filter_map(|app| path_alone(app.get("path")?)) {
        found.extend(super::wanted::of_app(tree, &app, limits));
    }
    Wanted::All(found.into_iter().collect())
}

/// `inputs` with the hosts that a camp of its own gets for `exposed`, and all hosts of that camp.
#[must_use]
pub fn with_hosts(
    inputs: &RenderInputs,
    url: &Url,
    exposed: &[&str],
) -> (RenderInputs, Vec<String>) {
    let assigned = hosts::assign(&inputs.environment, url, exposed, &[]);
    let mut inputs = RenderInputs { app_hosts: hosts::by_app(&assigned), ..inputs.clone() };
    if let Some(own) = assigned.first() {
        inputs.host.clone_from(&own.host);
        inputs.url.clone_from(&own.url);
    }
    (inputs, assigned.into_iter().map(|one| one.host).collect())
}

/// The path of an app that is nothing but a path: in its normal form, when it is one that may be read.
fn path_alone(path: &Node) -> Option<App> {
    let position = path.position;
    let node = |value| Node { value, position };
    let key = |name: &str| Key { name: name.to_owned(), position };
    let name = node(NodeValue::Scalar("app".into()));
    let app = node(NodeValue::Mapping(vec![(key("name"), name), (key("path"), path.clone())]));
    let apps = node(NodeValue::Sequence(vec![app]));
    let file = PreviewFile::from_document(&node(NodeValue::Mapping(vec![(key("apps"), apps)])));
    file.ok()?.apps.into_iter().next()
}

/// What [`check`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// In the order of files and lines.
    pub findings: Vec<Finding>,
    /// What people should know, though nothing is wrong.
    pub notes: Vec<String>,
    /// How many objects could be rendered.
    pub objects: usize,
    /// Whether all was rendered that there is.
    pub whole: bool,
}

/// Everything that is wrong with `tree`, from preview file to guard, for an environment that has no hosts yet.
pub async fn check(
    tree: &FileTree,
    inputs: &RenderInputs,
    policy: &Policy,
    tools: &dyn Tools,
) -> Checked {
    let limits = RenderLimits::of(&policy.limits);
    let tried = until_nothing_is_left(tree, inputs, policy, tools).await;
    let mut findings: Vec<Finding> = tried.errors.iter().map(RenderError::finding).collect();
    let (mut notes, mut objects) = (Vec::new(), 0);
    if let Some(Last { rendered, tree, inputs, hosts }) = &tried.last {
        let bundle = &rendered.bundle;
        let policy = GuardPolicy::of(policy, &inputs.namespace, hosts);
        findings.extend(guard(bundle, &policy).iter().map(|f| Finding::of_guard(f, bundle)));
        findings.extend(unquoted(tree, inputs, limits, rendered));
        objects = bundle.objects.len();
        if tried.whole {
            notes.extend(rendered.chosen.guess());
            notes.extend(rendered.notes.iter().map(ToString::to_string));
            notes.extend(rendered.definitions.iter().map(Definition::note_unasked));
        }
    }
    finding::sort(&mut findings);
    Checked { findings, notes, objects, whole: tried.whole }
}

/// What came out when all mistakes were taken out.
struct Tried {
    errors: Vec<RenderError>,
    /// Nothing had to be taken out.
    whole: bool,
    last: Option<Last>,
}

/// The try that went through.
struct Last {
    rendered: Rendered,
    tree: FileTree,
    inputs: RenderInputs,
    hosts: Vec<String>,
}

async fn until_nothing_is_left(
    tree: &FileTree,
    inputs: &RenderInputs,
    policy: &Policy,
    tools: &dyn Tools,
) -> Tried {
    let limits = RenderLimits::of(&policy.limits);
    let mut mend = Mend { tree: tree.clone(), limits, keys_taken: false, files_taken: false };
    let mut errors: Vec<RenderError> = Vec::new();
    let mut seen: Vec<RenderError> = Vec::new();
    loop {
        let (planned, exposed) = match plan(&mend.tree, limits) {
            Ok(plan) => (true, plan.exposed().into_iter().map(str::to_owned).collect()),
            Err(_) => (false, Vec::<String>::new()),
        };
        let exposed: Vec<&str> = exposed.iter().map(String::as_str).collect();
        let (inputs, hosts) = with_hosts(inputs, &policy.url, &exposed);
        let error = match render(&mend.tree, &inputs, limits, tools).await {
            Ok(rendered) => {
                let whole = seen.is_empty();
                let last = Last { rendered, tree: mend.tree, inputs, hosts };
                return Tried { errors, whole, last: Some(last) };
            }
            Err(error) => error,
        };
        // The same again: taking it out did not help.
        if seen.contains(&error) || errors.len() >= MOST {
            return Tried { errors, whole: false, last: None };
        }
        let follows = mend.follows(&error, planned)
            || matches!(error, RenderError::Namespaces { .. })
                && errors.iter().any(|one| matches!(one, RenderError::Namespaces { .. }));
        let mended = mend.take_out(&error);
        if !follows {
            errors.push(error.clone());
        }
        seen.push(error);
        if !mended || seen.len() >= 2 * MOST {
            return Tried { errors, whole: false, last: None };
        }
    }
}

/// A copy of the files, from which mistakes are taken out.
struct Mend {
    tree: FileTree,
    limits: RenderLimits,
    /// Something of the preview file is gone.
    keys_taken: bool,
    /// Something of the other files is gone.
    files_taken: bool,
}

impl Mend {
    /// Whether `error` may come from what was taken out, and from nothing that somebody wrote.
    fn follows(&self, error: &RenderError, planned: bool) -> bool {
        match error {
            RenderError::Template { message, .. } => {
                self.keys_taken && message.contains("\"params.")
            }
            RenderError::Parameter { .. } => self.keys_taken,
            // The preview file itself is fine: a route or an image misses an object.
            RenderError::PreviewFile { .. } => planned && self.files_taken,
            _ => false,
        }
    }

    /// Takes out what `error` is about; `false` when there is nothing to take out.
    fn take_out(&mut self, error: &RenderError) -> bool {
        match error {
            RenderError::PreviewFile { place, .. } | RenderError::Parameter { place, .. } => {
                self.key_of_preview_file(place)
            }
            RenderError::PathMissing { place, .. } => {
                self.app_at(place) || self.key_of_preview_file(place)
            }
            RenderError::Manifest { place, .. }
            | RenderError::Namespaces { place, .. }
            | RenderError::Duplicate { second: place, .. } => {
                self.app_of(place) || self.document(place) || self.file(place)
            }
            RenderError::Yaml { place, .. } | RenderError::Template { place, .. } => {
                self.app_of(place) || self.file(place)
            }
            RenderError::Tool { place, .. } | RenderError::Unavailable { place, .. } => {
                self.app_of(place)
            }
            RenderError::Unsupported { place, .. } if place.file == PREVIEW_FILE => {
                self.app_at(place) || self.key_of_preview_file(place)
            }
            RenderError::Unsupported { place, .. } => {
                let directory = place.file.rsplit_once('/').map_or(".", |(directory, _)| directory);
                directory != "." && self.directory(directory)
            }
            // A template is one file; what else is too much is the sum of many.
            RenderError::TooMuch { place, .. }
                if Path::new(&place.file).extension().is_some_and(|found| found == "hbs") =>
            {
                self.app_of(place) || self.file(place)
            }
            RenderError::TooMuch { .. }
            | RenderError::Failed { .. }
            | RenderError::Inputs { .. } => false,
        }
    }

    /// The app whose path stands at `place` in the preview file.
    fn app_at(&mut self, place: &Place) -> bool {
        let apps = plan_of(&self.tree, self.limits);
        apps.iter().any(|app| Some(app.position) == place.position) && self.element(place)
    }

    /// The chart or overlay that `place` is in, or is the path of: a part of it is no chart any more.
    fn app_of(&mut self, place: &Place) -> bool {
        let apps = plan_of(&self.tree, self.limits);
        let inside = |app: &&App| {
            app.path == "."
                || place.file == app.path
                || place.file.strip_prefix(&app.path).is_some_and(|rest| rest.starts_with('/'))
        };
        let by_tool = |app: &&App| Renderer::of(&self.tree, &app.path) != Renderer::Files;
        let Some(app) = apps.iter().filter(by_tool).find(inside) else { return false };
        let at = Place { file: PREVIEW_FILE.to_owned(), position: Some(app.position) };
        self.element(&at)
    }

    /// The whole entry of `apps` around `place`.
    fn element(&mut self, place: &Place) -> bool {
        let (Some(position), Some(document)) = (place.position, self.preview_file()) else {
            return false;
        };
        let mut entries = Vec::new();
        collect_entries(&document, None, &mut entries);
        let around = |entry: &&EntryPlace| {
            entry
                .parent
                .is_some_and(|parent| entries.get(parent).is_some_and(|p| p.parent.is_none()))
                && entry.begin <= position
                && entry.last >= position
        };
        let Some(entry) = entries.iter().find(around) else { return false };
        self.entry(entry, &entries)
    }

    fn file(&mut self, place: &Place) -> bool {
        if place.file == PREVIEW_FILE || self.tree.get(&place.file).is_none() {
            return false;
        }
        // An app that is one file must stay there; an empty file holds no document.
        self.tree.insert(place.file.as_str(), "");
        self.files_taken = true;
        true
    }

    /// Makes the lines of one document empty; the others keep their numbers. Lines of a template are not those of
    /// the text that was filled.
    fn document(&mut self, place: &Place) -> bool {
        let (file, Some(position)) = (place.file.as_str(), place.position) else { return false };
        let is_template = file.rsplit('.').next() == Some("hbs");
        let Some(Ok(text)) = self.tree.get(file).map(std::str::from_utf8) else { return false };
        if is_template || position.line == 0 {
            return false;
        }
        let lines: Vec<&str> = text.split('\n').collect();
        let marks = |line: &&str| line.starts_with("---");
        let at = (position.line - 1).min(lines.len());
        let begin = lines.iter().take(at).rposition(marks).map_or(0, |mark| mark + 1);
        let end = lines.iter().skip(at).position(marks).map_or(lines.len(), |rest| at + rest);
        self.files_taken = true;
        self.empty_lines(file, begin, end)
    }

    /// `false` when these lines were empty already.
    fn empty_lines(&mut self, file: &str, begin: usize, end: usize) -> bool {
        let Some(Ok(text)) = self.tree.get(file).map(std::str::from_utf8) else { return false };
        let mut lines: Vec<&str> = text.split('\n').collect();
        let mut changed = false;
        for line in lines.iter_mut().take(end).skip(begin) {
            changed |= !line.is_empty();
            *line = "";
        }
        let text = lines.join("\n");
        self.tree.insert(file, text);
        changed
    }

    /// Everything in a directory.
    fn directory(&mut self, path: &str) -> bool {
        let gone: BTreeSet<&str> = self.tree.below(path).map(|(file, _)| file).collect();
        if gone.is_empty() {
            return false;
        }
        self.files_taken = true;
        let kept = self.tree.iter().filter(|(file, _)| !gone.contains(file)).collect();
        self.tree = kept;
        // The path of an app must still be there. The ending of this name is no manifest's.
        self.tree.insert(format!("{path}/bivouac-check.placeholder"), "");
        true
    }

    fn preview_file(&self) -> Option<Node> {
        let bytes = self.tree.get(PREVIEW_FILE)?;
        text::read(bytes, PREVIEW_FILE, self.limits.file_bytes).ok()?.into_iter().next()
    }

    /// Makes the lines of the key or element at `place` empty, with all that stands on them. Taken back when no app is
    /// left after it: what would be found next, nobody wrote.
    fn key_of_preview_file(&mut self, place: &Place) -> bool {
        let (Some(position), Some(document)) = (place.position, self.preview_file()) else {
            return false;
        };
        let mut entries = Vec::new();
        collect_entries(&document, None, &mut entries);
        let about = |entry: &&EntryPlace| entry.begin == position || entry.value == position;
        let Some(inner) = entries.iter().rfind(about) else { return false };
        self.entry(inner, &entries)
    }

    /// The lines of `inner`, with all that stands on them and a key that would be left without a value.
    fn entry(&mut self, inner: &EntryPlace, entries: &[EntryPlace]) -> bool {
        let mut entry = inner;
        while let Some(parent) = entry.parent.and_then(|parent| entries.get(parent)) {
            let siblings = entries.iter().filter(|other| other.parent == entry.parent).count();
            if siblings > 1 && parent.begin.line != entry.begin.line {
                break;
            }
            entry = parent;
        }
        let next =
            entries.iter().map(|other| other.begin).filter(|begin| *begin > entry.last).min();
        let end = next.map_or(usize::MAX, |next| next.line.saturating_sub(1));
        let before = self.tree.get(PREVIEW_FILE).map(<[u8]>::to_vec).unwrap_or_default();
        let changed = self.empty_lines(PREVIEW_FILE, entry.begin.line - 1, end);
        let document = self.preview_file();
        let apps = document.as_ref().and_then(|file| file.get("apps")?.elements());
        if apps.is_none_or(<[Node]>::is_empty) {
            self.tree.insert(PREVIEW_FILE, before);
            return false;
        }
        self.keys_taken |= changed;
        changed
    }
}

/// The apps of the preview file, when it can be read.
fn plan_of(tree: &FileTree, limits: RenderLimits) -> Vec<App> {
    let Some(bytes) = tree.get(PREVIEW_FILE) else { return Vec::new() };
    let documents = text::read(bytes, PREVIEW_FILE, limits.file_bytes).unwrap_or_default();
    let file = documents.first().map(PreviewFile::from_document);
    file.and_then(Result::ok).map(|file| file.apps).unwrap_or_default()
}

/// A member of a mapping or an element of a list.
struct EntryPlace {
    begin: Position,
    value: Position,
    /// Where the last thing in it begins.
    last: Position,
    /// Index of the entry around it.
    parent: Option<usize>,
}

/// Entries in the order of the text, outer ones before what they hold.
fn collect_entries(node: &Node, parent: Option<usize>, found: &mut Vec<EntryPlace>) {
    let children: Vec<(Position, &Node)> = match &node.value {
        NodeValue::Scalar(_) => return,
        NodeValue::Sequence(elements) => elements.iter().map(|e| (e.position, e)).collect(),
        NodeValue::Mapping(members) => {
            members.iter().map(|(key, value)| (key.position, value)).collect()
        }
    };
    for (begin, value) in children {
        let index = found.len();
        let last = value.position;
        found.push(EntryPlace { begin, value: value.position, last, parent });
        collect_entries(value, Some(index), found);
        let last = found[index..].iter().map(|e| e.begin.max(e.value)).max().unwrap_or(begin);
        found[index].last = last;
    }
}

/// Values of templates that stand without quotes, and are no text or will not be for the next commit.
fn unquoted(
    tree: &FileTree,
    inputs: &RenderInputs,
    limits: RenderLimits,
    rendered: &Rendered,
) -> Vec<Finding> {
    let Ok(plan) = plan(tree, limits) else { return Vec::new() };
    let mut findings = Vec::new();
    for app in &plan.apps {
        let context = inputs.context(&app.name, &rendered.parameters);
        let partials = Partials::of(tree.below(&app.path));
        let templates: Vec<&str> = match Renderer::of(tree, &app.path) {
            Renderer::Files => tree.below(&app.path).map(|(path, _)| path).collect(),
            // Only values files are ours; the chart's own templates are Helm's.
            Renderer::Helm => app.values.iter().map(|file| file.path.as_str()).collect(),
            Renderer::Kustomize => Vec::new(),
        };
        let is_template = |path: &&str| {
            (path.ends_with(".yaml.hbs") || path.ends_with(".yml.hbs"))
                && handlebars::partial_name(path).is_none()
        };
        for path in templates.into_iter().filter(is_template) {
            let bytes = tree.get(path).unwrap_or_default();
            let Ok(filled) = handlebars::fill(bytes, &context, limits.file_bytes, &partials) else {
                continue;
            };
            for found in yaml::unquoted(&filled, &YamlLimits::of_file(limits.file_bytes)) {
                let message = format!("{}: {}", found.path, found.message);
                let finding = Finding::of(BuildRule::UnquotedValue, message);
                let finding = finding.at(path, Some(found.position));
                findings.push(Finding { hint: found.hint, ..finding });
            }
        }
    }
    findings
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
