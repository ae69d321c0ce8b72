//! Requests: commands that wait are carried out one after another for each Environment, and answered beside that; what
//! was answered is deleted a day later. I/O with home and the forge.
//!
//! Nothing in here has to outlive the process: what is to be done stands in the Requests, and which one changed a record
//! last stands in the record.

mod act;
mod board;
mod change;
mod labels;
mod lost;
mod tell;
mod visit;
mod words;

use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Resource as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub(super) use self::labels::{heed as heed_labels, of as labels_of};
pub(super) use self::lost::find as find_lost;

use self::board::{Board, Job, Step};
use super::Context;
use super::error::{ReconcileError, chain};
use super::retry::{self, Next};
use crate::crd::{Environment, Request, RequestSpec, RequestStatus};

/// What is under way when the work ends has so much time.
const DRAIN: Duration = Duration::from_secs(8);
/// Pause after a watch that failed.
const AGAIN: Duration = Duration::from_secs(1);

impl Context {
    pub(super) fn requests_api(&self) -> Api<Request> {
        Api::namespaced(self.home.clone(), &self.namespace)
    }
}

/// Works until `stop`; what is under way then has a bounded time.
pub(super) async fn run(context: &Context, stop: CancellationToken) {
    let mut board = Board::default();
    let mut watch = pin!(watcher(context.requests_api(), watcher::Config::default()));
    let mut work: FuturesUnordered<BoxFuture<'_, (Job, Result<(), ReconcileError>)>> =
        FuturesUnordered::new();
    let mut end: Option<DateTime<Utc>> = None;
    loop {
        let now = context.clock.now();
        if end.is_none() {
            for job in board.ready(now) {
                work.push(Box::pin(carry_out(context, job)));
            }
        }
        let due = match end {
            None => board.due(now),
            Some(_) if work.is_empty() => return,
            Some(end) => Some(end),
        };
        let timer = async {
            match due {
                Some(due) => context.clock.sleep((due - now).to_std().unwrap_or_default()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled(), if end.is_none() => end = Some(now + DRAIN),
            Some((job, result)) = work.next(), if !work.is_empty() => {
                let until = result.err().map(|error| again(context, &job, &error));
                if until.is_none() {
                    retry::succeeded(context, &key(&job));
                }
                board.ended(&job, until);
            }
            event = watch.next() => match event {
                Some(Ok(event)) => board.take(event),
                Some(Err(error)) => {
                    tracing::warn!("Requests can't be followed: {}", chain(&error));
                    context.clock.sleep(context.rng.jitter(AGAIN, 50)).await;
                }
                None => std::future::pending::<()>().await,
            },
            () = timer => {
                if end.is_some_and(|end| end <= context.clock.now()) {
                    return;
                }
            }
        }
    }
}

fn key(job: &Job) -> String {
    format!("request/{}/{:?}", job.name, job.step)
}

/// When a job is tried again.
fn again(context: &Context, job: &Job, error: &ReconcileError) -> DateTime<Utc> {
    tracing::debug!(request.name = job.name, step = ?job.step, "not yet: {}", chain(error));
    match retry::after(context, &key(job), error) {
        Next::After(pause) => {
            context.clock.now() + chrono::Duration::from_std(pause).unwrap_or_default()
        }
        Next::OnChange => context.clock.now() + chrono::Duration::minutes(5),
    }
}

async fn carry_out(context: &Context, job: Job) -> (Job, Result<(), ReconcileError>) {
    let result = match &job.step {
        Step::Act => Box::pin(act::act(context, &job.name)).await,
        Step::Tell { begun } => tell::tell(context, &job.name, *begun, &job.others).await,
        Step::Forget => forget(context, &job.name).await,
    };
    (job, result)
}

async fn forget(context: &Context, name: &str) -> Result<(), ReconcileError> {
    match context.requests_api().delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(ReconcileError::record("delete an old Request", error)),
    }
}

/// As it is stored now.
async fn read(context: &Context, name: &str) -> Result<Option<Request>, ReconcileError> {
    let found = context.requests_api().get_opt(name).await;
    found.map_err(|error| ReconcileError::record("read a Request", error))
}

/// Writes a Request down, to go with its Environment. One of that name that is there already is this one.
async fn write_down(
    context: &Context,
    record: &Environment,
    name: &str,
    spec: RequestSpec,
) -> Result<(), ReconcileError> {
    let mut request = Request::new(name, spec);
    request.metadata.namespace = Some(context.namespace.clone());
    request.metadata.owner_references = record.owner_ref(&()).map(|owner| vec![owner]);
    match context.requests_api().create(&PostParams::default(), &request).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        Err(error) => Err(ReconcileError::record("write a Request down", error)),
    }
}

/// Writes the status of a Request that nobody else has changed since it was read.
async fn write(
    context: &Context,
    request: &Request,
    status: &RequestStatus,
) -> Result<(), ReconcileError> {
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let patch = json!({
        "metadata": {"resourceVersion": request.metadata.resource_version},
        "status": status,
    });
    let written = context
        .requests_api()
        .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
        .await;
    match written {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(ReconcileError::record("write the status of a Request", error)),
    }
}
