//! I/O (timers only) · keeps one token, or one installation of an App, within the forge's rates: stops when it says so,
//! spaces requests and content writes out, and knows what is left.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, StatusCode};

use crate::domain::rate::{
    self, Budget, MOST_IN_A_MINUTE, MOST_IN_AN_HOUR, May, Points, Window, WriteKind,
};
use crate::seams::Clock;

/// GitHub asks for at least a second between requests that make content.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);
/// GitHub: without further headers, wait at least one minute after a secondary limit, and longer each time.
const SECONDARY: TimeDelta = TimeDelta::seconds(60);
/// No limit of GitHub's lasts longer than an hour; a header that says more is not believed.
const LONGEST: TimeDelta = TimeDelta::hours(2);
const MINUTE: TimeDelta = TimeDelta::minutes(1);
const HOUR: TimeDelta = TimeDelta::hours(1);
/// A secondary limit that has no headers and no words of a limit is believed so often in a row; then it is a refusal.
const MOST_MUTE: u32 = 3;
/// GitHub allows 900 points in a minute. Half of them may go at once, the other half over the minute.
const BURST: TimeDelta = TimeDelta::seconds(60);
const ONE_POINT: TimeDelta = TimeDelta::milliseconds(134);
/// A request that would have to wait for longer is refused instead.
const PATIENCE: TimeDelta = TimeDelta::seconds(15);

/// The state of one token or installation.
#[derive(Debug)]
pub(super) struct Governor {
    clock: Clock,
    ledger: Mutex<Ledger>,
    last_write: tokio::sync::Mutex<Option<DateTime<Utc>>>,
}

#[derive(Debug, Default)]
struct Ledger {
    blocked_until: Option<DateTime<Utc>>,
    /// Left, limit, and when it begins anew.
    points: Option<(u64, u64, DateTime<Utc>)>,
    /// Writes of the last hour, oldest first.
    writes: VecDeque<DateTime<Utc>>,
    /// When the requests that went out are paid for at the slow rate.
    paid_until: Option<DateTime<Utc>>,
    /// Secondary limits in a row.
    strikes: u32,
    /// The forge gives good answers without words about rates: it has none, and a 403 without them says nothing.
    silent: bool,
    told: bool,
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

impl Ledger {
    fn budget(&self, now: DateTime<Utc>) -> Budget {
        let until = |at: DateTime<Utc>| (at - now).to_std().unwrap_or_default();
        let window = |span: TimeDelta, most: usize| {
            let inside = self.writes.iter().filter(|at| now - **at < span);
            let used = inside.clone().count();
            // Room for one more is when as many have left as are too many.
            let leaves = inside.clone().nth(used.saturating_sub(most));
            Window { used, most, frees_in: leaves.map_or(Duration::ZERO, |at| until(*at + span)) }
        };
        let points = self.points.filter(|(_, _, reset)| *reset > now);
        Budget {
            blocked_for: self.blocked_until.map_or(Duration::ZERO, until),
            points: points.map(|(left, limit, reset)| Points {
                left,
                limit,
                reset_in: until(reset),
            }),
            minute: window(MINUTE, MOST_IN_A_MINUTE),
            hour: window(HOUR, MOST_IN_AN_HOUR),
        }
    }

    /// Says once that it is short, and once that it is no longer.
    fn tell(&mut self, now: DateTime<Utc>) {
        let budget = self.budget(now);
        let short = budget.is_short();
        if short == self.told {
            return;
        }
        self.told = short;
        tracing::info!(
            rate.short = short,
            rate.points_left = budget.points.map(|points| points.left),
            rate.points_limit = budget.points.map(|points| points.limit),
            rate.writes_in_minute = budget.minute.used,
            rate.writes_in_hour = budget.hour.used,
            rate.blocked_seconds = budget.blocked_for.as_secs(),
            "what the forge still lets us do has changed"
        );
    }
}

impl Governor {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, ledger: Mutex::default(), last_write: tokio::sync::Mutex::new(None) }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left.
    pub(super) fn budget(&self) -> Budget {
        self.ledger().budget(self.clock.now())
    }

    /// May a request go out now? The error says from when on.
    pub(super) fn admit(&self) -> Result<(), DateTime<Utc>> {
        match self.ledger().blocked_until {
            Some(until) if until > self.clock.now() => Err(until),
            _ => Ok(()),
        }
    }

    /// Waits until a request of so many points is no part of a burst. The error says when it may be tried again.
    pub(super) async fn pace(&self, points: i32) -> Result<(), DateTime<Utc>> {
        let now = self.clock.now();
        let wait = {
            let mut ledger = self.ledger();
            let paid = ledger.paid_until.unwrap_or(now).max(now) + ONE_POINT * points;
            let wait = paid - now - BURST;
            if wait > PATIENCE {
                return Err(now + wait);
            }
            ledger.paid_until = Some(paid);
            if let Some((left, _, _)) = &mut ledger.points {
                *left = left.saturating_sub(1);
            }
            wait.to_std().unwrap_or_default()
        };
        if !wait.is_zero() {
            self.clock.sleep(wait).await;
        }
        Ok(())
    }

    /// Waits for the turn of a content write. The error says when there is room for one more.
    pub(super) async fn write_turn(&self) -> Result<WriteTurn<'_>, DateTime<Utc>> {
        self.room()?;
        let last = self.last_write.lock().await;
        if let Some(last) = *last {
            let gone = (self.clock.now() - last).to_std().unwrap_or_default();
            if let Some(rest) = BETWEEN_WRITES.checked_sub(gone).filter(|rest| !rest.is_zero()) {
                self.clock.sleep(rest).await;
            }
        }
        self.prompt_turn()?;
        Ok(WriteTurn { last, clock: &self.clock })
    }

    /// Counts a write that waits for nobody's turn: few, and short ones, that people wait for.
    pub(super) fn prompt_turn(&self) -> Result<(), DateTime<Utc>> {
        self.room()?;
        let now = self.clock.now();
        let mut ledger = self.ledger();
        ledger.writes.retain(|at| now - *at < HOUR);
        ledger.writes.push_back(now);
        ledger.tell(now);
        Ok(())
    }

    /// Whether there is room for one more write of content.
    fn room(&self) -> Result<(), DateTime<Utc>> {
        match rate::may(WriteKind::Answer, &self.budget()) {
            May::After(wait) => {
                Err(self.clock.now() + TimeDelta::from_std(wait).unwrap_or(LONGEST))
            }
            May::Now | May::LeaveOut => Ok(()),
        }
    }

    /// Takes note of an answer. Some time when the answer itself was a refusal for the rate.
    pub(super) fn observe(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        message: &str,
    ) -> Option<DateTime<Utc>> {
        let now = self.clock.now();
        let left = number(headers, "x-ratelimit-remaining").and_then(|n| u64::try_from(n).ok());
        // To whom it does not know, the forge tells the rate of those without a login.
        let left = left.filter(|_| status != StatusCode::UNAUTHORIZED);
        let spent = left == Some(0);
        let reset =
            number(headers, "x-ratelimit-reset").and_then(|s| DateTime::from_timestamp(s, 0));
        let marked = headers.keys().any(|name| name.as_str().starts_with("x-ratelimit-"));
        let asked = retry_after(headers, now);
        let mut ledger = self.ledger();
        if let (Some(left), Some(reset)) = (left, reset) {
            let limit = number(headers, "x-ratelimit-limit").and_then(|n| u64::try_from(n).ok());
            ledger.points = Some((left, limit.unwrap_or(left), reset.min(now + LONGEST)));
        }
        let good = status.is_success() || status == StatusCode::NOT_MODIFIED;
        if good {
            ledger.strikes = 0;
            ledger.silent = !marked;
        }
        let refused = match status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::FORBIDDEN => {
                let message = message.to_ascii_lowercase();
                let again =
                    ledger.strikes < MOST_MUTE || ledger.blocked_until.is_some_and(|at| at > now);
                let mute = !marked && !ledger.silent && again && !message.contains("suspended");
                spent
                    || headers.contains_key("retry-after")
                    || message.contains("rate limit")
                    || message.contains("abuse")
                    || mute
            }
            _ => false,
        };
        let until = match (refused, asked) {
            (true, Some(until)) => Some(until),
            // GitHub's clock may be a little behind ours: an instant that is over still means "not now".
            (true, None) if spent && reset.is_some() => {
                reset.map(|at| at.max(now + TimeDelta::seconds(1)))
            }
            (true, None) => {
                // Those that were on their way together are one.
                if ledger.blocked_until.is_none_or(|until| until <= now) {
                    ledger.strikes = ledger.strikes.saturating_add(1);
                }
                Some(now + SECONDARY * (1 << (ledger.strikes.max(1) - 1).min(6)))
            }
            (false, _) if spent => reset,
            (false, _) => None,
        };
        if let Some(until) = until {
            let until = until.min(now + LONGEST);
            let blocked = ledger.blocked_until.map_or(until, |earlier| earlier.max(until));
            ledger.blocked_until = Some(blocked);
        }
        ledger.tell(now);
        until.map(|until| until.min(now + LONGEST)).filter(|_| refused)
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Seconds, or a date as HTTP writes it; what is too far away or over already is the caller's to cap.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    let soonest = now + TimeDelta::seconds(1);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse::<u32>().unwrap_or(u32::MAX);
        return Some((now + TimeDelta::seconds(i64::from(seconds))).max(soonest));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some(date.with_timezone(&Utc).max(soonest))
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
        let (now, s) = (start(), TimeDelta::seconds);
        let date =
            |at: DateTime<Utc>| ("retry-after", at.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
        let reset = (now + s(900)).timestamp().to_string();
        let far = (now + s(900_000)).timestamp().to_string();
        let zero = || ("x-ratelimit-remaining", "0".to_owned());
        let some = || ("x-ratelimit-remaining", "4321".to_owned());
        for (status, pairs, message, expected) in [
            (429, vec![], "", Some(now + s(60))),
            (429, vec![("retry-after", "7".into())], "", Some(now + s(7))),
            (429, vec![("retry-after", "0".into())], "", Some(now + s(1))),
            (429, vec![("retry-after", "99999999999999999999".into())], "", Some(now + LONGEST)),
            (429, vec![("retry-after", "86400".into())], "", Some(now + LONGEST)),
            (429, vec![("retry-after", "soon".into())], "", Some(now + s(60))),
            (429, vec![date(now + s(30))], "", Some(now + s(30))),
            (429, vec![date(now - s(30))], "", Some(now + s(1))),
            (429, vec![date(now + s(900_000))], "", Some(now + LONGEST)),
            (403, vec![("retry-after", "7".into()), some()], "no", Some(now + s(7))),
            (403, vec![zero(), ("x-ratelimit-reset", reset.clone())], "", Some(now + s(900))),
            (403, vec![zero(), ("x-ratelimit-reset", far)], "", Some(now + LONGEST)),
            (403, vec![some()], "You have exceeded a secondary rate limit", Some(now + s(60))),
            (403, vec![], "", Some(now + s(60))),
            (403, vec![some()], "Resource not accessible by personal access token", None),
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
    async fn a_403_without_headers_is_a_limit_where_answers_have_them_and_waits_get_longer() {
        let governor = Governor::new(Clock::simulated(start()));
        let some = headers(&[("x-ratelimit-remaining", "4999".into())]);
        governor.observe(StatusCode::OK, &some, "");
        let refused = || governor.observe(StatusCode::FORBIDDEN, &HeaderMap::new(), "no");
        let mut waits = Vec::new();
        for _ in 0..4 {
            let now = governor.clock.now();
            let Some(until) = refused() else { break };
            waits.push((until - now).num_seconds());
            // A second one that was on its way with the first.
            assert_eq!(refused(), Some(until));
            tokio::time::sleep((until - now).to_std().unwrap()).await;
        }
        assert_eq!(waits, [60, 120, 240], "then it is taken for what it says");
        governor.observe(StatusCode::OK, &some, "");
        assert!(refused().is_some(), "a good answer begins anew");
        // A server that knows no rates puts no such headers anywhere.
        let governor = Governor::new(Clock::simulated(start()));
        governor.observe(StatusCode::OK, &HeaderMap::new(), "");
        assert_eq!(governor.observe(StatusCode::FORBIDDEN, &HeaderMap::new(), "no"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn content_writes_go_one_after_the_other_a_second_apart() {
        let governor = Governor::new(Clock::simulated(start()));
        let began = tokio::time::Instant::now();
        let write = async || {
            let turn = governor.write_turn().await.ok().unwrap();
            let at = began.elapsed();
            tokio::time::sleep(Duration::from_millis(300)).await;
            drop(turn);
            at
        };
        let (a, b, c) = tokio::join!(write(), write(), write());
        let ms = Duration::from_millis;
        assert_eq!((a, b, c), (ms(0), ms(1300), ms(2600)));
    }

    #[tokio::test(start_paused = true)]
    async fn five_hundred_writes_in_any_hour_and_no_more() {
        let governor = Governor::new(Clock::simulated(start()));
        for _ in 0..500 {
            drop(governor.write_turn().await.ok().unwrap());
        }
        let refused = governor.write_turn().await.err().unwrap();
        assert_eq!(refused, start() + HOUR, "when the first one no longer counts");
        assert_eq!(rate::may(WriteKind::Progress, &governor.budget()), May::LeaveOut);
        let mut times = Vec::new();
        while times.len() < 3 {
            match governor.write_turn().await {
                Ok(_turn) => times.push((governor.clock.now() - start()).num_seconds()),
                Err(until) => {
                    governor.clock.sleep((until - governor.clock.now()).to_std().unwrap()).await;
                }
            }
        }
        assert_eq!(times, [3600, 3601, 3602]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_holds_more_than_900_points() {
        let governor = Governor::new(Clock::simulated(start()));
        let mut sent: Vec<(i64, i32)> = Vec::new();
        for number in 0..1200 {
            let points = if number % 4 == 0 { 5 } else { 1 };
            governor.pace(points).await.unwrap();
            sent.push(((governor.clock.now() - start()).num_milliseconds(), points));
        }
        let most = sent.iter().map(|(from, _)| {
            let inside = sent.iter().filter(|(at, _)| (*from..*from + 60_000).contains(at));
            inside.map(|(_, points)| points).sum::<i32>()
        });
        let most = most.max().unwrap();
        assert!((850..=900).contains(&most), "{most}");
        // Many at once are not held up for ever: they are told when to come again.
        let governor = Governor::new(Clock::simulated(start()));
        let refused = futures::future::join_all((0..1000).map(|_| governor.pace(1))).await;
        let refused = refused.into_iter().filter(Result::is_err).count();
        assert!((400..500).contains(&refused), "{refused}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_follows_the_headers_and_begins_anew_with_the_hour() {
        let governor = Governor::new(Clock::simulated(start()));
        let said = |left: u64| {
            let reset = (start() + HOUR).timestamp().to_string();
            headers(&[
                ("x-ratelimit-remaining", left.to_string()),
                ("x-ratelimit-limit", "5000".into()),
                ("x-ratelimit-reset", reset),
            ])
        };
        let left = || governor.budget().points.map(|points| points.left);
        assert_eq!(left(), None);
        governor.observe(StatusCode::OK, &said(700), "");
        governor.pace(1).await.unwrap();
        governor.pace(5).await.unwrap();
        assert_eq!(left(), Some(698), "what is on its way counts");
        governor.observe(StatusCode::OK, &said(600), "");
        assert_eq!(left(), Some(600), "others use the same budget");
        assert_eq!(rate::may(WriteKind::Eyes, &governor.budget()), May::Now);
        governor.observe(StatusCode::OK, &said(500), "");
        assert_eq!(rate::may(WriteKind::Eyes, &governor.budget()), May::LeaveOut);
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(left(), None);
        assert_eq!(rate::may(WriteKind::Eyes, &governor.budget()), May::Now);
    }
}
