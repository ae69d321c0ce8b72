//! I/O (disk, in process) · one bare repository by gix: commits, references, trees and copies between repositories.
//! No child process and no thread; hashes depend on the content, the author and the given time only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use gix::bstr::ByteSlice;
use gix::objs::tree::{Entry, EntryKind, EntryMode};
use gix::objs::{Commit, Kind, Tree};
use gix::prelude::Write as _;
use gix::refs::Target;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};
use gix::{ObjectId, ThreadSafeRepository};

/// A bare repository on disk. Clones share one handle.
#[derive(Clone)]
pub(super) struct Git {
    dir: PathBuf,
    handle: ThreadSafeRepository,
}

impl fmt::Debug for Git {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Git").field(&self.dir).finish()
    }
}

/// Git or the disk failed.
#[derive(Debug, thiserror::Error)]
#[error("git repository {dir}: {cause}")]
pub(super) struct GitError {
    dir: String,
    cause: String,
}

/// A tree, flat: path to mode and object.
pub(super) type Files = BTreeMap<String, (EntryMode, ObjectId)>;

/// One commit, for people.
#[derive(Clone, Debug)]
pub(super) struct CommitInfo {
    pub(super) sha: String,
    pub(super) tree: String,
    pub(super) parents: Vec<String>,
    pub(super) author: String,
    pub(super) email: String,
    pub(super) at: DateTime<Utc>,
    pub(super) message: String,
}

/// Who writes a commit, and when.
pub(super) struct Signed<'a> {
    pub(super) author: &'a str,
    pub(super) at: DateTime<Utc>,
}

impl Git {
    /// A new bare repository in `dir`, whose HEAD is `branch`.
    pub(super) fn create(dir: PathBuf, branch: &str) -> Result<Self, GitError> {
        std::fs::create_dir_all(&dir).map_err(failure(&dir))?;
        ThreadSafeRepository::init_opts(
            &dir,
            gix::create::Kind::Bare,
            gix::create::Options::default(),
            gix::open::Options::isolated(),
        )
        .map_err(failure(&dir))?;
        std::fs::write(dir.join("HEAD"), format!("ref: refs/heads/{branch}\n"))
            .map_err(failure(&dir))?;
        Self::open(dir)
    }

    /// The repository that is in `dir`.
    pub(super) fn open(dir: PathBuf) -> Result<Self, GitError> {
        let options = gix::open::Options::isolated().open_path_as_is(true);
        let handle = options.open(&dir).map_err(failure(&dir))?;
        Ok(Self { dir, handle })
    }

    /// Where it is.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    fn repo(&self) -> gix::Repository {
        self.handle.to_thread_local()
    }

    fn fail(&self, cause: impl fmt::Display) -> GitError {
        failure(&self.dir)(cause)
    }

    fn id(&self, sha: &str) -> Result<ObjectId, GitError> {
        ObjectId::from_hex(sha.as_bytes()).map_err(|e| self.fail(e))
    }

    // --- references ---

    /// What `name` (as `refs/heads/main`) points to.
    pub(super) fn reference(&self, name: &str) -> Option<String> {
        let repo = self.repo();
        let mut found = repo.try_find_reference(name).ok().flatten()?;
        found.peel_to_id().ok().map(|id| id.to_string())
    }

    /// The commit of a branch.
    pub(super) fn branch(&self, name: &str) -> Option<String> {
        self.reference(&format!("refs/heads/{name}"))
    }

    /// All references below `prefix` with a slash at its end.
    pub(super) fn references(&self, prefix: &str) -> Result<BTreeMap<String, String>, GitError> {
        let repo = self.repo();
        let platform = repo.references().map_err(|e| self.fail(e))?;
        let mut found = BTreeMap::new();
        for reference in platform.prefixed(prefix).map_err(|e| self.fail(e))? {
            let mut reference = reference.map_err(|e| self.fail(e))?;
            let name = reference.name().as_bstr().to_string();
            if let Ok(id) = reference.peel_to_id() {
                found.insert(name, id.to_string());
            }
        }
        Ok(found)
    }

    /// Creates or moves a reference, without a look at what it was.
    pub(super) fn set(&self, name: &str, sha: &str) -> Result<(), GitError> {
        let new = Target::Object(self.id(sha)?);
        let change =
            Change::Update { log: LogChange::default(), expected: PreviousValue::Any, new };
        self.edit(name, change)
    }

    /// Takes a reference away; fine when it is not there.
    pub(super) fn remove(&self, name: &str) -> Result<(), GitError> {
        self.edit(name, Change::Delete { expected: PreviousValue::Any, log: RefLog::AndReference })
    }

    fn edit(&self, name: &str, change: Change) -> Result<(), GitError> {
        let name =
            name.try_into().map_err(|e: gix::validate::reference::name::Error| self.fail(e))?;
        let signature = signature(&Signed { author: "sandbox", at: DateTime::UNIX_EPOCH });
        let mut buffer = gix::date::parse::TimeBuf::default();
        self.repo()
            .edit_references_as([RefEdit::new(name, change)], Some(signature.to_ref(&mut buffer)))
            .map_err(|e| self.fail(e))?;
        Ok(())
    }

    // --- objects ---

    /// True when the object is here.
    pub(super) fn has(&self, sha: &str) -> bool {
        self.id(sha).is_ok_and(|id| self.repo().has_object(id))
    }

    /// The bytes of a blob.
    pub(super) fn read(&self, id: ObjectId) -> Result<Vec<u8>, GitError> {
        Ok(self.repo().find_object(id).map_err(|e| self.fail(e))?.data.clone())
    }

    /// Every file of a commit.
    pub(super) fn files(&self, sha: &str) -> Result<Files, GitError> {
        let repo = self.repo();
        let commit = repo.find_commit(self.id(sha)?).map_err(|e| self.fail(e))?;
        let root = commit.tree_id().map_err(|e| self.fail(e))?.detach();
        let mut files = Files::new();
        let mut left = vec![(String::new(), root)];
        while let Some((prefix, id)) = left.pop() {
            let tree = repo.find_tree(id).map_err(|e| self.fail(e))?;
            for entry in tree.iter() {
                let entry = entry.map_err(|e| self.fail(e))?;
                let path = format!("{prefix}{}", entry.filename());
                if entry.mode().is_tree() {
                    left.push((format!("{path}/"), entry.oid().to_owned()));
                } else {
                    files.insert(path, (entry.mode(), entry.oid().to_owned()));
                }
            }
        }
        Ok(files)
    }

    /// Writes one blob.
    pub(super) fn blob(&self, bytes: &[u8]) -> Result<ObjectId, GitError> {
        Ok(self.repo().write_blob(bytes).map_err(|e| self.fail(e))?.detach())
    }

    /// Writes the trees of `files` and a commit over them; no reference is moved.
    pub(super) fn commit(
        &self,
        files: &Files,
        parents: &[String],
        message: &str,
        signed: &Signed<'_>,
    ) -> Result<String, GitError> {
        let repo = self.repo();
        let tree = self.write_tree(&repo, files, "")?;
        let signature = signature(signed);
        let parents = parents.iter().map(|sha| self.id(sha)).collect::<Result<Vec<_>, _>>()?;
        let commit = Commit {
            tree,
            parents: parents.into(),
            author: signature.clone(),
            committer: signature,
            encoding: None,
            message: message.into(),
            extra_headers: Vec::new(),
        };
        Ok(repo.write_object(&commit).map_err(|e| self.fail(e))?.to_string())
    }

    fn write_tree(
        &self,
        repo: &gix::Repository,
        files: &Files,
        prefix: &str,
    ) -> Result<ObjectId, GitError> {
        let mut entries = Vec::new();
        let mut folders = BTreeSet::new();
        for (path, (mode, oid)) in files.range(prefix.to_owned()..) {
            let Some(rest) = path.strip_prefix(prefix) else { break };
            match rest.split_once('/') {
                Some((folder, _)) => {
                    folders.insert(folder);
                }
                None => {
                    entries.push(Entry { mode: *mode, filename: rest.into(), oid: *oid });
                }
            }
        }
        for folder in folders {
            let oid = self.write_tree(repo, files, &format!("{prefix}{folder}/"))?;
            entries.push(Entry { mode: EntryKind::Tree.into(), filename: folder.into(), oid });
        }
        entries.sort();
        Ok(repo.write_object(&Tree { entries }).map_err(|e| self.fail(e))?.detach())
    }

    // --- history ---

    /// One commit; `None` when it is not here or not a commit.
    pub(super) fn info(&self, sha: &str) -> Option<CommitInfo> {
        let repo = self.repo();
        let commit = repo.find_commit(self.id(sha).ok()?).ok()?;
        let author = commit.author().ok()?;
        let seconds = commit.time().ok()?.seconds;
        Some(CommitInfo {
            sha: sha.to_owned(),
            tree: commit.tree_id().ok()?.to_string(),
            parents: commit.parent_ids().map(|id| id.to_string()).collect(),
            author: author.name.to_str_lossy().into_owned(),
            email: author.email.to_str_lossy().into_owned(),
            at: DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::UNIX_EPOCH),
            message: commit.message_raw_sloppy().to_str_lossy().into_owned(),
        })
    }

    /// Commits that `tip` has and `base` has not, oldest first, at most `limit`.
    pub(super) fn between(&self, base: &str, tip: &str, limit: usize) -> Vec<CommitInfo> {
        let mut known = BTreeSet::new();
        let mut left = vec![base.to_owned()];
        while let Some(sha) = left.pop() {
            if known.insert(sha.clone()) {
                left.extend(self.info(&sha).map(|info| info.parents).unwrap_or_default());
            }
        }
        let mut found = Vec::new();
        let mut left = std::collections::VecDeque::from([tip.to_owned()]);
        while let Some(sha) = left.pop_front() {
            if found.len() == limit || !known.insert(sha.clone()) {
                continue;
            }
            if let Some(info) = self.info(&sha) {
                left.extend(info.parents.iter().cloned());
                found.push(info);
            }
        }
        found.reverse();
        found
    }

    /// The commit from which both came.
    pub(super) fn merge_base(&self, one: &str, two: &str) -> Option<String> {
        let repo = self.repo();
        let (one, two) = (self.id(one).ok()?, self.id(two).ok()?);
        repo.merge_base(one, two).ok().flatten().map(|id| id.to_string())
    }

    // --- copies ---

    /// Copies `tip` and all of its history to `to`.
    pub(super) fn copy_history(&self, to: &Self, tip: &str) -> Result<(), GitError> {
        let mut left = vec![tip.to_owned()];
        while let Some(sha) = left.pop() {
            if to.has(&sha) {
                continue;
            }
            let parents = self.info(&sha).map(|info| info.parents).unwrap_or_default();
            // Parents are looked at before the commit is written: what is there is there with its history.
            if parents.iter().all(|parent| to.has(parent)) {
                self.copy_commit(to, &sha, &mut |_| Ok(()))?;
            } else {
                left.push(sha);
                left.extend(parents.into_iter().filter(|parent| !to.has(parent)));
            }
        }
        Ok(())
    }

    /// Copies one commit with its tree to `to`, the commit last. `wrote` hears of each new object and may end it.
    pub(super) fn copy_commit(
        &self,
        to: &Self,
        sha: &str,
        wrote: &mut dyn FnMut(&Path) -> Result<(), GitError>,
    ) -> Result<(), GitError> {
        let (from_repo, to_repo) = (self.repo(), to.repo());
        let id = self.id(sha)?;
        let commit = from_repo.find_commit(id).map_err(|e| self.fail(e))?;
        let mut left = vec![commit.tree_id().map_err(|e| self.fail(e))?.detach()];
        let mut order = vec![id];
        let mut seen = BTreeSet::new();
        while let Some(id) = left.pop() {
            if !seen.insert(id) {
                continue;
            }
            order.push(id);
            let object = from_repo.find_object(id).map_err(|e| self.fail(e))?;
            if object.kind == Kind::Tree {
                for entry in object.into_tree().iter() {
                    let entry = entry.map_err(|e| self.fail(e))?;
                    if !entry.mode().is_commit() {
                        left.push(entry.oid().to_owned());
                    }
                }
            }
        }
        // From the leaves up, so that a tree is never there without what it names.
        for id in order.into_iter().rev() {
            if to_repo.has_object(id) {
                continue;
            }
            let object = from_repo.find_object(id).map_err(|e| self.fail(e))?;
            to_repo.objects.write_buf(object.kind, &object.data).map_err(|e| to.fail(e))?;
            wrote(&to.loose(id))?;
        }
        Ok(())
    }

    /// Where a loose object lies.
    pub(super) fn loose(&self, id: ObjectId) -> PathBuf {
        let hex = id.to_string();
        self.dir.join("objects").join(&hex[..2]).join(&hex[2..])
    }

    /// Says that the history of `sha` ends here, as a fetch of depth 1 does.
    pub(super) fn mark_shallow(&self, sha: &str) -> Result<(), GitError> {
        let path = self.dir.join("shallow");
        let mut known: BTreeSet<String> = match std::fs::read_to_string(&path) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => return Err(self.fail(error)),
        };
        if self.info(sha).is_some_and(|info| !info.parents.is_empty())
            && known.insert(sha.to_owned())
        {
            let mut text = known.into_iter().collect::<Vec<_>>().join("\n");
            text.push('\n');
            std::fs::write(&path, text).map_err(|e| self.fail(e))?;
        }
        Ok(())
    }

    /// Takes a loose commit object from the disk: what a forge's garbage collection does after a force push.
    pub(super) fn forget(&self, sha: &str) -> Result<(), GitError> {
        std::fs::remove_file(self.loose(self.id(sha)?)).map_err(|e| self.fail(e))
    }

    /// An error of this repository with `cause`.
    pub(super) fn error(&self, cause: impl fmt::Display) -> GitError {
        self.fail(cause)
    }
}

/// True when `name` may be a branch.
pub(super) fn is_branch_name(name: &str) -> bool {
    !name.starts_with('-')
        && gix::validate::reference::name(format!("refs/heads/{name}").as_bytes().as_bstr()).is_ok()
}

fn failure<E: fmt::Display>(dir: &Path) -> impl Fn(E) -> GitError {
    let dir = dir.display().to_string();
    move |cause| GitError { dir: dir.clone(), cause: cause.to_string() }
}

fn signature(signed: &Signed<'_>) -> gix::actor::Signature {
    gix::actor::Signature {
        name: signed.author.into(),
        email: format!("{}@users.noreply.github.com", signed.author).into(),
        time: gix::date::Time { seconds: signed.at.timestamp(), offset: 0 },
    }
}
