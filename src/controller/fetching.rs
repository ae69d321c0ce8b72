//! The files of a commit, with a token that is good at that moment. I/O: the fetch, and the forge for a token.

use super::Context;
use super::error::ReconcileError;
use crate::forge::Forge;
use crate::render;
use crate::seams::FetchError;
use crate::source::{self, Prepared, SourceError, SourceRequest, TreeLimits};

/// Why there are none.
pub(super) enum Unfetched {
    /// There is no token to fetch with.
    NoToken(ReconcileError),
    /// The commit could not be brought, or not be read.
    Source(SourceError),
}

/// Brings the commit of `request` and reads what rendering asks for.
///
/// A fetch waits for others of its repository: an App's token may end meanwhile, or be withdrawn. When the server refuses it,
/// the fetch is tried once more with another one; a person's token is what it is.
pub(super) async fn files(
    context: &Context,
    forge: &Forge,
    mut request: SourceRequest,
    limits: TreeLimits,
) -> Result<Prepared, Unfetched> {
    let no_token = |error| Unfetched::NoToken(ReconcileError::Forge(error));
    let token = forge.fetch_token().await.map_err(no_token)?;
    request.credential = Some(token.clone());
    let first = attempt(context, &request, limits).await;
    if !matches!(first, Err(SourceError::Fetch(FetchError::Denied { .. }))) {
        return first.map_err(Unfetched::Source);
    }
    match forge.fetch_token_instead_of(&token).await.map_err(no_token)? {
        None => first.map_err(Unfetched::Source),
        Some(other) => {
            request.credential = Some(other);
            attempt(context, &request, limits).await.map_err(Unfetched::Source)
        }
    }
}

async fn attempt(
    context: &Context,
    request: &SourceRequest,
    limits: TreeLimits,
) -> Result<Prepared, SourceError> {
    let fetch = context.fetch.as_ref();
    source::prepare(&context.cache, fetch, request, limits, render::wanted).await
}
