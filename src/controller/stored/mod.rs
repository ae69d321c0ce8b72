//! Stored bundles: what is applied lies in Secrets of home, so that it can be applied again without forge, source and
//! renderer. In: a record and a bundle; out: the bundle of its inputs. I/O with home.
//!
//! A bundle is named by its digest and written from its last part to its first: without the first it is none. The
//! Secrets are owned by the record, and go when the camp has gone.

mod form;
mod shelf;

pub(super) use self::shelf::BUNDLE_LABEL;

use self::shelf::Shelf;
use std::time::Duration;

use super::Context;
use super::build::{Beside, Unbuilt, allowed, build};
use super::error::{ReconcileError, chain};
use super::reconcile::Served;
use super::record::Record;
use crate::apply::{ApplyError, Fence};
use crate::domain::bundle::Bundle;
use crate::domain::carry_over::{carry_over, has_random_secrets};
use crate::domain::render_inputs::RenderInputs;

/// Pause between two looks at whether what is rendered is still wanted.
const LOOK: Duration = Duration::from_millis(250);

/// The bundle of `inputs`: the stored one when the record says that it was made of just these, else source ▶ render ▶
/// guard, and that is stored before anything of it is applied.
///
/// `back_to`: digest of the bundle that somebody went back to. When its commit can't be fetched any more it is taken as
/// it was stored, though the inputs are others now.
pub(super) async fn stored_or_built(
    context: &Context,
    served: &Served,
    record: &mut Record,
    inputs: &mut RenderInputs,
    back_to: Option<&str>,
    fence: &dyn Fence,
) -> Result<Bundle, Unbuilt> {
    let digest = inputs.inputs_digest();
    let shelf = Shelf::of(context, record).await.map_err(Unbuilt::Failed)?;
    // What the status says of a rendering is of the recorded inputs: only theirs is taken as it is.
    if record.status.inputs_digest.as_deref() == Some(digest.as_str())
        && let Some(bundle) = shelf.read_of_inputs(&digest).await.map_err(Unbuilt::Failed)?
    {
        return Ok(bundle);
    }
    if back_to.is_some()
        && let Some(bundle) = shelf.read_of_inputs(&digest).await.map_err(Unbuilt::Failed)?
    {
        return allowed(served, record, inputs, bundle, Beside::default());
    }
    let built = {
        // What is fetched and rendered takes as long as it takes: others work meanwhile.
        record.leave_slot();
        let repository = record.stored().spec.repository.clone();
        let work = async {
            let _place = context.slots.render(&repository).await;
            build(context, served, record, inputs).await
        };
        // What is not wanted any more ends with its children.
        tokio::select! {
            biased;
            () = falls(context, fence) => {
                Err(Unbuilt::Failed(ReconcileError::Apply(ApplyError::Superseded)))
            }
            built = work => built,
        }
    };
    record.take_slot(context).await;
    let mut bundle = match (built, back_to) {
        (Err(Unbuilt::Failed(error)), Some(digest)) => {
            // Rules have changed since, and the commit can't be had any more: what ran then runs, if it may.
            return match shelf.read_of_digest(digest).await.map_err(Unbuilt::Failed)? {
                Some(bundle) => allowed(served, record, inputs, bundle, Beside::default()),
                None => Err(Unbuilt::Failed(error)),
            };
        }
        (built, _) => built?,
    };
    if has_random_secrets(&bundle)
        && let Some(before) = shelf.read_newest().await.map_err(Unbuilt::Failed)?
    {
        bundle = carry_over(bundle, &before);
    }
    let running = record.status.digest.as_deref();
    shelf.keep(&bundle, running).await.map_err(Unbuilt::Failed)?;
    Ok(bundle)
}

/// Returns when the fence fell.
async fn falls(context: &Context, fence: &dyn Fence) {
    loop {
        context.clock.sleep(LOOK).await;
        if !fence.holds().await {
            return;
        }
    }
}

/// The bundle that runs: the one that was last applied whole.
pub(super) async fn running(
    context: &Context,
    record: &Record,
) -> Result<Option<Bundle>, ReconcileError> {
    match &record.status.digest {
        Some(digest) => Shelf::of(context, record).await?.read_of_digest(digest).await,
        None => Ok(None),
    }
}

/// The bundle with that digest, when it is still kept.
pub(super) async fn of_digest(
    context: &Context,
    record: &Record,
    digest: &str,
) -> Result<Option<Bundle>, ReconcileError> {
    Shelf::of(context, record).await?.read_of_digest(digest).await
}

/// Stores a bundle that is to be applied in the place of the one that was rendered.
pub(super) async fn keep(
    context: &Context,
    record: &Record,
    bundle: &Bundle,
) -> Result<(), ReconcileError> {
    let running = record.status.digest.as_deref();
    Shelf::of(context, record).await?.keep(bundle, running).await
}

/// The camp is gone, and its bundles with it: a later one is rendered anew.
pub(super) async fn clear(context: &Context, record: &Record) -> Result<(), ReconcileError> {
    Shelf::of(context, record).await?.clear().await
}

/// What can't be read is made anew; somebody should know that it could not.
fn complain(name: &str, error: &form::FormError) {
    tracing::warn!(secret.name = name, "a stored bundle {}; it is rendered anew", chain(error));
}
