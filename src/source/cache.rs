//! Where the bare repositories lie. I/O: removes folders below its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::select_all;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::domain::bundle::sha256_hex;
use crate::domain::id::Revision;

/// Fetches of one repository that may go on side by side: one that hangs holds up no other.
const LANES: usize = 4;
/// What a lane beside the first may take of the first one's bytes: bursts are mostly of small repositories.
const PART: u64 = 4;

/// Bare repositories of each served repository, bounded on disk: one that grows too big is thrown away whole, which costs
/// one fetch of one commit. There are several of each, its lanes, because one takes one fetch at a time. Without bursts
/// only the first is used.
#[derive(Debug)]
pub struct SourceCache {
    folder: PathBuf,
    max_bytes: u64,
    locks: Mutex<BTreeMap<PathBuf, Arc<AsyncMutex<()>>>>,
}

impl SourceCache {
    /// Below `folder`, which belongs to the cache alone; `max_bytes` for each repository.
    #[must_use]
    pub fn new(folder: PathBuf, max_bytes: u64) -> Self {
        Self { folder, max_bytes, locks: Mutex::default() }
    }

    /// The folder of one repository's first lane. The name is a hash: nothing from outside becomes a path.
    #[must_use]
    pub fn path_of(&self, api_host: &str, repository_id: u64) -> PathBuf {
        self.folder_of(api_host, repository_id, 0)
    }

    fn folder_of(&self, api_host: &str, repository_id: u64, lane: usize) -> PathBuf {
        let key = format!("{}\n{repository_id}", api_host.to_ascii_lowercase());
        let name = &sha256_hex(key.as_bytes())[..32];
        let name = if lane == 0 { format!("{name}.git") } else { format!("{name}-{lane}.git") };
        self.folder.join(name)
    }

    /// Waits for a lane that nobody uses: the one that has `revision`, or the first that is free.
    pub(super) async fn lane(
        &self,
        api_host: &str,
        repository_id: u64,
        revision: &Revision,
    ) -> Lane {
        let paths: Vec<_> =
            (0..LANES).map(|lane| self.folder_of(api_host, repository_id, lane)).collect();
        if let Some(number) = paths.iter().position(|path| has(path, revision)) {
            return self.enter(&paths, number).await;
        }
        for number in 0..LANES {
            if let Some(lane) = self.enter(&paths, number).now_or_never() {
                return lane;
            }
        }
        // Whichever is left first.
        let waits = (0..LANES).map(|number| Box::pin(self.enter(&paths, number)));
        select_all(waits).await.0
    }

    /// Waits for the first lane, which takes what is too big for the others.
    pub(super) async fn first_lane(&self, api_host: &str, repository_id: u64) -> Lane {
        self.enter(&[self.path_of(api_host, repository_id)], 0).await
    }

    async fn enter(&self, paths: &[PathBuf], number: usize) -> Lane {
        let path = paths.get(number).cloned().unwrap_or_default();
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(path.clone()).or_default())
        };
        let alone = lock.lock_owned().await;
        let is_first = number == 0;
        let max_bytes = if is_first { self.max_bytes } else { self.max_bytes / PART };
        Lane { path, max_bytes, is_first, _alone: alone }
    }

    /// Removes the repository at `path`; no error when it is not there.
    pub fn throw_away(&self, path: &Path) {
        if path.starts_with(&self.folder) && path != self.folder {
            // What can't be removed now is too big or broken still at the next fetch, which says so.
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// A bare repository that nobody else uses now.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) path: PathBuf,
    /// How big it may grow.
    pub(super) max_bytes: u64,
    pub(super) is_first: bool,
    _alone: OwnedMutexGuard<()>,
}

/// Whether a commit was brought into the repository at `path`.
fn has(path: &Path, revision: &Revision) -> bool {
    path.join("refs/bivouac").join(revision.as_str()).exists()
}

/// Bytes of all files below `path`; what can't be read counts nothing.
pub(super) fn bytes_on_disk(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_on_disk(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
