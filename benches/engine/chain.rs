//! Pull requests one after another: webhook → applied → ready, and the same objects by other means in the same round.
//! Input: a world; output: samples, a table, JSON. I/O with the world.

use std::collections::BTreeMap;
use std::time::Duration;

use bivouac::app::stage::{MAINTAINER, REPOSITORY};
use bivouac::seams::BoxError;
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::baseline::{self, Pipeline, STEPS};
use crate::numbers::{Sample, float, round, say};
use crate::trace::{self, FIRST_OBJECT, LAST_OBJECT, READY, STAGES};
use crate::world::{PATIENCE, World, number_of};
use crate::{Args, preview};

/// The service leaves a second between two writes to the forge, as GitHub asks for. Without this pause before each
/// beginning the end of the life before would be measured.
const QUIET: Duration = Duration::from_millis(1100);
/// The whole chain is to be so many times faster than git and kubectl.
const FASTER: f64 = 8.0;
/// From the first to the last apply it is to take at most so many times as long as a plain client.
const WITHIN: f64 = 2.0;

/// What was measured.
pub(crate) struct Found {
    /// Since the webhook.
    stages: BTreeMap<&'static str, Sample>,
    /// From the first to the last answer.
    span: Sample,
    /// Each step, and all, or why not.
    pipeline: Result<([Sample; 4], Sample), String>,
    /// Until the last answer, and from the first to it.
    plain: (Sample, Sample),
    /// Requests of the service to the cluster for one chain until its objects were applied, in the mean, by what they
    /// were.
    requests: BTreeMap<String, f64>,
}

/// Measures until all rounds are done or the time is up.
pub(crate) async fn measure(
    world: &World,
    rounds: usize,
    objects: usize,
    deadline: Instant,
) -> Result<Found, BoxError> {
    let plain_objects = baseline::objects(&preview::preview(objects))?;
    if plain_objects.len() != objects {
        return Err(format!("{} objects in place of {objects}", plain_objects.len()).into());
    }
    let pipeline = Pipeline::find(&world.folder).await;
    let mut found = Found {
        stages: BTreeMap::new(),
        span: Sample::default(),
        pipeline: pipeline.as_ref().map(|_| Default::default()).map_err(Clone::clone),
        plain: Default::default(),
        requests: BTreeMap::new(),
    };
    let mut totals = BTreeMap::new();
    // The first fills caches on all sides, and does not count.
    for index in 0..=rounds {
        let counts = index > 0;
        if counts && Instant::now() > deadline {
            break;
        }
        let branch = format!("round-{index}");
        let (number, camp) =
            chain(world, &branch, counts, objects, (&mut found, &mut totals)).await?;
        // Each begins in a world that is quiet again.
        world.stage.github.close(REPOSITORY, number, MAINTAINER)?;
        world.gone(&camp).await?;
        if let Ok(pipeline) = &pipeline {
            let namespace = format!("pipeline-{index}");
            let took = pipeline.raise(world, &branch, &namespace).await?;
            if let Ok((steps, all)) = found.pipeline.as_mut()
                && counts
            {
                steps.iter_mut().zip(took).for_each(|(sample, took)| sample.add(took));
                all.add(took.iter().sum());
            }
            world.delete(&namespace).await?;
        }
        let namespace = format!("plain-{index}");
        let took = baseline::apply_plainly(&world.client, &plain_objects, &namespace).await?;
        if counts {
            found.plain.0.add(took);
            found.plain.1.add(trace::span(world, &namespace)?);
        }
        world.delete(&namespace).await?;
    }
    let chains = float(found.span.count().max(1));
    found.requests =
        totals.into_iter().map(|(what, count)| (what, round(float(count) / chains))).collect();
    Ok(found)
}

/// One pull request, until its record says Ready. Gives its number and its namespace.
async fn chain(
    world: &World,
    branch: &str,
    counts: bool,
    objects: usize,
    (found, totals): (&mut Found, &mut BTreeMap<String, usize>),
) -> Result<(u64, String), BoxError> {
    let files = BTreeMap::from([("CHANGES.md", branch)]);
    let head = world.commit(branch, &files, MAINTAINER)?;
    let mut records = world.records();
    tokio::time::sleep(QUIET).await;
    let (began, at) = (Instant::now(), world.stage.clock.now());
    let number = world.open(branch, MAINTAINER)?;
    let (ready, status) = loop {
        let next = tokio::time::timeout_at(began + PATIENCE, records.try_next());
        let record =
            next.await.map_err(|_| format!("#{number} took longer than {PATIENCE:?}"))??;
        let record = record.ok_or("the watch ended")?;
        if number_of(&record) != number {
            continue;
        }
        let Some(status) = record.status else { continue };
        if status.holds("Ready") && status.revision.as_deref() == Some(&head) {
            break (began.elapsed(), status);
        }
    };
    if status.inventory.len() != objects {
        return Err(format!("#{number} has {} objects", status.inventory.len()).into());
    }
    let camp = status.namespace.ok_or("a camp without a namespace")?;
    if counts {
        let events = trace::of_service(world, at)?;
        let mut stages = trace::stages(&events, &camp, at);
        stages.insert(READY, ready);
        let (Some(first), Some(last)) = (stages.get(FIRST_OBJECT), stages.get(LAST_OBJECT)) else {
            return Err(format!("#{number}: its objects are not in the audit list").into());
        };
        found.span.add(last.saturating_sub(*first));
        let until_applied: Vec<_> = events
            .into_iter()
            .filter(|event| (event.at - at).to_std().is_ok_and(|after| after <= *last))
            .collect();
        for (what, count) in trace::counts(&until_applied) {
            *totals.entry(what).or_insert(0) += count;
        }
        for (name, after) in stages {
            found.stages.entry(name).or_default().add(after);
        }
    }
    Ok((number, camp))
}

impl Found {
    fn stage(&self, name: &str) -> Sample {
        self.stages.get(name).cloned().unwrap_or_default()
    }

    /// How many times faster the whole chain is than git and kubectl, by medians.
    fn faster(&self) -> Option<f64> {
        let (_, all) = self.pipeline.as_ref().ok()?;
        Some(all.percentile(50) / self.stage(LAST_OBJECT).percentile(50))
    }

    /// How many times as long as a plain client it takes from the first to the last apply, by medians.
    fn as_long(&self) -> f64 {
        self.span.percentile(50) / self.plain.1.percentile(50)
    }

    /// For machines.
    pub(crate) fn json(&self) -> Value {
        let percents = [50, 95];
        let stages: serde_json::Map<String, Value> = STAGES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.stages.get(name)?.json(&percents))))
            .collect();
        let pipeline = match &self.pipeline {
            Err(why) => json!({ "notRun": why }),
            Ok((steps, all)) => {
                let steps: serde_json::Map<String, Value> = STEPS
                    .iter()
                    .zip(steps)
                    .map(|(name, sample)| ((*name).to_owned(), sample.json(&percents)))
                    .collect();
                json!({"steps": steps, "all": all.json(&percents)})
            }
        };
        json!({
            "rounds": self.span.count(),
            "sinceWebhook": stages,
            "firstToLastApply": self.span.json(&percents),
            "gitAndKubectl": pipeline,
            "plainClient": {
                "all": self.plain.0.json(&percents),
                "firstToLastApply": self.plain.1.json(&percents),
            },
            "ratios": {
                "gitAndKubectlToChain": self.faster().map(round),
                "firstToLastApplyToPlainClient": round(self.as_long()),
            },
            "requestsUntilApplied": self.requests,
        })
    }

    /// For people.
    pub(crate) fn table(&self, args: &Args) {
        let line = |name: &str, sample: &Sample| {
            let (half, most) = (sample.percentile(50), sample.percentile(95));
            say(&format!("{name:<48} {:>6} {half:>10.1} {most:>10.1}", sample.count()));
        };
        let title = |name: &str| {
            say(&format!("{name:<48} {:>6} {:>10} {:>10}", "count", "p50", "p95"));
        };
        say(&format!("bundles of {} objects, one after another", args.objects));
        title("since the webhook, ms");
        for name in STAGES {
            line(name, &self.stage(name));
        }
        line("from the first to the last apply", &self.span);
        title("the same objects by git and kubectl, ms");
        match &self.pipeline {
            Err(why) => say(&format!("not run: {why}")),
            Ok((steps, all)) => {
                STEPS.iter().zip(steps).for_each(|(name, sample)| line(name, sample));
                line("all of it", all);
            }
        }
        title("the same objects by a plain client, ms");
        line("8 at a time, until the last answer", &self.plain.0);
        line("from the first to the last apply", &self.plain.1);
        match self.faster() {
            None => say("git and kubectl / webhook to last apply: not run"),
            Some(ratio) => say(&format!(
                "git and kubectl / webhook to last apply: {ratio:.2} (aim: {FASTER} or more)"
            )),
        }
        say(&format!(
            "first to last apply / plain client: {:.2} (aim: {WITHIN} or less)",
            self.as_long()
        ));
        say(&format!(
            "requests of the service until the last apply: {:.1}",
            self.requests.values().sum::<f64>()
        ));
        for (what, count) in &self.requests {
            say(&format!("  {count:>8.1}  {what}"));
        }
    }
}
