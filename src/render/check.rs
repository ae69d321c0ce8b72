//! PURE but for [`Tools`] · files of a commit → everything that is wrong with them, as far as it can be seen at once.
//!
//! [`super::render`] stops at the first mistake. Here that mistake is noted and taken out of a copy of the files (a
//! document, a file, a key of the preview file), and the rest is rendered again, until nothing is wrong or nothing is
//! left to take out. So the first finding is always what the service says, and none is made up by a second reader.

use std::collections::BTreeSet;

use super::tools::{NoTools, Tools};
use super::{Place, RenderError, RenderLimits, Rendered, render, text};
use crate::domain::bundle::{Bundle, BundleObject};
use crate::domain::document::{Key, Node, NodeValue, Position, pointer_token};
use crate::domain::file_tree::{FileTree, Wanted};
use crate::domain::finding::{self, BuildRule, Finding, Severity};
use crate::domain::guard::{GuardPolicy, guard};
use crate::domain::id::Revision;
use crate::domain::preview_file::{PREVIEW_FILE, PreviewFile};
use crate::domain::render_inputs::RenderInputs;

/// More findings of *render* help nobody, and each costs another try.
const MOST: usize = 50;
/// Put where a path is missing, so that the other apps are looked at. Its ending is no manifest's.
const PLACEHOLDER: &str = "bivouac-check.placeholder";

/// What has to be read of a commit for [`check`]: what [`super::wanted`] asks for, or the paths that can be made out
/// in a preview file which is wrong elsewhere.
#[must_use]
pub fn wanted(preview_file: Option<&[u8]>) -> Wanted {
    let asked = super::wanted(preview_file);
    let (Wanted::All(paths), Some(bytes)) = (&asked, preview_file) else { return asked };
    if !paths.is_empty() {
        return asked;
    }
    let limits = RenderLimits::default();
    let documents = text::read(bytes, PREVIEW_FILE, limits.file_bytes).unwrap_or_default();
    let apps = documents.first().and_then(|document| document.get("apps")?.elements());
    let paths = apps.unwrap_or_default().iter().filter_map(|app| path_alone(app.get("path")?));
    Wanted::All(paths.collect())
}

/// The path of an app that is nothing but a path: in its normal form, when it is one that may be read.
fn path_alone(path: &Node) -> Option<String> {
    let position = path.position;
    let node = |value| Node { value, position };
    let key = |name: &str| Key { name: name.to_owned(), position };
    let name = node(NodeValue::Scalar("app".into()));
    let app = node(NodeValue::Mapping(vec![(key("name"), name), (key("path"), path.clone())]));
    let apps = node(NodeValue::Sequence(vec![app]));
    let file = PreviewFile::from_document(&node(NodeValue::Mapping(vec![(key("apps"), apps)])));
    file.ok()?.apps.into_iter().next().map(|app| app.path)
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

/// Everything that is wrong with `tree`, from preview file to guard.
pub async fn check(
    tree: &FileTree,
    inputs: &RenderInputs,
    limits: RenderLimits,
    policy: &GuardPolicy,
    tools: &dyn Tools,
) -> Checked {
    let tried = until_nothing_is_left(tree, inputs, limits, tools).await;
    let whole = tried.errors.is_empty();
    let mut findings: Vec<Finding> = tried.errors.iter().map(RenderError::finding).collect();
    let (mut notes, mut objects) = (Vec::new(), 0);
    if let Some(Rendered { bundle, notes: rendered_notes, .. }) = &tried.rendered {
        findings.extend(guard(bundle, policy).iter().map(|f| Finding::of_guard(f, bundle)));
        objects = bundle.objects.len();
        if whole {
            notes.clone_from(rendered_notes);
            findings.extend(unquoted(tree, inputs, limits, bundle).await);
        }
    }
    finding::sort(&mut findings);
    Checked { findings, notes, objects, whole }
}

/// What came out when all mistakes were taken out.
struct Tried {
    errors: Vec<RenderError>,
    rendered: Option<Rendered>,
}

async fn until_nothing_is_left(
    tree: &FileTree,
    inputs: &RenderInputs,
    limits: RenderLimits,
    tools: &dyn Tools,
) -> Tried {
    let mut mend = Mend { tree: tree.clone(), limits, keys_taken: false };
    let mut errors: Vec<RenderError> = Vec::new();
    loop {
        let error = match render(&mend.tree, inputs, limits, tools).await {
            Ok(rendered) => return Tried { errors, rendered: Some(rendered) },
            Err(error) => error,
        };
        // The same again: taking it out did not help.
        if errors.contains(&error) {
            return Tried { errors, rendered: None };
        }
        let mended = mend.take_out(&error);
        // A template may miss a parameter that stood in the key that was taken out.
        let follows = mend.keys_taken
            && matches!(&error, RenderError::Template { message, .. } if message.contains("\"params."));
        if !follows {
            errors.push(error);
        }
        if !mended || errors.len() >= MOST {
            return Tried { errors, rendered: None };
        }
    }
}

/// A copy of the files, from which mistakes are taken out.
struct Mend {
    tree: FileTree,
    limits: RenderLimits,
    keys_taken: bool,
}

impl Mend {
    /// Takes out what `error` is about; `false` when there is nothing to take out.
    fn take_out(&mut self, error: &RenderError) -> bool {
        match error {
            RenderError::PreviewFile { place, .. } => {
                let taken = self.key_of_preview_file(place);
                self.keys_taken |= taken;
                taken
            }
            RenderError::PathMissing { place, .. } => self.missing_path(place),
            RenderError::Manifest { place, .. } | RenderError::Duplicate { second: place, .. } => {
                self.document(place) || self.file(place)
            }
            RenderError::Yaml { place, .. } | RenderError::Template { place, .. } => {
                self.file(place)
            }
            RenderError::Unsupported { path, .. } => self.app(path),
            RenderError::TooMuch { .. } | RenderError::Inputs { .. } => false,
        }
    }

    fn file(&mut self, place: &Place) -> bool {
        if place.file == PREVIEW_FILE || self.tree.get(&place.file).is_none() {
            return false;
        }
        // An app that is one file must stay there; an empty file holds no document.
        self.tree.insert(place.file.as_str(), "");
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

    /// Everything below the path of an app that another program renders.
    fn app(&mut self, path: &str) -> bool {
        let kept: FileTree = {
            let gone: BTreeSet<&str> = self.tree.below(path).map(|(file, _)| file).collect();
            if gone.is_empty() {
                return false;
            }
            let keep = |file: &str| file == PREVIEW_FILE || !gone.contains(file);
            self.tree.iter().filter(|(file, _)| keep(file)).collect()
        };
        self.tree = kept;
        self.placeholder(path);
        true
    }

    fn placeholder(&mut self, path: &str) {
        let below = if path == "." { String::new() } else { format!("{path}/") };
        self.tree.insert(format!("{below}{PLACEHOLDER}"), "");
    }

    /// Makes the path be there, and empty.
    fn missing_path(&mut self, place: &Place) -> bool {
        let Some(position) = place.position else { return false };
        let Some(document) = self.preview_file() else { return false };
        let apps = PreviewFile::from_document(&document).map(|file| file.apps).unwrap_or_default();
        let Some(app) = apps.into_iter().find(|app| app.position == position) else {
            return self.key_of_preview_file(place);
        };
        self.placeholder(&app.path);
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
        // What stands on the same line goes too, and a key that would be left without a value.
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
        changed
    }
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

/// Values of templates that this commit's hash or branch makes a string and another's a number.
///
/// The templates are filled once more, as for a commit and a branch of digits only: what is no string any more stood
/// there without quotes.
async fn unquoted(
    tree: &FileTree,
    inputs: &RenderInputs,
    limits: RenderLimits,
    bundle: &Bundle,
) -> Vec<Finding> {
    let templates: BTreeSet<&str> =
        tree.iter().map(|(path, _)| path).filter(|path| path.ends_with(".hbs")).collect();
    if templates.is_empty() {
        return Vec::new();
    }
    let Ok(revision) = Revision::parse(&"1".repeat(40)) else { return Vec::new() };
    let probe = RenderInputs { revision, branch_slug: "2024".into(), ..inputs.clone() };
    // Charts and overlays take values that were parsed before: nothing lands unquoted there.
    let tools = NoTools::because("only templates are tried");
    let tried = until_nothing_is_left(tree, &probe, limits, &tools).await;
    let mut findings = Vec::new();
    for error in &tried.errors {
        if let RenderError::Manifest { place, message } = error
            && templates.contains(place.file.as_str())
        {
            let message = format!(
                "for a commit or branch of digits only this is refused ({message}); line of the filled template"
            );
            findings.push(
                Finding {
                    severity: Severity::Warning,
                    ..Finding::of(BuildRule::UnquotedValue, message)
                }
                .at(&place.file, place.position),
            );
        }
    }
    let other = tried.rendered.map(|rendered| rendered.bundle.objects).unwrap_or_default();
    for object in &bundle.objects {
        if !templates.contains(object.origin.file.as_str()) {
            continue;
        }
        let same = |o: &&BundleObject| o.origin == object.origin && o.app == object.app;
        let Some(twin) = other.iter().find(same) else { continue };
        let mut pointers = Vec::new();
        strings_that_changed(&object.json, &twin.json, "", &mut pointers);
        for pointer in pointers {
            let message = "this value stands without quotes: for a commit or branch of digits only it is read as a \
                           number (line of the filled template)";
            let position = object.positions.get(&pointer).copied();
            findings.push(Finding {
                object: Some(object.identity().to_string()),
                field: Some(pointer),
                ..Finding::of(BuildRule::UnquotedValue, message).at(&object.origin.file, position)
            });
        }
    }
    findings
}

fn strings_that_changed(
    one: &serde_json::Value,
    two: &serde_json::Value,
    pointer: &str,
    found: &mut Vec<String>,
) {
    use serde_json::Value;
    match (one, two) {
        (Value::String(_), Value::Number(_) | Value::Bool(_) | Value::Null) => {
            found.push(pointer.to_owned());
        }
        (Value::Object(one), Value::Object(two)) => {
            for (key, value) in one {
                if let Some(other) = two.get(key) {
                    let below = format!("{pointer}/{}", pointer_token(key));
                    strings_that_changed(value, other, &below, found);
                }
            }
        }
        (Value::Array(one), Value::Array(two)) => {
            for (index, (value, other)) in one.iter().zip(two).enumerate() {
                strings_that_changed(value, other, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
