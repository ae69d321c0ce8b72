//! What is to be said of a camp that does not end, and of what carries its labels when it has. I/O with the target:
//! reads only.

use chrono::Duration;

use super::Context;
use super::error::ReconcileError;
use super::observe::camp_of;
use super::record::Record;
use crate::apply::{CampState, census};
use crate::domain::status::bounded;
use crate::domain::stuck::{STUCK_AFTER_SECONDS, diagnose};

/// Room for it in `status.reason` and in the comment.
const LONGEST: usize = 700;

/// What holds up the end of a camp, once it has been going away for a minute: before, most that is left is on its way.
pub(super) fn held_up(context: &Context, state: &CampState) -> Option<String> {
    let CampState::Ending { since, remains, .. } = state else { return None };
    if context.clock.now() - *since < Duration::seconds(STUCK_AFTER_SECONDS) {
        return None;
    }
    let said = diagnose(remains);
    let what = if said.is_empty() {
        "Kubernetes does not say what is left; is kube-controller-manager running?".to_owned()
    } else {
        said.join("; ")
    };
    Some(bounded(&what, LONGEST))
}

/// The last look before the record lets go: namespaces elsewhere that carry this camp's labels. They were not made for
/// it (only the recorded one was), so they are named and left to whoever made them.
pub(super) async fn census(
    context: &Context,
    record: &Record,
) -> Result<Option<String>, ReconcileError> {
    let Some(camp) = camp_of(context, record) else { return Ok(None) };
    let found = census::copies_of(&context.target, &camp).await.map_err(ReconcileError::Apply)?;
    if found.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = found.iter().map(|other| other.namespace.as_str()).collect();
    let names = names.join(", ");
    tracing::warn!(
        environment.name = record.name(),
        namespaces = names,
        "namespaces carry the labels of a camp that is gone, and were not made for it"
    );
    let text = format!(
        "{names} carries the labels of this environment and was not made for it; `bivouac doctor orphans` shows more"
    );
    Ok(Some(bounded(&text, LONGEST)))
}
