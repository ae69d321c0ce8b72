//! The brake of the sweep: one that would end more than `max(5, 20 %)` of a Repository's camps ends none, and says so.
//! I/O with the forge: asks for proofs, and only when there are too many.
//!
//! What counts is what *this sweep alone* found: a camp that stands, whose pull request was open and is not in the list
//! of open ones, and that nobody else left a hint for. A webhook, a command, a person with `kubectl annotate` speaks of
//! one pull request: each of those is looked at by the record's own run, however many there are at once. What the forge
//! shows as open when it is asked for it does not count either.

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream};

use super::Context;
use super::branches::Subject;
use crate::crd::{
    ALLOW_TEARDOWN_ANNOTATION, Environment, Repository, RepositoryStatus, SweepHalt, set_condition,
};
use crate::domain::halt::{Ending, digest, is_too_many};
use crate::domain::pull_request::State;
use crate::domain::status::Judgement;
use crate::forge::{Class, Forge};

/// What a hint of the sweep begins with. Nothing else writes such a hint.
pub(super) const OF_SWEEP: &str = "sweep-";
/// The same for what somebody allowed to go.
const ALLOWED: &str = "sweep-allowed-";
/// Name of the condition.
const CONDITION: &str = "SweepHalted";
/// Proofs that are asked for in one sweep; what is beyond counts without.
const MOST_PROOFS: usize = 200;
/// Of them at a time.
const AT_ONCE: usize = 8;
/// Names in `status.halted`.
const MOST_NAMES: usize = 100;
/// Names in the condition's message.
const MOST_TOLD: usize = 10;

/// What the sweep may do with pull requests that are not listed any more.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    held: BTreeSet<String>,
    allowed: BTreeSet<String>,
    halt: Option<SweepHalt>,
}

impl Verdict {
    /// The word of the hint for a record whose pull request is not listed; `None`: leave it alone.
    pub(super) fn word(&self, record: &Environment) -> Option<&'static str> {
        let name = record.metadata.name.as_deref().unwrap_or_default();
        if self.held.contains(name) || is_pending(record) {
            return None;
        }
        Some(if self.allowed.contains(name) { "allowed" } else { "not-listed" })
    }

    /// What is to be written into the Repository's status.
    pub(super) fn into_halt(self) -> Option<SweepHalt> {
        self.halt
    }
}

/// The list that somebody allowed to go; part of what a sweep is made for.
pub(super) fn allowed(repository: &Repository) -> &str {
    let annotations = repository.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(ALLOW_TEARDOWN_ANNOTATION)).map_or("", String::as_str)
}

/// Somebody else, or a sweep that was allowed to, has asked for this very record to be looked at: its own run decides.
fn is_pending(record: &Environment) -> bool {
    record.open_hint().is_some_and(|hint| !hint.starts_with(OF_SWEEP) || hint.starts_with(ALLOWED))
}

fn ending(record: &Environment) -> Ending {
    Ending {
        name: record.metadata.name.clone().unwrap_or_default(),
        uid: record.metadata.uid.clone().unwrap_or_default(),
    }
}

/// Weighs what a sweep found. `gone`: records whose pull request was open and is not listed. `camps`: how many stand.
pub(super) async fn weigh(
    context: &Context,
    name: &str,
    repository: &Repository,
    forge: &Forge,
    gone: &[&Environment],
    camps: usize,
) -> Verdict {
    let counted: Vec<&Environment> = gone
        .iter()
        .copied()
        .filter(|record| super::sweep::has_camp(record) && !is_pending(record))
        .filter(|record| record.metadata.deletion_timestamp.is_none())
        .collect();
    if !is_too_many(counted.len(), camps) {
        return Verdict::default();
    }
    let found: Vec<Ending> = counted.iter().map(|record| ending(record)).collect();
    let before = repository.status.as_ref().and_then(|status| status.halted.as_ref());
    // The very list of the last sweep was proven then.
    let known = before.is_some_and(|before| before.digest == digest(&found));
    let mut endings = if known { found } else { proven(forge, &counted).await };
    if !is_too_many(endings.len(), camps) {
        return Verdict::default();
    }
    endings.sort();
    let digest = digest(&endings);
    let names: BTreeSet<String> = endings.iter().map(|one| one.name.clone()).collect();
    if allowed(repository) == digest {
        tracing::info!(repository.name = name, digest, "{} camps may end at once", names.len());
        return Verdict { allowed: names, ..Verdict::default() };
    }
    if before.is_none_or(|before| before.digest != digest) {
        tracing::warn!(
            repository.name = name,
            digest,
            at = %context.clock.now(),
            "the sweep would end {} of {camps} camps and ends none",
            names.len()
        );
    }
    let halt = SweepHalt {
        digest,
        ends: i32::try_from(names.len()).unwrap_or(i32::MAX),
        camps: i32::try_from(camps).unwrap_or(i32::MAX),
        environments: names.iter().take(MOST_NAMES).cloned().collect(),
    };
    Verdict { held: names, halt: Some(halt), ..Verdict::default() }
}

/// Those that the forge does not show as open. One that can't be read may be readable a moment later, when nobody counts
/// any more: it counts now.
async fn proven(forge: &Forge, counted: &[&Environment]) -> Vec<Ending> {
    let (asked, others) = counted.split_at(counted.len().min(MOST_PROOFS));
    let mut endings: Vec<Ending> = others.iter().map(|record| ending(record)).collect();
    let questions: Vec<_> = asked
        .iter()
        .map(|record| {
            let (subject, forge) = (Subject::of(record), forge.clone());
            let one = ending(record);
            async move {
                let is_open = match subject {
                    Subject::PullRequest(number) => {
                        forge.pull_request(number).await.map(|pull| pull.state == State::Open)
                    }
                    Subject::Branch(name) => forge.branch(&name).await.map(|tip| tip.is_some()),
                };
                (one, is_open)
            }
        })
        .collect();
    let mut answers = stream::iter(questions).buffered(AT_ONCE);
    let mut trouble = 0;
    while let Some((one, answer)) = answers.next().await {
        match answer {
            Ok(true) => {}
            Ok(false) => endings.push(one),
            Err(error) => {
                endings.push(one);
                trouble += usize::from(matches!(error.class(), Class::Transient { .. }));
            }
        }
        // A forge that fails is not asked two hundred times.
        if trouble > AT_ONCE {
            break;
        }
    }
    drop(answers);
    if trouble > AT_ONCE {
        return counted.iter().map(|record| ending(record)).collect();
    }
    endings
}

/// Writes the halt, or that it is over, into the status. A Repository that never was halted says nothing of it.
pub(super) fn note(
    context: &Context,
    repository: &Repository,
    status: &mut RepositoryStatus,
    halt: Option<SweepHalt>,
) {
    let judgement = match &halt {
        Some(halt) => Judgement::yes(CONDITION, "TooManyAtOnce", sentence(repository, halt)),
        None if status.conditions.iter().any(|one| one.r#type == CONDITION) => {
            let text = "no more camps end at once than may";
            Judgement::no(CONDITION, "NothingHalted", text)
        }
        None => return,
    };
    let (generation, now) = (repository.metadata.generation, context.clock.now());
    set_condition(&mut status.conditions, &judgement, generation, now);
    status.halted = halt;
}

fn sentence(repository: &Repository, halt: &SweepHalt) -> String {
    let SweepHalt { digest, ends, camps, environments } = halt;
    let told: Vec<&str> = environments.iter().take(MOST_TOLD).map(String::as_str).collect();
    let more = usize::try_from(*ends).unwrap_or_default().saturating_sub(told.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let name = repository.metadata.name.as_deref().unwrap_or_default();
    let namespace = repository.metadata.namespace.as_deref().unwrap_or_default();
    format!(
        "the forge shows {ends} of {camps} pull requests and branches with an environment as not open any more, and nobody told of it \
         by webhook: nothing is taken down, they end when their time is up. They are: {}{more}. When that is right, run: \
         kubectl -n {namespace} annotate --overwrite repositories.bivouac.dev {name} {ALLOW_TEARDOWN_ANNOTATION}={digest}",
        told.join(", ")
    )
}
