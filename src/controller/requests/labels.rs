//! Labels that act like commands: what changed on the pull request in, Requests out. Who did it is what the forge's
//! timeline says, not who sent a webhook. I/O with home and the forge.

use super::write_down;
use crate::controller::Context;
use crate::controller::error::ReconcileError;
use crate::controller::observe::number_of;
use crate::controller::reconcile::Served;
use crate::controller::record::Record;
use crate::crd::{OriginKind, RequestSpec, SourcePhase, Timestamp};
use crate::domain::command::Given;

/// The labels that a record shows.
pub(in crate::controller) fn of(record: &Record) -> Vec<String> {
    record.status.head.as_ref().map(|head| head.labels.clone()).unwrap_or_default()
}

/// Writes a Request for each label of ours that came or went since `before`. To be called before the record's status says
/// so: then nothing is lost when the process ends in between.
pub(in crate::controller) async fn heed(
    context: &Context,
    record: &Record,
    served: &Served,
    before: &[String],
) -> Result<(), ReconcileError> {
    let labels = &served.repository.spec.commands.labels;
    let after = of(record);
    let has = |all: &[String], label: &str| all.iter().any(|one| one.eq_ignore_ascii_case(label));
    let changed: Vec<(&str, bool, &str)> = [
        (labels.up.as_str(), "up", "down"),
        (labels.keep.as_str(), "pin", "unpin"),
        (labels.sleep.as_str(), "sleep", "wake"),
    ]
    .into_iter()
    .filter(|(label, _, _)| !label.is_empty() && has(before, label) != has(&after, label))
    .map(|(label, on, off)| {
        let added = has(&after, label);
        (label, added, if added { on } else { off })
    })
    .collect();
    let Some(number) = number_of(record) else { return Ok(()) };
    let open = record.status.head.as_ref().is_some_and(|head| head.state == SourcePhase::Open);
    if changed.is_empty() || !open || record.is_deleted() {
        return Ok(());
    }
    let events = served.forge.label_events(number).await;
    let events = events.map_err(ReconcileError::Forge)?;
    let ours = served.forge.viewer().await.map_err(ReconcileError::Forge)?.id;
    for (label, added, verb) in changed {
        let last = events.iter().rev().find(|event| event.label.eq_ignore_ascii_case(label));
        // Another change is on its way, and its hint with it.
        let Some(event) = last.filter(|event| event.added == added && event.by.id != ours) else {
            continue;
        };
        let given = Given { verb: verb.to_owned(), arguments: Vec::new(), slip: None };
        let from = (OriginKind::Label, event.id.to_string());
        let at = Timestamp::from(event.at);
        let spec = RequestSpec::of_command(record.name(), given, from, &event.by, at);
        write_down(context, record.stored(), &format!("label-{}", event.id), spec).await?;
    }
    Ok(())
}
