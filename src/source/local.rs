//! A repository on this disk, for the commands that need neither forge nor cluster. I/O: reads that repository; no
//! network, no configuration but the repository's own, no environment variable.

use std::path::{Path, PathBuf};

use gix::discover::upwards;
use gix::object::Kind;

use super::tree::read_tree_of;
use super::{SourceError, TreeLimits, boxed};
use crate::domain::file_tree::{FileTree, Wanted};
use crate::domain::id::{RepoName, Revision};
use crate::seams::BoxError;

/// Why there is no commit.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// No repository at or above a path.
    #[error("{path} is not in a git repository; name a folder of one, or a bare repository")]
    NoRepository {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: BoxError,
    },
    /// Nothing was committed yet.
    #[error("{path} has no commit yet; commit something, or read the work tree with --worktree")]
    NoCommit {
        /// The repository.
        path: PathBuf,
    },
    /// No such commit.
    #[error(
        "{spec:?} names no commit in {path}; name a branch, a tag or a hash that is in `git log --all`"
    )]
    UnknownRevision {
        /// What was asked for.
        spec: String,
        /// The repository.
        path: PathBuf,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

/// A repository on this disk.
#[derive(Debug)]
pub struct LocalRepository {
    repo: gix::Repository,
}

/// A commit that a word stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The commit.
    pub revision: Revision,
    /// The branch, when the word named one or `HEAD` is on one.
    pub branch: Option<String>,
}

impl LocalRepository {
    /// The repository that `path` is in: its root, a folder or file below it, or a bare one.
    pub fn discover(path: &Path) -> Result<Self, LocalError> {
        let options = gix::open::Options::isolated;
        let trust = gix::sec::trust::Mapping { full: options(), reduced: options() };
        let folder = if path.is_file() { path.parent().unwrap_or(path) } else { path };
        // A file without a folder in its name lies here.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        gix::ThreadSafeRepository::discover_opts(folder, upwards::Options::default(), trust)
            .map(|repo| Self { repo: repo.to_thread_local() })
            .map_err(|error| LocalError::NoRepository {
                path: path.to_owned(),
                source: boxed(&error),
            })
    }

    /// The root of the work tree; a bare repository has none.
    #[must_use]
    pub fn work_tree(&self) -> Option<&Path> {
        self.repo.workdir()
    }

    /// Where people would say it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.work_tree().unwrap_or_else(|| self.repo.git_dir())
    }

    /// Name of its folder, without `.git`.
    #[must_use]
    pub fn name(&self) -> String {
        let path = self.path().canonicalize().unwrap_or_else(|_| self.path().to_owned());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.strip_suffix(".git").unwrap_or(&name).to_owned()
    }

    /// Owner and name at the forge, as the last two parts of the URL of the remote `origin`.
    #[must_use]
    pub fn origin(&self) -> Option<RepoName> {
        let url = self.repo.config_snapshot().string("remote.origin.url")?.to_string();
        name_in_url(&url)
    }

    /// The commit that `spec` stands for: `HEAD`, a branch, a tag, a hash (40 digits or fewer), `main~2` and the like.
    pub fn resolve(&self, spec: &str) -> Result<Resolved, LocalError> {
        let unknown = |source: BoxError| LocalError::UnknownRevision {
            spec: spec.chars().filter(|c| !c.is_control()).take(100).collect(),
            path: self.path().to_owned(),
            source,
        };
        if self.repo.head().is_ok_and(|head| head.is_unborn()) && spec == "HEAD" {
            return Err(LocalError::NoCommit { path: self.path().to_owned() });
        }
        let id = self
            .repo
            .rev_parse_single(spec)
            .and_then(|id| id.object())
            .and_then(|object| object.peel_to_kind(Kind::Commit))
            .map_err(|error| unknown(boxed(&error)))?
            .id;
        let revision = Revision::parse(&id.to_string()).map_err(|error| unknown(error.into()))?;
        Ok(Resolved { revision, branch: self.branch(spec) })
    }

    fn branch(&self, spec: &str) -> Option<String> {
        let name = if matches!(spec, "HEAD" | "@") {
            self.repo.head_name().ok()??
        } else {
            self.repo.try_find_reference(spec).ok()??.name().to_owned()
        };
        let full = name.as_bstr().to_string();
        match full.strip_prefix("refs/remotes/") {
            Some(rest) => rest.split_once('/').map(|(_, branch)| branch.to_owned()),
            None => full.strip_prefix("refs/heads/").map(str::to_owned),
        }
    }

    /// The files of a commit, as [`super::read_tree`] reads them for the service.
    pub fn read(
        &self,
        revision: &Revision,
        limits: TreeLimits,
        wanted: fn(&FileTree) -> Wanted,
    ) -> Result<FileTree, SourceError> {
        read_tree_of(&self.repo, revision, limits, wanted)
    }
}

/// `https://host/owner/name.git`, `ssh://…`, `git@host:owner/name` → owner and name.
fn name_in_url(url: &str) -> Option<RepoName> {
    let path = url.strip_suffix('/').unwrap_or(url);
    let path = path.strip_suffix(".git").unwrap_or(path);
    let is_remote = path.contains("://") || path.split('/').next().is_some_and(|p| p.contains(':'));
    if !is_remote || path.starts_with("file:") {
        return None;
    }
    let mut parts = path.rsplit(['/', ':']);
    let (name, owner) = (parts.next()?, parts.next()?);
    RepoName::parse(owner, name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forges_name_is_read_off_a_url_and_off_nothing_else() {
        let name = |url| name_in_url(url).map(|name| name.to_string());
        for url in [
            "https://github.com/Acme/Shop.git",
            "https://token@github.com/acme/shop/",
            "git@github.com:acme/shop.git",
            "ssh://git@ghe.example.com:2222/acme/shop",
        ] {
            assert_eq!(name(url).as_deref(), Some("acme/shop"), "{url}");
        }
        for url in ["/srv/git/acme/shop.git", "../shop", "file:///srv/acme/shop", "shop", ""] {
            assert_eq!(name(url), None, "{url}");
        }
    }
}
