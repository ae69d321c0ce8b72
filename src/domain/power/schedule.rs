//! PURE · times to sleep, week by week, in a time zone: entries of a policy in, points in time out. A day that has no
//! 02:30, or two of them, is no trouble: a time that does not exist is the next one that does, and of two the time to
//! sleep takes the longer way.

use std::fmt;

use chrono::{
    DateTime, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _,
    Utc, Weekday,
};
use chrono_tz::Tz;

/// Minutes of a day.
const DAY: u32 = 24 * 60;
/// Entries of a schedule.
const MOST: usize = 20;
/// Weekdays as they are written, Monday first.
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// When camps sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    zone: Tz,
    windows: Vec<Window>,
}

/// Something in a schedule that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSchedule {
    /// No such time zone.
    #[error("there is no time zone {0:?}; write one of IANA's, say Europe/Berlin")]
    Zone(String),
    /// No such time to sleep.
    #[error("{0:?} is no time to sleep; write 22:00-07:00, Mon-Fri 20:00-07:00, Sat or Sat-Sun")]
    Window(String),
    /// Too many, or none.
    #[error("write from 1 to 20 times to sleep, not {0}")]
    Count(usize),
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    text: String,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// On each of these days from one minute of the day to another; when that is not later, on the next day.
    Times { days: Span, from: u32, to: u32 },
    /// From the beginning of the first day to the end of the last.
    Days(Span),
}

/// Days in a row, as numbers from Monday; the last may be before the first: over the weekend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: u32,
    count: u32,
}

impl Span {
    fn has(self, day: Weekday) -> bool {
        (day.num_days_from_monday() + 7 - self.first) % 7 < self.count
    }
}

impl Schedule {
    /// Reads a time zone and times to sleep.
    pub fn parse(zone: &str, asleep: &[String]) -> Result<Self, InvalidSchedule> {
        let zone = zone.parse::<Tz>().map_err(|_| InvalidSchedule::Zone(zone.to_owned()))?;
        if asleep.is_empty() || asleep.len() > MOST {
            return Err(InvalidSchedule::Count(asleep.len()));
        }
        let window = |text: &String| match form(text) {
            Some(form) => Ok(Window { text: text.clone(), form }),
            None => Err(InvalidSchedule::Window(text.clone())),
        };
        Ok(Self { zone, windows: asleep.iter().map(window).collect::<Result<_, _>>()? })
    }

    /// Name of the time zone.
    #[must_use]
    pub fn time_zone(&self) -> &'static str {
        self.zone.name()
    }

    /// Since when it is a time to sleep, and by which entry; of several the one that began last.
    #[must_use]
    pub fn asleep_since(&self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, &str)> {
        let there = self.around(now).filter(|(begin, end, _)| *begin <= now && now < *end);
        there.map(|(begin, _, text)| (begin, text)).max()
    }

    /// When the last time to sleep began.
    #[must_use]
    pub fn last_begin(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.around(now).map(|(begin, ..)| begin).filter(|begin| *begin <= now).max()
    }

    /// When the next one begins or ends.
    #[must_use]
    pub fn next_boundary(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let all = self.around(now).flat_map(|(begin, end, _)| [begin, end]);
        all.filter(|at| *at > now).min()
    }

    /// All times to sleep that begin within a week and a bit before and after `now`.
    fn around(
        &self,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>, &str)> {
        let today = now.with_timezone(&self.zone).date_naive();
        let dates = (0..=18_u64).filter_map(move |n| {
            today
                .checked_sub_days(Days::new(9))
                .and_then(|first| first.checked_add_days(Days::new(n)))
        });
        dates.flat_map(move |date| {
            self.windows.iter().filter_map(move |window| {
                let (begin, end) = self.on(window.form, date)?;
                (begin < end).then_some((begin, end, window.text.as_str()))
            })
        })
    }

    /// The time to sleep that begins on `date`.
    fn on(&self, form: Form, date: NaiveDate) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        use chrono::Datelike as _;
        match form {
            Form::Times { days, from, to } => {
                if !days.has(date.weekday()) {
                    return None;
                }
                let last = if to > from { date } else { date.checked_add_days(Days::new(1))? };
                Some((self.instant(date, from, false)?, self.instant(last, to, true)?))
            }
            Form::Days(Span { first, count }) => {
                if date.weekday().num_days_from_monday() != first {
                    return None;
                }
                let end = date.checked_add_days(Days::new(u64::from(count)))?;
                Some((self.instant(date, 0, false)?, self.instant(end, 0, true)?))
            }
        }
    }

    /// A local time as a point in time: the earlier or the later of two, and the next that there is.
    fn instant(&self, date: NaiveDate, minute: u32, later: bool) -> Option<DateTime<Utc>> {
        let (date, minute) = if minute >= DAY {
            (date.checked_add_days(Days::new(1))?, minute - DAY)
        } else {
            (date, minute)
        };
        let time = NaiveTime::from_hms_opt(minute / 60, minute % 60, 0)?;
        let mut local = NaiveDateTime::new(date, time);
        // Once a whole day was left out, in the middle of the Pacific.
        for _ in 0..=26 * 4 {
            match self.zone.from_local_datetime(&local) {
                LocalResult::Single(at) => return Some(at.with_timezone(&Utc)),
                LocalResult::Ambiguous(first, second) => {
                    return Some((if later { second } else { first }).with_timezone(&Utc));
                }
                LocalResult::None => local = local.checked_add_signed(TimeDelta::minutes(15))?,
            }
        }
        None
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, window) in self.windows.iter().enumerate() {
            let between = if index > 0 { ", " } else { "" };
            write!(f, "{between}{}", window.text)?;
        }
        write!(f, " {}", self.zone.name())
    }
}

fn form(text: &str) -> Option<Form> {
    let every = Span { first: 0, count: 7 };
    let (days, times) = match text.split_once(' ') {
        Some((days, times)) => (span(days)?, Some(times)),
        None if text.starts_with(|c: char| c.is_ascii_digit()) => (every, Some(text)),
        None => (span(text)?, None),
    };
    let Some(times) = times else {
        return (days.count < 7).then_some(Form::Days(days));
    };
    let (from, to) = times.split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from != to && from < DAY && to > 0).then_some(Form::Times { days, from, to })
}

fn span(text: &str) -> Option<Span> {
    let day = |name: &str| {
        DAYS.iter().position(|known| *known == name).and_then(|day| u32::try_from(day).ok())
    };
    match text.split_once('-') {
        None => Some(Span { first: day(text)?, count: 1 }),
        Some((first, last)) => {
            let (first, last) = (day(first)?, day(last)?);
            Some(Span { first, count: (last + 7 - first) % 7 + 1 })
        }
    }
}

/// `07:30`; `24:00` is the end of a day.
fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| {
        let fine = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        fine.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schedule(zone: &str, windows: &[&str]) -> Schedule {
        let windows: Vec<String> = windows.iter().map(|text| (*text).to_owned()).collect();
        Schedule::parse(zone, &windows).expect("a schedule")
    }

    fn utc(text: &str) -> DateTime<Utc> {
        format!("{text}:00Z").parse().expect("a time")
    }

    fn sleeps(schedule: &Schedule, at: &str) -> bool {
        schedule.asleep_since(utc(at)).is_some()
    }

    #[test]
    fn what_means_nothing_is_named() {
        let parse = |text: &str| Schedule::parse("UTC", &[text.to_owned()]);
        for good in ["22:00-07:00", "Mon-Fri 20:00-07:00", "Sat", "Fri-Mon", "Sun 00:00-24:00"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "22-07",
            "22:00",
            "22:00-22:00",
            "25:00-07:00",
            "22:60-07:00",
            "sat",
            "Mon-Sun",
            "Mon,Tue",
            "Mon  20:00-07:00",
            "2:00-07:00",
            "24:00-07:00",
            "22:00-00:00x",
            "20:00-00:00:00",
        ] {
            assert_eq!(parse(bad), Err(InvalidSchedule::Window(bad.to_owned())), "{bad}");
        }
        assert_eq!(
            Schedule::parse("Berlin", &["Sat".into()]),
            Err(InvalidSchedule::Zone("Berlin".into()))
        );
        assert_eq!(Schedule::parse("UTC", &[]), Err(InvalidSchedule::Count(0)));
    }

    #[test]
    fn a_night_ends_on_the_next_day_and_a_weekend_is_one_piece() {
        let week = schedule("UTC", &["Mon-Fri 20:00-07:00", "Sat-Sun"]);
        // 2026-03-02 is a Monday.
        for (at, expected) in [
            ("2026-03-02T19:59", false),
            ("2026-03-02T20:00", true),
            ("2026-03-03T06:59", true),
            ("2026-03-03T07:00", false),
            ("2026-03-06T20:30", true),
            ("2026-03-07T12:00", true),
            ("2026-03-08T23:59", true),
            ("2026-03-09T00:00", false),
            ("2026-03-02T06:00", false),
        ] {
            assert_eq!(sleeps(&week, at), expected, "{at}");
        }
        let (since, by) = week.asleep_since(utc("2026-03-08T12:00")).expect("asleep");
        assert_eq!((since, by), (utc("2026-03-07T00:00"), "Sat-Sun"));
        assert_eq!(week.next_boundary(utc("2026-03-02T12:00")), Some(utc("2026-03-02T20:00")));
        assert_eq!(week.last_begin(utc("2026-03-02T12:00")), Some(utc("2026-02-28T00:00")));
    }

    #[test]
    fn a_time_zone_follows_its_summer_time() {
        let berlin = schedule("Europe/Berlin", &["22:00-07:00"]);
        // Winter: UTC+1. In the night to 2026-03-29 the clock goes from 02:00 to 03:00.
        assert!(!sleeps(&berlin, "2026-03-27T20:59") && sleeps(&berlin, "2026-03-27T21:00"));
        assert!(sleeps(&berlin, "2026-03-28T05:59") && !sleeps(&berlin, "2026-03-28T06:00"));
        assert!(sleeps(&berlin, "2026-03-29T04:59") && !sleeps(&berlin, "2026-03-29T05:00"));
        assert!(sleeps(&berlin, "2026-03-29T20:00"));
    }

    #[test]
    fn a_time_that_does_not_exist_is_the_next_and_of_two_it_sleeps_longer() {
        // 02:30 does not exist on 2026-03-29; 03:00 summer time is 01:00 UTC.
        let gap = schedule("Europe/Berlin", &["01:00-02:30"]);
        assert_eq!(gap.next_boundary(utc("2026-03-29T00:30")), Some(utc("2026-03-29T01:00")));
        let begins = schedule("Europe/Berlin", &["02:30-05:00"]);
        assert_eq!(begins.next_boundary(utc("2026-03-29T00:30")), Some(utc("2026-03-29T01:00")));
        // 02:30 is twice on 2026-10-25: at 00:30 and at 01:30 UTC.
        let twice = schedule("Europe/Berlin", &["01:00-02:30"]);
        assert!(sleeps(&twice, "2026-10-25T01:29") && !sleeps(&twice, "2026-10-25T01:30"));
        let early = schedule("Europe/Berlin", &["02:30-05:00"]);
        assert!(!sleeps(&early, "2026-10-25T00:29") && sleeps(&early, "2026-10-25T00:30"));
        // A day that never was: 2011-12-30 in Apia.
        let apia = schedule("Pacific/Apia", &["Fri 10:00-12:00"]);
        assert!(apia.next_boundary(utc("2011-12-29T20:00")).is_some());
    }

    proptest! {
        /// The clock of a wall, asked minute by minute, agrees with the windows, whatever the zone does in between.
        #[test]
        fn the_next_boundary_is_where_the_answer_changes(
            zone in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("UTC")],
            from in 0_u32..24, length in 1_u32..24, minutes in 0_i64..(366 * 24 * 60),
        ) {
            let text = format!("{from:02}:00-{:02}:15", (from + length) % 24);
            let schedule = schedule(zone, &[&text]);
            let now = utc("2026-01-01T00:00") + TimeDelta::minutes(minutes);
            let next = schedule.next_boundary(now).expect("there is always one");
            prop_assert!(next > now && next - now <= TimeDelta::hours(26));
            let state = schedule.asleep_since(now).is_some();
            let just_before = schedule.asleep_since(next - TimeDelta::seconds(1)).is_some();
            prop_assert_eq!(state, just_before);
            let change = schedule.asleep_since(next).is_some();
            prop_assert!(change != state || schedule.last_begin(next) == Some(next));
        }
    }
}
