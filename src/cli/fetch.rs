//! `bivouac __fetch`: one fetch of one commit, confined. Not for people; `source` starts it with a job on stdin.

use std::io::{Read as _, Write as _};

use clap::Args;

use super::Outcome;
use crate::source::ConfinedJob;

/// A job is a URL, a token and a path.
const JOB_BYTES: u64 = 1 << 20;

/// Read a job, give up what it does not need, do it, and print what came of it.
#[derive(Args, Debug)]
pub(super) struct Fetch {}

impl Fetch {
    pub(super) fn run(self) -> Outcome {
        let Self {} = self;
        let mut text = Vec::new();
        std::io::stdin().take(JOB_BYTES).read_to_end(&mut text)?;
        // Before there is a second thread: only what is started later is confined too.
        let job = ConfinedJob::begin(&text)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(job.answer());
        std::io::stdout().write_all(&answer)?;
        // A thread that still waits for the network is not waited for.
        runtime.shutdown_background();
        Ok(())
    }
}
