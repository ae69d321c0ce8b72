//! The sweep: open pull requests of a repository compared with the records, both ways. Writes records and hints only, as
//! the webhook does. I/O with home.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::error::ReconcileError;
use super::{Context, halt};
use crate::crd::{
    Environment, EnvironmentSpec, HINT_ANNOTATION, PullRequestSource, Repository, Source,
    SourcePhase, SweepHalt,
};
use crate::domain::id::{PrNumber, Revision};
use crate::domain::naming;
use crate::domain::pull_request::PullRequest;
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
    tips: &Tips,
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
    for (number, pull_request) in &open {
        if !records.iter().any(|record| record.spec.source.pull_request.number == *number)
            && let Err(error) = create(context, name, repository, pull_request.number).await
        {
            failed.get_or_insert(error);
        }
    }
    let gone: Vec<&Environment> = records
        .iter()
        .filter(|record| !open.contains_key(&record.spec.source.pull_request.number))
        .filter(|record| is_open(record))
        .collect();
    let verdict = halt::weigh(context, name, repository, forge, &gone, camps).await;
    for record in &records {
        let what = match open.get(&record.spec.source.pull_request.number) {
            Some(pull_request) if differs(record, pull_request) => {
                pull_request.head.revision.short()
            }
            Some(pull_request) if is_outdated(record, pull_request, tips) => "base",
            // Not being in the list of open ones proves nothing; the record's own run asks for the proof.
            None if is_open(record) => match verdict.word(record) {
                Some(word) => word,
                None => continue,
            },
            _ => continue,
        };
        if let Err(error) = hint(context, record, what).await {
            failed.get_or_insert(error);
        }
    }
    let camps = i32::try_from(camps).unwrap_or(i32::MAX);
    failed.map_or_else(|| Ok(Swept { camps, halt: verdict.into_halt() }), Err)
}

pub(super) fn has_camp(record: &Environment) -> bool {
    record.status.as_ref().is_some_and(|status| status.namespace_uid.is_some())
}

fn is_open(record: &Environment) -> bool {
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
    number: PrNumber,
) -> Result<(), ReconcileError> {
    let mut record = Environment::new(
        naming::environment_name(name, number).as_str(),
        EnvironmentSpec {
            repository: name.to_owned(),
            source: Source {
                pull_request: PullRequestSource {
                    number: i64::try_from(number.0).unwrap_or(i64::MAX),
                },
            },
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
        Err(error) => Err(ReconcileError::record("make the record of a pull request", error)),
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
