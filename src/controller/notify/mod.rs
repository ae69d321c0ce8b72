//! Tells chats and webhooks what becomes of the camps, beside the runs: a run never waits for one, and losing one is
//! harmless. In: each written status; out: requests, Events, metrics. I/O with home (Secrets) and the receivers.
//!
//! One Repository's notices go one after the other, so that "gone" never comes before "ready". What can't be told within
//! three tries is given up, and said in an Event; what waits when the process ends is lost.

mod send;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::Notify as News;
use tokio_util::sync::CancellationToken;

pub use self::send::notices_transport;
use super::Context;
use super::events::{Told, Weight};
use super::observe::{EXPIRING, LONGEST_LIFE_ENDS};
use crate::crd::{
    Environment, EnvironmentStatus, Notify, NotifyKind, NotifyWhen, Phase, Repository, Source,
};
use crate::domain::notice::{Moment, Notice, Stand, moment};
use crate::telemetry::metrics::NOTICES;

/// Notices that wait; the oldest is lost then.
const WAITING: usize = 500;
/// Receivers that are told at once.
const AT_ONCE: usize = 16;
/// The same about the same commit is told once in this time: what comes and goes must not fill a chat.
const QUIET: TimeDelta = TimeDelta::minutes(10);
/// What is remembered of that.
const REMEMBERED: usize = 4000;
/// What is not told this long after the end of the runs is lost.
const DRAIN: Duration = Duration::from_secs(3);

/// What waits, and what was told lately.
#[derive(Default)]
pub(super) struct Notifier {
    state: Mutex<State>,
    news: News,
}

/// UID of the record, moment, commit.
type Key = (String, Moment, String);

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Repositories that are being told of.
    busy: BTreeSet<String>,
    told: BTreeMap<Key, DateTime<Utc>>,
}

/// One notice for one receiver.
#[derive(Clone)]
pub(super) struct Job {
    repository: String,
    about: Arc<Environment>,
    to: Notify,
    notice: Notice,
}

fn stand(before: Option<&EnvironmentStatus>, now: &EnvironmentStatus) -> Stand {
    let stood = before.is_some_and(|before| before.namespace.is_some());
    match now.phase {
        Some(Phase::Ready) => Stand::Ready,
        Some(Phase::Degraded | Phase::Refused | Phase::Failed) => Stand::Failed,
        Some(Phase::Closed | Phase::NoCamp) if stood && now.namespace.is_none() => Stand::Ended,
        Some(Phase::Closed | Phase::NoCamp | Phase::WaitingForApproval) | None => Stand::None,
        Some(_) => Stand::OnItsWay,
    }
}

/// The commit that a status speaks of.
fn commit(status: &EnvironmentStatus) -> Option<&str> {
    let running = status.revision.as_deref();
    let head = status.head.as_ref().map(|head| head.revision.as_str());
    match status.phase {
        Some(Phase::Refused | Phase::Failed) => head.or(running),
        _ => running.or(head),
    }
}

/// Why the camp ends soon, and what puts that off; `None` while it does not.
fn expires(status: Option<&EnvironmentStatus>) -> Option<String> {
    let condition = status?.condition(EXPIRING)?;
    let advice = match condition.reason.as_str() {
        LONGEST_LIFE_ENDS => "; that is its longest life",
        _ => "; a push gives it more time",
    };
    Some(format!("{}{advice}", condition.message))
}

impl Notifier {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is to be told of two states that follow one another.
    pub(super) fn offer(&self, context: &Context, before: &Environment, after: &Environment) {
        let name = &after.spec.repository;
        let Some(repository) = context.repository(name) else { return };
        if repository.spec.notify.is_empty() {
            return;
        }
        let (was, Some(is)) = (before.status.as_ref(), after.status.as_ref()) else { return };
        let earlier = was.map_or(Stand::None, |was| stand(None, was));
        let another = was.and_then(commit) != commit(is);
        if let Some(moment) = moment(earlier, stand(was, is), another) {
            self.tell(context, &repository, after, is, moment);
        }
        if expires(was).is_none() && expires(Some(is)).is_some() {
            self.tell(context, &repository, after, is, Moment::Expiring);
        }
    }

    /// Takes one notice for everybody who wants it, unless the same was told a moment ago.
    fn tell(
        &self,
        context: &Context,
        repository: &Repository,
        after: &Environment,
        is: &EnvironmentStatus,
        moment: Moment,
    ) {
        let name = &after.spec.repository;
        let now = context.clock.now();
        let revision = commit(is).map(str::to_owned);
        let uid = after.metadata.uid.clone().unwrap_or_default();
        let mut state = self.state();
        state.told.retain(|_, at| now - *at < QUIET);
        let key = (uid, moment, revision.clone().unwrap_or_default());
        if state.told.len() >= REMEMBERED || state.told.contains_key(&key) {
            return;
        }
        state.told.insert(key, now);
        let urls = is.urls.iter().map(|entry| (entry.app.clone(), entry.url.clone()));
        let source = &after.spec.source;
        let (repository_name, page) = page(repository, source);
        let notice = Notice {
            moment,
            repository: repository_name,
            number: source.number(),
            branch: source.branch_name().map(str::to_owned),
            page,
            revision,
            urls: if moment == Moment::Gone { Vec::new() } else { urls.collect() },
            reason: match moment {
                Moment::Ready => None,
                Moment::Expiring => expires(Some(is)),
                Moment::Failed | Moment::Gone => is.reason.clone(),
            },
            expires_at: is.expires_at.map(|at| at.0).filter(|_| moment != Moment::Gone),
            at: now,
        };
        let about = Arc::new(after.clone());
        for to in repository.spec.notify.iter().filter(|to| wants(to, moment)) {
            if state.waiting.len() >= WAITING {
                state.waiting.pop_front();
                context.metrics.count(&NOTICES, &["any", "dropped"]);
            }
            let (to, notice) = (to.clone(), notice.clone());
            let job = Job { repository: name.clone(), about: about.clone(), to, notice };
            state.waiting.push_back(job);
        }
        drop(state);
        self.news.notify_one();
    }

    /// The next of a Repository that is not being told of.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        let free = state.waiting.iter().position(|job| !state.busy.contains(&job.repository))?;
        let job = state.waiting.remove(free)?;
        state.busy.insert(job.repository.clone());
        Some(job)
    }

    fn ended(&self, job: &Job) {
        self.state().busy.remove(&job.repository);
    }
}

fn wants(to: &Notify, moment: Moment) -> bool {
    let when = match moment {
        Moment::Ready => NotifyWhen::Ready,
        Moment::Failed => NotifyWhen::Failed,
        Moment::Expiring => NotifyWhen::Expiring,
        Moment::Gone => NotifyWhen::Gone,
    };
    to.when.is_empty() || to.when.contains(&when)
}

/// Owner and name, and the page of the pull request.
fn page(repository: &Repository, source: &Source) -> (String, String) {
    let github = &repository.spec.forge.github;
    let known = repository.status.as_ref().and_then(|status| status.forge.as_ref());
    let known = known.and_then(|forge| forge.name.clone());
    let name = known.unwrap_or_else(|| format!("{}/{}", github.owner, github.name));
    let api = github.api_url.as_deref().unwrap_or("https://api.github.com");
    let web = api.trim_end_matches('/').trim_end_matches("/api/v3").replacen("://api.", "://", 1);
    let page = match source.number() {
        Some(number) => format!("{web}/{name}/pull/{number}"),
        // A branch's name may hold anything that an address can't.
        None => format!("{web}/{name}/branches"),
    };
    (name, page)
}

fn kind(to: &Notify) -> &'static str {
    match to.kind {
        NotifyKind::Slack => "Slack",
        NotifyKind::Teams => "Teams",
        NotifyKind::Webhook => "Webhook",
    }
}

/// Tells until `quiet`; then what is on its way, for a short time.
pub(super) async fn run(context: &Context, quiet: CancellationToken) {
    let notifier = &context.notifier;
    let mut going: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
    let work = async {
        loop {
            while going.len() < AT_ONCE
                && let Some(job) = notifier.next()
            {
                going.push(Box::pin(tell(context, job)));
            }
            tokio::select! {
                biased;
                Some(()) = going.next(), if !going.is_empty() => {}
                () = notifier.news.notified() => {}
                () = quiet.cancelled(), if going.is_empty() => return,
            }
        }
    };
    let end = async {
        quiet.cancelled().await;
        context.clock.sleep(DRAIN).await;
    };
    tokio::select! {
        biased;
        () = work => {}
        () = end => {}
    }
}

async fn tell(context: &Context, job: Job) {
    let sent = send::send(context, &job).await;
    let outcome = match &sent {
        Ok(()) => "sent",
        Err(error) => error.outcome(),
    };
    context.metrics.count(&NOTICES, &[kind(&job.to), outcome]);
    if let Err(error) = sent {
        let (name, kind) = (&job.to.url_from.secret_name, kind(&job.to));
        let what = job.notice.moment.word();
        let note = format!("{kind} (Secret {name}) was not told \"{what}\": {error}");
        tracing::warn!(environment.name = job.about.metadata.name, "{note}");
        let told = Told::of("NoticeNotSent", Weight::Warning, "Notify", note);
        context.events.tell(context, &job.about, told);
    }
    context.notifier.ended(&job);
    context.notifier.news.notify_one();
}
