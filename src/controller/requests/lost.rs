//! Comments of which no webhook told: read by the sweep, written down as Requests like those that came in time. I/O with
//! home and the forge.

use chrono::{DateTime, TimeDelta, Utc};

use super::read;
use crate::controller::Context;
use crate::controller::error::ReconcileError;
use crate::crd::{OriginKind, Repository, RequestSpec, Timestamp};
use crate::domain::command::{self, Given};
use crate::domain::naming::environment_name;
use crate::forge::{Comment, Forge};

/// A comment may be shown a little later than it was written.
const SETTLED: TimeDelta = TimeDelta::seconds(60);

/// Reads what was written since `since`, and gives the time from which the next sweep reads on.
pub(in crate::controller) async fn find(
    context: &Context,
    name: &str,
    repository: &Repository,
    forge: &Forge,
    since: Option<DateTime<Utc>>,
) -> Result<DateTime<Utc>, ReconcileError> {
    let now = Timestamp::from(context.clock.now()).0;
    // What was written before anybody listened was not written to us.
    let Some(since) = since else { return Ok(now) };
    let comments = forge.comments_written_since(since).await.map_err(ReconcileError::Forge)?;
    let newest = comments.iter().filter_map(|comment| comment.created_at).max();
    for comment in &comments {
        let policy = &repository.spec.commands;
        let listed = policy.bots.iter().any(|b| b.eq_ignore_ascii_case(&comment.author.login));
        // Of a text that is not the one that was written first, nobody knows whose words it is.
        let edited = comment.updated_at != comment.created_at;
        if edited || command::is_ours(&comment.body) || (comment.author.bot && !listed) {
            continue;
        }
        let given = command::read(&comment.body, &policy.prefix);
        if !given.is_empty() {
            write_all_down(context, name, comment, given).await?;
        }
    }
    let next = newest.map(|newest| (newest + TimeDelta::seconds(1)).min(now - SETTLED));
    Ok(next.map_or(since, |next| next.max(since)))
}

async fn write_all_down(
    context: &Context,
    repository: &str,
    comment: &Comment,
    given: Vec<Given>,
) -> Result<(), ReconcileError> {
    let (Some(number), Some(at)) = (comment.on, comment.created_at) else { return Ok(()) };
    let environment = environment_name(repository, number);
    let found = context.environments().get_opt(environment.as_str()).await;
    let found = found.map_err(|error| ReconcileError::record("read a record", error))?;
    // An issue, or a pull request that was closed long ago.
    let Some(record) = found else { return Ok(()) };
    for (index, given) in given.into_iter().enumerate() {
        let name = format!("comment-{}-{}", comment.id, index + 1);
        if read(context, &name).await?.is_some() {
            continue;
        }
        let from = (OriginKind::Comment, comment.id.to_string());
        let at = Timestamp::from(at);
        let spec = RequestSpec::of_command(environment.as_str(), given, from, &comment.author, at);
        super::write_down(context, &record, &name, spec).await?;
    }
    Ok(())
}
