//! `bivouac simulate`: random lives of pull requests on the sandbox, and whether every promise held in the end.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;

use super::{Misuse, Trouble, output};
use crate::app::simulate::{Outcome, run_alone};

/// Play random lives of pull requests on an embedded Kubernetes and GitHub, and check every promise at the end.
///
/// Pull requests open, change, close and reopen while webhooks are lost, doubled, late and forged, the forge and the API
/// server fail, and the service is killed and started. Time is virtual: a run of days takes a second or two. The same
/// seed gives the same requests at the same times. Ends with 1 when a promise was broken, and says with which seed.
#[derive(Args, Debug)]
pub(super) struct Simulate {
    /// What the run is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Most pull requests of a run
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    lives: u16,
    /// How many runs, with this seed and those that follow it
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Runs side by side
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Print every request to the cluster and to the forge, too
    #[arg(long)]
    requests: bool,
    /// `text` for people, `json` for one JSON object a run
    #[arg(short, long, value_parser = ["text", "json"], default_value = "text")]
    output: String,
}

impl Simulate {
    pub(super) fn run(self) -> Result<ExitCode, Trouble> {
        let Self { seed, lives, runs, jobs, requests, output } = self;
        let Some(end) = seed.checked_add(runs) else {
            return Err(
                Misuse::says("--seed and --runs together are more than a number holds").into()
            );
        };
        let (next, failed) = (AtomicU64::new(seed), AtomicU64::new(0));
        let (lives, json) = (usize::from(lives), output == "json");
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= end {
                            return;
                        }
                        let held = match run_alone(seed, lives, None) {
                            Ok(outcome) => told(&outcome, lives, (json, requests, runs == 1)),
                            Err(error) => {
                                output::say(&format!(
                                    "seed {seed}: the run itself failed: {error}\n"
                                ));
                                false
                            }
                        };
                        failed.fetch_add(u64::from(!held), Ordering::Relaxed);
                    }
                });
            }
        });
        let failed = failed.into_inner();
        if !json {
            output::print(&format!("{} of {runs} runs kept every promise\n", runs - failed))?;
        }
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Prints what came of a run. Whether all held.
fn told(outcome: &Outcome, lives: usize, (json, requests, alone): (bool, bool, bool)) -> bool {
    let Outcome { seed, steps, broken, records, cluster_requests, forge_requests, .. } = outcome;
    if json {
        let line = serde_json::to_string(outcome).unwrap_or_default();
        let _ = output::print(&format!("{line}\n"));
        return broken.is_empty();
    }
    let mut text = String::new();
    if alone || !broken.is_empty() {
        for step in steps {
            let _ = writeln!(text, "  {step}");
        }
    }
    for request in outcome.requests.iter().filter(|_| requests) {
        let _ = writeln!(text, "  {request}");
    }
    let Outcome { lasted, digest, .. } = outcome;
    let digest = digest.get(..12).unwrap_or_default();
    let hours = lasted / 3600;
    let _ = writeln!(
        text,
        "seed {seed}: {} steps, {hours} h, {cluster_requests} requests to the cluster and {forge_requests} to the forge, digest {digest}",
        steps.len()
    );
    for broken in broken {
        let _ = writeln!(text, "  BROKEN {broken}");
    }
    for record in records {
        let _ = writeln!(text, "  {record}");
    }
    if !broken.is_empty() {
        let _ = writeln!(text, "  again: bivouac simulate --seed {seed} --lives {lives}");
    }
    let _ = output::print(&text);
    broken.is_empty()
}
