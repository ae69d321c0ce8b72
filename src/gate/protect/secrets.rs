//! I/O · reads passwords, tokens and the secrets of Apps out of Secrets of the service's namespace. In: a name and a key;
//! out: the value, or what is lacking. What was read is kept for a few seconds, so that a page with a hundred pictures asks
//! once, and a changed Secret counts at once for people.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio::sync::Mutex;

use crate::crd::SecretKey;
use crate::seams::Clock;

/// So long a Secret is not read again.
const FRESH: TimeDelta = TimeDelta::seconds(5);
/// When the cluster can't be asked, what was read before counts for so long: a restart of its API is no reason to lock
/// everybody out, and a Secret that was taken away must not count for good.
const STALE: TimeDelta = TimeDelta::seconds(60);
/// The cluster answers within this time, or it does not.
const CALL: Duration = Duration::from_secs(5);
/// Secrets that are kept; they are named by Repositories, of which there are not as many.
const MOST: usize = 1000;

/// The values of a Secret; `None`: there is no such Secret.
pub(super) type Values = Option<Arc<BTreeMap<String, SecretSlice<u8>>>>;

/// Reads one Secret.
pub(super) type Reader =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<Values, String>> + Send + Sync>;

/// What is lacking. Whoever looks at a page is told no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// No such Secret, or no such key in it, or nothing in that.
    Missing,
    /// Too short to keep anybody out.
    TooShort,
    /// The cluster can't be asked.
    Unread,
}

struct Kept {
    at: DateTime<Utc>,
    values: Values,
}

/// Reads Secrets.
pub(super) struct Secrets {
    read: Reader,
    clock: Clock,
    kept: Mutex<BTreeMap<String, Kept>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Reads from the service's namespace.
pub(super) fn of_cluster(home: Client, namespace: &str) -> Reader {
    let api: Api<Secret> = Api::namespaced(home, namespace);
    Arc::new(move |name| {
        let api = api.clone();
        Box::pin(async move {
            let found = tokio::time::timeout(CALL, api.get_opt(&name)).await;
            let found = found.map_err(|_| "no answer in time".to_owned())?;
            let found = found.map_err(|error| error.to_string())?;
            Ok(found.map(|secret| {
                let data = secret.data.unwrap_or_default().into_iter();
                Arc::new(data.map(|(key, value)| (key, SecretSlice::from(value.0))).collect())
            }))
        })
    })
}

impl Secrets {
    pub(super) fn new(read: Reader, clock: Clock) -> Self {
        Self { read, clock, kept: Mutex::default() }
    }

    /// The value, without the newline at its end that comes from an editor or `echo`; one of fewer than `least` bytes
    /// counts for nothing.
    pub(super) async fn value(
        &self,
        wanted: &SecretKey,
        least: usize,
    ) -> Result<SecretSlice<u8>, Lack> {
        let values = self.values(&wanted.secret_name).await?;
        let value = values.as_ref().and_then(|values| values.get(&wanted.key));
        let value = value.ok_or(Lack::Missing)?.expose_secret();
        let text = trimmed(value);
        match text.len() {
            0 => Err(Lack::Missing),
            short if short < least => Err(Lack::TooShort),
            _ => Ok(SecretSlice::from(text.to_vec())),
        }
    }

    async fn values(&self, name: &str) -> Result<Values, Lack> {
        // Held while the cluster is asked: of many that want to know, one asks.
        let mut kept = self.kept.lock().await;
        let now = self.clock.now();
        let within = |kept: &Kept, span| (kept.at..kept.at + span).contains(&now);
        if let Some(known) = kept.get(name)
            && within(known, FRESH)
        {
            return Ok(known.values.clone());
        }
        match (self.read)(name.to_owned()).await {
            Ok(values) => {
                if kept.len() >= MOST {
                    kept.clear();
                }
                kept.insert(name.to_owned(), Kept { at: now, values: values.clone() });
                Ok(values)
            }
            Err(error) => {
                tracing::warn!(secret = name, "the Secret can't be read: {error}");
                let known = kept.get(name).filter(|known| within(known, STALE));
                known.map(|known| known.values.clone()).ok_or(Lack::Unread)
            }
        }
    }
}

fn trimmed(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    end.map_or(&[], |end| &value[..=end])
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Shared;

    use super::*;

    type Found = Result<Option<&'static str>, String>;

    fn secrets(found: &Arc<Shared<(usize, Found)>>) -> Secrets {
        let found = found.clone();
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let read: Reader = Arc::new(move |_| {
            let mut found = found.lock().unwrap();
            found.0 += 1;
            let values = found.1.clone().map(|value| {
                let value = SecretSlice::from(value?.as_bytes().to_vec());
                Some(Arc::new(BTreeMap::from([("key".to_owned(), value)])))
            });
            Box::pin(async move { values })
        });
        Secrets::new(read, Clock::simulated(start))
    }

    async fn ask(secrets: &Secrets, key: &str) -> Result<String, Lack> {
        let wanted = SecretKey { secret_name: "x".into(), key: key.into() };
        let value = secrets.value(&wanted, 4).await?;
        Ok(String::from_utf8(value.expose_secret().to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_rotated_secret_counts_within_seconds_and_a_missing_one_is_said() {
        let found = Arc::new(Shared::new((0, Ok(Some("first\r\n")))));
        let secrets = secrets(&found);
        let turn_to = |now: Found| found.lock().unwrap().1 = now;
        for _ in 0..100 {
            assert_eq!(ask(&secrets, "key").await.as_deref(), Ok("first"));
        }
        assert_eq!(found.lock().unwrap().0, 1, "asked once");
        assert_eq!(ask(&secrets, "other").await, Err(Lack::Missing));
        turn_to(Ok(Some("second")));
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(ask(&secrets, "key").await.as_deref(), Ok("second"));
        for (now, lack) in [
            (Ok(None), Lack::Missing),
            (Ok(Some("")), Lack::Missing),
            (Ok(Some("\n\n")), Lack::Missing),
            (Ok(Some("abc\n")), Lack::TooShort),
        ] {
            turn_to(now);
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(ask(&secrets, "key").await, Err(lack));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_known_holds_for_a_minute_when_the_cluster_is_silent() {
        let found = Arc::new(Shared::new((0, Err("down".to_owned()))));
        let secrets = secrets(&found);
        assert_eq!(ask(&secrets, "key").await, Err(Lack::Unread), "never seen: never open");
        found.lock().unwrap().1 = Ok(Some("first"));
        assert_eq!(ask(&secrets, "key").await.as_deref(), Ok("first"));
        found.lock().unwrap().1 = Err("down".to_owned());
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert_eq!(ask(&secrets, "key").await.as_deref(), Ok("first"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(ask(&secrets, "key").await, Err(Lack::Unread));
    }
}
