//! PURE · faults switched on by tests and demos: failing requests, an outage, lost and doubled deliveries.

use std::time::Duration;

use super::trouble::Fault;
use crate::seams::Rng;

/// What is to go wrong.
#[derive(Debug)]
pub(super) struct Faults {
    rng: Rng,
    failures: Vec<Failure>,
    pub(super) outage: bool,
    /// Lists of pull requests are answered empty.
    pub(super) empty_lists: bool,
    /// What is younger than this is answered 404.
    pub(super) birth: Duration,
    /// No page has more rows.
    pub(super) rows: Option<usize>,
    /// So many rows come or go before the second page of a list and before each later one.
    pub(super) moving: isize,
    /// Every answer takes up to this long.
    pub(super) latency: Duration,
    /// Whether a pull request can be merged is known only so long after its head or base moved.
    pub(super) merge_delay: Duration,
    pub(super) delivery: DeliveryFaults,
}

/// How webhook deliveries go wrong; in per cent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFaults {
    /// Never sent.
    pub lost: u8,
    /// Sent twice with the same delivery id.
    pub doubled: u8,
    /// Each is sent up to this much later; the order within one hook stays.
    pub delay: Duration,
}

#[derive(Debug)]
struct Failure {
    method: String,
    pattern: String,
    fault: Fault,
    times: u32,
}

/// What happens to one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Sent,
    Lost,
    Doubled,
}

impl Faults {
    pub(super) fn new(rng: Rng) -> Self {
        Self {
            rng,
            failures: Vec::new(),
            outage: false,
            empty_lists: false,
            birth: Duration::ZERO,
            rows: None,
            moving: 0,
            latency: Duration::ZERO,
            merge_delay: Duration::ZERO,
            delivery: DeliveryFaults::default(),
        }
    }

    /// The next `times` requests of `method` (`*` is any) whose path fits `pattern` go wrong so.
    pub(super) fn fail(&mut self, method: &str, pattern: &str, fault: Fault, times: u32) {
        let (method, pattern) = (method.to_owned(), pattern.to_owned());
        self.failures.push(Failure { method, pattern, fault, times });
    }

    /// No request fails any more by [`fail`](Self::fail).
    pub(super) fn fail_no_more(&mut self) {
        self.failures.clear();
    }

    /// How this request goes wrong, if at all.
    pub(super) fn strike(&mut self, method: &str, path: &str) -> Option<Fault> {
        if self.outage {
            return Some(Fault::Status(503));
        }
        let found = self.failures.iter_mut().find(|failure| {
            failure.times > 0
                && (failure.method == "*" || failure.method.eq_ignore_ascii_case(method))
                && fits(&failure.pattern, path)
        })?;
        found.times -= 1;
        let fault = found.fault.clone();
        self.failures.retain(|failure| failure.times > 0);
        Some(fault)
    }

    /// How long this answer takes.
    pub(super) fn latency(&self) -> Duration {
        self.upto(self.latency)
    }

    /// How long this delivery waits.
    pub(super) fn delay(&self) -> Duration {
        self.upto(self.delivery.delay)
    }

    fn upto(&self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        if millis == 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(self.rng.below(millis.saturating_add(1)))
    }

    /// Draws what happens to the next delivery.
    pub(super) fn fate(&self) -> Fate {
        let DeliveryFaults { lost, doubled, delay: _ } = self.delivery;
        if lost == 0 && doubled == 0 {
            return Fate::Sent;
        }
        let drawn = self.rng.below(100);
        if drawn < u64::from(lost) {
            Fate::Lost
        } else if drawn < u64::from(lost) + u64::from(doubled) {
            Fate::Doubled
        } else {
            Fate::Sent
        }
    }
}

/// `*` in a pattern stands for any text; a pattern without it is looked for anywhere in the path.
fn fits(pattern: &str, path: &str) -> bool {
    if !pattern.contains('*') {
        return path.contains(pattern);
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    for (index, part) in parts.iter().enumerate() {
        if index + 1 == parts.len() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_the_ends_must_fit() {
        assert!(fits("comments", "/repos/a/b/issues/1/comments"));
        assert!(fits("/repos/*/comments", "/repos/a/b/issues/1/comments"));
        assert!(fits("/repos/*/issues/*", "/repos/a/b/issues/1"));
        assert!(!fits("/repos/*/comments", "/repos/a/b/issues/1"));
        assert!(!fits("/user*", "/repos/a"));
        assert!(fits("*", "/"));
    }

    #[test]
    fn a_failure_strikes_as_often_as_said_and_only_where_said() {
        let mut faults = Faults::new(Rng::seeded(1));
        faults.fail("POST", "/comments", Fault::Status(502), 2);
        assert_eq!(faults.strike("GET", "/x/comments"), None);
        assert_eq!(faults.strike("post", "/x/comments"), Some(Fault::Status(502)));
        assert_eq!(faults.strike("POST", "/x/comments"), Some(Fault::Status(502)));
        assert_eq!(faults.strike("POST", "/x/comments"), None);
    }
}
