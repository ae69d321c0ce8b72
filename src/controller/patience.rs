//! Pauses of watches that fail. kube's own draw their jitter from the system: ours from [`Rng`], so that a simulated run is
//! the same twice. No I/O.

use std::time::Duration;

use kube::runtime::utils::Backoff;

use super::Context;
use crate::seams::Rng;

/// As client-go has them.
const FIRST: Duration = Duration::from_millis(800);
const LONGEST: Duration = Duration::from_secs(30);

/// Each pause is twice as long as the one before, up to half a minute, and up to twice as long by chance; until the watch
/// shows something again.
#[derive(Debug)]
pub(super) struct Patience {
    rng: Rng,
    next: Duration,
}

impl Patience {
    pub(super) fn of(context: &Context) -> Self {
        Self { rng: context.rng.fork(), next: FIRST }
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.rng.jitter(self.next, 100);
        self.next = self.next.saturating_mul(2).min(LONGEST);
        Some(pause)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_are_the_same_for_a_seed_and_begin_anew() {
        let pauses = |seed| {
            let mut patience = Patience { rng: Rng::seeded(seed), next: FIRST };
            let grown: Vec<Duration> = patience.by_ref().take(9).collect();
            patience.reset();
            (grown, patience.next())
        };
        let (grown, anew) = pauses(1);
        for (index, pause) in grown.iter().enumerate() {
            let least = FIRST.saturating_mul(1 << index).min(LONGEST);
            assert!((least..least * 2).contains(pause), "{index}: {pause:?}");
        }
        assert!(anew.is_some_and(|pause| pause < FIRST * 2));
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
    }
}
