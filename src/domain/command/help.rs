//! PURE · the help and the table of the documentation, both made of [`Verb`] and so never behind it.

use std::fmt::Write as _;

use super::permission::Rules;
use super::verb::Verb;

/// The table of the verbs with who may give them, as Markdown.
#[must_use]
pub fn table(prefix: &str, rules: &Rules) -> String {
    let mut text = "| command | does | who may |\n| --- | --- | --- |\n".to_owned();
    for verb in Verb::ALL {
        let usage = verb.usage();
        let space = if usage.is_empty() { "" } else { " " };
        // Neither fails on a string.
        let _ = writeln!(
            text,
            "| `{prefix} {}{space}{usage}` | {} | {} |",
            verb.name(),
            verb.text(),
            rules.of(verb)
        );
    }
    text
}

/// The answer to `help`.
#[must_use]
pub fn help(prefix: &str, rules: &Rules) -> String {
    format!(
        "{}\nA command is a line of its own in a new comment; an edited comment does nothing. Values with spaces go in \
         quotation marks.\n",
        table(prefix, rules)
    )
}
