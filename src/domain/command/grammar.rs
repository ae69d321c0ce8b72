//! PURE · the text of a comment → the commands in it, in their order. A command is a line of its own that begins with our
//! prefix.

use super::markdown::own_lines;

/// Commands of one comment that are taken.
pub const MOST_COMMANDS: usize = 10;
/// Words after the verb.
pub(super) const MOST_WORDS: usize = 40;
/// Characters of a word.
pub(super) const LONGEST_WORD: usize = 256;

/// One command as it stands there: its verb may be none that we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The first word, in lower case; `help` when there is none.
    pub verb: String,
    /// The words after it, without quotes.
    pub arguments: Vec<String>,
    /// Why the line can't be read; there are no arguments then.
    pub slip: Option<Slip>,
}

/// Why a line can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// A quote without its end.
    OpenQuote,
    /// Too many words, or one too long.
    TooLong,
    /// The line after the last one that is taken.
    TooMany,
}

impl Slip {
    /// As a sentence.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::OpenQuote => {
                "a quotation mark has no partner in this line; nothing of it was done"
            }
            Self::TooLong => {
                "the line has too many words, or one that is too long; nothing of it was done"
            }
            Self::TooMany => {
                "a comment may hold ten commands; this one and those after it were left out"
            }
        }
    }
}

/// All commands of a comment.
#[must_use]
pub fn read(text: &str, prefix: &str) -> Vec<Given> {
    let mut all = Vec::new();
    for line in own_lines(text) {
        let Some(rest) = after_prefix(line.trim(), prefix) else { continue };
        if all.len() == MOST_COMMANDS {
            all.push(Given {
                verb: "help".into(),
                arguments: Vec::new(),
                slip: Some(Slip::TooMany),
            });
            break;
        }
        all.push(given(rest));
    }
    all
}

/// What follows the prefix, when it stands there as a word of its own.
fn after_prefix<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    let start = line.get(..prefix.len())?;
    if prefix.is_empty() || !start.eq_ignore_ascii_case(prefix) {
        return None;
    }
    let rest = &line[prefix.len()..];
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(rest)
}

fn given(line: &str) -> Given {
    let first: String = line.split_whitespace().next().unwrap_or("help").to_lowercase();
    let first: String = first.chars().take(LONGEST_WORD).collect();
    match words(line) {
        Ok(words) => {
            let mut words = words.into_iter();
            let verb = words.next().map_or_else(|| "help".to_owned(), |word| word.to_lowercase());
            let verb = verb.chars().take(LONGEST_WORD).collect();
            Given { verb, arguments: words.collect(), slip: None }
        }
        Err(slip) => Given { verb: first, arguments: Vec::new(), slip: Some(slip) },
    }
}

/// The partner of a quotation mark. Phones make curly ones.
fn partner(mark: char) -> Option<char> {
    match mark {
        '"' | '\'' => Some(mark),
        '\u{201c}' | '\u{201e}' => Some('\u{201d}'),
        '\u{2018}' => Some('\u{2019}'),
        _ => None,
    }
}

/// The words of a line, as a shell reads them, without variables.
fn words(line: &str) -> Result<Vec<String>, Slip> {
    let mut all: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            all.extend(word.take());
        } else if let Some(end) = partner(c) {
            let word = word.get_or_insert_default();
            loop {
                match chars.next() {
                    None => return Err(Slip::OpenQuote),
                    Some(c) if c == end => break,
                    Some('\\') if end != '\'' => word.extend(chars.next()),
                    Some(c) => word.push(c),
                }
            }
        } else if c == '\\' {
            word.get_or_insert_default().extend(chars.next());
        } else if matches!(c, '\u{2013}' | '\u{2014}') && word.is_none() {
            // Phones make one dash of two.
            word = Some("--".to_owned());
        } else {
            word.get_or_insert_default().push(c);
        }
    }
    all.extend(word);
    let long = |word: &String| word.chars().count() > LONGEST_WORD;
    if all.len() > MOST_WORDS + 1 || all.iter().any(long) { Err(Slip::TooLong) } else { Ok(all) }
}
