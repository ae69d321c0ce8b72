//! Object database and revision in, files out. I/O: reads one bare repository. Sizes come from object headers before
//! any blob is loaded.

use std::collections::BTreeSet;
use std::path::Path;

use gix::object::Kind;
use gix::object::tree::{EntryKind, EntryMode};

use super::{SourceError, boxed};
use crate::domain::file_tree::{FileTree, Wanted};
use crate::domain::id::Revision;
use crate::domain::plain::is_odd;
use crate::domain::policy::Limits;
use crate::domain::preview_file::PREVIEW_FILE;

/// How much of one commit may be read.
#[derive(Clone, Copy, Debug)]
pub struct TreeLimits {
    /// Files.
    pub files: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of all files.
    pub tree_bytes: u64,
    /// Directories within directories.
    pub depth: u64,
}

impl TreeLimits {
    /// What the Repository allows.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        Self {
            files: u64::try_from(limits.files).unwrap_or(u64::MAX),
            file_bytes: limits.file_bytes,
            tree_bytes: limits.tree_bytes,
            ..Self::default()
        }
    }
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self { files: 2000, file_bytes: 1 << 20, tree_bytes: 16 << 20, depth: 20 }
    }
}

/// A tree object bigger than this lists some 20,000 entries; no infrastructure code does.
const MAX_TREE_OBJECT: u64 = 1 << 20;
/// A pointer that `git lfs` left where the file would be.
pub(super) const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Bytes of one name: more than any file system takes.
const MAX_NAME: usize = 255;
/// Bytes of a path: with the folder in front of it, a child process must be able to open it.
const MAX_PATH: u64 = 1000;

/// An overlay over an overlay over …: more rounds than this is no repository that people wrote.
const MAX_ROUNDS: u64 = 20;

/// Reads the preview file of `revision`, and what `wanted` asks for after it saw that file. It is asked again with what
/// was read, until it wants nothing new.
///
/// Links, submodules and LFS pointers are refused on and below the wanted paths only. What is wanted and not there is
/// left out.
pub fn read_tree(
    repository: &Path,
    revision: &Revision,
    limits: TreeLimits,
    wanted: fn(&FileTree) -> Wanted,
) -> Result<FileTree, SourceError> {
    let cache = |error: &gix::Error| SourceError::Cache {
        revision: revision.to_string(),
        source: boxed(error),
    };
    let options = gix::open::Options::isolated().open_path_as_is(true);
    let repo = gix::open_opts(repository, options).map_err(|e| cache(&e))?;
    read_tree_of(&repo, revision, limits, wanted)
}

/// The same of a repository that is open.
pub(super) fn read_tree_of(
    repo: &gix::Repository,
    revision: &Revision,
    limits: TreeLimits,
    wanted: fn(&FileTree) -> Wanted,
) -> Result<FileTree, SourceError> {
    let cache = |error: &gix::Error| SourceError::Cache {
        revision: revision.to_string(),
        source: boxed(error),
    };
    let id = gix::ObjectId::from_hex(revision.as_str().as_bytes()).map_err(|e| {
        SourceError::Cache { revision: revision.to_string(), source: e.to_string().into() }
    })?;
    let commit = repo.find_commit(id).map_err(|e| cache(&e))?;
    let malformed = |_| refused(".", "the git object of this commit is malformed", COMMIT_ANEW);
    let root = commit.tree_id().map_err(malformed)?.detach();
    let mut reader = Reader {
        repo,
        revision,
        root,
        limits,
        files: 0,
        bytes: 0,
        directories: 0,
        tree: FileTree::new(),
    };
    read_wanted(&mut reader, wanted)?;
    Ok(reader.tree)
}

/// Something that files are read out of by their paths.
pub(super) trait Reads {
    /// What stands in the way.
    type Error: From<SourceError>;

    /// What was read so far.
    fn tree(&self) -> &FileTree;

    /// Reads the file or directory at `path`; `false` when it is not there.
    fn path(&mut self, path: &str) -> Result<bool, Self::Error>;

    /// Reads the first directory in `parent`, in the order of the names; `false` when there is none.
    fn first_directory(&mut self, parent: &str) -> Result<bool, Self::Error>;
}

/// Reads the preview file, and what `wanted` asks for, until it wants nothing new.
pub(super) fn read_wanted<R: Reads>(
    reader: &mut R,
    wanted: fn(&FileTree) -> Wanted,
) -> Result<(), R::Error> {
    reader.path(PREVIEW_FILE)?;
    let mut asked = BTreeSet::new();
    for round in 0.. {
        let paths = match wanted(reader.tree()) {
            Wanted::All(paths) => paths,
            Wanted::FirstOf(paths) if round == 0 => {
                first_of(reader, &paths)?;
                continue;
            }
            // None of them is there.
            Wanted::FirstOf(_) => break,
        };
        let before = asked.len();
        for path in paths {
            if asked.insert(path.clone()) {
                reader.path(&path)?;
            }
        }
        if asked.len() == before {
            break;
        }
        if round >= MAX_ROUNDS {
            return Err(too_big(".", MAX_ROUNDS, "overlays over each other").into());
        }
    }
    Ok(())
}

fn first_of<R: Reads>(reader: &mut R, paths: &[String]) -> Result<(), R::Error> {
    for path in paths {
        let found = match path.strip_suffix("/*") {
            Some(parent) => reader.first_directory(parent)?,
            None => reader.path(path)?,
        };
        if found {
            break;
        }
    }
    Ok(())
}

struct Reader<'a> {
    repo: &'a gix::Repository,
    revision: &'a Revision,
    root: gix::ObjectId,
    limits: TreeLimits,
    files: u64,
    bytes: u64,
    directories: u64,
    tree: FileTree,
}

/// One entry of a directory.
struct Entry {
    name: Vec<u8>,
    /// `None`: a mode that git does not have.
    kind: Option<EntryKind>,
    id: gix::ObjectId,
}

impl Entry {
    fn is_directory(&self) -> bool {
        self.kind == Some(EntryKind::Tree)
    }
}

/// What helps when git's objects are not what they should be.
const COMMIT_ANEW: &str =
    "the repository is damaged there, or was made by hand; commit it anew with git";

impl Reads for Reader<'_> {
    type Error = SourceError;

    fn tree(&self) -> &FileTree {
        &self.tree
    }

    fn path(&mut self, path: &str) -> Result<bool, SourceError> {
        let root = Entry { name: Vec::new(), kind: Some(EntryKind::Tree), id: self.root };
        let mut here = root;
        let mut walked = String::new();
        let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
        for part in parts {
            if !here.is_directory() {
                // A link or submodule on the way is named, a plain file just has nothing below it.
                return match refusal(&walked, here.kind) {
                    Some((what, hint)) => Err(refused(&walked, what, hint)),
                    None => Ok(false),
                };
            }
            let entries = self.entries(here.id, &walked)?;
            let Some(entry) = entries.into_iter().find(|e| e.name == part.as_bytes()) else {
                return Ok(false);
            };
            walked = join(&walked, part);
            here = entry;
        }
        self.entry(&here, &walked, 0)?;
        Ok(true)
    }

    fn first_directory(&mut self, parent: &str) -> Result<bool, SourceError> {
        let mut id = self.root;
        let mut walked = String::new();
        for part in parent.split('/') {
            let entries = self.entries(id, &walked)?;
            let found = entries.into_iter().find(|e| e.name == part.as_bytes() && e.is_directory());
            let Some(entry) = found else { return Ok(false) };
            walked = join(&walked, part);
            id = entry.id;
        }
        let entries = self.entries(id, &walked)?;
        let Some(first) = entries.into_iter().find(Entry::is_directory) else {
            return Ok(false);
        };
        let path = join(&walked, &checked_name(&first.name, &walked)?);
        self.entry(&first, &path, 0)?;
        Ok(true)
    }
}

impl Reader<'_> {
    fn cache(&self, error: &gix::Error) -> SourceError {
        SourceError::Cache { revision: self.revision.to_string(), source: boxed(error) }
    }

    fn entry(&mut self, entry: &Entry, path: &str, depth: u64) -> Result<(), SourceError> {
        if let Some((what, hint)) = refusal(path, entry.kind) {
            return Err(refused(path, what, hint));
        }
        if u64::try_from(path.len()).is_ok_and(|bytes| bytes > MAX_PATH) {
            let shown: String = path.chars().take(100).collect();
            return Err(too_big(&format!("{shown}…"), MAX_PATH, "bytes in one path"));
        }
        if !entry.is_directory() {
            return self.file(entry.id, path);
        }
        if depth >= self.limits.depth {
            return Err(too_big(path, self.limits.depth, "directories within each other"));
        }
        for child in self.entries(entry.id, path)? {
            let name = checked_name(&child.name, path)?;
            self.entry(&child, &join(path, &name), depth + 1)?;
        }
        Ok(())
    }

    fn entries(&mut self, id: gix::ObjectId, path: &str) -> Result<Vec<Entry>, SourceError> {
        // One tree object may stand in many places: without a bound a small pack unfolds without end.
        self.directories += 1;
        let most = most_directories(self.limits);
        if self.directories > most {
            return Err(too_big(path, most, "directories"));
        }
        let header = self.repo.find_header(id).map_err(|e| self.cache(&e))?;
        if header.kind() != Kind::Tree {
            return Err(refused(
                path,
                "git says that this is a directory, and it is none",
                COMMIT_ANEW,
            ));
        }
        if header.size() > MAX_TREE_OBJECT {
            return Err(too_big(path, MAX_TREE_OBJECT, "bytes of names in one directory"));
        }
        let tree = self.repo.find_tree(id).map_err(|e| self.cache(&e))?;
        let mut entries = Vec::new();
        for entry in tree.iter() {
            let what = "the git object of this directory is malformed";
            let entry = entry.map_err(|_| refused(path, what, COMMIT_ANEW))?;
            entries.push(Entry {
                name: entry.filename().to_vec(),
                kind: kind_of(entry.mode()),
                id: entry.oid().to_owned(),
            });
        }
        // Which of two would be read is for nobody to guess: tools and reviewers may see the other one.
        let mut names = BTreeSet::new();
        if let Some(twin) = entries.iter().find(|entry| !names.insert(entry.name.as_slice())) {
            let path = join(path, &shown(&twin.name));
            return Err(refused(&path, "this name comes twice in its directory", COMMIT_ANEW));
        }
        Ok(entries)
    }

    fn file(&mut self, id: gix::ObjectId, path: &str) -> Result<(), SourceError> {
        if self.tree.get(path).is_some() {
            return Ok(());
        }
        self.files += 1;
        if self.files > self.limits.files {
            return Err(too_big(path, self.limits.files, "files"));
        }
        let header = self.repo.find_header(id).map_err(|e| self.cache(&e))?;
        if header.kind() != Kind::Blob {
            return Err(refused(path, "git says that this is a file, and it is none", COMMIT_ANEW));
        }
        let size = header.size();
        if size > self.limits.file_bytes {
            return Err(too_big(path, self.limits.file_bytes, "bytes in one file"));
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.tree_bytes {
            return Err(too_big(path, self.limits.tree_bytes, "bytes in all files"));
        }
        let blob = self.repo.find_blob(id).map_err(|e| self.cache(&e))?;
        if blob.data.starts_with(LFS) {
            let hint = "commit the file itself; Git LFS is not fetched";
            return Err(refused(path, "this is a Git LFS pointer", hint));
        }
        self.tree.insert(path, blob.data.clone());
        Ok(())
    }
}

/// Directories that are looked into: one tree object may stand in many places.
pub(super) fn most_directories(limits: TreeLimits) -> u64 {
    limits.files.saturating_mul(2).saturating_add(100)
}

/// What an entry is by its mode; permissions do not matter.
fn kind_of(mode: EntryMode) -> Option<EntryKind> {
    matches!(mode.value() & 0o170_000, 0o040_000 | 0o100_000 | 0o120_000 | 0o160_000)
        .then(|| mode.kind())
}

/// What a symbolic link is refused with.
pub(super) const LINK: &str = "this is a symbolic link, which is not followed";

/// What to do instead of a link: sub-charts that several charts share are often linked to.
pub(super) fn link_hint(path: &str) -> &'static str {
    let in_charts = path
        .rsplit_once('/')
        .is_some_and(|(above, _)| above == "charts" || above.ends_with("/charts"));
    if in_charts {
        "commit the sub-chart itself, or name it in Chart.yaml by its place in the repository \
         (dependencies: [{name: …, repository: file://../…}]) and take the link out"
    } else {
        "commit the file itself or move the link out of the rendered path"
    }
}

fn refusal(path: &str, kind: Option<EntryKind>) -> Option<(&'static str, &'static str)> {
    match kind {
        None => Some(("this has a mode that git does not know", COMMIT_ANEW)),
        Some(EntryKind::Link) => Some((LINK, link_hint(path))),
        Some(EntryKind::Commit) => Some((
            "this is a submodule, which is not fetched",
            "commit the files themselves or move the submodule out of the rendered path",
        )),
        Some(EntryKind::Tree | EntryKind::Blob | EntryKind::BlobExecutable) => None,
    }
}

/// The name of an entry as text. Git itself refuses to write most of what is refused here; a hostile server does not.
pub(super) fn checked_name(name: &[u8], parent: &str) -> Result<String, SourceError> {
    let what = match std::str::from_utf8(name) {
        Err(_) => "this name is not UTF-8",
        Ok("" | "." | "..") => "this name could leave the repository",
        Ok(text) if text.contains(['/', '\\']) => "this name could leave the repository",
        Ok(text) if is_git(text) => "this name belongs to git",
        Ok(text) if text.chars().any(is_odd) => "this name holds control characters",
        Ok(text) if text.len() > MAX_NAME => "this name has more than 255 bytes",
        Ok(text) => return Ok(text.to_owned()),
    };
    Err(refused(&join(parent, &shown(name)), what, "rename it"))
}

/// What the file system of Macs leaves out of a name.
fn is_ignored(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// `.git`, and what the file systems of Macs and Windows take for it.
fn is_git(name: &str) -> bool {
    let ignored = |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let plain: String = name.chars().filter(|c| !ignored(*c)).collect();
    let plain = plain.trim_end_matches(['.', ' ']);
    plain.eq_ignore_ascii_case(".git") || plain.eq_ignore_ascii_case("git~1")
}

/// The beginning of a name, with escapes for all that is odd.
fn shown(name: &[u8]) -> String {
    const MOST: usize = 100;
    let Ok(text) = std::str::from_utf8(name) else {
        return name.escape_ascii().to_string().chars().take(MOST).collect();
    };
    let escaped: String = text
        .chars()
        .take(MOST)
        .map(|c| {
            if is_odd(c) || is_ignored(c) { c.escape_unicode().to_string() } else { c.to_string() }
        })
        .collect();
    if text.chars().nth(MOST).is_some() { escaped + "…" } else { escaped }
}

pub(super) fn refused(path: &str, what: &'static str, hint: &'static str) -> SourceError {
    let path = if path.is_empty() { "." } else { path };
    SourceError::Refused { path: path.to_owned(), what, hint }
}

pub(super) fn too_big(path: &str, limit: u64, what: &'static str) -> SourceError {
    let path = if path.is_empty() { "." } else { path };
    SourceError::TooBig { path: path.to_owned(), limit, what }
}

pub(super) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_refused_with_escapes_for_what_is_odd() {
        let told = |name: &[u8]| checked_name(name, "a").map_err(|error| error.to_string());
        for name in ["x", "...", ".gitignore", "git~10", "ядро", "a\u{200d}b", " ", "%2e%2e"] {
            assert_eq!(told(name.as_bytes()), Ok(name.to_owned()));
        }
        let long = "n".repeat(256);
        for (name, wanted) in [
            (b"".as_slice(), "a/: this name could leave the repository; rename it"),
            (b"..", "a/..: this name could leave the repository; rename it"),
            (b"a\\b", "a/a\\b: this name could leave the repository; rename it"),
            (b".GIT", "a/.GIT: this name belongs to git; rename it"),
            (b"GIT~1", "a/GIT~1: this name belongs to git; rename it"),
            (b".git. .", "a/.git. .: this name belongs to git; rename it"),
            (".g\u{200c}it".as_bytes(), "a/.g\\u{200c}it: this name belongs to git; rename it"),
            (b"\x1b[2J\n", "a/\\u{1b}[2J\\u{a}: this name holds control characters; rename it"),
            (
                "\u{202e}lmay".as_bytes(),
                "a/\\u{202e}lmay: this name holds control characters; rename it",
            ),
            (b"\xffx", "a/\\xffx: this name is not UTF-8; rename it"),
        ] {
            assert_eq!(told(name), Err(wanted.to_owned()));
        }
        let wanted =
            format!("a/{}…: this name has more than 255 bytes; rename it", "n".repeat(100));
        assert_eq!(told(long.as_bytes()), Err(wanted));
    }
}
