//! Files in memory → a folder on disk that only we may enter, gone afterwards. I/O: disk, on the calling thread.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// What the folders' names begin with.
const PREFIX: &str = "bivouac-render-";
/// Its lock is held as long as the folder is used.
const LOCK: &str = "lock";

/// A folder of mode 0700 that goes when this goes.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    left: u64,
    limit: u64,
    /// Held, never read: see [`Scratch::sweep`].
    _lock: fs::File,
}

/// Why files could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// A path that could lead out of the folder, or that Git itself would refuse.
    #[error("{path:?} is no name for a file that is rendered")]
    Name {
        /// The path.
        path: String,
    },
    /// More bytes than allowed.
    #[error("the files have more than {limit} bytes together")]
    TooBig {
        /// The limit.
        limit: u64,
    },
    /// The disk.
    #[error("failed to write below {folder}")]
    Disk {
        /// The folder.
        folder: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
}

impl Scratch {
    /// A new folder below `base` for at most `limit` bytes.
    pub fn new(base: &Path, limit: u64) -> Result<Self, ScratchError> {
        let disk = |source| ScratchError::Disk { folder: base.to_owned(), source };
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(base)
            .map_err(disk)?;
        let lock = fs::File::create(folder.path().join(LOCK)).map_err(disk)?;
        lock.lock().map_err(disk)?;
        Ok(Self { folder, left: limit, limit, _lock: lock })
    }

    /// Bytes that are free below `base`; tmpfs in a container is often small.
    #[must_use]
    pub fn room(base: &Path) -> Option<u64> {
        let space = rustix::fs::statvfs(base).ok()?;
        Some(space.f_bavail.saturating_mul(space.f_frsize))
    }

    /// Removes what processes that were killed left below `base`.
    pub fn sweep(base: &Path) {
        let Ok(entries) = fs::read_dir(base) else { return };
        for entry in entries.flatten() {
            if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
                continue;
            }
            // Who lives holds the lock; a folder without one is just being made.
            let unused =
                fs::File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
            if unused {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the folder `name` in it.
    pub fn folder(&self, name: &str) -> Result<PathBuf, ScratchError> {
        let path = self.path().join(safe(name)?);
        fs::create_dir_all(&path).map_err(|e| self.disk(e))?;
        Ok(path)
    }

    /// Writes one new file at `path` below `folder`. A path that is there already is an error: nothing is followed,
    /// nothing is overwritten.
    pub fn write(&mut self, folder: &str, path: &str, bytes: &[u8]) -> Result<(), ScratchError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.left =
            self.left.checked_sub(size).ok_or(ScratchError::TooBig { limit: self.limit })?;
        let file = self.path().join(safe(folder)?).join(safe(path)?);
        let write = || {
            if let Some(parent) = file.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut open = fs::OpenOptions::new();
            open.write(true).create_new(true).mode(0o600).open(&file)?.write_all(bytes)
        };
        write().map_err(|e| self.disk(e))
    }

    fn disk(&self, source: io::Error) -> ScratchError {
        ScratchError::Disk { folder: self.path().to_owned(), source }
    }
}

/// The path, if every part of it is a plain name.
fn safe(path: &str) -> Result<&str, ScratchError> {
    let fine = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.eq_ignore_ascii_case(".git")
            && part.len() <= 255
            && !part.contains(['\0', '\\'])
    };
    if path.len() <= 4000 && path.split('/').all(fine) {
        Ok(path)
    } else {
        Err(ScratchError::Name { path: path.chars().take(200).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_in_a_folder_of_our_own_and_go_with_it() {
        let base = tempfile::tempdir().expect("a folder");
        let mut scratch = Scratch::new(base.path(), 100).expect("a folder");
        scratch.write("files", "a/b.yaml", b"x: 1\n").expect("it fits");
        let path = scratch.path().to_owned();
        assert_eq!(fs::read(path.join("files/a/b.yaml")).expect("it is there"), b"x: 1\n");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o700);
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn no_path_leads_out() {
        let base = tempfile::tempdir().expect("a folder");
        let mut scratch = Scratch::new(base.path(), 100).expect("a folder");
        for path in [
            "",
            "/etc/x",
            "../x",
            "a/../../x",
            "a//b",
            "./a",
            ".git/config",
            "a/.GIT/x",
            "a\0b",
            "a\\b",
            "a/",
        ] {
            let error = scratch.write("files", path, b"x").expect_err(path);
            assert!(matches!(error, ScratchError::Name { .. }), "{path:?}: {error}");
        }
        let long = "x".repeat(300);
        assert!(scratch.write("files", &long, b"x").is_err());
    }

    #[test]
    fn nothing_is_written_twice_and_not_past_the_limit() {
        let base = tempfile::tempdir().expect("a folder");
        let mut scratch = Scratch::new(base.path(), 10).expect("a folder");
        scratch.write("files", "a", b"12345").expect("it fits");
        assert!(matches!(scratch.write("files", "a", b"1"), Err(ScratchError::Disk { .. })));
        assert!(matches!(
            scratch.write("files", "b", b"123456"),
            Err(ScratchError::TooBig { limit: 10 })
        ));
    }

    #[test]
    fn only_folders_that_nobody_uses_are_swept() {
        let base = tempfile::tempdir().expect("a folder");
        let used = Scratch::new(base.path(), 10).expect("a folder");
        let left = base.path().join(format!("{PREFIX}left"));
        fs::create_dir(&left).expect("a folder");
        fs::write(left.join(LOCK), b"").expect("a file");
        let other = base.path().join("other");
        fs::create_dir(&other).expect("a folder");
        Scratch::sweep(base.path());
        assert!(used.path().exists() && other.exists() && !left.exists());
    }
}
