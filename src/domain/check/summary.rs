//! PURE · the summary of a check run: a table of all Environments at the commit, then what has to be explained.

use std::fmt::Write as _;

use super::{Remark, Row, Standing, shorten};
use crate::domain::comment::escape::{code, link, prose};
use crate::domain::comment::words;
use crate::domain::id::Revision;

/// GitHub's limit, in bytes.
const MOST: usize = 65_535;
/// How much of each kind is shown: rows, apps of a row, remarks of a row, characters of a text. Later ones are tried
/// when the text is too long; the last is far below the limit for any input.
const CAPS: [Caps; 3] = [
    Caps { rows: 50, apps: 20, remarks: 20, text: 1000 },
    Caps { rows: 50, apps: 5, remarks: 5, text: 200 },
    Caps { rows: 20, apps: 2, remarks: 0, text: 100 },
];

#[derive(Clone, Copy)]
struct Caps {
    rows: usize,
    apps: usize,
    remarks: usize,
    text: usize,
}

pub(super) fn of(rows: &[&Row], superseded_by: Option<&Revision>) -> String {
    if rows.is_empty() {
        return match superseded_by {
            Some(newer) => format!("The pull request is at {} now.\n", code(newer.as_str())),
            None => "Nothing of this commit is left.\n".to_owned(),
        };
    }
    let mut text = String::new();
    for caps in CAPS {
        text = written(rows, caps);
        if text.len() <= MOST {
            break;
        }
    }
    text
}

fn written(rows: &[&Row], caps: Caps) -> String {
    let branches = rows.iter().any(|row| row.branch.is_some());
    let what = if branches { "Source" } else { "Pull request" };
    let mut text = format!("| {what} | Preview | State | Expires |\n| --- | --- | --- | --- |\n");
    for row in rows.iter().take(caps.rows) {
        let expires = row.expires_at.filter(|_| row.standing.has_camp()).map(words::time);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            row.source(),
            addresses(row, caps),
            row.standing.word(),
            expires.as_deref().unwrap_or("–"),
        );
    }
    more(&mut text, rows.len(), caps.rows, "previews");
    for row in rows.iter().take(caps.rows) {
        explain(&mut text, row, rows.len() > 1, caps);
    }
    text
}

fn addresses(row: &Row, caps: Caps) -> String {
    let shown = matches!(row.standing, Standing::Ready | Standing::Degraded | Standing::Pinned);
    if !shown || row.apps.is_empty() {
        return "–".to_owned();
    }
    let label = |app: &str| if app.is_empty() { "preview".to_owned() } else { app.to_owned() };
    let mut links: Vec<String> = row
        .apps
        .iter()
        .take(caps.apps)
        .map(|app| {
            let url = shorten(&app.url, 300);
            // A bar ends a cell in an address, too.
            link(&shorten(&label(&app.app), 63), &url.replace('|', "%7C"), true)
        })
        .collect();
    if row.apps.len() > caps.apps {
        links.push(format!("and {} more", row.apps.len() - caps.apps));
    }
    links.join(" ")
}

/// Why it is so, and what was found in the commit.
fn explain(text: &mut String, row: &Row, named: bool, caps: Caps) {
    let reason = row.reason.as_deref().filter(|reason| !reason.trim().is_empty());
    let reason = reason.filter(|_| row.standing.is_explained() && row.remarks.is_empty());
    if reason.is_none() && row.remarks.is_empty() {
        return;
    }
    text.push('\n');
    if named {
        let _ = writeln!(text, "**{}**\n", row.source());
    }
    if let Some(reason) = reason {
        let _ = writeln!(text, "Reason: {}", prose(&shorten(reason, caps.text)));
    }
    if row.standing == Standing::AwaitingApproval {
        text.push_str(
            "\nThe comment on the pull request has the command that approves this commit.\n",
        );
    }
    for remark in row.remarks.iter().take(caps.remarks) {
        let _ = writeln!(text, "* {}", remark_line(remark, caps));
    }
    more(text, row.remarks.len(), caps.remarks, "remarks");
}

fn remark_line(remark: &Remark, caps: Caps) -> String {
    let mut line = String::new();
    if let Some(rule) = &remark.rule {
        let _ = write!(line, "{} ", code(&shorten(rule, 63)));
    }
    if let Some(file) = &remark.file {
        let place = match remark.line {
            Some(at) => format!("{}:{at}", shorten(file, caps.text)),
            None => shorten(file, caps.text),
        };
        let _ = write!(line, "{} ", code(&place));
    }
    // Never at the beginning of the line: a text alone could begin a list or a heading.
    let _ = write!(line, "· {}", prose(&shorten(&remark.message, caps.text)));
    if let Some(hint) = &remark.hint {
        let _ = write!(line, " · {}", prose(&shorten(hint, caps.text)));
    }
    line
}

fn more(text: &mut String, all: usize, shown: usize, what: &str) {
    if all > shown {
        let _ = writeln!(text, "\nand {} more {what}", all - shown);
    }
}
