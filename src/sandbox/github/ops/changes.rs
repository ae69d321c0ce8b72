//! What a pull request or commit changes, and whether it can be merged.

use std::collections::BTreeSet;

use crate::sandbox::github::diff;
use crate::sandbox::github::git::Files;
use crate::sandbox::github::model::{Pull, Repo};
use crate::sandbox::github::refusal::Refusal;

/// How a file differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox::github) enum ChangeKind {
    Added,
    Removed,
    Modified,
}

/// One file that a pull request changes.
#[derive(Clone, Debug)]
pub(in crate::sandbox::github) struct FileChange {
    pub(in crate::sandbox::github) path: String,
    pub(in crate::sandbox::github) kind: ChangeKind,
    pub(in crate::sandbox::github) sha: String,
    pub(in crate::sandbox::github) additions: usize,
    pub(in crate::sandbox::github) deletions: usize,
    /// `None` for bytes that are no text.
    pub(in crate::sandbox::github) patch: Option<String>,
}

/// The tree after a merge; `None` when there is a conflict.
pub(in crate::sandbox::github) fn merged_files(
    repo: &Repo,
    pull: &Pull,
) -> Result<Option<Files>, Refusal> {
    let git = &repo.git;
    let Some(tip) = git.branch(&pull.base_branch) else { return Ok(None) };
    let start = match git.merge_base(&tip, &pull.head_sha) {
        Some(start) => git.files(&start)?,
        None => Files::new(),
    };
    Ok(diff::merge(&start, &git.files(&tip)?, &git.files(&pull.head_sha)?))
}

/// The files that differ between where the head left the base, and the head.
pub(in crate::sandbox::github) fn changes(
    repo: &Repo,
    pull: &Pull,
) -> Result<Vec<FileChange>, Refusal> {
    let git = &repo.git;
    let start = git.merge_base(&pull.base_sha, &pull.head_sha);
    changes_between(repo, start.as_deref(), &pull.head_sha)
}

/// The files that differ between two commits.
pub(in crate::sandbox::github) fn changes_between(
    repo: &Repo,
    from: Option<&str>,
    to: &str,
) -> Result<Vec<FileChange>, Refusal> {
    let git = &repo.git;
    let old = from.map(|from| git.files(from)).transpose()?.unwrap_or_default();
    let new = git.files(to)?;
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = Vec::new();
    for path in paths {
        let (before, after) = (old.get(path), new.get(path));
        if before == after {
            continue;
        }
        let kind = match (before, after) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            _ => ChangeKind::Modified,
        };
        let text = |entry: Option<&(gix::objs::tree::EntryMode, gix::ObjectId)>| match entry {
            // A submodule's commit is not in this repository.
            Some((mode, id)) if !mode.is_commit() => {
                git.read(*id).map(|bytes| String::from_utf8(bytes).ok())
            }
            _ => Ok(Some(String::new())),
        };
        let (mut additions, mut deletions, mut patch) = (0, 0, None);
        if let (Some(before), Some(after)) = (text(before)?, text(after)?)
            && !before.contains('\0')
            && !after.contains('\0')
        {
            let lines = diff::lines(&before, &after);
            additions = lines.iter().filter(|l| matches!(l, diff::Line::Added(_))).count();
            deletions = lines.iter().filter(|l| matches!(l, diff::Line::Removed(_))).count();
            patch = Some(diff::patch(&lines));
        }
        let sha = after.or(before).map(|(_, id)| id.to_string()).unwrap_or_default();
        changes.push(FileChange { path: path.clone(), kind, sha, additions, deletions, patch });
    }
    Ok(changes)
}
