//! What the forge shows beside the comment: the check of each head and the deployments of each pull request. Written
//! beside the runs and behind the comments, from what is stored of a record, so that nothing here has to outlive the
//! process: each look finds by the recorded hashes what is not told. I/O with the forge, and with home for the status.

mod check;
mod deployment;
mod note;
mod queue;
mod standing;

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::branches::Subject;
use super::error::{ReconcileError, chain};
use super::reconcile::Served;
use super::record::Record;
use crate::crd::{CheckRecord, DeploymentRecord, Environment, ReportPolicy, ReportStatus};
use crate::forge::{Class, Forge, ForgeError};
pub(super) use queue::Marks;
use queue::{Kind, Refusal, Scope};

/// Pause before something is tried again that the forge could not take.
const AGAIN: Duration = Duration::from_secs(30);
/// The same for what it will not take: somebody has to give a right first.
const NOT_SOON: Duration = Duration::from_secs(900);
/// What has not come to an end after so long is tried again later.
const LONGEST: Duration = Duration::from_secs(60);
/// What is under way at the end of the runs has so long.
const DRAIN: Duration = Duration::from_secs(5);

/// A record of which something may have to be told.
#[derive(Clone)]
struct Job {
    /// As it was stored when it was offered; counts when the record is gone meanwhile.
    stored: Environment,
    forge: Forge,
    policy: ReportPolicy,
    /// The repository's page for people.
    web: String,
}

impl Job {
    fn record(&self) -> &str {
        self.stored.metadata.name.as_deref().unwrap_or_default()
    }

    fn uid(&self) -> &str {
        self.stored.metadata.uid.as_deref().unwrap_or_default()
    }

    fn repository(&self) -> &str {
        &self.stored.spec.repository
    }

    /// The page of the pull request or branch.
    fn page(&self, record: &Environment) -> String {
        match Subject::of(record) {
            Subject::PullRequest(number) => format!("{}/pull/{number}", self.web),
            Subject::Branch(name) => format!("{}/tree/{}", self.web, in_an_address(&name)),
        }
    }
}

/// A branch's name as a part of an address; its slashes stay.
fn in_an_address(name: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_./".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// What is to be noted of a write: check records by name and UID of their record, and the rest for the job's own.
#[derive(Default)]
struct Told {
    checks: Vec<(String, String, Option<CheckRecord>)>,
    deployment: Option<DeploymentRecord>,
    no_comment: bool,
    /// Kinds that went well, or what stands in the way.
    outcomes: Vec<(Kind, Result<(), String>)>,
}

/// When a job is done.
enum End {
    Done,
    /// Not before this.
    Again(DateTime<Utc>),
}

/// What came of one kind.
enum Brought {
    Done,
    /// The rate is short, and this is what is left out then.
    LeftOut,
    /// Nothing may or should be told for a while, and that is as somebody wanted it.
    NotWanted(Scope),
}

fn report_of(record: &Environment) -> Option<&ReportStatus> {
    record.status.as_ref()?.report.as_ref()
}

/// Lets what the forge shows of a record follow what is stored of it, soon and beside the run. Without anything to do it
/// costs nothing.
pub(super) fn offer(context: &Context, record: &Record, served: &Served) {
    let web = context.clone_url(&served.repository);
    let job = Job {
        stored: record.stored().clone(),
        forge: served.forge.clone(),
        policy: served.repository.spec.report.clone(),
        web: web.trim_end_matches(".git").to_owned(),
    };
    let now = context.clock.now();
    match due(context, &job, now) {
        Due::Now => context.marks.put(job, now),
        Due::Later(until) => context.marks.put_later(job, until),
        Due::Never => context.marks.withdraw(record.name()),
    }
}

/// Writes into a record what must be known before the forge is told of it.
pub(super) fn foresee(context: &Context, before: &Environment, record: &mut Environment) {
    let repository = context.repository(&record.spec.repository);
    let wanted = |of: fn(&ReportPolicy) -> bool| {
        repository.as_ref().is_some_and(|repository| of(&repository.spec.report))
    };
    note::foresee_comment(before, record, wanted(|report| report.comment));
    deployment::foresee(record, wanted(|report| report.deployments));
}

/// When something is to be told of a record.
enum Due {
    Now,
    /// All that is to be told was refused a moment ago.
    Later(DateTime<Utc>),
    Never,
}

/// Whether something is due of a record, and when it may be told.
fn due(context: &Context, job: &Job, now: DateTime<Utc>) -> Due {
    let record = &job.stored;
    let check = check::due(context, job, record, false).map(|basis| (Kind::Check, basis));
    let deployment = deployment::due(job, record, false).map(|basis| (Kind::Deployment, basis));
    let comment = comment_is_unwanted(job, record).then(|| (Kind::Comment, String::new()));
    let all = [check, deployment, comment].into_iter().flatten();
    let mut times = all.map(|(kind, basis)| context.marks.refused_until(job, kind, &basis, now));
    let Some(first) = times.next() else { return Due::Never };
    // `None` is before every time: what is not refused may be told now.
    times.fold(first, Option::min).map_or(Due::Now, Due::Later)
}

/// The comment was switched off after it was written.
fn comment_is_unwanted(job: &Job, record: &Environment) -> bool {
    !job.policy.comment && report_of(record).is_some_and(|report| report.comment.is_some())
}

/// Tells until `quiet`; what is under way then has a bounded time.
pub(super) async fn run(context: &Context, quiet: CancellationToken) {
    let mut work: FuturesUnordered<BoxFuture<'_, (Job, Told, End)>> = FuturesUnordered::new();
    let mut notes: FuturesUnordered<BoxFuture<'_, String>> = FuturesUnordered::new();
    let mut end: Option<DateTime<Utc>> = None;
    loop {
        let now = context.clock.now();
        let owes = |forge: &Forge| context.teller.owes(forge);
        while end.is_none()
            && let Some(job) = context.marks.next(now, &owes)
        {
            work.push(Box::pin(carry_out(context, job)));
        }
        let due = match end {
            None => context.marks.due(now),
            Some(_) if work.is_empty() && notes.is_empty() => return,
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
            () = quiet.cancelled(), if end.is_none() => end = Some(now + DRAIN),
            Some((job, told, ended)) = work.next(), if !work.is_empty() => {
                context.marks.ended(&job, &ended, context.clock.now());
                notes.push(Box::pin(async move {
                    note::note(context, &job, &told).await;
                    job.record().to_owned()
                }));
            }
            Some(record) = notes.next(), if !notes.is_empty() => context.marks.noted(&record),
            () = context.marks.changed() => {}
            () = timer => {
                if end.is_some_and(|end| end <= context.clock.now()) {
                    return;
                }
            }
        }
    }
}

/// One job in bounded time.
async fn carry_out(context: &Context, job: Job) -> (Job, Told, End) {
    let mut told = Told::default();
    let end = match tokio::time::timeout(LONGEST, tell(context, &job, &mut told)).await {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => {
            let name = job.record();
            tracing::warn!(environment.name = name, "nothing is told of it: {}", chain(&error));
            End::Again(context.clock.now() + AGAIN)
        }
        Err(_) => End::Again(context.clock.now() + AGAIN),
    };
    (job, told, end)
}

async fn tell(context: &Context, job: &Job, told: &mut Told) -> Result<End, ReconcileError> {
    // It may be written and not noted yet.
    let comment = context.teller.told(job.uid(), None);
    let found = context.environments().get_opt(job.record()).await;
    let found = found.map_err(|error| ReconcileError::record("read the record", error))?;
    let found = found.filter(|found| found.metadata.uid.as_deref() == Some(job.uid()));
    let gone = found.is_none();
    let record = found.unwrap_or_else(|| job.stored.clone());
    let mut end = End::Done;
    let now = context.clock.now();
    let fine = |kind, basis: &str| context.marks.refused_until(job, kind, basis, now).is_none();
    if comment_is_unwanted(job, &record) && fine(Kind::Comment, "") {
        let comment = report_of(&record).and_then(|report| report.comment.as_ref());
        let id = comment.and_then(|comment| u64::try_from(comment.id).ok()).unwrap_or_default();
        let outcome = job.forge.delete_comment(id).await.map(|()| Brought::Done);
        told.no_comment = outcome.is_ok();
        judge(context, job, (Kind::Comment, ""), outcome, told, &mut end);
    }
    if let Some(basis) = check::due(context, job, &record, gone)
        && fine(Kind::Check, &basis)
    {
        let outcome = check::bring(context, job, &record, gone, told).await;
        judge(context, job, (Kind::Check, &basis), outcome, told, &mut end);
    }
    if let Some(basis) = deployment::due(job, &record, gone)
        && fine(Kind::Deployment, &basis)
    {
        let comment = comment.as_ref().or_else(|| report_of(&record)?.comment.as_ref());
        let log_url = comment.map_or_else(|| job.page(&record), |comment| comment.url.clone());
        let outcome = deployment::bring(context, job, (&record, gone), log_url, told).await;
        judge(context, job, (Kind::Deployment, &basis), outcome, told, &mut end);
    }
    if let (End::Done, false) = (&end, gone)
        && let Some(until) = refused(context, job, &record, now)
    {
        end = End::Again(until);
    }
    Ok(end)
}

/// When what the forge would not take is told again: nobody may ask for it by then. Nothing of the kind for one that is
/// gone, since that could go on for ever.
fn refused(
    context: &Context,
    job: &Job,
    record: &Environment,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let until = |kind, basis: &str| context.marks.refused_until(job, kind, basis, now);
    let check = check::due(context, job, record, false);
    let deployment = deployment::due(job, record, false);
    let comment = comment_is_unwanted(job, record).then(|| until(Kind::Comment, "")).flatten();
    let check = check.and_then(|basis| until(Kind::Check, &basis));
    let deployment = deployment.and_then(|basis| until(Kind::Deployment, &basis));
    [comment, check, deployment].into_iter().flatten().min()
}

/// What an outcome means for the next try.
fn judge(
    context: &Context,
    job: &Job,
    (kind, basis): (Kind, &str),
    outcome: Result<Brought, ForgeError>,
    told: &mut Told,
    end: &mut End,
) {
    let now = context.clock.now();
    let until = now + NOT_SOON;
    let error = match outcome {
        Ok(Brought::Done) => {
            told.outcomes.push((kind, Ok(())));
            return;
        }
        Ok(Brought::LeftOut) => return,
        Ok(Brought::NotWanted(scope)) => {
            context.marks.refuse(job, kind, Refusal { scope, until });
            return;
        }
        Err(error) => error,
    };
    match error.class() {
        Class::Transient { not_before } => {
            let until = not_before.unwrap_or(now + AGAIN);
            *end = match end {
                End::Again(earlier) => End::Again(until.max(*earlier)),
                End::Done => End::Again(until),
            };
        }
        Class::UserMustAct => {
            // What is wrong with one text is not wrong with another; a right that lacks, lacks for all.
            let scope = match error {
                ForgeError::Invalid { .. } | ForgeError::TooLarge { .. } => {
                    Scope::Text(basis.to_owned())
                }
                _ => Scope::Repository,
            };
            context.marks.refuse(job, kind, Refusal { scope, until });
            told.outcomes.push((kind, Err(chain(&error))));
        }
    }
}
