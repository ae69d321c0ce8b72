//! What keeps a camp awake that only the ingress controllers see: requests, where `lifetime.sleepAfter.measure` is
//! `Ingress`. I/O: the figures. And whether there are any, as a condition of the Repository.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Context;
use super::record::Record;
use crate::crd::{Condition, Measure, Repository, set_condition};
use crate::domain::status::Judgement;
use crate::traffic::Traffic;

/// The condition; only a Repository with `measure: Ingress` has it.
const FIGURES: &str = "IngressFigures";
/// What the service lacks without them.
const MISSING: &str = "the service is not told where the figures of the ingress controllers are (--prometheus-url): previews \
                       that nobody uses stay awake";

/// Why a camp stays awake that nobody visited, pushed to or gave a command for so long; `None`: it may sleep.
pub(super) async fn keeps_awake(
    context: &Context,
    record: &Record,
    after: Duration,
) -> Option<String> {
    let Some(figures) = &context.figures else { return Some(MISSING.to_owned()) };
    let namespace = record.status.namespace.as_deref()?;
    match figures.of(namespace, after).await {
        Traffic::Some => Some("there were requests lately (lifetime.sleepAfter)".to_owned()),
        Traffic::None => None,
        Traffic::Unknown(reason) => {
            tracing::warn!(environment.name = record.name(), "no figures of its ingress: {reason}");
            Some(format!("nobody knows whether there were requests: of Prometheus, {reason}"))
        }
    }
}

/// Says among the conditions of a Repository whether there are figures, where it wants them.
pub(super) fn note(
    known: bool,
    repository: &Repository,
    conditions: &mut Vec<Condition>,
    now: DateTime<Utc>,
) {
    let after = repository.spec.lifetime.sleep_after.as_ref();
    if after.is_none_or(|after| after.measure != Measure::Ingress) {
        conditions.retain(|one| one.r#type != FIGURES);
        return;
    }
    let said = if known {
        Judgement::yes(FIGURES, "Set", "requests are counted by the ingress controllers")
    } else {
        Judgement::no(FIGURES, "PrometheusMissing", MISSING)
    };
    set_condition(conditions, &said, repository.metadata.generation, now);
}
