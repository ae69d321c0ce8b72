//! Many open pull requests with an environment each: what they take of GitHub's rate in an hour in which nothing happens,
//! and what a service takes that starts again among them. Counted on the embedded GitHub, in virtual time.

use std::time::{Duration, Instant};

use bivouac::app::stage::{BOT, FIRST, NAME, NAMESPACE, Stage, Wiring};
use bivouac::crd::{Environment, Repository};
use bivouac::seams::{BoxError, Clock, Rng};
use chrono::DateTime;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::count::Count;
use crate::life::propose;
use crate::numbers::{float, round, say};

const HOUR: Duration = Duration::from_secs(3600);
/// GitHub's requests an hour.
const BUDGET: usize = 5000;
/// Virtual time in which all have to stand and to be told.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// Nothing asked for so long: the start is over. Sweeps are further apart.
const SILENCE: Duration = Duration::from_secs(60);

pub(crate) struct Found {
    quiet: (usize, Count),
    resync: (usize, Count),
    /// Virtual time from the start to the last call of it.
    resynced_after: Duration,
    /// Of this machine, for all of it.
    took: Duration,
}

pub(crate) async fn measure(quiet: usize, resync: usize) -> Result<Found, BoxError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "what this machine took is measured, while the world's clock is a simulated one"
    )]
    let began = Instant::now();
    let folder = tempfile::tempdir()?;
    let start = DateTime::from_timestamp(1_800_000_000, 0).ok_or("no time")?;
    let (clock, rng) = (Clock::simulated(start), Rng::seeded(2));
    let mut stage = Stage::build(folder.path(), Wiring::InProcess, clock, rng).await?;
    // None ends while it is counted.
    let spec = json!({"lifetime": {"ttl": "30d", "maxTtl": "90d"}});
    let api: Api<Repository> = Api::namespaced(stage.admin.clone(), NAMESPACE);
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(json!({ "spec": spec }))).await?;

    raise(&stage, 0, quiet).await?;
    let first = stage.github.requests().len();
    tokio::time::sleep(HOUR).await;
    let in_an_hour = Count::since(&stage.github, first, BOT);

    raise(&stage, quiet, resync).await?;
    stage.stop_replica(FIRST).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    let first = stage.github.requests().len();
    let from = stage.clock.now();
    stage.start_replica(FIRST)?;
    let mut last = from;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let newest = stage.github.requests().into_iter().skip(first).map(|one| one.at).max();
        last = newest.unwrap_or(last);
        let silent = (stage.clock.now() - last).to_std()?;
        if silent >= SILENCE {
            break;
        }
    }
    let at_start = Count::since(&stage.github, first, BOT);
    let standing = standing(&stage).await?;
    if standing < resync {
        return Err(format!("{standing} of {resync} stand after the start").into());
    }
    stage.end().await;
    Ok(Found {
        quiet: (quiet, in_an_hour),
        resync: (resync, at_start),
        resynced_after: (last - from).to_std()?,
        took: began.elapsed(),
    })
}

/// Opens pull requests until there are `all`, and waits until each is ready and everything is told.
async fn raise(stage: &Stage, there: usize, all: usize) -> Result<(), BoxError> {
    for number in there..all {
        propose(stage, &format!("spark-{number}"))?;
    }
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let before = writes(stage);
        tokio::time::sleep(Duration::from_secs(900)).await;
        if standing(stage).await? >= all && writes(stage) == before {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            let found = standing(stage).await?;
            return Err(format!("{found} of {all} stand and are told after a day").into());
        }
    }
}

/// What was written at the forge so far.
fn writes(stage: &Stage) -> usize {
    let all = stage.github.requests();
    all.iter().filter(|one| matches!(one.method.as_str(), "POST" | "PATCH")).count()
}

async fn standing(stage: &Stage) -> Result<usize, BoxError> {
    let records = stage.environments().list(&ListParams::default()).await?;
    let ready =
        |record: &&Environment| record.status.as_ref().is_some_and(|status| status.holds("Ready"));
    Ok(records.iter().filter(ready).count())
}

fn share(count: &Count) -> f64 {
    round(float(count.counted()) / float(BUDGET) * 100.0)
}

impl Found {
    pub(crate) fn json(&self) -> Value {
        json!({
            "quiet": {
                "environments": self.quiet.0, "hour": self.quiet.1.json(),
                "percentOfBudget": share(&self.quiet.1),
            },
            "resync": {
                "pullRequests": self.resync.0, "start": self.resync.1.json(),
                "seconds": self.resynced_after.as_secs_f64(),
                "percentOfBudget": share(&self.resync.1),
            },
        })
    }

    pub(crate) fn table(&self) {
        let (environments, hour) = &self.quiet;
        say(&format!("{environments} quiet environments, in an hour:"));
        hour.lines();
        say(&format!(
            "  {} calls, {} of them count: {} % of {BUDGET} (aim: those of the sweep alone)",
            hour.calls(),
            hour.counted(),
            share(hour)
        ));
        let (pulls, start) = &self.resync;
        say(&format!("{pulls} open pull requests, the service starts again:"));
        start.lines();
        say(&format!(
            "  {} calls, {} of them count: {} % of {BUDGET} (aim: less than 5 %), the last after {:.1} s",
            start.calls(),
            start.counted(),
            share(start),
            self.resynced_after.as_secs_f64()
        ));
        say(&format!("  (counted in {:.0} s)", self.took.as_secs_f64()));
        say("");
    }
}
