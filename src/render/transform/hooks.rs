//! PURE · hooks and waves: annotations of an object → its place in the apply, and hooks of the preview file → annotations
//! of their Jobs. So everything is in the objects, and a stored bundle needs no preview file.

use serde_json::{Map, Value};

use crate::domain::bundle::{BundleObject, Wave};
use crate::domain::document::Position;
use crate::domain::preview_file::{HookRule, PREVIEW_FILE};
use crate::domain::waves::{HOOK, HOOK_RETRIES, HOOK_RUN, HOOK_TIMEOUT, WAVE, asked, is_hook};
use crate::render::{Place, RenderError, place_of};

/// Most hooks of one bundle: each may be in the record twice.
const MAX_HOOKS: usize = 30;

/// Puts an object into its wave. `Some`: it is a hook of a moment that a camp does not have, and is to be left out.
pub(crate) fn place(object: &mut BundleObject) -> Result<Option<&'static str>, RenderError> {
    let found = asked(&object.json).map_err(|bad| {
        let at = object.positions.get(&bad.pointer()).or(object.positions.get("")).copied();
        let place = Place::at(&object.origin.file, at.unwrap_or_default());
        RenderError::Manifest { place, message: bad.message() }
    })?;
    if found.never.is_some() {
        return Ok(found.never);
    }
    if let Some(moment) = found.timing.and_then(crate::domain::waves::Timing::earliest) {
        object.wave = Wave::from(moment);
    }
    // Says which run a hook in the camp was made for: nobody else may.
    if let Some(annotations) = annotations(&mut object.json) {
        annotations.remove(HOOK_RUN);
    }
    Ok(None)
}

/// Makes the Jobs that the preview file names hooks.
pub(crate) fn declared_hooks(
    objects: &mut [BundleObject],
    rules: &[HookRule],
) -> Result<(), RenderError> {
    for rule in rules {
        let is_job = |object: &&mut BundleObject| {
            let identity = object.identity();
            identity.group == "batch" && identity.kind == "Job"
        };
        let of_app = |object: &BundleObject| rule.app.as_ref().is_none_or(|app| *app == object.app);
        let mut jobs: Vec<&mut BundleObject> =
            objects.iter_mut().filter(is_job).filter(|object| of_app(object)).collect();
        let Some(index) = jobs.iter().position(|job| job.identity().name == rule.job) else {
            let mut names: Vec<String> = jobs.iter().map(|job| job.identity().name).collect();
            names.sort_unstable();
            names.truncate(10);
            let there = match names.as_slice() {
                [] => "there is none".to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            let whose = rule
                .app
                .as_ref()
                .map_or("the preview".to_owned(), |app| format!("the app {app:?}"));
            let message = format!("{}.job: {whose} has no Job {:?}; {there}", rule.at(), rule.job);
            return Err(wrong(rule.position, message));
        };
        let job = jobs.swap_remove(index);
        job.wave = Wave::from(rule.moment);
        let Some(annotations) = annotations_of(&mut job.json) else { continue };
        annotations.insert(HOOK.into(), rule.moment.word().into());
        annotations.insert(WAVE.into(), rule.index.to_string().into());
        if let Some(timeout) = rule.timeout {
            annotations.insert(HOOK_TIMEOUT.into(), format!("{}s", timeout.as_secs()).into());
        }
        if let Some(retries) = rule.retries {
            annotations.insert(HOOK_RETRIES.into(), retries.to_string().into());
        }
    }
    let mut hooks = objects.iter().filter(|object| is_hook(object));
    match hooks.nth(MAX_HOOKS) {
        Some(object) => Err(RenderError::TooMuch {
            place: place_of(object),
            message: format!("more than {MAX_HOOKS} hooks"),
        }),
        None => Ok(()),
    }
}

fn wrong(position: Position, message: String) -> RenderError {
    RenderError::PreviewFile { place: Place::at(PREVIEW_FILE, position), message }
}

fn annotations(json: &mut Value) -> Option<&mut Map<String, Value>> {
    json.pointer_mut("/metadata/annotations")?.as_object_mut()
}

/// The annotations of an object, made when it has none.
fn annotations_of(json: &mut Value) -> Option<&mut Map<String, Value>> {
    let annotations = json
        .get_mut("metadata")?
        .as_object_mut()?
        .entry("annotations")
        .or_insert_with(|| Value::Object(Map::new()));
    if annotations.is_null() {
        *annotations = Value::Object(Map::new());
    }
    annotations.as_object_mut()
}
