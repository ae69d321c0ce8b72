//! A repository at one commit in, its files out. I/O: network through [`Fetch`], disk below the cache's folder.
//!
//! No work tree, no hook, no submodule, no link, no credential helper, no global git configuration. Only the preview
//! file and what rendering asked for ([`Wanted`]) is loaded and judged: a link elsewhere in a monorepo does no harm.

mod cache;
mod confined_fetch;
mod finding;
mod gix_fetch;
mod local;
mod tree;
mod work_tree;

use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

pub use self::cache::SourceCache;
pub use self::confined_fetch::{
    ConfinedFetch, ConfinedJob, JobError, SUBCOMMAND as FETCH_SUBCOMMAND,
};
pub use self::gix_fetch::{GixFetch, Schemes};
pub use self::local::{LocalError, LocalRepository, Resolved};
pub use self::tree::{TreeLimits, read_tree};
pub use self::work_tree::{WorkTreeError, read_work_tree};

use self::cache::Lane;
use crate::domain::file_tree::{FileTree, Wanted};
use crate::domain::id::{PrNumber, Revision};
use crate::seams::{BoxError, Fetch, FetchError, FetchRequest};

/// Which commit of which repository.
#[derive(Clone, Debug)]
pub struct SourceRequest {
    /// Host (and port) of the forge's API; with the id it is the repository's identity.
    pub api_host: String,
    /// Numeric id of the repository at the forge: survives a rename.
    pub repository_id: u64,
    /// Where git finds it, without user or password.
    pub url: String,
    /// Token for that host.
    pub credential: Option<SecretString>,
    /// The commit.
    pub revision: Revision,
    /// The pull request whose head it is: `refs/pull/N/head` is asked for when the commit isn't given by its hash.
    pub pull_request: Option<PrNumber>,
    /// The head, when `revision` is the forge's test merge of it: then it is `refs/pull/N/merge`.
    pub merge_of: Option<Revision>,
    /// The fetch ends within this time.
    pub timeout: Duration,
}

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The commit could not be brought here.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An entry of the commit that is not read: a link, a submodule, an LFS pointer, a hostile name.
    #[error("{path}: {what}; {hint}")]
    Refused {
        /// Where in the repository.
        path: String,
        /// What it is.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// More than the limits allow.
    #[error("{path}: {}; {}", finding::too_big(*limit, what), finding::hint(what))]
    TooBig {
        /// Where in the repository.
        path: String,
        /// The limit.
        limit: u64,
        /// Files, bytes, directories.
        what: &'static str,
    },
    /// The forge named a commit as the merge of a head that it is no merge of: it shows an older or newer one.
    #[error(
        "commit {revision} is not the merge of {head} with its base; the forge is asked for the merge again"
    )]
    NotTheMerge {
        /// What the forge named.
        revision: String,
        /// The head that was looked at.
        head: String,
    },
    /// The cache on disk can't be read or made; it is thrown away with the next fetch.
    #[error(
        "failed to read commit {revision}: objects of the repository on disk are missing or damaged"
    )]
    Cache {
        /// The commit.
        revision: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

/// What was read of a commit.
#[derive(Debug)]
pub struct Prepared {
    /// Its files.
    pub tree: FileTree,
    /// The commit of the base branch that a test merge was made with.
    pub base: Option<Revision>,
}

/// Brings the commit and reads the preview file and what `wanted` asks for after it saw that file, and what those name.
///
/// Some at a time per repository, each in a lane of its own: others wait. Reading blocks for the few milliseconds it takes
/// within the limits; it is not moved to another thread, which a simulation does not have.
pub async fn prepare(
    cache: &SourceCache,
    fetch: &dyn Fetch,
    request: &SourceRequest,
    limits: TreeLimits,
    wanted: fn(&FileTree) -> Wanted,
) -> Result<Prepared, SourceError> {
    let mut lane = cache.lane(&request.api_host, request.repository_id, &request.revision).await;
    let mut brought = fetch.fetch(request.fetch_into(&lane)).await;
    if matches!(brought, Err(FetchError::TooBig { .. })) && !lane.is_first {
        drop(lane);
        lane = cache.first_lane(&request.api_host, request.repository_id).await;
        brought = fetch.fetch(request.fetch_into(&lane)).await;
    }
    brought?;
    let mut base = None;
    if let Some(head) = &request.merge_of {
        let parents = parents_of(&lane.path, &request.revision)?;
        if parents.last() != Some(head) {
            return Err(SourceError::NotTheMerge {
                revision: request.revision.to_string(),
                head: head.to_string(),
            });
        }
        base = parents.into_iter().next();
    }
    let tree = read_tree(&lane.path, &request.revision, limits, wanted);
    if matches!(tree, Err(SourceError::Cache { .. })) {
        // Broken on disk: the next try begins with an empty one.
        cache.throw_away(&lane.path);
    }
    Ok(Prepared { tree: tree?, base })
}

impl SourceRequest {
    fn fetch_into(&self, lane: &Lane) -> FetchRequest {
        FetchRequest {
            url: self.url.clone(),
            credential: self.credential.clone(),
            revision: self.revision.to_string(),
            fallback_ref: self.pull_request.map(|number| {
                let side = if self.merge_of.is_some() { "merge" } else { "head" };
                format!("refs/pull/{number}/{side}")
            }),
            into: lane.path.clone(),
            timeout: self.timeout,
            max_bytes: lane.max_bytes,
        }
    }
}

fn parents_of(repository: &Path, revision: &Revision) -> Result<Vec<Revision>, SourceError> {
    let cache = |source: BoxError| SourceError::Cache { revision: revision.to_string(), source };
    let options = gix::open::Options::isolated().open_path_as_is(true);
    let repo = gix::open_opts(repository, options).map_err(|e| cache(boxed(&e)))?;
    let id = gix::ObjectId::from_hex(revision.as_str().as_bytes())
        .map_err(|e| cache(e.to_string().into()))?;
    let commit = repo.find_commit(id).map_err(|e| cache(boxed(&e)))?;
    let parents = commit.parent_ids().map(|id| Revision::parse(&id.to_string()));
    parents.collect::<Result<_, _>>().map_err(|e| cache(Box::new(e)))
}

/// `git`'s own error types can't be boxed with their source, so their chain becomes one text.
fn boxed(error: &gix::Error) -> BoxError {
    let mut text = error.to_string();
    for cause in error.iter_errors().skip(1) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
    }
    text.into()
}

#[cfg(test)]
mod tests;
