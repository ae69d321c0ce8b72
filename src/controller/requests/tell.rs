//! What the forge is told of a command: a reaction always, words only where somebody needs them; and older words of ours
//! are folded up. I/O with home and the forge.

use chrono::{DateTime, TimeDelta, Utc};

use super::act::comment;
use super::{read, words, write};
use crate::controller::Context;
use crate::controller::error::{ReconcileError, chain};
use crate::controller::observe::number_of;
use crate::controller::reconcile::{self, Served};
use crate::controller::record::Record;
use crate::crd::{ReplyRecord, Request, RequestState};
use crate::domain::command::{Answer, Verb, reply};
use crate::domain::id::PrNumber;
use crate::domain::status::bounded;
use crate::forge::{Comment, ForgeError, Reaction};

/// Answers to questions of one person on one pull request of a public repository in an hour.
const QUESTIONS: usize = 2;
/// The same for errors, which are not asked for.
const ERRORS: usize = 5;
const HOUR: TimeDelta = TimeDelta::hours(1);

/// Whether a Request asked something.
fn asks(request: &Request) -> bool {
    Verb::of(&request.spec.verb).is_some_and(Verb::tells)
}

/// Whether a Request asked something that its sender may know.
fn is_question(request: &Request) -> bool {
    let state = request.status.as_ref().map(|status| status.state);
    asks(request) && state == Some(RequestState::Done)
}

/// Tells it. `begun`: it may have been told already. `others` are all Requests of the Environment.
pub(super) async fn tell(
    context: &Context,
    name: &str,
    begun: bool,
    others: &[Request],
) -> Result<(), ReconcileError> {
    let Some(request) = read(context, name).await? else { return Ok(()) };
    let Some(mut status) = request.status.clone().filter(|status| !status.told) else {
        return Ok(());
    };
    status.told = true;
    let found = context.environments().get_opt(&request.spec.environment).await;
    let found = found.map_err(|error| ReconcileError::record("read the record", error))?;
    let Some(record) = found.map(Record::new) else {
        return write(context, &request, &status).await;
    };
    let served = reconcile::served(context, &record)?;
    let outcome = say(context, &request, &record, &served, begun, others).await;
    match outcome {
        Ok(Said { reaction, answer }) => {
            status.reaction = reaction.and_then(|id| i64::try_from(id).ok());
            status.reply = answer.map(|answer| ReplyRecord {
                id: i64::try_from(answer.id).unwrap_or_default(),
                node: bounded(&answer.node, 200),
                minimized: false,
            });
            write(context, &request, &status).await?;
            if status.reply.is_some() {
                fold_up(context, &served, name, others).await;
            }
            Ok(())
        }
        // Nobody can be told.
        Err(ReconcileError::Forge(error)) if error.ends_the_telling() => {
            tracing::warn!(request.name = name, "nobody is told: {}", chain(&error));
            write(context, &request, &status).await
        }
        Err(error) => Err(error),
    }
}

struct Said {
    reaction: Option<u64>,
    answer: Option<Comment>,
}

async fn say(
    context: &Context,
    request: &Request,
    record: &Record,
    served: &Served,
    begun: bool,
    others: &[Request],
) -> Result<Said, ReconcileError> {
    let forge = &served.forge;
    let state = request.status.as_ref().map(|status| status.state).unwrap_or_default();
    let well = state == RequestState::Done;
    let wordy = !well || asks(request);
    let now = context.clock.now();
    let mute = wordy
        && is_full(request, others, now)
        && !forge.repository().await.map_err(ReconcileError::Forge)?.private;
    let mut said = Said { reaction: None, answer: None };
    if let Some(comment) = comment(request) {
        let how = if well && !mute { Reaction::Rocket } else { Reaction::Confused };
        said.reaction = match forge.react(comment, how).await {
            Ok(id) => Some(id),
            // The comment is gone; what was asked for was done all the same.
            Err(ForgeError::NotFound { .. } | ForgeError::Gone { .. }) => None,
            Err(error) => return Err(ReconcileError::Forge(error)),
        };
    }
    if wordy
        && !mute
        && let Some(number) = number_of(record)
    {
        let text = text(context, request, record, served).await?;
        let answer = Answer {
            request: request.metadata.name.clone().unwrap_or_default(),
            instance: context.instance.name.as_str().to_owned(),
            to: request.spec.by.login.clone(),
            about: about(request, served),
            text,
        };
        said.answer = Some(post(served, number, begun, &reply(&answer)).await?);
    }
    Ok(said)
}

/// What is answered, as it was typed.
fn about(request: &Request, served: &Served) -> String {
    let mut words = vec![served.repository.spec.commands.prefix.clone(), request.spec.verb.clone()];
    words.extend(request.spec.arguments.iter().cloned());
    words.join(" ")
}

/// Writes the answer, once.
async fn post(
    served: &Served,
    number: PrNumber,
    begun: bool,
    body: &str,
) -> Result<Comment, ReconcileError> {
    let forge = &served.forge;
    if begun {
        let first = |text: &str| text.lines().next().map(str::trim_end).map(str::to_owned);
        let me = forge.viewer().await.map_err(ReconcileError::Forge)?.id;
        let all = forge.comments(number).await.map_err(ReconcileError::Forge)?;
        let there =
            all.into_iter().find(|one| one.author.id == me && first(&one.body) == first(body));
        if let Some(there) = there {
            return Ok(there);
        }
    }
    forge.create_comment(number, body).await.map_err(ReconcileError::Forge)
}

/// Whether somebody was answered often enough for an hour.
fn is_full(request: &Request, others: &[Request], now: DateTime<Utc>) -> bool {
    let kind = is_question(request);
    let answered = others.iter().filter(|other| {
        let status = other.status.as_ref();
        let lately = status
            .and_then(|status| status.answered_at.filter(|_| status.reply.is_some()))
            .is_some_and(|at| now - at.0 < HOUR);
        lately
            && other.metadata.name != request.metadata.name
            && other.spec.by.id == request.spec.by.id
            && is_question(other) == kind
    });
    answered.count() >= if kind { QUESTIONS } else { ERRORS }
}

async fn text(
    context: &Context,
    request: &Request,
    record: &Record,
    served: &Served,
) -> Result<String, ReconcileError> {
    let status = request.status.clone().unwrap_or_default();
    let message = status.message.unwrap_or_default();
    if status.state != RequestState::Done {
        let prefix = &served.repository.spec.commands.prefix;
        let how = if status.state == RequestState::Failed { "It failed" } else { "Not done" };
        return Ok(format!("{how}: {message}.\n\n`{prefix} help` lists what there is."));
    }
    words::told(context, request, record, served).await
}

/// Older answers of ours on the same pull request. One that can't be folded up stays as it is.
async fn fold_up(context: &Context, served: &Served, name: &str, others: &[Request]) {
    for other in others.iter().filter(|other| other.metadata.name.as_deref() != Some(name)) {
        let Some(mut status) = other.status.clone() else { continue };
        let Some(reply) = status.reply.as_mut().filter(|reply| !reply.minimized) else { continue };
        if reply.node.is_empty() {
            continue;
        }
        if let Err(error) = served.forge.minimize(&reply.node).await {
            tracing::debug!(request.name = name, "an answer stays unfolded: {}", chain(&error));
        }
        reply.minimized = true;
        let of = other.metadata.name.as_deref().unwrap_or_default();
        let Ok(Some(fresh)) = read(context, of).await else { continue };
        if let Err(error) = write(context, &fresh, &status).await {
            tracing::debug!(request.name = of, "not noted: {}", chain(&error));
        }
    }
}
