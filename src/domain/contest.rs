//! PURE · when a field that is put back again and again is a fight, and how slowly it is put back then. Input: repairs
//! with their times; output: what is contested. `now` is an argument.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

/// The same field so often in [`WINDOW`] is a fight.
pub const TIMES: usize = 3;
/// In this time; and between two repairs of what is contested.
pub const WINDOW: TimeDelta = TimeDelta::minutes(10);
/// Fields of one object that are remembered. Beyond, the oldest are forgotten: a fight is noticed by any of its fields.
const FIELDS: usize = 64;

/// Repairs of one object in the last [`WINDOW`], by field.
#[derive(Clone, Debug, Default)]
pub struct Repairs(BTreeMap<String, VecDeque<DateTime<Utc>>>);

impl Repairs {
    /// Notes that these fields were put back now. Gives those that are a fight.
    pub fn note(&mut self, fields: &[String], now: DateTime<Utc>) -> Vec<String> {
        self.forget(now);
        let mut contested = Vec::new();
        for field in fields.iter().take(FIELDS) {
            let times = self.0.entry(field.clone()).or_default();
            times.push_back(now);
            if times.len() >= TIMES {
                contested.push(field.clone());
            }
            while times.len() > TIMES {
                times.pop_front();
            }
        }
        while self.0.len() > FIELDS {
            let oldest = self
                .0
                .iter()
                .min_by_key(|(field, times)| (times.back().copied(), (*field).clone()));
            let Some(oldest) = oldest.map(|(field, _)| field.clone()) else { break };
            self.0.remove(&oldest);
        }
        contested
    }

    /// Forgets what is too long ago to count.
    pub fn forget(&mut self, now: DateTime<Utc>) {
        for times in self.0.values_mut() {
            while times.front().is_some_and(|first| now - *first > WINDOW) {
                times.pop_front();
            }
        }
        self.0.retain(|_, times| !times.is_empty());
    }

    /// Nothing in it counts any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// When something contested may be put back again.
#[must_use]
pub fn next_repair(repaired_at: DateTime<Utc>) -> DateTime<Utc> {
    repaired_at + WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn the_same_field_three_times_in_ten_minutes_is_a_fight_and_three_fields_once_are_none() {
        let mut repairs = Repairs::default();
        let field = |name: &str| vec![name.to_owned()];
        for (second, name) in [(0, "a"), (1, "b"), (2, "c"), (3, "a")] {
            assert!(repairs.note(&field(name), at(second)).is_empty());
        }
        assert_eq!(repairs.note(&field("a"), at(600)), ["a"]);
        // Only two of the last three are young enough.
        assert!(repairs.note(&field("a"), at(604)).is_empty());
    }

    #[test]
    fn what_comes_every_six_minutes_is_no_fight() {
        let mut repairs = Repairs::default();
        for round in 0..20 {
            assert!(repairs.note(&["a".to_owned()], at(round * 360)).is_empty(), "{round}");
        }
        repairs.forget(at(100_000));
        assert!(repairs.is_empty());
    }

    #[test]
    fn a_thousand_fields_take_no_more_room_than_a_few() {
        let mut repairs = Repairs::default();
        for round in 0..1000 {
            repairs.note(&[format!("f{round}")], at(0));
        }
        assert!(repairs.0.len() <= FIELDS);
    }
}
