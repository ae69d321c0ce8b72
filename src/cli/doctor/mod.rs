//! `bivouac doctor`: what is wrong with an installation, found from outside.

mod orphans;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::Trouble;

/// Find out what is wrong with an installation.
#[derive(Args, Debug)]
pub(super) struct Doctor {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Find what belongs to no environment, and remove it with --delete
    Orphans(orphans::Orphans),
}

impl Doctor {
    pub(super) fn run(self) -> Result<ExitCode, Trouble> {
        let Self { what } = self;
        match what {
            What::Orphans(orphans) => orphans.run(),
        }
    }
}
