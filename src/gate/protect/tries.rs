//! PURE but for its own memory · how often passwords, and codes of a sign-in, may be tried. In: of what, who tries, now; out:
//! may he?
//!
//! This is the one thing that a gate remembers, and each replica for itself: a person who tries has no cookie that he could
//! not throw away, and no write to the cluster may be had for a wrong password. So with *n* replicas there are *n* times as
//! many tries; at sixty a minute each, a random password of ten characters holds for longer than anybody lives.
//!
//! It is bounded by itself: there are entries of the last minute only, and no more than are let through in a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// Tries of one address in a minute: a person who does not remember which it was.
const OF_ONE: usize = 6;
/// Tries of all in a minute, for one password: a team that comes at once.
const OF_ALL: usize = 60;
/// After this a try is forgotten.
const WINDOW: TimeDelta = TimeDelta::minutes(1);
/// More of an address is not kept.
const LONGEST: usize = 64;

/// The tries of the last minute.
#[derive(Debug, Default)]
pub(super) struct Tries(Mutex<BTreeMap<String, Vec<Try>>>);

/// When, and by whom.
type Try = (DateTime<Utc>, String);

impl Tries {
    /// Notes a try, before it is known whether it is right: many at once can't get past the count. `false`: it is one too
    /// many, and is not to be looked at.
    pub(super) fn one_more(&self, repository: &str, who: &str, now: DateTime<Utc>) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not keep people out for as long.
        let fresh = |at: &DateTime<Utc>| (now - WINDOW..=now).contains(at);
        all.retain(|_, tries| {
            tries.retain(|(at, _)| fresh(at));
            !tries.is_empty()
        });
        let who: String = who.chars().take(LONGEST).collect();
        let tries = all.entry(repository.to_owned()).or_default();
        let of_one = tries.iter().filter(|(_, by)| *by == who).count();
        if of_one >= OF_ONE || tries.len() >= OF_ALL {
            return false;
        }
        tries.push((now, who));
        true
    }

    /// The password was right: that try does not count.
    pub(super) fn forgive(&self, repository: &str, who: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let who: String = who.chars().take(LONGEST).collect();
        if let Some(tries) = all.get_mut(repository)
            && let Some(last) = tries.iter().rposition(|(_, by)| *by == who)
        {
            tries.remove(last);
        }
    }

    #[cfg(test)]
    fn kept(&self) -> usize {
        self.0.lock().unwrap().values().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn one_address_has_six_tries_a_minute_and_all_have_sixty() {
        let tries = Tries::default();
        for _ in 0..6 {
            assert!(tries.one_more("shop", "a", at(0)));
        }
        assert!(!tries.one_more("shop", "a", at(59)));
        assert!(tries.one_more("shop", "b", at(59)) && tries.one_more("other", "a", at(59)));
        assert!(tries.one_more("shop", "a", at(61)), "a minute later");

        let let_through =
            (0..500).filter(|n| tries.one_more("big", &n.to_string(), at(100))).count();
        assert_eq!(let_through, 60);
        assert!(tries.kept() <= 60 + 8, "a flood leaves no more than that behind");
        assert!(tries.one_more("big", "1", at(161)));
        assert_eq!(tries.kept(), 1, "and that for a minute");
    }

    #[test]
    fn what_was_right_does_not_count_and_a_clock_that_goes_back_locks_nobody_out() {
        let tries = Tries::default();
        for _ in 0..50 {
            assert!(tries.one_more("shop", "a", at(0)));
            tries.forgive("shop", "a");
        }
        for _ in 0..6 {
            tries.one_more("shop", "a", at(0));
        }
        assert!(!tries.one_more("shop", "a", at(1)));
        assert!(tries.one_more("shop", "a", at(-3600)));
        let long = "x".repeat(10_000);
        assert!(tries.one_more("shop", &long, at(-3600)));
        tries.forgive("shop", &long);
        tries.forgive("nobody", "a");
    }
}
