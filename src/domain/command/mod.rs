//! PURE · commands that people give on a pull request: the text of a comment in, [`Command`]s out; who may give which;
//! and the words of help and answers. No clock, no client.

mod answer;
mod arguments;
mod grammar;
mod help;
mod markdown;
mod permission;
mod verb;

#[cfg(test)]
mod tests;

pub use answer::{Answer, MARKER, code, fenced, is_ours, prose, reply};
pub use arguments::{Command, LOG_LINES, MOST_LOG_LINES, parse};
pub use grammar::{Given, MOST_COMMANDS, Slip, read};
pub use help::{help, table};
pub use permission::{InvalidRule, Level, Person, Rule, Rules, Standing, may};
pub use verb::Verb;

/// Entry of the fuzzer: any text is read without a panic, and what is read keeps its bounds.
///
/// # Panics
/// When a promise is broken.
#[doc(hidden)]
pub fn fuzz_entry(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (prefix, body) = text.split_once('\n').unwrap_or(("/preview", &text));
    for prefix in [prefix, "/preview"] {
        let given = read(body, prefix);
        assert!(given.len() <= MOST_COMMANDS + 1);
        for Given { verb, arguments, slip } in given {
            assert!(verb.chars().count() <= grammar::LONGEST_WORD);
            assert!(arguments.len() <= grammar::MOST_WORDS);
            assert!(arguments.iter().all(|word| word.chars().count() <= grammar::LONGEST_WORD));
            assert!(slip.is_none() || arguments.is_empty());
            if slip.is_none() {
                let first = parse(&verb, &arguments);
                assert_eq!(first, parse(&verb, &arguments));
                if let Err(why) = first {
                    assert!(why.chars().count() < 1000);
                }
            }
        }
    }
}
