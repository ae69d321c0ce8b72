//! A folder on this disk in, its files out, by the rules of [`super::read_tree`]. I/O: reads below one folder.
//!
//! For people who look before they commit. The service never reads a work tree.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::SourceError;
use super::tree::{
    LFS, LINK, Reads, TreeLimits, checked_name, join, link_hint, most_directories, read_wanted,
    refused, too_big,
};
use crate::domain::file_tree::{FileTree, Wanted};

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
pub enum WorkTreeError {
    /// A rule that holds for a commit too.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The disk failed, or the file may not be read.
    #[error("failed to read {path}")]
    Unreadable {
        /// Path in the repository.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// Reads the preview file in `root`, and what `wanted` asks for until it wants nothing new, whether it is committed,
/// ignored or neither.
pub fn read_work_tree(
    root: &Path,
    limits: TreeLimits,
    wanted: fn(&FileTree) -> Wanted,
) -> Result<FileTree, WorkTreeError> {
    let mut reader =
        Reader { root, limits, files: 0, bytes: 0, directories: 0, tree: FileTree::new() };
    read_wanted(&mut reader, wanted)?;
    Ok(reader.tree)
}

struct Reader<'a> {
    root: &'a Path,
    limits: TreeLimits,
    files: u64,
    bytes: u64,
    directories: u64,
    tree: FileTree,
}

/// What a path on disk is, without following a link.
enum Kind {
    Absent,
    File(u64),
    Directory,
    Refused(&'static str, &'static str),
}

impl Reads for Reader<'_> {
    type Error = WorkTreeError;

    fn tree(&self) -> &FileTree {
        &self.tree
    }

    fn path(&mut self, path: &str) -> Result<bool, WorkTreeError> {
        let mut walked = String::new();
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        for part in &parts {
            // The same names as in a commit: `..` can't stand in a preview file, and never gets further here.
            checked_name(part.as_bytes(), &walked)?;
            walked = join(&walked, part);
            match self.kind(&walked)? {
                Kind::Absent => return Ok(false),
                Kind::Refused(what, hint) => return Err(refused(&walked, what, hint).into()),
                Kind::File(_) | Kind::Directory => {}
            }
        }
        self.entry(&walked, 0)?;
        Ok(true)
    }

    fn first_directory(&mut self, parent: &str) -> Result<bool, WorkTreeError> {
        if !matches!(self.kind(parent)?, Kind::Directory) {
            return Ok(false);
        }
        for name in self.names(parent)? {
            let path = join(parent, &name);
            if matches!(self.kind(&path)?, Kind::Directory) {
                self.entry(&path, 0)?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Reader<'_> {
    fn on_disk(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.to_owned() } else { self.root.join(path) }
    }

    fn kind(&self, path: &str) -> Result<Kind, WorkTreeError> {
        let metadata = match fs::symlink_metadata(self.on_disk(path)) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Kind::Absent),
            Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                return Ok(Kind::Absent);
            }
            Err(source) => return Err(unreadable(path, source)),
        };
        let kind = metadata.file_type();
        Ok(if kind.is_symlink() {
            Kind::Refused(LINK, link_hint(path))
        } else if kind.is_file() {
            Kind::File(metadata.len())
        } else if !kind.is_dir() {
            Kind::Refused("this is neither a file nor a directory", "take it out")
        } else if !path.is_empty() && fs::symlink_metadata(self.on_disk(path).join(".git")).is_ok()
        {
            Kind::Refused(
                "this is a submodule or a repository of its own, which is not read",
                "commit the files themselves or move it out of the rendered path",
            )
        } else {
            Kind::Directory
        })
    }

    fn entry(&mut self, path: &str, depth: u64) -> Result<(), WorkTreeError> {
        match self.kind(path)? {
            Kind::Absent => Ok(()),
            Kind::Refused(what, hint) => Err(refused(path, what, hint).into()),
            Kind::File(size) => self.file(path, size),
            Kind::Directory => {
                if depth >= self.limits.depth {
                    let what = "directories within each other";
                    return Err(too_big(path, self.limits.depth, what).into());
                }
                for name in self.names(path)? {
                    self.entry(&join(path, &name), depth + 1)?;
                }
                Ok(())
            }
        }
    }

    /// Names in a directory in the order of their bytes. `.git` of the root is left out: no commit has it.
    fn names(&mut self, path: &str) -> Result<Vec<String>, WorkTreeError> {
        self.directories += 1;
        let most = most_directories(self.limits);
        if self.directories > most {
            return Err(too_big(path, most, "directories").into());
        }
        let mut names = Vec::new();
        let entries =
            fs::read_dir(self.on_disk(path)).map_err(|source| unreadable(path, source))?;
        for entry in entries {
            let name = entry.map_err(|source| unreadable(path, source))?.file_name();
            if path.is_empty() && name.as_encoded_bytes().eq_ignore_ascii_case(b".git") {
                continue;
            }
            names.push(checked_name(name.as_encoded_bytes(), path)?);
        }
        names.sort();
        Ok(names)
    }

    fn file(&mut self, path: &str, size: u64) -> Result<(), WorkTreeError> {
        if self.tree.get(path).is_some() {
            return Ok(());
        }
        self.files += 1;
        if self.files > self.limits.files {
            return Err(too_big(path, self.limits.files, "files").into());
        }
        let most = self.limits.file_bytes;
        if size > most {
            return Err(too_big(path, most, "bytes in one file").into());
        }
        let file = File::open(self.on_disk(path)).map_err(|source| unreadable(path, source))?;
        let mut bytes = Vec::new();
        // It may have grown since it was looked at.
        file.take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|source| unreadable(path, source))?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > most {
            return Err(too_big(path, most, "bytes in one file").into());
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.tree_bytes {
            return Err(too_big(path, self.limits.tree_bytes, "bytes in all files").into());
        }
        if bytes.starts_with(LFS) {
            let hint = "commit the file itself; Git LFS is not fetched";
            return Err(refused(path, "this is a Git LFS pointer", hint).into());
        }
        self.tree.insert(path, bytes);
        Ok(())
    }
}

fn unreadable(path: &str, source: std::io::Error) -> WorkTreeError {
    let path = if path.is_empty() { "." } else { path };
    WorkTreeError::Unreadable { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn all(_: &FileTree) -> Wanted {
        Wanted::All(vec![".".into()])
    }

    #[test]
    fn the_root_is_read_without_its_git_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in
            [(".git/config", "x"), ("b/c.yaml", "c"), ("a.yaml", "a"), (".hidden", "h")]
        {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        let tree = read_work_tree(folder.path(), TreeLimits::default(), all).expect("read");
        let files: Vec<_> = tree.iter().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(files, [".hidden", "a.yaml", "b/c.yaml"]);
    }

    #[test]
    fn what_a_commit_could_not_hold_is_refused_by_name() {
        type Make = fn(&Path);
        let table: [(Make, &str); 6] = [
            (
                |root| symlink("/etc/passwd", root.join("a")).expect("made"),
                "a: this is a symbolic link",
            ),
            (|root| symlink("/etc", root.join("a")).expect("made"), "a: this is a symbolic link"),
            (
                |root| fs::create_dir_all(root.join("lib/.git")).expect("made"),
                "lib: this is a submodule",
            ),
            (
                |root| fs::write(root.join("a\nb"), "").expect("made"),
                "a\\u{a}b: this name holds control characters",
            ),
            (
                |root| fs::write(root.join("big"), vec![b'x'; 33]).expect("made"),
                "big: more than 32 bytes in one file (limits.fileBytes)",
            ),
            (
                |root| {
                    for index in 0..4 {
                        fs::write(root.join(index.to_string()), "").expect("made");
                    }
                },
                "3: more than 3 files (limits.files)",
            ),
        ];
        for (make, wanted) in table {
            let folder = tempfile::tempdir().expect("a folder");
            make(folder.path());
            let limits = TreeLimits { files: 3, file_bytes: 32, tree_bytes: 64, depth: 3 };
            let error = read_work_tree(folder.path(), limits, all).expect_err(wanted).to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
    }

    #[test]
    fn a_link_on_the_way_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let outside = tempfile::tempdir().expect("a folder");
        fs::write(outside.path().join("a.yaml"), "secret").expect("written");
        symlink(outside.path(), folder.path().join("deploy")).expect("made");
        let wanted = |_: &FileTree| Wanted::All(vec!["deploy/a.yaml".into()]);
        let error =
            read_work_tree(folder.path(), TreeLimits::default(), wanted).expect_err("a link");
        assert!(error.to_string().starts_with("deploy: this is a symbolic link"), "{error}");
    }

    #[test]
    fn a_link_to_a_sub_chart_is_told_how_charts_share_one() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in ["common", "web/charts"] {
            fs::create_dir_all(folder.path().join(path)).expect("made");
        }
        symlink("../../common", folder.path().join("web/charts/common")).expect("made");
        let error = read_work_tree(folder.path(), TreeLimits::default(), all).expect_err("a link");
        assert_eq!(
            error.to_string(),
            "web/charts/common: this is a symbolic link, which is not followed; commit the sub-chart itself, or name it \
             in Chart.yaml by its place in the repository (dependencies: [{name: …, repository: file://../…}]) and take \
             the link out"
        );
        assert_eq!(super::link_hint("charts/x"), super::link_hint("a/charts/x"));
        assert_eq!(super::link_hint("charts"), super::link_hint("mycharts/x"));
        assert_ne!(super::link_hint("charts"), super::link_hint("charts/x"));
    }
}
