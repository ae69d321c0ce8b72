//! Many pull requests of several people, opened at once: how long each takes, and what it changes for them that some
//! others never end. Each time is a world of its own. Output: a table, JSON. I/O with the worlds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use bivouac::app::stage::REPOSITORY;
use bivouac::sandbox::cluster::api::AuditEvent;
use bivouac::sandbox::github::Role;
use bivouac::seams::BoxError;
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::Args;
use crate::neighbours::{Helm, Neighbours};
use crate::numbers::{self, Sample, float, round, say};
use crate::serve::{self, Memory};
use crate::trace::{self, Way};
use crate::world::{World, is_applied, number_of};

/// All stand within this time, or it is a failure.
const PATIENCE: Duration = Duration::from_secs(140);
/// No further pair begins after this time: the whole takes less than six minutes.
const PAIRS: Duration = Duration::from_secs(140);
/// A service without work, before anything counts.
const SETTLE: Duration = Duration::from_secs(3);
/// The slowest is to take at most so many times as long as the median.
const SLOWEST: f64 = 3.0;
/// Bad neighbours are to change nobody's time by more than this, per cent.
const CHANGE: f64 = 10.0;

/// One time.
struct Time {
    /// From the opening of each to its bundle's application, and to its readiness.
    applied: Sample,
    ready: Sample,
    /// Parts of the way to its application: until its first guardrail stood, that is waiting, fetching and rendering; from
    /// there, with the dry run, to its first object; from there to its last.
    parts: [Sample; 3],
    /// From the first opening to the last application, and to the last readiness.
    all_applied: Duration,
    all_ready: Duration,
    /// How long the openings themselves took.
    opening: Duration,
    /// Requests of the service to the cluster until all were applied.
    requests: BTreeMap<String, usize>,
    /// Of the service, before and after.
    idle: Memory,
    memory: Memory,
    /// Of the service, from the first opening until all were ready.
    processor: Duration,
}

/// All times.
pub(crate) struct Found {
    alone: Vec<Time>,
    beside: Vec<Time>,
}

/// Measures, by turns alone and beside bad neighbours, until it was done so often or the time is up.
pub(crate) async fn measure(args: &Args) -> Result<Found, BoxError> {
    let began = Instant::now();
    let mut found = Found { alone: Vec::new(), beside: Vec::new() };
    for pair in 0..args.pairs.max(1) {
        if pair > 0 && began.elapsed() > PAIRS {
            break;
        }
        // What comes first may be at an advantage.
        for bad in if pair % 2 == 0 { [false, true] } else { [true, false] } {
            let folder = tempfile::tempdir()?;
            let helm = Helm::new(folder.path())?;
            let path = helm.path();
            let world = World::raise(folder.path(), args.objects, &["--helm", &path], None).await?;
            let measured = one(&world, args, bad.then_some(&helm)).await;
            let time = world.end(measured).await?;
            if bad { found.beside.push(time) } else { found.alone.push(time) }
        }
    }
    Ok(found)
}

/// One time, from an idle service on.
async fn one(world: &World, args: &Args, bad: Option<&Helm>) -> Result<Time, BoxError> {
    let mut authors = Vec::new();
    for index in 0..args.authors.max(1) {
        let author = format!("author-{index}");
        world.stage.github.create_user(&author)?;
        world.stage.github.add_collaborator(REPOSITORY, &author, Role::Write)?;
        authors.push(author);
    }
    let mut pulls = Vec::new();
    for (index, author) in (0..args.pulls).zip(authors.iter().cycle()) {
        let branch = format!("spark-{index}");
        let files = BTreeMap::from([("CHANGES.md", branch.as_str())]);
        pulls.push((world.commit(&branch, &files, author)?, branch.clone(), author));
    }
    let neighbours = match bad {
        None => None,
        Some(helm) => Some((Neighbours::begin(world, helm).await?, helm)),
    };
    tokio::time::sleep(SETTLE).await;
    let time = raise(world, args, &pulls).await?;
    if let Some((neighbours, helm)) = neighbours {
        // Otherwise nothing was measured.
        neighbours.are_at_it(world, helm).await?;
        neighbours.end(world, helm).await?;
    }
    Ok(time)
}

/// Opens all at once and waits until each is ready.
async fn raise(
    world: &World,
    args: &Args,
    pulls: &[(String, String, &String)],
) -> Result<Time, BoxError> {
    let (idle, processor) = (Memory::of(&world.serve)?, serve::processor(&world.serve)?);
    let mut records = world.records();
    let (began, at) = (Instant::now(), world.stage.clock.now());
    let mut opened = BTreeMap::new();
    for (head, branch, author) in pulls {
        let when = Instant::now();
        let at = world.stage.clock.now();
        opened.insert(world.open(branch, author)?, (when, at, head));
    }
    let opening = began.elapsed();
    let (mut applied, mut ready, mut camps) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut all_applied, mut last_applied) = (Duration::ZERO, at);
    while ready.len() < pulls.len() {
        let next = tokio::time::timeout_at(began + PATIENCE, records.try_next()).await;
        let Ok(record) = next else {
            let (done, all) = (ready.len(), pulls.len());
            return Err(format!("{done} of {all} were ready after {PATIENCE:?}").into());
        };
        let record = record?.ok_or("the watch ended")?;
        let number = number_of(&record);
        let (Some((when, at, head)), Some(status)) = (opened.get(&number), record.status) else {
            continue;
        };
        if !is_applied(&status, head) {
            continue;
        }
        if status.inventory.len() != args.objects {
            return Err(format!("#{number} has {} objects", status.inventory.len()).into());
        }
        if let Entry::Vacant(entry) = applied.entry(number) {
            entry.insert(when.elapsed());
            camps.insert(status.namespace.clone().unwrap_or_default(), *at);
            (all_applied, last_applied) = (began.elapsed(), world.stage.clock.now());
        }
        if status.holds("Ready") {
            ready.entry(number).or_insert_with(|| when.elapsed());
        }
    }
    let all_ready = began.elapsed();
    let mut events = trace::of_service(world, at)?;
    events.retain(|event| event.at <= last_applied);
    let parts = parts(&events, &camps)?;
    let requests = trace::counts(&events);
    Ok(Time {
        applied: sample(&applied),
        ready: sample(&ready),
        parts,
        all_applied,
        all_ready,
        opening,
        requests,
        idle,
        memory: Memory::of(&world.serve)?,
        processor: serve::processor(&world.serve)?.saturating_sub(processor),
    })
}

fn sample(times: &BTreeMap<u64, Duration>) -> Sample {
    let mut sample = Sample::default();
    for time in times.values() {
        sample.add(*time);
    }
    sample
}

/// The parts of all ways, from what the cluster was asked and when the pull request of each camp was opened.
fn parts(
    events: &[AuditEvent],
    camps: &BTreeMap<String, DateTime<Utc>>,
) -> Result<[Sample; 3], BoxError> {
    let ways = trace::ways(events);
    let mut parts: [Sample; 3] = Default::default();
    for (namespace, opened) in camps {
        let way = ways.get(namespace.as_str());
        let Way { guardrail, first, last } = *way.ok_or("a camp that is not in the audit list")?;
        for (part, took) in
            parts.iter_mut().zip([guardrail - *opened, first - guardrail, last - first])
        {
            part.add(took.to_std().unwrap_or_default());
        }
    }
    Ok(parts)
}

fn mib(kib: u64) -> f64 {
    round(float(usize::try_from(kib).unwrap_or(usize::MAX)) / 1024.0)
}

/// The mean.
fn mean(numbers: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = float(numbers.len());
    numbers.sum::<f64>() / count
}

impl Time {
    fn per_second(&self) -> f64 {
        float(self.requests.values().sum()) / self.all_applied.as_secs_f64()
    }

    /// Slowest to median.
    fn spread(&self) -> f64 {
        self.applied.percentile(100) / self.applied.percentile(50)
    }

    fn json(&self) -> Value {
        let percents = [50, 95, 100];
        json!({
            "openingSeconds": round(self.opening.as_secs_f64()),
            "allAppliedSeconds": round(self.all_applied.as_secs_f64()),
            "allReadySeconds": round(self.all_ready.as_secs_f64()),
            "openedToApplied": self.applied.json(&percents),
            "openedToReady": self.ready.json(&percents),
            "parts": {
                "openedToFirstGuardrail": self.parts[0].json(&percents),
                "firstGuardrailToFirstObject": self.parts[1].json(&percents),
                "firstToLastObject": self.parts[2].json(&percents),
            },
            "slowestToMedian": round(self.spread()),
            "requestsPerSecond": round(self.per_second()),
            "requests": self.requests,
            "idleRssMiB": mib(self.idle.now_kib),
            "peakMiB": mib(self.memory.peak_kib),
            "processorSeconds": self.processor.as_secs_f64(),
        })
    }
}

impl Found {
    /// By how much the median and the slowest change beside bad neighbours, per cent; means of all times.
    fn change(&self, percent: usize) -> f64 {
        let of = |times: &[Time]| mean(times.iter().map(|time| time.applied.percentile(percent)));
        (of(&self.beside) / of(&self.alone) - 1.0) * 100.0
    }

    /// How far times of one kind are apart without any difference between them, per cent: what a change has to exceed
    /// before it says anything.
    fn noise(&self, percent: usize) -> f64 {
        let of = |times: &[Time]| {
            let all: Vec<f64> = times.iter().map(|time| time.applied.percentile(percent)).collect();
            let least = all.iter().copied().fold(f64::INFINITY, f64::min);
            let most = all.iter().copied().fold(0.0, f64::max);
            (most / least - 1.0) * 100.0
        };
        of(&self.alone).max(of(&self.beside))
    }

    /// For machines.
    pub(crate) fn json(&self, args: &Args) -> Value {
        let all = |times: &[Time]| times.iter().map(Time::json).collect::<Vec<_>>();
        json!({
            "cores": numbers::cores(),
            "pulls": args.pulls,
            "authors": args.authors,
            "objects": args.objects,
            "alone": all(&self.alone),
            "besideBadNeighbours": all(&self.beside),
            "change": {
                "medianPercent": round(self.change(50)),
                "slowestPercent": round(self.change(100)),
                // Of more than one time each.
                "medianNoisePercent": round(self.noise(50)),
                "slowestNoisePercent": round(self.noise(100)),
            },
        })
    }

    /// For people.
    pub(crate) fn table(&self, args: &Args) {
        let Args { pulls, authors, objects, .. } = args;
        say(&format!(
            "{pulls} pull requests of {authors} authors, {objects} objects each, opened at once"
        ));
        let mut titles = Vec::new();
        let mut columns = Vec::new();
        for index in 0..self.alone.len().max(self.beside.len()) {
            for (name, times) in [("alone", &self.alone), ("beside bad", &self.beside)] {
                if let Some(time) = times.get(index) {
                    titles.push(name);
                    columns.push(time);
                }
            }
        }
        let row = |name: &str, value: &dyn Fn(&Time) -> f64| {
            let cells: Vec<String> =
                columns.iter().map(|time| format!("{:>11.1}", value(time))).collect();
            say(&format!("{name:<40} {}", cells.join(" ")));
        };
        let titles: Vec<String> = titles.iter().map(|title| format!("{title:>11}")).collect();
        say(&format!("{:<40} {}", "", titles.join(" ")));
        let seconds = |sample: &Sample, percent| sample.percentile(percent) / 1000.0;
        row("all opened after, s", &|time| time.opening.as_secs_f64());
        row("all applied after, s", &|time| time.all_applied.as_secs_f64());
        row("all ready after, s", &|time| time.all_ready.as_secs_f64());
        row("opened to applied, median, s", &|time| seconds(&time.applied, 50));
        row("opened to applied, slowest, s", &|time| seconds(&time.applied, 100));
        row("  until the first guardrail, median, s", &|time| seconds(&time.parts[0], 50));
        row("  guardrails and dry run, median, s", &|time| seconds(&time.parts[1], 50));
        row("  first to last object, median, s", &|time| seconds(&time.parts[2], 50));
        row("opened to ready, median, s", &|time| seconds(&time.ready, 50));
        row("opened to ready, slowest, s", &|time| seconds(&time.ready, 100));
        row("slowest / median (applied)", &Time::spread);
        row("requests a second until all applied", &Time::per_second);
        row("requests of a pull request", &|time| {
            float(time.requests.values().sum()) / float((*pulls).max(1))
        });
        row("serve: memory before, MiB", &|time| mib(time.idle.now_kib));
        row("serve: peak of memory, MiB", &|time| mib(time.memory.peak_kib));
        row("serve: on the processor until ready, s", &|time| time.processor.as_secs_f64());
        let worst = self.alone.iter().map(Time::spread).fold(0.0, f64::max);
        say(&format!("slowest / median, alone: {worst:.2} (aim: {SLOWEST} or less)"));
        let noise = if self.alone.len().max(self.beside.len()) > 1 {
            let (half, most) = (self.noise(50), self.noise(100));
            format!("times of one kind differ by up to {half:.1} % and {most:.1} %")
        } else {
            "measured once: how much of it is chance is not known".to_owned()
        };
        let (half, most) = (self.change(50), self.change(100));
        say(&format!(
            "change beside bad neighbours: median {half:+.1} %, slowest {most:+.1} % (aim: {CHANGE} % or less; {noise})"
        ));
        if let Some(first) = self.alone.first() {
            say("requests until all were applied, first time alone");
            for (what, count) in &first.requests {
                say(&format!("  {count:>8}  {what}"));
            }
        }
    }
}
