//! PURE · Helm's stderr → a place and a reason for the author of a chart, without values and without our folders.

use std::fmt::Write as _;

use super::helm_chart::Chart;
use super::tool_text::{Secrets, leading_place};
use super::tools::ToolError;
use crate::domain::file_tree::FileTree;

/// Warnings that are passed on.
const MAX_NOTES: usize = 5;
/// Violations of a schema that are named.
const MAX_VIOLATIONS: usize = 5;

/// What is known when Helm fails.
pub(super) struct Context<'a> {
    pub(super) chart: &'a Chart,
    pub(super) files: &'a FileTree,
    /// Folder of the chart in the repository.
    pub(super) at: &'a str,
    pub(super) secrets: &'a Secrets,
    /// Folder of this run on disk, which means nothing to anybody.
    pub(super) folder: &'a str,
}

/// Helm's reason, for versions 3 (one line) and 4 (a line for each level).
pub(super) fn explain(context: &Context<'_>, stderr: &str) -> ToolError {
    let text = stderr.split("\nUse --debug flag").next().unwrap_or(stderr);
    let text = text.rfind("Error: ").map_or(text, |at| text.get(at + 7..).unwrap_or(text)).trim();
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (file, line, message) = if text.starts_with("values don't meet the specifications") {
        schema(context, text)
    } else if let Some((file, why)) =
        flat.strip_prefix("YAML parse error on ").and_then(|rest| rest.split_once(": "))
    {
        (Some(context.origin(file)), None, no_yaml(why))
    } else if let Some(found) = in_brackets(&flat, "execution error at (") {
        // The author's own words, by `fail` or `required`.
        context.placed(found)
    } else if let Some(found) = in_brackets(&flat, "parse error at (") {
        context.placed(found)
    } else if let Some((file, line, rest)) = last_place(&flat) {
        let why = context.reason(rest);
        (Some(context.origin(file)), Some(line), why)
    } else {
        (None, None, flat.replace(context.folder, ""))
    };
    let message = context.secrets.out_of(&message);
    let message =
        if message.is_empty() { "helm failed and did not say why".into() } else { message };
    ToolError::Input { file: Some(file.unwrap_or_else(|| context.at.to_owned())), line, message }
}

impl Context<'_> {
    fn origin(&self, source: &str) -> String {
        self.chart.origin(self.files, source)
    }

    fn placed(&self, (place, why): (&str, &str)) -> (Option<String>, Option<usize>, String) {
        match leading_place(place) {
            Some((file, line, _)) => (Some(self.origin(file)), Some(line), why.to_owned()),
            None => (Some(self.origin(place)), None, why.to_owned()),
        }
    }

    /// `: executing "x" at <.Values.a.b>: nil pointer …` → `nil pointer … (at .Values.a.b)`.
    fn reason(&self, rest: &str) -> String {
        let rest = rest.trim_start_matches([':', ' ']);
        let Some((_, after)) = rest.split_once(" at <") else { return self.quotes_out(rest) };
        let Some((expression, why)) = after.split_once(">:") else { return self.quotes_out(rest) };
        let path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$');
        let why = self.quotes_out(why.trim());
        if !expression.is_empty() && expression.len() <= 120 && expression.chars().all(path) {
            format!("{why} (at {expression})")
        } else {
            why
        }
    }

    /// What stands in quotes may be a value that was computed, unless a template has the same word.
    fn quotes_out(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('"') {
            let Some((quoted, behind)) = after.split_once('"') else { break };
            out.push_str(before);
            let known = quoted.len() <= 100 && self.in_a_template(quoted);
            let _ = if known { write!(out, "{quoted:?}") } else { write!(out, "\"…\"") };
            rest = behind;
        }
        out.push_str(rest);
        out
    }

    fn in_a_template(&self, word: &str) -> bool {
        let word = word.as_bytes();
        !word.is_empty()
            && (word == b"gotpl"
                || self
                    .files
                    .below(self.at)
                    .filter(|(path, _)| path.contains("/templates/"))
                    .any(|(_, bytes)| bytes.windows(word.len()).any(|window| window == word)))
    }
}

/// `PREFIX place): why` → place and why; the last such, which is where it happened.
fn in_brackets<'a>(text: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let at = text.rfind(prefix)? + prefix.len();
    text.get(at..)?.split_once("): ")
}

/// The last word that is a place in a template, with what follows it.
fn last_place(text: &str) -> Option<(&str, usize, &str)> {
    let mut found = None;
    let mut begin = 0;
    for word in text.split(' ') {
        let end = begin + word.len();
        if let Some((file, line, left)) = leading_place(word)
            && file.contains("/templates/")
            && (left.is_empty() || left == ":")
        {
            found = Some((file, line, text.get(end..).unwrap_or_default()));
        }
        begin = end + 1;
    }
    found
}

/// `error converting YAML to JSON: yaml: line 2: did not find expected ',' or ']'`.
fn no_yaml(why: &str) -> String {
    let why = why.rsplit_once("yaml: ").map_or(why, |(_, why)| why);
    let (line, why) = why
        .strip_prefix("line ")
        .and_then(|rest| rest.split_once(": "))
        .map_or((None, why), |(line, why)| (Some(line), why));
    // What stands in backquotes is text that was rendered.
    let why = why.split('`').step_by(2).collect::<Vec<_>>().join("…");
    let at = line.map(|line| format!(", at line {line} of what it gives")).unwrap_or_default();
    format!("the filled template is no valid YAML: {why}{at}")
}

fn schema(context: &Context<'_>, text: &str) -> (Option<String>, Option<usize>, String) {
    let file = Some(super::helm_chart::join(context.at, "values.schema.json"));
    let file = file.filter(|path| context.files.get(path).is_some());
    let broken: Vec<&str> =
        text.lines().filter_map(|line| line.trim_start().strip_prefix("- ")).collect();
    if broken.is_empty() {
        let message = "values.schema.json can't be used: it refers to another file or URL, or is no JSON \
                       schema; schemas are not loaded from elsewhere, so write all of it into the one file";
        return (file, None, message.into());
    }
    let named = broken.iter().take(MAX_VIOLATIONS).copied().collect::<Vec<_>>().join("; ");
    let more = broken.len().saturating_sub(MAX_VIOLATIONS);
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    (file, None, format!("the values do not fit the chart's schema: {named}{more}"))
}

/// What Helm says although it succeeded.
pub(super) fn warnings(secrets: &Secrets, stderr: &str) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for line in stderr.lines().filter(|line| !line.trim().is_empty()) {
        let text = match line.split_once(" msg=") {
            Some((_, message)) => logged(message),
            // `coalesce.go:286: warning: …`
            None => line
                .split_once(": ")
                .filter(|(place, _)| place.contains(".go:"))
                .map_or(line, |(_, text)| text)
                .to_owned(),
        };
        // What a warning repeats of the values comes in brackets at its end.
        let cut = text.find(" (").into_iter().chain(text.find("map[")).min();
        let text = text.get(..cut.unwrap_or(text.len())).unwrap_or(&text);
        let note = format!("helm: {}", secrets.out_of(text));
        if !notes.contains(&note) {
            notes.push(note);
        }
        if notes.len() == MAX_NOTES {
            break;
        }
    }
    notes
}

/// The message of a line of Go's structured log, with the names of its fields but for values.
fn logged(message: &str) -> String {
    let Some(rest) = message.strip_prefix('"') else {
        return message.split(' ').next().unwrap_or_default().to_owned();
    };
    let end = rest
        .char_indices()
        .find(|(at, c)| *c == '"' && !rest.get(..*at).is_some_and(|before| before.ends_with('\\')));
    let end = end.map_or(rest.len(), |(at, _)| at);
    let text = rest.get(..end).unwrap_or_default().to_owned();
    let key = rest.get(end..).and_then(|fields| fields.split_once(" key="));
    match key {
        Some((_, key)) => format!("{text}: {}", key.split(' ').next().unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tool_text::parse;

    fn told(stderr: &str) -> String {
        let files: FileTree = [
            ("deploy/bad/Chart.yaml", "name: bad"),
            ("deploy/bad/templates/x.yaml", "a: {{ .Values.foo.bar }} nope"),
            ("deploy/bad/templates/_helpers.tpl", ""),
            ("deploy/bad/values.schema.json", "{}"),
        ]
        .into_iter()
        .collect();
        let chart = Chart::load(&files, "deploy/bad", &mut Vec::new()).expect("a chart");
        let mut secrets = Secrets::default();
        parse(b"a: {secret: hunter22}", 100).expect("valid").iter().for_each(|n| secrets.add(n));
        let context = Context {
            chart: &chart,
            files: &files,
            at: "deploy/bad",
            secrets: &secrets,
            folder: "/dev/shm/x/files/",
        };
        match explain(&context, stderr) {
            ToolError::Input { file, line, message } => {
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                format!("{}{line}: {message}", file.unwrap_or_default())
            }
            other => other.to_string(),
        }
    }

    #[test]
    fn both_versions_of_helm_are_understood() {
        let three = "Error: template: bad/templates/x.yaml:2:6: executing \"bad/templates/x.yaml\" at <include \"h\" .>: \
                     error calling include: template: bad/templates/_helpers.tpl:2:10: executing \"h\" at \
                     <.Values.no.thing>: nil pointer evaluating interface {}.thing\n\nUse --debug flag to render \
                     out invalid YAML\n";
        let four = "Error: bad/templates/x.yaml:2:6\n  executing \"bad/templates/x.yaml\" at <include \"h\" .>:\n    \
                    error calling include:\nbad/templates/_helpers.tpl:2:10\n  executing \"h\" at \
                    <.Values.no.thing>:\n    nil pointer evaluating interface {}.thing\n\nUse --debug flag to \
                    render out invalid YAML\n";
        let expected = "deploy/bad/templates/_helpers.tpl:2: nil pointer evaluating interface {}.thing (at .Values.no.thing)";
        assert_eq!(told(three), expected);
        assert_eq!(told(four), expected);
        let missing = "Error: bad/templates/x.yaml:1:6\n  executing \"bad/templates/x.yaml\" at <include \"nope\" .>:\n    \
                       error calling include:\ntemplate: no template \"nope\" associated with template \"gotpl\"\n";
        assert_eq!(
            told(missing),
            "deploy/bad/templates/x.yaml:1: error calling include: template: no template \"nope\" associated \
             with template \"gotpl\""
        );
    }

    #[test]
    fn the_authors_own_words_stay_without_values() {
        assert_eq!(
            told("Error: execution error at (bad/templates/x.yaml:1:6): pls set x, not hunter22\n"),
            "deploy/bad/templates/x.yaml:1: pls set x, not …"
        );
        assert_eq!(
            told(
                "Error: parse error at (bad/templates/x.yaml:2): unclosed action started at bad/templates/x.yaml:1\n"
            ),
            "deploy/bad/templates/x.yaml:2: unclosed action started at bad/templates/x.yaml:1"
        );
        assert_eq!(
            told(
                "Error: YAML parse error on bad/templates/x.yaml: error converting YAML to JSON: yaml: line 2: found unknown `aHVudGVy` x\n"
            ),
            "deploy/bad/templates/x.yaml: the filled template is no valid YAML: found unknown … x, at line 2 of what it gives"
        );
        assert_eq!(
            told(
                "Error: template: bad/templates/x.yaml:1:6: executing \"x\" at <int64 .Values.q>: parsing \"c29tZXRoaW5n\": no number"
            ),
            "deploy/bad/templates/x.yaml:1: parsing \"…\": no number"
        );
    }

    #[test]
    fn schemas_are_named_with_what_does_not_fit() {
        let text = "Error: values don't meet the specifications of the schema(s) in the following chart(s):\nbad:\n- at '/a/secret': 'hunter22' does not match pattern '^x'\n\n";
        assert_eq!(
            told(text),
            "deploy/bad/values.schema.json: the values do not fit the chart's schema: at '/a/secret': '…' does not match pattern '^x'"
        );
        let remote = "Error: values don't meet the specifications of the schema(s) in the following chart(s):\nbad:\nfailing loading \"http://127.0.0.1:9/x\": socket: operation not permitted\n";
        assert!(told(remote).contains("not loaded from elsewhere"), "{}", told(remote));
    }

    #[test]
    fn anything_else_is_shown_short_and_at_the_chart() {
        assert_eq!(
            told("Error: invalid kube version 'zzz' in /dev/shm/x/files/deploy/bad\n"),
            "deploy/bad: invalid kube version 'zzz' in deploy/bad"
        );
        assert_eq!(told(""), "deploy/bad: helm failed and did not say why");
    }

    #[test]
    fn warnings_lose_the_values_they_repeat() {
        let stderr = "coalesce.go:286: warning: cannot overwrite table with non table for a.b (map[password:hunter22])\n\
                      level=WARN msg=\"cannot overwrite table with non table\" key=a.b val=map[password:hunter22]\n\n";
        assert_eq!(
            warnings(&Secrets::default(), stderr),
            [
                "helm: warning: cannot overwrite table with non table for a.b",
                "helm: cannot overwrite table with non table: a.b"
            ]
        );
    }
}
