//! PURE · what a run knows of its pull requests, beside what the forge shows: what their commits hold, when people acted,
//! what was approved, what others wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};

use crate::seams::Rng;

/// What the head commit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Objects that may be applied.
    Good,
    /// A Service that the guard refuses.
    Refused,
    /// A template that can't be read.
    Broken,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "a good commit",
            Self::Refused => "a commit that the guard refuses",
            Self::Broken => "a commit that can't be read",
        })
    }
}

/// One pull request.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) number: u64,
    pub(super) branch: String,
    pub(super) fork: bool,
    pub(super) open: bool,
    pub(super) merged: bool,
    pub(super) draft: bool,
    pub(super) labelled: bool,
    pub(super) content: Content,
    pub(super) head: String,
    /// The last push or opening: a lifetime began at this moment or later.
    pub(super) pushed: DateTime<Utc>,
    /// The last thing that may have renewed the lifetime: a lifetime began at this moment or before.
    pub(super) touched: DateTime<Utc>,
    /// Somebody deleted the service's comment, and nothing new was to be told since.
    pub(super) comment_deleted: bool,
    /// Somebody deleted the record. What it had told of a pull request that has no preview any more is not known to the
    /// next one; `bivouac doctor orphans` finds it.
    pub(super) forgotten: bool,
    /// What others wrote: id and text.
    pub(super) chats: Vec<(u64, String)>,
    /// Heads that were approved.
    pub(super) approved: BTreeSet<String>,
    /// All heads.
    pub(super) heads: Vec<String>,
}

/// All of a run.
#[derive(Debug, Default)]
pub(super) struct Lives {
    all: Vec<Life>,
    /// The replicas that run, and whether they stand still.
    replicas: BTreeMap<usize, bool>,
    /// Answers to forged deliveries that were no refusal.
    pub(super) taken_in: Vec<String>,
}

impl Lives {
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) fn all(&self) -> &[Life] {
        &self.all
    }

    pub(super) fn add(&mut self, life: Life) {
        self.all.push(life);
    }

    pub(super) fn get(&self, life: usize) -> Option<&Life> {
        self.all.get(life)
    }

    pub(super) fn get_mut(&mut self, life: usize) -> Option<&mut Life> {
        self.all.get_mut(life)
    }

    /// One of them.
    pub(super) fn any(&self, rng: &Rng) -> Option<usize> {
        let count = u64::try_from(self.all.len()).ok().filter(|count| *count > 0)?;
        usize::try_from(rng.below(count)).ok()
    }

    /// Whether a replica stands still; `None`: it does not run.
    pub(super) fn replica(&self, replica: usize) -> Option<bool> {
        self.replicas.get(&replica).copied()
    }

    pub(super) fn note_replica(&mut self, replica: usize, paused: Option<bool>) {
        match paused {
            Some(paused) => self.replicas.insert(replica, paused),
            None => self.replicas.remove(&replica),
        };
    }
}
