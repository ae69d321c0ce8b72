//! The quick reader against the general one: what it reads it must read as the same, places included.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;

use super::{YamlLimits, general, simple};
use crate::domain::document::Node;

fn quick(text: &str) -> Option<Vec<Node>> {
    simple::documents(text, &YamlLimits::default(), &|position| position)
}

/// Whether the quick reader read `text`.
fn agrees(text: &str) -> bool {
    let Some(found) = quick(text) else { return false };
    match general(text, &YamlLimits::default(), &|position| position) {
        Ok(wanted) => assert_eq!(found, wanted, "{text:?}"),
        Err(failure) => panic!("read, but {:?}: {text:?}", failure.problem),
    }
    true
}

/// What manifests are made of; each piece is read by the quick reader.
const READ: [&str; 29] = [
    "",
    "a: 1\n",
    "\n# c\n\na: b # c\n\n  # d\nc: d\n",
    "---\na: 1\n---\n# only a comment\n---\nb: 2\n---\n",
    "a:\n  b:\n    c: d\n  e: f\ng: h\n",
    "a:\n- b\n- c\nd:\n  - e\n  - f: g\n    h: i\n  -   j: k\n      l: m\n",
    "a:\n  - - b\n    - c\n  -\n    d: e\n  - # f\n    g: h\n",
    "a:\nb: # c\nd:\n  e:\nf:\n",
    "a:\n  -\n  - b\n  -\n",
    "a:\n-\n- b\nc: d\n",
    "a: {}\nb: []\nc: {d: [e, {f: \"g\"}], 'h': -1}\n",
    "a: |\n  b\n   c\n\n  d\n\ne: |-\n  f\n\ng:\n  - |\n    h # i\n  - j\n",
    "a: |\n\n\n  # b\n  ---\n  c: d\n---\ne: f\n",
    "a: 'it''s'\nb: \"\"\nc: ''\nd: \"x\\ny\\t\\\"\\\\\"\ne: ''''\n",
    "\"a b\": c\n'd': e\n80: f\ntrue: g\nh i: j\n",
    "a: http://x:80/y?z=1#w\nb: a,b]c\nc: 10:30\nd: --flag=x\ne: -1\nf: (x)\n",
    "a: ü\nü: \"ö\" # ä\nd: {ß: é, f: g}\n- x: y\n",
    "- a: b\n",
    "ä: [ö, ü]\n",
    "a: x y  z   # c\n",
    "a: $(X) {{y}}\n",
    "a: on\nb: ~\nc: null\nd: 0o17\ne: 1e3\nf: .5\ng: 123e4567\n",
    "a: 1",
    "a:",
    "a: b\n  # c",
    "a: [ b , c ]\nd: { e: f }\n",
    "a:\n    b: c\n    d:\n    - e\n",
    "args: [\"--x={{y}}\", '-c', z=1]\n",
    "a: b\n\n\n---\n\n\nb: c\n",
];

#[test]
fn both_readers_agree_on_what_manifests_are_made_of() {
    for text in READ {
        let other = text.starts_with("- ") || text.contains("\n- x");
        assert_eq!(agrees(text), !other, "{text:?}");
    }
}

#[test]
fn what_is_not_simple_is_left_to_the_general_reader() {
    for text in [
        "a: &b c\n",
        "a: *b\n",
        "a: !!str 1\n",
        "a: >\n  b\n",
        "a: |+\n  b\n",
        "a: |2\n  b\n",
        "a: b\n  c\n",
        "a: \"b\n  c\"\n",
        "a: [b,\n  c]\n",
        "a: {b}\n",
        "a: {<<: {b: c}}\n",
        "a: b: c\n",
        "a: 1\na: 2\n",
        "a: {b: 1, b: 2}\n",
        "a:\tb\n",
        "a: .inf\n",
        "? a\n: b\n",
        "a: b\n...\n",
        "a: |\n  b",
        "a: \"\\u0041\"\n",
        "a: b\r\n",
        "--- a\n",
        "{a: b}\n",
        "  a: b\n",
        "a:\n  b: c\n d: e\n",
        "a: {b: c}#d\n",
        "a: [b, ]\n",
    ] {
        assert_eq!(quick(text), None, "{text:?}");
    }
}

#[test]
fn limits_hold_here_too() {
    let limits = YamlLimits { values: 5, documents: 1, nesting: 2, ..YamlLimits::default() };
    let read = |text: &str| simple::documents(text, &limits, &|position| position);
    for fits in ["a: {b: c}\n", "a: 1\n---\n"] {
        assert!(read(fits).is_some(), "{fits:?}");
    }
    for more in ["a: 1\nb: 2\nc: 3\n", "a: 1\n---\nb: 2\n", "a: {b: {c: d}}\n", "a: [[[]]]\n"] {
        assert_eq!(read(more), None, "{more:?}");
    }
}

/// Every YAML file that lies in this repository.
#[test]
fn both_readers_agree_on_the_files_of_this_repository() {
    let (mut files, mut read) = (0, 0);
    let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if !name.starts_with('.') && name != "target" {
                    left.push(path);
                }
            } else if name.ends_with(".yaml") || name.ends_with(".yml") {
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                // Templates of charts are none.
                let limits = YamlLimits::default();
                files += usize::from(general(&text, &limits, &|position| position).is_ok());
                read += usize::from(agrees(&text));
            }
        }
    }
    assert!(files >= 20 && read * 2 >= files, "{read} of {files}");
}

/// Lines that fit together often enough.
fn line() -> impl Strategy<Value = String> {
    let indent = prop_oneof![4 => (0_usize..4).prop_map(|n| n * 2), 1 => 0_usize..7];
    let dash = prop_oneof![5 => Just(""), 3 => Just("- "), 1 => Just("-   "), 1 => Just("- - ")];
    let key = prop_oneof![
        9 => "[a-e]: ",
        1 => "[a-e]:",
        1 => "\"[a-c]\": ",
        1 => "'[ab]' ?: ",
        1 => "[a-c] [a-c]: ",
        1 => "ü: ",
        4 => Just(String::new()),
    ];
    let value = prop_oneof![
        3 => Just(String::new()),
        4 => "[a-e0-9]{1,4}",
        2 => Just("|".to_owned()),
        1 => Just("|-".to_owned()),
        2 => "\"[a-c \\\\n'#:ü]{0,5}\"",
        2 => "'[a-c \"#:]{0,5}'",
        3 => "[\\[{][a-c:, \"0-9\\[\\]{}ü]{0,12}[\\]}]",
        3 => "\\{a: [a-c0-9\"]{0,3}, b: \\[[a-c, ]{0,6}\\]\\}",
        3 => "[a-c#:,'\"\\[\\]{}&*!|>%@?~<=./$+ -]{1,6}",
    ];
    let after = prop_oneof![8 => Just(""), 1 => Just(" # c"), 1 => Just("  "), 1 => Just("#")];
    let ending =
        prop_oneof![9 => Just("\n"), 1 => Just("\n\n"), 1 => Just("\n---\n"), 1 => Just("\n  \n")];
    (indent, dash, key, value, after, ending).prop_map(|(indent, dash, key, value, after, end)| {
        format!("{}{dash}{key}{value}{after}{end}", " ".repeat(indent))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn both_readers_agree_on_lines_that_look_like_manifests(
        lines in proptest::collection::vec(line(), 1..9)
    ) {
        agrees(&lines.concat());
    }

    #[test]
    fn both_readers_agree_on_any_text(
        text in "([a-c*&<!|>%@`{}\\[\\],:?'\"#~ \\-\n\t0-9ü]|: |- |--- |\n  |\n- |a: |b:\n){0,40}"
    ) {
        agrees(&text);
    }
}

/// A file in which little was changed is the likeliest to be read by one reader only.
#[test]
fn both_readers_agree_on_files_with_one_byte_changed() {
    let mut text = String::new();
    for (number, piece) in READ.iter().enumerate().filter(|(_, piece)| !piece.contains("\n- x")) {
        if !piece.starts_with("- ") {
            let _ = write!(text, "{piece}\n---\nn: {number}\n---\n");
        }
    }
    let changes = [" ", "\n", ":", "-", "#", "'", "\"", "x", ",", "[", "}", "|", "  ", "\t"];
    for piece in READ {
        for (at, _) in piece.char_indices() {
            for change in changes {
                agrees(&format!("{}{change}{}", &piece[..at], &piece[at..]));
                let after = piece[at..].chars().next().map_or(0, char::len_utf8);
                agrees(&format!("{}{change}{}", &piece[..at], &piece[at + after..]));
                agrees(&format!("{}{}", &piece[..at], &piece[at + after..]));
            }
        }
    }
    assert!(agrees(&text));
}
