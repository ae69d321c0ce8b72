//! PURE · files of one commit, in memory: what `source` reads and `render` consumes.

use std::collections::BTreeMap;

/// Files by their path in the repository: `/` between the parts, no `.` or `..` part, never absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTree {
    files: BTreeMap<String, Vec<u8>>,
}

impl FileTree {
    /// No file at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces one file.
    pub fn insert(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), bytes.into());
    }

    /// Takes over all files of `other`.
    pub fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
    }

    /// The bytes of one file.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The file called `path` itself, or every file in the directory of that name and below it; `.` is the whole
    /// tree. In byte order of the paths.
    pub fn below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> + 'a {
        self.files
            .iter()
            .filter(move |(file, _)| is_below(file, path))
            .map(|(file, bytes)| (file.as_str(), bytes.as_slice()))
    }

    /// Whether `path` names a file, or a directory that holds one.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.below(path).next().is_some()
    }

    /// Names of the directories directly in `path`, sorted.
    #[must_use]
    pub fn directories_in(&self, path: &str) -> Vec<String> {
        let prefix = format!("{path}/");
        let mut names: Vec<String> = self
            .files
            .keys()
            .filter_map(|file| file.strip_prefix(&prefix)?.split_once('/'))
            .map(|(name, _)| name.to_owned())
            .collect();
        names.dedup();
        names
    }

    /// The files at and below `paths`.
    #[must_use]
    pub fn only<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut part = Self::new();
        for path in paths {
            for (file, bytes) in self.below(path) {
                part.insert(file, bytes);
            }
        }
        part
    }

    /// All files, in byte order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// How many files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// No file at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

impl<P: Into<String>, B: Into<Vec<u8>>> FromIterator<(P, B)> for FileTree {
    fn from_iter<I: IntoIterator<Item = (P, B)>>(files: I) -> Self {
        Self { files: files.into_iter().map(|(p, b)| (p.into(), b.into())).collect() }
    }
}

fn is_below(file: &str, path: &str) -> bool {
    path == "."
        || file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Which part of a commit rendering will read, as far as can be told from what was read so far: an overlay's files name
/// further ones. It is asked again until it wants nothing new. Nothing else of the commit is loaded or judged, so that a link or a
/// submodule elsewhere in a monorepo does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Each of these files or directories; what is not there is left out.
    All(Vec<String>),
    /// The first that is there. A last part `*` stands for the first directory of that place in byte order.
    FirstOf(Vec<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_matched_by_whole_parts_of_its_name() {
        let tree: FileTree =
            [("deploy/a.yaml", "1"), ("deploy-old/b.yaml", "2"), ("deploy/x/c.yaml", "3")]
                .into_iter()
                .collect();
        let names = |path| tree.below(path).map(|(p, _)| p.to_owned()).collect::<Vec<_>>();
        assert_eq!(names("deploy"), ["deploy/a.yaml", "deploy/x/c.yaml"]);
        assert_eq!(names("deploy/a.yaml"), ["deploy/a.yaml"]);
        assert_eq!(names(".").len(), 3);
        assert!(!tree.contains("dep"));
        assert_eq!(tree.directories_in("deploy"), ["x"]);
    }
}
