//! Trees, links, submodules and blobs that a work tree could not hold, or should not.

use gix::ObjectId;
use gix::object::Kind;

use super::repo::{Entry, FILE, LINK, Name, Repo, SUBMODULE, TREE, tree_bytes};
use super::{Case, case, files};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

/// A made-up hash that no object has.
fn nobody(digit: u8) -> ObjectId {
    ObjectId::from_bytes_or_panic(&[digit; 20])
}

/// A commit whose directory `deploy` holds one good manifest and `entries`.
fn beside(repo: &Repo, entries: Vec<(Name, Entry)>) -> ObjectId {
    let tree = repo.files(&[("deploy/a.yaml", MAP)], entries);
    repo.commit(tree)
}

fn link(name: &'static str, file: &'static str, target: &'static str) -> Case {
    case(name, move |repo| {
        let id = repo.blob(target);
        beside(repo, vec![(file.into(), Entry::Raw(LINK, id))])
    })
}

/// A directory entry with an odd name that holds a good manifest.
fn named(name: &'static str, entry: &'static [u8]) -> Case {
    case(name, move |repo| {
        let id = repo.blob(MAP.replace("name: a", "name: b"));
        let inner = vec![(b"b.yaml".to_vec(), Entry::Raw(FILE, id))];
        beside(repo, vec![(entry.to_vec(), Entry::Folder(inner))])
    })
}

/// A file with an odd name.
fn file_named(name: &'static str, entry: &'static [u8]) -> Case {
    case(name, move |repo| {
        let id = repo.blob(MAP.replace("name: a", "name: b"));
        beside(repo, vec![(entry.to_vec(), Entry::Raw(FILE, id))])
    })
}

fn links() -> Vec<Case> {
    vec![
        link("a link out of the repository", "b.yaml", "../../secret.yaml"),
        link("a link to an absolute path", "b.yaml", "/etc/passwd"),
        link("a link to a device", "b.yaml", "/dev/zero"),
        link("a link to itself", "b.yaml", "b.yaml"),
        link("a link to a file of the same directory", "b.yaml", "a.yaml"),
        case("the preview file is a link", |repo| {
            let preview = repo.blob("../secret.yaml");
            let map = repo.blob(MAP);
            let deploy = vec![(b"a.yaml".to_vec(), Entry::Raw(FILE, map))];
            let tree = repo.folder(vec![
                (b".bivouac.yaml".to_vec(), Entry::Raw(LINK, preview)),
                (b"deploy".to_vec(), Entry::Folder(deploy)),
            ]);
            repo.commit(tree)
        }),
        case("the directory of an app is a link", |repo| {
            let preview = repo.blob("apps: [{name: web, path: web}]\n");
            let target = repo.blob("/etc");
            let tree = repo.folder(vec![
                (b".bivouac.yaml".to_vec(), Entry::Raw(FILE, preview)),
                (b"web".to_vec(), Entry::Raw(LINK, target)),
            ]);
            repo.commit(tree)
        }),
        case("a link elsewhere in the repository does no harm", |repo| {
            let target = repo.blob("/etc");
            let map = repo.blob(MAP);
            let deploy = vec![(b"a.yaml".to_vec(), Entry::Raw(FILE, map))];
            let tree = repo.folder(vec![
                (b"deploy".to_vec(), Entry::Folder(deploy)),
                (b"etc".to_vec(), Entry::Raw(LINK, target)),
            ]);
            repo.commit(tree)
        }),
    ]
}

fn names() -> Vec<Case> {
    vec![
        named("a directory called ..", b".."),
        named("a directory called .", b"."),
        named("a directory called .git", b".git"),
        named("a directory called .GIT", b".GIT"),
        named("a directory called git~1", b"git~1"),
        named("a directory called .git with an ignorable character", ".g\u{200c}it".as_bytes()),
        named("a directory without a name", b""),
        file_named("a file whose name holds a way out", b"../../secret.yaml"),
        file_named("a file whose name is an absolute path", b"/etc/cron.d/x.yaml"),
        file_named("a file whose name holds backslashes", b"..\\..\\secret.yaml"),
        file_named(
            "a file whose name holds a terminal's commands",
            b"\x1b[2J\x1b]0;owned\x07.yaml",
        ),
        file_named("a file whose name holds a line break", b"a\nerror: everything is fine.yaml"),
        file_named("a file whose name is no UTF-8", b"\xff\xfe.yaml"),
        case("a file with a name of 5,000 characters", |repo| {
            let id = repo.blob(MAP.replace("name: a", "name: b"));
            let name = format!("{}.yaml", "n".repeat(5000));
            beside(repo, vec![(name.into_bytes(), Entry::Raw(FILE, id))])
        }),
        files(
            "names that differ in case only do no harm",
            &[("deploy/A.yaml", MAP), ("deploy/a.yaml", &MAP.replace("name: a", "name: b"))],
        ),
        file_named(
            "a file whose name turns the order of what people read",
            "a\u{202e}lmay.yaml".as_bytes(),
        ),
        file_named("a file whose name is foreign does no harm", "ядро-中文-é.yaml".as_bytes()),
        case("a path of 3,000 characters", |repo| {
            let name = "n".repeat(200);
            let mut id = repo.tree(&[(b"b.yaml", FILE, repo.blob(MAP))]);
            for _ in 0..15 {
                id = repo.tree(&[(name.as_bytes(), TREE, id)]);
            }
            beside(repo, vec![(name.into_bytes(), Entry::Raw(TREE, id))])
        }),
        case("a file and a directory of one name", |repo| {
            let (one, two) = (repo.blob(MAP), repo.blob(MAP.replace("name: a", "name: b")));
            let inner = repo.tree(&[(b"b.yaml", FILE, two)]);
            let deploy = repo.tree(&[(b"a.yaml", FILE, one), (b"a.yaml", TREE, inner)]);
            let tree = repo.tree(&[(b"deploy", TREE, deploy)]);
            repo.commit(tree)
        }),
        case("a preview file twice", |repo| {
            let (one, two) = (repo.blob("apps: [{name: a, path: deploy}]\n"), repo.blob(""));
            let deploy = repo.tree(&[(b"a.yaml", FILE, repo.blob(MAP))]);
            let tree = repo.tree(&[
                (b".bivouac.yaml", FILE, one),
                (b".bivouac.yaml", FILE, two),
                (b"deploy", TREE, deploy),
            ]);
            repo.commit(tree)
        }),
        case("two entries of one name", |repo| {
            let (one, two) = (repo.blob(MAP), repo.blob(MAP.replace("name: a", "name: b")));
            let deploy = repo.tree(&[(b"a.yaml", FILE, one), (b"a.yaml", FILE, two)]);
            let tree = repo.tree(&[(b"deploy", TREE, deploy)]);
            repo.commit(tree)
        }),
    ]
}

fn sizes() -> Vec<Case> {
    vec![
        case("10,000 files", |repo| {
            let id = repo.blob("");
            let entries =
                (0..10_000).map(|n| (format!("{n:05}.txt").into_bytes(), Entry::Raw(FILE, id)));
            beside(repo, entries.collect())
        }),
        case("a directory of 100,000 entries", |repo| {
            let id = repo.blob("");
            let entries =
                (0..100_000).map(|n| (format!("{n:06}.txt").into_bytes(), Entry::Raw(FILE, id)));
            beside(repo, entries.collect())
        }),
        case("a blob of 1 GB", |repo| {
            let id = nobody(0xb1);
            repo.loose(id, Kind::Blob, 1 << 30, &[b'#'; 4096]);
            beside(repo, vec![(b"b.yaml".to_vec(), Entry::Raw(FILE, id))])
        }),
        case("a blob that is longer than it says", |repo| {
            let id = nobody(0xb2);
            let bomb = vec![b'#'; 64 << 20];
            repo.loose(id, Kind::Blob, 10, &bomb);
            beside(repo, vec![(b"b.yaml".to_vec(), Entry::Raw(FILE, id))])
        }),
        case("a tree that is bigger than it says", |repo| {
            let id = nobody(0xb3);
            let file = repo.blob(MAP);
            let entries: Vec<String> = (0..500_000).map(|n| format!("{n:07}.yaml")).collect();
            let entries: Vec<(&[u8], &str, ObjectId)> =
                entries.iter().map(|name| (name.as_bytes(), FILE, file)).collect();
            repo.loose(id, Kind::Tree, 100, &tree_bytes(&entries));
            let tree = repo.tree(&[(b"deploy", TREE, id)]);
            repo.commit(tree)
        }),
        case("1,000 directories in one another", |repo| {
            let mut id = repo.tree(&[(b"a.yaml", FILE, repo.blob(MAP))]);
            for _ in 0..1000 {
                id = repo.tree(&[(b"d", TREE, id)]);
            }
            let tree = repo.tree(&[(b"deploy", TREE, id)]);
            repo.commit(tree)
        }),
        case("a directory that holds itself", |repo| {
            let id = nobody(0xc1);
            let bytes = tree_bytes(&[(b"deploy", TREE, id)]);
            repo.loose(id, Kind::Tree, bytes.len(), &bytes);
            let tree = repo.tree(&[(b"deploy", TREE, id)]);
            repo.commit(tree)
        }),
        case("a tree of trees that names two billion files", |repo| {
            let mut id = repo.tree(&[(b"a.txt", FILE, repo.blob(""))]);
            for _ in 0..7 {
                let names: Vec<String> = (0..20).map(|n| format!("{n:02}")).collect();
                let entries: Vec<(&[u8], &str, ObjectId)> =
                    names.iter().map(|name| (name.as_bytes(), TREE, id)).collect();
                id = repo.tree(&entries);
            }
            let tree = repo.tree(&[(b"deploy", TREE, id)]);
            repo.commit(tree)
        }),
    ]
}

fn objects() -> Vec<Case> {
    vec![
        case("a submodule with an odd address", |repo| {
            let text = "[submodule \"x\"]\n\tpath = deploy/x\n\turl = --upload-pack=touch${IFS}/tmp/owned\n";
            let modules = repo.blob(text);
            let map = repo.blob(MAP);
            let deploy = vec![
                (b"a.yaml".to_vec(), Entry::Raw(FILE, map)),
                (b"x".to_vec(), Entry::Raw(SUBMODULE, nobody(0x11))),
            ];
            let tree = repo.folder(vec![
                (b".gitmodules".to_vec(), Entry::Raw(FILE, modules)),
                (b"deploy".to_vec(), Entry::Folder(deploy)),
            ]);
            repo.commit(tree)
        }),
        case("a submodule elsewhere does no harm", |repo| {
            let map = repo.blob(MAP);
            let deploy = vec![(b"a.yaml".to_vec(), Entry::Raw(FILE, map))];
            let tree = repo.folder(vec![
                (b"deploy".to_vec(), Entry::Folder(deploy)),
                (b"vendor".to_vec(), Entry::Raw(SUBMODULE, nobody(0x11))),
            ]);
            repo.commit(tree)
        }),
        files(
            "a pointer of git-lfs",
            &[(
                "deploy/a.yaml",
                "version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 5\n",
            )],
        ),
        case("a blob that is not there", |repo| {
            beside(repo, vec![(b"b.yaml".to_vec(), Entry::Raw(FILE, nobody(0x22)))])
        }),
        case("a blob that is no zlib stream", |repo| {
            repo.damaged(nobody(0x33));
            beside(repo, vec![(b"b.yaml".to_vec(), Entry::Raw(FILE, nobody(0x33)))])
        }),
        case("a directory that is a blob", |repo| {
            let id = repo.blob(MAP);
            beside(repo, vec![(b"sub".to_vec(), Entry::Raw(TREE, id))])
        }),
        case("a file that is a directory", |repo| {
            let id = repo.tree(&[(b"a.yaml", FILE, repo.blob(MAP))]);
            beside(repo, vec![(b"b.yaml".to_vec(), Entry::Raw(FILE, id))])
        }),
        case("a mode that git does not have", |repo| {
            let id = repo.blob(MAP.replace("name: a", "name: b"));
            beside(repo, vec![(b"b.yaml".to_vec(), Entry::Raw("177777", id))])
        }),
        case("a file for everybody to execute is read as a file", |repo| {
            let id = repo.blob(MAP.replace("name: a", "name: b"));
            beside(repo, vec![(b"b.yaml".to_vec(), Entry::Raw("100777", id))])
        }),
        case("a tree that ends in the middle of a hash", |repo| {
            let mut bytes = tree_bytes(&[(b"a.yaml", FILE, nobody(0x44))]);
            bytes.truncate(bytes.len() - 7);
            let deploy = repo.object(Kind::Tree, &bytes);
            let tree = repo.tree(&[(b"deploy", TREE, deploy)]);
            repo.commit(tree)
        }),
        case("a commit whose tree is a blob", |repo| {
            let id = repo.blob("not a tree");
            repo.commit(id)
        }),
        case("a commit without a tree", |repo| repo.object(Kind::Commit, b"hello\n")),
        case("a revision that is a blob", |repo| {
            let tree = repo.files(&[("deploy/a.yaml", MAP)], Vec::new());
            repo.commit(tree);
            repo.blob(MAP)
        }),
        case("an empty commit", |repo| {
            let tree = repo.tree(&[]);
            repo.commit(tree)
        }),
    ]
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    [links(), names(), sizes(), objects()].into_iter().flatten().collect()
}
