//! The delivery healer: deliveries that an App's webhook lost are asked for again. In: the forge's log of each App; out:
//! requests to deliver again, Events and metrics. I/O with the forge, beside the runs: nothing waits for it.
//!
//! A token has no such log: there the sweeps alone find what was lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::error::chain;
use super::events::{Told, Weight};
use crate::crd::Repository;
use crate::domain::event;
use crate::domain::healing::{self, Asked, Logged};
use crate::forge::{ApiUrl, AppItself, ForgeError, Login, Which};
use crate::telemetry::metrics::REPAIRED;

/// Between two looks at which Apps there are.
const TICK: Duration = Duration::from_secs(15);
/// An App that still has more is looked at again after this time.
const MORE: Duration = Duration::from_secs(60);
/// GitHub keeps its log for three days.
const WINDOW: TimeDelta = TimeDelta::days(3);
/// Pages of the log, of 100 rows each.
const PAGES: usize = 10;
/// Payloads that are read in one round …
const MOST_READ: usize = 50;
/// … and deliveries that are asked for; each is a write, and a second passes between two.
const MOST_ASKED: usize = 25;

/// What is remembered of one App.
#[derive(Default)]
struct Known {
    due: Option<DateTime<Utc>>,
    /// Deliveries that need no look any more, and since when.
    settled: BTreeMap<String, DateTime<Utc>>,
    asked: Asked,
}

/// An App, and the Repositories that speak as it.
struct Served {
    app: AppItself,
    repositories: Vec<std::sync::Arc<Repository>>,
}

/// Looks until `stop`.
pub(super) async fn run(context: &Context, stop: CancellationToken) {
    let rng = context.rng.fork();
    let mut known: BTreeMap<(String, String), Known> = BTreeMap::new();
    loop {
        let pause = context.clock.sleep(rng.jitter(TICK, 10));
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
        let apps = apps(context);
        known.retain(|app, _| apps.contains_key(app));
        for (key, served) in &apps {
            let known = known.entry(key.clone()).or_default();
            if known.due.is_some_and(|due| context.clock.now() < due) {
                continue;
            }
            let round = stop.run_until_cancelled(Box::pin(heal(context, served, known)));
            let pause = match round.await {
                None => return,
                Some(Ok(true)) => MORE,
                Some(Ok(false)) => context.intervals.deliveries,
                Some(Err(error)) => {
                    tracing::warn!(
                        app = served.app.id(),
                        "failed deliveries can't be looked for: {}",
                        chain(&error)
                    );
                    context.intervals.deliveries
                }
            };
            let pause = TimeDelta::from_std(rng.jitter(pause, 20)).unwrap_or(WINDOW);
            known.due = Some(context.clock.now() + pause);
        }
    }
}

/// The Apps of all Repositories, each once.
fn apps(context: &Context) -> BTreeMap<(String, String), Served> {
    let mut apps: BTreeMap<(String, String), Served> = BTreeMap::new();
    let mut repositories = context.all_repositories();
    repositories.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    for repository in repositories {
        let name = repository.metadata.name.as_deref().unwrap_or_default();
        let Some(Login::App(login)) = context.credentials.of(name).map(|found| found.login) else {
            continue;
        };
        let Ok(url) = ApiUrl::parse(context.api_url(&repository), context.allow_http) else {
            continue;
        };
        let key = (url.to_string(), login.id().to_owned());
        if let Some(known) = apps.get_mut(&key) {
            known.repositories.push(repository);
        } else if let Ok(app) = context.forges.app_itself(&url, &login) {
            apps.insert(key, Served { app, repositories: vec![repository] });
        }
    }
    apps
}

/// One round. Says whether there is more than it could do.
async fn heal(context: &Context, served: &Served, known: &mut Known) -> Result<bool, ForgeError> {
    let now = context.clock.now();
    let since = now - WINDOW;
    known.settled.retain(|_, at| *at >= since);
    known.asked.retain(|_, (at, _)| *at >= since);
    let failures = served.app.deliveries(Which::Failed, since, PAGES).await?;
    let mut candidates = candidates(&failures, served, known);
    let Some(oldest) = candidates.iter().map(|row| row.at).min() else { return Ok(false) };
    // What was asked for before this process began, and came, is not among the failures.
    let arrived = served.app.deliveries(Which::Arrived, oldest, PAGES).await?;
    learn(served, known, failures.iter().chain(&arrived).filter(|row| row.again)).await?;
    for row in arrived {
        known.settled.insert(row.guid, row.at);
    }
    candidates.retain(|row| !known.settled.contains_key(&row.guid));
    let mut more = candidates.len() > MOST_READ;
    let mut rows = Vec::new();
    for row in candidates.into_iter().take(MOST_READ) {
        let source = source(served, &row).await?;
        rows.push((row, source));
    }
    let plan = healing::plan(rows, &known.asked);
    known.settled.extend(plan.pass_over.into_iter().map(|guid| (guid, now)));
    more |= plan.ask.len() > MOST_ASKED;
    let mut asked = Vec::new();
    let mut failed = None;
    for (row, source) in plan.ask.into_iter().take(MOST_ASKED) {
        match served.app.deliver_again(row.id).await {
            Ok(()) => {}
            Err(ForgeError::NotFound { .. } | ForgeError::Invalid { .. }) => {
                known.settled.insert(row.guid, now);
                continue;
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        known.settled.insert(row.guid.clone(), now);
        healing::note(&mut known.asked, source, &row);
        asked.push(row);
    }
    say(context, served, &asked);
    failed.map_or(Ok(more), Err)
}

/// What a delivery is about; `None` for what nobody here listens to, or can't be read any more.
async fn source(served: &Served, row: &Logged) -> Result<Option<String>, ForgeError> {
    match served.app.payload(row.id).await {
        Ok(payload) => Ok(event::parse(&row.event, &payload)
            .ok()
            .and_then(|delivery| healing::source(row, &delivery))),
        Err(ForgeError::NotFound { .. } | ForgeError::Unexpected { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Learns from attempts that were asked for before this process began which sources need no older one.
async fn learn(
    served: &Served,
    known: &mut Known,
    attempts: impl Iterator<Item = &Logged>,
) -> Result<(), ForgeError> {
    let unknown = |row: &&Logged| !known.settled.contains_key(&row.guid);
    let fresh: Vec<&Logged> = attempts.filter(unknown).take(MOST_READ).collect();
    for row in fresh {
        if let Some(source) = source(served, row).await? {
            healing::note(&mut known.asked, source, row);
        }
        known.settled.insert(row.guid.clone(), row.at);
    }
    Ok(())
}

fn candidates(failures: &[Logged], served: &Served, known: &Known) -> Vec<Logged> {
    let settled: BTreeSet<String> = known.settled.keys().cloned().collect();
    let ids: BTreeSet<u64> = served.repositories.iter().filter_map(|one| number(one)).collect();
    healing::candidates(failures, &settled, &ids)
}

fn number(repository: &Repository) -> Option<u64> {
    let forge = repository.status.as_ref()?.forge.as_ref()?;
    u64::try_from(forge.repository_id).ok()
}

/// What was asked for, as metric and Events.
fn say(context: &Context, served: &Served, asked: &[Logged]) {
    if asked.is_empty() {
        return;
    }
    let count = u64::try_from(asked.len()).unwrap_or(u64::MAX);
    context.metrics.count_more(&REPAIRED, &["deliveries", "delivery"], count);
    for repository in &served.repositories {
        let about =
            |row: &&Logged| row.repository.is_none() || row.repository == number(repository);
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for row in asked.iter().filter(about) {
            *kinds.entry(row.what()).or_default() += 1;
        }
        if kinds.is_empty() {
            continue;
        }
        let all: usize = kinds.values().sum();
        let kinds: Vec<String> =
            kinds.iter().map(|(what, count)| format!("{what} ({count})")).collect();
        let note = format!(
            "asked GitHub to send {all} failed deliveries of the App's webhook again: {}",
            kinds.join(", ")
        );
        tracing::info!(repository.name = repository.metadata.name, "{note}");
        let told = Told::of("DeliveriesRepaired", Weight::Normal, "Redeliver", note);
        context.events.tell_at_repository(context, repository, told);
    }
}
