//! Branches that have an environment each: what a record of one is read from, and what the sweep compares. I/O with the
//! forge.
//!
//! A branch is gone when its reference is not found while its repository answers with the recorded id, and by nothing
//! else: a repository that was deleted, made anew or hidden proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::error::ReconcileError;
use super::record::Record;
use crate::crd::{Environment, HeadStatus, SourcePhase, Timestamp};
use crate::domain::id::{PrNumber, Revision};
use crate::domain::policy::{At, Policy};
use crate::domain::status::bounded;
use crate::forge::{Forge, ForgeError};

/// Branches that one Repository may have environments of.
const MOST_BRANCHES: usize = 200;

/// Branches that are not listed and asked for in one sweep.
const MOST_ASKED: usize = 20;

/// What a record is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    PullRequest(PrNumber),
    Branch(String),
}

impl Subject {
    /// What a record is of.
    pub(super) fn of(record: &Environment) -> Self {
        let source = &record.spec.source;
        match source.branch_name() {
            Some(name) => Self::Branch(name.to_owned()),
            None => Self::PullRequest(PrNumber(source.number().unwrap_or_default())),
        }
    }
}

/// Name of the branch of a record; `None` for a pull request's.
pub(super) fn branch_of(record: &Record) -> Option<&str> {
    record.stored().spec.source.branch_name()
}

/// Which commit is rendered: of a branch always its head.
pub(super) fn at(record: &Record, policy: &Policy) -> At {
    if branch_of(record).is_some() { At::Head } else { policy.at }
}

/// Where a branch is now; `None` when it is proven to be gone.
pub(super) async fn tip(
    forge: &Forge,
    expected: i64,
    name: &str,
) -> Result<Option<Revision>, ReconcileError> {
    let found = forge.branch(name).await.map_err(ReconcileError::Forge)?;
    // Asked after it, and always: a name may have come to another repository.
    let info = forge.repository().await.map_err(ReconcileError::Forge)?;
    if u64::try_from(expected).ok() != Some(info.id) {
        let name = forge.name().to_string();
        return Err(ReconcileError::AnotherRepository { name, expected, found: info.id });
    }
    Ok(found)
}

/// Notes what was read of a branch.
pub(super) fn note_head(
    record: &mut Record,
    name: &str,
    tip: Option<&Revision>,
    now: chrono::DateTime<chrono::Utc>,
) {
    let before = record.status.head.take();
    let state = if tip.is_some() { SourcePhase::Open } else { SourcePhase::Closed };
    record.status.closed_at = match state {
        SourcePhase::Open => None,
        SourcePhase::Closed => record.status.closed_at.or(Some(now.into())),
    };
    // A branch that is gone was last where it was last seen.
    let known = before.as_ref().map(|head| head.revision.clone());
    let revision = tip.map(|tip| tip.as_str().to_owned()).or(known);
    let Some(revision) = revision else {
        record.status.head = Some(head(name, "0".repeat(40), state, now.into()));
        return;
    };
    let seen_at = match &before {
        Some(before) if before.revision == revision => before.seen_at,
        _ => now.into(),
    };
    record.status.head = Some(head(name, revision, state, seen_at));
}

fn head(name: &str, revision: String, state: SourcePhase, seen_at: Timestamp) -> HeadStatus {
    HeadStatus {
        base: revision.clone(),
        revision,
        merge: None,
        merged_with: None,
        merge_awaited: None,
        merge_asked: None,
        conflict: false,
        state,
        draft: false,
        merged: false,
        labels: Vec::new(),
        branch: bounded(name, 255),
        base_branch: bounded(name, 255),
        author: String::new(),
        bot: false,
        fork: false,
        seen_at,
    }
}

/// Where all listed branches are.
pub(super) async fn listed(
    forge: &Forge,
    patterns: &[String],
) -> Result<BTreeMap<String, Revision>, ForgeError> {
    let mut all = BTreeMap::new();
    for pattern in patterns {
        all.extend(forge.branches(pattern).await?);
    }
    let more = all.len().saturating_sub(MOST_BRANCHES);
    if more > 0 {
        tracing::warn!(
            repository = %forge.name(),
            "{more} branches that are listed get no environment: {MOST_BRANCHES} is the most"
        );
        all = all.into_iter().take(MOST_BRANCHES).collect();
    }
    Ok(all)
}

/// Of the open records of branches that are not in `listed`, those whose branch is there all the same, as far as that is
/// known: the Repository does not list it any more, or a list was cut. A bounded number is asked for; the rest counts as
/// there until the next sweep.
pub(super) async fn alive(
    forge: &Forge,
    records: &[Environment],
    listed: &BTreeMap<String, Revision>,
) -> BTreeSet<String> {
    let names = records
        .iter()
        .filter(|record| super::sweep::is_open(record))
        .filter_map(|record| record.spec.source.branch_name())
        .filter(|name| !listed.contains_key(*name));
    let mut alive = BTreeSet::new();
    for (asked, name) in names.enumerate() {
        // What can't be asked is no news.
        let gone = asked < MOST_ASKED && matches!(forge.branch(name).await, Ok(None));
        if !gone {
            alive.insert(name.to_owned());
        }
    }
    alive
}

/// Why the sweep has something to say of a branch's record: it shows another commit, or one that is gone.
pub(super) fn differs(record: &Environment, tip: &Revision) -> bool {
    let head = record.status.as_ref().and_then(|status| status.head.as_ref());
    head.is_some_and(|head| head.revision != tip.as_str() || head.state != SourcePhase::Open)
}
