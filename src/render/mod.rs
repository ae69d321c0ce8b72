//! Files of a commit and inputs in, bundle out. PURE but for the child processes behind [`tools::Tools`].
//!
//! [`wanted`] says which part of a commit is needed, `source` reads it, [`plan()`] says what is to be rendered (hosts are
//! assigned by it), and [`render`] does the rest. The same tree and inputs give the same bytes.
//!
//! An app with `Chart.yaml` goes to Helm, one with `kustomization.yaml` to Kustomize. Any other path is read with
//! everything below it: `*.yaml` and `*.yml` are manifests; with `.hbs` after it (`web.yaml.hbs`) the file's text is a
//! Handlebars template first. Other files (README, scripts) are left alone. What all of them gave then goes through
//! the same transforms.

pub mod check;
pub mod confined;
mod error;
mod findings;
pub mod fuzz_entry;
mod gather;
mod handlebars;
mod helm;
mod helm_chart;
mod helm_words;
mod kustomize;
mod kustomize_check;
mod limits;
mod manifest;
mod plan;
mod strings;
pub mod text;
mod tool_binary;
mod tool_text;
pub mod tools;
mod transform;
mod wanted;
mod yaml;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

pub use self::error::{Note, Place, RenderError};
pub use self::limits::RenderLimits;
pub use self::plan::{Chosen, Plan, plan};
pub use self::wanted::wanted;
pub use self::yaml::{YamlLimit, YamlLimits};
use crate::domain::bundle::{Bundle, BundleObject, RandomField};
use crate::domain::definitions::Definition;
use crate::domain::document::Position;
use crate::domain::file_tree::FileTree;
use crate::domain::preview_file::{PREVIEW_FILE, resolve_parameters};
use crate::domain::render_inputs::RenderInputs;
use gather::{Gathered, Work};
use tools::Tools;

const START: Position = Position { line: 1, column: 1 };

/// What came out of [`render`].
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The objects.
    pub bundle: Bundle,
    /// What was read.
    pub chosen: Chosen,
    /// The wish of the preview file, if it has one.
    pub ttl: Option<Duration>,
    /// What people should know, though nothing is wrong.
    pub notes: Vec<Note>,
    /// Definitions that were taken out. The cluster must have them already: [`Definition::lacking`].
    pub definitions: Vec<Definition>,
    /// The values that hold for the parameters of the preview file.
    pub parameters: BTreeMap<String, serde_json::Value>,
}

/// Renders what `tree` holds for `inputs`. The tree is what [`wanted`] asked for, with the preview file if there is
/// one; it may hold more.
///
/// What takes long does not hold up other tasks of a runtime with several threads; on one with a single thread, which a
/// simulation has, it runs in place.
pub async fn render(
    tree: &FileTree,
    inputs: &RenderInputs,
    limits: RenderLimits,
    tools: &dyn Tools,
) -> Result<Rendered, RenderError> {
    if let Some(name) = inputs.unsafe_context_value() {
        return Err(RenderError::Inputs { name });
    }
    let plan = plan(tree, limits)?;
    let rules = &inputs.rules.parameters;
    let parameters =
        resolve_parameters(&plan.parameters, rules, &inputs.parameters).map_err(|problem| {
            RenderError::Parameter {
                place: Place { file: PREVIEW_FILE.to_owned(), position: problem.position },
                message: problem.message,
            }
        })?;
    let mut work = Work::new(tree, inputs, &parameters, limits, tools);
    for (index, app) in plan.apps.iter().enumerate() {
        work.app(app, index).await?;
    }
    let gathered = work.done();
    let Finished { bundle, definitions, notes } =
        aside(|| finish(&plan, inputs, &parameters, limits, gathered))?;
    Ok(Rendered { bundle, chosen: plan.chosen, ttl: plan.ttl, notes, definitions, parameters })
}

/// What [`finish`] makes.
struct Finished {
    bundle: Bundle,
    definitions: Vec<Definition>,
    notes: Vec<Note>,
}

/// Everything that is done when the objects of all apps are there.
fn finish(
    plan: &Plan,
    inputs: &RenderInputs,
    parameters: &BTreeMap<String, serde_json::Value>,
    limits: RenderLimits,
    gathered: Gathered,
) -> Result<Finished, RenderError> {
    let Gathered { mut objects, random, notes: of_apps } = gathered;
    let mut notes = of_apps;
    let mut kept: Vec<usize> = (0..objects.len()).collect();
    let definitions = transform::namespaces(&mut objects, &mut kept, inputs, &mut notes)?;
    transform::accounts(&mut objects, &mut notes);
    for (index, app) in plan.apps.iter().enumerate() {
        let context = inputs.context(&app.name, parameters);
        transform::images(&mut objects, app, index, &context, &mut notes)?;
    }
    for (index, app) in plan.apps.iter().enumerate() {
        let context = inputs.context(&app.name, parameters);
        objects.extend(transform::expose(&objects, app, index, inputs, &context)?);
    }
    if let Some(at) = inputs.redeploy.as_ref().and_then(|redeploy| redeploy.restart.as_deref()) {
        transform::restart(&mut objects, at);
    }
    distinct(&objects)?;
    transform::declared_hooks(&mut objects, &plan.hooks)?;
    if objects.len() > limits.objects {
        return Err(gather::too_many(&objects[limits.objects], limits));
    }
    let mut random: Vec<RandomField> = random
        .into_iter()
        .filter_map(|(object, pointer)| {
            let at = kept.iter().position(|index| *index == object)?;
            Some(RandomField { object: objects.get(at)?.identity(), pointer })
        })
        .collect();
    random.sort();
    random.dedup();
    notes.extend(of_random(&random));
    let (mut bundle, bytes) = Bundle::measured(objects, inputs.inputs_digest());
    bundle.random = random;
    bundle.delete_data = plan.delete_data;
    if bytes > limits.rendered_bytes {
        let most = limits.rendered_bytes;
        let message = format!("the bundle has more than {most} bytes (limits.renderedBytes)");
        let place = Place::file(plan.apps.first().map_or(PREVIEW_FILE, |app| &app.path));
        return Err(RenderError::TooMuch { place, message });
    }
    Ok(Finished { bundle, definitions, notes })
}

/// No two objects overwrite each other.
fn distinct(objects: &[BundleObject]) -> Result<(), RenderError> {
    let mut seen = HashMap::with_capacity(objects.len());
    for object in objects {
        if let Some(first) = seen.insert(object.names(), object) {
            return Err(RenderError::Duplicate {
                object: object.identity().to_string(),
                first: place_of(first),
                second: place_of(object),
            });
        }
    }
    Ok(())
}

/// Where an object begins.
fn place_of(object: &BundleObject) -> Place {
    Place::at(&object.origin.file, object.positions.get("").copied().unwrap_or_default())
}

/// One note about what a chart drew at random.
fn of_random(random: &[RandomField]) -> Option<Note> {
    const SHOWN: usize = 5;
    if random.is_empty() {
        return None;
    }
    let mut fields: Vec<String> = random
        .iter()
        .take(SHOWN)
        .map(|field| format!("{} {}", field.object, field.pointer))
        .collect();
    if random.len() > SHOWN {
        fields.push(format!("and {} more", random.len() - SHOWN));
    }
    let message = format!(
        "a chart draws these fields at random: {}; they are drawn anew when the inputs change, but for Secrets, which \
         keep theirs",
        fields.join(", ")
    );
    Some(Note::new(message))
}

/// Runs what takes long so that other tasks go on meanwhile, where the runtime can.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_apps;
#[cfg(test)]
mod tests_limits;
