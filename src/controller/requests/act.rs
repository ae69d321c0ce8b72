//! One command: permission at this moment ▶ `spec` of the record ▶ the answer in the Request's status. I/O with home and
//! the forge.

use chrono::TimeDelta;
use kube::Resource as _;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::change::{self, Wish, note_command};
use super::{read, visit, write};
use crate::controller::error::{Class, ReconcileError, chain};
use crate::controller::reconcile::{self, Served};
use crate::controller::record::Record;
use crate::controller::{Context, observe};
use crate::crd::{
    Environment, OriginKind, REQUEST_ANNOTATION, Request, RequestState, RequestStatus,
};
use crate::domain::command::{Command, Level, Rule, Rules, Standing, code, may, parse};
use crate::domain::pull_request::{PullRequest, State};
use crate::domain::rate::{May, WriteKind};
use crate::domain::status::bounded;
use crate::forge::{Permission, Reaction};

/// Whoever wrote it may have gone, and things may be otherwise by now.
const LATE: TimeDelta = TimeDelta::minutes(30);
/// What only a person can mend is waited for so long.
const PATIENCE: TimeDelta = TimeDelta::hours(1);
/// Tries to write a record that others write too.
pub(super) const TRIES: u32 = 8;

/// A branch's environment is not steered by comments.
const NO_PULL_REQUEST: &str = "this environment is of no pull request";

/// How a command ended.
pub(super) struct Verdict {
    state: RequestState,
    message: String,
    /// Nobody is told: whoever gave it is no person whom we answer.
    silent: bool,
}

fn done(message: impl Into<String>) -> Verdict {
    Verdict { state: RequestState::Done, message: message.into(), silent: false }
}

fn refused(message: impl Into<String>) -> Verdict {
    Verdict { state: RequestState::Refused, message: message.into(), silent: false }
}

/// Carried out, and nobody is to be told.
pub(super) fn quietly(state: RequestState, message: impl Into<String>) -> Verdict {
    Verdict { state, message: message.into(), silent: true }
}

/// Carries the Request out, when it still waits.
pub(super) async fn act(context: &Context, name: &str) -> Result<(), ReconcileError> {
    let Some(request) = read(context, name).await? else { return Ok(()) };
    if request.status.as_ref().is_some_and(|status| status.state != RequestState::Pending) {
        return Ok(());
    }
    let record = environment(context, &request).await?;
    let Some(record) = record else {
        let verdict = Verdict {
            state: RequestState::Failed,
            message: "there is no such Environment".into(),
            silent: true,
        };
        return conclude(context, &request, &verdict).await;
    };
    let request = owned(context, request, &record).await?;
    if request.spec.from.kind == OriginKind::Gate {
        let verdict = visit::wake(context, &request).await?;
        return conclude(context, &request, &verdict).await;
    }
    let seen = Record::new(record);
    let served = match reconcile::served(context, &seen) {
        Ok(served) => served,
        Err(error) => return give_up_later(context, &request, error).await,
    };
    let (verdict, ()) =
        futures::future::join(decide(context, &request, &served), eyes(&request, &served)).await;
    match verdict {
        Ok(verdict) => conclude(context, &request, &verdict).await,
        Err(error) => give_up_later(context, &request, error).await,
    }
}

/// What won't pass by itself is waited for, and in the end told.
async fn give_up_later(
    context: &Context,
    request: &Request,
    error: ReconcileError,
) -> Result<(), ReconcileError> {
    if error.class() == Class::UserMustAct && age(context, request) > PATIENCE {
        let message = format!("it could not be carried out: {}", chain(&error));
        let verdict = Verdict { state: RequestState::Failed, message, silent: false };
        return conclude(context, request, &verdict).await;
    }
    Err(error)
}

fn age(context: &Context, request: &Request) -> TimeDelta {
    context.clock.now() - first_seen(request)
}

fn first_seen(request: &Request) -> chrono::DateTime<chrono::Utc> {
    let made = request.metadata.creation_timestamp.as_ref();
    made.and_then(|made| chrono::DateTime::from_timestamp(made.0.as_second(), 0))
        .unwrap_or(request.spec.at.0)
}

/// "Seen", at once.
async fn eyes(request: &Request, served: &Served) {
    if let Some(comment) = comment(request)
        && served.forge.may(WriteKind::Eyes) == May::Now
        && let Err(error) = served.forge.react(comment, Reaction::Eyes).await
    {
        tracing::debug!(request.name = request.metadata.name, "no reaction: {}", chain(&error));
    }
}

/// Id of the comment in which a command was given.
pub(super) fn comment(request: &Request) -> Option<u64> {
    let of_comment = request.spec.from.kind == OriginKind::Comment;
    request.spec.from.id.parse().ok().filter(|_| of_comment)
}

pub(super) async fn environment(
    context: &Context,
    request: &Request,
) -> Result<Option<Environment>, ReconcileError> {
    let found = context.environments().get_opt(&request.spec.environment).await;
    found.map_err(|error| ReconcileError::record("read the record of a Request", error))
}

/// A Request goes with its Environment. Entrances, which read nothing, can't say so.
async fn owned(
    context: &Context,
    request: Request,
    record: &Environment,
) -> Result<Request, ReconcileError> {
    if request.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty()) {
        return Ok(request);
    }
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let patch = json!({"metadata": {
        "ownerReferences": record.owner_ref(&()).as_slice(),
        "resourceVersion": request.metadata.resource_version,
    }});
    let owned =
        context.requests_api().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    owned.map_err(|error| ReconcileError::record("give a Request its owner", error))
}

async fn conclude(
    context: &Context,
    request: &Request,
    verdict: &Verdict,
) -> Result<(), ReconcileError> {
    let status = RequestStatus {
        state: verdict.state,
        message: Some(bounded(&verdict.message, 1024)),
        answered_at: Some(context.clock.now().into()),
        told: verdict.silent,
        reaction: None,
        reply: None,
    };
    tracing::info!(
        environment.name = request.spec.environment,
        request.name = request.metadata.name,
        request.verb = request.spec.verb,
        request.by = request.spec.by.login,
        request.state = ?verdict.state,
        "a command was answered"
    );
    write(context, request, &status).await
}

/// What somebody is at this moment.
async fn standing(
    request: &Request,
    served: &Served,
    pull: &PullRequest,
    rules: &[&Rule],
) -> Result<(Standing, Vec<bool>), ReconcileError> {
    let (by, forge) = (&request.spec.by, &served.forge);
    let id = u64::try_from(by.id).unwrap_or_default();
    let level = forge.permission_of(&by.login, id).await.map_err(ReconcileError::Forge)?;
    let mut standing =
        Standing { level: level_of(level), author: pull.author.id == id, member: false };
    let mut answers = Vec::new();
    for rule in rules {
        standing.member = match rule {
            // Without reading there is nothing that a team could add; and a login that is somebody else's now has none.
            Rule::Team(team) if standing.level >= Level::Read => {
                forge.is_member(team, &by.login).await.map_err(ReconcileError::Forge)?
            }
            _ => false,
        };
        answers.push(may(rule, standing));
    }
    Ok((standing, answers))
}

fn level_of(permission: Permission) -> Level {
    match permission {
        Permission::None => Level::None,
        Permission::Read => Level::Read,
        Permission::Triage => Level::Triage,
        Permission::Write => Level::Write,
        Permission::Maintain => Level::Maintain,
        Permission::Admin => Level::Admin,
    }
}

async fn decide(
    context: &Context,
    request: &Request,
    served: &Served,
) -> Result<Verdict, ReconcileError> {
    let spec = &request.spec;
    let policy = &served.repository.spec.commands;
    let listed = policy.bots.iter().any(|bot| bot.eq_ignore_ascii_case(&spec.by.login));
    let ours = served.forge.viewer().await.map_err(ReconcileError::Forge)?.id;
    if (spec.by.bot && !listed) || u64::try_from(spec.by.id).is_ok_and(|id| id == ours) {
        return Ok(Verdict {
            silent: true,
            ..refused("bots give no commands, unless `commands.bots` lists them")
        });
    }
    if let Some(slip) = &spec.slip {
        return Ok(refused(slip.clone()));
    }
    let late = first_seen(request) - spec.at.0 > LATE;
    if late && matches!(spec.from.kind, OriginKind::Comment | OriginKind::Check) {
        return Ok(refused(
            "this was seen late, more than 30 minutes after it was written; please repeat it",
        ));
    }
    let command = match parse(&spec.verb, &spec.arguments) {
        Ok(command) => command,
        Err(why) => return Ok(refused(why)),
    };
    let Some(record) = environment(context, request).await? else {
        return Ok(refused("there is no such Environment"));
    };
    let Some(number) = observe::number_of(&Record::new(record)) else {
        return Ok(refused(NO_PULL_REQUEST));
    };
    let pull = served.forge.pull_request(number).await.map_err(ReconcileError::Forge)?;
    let known = served.repository.status.as_ref().and_then(|status| status.forge.as_ref());
    let expected = known.map(|forge| forge.repository_id).unwrap_or_default();
    if u64::try_from(expected).ok() != Some(pull.base.repository_id) {
        let (name, found) = (served.forge.name().to_string(), pull.base.repository_id);
        return Err(ReconcileError::AnotherRepository { name, expected, found });
    }
    let verb = command.verb();
    if pull.state == State::Closed && !verb.works_when_closed() {
        return Ok(refused(
            "the pull request is closed: only `down`, `status` and `why` are answered there",
        ));
    }
    let rules = served.repository.spec.commands().map_err(ReconcileError::Policy)?;
    let (rule, approving) = (rules.of(verb), rules.of(crate::domain::command::Verb::Approve));
    let (standing, answers) = standing(request, served, &pull, &[&rule, &approving]).await?;
    let [allowed, may_approve] = answers[..] else { return Err(ReconcileError::Stale) };
    if !allowed {
        return Ok(refused(refusal(&rules, &command, standing, request)));
    }
    if verb.tells() {
        return Ok(done("told"));
    }
    carry_out(context, request, served, &Wish { command, pull, may_approve }).await
}

fn refusal(rules: &Rules, command: &Command, standing: Standing, request: &Request) -> String {
    let verb = command.verb();
    let is = if standing.author { ", and is the author" } else { "" };
    format!(
        "`{}` is for: {}. {} has: {}{is}",
        verb.name(),
        rules.of(verb),
        code(&request.spec.by.login),
        standing.level.name(),
    )
}

/// Writes the wish into the record. The record remembers whose it was: a Request that is carried out once more, because
/// the process ended before it was answered, changes nothing.
async fn carry_out(
    context: &Context,
    request: &Request,
    served: &Served,
    wish: &Wish,
) -> Result<Verdict, ReconcileError> {
    let name = request.metadata.name.as_deref().unwrap_or_default();
    for _ in 0..TRIES {
        let Some(record) = environment(context, request).await? else {
            return Ok(refused("there is no such Environment"));
        };
        if record.metadata.deletion_timestamp.is_some() {
            return Ok(refused("the Environment is being deleted; please repeat it in a moment"));
        }
        let annotations = record.metadata.annotations.as_ref();
        if annotations.and_then(|all| all.get(REQUEST_ANNOTATION)).is_some_and(|of| of == name) {
            return Ok(done("done"));
        }
        let mut wanted = record.clone();
        let now = context.clock.now();
        note_command(&mut wanted, now);
        let message = match change::change(&mut wanted, request, wish, &served.policy, now) {
            Ok(message) => message,
            Err(why) => return Ok(refused(why)),
        };
        wanted
            .metadata
            .annotations
            .get_or_insert_default()
            .insert(REQUEST_ANNOTATION.into(), name.to_owned());
        let environment = record.metadata.name.as_deref().unwrap_or_default();
        let written =
            context.environments().replace(environment, &PostParams::default(), &wanted).await;
        match written {
            Ok(_) => return Ok(done(message)),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 422) => {
                return Ok(refused(format!("it can't be written: {}", code(&status.message))));
            }
            Err(error) => return Err(ReconcileError::record("write the record", error)),
        }
    }
    Err(ReconcileError::Stale)
}
