//! Bare repositories whose objects are written byte by byte: what no work tree and no `git add` could hold.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use gix::ObjectId;
use gix::object::Kind;

/// File modes as git writes them.
pub(crate) const FILE: &str = "100644";
pub(crate) const LINK: &str = "120000";
pub(crate) const TREE: &str = "40000";
pub(crate) const SUBMODULE: &str = "160000";

/// A name in a tree: any bytes but NUL, which is the one thing the format can't hold.
pub(crate) type Name = Vec<u8>;

/// One entry of a directory.
pub(crate) enum Entry {
    /// Mode and object, as they are.
    Raw(&'static str, ObjectId),
    /// A directory of entries.
    Folder(Vec<(Name, Entry)>),
}

/// A bare repository.
pub(crate) struct Repo {
    folder: PathBuf,
}

impl Repo {
    /// An empty one at `folder`.
    pub(crate) fn new(folder: &Path) -> Self {
        for part in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
            fs::create_dir_all(folder.join(part)).expect("made");
        }
        fs::write(folder.join("HEAD"), "ref: refs/heads/main\n").expect("written");
        let config = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
        fs::write(folder.join("config"), config).expect("written");
        Self { folder: folder.to_owned() }
    }

    /// Writes `data` under its true hash.
    pub(crate) fn object(&self, kind: Kind, data: &[u8]) -> ObjectId {
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, kind, data).expect("hashed");
        self.loose(id, kind, data.len(), data);
        id
    }

    /// Writes an object that says it has `size` bytes, holds `data`, and goes by the name of `id`: three lies at once
    /// are possible, and nothing of a repository that somebody else packed can be believed.
    pub(crate) fn loose(&self, id: ObjectId, kind: Kind, size: usize, data: &[u8]) {
        let hex = id.to_string();
        let folder = self.folder.join("objects").join(&hex[..2]);
        fs::create_dir_all(&folder).expect("made");
        let mut out = ZlibEncoder::new(Vec::new(), Compression::fast());
        write!(out, "{} {size}\0", String::from_utf8_lossy(kind.as_bytes())).expect("written");
        out.write_all(data).expect("written");
        fs::write(folder.join(&hex[2..]), out.finish().expect("packed")).expect("written");
    }

    /// Writes bytes that are no zlib stream under the name of `id`.
    pub(crate) fn damaged(&self, id: ObjectId) {
        let hex = id.to_string();
        let folder = self.folder.join("objects").join(&hex[..2]);
        fs::create_dir_all(&folder).expect("made");
        fs::write(folder.join(&hex[2..]), b"not zlib at all").expect("written");
    }

    /// A blob.
    pub(crate) fn blob(&self, data: impl AsRef<[u8]>) -> ObjectId {
        self.object(Kind::Blob, data.as_ref())
    }

    /// A tree with exactly these entries in exactly this order.
    pub(crate) fn tree(&self, entries: &[(&[u8], &str, ObjectId)]) -> ObjectId {
        self.object(Kind::Tree, &tree_bytes(entries))
    }

    /// A directory with all below it; entries stay in the order given.
    pub(crate) fn folder(&self, entries: Vec<(Name, Entry)>) -> ObjectId {
        let mut written = Vec::new();
        for (name, entry) in entries {
            let (mode, id) = match entry {
                Entry::Raw(mode, id) => (mode, id),
                Entry::Folder(entries) => (TREE, self.folder(entries)),
            };
            written.push((name, mode, id));
        }
        let written: Vec<_> = written.iter().map(|(n, m, i)| (n.as_slice(), *m, *i)).collect();
        self.tree(&written)
    }

    /// Files by their paths, as an honest `git add` would write them, and further entries in the directory `deploy`.
    pub(crate) fn files(&self, files: &[(&str, &str)], in_deploy: Vec<(Name, Entry)>) -> ObjectId {
        let mut root = Folder::default();
        for (path, text) in files {
            root.add(path, self.blob(text));
        }
        let mut entries = root.entries();
        if !in_deploy.is_empty() {
            match entries.iter_mut().find(|(name, _)| name == b"deploy") {
                Some((_, Entry::Folder(deploy))) => deploy.extend(in_deploy),
                _ => entries.push((b"deploy".to_vec(), Entry::Folder(in_deploy))),
            }
            entries.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self.folder(entries)
    }

    /// A commit of `tree`; `refs/heads/main` points to it.
    pub(crate) fn commit(&self, tree: ObjectId) -> ObjectId {
        let who = "a <a@example.com> 1700000000 +0000";
        let text = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nx\n");
        let id = self.object(Kind::Commit, text.as_bytes());
        fs::write(self.folder.join("refs/heads/main"), format!("{id}\n")).expect("written");
        id
    }
}

/// The bytes of a tree object.
pub(crate) fn tree_bytes(entries: &[(&[u8], &str, ObjectId)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, mode, id) in entries {
        bytes.extend_from_slice(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes
}

#[derive(Default)]
struct Folder {
    files: BTreeMap<String, ObjectId>,
    folders: BTreeMap<String, Folder>,
}

impl Folder {
    fn add(&mut self, path: &str, id: ObjectId) {
        match path.split_once('/') {
            Some((folder, rest)) => {
                self.folders.entry(folder.to_owned()).or_default().add(rest, id);
            }
            None => {
                self.files.insert(path.to_owned(), id);
            }
        }
    }

    /// In git's order: a directory sorts as if its name ended with a slash.
    fn entries(self) -> Vec<(Name, Entry)> {
        let mut entries: Vec<(String, Name, Entry)> = Vec::new();
        for (name, id) in self.files {
            entries.push((name.clone(), name.into_bytes(), Entry::Raw(FILE, id)));
        }
        for (name, folder) in self.folders {
            let key = format!("{name}/");
            entries.push((key, name.into_bytes(), Entry::Folder(folder.entries())));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.into_iter().map(|(_, name, entry)| (name, entry)).collect()
    }
}
