//! Stands for election, leads, renews, and hands over. I/O: one Lease at home.

use std::pin::pin;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::error::chain;
use super::{DURATION, Leadership, Moment};
use crate::seams::{Clock, Rng};

/// Between two renewals, with up to a fifth of jitter: five seconds on average.
const RENEW: Duration = Duration::from_millis(4_500);
/// After a renewal that failed.
const AGAIN: Duration = Duration::from_millis(500);
/// Between two looks of those who wait, with up to a fifth of jitter. A Lease that was given back is taken within a second.
const LOOK: Duration = Duration::from_millis(600);
/// A call about the Lease that takes longer counts as failed.
const CALL: Duration = Duration::from_secs(2);
/// Runs that are under way when the leadership is lost end within this time, or are dropped: they can write nothing any more.
const AFTER_LOSS: Duration = Duration::from_secs(5);
/// Runs that are under way when the process is asked to end do so within this time. Kubernetes kills after 30 s.
const AFTER_STOP: Duration = Duration::from_secs(25);
/// A foreign duration beyond this is not believed.
const LONGEST: Duration = Duration::from_secs(60);

/// One replica's part in the election.
pub struct Election {
    leases: Api<Lease>,
    name: String,
    identity: String,
    clock: Clock,
    rng: Rng,
    leadership: Leadership,
}

/// What somebody who waits has seen, and since when.
struct Seen {
    spec: LeaseSpec,
    since: Instant,
}

impl Seen {
    /// The time until the holder's Lease is anybody's.
    fn left(&self) -> Option<Duration> {
        holder(&self.spec)?;
        let theirs = self.spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
        let theirs = Duration::from_secs(theirs.unwrap_or_default()).min(LONGEST);
        theirs.max(DURATION).checked_sub(self.since.elapsed()).filter(|left| !left.is_zero())
    }
}

/// Why a term ended.
enum End {
    /// As asked.
    Stopped,
    /// Somebody else leads, or nobody could be asked in time.
    Lost(String),
}

/// What came of a call about the Lease that did not fail.
enum Outcome {
    /// It is ours, as we wrote it.
    Ours(Box<Lease>),
    /// It is somebody else's, or somebody else was faster.
    Theirs(String),
}

/// Why a call about the Lease failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("the API server did not answer within {} s", CALL.as_secs())]
    Slow,
    #[error("the API server refused")]
    Refused(#[source] Box<kube::Error>),
}

impl Election {
    /// For the Lease `name` in `namespace`; `leadership` says from now on what comes of it.
    ///
    /// `replica` is for people; two processes of one name are still told apart.
    #[must_use]
    pub fn new(
        home: Client,
        namespace: &str,
        name: &str,
        replica: &str,
        clock: Clock,
        rng: Rng,
        leadership: Leadership,
    ) -> Self {
        Self {
            leases: Api::namespaced(home, namespace),
            name: name.to_owned(),
            identity: format!("{replica}_{}", rng.uuid()),
            clock,
            rng,
            leadership,
        }
    }

    /// Until `stop`: waits to be elected, then runs `work` with a token that asks it to end, and so on.
    ///
    /// At `stop` the work ends first, and then the Lease is given back, so that nobody waits for its end.
    pub async fn run<'a>(
        &self,
        stop: &CancellationToken,
        work: impl Fn(CancellationToken) -> BoxFuture<'a, ()>,
    ) {
        while let Some((lease, sent)) = self.stand(stop).await {
            tracing::info!(lease = self.name, identity = self.identity, "this replica leads");
            match self.lead(lease, sent, stop, &work).await {
                End::Stopped => return,
                End::Lost(why) => {
                    tracing::warn!(
                        lease = self.name,
                        identity = self.identity,
                        "lost the lead: {why}"
                    );
                }
            }
        }
    }

    // === Waiting ===

    /// Waits for the Lease. `None`: asked to stop before.
    async fn stand(&self, stop: &CancellationToken) -> Option<(Lease, Moment)> {
        let mut seen = None;
        let mut complained = false;
        loop {
            // Not begun any more, but never cut off: a Lease that we took must be given back.
            if stop.is_cancelled() {
                return None;
            }
            let sent = Moment::now(&self.clock);
            match self.attempt(&mut seen).await {
                Ok(Some(lease)) => return Some((lease, sent)),
                Ok(None) => complained = false,
                Err(error) if complained => {
                    tracing::debug!(
                        lease = self.name,
                        "can't stand for election: {}",
                        chain(&error)
                    );
                }
                Err(error) => {
                    complained = true;
                    tracing::warn!(
                        lease = self.name,
                        "can't stand for election: {}",
                        chain(&error)
                    );
                }
            }
            let mut pause = self.rng.jitter(LOOK, 20);
            if let Some(left) = seen.as_ref().and_then(Seen::left) {
                pause = pause.min(left);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                () = self.clock.sleep(pause) => {}
            }
        }
    }

    /// One look, and one attempt when the Lease is anybody's.
    async fn attempt(&self, seen: &mut Option<Seen>) -> Result<Option<Lease>, CallError> {
        let found = self.get().await?;
        let Some(lease) = found else {
            // Somebody deleted it. Who held it does not know yet.
            if seen.as_ref().is_some_and(|seen| seen.left().is_some()) {
                return Ok(None);
            }
            return Ok(self.create().await?.ours());
        };
        let spec = lease.spec.clone().unwrap_or_default();
        if seen.as_ref().is_none_or(|seen| seen.spec != spec) {
            *seen = Some(Seen { spec: spec.clone(), since: Instant::now() });
        }
        let ours = holder(&spec) == Some(&self.identity);
        if !ours && seen.as_ref().is_some_and(|seen| seen.left().is_some()) {
            return Ok(None);
        }
        Ok(self.replace(lease, Some(&self.identity)).await?.ours())
    }

    // === Leading ===

    async fn lead<'a>(
        &self,
        lease: Lease,
        sent: Moment,
        stop: &CancellationToken,
        work: &impl Fn(CancellationToken) -> BoxFuture<'a, ()>,
    ) -> End {
        self.leadership.extend(sent);
        let asked = CancellationToken::new();
        let mut work = work(asked.clone()).fuse();
        let mut renewing = pin!(self.renew(lease));
        let mut end = tokio::select! {
            biased;
            why = renewing.as_mut() => End::Lost(why),
            () = stop.cancelled() => End::Stopped,
            () = &mut work => End::Lost("the controllers ended".into()),
        };
        asked.cancel();
        if matches!(end, End::Stopped) {
            // It leads until the last run has ended.
            tokio::select! {
                biased;
                why = renewing.as_mut() => end = End::Lost(why),
                _ = tokio::time::timeout(AFTER_STOP, &mut work) => {}
            }
        }
        self.leadership.end();
        if matches!(end, End::Lost(_)) {
            // What is dropped here is what a kill would have cut off.
            let _ = tokio::time::timeout(AFTER_LOSS, &mut work).await;
        }
        drop(work);
        if matches!(end, End::Stopped) || stop.is_cancelled() {
            self.release().await;
            return End::Stopped;
        }
        end
    }

    /// Renews until the lead is lost, and says why it is.
    async fn renew(&self, mut lease: Lease) -> String {
        loop {
            self.clock.sleep(self.rng.jitter(RENEW, 20)).await;
            loop {
                if !self.leadership.holds() {
                    return "the Lease could not be renewed in time".into();
                }
                let sent = Moment::now(&self.clock);
                match self.keep(&lease).await {
                    Ok(Outcome::Ours(renewed)) => {
                        lease = *renewed;
                        self.leadership.extend(sent);
                        break;
                    }
                    Ok(Outcome::Theirs(whose)) => return whose,
                    Err(error) => {
                        tracing::warn!(
                            lease = self.name,
                            "the Lease was not renewed: {}",
                            chain(&error)
                        );
                        self.clock.sleep(self.rng.jitter(AGAIN, 20)).await;
                    }
                }
            }
        }
    }

    /// One renewal. `lease` may be older than what is stored: by somebody's label, or by our own write whose answer was lost.
    async fn keep(&self, lease: &Lease) -> Result<Outcome, CallError> {
        if let Outcome::Ours(renewed) = self.replace(lease.clone(), Some(&self.identity)).await? {
            return Ok(Outcome::Ours(renewed));
        }
        let Some(found) = self.get().await? else { return self.create().await };
        match found.spec.as_ref().and_then(holder) {
            Some(holder) if *holder == self.identity => {
                self.replace(found, Some(&self.identity)).await
            }
            Some(holder) => Ok(Outcome::Theirs(format!("{holder} leads"))),
            None => Ok(Outcome::Theirs("somebody gave the Lease back".into())),
        }
    }

    /// Gives the Lease back, when it is ours.
    async fn release(&self) {
        let given_back = async {
            let Some(found) = self.get().await? else { return Ok(()) };
            if found.spec.as_ref().and_then(holder) == Some(&self.identity) {
                self.replace(found, None).await?;
            }
            Ok::<_, CallError>(())
        };
        match given_back.await {
            Ok(()) => tracing::info!(lease = self.name, "gave the lead back"),
            Err(error) => tracing::warn!(
                lease = self.name,
                "the Lease was not given back; the next replica waits {} s: {}",
                DURATION.as_secs(),
                chain(&error)
            ),
        }
    }

    // === The Lease ===

    async fn get(&self) -> Result<Option<Lease>, CallError> {
        timed(self.leases.get_opt(&self.name)).await
    }

    async fn create(&self) -> Result<Outcome, CallError> {
        let lease = Lease {
            metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
            spec: Some(self.spec(LeaseSpec::default(), Some(&self.identity))),
        };
        Self::written(timed(self.leases.create(&PostParams::default(), &lease)).await)
    }

    /// Writes over exactly the Lease that was read.
    async fn replace(&self, mut lease: Lease, holder: Option<&str>) -> Result<Outcome, CallError> {
        lease.spec = Some(self.spec(lease.spec.unwrap_or_default(), holder));
        Self::written(timed(self.leases.replace(&self.name, &PostParams::default(), &lease)).await)
    }

    /// A conflict, and a Lease that went or came meanwhile, are no failures: somebody was faster.
    fn written(answer: Result<Lease, CallError>) -> Result<Outcome, CallError> {
        match answer {
            Ok(lease) => Ok(Outcome::Ours(Box::new(lease))),
            Err(CallError::Refused(error)) => match *error {
                kube::Error::Api(status) if matches!(status.code, 404 | 409) => {
                    Ok(Outcome::Theirs("somebody else was faster".into()))
                }
                other => Err(CallError::Refused(Box::new(other))),
            },
            Err(slow) => Err(slow),
        }
    }

    /// What the Lease says when `next` holds it, after `before`.
    fn spec(&self, before: LeaseSpec, next: Option<&str>) -> LeaseSpec {
        let now = present(&self.clock);
        let same = holder(&before).map(String::as_str) == next;
        LeaseSpec {
            holder_identity: next.map(str::to_owned),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: if same { before.acquire_time.clone() } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(match next {
                // Counted when somebody takes it, as others do.
                Some(_) if !same => before.lease_transitions.map_or(0, |n| n.saturating_add(1)),
                _ => before.lease_transitions.unwrap_or_default(),
            }),
            ..before
        }
    }
}

impl Outcome {
    fn ours(self) -> Option<Lease> {
        match self {
            Self::Ours(lease) => Some(*lease),
            Self::Theirs(_) => None,
        }
    }
}

/// Who holds a Lease; an empty name is nobody.
fn holder(spec: &LeaseSpec) -> Option<&String> {
    spec.holder_identity.as_ref().filter(|holder| !holder.is_empty())
}

/// A call that ends.
async fn timed<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL, call).await {
        Ok(answer) => answer.map_err(|error| CallError::Refused(Box::new(error))),
        Err(_) => Err(CallError::Slow),
    }
}

/// The present time as the Lease holds it: microseconds.
fn present(clock: &Clock) -> MicroTime {
    let micros = clock.now().timestamp_micros();
    MicroTime(jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}
