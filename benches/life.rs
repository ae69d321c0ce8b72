//! How long the life of a pull request takes on the embedded sandbox, over sockets and with the machine's clock: from
//! its opening to the comment with the URL, stage by stage, and from a delivery to the webhook's answer. Prints a table
//! or, with `--json`, one object.
//!
//! `cargo bench --bench life -- --json`

#[path = "common/numbers.rs"]
mod numbers;

use std::collections::BTreeMap;
use std::time::Duration;

use bivouac::app::stage::{BOT, MAINTAINER, NAME, REPOSITORY, Stage, Wiring};
use bivouac::crd::{Environment, Phase};
use bivouac::sandbox::github::NewPull;
use bivouac::seams::{BoxError, Clock, Rng};
use bytes::Bytes;
use clap::Parser;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use numbers::{Sample, float, round, say};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::time::Instant;

/// Stages as they are seen from outside, in their order.
const STAGES: [&str; 7] = [
    "record made",
    "names assigned",
    "namespace made",
    "workloads ready",
    "bundle applied whole",
    "record says Ready",
    "comment has the URL",
];
/// The last of them.
const LAST: &str = STAGES[6];
/// A life that takes longer is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the comment says when the camp is ready; an address stands in the comments before that, too.
const READY: &str = "Preview is ready";
/// And when it is gone.
const GONE: &str = "Preview is gone";
/// The service leaves a second between two writes to the forge, as GitHub asks for. Without this pause before each
/// beginning the end of the life before would be measured.
const QUIET: Duration = Duration::from_millis(1100);

#[derive(Parser)]
struct Args {
    /// Pull requests, one after another
    #[arg(long, default_value_t = 20)]
    pulls: usize,
    /// Deliveries, one after another and then 16 at once
    #[arg(long, default_value_t = 1000)]
    deliveries: usize,
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
        let stage =
            Stage::build(folder.path(), Wiring::Sockets, Clock::system(), Rng::system()).await?;
        // GitHub's 5,000 requests an hour are for people; here they would end the measurement.
        stage.github.set_rate_limit(Some(10_000_000));
        let found = measure(&stage, &args).await?;
        stage.end().await;
        if args.json {
            say(&found.json().to_string());
        } else {
            found.table();
        }
        Ok(())
    })
}

/// Everything that was measured.
struct Found {
    first: BTreeMap<&'static str, Sample>,
    second: Sample,
    closing: Sample,
    one_by_one: Sample,
    at_once: Sample,
    /// Deliveries in a second, 16 at once.
    rate: f64,
    /// Requests to the forge by the service until the first revision's comment, in the mean.
    forge_requests: f64,
    /// Requests to the cluster by the service until the first revision's comment, in the mean.
    cluster_requests: f64,
}

async fn measure(stage: &Stage, args: &Args) -> Result<Found, BoxError> {
    let mut sight = Sight::new(stage);
    let (mut first, mut second, mut closing) =
        (BTreeMap::new(), Sample::default(), Sample::default());
    let mut numbers = Vec::new();
    let (mut forge_requests, mut cluster_requests) = (0, 0);
    for index in 0..args.pulls {
        let branch = format!("sparks-{index}");
        let head = commit(stage, &branch, "first")?;
        tokio::time::sleep(QUIET).await;
        let before = (of_service_at_forge(stage), of_service_at_cluster(stage));
        let began = Instant::now();
        let new = NewPull {
            head: branch.clone(),
            base: "main".into(),
            title: branch.clone(),
            body: None,
            draft: false,
        };
        let number = stage.github.open_pull_request(REPOSITORY, &new, MAINTAINER)?;
        for (name, after) in sight.until_told(stage, number, &head, began).await? {
            first.entry(name).or_insert_with(Sample::default).add(after);
        }
        forge_requests += of_service_at_forge(stage).saturating_sub(before.0);
        cluster_requests += of_service_at_cluster(stage).saturating_sub(before.1);

        tokio::time::sleep(QUIET).await;
        let began = Instant::now();
        let head = commit(stage, &branch, "second")?;
        let seen = sight.until_told(stage, number, &head, began).await?;
        second.add(seen.get(LAST).copied().ok_or("the second revision was never told")?);
        numbers.push(number);
    }
    let (one_by_one, at_once, rate) = deliver(stage, args).await?;
    for number in numbers {
        tokio::time::sleep(QUIET).await;
        let began = Instant::now();
        stage.github.close(REPOSITORY, number, MAINTAINER)?;
        closing.add(sight.until_closed(stage, number, began).await?);
    }
    let each = |requests: usize| round(float(requests) / float(args.pulls.max(1)));
    let (forge_requests, cluster_requests) = (each(forge_requests), each(cluster_requests));
    Ok(Found {
        first,
        second,
        closing,
        one_by_one,
        at_once,
        rate,
        forge_requests,
        cluster_requests,
    })
}

fn commit(stage: &Stage, branch: &str, text: &str) -> Result<String, BoxError> {
    let text = format!("{branch}: {text}\n");
    let files = BTreeMap::from([("CHANGES.md", text.as_str())]);
    Ok(stage.github.commit(REPOSITORY, branch, &files, "Add sparks\n", MAINTAINER)?)
}

fn of_service_at_forge(stage: &Stage) -> usize {
    stage.github.requests().iter().filter(|request| request.user.as_deref() == Some(BOT)).count()
}

fn of_service_at_cluster(stage: &Stage) -> usize {
    let audit = stage.cluster.audit();
    audit
        .iter()
        .filter(|event| event.user.starts_with("system:serviceaccount:bivouac-system:"))
        .count()
}

/// What a watch tells.
enum Seen {
    Record(Box<Environment>),
    Namespace(String),
    NamespaceGone(String),
    Workload(Box<Deployment>),
}

/// Watches on records, namespaces and Deployments.
struct Sight(BoxStream<'static, Result<Seen, watcher::Error>>);

impl Sight {
    fn new(stage: &Stage) -> Self {
        let records = watcher::watcher(stage.environments(), watcher::Config::default())
            .try_filter_map(async |event| {
                Ok(match event {
                    Event::Apply(record) | Event::InitApply(record) => {
                        Some(Seen::Record(Box::new(record)))
                    }
                    _ => None,
                })
            })
            .boxed();
        let camps = Api::<Namespace>::all(stage.admin.clone());
        let camps =
            watcher::watcher(camps, watcher::Config::default().labels("bivouac.dev/environment"))
                .try_filter_map(async |event| {
                    Ok(match event {
                        Event::Apply(namespace) | Event::InitApply(namespace) => {
                            namespace.metadata.name.map(Seen::Namespace)
                        }
                        Event::Delete(namespace) => {
                            namespace.metadata.name.map(Seen::NamespaceGone)
                        }
                        _ => None,
                    })
                })
                .boxed();
        let workloads = Api::<Deployment>::all(stage.admin.clone());
        let workloads = watcher::watcher(workloads, watcher::Config::default())
            .try_filter_map(async |event| {
                Ok(match event {
                    Event::Apply(deployment) | Event::InitApply(deployment) => {
                        Some(Seen::Workload(Box::new(deployment)))
                    }
                    _ => None,
                })
            })
            .boxed();
        Self(futures::stream::select_all([records, camps, workloads]).boxed())
    }

    async fn next(&mut self, began: Instant) -> Result<Seen, BoxError> {
        let deadline = began + PATIENCE;
        match tokio::time::timeout_at(deadline, self.0.next()).await {
            Ok(Some(seen)) => Ok(seen?),
            Ok(None) => Err("the watches ended".into()),
            Err(_) => Err(format!("it took longer than {PATIENCE:?}").into()),
        }
    }

    /// Looks on until the comment shows `head` with its URL. Gives when each stage was first seen.
    async fn until_told(
        &mut self,
        stage: &Stage,
        number: u64,
        head: &str,
        began: Instant,
    ) -> Result<BTreeMap<&'static str, Duration>, BoxError> {
        let name = format!("{NAME}-pr-{number}");
        let mut seen = BTreeMap::new();
        while !seen.contains_key(LAST) {
            let event =
                self.next(began).await.map_err(|error| format!("#{number} ({seen:?}): {error}"))?;
            let after = began.elapsed();
            let mut note = |index: usize| {
                seen.entry(STAGES[index]).or_insert(after);
            };
            match event {
                Seen::Record(record) if record.metadata.name.as_deref() == Some(name.as_str()) => {
                    note(0);
                    let Some(status) = record.status else { continue };
                    if status.namespace.is_some() {
                        note(1);
                    }
                    if status.history.first().is_some_and(|newest| newest.revision == head) {
                        note(4);
                    }
                    let ready = status.holds("Ready") && status.revision.as_deref() == Some(head);
                    if ready {
                        note(5);
                    }
                    let url =
                        status.urls.first().map(|entry| entry.url.as_str()).unwrap_or_default();
                    if ready
                        && !url.is_empty()
                        && comment(stage, number)?.is_some_and(|text| {
                            [READY, url, head].iter().all(|part| text.contains(part))
                        })
                    {
                        note(6);
                    }
                }
                Seen::Namespace(found) if is_camp_of(&found, &name) => note(2),
                Seen::Workload(deployment) if is_ready_with(&deployment, &name, head) => note(3),
                _ => {}
            }
        }
        Ok(seen)
    }

    /// Looks on until the namespace is gone, the record says so and the comment, too. Gives when the first two were true.
    async fn until_closed(
        &mut self,
        stage: &Stage,
        number: u64,
        began: Instant,
    ) -> Result<Duration, BoxError> {
        let name = format!("{NAME}-pr-{number}");
        let (mut gone, mut closed, mut took) = (false, false, None);
        loop {
            match self.next(began).await.map_err(|error| format!("closing #{number}: {error}"))? {
                Seen::NamespaceGone(found) if is_camp_of(&found, &name) => gone = true,
                Seen::Record(record) if record.metadata.name.as_deref() == Some(name.as_str()) => {
                    closed =
                        record.status.is_some_and(|status| status.phase == Some(Phase::Closed));
                }
                _ => {}
            }
            if gone && closed {
                let took = *took.get_or_insert_with(|| began.elapsed());
                if comment(stage, number)?.is_some_and(|text| text.contains(GONE)) {
                    return Ok(took);
                }
            }
        }
    }
}

fn is_camp_of(namespace: &str, environment: &str) -> bool {
    namespace
        .strip_prefix("camp-")
        .and_then(|rest| rest.rsplit_once('-'))
        .is_some_and(|(name, _)| name == environment)
}

/// The demo's Deployment runs `head`, whole.
fn is_ready_with(deployment: &Deployment, environment: &str, head: &str) -> bool {
    if !is_camp_of(deployment.metadata.namespace.as_deref().unwrap_or_default(), environment) {
        return false;
    }
    let spec = &deployment.spec;
    let Some(status) = &deployment.status else { return false };
    let annotations =
        spec.template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let shows_head =
        annotations.and_then(|all| all.get("campfire/commit")).is_some_and(|commit| commit == head);
    shows_head
        && status.observed_generation == deployment.metadata.generation
        && status.updated_replicas == spec.replicas
        && status.available_replicas == spec.replicas
}

/// The service's comment, whole.
fn comment(stage: &Stage, number: u64) -> Result<Option<String>, BoxError> {
    let comments = stage.github.comments(REPOSITORY, number)?;
    Ok(comments.into_iter().find(|comment| comment.author == BOT).map(|comment| comment.body))
}

/// Signed deliveries of what the forge itself sent before, each with an id of its own, so that each is a new hint.
/// Spread over all pull requests: hints of one are put together while its record is being written.
async fn deliver(stage: &Stage, args: &Args) -> Result<(Sample, Sample, f64), BoxError> {
    let sent = stage.github.deliveries(stage.hook);
    let payloads: Vec<Bytes> = sent
        .into_iter()
        .filter(|delivery| delivery.action.as_deref() == Some("synchronize"))
        .map(|delivery| delivery.payload)
        .collect();
    let Some(at) = &stage.addresses else { return Err("the stage has no addresses".into()) };
    let url = format!("http://{}/webhook", at.service);
    let client = reqwest::Client::new();
    let rng = Rng::system();
    let one = async |index: usize| -> Result<Duration, BoxError> {
        let payload =
            payloads.get(index % payloads.len().max(1)).ok_or("the forge has sent nothing")?;
        let mut mac = Hmac::<Sha256>::new_from_slice(stage.webhook_secret.as_bytes())?;
        mac.update(payload);
        let request = client
            .post(&url)
            .header("content-type", "application/json")
            .header("x-github-event", "pull_request")
            .header("x-github-delivery", rng.uuid().to_string())
            .header(
                "x-hub-signature-256",
                format!("sha256={}", hex::encode(mac.finalize().into_bytes())),
            )
            .body(payload.clone());
        let began = Instant::now();
        let answer = request.send().await?;
        let took = began.elapsed();
        if answer.status() != 202 {
            return Err(format!(
                "the webhook answered {}: {}",
                answer.status(),
                answer.text().await?
            )
            .into());
        }
        Ok(took)
    };
    let mut one_by_one = Sample::default();
    for index in 0..args.deliveries {
        one_by_one.add(one(index).await?);
    }
    let mut at_once = Sample::default();
    let began = Instant::now();
    let mut under_way = futures::stream::iter(0..args.deliveries).map(one).buffer_unordered(16);
    while let Some(took) = under_way.next().await {
        at_once.add(took?);
    }
    let rate = float(args.deliveries) / began.elapsed().as_secs_f64();
    Ok((one_by_one, at_once, rate))
}

impl Found {
    /// Second revision to first, by their medians: what does not depend on the machine.
    fn ratio(&self) -> f64 {
        self.first
            .get(LAST)
            .map_or(f64::NAN, |first| self.second.percentile(50) / first.percentile(50))
    }

    fn json(&self) -> Value {
        let first: serde_json::Map<String, Value> = STAGES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.first.get(name)?.json(&[50, 90]))))
            .collect();
        json!({
            "cores": numbers::cores(),
            "firstRevision": first,
            "secondRevision": self.second.json(&[50, 90]),
            "closing": self.closing.json(&[50, 90]),
            "answerOneByOne": self.one_by_one.json(&[50, 99]),
            "answer16AtOnce": self.at_once.json(&[50, 99]),
            "deliveriesPerSecond16AtOnce": round(self.rate),
            "forgeRequestsPerFirstRevision": self.forge_requests,
            "clusterRequestsPerFirstRevision": self.cluster_requests,
            "ratios": {
                "secondToFirstRevision": round(self.ratio()),
                "closingToFirstRevision": round(
                    self.closing.percentile(50) / self.first.get(LAST).map_or(f64::NAN, |first| first.percentile(50))
                ),
                "answer16AtOnceToOneByOne": round(self.at_once.percentile(50) / self.one_by_one.percentile(50)),
            },
        })
    }

    fn table(&self) {
        let line = |name: &str, sample: &Sample, high: usize| {
            let (half, most) = (sample.percentile(50), sample.percentile(high));
            say(&format!("{name:<44} {:>6} {half:>10.1} {most:>10.1}", sample.count()));
        };
        say(&format!("{:<44} {:>6} {:>10} {:>10}", "opened to …, ms", "count", "p50", "p90"));
        for name in STAGES {
            if let Some(sample) = self.first.get(name) {
                line(name, sample, 90);
            }
        }
        line("pushed to comment, second revision", &self.second, 90);
        line("closed to namespace gone and record Closed", &self.closing, 90);
        say(&format!(
            "{:<44} {:>6} {:>10} {:>10}",
            "delivery to answer, ms", "count", "p50", "p99"
        ));
        line("one after another", &self.one_by_one, 99);
        line("16 at once", &self.at_once, 99);
        say(&format!("deliveries in a second, 16 at once: {:.0}", self.rate));
        say(&format!("second revision / first revision: {:.2}", self.ratio()));
        say(&format!(
            "requests of the service for a first revision: {:.1} to the forge, {:.1} to the cluster",
            self.forge_requests, self.cluster_requests
        ));
    }
}
