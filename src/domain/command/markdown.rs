//! PURE · the lines of a comment that are its writer's own words: no code, no quotes, no hidden text.

/// A kind of text over several lines that ends at a certain line.
enum Inside<'a> {
    /// A fence of so many of that character.
    Fence(char, usize),
    /// `<!--`
    Comment,
    /// An element whose content is shown as it is.
    Raw(&'a str),
}

const RAW: [&str; 4] = ["pre", "script", "style", "textarea"];

/// What is left of the text, line by line. What can be read as code, quote or comment is none of it; in doubt a line is
/// left out: a command can be written again, and one that nobody gave can't be taken back.
pub(super) fn own_lines(text: &str) -> Vec<&str> {
    let mut own = Vec::new();
    let mut inside: Option<Inside<'_>> = None;
    let mut quoted = false;
    for line in text.lines() {
        let line = line.trim_end();
        let indent = line.len() - line.trim_start_matches(' ').len();
        let bare = line.trim_start();
        match &inside {
            Some(Inside::Fence(tick, count)) => {
                let run = bare.chars().take_while(|c| c == tick).count();
                if indent < 4 && run >= *count && bare.chars().all(|c| c == *tick) {
                    inside = None;
                }
                continue;
            }
            Some(Inside::Comment) => {
                if let Some((_, rest)) = line.rsplit_once("-->") {
                    inside = rest.contains("<!--").then_some(Inside::Comment);
                }
                continue;
            }
            Some(Inside::Raw(name)) => {
                if closes(bare, name) {
                    inside = None;
                }
                continue;
            }
            None => {}
        }
        if bare.is_empty() {
            quoted = false;
            continue;
        }
        let indented = indent >= 4 || line[..line.len() - bare.len()].contains('\t');
        if indented {
            continue;
        }
        if let Some(fence) = fence(bare) {
            inside = Some(fence);
            quoted = false;
            continue;
        }
        if bare.starts_with('>') {
            quoted = true;
            // What opens within a quote ends with it.
            continue;
        }
        if let Some(name) = RAW.iter().find(|name| opens(bare, name)) {
            if !closes(bare, name) {
                inside = Some(Inside::Raw(name));
            }
            continue;
        }
        let mut words = line;
        if let Some((before, after)) = line.split_once("<!--") {
            let closed = after.rsplit_once("-->").map(|(_, rest)| rest.contains("<!--"));
            if closed != Some(false) {
                inside = Some(Inside::Comment);
            }
            words = before.trim_end();
        }
        // A line below a quote, without an empty one between, is shown as a part of it.
        if !quoted && !words.is_empty() {
            own.push(words);
        }
    }
    own
}

fn fence<'a>(bare: &str) -> Option<Inside<'a>> {
    let tick = bare.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let count = bare.chars().take_while(|c| *c == tick).count();
    let rest = bare.get(count..).unwrap_or_default();
    (count >= 3 && !(tick == '`' && rest.contains('`'))).then_some(Inside::Fence(tick, count))
}

fn opens(bare: &str, name: &str) -> bool {
    let Some(rest) = bare.strip_prefix('<') else { return false };
    let is = rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let after = rest.get(name.len()..).unwrap_or_default().chars().next();
    is && after.is_none_or(|c| c == '>' || c.is_whitespace())
}

fn closes(line: &str, name: &str) -> bool {
    let line = line.to_ascii_lowercase();
    line.contains(&format!("</{name}>"))
}
