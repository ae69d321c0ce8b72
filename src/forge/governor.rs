//! I/O (timers only) · keeps one token within the forge's rates: stops when it says so, and spaces out content writes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};

use crate::seams::Clock;

/// GitHub asks for at least a second between requests that make content.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);
/// GitHub: without further headers, wait at least one minute after a secondary limit.
const SECONDARY: chrono::Duration = chrono::Duration::seconds(60);
/// No limit of GitHub's lasts longer than an hour; a header that says more is not believed.
const LONGEST: chrono::Duration = chrono::Duration::hours(2);

/// Below this share of an hour's points, what nobody would miss is left out: one in so many.
const SPARE: i64 = 10;

/// The state of one token.
#[derive(Debug)]
pub(super) struct Governor {
    clock: Clock,
    blocked_until: Mutex<Option<DateTime<Utc>>>,
    /// Until when few points are left.
    short_until: Mutex<Option<DateTime<Utc>>>,
    last_write: tokio::sync::Mutex<Option<DateTime<Utc>>>,
}

/// The right to make one content write; the next one waits until this is gone.
pub(super) struct WriteTurn<'a> {
    last: tokio::sync::MutexGuard<'a, Option<DateTime<Utc>>>,
    clock: &'a Clock,
}

impl Drop for WriteTurn<'_> {
    fn drop(&mut self) {
        *self.last = Some(self.clock.now());
    }
}

impl Governor {
    pub(super) fn new(clock: Clock) -> Self {
        let (blocked_until, short_until) = (Mutex::default(), Mutex::default());
        Self { clock, blocked_until, short_until, last_write: tokio::sync::Mutex::default() }
    }

    /// May a request go out now? The error says from when on.
    pub(super) fn admit(&self) -> Result<(), DateTime<Utc>> {
        match *self.blocked_until.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(until) if until > self.clock.now() => Err(until),
            _ => Ok(()),
        }
    }

    /// Whether few points are left of this hour, or nothing may go out at all.
    pub(super) fn is_short(&self) -> bool {
        let short = *self.short_until.lock().unwrap_or_else(PoisonError::into_inner);
        short.is_some_and(|until| until > self.clock.now()) || self.admit().is_err()
    }

    fn note_points(&self, headers: &HeaderMap, now: DateTime<Utc>) {
        let limit = number(headers, "x-ratelimit-limit");
        let Some((left, limit)) = number(headers, "x-ratelimit-remaining").zip(limit) else {
            return;
        };
        let reset =
            number(headers, "x-ratelimit-reset").and_then(|s| DateTime::from_timestamp(s, 0));
        let short = left < limit / SPARE;
        *self.short_until.lock().unwrap_or_else(PoisonError::into_inner) =
            reset.filter(|_| short).map(|reset| reset.min(now + LONGEST));
    }

    /// Waits for the turn of a content write.
    pub(super) async fn write_turn(&self) -> WriteTurn<'_> {
        let last = self.last_write.lock().await;
        if let Some(last) = *last {
            let gone = (self.clock.now() - last).to_std().unwrap_or_default();
            if let Some(rest) = BETWEEN_WRITES.checked_sub(gone).filter(|rest| !rest.is_zero()) {
                self.clock.sleep(rest).await;
            }
        }
        WriteTurn { last, clock: &self.clock }
    }

    /// Takes note of an answer. Some time when the answer itself was a refusal for the rate.
    pub(super) fn observe(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        message: &str,
    ) -> Option<DateTime<Utc>> {
        let now = self.clock.now();
        self.note_points(headers, now);
        let spent = number(headers, "x-ratelimit-remaining") == Some(0);
        let reset =
            number(headers, "x-ratelimit-reset").and_then(|s| DateTime::from_timestamp(s, 0));
        let refused = match status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::FORBIDDEN => {
                let message = message.to_ascii_lowercase();
                spent
                    || headers.contains_key("retry-after")
                    || message.contains("rate limit")
                    || message.contains("abuse")
            }
            _ => false,
        };
        let until = match (refused, retry_after(headers, now)) {
            (true, Some(until)) => Some(until),
            // GitHub's clock may be a little behind ours: an instant that is over still means "not now".
            (true, None) if spent && reset.is_some() => {
                reset.map(|at| at.max(now + chrono::Duration::seconds(1)))
            }
            (true, None) => Some(now + SECONDARY),
            (false, _) if spent => reset,
            (false, _) => None,
        }?;
        let until = until.min(now + LONGEST);
        let mut blocked = self.blocked_until.lock().unwrap_or_else(PoisonError::into_inner);
        *blocked = Some(blocked.map_or(until, |earlier| earlier.max(until)));
        refused.then_some(until)
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Seconds, or a date as HTTP writes it.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    match text.parse::<u32>() {
        Ok(seconds) => Some(now + chrono::Duration::seconds(i64::from(seconds.max(1)))),
        Err(_) => DateTime::parse_from_rfc2822(text).ok().map(|at| at.with_timezone(&Utc)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, String)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect()
    }

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn each_way_of_saying_slow_down_is_understood() {
        let (now, s) = (start(), chrono::Duration::seconds);
        let date = (now + s(30)).to_rfc2822();
        let reset = (now + s(900)).timestamp().to_string();
        let far = (now + s(900_000)).timestamp().to_string();
        let zero = || ("x-ratelimit-remaining", "0".to_owned());
        for (status, pairs, message, expected) in [
            (429, vec![], "", Some(now + s(60))),
            (429, vec![("retry-after", "7".into())], "", Some(now + s(7))),
            (429, vec![("retry-after", date)], "", Some(now + s(30))),
            (403, vec![zero(), ("x-ratelimit-reset", reset.clone())], "", Some(now + s(900))),
            (403, vec![zero(), ("x-ratelimit-reset", far)], "", Some(now + LONGEST)),
            (403, vec![], "You have exceeded a secondary rate limit", Some(now + s(60))),
            (403, vec![], "Resource not accessible by personal access token", None),
            (404, vec![], "", None),
            (200, vec![("x-ratelimit-remaining", "1".into())], "", None),
        ] {
            let governor = Governor::new(Clock::simulated(now));
            let status = StatusCode::from_u16(status).unwrap();
            let seen = governor.observe(status, &headers(&pairs), message);
            assert_eq!(seen, expected, "{status} {pairs:?} {message}");
            assert_eq!(governor.admit().err(), expected, "{status} {pairs:?} {message}");
        }
        // The last request that was allowed is answered, and the next one waits.
        let governor = Governor::new(Clock::simulated(now));
        let seen =
            governor.observe(StatusCode::OK, &headers(&[zero(), ("x-ratelimit-reset", reset)]), "");
        assert_eq!(seen, None);
        assert_eq!(governor.admit(), Err(now + s(900)));
        tokio::time::sleep(Duration::from_secs(900)).await;
        assert_eq!(governor.admit(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_tenth_of_an_hour_is_short() {
        let now = start();
        let governor = Governor::new(Clock::simulated(now));
        let answer = |left: i64| {
            let reset = (now + chrono::Duration::seconds(600)).timestamp().to_string();
            let pairs = [
                ("x-ratelimit-limit", "5000".to_owned()),
                ("x-ratelimit-remaining", left.to_string()),
                ("x-ratelimit-reset", reset),
            ];
            governor.observe(StatusCode::OK, &headers(&pairs), "");
            governor.is_short()
        };
        assert!(!governor.is_short() && !answer(500) && answer(499));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert!(!governor.is_short(), "the next hour has begun");
        governor.observe(StatusCode::TOO_MANY_REQUESTS, &HeaderMap::new(), "");
        assert!(governor.is_short());
    }

    #[tokio::test(start_paused = true)]
    async fn content_writes_go_one_after_the_other_a_second_apart() {
        let governor = Governor::new(Clock::simulated(start()));
        let began = tokio::time::Instant::now();
        let write = async || {
            let turn = governor.write_turn().await;
            let at = began.elapsed();
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(turn);
            at
        };
        let (a, b, c) = tokio::join!(write(), write(), write());
        let ms = Duration::from_millis;
        assert_eq!((a, b, c), (ms(0), ms(1300), ms(2600)));
    }
}
