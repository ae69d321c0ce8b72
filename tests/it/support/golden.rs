//! Golden files: what a person gets to read, whole.

use std::path::PathBuf;

/// Compares a comment with its golden file. Hashes of commits and spans of time are replaced: they follow the clock.
pub(crate) fn golden(name: &str, comment: &str, head: &str) {
    let short = head.get(..7).unwrap_or(head);
    let text = comment.replace(head, "{head}").replace(short, "{short}");
    let text = without_span(&text, "It stood for ", " and showed");
    let text = without_span(&text, "ready after ", " ·");
    let mut text = without_marker(&text);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/stories")
        .join(format!("{name}.md"));
    if std::env::var_os("BIVOUAC_REGENERATE").is_some() {
        std::fs::write(&path, &text).expect("the golden file can be written");
        return;
    }
    let mut stored = std::fs::read_to_string(&path).unwrap_or_default();
    // How often a preview that does not answer is asked moves its end over a minute.
    if super::is_real() || name.starts_with("health-url") {
        // No story begins at the golden file's time on a real API server.
        stored = without_span(&stored, "expires ", " UTC");
        text = without_span(&text, "expires ", " UTC");
    }
    assert_eq!(text, stored, "{name}: BIVOUAC_REGENERATE=1 writes the golden files anew");
}

/// The marker's line holds hashes of the text; the text itself is what counts.
fn without_marker(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with("<!-- bivouac"));
    let mut text: String = lines.flat_map(|line| [line, "\n"]).collect();
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// What stands between the first `before` and the next `after` of the same line becomes `{time}`.
fn without_span(text: &str, before: &str, after: &str) -> String {
    let Some((head, rest)) = text.split_once(before) else { return text.to_owned() };
    match rest.split_once(after) {
        Some((time, tail)) if !time.contains('\n') => {
            format!("{head}{before}{{time}}{after}{tail}")
        }
        _ => text.to_owned(),
    }
}
