//! Stages *source ▶ render ▶ guard*: the bundle of a commit, or what is wrong with it. I/O: the fetch, and git's objects.

use std::time::Duration;

use super::error::ReconcileError;
use super::fetching::{self, Unfetched};
use super::observe::{self, number_of};
use super::reconcile::Served;
use super::record::Record;
use super::{Context, camp, measure, merge, pin};
use crate::crd::{FindingEntry, NoteEntry, RenderedPath};
use crate::domain::bundle::Bundle;
use crate::domain::definitions::Definition;
use crate::domain::finding::Finding;
use crate::domain::guard::{self, GuardPolicy};
use crate::domain::render_inputs::RenderInputs;
use crate::domain::status::bounded;
use crate::render::{self, Chosen, Note, RenderError, RenderLimits};
use crate::seams::FetchError;
use crate::source::{Prepared, SourceError, SourceRequest, TreeLimits};
use crate::telemetry::metrics::{FETCHES, RENDERS};

/// A fetch of one commit ends within this time.
const FETCH_TIME: Duration = Duration::from_secs(120);
/// Findings that are kept, and notes.
pub(super) const FINDINGS: usize = 20;

/// Why a commit is refused that needs what the cluster does not have.
pub(super) const LACKS: &str = "DefinitionMissing";

/// Why there is no bundle.
pub(super) enum Unbuilt {
    /// The commit is to blame: only another commit or policy helps.
    Refused(Refusal),
    /// Something on the way is.
    Failed(ReconcileError),
}

/// What is wrong with a commit, for people.
pub(super) struct Refusal {
    pub(super) reason: &'static str,
    pub(super) findings: Vec<FindingEntry>,
}

/// Source ▶ render ▶ guard. Hosts that the commit asks for are written down in between, and put into `inputs`.
pub(super) async fn build(
    context: &Context,
    served: &Served,
    record: &mut Record,
    inputs: &mut RenderInputs,
) -> Result<Bundle, Unbuilt> {
    let policy = &served.policy;
    let repository_id = served.repository.status.as_ref().and_then(|status| status.forge.as_ref());
    let request = SourceRequest {
        api_host: context.api_url(&served.repository).to_owned(),
        repository_id: repository_id
            .and_then(|forge| u64::try_from(forge.repository_id).ok())
            .unwrap_or_default(),
        url: context.clone_url(&served.repository),
        credential: None,
        revision: inputs.rendered().clone(),
        pull_request: number_of(record),
        merge_of: inputs.merge.as_ref().map(|_| inputs.revision.clone()),
        timeout: FETCH_TIME,
    };
    let tree_limits = TreeLimits::of(&policy.limits);
    let began = context.clock.now();
    let files = fetching::files(context, &served.forge, request, tree_limits).await;
    let brought = context.clock.now();
    measure::took(context, &FETCHES, outcome(&files), began);
    let Prepared { tree, base } = match files {
        Ok(prepared) => prepared,
        Err(Unfetched::NoToken(error)) => return Err(Unbuilt::Failed(error)),
        Err(Unfetched::Source(error)) => {
            if inputs.merge.is_some() && pin::held(record).is_none() && is_outdated(&error) {
                merge::forget(record);
            }
            // A commit that is gone has no finding: a force push is behind it, and the newer head is on its way.
            return Err(match error.finding() {
                Some(finding) => refused("SourceRefused", &finding),
                None => Unbuilt::Failed(ReconcileError::Source(error)),
            });
        }
    };
    if inputs.merge.is_some() && pin::held(record).is_none() {
        merge::note_base(record, base);
    }
    let limits = RenderLimits::of(&policy.limits);
    record.status.notes.clear();
    let plan = render::plan(&tree, limits).map_err(unrendered)?;
    camp::assign_hosts(context, record, policy, &plan.exposed()).await.map_err(Unbuilt::Failed)?;
    camp::hosts_into(inputs, record);
    let began_to_render = context.clock.now();
    let rendered = render::render(&tree, inputs, limits, context.tools.as_ref()).await;
    measure::took(context, &RENDERS, outcome(&rendered), began_to_render);
    let rendered = rendered.map_err(unrendered)?;
    tracing::debug!(
        environment.name = record.name(),
        "fetched in {} ms, rendered in {} ms",
        (brought - began).num_milliseconds(),
        (context.clock.now() - brought).num_milliseconds()
    );
    record.status.rendered_from = rendered_from(&rendered.chosen);
    record.status.ttl_seconds = rendered.ttl.and_then(|ttl| i64::try_from(ttl.as_secs()).ok());
    record.status.expires_at = observe::end_of(record, policy).map(Into::into);
    let cluster = context.target.facts().await;
    let cluster = cluster.map_err(|error| Unbuilt::Failed(ReconcileError::Apply(error)))?;
    let (lacking, there): (Vec<_>, Vec<_>) = rendered
        .definitions
        .iter()
        .map(|definition| definition.finding(&cluster).ok_or(definition))
        .partition(Result::is_ok);
    let there = there.into_iter().filter_map(Result::err).map(there_already);
    let beside = Beside {
        notes: rendered.notes.iter().map(note_of).chain(there).collect(),
        lacking: lacking.into_iter().flatten().map(|finding| finding_entry(&finding)).collect(),
    };
    allowed(served, record, inputs, rendered.bundle, beside)
}

fn outcome<T, E>(result: &Result<T, E>) -> &'static str {
    if result.is_ok() { "done" } else { "failed" }
}

/// What rendering found out beside the bundle.
#[derive(Default)]
pub(super) struct Beside {
    notes: Vec<NoteEntry>,
    /// What the cluster has to have and has not.
    lacking: Vec<FindingEntry>,
}

/// Stage *guard*: the bundle, when the policy lets it through; its warnings go into the notes.
pub(super) fn allowed(
    served: &Served,
    record: &mut Record,
    inputs: &RenderInputs,
    bundle: Bundle,
    beside: Beside,
) -> Result<Bundle, Unbuilt> {
    let findings = guard::guard(
        &bundle,
        &GuardPolicy::of(&served.policy, &inputs.namespace, &record.status.hosts),
    );
    let (warnings, refusals): (Vec<_>, Vec<_>) =
        findings.iter().partition(|finding| !finding.is_refusal());
    record.status.notes =
        warnings.into_iter().map(warning_of).chain(beside.notes).take(FINDINGS).collect();
    let reason = if refusals.is_empty() { LACKS } else { "GuardRefused" };
    let findings: Vec<_> =
        refusals.into_iter().map(entry_of).chain(beside.lacking).take(FINDINGS).collect();
    if !findings.is_empty() {
        return Err(Unbuilt::Refused(Refusal { reason, findings }));
    }
    Ok(bundle)
}

/// A commit that can't be rendered is refused, unless something else than the commit is to blame.
fn unrendered(error: RenderError) -> Unbuilt {
    match error {
        RenderError::Unavailable { .. } | RenderError::Failed { .. } => {
            Unbuilt::Failed(ReconcileError::Render(error))
        }
        _ => refused("RenderFailed", &error.finding()),
    }
}

/// A commit of which this alone is wrong.
pub(super) fn refused(reason: &'static str, finding: &Finding) -> Unbuilt {
    Unbuilt::Refused(Refusal { reason, findings: vec![finding_entry(finding)] })
}

/// A finding as the record has it.
pub(super) fn finding_entry(finding: &Finding) -> FindingEntry {
    let Finding { rule, name, file, line, message, hint, .. } = finding;
    FindingEntry {
        rule: format!("{rule} {name}"),
        file: file.as_ref().map(|file| bounded(file, 512)),
        line: line.and_then(|line| i32::try_from(line).ok()),
        message: bounded(message, 1024),
        hint: Some(bounded(hint, 512)).filter(|hint| !hint.is_empty()),
    }
}

fn there_already(definition: &Definition) -> NoteEntry {
    NoteEntry {
        rule: None,
        file: Some(bounded(&definition.file, 512)),
        line: i32::try_from(definition.line).ok(),
        message: bounded(&definition.left_out(), 512),
    }
}

fn note_of(note: &Note) -> NoteEntry {
    let place = note.place.as_ref();
    NoteEntry {
        rule: None,
        file: place.map(|place| bounded(&place.file, 512)),
        line: place
            .and_then(|place| place.position)
            .and_then(|position| i32::try_from(position.line).ok()),
        message: bounded(&note.message, 512),
    }
}

fn warning_of(finding: &guard::Finding) -> NoteEntry {
    NoteEntry {
        rule: Some(format!("{} {}", finding.rule.id(), finding.rule.name())),
        file: Some(bounded(&finding.origin.file, 512)),
        line: i32::try_from(finding.origin.line).ok(),
        message: bounded(&format!("{}; {}", finding.message, finding.hint), 512),
    }
}

fn entry_of(finding: &guard::Finding) -> FindingEntry {
    FindingEntry {
        rule: format!("{} {}", finding.rule.id(), finding.rule.name()),
        file: Some(bounded(&finding.origin.file, 512)),
        line: i32::try_from(finding.origin.line).ok(),
        message: bounded(&finding.message, 1024),
        hint: Some(bounded(finding.hint, 512)),
    }
}

fn rendered_from(chosen: &Chosen) -> Vec<RenderedPath> {
    match chosen {
        Chosen::PreviewFile(paths) => paths
            .iter()
            .take(20)
            .map(|path| RenderedPath { path: bounded(path, 512), guessed: false })
            .collect(),
        Chosen::Convention(path) => vec![RenderedPath { path: bounded(path, 512), guessed: true }],
    }
}

/// A test merge that is none any more: the forge made another one, and only asking for it helps.
fn is_outdated(error: &SourceError) -> bool {
    matches!(
        error,
        SourceError::NotTheMerge { .. } | SourceError::Fetch(FetchError::CommitGone { .. })
    )
}
