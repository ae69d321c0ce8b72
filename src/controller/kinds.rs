//! Kinds that come to the cluster and go from it. In: what the target has; out: a run for every record that waited for a
//! kind, a condition where one is gone. I/O with the target.

use std::sync::Arc;

use futures::{Stream, stream};

use super::Context;
use super::deploy::{inventory_of, judge};
use super::error::ReconcileError;
use super::record::Record;
use crate::domain::status::Judgement;

/// The condition that says whether the cluster has every kind of the inventory. It is there only once it was not so.
const CONDITION: &str = "KindsServed";

/// Something each time that a kind appeared which a bundle had missed.
pub(super) fn appearances(context: Arc<Context>) -> impl Stream<Item = ()> + Send + 'static {
    stream::unfold(context, |context| async {
        context.target.a_missed_kind_appears(&context.clock).await;
        Some(((), context))
    })
}

/// Notes kinds of the inventory that the cluster has no more. Their entries stay in it, and when the kind is back, the
/// bundle is applied again.
pub(super) async fn note_gone(
    context: &Context,
    record: &mut Record,
) -> Result<(), ReconcileError> {
    let gone = context.target.kinds_gone(&inventory_of(record), context.clock.now()).await;
    let gone = gone.map_err(ReconcileError::Apply)?;
    let before = record.status.condition(CONDITION).map(|condition| condition.status.clone());
    if gone.is_empty() {
        if before.as_deref() == Some("False") {
            let message = "the cluster has every kind of this camp's objects again";
            judge(context, record, &Judgement::yes(CONDITION, "Served", message));
            let again = "a kind of the bundle is back";
            judge(context, record, &Judgement::unknown("Applied", "KindBack", again));
        }
        return Ok(());
    }
    let message = format!(
        "the cluster has no {} any more: the objects stay in the inventory, and are applied again when the kind is back",
        gone.join(", no ")
    );
    judge(context, record, &Judgement::no(CONDITION, "KindGone", message));
    Ok(())
}
