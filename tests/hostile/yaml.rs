//! YAML that wants memory, time or a parser's mistake.

use std::fmt::Write as _;

use super::{Case, case, files, numbered};

fn one(name: &'static str, text: impl Into<String>) -> Case {
    files(name, &[("deploy/a.yaml", &text.into())])
}

fn bytes(name: &'static str, content: Vec<u8>) -> Case {
    case(name, move |repo| {
        let id = repo.blob(&content);
        let entries = vec![(b"a.yaml".to_vec(), super::repo::Entry::Raw("100644", id))];
        let tree = repo.files(&[], entries);
        repo.commit(tree)
    })
}

/// Nine levels of nine aliases: the billion laughs.
pub(super) fn laughs(merge: bool) -> String {
    let mut text =
        String::from("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nx0: &x0 {k0: lol}\n");
    for level in 1..10 {
        let before = level - 1;
        let aliases = vec![format!("*x{before}"); 9].join(", ");
        if merge {
            let _ = writeln!(text, "x{level}: &x{level} {{k{level}: 1, <<: [{aliases}]}}");
        } else {
            let _ = writeln!(text, "x{level}: &x{level} [{aliases}]");
        }
    }
    text
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let twice = format!("{head}data:\n  a: one\n  a: two\n");
    let long = format!("{head}data:\n  a: \"{}\"\n", "x".repeat(900_000));
    let many = numbered(60_000, |n| format!("  k{n}: v\n"));
    let big = format!("&big {}", "x".repeat(100_000));
    let copies = vec!["*big"; 5000].join(", ");
    let mut wide = String::from("\u{feff}");
    wide.push_str(head);
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain(head.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    vec![
        one("a billion laughs", laughs(false)),
        one("a billion laughs by merge keys come to ten keys", laughs(true)),
        one("one big value 5,000 times", format!("{head}big: {big}\nx: [{copies}]\n")),
        one("an alias of itself", format!("{head}x: &x [*x]\n")),
        one("an alias that nobody defined", format!("{head}x: *nobody\n")),
        one("100,000 brackets", format!("{head}x: {}", "[".repeat(100_000))),
        one("100,000 braces", format!("{head}x: {}", "{a: ".repeat(100_000))),
        one("1,400 levels of indentation", {
            let mut text = String::from(head);
            for level in 0..1400 {
                text.push_str(&" ".repeat(level));
                text.push_str("x:\n");
            }
            text
        }),
        one("100,000 dashes on one line", format!("{head}x:\n  {}a", "- ".repeat(100_000))),
        one("a key twice", twice),
        one("a value of 900,000 characters", long),
        one("60,000 keys", format!("{head}data:\n{many}")),
        one("200,000 documents", "---\n".repeat(200_000)),
        one(
            "a tag that asks for an object of Python",
            format!("{head}x: !!python/object/apply:os.system [\"touch /tmp/owned\"]\n"),
        ),
        one("a tag that lies about the type", format!("{head}data:\n  a: !!int hello\n")),
        one("a binary tag", format!("{head}data:\n  a: !!binary aGVsbG8=\n")),
        one("a number too big for a number", format!("{head}x: 1e999999\n")),
        one("an integer too big for an integer", format!("{head}x: 99999999999999999999999999\n")),
        one("a key that is a mapping", format!("{head}? {{a: b}}\n: c\n")),
        one("a document that is a list", "- a\n- b\n"),
        one("a document that is a word", "hello\n"),
        one("a byte order mark is no mistake", wide),
        one("a directive from the future", format!("%YAML 9.9\n---\n{head}")),
        one("tabs for indentation", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n\tname: a\n"),
        one("an end that never comes", format!("{head}x: \"\n")),
        one(
            "a secret in a line that can't be read",
            format!("{head}data:\n  password: \"CANARY-of-the-file\n  b: [\n"),
        ),
        bytes("UTF-16", utf16),
        bytes("a NUL byte", format!("{head}x: \"a\0b\"\n").into_bytes()),
        bytes("bytes that are no UTF-8", [head.as_bytes(), b"x: \xff\xfe\xfa\n"].concat()),
        bytes(
            "900,000 random-looking bytes",
            (0..900_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
        ),
    ]
}
