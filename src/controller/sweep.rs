//! The sweep: open pull requests of a repository compared with the records, both ways. Writes records and hints only, as
//! the webhook does. I/O with home.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::error::ReconcileError;
use super::events::{Told, Weight};
use super::{Context, branches, halt, measure};
use crate::crd::{
    Environment, EnvironmentSpec, HINT_ANNOTATION, Repository, Source, SourcePhase, SweepHalt,
};
use crate::domain::id::Revision;
use crate::domain::naming;
use crate::domain::plain::plain;
use crate::domain::pull_request::PullRequest;
use crate::domain::status::bounded;
use crate::forge::{Forge, ForgeError};

/// What came of a sweep.
pub(super) struct Swept {
    /// Camps that stand.
    pub(super) camps: i32,
    /// What it would have ended, when that was too much.
    pub(super) halt: Option<SweepHalt>,
}

/// Compares what is open with the records, both ways. Only hints are written: the decision stays with the record's own
/// run, which reads the forge again. Gives the number of camps, and what was held back.
pub(super) async fn sweep(
    context: &Context,
    name: &str,
    repository: &Repository,
    forge: &Forge,
    open: &[PullRequest],
    (tips, branches): (&Tips, &BTreeMap<String, Revision>),
) -> Result<Swept, ReconcileError> {
    let api = context.environments();
    // All of them: a record that a person made has our label only when that person knew of it.
    let found = api
        .list(&ListParams::default())
        .await
        .map_err(|error| ReconcileError::record("list the records of the Repository", error))?;
    let records: Vec<Environment> =
        found.items.into_iter().filter(|record| record.spec.repository == name).collect();
    let camps = records.iter().filter(|record| has_camp(record)).count();
    let open: BTreeMap<i64, &PullRequest> = open
        .iter()
        .map(|pull_request| {
            (i64::try_from(pull_request.number.0).unwrap_or(i64::MAX), pull_request)
        })
        .collect();
    // One that fails is no reason to leave the others alone; the first error is told at the end.
    let mut failed = None;
    let mut repaired = Repaired::default();
    for (number, pull_request) in &open {
        let source = Source::pull_request(*number);
        if records.iter().any(|record| record.spec.source == source) {
            continue;
        }
        let record_name = naming::environment_name(name, pull_request.number);
        match create(context, name, repository, (&record_name, source)).await {
            Ok(()) => repaired.made.push(source_word(&Source::pull_request(*number))),
            Err(error) => _ = failed.get_or_insert(error),
        }
    }
    for branch in branches.keys() {
        let source = Source::branch(branch);
        if records.iter().any(|record| record.spec.source == source) {
            continue;
        }
        let record_name = naming::branch_environment_name(name, branch);
        match create(context, name, repository, (&record_name, source)).await {
            Ok(()) => repaired.made.push(source_word(&Source::branch(branch))),
            Err(error) => _ = failed.get_or_insert(error),
        }
    }
    let alive = branches::alive(forge, &records, branches).await;
    let listed = |record: &Environment| match &record.spec.source {
        Source { branch: Some(branch), .. } => {
            branches.contains_key(&branch.name) || alive.contains(&branch.name)
        }
        Source { pull_request: Some(one), .. } => open.contains_key(&one.number),
        Source { pull_request: None, branch: None } => true,
    };
    let gone: Vec<&Environment> =
        records.iter().filter(|record| !listed(record) && is_open(record)).collect();
    let verdict = halt::weigh(context, name, repository, forge, &gone, camps).await;
    for record in &records {
        let number = record.spec.source.pull_request.as_ref().map(|one| one.number);
        let tip = record.spec.source.branch_name().and_then(|name| branches.get(name));
        let what = match number.and_then(|number| open.get(&number)) {
            _ if tip.is_some_and(|tip| branches::differs(record, tip)) => {
                tip.map_or("", Revision::short)
            }
            Some(pull_request) if differs(record, pull_request) => {
                pull_request.head.revision.short()
            }
            Some(pull_request) if is_outdated(record, pull_request, tips) => "base",
            // Not being in the list of open ones proves nothing; the record's own run asks for the proof.
            None if !listed(record) && is_open(record) => match verdict.word(record) {
                Some(word) => word,
                None => continue,
            },
            _ => continue,
        };
        match hint(context, record, what).await {
            // One that somebody else has told of is on its way.
            Ok(()) if record.open_hint().is_some() => {}
            Ok(()) => repaired.hinted.push(source_word(&record.spec.source)),
            Err(error) => _ = failed.get_or_insert(error),
        }
    }
    repaired.say(context, repository);
    let camps = i32::try_from(camps).unwrap_or(i32::MAX);
    failed.map_or_else(|| Ok(Swept { camps, halt: verdict.into_halt() }), Err)
}

/// Pull requests and branches of which nobody had told.
#[derive(Default)]
struct Repaired {
    made: Vec<String>,
    hinted: Vec<String>,
}

/// A source as an Event names it: `#7`, or the branch.
fn source_word(source: &Source) -> String {
    match (source.number(), source.branch_name()) {
        (Some(number), _) => format!("#{number}"),
        (None, name) => bounded(&plain(name.unwrap_or_default()), 100),
    }
}

/// Sources that an Event names.
const MOST_NAMED: usize = 20;

impl Repaired {
    /// As metric and Event; a first sweep repairs nothing.
    fn say(self, context: &Context, repository: &Repository) {
        let Self { made, hinted } = self;
        let swept_before =
            repository.status.as_ref().is_some_and(|status| status.last_sweep.is_some());
        if !swept_before || (made.is_empty() && hinted.is_empty()) {
            return;
        }
        measure::repaired_by_sweep(context, "record", made.len());
        measure::repaired_by_sweep(context, "hint", hinted.len());
        let named = |sources: &[String]| {
            let shown: Vec<&str> = sources.iter().take(MOST_NAMED).map(String::as_str).collect();
            let more = if sources.len() > MOST_NAMED { ", …" } else { "" };
            format!("{}{more}", shown.join(", "))
        };
        let mut parts = Vec::new();
        if !made.is_empty() {
            parts.push(format!("open and unknown: {}", named(&made)));
        }
        if !hinted.is_empty() {
            parts.push(format!("changed: {}", named(&hinted)));
        }
        let note = format!("the sweep found what no webhook had told of; {}", parts.join("; "));
        let told = Told::of("SweepRepaired", Weight::Normal, "Sweep", note);
        context.events.tell_at_repository(context, repository, told);
    }
}

pub(super) fn has_camp(record: &Environment) -> bool {
    record.status.as_ref().is_some_and(|status| status.namespace_uid.is_some())
}

pub(super) fn is_open(record: &Environment) -> bool {
    record
        .status
        .as_ref()
        .and_then(|s| s.head.as_ref())
        .is_none_or(|head| head.state == SourcePhase::Open)
}

/// Whether the record shows something else than the forge.
fn differs(record: &Environment, now: &PullRequest) -> bool {
    let Some(head) = record.status.as_ref().and_then(|status| status.head.as_ref()) else {
        return false;
    };
    head.revision != now.head.revision.as_str()
        || head.base != now.base.revision.as_str()
        || head.state != SourcePhase::from(now.state)
        || head.draft != now.draft
        || head.base_branch != now.base.branch
        || !head.labels.iter().eq(now.labels.iter().take(100))
}

/// The commits of base branches, as far as they were asked for.
pub(super) type Tips = BTreeMap<String, Revision>;

/// Base branches that are asked for in one sweep.
const MOST_BRANCHES: usize = 20;

/// Where the base branches are now: one question for each branch, not for each pull request. A list of pull requests
/// does not tell, and GitHub's `base.sha` stays what it was when the head was pushed.
pub(super) async fn tips(forge: &Forge, open: &[PullRequest]) -> Result<Tips, ForgeError> {
    let branches: BTreeSet<&str> = open.iter().map(|pull| pull.base.branch.as_str()).collect();
    let mut tips = Tips::new();
    for branch in branches.into_iter().take(MOST_BRANCHES) {
        if let Some(tip) = forge.branch(branch).await? {
            tips.insert(branch.to_owned(), tip);
        }
    }
    Ok(tips)
}

/// Whether another test merge than the known one is to be expected: the base moved, or may have moved so that the
/// conflict is none any more.
fn is_outdated(record: &Environment, now: &PullRequest, tips: &Tips) -> bool {
    let Some(head) = record.status.as_ref().and_then(|status| status.head.as_ref()) else {
        return false;
    };
    let Some(tip) = tips.get(&now.base.branch) else { return false };
    head.conflict || head.merged_with.as_deref().is_some_and(|with| with != tip.as_str())
}

async fn create(
    context: &Context,
    name: &str,
    repository: &Repository,
    (record_name, source): (&naming::Label, Source),
) -> Result<(), ReconcileError> {
    let mut record = Environment::new(
        record_name.as_str(),
        EnvironmentSpec {
            repository: name.to_owned(),
            source,
            want: crate::crd::Want::Auto,
            approved: None,
            pin: None,
            parameters: BTreeMap::new(),
            lifetime: crate::crd::LifetimeWish::default(),
            power: crate::crd::Power::Auto,
            redeploy: None,
        },
    );
    record.metadata.labels =
        Some(BTreeMap::from([(crate::crd::REPOSITORY_LABEL.to_owned(), name.to_owned())]));
    record.metadata.namespace.clone_from(&repository.metadata.namespace);
    match context.environments().create(&PostParams::default(), &record).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        Err(error) => Err(ReconcileError::record("make the record of a source", error)),
    }
}

async fn hint(context: &Context, record: &Environment, what: &str) -> Result<(), ReconcileError> {
    let name = record.metadata.name.as_deref().unwrap_or_default();
    let value = format!("{}{what}-{}", halt::OF_SWEEP, context.clock.now().timestamp());
    let patch = json!({"metadata": {"annotations": {(HINT_ANNOTATION): value}}});
    match context.environments().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(ReconcileError::record("leave a hint at a record", error)),
    }
}
