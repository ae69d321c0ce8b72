//! Stored bundles: what is applied lies in Secrets of home, so that it can be applied again without forge, source and
//! renderer. In: a record and a bundle; out: the bundle of its inputs. I/O with home.
//!
//! A bundle is named by its digest and written from its last part to its first: without the first it is none. The
//! Secrets are owned by the record, and go when the camp has gone.

mod form;
mod shelf;

pub(super) use self::shelf::BUNDLE_LABEL;

use self::shelf::Shelf;
use super::Context;
use super::build::{Unbuilt, build};
use super::error::{ReconcileError, chain};
use super::reconcile::Served;
use super::record::Record;
use crate::domain::bundle::Bundle;
use crate::domain::carry_over::{carry_over, has_random_secrets};
use crate::domain::render_inputs::RenderInputs;

/// The bundle of `inputs`: the stored one when the record says that it was made of just these, else source ▶ render ▶
/// guard, and that is stored before anything of it is applied.
pub(super) async fn stored_or_built(
    context: &Context,
    served: &Served,
    record: &mut Record,
    inputs: &mut RenderInputs,
) -> Result<Bundle, Unbuilt> {
    let digest = inputs.inputs_digest();
    let shelf = Shelf::of(context, record).await.map_err(Unbuilt::Failed)?;
    // What the status says of a rendering is of the recorded inputs: only theirs is taken as it is.
    if record.status.inputs_digest.as_deref() == Some(digest.as_str())
        && let Some(bundle) = shelf.read_of_inputs(&digest).await.map_err(Unbuilt::Failed)?
    {
        return Ok(bundle);
    }
    let mut bundle = build(context, served, record, inputs).await?;
    if has_random_secrets(&bundle)
        && let Some(before) = shelf.read_newest().await.map_err(Unbuilt::Failed)?
    {
        bundle = carry_over(bundle, &before);
    }
    let running = record.status.digest.as_deref();
    shelf.keep(&bundle, running).await.map_err(Unbuilt::Failed)?;
    Ok(bundle)
}

/// The bundle that runs, when it is stored: what is put back after a change, whatever became of later commits.
pub(super) async fn running(
    context: &Context,
    record: &Record,
) -> Result<Option<Bundle>, ReconcileError> {
    let Some(digest) = &record.status.digest else { return Ok(None) };
    Shelf::of(context, record).await?.read_of_digest(digest).await
}

/// The camp is gone, and its bundles with it: a later one is rendered anew.
pub(super) async fn clear(context: &Context, record: &Record) -> Result<(), ReconcileError> {
    Shelf::of(context, record).await?.clear().await
}

/// What can't be read is made anew; somebody should know that it could not.
fn complain(name: &str, error: &form::FormError) {
    tracing::warn!(secret.name = name, "a stored bundle {}; it is rendered anew", chain(error));
}
