//! `bivouac render`: what the service would apply for a commit, without cluster, forge and network.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::Trouble;
use super::local::{At, Built, Local, Session, Unbuilt, build};
use super::output::{Colours, print, say, with_patience};
use crate::domain::bundle::Bundle;
use crate::domain::bundle_diff::BundleDiff;
use crate::domain::finding::text;
use crate::domain::plain::plain;
use crate::render::text::{List, Sourced};
use crate::render::wanted;

/// Differences were found, and `--exit-code` asks for a code of their own.
const DIFFERS: u8 = 3;

/// Show what the service would apply for a commit, without a cluster.
///
/// Reads the commit out of the repository's objects, renders it and lets the guard look at it, by the same code as the
/// service. What is not committed is not read, unless --worktree says so. Nothing is fetched and nothing is written.
///
/// What the guard refuses is not printed: the findings are, on stderr.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Render {
    #[command(flatten)]
    local: Local,
    /// The commit: a branch, a tag, a hash, or HEAD~2 and the like
    #[arg(long, value_name = "REV", default_value = "HEAD", conflicts_with = "worktree")]
    revision: String,
    /// Read the files on disk, committed or not
    #[arg(long)]
    worktree: bool,
    /// Print YAML for `kubectl apply -f -`, a JSON List, or the digest of the bundle
    #[arg(short, long, value_enum, default_value_t = Output::Yaml)]
    output: Output,
    /// Also what the service puts beside the bundle: namespace, rights, ConfigMap bivouac-env
    #[arg(long, conflicts_with = "diff")]
    all: bool,
    /// Show what changed since this commit instead, field by field; values of Secrets are hidden
    #[arg(long, value_name = "REV")]
    diff: Option<String>,
    /// With --diff: end with code 3 when something differs
    #[arg(long, requires = "diff")]
    exit_code: bool,
    #[command(flatten)]
    colours: Colours,
}

const EXAMPLES: &str = "\
Examples:
  bivouac render                                   what HEAD would run, as YAML
  bivouac render --revision v1.4 --pr 7            a tag, as pull request 7
  bivouac render --repository repository.yaml      with the policy that the platform team applied
  bivouac render --worktree | kubectl diff -f -    what is on disk against a cluster
  bivouac render --diff main                       what the branch changes
  bivouac render -o digest                         one line that is the same for the same bundle

Exit codes:
  0  rendered
  1  the commit can't be rendered, or the guard refuses it; why is on stderr
  2  wrong usage: no repository, no such commit, a flag that means nothing
  3  with --diff --exit-code: something differs";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Yaml,
    Json,
    Digest,
}

impl Render {
    pub(super) fn run(self) -> Result<ExitCode, Trouble> {
        let Self { local, revision, worktree, output, all, diff, exit_code, colours } = self;
        if output == Output::Digest && (all || diff.is_some()) {
            return Err(super::Misuse::says(
                "-o digest is of one bundle: leave --all and --diff out",
            )
            .into());
        }
        let at = if worktree { At::WorkTree } else { At::Revision(revision) };
        let session = local.open()?;
        say_notes(&session.notes);
        let commit = session.commit(&at, wanted)?;
        let label = commit.label.clone();
        let policy = session.policy();
        let built = with_patience("rendering", async move { build(commit, &policy).await })?;
        let Some(built) = accepted(built, &colours) else { return Ok(ExitCode::FAILURE) };
        if let Some(old) = diff {
            let Some(before) = before(&session, old, &label, &colours)? else {
                return Ok(ExitCode::FAILURE);
            };
            let diff = BundleDiff::between(&before, &built.bundle);
            match output {
                Output::Json => print(&format!("{:#}\n", diff.json()))?,
                Output::Yaml | Output::Digest => print(&diff.text(colours.on_stdout()))?,
            }
            let differs = exit_code && !diff.is_empty();
            return Ok(if differs { ExitCode::from(DIFFERS) } else { ExitCode::SUCCESS });
        }
        let own = if all { session.guardrails(&built)? } else { Vec::new() };
        let bundle = &built.bundle;
        let list = List {
            objects: own
                .iter()
                .map(|json| Sourced { source: "bivouac, beside the bundle".into(), json })
                .chain(bundle.objects.iter().map(|object| Sourced {
                    source: object.origin.to_string(),
                    json: &object.json,
                }))
                .collect(),
        };
        print(&match output {
            Output::Yaml => list.yaml(),
            Output::Json => list.json(),
            Output::Digest => format!("{}\n", bundle.digest),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The bundle when the service would apply it; says what there is to say.
fn accepted(built: Result<Built, Unbuilt>, colours: &Colours) -> Option<Built> {
    match built {
        Ok(built) => {
            say_notes(&built.notes);
            say(&text(&built.findings, colours.on_stderr()));
            if built.is_refused() {
                say("bivouac: the guard refuses this; nothing of it would be applied\n");
                return None;
            }
            Some(built)
        }
        Err(unbuilt) => {
            say(&text(&[unbuilt.finding()], colours.on_stderr()));
            say("bivouac: this can't be rendered; `bivouac check` looks for more\n");
            None
        }
    }
}

/// The bundle that the new one is compared with. What the guard thinks of it does not matter any more.
fn before(
    session: &Session,
    revision: String,
    new: &str,
    colours: &Colours,
) -> Result<Option<Bundle>, Trouble> {
    let commit = session.commit(&At::Revision(revision), wanted)?;
    let old = commit.label.clone();
    let policy = session.policy();
    say(&format!("from {old} to {new}\n"));
    match with_patience("rendering", async move { build(commit, &policy).await })? {
        Ok(built) => {
            if built.is_refused() {
                say(&format!("note: the guard refuses {old}: it was never applied\n"));
            }
            Ok(Some(built.bundle))
        }
        Err(unbuilt) if unbuilt.is_no_preview() => {
            say(&format!("note: {old} has no preview\n"));
            Ok(Some(Bundle::new(Vec::new(), String::new())))
        }
        Err(unbuilt) => {
            say(&text(&[unbuilt.finding()], colours.on_stderr()));
            say(&format!("bivouac: {old} can't be rendered\n"));
            Ok(None)
        }
    }
}

pub(super) fn say_notes(notes: &[String]) {
    for note in notes {
        say(&format!("note: {}\n", plain(note)));
    }
}
