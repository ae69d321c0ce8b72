//! All that a simulation has to replace: time, randomness, the network, git's network and the way to the previews.
//!
//! `app` hands these out as values. Nothing else in the program reads a clock, draws a random number, opens a socket
//! or spawns a child on its own, so that a life of many pull requests can run on one thread with a paused clock.

use std::error::Error;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use rand::rngs::ChaCha12Rng;
use rand::{Rng as _, SeedableRng};
use secrecy::SecretString;
use tower::util::BoxCloneSyncService;
use uuid::Uuid;

/// Pause after a stream that failed, at least.
const AGAIN: Duration = Duration::from_secs(1);

/// Any error, boxed, as the HTTP libraries pass it on.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The body of every request and response that goes through a [`Transport`].
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// One peer that speaks HTTP: a client with sockets, or the sandbox's router called in process.
pub type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;

/// Sends one request. Boxed by itself, so that a future that waits for it has no lifetime in its type.
pub fn send(
    transport: Transport,
    request: Request<Body>,
) -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
    Box::pin(tower::ServiceExt::oneshot(transport, request))
}

/// Sends one request and reads its answer, which is refused when it has more than `most` bytes.
pub fn ask(
    transport: &Transport,
    request: Request<Body>,
    most: usize,
) -> BoxFuture<'static, Result<(StatusCode, Bytes), BoxError>> {
    let sent = send(transport.clone(), request);
    Box::pin(async move {
        let (parts, mut content) = sent.await?.into_parts();
        let mut whole = BytesMut::new();
        while let Some(frame) = content.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if whole.len() + data.len() > most {
                return Err(BoxError::from("the answer is too big"));
            }
            whole.extend_from_slice(&data);
        }
        Ok((parts.status, whole.freeze()))
    })
}

/// The next of a stream that begins again by itself after an error, which is logged, and after a pause. One that has ended
/// never gives anything more. `what`: what can't be done meanwhile, for the log.
pub async fn next_sound<T, E: Display>(
    stream: &mut (impl Stream<Item = Result<T, E>> + Unpin),
    (clock, rng): (&Clock, &Rng),
    what: &str,
) -> T {
    loop {
        match stream.next().await {
            Some(Ok(next)) => return next,
            Some(Err(error)) => {
                tracing::warn!("{what}: {error}");
                clock.sleep(rng.jitter(AGAIN, 50)).await;
            }
            None => std::future::pending::<()>().await,
        }
    }
}

/// A [`Body`] that holds `bytes`, whole.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

// === Clock ===

/// Wall time as a value.
///
/// The system's clock follows the machine. The simulated one is its start plus the time that tokio's clock has gone
/// on, so a paused runtime drives it. Timers are tokio's in both cases.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Simulated { start: DateTime<Utc>, origin: tokio::time::Instant },
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that shows `start` now and goes on with tokio's.
    #[must_use]
    pub fn simulated(start: DateTime<Utc>) -> Self {
        Self(Kind::Simulated { start, origin: tokio::time::Instant::now() })
    }

    /// The present time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Kind::System => Utc::now(),
            Kind::Simulated { start, origin } => {
                *start
                    + chrono::Duration::from_std(origin.elapsed()).unwrap_or(chrono::Duration::MAX)
            }
        }
    }

    /// Waits for `duration`.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

// === Rng ===

/// Randomness as a value: a clone shares the state, a [`fork`](Rng::fork) has its own.
#[derive(Clone, Debug)]
pub struct Rng(Arc<Mutex<ChaCha12Rng>>);

impl Rng {
    /// Seeded by the operating system.
    ///
    /// # Panics
    /// When the machine has no entropy: ids could not be told apart.
    #[must_use]
    pub fn system() -> Self {
        let mut seed = [0; 32];
        #[expect(
            clippy::expect_used,
            reason = "a machine without entropy can't make ids that differ; nothing to go on with"
        )]
        rand::TryRng::try_fill_bytes(&mut rand::rngs::SysRng, &mut seed)
            .expect("the system has entropy");
        Self(Arc::new(Mutex::new(ChaCha12Rng::from_seed(seed))))
    }

    /// The same numbers for the same seed, on every machine.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(ChaCha12Rng::seed_from_u64(seed))))
    }

    /// A generator of its own, seeded from this one: two users that draw in an unsettled order don't disturb each
    /// other.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self::seeded(self.u64())
    }

    /// A number from all of `u64`.
    #[must_use]
    pub fn u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
    }

    /// A number below `bound`; 0 when `bound` is 0.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        // The bias of a remainder is below 2^-40 for every bound that jitter and ports ask for.
        if bound == 0 { 0 } else { self.u64() % bound }
    }

    /// `duration`, up to `percent` per cent longer.
    #[must_use]
    pub fn jitter(&self, duration: Duration, percent: u32) -> Duration {
        let most = duration.saturating_mul(percent) / 100;
        duration
            + Duration::from_micros(self.below(u64::try_from(most.as_micros()).unwrap_or(u64::MAX)))
    }

    /// A version 4 UUID.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        let high = u128::from(self.u64());
        uuid::Builder::from_random_bytes((high << 64 | u128::from(self.u64())).to_be_bytes())
            .into_uuid()
    }
}

// === Fetch ===

/// What is to be brought: one commit with its tree, and nothing of its history.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// Where the repository is; without user or password.
    pub url: String,
    /// Token for that host, sent as password of `x-access-token`; never logged.
    pub credential: Option<SecretString>,
    /// The commit, 40 hex digits.
    pub revision: String,
    /// Asked for when the server does not give a commit by its hash, say `refs/pull/7/head`. What it points to must
    /// be `revision`, else the commit counts as gone.
    pub fallback_ref: Option<String>,
    /// A bare repository, made when it is not there.
    pub into: PathBuf,
    /// The whole fetch ends within this time.
    pub timeout: Duration,
    /// The repository below `into` may not become bigger than this many bytes on disk.
    pub max_bytes: u64,
}

/// Brings one commit into a bare repository: gix over the network, or a copy of the objects from the sandbox.
pub trait Fetch: Send + Sync + 'static {
    /// After `Ok(())` the commit and its whole tree can be read from `request.into`.
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<(), FetchError>>;
}

/// Why a commit could not be brought. Display is for people; it never holds a credential.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The repository answered and does not have the commit: a force push, or a hash that never was.
    #[error("commit {revision} is not in {url} (any more)")]
    CommitGone {
        /// The commit asked for.
        revision: String,
        /// Where.
        url: String,
    },
    /// No such repository, or the credential may not read it; servers do not tell the two apart.
    #[error("{url} is not there or may not be read with the given credentials")]
    Denied {
        /// Where.
        url: String,
    },
    /// The scheme is not allowed by the settings.
    #[error("{url}: {reason}")]
    NotAllowed {
        /// Where.
        url: String,
        /// Which setting would allow it.
        reason: String,
    },
    /// It did not end in time.
    #[error("fetching {revision} from {url} took longer than {seconds} s")]
    TimedOut {
        /// The commit asked for.
        revision: String,
        /// Where.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The pack or the cache is bigger than the limit.
    #[error("{url} is bigger than the limit of {limit} bytes for a fetched commit")]
    TooBig {
        /// Where.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The network, the server or the disk failed; worth another try.
    #[error("failed to fetch {revision} from {url}")]
    Failed {
        /// The commit asked for.
        revision: String,
        /// Where.
        url: String,
        /// The cause.
        #[source]
        source: BoxError,
    },
}

// === Previews ===

/// Why a preview's host gave no answer: what the [`Transport`] that leads to the previews fails with. Texts are short and
/// the same for the same cause: no address, no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreached {
    /// The name does not resolve.
    #[error("the name is not found")]
    NameNotFound,
    /// It resolves to nothing that may be asked.
    #[error("the name leads to an address that is never asked")]
    AddressRefused,
    /// There is no connection.
    #[error("no connection: {0}")]
    NotConnected(String),
    /// There is a connection, and no TLS over it.
    #[error("no TLS: {0}")]
    Tls(String),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// What came back is no HTTP.
    #[error("no answer: {0}")]
    Broken(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_simulated_clock_goes_on_with_tokios() {
        let start = DateTime::UNIX_EPOCH;
        let clock = Clock::simulated(start);
        clock.sleep(Duration::from_secs(90)).await;
        assert_eq!(clock.now(), start + chrono::Duration::seconds(90));
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_a_fork_has_its_own() {
        let (one, two) = (Rng::seeded(7), Rng::seeded(7));
        assert_eq!(one.uuid(), two.uuid());
        let forked = one.fork();
        assert_ne!(forked.u64(), two.u64());
    }

    #[test]
    fn jitter_only_makes_longer_and_stays_in_its_bound() {
        let rng = Rng::seeded(1);
        for _ in 0..1000 {
            let long = rng.jitter(Duration::from_secs(10), 20);
            assert!((Duration::from_secs(10)..Duration::from_secs(12)).contains(&long), "{long:?}");
        }
    }
}
