//! PURE · the words of an answer: a heading for whom it is, a text, and the hidden first line by which it is known as
//! ours.

use crate::domain::comment::escape::{self, fence, one_line};

/// With this every answer of ours begins.
pub const MARKER: &str = "<!-- bivouac-reply:v1 ";
/// And every comment of ours, of whatever installation.
const OURS: &str = "<!-- bivouac";
/// GitHub's limit for a comment is 65,536 characters.
const MOST: usize = 60_000;

/// Text from outside as a code span.
#[must_use]
pub fn code(text: &str) -> String {
    escape::code(text)
}

/// Text from outside as prose when it is harmless, else as a code span.
#[must_use]
pub fn prose(text: &str) -> String {
    escape::prose(text)
}

/// What somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Name of the Request.
    pub request: String,
    /// Name of the installation.
    pub instance: String,
    /// The login of who asked.
    pub to: String,
    /// The line that is answered.
    pub about: String,
    /// Markdown of ours.
    pub text: String,
}

/// Whether a comment is one that an installation of this service wrote. Anybody can begin a comment like that: it is then
/// no command, and nothing else.
#[must_use]
pub fn is_ours(body: &str) -> bool {
    body.starts_with(OURS)
}

/// By which an answer is found again.
pub(crate) fn line(instance: &str, request: &str) -> String {
    let plain = |text: &str| -> String {
        let fine = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
        text.chars().filter(fine).take(200).collect()
    };
    format!("{MARKER}instance={} request={} -->", plain(instance), plain(request))
}

/// The comment. Nobody is mentioned: who asked is told by GitHub already.
#[must_use]
pub fn reply(answer: &Answer) -> String {
    let Answer { request, instance, to, about, text } = answer;
    let text: String = text.chars().take(MOST).collect();
    format!(
        "{}\n\n{} to {}:\n\n{}\n",
        line(instance, request),
        code(&about.chars().take(120).collect::<String>()),
        code(to),
        text.trim_end()
    )
}

/// Text from outside, in a fence that it can't end; at most so many characters of its end.
#[must_use]
pub fn fenced(text: &str, most: usize) -> String {
    let count = text.chars().count();
    let text: String = text.chars().skip(count.saturating_sub(most)).collect();
    let lines: Vec<String> = text.lines().map(one_line).collect();
    fence(&lines.join("\n"), "text")
}
