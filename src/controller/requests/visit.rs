//! A wake that somebody asks for who opened a preview that sleeps. The gate has judged who it is; here is only seen to it
//! that nothing but a wake comes this way. I/O with home.

use kube::api::PostParams;

use super::act::{TRIES, Verdict, environment, quietly};
use super::change::note_command;
use crate::controller::error::ReconcileError;
use crate::controller::{Context, power};
use crate::crd::{Environment, Power, REQUEST_ANNOTATION, Request, RequestState, Want};
use crate::domain::command::{Command, parse};

/// Carries it out. The forge is not asked: people wait, and it may be anybody who may see the preview.
pub(super) async fn wake(context: &Context, request: &Request) -> Result<Verdict, ReconcileError> {
    let spec = &request.spec;
    let is_wake = matches!(parse(&spec.verb, &spec.arguments), Ok(Command::Wake));
    if !is_wake || spec.slip.is_some() {
        return Ok(quietly(RequestState::Refused, "visitors wake previews, and do nothing else"));
    }
    let name = request.metadata.name.as_deref().unwrap_or_default();
    for _ in 0..TRIES {
        let Some(record) = environment(context, request).await? else {
            return Ok(quietly(RequestState::Failed, "there is no such Environment"));
        };
        if !sleeps(&record) {
            return Ok(quietly(RequestState::Done, "there is no preview here that sleeps"));
        }
        let mut wanted = record.clone();
        wanted.spec.power = Power::Awake;
        note_command(&mut wanted, context.clock.now());
        let annotations = wanted.metadata.annotations.get_or_insert_default();
        annotations.insert(REQUEST_ANNOTATION.into(), name.to_owned());
        let environment = record.metadata.name.as_deref().unwrap_or_default();
        let written =
            context.environments().replace(environment, &PostParams::default(), &wanted).await;
        match written {
            Ok(_) => return Ok(quietly(RequestState::Done, "the preview wakes")),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(ReconcileError::record("write the record", error)),
        }
    }
    Err(ReconcileError::Stale)
}

/// Whether there is something to wake: not what is to go, and not what somebody wakes already.
fn sleeps(record: &Environment) -> bool {
    let stands = record.status.as_ref().is_some_and(|status| status.namespace.is_some());
    let asleep = power::is_asleep(record) || record.spec.power == Power::Asleep;
    stands
        && record.metadata.deletion_timestamp.is_none()
        && record.spec.want != Want::Down
        && record.spec.power != Power::Awake
        && asleep
}
