//! `bivouac doctor`: what is wrong with an installation, found from outside.

mod checkup;
mod orphans;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Trouble;

/// Find out what is wrong with an installation, in the cluster and at GitHub, and what to change.
///
/// It runs with your rights, not with the service's: it reads Repositories and their Secrets, roles, policies and the
/// Lease, and asks (subjectaccessreviews) what the service may do. Each forge is asked as the Repository's token or App:
/// permissions, events, the webhook's address and secret, and its last deliveries. It changes nothing.
///
/// Exit codes: 0 nothing is wrong (there may be warnings); 3 something does not work; 1 it could not look; 2 it was called
/// wrongly.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Doctor {
    #[command(flatten)]
    checkup: checkup::Checkup,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Find what belongs to no environment, and remove it with --delete
    Orphans(orphans::Orphans),
}

impl Doctor {
    pub(super) fn run(self) -> Result<ExitCode, Trouble> {
        let Self { checkup, what } = self;
        match what {
            None => checkup.run(),
            Some(What::Orphans(orphans)) => orphans.run(),
        }
    }
}
