//! What many camps that stand cost `bivouac serve`: its memory, its time on the processor and its requests. The service
//! runs as a process of its own; cluster and forge are embedded in this one. Reads `/proc`, so it needs Linux.
//!
//! `cargo bench --bench hundred -- --minutes 10`

#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/preview.rs"]
mod preview;
#[path = "common/serve.rs"]
mod serve;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, REPOSITORY, Stage};
use bivouac::crd::Environment;
use bivouac::sandbox::github::NewPull;
use bivouac::seams::{BoxError, Clock, Rng};
use chrono::{DateTime, Utc};
use clap::Parser;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::runtime::{WatchStreamExt as _, watcher};
use numbers::{Sample, float, round, say};
use serde_json::{Value, json};
use serve::{Memory, is_served, service_account};
use tokio::process::Child;
use tokio::time::Instant;

/// All camps stand within this time, or it is a failure.
const PATIENCE: Duration = Duration::from_secs(900);
/// From the last camp's readiness to the begin of the steady state.
const SETTLE: Duration = Duration::from_secs(30);
/// The audit list's length; when it is full, counts are of its newest part.
const AUDIT: usize = 100_000;

#[derive(Parser)]
struct Args {
    /// Camps that stand
    #[arg(long, default_value_t = 100)]
    camps: usize,
    /// Objects of each
    #[arg(long, default_value_t = 20)]
    objects: usize,
    /// Minutes of steady state
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// What `serve` gets as `--sweep-interval`
    #[arg(long, default_value = "1m")]
    sweep_interval: String,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// `cargo bench` gives it; without it nothing is measured
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<(), BoxError> {
    let args = Args::parse();
    if !args.bench {
        say("nothing is measured outside of `cargo bench`");
        return Ok(());
    }
    // A second provider would be a mistake of ours; a first one that is there is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let folder = tempfile::tempdir()?;
        let stage = Stage::without_service(folder.path(), Clock::system(), Rng::system()).await?;
        let sweep = ["--sweep-interval", &args.sweep_interval];
        let mut child = serve::start(&stage, folder.path(), &sweep)?;
        let found = measure(&stage, &child, &args).await;
        // It holds nothing that outlives the temporary folder.
        child.kill().await?;
        stage.end().await;
        match found {
            Ok(found) if args.json => say(&found.json(&args).to_string()),
            Ok(found) => found.table(&args),
            Err(error) => {
                for line in serve::end_of_log(folder.path()) {
                    say(&line);
                }
                return Err(error);
            }
        }
        Ok(())
    })
}

/// A look at the process.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Minutes since the camps stood.
    minute: u32,
    /// `VmRSS` and `VmHWM`.
    memory: Memory,
    /// Time on the processor since its start.
    processor: Duration,
}

impl Look {
    fn take(serve: &Child, minute: u32) -> Result<Self, BoxError> {
        Ok(Self { minute, memory: Memory::of(serve)?, processor: serve::processor(serve)? })
    }
}

/// Everything that was measured.
struct Found {
    idle: Look,
    looks: Vec<Look>,
    /// From the first opening to the readiness of each, with its comment.
    told: Sample,
    /// Requests of the service until all stood: cluster, forge.
    raising: (BTreeMap<String, usize>, BTreeMap<String, usize>),
    /// Requests of the service in the steady state, by what they were.
    cluster: BTreeMap<String, usize>,
    forge: BTreeMap<String, usize>,
    minutes: f64,
    audit_overflowed: bool,
}

async fn measure(stage: &Stage, serve: &Child, args: &Args) -> Result<Found, BoxError> {
    let files = preview::preview(args.objects);
    let files = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    stage.github.replace(REPOSITORY, "main", &files, "Light a bigger fire\n", MAINTAINER)?;
    stage.until("the service is there", async || is_served(stage).await).await?;
    let idle = Look::take(serve, 0)?;
    let raising_since = stage.clock.now();
    let told = raise(stage, serve, args).await?;
    let (cluster, _) = cluster_requests(stage, raising_since, stage.clock.now());
    let raising = (cluster, forge_requests(stage, raising_since));
    let mut looks = vec![Look::take(serve, 0)?];
    tokio::time::sleep(SETTLE).await;
    let (steady_since, began) = (stage.clock.now(), Instant::now());
    looks.push(Look::take(serve, 0)?);
    for minute in 1..=args.minutes {
        tokio::time::sleep_until(began + Duration::from_secs(60) * minute).await;
        looks.push(Look::take(serve, minute)?);
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    all_stand(stage, args).await?;
    let (cluster, audit_overflowed) = cluster_requests(stage, steady_since, stage.clock.now());
    let forge = forge_requests(stage, steady_since);
    Ok(Found { idle, looks, told, raising, cluster, forge, minutes, audit_overflowed })
}

/// Opens all pull requests at once and waits until each is ready and told.
async fn raise(stage: &Stage, serve: &Child, args: &Args) -> Result<Sample, BoxError> {
    for number in 1..=args.camps {
        let text = format!("spark {number}\n");
        let files = BTreeMap::from([("CHANGES.md", text.as_str())]);
        stage.github.commit(
            REPOSITORY,
            &format!("spark-{number}"),
            &files,
            "Add a spark\n",
            MAINTAINER,
        )?;
    }
    let mut records = watcher::watcher(stage.environments(), watcher::Config::default())
        .applied_objects()
        .boxed();
    let began = Instant::now();
    for number in 1..=args.camps {
        let head = format!("spark-{number}");
        let new =
            NewPull { title: head.clone(), head, base: "main".into(), body: None, draft: false };
        stage.github.open_pull_request(REPOSITORY, &new, MAINTAINER)?;
    }
    let (mut told, mut done) = (Sample::default(), BTreeSet::new());
    while done.len() < args.camps {
        let next = tokio::time::timeout_at(began + PATIENCE, records.try_next()).await;
        let record = match next {
            Ok(record) => record?.ok_or("the watch ended")?,
            Err(_) => {
                return Err(format!(
                    "{} of {} camps stood after {PATIENCE:?}",
                    done.len(),
                    args.camps
                )
                .into());
            }
        };
        if serve.id().is_none() {
            return Err("serve has ended".into());
        }
        let name = record.metadata.name.clone().unwrap_or_default();
        if is_told(stage, &record)? && done.insert(name) {
            told.add(began.elapsed());
        }
    }
    all_stand(stage, args).await?;
    Ok(told)
}

/// Ready, and the comment says where.
fn is_told(stage: &Stage, record: &Environment) -> Result<bool, BoxError> {
    let Some(status) = record.status.as_ref().filter(|status| status.holds("Ready")) else {
        return Ok(false);
    };
    let number = record.spec.source.number().unwrap_or_default();
    let url = status.urls.first().map(|entry| entry.url.as_str()).unwrap_or_default();
    let comments = stage.github.comments(REPOSITORY, number)?;
    Ok(comments.iter().any(|comment| {
        comment.author == BOT && comment.body.contains("is ready") && comment.body.contains(url)
    }))
}

/// A measurement of fewer camps or smaller ones would go unnoticed.
async fn all_stand(stage: &Stage, args: &Args) -> Result<(), BoxError> {
    let records = stage.environments().list(&kube::api::ListParams::default()).await?;
    let whole = |record: &&Environment| {
        record
            .status
            .as_ref()
            .is_some_and(|status| status.holds("Ready") && status.inventory.len() == args.objects)
    };
    let standing = records.iter().filter(whole).count();
    if standing != args.camps {
        return Err(format!(
            "{standing} of {} camps are ready with {} objects",
            args.camps, args.objects
        )
        .into());
    }
    Ok(())
}

/// Requests of the service to the cluster, by verb and resource; and whether the list's beginning is lost.
fn cluster_requests(
    stage: &Stage,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> (BTreeMap<String, usize>, bool) {
    let (audit, user) = (stage.cluster.audit(), service_account());
    let overflowed = audit.len() >= AUDIT && audit.first().is_some_and(|first| first.at > since);
    let mut counts = BTreeMap::new();
    for event in
        audit.iter().filter(|event| event.user == user && (since..until).contains(&event.at))
    {
        let sub = if event.subresource.is_empty() {
            String::new()
        } else {
            format!("/{}", event.subresource)
        };
        *counts.entry(format!("{} {}{sub}", event.verb, event.resource)).or_insert(0) += 1;
    }
    (counts, overflowed)
}

/// Requests of the service to the forge, by method and path without numbers.
fn forge_requests(stage: &Stage, since: DateTime<Utc>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let requests = stage.github.requests();
    for request in requests
        .iter()
        .filter(|request| request.user.as_deref() == Some(BOT) && request.at >= since)
    {
        let path = request.path.split('?').next().unwrap_or_default();
        let path: Vec<&str> = path
            .split('/')
            .map(|part| if part.parse::<u64>().is_ok() { "N" } else { part })
            .collect();
        *counts.entry(format!("{} {}", request.method, path.join("/"))).or_insert(0) += 1;
    }
    counts
}

fn sum(counts: &BTreeMap<String, usize>) -> usize {
    counts.values().sum()
}

fn mib(kib: u64) -> f64 {
    round(float(usize::try_from(kib).unwrap_or(usize::MAX)) / 1024.0)
}

impl Found {
    fn per_minute(&self, counts: &BTreeMap<String, usize>) -> f64 {
        if self.minutes > 0.0 { round(float(sum(counts)) / self.minutes) } else { f64::NAN }
    }

    /// Time on the processor in the steady state, of one core, per cent.
    fn processor(&self) -> f64 {
        match (self.looks.get(1), self.looks.last()) {
            (Some(first), Some(last)) if last.minute > 0 => round(
                last.processor.saturating_sub(first.processor).as_secs_f64()
                    / (self.minutes * 60.0)
                    * 100.0,
            ),
            _ => f64::NAN,
        }
    }

    fn json(&self, args: &Args) -> Value {
        let looks: Vec<Value> = self
            .looks
            .iter()
            .map(|look| {
                json!({
                    "minute": look.minute,
                    "rssMiB": mib(look.memory.now_kib),
                    "peakMiB": mib(look.memory.peak_kib),
                    "processorSeconds": look.processor.as_secs_f64(),
                })
            })
            .collect();
        json!({
            "cores": numbers::cores(),
            "camps": args.camps,
            "objects": args.objects,
            "idleRssMiB": mib(self.idle.memory.now_kib),
            "openedToTold": self.told.json(&[50, 90, 100]),
            "requestsWhileRaised": {"cluster": self.raising.0, "forge": self.raising.1},
            "looks": looks,
            "steady": {
                "minutes": round(self.minutes),
                "processorPercent": self.processor(),
                "clusterPerMinute": self.per_minute(&self.cluster),
                "forgePerMinute": self.per_minute(&self.forge),
                "cluster": self.cluster,
                "forge": self.forge,
                "auditOverflowed": self.audit_overflowed,
            },
        })
    }

    fn table(&self, args: &Args) {
        let Args { camps, objects, .. } = args;
        say(&format!("{camps} camps of {objects} objects, all opened at once"));
        let told = [50, 90, 100].map(|percent| self.told.percentile(percent) / 1000.0);
        say(&format!(
            "opened to comment with URL, s: p50 {:.1}, p90 {:.1}, last {:.1}",
            told[0], told[1], told[2]
        ));
        let (cluster, forge) = (sum(&self.raising.0), sum(&self.raising.1));
        say(&format!("requests until all stood: {cluster} to the cluster, {forge} to the forge"));
        say(&format!(
            "{:<24} {:>10} {:>10} {:>12}",
            "serve", "RSS, MiB", "peak, MiB", "processor, s"
        ));
        let idle = ("no camp", &self.idle);
        let all = std::iter::once((idle.0.to_owned(), idle.1)).chain(
            self.looks.iter().enumerate().map(|(index, look)| {
                (
                    if index == 0 { "all stand".into() } else { format!("minute {}", look.minute) },
                    look,
                )
            }),
        );
        for (when, look) in all {
            let Look { minute: _, memory: Memory { now_kib, peak_kib }, processor } = look;
            let (now, peak) = (mib(*now_kib), mib(*peak_kib));
            say(&format!("{when:<24} {now:>10.1} {peak:>10.1} {:>12.2}", processor.as_secs_f64()));
        }
        say(&format!("steady state: {:.2} % of one core", self.processor()));
        for (peer, counts) in [("cluster", &self.cluster), ("forge", &self.forge)] {
            let least = if peer == "cluster" && self.audit_overflowed { "at least " } else { "" };
            say(&format!("requests a minute to the {peer}: {least}{:.1}", self.per_minute(counts)));
            for (what, count) in counts {
                say(&format!("  {:>8.1}  {what}", float(*count) / self.minutes));
            }
        }
    }
}
