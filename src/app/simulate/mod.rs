//! A run of random lives on the sandbox: pull requests open, change and close while deliveries are lost, doubled, late and
//! forged, the forge and the API server fail, and the service is killed; then all is calm, and every promise must hold.
//!
//! The same seed gives the same requests at the same times; one thread, a paused clock, no socket.

mod act;
mod flaw;
mod lives;
mod promises;
mod steps;

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::act::{LABEL, World};
pub use self::flaw::Flaw;
use self::lives::Lives;
pub use self::promises::Broken;
use super::stage::{FIRST, NAME, NAMESPACE, Stage, Wires};
use crate::crd::{Environment, Repository};
use crate::seams::{BoxError, Clock, Rng};

/// When every run begins: a Monday morning.
const START: &str = "2026-03-02T09:00:00Z";
/// All must hold so long after the last trouble, at the latest. A forge that asked to wait asked for an hour at most.
const CALM: Duration = Duration::from_secs(3 * 3600);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(30);
/// Two sweeps, and what they may lead to: what the forge would not take is told again after a quarter of an hour, and a
/// camp that stands is looked at each five minutes.
const REST: Duration = Duration::from_secs(1800);
/// A quarter of an hour in which nothing is written.
const QUIET: Duration = Duration::from_secs(900);

/// How a run ended.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// What it was drawn from.
    pub seed: u64,
    /// What happened, in order, with its time.
    pub steps: Vec<String>,
    /// What did not hold in the end.
    pub broken: Vec<String>,
    /// The records, when something did not hold.
    pub records: Vec<String>,
    /// Requests that the API server answered.
    pub cluster_requests: usize,
    /// Requests that the forge answered.
    pub forge_requests: usize,
    /// From the first step to the last look, in seconds of the run's own time.
    pub lasted: i64,
    /// Every request to the cluster and to the forge, with its time.
    #[serde(skip)]
    pub requests: Vec<String>,
    /// SHA-256 over all steps and all requests.
    pub digest: String,
}

/// Runs `seed` with up to `lives` pull requests, in `folder`. `flaw`: with a planted bug. Wants a runtime of one thread with
/// a paused clock; [`run_alone`] makes one.
pub async fn run(
    seed: u64,
    lives: usize,
    flaw: Option<Flaw>,
    folder: &Path,
) -> Result<Outcome, BoxError> {
    let start: DateTime<Utc> = START.parse()?;
    let rng = Rng::seeded(seed);
    let drawn = rng.fork();
    let wires = flaw.map_or_else(Wires::default, Flaw::wires);
    let stage = Stage::build_wired(folder, Clock::simulated(start), rng, wires).await?;
    let api: Api<Repository> = Api::namespaced(stage.admin.clone(), NAMESPACE);
    let policy = Patch::Merge(json!({"spec": {
        "select": {"labels": {"none": [LABEL]}},
        // Some camps end by themselves.
        "lifetime": {"ttl": "4h"},
    }}));
    api.patch(NAME, &PatchParams::default(), &policy).await?;

    let mut world = World { stage, lives: Lives::default(), commits: 0 };
    world.lives.note_replica(FIRST, Some(false));
    let mut steps = Vec::new();
    for _ in 0..lives.saturating_mul(16).saturating_add(24) {
        let step = steps::draw(&drawn, &world.lives, lives);
        let at = world.stage.clock.now();
        steps.push(format!("{} {step}", at.to_rfc3339_opts(SecondsFormat::Millis, true)));
        world.take(&step).await?;
    }
    world.calm().await?;
    let broken = settled(&world, start).await?;
    let requests = requests(&world);
    let mut digest = Sha256::new();
    for line in steps.iter().chain(&requests) {
        digest.update(line);
        digest.update("\n");
    }
    let records = if broken.is_empty() { Vec::new() } else { records(&world.stage).await? };
    let outcome = Outcome {
        seed,
        steps,
        broken: broken
            .iter()
            .map(|broken| format!("{}: {}", broken.promise, broken.seen))
            .collect(),
        records,
        cluster_requests: world.stage.cluster.count_requests(|_| true),
        forge_requests: world.stage.github.requests().len(),
        lasted: (world.stage.clock.now() - start).num_seconds(),
        requests,
        digest: hex::encode(digest.finalize()),
    };
    world.stage.end().await;
    Ok(outcome)
}

/// Waits until every promise holds, and looks whether they go on to and nothing is written any more.
async fn settled(world: &World, start: DateTime<Utc>) -> Result<Vec<Broken>, BoxError> {
    let clock = &world.stage.clock;
    let deadline = clock.now() + CALM;
    loop {
        clock.sleep(LOOK).await;
        let broken = world.broken().await?;
        if !broken.is_empty() && clock.now() < deadline {
            continue;
        }
        if !broken.is_empty() {
            return Ok(broken);
        }
        break;
    }
    clock.sleep(REST).await;
    let since = clock.now();
    clock.sleep(QUIET).await;
    let mut broken = world.broken().await?;
    broken.extend(world.too_many(start, since));
    if !world.ends_soon() {
        broken.extend(world.writes_since(since));
    }
    Ok(broken)
}

/// What each record says, a line each.
async fn records(stage: &Stage) -> Result<Vec<String>, BoxError> {
    let found = stage.environments().list(&ListParams::default()).await?.items;
    let line = |record: &Environment| {
        let status = record.status.clone().unwrap_or_default();
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .map(|c| format!("{}={} {} ({})", c.r#type, c.status, c.reason, c.message))
            .collect();
        let head = status.head.as_ref();
        let seen = head.map(|head| format!("{:?} {} {:?}", head.state, head.revision, head.labels));
        format!(
            "{} want {:?}, {:?}: {}; seen {}; runs {:?}; {}",
            record.metadata.name.as_deref().unwrap_or_default(),
            record.spec.want,
            status.phase,
            status.reason.unwrap_or_default(),
            seen.unwrap_or_default(),
            status.revision,
            conditions.join(", ")
        )
    };
    Ok(found.iter().map(line).collect())
}

fn requests(world: &World) -> Vec<String> {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Nanos, true);
    let audit = world.stage.cluster.audit();
    let in_cluster =
        audit.iter().map(|e| format!("{} {} {} {} {}", time(e.at), e.user, e.verb, e.uri, e.code));
    let asked = world.stage.github.requests();
    let at_forge =
        asked.iter().map(|r| format!("{} forge {} {} {}", time(r.at), r.method, r.path, r.status));
    in_cluster.chain(at_forge).collect()
}

/// The same in a runtime of its own, on this thread.
pub fn run_alone(seed: u64, lives: usize, flaw: Option<Flaw>) -> Result<Outcome, BoxError> {
    let folder = tempfile::tempdir()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    runtime.block_on(run(seed, lives, flaw, folder.path()))
}
