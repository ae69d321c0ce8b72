//! What the controller's work comes to, as metrics. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use kube::runtime::reflector::Store;

use super::Context;
use super::error::ReconcileError;
use crate::crd::Environment;
use crate::telemetry::metrics::{
    Described, ENVIRONMENTS, RECONCILE_TIME, RECONCILES, REPAIRED, Reading, SWEEPS,
};

/// Name of the look at the records.
const RECORDS: &str = "records";

/// From now on the records are counted by phase when somebody asks.
pub(super) fn watch(context: &Context, records: Store<Environment>) {
    context.metrics.look(RECORDS, move || {
        let mut phases: BTreeMap<String, u32> = BTreeMap::new();
        for record in records.state() {
            let phase = record.status.as_ref().and_then(|status| status.phase);
            let phase = phase.map_or_else(|| "New".to_owned(), |phase| format!("{phase:?}"));
            *phases.entry(phase).or_default() += 1;
        }
        let reading = |(phase, count): (String, u32)| {
            Reading::new(&ENVIRONMENTS, &[&phase], f64::from(count))
        };
        phases.into_iter().map(reading).collect()
    });
}

/// Who leads no longer knows no records.
pub(super) fn end(context: &Context) {
    context.metrics.look_no_more(RECORDS);
}

/// A run over a record or a Repository has ended.
pub(super) fn run(
    context: &Context,
    kind: &'static str,
    began: DateTime<Utc>,
    error: Option<&ReconcileError>,
) {
    let outcome = error.map_or("done", ReconcileError::category);
    context.metrics.count(&RECONCILES, &[kind, outcome]);
    took(context, &RECONCILE_TIME, kind, began);
}

/// How long a part of a run took, by what came of it.
pub(super) fn took(
    context: &Context,
    of: &'static Described,
    label: &'static str,
    began: DateTime<Utc>,
) {
    let time: Duration = (context.clock.now() - began).to_std().unwrap_or_default();
    context.metrics.took(of, &[label], time);
}

/// A look at a whole repository has ended.
pub(super) fn sweep(context: &Context, outcome: &'static str) {
    context.metrics.count(&SWEEPS, &[outcome]);
}

/// A sweep made records or left hints that nobody had asked for.
pub(super) fn repaired_by_sweep(context: &Context, what: &'static str, count: usize) {
    if count > 0 {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        context.metrics.count_more(&REPAIRED, &["sweep", what], count);
    }
}
