//! How fast the service takes deliveries: `bivouac serve` as a process of its own on one core, cluster, forge and load on
//! the others. Three mixes: many pull requests, few of them again and again, and events that say nothing to us.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bivouac::app::stage::{NAME, NAMESPACE, Stage};
use bivouac::crd::Repository;
use bivouac::seams::{BoxError, Clock, Rng};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::Args;
use crate::life::propose;
use crate::load::{CONNECTIONS, Heard, Signed, send};
use crate::numbers::{cores, round, say};
use crate::serve::{self, Memory};

/// All records are there within this time, or it is a failure.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two mixes: what the first one caused is over.
const PAUSE: Duration = Duration::from_secs(5);
/// Pull requests of the second mix.
const FEW: usize = 50;

pub(crate) struct Found {
    /// Why nothing is pinned to a core.
    not_pinned: Option<String>,
    rate: u32,
    mixes: Vec<Mix>,
    /// Of the service, after all of it.
    memory: Memory,
}

struct Mix {
    name: String,
    at_rate: Heard,
    /// Of the service, of one core, per cent.
    processor: f64,
    /// As fast as answers come.
    flat_out: Heard,
}

pub(crate) async fn measure(args: &Args) -> Result<Found, BoxError> {
    let folder = tempfile::tempdir()?;
    let stage = Stage::without_service(folder.path(), Clock::system(), Rng::system()).await?;
    // GitHub's 5,000 requests an hour would end the measurement.
    stage.github.set_rate_limit(Some(10_000_000));
    // No camp is made: the webhook is what is measured. The records are there all the same.
    let spec = json!({"spec": {"select": {"labels": {"all": ["never"]}}}});
    let api: Api<Repository> = Api::namespaced(stage.admin.clone(), NAMESPACE);
    api.patch(NAME, &PatchParams::default(), &Patch::Merge(spec)).await?;
    // Opened while nobody listens; the service finds them when it starts. The first is told of, to see how.
    let mut numbers = vec![propose(&stage, "spark")?.0];
    stage.github.set_hook_active(stage.hook, false);
    for index in 1..args.pulls {
        numbers.push(propose(&stage, &format!("spark-{index}"))?.0);
    }
    let mut child = serve::start(&stage, folder.path(), &["--sweep-interval", "1h"])?;
    let not_pinned = pin(&child).await;
    let found = mixes(&stage, &child, &numbers, args).await;
    let memory = Memory::of(&child);
    let log = serve::end_of_log(folder.path());
    // It holds nothing that outlives the temporary folder.
    child.kill().await?;
    stage.end().await;
    match found {
        Ok(mixes) => Ok(Found { not_pinned, rate: args.rate, mixes, memory: memory? }),
        Err(error) => {
            for line in &log {
                say(line);
            }
            Err(error)
        }
    }
}

/// The service on the first core, this process with all its threads on the others. Says why not.
async fn pin(serve: &Child) -> Option<String> {
    if cores() < 2 {
        return Some("there is one core only".into());
    }
    let Some(service) = serve.id() else { return Some("serve has ended".into()) };
    let others = if cores() == 2 { "1".to_owned() } else { format!("1-{}", cores() - 1) };
    for (where_to, process) in [("0", service), (others.as_str(), std::process::id())] {
        let mut taskset = Command::new("taskset");
        taskset.args(["--all-tasks", "--cpu-list", "--pid", where_to, &process.to_string()]);
        taskset.stdout(Stdio::null()).stderr(Stdio::null());
        match taskset.status().await {
            Ok(status) if status.success() => {}
            Ok(status) => return Some(format!("taskset failed: {status}")),
            Err(error) => return Some(format!("taskset: {error}")),
        }
    }
    None
}

async fn mixes(
    stage: &Stage,
    serve: &Child,
    numbers: &[u64],
    args: &Args,
) -> Result<Vec<Mix>, BoxError> {
    stage.until("the service is there", async || serve::is_served(stage).await).await?;
    all_are_known(stage, numbers.len()).await?;
    let Some(at) = &stage.addresses else { return Err("the stage has no addresses".into()) };
    let url = format!("http://{}/webhook", at.service);
    let few = FEW.min(numbers.len());
    let length = Duration::from_secs(args.seconds.into());
    let mut found = Vec::new();
    for (name, numbers, action) in [
        (format!("{} pull requests", numbers.len()), numbers, "synchronize"),
        (format!("{few} pull requests"), &numbers[..few], "synchronize"),
        ("ignored events".to_owned(), &numbers[..few], "assigned"),
    ] {
        let bodies = Arc::new(bodies(stage, numbers, action)?);
        tokio::time::sleep(PAUSE).await;
        let (before, began) = (serve::processor(serve)?, Instant::now());
        let at_rate = send(&url, &bodies, Some(args.rate), length).await?;
        let busy = serve::processor(serve)?.saturating_sub(before);
        let processor = busy.as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
        tokio::time::sleep(PAUSE).await;
        let flat_out = send(&url, &bodies, None, length / 2).await?;
        found.push(Mix { name, at_rate, processor, flat_out });
    }
    Ok(found)
}

/// Waits until there is a record of each.
async fn all_are_known(stage: &Stage, all: usize) -> Result<(), BoxError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let records = stage.environments().list(&ListParams::default()).await?;
        let known = |record: &&bivouac::crd::Environment| {
            record.status.as_ref().is_some_and(|status| status.phase.is_some())
        };
        let known = records.iter().filter(known).count();
        if known == all {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("{known} of {all} pull requests are known").into());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Bodies as the forge sends them, one for each number.
fn bodies(stage: &Stage, numbers: &[u64], action: &str) -> Result<Vec<Signed>, BoxError> {
    let mut sent = stage.github.deliveries(stage.hook).into_iter();
    let one = sent.find(|delivery| delivery.event == "pull_request");
    let one: Value = serde_json::from_slice(&one.ok_or("the forge has sent nothing")?.payload)?;
    let mut bodies = Vec::new();
    for number in numbers {
        let mut payload = one.clone();
        payload["action"] = action.into();
        payload["number"] = (*number).into();
        payload["pull_request"]["number"] = (*number).into();
        let body = payload.to_string().into();
        bodies.push(Signed::new("pull_request", body, &stage.webhook_secret)?);
    }
    Ok(bodies)
}

impl Found {
    pub(crate) fn json(&self) -> Value {
        let of = |heard: &Heard| {
            let mut all = heard.took.json(&[50, 99, 100]);
            all["perSecond"] = round(heard.rate).into();
            all["failed"] = heard.failed.into();
            all
        };
        let mixes: Vec<Value> = self
            .mixes
            .iter()
            .map(|mix| {
                json!({
                    "mix": mix.name, "atRate": of(&mix.at_rate),
                    "processorPercent": round(mix.processor), "flatOut": of(&mix.flat_out),
                })
            })
            .collect();
        let Memory { now_kib, peak_kib } = self.memory;
        json!({
            "rate": self.rate, "pinned": self.not_pinned.is_none(), "mixes": mixes,
            "rssKiB": now_kib, "peakKiB": peak_kib,
        })
    }

    pub(crate) fn table(&self) {
        say(&format!(
            "deliveries over {CONNECTIONS} connections, answers in ms (aim: p99 below 10 at 2,000/s):"
        ));
        match &self.not_pinned {
            None => say("  the service on one core, cluster, forge and load on the others"),
            Some(why) => say(&format!("  not pinned to cores: {why}")),
        }
        say(&format!(
            "{:<22}{:>10}{:>8}{:>8}{:>8}{:>8}{:>10}{:>12}{:>8}",
            "mix", "a second", "p50", "p99", "max", "failed", "core", "flat out/s", "p99"
        ));
        for Mix { name, at_rate, processor, flat_out } in &self.mixes {
            say(&format!(
                "{name:<22}{:>10.0}{:>8.2}{:>8.2}{:>8.2}{:>8}{:>9.0}%{:>12.0}{:>8.2}",
                at_rate.rate,
                at_rate.took.percentile(50),
                at_rate.took.percentile(99),
                at_rate.took.percentile(100),
                at_rate.failed + flat_out.failed,
                processor,
                flat_out.rate,
                flat_out.took.percentile(99),
            ));
        }
        let Memory { now_kib, peak_kib } = self.memory;
        say(&format!(
            "  memory of the service: {} MiB, at most {} MiB",
            now_kib >> 10,
            peak_kib >> 10
        ));
        say("");
    }
}
