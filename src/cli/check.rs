//! `bivouac check`: everything that is wrong with preview file, templates and manifests, before anybody pushes it.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Trouble;
use super::local::{At, Local};
use super::output::{Colours, print, say, with_patience};
use super::render::say_notes;
use crate::domain::finding::{Docs, count, github, json, sarif, text};
use crate::render::check::{Checked, check, wanted};

/// Look for everything that is wrong with preview file, templates and manifests.
///
/// Goes on after a mistake: other files, documents and keys are looked at too, and what the guard would refuse is told
/// with file, line and what to do. Reads the files on disk, since that is what one checks before a commit; --revision
/// reads a commit as the service does.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Check {
    #[command(flatten)]
    local: Local,
    /// Check this commit: a branch, a tag, a hash
    #[arg(long, value_name = "REV", conflicts_with = "worktree")]
    revision: Option<String>,
    /// Check the files on disk, committed or not; this is what happens anyway, but for a bare repository
    #[arg(long)]
    worktree: bool,
    /// For people, for programs, as annotations of GitHub Actions, or as SARIF 2.1.0
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// With -o sarif: where the pages of docs/ can be read, for links to the rules
    #[arg(long, value_name = "URL", env = "BIVOUAC_DOCS_URL", value_parser = docs_url)]
    docs_url: Option<String>,
    #[command(flatten)]
    colours: Colours,
}

const EXAMPLES: &str = "\
Examples:
  bivouac check                                    the files on disk
  bivouac check --repository repository.yaml       with the policy that the platform team applied
  bivouac check --revision HEAD -o github          in a workflow of GitHub Actions
  bivouac check -o sarif > bivouac.sarif           for code scanning and editors

Exit codes:
  0  nothing is wrong, or there are warnings only
  1  at least one error: nothing of this would be applied
  2  wrong usage: no repository, no such commit, a flag that means nothing

The rules are described in docs/cli.md (BR…) and docs/guard.md (BV…).";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Github,
    Sarif,
}

fn docs_url(text: &str) -> Result<String, String> {
    let plain = text.chars().all(|c| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c));
    if !plain || !(text.starts_with("https://") || text.starts_with("http://")) {
        return Err("write a URL that begins with https://".into());
    }
    Ok(if text.ends_with('/') { text.to_owned() } else { format!("{text}/") })
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, Trouble> {
        let Self { local, revision, worktree, output, docs_url, colours } = self;
        let session = local.open()?;
        let at = match revision {
            Some(revision) => At::Revision(revision),
            None if worktree || session.has_work_tree() => At::WorkTree,
            None => At::Revision("HEAD".into()),
        };
        let commit = session.commit(&at, wanted)?;
        let (label, revision) = (commit.label.clone(), commit.revision.clone());
        let policy = session.policy();
        let checked = match commit.tree {
            Ok(tree) => {
                let (inputs, tools) = (commit.inputs, commit.tools);
                with_patience("checking", async move {
                    check(&tree, &inputs, &policy, tools.as_ref()).await
                })?
            }
            Err(finding) => {
                Checked { findings: vec![finding], notes: Vec::new(), objects: 0, whole: false }
            }
        };
        let Checked { findings, notes, objects, whole } = checked;
        let notes: Vec<String> = session.notes.iter().chain(&notes).cloned().collect();
        let (errors, warnings) = count(&findings);
        let revision = revision.as_ref().map(crate::domain::id::Revision::as_str);
        match output {
            Output::Text => {
                say_notes(&notes);
                print(&text(&findings, colours.on_stdout()))?;
            }
            Output::Json => print(&format!("{:#}\n", json(&findings, &notes, revision)))?,
            Output::Github => print(&github(&findings, &notes))?,
            Output::Sarif => {
                let docs = Docs { base: docs_url.as_deref() };
                let version = env!("CARGO_PKG_VERSION");
                print(&format!("{:#}\n", sarif(&findings, version, revision, docs)))?;
            }
        }
        let part = if whole { "" } else { " that could be rendered" };
        say(&format!(
            "{}, {} in {label}; {}{part}\n",
            counted(errors, "error"),
            counted(warnings, "warning"),
            counted(objects, "object"),
        ));
        Ok(if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
