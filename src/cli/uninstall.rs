//! `bivouac uninstall`: every camp down first, while the service still runs; then what else is to be deleted.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::cluster::{self, Cluster};
use super::{Misuse, Trouble, output, runtime};
use crate::controller::uninstall::{Standing, begin, led_at, survey};
use crate::seams::Clock;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Between two lines about what is left, when nothing changes.
const PATIENCE: chrono::Duration = chrono::Duration::seconds(15);
/// A Lease that nobody renewed for so long is nobody's.
const DEAD: chrono::Duration = chrono::Duration::seconds(30);
/// Names in one line.
const MOST: usize = 5;

/// Take every camp down, before the service itself is removed.
///
/// Deletes all Repositories and Environments in the service's namespace and waits until the service, which must still
/// run, has taken their camps down. Then it says what else there is to delete. Settings of Repositories are lost: keep
/// the manifests. Interrupted or timed out, it may be called again.
///
/// Exit codes: 0 nothing is left; 1 it failed, or something is left when the time is up; 2 it was called wrongly.
#[derive(Args, Debug)]
pub(super) struct Uninstall {
    #[command(flatten)]
    cluster: Cluster,
    /// Name of the installation: to see whether its service still runs
    #[arg(long, env = "BIVOUAC_INSTANCE", value_parser = cluster::instance)]
    instance: Option<String>,
    /// Do not ask; needed when this is not a terminal
    #[arg(short, long)]
    yes: bool,
    /// Wait so long for the camps to be gone, as 90s or 30m
    #[arg(long, default_value = "10m", value_parser = cluster::timeout)]
    timeout: Duration,
}

impl Uninstall {
    pub(super) fn run(self) -> Result<ExitCode, Trouble> {
        runtime()?.block_on(self.work())
    }

    async fn work(self) -> Result<ExitCode, Trouble> {
        let clock = Clock::system();
        let home = self.cluster.client().await?;
        let namespace = &self.cluster.namespace;
        let standing = survey(&home, namespace).await?;
        if !standing.is_empty() {
            output::say(&format!(
                "to be deleted in {namespace}: {} Repositories, {} Environments, {} camps with all that is in them\n",
                standing.repositories.len(),
                standing.environments.len(),
                standing.camps()
            ));
            if !self.yes && !agreed()? {
                output::say("nothing was deleted\n");
                return Ok(ExitCode::from(1));
            }
            begin(&home, namespace, &standing).await?;
            if let Some(left) = self.wait(&home, &clock).await? {
                output::say(&format!(
                    "bivouac: the time is up, and something is left\n{}",
                    described(&left, usize::MAX)
                ));
                return Ok(ExitCode::from(1));
            }
        }
        output::print(&what_else(namespace))?;
        Ok(ExitCode::SUCCESS)
    }

    /// Waits until nothing is left; gives what is left when the time is up.
    async fn wait(&self, home: &kube::Client, clock: &Clock) -> Result<Option<Standing>, Trouble> {
        let namespace = &self.cluster.namespace;
        let longest = chrono::Duration::from_std(self.timeout).unwrap_or(chrono::Duration::MAX);
        let deadline = clock.now().checked_add_signed(longest);
        let mut told = (Standing::default(), clock.now());
        loop {
            let left = survey(home, namespace).await?;
            if left.is_empty() {
                return Ok(None);
            }
            let now = clock.now();
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Ok(Some(left));
            }
            if left != told.0 || now - told.1 >= PATIENCE {
                let stands_still = left == told.0;
                output::say(&described(&left, MOST));
                if stands_still {
                    self.look_for_the_service(home, clock).await?;
                }
                told = (left, now);
            }
            clock.sleep(LOOK).await;
        }
    }

    /// Camps are taken down by the service: without it, nothing happens.
    async fn look_for_the_service(
        &self,
        home: &kube::Client,
        clock: &Clock,
    ) -> Result<(), Trouble> {
        let Some(instance) = &self.instance else {
            output::say("  is the service running? --instance lets this command look\n");
            return Ok(());
        };
        let lease = format!("bivouac-{instance}");
        let led = led_at(home, &self.cluster.namespace, &lease).await?;
        match led {
            Some(at) if clock.now() - at < DEAD => {}
            Some(at) => output::say(&format!(
                "  no replica of the service works: Lease {lease} was last renewed at {at}; start it, it takes the camps down\n"
            )),
            None => output::say(&format!(
                "  no replica of the service works: nobody holds Lease {lease}; start it, it takes the camps down\n"
            )),
        }
        Ok(())
    }
}

/// Asks on the terminal.
fn agreed() -> Result<bool, Trouble> {
    if !std::io::stdin().is_terminal() {
        return Err(Misuse::says("this is not a terminal: say --yes to delete all of this").into());
    }
    output::say("Delete all of it? Write yes: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

/// What is left, with reasons; at most so many names.
fn described(left: &Standing, most: usize) -> String {
    let mut text = format!(
        "left: {} Repositories, {} Environments, {} camps\n",
        left.repositories.len(),
        left.environments.len(),
        left.camps()
    );
    for one in left.environments.iter().take(most) {
        let place = one.namespace.as_deref().map(|namespace| format!(" in {namespace}"));
        let reason = one.reason.as_deref().map(|reason| format!(": {reason}"));
        let (place, reason) = (place.unwrap_or_default(), reason.unwrap_or_default());
        let _ = writeln!(text, "  {}{place}{reason}", one.name);
    }
    if left.environments.len() > most {
        let _ = writeln!(text, "  and {} more", left.environments.len() - most);
    }
    text
}

fn what_else(namespace: &str) -> String {
    format!(
        "Every camp is gone. What else there is to delete:\n  \
         the service itself, and its Secrets: kubectl delete namespace {namespace}\n  \
         policies, roles and definitions:      kubectl delete -f deploy/admission.yaml -f deploy/rbac.yaml -f deploy/crds.yaml\n  \
         at the forge: the webhooks and the tokens; comments that are left: bivouac doctor orphans (before the Repositories go)\n\
         Delete the definitions last, and only when no other installation uses them.\n"
    )
}
