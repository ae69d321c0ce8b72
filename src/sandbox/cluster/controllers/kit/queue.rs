//! Which keys are to be looked at, and when. The same item is never looked at twice at a time. Pure but for the type of
//! its instants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// Items with their times; ties go in the items' order.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    by_time: BTreeSet<(Instant, T)>,
    times: BTreeMap<T, Instant>,
    running: BTreeSet<T>,
    again: BTreeMap<T, Instant>,
    failures: BTreeMap<T, u32>,
}

impl<T: Ord + Clone> Default for Queue<T> {
    fn default() -> Self {
        Self {
            by_time: BTreeSet::new(),
            times: BTreeMap::new(),
            running: BTreeSet::new(),
            again: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }
}

impl<T: Ord + Clone> Queue<T> {
    /// Has `item` looked at, at `at` or earlier.
    pub(crate) fn add(&mut self, item: T, at: Instant) {
        if self.running.contains(&item) {
            let time = self.again.entry(item).or_insert(at);
            *time = (*time).min(at);
            return;
        }
        match self.times.get(&item) {
            Some(known) if *known <= at => {}
            known => {
                if let Some(known) = known.copied() {
                    self.by_time.remove(&(known, item.clone()));
                }
                self.times.insert(item.clone(), at);
                self.by_time.insert((at, item));
            }
        }
    }

    /// The next item that is due and that `may` run; it counts as running until [`done`](Self::done).
    pub(crate) fn pop(&mut self, now: Instant, may: impl Fn(&T) -> bool) -> Option<T> {
        let found = self
            .by_time
            .iter()
            .take_while(|(at, _)| *at <= now)
            .find(|(_, item)| may(item))
            .cloned()?;
        self.by_time.remove(&found);
        let (_, item) = found;
        self.times.remove(&item);
        self.running.insert(item.clone());
        Some(item)
    }

    /// When the next item that `may` run is due.
    pub(crate) fn next(&self, may: impl Fn(&T) -> bool) -> Option<Instant> {
        self.by_time.iter().find(|(_, item)| may(item)).map(|(at, _)| *at)
    }

    /// `item` was looked at and all is well.
    pub(crate) fn done(&mut self, item: &T) {
        self.failures.remove(item);
        self.release(item);
    }

    /// `item` failed: it comes again after a time that doubles with each failure in a row.
    pub(crate) fn failed(&mut self, item: &T, now: Instant, jitter: impl Fn(Duration) -> Duration) {
        let count = self.failures.entry(item.clone()).or_insert(0);
        *count = count.saturating_add(1);
        let wait = jitter(backoff(*count));
        self.release(item);
        self.delay(item, now + wait);
    }

    /// Other reasons to look at a failing item don't shorten its wait below this one's.
    fn delay(&mut self, item: &T, at: Instant) {
        match self.times.get(item).copied() {
            // News came while it ran: that may be what it waits for.
            Some(_) => {}
            None => self.add(item.clone(), at),
        }
    }

    fn release(&mut self, item: &T) {
        self.running.remove(item);
        if let Some(at) = self.again.remove(item) {
            self.add(item.clone(), at);
        }
    }
}

/// 50 ms after the first failure, doubling, at most 30 s.
fn backoff(failures: u32) -> Duration {
    let doubled = 50_u64.saturating_mul(1 << failures.saturating_sub(1).min(20));
    Duration::from_millis(doubled.min(30_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon(now: Instant, millis: u64) -> Instant {
        now + Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_wish_counts_and_one_item_runs_once_at_a_time() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add("b", soon(now, 10));
        queue.add("b", now);
        queue.add("a", now);
        assert_eq!(queue.pop(now, |_| true), Some("a"));
        assert_eq!(queue.pop(now, |_| true), Some("b"));
        queue.add("a", now);
        assert_eq!(queue.pop(now, |_| true), None, "a is running");
        queue.done(&"a");
        assert_eq!(queue.pop(now, |_| true), Some("a"));
        assert_eq!(queue.next(|_| true), None);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_and_longer_and_success_forgets_them() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add("a", now);
        for expected in [50, 100, 200] {
            let at = queue.next(|_| true).expect("queued");
            queue.pop(at, |_| true).expect("due");
            queue.failed(&"a", now, |d| d);
            assert_eq!(queue.next(|_| true), Some(soon(now, expected)));
        }
        queue.pop(soon(now, 200), |_| true).expect("due");
        queue.done(&"a");
        assert_eq!(queue.next(|_| true), None);
        assert_eq!(backoff(60), Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn items_that_may_not_run_yet_don_t_hold_up_others() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(1, now);
        queue.add(2, now);
        assert_eq!(queue.pop(now, |item| *item == 2), Some(2));
    }
}
