//! PURE · puts outside text into Markdown so that it stays text, and the helpers by which templates do it.
//!
//! Inside code GitHub makes no mention, link, reference, image, formula or HTML. So outside text goes into a code
//! span or a fence; as plain prose only when every character of it is harmless.

use handlebars::{
    Context, Handlebars, Helper, HelperResult, Output, RenderContext, RenderErrorReason,
};

/// Characters that make nothing in Markdown in the middle of a line.
const PROSE: &str = " .,;:'\"()/-%+=?";

/// `text` on one line, visible: control characters and line ends become spaces, characters that turn the direction
/// of writing or have no width go.
pub(in crate::domain) fn one_line(text: &str) -> String {
    text.chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| if c.is_control() || is_line_end(c) { ' ' } else { c })
        .collect()
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}' | '\n' | '\r')
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// A comment's start in outside text could be taken for a marker by a simple reader.
fn no_marker(text: &str) -> String {
    text.replace("<!--", "<! --")
}

/// The longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// `text` as a code span.
pub(in crate::domain) fn code(text: &str) -> String {
    let text = no_marker(one_line(text).trim());
    if text.is_empty() {
        return "`(empty)`".to_owned();
    }
    let ticks = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

/// `text` as a code span in a table's cell, where a bar ends the cell even inside of code.
fn cell(text: &str) -> String {
    // A backslash before a bar would take the escape away.
    code(&text.replace('\\', "/")).replace('|', "\\|")
}

/// `text` as prose when it is harmless, else as a code span. Never for the beginning of a line.
pub(in crate::domain) fn prose(text: &str) -> String {
    let text = one_line(text);
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let looks_like_a_hash = |word: &str| {
        word.len() >= 7
            && word.bytes().all(|b| b.is_ascii_hexdigit())
            && word.bytes().any(|b| b.is_ascii_digit())
    };
    let harmless = !text.is_empty()
        && text.chars().all(|c| c.is_alphanumeric() || PROSE.contains(c))
        && ["://", "www.", "gh-", "mailto:", "xmpp:"].iter().all(|link| !lower.contains(link))
        && !text.split(|c: char| !c.is_alphanumeric()).any(looks_like_a_hash);
    if harmless { text.to_owned() } else { code(text) }
}

/// Lines of `text` in a fence that no line of it can end.
pub(in crate::domain) fn fence(text: &str, language: &str) -> String {
    let clean: String = text
        .replace("\r\n", "\n")
        .chars()
        .filter(|c| !is_invisible(*c))
        .map(|c| match c {
            '\n' | '\t' => c,
            c if is_line_end(c) => '\n',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    let clean = no_marker(clean.trim_end());
    let ticks = "`".repeat((longest_run(&clean) + 1).max(3));
    format!("{ticks}{language}\n{clean}\n{ticks}")
}

/// A link with a code span as its text; code alone when the address is not one of the web.
pub(in crate::domain) fn link(label: &str, url: &str, as_cell: bool) -> String {
    let show = if as_cell { cell } else { code };
    let lower = url.to_ascii_lowercase();
    if !(lower.starts_with("https://") || lower.starts_with("http://")) {
        return show(url);
    }
    let mut address = String::with_capacity(url.len());
    for byte in url.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/?#@!$+,;=%".contains(&byte) {
            address.push(char::from(byte));
        } else if byte == b'&' {
            // Alone it could begin an entity, which Markdown reads in addresses too.
            address.push_str("&amp;");
        } else {
            address.push('%');
            address.push_str(&hex::encode_upper([byte]));
        }
    }
    // Brackets bind weaker than a code span, so the label can't close them.
    format!("[{}]({address})", show(label))
}

fn argument<'a>(
    helper: &'a Helper<'_>,
    index: usize,
) -> Result<std::borrow::Cow<'a, str>, RenderErrorReason> {
    let missing = || RenderErrorReason::ParamNotFoundForIndex("comment helper", index);
    let value = helper.param(index).ok_or_else(missing)?.value();
    match value {
        serde_json::Value::String(text) => Ok(text.as_str().into()),
        serde_json::Value::Number(number) => Ok(number.to_string().into()),
        _ => Err(missing()),
    }
}

/// Registers `ours` (words of this program, as they are), `prose`, `cell`, `fence`, `sh`, `link` and `linkcell`.
pub(super) fn register(registry: &mut Handlebars<'_>) {
    macro_rules! helper {
        ($name:literal, |$h:ident| $text:expr) => {
            registry.register_helper(
                $name,
                Box::new(
                    |$h: &Helper<'_>,
                     _: &Handlebars<'_>,
                     _: &Context,
                     _: &mut RenderContext<'_, '_>,
                     out: &mut dyn Output|
                     -> HelperResult {
                        out.write(&$text)?;
                        Ok(())
                    },
                ),
            );
        };
    }
    helper!("ours", |h| argument(h, 0)?);
    helper!("prose", |h| prose(&argument(h, 0)?));
    helper!("cell", |h| cell(&argument(h, 0)?));
    helper!("fence", |h| fence(&argument(h, 0)?, "text"));
    helper!("sh", |h| fence(&argument(h, 0)?, "sh"));
    helper!("link", |h| link(&argument(h, 0)?, &argument(h, 1)?, false));
    helper!("linkcell", |h| link(&argument(h, 0)?, &argument(h, 1)?, true));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_text_stays_what_it_is() {
        for (text, expected) in [
            ("web", "`web`"),
            ("", "`(empty)`"),
            ("a`b", "``a`b``"),
            ("`", "`` ` ``"),
            ("a\nb\u{202e}c", "`a bc`"),
            ("<!-- bivouac:v1 -->", "`<! -- bivouac:v1 -->`"),
        ] {
            assert_eq!(code(text), expected);
        }
        for (text, expected) in [
            ("the pull request is a draft", "the pull request is a draft"),
            ("thanks @octocat", "`thanks @octocat`"),
            ("see https://evil.example", "`see https://evil.example`"),
            ("fixes #1", "`fixes #1`"),
            ("at deadbee1", "`at deadbee1`"),
            ("*bold*", "`*bold*`"),
        ] {
            assert_eq!(prose(text), expected);
        }
        assert_eq!(cell("a|b\\|c"), "`a\\|b/\\|c`");
        assert_eq!(fence("a\n```\nb\r\nc\n", "text"), "````text\na\n```\nb\nc\n````");
        assert_eq!(link("x]", "https://h/a)b c", false), "[`x]`](https://h/a%29b%20c)");
        assert_eq!(link("x", "javascript:alert(1)", false), "`javascript:alert(1)`");
    }
}
