//! Where the bare repositories lie. I/O: removes folders below its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::domain::bundle::sha256_hex;

/// One bare repository for each served repository, bounded on disk: one that grows too big is thrown away whole,
/// which costs one fetch of one commit.
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

    /// The folder of one repository. The name is a hash: nothing from outside becomes a path.
    #[must_use]
    pub fn path_of(&self, api_host: &str, repository_id: u64) -> PathBuf {
        let key = format!("{}\n{repository_id}", api_host.to_ascii_lowercase());
        self.folder.join(format!("{}.git", &sha256_hex(key.as_bytes())[..32]))
    }

    /// The bound in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Waits until nobody else uses `path`.
    pub async fn lock(&self, path: &Path) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(path.to_owned()).or_default())
        };
        lock.lock_owned().await
    }

    /// Removes the repository at `path`; no error when it is not there.
    pub fn throw_away(&self, path: &Path) {
        if path.starts_with(&self.folder) && path != self.folder {
            // What can't be removed now is too big or broken still at the next fetch, which says so.
            let _ = fs::remove_dir_all(path);
        }
    }
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
