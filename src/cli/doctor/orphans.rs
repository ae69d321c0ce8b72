//! `bivouac doctor orphans`: namespaces, comments, deployments and checks of an installation that belong to no Environment.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use chrono::DateTime;
use clap::Args;
use serde_json::json;

use crate::app;
use crate::apply::Target;
use crate::cli::cluster::{self, Cluster};
use crate::cli::{Trouble, causes_of, output, runtime};
use crate::controller::leftovers::{
    self, OrphanNamespace, Orphans as Found, Search, end_checks, end_deployments, remove_comments,
    remove_namespaces,
};
use crate::forge::Apis;
use crate::seams::Clock;

/// Between two looks at what is going.
const LOOK: Duration = Duration::from_secs(1);
/// Orphans are there, and were only listed.
const LISTED: u8 = 3;

/// Find what belongs to no environment: namespaces that carry the label of this installation and that no Environment has,
/// comments with its marker on pull requests that no Environment speaks for, deployments of such pull requests and
/// branches that are still active, and checks that speak of a preview at commits that no Environment has.
///
/// It runs with your rights, not with the service's: it lists namespaces, the Environments of all namespaces, and the
/// Repositories with their Secrets. Forges are asked with the token of each Repository. A deployment is not deleted but
/// made inactive, a check says that there is no preview.
///
/// Exit codes: 0 there is nothing, or --delete removed all of it; 3 there is something and --delete was not given; 1 it
/// failed, could not look at everything, or could not remove everything in time; 2 it was called wrongly.
#[derive(Args, Debug)]
pub(in crate::cli) struct Orphans {
    #[command(flatten)]
    cluster: Cluster,
    /// Name of the installation, as `bivouac serve` has it
    #[arg(long, env = "BIVOUAC_INSTANCE", value_parser = cluster::instance)]
    instance: String,
    /// Remove what is found, at once and without asking
    #[arg(long)]
    delete: bool,
    /// Ask no forge: namespaces only
    #[arg(long)]
    no_forge: bool,
    /// Comments that were changed in the last DAYS are looked at
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3650))]
    comment_days: u16,
    /// Wait so long for namespaces to be gone, as 90s or 10m
    #[arg(long, default_value = "5m", value_parser = cluster::timeout)]
    timeout: Duration,
    /// Talk to forges over plain http too: for a forge on this machine only
    #[arg(long, env = "BIVOUAC_ALLOW_HTTP", value_parser = clap::builder::FalseyValueParser::new(), action = clap::ArgAction::SetTrue)]
    allow_http: bool,
    /// `text` for people, `json` for one JSON object
    #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

/// What came of `--delete`.
#[derive(Default)]
struct Removed {
    failed: Vec<String>,
    left: Vec<OrphanNamespace>,
}

impl Orphans {
    pub(super) fn run(self) -> Result<ExitCode, Trouble> {
        runtime()?.block_on(self.work())
    }

    async fn work(self) -> Result<ExitCode, Trouble> {
        let clock = Clock::system();
        let client = self.cluster.client().await?;
        let forges = if self.no_forge {
            None
        } else {
            let transport =
                crate::forge::https_transport(self.allow_http, app::CONNECT, app::TOTAL)?;
            Some(Apis::new(transport, clock.clone()))
        };
        let days = chrono::Duration::days(i64::from(self.comment_days));
        let search = Search {
            home: client.clone(),
            target: Target::new(client),
            instance: self.instance.clone(),
            namespace: self.cluster.namespace.clone(),
            forges,
            allow_http: self.allow_http,
            comments_since: clock.now().checked_sub_signed(days).unwrap_or(DateTime::UNIX_EPOCH),
        };
        let progress = |what: &str| output::say(&format!("looking at {what} …\n"));
        let found = leftovers::find(&search, &progress).await?;
        let removed = if self.delete && !found.is_empty() {
            Some(remove(&search, &found, self.timeout, &clock).await?)
        } else {
            None
        };
        let text = if self.output == "json" {
            json_of(&found, removed.as_ref())
        } else {
            text_of(&found, removed.as_ref())
        };
        output::print(&text)?;
        for sentence in &found.not_looked_at {
            output::say(&format!("not looked at: {sentence}\n"));
        }
        for sentence in removed.iter().flat_map(|removed| &removed.failed) {
            output::say(&format!("not removed: {sentence}\n"));
        }
        Ok(code(&found, removed.as_ref()))
    }
}

fn code(found: &Found, removed: Option<&Removed>) -> ExitCode {
    let whole = found.not_looked_at.is_empty();
    match removed {
        _ if !whole => ExitCode::from(1),
        None if found.is_empty() => ExitCode::SUCCESS,
        None => ExitCode::from(LISTED),
        Some(removed) if removed.failed.is_empty() && removed.left.is_empty() => ExitCode::SUCCESS,
        Some(_) => ExitCode::from(1),
    }
}

/// Removes all that was found, and waits until the namespaces are gone.
async fn remove(
    search: &Search,
    found: &Found,
    longest: Duration,
    clock: &Clock,
) -> Result<Removed, Trouble> {
    let mut removed = Removed::default();
    for (url, error) in remove_comments(search, &found.comments).await {
        removed.failed.push(format!("comment {url}: {error}"));
    }
    for (name, error) in end_deployments(&found.deployments).await {
        removed.failed.push(format!("deployment {name}: {error}"));
    }
    for (name, error) in end_checks(search, &found.checks).await {
        removed.failed.push(format!("check {name}: {error}"));
    }
    for (name, error) in remove_namespaces(search, &found.namespaces).await {
        let causes = causes_of(&error).map(|causes| format!(": {causes}")).unwrap_or_default();
        removed.failed.push(format!("namespace {name}: {error}{causes}"));
    }
    let longest = chrono::Duration::from_std(longest).unwrap_or(chrono::Duration::MAX);
    let deadline = clock.now().checked_add_signed(longest);
    let mut told = usize::MAX;
    loop {
        removed.left = leftovers::still_there(search, &found.namespaces).await?;
        if removed.left.is_empty() || deadline.is_some_and(|deadline| clock.now() >= deadline) {
            return Ok(removed);
        }
        if removed.left.len() != told {
            told = removed.left.len();
            let all = found.namespaces.len();
            output::say(&format!("{} of {all} namespaces are gone …\n", all - told.min(all)));
        }
        clock.sleep(LOOK).await;
    }
}

fn text_of(found: &Found, removed: Option<&Removed>) -> String {
    let mut text = String::new();
    for namespace in &found.namespaces {
        let left =
            removed.map(|removed| removed.left.iter().find(|left| left.uid == namespace.uid));
        let (state, now) = match left {
            Some(None) => ("removed", namespace),
            Some(Some(left)) if left.ending_since.is_some() => ("still going", left),
            Some(Some(left)) => ("not removed", left),
            None if namespace.ending_since.is_some() => ("going", namespace),
            None => ("orphan", namespace),
        };
        let _ = writeln!(text, "namespace {}  {state}: {}", now.name, now.reason);
        for held_up_by in now.held_up_by.iter().filter(|_| state != "removed") {
            let _ = writeln!(text, "    held up: {held_up_by}");
        }
    }
    let state = |what: &str| match removed {
        None => "orphan",
        Some(removed) if removed.failed.iter().any(|line| line.starts_with(what)) => "not removed",
        Some(_) => "removed",
    };
    for comment in &found.comments {
        let what = format!("comment {}", comment.url);
        let _ = writeln!(text, "{what}  {}: {}", state(&format!("{what}:")), comment.reason);
    }
    for deployment in &found.deployments {
        let what = format!("deployment {}", deployment.name());
        let _ = writeln!(text, "{what}  {}: {}", state(&format!("{what}:")), deployment.reason);
    }
    for check in &found.checks {
        let what = format!("check {}", check.name());
        let _ = writeln!(text, "{what}  {}: {}", state(&format!("{what}:")), check.reason);
    }
    let (namespaces, comments) = (found.namespaces.len(), found.comments.len());
    let (deployments, checks) = (found.deployments.len(), found.checks.len());
    if found.is_empty() {
        text.push_str("everything belongs to an environment\n");
    } else {
        let _ = writeln!(
            text,
            "{namespaces} namespaces, {comments} comments, {deployments} deployments, {checks} checks"
        );
        if removed.is_none() {
            text.push_str("--delete removes them\n");
        }
    }
    text
}

fn json_of(found: &Found, removed: Option<&Removed>) -> String {
    let mut value = json!({
        "version": 1,
        "namespaces": found.namespaces,
        "comments": found.comments,
        "deployments": found.deployments,
        "checks": found.checks,
        "notLookedAt": found.not_looked_at,
        "deleted": removed.is_some(),
    });
    if let Some(removed) = removed {
        value["left"] = json!(removed.left);
        value["failed"] = json!(removed.failed);
    }
    format!("{value:#}\n")
}
