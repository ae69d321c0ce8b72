//! I/O (disk, in process) · `seams::Fetch` without network: copies a commit with its tree out of the sandbox.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use secrecy::ExposeSecret as _;

use super::GitHub;
use super::git::Git;
use super::model::Actor;
use super::state::State;
use crate::seams::{Fetch, FetchError, FetchRequest};

impl Fetch for GitHub {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<(), FetchError>> {
        async move {
            let mut state = self.state();
            let (result, user) = fetch(&mut state, &request);
            let status = match &result {
                Ok(()) => 200,
                Err(FetchError::Denied { .. }) => 404,
                Err(FetchError::CommitGone { .. }) => 410,
                Err(FetchError::TooBig { .. }) => 413,
                Err(_) => 500,
            };
            let path = format!("{}@{}", request.url, request.revision);
            state.record("FETCH", &path, user, status);
            result
        }
        .boxed()
    }
}

fn fetch(state: &mut State, request: &FetchRequest) -> (Result<(), FetchError>, Option<String>) {
    let url = request.url.clone();
    let denied = || FetchError::Denied { url: url.clone() };
    let failed = |cause: String| FetchError::Failed {
        revision: request.revision.clone(),
        url: url.clone(),
        source: cause.into(),
    };
    if let Some(fault) = state.faults.strike("FETCH", &request.url) {
        let status = fault.status().unwrap_or(504);
        let refuses = matches!(status, 401 | 403 | 404);
        let error =
            if refuses { denied() } else { failed(format!("the server answered {status}")) };
        return (Err(error), None);
    }
    let credential = request.credential.as_ref().map(|token| state.identify(token.expose_secret()));
    let actor = match credential {
        None => Actor::Anonymous,
        Some(Ok(actor)) => actor,
        Some(Err(_)) => return (Err(denied()), None),
    };
    let user = state.actor_name(actor);
    let place = request.url.strip_prefix(&state.url).and_then(|path| {
        let path = path.trim_matches('/');
        path.trim_end_matches(".git").split_once('/')
    });
    // Whoever fetches over the network gets a redirect for a repository's old name, and follows none.
    let moved = place.is_some_and(|(owner, name)| {
        let old = (owner.to_ascii_lowercase(), name.to_ascii_lowercase());
        state.find_repo(owner, name).is_none() && state.moved.contains_key(&old)
    });
    if moved {
        return (Err(failed("the server redirects, which is not followed".into())), user);
    }
    let found = place
        .and_then(|(owner, name)| state.find_repo(owner, name))
        .and_then(|id| state.repos.get(&id))
        .filter(|repo| state.may_fetch(actor, repo));
    let Some(repo) = found else { return (Err(denied()), user) };
    let Some(info) = repo.git.info(&request.revision) else {
        return (Err(FetchError::CommitGone { revision: request.revision.clone(), url }), user);
    };
    let result = copy(&repo.git, &request.into, &info.sha, request.max_bytes);
    let result = result.map_err(|problem| match problem {
        Problem::TooBig => FetchError::TooBig { url: url.clone(), limit: request.max_bytes },
        Problem::Other(cause) => failed(cause),
    });
    (result, user)
}

impl State {
    /// True when the actor may read the content of a repository.
    pub(super) fn may_fetch(&self, actor: Actor, repo: &super::model::Repo) -> bool {
        match actor {
            Actor::Installation(bearer) if repo.private => {
                self.reaches(bearer, repo) && self.app_may(bearer, "contents", "read")
            }
            _ => self.can_read(actor, repo),
        }
    }
}

enum Problem {
    TooBig,
    Other(String),
}

/// Copies one commit; what was written goes away again when it becomes too big.
fn copy(from: &Git, into: &Path, sha: &str, most: u64) -> Result<(), Problem> {
    let other = |cause: &dyn std::fmt::Display| Problem::Other(cause.to_string());
    let fresh = !into.join("objects").is_dir();
    let to = if fresh { Git::create(into.to_owned(), "main") } else { Git::open(into.to_owned()) };
    let to = to.map_err(|e| other(&e))?;
    let mut size = size_of(into).map_err(|e| other(&e))?;
    let mut written: BTreeSet<PathBuf> = BTreeSet::new();
    let mut too_big = size > most;
    let result = if too_big {
        Ok(())
    } else {
        from.copy_commit(&to, sha, &mut |path| {
            written.insert(path.to_owned());
            size += fs::metadata(path).map_err(|e| to.error(e))?.len();
            too_big = size > most;
            if too_big { Err(to.error("too big")) } else { Ok(()) }
        })
    };
    if too_big || result.is_err() {
        for path in written {
            // Loose objects are written read-only; the folder is ours, so they can go.
            let _ = fs::remove_file(path);
        }
    }
    if too_big {
        return Err(Problem::TooBig);
    }
    result.and_then(|()| to.mark_shallow(sha)).map_err(|e| other(&e))
}

/// Bytes of all files below `path`.
fn size_of(path: &Path) -> std::io::Result<u64> {
    let mut size = 0;
    let mut left = vec![path.to_owned()];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let data = entry.metadata()?;
            if data.is_dir() {
                left.push(entry.path());
            } else {
                size += data.len();
            }
        }
    }
    Ok(size)
}
