//! Replays the fuzzers' corpus (`tests/fuzz/corpus/`), and each input with small damage, through the functions that the
//! fuzzers call. A broken promise is a panic there.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bivouac::render::fuzz_entry;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("the corpus").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(path).expect("readable"))).collect()
}

fn replay(target: &str, at_least: usize, run: fn(&[u8])) {
    let corpus = corpus(target);
    assert!(corpus.len() >= at_least, "{} inputs for {target}", corpus.len());
    for (path, bytes) in &corpus {
        let mut inputs = vec![bytes.clone(), Vec::new()];
        // Cut short and with one byte gone, at some places of each input.
        let step = (bytes.len() / 16).max(1);
        for at in (0..bytes.len()).step_by(step) {
            inputs.push(bytes[..at].to_vec());
            inputs.push([&bytes[..at], &bytes[at + 1..]].concat());
        }
        for input in inputs {
            let held = catch_unwind(AssertUnwindSafe(|| run(&input))).is_ok();
            assert!(held, "{}: {:?}", path.display(), String::from_utf8_lossy(&input));
        }
    }
}

#[test]
fn yaml_files_hold_what_is_promised() {
    replay("yaml", 50, fuzz_entry::yaml);
}

#[test]
fn templates_hold_what_is_promised() {
    replay("template", 12, fuzz_entry::template);
}

#[test]
fn preview_files_hold_what_is_promised() {
    replay("preview_file", 4, fuzz_entry::preview_file);
}

#[test]
fn comments_hold_what_is_promised() {
    replay("command", 7, bivouac::domain::command::fuzz_entry);
}

#[test]
fn a_broken_promise_would_be_seen() {
    assert!(catch_unwind(|| replay("yaml", 1_000_000, fuzz_entry::yaml)).is_err());
    assert!(catch_unwind(|| replay("yaml", 1, |bytes| assert!(bytes.is_empty()))).is_err());
}
